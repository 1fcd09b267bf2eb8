//! OpenAPI: what kubectl asks before it writes, and what `explain` shows.
//!
//! kubectl sends `fieldValidation` only to a server whose documents say that it is understood, finds
//! out from them how lists merge before it patches, and refuses to create anything where it cannot
//! ask. In version 3 there is one document per group and version, made of the Rust types of its kinds and of the
//! [schema](crate::server::schema) of their lists when the first client asks.

mod kinds;
mod paths;
mod schemas;
pub mod v2;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use kinds::Kind;

/// A document as it is sent.
#[derive(Clone)]
pub struct Document {
    pub json: Bytes,
    /// Of what is in it: a part of its address, so that clients may keep it for good.
    hash: u64,
}

/// The document at a path below `/openapi/v3`; the index for an empty one.
pub fn answer(path: &[&str]) -> Option<Bytes> {
    match path {
        [] => Some(index().to_string().into()),
        path => Some(documents().get(&path.join("/"))?.json.clone()),
    }
}

fn index() -> Value {
    let paths: Map<String, Value> = documents()
        .iter()
        .map(|(root, document)| {
            let url = format!("/openapi/v3/{root}?hash={:016X}", document.hash);
            (root.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// All documents by their root: `api/v1`, `apis/coordination.k8s.io/v1`.
fn documents() -> &'static BTreeMap<String, Document> {
    static DOCUMENTS: OnceLock<BTreeMap<String, Document>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let mut by_root: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
        for kind in Kind::all() {
            by_root.entry(kind.root()).or_default().push(kind);
        }
        by_root
            .into_iter()
            .map(|(root, kinds)| (root, Document::of(&kinds)))
            .collect()
    })
}

impl Document {
    fn of(kinds: &[Kind]) -> Document {
        let schemas = schemas::of(kinds);
        let paths: Map<String, Value> = kinds
            .iter()
            .flat_map(|kind| paths::of(kind, schemas.name_of(kind)))
            .collect();
        let json = json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.33.0+podnet"},
            "paths": paths,
            "components": {"schemas": schemas.definitions},
        })
        .to_string();
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        Document {
            json: json.into(),
            hash: hasher.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &[&str]) -> Value {
        serde_json::from_slice(&answer(path).expect("it is there")).expect("JSON")
    }

    #[test]
    fn the_index_leads_to_every_kind() {
        let index = document(&[]);
        for (root, _) in index["paths"].as_object().unwrap() {
            let path: Vec<&str> = root.split('/').collect();
            assert!(answer(&path).is_some(), "{root}");
        }
        let reviews = document(&["apis", "authentication.k8s.io", "v1"]);
        let paths = reviews["paths"].as_object().unwrap();
        assert_eq!(
            paths.keys().collect::<Vec<_>>(),
            ["/apis/authentication.k8s.io/v1/selfsubjectreviews"]
        );
        let core = document(&["api", "v1"]);
        let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
        assert!(answer(&["apis", "nobody", "v1"]).is_none());
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        found.push(to.clone());
                    }
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        for document in documents().values() {
            let document: Value = serde_json::from_slice(&document.json).unwrap();
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for to in found {
                let pointer = to.strip_prefix('#').expect("in the same document");
                assert!(document.pointer(pointer).is_some(), "{to}");
            }
        }
    }
}
