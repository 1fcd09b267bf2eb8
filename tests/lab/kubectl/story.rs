//! The commands of the notes on pods that podnet is made after, in their order: a pod from a
//! manifest, its logs and ports, labels and selectors, nodes, namespaces, probes.

use super::is_known;
use super::session::Session;
use crate::place::Place;

#[test]
fn pods_labels_and_namespaces_as_the_notes_tell_them() {
    if !is_known() {
        return;
    }
    let place = Place::new();
    let file = place.root().join("lab.yaml");
    let lab = "apiVersion: podnet.dev/v1alpha1\nkind: Lab\nspec:\n  nodes: [{name: node-1}, {name: node-2}, {name: node-3}]\n  \
               restartBackOffScale: 0.001\n";
    std::fs::write(&file, lab).expect("written");
    place.ok(&["up", "-f", file.to_str().expect("text")]);
    let mut session = Session::new(&place);
    creating(&mut session);
    looking(&mut session);
    talking(&mut session);
    labels(&mut session);
    selectors(&mut session);
    nodes(&mut session);
    namespaces(&mut session);
    probes(&mut session);
    watching(&mut session);
    deleting(&mut session);
    session.end();
}

fn creating(session: &mut Session<'_>) {
    session.run_all([
        "kubectl get pods",
        "kubectl create -f kubia-manual.yaml",
        "kubectl create -f kubia-json.json",
        "kubectl create -f kubia-several.yaml",
        "kubectl create -f kubia-dir",
        "cat kubia-two.yaml | kubectl create -f -",
        "kubectl wait --for=condition=Ready pods --all",
        "kubectl get pods",
        "kubectl create -f kubia-manual.yaml",
        "kubectl create -f no-such-file.yaml",
    ]);
    session.chapter("story-01-creating");
}

fn looking(session: &mut Session<'_>) {
    session.run_all([
        "kubectl get pods -o wide",
        "kubectl get po kubia-manual",
        "kubectl get pods kubia-manual -o yaml",
        "kubectl get pods kubia-json -o json",
        "kubectl get pods -o name",
        "kubectl get pods -o jsonpath='{.items[*].metadata.name}'; echo",
        "kubectl get pods -o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image",
        "kubectl get pods --no-headers | awk '{ print $1, $2, $3, $4 }'",
        "kubectl get pods --show-labels",
        "kubectl get pods -L creation_method,env",
        "kubectl get pods -l app --sort-by=.metadata.labels.rel -L rel",
        "kubectl get pods --field-selector spec.nodeName=node-9",
        "kubectl get pods --field-selector status.phase=Running,metadata.name=kubia-two",
        "kubectl get pod nobody",
        "kubectl get nobodies",
        "kubectl get all",
    ]);
    session.chapter("story-02-looking");
}

fn talking(session: &mut Session<'_>) {
    session.until("kubectl logs kubia-two -c sidecar", |log| !log.is_empty());
    session.run_all([
        "kubectl logs kubia-manual",
        "kubectl log kubia-manual",
        "kubectl logs kubia-two -c sidecar",
        "kubectl logs kubia-two",
        "kubectl logs kubia-two --all-containers --prefix | sort",
        "kubectl logs kubia-two -c nobody",
        "kubectl logs nobody",
        "kubectl logs kubia-manual --previous",
        "kubectl exec kubia-two -c sidecar -- hostname",
        "kubectl exec kubia-two -c sidecar -- sh -c 'echo gone wrong >&2; exit 3'",
    ]);
    session.forward("kubia-manual", 8080);
    session.chapter("story-03-talking");
}

fn labels(session: &mut Session<'_>) {
    session.run_all([
        "kubectl label pods kubia-manual creation_method=manual",
        "kubectl label pods kubia-json env=debug",
        "kubectl label pods kubia-json env=debug --overwrite",
        "kubectl label pods kubia-json env=debug --overwrite",
        "kubectl get pods -L creation_method,env kubia-manual kubia-json",
        "kubectl label pods kubia-json env-",
        "kubectl label pods kubia-json env-",
        "kubectl label pods kubia-json env=prod",
        "kubectl label pods kubia-json 'env=a b' --overwrite",
        "kubectl label pods kubia-json 'a b=c'",
        "kubectl label pods nobody env=prod",
        "kubectl label pods -l app=pc size=small",
        "kubectl label pods --all size=small",
        "kubectl label pods --all size-",
        "kubectl label pods kubia-json --list | sort",
        "kubectl label namespace default stage=test",
        "kubectl label namespace default stage-",
        "kubectl annotate pod kubia-manual mycompany.com/someannotation='foo bar'",
        "kubectl annotate pod kubia-manual mycompany.com/someannotation=baz",
        "kubectl annotate pod kubia-manual mycompany.com/someannotation=baz --overwrite",
        "kubectl get pod kubia-manual -o jsonpath='{.metadata.annotations}'; echo",
        "kubectl annotate pod kubia-manual mycompany.com/someannotation-",
        "kubectl annotate pods -l app=pc note=both",
        "kubectl annotate pods --all note-",
    ]);
    session.chapter("story-04-labels");
}

