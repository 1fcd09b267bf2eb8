//! What a node may do with its certificate, and what everybody else may not.

use std::net::IpAddr;
use std::pin::pin;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use podnet::cluster::{
    self, About, CLAIM_NAMESPACE, Change, ContainersReport, Health, Note, PodReport, PodState,
    Registration,
};
use podnet::model::{ClusterRanges, NodeName, PodName, Pool};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::lab::{Lab, eventually, pod, ready_node, send};

fn ranges() -> ClusterRanges {
    let pool = Pool::new("10.244.0.0/16".parse().unwrap(), 24).unwrap();
    ClusterRanges::new(vec![pool]).unwrap()
}

fn registration(name: &str, address: &str) -> Registration {
    Registration {
        name: NodeName::new(name).unwrap(),
        labels: [("disk".to_owned(), "ssd".to_owned())].into(),
        addresses: vec![address.parse().unwrap()],
        mac: None,
    }
}

/// A node that has registered, taken a range and said that it is ready.
async fn joined(lab: &Lab, name: &str, address: &str) -> Client {
    let client = lab
        .client_of(&format!("system:node:{name}"), "system:nodes")
        .await;
    let ours = registration(name, address);
    let node = cluster::register(&client, &ours).await.unwrap();
    let cidrs = cluster::claim(&client, &ranges(), &ours.name, &node.uid)
        .await
        .unwrap();
    cluster::set_pod_cidrs(&client, &ours.name, &cidrs)
        .await
        .unwrap();
    cluster::set_status(&client, &ours, &Health::Ready)
        .await
        .unwrap();
    cluster::heartbeat(&client, &ours.name, &node.uid)
        .await
        .unwrap();
    client
}

/// A pod on a node, which names a config map of its own.
async fn bound(lab: &Lab, name: &str, node: &str) -> Pod {
    // Pods of nodes that are not there are taken away.
    lab.send("POST", "/api/v1/nodes", ready_node(node)).await;
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["containers"][0]["envFrom"] =
        json!([{"configMapRef": {"name": format!("{name}-settings")}}]);
    let map = json!({
        "metadata": {"name": format!("{name}-settings")}, "data": {"a": "b"},
    });
    lab.send("POST", "/api/v1/namespaces/default/configmaps", map)
        .await;
    let (code, pod) = lab
        .send("POST", "/api/v1/namespaces/default/pods", pod)
        .await;
    assert_eq!(code, 201, "{pod}");
    serde_json::from_value(pod).unwrap()
}

