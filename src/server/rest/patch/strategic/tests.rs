use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::server::resource::Resource;

fn pod() -> &'static Type {
    Type::of(Resource::find("", "v1", "pods").expect("pods are served"))
}

fn patched(mut object: Value, patch: Value) -> Result<Value, String> {
    let Value::Object(patch) = patch else {
        panic!("{patch} is no patch");
    };
    apply(&mut object, patch, pod()).map(|()| object)
}

/// The patch that makes `b` of `a`, as kubectl writes it.
fn diff(a: &Map<String, Value>, b: &Map<String, Value>, of: &Type) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in a.keys().filter(|name| !b.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in b {
        let field = of.field(name);
        let inner = field.map_or(&PLAIN, |field| field.of);
        match (a.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name.clone(), diff(old, new, inner).into());
            }
            (Some(Value::Array(old)), Value::Array(new)) => match field {
                Some(field) if field.patch_key().is_some() => {
                    let key = field.patch_key().expect("it is");
                    let order = new
                        .iter()
                        .map(|element| json!({key: element[key]}))
                        .collect();
                    patch.insert(format!("{SET_ORDER}{name}"), order);
                    patch.insert(name.clone(), diff_keyed(old, new, key, inner).into());
                }
                Some(Field {
                    merge: Merge::Set { patch: true },
                    ..
                }) => {
                    let missing = |list: &[Value], from: &[Value]| -> Vec<Value> {
                        let gone = list.iter().filter(|value| !from.contains(value));
                        gone.cloned().collect()
                    };
                    patch.insert(format!("{DELETE_FROM}{name}"), missing(old, new).into());
                    patch.insert(format!("{SET_ORDER}{name}"), new.clone().into());
                    patch.insert(name.clone(), missing(new, old).into());
                }
                _ => {
                    patch.insert(name.clone(), new.clone().into());
                }
            },
            (_, new) => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    patch
}

fn diff_keyed(old: &[Value], new: &[Value], key: &str, of: &Type) -> Vec<Value> {
    let same = |list: &[Value], element: &Value| {
        let mut found = list.iter().filter(|other| other[key] == element[key]);
        found.next().cloned()
    };
    let mut patch = Vec::new();
    for element in new {
        patch.push(match same(old, element) {
            Some(Value::Object(before)) => {
                let mut change = diff(&before, element.as_object().expect("a map"), of);
                change.insert(key.into(), element[key].clone());
                change.into()
            }
            _ => element.clone(),
        });
    }
    for gone in old.iter().filter(|element| same(new, element).is_none()) {
        patch.push(json!({key: gone[key], PATCH: "delete"}));
    }
    patch
}

/// A shuffled choice of elements, each with its own key.
fn keyed(key: &'static str, inside: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let element = move |(id, mut value): (u8, Value)| {
        value[key] = json!(format!("{key}-{id}"));
        value
    };
    prop::collection::btree_map(0..4u8, inside, 0..4)
        .prop_map(move |elements| elements.into_iter().map(element).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(Value::from)
        .boxed()
}

fn map() -> BoxedStrategy<Value> {
    prop::collection::btree_map("[a-c]", "[x-z]", 0..3)
        .prop_map(|map| json!(map))
        .boxed()
}

fn list() -> BoxedStrategy<Value> {
    Just(["a", "b", "c", "d"].map(Value::from).to_vec())
        .prop_shuffle()
        .prop_flat_map(|all| (0..4usize).prop_map(move |length| json!(all[..length])))
        .boxed()
}

fn some_of(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| prop::option::of(value.prop_map(move |value| (name, value))))
        .collect();
    fields
        .prop_map(|fields| fields.into_iter().flatten().collect())
        .boxed()
}

fn a_pod() -> BoxedStrategy<Value> {
    let container = some_of(vec![
        ("image", "[a-c]".prop_map(Value::from).boxed()),
        ("env", keyed("name", some_of(vec![("value", map())]))),
        ("volumeMounts", keyed("mountPath", map())),
        ("args", list()),
    ]);
    some_of(vec![
        (
            "metadata",
            some_of(vec![("labels", map()), ("finalizers", list())]),
        ),
        (
            "spec",
            some_of(vec![
                ("containers", keyed("name", container)),
                ("volumes", keyed("name", some_of(vec![("emptyDir", map())]))),
                ("tolerations", keyed("key", map())),
                ("nodeSelector", map()),
            ]),
        ),
    ])
}

