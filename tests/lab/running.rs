//! `podnet run`, `logs`, `exec`, `attach` and `rollout` say and do what the real kubectl does.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{Place, eventually, text};
use crate::streams::fed;
use crate::verbs::printed::{Differences, Printed, split};
use crate::workloads::Kubectl;

/// Each makes a pod `once`, which is gone or has to go afterwards. They are told `hello`.
const RUNS: &[&str] = &[
    "run once --image=host -i --rm --restart=Never --command -- sh -c 'cat; echo err >&2; exit 3'",
    "run once --image=host -i --rm -q --restart=Never --command -- sh -c 'cat; exit 3'",
    "run once --image=host -i --rm --restart=OnFailure --command -- cat",
    "run once --image=host -i --rm --command -- cat",
    "run once --image=host -i --leave-stdin-open --restart=Never --command -- sh -c 'read -r line; echo got $line'",
    "run once --image=host -it --rm --restart=Never --command -- sh -c 'read -r line; echo got $line'",
    // Never ready, and so over before anybody is attached.
    r#"run once --image=host --attach --rm --restart=Never --override-type=strategic --overrides={"spec":{"containers":[{"name":"once","readinessProbe":{"exec":{"command":["false"]}}}]}} --command -- sh -c 'echo out; exit 6'"#,
    "run once --image=nowhere:1 --attach --rm --pod-running-timeout=1s",
    "run once --image=pause --port=80 --expose",
    "run once --image=pause --port=80 --expose --dry-run=server",
    "run once --image=pause -i --attach=false --dry-run=client -o yaml",
    "run once --image=pause -it --attach=false --leave-stdin-open --dry-run=client -o yaml",
    "run once --image=pause --privileged --image-pull-policy=Never --annotations=a=b,c=d --annotations=e=f --dry-run=client -o yaml",
    r#"run once --image=pause --overrides={"spec":{"nodeName":"x"}} --dry-run=client -o yaml"#,
    r#"run once --image=pause --overrides=[{"op":"add","path":"/metadata/labels/a","value":"b"}] --override-type=json --dry-run=client -o yaml"#,
    "run once one --image=pause two --dry-run=client -o yaml",
    "run once one --image=pause --command --dry-run=client -o yaml -- two --three -- four",
    "run once --image=pause --overrides={ --dry-run=client",
    "run once --image=pause --annotations=a --dry-run=client",
    "run once --image=pause --field-manager=me -o jsonpath={.metadata.managedFields[0].manager}",
];

/// These say more than podnet does: how to get help.
const WRONG: &[&str] = &[
    "run once --image=pause --rm",
    "run once --image=pause -t",
    "run once --image=pause --expose",
    "run once --image=pause --restart=Sometimes",
    "run once --image=pause --image-pull-policy=Sometimes",
    "run once --image=pause -i --dry-run=client",
];

#[test]
fn a_pod_is_run_as_by_kubectl() {
    let place = Place::new();
    let Some(kubectl) = Kubectl::of(&place) else {
        return;
    };
    place.ok(&["up", "--nodes", "1"]);
    let mut differences = Differences::default();
    for line in RUNS {
        let theirs = run_once(&place, line, |words| kubectl.command(words));
        let ours = run_once(&place, line, |words| place.command(words));
        differences.compare(line, &theirs, &ours);
    }
    for line in WRONG {
        let theirs = Printed::of(&kubectl.run(line));
        let ours = Printed::of(&place.podnet(&line.split(' ').collect::<Vec<_>>()));
        let theirs = Printed {
            stderr: theirs.stderr.split_inclusive('\n').take(1).collect(),
            ..theirs
        };
        differences.compare(line, &theirs, &ours);
    }
    differences.are_none(RUNS.len() + WRONG.len());
}

fn run_once(place: &Place, line: &str, command: impl Fn(&[&str]) -> Command) -> Printed {
    let words = split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let printed = Printed::of(&fed(command(&words), b"hello\n"));
    let delete = [
        "delete",
        "pod/once",
        "service/once",
        "--ignore-not-found",
        "--grace-period=0",
        "--force",
    ];
    place.ok(&delete);
    printed
}

#[test]
fn who_is_interrupted_leaves_no_pod() {
    let place = Place::new();
    place.ok(&["up", "--nodes", "1"]);
    let line = "run once --image=host -i --rm --grace-period=1 --restart=Never --command -- cat";
    let mut run = place.command(&line.split(' ').collect::<Vec<_>>());
    let run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut run = run.expect("podnet runs");
    let mut stdin = run.stdin.take().expect("a pipe");
    let mut stdout = run.stdout.take().expect("a pipe");
    stdin.write_all(b"hello\n").expect("told");
    let mut heard = [0; 6];
    stdout.read_exact(&mut heard).expect("an echo");
    assert_eq!(text(&heard), "hello\n");
    let process = Pid::from_raw(run.id().try_into().expect("a process"));
    kill(process, Signal::SIGINT).expect("interrupted");
    assert_eq!(run.wait().expect("an end").code(), Some(130));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the end");
    assert_eq!(rest, "pod \"once\" deleted\n");
    eventually("the pod is gone", || {
        let pods = place.ok(&["get", "pods", "-o", "name"]);
        pods.is_empty().then_some(())
    });
}

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
    "exec -f FILE -f FILE -- echo hello",
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