#[tokio::test]
async fn a_node_can_do_all_that_an_agent_does() {
    let lab = Lab::start().await;
    let client = joined(&lab, "node-1", "172.30.0.11").await;
    joined(&lab, "node-2", "172.30.0.12").await;
    let (own, _) = (
        bound(&lab, "own", "node-1").await,
        bound(&lab, "other", "node-2").await,
    );
    let name = NodeName::new("node-1").unwrap();

    // Again, as after a restart; it keeps its range.
    let ours = registration("node-1", "172.30.0.11");
    let node = cluster::register(&client, &ours).await.unwrap();
    let kept = cluster::claim(&client, &ranges(), &name, &node.uid)
        .await
        .unwrap();
    assert_eq!(Some(kept), node.cidrs);
    cluster::heartbeat(&client, &name, &node.uid).await.unwrap();
    cluster::set_network(&client, &name, &Health::Ready)
        .await
        .unwrap();
    assert_eq!(cluster::list_nodes(&client).await.unwrap().len(), 2);

    let reach = cluster::Reach::default();
    let mut nodes = pin!(cluster::watch_nodes(&client, &reach));
    let mut pods = pin!(cluster::watch_pods(&client, &name, &reach));
    assert!(matches!(nodes.next().await, Some(Change::Listing)));
    assert!(matches!(pods.next().await, Some(Change::Listing)));
    let Some(Change::Found(view)) = pods.next().await else {
        panic!("its pod is not listed");
    };
    assert_eq!(view.pod.name, "own");
    assert!(
        matches!(pods.next().await, Some(Change::Listed)),
        "and no other"
    );

    let settings = cluster::config_map(&client, "default", "own-settings").await;
    assert_eq!(settings.unwrap().unwrap().data["a"], "b");
    let report = PodReport {
        state: PodState::There {
            addresses: vec!["10.244.0.2".parse::<IpAddr>().unwrap()],
            containers: ContainersReport {
                phase: "Running",
                ..ContainersReport::default()
            }
            .into(),
        },
        host_addresses: ours.addresses.clone(),
        started: Timestamp::now(),
    };
    cluster::report(&client, &view, &report).await.unwrap();
    let (_, pod) = lab
        .send("GET", "/api/v1/namespaces/default/pods/own", Value::Null)
        .await;
    assert_eq!(pod["status"]["podIP"], "10.244.0.2");

    let (recorder, writing) = cluster::recorder(client.clone(), name, cluster::Reach::default());
    let writing = tokio::spawn(writing);
    let note = Note {
        warning: false,
        reason: "Started",
        message: "Started container main".into(),
    };
    for _ in 0..2 {
        let about = About {
            pod: own.clone().into(),
            field: None,
        };
        recorder.record(about, note.clone());
    }
    eventually("an event that counts two", async || {
        let events = "/api/v1/namespaces/default/events";
        let (_, events) = lab.send("GET", events, Value::Null).await;
        (events["items"][0]["count"] == 2).then_some(())
    })
    .await;
    writing.abort();

    let own = PodName::new("default", "own");
    cluster::delete_pod(&client, &own, &view.uid).await.unwrap();
    let (code, _) = lab
        .send("GET", "/api/v1/namespaces/default/pods/own", Value::Null)
        .await;
    assert_eq!(code, 404);
}

