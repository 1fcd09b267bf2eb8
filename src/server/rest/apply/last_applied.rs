//! Objects that kubectl applied itself before it lets the server do it.
//!
//! Such an object carries what was applied last as an annotation. Its fields belong to whoever
//! wrote it then (`kubectl-client-side-apply`, mostly), but there is no conflict with them as long
//! as they still are what the annotation says. And the annotation follows, so that the user can go
//! back. As kube-apiserver, for the manager `kubectl` only.

use serde_json::{Value, json};

use super::compare::Difference;
use super::fields::{Fields, Shape};
use super::managers::Manager;
use crate::server::object;

const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that `by` may change whoever owns them.
pub fn allowed(live: &Value, by: &Manager, shape: Shape) -> Fields {
    let Some(last) = annotation(live, by).and_then(|text| serde_json::from_str(text).ok()) else {
        return Fields::default();
    };
    let last: Value = last;
    let mut allowed = Fields::of(&last, shape);
    let difference = Difference::between(live, &last, shape);
    allowed.subtract(&difference.changed);
    allowed
}

/// Writes `config` into the annotation, where there is one that says anything else.
pub fn follow(new: &mut Value, config: &Value, by: &Manager) {
    let Some(before) = annotation(new, by) else {
        return;
    };
    let before: Option<Value> = serde_json::from_str(before).ok();
    if before.is_none_or(|before| plain(before) != plain(config.clone())) {
        let annotations = object::metadata(new).get_mut("annotations");
        if let Some(Value::Object(annotations)) = annotations {
            annotations.insert(ANNOTATION.into(), format!("{config}\n").into());
        }
    }
}

fn annotation<'a>(object: &'a Value, by: &Manager) -> Option<&'a str> {
    if by.name != MANAGER {
        return None;
    }
    object
        .pointer("/metadata/annotations")?
        .get(ANNOTATION)?
        .as_str()
}

/// kubectl always writes that there are annotations.
fn plain(mut config: Value) -> Value {
    let metadata = object::metadata(&mut config);
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.shift_remove("annotations");
    }
    config
}
