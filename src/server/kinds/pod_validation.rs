//! What a pod must be, and what of it may change.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    container_validation, names, placement_validation, taint_validation, volume_validation,
};
use crate::server::object;
use crate::server::status::Cause;

const UPDATE_MESSAGE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate(pod: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    container_validation::containers(pod, &mut causes);
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
    validate_spec(pod, &mut causes);
    taint_validation::tolerations(pod, &mut causes);
    placement_validation::validate(pod, &mut causes);
    volume_validation::volumes(pod, &mut causes);
    if let Some(old) = old {
        validate_update(pod, old, &mut causes);
    }
    causes
}

/// What concerns the pod as a whole.
fn validate_spec(pod: &Value, causes: &mut Vec<Cause>) {
    let number = |field: &str| {
        pod.pointer(&format!("/spec/{field}"))
            .and_then(Value::as_i64)
    };
    if let Some(seconds) =
        number("activeDeadlineSeconds").filter(|s| !(1..=i64::from(i32::MAX)).contains(s))
    {
        let why = "must be between 1 and 2147483647, inclusive";
        causes.push(Cause::invalid(
            "spec.activeDeadlineSeconds",
            &json!(seconds),
            why,
        ));
    }
    let shares = pod.pointer("/spec/shareProcessNamespace") == Some(&json!(true));
    if shares && pod.pointer("/spec/hostPID") == Some(&json!(true)) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        causes.push(Cause::invalid(
            "spec.shareProcessNamespace",
            &json!(true),
            why,
        ));
    }
    if object::text(pod, "/spec/dnsPolicy") == "None"
        && object::list(pod, "/spec/dnsConfig/nameservers").is_empty()
    {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        causes.push(Cause::required("spec.dnsConfig.nameservers", why));
    }
    for (index, alias) in object::list(pod, "/spec/hostAliases").iter().enumerate() {
        let ip = object::text(alias, "/ip");
        if ip.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.push(Cause::invalid(
                format!("spec.hostAliases[{index}].ip"),
                &json!(ip),
                why,
            ));
        }
    }
    let gated = !object::list(pod, "/spec/schedulingGates").is_empty();
    if gated && !object::text(pod, "/spec/nodeName").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        causes.push(Cause::forbidden("spec.nodeName", why));
    }
    if let Some(context) = pod.pointer("/spec/securityContext") {
        let fields = ["runAsUser", "runAsGroup", "fsGroup"];
        container_validation::ids(context, &fields, "spec.securityContext", causes);
    }
}

/// What of a pod may change, and how (`ValidatePodUpdate`).
fn validate_update(pod: &Value, old: &Value, causes: &mut Vec<Cause>) {
    for list in ["containers", "initContainers"] {
        let count = |pod: &Value| object::list(pod, &format!("/spec/{list}")).len();
        if count(pod) != count(old) {
            let why = "pod updates may not add or remove containers";
            causes.push(Cause::forbidden(format!("spec.{list}"), why));
            return;
        }
    }
    validate_deadline(pod, old, causes);
    validate_added_tolerations(pod, old, causes);
    let gates = object::list(old, "/spec/schedulingGates");
    for gate in object::list(pod, "/spec/schedulingGates") {
        if !gates.contains(gate) {
            let why = format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                object::text(gate, "/name")
            );
            causes.push(Cause::forbidden("spec.schedulingGates", &why));
        }
    }
    let mut allowed = pod["spec"].clone();
    for key in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
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
    if allowed != old["spec"] {
        causes.push(Cause::forbidden("spec", UPDATE_MESSAGE));
    }
}

