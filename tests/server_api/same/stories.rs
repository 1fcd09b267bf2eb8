//! Verbs that change something, in the order of a story; each tool has a server of its own.

use serde_json::{Value, json};

use super::printed::{Differences, Printed};
use super::{Tool, place};
use crate::kubectl::Kubectl;
use crate::lab::{pod, ready_node};

/// `FILE` stands for a file of the story's own.
async fn run(
    kubectl: &Kubectl,
    files: &[(&str, Value)],
    lines: &[&str],
    podnet: bool,
) -> Vec<Printed> {
    let tool = match podnet {
        true => Tool::Podnet(kubectl),
        false => Tool::Kubectl(kubectl),
    };
    let mut printed = Vec::new();
    let mut written: Vec<(&str, String)> = Vec::new();
    for (name, content) in files {
        written.push((name, kubectl.file(&name.to_lowercase(), content)));
    }
    for line in lines {
        let line = written
            .iter()
            .fold((*line).to_owned(), |line, (name, path)| {
                line.replace(name, path)
            });
        let mut one = tool.run(&line).await;
        // The two have different homes, and objects different uids.
        let home = kubectl.kubeconfig();
        let home = home.parent().unwrap().to_str().unwrap();
        one.stdout = one.stdout.replace(home, "HOME");
        one.stderr = one.stderr.replace(home, "HOME");
        // It says so.
        one.stderr = one
            .stderr
            .replace("cannot delete cannot delete", "cannot delete");
        printed.push(one);
    }
    printed
}

pub async fn tell(files: &[(&str, Value)], lines: &[&str]) {
    let (Some((_lab, theirs)), Some((_other, ours))) = (place().await, place().await) else {
        return;
    };
    let (theirs, ours) = tokio::join!(
        run(&theirs, files, lines, false),
        run(&ours, files, lines, true)
    );
    let mut differences = Differences::default();
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        differences.compare(line, theirs, ours);
    }
    differences.are_none(lines.len());
}

pub fn labelled(name: &str, labels: Value) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["labels"] = labels;
    pod
}

#[tokio::test]
async fn objects_come_and_go() {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        labelled("web", json!({"app": "web"})),
        labelled("db", json!({"app": "db"})),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}},
    ]});
    let mut misspelt = pod("misspelt");
    misspelt["spec"]["containers"][0]["imagePullPolice"] = json!("Never");
    let mut nameless = pod("invalid");
    nameless["spec"]["containers"][0]["name"] = json!("Not A Name");
    let elsewhere = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "elsewhere"}});
    let files = [
        ("LIST.json", list),
        (
            "RAW.json",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw"}}),
        ),
        ("MISSPELT.json", misspelt),
        ("INVALID.json", nameless),
        ("ELSEWHERE.json", elsewhere),
    ];
    let lines = [
        "create -f LIST.json --dry-run=client",
        "create -f LIST.json --dry-run=server",
        "get pods -o name",
        "create -f LIST.json",
        "create -f LIST.json",
        "create -f INVALID.json",
        "create -f ELSEWHERE.json",
        "create -f ELSEWHERE.json -n shop",
        "create -f /no/such/file",
        "create namespace shop",
        "create ns shop",
        "create namespace other --dry-run=client -o name",
        "create configmap more --from-literal=a=1 --from-literal=b=x=y -n shop",
        "get cm -n shop more -o jsonpath={.data}",
        "create deployment app --image=pause:1 --replicas=0 --port=80",
        "get deployment app -o jsonpath={.spec.replicas}{.spec.template.spec.containers}",
        "create --raw /api/v1/namespaces -f RAW.json -o yaml",
        "create --raw /api/v1/namespaces -f RAW.json -f LIST.json",
        "create --raw /api/v1/namespaces -f RAW.json -R",
        "create --raw namespaces -f RAW.json",
        "create --raw /api/v1/namespaces -f LIST.json",
        "create --raw /api/v1/namespaces/shop/configmaps -f RAW.json -o name",
        "delete --raw /api/v1/namespaces/shop/configmaps/nobody",
        "delete --raw /api/v1/namespaces/shop/configmaps/more -o name",
        "get --raw /api/v1/namespaces/shop/configmaps/nobody",
        "delete pod nobody",
        "delete pod nobody --ignore-not-found",
        "delete pods",
        "delete pods web -l app=web",
        "delete pod web --interactive",
        "delete pod web --dry-run=client",
        "delete pod web --dry-run=server",
        "delete pod/web configmap/settings --wait=false -o name",
        "delete pods -l app=nobody",
        "delete pods -l app=db --now",
        "delete -f LIST.json --ignore-not-found",
        "delete -f LIST.json",
        "create -f LIST.json",
        "delete pod db --force --grace-period=0",
        "delete -f LIST.json --force --grace-period=3",
        "delete deployment app --cascade=orphan",
        "delete ns shop --wait=false",
        "delete pods --all --grace-period=0 --force",
        "delete pods --all",
        "delete gizmo x",
    ];
    tell(&files, &lines).await;
}

