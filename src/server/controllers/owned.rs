//! Which objects of a kind each controller has, and which have none: where to look, found without
//! reading every object.
//!
//! It may name too much, never too little: what an object is now is asked of the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::server::store::{Store, StoredObject};

#[derive(Default)]
pub struct Owned {
    /// The controller's uid, or the namespace of what has none.
    places: HashMap<Arc<str>, Place>,
    by_place: HashMap<Place, BTreeSet<Arc<str>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Controller(Box<str>),
    Orphans(Box<str>),
}

impl Owned {
    /// Looks where the object of that key is now. A late event cannot undo a newer look.
    pub fn look(&mut self, store: &Store, key: &Arc<str>) {
        match store.get(key) {
            Some(object) => self.put(&object),
            None => self.remove(key),
        }
    }

    /// An object is as given.
    pub fn put(&mut self, object: &StoredObject) {
        let place = match object.controller() {
            Some(owner) => Place::Controller(owner.uid.clone()),
            None => Place::Orphans(object.namespace().into()),
        };
        if self.places.get(&object.key) == Some(&place) {
            return;
        }
        self.remove(&object.key);
        self.places.insert(object.key.clone(), place.clone());
        let there = self.by_place.entry(place).or_default();
        there.insert(object.key.clone());
    }

    pub fn remove(&mut self, key: &Arc<str>) {
        let Some(place) = self.places.remove(key) else {
            return;
        };
        if let Some(there) = self.by_place.get_mut(&place) {
            there.remove(key);
            if there.is_empty() {
                self.by_place.remove(&place);
            }
        }
    }

    pub fn clear(&mut self) {
        self.places.clear();
        self.by_place.clear();
    }

    /// What a controller has, and what in its namespace it could adopt.
    pub fn candidates<'a>(
        &'a self,
        controller: &StoredObject,
    ) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        let own = Place::Controller(controller.uid.clone());
        let free = Place::Orphans(controller.namespace().into());
        [own, free]
            .into_iter()
            .filter_map(|place| self.by_place.get(&place))
            .flatten()
    }
}
