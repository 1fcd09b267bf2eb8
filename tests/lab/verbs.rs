//! podnet's own verbs on real pods: they print what the real kubectl prints.

use crate::place::{PATIENCE, Place, eventually};
use crate::workloads::Kubectl;
use printed::{Differences, Printed};

#[path = "../support/printed.rs"]
pub mod printed;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: kubia
    image: luksa/kubia
    ports: [{containerPort: 8080, name: http}]
    resources: {requests: {cpu: 100m, memory: 32Mi}}
    livenessProbe: {httpGet: {path: /, port: 8080}}
    env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: logs}
spec:
  selector: {matchLabels: {app: logs}}
  template:
    metadata: {labels: {app: logs}}
    spec: {containers: [{name: main, image: pause}]}
---
apiVersion: v1
kind: Pod
metadata: {name: nowhere}
spec:
  nodeSelector: {disk: none}
  containers: [{name: main, image: pause}]
"#;

const LINES: &[&str] = &[
    "get pods -o wide",
    "get all -A",
    "get pod web -o yaml",
    "get pod web -o json",
    "get nodes -o wide",
    "get events",
    "get endpointslices",
    "describe pod web",
    "describe pod nowhere",
    "describe pods -A",
    "describe node node-1",
    "describe nodes",
    "describe service web",
    "describe endpoints web",
    "describe daemonset logs",
    "describe deployment app",
    "describe rs",
    "describe namespace kube-system",
    "describe leases -n kube-node-lease node-1",
    "describe controllerrevisions",
    "rollout status daemonset/logs",
    "rollout status deployment/app",
    "rollout history daemonset/logs",
    "rollout history deployment/app",
    "wait pod/web --for=condition=Ready",
];

#[test]
fn a_lab_s_objects_look_the_same_in_both_tools() {
    let place = Place::new();
    let Some(kubectl) = Kubectl::of(&place) else {
        return;
    };
    place.ok(&["up", "--nodes", "2"]);
    let manifest = place.root().join("objects.yaml");
    std::fs::write(&manifest, OBJECTS).expect("written");
    let file = manifest.to_str().expect("a path");
    let applied = place.ok(&["apply", "-f", file]);
    assert_eq!(applied.matches(" created").count(), 4, "{applied}");
    place.ok(&[
        "create",
        "deployment",
        "app",
        "--image=pause:1",
        "--replicas=2",
    ]);
    for done in ["rollout status deployment/app", "rollout status ds/logs"] {
        place.ok(&words(&format!("{done} --timeout=60s")));
    }
    place.ok(&words("wait pod/web --for=condition=Ready --timeout=60s"));
    let mut differences = Differences::default();
    for line in LINES {
        // Nodes go on telling that they live: both have to look between two times.
        let deadline = std::time::Instant::now() + PATIENCE / 6;
        loop {
            let theirs = Printed::of(&kubectl.run(line));
            let ours = Printed::of(&place.podnet(&words(line)));
            if theirs == ours {
                break;
            }
            if std::time::Instant::now() > deadline {
                differences.compare(line, &theirs, &ours);
                break;
            }
        }
    }
    differences.are_none(LINES.len());

    // And what has been said of a pod can be changed by the same means.
    place.ok(&words("scale deployment app --replicas=1"));
    place.ok(&words("rollout status deployment app --timeout=60s"));
    place.ok(&words("drain node-1 --ignore-daemonsets --delete-emptydir-data --force --grace-period=1 --timeout=60s"));
    let nodes = place.ok(&words(
        "get pods -l app=app -o jsonpath={.items[*].spec.nodeName}",
    ));
    assert!(!nodes.contains("node-1"), "{nodes}");
    place.ok(&words("uncordon node-1"));
    place.ok(&words("delete all --all --grace-period=1"));
    // What a controller made again in between goes with its owner.
    eventually("no pods", || {
        place
            .ok(&words("get pods -o name"))
            .is_empty()
            .then_some(())
    });
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}
