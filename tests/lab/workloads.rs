//! Deployments and daemon sets on real nodes, by the real kubectl.

use std::process::{Command, Output, Stdio};

use crate::place::{Place, eventually, text};

/// `None` where there is no kubectl on the path; the test then says that it was skipped.
pub struct Kubectl<'a> {
    place: &'a Place,
}

impl<'a> Kubectl<'a> {
    pub fn of(place: &'a Place) -> Option<Kubectl<'a>> {
        let mut version = Command::new("kubectl");
        version.args(["version", "--client"]).stdout(Stdio::null());
        if version.status().is_err() {
            eprintln!("skipped: there is no kubectl on the path");
            return None;
        }
        Some(Kubectl { place })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let lab = self.place.lab("default");
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .env("KUBECONFIG", lab.join("kubeconfig"))
            // What it remembers of servers: the next one may have this one's port.
            .env("HOME", self.place.root())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let mut command = self.command(&arguments);
        command.output().expect("kubectl runs")
    }

    /// What a command that has to succeed prints.
    pub fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "kubectl {arguments}: {out}{error}");
        out
    }

    fn prints(&self, arguments: &str, expected: &str) {
        let printed = self.ok(arguments);
        assert!(printed.contains(expected), "kubectl {arguments}: {printed}");
    }
}

const DAEMONS: &str = r#"{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "logs"},
    "spec": {"selector": {"matchLabels": {"app": "logs"}}, "template": {
        "metadata": {"labels": {"app": "logs"}},
        "spec": {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "pause:1"}]}}}}"#;

#[test]
fn kubectl_rolls_out_scales_and_drains() {
    let place = Place::new();
    let Some(kubectl) = Kubectl::of(&place) else {
        return;
    };
    place.ok(&["up", "--nodes", "2"]);
    let manifest = place.root().join("daemons.json");
    std::fs::write(&manifest, DAEMONS).expect("written");
    kubectl.ok(&format!("create -f {}", manifest.display()));
    kubectl.ok("create deployment web --image=pause:1 --replicas=3 --port=8080");
    let rolled = "successfully rolled out";
    kubectl.prints("rollout status deployment/web --timeout=60s", rolled);
    kubectl.prints("rollout status daemonset/logs --timeout=60s", rolled);
    kubectl.prints("get deployment web", "3/3     3            3");
    kubectl.prints("expose deployment web --port=80", "service/web exposed");
    eventually("three addresses behind the service", || {
        let slices = kubectl.ok("get endpoints web -o jsonpath={.subsets[*].addresses[*].ip}");
        (slices.split_whitespace().count() == 3).then_some(())
    });
    kubectl.ok("scale deployment web --replicas=4");
    kubectl.prints("rollout status deployment/web --timeout=60s", rolled);
    for (workload, container) in [("deployment/web", "pause"), ("daemonset/logs", "main")] {
        kubectl.ok(&format!("set image {workload} {container}=pause:2"));
        let status = format!("rollout status {workload} --timeout=60s");
        kubectl.prints(&status, rolled);
        kubectl.ok(&format!("rollout undo {workload}"));
        kubectl.prints(&status, rolled);
        let history = kubectl.ok(&format!("rollout history {workload}"));
        assert!(
            !history.contains("\n1 ") && history.contains("\n3 "),
            "{history}"
        );
        let describe = workload.replace('/', " ");
        kubectl.prints(&format!("describe {describe}"), "pause:1");
    }
    kubectl.ok("drain node-1 --ignore-daemonsets --timeout=60s");
    kubectl.prints("get node node-1", "Ready,SchedulingDisabled");
    eventually("only the daemon is left there", || {
        let nodes = kubectl.ok("get pods -l app=web -o jsonpath={.items[*].spec.nodeName}");
        (nodes == "node-2 node-2 node-2 node-2").then_some(())
    });
    kubectl.ok("uncordon node-1");
    kubectl.prints("auth whoami", "system:masters");
    kubectl.ok("delete all --all --grace-period=1");
    eventually("nothing is left but the API's own service", || {
        let left = kubectl.ok("get all -o name");
        (left.trim() == "service/kubernetes").then_some(())
    });
}
