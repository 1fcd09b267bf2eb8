//! What a start reads: all objects, each as far as the store knows it.

use std::num::NonZero;
use std::sync::Arc;

use super::{Objects, StoreError, StoredObject};
use crate::server::object;
use crate::server::pick::Fields;
use crate::server::resource::{ALL, Resource};

/// Makes objects of what the backend holds. Their JSON is kept as it is, and read only as far as
/// a [`StoredObject`] knows it.
pub struct Loader {
    /// Per resource, in the table's order.
    known: Vec<Fields>,
}

impl Loader {
    pub fn new() -> Loader {
        const METADATA: [&str; 7] = [
            "/metadata/namespace",
            "/metadata/name",
            "/metadata/uid",
            "/metadata/resourceVersion",
            "/metadata/deletionTimestamp",
            "/metadata/labels",
            "/metadata/ownerReferences",
        ];
        let known = |resource: &&Resource| {
            let own = resource.fields.iter().map(|field| field.pointer);
            Fields::at(METADATA.into_iter().chain(own))
        };
        Loader {
            known: ALL.iter().map(known).collect(),
        }
    }

    /// By key. All processors take part: this is most of what a start takes.
    ///
    /// # Errors
    /// Where one of them is no object of the resource that its key names.
    pub fn load_all(&self, mut entries: Vec<(String, Vec<u8>)>) -> Result<Objects, StoreError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let part = entries.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let mut loading = Vec::new();
            while !entries.is_empty() {
                let rest = entries.split_off(part.min(entries.len()));
                let entries = std::mem::replace(&mut entries, rest);
                loading.push(scope.spawn(move || self.load_part(entries)));
            }
            let mut objects = Objects::new();
            for part in loading {
                let mut part = part.join().map_err(|_| StoreError::LoaderPanicked)??;
                objects.append(&mut part);
            }
            Ok(objects)
        })
    }

    fn load_part(&self, entries: Vec<(String, Vec<u8>)>) -> Result<Objects, StoreError> {
        let load = |(key, json): (String, Vec<u8>)| {
            let object = self.load(&key, json)?;
            Ok((object.key.clone(), Arc::new(object)))
        };
        entries.into_iter().map(load).collect()
    }

    fn load(&self, key: &str, json: Vec<u8>) -> Result<StoredObject, StoreError> {
        let unreadable = |why: String| StoreError::Unreadable {
            key: key.to_owned(),
            why,
        };
        let resource =
            Resource::of_key(key).ok_or_else(|| unreadable("no such resource".into()))?;
        let value = self.known[resource.ordinal()]
            .of(&json)
            .map_err(|error| unreadable(error.to_string()))?;
        let revision = object::text(&value, "/metadata/resourceVersion")
            .parse()
            .map_err(|_| unreadable("no resourceVersion".into()))?;
        Ok(StoredObject::with_json(resource, &value, revision, &json))
    }
}
