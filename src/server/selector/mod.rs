//! Label and field selectors: which objects a list, a watch or a deletecollection is about.
//!
//! Pure. The grammar and the meaning are those of apimachinery's `labels` and `fields` packages.

mod field;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod label;

pub use field::{FieldSelector, escaped};
pub use label::LabelSelector;

use super::resource::Resource;
use super::status::ApiError;
use super::store::StoredObject;

/// Both selectors of a request; an empty one selects everything.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Selector {
    /// # Errors
    /// `BadRequest` if either does not parse or names a field that cannot be selected by.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Selector, ApiError> {
        Ok(Selector {
            labels: LabelSelector::parse(labels).map_err(|why| {
                ApiError::BadRequest(format!("unable to parse requirement: {why}"))
            })?,
            fields: FieldSelector::parse(resource, fields).map_err(ApiError::BadRequest)?,
        })
    }

    pub fn matches(&self, object: &StoredObject) -> bool {
        self.labels.matches(|key| object.label(key))
            && self.fields.matches(|label| object.field(label))
    }
}