/// Anything at all under the names that mean something.
fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("delete")),
        Just(json!("replace")),
        Just(json!("a")),
        Just(json!(7)),
    ];
    let name = prop::sample::select(vec![
        "spec",
        "metadata",
        "containers",
        "env",
        "name",
        "finalizers",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
    ]);
    leaf.prop_recursive(5, 40, 4, move |inside| {
        let map = prop::collection::btree_map(name.clone(), inside.clone(), 0..4);
        prop_oneof![
            map.prop_map(|map| json!(map)),
            prop::collection::vec(inside, 0..4).prop_map(Value::from),
        ]
    })
    .boxed()
}

fn has_directive(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.starts_with('$') || has_directive(value)),
        Value::Array(list) => list.iter().any(has_directive),
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_difference_of_two_objects_makes_the_second_of_the_first(a in a_pod(), b in a_pod()) {
        let patch = diff(a.as_object().unwrap(), b.as_object().unwrap(), pod());
        let made = patched(a, patch.clone().into());
        prop_assert_eq!(made, Ok(b), "{}", Value::Object(patch));
    }

    #[test]
    fn no_patch_panics_or_leaves_a_directive(object in a_pod(), patch in anything()) {
        if let Value::Object(patch) = patch
            && let Ok(made) = patched(object, patch.into())
        {
            prop_assert!(!has_directive(&made), "{made}");
        }
    }
}

#[test]
fn an_unnamed_element_keeps_its_place() {
    let container = |name: &str| json!({"name": name});
    let named = |names: &[&str]| names.iter().map(|name| container(name)).collect::<Vec<_>>();
    let object = json!({"spec": {"containers": named(&["a", "b", "c"])}});
    let order = json!({"spec": {
        "$setElementOrder/containers": named(&["c", "new", "a"]),
        "containers": [container("new")],
    }});
    // "b" stood before "c".
    let made = patched(object.clone(), order).unwrap();
    assert_eq!(
        made["spec"]["containers"],
        Value::from(named(&["b", "c", "new", "a"]))
    );
    // Without an order the patch's own is one, and what is new comes before what it has to pass.
    let patch = json!({"spec": {"containers": [container("new"), container("b")]}});
    let made = patched(object, patch).unwrap();
    assert_eq!(
        made["spec"]["containers"],
        Value::from(named(&["new", "a", "b", "c"]))
    );
}

#[test]
fn directives() {
    let object = json!({
        "metadata": {"labels": {"a": "1", "b": "2"}},
        "spec": {
            "containers": [{"name": "a", "image": "x"}, {"name": "b"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    });
    for (patch, pointer, expected) in [
        (
            json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}),
            "/metadata/labels",
            json!({"c": "3"}),
        ),
        (
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            "/metadata/labels",
            json!({}),
        ),
        (
            json!({"metadata": {"$retainKeys": ["name"], "name": "web"}}),
            "/metadata",
            json!({"name": "web"}),
        ),
        (
            json!({"spec": {"containers": [{"$patch": "delete", "name": "a"}]}}),
            "/spec/containers",
            json!([{"name": "b"}]),
        ),
        (
            json!({"spec": {"containers": [{"name": "c"}, {"$patch": "replace"}]}}),
            "/spec/containers",
            json!([{"name": "c"}]),
        ),
        (
            json!({"spec": {"volumes": [
                {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}},
            ]}}),
            "/spec/volumes",
            json!([{"name": "v", "hostPath": {"path": "/"}}]),
        ),
    ] {
        let made = patched(object.clone(), patch.clone()).unwrap();
        assert_eq!(made.pointer(pointer), Some(&expected), "{patch}");
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    for (patch, why) in [
        (
            json!({"$patch": "remove"}),
            "$patch is \"remove\", which is none of \"merge\", \"replace\" and \"delete\"",
        ),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "an element of the patch has no \"name\", the key of its list",
        ),
        (
            json!({"spec": {"containers": [{"name": {"$patch": "delete"}, "image": "x"}]}}),
            "an element of the patch has no \"name\", the key of its list",
        ),
        (
            json!({"spec": {"containers": ["a"]}}),
            "\"a\" is no element of a list of objects",
        ),
        (
            json!({"spec": {"$retainKeys": ["a"], "b": 1}}),
            "the patch sets \"b\", which $retainKeys does not name",
        ),
    ] {
        assert_eq!(patched(json!({}), patch), Err(why.to_owned()));
    }
}
