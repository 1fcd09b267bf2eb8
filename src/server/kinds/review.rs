//! Reviews: questions that are posted and answered, and of which nothing is kept.

use serde_json::{Value, json};

use crate::server::authorize::{
    self, Asked, Caller, Decision, Objects, ResourceAsked, field_selector,
};
use crate::server::object;
use crate::server::rest::protobuf::{Field, Kind};
use crate::server::status::ApiError;
use crate::server::store::Store;

pub struct Review {
    pub group: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    /// What is read of one in protobuf.
    pub protobuf: &'static [Field],
    /// The status of a review.
    answer: fn(&Caller, &Value, &Store) -> Result<Value, ApiError>,
}

/// All are of version `v1`.
pub static REVIEWS: &[Review] = &[
    Review {
        group: "authentication.k8s.io",
        plural: "selfsubjectreviews",
        kind: "SelfSubjectReview",
        protobuf: ANYTHING,
        answer: |caller, _, _| Ok(json!({"userInfo": user_info(caller)})),
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview",
        protobuf: ACCESS,
        answer: |caller, review, store| access(caller, review, store),
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectrulesreviews",
        kind: "SelfSubjectRulesReview",
        protobuf: ANYTHING,
        answer: |caller, _, _| Ok(authorize::listed(caller)),
    },
    Review {
        group: "authorization.k8s.io",
        plural: "subjectaccessreviews",
        kind: "SubjectAccessReview",
        protobuf: ACCESS,
        answer: |_, review, store| access(&subject(review)?, review, store),
    },
];

/// Nothing in it matters.
const ANYTHING: &[Field] = &[Field::new(1, "metadata", Kind::Message(&[]))];

const ACCESS: &[Field] = &[
    Field::new(1, "metadata", Kind::Message(&[])),
    Field::new(2, "spec", Kind::Message(SPEC)),
];

/// `authorization/v1 SubjectAccessReviewSpec`; that of a `SelfSubjectAccessReview` is its beginning.
const SPEC: &[Field] = &[
    Field::new(1, "resourceAttributes", Kind::Message(RESOURCE)),
    Field::new(2, "nonResourceAttributes", Kind::Message(PATH)),
    Field::new(3, "user", Kind::Text),
    Field::new(4, "groups", Kind::Texts),
];

const RESOURCE: &[Field] = &[
    Field::new(1, "namespace", Kind::Text),
    Field::new(2, "verb", Kind::Text),
    Field::new(3, "group", Kind::Text),
    Field::new(4, "version", Kind::Text),
    Field::new(5, "resource", Kind::Text),
    Field::new(6, "subresource", Kind::Text),
    Field::new(7, "name", Kind::Text),
    Field::new(8, "fieldSelector", Kind::Message(SELECTOR)),
];

const SELECTOR: &[Field] = &[
    Field::new(1, "rawSelector", Kind::Text),
    Field::new(2, "requirements", Kind::Messages(REQUIREMENT)),
];

const REQUIREMENT: &[Field] = &[
    Field::new(1, "key", Kind::Text),
    Field::new(2, "operator", Kind::Text),
    Field::new(3, "values", Kind::Texts),
];

const PATH: &[Field] = &[
    Field::new(1, "path", Kind::Text),
    Field::new(2, "verb", Kind::Text),
];

impl Review {
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Review> {
        REVIEWS
            .iter()
            .find(|review| review.group == group && version == "v1" && review.plural == plural)
    }

    pub fn api_version(&self) -> String {
        format!("{}/v1", self.group)
    }

    /// The review with its answer.
    ///
    /// # Errors
    /// For a review that asks nothing, or two things at once.
    pub fn answered(
        &self,
        caller: &Caller,
        mut review: Value,
        store: &Store,
        now: jiff::Timestamp,
    ) -> Result<Value, ApiError> {
        review["status"] = (self.answer)(caller, &review, store)?;
        object::metadata(&mut review)
            .insert("creationTimestamp".into(), object::timestamp(now).into());
        Ok(review)
    }
}

fn user_info(caller: &Caller) -> Value {
    json!({"username": &caller.user, "groups": &caller.groups})
}

/// Whom a `SubjectAccessReview` is about: in the groups that it says and no others.
fn subject(review: &Value) -> Result<Caller, ApiError> {
    let user = object::text(review, "/spec/user");
    let groups: Vec<String> = object::list(review, "/spec/groups")
        .iter()
        .filter_map(|group| group.as_str().map(str::to_owned))
        .collect();
    if user.is_empty() && groups.is_empty() {
        return Err(invalid(
            review,
            "spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ));
    }
    Ok(Caller::new(user.to_owned(), groups))
}

fn access(caller: &Caller, review: &Value, objects: &impl Objects) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let selector;
    let asked = match (resource, path) {
        (Value::Object(_), Value::Null) => {
            let text = |field: &str| object::text(resource, field);
            selector = field_selector(&resource["fieldSelector"]);
            Asked::Resource(ResourceAsked {
                verb: text("/verb"),
                group: text("/group"),
                resource: text("/resource"),
                subresource: text("/subresource"),
                namespace: text("/namespace"),
                name: text("/name").into(),
                field_selector: &selector,
            })
        }
        (Value::Null, Value::Object(_)) => Asked::Path {
            verb: object::text(path, "/verb"),
            path: object::text(path, "/path"),
        },
        _ => {
            return Err(invalid(
                review,
                "spec.resourceAttributes: Invalid value: \"null\": exactly one of \
                 nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
    };
    Ok(match authorize::authorize(caller, &asked, objects) {
        Decision::Allowed => json!({"allowed": true}),
        Decision::Denied(denial) if denial.reason.is_empty() => json!({"allowed": false}),
        Decision::Denied(denial) => json!({"allowed": false, "reason": denial.reason}),
    })
}

fn invalid(review: &Value, why: &str) -> ApiError {
    let kind = object::text(review, "/kind");
    ApiError::BadRequest(format!(
        "{kind}.authorization.k8s.io \"\" is invalid: {why}"
    ))
}