fn selectors(session: &mut Session<'_>) {
    session.run_all([
        "kubectl get pods --show-labels",
        "kubectl get pods -l env=prod",
        "kubectl get pods -l env",
        "kubectl get pods -l '!env'",
        "kubectl get pods -l 'env!=prod'",
        "kubectl get pods -l 'env in (prod, dev)'",
        "kubectl get pods -l 'env notin (prod, dev)'",
        "kubectl get pods -l 'app=pc, rel=beta'",
        "kubectl get pods -l app==pc,rel=gold",
        "kubectl get pods -l 'env in (prod'",
        "kubectl get pods -l env in '(prod, dev)'",
        "kubectl label pods -l 'app in (ui, pc), !env' tier=back",
        "kubectl label pods -l tier tier-",
    ]);
    session.chapter("story-05-selectors");
}

fn nodes(session: &mut Session<'_>) {
    session.run_all([
        "kubectl create -f kubia-nowhere.yaml",
        "kubectl label node node-2 gpu=true",
        "kubectl create -f kubia-gpu.yaml",
        "kubectl wait --for=condition=Ready pod/kubia-gpu",
        "kubectl get nodes -l gpu=true",
        "kubectl get nodes -L gpu",
        "kubectl get pods kubia-gpu kubia-nowhere -o wide",
        "kubectl describe pod kubia-nowhere",
        "kubectl get events --field-selector involvedObject.name=kubia-nowhere",
        "kubectl label node node-3 gpu=many",
        "kubectl wait --for=condition=Ready pod/kubia-nowhere",
        "kubectl get pods kubia-nowhere -o wide",
        "kubectl label nodes --all gpu-",
        "kubectl delete pods kubia-gpu kubia-nowhere",
    ]);
    session.chapter("story-06-nodes");
}

fn namespaces(session: &mut Session<'_>) {
    session.run_all([
        "kubectl get namespaces",
        "kubectl get ns --show-labels",
        "kubectl get pods --namespace kube-system",
        "kubectl create namespace custom-namespace",
        "kubectl create namespace custom-namespace",
        "kubectl create namespace Custom_Namespace",
        "kubectl create -f kubia-manual.yaml -n custom-namespace",
        "kubectl wait --for=condition=Ready pod/kubia-manual -n custom-namespace",
        "kubectl get po -n custom-namespace",
        "kubectl get pods -A",
        "kubectl get pods --all-namespaces -l '!app' -o wide",
        "kubectl get namespace custom-namespace -o yaml",
        "kubectl describe namespace custom-namespace",
        "kubectl create -f kubia-manual.yaml -n nowhere",
        "kubectl delete namespace custom-namespace",
        "kubectl get pods -n custom-namespace",
        "kubectl get namespace custom-namespace",
        "kubectl delete namespace nowhere",
        "kubectl delete namespace default",
    ]);
    session.chapter("story-07-namespaces");
}

fn probes(session: &mut Session<'_>) {
    session.run_all([
        "kubectl create -f kubia-liveness-probe.yaml",
        "kubectl wait --for=condition=Ready pod/kubia-liveness",
        // Whether the first probe comes too early is in the events, and a matter of luck.
        "kubectl describe pods kubia-liveness | sed '/^Events/,$d'",
        "kubectl create -f kubia-crash.yaml",
    ]);
    session.until("kubectl get pod kubia-crash", |row| row.contains("1 ("));
    session.run_all([
        "kubectl wait --for=condition=Ready pod/kubia-crash",
        "kubectl get pod kubia-crash",
        "kubectl logs kubia-crash",
        "kubectl logs kubia-crash --previous",
        "kubectl describe pod kubia-crash",
        "kubectl delete pods kubia-liveness kubia-crash",
    ]);
    session.chapter("story-08-probes");
}

fn watching(session: &mut Session<'_>) {
    let line = "kubectl get pods -l '!app' --watch";
    session.watch(line, "Terminating", |session, watch| {
        watch.wait_for(|printed| printed.contains("kubia-two"));
        session.quietly("kubectl create -f kubia-gpu.yaml");
        watch.wait_for(|printed| printed.contains("kubia-gpu"));
        session.quietly("kubectl label node node-1 gpu=true");
        watch.wait_for(|printed| printed.contains("kubia-gpu      1/1"));
        session.quietly("kubectl delete pod kubia-gpu");
        session.quietly("kubectl label node node-1 gpu-");
    });
    session.chapter("story-09-watching");
}

fn deleting(session: &mut Session<'_>) {
    session.run_all([
        "kubectl delete pods kubia-json",
        "kubectl delete pods pc-beta ui-stable nobody",
        "kubectl delete pods -l release=canary",
        "kubectl delete pods -l release=canary",
        "kubectl get pods",
        "kubectl delete pods -all",
        "kubectl delete pods",
        "kubectl delete -f kubia-two.yaml --grace-period=0 --force",
        "kubectl delete pods --all",
        "kubectl get pods",
        "kubectl create -f kubia-manual.yaml",
        "kubectl create service clusterip kubia --tcp=8080",
        "kubectl delete all --all",
    ]);
    session.until("kubectl get pods -o name", str::is_empty);
    session.until("kubectl get service kubernetes -o name", |name| {
        !name.is_empty()
    });
    session.run("kubectl get all");
    session.chapter("story-10-deleting");
}