#[tokio::test]
async fn labels_and_annotations() {
    let files = [
        ("A.json", labelled("a", json!({"rel": "beta"}))),
        ("B.json", labelled("b", json!({}))),
    ];
    let lines = [
        "create -f A.json -f B.json",
        "create -f A.json,B.json --dry-run=client -o name",
        "label pod a env=prod",
        "label pod a env=prod",
        "label pod a env=debug",
        "label pod a env=debug rel=stable",
        "label pod a env=debug --overwrite",
        "label pods --all creation=manual",
        "label pods -l rel=beta tier=x -o name",
        "label pod a tier-",
        "label pod a tier-",
        "label pod a rel- env=other --overwrite",
        "label pod/a pod/b both=1",
        "label -f A.json from=file",
        "label pod a dry=1 --dry-run=client",
        "label pod a dry=1 --dry-run=server",
        "label pod a x=1 x-",
        "label pod a m=1 --field-manager=me",
        "annotate pod a m=1 --field-manager=you",
        "get pod a -o jsonpath={.metadata.managedFields[*].manager}",
        "label pod a m-",
        "annotate pod a m-",
        "label -f A.json --local y=2",
        "label -f A.json --local rel=2",
        "label -f A.json --local y=2 -o jsonpath={.metadata.labels}",
        "annotate -f A.json --local y=2 -o jsonpath={.metadata.annotations}",
        "label pod a --local y=2",
        "label --local y=2",
        "label pod a",
        "label pod nobody x=1",
        "label pods x=1",
        "label pods -l no=such x=1",
        "get pods --show-labels",
        "label pod b both-",
        "annotate pod a description='my frontend' ",
        "annotate pod a description='my frontend'",
        "annotate pod a description=other",
        "annotate pod a description=other --overwrite",
        "annotate pods --all who=me",
        "annotate pod a who-",
        "annotate pod a description-",
        "annotate pod a",
        "get pods -o jsonpath={.items[*].metadata.annotations}",
    ];
    tell(&files, &lines).await;
}

#[tokio::test]
async fn nodes_are_closed_opened_and_drained() {
    let on_node = |name: &str, changes: Value| {
        let mut pod = pod(name);
        pod["spec"]["nodeName"] = json!("node-1");
        json_patch::merge(&mut pod, &changes);
        pod
    };
    let files = [
        ("NODE.json", ready_node("node-1")),
        ("BARE.json", on_node("bare", json!({}))),
        (
            "DATA.json",
            on_node(
                "data",
                json!({"spec": {"volumes": [{"name": "d", "emptyDir": {}}]}}),
            ),
        ),
    ];
    let lines = [
        "create -f NODE.json",
        "label node node-1 disk=ssd",
        "cordon node-1 --dry-run=client",
        "cordon node-1",
        "cordon node-1",
        "get nodes",
        "uncordon -l disk=ssd",
        "uncordon node-1",
        "cordon nowhere",
        "create -f BARE.json",
        "drain node-1",
        "drain node-1 --force --grace-period=0 --dry-run=client",
        "drain node-1 --force --dry-run=server",
        "drain node-1 --force --dry-run=client --chunk-size=1 --skip-wait-for-delete-timeout=1",
        "create -f DATA.json",
        "drain node-1 --force",
        "drain nowhere",
        "uncordon node-1",
    ];
    tell(&files, &lines).await;
}

#[tokio::test]
async fn workloads_are_scaled_rolled_out_and_back() {
    let lines = [
        "create deployment web --image=pause:1 --replicas=0",
        "rollout status deployment/web --timeout=20s",
        "scale deployment web --replicas=0",
        "scale deployment/web --replicas=2 --current-replicas=5",
        "scale deployment/web --replicas=2 --dry-run=server",
        "scale deployment nobody --replicas=2",
        "scale --replicas=2 deployment/web --timeout=20s",
        "get deployment web -o jsonpath={.status.replicas}",
        "scale --replicas=0 deployment/web --timeout=20s",
        "rollout restart deployment/web",
        "rollout status deployment/web --timeout=20s",
        "rollout history deployment/web",
        "rollout undo deployment/web",
        "rollout status deployment web --timeout=20s",
        "rollout history deployment/web",
        "rollout undo deployment/web --to-revision=7",
        "rollout restart deployment",
        "rollout status pod/x",
        "rollout undo deployment/nobody",
        "get deployments",
    ];
    tell(&[], &lines).await;
}

#[tokio::test]
async fn waiting() {
    let files = [("WEB.json", pod("web"))];
    let lines = [
        "create -f WEB.json",
        "wait pod/web --for=jsonpath={.status.phase}=Pending",
        "wait pod web --for='jsonpath={.metadata.name}'",
        "wait pod/web --for=condition=Ready --timeout=0",
        "wait pod/web --for=condition=Ready --timeout=1s",
        "wait pods --all --for=create",
        "wait pod/nobody --for=condition=Ready",
        "wait pod/nobody --for=delete",
        "wait pods -l app=nobody --for=condition=Ready",
        "delete pod web --wait=false --grace-period=0 --force",
        "wait pod/web --for=delete --timeout=20s",
    ];
    tell(&files, &lines).await;
}

#[tokio::test]
async fn who_is_asked_first_may_say_yes() {
    let Some((_lab, kubectl)) = place().await else {
        return;
    };
    let answer = kubectl.file("answer", &json!(null));
    std::fs::write(&answer, "y\n").unwrap();
    let mut printed = Vec::new();
    for tool in [Tool::Kubectl(&kubectl), Tool::Podnet(&kubectl)] {
        tool.run("create configmap a").await;
        let mut command = tool.command("delete -i configmap a nobody");
        command.stdin(std::fs::File::open(&answer).unwrap());
        let output = tokio::task::spawn_blocking(move || command.output());
        printed.push(Printed::of(&output.await.unwrap().unwrap()));
    }
    assert!(printed[0].stdout.ends_with("configmap \"a\" deleted\n"));
    assert_eq!(printed[0], printed[1]);
}
