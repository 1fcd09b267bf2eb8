use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::server::kinds::pod::PODS;

const NOW: &str = "2026-01-01T00:00:00Z";

fn manager(name: &str) -> Manager {
    Manager::updater(name.into(), &PODS, None)
}

fn apply(live: &Value, config: &Value, name: &str, force: bool) -> Result<Value, ApiError> {
    let by = manager(name).applier();
    let application = Application {
        resource: &PODS,
        subresource: None,
        config,
        by: &by,
        force,
        now: NOW.into(),
    };
    application.onto(live.clone())
}

fn pod_shape() -> Shape {
    Shape::object(Type::of(&PODS))
}

fn owned(object: &Value, name: &str) -> Value {
    let entries = object::list(object, "/metadata/managedFields");
    let entry = entries.iter().find(|entry| entry["manager"] == name);
    entry.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn bare(mut object: Value) -> Value {
    object::metadata(&mut object).shift_remove("managedFields");
    object
}

#[test]
fn an_applier_owns_what_it_says_as_kubernetes_writes_it() {
    let config = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}, "finalizers": ["x/y"]},
        "spec": {
            "containers": [{
                "name": "main", "image": "pause",
                "ports": [{"containerPort": 80}],
                "args": ["a"],
            }],
            "nodeSelector": {"disk": "fast"},
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    });
    let made = apply(&json!({}), &config, "me", false).unwrap();
    assert_eq!(
        owned(&made, "me"),
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"main\"}": {
                    ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:containerPort": {},
                    }},
                }},
                "f:nodeSelector": {},
                "f:volumes": {"k:{\"name\":\"v\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
            },
        })
    );
}

#[test]
fn what_nobody_says_any_more_goes() {
    let label = |labels: Value| json!({"metadata": {"name": "web", "labels": labels}});
    let live = apply(&json!({}), &label(json!({"a": "1", "b": "1"})), "me", false).unwrap();
    let live = apply(&live, &label(json!({"b": "1", "c": "1"})), "you", false).unwrap();
    let live = apply(&live, &json!({"metadata": {"name": "web"}}), "me", false).unwrap();
    assert_eq!(live["metadata"]["labels"], json!({"b": "1", "c": "1"}));
    assert_eq!(owned(&live, "me"), Value::Null);
    let live = apply(&live, &json!({"metadata": {"name": "web"}}), "you", false).unwrap();
    assert_eq!(live, json!({"metadata": {"name": "web"}}));
}

#[test]
fn what_is_said_to_be_empty_is_there_and_empty() {
    let label = |labels: Value| json!({"metadata": {"name": "web", "labels": labels}});
    let live = apply(&json!({}), &label(json!({"a": "1"})), "me", false).unwrap();
    let live = apply(&live, &label(json!({})), "me", false).unwrap();
    assert_eq!(live["metadata"]["labels"], json!({}));
    let again = apply(&live, &label(json!({})), "me", false).unwrap();
    assert_eq!(again, live);
}

#[test]
fn what_went_belongs_to_nobody_not_even_as_an_empty_one() {
    let label = |labels: Value| json!({"metadata": {"name": "web", "labels": labels}});
    let live = apply(&json!({}), &label(json!({"a": "1"})), "me", false).unwrap();
    let live = apply(&live, &label(json!({})), "you", false).unwrap();
    assert_eq!(owned(&live, "you"), json!({"f:metadata": {"f:labels": {}}}));
    let mut changed = live.clone();
    object::metadata(&mut changed).shift_remove("labels");
    track(&PODS, &live, &mut changed, &manager("edit"), NOW);
    assert_eq!(changed["metadata"].get("managedFields"), None);
}

#[test]
fn an_element_that_somebody_else_has_a_field_of_keeps_its_key() {
    let ports = |ports: Value| {
        let container = json!({"name": "main", "ports": ports});
        json!({"metadata": {"name": "web"}, "spec": {"containers": [container]}})
    };
    let live = apply(
        &json!({}),
        &ports(json!([{"containerPort": 80}])),
        "me",
        false,
    )
    .unwrap();
    let mut named = live.clone();
    named["spec"]["containers"][0]["ports"][0]["name"] = "http".into();
    track(&PODS, &live, &mut named, &manager("edit"), NOW);
    let live = apply(&named, &ports(json!([{"containerPort": 81}])), "me", false).unwrap();
    assert_eq!(
        live["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 80, "name": "http"}, {"containerPort": 81}])
    );
}

#[test]
fn what_was_there_twice_is_there_once_when_it_is_applied() {
    let env = |env: Value| {
        let container = json!({"name": "main", "env": env});
        json!({"metadata": {"name": "web"}, "spec": {"containers": [container]}})
    };
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut live = env(json!([value("A", "1"), value("B", "1"), value("A", "2")]));
    track_new(&PODS, &mut live, &manager("create"), NOW);
    let other = apply(&live, &env(json!([value("C", "3")])), "me", false).unwrap();
    assert_eq!(
        other["spec"]["containers"][0]["env"],
        json!([
            value("A", "1"),
            value("B", "1"),
            value("A", "2"),
            value("C", "3")
        ])
    );
    let config = env(json!([value("A", "3")]));
    let refused = apply(&live, &config, "me", false);
    assert!(
        matches!(refused, Err(ApiError::ApplyConflict { .. })),
        "{refused:?}"
    );
    let forced = apply(&live, &config, "me", true).unwrap();
    assert_eq!(
        forced["spec"]["containers"][0]["env"],
        json!([value("A", "3"), value("B", "1")])
    );
}

#[test]
fn what_is_said_twice_is_refused() {
    let ports = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]);
    let container = json!({"name": "a", "ports": ports});
    let config = json!({
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {"containers": [container]},
    });
    let refused = apply(&json!({}), &config, "me", true).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "failed to create typed patch object (shop/web; v1, Kind=Pod): \
         .spec.containers[name=\"a\"].ports: duplicate entries for key \
         [containerPort=80,protocol=\"TCP\"]"
    );
}

