//! `podnet logs`, `exec`, `attach` and `rollout` say and do what the real kubectl does.

use crate::place::{Place, text};
use crate::verbs::printed::{Differences, Printed};
use crate::workloads::Kubectl;

const OBJECTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: said, labels: {app: said}}
spec:
  restartPolicy: Never
  initContainers: [{name: first, image: host, command: [echo, first]}]
  containers:
  - {name: a, image: host, command: [sh, -c, 'echo a1; echo a2']}
  - {name: b, image: host, command: [sh, -c, 'echo b1; echo b2']}
---
apiVersion: v1
kind: Pod
metadata: {name: runs}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: host, stdin: true, command: [sleep, infinity]}
  - {name: b, image: pause}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: two}
spec:
  replicas: 2
  selector: {matchLabels: {app: two}}
  template:
    metadata: {labels: {app: two}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: host, command: [sh, -c, 'echo one; echo two; sleep infinity']}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: none}
spec:
  replicas: 0
  selector: {matchLabels: {app: none}}
  template:
    metadata: {labels: {app: none}}
    spec: {containers: [{name: main, image: pause}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: each}
spec:
  selector: {matchLabels: {app: each}}
  template:
    metadata: {labels: {app: each}, annotations: {by: hand}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: 'pause:1'}]}
"#;

/// Of several logs kubectl takes them in any order.
const LINES: &[&str] = &[
    "logs said",
    "logs said a",
    "logs said a -c b",
    "logs said --prefix",
    "logs said --all-containers",
    "logs said --all-containers --prefix",
    "logs said --all-containers --prefix -f",
    "logs said --all-containers -f --max-log-requests=2",
    "logs said --all-pods",
    "logs said -c x",
    "logs said -c a --all-containers",
    "logs said --tail=-2",
    "logs said --limit-bytes=-1",
    "logs said --previous --all-containers -f --ignore-errors",
    "logs -l app=said --all-containers -f",
    "logs -l app=said --prefix --tail=1",
    "logs -l app=nobody",
    "logs deployment/two",
    "logs deployment/two --all-pods",
    "logs deployment/two --all-pods -f --max-log-requests=1",
    "logs deployment/none --pod-running-timeout=1s",
    "logs nobody",
    "exec runs -- echo hello",
    "exec runs -q -- echo hello",
    "exec runs -i -t -- echo hello",
    "exec runs -t -c a -- sh -c exit",
    "exec -f FILE -- echo hello",
    "exec -f FILE runs -- echo hello",
    "exec said -- echo hello",
    "exec nobody -- echo hello",
    "exec deployment/none --pod-running-timeout=1s -- echo hello",
    "attach said",
    "attach runs -c x",
    "attach deployment/none --pod-running-timeout=1s",
    "port-forward said 80",
    "port-forward deployment/none --pod-running-timeout=1s 80",
    "rollout pause deployment/two",
    "rollout restart deployment/two",
    "rollout resume deployment/none",
    "rollout pause daemonset/each",
    "rollout resume pod/runs",
    "rollout restart pod/runs",
    "rollout undo pod/runs",
    "rollout pause deployment -l app=nobody",
    "rollout status deployment/two --revision=1",
    "rollout status deployment/two --revision=9",
    "rollout status deployment/two --revision=-1",
    "rollout history deployment/two --revision=1",
    "rollout history deployment/two --revision=9",
    "rollout history deployment/two -o yaml",
    "rollout history daemonset/each --revision=1",
    "rollout history daemonset/each --revision=1 -o yaml",
    "rollout history daemonset/each --revision=-1",
    "rollout history daemonset/each -o name",
    "rollout undo daemonset/each --dry-run=client",
    "rollout undo daemonset/each --dry-run=server",
    "rollout undo daemonset/each --to-revision=9",
];

#[test]
fn pods_are_listened_to_and_rollouts_held_as_by_kubectl() {
    let place = Place::new();
    let Some(kubectl) = Kubectl::of(&place) else {
        return;
    };
    place.ok(&["up", "--nodes", "1"]);
    let manifest = place.root().join("objects.yaml");
    std::fs::write(&manifest, OBJECTS).expect("written");
    let file = manifest.to_str().expect("a path");
    place.ok(&["apply", "-f", file]);
    let one = place.root().join("runs.yaml");
    let runs = OBJECTS.split("---").nth(1).expect("a pod");
    std::fs::write(&one, runs).expect("written");
    let one = one.to_str().expect("a path");
    let ok = |line: &str| place.ok(&line.split(' ').collect::<Vec<_>>());
    ok("wait pod/runs --for=condition=Ready --timeout=60s");
    ok("wait pod/said --for=jsonpath={.status.phase}=Succeeded --timeout=60s");
    ok("rollout status deployment/two --timeout=60s");
    ok("rollout status daemonset/each --timeout=60s");
    kubectl.ok("set image daemonset/each main=pause:2");
    ok("rollout status daemonset/each --timeout=60s");
    assert_eq!(
        ok("rollout pause deployment/two"),
        "deployment.apps/two paused\n"
    );

    let mut differences = Differences::default();
    for line in LINES {
        let line = line.replace("FILE", one);
        let theirs = sorted(Printed::of(&kubectl.run(&line)));
        let ours = place.podnet(&line.split(' ').collect::<Vec<_>>());
        differences.compare(&line, &theirs, &sorted(Printed::of(&ours)));
    }
    differences.are_none(LINES.len());

    assert_eq!(
        ok("rollout resume deployment/two"),
        "deployment.apps/two resumed\n"
    );
    let resumed = kubectl.run("rollout resume deployment/two");
    assert_eq!(
        text(&resumed.stderr),
        "error: deployments.apps \"two\" is not paused\n"
    );
}

fn sorted(printed: Printed) -> Printed {
    let mut lines: Vec<&str> = printed.stdout.lines().collect();
    lines.sort_unstable();
    Printed {
        stdout: lines.join("\n"),
        ..printed
    }
}