/// `METHOD PATH | BODY | a part of the refusal`; a `-` for no body. THEIRS and MINE are the leases of the nodes' ranges.
const REFUSED: &str = r#"
GET PODS | - | can only list/watch pods with spec.nodeName field selector
GET /api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dnode-2 | - | can only list/watch pods with spec.nodeName
GET PODS/other | - | no relationship found between node 'node-1' and this object
DELETE PODS/other | - | node "node-1" can only delete pods with spec.nodeName set to itself
DELETE PODS | - | cannot deletecollection resource "pods"
PATCH PODS/other/status | {"status": {"phase": "Failed"}} | node "node-1" can only update pod status for pods
PATCH PODS/own | {"metadata": {"labels": {"a": "b"}}} | cannot patch resource "pods" in API group "" in the namespace "default"
PATCH PODS/own/status | {"metadata": {"labels": {"a": "b"}}} | node "node-1" cannot update labels through pod status
POST PODS | {"metadata": {"name": "new"}} | cannot create resource "pods"
POST PODS/other/eviction | {} | node node-1 can only evict pods with spec.nodeName set to itself
POST PODS/own/binding | {} | cannot create resource "pods/binding"
POST PODS/own/exec?command=id | - | cannot create resource "pods/exec"
GET PODS/own/exec?command=id | - | cannot get resource "pods/exec"
GET PODS/own/log | - | cannot get resource "pods/log"
GET PODS/own/attach | - | cannot get resource "pods/attach"
GET PODS/own/portforward | - | cannot get resource "pods/portforward"
GET PODS/own/proxy | - | cannot get resource "pods/proxy"
PATCH NODES/node-2 | {"metadata": {"labels": {"a": "b"}}} | node "node-1" is not allowed to modify node "node-2"
PATCH NODES/node-2/status | {"status": {"addresses": []}} | node "node-1" is not allowed to modify node "node-2"
DELETE NODES/node-1 | - | cannot delete resource "nodes" in API group "" at the cluster scope
POST NODES | {"metadata": {"name": "node-3"}} | node "node-1" is not allowed to modify node "node-3"
PATCH NODES/node-1 | {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}} | node "node-1" is not allowed to modify taints
PATCH NODES/node-1 | {"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}} | is not allowed to modify labels: node-restriction.kubernetes.io/a
PATCH NODES/node-1/status | {"metadata": {"labels": {"node-role.kubernetes.io/a": "b"}}} | is not allowed to modify labels: node-role.kubernetes.io/a
PATCH NODES/node-1 | {"spec": {"podCIDRs": ["10.244.77.0/24"]}} | is not allowed to set a pod CIDR whose lease it does not hold: "10.244.77.0/24"
PATCH CLAIMS/THEIRS | {"spec": {"holderIdentity": "node-1"}} | node "node-1" can only change the leases of pod CIDRs that it holds
PATCH CLAIMS/MINE | {"spec": {"holderIdentity": "node-2"}} | node "node-1" can only hold the leases of pod CIDRs for itself
DELETE CLAIMS/THEIRS | - | node "node-1" can only change the leases of pod CIDRs that it holds
DELETE CLAIMS | - | cannot deletecollection resource "leases"
PATCH BEATS/node-2 | {"spec": {"holderIdentity": "node-1"}} | can only access node lease with the same name as the requesting node
GET BEATS/node-2 | - | can only access node lease with the same name as the requesting node
POST BEATS | {"metadata": {"name": "node-3"}} | can only access node lease with the same name as the requesting node
GET /api/v1/namespaces/default/configmaps/other-settings | - | no relationship found between node 'node-1' and this object
GET /api/v1/namespaces/default/configmaps | - | No Object name found
GET /api/v1/configmaps | - | can only read namespaced object of this type
PATCH /api/v1/namespaces/default/configmaps/own-settings | {} | cannot patch resource "configmaps"
GET /api/v1/namespaces/default/secrets | - | cannot list resource "secrets"
GET /api/v1/namespaces | - | cannot list resource "namespaces"
DELETE /api/v1/namespaces/default | - | cannot delete resource "namespaces" in API group "" in the namespace "default"
POST /apis/apps/v1/namespaces/default/deployments | {} | cannot create resource "deployments" in API group "apps"
GET /metrics | - | cannot get path "/metrics"
"#;

/// The lease by which a node has its range.
fn held_by<'a>(leases: &'a Value, node: &str) -> &'a str {
    let mut all = leases["items"].as_array().unwrap().iter();
    let lease = all.find(|lease| lease["spec"]["holderIdentity"] == node);
    lease.unwrap()["metadata"]["name"].as_str().unwrap()
}

#[tokio::test]
async fn a_node_can_do_nothing_else() {
    let lab = Lab::start().await;
    let client = joined(&lab, "node-1", "172.30.0.11").await;
    joined(&lab, "node-2", "172.30.0.12").await;
    bound(&lab, "own", "node-1").await;
    bound(&lab, "other", "node-2").await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces";
    let claims = format!("{leases}/{CLAIM_NAMESPACE}/leases");
    let (_, before) = send(&client, "GET", &claims, Value::Null).await;
    for line in REFUSED.trim().lines() {
        let [request, body, said] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let (method, path) = request.split_once(' ').unwrap();
        let path = path
            .replace("PODS", "/api/v1/namespaces/default/pods")
            .replace("NODES", "/api/v1/nodes")
            .replace("CLAIMS", &claims)
            .replace("BEATS", &format!("{leases}/kube-node-lease/leases"))
            .replace("THEIRS", held_by(&before, "node-2"))
            .replace("MINE", held_by(&before, "node-1"));
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        let (code, status) = send(&client, method, &path, body).await;
        let message = status["message"].as_str().unwrap_or_default();
        assert_eq!(code, 403, "{line}: {status}");
        assert_eq!(status["reason"], "Forbidden", "{line}");
        assert!(message.contains(said), "{line}: {message}");
    }
    let (_, after) = lab.send("GET", &claims, Value::Null).await;
    assert_eq!(after["items"], before["items"]);
    let other = "/api/v1/namespaces/default/pods/other";
    let (_, other) = lab.send("GET", other, Value::Null).await;
    assert_eq!(other["status"]["phase"], "Pending");
}

