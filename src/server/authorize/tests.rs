use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::server::kinds::lease::LEASES;
use crate::server::kinds::node::NODES;
use crate::server::kinds::pod::PODS;
use crate::server::resource::ALL;

pub(super) struct Stored(BTreeMap<String, Arc<StoredObject>>);

impl Objects for Stored {
    fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        self.0.get(key).cloned()
    }

    fn under(&self, prefix: &str) -> Vec<Arc<StoredObject>> {
        let all = self.0.iter().filter(|(key, _)| key.starts_with(prefix));
        all.map(|(_, object)| object.clone()).collect()
    }
}

/// Two nodes, each with a pod that names config maps, a heartbeat and a range.
pub(super) fn stored() -> Stored {
    let mut all = BTreeMap::new();
    for (node, pod) in [("node-1", "own"), ("node-2", "other")] {
        for (resource, value) in [
            (
                &NODES,
                json!({"metadata": {"name": node, "uid": uid(node)}}),
            ),
            (&PODS, bound(pod, node)),
            (&LEASES, lease("kube-node-lease", node, node)),
            (
                &LEASES,
                lease("kube-system", &format!("podcidr-{node}"), node),
            ),
        ] {
            let object = StoredObject::new(resource, &value, 1);
            all.insert(object.key.to_string(), Arc::new(object));
        }
    }
    Stored(all)
}

fn uid(node: &str) -> String {
    format!("uid-of-{node}")
}

pub(super) fn bound(pod: &str, node: &str) -> Value {
    let named = |what: &str| format!("{pod}-{what}");
    json!({
        "metadata": {"name": pod, "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "nodeName": node,
            "volumes": [
                {"name": "a", "configMap": {"name": named("volume")}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": named("projected")}}]}},
            ],
            "containers": [{
                "name": "mentioned",
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": named("variable"), "key": "a"}}}],
            }],
            "initContainers": [{"name": "init", "envFrom": [{"configMapRef": {"name": named("environment")}}]}],
        },
    })
}

pub(super) fn lease(namespace: &str, name: &str, node: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": namespace,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid(node)},
            ],
        },
        "spec": {"holderIdentity": node},
    })
}

fn caller(user: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Caller::authenticated(user.to_owned(), groups)
}

pub(super) fn node() -> Caller {
    caller("system:node:node-1", &["system:nodes"])
}

const VERBS: [&str; 9] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
];

/// Every verb on every resource and subresource that is served, and on some that are not.
fn everything<'a>() -> impl Iterator<Item = ResourceAsked<'a>> {
    let served = ALL.iter().flat_map(|resource| {
        let subresources = resource.subresources.iter().map(|one| one.name());
        let whole = std::iter::once("").chain(subresources);
        whole.map(|subresource| (resource.group, resource.plural, subresource))
    });
    let others = [
        ("", "secrets", ""),
        ("", "users", ""),
        ("", "pods", "proxy"),
        ("", "serviceaccounts", "token"),
        ("apps", "nodes", ""),
        ("events.k8s.io", "events", ""),
        ("authentication.k8s.io", "selfsubjectreviews", ""),
        ("authorization.k8s.io", "selfsubjectaccessreviews", ""),
        ("authorization.k8s.io", "selfsubjectrulesreviews", ""),
        ("authorization.k8s.io", "subjectaccessreviews", ""),
        ("certificates.k8s.io", "certificatesigningrequests", ""),
        ("*", "*", ""),
    ];
    served
        .chain(others)
        .flat_map(|(group, resource, subresource)| {
            VERBS.map(|verb| ResourceAsked {
                verb,
                group,
                resource,
                subresource,
                ..ResourceAsked::default()
            })
        })
}

/// `VERB RESOURCE` of what is allowed of everything, in that place and for an object of that name.
fn allowed(caller: &Caller, namespace: &str, name: &str) -> Vec<String> {
    let objects = stored();
    everything()
        .filter_map(|mut asked| {
            asked.namespace = namespace;
            asked.name = name.into();
            let slash = if asked.subresource.is_empty() {
                ""
            } else {
                "/"
            };
            let line = format!(
                "{} {}{slash}{}",
                asked.verb, asked.resource, asked.subresource
            );
            match authorize(caller, &Asked::Resource(asked), &objects) {
                Decision::Allowed => Some(line),
                Decision::Denied(_) => None,
            }
        })
        .collect()
}

