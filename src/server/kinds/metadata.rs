//! ObjectMeta: what every object has, checked the same way for all kinds.

use serde_json::{Value, json};

use super::names;
use crate::server::object;
use crate::server::resource::Resource;
use crate::server::status::Cause;

/// All that is wrong with an object's metadata.
pub fn validate(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = object::name(value);
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(why) = (resource.strategy.check_name)(name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    labels(value, &mut causes);
    for (key, _) in object::pairs(value, "/metadata/annotations") {
        // Annotation keys are compared in lower case by Kubernetes.
        if let Some(why) = names::qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), why));
        }
    }
    for finalizer in object::list(value, "/metadata/finalizers") {
        if let Some(why) = names::qualified_name(finalizer.as_str().unwrap_or("")) {
            causes.push(Cause::invalid("metadata.finalizers", finalizer, why));
        }
    }
    owners(value, &mut causes);
    causes
}

fn labels(value: &Value, causes: &mut Vec<Cause>) {
    for (key, label) in object::pairs(value, "/metadata/labels") {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), why));
        }
        if let Some(why) = names::label_value(label) {
            causes.push(Cause::invalid("metadata.labels", &json!(label), why));
        }
    }
}

fn owners(value: &Value, causes: &mut Vec<Cause>) {
    for (index, owner) in object::list(value, "/metadata/ownerReferences")
        .iter()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if object::text(owner, &format!("/{field}")).is_empty() {
                causes.push(Cause::required(
                    format!("metadata.ownerReferences[{index}].{field}"),
                    "must not be empty",
                ));
            }
        }
    }
}

/// What the server alone decides in an object's metadata, and what an update keeps.
const FIXED: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

/// Puts back in `new` what no update may change; resourceVersion too, since its check is past.
pub fn carry_over(new: &mut Value, old: &Value) {
    let Some(old) = old.get("metadata") else {
        return;
    };
    let new = &mut new["metadata"];
    for key in FIXED.iter().chain(&["resourceVersion", "generateName"]) {
        object::copy(new, old, key);
    }
}

/// Takes away what a new object's author may not set, and what is never kept.
pub fn strip_new(value: &mut Value) {
    let metadata = object::metadata(value);
    for key in FIXED
        .iter()
        .chain(&["resourceVersion", "selfLink", "managedFields"])
    {
        metadata.shift_remove(*key);
    }
}