#[tokio::test]
async fn a_refusal_says_what_kubernetes_says() {
    let lab = Lab::start().await;
    let client = lab.client_of("system:node:node-1", "system:nodes").await;
    bound(&lab, "other", "node-2").await;
    let nodes: Api<Node> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let error = nodes
        .patch("node-2", &PatchParams::default(), &patch)
        .await
        .unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error:?}");
    };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        status.message,
        "nodes \"node-2\" is forbidden: node \"node-1\" is not allowed to modify node \"node-2\""
    );
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let error = pods.get("other").await.unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        status.message,
        "pods \"other\" is forbidden: User \"system:node:node-1\" cannot get resource \"pods\" in API \
         group \"\" in the namespace \"default\": no relationship found between node 'node-1' and this \
         object"
    );
    assert_eq!(status.details.unwrap().kind, "pods");
}

#[tokio::test]
async fn others_see_what_there_is_and_nothing_of_it() {
    let lab = Lab::start().await;
    let jane = lab.client_of("jane", "developers").await;
    for path in [
        "/version",
        "/healthz",
        "/readyz",
        "/livez",
        "/api",
        "/apis/apps/v1",
        "/openapi/v3",
    ] {
        assert_eq!(send(&jane, "GET", path, Value::Null).await.0, 200, "{path}");
    }
    let pods: Api<Pod> = Api::namespaced(jane.clone(), "default");
    let kube::Error::Api(status) = pods.list(&ListParams::default()).await.unwrap_err() else {
        panic!("no answer");
    };
    assert_eq!(
        status.message,
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the \
         namespace \"default\""
    );
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/"),
        ("POST", "/api/v1/namespaces"),
        ("GET", "/api/v1/unicorns"),
        ("GET", "/api/v1/namespaces/default/pods?watch=1"),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ] {
        let (code, status) = send(&jane, method, path, Value::Null).await;
        assert_eq!(code, 403, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn kubectl_auth_answers_as_the_server_decides() {
    let lab = Lab::start().await;
    joined(&lab, "node-1", "172.30.0.11").await;
    bound(&lab, "own", "node-1").await;
    bound(&lab, "other", "node-2").await;
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let node = ["--as", "system:node:node-1", "--as-group", "system:nodes"];
    let jane = ["--as", "jane"];
    for (who, arguments, answer) in [
        (&[][..], "can-i * *", "yes\n"),
        (&node[..], "can-i get nodes", "yes\n"),
        (&node[..], "can-i delete nodes/node-1", "no\n"),
        (&node[..], "can-i get pods/own", "yes\n"),
        (
            &node[..],
            "can-i get pods/other",
            "no - no relationship found between node 'node-1' and this object\n",
        ),
        (&node[..], "can-i create pods --subresource=exec", "no\n"),
        (
            &node[..],
            "can-i patch pods/own --subresource=status",
            "yes\n",
        ),
        (&node[..], "can-i get configmaps/own-settings", "yes\n"),
        (&node[..], "can-i get /metrics", "no\n"),
        (&jane[..], "can-i list pods", "no\n"),
        (&jane[..], "can-i get /healthz", "yes\n"),
    ] {
        let arguments: Vec<&str> = ["auth"]
            .into_iter()
            .chain(arguments.split(' '))
            .chain(who.iter().copied())
            .collect();
        let output = kubectl.run(&arguments).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, answer, "{arguments:?}: {output:?}");
        assert_eq!(
            output.status.success(),
            answer.starts_with("yes"),
            "{arguments:?}"
        );
    }
    let list = |who: &'static [&'static str]| [&["auth", "can-i", "--list"][..], who].concat();
    let all = kubectl.ok(&list(&[])).await;
    assert!(all.contains("*.*"), "{all}");
    let hers = kubectl.ok(&list(&["--as", "jane"])).await;
    assert!(
        hers.contains("selfsubjectreviews.authentication.k8s.io"),
        "{hers}"
    );
    assert!(!hers.contains("pods"), "{hers}");
    let theirs = kubectl
        .ok(&[&["auth", "can-i", "--list"][..], &node].concat())
        .await;
    assert!(theirs.contains("pods/status"), "{theirs}");
    let who = "jsonpath={.status.userInfo.username} {.status.userInfo.groups}";
    let me = kubectl.ok(&["auth", "whoami", "-o", who]).await;
    assert_eq!(me, r#"tester ["system:masters","system:authenticated"]"#);
    let jane = [
        "auth",
        "whoami",
        "--as",
        "jane",
        "--as-group",
        "a",
        "-o",
        who,
    ];
    assert_eq!(
        kubectl.ok(&jane).await,
        r#"jane ["a","system:authenticated"]"#
    );
    let refused = kubectl.refused(&["get", "pods", "--as", "jane"]).await;
    assert_eq!(
        refused,
        "Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list resource \"pods\" in \
         API group \"\" in the namespace \"default\"\n"
    );
}

#[tokio::test]
async fn only_masters_act_as_somebody_else() {
    let lab = Lab::start().await;
    let node = lab.client_of("system:node:node-1", "system:nodes").await;
    let asked = async |client: &Client, headers: &[(&str, &str)]| {
        let mut request = hyper::Request::get("/api/v1/namespaces/default/pods");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(kube::client::Body::empty()).unwrap();
        client.send(request).await.unwrap().status().as_u16()
    };
    let masters = [
        ("impersonate-user", "root"),
        ("impersonate-group", "system:masters"),
    ];
    assert_eq!(asked(&node, &masters).await, 403);
    assert_eq!(asked(&node, &masters[..1]).await, 403);
    assert_eq!(asked(&lab.client, &masters).await, 200);
    assert_eq!(
        asked(&lab.client, &masters[..1]).await,
        403,
        "root is nobody"
    );
    assert_eq!(
        asked(&lab.client, &masters[1..]).await,
        400,
        "a group without a user"
    );
    let extra = [
        ("impersonate-user", "root"),
        ("impersonate-extra-scopes", "x"),
    ];
    assert_eq!(asked(&lab.client, &extra).await, 400);
}

/// What another program asks, in whatever form.
#[tokio::test]
async fn a_review_answers_for_others() {
    let lab = Lab::start().await;
    bound(&lab, "own", "node-1").await;
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let ask = async |spec: Value| lab.send("POST", path, json!({"spec": spec})).await;
    let subject = |attributes: Value| {
        json!({
            "user": "system:node:node-1", "groups": ["system:nodes", "system:authenticated"],
            "resourceAttributes": attributes,
        })
    };
    let pods = json!({"verb": "list", "resource": "pods", "version": "v1"});
    let (code, review) = ask(subject(pods.clone())).await;
    assert_eq!((code, &review["status"]["allowed"]), (201, &json!(false)));
    for selector in [
        json!({"rawSelector": "spec.nodeName=node-1"}),
        json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["node-1"]}]}),
    ] {
        let mut pods = pods.clone();
        pods["fieldSelector"] = selector;
        let (_, review) = ask(subject(pods)).await;
        assert_eq!(review["status"], json!({"allowed": true}));
    }
    let spec = json!({"groups": ["system:masters"], "nonResourceAttributes": {"verb": "get", "path": "/metrics"}});
    assert_eq!(ask(spec).await.1["status"]["allowed"], true);
    for spec in [
        json!({"user": "jane"}),
        json!({"resourceAttributes": {"verb": "get"}}),
    ] {
        assert_eq!(ask(spec).await.0, 400);
    }
}