#[test]
fn another_owner_is_asked_or_overruled() {
    let image = |image: &str| json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": image}]}});
    let live = apply(&json!({}), &image("one"), "me", false).unwrap();
    let refused = apply(&live, &image("two"), "you", false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"me\": .spec.containers[name=\"a\"].image"
    );
    assert_eq!(
        refused.status()["details"]["causes"][0]["reason"],
        "FieldManagerConflict"
    );
    let live = apply(&live, &image("two"), "you", true).unwrap();
    let container = &owned(&live, "me")["f:spec"]["f:containers"]["k:{\"name\":\"a\"}"];
    assert_eq!(container, &json!({".": {}, "f:name": {}}));
    // Alike is no conflict.
    assert!(apply(&live, &image("two"), "me", false).is_ok());
}

#[test]
fn other_verbs_take_what_they_change() {
    let config = json!({"metadata": {"name": "web", "labels": {"a": "1", "b": "1"}}});
    let live = apply(&json!({}), &config, "me", false).unwrap();
    let mut changed = live.clone();
    changed["metadata"]["labels"] = json!({"a": "2", "c": "1"});
    track(&PODS, &live, &mut changed, &manager("edit"), NOW);
    assert_eq!(owned(&changed, "me"), Value::Null);
    let labels = &owned(&changed, "edit")["f:metadata"]["f:labels"];
    assert_eq!(labels, &json!({"f:a": {}, "f:c": {}}));
    let refused = apply(&changed, &config, "me", false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 1 conflict: conflict with \"edit\" using v1 at 2026-01-01T00:00:00Z: \
         .metadata.labels.a"
    );
    let mut forgotten = changed.clone();
    forgotten["metadata"]["managedFields"] = json!([{}]);
    track(&PODS, &changed, &mut forgotten, &manager("edit"), NOW);
    assert_eq!(forgotten["metadata"].get("managedFields"), None);
}

#[test]
fn there_is_an_end_to_updaters() {
    let mut live = json!({"metadata": {"name": "web"}});
    for n in 0..30 {
        let mut new = live.clone();
        new["metadata"]["labels"][format!("l{n}")] = json!("x");
        track(&PODS, &live, &mut new, &manager(&format!("m{n}")), NOW);
        live = new;
    }
    let managers = Managers::of(&live);
    assert_eq!(managers.0.len(), 10);
    let mut all = Fields::default();
    managers.0.iter().for_each(|entry| all.add(&entry.fields));
    assert_eq!(all.paths().len(), 30);
}

/// Parts of pods, with names so few that they meet.
fn a_config() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    let env = prop::collection::btree_map("[A-C]", "[x-z]", 0..3);
    let containers = prop::collection::btree_map("[a-c]", ("[x-z]", env), 0..3);
    let tolerations = prop::collection::vec("[a-c]", 0..3);
    let node_selector = prop::option::of(prop::collection::btree_map("[a-c]", "[x-z]", 1..3));
    (labels, containers, tolerations, node_selector).prop_map(|parts| {
        let (labels, containers, tolerations, node_selector) = parts;
        let mut config = json!({"metadata": {"name": "web"}, "spec": {"priority": 1}});
        if !labels.is_empty() {
            config["metadata"]["labels"] = json!(labels);
        }
        if !containers.is_empty() {
            let containers = containers.into_iter().map(|(name, (image, env))| {
                let mut container = json!({"name": name, "image": image});
                if !env.is_empty() {
                    let env = env.into_iter().map(|(k, v)| json!({"name": k, "value": v}));
                    container["env"] = env.collect();
                }
                container
            });
            config["spec"]["containers"] = containers.collect();
        }
        if !tolerations.is_empty() {
            config["spec"]["tolerations"] = tolerations
                .into_iter()
                .map(|key| json!({"key": key}))
                .collect();
        }
        if let Some(labels) = node_selector {
            config["spec"]["nodeSelector"] = json!(labels);
        }
        config
    })
}

proptest! {
    #[test]
    fn a_sole_applier_gets_exactly_what_it_says(first in a_config(), second in a_config()) {
        let live = apply(&json!({}), &first, "me", false).unwrap();
        let live = apply(&live, &second, "me", false).unwrap();
        let difference = Difference::between(&bare(live), &second, pod_shape());
        prop_assert_eq!(difference, Difference::default());
    }

    #[test]
    fn applying_twice_is_applying_once(a in a_config(), b in a_config()) {
        let live = apply(&json!({}), &a, "me", true).unwrap();
        let once = apply(&live, &b, "you", true).unwrap();
        let twice = apply(&once, &b, "you", false).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn everyone_gets_all_of_it_where_nobody_disagrees(a in a_config(), b in a_config()) {
        let live = apply(&json!({}), &a, "me", false).unwrap();
        if let Ok(both) = apply(&live, &b, "you", false) {
            for config in [a, b] {
                let merged = merge::merge(both.clone(), &config, pod_shape());
                prop_assert_eq!(&merged, &both);
            }
            let only_mine = apply(&both, &json!({"metadata": {"name": "web"}}), "you", false).unwrap();
            prop_assert_eq!(owned(&only_mine, "me"), owned(&live, "me"));
        }
    }

    #[test]
    fn fields_are_read_as_they_are_written(config in a_config()) {
        let fields = Fields::of(&config, pod_shape());
        prop_assert_eq!(Fields::decode(&fields.clone().encode()), fields);
    }
}
