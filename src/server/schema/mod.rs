//! How the lists and maps of each kind merge: the facts behind strategic merge patches, server-side
//! apply and the published schemas.
//!
//! Only what differs from the rule is in the table, and what leads to it. The rule: an object
//! merges field by field, a list is replaced as a whole, and everything else is a value.
//!
//! Strategic merge patches and apply disagree about some fields (`ports` merge by `containerPort`
//! in the one, by port and protocol in the other), so a row says both.

mod table;

use super::resource::Resource;

/// What is known of an object's fields.
pub struct Type {
    /// The name of its definition in Kubernetes' OpenAPI document.
    pub name: &'static str,
    /// Whether an object of this type has one owner in apply, all of it. Patches merge its fields
    /// all the same.
    pub atomic: bool,
    /// The fields with something to say; all others follow the rule.
    pub fields: &'static [Field],
}

pub struct Field {
    pub name: &'static str,
    pub merge: Merge,
    /// Of the object, or of the list's elements.
    pub of: &'static Type,
}

pub enum Merge {
    /// An object, field by field.
    Fields,
    /// An object of whose members one at a time is set: patches name the ones to retain.
    OneOf,
    /// A list whose elements are known by a key.
    Keyed(Keyed),
    /// A list of values, each of which is there once.
    Set {
        /// Whether a patch adds to it rather than replaces it.
        patch: bool,
    },
}

pub struct Keyed {
    /// The field by which patches find an element; `None` where they replace the list.
    pub patch: Option<&'static str>,
    /// As [`Merge::OneOf`], for each element.
    pub one_of: bool,
    /// The fields by which apply tells elements apart; none where the list has one owner.
    pub keys: &'static [Key],
}

pub struct Key {
    pub name: &'static str,
    /// What an absent one counts as.
    pub default: Option<&'static str>,
}

/// What nothing is known of.
pub static PLAIN: Type = Type {
    name: "",
    atomic: false,
    fields: &[],
};

impl Type {
    pub fn of(resource: &Resource) -> &'static Type {
        Type::of_kind(resource.kind)
    }

    /// By the name of the kind alone; of one that is not known, what every object has.
    pub fn of_kind(name: &str) -> &'static Type {
        table::KINDS
            .iter()
            .find(|(kind, _)| *kind == name)
            .map_or(&table::OBJECT, |(_, of)| of)
    }

    /// What is known of a field; `None` if it follows the rule.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Field {
    /// The list's key in a strategic merge patch.
    pub fn patch_key(&self) -> Option<&'static str> {
        match &self.merge {
            Merge::Keyed(keyed) => keyed.patch,
            _ => None,
        }
    }

    /// `x-kubernetes-patch-strategy`, where the field has one.
    pub fn patch_strategy(&self) -> Option<&'static str> {
        match &self.merge {
            Merge::Keyed(Keyed { patch: None, .. })
            | Merge::Fields
            | Merge::Set { patch: false } => None,
            Merge::OneOf => Some("retainKeys"),
            Merge::Keyed(Keyed { one_of: true, .. }) => Some("merge,retainKeys"),
            Merge::Keyed(_) | Merge::Set { patch: true } => Some("merge"),
        }
    }
}
