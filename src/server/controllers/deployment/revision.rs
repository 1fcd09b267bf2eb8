//! Which replica set is of which template, and the numbers that `kubectl rollout` goes by. Pure.

use serde_json::{Value, json};

use super::HASH;
use crate::server::controllers::template;
use crate::server::controllers::workload::owner_reference;
use crate::server::object;
use crate::server::store::StoredObject;

pub const ANNOTATION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// `maxRevHistoryLengthInChars`.
const HISTORY_BYTES: usize = 2000;

/// What a deployment's annotations say of itself and not of its replica sets.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    ANNOTATION,
    HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// The place of the oldest set of that template.
pub fn find<'a>(template: &Value, mut sets: impl Iterator<Item = &'a Value>) -> Option<usize> {
    sets.position(|set| {
        let mut own = set["spec"]["template"].clone();
        if let Some(labels) = own.pointer_mut("/metadata/labels") {
            object::copy(labels, &Value::Null, HASH);
        }
        let mut wanted = template.clone();
        if let Some(labels) = wanted.pointer_mut("/metadata/labels") {
            object::copy(labels, &Value::Null, HASH);
        }
        own == wanted
    })
}

/// A new set of the deployment's present template, without its size.
pub fn replica_set(deployment: &StoredObject, value: &Value, collisions: i64) -> Value {
    let mut template = value["spec"]["template"].clone();
    let hash = template::hash(&template, collisions);
    let labelled = |labels: &mut Value| labels[HASH] = hash.as_str().into();
    labelled(&mut template["metadata"]["labels"]);
    let mut selector = value["spec"]["selector"].clone();
    object::map(&mut selector, "matchLabels").insert(HASH.into(), hash.as_str().into());
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", deployment.name()),
            "namespace": deployment.namespace(),
            "labels": template["metadata"]["labels"].clone(),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {"selector": selector, "template": template},
    });
    object::copy(&mut set["spec"], &value["spec"], "minReadySeconds");
    set
}

/// A set's revision; 0 where it has none.
pub fn number_of(set: &Value) -> i64 {
    let annotations = set.pointer("/metadata/annotations");
    annotations
        .and_then(|all| all.get(ANNOTATION)?.as_str()?.parse().ok())
        .unwrap_or(0)
}

/// Gives a set the deployment's annotations, and that revision if it is a later one.
pub fn annotate(set: &mut Value, deployment: &Value, revision: i64) {
    let before = number_of(set);
    let annotations = object::map(&mut set["metadata"], "annotations");
    for (key, text) in object::pairs(deployment, "/metadata/annotations") {
        if !OWN.contains(&key) {
            annotations.insert(key.into(), text.into());
        }
    }
    if before >= revision {
        return;
    }
    annotations.insert(ANNOTATION.into(), revision.to_string().into());
    if before > 0 {
        let history = annotations.get(HISTORY).and_then(Value::as_str);
        let mut history: Vec<String> = history
            .into_iter()
            .flat_map(|history| history.split(','))
            .map(str::to_owned)
            .chain([before.to_string()])
            .collect();
        while history.len() > 1 && history.join(",").len() > HISTORY_BYTES {
            history.remove(0);
        }
        annotations.insert(HISTORY.into(), history.join(",").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_renumbers_and_remembers() {
        let deployment = json!({"metadata": {"annotations": {
            ANNOTATION: "2", "kubernetes.io/change-cause": "better",
        }}});
        let mut set = json!({"metadata": {"annotations": {ANNOTATION: "1"}}});
        annotate(&mut set, &deployment, 3);
        assert_eq!(number_of(&set), 3);
        assert_eq!(set["metadata"]["annotations"][HISTORY], "1");
        assert_eq!(
            set["metadata"]["annotations"]["kubernetes.io/change-cause"],
            "better"
        );
        annotate(&mut set, &deployment, 2);
        assert_eq!(number_of(&set), 3, "a revision never goes down");
    }

    #[test]
    fn a_set_is_known_by_its_template_but_for_the_hash() {
        let template =
            |image: &str| json!({"metadata": {"labels": {"app": "web"}}, "spec": {"image": image}});
        let deployment = super::super::deployment_of(json!({
            "selector": {"matchLabels": {"app": "web"}}, "template": template("a"),
        }));
        let stored = StoredObject::new(
            &crate::server::kinds::deployment::DEPLOYMENTS,
            &deployment,
            1,
        );
        let set = replica_set(&stored, &deployment, 0);
        assert_eq!(find(&template("a"), [&set].into_iter()), Some(0));
        assert_eq!(find(&template("b"), [&set].into_iter()), None);
        assert_eq!(
            set["spec"]["selector"]["matchLabels"][HASH],
            set["metadata"]["labels"][HASH]
        );
    }
}
