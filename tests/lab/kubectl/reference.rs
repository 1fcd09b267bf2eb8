//! The rest of kubectl: what there is, workloads and their roll-outs, every way of changing an
//! object, refusals, and descriptions of every kind.

use super::is_known;
use super::session::Session;
use crate::place::Place;

#[test]
fn everything_else_as_kubernetes_prints_it() {
    if !is_known() {
        return;
    }
    let place = Place::new();
    place.ok(&["up", "--nodes", "3"]);
    let mut session = Session::new(&place);
    what_there_is(&mut session);
    refusals(&mut session);
    workloads(&mut session);
    rollouts(&mut session);
    descriptions(&mut session);
    objects(&mut session);
    draining(&mut session);
    changing(&mut session);
    applying(&mut session);
    session.end();
}

fn what_there_is(session: &mut Session<'_>) {
    session.run_all([
        "kubectl version",
        "kubectl cluster-info",
        "kubectl api-versions",
        "kubectl api-resources",
        "kubectl api-resources --namespaced=false -o name",
        "kubectl auth whoami",
        "kubectl auth can-i list pods",
        "kubectl auth can-i '*' '*'",
        "kubectl get --raw /healthz; echo",
        "kubectl get nodes",
        "kubectl get nodes -o wide",
        "kubectl get nodes node-1 node-9",
        "kubectl get serviceaccounts -A",
        "kubectl get leases -n kube-node-lease",
        "kubectl get endpoints",
        "kubectl get endpointslices",
        "kubectl top pods",
        "kubectl top nodes",
        "kubectl explain pods.spec.containers.livenessProbe",
        "kubectl explain pods | head -n 12",
        "kubectl explain deployments.spec.strategy --recursive",
        "kubectl explain events.note --api-version=events.k8s.io/v1",
        "kubectl explain pods.spec.nothing",
    ]);
    session.chapter("reference-01-what-there-is");
}

fn refusals(session: &mut Session<'_>) {
    session.run_all([
        "kubectl create -f bad.yaml",
        "kubectl create -f unknown.yaml",
        "kubectl create -f unknown.yaml --validate=warn --dry-run=server",
        "kubectl create -f unknown.yaml --validate=ignore --dry-run=server",
        "kubectl create -f kubia-json.json --dry-run=client",
        "kubectl get pods -l 'a b'",
        "kubectl get pods --field-selector spec.foo=bar",
        "kubectl delete service nobody",
        "kubectl scale deployment nobody --replicas=2",
        "kubectl get pods/nobody nodes/node-1",
        "kubectl label node node-1 kubernetes.io/hostname=other",
    ]);
    session.chapter("reference-02-refusals");
}

const SETTLED: &str =
    "kubectl get replicasets -l app=web -o jsonpath='{.items[*].status.replicas}'";

fn settled(session: &Session<'_>, pods: &str) {
    session.quietly("kubectl rollout status deployment/web --timeout=60s");
    session.until(SETTLED, |replicas| {
        let running: Vec<&str> = replicas.split(' ').filter(|count| *count != "0").collect();
        running == [pods]
    });
    let names = "kubectl get pods -l app=web -o name";
    session.until(names, |names| names.lines().count().to_string() == pods);
}

fn workloads(session: &mut Session<'_>) {
    session.run_all([
        "kubectl create -f web.yaml -f shipper.yaml",
        "kubectl rollout status deployment/web | tail -n 1",
        "kubectl rollout status daemonset/shipper | tail -n 1",
    ]);
    settled(session, "3");
    session.until("kubectl get endpoints web", |row| {
        row.contains("+ ") || row.matches(":8080").count() == 3
    });
    session.run_all([
        "kubectl get all",
        "kubectl get deployments,replicasets,daemonsets -o wide",
        "kubectl get services -o wide",
        "kubectl get endpoints,endpointslices",
        "kubectl get controllerrevisions",
        "kubectl get pods --show-labels",
        "kubectl get deployment web -o yaml",
        "kubectl get daemonset shipper -o yaml",
        "kubectl get replicasets -o yaml",
        "kubectl get pods -l app=shipper --field-selector spec.nodeName=node-2 -o yaml",
        "kubectl get service web -o yaml",
        "kubectl get endpointslices -l kubernetes.io/service-name=web -o yaml",
    ]);
    session.chapter("reference-03-workloads");
}