const BASIC: [&str; 3] = [
    "create selfsubjectreviews",
    "create selfsubjectaccessreviews",
    "create selfsubjectrulesreviews",
];

/// What concerns no single object, or nobody's in particular.
const NODE_ANYWHERE: [&str; 18] = [
    "get endpoints",
    "list endpoints",
    "watch endpoints",
    "create events",
    "update events",
    "patch events",
    "get nodes",
    "list nodes",
    "watch nodes",
    "create nodes",
    "get services",
    "list services",
    "watch services",
    "get endpointslices",
    "list endpointslices",
    "watch endpointslices",
    "create subjectaccessreviews",
    "create pods/eviction",
];

#[track_caller]
fn may(namespace: &str, name: &str, more: &[&str]) {
    let mut expected: Vec<&str> = BASIC
        .iter()
        .chain(&NODE_ANYWHERE)
        .chain(more)
        .copied()
        .collect();
    let own =
        ["update", "patch"].map(|verb| [format!("{verb} nodes"), format!("{verb} nodes/status")]);
    if matches!(name, "" | "node-1") {
        expected.extend(own.iter().flatten().map(String::as_str));
    }
    if name == "other" {
        expected.retain(|line| *line != "create pods/eviction");
    }
    expected.sort_unstable();
    let mut found = allowed(&node(), namespace, name);
    found.sort_unstable();
    assert_eq!(found, expected, "{namespace}/{name}");
}

#[test]
fn a_node_may_do_what_is_its_own_and_nothing_else() {
    let pods = ["delete pods", "update pods/status", "patch pods/status"];
    may("", "", &pods);
    may("", "node-1", &pods);
    may("", "node-2", &pods);
    let own = [&pods[..], &["get pods", "list pods", "watch pods"]].concat();
    may("default", "own", &own);
    may("default", "other", &[]);
    for name in ["volume", "projected", "variable", "environment"] {
        let read = ["get configmaps", "list configmaps", "watch configmaps"];
        may(
            "default",
            &format!("own-{name}"),
            &[&pods[..], &read].concat(),
        );
        may("default", &format!("other-{name}"), &pods);
        may(
            "kube-system",
            &format!("own-{name}"),
            &[&pods[..], &["list leases", "create leases"]].concat(),
        );
    }
    may("default", "mentioned", &pods);
}

#[test]
fn a_node_has_its_own_leases() {
    let pods = ["delete pods", "update pods/status", "patch pods/status"];
    let change = [
        "create leases",
        "update leases",
        "patch leases",
        "delete leases",
    ];
    let heartbeat = [&pods[..], &change, &["get leases"]].concat();
    may("kube-node-lease", "node-1", &heartbeat);
    may(
        "kube-node-lease",
        "node-2",
        &[&pods[..], &["create leases"]].concat(),
    );
    let seen = [&pods[..], &["get leases", "list leases", "create leases"]].concat();
    may("kube-system", "podcidr-node-2", &seen);
    may(
        "kube-system",
        "podcidr-node-1",
        &[&heartbeat[..], &["list leases"]].concat(),
    );
    may(
        "kube-system",
        "leader",
        &[&pods[..], &["list leases", "create leases"]].concat(),
    );
}

#[test]
fn pods_are_listed_by_the_node_they_are_bound_to() {
    let objects = stored();
    let decide = |selector: &'static str, namespace| {
        let asked = ResourceAsked {
            verb: "watch",
            resource: "pods",
            namespace,
            field_selector: selector,
            ..ResourceAsked::default()
        };
        authorize(&node(), &Asked::Resource(asked), &objects)
    };
    for namespace in ["", "default"] {
        for selector in [
            "spec.nodeName=node-1",
            "spec.nodeName==node-1,status.phase!=Failed",
        ] {
            assert_eq!(decide(selector, namespace), Decision::Allowed, "{selector}");
        }
        for selector in [
            "",
            "spec.nodeName=node-2",
            "spec.nodeName!=node-2",
            "spec.nodeName=",
            "spec.nodeName",
            "metadata.namespace=default",
        ] {
            let denied =
                Decision::denied("can only list/watch pods with spec.nodeName field selector");
            assert_eq!(decide(selector, namespace), denied, "{selector}");
        }
    }
}

