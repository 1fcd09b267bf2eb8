//! What is wrong with a field, as apimachinery's `util/validation/field` words it.

use serde_json::{Value, json};

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub field: String,
    pub kind: CauseKind,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseKind {
    Required,
    Invalid,
    Duplicate,
    Unsupported,
    Forbidden,
    TooMany,
    NotFound,
    TooLong,
}

impl Cause {
    pub fn required(field: impl Into<String>, detail: &str) -> Cause {
        let detail = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Cause::new(field, CauseKind::Required, detail)
    }

    /// `value` is what was given; strings are shown quoted, as Go does.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        Cause::new(
            field,
            CauseKind::Invalid,
            format!("Invalid value: {value}: {detail}"),
        )
    }

    /// As [`Cause::invalid`], for a value that Kubernetes prints as Go source.
    pub fn invalid_shown(field: impl Into<String>, shown: &str, detail: &str) -> Cause {
        Cause::new(
            field,
            CauseKind::Invalid,
            format!("Invalid value: {shown}: {detail}"),
        )
    }

    /// As [`Cause::duplicate`], for a value that Kubernetes prints as Go source.
    pub fn duplicate_shown(field: impl Into<String>, shown: &str) -> Cause {
        Cause::new(
            field,
            CauseKind::Duplicate,
            format!("Duplicate value: {shown}"),
        )
    }

    pub fn duplicate(field: impl Into<String>, value: &str) -> Cause {
        Cause::new(
            field,
            CauseKind::Duplicate,
            format!("Duplicate value: {value:?}"),
        )
    }

    pub fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Cause {
        Cause::unsupported_shown(field, &format!("{value:?}"), supported)
    }

    /// As [`Cause::unsupported`], for a value that Kubernetes prints as Go source.
    pub fn unsupported_shown(field: impl Into<String>, shown: &str, supported: &[&str]) -> Cause {
        let supported: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
        let supported = supported.join(", ");
        Cause::new(
            field,
            CauseKind::Unsupported,
            format!("Unsupported value: {shown}: supported values: {supported}"),
        )
    }

    /// A list that is longer than it may be.
    pub fn too_many(field: impl Into<String>, given: usize, most: usize) -> Cause {
        Cause::new(
            field,
            CauseKind::TooMany,
            format!("Too many: {given}: must have at most {most} items"),
        )
    }

    pub fn not_found(field: impl Into<String>, value: &str) -> Cause {
        Cause::new(field, CauseKind::NotFound, format!("Not found: {value:?}"))
    }

    pub fn too_long(field: impl Into<String>, most: usize) -> Cause {
        let detail = format!("Too long: may not be more than {most} bytes");
        Cause::new(field, CauseKind::TooLong, detail)
    }

    pub fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new(field, CauseKind::Forbidden, format!("Forbidden: {detail}"))
    }

    fn new(field: impl Into<String>, kind: CauseKind, detail: String) -> Cause {
        Cause {
            field: field.into(),
            kind,
            detail,
        }
    }

    fn reason(&self) -> &'static str {
        match self.kind {
            CauseKind::Required => "FieldValueRequired",
            CauseKind::Invalid => "FieldValueInvalid",
            CauseKind::Duplicate => "FieldValueDuplicate",
            CauseKind::Unsupported => "FieldValueNotSupported",
            CauseKind::Forbidden => "FieldValueForbidden",
            CauseKind::TooMany => "FieldValueTooMany",
            CauseKind::NotFound => "FieldValueNotFound",
            CauseKind::TooLong => "FieldValueTooLong",
        }
    }
}

/// As a message names them: bare if there is one, in brackets if there are more.
pub(super) fn summary(causes: &[Cause]) -> String {
    let all: Vec<String> = causes
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.detail))
        .collect();
    match all.as_slice() {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    }
}

/// As `details.causes` of a `Status` has them.
pub(super) fn listed(causes: &[Cause]) -> Value {
    let each = causes.iter().map(
        |cause| json!({"reason": cause.reason(), "message": cause.detail, "field": cause.field}),
    );
    each.collect()
}
