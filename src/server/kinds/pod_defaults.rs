//! What Kubernetes fills into a pod, so that `get -o yaml` and every client see the same.

use serde_json::{Map, Value, json};

use super::resources;
use crate::server::object::{self, default};
use crate::server::quantity;

/// What is filled in in a pod.
pub fn fill_pod(pod: &mut Value) {
    fill(pod);
    resources::request_limits(object::map(pod, "spec"));
}

/// What is filled in in a pod and in a template for some.
pub fn fill(pod: &mut Value) {
    let conditions = pod.pointer_mut("/status/conditions");
    for condition in conditions
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(condition) = condition.as_object_mut() {
            // Go writes it although nobody has set it for years.
            default(condition, "lastProbeTime", Value::Null);
        }
    }
    let spec = object::map(pod, "spec");
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "securityContext", json!({}));
    default(spec, "enableServiceLinks", true);
    default(spec, "preemptionPolicy", "PreemptLowerPriority");
    default(spec, "priority", 0);
    fill_service_account(spec);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                fill_container(container, host_network);
            }
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        fill_volume(volume);
    }
    resources::canonicalize(spec);
    tolerate_failing_nodes(spec);
}

/// Admission plugin ServiceAccount, but for the volume with the account's token: nobody in a pod is
/// let in by one here. The older name says the same.
fn fill_service_account(spec: &mut Map<String, Value>) {
    let said = ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .filter_map(|key| spec.get(key)?.as_str())
        .find(|name| !name.is_empty());
    let name = said.unwrap_or("default").to_owned();
    for key in ["serviceAccountName", "serviceAccount"] {
        spec.insert(key.into(), name.as_str().into());
    }
}

fn fill_container(container: &mut Map<String, Value>, host_network: bool) {
    let policy = match container.get("image").and_then(Value::as_str) {
        Some(image) if tag(image) == "latest" => "Always",
        _ => "IfNotPresent",
    };
    default(container, "imagePullPolicy", policy);
    default(container, "resources", json!({}));
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        default(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            default(port, "hostPort", number);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            fill_probe(probe);
        }
    }
    let lifecycle = container
        .get_mut("lifecycle")
        .and_then(Value::as_object_mut);
    for (_, hook) in lifecycle.into_iter().flatten() {
        if let Some(hook) = hook.as_object_mut() {
            fill_handler(hook);
        }
    }
    let variables = container.get_mut("env").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten() {
        if let Some(reference) = variable
            .pointer_mut("/valueFrom/fieldRef")
            .and_then(Value::as_object_mut)
        {
            default(reference, "apiVersion", "v1");
        }
    }
}

/// In Go a number that is 0 is one that was not said.
fn fill_probe(probe: &mut Map<String, Value>) {
    for (field, number) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe.get(field).and_then(Value::as_i64) == Some(0) {
            probe.shift_remove(field);
        }
        default(probe, field, number);
    }
    fill_handler(probe);
    if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
        default(grpc, "service", "");
    }
}

fn fill_handler(probe: &mut Map<String, Value>) {
    if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
        default(get, "path", "/");
        default(get, "scheme", "HTTP");
    }
}

fn fill_volume(volume: &mut Value) {
    let Some(volume) = volume.as_object_mut() else {
        return;
    };
    if let Some(config) = volume.get_mut("configMap").and_then(Value::as_object_mut) {
        default(config, "defaultMode", 0o644);
    }
    if let Some(downward) = volume.get_mut("downwardAPI").and_then(Value::as_object_mut) {
        default(downward, "defaultMode", 0o644);
        let items = downward.get_mut("items").and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            if let Some(reference) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
                default(reference, "apiVersion", "v1");
            }
        }
    }
    if let Some(path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        default(path, "type", "");
    }
    // A volume that says nothing of its source is an emptyDir.
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
}

/// A pod stays on a node that fails for five minutes, unless it says otherwise
/// (admission plugin DefaultTolerationSeconds).
fn tolerate_failing_nodes(spec: &mut Map<String, Value>) {
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerated = tolerations.iter().any(|toleration| {
            let tolerated = object::text(toleration, "/key");
            (tolerated.is_empty() || tolerated == key)
                && matches!(object::text(toleration, "/effect"), "" | "NoExecute")
        });
        if !tolerated {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
        }
    }
}

/// The tag of an image reference; `latest` where there is neither tag nor digest.
fn tag(image: &str) -> &str {
    if image.contains('@') {
        return "";
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map_or("latest", |(_, tag)| tag)
}

/// Guaranteed, Burstable or BestEffort, by the containers' resources
/// (<https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>).
pub fn qos_class(pod: &Value) -> &'static str {
    let containers = ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(|list| object::list(pod, list));
    let mut any = false;
    let mut guaranteed = true;
    for container in containers {
        for resource in ["cpu", "memory"] {
            let limit = container.pointer(&format!("/resources/limits/{resource}"));
            let request = container.pointer(&format!("/resources/requests/{resource}"));
            any |= limit.is_some() || request.is_some();
            let limit = limit.and_then(quantity::of);
            guaranteed &=
                limit.is_some() && request.is_none_or(|request| quantity::of(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(spec: Value) -> Value {
        let mut pod = json!({"spec": spec});
        fill(&mut pod);
        pod["spec"].take()
    }

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("pause", "Always"),
            ("pause:latest", "Always"),
            ("localhost:5000/pause", "Always"),
            ("localhost:5000/pause:3.10", "IfNotPresent"),
            ("pause@sha256:0123", "IfNotPresent"),
        ] {
            let spec = filled(json!({"containers": [{"name": "a", "image": image}]}));
            assert_eq!(spec["containers"][0]["imagePullPolicy"], policy, "{image}");
        }
    }

    #[test]
    fn filling_twice_changes_nothing_and_keeps_what_was_said() {
        let once = filled(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
        assert_eq!(once["restartPolicy"], "Never");
        assert_eq!(once["tolerations"].as_array().unwrap().len(), 2);
        assert_eq!(filled(once.clone()), once);
    }

    #[test]
    fn tolerating_everything_needs_no_more() {
        let spec = filled(json!({"tolerations": [{"operator": "Exists"}], "containers": []}));
        assert_eq!(spec["tolerations"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn quality_of_service() {
        let class = |resources: Value| {
            qos_class(&json!({"spec": {"containers": [{"resources": resources}]}}))
        };
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(
            class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})),
            "Guaranteed"
        );
    }
}
