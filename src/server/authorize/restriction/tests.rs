use serde_json::json;

use super::super::tests::{bound, lease, node, stored};
use super::*;
use crate::server::kinds::config_map::CONFIG_MAPS;
use crate::server::kinds::namespace::NAMESPACES;

fn restriction() -> Restriction {
    Restriction::of(&node())
}

fn created(resource: &'static Resource, new: &Value) -> Result<(), String> {
    let checked = restriction().check_create(resource, new, &stored());
    checked.map_err(|error| error.to_string())
}

fn updated(
    resource: &'static Resource,
    subresource: Option<Subresource>,
    old: &Value,
    new: &Value,
) -> Result<(), String> {
    let old = StoredObject::new(resource, old, 1);
    let checked = restriction().check_update(subresource, &old, new, &stored());
    checked.map_err(|error| error.to_string())
}

#[test]
fn a_node_makes_only_itself_its_leases_and_events() {
    let labelled = |labels: Value| json!({"metadata": {"name": "node-1", "labels": labels}});
    let free = json!({
        "disk": "ssd", "example.com/a": "b", "kubernetes.io/hostname": "node-1",
        "x.node.kubernetes.io/y": "z", "topology.kubernetes.io/zone": "a",
    });
    assert_eq!(created(&NODES, &labelled(free)), Ok(()));
    let kept = json!({
        "node-role.kubernetes.io/control-plane": "", "k8s.io/a": "", "a": "",
        "x.node-restriction.kubernetes.io/b": "",
    });
    assert_eq!(
        created(&NODES, &labelled(kept)).unwrap_err(),
        "nodes \"node-1\" is forbidden: is not allowed to set the following labels: k8s.io/a, \
         node-role.kubernetes.io/control-plane, x.node-restriction.kubernetes.io/b"
    );
    let other = json!({"metadata": {"name": "node-3"}});
    assert!(
        created(&NODES, &other)
            .unwrap_err()
            .contains("is not allowed to modify node")
    );

    assert_eq!(
        created(&LEASES, &lease("kube-node-lease", "node-1", "x")),
        Ok(())
    );
    assert_eq!(
        created(&LEASES, &lease("kube-system", "podcidr-a", "node-1")),
        Ok(())
    );
    for (namespace, name, node) in [
        ("kube-node-lease", "node-2", "node-1"),
        ("kube-system", "podcidr-a", "node-2"),
        ("kube-system", "leader", "node-1"),
        ("default", "node-1", "node-1"),
    ] {
        let lease = lease(namespace, name, node);
        assert!(created(&LEASES, &lease).is_err(), "{lease}");
    }
    let mut foreign = lease("kube-system", "podcidr-a", "node-1");
    foreign["metadata"]["ownerReferences"][0]["uid"] = "uid-of-node-2".into();
    assert!(
        created(&LEASES, &foreign).is_err(),
        "another node would hold it"
    );
    foreign["metadata"]["ownerReferences"] = json!([]);
    assert!(created(&LEASES, &foreign).is_err(), "nobody would free it");

    let object = json!({"metadata": {"name": "a", "namespace": "default"}});
    assert_eq!(created(&EVENTS, &object), Ok(()));
    for resource in [&PODS, &CONFIG_MAPS, &NAMESPACES] {
        assert!(created(resource, &object).is_err(), "{resource:?}");
    }
}

#[test]
fn a_node_changes_only_what_is_its_own() {
    let node = |extra: Value| {
        let mut node = json!({"metadata": {"name": "node-1"}, "spec": {}});
        json_patch::merge(&mut node, &extra);
        node
    };
    let plain = node(json!({}));
    let change = |old: &Value, new: &Value| updated(&NODES, None, old, new);
    for allowed in [
        json!({"spec": {"unschedulable": true}}),
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"spec": {"podCIDRs": []}}),
    ] {
        assert_eq!(change(&plain, &node(allowed.clone())), Ok(()), "{allowed}");
    }
    let tainted = node(json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}));
    let taints = "nodes \"node-1\" is forbidden: node \"node-1\" is not allowed to modify taints";
    assert_eq!(change(&plain, &tainted), Err(taints.into()));
    assert_eq!(change(&tainted, &plain), Err(taints.into()));
    let kept = node(json!({"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}}));
    let labels = "nodes \"node-1\" is forbidden: is not allowed to modify labels: \
                  node-restriction.kubernetes.io/a";
    assert_eq!(change(&plain, &kept), Err(labels.into()));
    assert_eq!(change(&kept, &plain), Err(labels.into()));
    let status = Some(Subresource::Status);
    assert_eq!(updated(&NODES, status, &plain, &kept), Err(labels.into()));
    let range = node(json!({"spec": {"podCIDRs": ["10.244.7.0/24"]}}));
    assert!(
        change(&plain, &range)
            .unwrap_err()
            .contains("does not hold: \"10.244.7.0/24\"")
    );
    let other = json!({"metadata": {"name": "node-2"}});
    assert!(change(&other, &other).is_err());
}

#[test]
fn a_node_says_how_its_own_pods_are() {
    let status = Some(Subresource::Status);
    let (own, other) = (bound("own", "node-1"), bound("other", "node-2"));
    assert_eq!(updated(&PODS, status, &own, &own), Ok(()));
    assert_eq!(
        updated(&PODS, status, &other, &other),
        Err(
            "pods \"other\" is forbidden: node \"node-1\" can only update pod status for pods with \
             spec.nodeName set to itself"
                .into()
        )
    );
    let mut labelled = own.clone();
    labelled["metadata"]["labels"]["app"] = "db".into();
    assert!(updated(&PODS, status, &own, &labelled).is_err());
    assert!(updated(&PODS, None, &own, &own).is_err());
    let deleted = |pod: &Value| restriction().check_delete(&StoredObject::new(&PODS, pod, 1));
    assert!(deleted(&own).is_ok());
    assert!(deleted(&other).is_err());
    let node = StoredObject::new(&NODES, &json!({"metadata": {"name": "node-1"}}), 1);
    assert!(restriction().check_delete(&node).is_err());
}

#[test]
fn a_node_moves_no_lease() {
    let own = lease("kube-system", "podcidr-a", "node-1");
    let theirs = lease("kube-system", "podcidr-a", "node-2");
    assert_eq!(updated(&LEASES, None, &own, &own), Ok(()));
    assert!(updated(&LEASES, None, &own, &theirs).is_err());
    assert!(updated(&LEASES, None, &theirs, &own).is_err());
    let deleted = |lease: &Value| restriction().check_delete(&StoredObject::new(&LEASES, lease, 1));
    assert!(deleted(&own).is_ok());
    assert!(deleted(&theirs).is_err());
    let beat = |node: &str| lease("kube-node-lease", node, node);
    assert_eq!(
        updated(&LEASES, None, &beat("node-1"), &beat("node-1")),
        Ok(())
    );
    assert!(updated(&LEASES, None, &beat("node-2"), &beat("node-2")).is_err());
}
