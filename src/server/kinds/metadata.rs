//! ObjectMeta: what every object has, checked the same way for all kinds.

use serde_json::{Value, json};

use super::names;
use crate::server::object;
use crate::server::resource::Resource;
use crate::server::status::Cause;

/// Keys and values of all annotations together (`TotalAnnotationSizeLimitB`).
const MOST_ANNOTATION_BYTES: usize = 256 << 10;

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
    annotations(value, &mut causes);
    let finalizers = object::list(value, "/metadata/finalizers");
    for (index, finalizer) in finalizers.iter().enumerate() {
        if let Some(why) = names::finalizer(finalizer.as_str().unwrap_or("")) {
            let path = format!("metadata.finalizers[{index}]");
            causes.push(Cause::invalid(path, finalizer, why));
        }
    }
    owners(value, &mut causes);
    causes
}

/// What is wrong with the step from `old`: who wants to hold up the end of an object must say so before
/// it begins.
pub fn validate_update(value: &Value, old: &Value) -> Option<Cause> {
    let before = object::list(old, "/metadata/finalizers");
    let new: Vec<String> = object::list(value, "/metadata/finalizers")
        .iter()
        .filter(|finalizer| !before.contains(finalizer))
        .map(Value::to_string)
        .collect();
    (object::is_terminating(old) && !new.is_empty()).then(|| {
        Cause::forbidden(
            "metadata.finalizers",
            &format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers \
                 []string{{{}}}",
                new.join(", ")
            ),
        )
    })
}

fn annotations(value: &Value, causes: &mut Vec<Cause>) {
    let mut bytes = 0;
    for (key, text) in object::pairs(value, "/metadata/annotations") {
        bytes += key.len() + text.len();
        // Annotation keys are compared in lower case by Kubernetes.
        if let Some(why) = names::qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), why));
        }
    }
    if bytes > MOST_ANNOTATION_BYTES {
        causes.push(Cause::too_long(
            "metadata.annotations",
            MOST_ANNOTATION_BYTES,
        ));
    }
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
    let owners = object::list(value, "/metadata/ownerReferences");
    let mut controller = None;
    for owner in owners {
        for (field, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if object::text(owner, &format!("/{field}")).is_empty() {
                let path = format!("metadata.ownerReferences.{field}");
                causes.push(Cause::invalid(path, &json!(""), why));
            }
        }
        if owner["controller"] == true {
            let name = object::text(owner, "/name");
            if let Some(first) = controller.replace(name) {
                causes.push(Cause::invalid(
                    "metadata.ownerReferences",
                    &json!(owners),
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in \
                         references for {first} and {name}"
                    ),
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
