//! Objects of every kind, as a cluster has them: there is no agent here, so that nothing changes
//! between two looks.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::Lab;

/// Makes them.
pub async fn fill(lab: &Lab, kubectl: &Kubectl) {
    let file = kubectl.file("world.json", &json!({
        "apiVersion": "v1", "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"},
             "imagePullSecrets": [{"name": "one"}, {"name": "two"}]},
            node(), plain_node(), web(), bare(), config(), single(), service(), headless(), policy(),
            open_policy(), workload("DaemonSet", "logs"), workload("ReplicaSet", "set"), lease(),
            {"apiVersion": "v1", "kind": "Namespace",
             "metadata": {"name": "shop", "labels": {"team": "a"}}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "till", "namespace": "shop"},
             "spec": {"schedulerName": "nobody", "containers": [{"name": "main", "image": "pause"}]}},
        ],
    }));
    kubectl.ok(&["create", "-f", &file]).await;
    let uid = kubectl
        .ok(&["get", "pod", "web", "-o", "jsonpath={.metadata.uid}"])
        .await;
    for (name, pod_status) in [
        ("web", web_status()),
        ("bare", json!({"phase": "Succeeded"})),
    ] {
        patch_status(
            lab,
            &format!("/api/v1/namespaces/default/pods/{name}"),
            pod_status,
        )
        .await;
    }
    patch_status(lab, "/api/v1/nodes/node-1", node_status()).await;
    for event in events(&uid) {
        let (code, answer) = lab
            .send("POST", "/api/v1/namespaces/default/events", event)
            .await;
        assert_eq!(code, 201, "{answer}");
    }
    let slice = slice();
    let url = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let (code, answer) = lab.send("POST", url, slice).await;
    assert_eq!(code, 201, "{answer}");
}

async fn patch_status(lab: &Lab, path: &str, status: Value) {
    let patch = json!({"status": status});
    let path = format!("{path}/status");
    let (code, answer) = lab
        .send_as("PATCH", &path, "application/merge-patch+json", patch)
        .await;
    assert_eq!(code, 200, "{answer}");
}

fn node() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "node-1", "labels": {
            "disk": "ssd", "node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}},
        "spec": {"podCIDRs": ["10.244.0.0/24"], "taints": [
            {"key": "b", "effect": "NoSchedule"},
            {"key": "a", "value": "1", "effect": "NoSchedule"}]},
    })
}

fn plain_node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-2"}})
}

fn node_status() -> Value {
    json!({
        "capacity": {"cpu": "4", "memory": "8192Mi", "pods": "110", "hugepages-2Mi": "0",
            "example.com/gpu": "2"},
        "allocatable": {"cpu": "3500m", "memory": "8000000Ki", "pods": "110",
            "hugepages-2Mi": "0", "example.com/gpu": "2"},
        "addresses": [{"type": "InternalIP", "address": "172.30.0.11"},
            {"type": "Hostname", "address": "node-1"}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "is ready", "lastHeartbeatTime": "2026-11-24T10:00:00Z",
            "lastTransitionTime": "2026-11-24T09:00:00Z"}],
        "nodeInfo": {"architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "podnet://0",
            "kernelVersion": "6.1", "kubeProxyVersion": "", "kubeletVersion": "v0",
            "machineID": "m", "operatingSystem": "linux", "osImage": "Debian", "systemUUID": "s"},
    })
}

/// A pod with everything that is described.
fn web() -> Value {
    let resources = json!({"requests": {"cpu": "0.25", "memory": "64Mi"},
        "limits": {"cpu": "500m", "memory": "128Mi"}});
    let long = "a long annotation ".repeat(12);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web",
            "labels": {"app": "web", "tier": "front"},
            "annotations": {"note": "two\nlines", "long": long, "short": "x: y # z"}},
        "spec": {
            "schedulerName": "nobody", "nodeName": "node-1", "nodeSelector": {"disk": "ssd"},
            "priorityClassName": "", "serviceAccountName": "robot",
            "initContainers": [{"name": "first", "image": "pause:1", "command": ["sh", "-c", "one\ntwo"]}],
            "containers": [
                {"name": "main", "image": "registry.example/web:1.0", "args": ["--port", "80"],
                 "ports": [{"containerPort": 80, "name": "http"},
                           {"containerPort": 443, "hostPort": 8443, "protocol": "UDP"}],
                 "resources": resources,
                 "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                 "readinessProbe": {"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 5},
                 "startupProbe": {"tcpSocket": {"port": 80}, "failureThreshold": 30},
                 "envFrom": [{"configMapRef": {"name": "settings"}},
                             {"prefix": "P_", "secretRef": {"name": "keys", "optional": true}}],
                 "env": [{"name": "PLAIN", "value": "1\n2"},
                         {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                         {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                         {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                         {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                         {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
                         {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
                         {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "b"}}}],
                 "volumeMounts": [{"name": "data", "mountPath": "/z", "subPath": "p"},
                                  {"name": "conf", "mountPath": "/a", "readOnly": true}]},
                {"name": "side", "image": "pause"},
            ],
            "volumes": [
                {"name": "data", "emptyDir": {"sizeLimit": "1024Mi"}},
                {"name": "conf", "configMap": {"name": "settings"}},
                {"name": "host", "hostPath": {"path": "/var", "type": "Directory"}},
                {"name": "down", "downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ],
            "tolerations": [{"key": "z", "operator": "Exists"},
                {"key": "a", "value": "1", "effect": "NoExecute", "tolerationSeconds": 30}],
            "readinessGates": [{"conditionType": "example.com/ok"}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        },
    })
}

fn web_status() -> Value {
    let container = |name: &str, state: Value, last: Value| {
        json!({"name": name, "state": state, "lastState": last, "ready": name == "main",
            "restartCount": 2, "image": "x", "imageID": "sha256:1", "containerID": format!("podnet://{name}")})
    };
    let started = json!({"running": {"startedAt": "2026-11-24T10:00:00Z"}});
    let ended = json!({"terminated": {"exitCode": 137, "signal": 9, "reason": "Error",
        "message": "it ended", "startedAt": "2026-11-24T09:00:00Z", "finishedAt": "2026-11-24T09:30:00Z"}});
    json!({
        "phase": "Running", "hostIP": "172.30.0.11", "podIP": "10.244.0.2",
        "podIPs": [{"ip": "10.244.0.2"}, {"ip": "fd00::2"}], "startTime": "2026-11-24T09:00:00Z",
        "conditions": [{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "True"}],
        "initContainerStatuses": [container("first", ended.clone(), json!({}))],
        "containerStatuses": [
            container("main", started, ended),
            container("side", json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}), json!({})),
        ],
    })
}

fn bare() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "bare", "labels": {"app": "bare", "rel": "2"}},
        "spec": {"schedulerName": "nobody", "nodeName": "node-1",
            "containers": [{"name": "main", "image": "pause"}]},
    })
}

