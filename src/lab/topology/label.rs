//! Labels as Kubernetes takes them from a node: a wrong one is refused here, before a
//! node that carries it fails to register.

use super::TopologyError;

/// RFC 1123 subdomain, for the part before the `/`.
const MAX_PREFIX: usize = 253;
const MAX_PART: usize = 63;

/// Checks one label by the rules of apimachinery's `IsQualifiedName` and
/// `IsValidLabelValue`.
pub fn validate(key: &str, value: &str) -> Result<(), TopologyError> {
    let bad = |why| {
        Err(TopologyError::Label {
            label: format!("{key}={value}"),
            why,
        })
    };
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if !is_part(name) {
        return bad("the key must be 1 to 63 letters, digits, '-', '_' or '.', \
                    with a letter or digit at each end");
    }
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return bad("the part of the key before the '/' must be a DNS name");
    }
    if crate::server::is_protected_label(key) {
        return bad(
            "a node may not give itself this label, so that it cannot draw others' pods to \
                    itself; set it once the node is there, with `kubectl label node`",
        );
    }
    if !value.is_empty() && !is_part(value) {
        return bad(
            "the value must be empty or at most 63 letters, digits, '-', '_' or '.', \
                    with a letter or digit at each end",
        );
    }
    Ok(())
}

/// Splits `key=value` and validates both.
pub fn parse(text: &str) -> Result<(String, String), TopologyError> {
    let (key, value) = text.split_once('=').ok_or_else(|| TopologyError::Label {
        label: text.to_owned(),
        why: "a label is written key=value",
    })?;
    validate(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

fn is_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |c: &u8| c.is_ascii_alphanumeric() || b"-_.".contains(c);
    let outer = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_PART
        && bytes.iter().all(inner)
        && outer(bytes.first())
        && outer(bytes.last())
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_PREFIX && text.split('.').all(crate::model::is_dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_kubernetes_rules() {
        for good in [
            "gpu=true",
            "a=",
            "topology.kubernetes.io/zone=a-b_c.D",
            "A_b=1",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "gpu",
            "=x",
            "-a=x",
            "a/b/c=x",
            "A.b/c=x",
            "a=-x",
            "a=b c",
            "/a=x",
            "node-role.kubernetes.io/control-plane=",
            "x.node-restriction.kubernetes.io/y=z",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
