//! Reviews: questions that are posted and answered, and of which nothing is kept.
//!
//! Every caller that gets as far as here may do everything: there is no other authorization than a
//! certificate of the lab's authority.

use serde_json::{Value, json};

use crate::server::object;
use crate::server::tls::Caller;

pub struct Review {
    pub group: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    /// The status of a review.
    answer: fn(&Caller, &Value) -> Value,
}

/// All are of version `v1`.
pub static REVIEWS: &[Review] = &[
    Review {
        group: "authentication.k8s.io",
        plural: "selfsubjectreviews",
        kind: "SelfSubjectReview",
        answer: |caller, _| json!({"userInfo": user_info(caller)}),
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview",
        answer: |_, _| json!({"allowed": true, "reason": REASON}),
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectrulesreviews",
        kind: "SelfSubjectRulesReview",
        answer: |_, _| {
            json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": false,
            })
        },
    },
];

const REASON: &str = "a certificate of the cluster's authority allows everything";

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
    pub fn answered(&self, caller: &Caller, mut review: Value, now: jiff::Timestamp) -> Value {
        review["status"] = (self.answer)(caller, &review);
        object::metadata(&mut review)
            .insert("creationTimestamp".into(), object::timestamp(now).into());
        review
    }
}

fn user_info(caller: &Caller) -> Value {
    let mut groups = caller.groups.clone();
    groups.push("system:authenticated".into());
    json!({"username": &caller.user, "groups": groups})
}