fn rollouts(session: &mut Session<'_>) {
    session.run_all([
        "kubectl set image deployment/web main=pause:2",
        "kubectl annotate deployment/web kubernetes.io/change-cause='another pause'",
    ]);
    settled(session, "3");
    session.run_all([
        "kubectl rollout history deployment/web",
        "kubectl rollout history deployment/web --revision=2",
        "kubectl rollout undo deployment/web",
    ]);
    settled(session, "3");
    session.run_all([
        "kubectl rollout history deployment/web",
        "kubectl rollout undo deployment/web --to-revision=9",
        "kubectl rollout pause deployment/web",
        "kubectl rollout pause deployment/web",
        "kubectl rollout resume deployment/web",
        "kubectl rollout restart deployment/web",
    ]);
    settled(session, "3");
    session.run_all([
        "kubectl scale deployment web --replicas=2",
        "kubectl scale deployment web --replicas=5 --current-replicas=4",
        "kubectl set image daemonset/shipper main=pause:2",
        "kubectl rollout status daemonset/shipper | tail -n 1",
        "kubectl rollout history daemonset/shipper",
        "kubectl rollout history daemonset/shipper --revision=1",
        "kubectl rollout undo daemonset/shipper",
        "kubectl rollout status daemonset/shipper | tail -n 1",
    ]);
    settled(session, "2");
    session.run("kubectl get deployments,daemonsets");
    session.chapter("reference-04-rollouts");
}

/// With nothing that went before: an object made a moment ago has no history.
fn anew(session: &Session<'_>) {
    session.quietly("kubectl delete -f web.yaml -f shipper.yaml");
    session.until("kubectl get pods -o name", str::is_empty);
    session.quietly("kubectl delete events --all");
    session.quietly("kubectl create -f web.yaml -f shipper.yaml -f settings.yaml");
    session.quietly("kubectl rollout status daemonset/shipper");
    settled(session, "3");
    session.until("kubectl get endpoints web", |row| {
        row.contains("+ ") || row.matches(":8080").count() == 3
    });
}

fn descriptions(session: &mut Session<'_>) {
    anew(session);
    session.run_all([
        "kubectl describe deployment web",
        "kubectl describe replicasets",
        // kubectl 1.32 does not say the namespace, 1.33 does.
        "kubectl describe daemonset shipper | grep -v ^Namespace",
        "kubectl describe $(kubectl get pods -l app=shipper --field-selector spec.nodeName=node-1 -o name)",
        "kubectl describe service web",
        "kubectl describe service kubernetes",
        "kubectl describe endpoints web",
        "kubectl describe endpointslices -l kubernetes.io/service-name=web",
        "kubectl describe namespace default",
        "kubectl describe serviceaccount default",
        "kubectl describe configmap settings",
        "kubectl describe networkpolicy only-web",
        "kubectl describe controllerrevisions",
        "kubectl describe lease -n kube-node-lease node-1",
        "kubectl get events --field-selector involvedObject.name=shipper -o wide",
        "kubectl events --for deployment/web",
        "kubectl get events.events.k8s.io --field-selector regarding.name=web",
        "kubectl describe $(kubectl get events --field-selector involvedObject.name=web -o name)",
        "kubectl get configmaps,networkpolicies",
    ]);
    session.chapter("reference-05-descriptions");
}

fn objects(session: &mut Session<'_>) {
    session.run_all([
        "kubectl get node node-1 -o yaml",
        "kubectl describe node node-1",
        "kubectl get namespace default -o yaml",
        "kubectl get serviceaccount default -o yaml",
        "kubectl get configmap settings -o yaml",
        "kubectl get networkpolicy only-web -o yaml",
        "kubectl get lease node-1 -n kube-node-lease -o yaml",
        "kubectl get events --field-selector involvedObject.name=shipper,reason=SuccessfulCreate -o yaml | head -n 30",
        "kubectl get endpoints kubernetes -o yaml",
        "kubectl get controllerrevisions -o yaml",
    ]);
    session.chapter("reference-06-objects");
}

