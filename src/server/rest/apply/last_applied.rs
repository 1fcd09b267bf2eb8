//! Objects that kubectl applied itself before it lets the server do it.
//!
//! Such an object carries what was applied last as an annotation. Its fields belong to whoever
//! wrote it then (`kubectl-client-side-apply`, mostly), but there is no conflict with them as long
//! as they still are what the annotation says. And the annotation follows, so that the user can go
//! back. As kube-apiserver, for the manager `kubectl` only.

use serde_json::Value;

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

/// Writes `config` into the annotation, where there is one.
pub fn follow(new: &mut Value, config: &Value, by: &Manager) {
    if annotation(new, by).is_some() {
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