#[test]
fn others_may_look_at_discovery_and_ask_about_themselves() {
    for (namespace, name) in [("", ""), ("default", "own"), ("kube-node-lease", "node-1")] {
        for caller in [
            caller("jane", &["developers"]),
            caller("system:node:node-1", &["developers"]),
            caller("node-1", &["system:nodes"]),
            caller("system:node:", &["system:nodes"]),
            caller("system:masters", &[]),
        ] {
            let mut found = allowed(&caller, namespace, name);
            found.sort_unstable();
            let mut basic = BASIC.to_vec();
            basic.sort_unstable();
            assert_eq!(found, basic, "{caller:?}");
        }
    }
    let anonymous = caller("system:anonymous", &["system:unauthenticated"]);
    assert!(allowed(&anonymous, "", "").is_empty());
    let nobody = Caller::new("jane".into(), Vec::new());
    assert!(allowed(&nobody, "", "").is_empty());
    let all = everything().count();
    assert_eq!(
        allowed(&caller("root", &["system:masters"]), "", "").len(),
        all
    );
}

#[test]
fn paths() {
    let objects = stored();
    let may = |caller: &Caller, verb, path| {
        authorize(caller, &Asked::Path { verb, path }, &objects) == Decision::Allowed
    };
    let (master, jane) = (caller("root", &["system:masters"]), caller("jane", &[]));
    let anonymous = caller("system:anonymous", &["system:unauthenticated"]);
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        for caller in [&master, &node(), &jane, &anonymous] {
            assert!(may(caller, "get", path), "{path} {caller:?}");
        }
        assert!(!may(&jane, "post", path), "{path}");
    }
    for path in ["/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v3"] {
        for caller in [&master, &node(), &jane] {
            assert!(may(caller, "get", path), "{path} {caller:?}");
        }
        assert!(!may(&anonymous, "get", path), "{path}");
    }
    for path in ["/", "/metrics", "/healthz/ping", "/apiserver", "/logs"] {
        assert!(may(&master, "get", path), "{path}");
        for caller in [&node(), &jane, &anonymous] {
            assert!(!may(caller, "get", path), "{path} {caller:?}");
        }
    }
}

#[test]
fn refusals_are_worded_as_kubernetes_words_them() {
    let objects = stored();
    let refused =
        |caller: &Caller, asked| require(caller, &asked, &objects).unwrap_err().to_string();
    let asked = ResourceAsked {
        verb: "get",
        group: "coordination.k8s.io",
        resource: "leases",
        namespace: "default",
        name: "x".into(),
        ..ResourceAsked::default()
    };
    assert_eq!(
        refused(&node(), Asked::Resource(asked)),
        "leases.coordination.k8s.io \"x\" is forbidden: User \"system:node:node-1\" cannot get \
         resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"default\": can \
         only access leases in the \"kube-node-lease\" system namespace"
    );
    let asked = ResourceAsked {
        verb: "create",
        resource: "pods",
        subresource: "exec",
        ..ResourceAsked::default()
    };
    assert_eq!(
        refused(&caller("jane", &[]), Asked::Resource(asked)),
        "pods is forbidden: User \"jane\" cannot create resource \"pods/exec\" in API group \"\" at \
         the cluster scope"
    );
    let asked = Asked::Path {
        verb: "get",
        path: "/metrics",
    };
    assert_eq!(
        refused(&caller("jane", &[]), asked),
        "forbidden: User \"jane\" cannot get path \"/metrics\""
    );
    let asked = ResourceAsked {
        verb: "patch",
        resource: "nodes",
        name: "node-2".into(),
        ..ResourceAsked::default()
    };
    assert_eq!(
        refused(&node(), Asked::Resource(asked)),
        "nodes \"node-2\" is forbidden: node \"node-1\" is not allowed to modify node \"node-2\""
    );
}

#[test]
fn a_name_may_be_in_the_field_selector() {
    let options = Options::parse("fieldSelector=metadata.name%3Down-volume&watch=1").unwrap();
    let path = "/api/v1/namespaces/default/configmaps";
    let target = crate::server::request::Target::parse(&hyper::Method::GET, path, &options);
    let Ok(crate::server::request::Target::Resource(request)) = target else {
        panic!("it is a resource");
    };
    let asked = ResourceAsked::of(&request, &options);
    assert_eq!((asked.verb, &*asked.name), ("watch", "own-volume"));
}
