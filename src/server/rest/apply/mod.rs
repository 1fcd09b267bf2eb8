//! Server-side apply: a client says which fields it wants to be what, and owns those.
//!
//! ```text
//! live ──┬─► merge(config) ─► minus what the applier no longer says ─► new object
//!        │        what changed there, and others own: conflicts, or theirs no more with force
//!        └─► managedFields ─► who owns what
//! ```
//!
//! - A field that several say alike is owned by all of them, and goes when the last drops it.
//! - Writes by other verbs take the fields they change from whoever owned them.
//! - Fields that the server fills in belong to nobody.
//!
//! The rules are those of Kubernetes' structured-merge-diff for the kinds served; which lists and maps
//! merge is in the [schema](crate::server::schema).

mod compare;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod last_applied;
mod managers;
mod merge;
mod request;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use managers::{Manager, track, track_new};

use crate::server::object;
use crate::server::resource::{Resource, Subresource};
use crate::server::schema::Type;
use crate::server::status::{ApiError, FieldConflict};
use compare::Difference;
use fields::{Fields, Shape};
use managers::{Entry, Managers, Operation, counted};

/// What is applied.
pub struct Application<'a> {
    pub resource: &'static Resource,
    pub subresource: Option<Subresource>,
    /// The fields and their values, decoded and without nulls.
    pub config: &'a Value,
    pub by: &'a Manager,
    /// Take fields from others rather than refuse.
    pub force: bool,
    /// The time to note, as `metav1.Time`.
    pub now: String,
}

impl Application<'_> {
    /// The object after this on top of `live`, which is null where there is none yet.
    ///
    /// # Errors
    /// `ApplyConflict` where it would change fields that others own; `BadRequest` where what is
    /// applied has an element of a list twice.
    pub fn onto(&self, live: Value) -> Result<Value, ApiError> {
        let shape = Shape::object(Type::of(self.resource));
        if let Some(what) = fields::duplicate(self.config, shape) {
            return Err(ApiError::BadRequest(format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): {what}",
                object::namespace(self.config),
                object::name(self.config),
                self.resource.api_version(),
                self.resource.kind,
            )));
        }
        let mut managers = Managers::of(&live);
        let says = self.says(shape);
        let said = managers.fields_of(self.by);
        let mut kept = says.clone();
        for other in managers.others(self.by) {
            kept.add(&other.fields);
        }
        let merged = merge::merge(live.clone(), self.config, shape);
        let mut new = merge::remove(merged, &said, Some(&kept), shape).unwrap_or_default();
        let difference = Difference::between(&live, &new, shape);
        let (changed, removed) = (counted(difference.changed), counted(difference.removed));
        let mut contested = changed.clone();
        contested.subtract(&last_applied::allowed(&live, self.by, shape));
        let conflicts = conflicts(&managers, self.by, &contested);
        if !self.force && !conflicts.is_empty() {
            return Err(ApiError::ApplyConflict {
                resource: self.resource,
                name: object::name(&live).to_owned(),
                conflicts,
            });
        }
        managers.take_from_others(&changed, self.by);
        managers.take_from_others(&removed, self.by);
        managers.set(self.by, says, &self.now);
        managers.store(&mut new);
        last_applied::follow(&mut new, self.config, self.by);
        Ok(new)
    }

    /// The fields that this owns from now on. What the verb does not change it does not own either.
    fn says(&self, shape: Shape) -> Fields {
        let mut says = counted(Fields::of(self.config, shape));
        match self.subresource {
            Some(Subresource::Status) => says.cut(&["spec"]),
            _ if self.resource.has(Subresource::Status) => says.cut(&["status"]),
            _ => {}
        }
        says
    }
}

fn conflicts(managers: &Managers, by: &Manager, changed: &Fields) -> Vec<FieldConflict> {
    let of = |entry: &Entry| {
        let who = describe(entry);
        let fields = entry.fields.intersection(changed).paths().into_iter();
        fields
            .map(|field| FieldConflict {
                manager: who.clone(),
                field,
            })
            .collect::<Vec<_>>()
    };
    managers.others(by).flat_map(of).collect()
}

/// As kube-apiserver names an owner in a conflict.
fn describe(entry: &Entry) -> String {
    let manager = &entry.manager;
    let mut text = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        text += &format!(" with subresource {:?}", manager.subresource);
    }
    if manager.operation == Operation::Update {
        text += &format!(" using {} at {}", manager.api_version, entry.time);
    }
    text
}