fn config() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"app": "web"}},
        "data": {"a": "1", "b10": "two\nlines\n", "b9": " spaces ", "empty": "", "yes": "yes",
            "number": "007", "time": "2026-11-24", "tab": "a\tb", "quote": "it's \"so\"",
            "long": "word ".repeat(40), "html": "<a & b>", "colon": "a: b", "dash": "- a",
            "trail": "line \nnext", "unicode": "é\u{2028}\u{1f600}", "only": "\n\n"},
        "binaryData": {"bin": "AAEC"},
    })
}

/// Kubectl 1.32 shows several keys in any order.
fn single() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "single"},
        "data": {"a.conf": "one\ntwo\tcells\n"}, "binaryData": {"bin": "AAEC"},
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "labels": {"app": "web"}},
        "spec": {"selector": {"app": "nobody", "tier": "x"}, "type": "NodePort", "clusterIP": "10.96.0.77",
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080},
                      {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353, "nodePort": 30053}]},
    })
}

fn headless() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "ports": [{"port": 80}]},
    })
}

fn slice() -> Value {
    let endpoint = |address: &str, ready: bool| {
        json!({"addresses": [address], "conditions": {"ready": ready}, "nodeName": "node-1",
            "targetRef": {"kind": "Pod", "name": "web"}})
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "headless-x", "labels": {"kubernetes.io/service-name": "headless"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        "endpoints": [endpoint("10.0.0.1", true), endpoint("10.0.0.2", false),
            endpoint("10.0.0.3", true), endpoint("10.0.0.4", true), endpoint("10.0.0.5", true)],
    })
}

fn policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "some"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": {"a": "1"}},
                           "namespaceSelector": {"matchExpressions": [
                               {"key": "team", "operator": "In", "values": ["b", "a"]}]}},
                          {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                 "ports": [{"port": 80}, {"port": 1000, "endPort": 2000, "protocol": "UDP"}]},
                {},
            ],
        },
    })
}

fn open_policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "none"},
        "spec": {"podSelector": {}},
    })
}

/// One that makes no pods, whatever the nodes are.
fn workload(kind: &str, name: &str) -> Value {
    let labels = json!({"app": name});
    let mut spec = json!({
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": {"why": "so"}},
            "spec": {
                "nodeSelector": {"no": "where"}, "serviceAccountName": "robot",
                "containers": [{"name": "main", "image": "pause", "env": [{"name": "A", "value": "1"}],
                    "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
                "volumes": [{"name": "d", "emptyDir": {}}],
                "tolerations": [{"operator": "Exists"}],
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
                    "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels}}],
            },
        },
    });
    if kind != "DaemonSet" {
        spec["replicas"] = json!(0);
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec})
}

fn lease() -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 40, "renewTime": "2026-11-24T10:00:00.000000Z"},
    })
}

fn events(uid: &str) -> Vec<Value> {
    let involved = json!({"kind": "Pod", "name": "web", "namespace": "default", "uid": uid,
        "apiVersion": "v1", "fieldPath": "spec.containers{main}"});
    let ago = |seconds: i64| {
        let time = Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let event = |name: &str, seconds: i64, count: i32| {
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
            "involvedObject": involved, "reason": "Pulled", "message": format!("{name} happened "),
            "type": "Normal", "count": count, "firstTimestamp": ago(seconds + 200),
            "lastTimestamp": ago(seconds), "source": {"component": "kubelet", "host": "node-1"}})
    };
    let mut newer = event("newer", 10, 1);
    newer["reportingComponent"] = json!("scheduler");
    newer["source"] = json!({});
    vec![newer, event("older", 4000, 3)]
}
