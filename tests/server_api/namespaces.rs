//! How namespaces begin and end.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually, pod};

const NAMESPACES: &str = "/api/v1/namespaces";
const MERGE: &str = "application/merge-patch+json";

async fn make(lab: &Lab, name: &str) -> Value {
    let (code, made) = lab
        .send("POST", NAMESPACES, json!({"metadata": {"name": name}}))
        .await;
    assert_eq!(code, 201, "{made}");
    made
}

/// `status reason: message` of a condition.
fn condition(namespace: &Value, kind: &str) -> String {
    let conditions = namespace["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.map_or(String::new(), |condition| {
        format!(
            "{} {}: {}",
            condition["status"].as_str().unwrap(),
            condition["reason"].as_str().unwrap(),
            condition["message"].as_str().unwrap()
        )
    })
}

async fn gone(lab: &Lab, path: &str) {
    eventually(&format!("{path} is gone"), async || {
        let (code, _) = lab.send("GET", path, Value::Null).await;
        (code == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it_and_says_what_it_waits_for() {
    let lab = Lab::start().await;
    let made = make(&lab, "shop").await;
    assert_eq!(made["status"]["phase"], "Active");
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(
        made["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "shop"
    );
    let mut held = pod("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let pods = "/api/v1/namespaces/shop/pods";
    lab.send("POST", pods, held).await;
    lab.send("POST", pods, pod("free")).await;
    let maps = "/api/v1/namespaces/shop/configmaps";
    lab.send("POST", maps, json!({"metadata": {"name": "a"}}))
        .await;
    let path = "/api/v1/namespaces/shop";
    let (_, deleted) = lab.send("DELETE", path, Value::Null).await;
    assert_eq!(deleted["status"]["phase"], "Terminating");
    let (code, status) = lab.send("POST", pods, pod("late")).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods \"late\" is forbidden: unable to create new content in namespace shop because it is being \
         terminated"
    );
    assert_eq!(
        status["details"]["causes"],
        json!([{
            "reason": "NamespaceTerminating", "message": "namespace shop is being terminated",
            "field": "metadata.namespace",
        }])
    );
    let waits = eventually("only the held pod is left", async || {
        let (_, namespace) = lab.send("GET", path, Value::Null).await;
        let remaining = condition(&namespace, "NamespaceContentRemaining");
        remaining
            .ends_with(": pods. has 1 resource instances")
            .then_some(namespace)
    })
    .await;
    for (kind, expected) in [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False ResourcesDiscovered: All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False ParsedGroupVersions: All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False ContentDeleted: All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            "True SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances",
        ),
        (
            "NamespaceFinalizersRemaining",
            "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: \
             example.com/hold in 1 resource instances",
        ),
    ] {
        assert_eq!(condition(&waits, kind), expected);
    }
    let (_, list) = lab.send("GET", maps, Value::Null).await;
    assert_eq!(list["items"], json!([]));
    let release = json!({"metadata": {"finalizers": null}});
    lab.send_as("PATCH", &format!("{pods}/held"), MERGE, release)
        .await;
    gone(&lab, path).await;
    make(&lab, "shop").await;
    let (code, _) = lab
        .send("DELETE", "/api/v1/namespaces/default", Value::Null)
        .await;
    assert_eq!(code, 403);
    let (code, _) = lab.send("DELETE", NAMESPACES, Value::Null).await;
    assert_eq!(code, 405, "not all at once");
}

#[tokio::test]
async fn a_namespace_waits_for_its_own_finalizers_too() {
    let lab = Lab::start().await;
    let own = json!({
        "metadata": {"name": "own", "finalizers": ["example.com/meta"]},
        "spec": {"finalizers": ["example.com/spec"]},
    });
    let (_, made) = lab.send("POST", NAMESPACES, own).await;
    assert_eq!(
        made["spec"]["finalizers"],
        json!(["example.com/spec", "kubernetes"])
    );
    let path = format!("{NAMESPACES}/own");
    let none = json!({"spec": {"finalizers": null}});
    let (_, kept) = lab.send_as("PATCH", &path, MERGE, none).await;
    assert_eq!(kept["spec"], made["spec"], "only finalize changes them");
    lab.send("DELETE", &path, Value::Null).await;
    let left = eventually("the controller has done its part", async || {
        let (_, namespace) = lab.send("GET", &path, Value::Null).await;
        (namespace["spec"]["finalizers"] == json!(["example.com/spec"])).then_some(namespace)
    })
    .await;
    assert_eq!(
        condition(&left, "NamespaceContentRemaining"),
        "False ContentRemoved: All content successfully removed"
    );
    let mut done = left;
    done["spec"] = json!({});
    let (code, finalized) = lab.send("PUT", &format!("{path}/finalize"), done).await;
    assert_eq!((code, &finalized["spec"]), (200, &json!({})), "{finalized}");
    assert_eq!(
        finalized["metadata"]["finalizers"],
        json!(["example.com/meta"])
    );
    let more = json!({"metadata": {"finalizers": ["example.com/meta", "example.com/late"]}});
    let (code, status) = lab.send_as("PATCH", &path, MERGE, more).await;
    assert_eq!(code, 422);
    assert_eq!(
        status["message"],
        "Namespace \"own\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if \
         the object is being deleted, found new finalizers []string{\"example.com/late\"}"
    );
    let none = json!({"metadata": {"finalizers": null}});
    lab.send_as("PATCH", &path, MERGE, none).await;
    gone(&lab, &path).await;
    let odd = json!({"metadata": {"name": "odd"}, "spec": {"finalizers": ["mine"]}});
    let (code, _) = lab.send("POST", NAMESPACES, odd).await;
    assert_eq!(code, 422);
}
