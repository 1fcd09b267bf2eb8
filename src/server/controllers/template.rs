//! From a workload's template to pods, and which template a pod is of. Pure.

use serde_json::{Value, json};

use super::workload::owner_reference;
use crate::server::object;
use crate::server::random;
use crate::server::store::StoredObject;

/// FNV-1a (draft-eastlake-fnv, 64 bits): short names for long contents. Nothing depends on its
/// having no collisions.
pub fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A name for a template, as long as Kubernetes' are; `collisions` gives another one.
pub fn hash(template: &Value, collisions: i64) -> String {
    let mut text = sorted(template).to_string();
    if collisions > 0 {
        text.push_str(&collisions.to_string());
    }
    let hash = fnv_1a(text.as_bytes());
    let hash = (hash >> 32) ^ (hash & 0xffff_ffff);
    // Digits as letters that spell no words (`rand.SafeEncodeString`).
    const LETTERS: &[u8] = b"bcdfghjklm";
    hash.to_string()
        .bytes()
        .map(|digit| char::from(LETTERS[usize::from(digit - b'0') % LETTERS.len()]))
        .collect()
}

/// The order in which an author writes fields makes no other template.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(pairs.collect())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// A new pod of `workload`'s template.
pub fn pod(workload: &StoredObject, template: &Value) -> Value {
    /// What the name's 63 bytes leave beside the suffix.
    const BASE_BYTES: usize = 58;
    let prefix = format!("{}-", workload.name());
    let base = prefix.get(..BASE_BYTES).unwrap_or(&prefix);
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{base}{}", random::suffix()),
            "generateName": prefix,
            "namespace": workload.namespace(),
        },
    });
    for key in ["labels", "annotations", "finalizers"] {
        object::copy(&mut pod["metadata"], &template["metadata"], key);
    }
    pod["metadata"]["ownerReferences"] = json!([owner_reference(workload)]);
    object::copy(&mut pod, template, "spec");
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_what_a_template_says_and_not_of_its_order() {
        let one = json!({"a": 1, "b": {"c": 2, "d": [3]}});
        let same = json!({"b": {"d": [3], "c": 2}, "a": 1});
        let other = json!({"a": 1, "b": {"c": 2, "d": [4]}});
        assert_eq!(hash(&one, 0), hash(&same, 0));
        assert_ne!(hash(&one, 0), hash(&other, 0));
        assert_ne!(hash(&one, 0), hash(&one, 1));
    }
}