/// A deadline may be set, and come nearer.
fn validate_deadline(pod: &Value, old: &Value, causes: &mut Vec<Cause>) {
    const PATH: &str = "spec.activeDeadlineSeconds";
    let seconds = |pod: &Value| {
        pod.pointer("/spec/activeDeadlineSeconds")
            .and_then(Value::as_i64)
    };
    match (seconds(old), seconds(pod)) {
        (Some(before), Some(now)) if before < now => causes.push(Cause::invalid(
            PATH,
            &json!(now),
            "must be less than or equal to previous value",
        )),
        (Some(_), None) => causes.push(Cause::invalid(
            PATH,
            &Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => {}
    }
}

fn validate_added_tolerations(pod: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(map) = toleration.as_object_mut() {
            map.shift_remove("tolerationSeconds");
        }
        toleration
    };
    let kept: Vec<Value> = object::list(pod, "/spec/tolerations")
        .iter()
        .map(timeless)
        .collect();
    let lost = object::list(old, "/spec/tolerations")
        .iter()
        .any(|toleration| !kept.contains(&timeless(toleration)));
    if lost {
        causes.push(Cause::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        ));
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
    fn volumes_and_mounts() {
        let container = json!({"name": "a", "image": "a", "volumeMounts": [
            {"name": "x", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}, {"name": "v"},
            {"name": "v", "mountPath": "/b", "subPath": "/c"}, {"name": "v", "mountPath": "/d", "subPath": "../c"},
        ]});
        let volumes = json!([
            {"name": "v", "emptyDir": {}, "configMap": {"name": "c", "defaultMode": 4096}},
            {"name": "w", "hostPath": {"path": "/a/../b", "type": "Thing"}},
        ]);
        assert_eq!(
            problems(json!({"containers": [container], "volumes": volumes})),
            [
                "spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                "spec.containers[0].volumeMounts[2].mountPath: Required value",
                "spec.containers[0].volumeMounts[3].subPath: Invalid value: \"/c\": must be a relative path",
                "spec.containers[0].volumeMounts[4].subPath: Invalid value: \"../c\": must not contain '..'",
                "spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[0].configMap.defaultMode: Invalid value: 4096: must be a number between 0 and \
                 0777 (octal), both inclusive",
                "spec.volumes[1].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.volumes[1].hostPath.type: Unsupported value: \"Thing\": supported values: \"\", \
                 \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \
                 \"FileOrCreate\", \"Socket\"",
            ]
        );
    }

    #[test]
    fn probes_ports_and_environment() {
        let container = json!({
            "name": "a", "image": "a",
            "ports": [{"name": "http", "containerPort": 80}, {"name": "http", "containerPort": 81},
                      {"containerPort": 70000}],
            "livenessProbe": {"successThreshold": 2, "periodSeconds": -1},
            "readinessProbe": {"tcpSocket": {"port": 0}, "httpGet": {"port": "web"}},
            "env": [{"name": "A=B"}, {"name": "C", "value": "d", "valueFrom": {}}],
            "lifecycle": {"preStop": {"exec": {}}},
        });
        let init = json!({"name": "i", "image": "a", "restartPolicy": "Never",
                          "readinessProbe": {"exec": {"command": ["x"]}}});
        let at = "spec.containers[0]";
        assert_eq!(
            problems(json!({"containers": [container], "initContainers": [init]})),
            [
                "spec.initContainers[0].restartPolicy: Unsupported value: \"Never\": supported values: \
                 \"Always\"".to_owned(),
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers \
                 without restartPolicy=Always".to_owned(),
                format!("{at}.ports[1].name: Duplicate value: \"http\""),
                format!("{at}.ports[2].containerPort: Invalid value: 70000: must be between 1 and 65535, \
                         inclusive"),
                format!("{at}.env[0].name: Invalid value: \"A=B\": a valid environment variable name must \
                         consist only of printable ASCII characters other than '='"),
                format!("{at}.env[1].valueFrom: Invalid value: \"\": may not be specified when `value` is \
                         not empty"),
                format!("{at}.env[1].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, \
                         `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"),
                format!("{at}.livenessProbe: Required value: must specify a handler type"),
                format!("{at}.livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal \
                         to 0"),
                format!("{at}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
                format!("{at}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
                format!("{at}.readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, \
                         inclusive"),
                format!("{at}.lifecycle.preStop.exec.command: Required value"),
            ]
        );
        let on_the_node = json!({"hostNetwork": true, "containers": [
            {"name": "a", "image": "a", "ports": [{"containerPort": 80, "hostPort": 81}]},
        ]});
        assert_eq!(
            problems(on_the_node),
            [
                "spec.containers[0].ports[0].containerPort: Invalid value: 80: must match `hostPort` when \
              `hostNetwork` is true"
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
        assert!(changed(|spec| {
            spec["tolerations"][0]["tolerationSeconds"] = 7.into();
        }));
        assert!(!changed(|spec| spec["tolerations"] = json!([])));
        assert!(!changed(|spec| spec["nodeName"] = "node-1".into()));
        assert!(!changed(|spec| spec["containers"][0]["name"] = "b".into()));
    }

    #[test]
    fn a_deadline_comes_nearer_and_gates_only_open() {
        let container = json!([{"name": "a", "image": "a:1"}]);
        let old = pod(json!({
            "containers": container, "activeDeadlineSeconds": 60,
            "schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/b"}],
        }));
        let said = |change: fn(&mut Value)| {
            let mut new = old.clone();
            change(&mut new["spec"]);
            let causes = validate(&new, Some(&old));
            let each = causes.iter();
            each.map(|cause| format!("{}: {}", cause.field, cause.detail))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            said(|spec| spec["activeDeadlineSeconds"] = 5.into()),
            [""; 0]
        );
        assert_eq!(
            said(|spec| spec["schedulingGates"] = json!([{"name": "example.com/b"}])),
            [""; 0]
        );
        for (change, why) in [
            (
                (|spec| spec["activeDeadlineSeconds"] = 61.into()) as fn(&mut Value),
                "spec.activeDeadlineSeconds: Invalid value: 61: must be less than or equal to previous \
                 value",
            ),
            (
                |spec| spec["activeDeadlineSeconds"] = Value::Null,
                "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive \
                 integer to nil value",
            ),
            (
                |spec| spec["schedulingGates"] = json!([{"name": "example.com/c"}]),
                "spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling \
                 gate 'example.com/c'",
            ),
            (
                |spec| spec["containers"] = json!([]),
                "spec.containers: Required value",
            ),
        ] {
            assert_eq!(said(change)[0], why);
        }
    }
}
