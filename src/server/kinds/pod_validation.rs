//! What a pod must be, and what of it may change.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::names;
use crate::server::object;
use crate::server::status::Cause;

const UPDATE_MESSAGE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate(pod: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut names = HashSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in object::list(pod, &format!("/spec/{list}"))
            .iter()
            .enumerate()
        {
            let path = format!("spec.{list}[{index}]");
            validate_container(container, &path, &mut names, &mut causes);
        }
    }
    if object::list(pod, "/spec/containers").is_empty() {
        causes.push(Cause::required("spec.containers", ""));
    }
    for (field, allowed) in [
        ("restartPolicy", &["Always", "OnFailure", "Never"][..]),
        (
            "dnsPolicy",
            &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        ),
    ] {
        let value = object::text(pod, &format!("/spec/{field}"));
        if !allowed.contains(&value) {
            causes.push(Cause::unsupported(format!("spec.{field}"), value, allowed));
        }
    }
    for (field, check) in [
        (
            "nodeName",
            names::subdomain as fn(&str) -> Option<&'static str>,
        ),
        ("hostname", names::label),
    ] {
        let value = object::text(pod, &format!("/spec/{field}"));
        if let Some(why) = Some(value)
            .filter(|value| !value.is_empty())
            .and_then(check)
        {
            causes.push(Cause::invalid(format!("spec.{field}"), &json!(value), why));
        }
    }
    validate_volumes(pod, &mut causes);
    if let Some(old) = old {
        validate_update(pod, old, &mut causes);
    }
    causes
}

fn validate_container<'a>(
    container: &'a Value,
    path: &str,
    names: &mut HashSet<&'a str>,
    causes: &mut Vec<Cause>,
) {
    let name = object::text(container, "/name");
    if name.is_empty() {
        causes.push(Cause::required(format!("{path}.name"), ""));
    } else if let Some(why) = names::label(name) {
        causes.push(Cause::invalid(format!("{path}.name"), &json!(name), why));
    } else if !names.insert(name) {
        causes.push(Cause::duplicate(format!("{path}.name"), name));
    }
    let image = object::text(container, "/image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        causes.push(Cause::invalid(
            format!("{path}.image"),
            &json!(image),
            "must not have leading or trailing whitespace",
        ));
    }
    for (index, port) in object::list(container, "/ports").iter().enumerate() {
        let number = port
            .get("containerPort")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        if !(1..=65535).contains(&number) {
            causes.push(Cause::invalid(
                format!("{path}.ports[{index}].containerPort"),
                &json!(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
    let policy = object::text(container, "/imagePullPolicy");
    let policies = &["Always", "IfNotPresent", "Never"];
    if !policies.contains(&policy) {
        causes.push(Cause::unsupported(
            format!("{path}.imagePullPolicy"),
            policy,
            policies,
        ));
    }
}

fn validate_volumes(pod: &Value, causes: &mut Vec<Cause>) {
    let mut names = HashSet::new();
    for (index, volume) in object::list(pod, "/spec/volumes").iter().enumerate() {
        let path = format!("spec.volumes[{index}].name");
        let name = object::text(volume, "/name");
        if name.is_empty() {
            causes.push(Cause::required(path, ""));
        } else if let Some(why) = names::label(name) {
            causes.push(Cause::invalid(path, &json!(name), why));
        } else if !names.insert(name) {
            causes.push(Cause::duplicate(path, name));
        }
    }
}

fn validate_update(pod: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let kept = object::list(pod, "/spec/tolerations");
    let lost = object::list(old, "/spec/tolerations")
        .iter()
        .any(|toleration| !kept.contains(toleration));
    let mut allowed = pod["spec"].clone();
    for key in ["activeDeadlineSeconds", "tolerations"] {
        object::copy(&mut allowed, &old["spec"], key);
    }
    let had_negative_grace = old
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64)
        .is_some_and(|seconds| seconds < 0);
    if had_negative_grace && allowed["terminationGracePeriodSeconds"] == 1 {
        object::copy(&mut allowed, &old["spec"], "terminationGracePeriodSeconds");
    }
    for list in ["initContainers", "containers"] {
        let old = object::list(old, &format!("/spec/{list}"));
        let new = allowed.get_mut(list).and_then(Value::as_array_mut);
        for (new, old) in new.into_iter().flatten().zip(old) {
            object::copy(new, old, "image");
        }
    }
    if lost || allowed != old["spec"] {
        causes.push(Cause::forbidden("spec", UPDATE_MESSAGE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::kinds::pod_defaults::fill;

    fn pod(spec: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "x"}, "spec": spec});
        fill(&mut pod);
        pod
    }

    fn problems(spec: Value) -> Vec<String> {
        validate(&pod(spec), None)
            .into_iter()
            .map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn problems_are_worded_as_in_kubernetes() {
        assert_eq!(problems(json!({})), ["spec.containers: Required value"]);
        assert_eq!(
            problems(json!({"containers": [{"image": "a"}, {"name": "b"}]})),
            [
                "spec.containers[0].name: Required value",
                "spec.containers[1].image: Required value"
            ]
        );
        assert_eq!(
            problems(json!({"containers": [
                {"name": "a", "image": "a"}, {"name": "a", "image": "a"},
            ]})),
            ["spec.containers[1].name: Duplicate value: \"a\""]
        );
        assert_eq!(
            problems(
                json!({"restartPolicy": "Maybe", "containers": [{"name": "a", "image": "a"}]})
            ),
            [
                "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \
              \"OnFailure\", \"Never\""
            ]
        );
    }

    #[test]
    fn images_and_new_tolerations_may_change_and_nothing_else() {
        let old = pod(json!({"containers": [{"name": "a", "image": "a:1"}]}));
        let changed = |change: fn(&mut Value)| {
            let mut new = old.clone();
            change(&mut new["spec"]);
            validate(&new, Some(&old)).is_empty()
        };
        assert!(changed(|_| {}));
        assert!(changed(|spec| spec["containers"][0]["image"] = "a:2".into()));
        assert!(changed(|spec| spec["activeDeadlineSeconds"] = 5.into()));
        assert!(changed(|spec| {
            let tolerations = spec["tolerations"].as_array_mut().unwrap();
            tolerations.push(json!({"key": "x"}));
        }));
        assert!(!changed(|spec| spec["tolerations"] = json!([])));
        assert!(!changed(|spec| spec["nodeName"] = "node-1".into()));
        assert!(!changed(|spec| spec["containers"][0]["name"] = "b".into()));
    }
}