fn draining(session: &mut Session<'_>) {
    session.run_all([
        "kubectl cordon node-1",
        "kubectl cordon node-1",
        "kubectl get nodes",
        "kubectl drain node-1",
        "kubectl drain node-1 --ignore-daemonsets",
        "kubectl uncordon node-1",
        "kubectl uncordon node-1",
        "kubectl taint nodes node-2 dedicated=web:NoSchedule",
        "kubectl get node node-2 -o jsonpath='{.spec.taints}'; echo",
        "kubectl taint nodes node-2 dedicated-",
        "kubectl create -f kubia-manual.yaml",
        "kubectl wait --for=condition=Ready pod/kubia-manual",
        "kubectl wait --for=jsonpath='{.status.phase}'=Running pod/kubia-manual",
        "kubectl wait --for=condition=Ready pod/nobody",
        "kubectl wait --for=jsonpath='{.status.phase}'=Failed pod/kubia-manual --timeout=10ms",
        "kubectl delete pod kubia-manual --wait=false --grace-period=1",
    ]);
    session.quietly("kubectl wait --for=delete pod/kubia-manual");
    session.chapter("reference-07-draining");
}

fn changing(session: &mut Session<'_>) {
    session.run_all([
        r#"kubectl patch deployment web -p '{"spec":{"replicas":2}}'"#,
        r#"kubectl patch configmap settings --type=merge -p '{"data":{"size":"10"}}'"#,
        r#"kubectl patch configmap settings --type=merge -p '{"data":{"size":"10"}}'"#,
        r#"kubectl patch deployment web --type=json -p '[{"op":"replace","path":"/spec/replicas","value":1}]'"#,
        r#"kubectl patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"pause:1"}]}}}}'"#,
        "kubectl get deployment web -o jsonpath='{.spec.template.spec.containers[*].name}'; echo",
        r#"kubectl patch deployment web -p '{"spec":{"replicas":-1}}'"#,
        r#"kubectl patch deployment web -p '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'"#,
        r#"kubectl patch deployment web --type=json -p '[{"op":"remove","path":"/spec/nothing"}]'"#,
        "EDITOR='sed -i s/blue/green/' kubectl edit configmap settings",
        "EDITOR=true kubectl edit configmap settings",
        "kubectl get configmap settings -o jsonpath='{.data}'; echo",
        "kubectl replace -f settings.yaml",
        "kubectl get configmap settings -o jsonpath='{.data}'; echo",
        "kubectl replace -f kubia-json.json",
        "kubectl create configmap more --from-literal=a=b",
        "kubectl create service clusterip more --tcp=80",
        "kubectl create serviceaccount more",
        "kubectl run more --image=pause:1",
        "kubectl expose pod more --port=80",
        "kubectl expose pod more --name=again --port=80",
        "kubectl set env deployment/web A=b",
        "kubectl delete configmap/more service/more service/again serviceaccount/more pod/more",
    ]);
    session.chapter("reference-08-changing");
}

fn applying(session: &mut Session<'_>) {
    session.quietly("kubectl delete deployment web");
    session.until("kubectl get pods -l app=web -o name", str::is_empty);
    session.run_all([
        "kubectl diff -f web-2.yaml | sed 1,3d",
        "kubectl apply -f web-2.yaml --dry-run=server",
        "kubectl apply -f web.yaml",
        "kubectl apply view-last-applied deployment/web",
        "kubectl apply -f web.yaml",
    ]);
    settled(session, "3");
    session.run_all([
        "kubectl diff -f web-2.yaml | sed 1,3d",
        "kubectl apply -f web-2.yaml",
    ]);
    settled(session, "3");
    session.run_all([
        "kubectl diff -f web-2.yaml",
        "kubectl apply -f settings.yaml --server-side --force-conflicts",
        "kubectl get configmap settings -o yaml --show-managed-fields",
        r#"kubectl patch configmap settings --type=merge -p '{"data":{"colour":"red"}}'"#,
        "kubectl apply -f settings.yaml --server-side",
        "kubectl apply -f settings.yaml --server-side --force-conflicts",
        "kubectl apply -f settings.yaml --server-side --dry-run=server",
        "kubectl scale deployment web --replicas=4",
        "kubectl get deployment web -o yaml --show-managed-fields | sed -n '/managedFields/,/^  name/p'",
        "kubectl delete -f web.yaml -f shipper.yaml -f settings.yaml",
    ]);
    session.chapter("reference-09-applying");
}
