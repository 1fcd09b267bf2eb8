//! What containers ask for and may use: how it is written, filled in and checked.

use serde_json::{Map, Value, json};

use super::names;
use crate::server::object;
use crate::server::quantity;
use crate::server::status::Cause;

const CONTAINERS: [&str; 2] = ["initContainers", "containers"];
const KINDS: [&str; 2] = ["limits", "requests"];
/// What a node has without anybody adding it.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Why the quantities of a pod's spec cannot be read, if so.
///
/// # Errors
/// In the words of Kubernetes' decoder.
pub fn read(spec: Option<&Value>) -> Result<(), String> {
    let Some(spec) = spec else { return Ok(()) };
    let containers = CONTAINERS
        .iter()
        .flat_map(|list| object::list(spec, &format!("/{list}")));
    let lists = containers.flat_map(|container| KINDS.map(|kind| &container["resources"][kind]));
    let mut quantities = lists
        .chain([&spec["overhead"]])
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    match quantities.any(|amount| quantity::of(amount).is_none()) {
        false => Ok(()),
        true => Err("quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            .into()),
    }
}

/// Writes all quantities of a pod's spec in the canonical way.
pub fn canonicalize(spec: &mut Map<String, Value>) {
    let rewrite = |list: Option<&mut Value>| {
        for amount in list
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(Map::values_mut)
        {
            let text = match &*amount {
                Value::String(text) => quantity::canonical(text),
                Value::Number(number) => quantity::canonical(&number.to_string()),
                _ => None,
            };
            if let Some(text) = text {
                *amount = text.into();
            }
        }
    };
    rewrite(spec.get_mut("overhead"));
    for list in CONTAINERS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for kind in KINDS {
                rewrite(
                    container
                        .get_mut("resources")
                        .and_then(|all| all.get_mut(kind)),
                );
            }
        }
    }
}

/// A container of a pod that may use so much of something asks for as much.
pub fn request_limits(spec: &mut Map<String, Value>) {
    for list in CONTAINERS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let limits = container.pointer("/resources/limits").cloned();
            let Some(Value::Object(limits)) = limits.filter(|limits| *limits != json!({})) else {
                continue;
            };
            let requests = object::map(&mut container["resources"], "requests");
            for (name, amount) in limits {
                requests.entry(name).or_insert(amount);
            }
        }
    }
}

/// Adds what is wrong with a container's resources.
pub fn validate(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let path = format!("{path}.resources");
    let amounts = |kind: &str| container["resources"][kind].as_object();
    for kind in KINDS {
        for (name, amount) in amounts(kind).into_iter().flatten() {
            let path = format!("{path}.{kind}[{name}]");
            validate_name(name, &path, causes);
            let milli = quantity::of(amount).unwrap_or(0);
            if milli < 0 {
                let why = "must be greater than or equal to 0";
                causes.push(Cause::invalid(&path, amount, why));
            } else if name.contains('/') && milli % 1000 != 0 {
                causes.push(Cause::invalid(&path, amount, "must be an integer"));
            }
        }
    }
    let limits = amounts("limits");
    for (name, asked) in amounts("requests").into_iter().flatten() {
        let limit = limits.and_then(|limits| limits.get(name));
        let shared = !name.contains('/') && !name.starts_with("hugepages-");
        let Some(limit) = limit else {
            if !shared {
                let why = "Limit must be set for non overcommitable resources";
                causes.push(Cause::required(format!("{path}.limits"), why));
            }
            continue;
        };
        let wrong = match (quantity::of(asked), quantity::of(limit)) {
            (asked, limit) if !shared && asked != limit => Some("equal to"),
            (asked, limit) if asked > limit => Some("less than or equal to"),
            _ => None,
        };
        if let Some(relation) = wrong {
            let limit = limit.as_str().unwrap_or_default();
            let why = format!("must be {relation} {name} limit of {limit}");
            causes.push(Cause::invalid(format!("{path}.requests"), asked, &why));
        }
    }
}

fn validate_name(name: &str, path: &str, causes: &mut Vec<Cause>) {
    if let Some(why) = names::qualified_name(name) {
        causes.push(Cause::invalid(path, &json!(name), why));
        return;
    }
    let known = STANDARD.contains(&name) || name.starts_with("hugepages-");
    if !name.contains('/') && !known {
        for why in [
            "must be a standard resource type or fully qualified",
            "must be a standard resource for containers",
        ] {
            causes.push(Cause::invalid(path, &json!(name), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_in_one_way_and_limits_are_asked_for() {
        let mut pod = json!({"spec": {
            "overhead": {"cpu": "1000m"},
            "containers": [
                {"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": "100m"}}},
                {"resources": {}},
            ],
        }});
        let spec = object::map(&mut pod, "spec");
        canonicalize(spec);
        request_limits(spec);
        assert_eq!(
            pod["spec"],
            json!({
                "overhead": {"cpu": "1"},
                "containers": [
                    {"resources": {
                        "limits": {"cpu": "500m", "memory": "1Gi"},
                        "requests": {"cpu": "100m", "memory": "1Gi"},
                    }},
                    {"resources": {}},
                ],
            })
        );
        assert_eq!(read(pod.get("spec")), Ok(()));
        pod["spec"]["containers"][1]["resources"] = json!({"limits": {"cpu": "much"}});
        let why = read(pod.get("spec")).unwrap_err();
        assert!(why.starts_with("quantities must match"), "{why}");
    }

    #[test]
    fn problems_are_worded_as_in_kubernetes() {
        for (resources, expected) in [
            (
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
                &["requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"][..],
            ),
            (
                json!({"requests": {"memory": "-1"}}),
                &["requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
            (
                json!({"limits": {"gpu": "1"}}),
                &[
                    "limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully \
                     qualified",
                    "limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
                ],
            ),
            (
                json!({"requests": {"example.com/gpu": "1"}}),
                &["limits: Required value: Limit must be set for non overcommitable resources"],
            ),
            (
                json!({"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}}),
                &["requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2"],
            ),
            (
                json!({"limits": {"example.com/gpu": "500m"}}),
                &["limits[example.com/gpu]: Invalid value: \"500m\": must be an integer"],
            ),
            (
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}}),
                &[],
            ),
        ] {
            let mut causes = Vec::new();
            validate(&json!({"resources": resources}), "c", &mut causes);
            let said: Vec<String> = causes
                .iter()
                .map(|cause| format!("{}: {}", cause.field, cause.detail))
                .collect();
            let expected: Vec<String> = expected
                .iter()
                .map(|one| format!("c.resources.{one}"))
                .collect();
            assert_eq!(said, expected);
        }
    }
}
