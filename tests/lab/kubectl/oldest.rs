//! kubectl 1.20, as Debian 12 has it: OpenAPI v2, validation and merging on its own side, SPDY.

use super::session::Session;
use crate::place::Place;
use crate::support::oldest_kubectl;

#[test]
fn the_oldest_kubectl_does_what_it_can() {
    let Some(kubectl) = oldest_kubectl() else {
        eprintln!("skipped: scripts/setup found no kubectl 1.20 to fetch");
        return;
    };
    let place = Place::new();
    place.ok(&["up", "--nodes", "2"]);
    let mut session = Session::of(&place, kubectl.parent());
    session.run_all([
        "kubectl version --client --short",
        "kubectl create -f kubia-manual.yaml",
        "kubectl create -f kubia-two.yaml",
        "kubectl create -f unknown.yaml",
        "kubectl create -f bad.yaml",
        "kubectl wait --for=condition=Ready pods --all",
        "kubectl get pods -o wide",
        "kubectl get pods -l '!app' --show-labels",
        "kubectl label pods kubia-manual env=prod",
        "kubectl label pods kubia-manual env=dev",
        "kubectl label pods kubia-manual env=dev --overwrite",
        "kubectl annotate pods kubia-manual note=here",
        "kubectl label pods kubia-manual env-",
        "kubectl describe pod kubia-manual",
        "kubectl logs kubia-manual",
        "kubectl logs kubia-two -c sidecar",
        "kubectl exec kubia-two -c sidecar -- hostname",
        // Programs that end before this kubectl has opened all streams.
        "for i in 1 2 3 4 5 6 7 8; do kubectl exec kubia-two -c sidecar -- true || echo $i; done",
        "echo through standard input | kubectl exec -i kubia-two -c sidecar -- cat",
        "kubectl exec kubia-two -c sidecar -- sh -c 'echo gone wrong >&2; exit 3'",
    ]);
    session.forward("kubia-manual", 8080);
    session.run_all([
        "kubectl explain pods.spec.containers.livenessProbe",
        "kubectl explain networkpolicies | head -n 8",
        "kubectl apply -f web.yaml",
        "kubectl apply -f web.yaml",
        "kubectl rollout status deployment/web | tail -n 1",
        "kubectl diff -f web-2.yaml | sed 1,3d",
        "kubectl apply -f web-2.yaml",
        "kubectl rollout status deployment/web | tail -n 1",
        "kubectl rollout history deployment/web",
        "kubectl rollout undo deployment/web",
        "kubectl rollout status deployment/web | tail -n 1",
        "kubectl scale deployment web --replicas=2",
        "kubectl wait --for=condition=Available deployment/web",
        "kubectl get deployment,service",
        "kubectl describe service kubernetes",
        r#"kubectl patch deployment web -p '{"spec":{"replicas":1}}'"#,
        "EDITOR='sed -i s/replicas:.*/replicas:\\ 2/' kubectl edit deployment web",
        "kubectl cordon node-1",
        "kubectl drain node-1 --delete-emptydir-data --force --grace-period=1 | tail -n 1",
        "kubectl uncordon node-1",
        "kubectl api-resources",
        "kubectl delete -f web.yaml",
        "kubectl delete pods --all --grace-period=1",
        "kubectl get pods",
    ]);
    session.chapter("oldest");
    session.end();
}
