//! Terms of affinity: which nodes, and near which pods. Pure.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::server::object;
use crate::server::selector::LabelSelector;

pub type Labels = HashMap<String, String>;

pub fn labels(object: &Value) -> Labels {
    object::pairs(object, "/metadata/labels")
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// `core/v1 NodeSelectorTerm`: all of it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTerm {
    labels: LabelSelector,
    /// Of fields there is only `metadata.name`.
    fields: LabelSelector,
}

impl NodeTerm {
    /// The terms of which one must hold; `None` where a pod says nothing of nodes. A term that says
    /// nothing, or that cannot be understood, holds nowhere.
    pub fn required(pod: &Value) -> Option<Vec<NodeTerm>> {
        let terms = pod.pointer(
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        )?;
        let terms = object::list(terms, "/nodeSelectorTerms");
        Some(terms.iter().filter_map(NodeTerm::of).collect())
    }

    /// The terms that a pod would like to hold, and how much.
    pub fn preferred(pod: &Value) -> Vec<(i64, NodeTerm)> {
        let wishes = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
        object::list(pod, wishes)
            .iter()
            .filter_map(|wish| Some((weight(wish), NodeTerm::of(wish.get("preference")?)?)))
            .collect()
    }

    fn of(term: &Value) -> Option<NodeTerm> {
        let fields = serde_json::json!({"matchExpressions": object::list(term, "/matchFields")});
        let expressions =
            serde_json::json!({"matchExpressions": object::list(term, "/matchExpressions")});
        let term = NodeTerm {
            labels: LabelSelector::of(&expressions)?,
            fields: LabelSelector::of(&fields)?,
        };
        (!term.labels.is_empty() || !term.fields.is_empty()).then_some(term)
    }

    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        let field = |key: &str| (key == "metadata.name").then_some(name);
        self.labels
            .matches(|key| labels.get(key).map(String::as_str))
            && self.fields.matches(field)
    }
}

fn weight(wish: &Value) -> i64 {
    wish.get("weight").and_then(Value::as_i64).unwrap_or(0)
}

/// The nodes that a pod's required terms call by name; `None` where one of them does not.
pub fn named_nodes(pod: &Value) -> Option<BTreeSet<String>> {
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                 /nodeSelectorTerms";
    let terms = object::list(pod, terms);
    let mut named = (!terms.is_empty()).then(BTreeSet::new)?;
    for term in terms {
        let fields = object::list(term, "/matchFields").iter();
        let lists = fields.filter(|field| {
            object::text(field, "/key") == "metadata.name"
                && object::text(field, "/operator") == "In"
        });
        let names = |field: &Value| -> BTreeSet<String> {
            let values = object::list(field, "/values").iter();
            values
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect()
        };
        named.extend(lists.map(names).reduce(|one, other| &one & &other)?);
    }
    Some(named)
}

/// `core/v1 PodAffinityTerm`: pods that match, and in which part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTerm {
    /// `None` selects no pod.
    selector: Option<LabelSelector>,
    pub topology_key: String,
    namespaces: Vec<String>,
    /// Namespaces by their labels, beside those that are named.
    by_labels: Option<LabelSelector>,
}

impl PodTerm {
    /// The terms of `podAffinity` or `podAntiAffinity`.
    pub fn required(pod: &Value, kind: &str) -> Vec<PodTerm> {
        let pointer =
            format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution");
        object::list(pod, &pointer)
            .iter()
            .map(|term| PodTerm::of(term, object::namespace(pod)))
            .collect()
    }

    /// The terms that a pod would like to hold, and how much.
    pub fn preferred(pod: &Value, kind: &str) -> Vec<(i64, PodTerm)> {
        let pointer =
            format!("/spec/affinity/{kind}/preferredDuringSchedulingIgnoredDuringExecution");
        object::list(pod, &pointer)
            .iter()
            .map(|wish| {
                let term = PodTerm::of(&wish["podAffinityTerm"], object::namespace(pod));
                (weight(wish), term)
            })
            .collect()
    }

    fn of(term: &Value, namespace: &str) -> PodTerm {
        let mut namespaces: Vec<String> = object::list(term, "/namespaces")
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let by_labels = term.get("namespaceSelector").and_then(LabelSelector::of);
        if namespaces.is_empty() && by_labels.is_none() {
            namespaces.push(namespace.to_owned());
        }
        PodTerm {
            selector: term.get("labelSelector").and_then(LabelSelector::of),
            topology_key: object::text(term, "/topologyKey").to_owned(),
            namespaces,
            by_labels,
        }
    }

    /// Whether the term is about a pod with these labels in that namespace.
    pub fn matches(
        &self,
        namespace: &str,
        labels: &Labels,
        namespaces: &HashMap<String, Labels>,
    ) -> bool {
        let in_namespace = self.namespaces.iter().any(|name| name == namespace)
            || self.by_labels.as_ref().is_some_and(|selector| {
                let of_namespace = namespaces.get(namespace);
                selector.matches(|key| of_namespace?.get(key).map(String::as_str))
            });
        let selected =
            |selector: &LabelSelector| selector.matches(|key| labels.get(key).map(String::as_str));
        in_namespace && self.selector.as_ref().is_some_and(selected)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn required(terms: Value) -> Value {
        json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
        }}}})
    }

    #[test]
    fn all_operators_on_nodes() {
        let labels = labels(&json!({"metadata": {"labels": {"disk": "ssd", "cores": "8"}}}));
        for (key, operator, values, matches) in [
            ("disk", "In", json!(["ssd", "nvme"]), true),
            ("disk", "NotIn", json!(["ssd"]), false),
            ("gpu", "NotIn", json!(["a"]), true),
            ("gpu", "Exists", json!([]), false),
            ("gpu", "DoesNotExist", json!([]), true),
            ("cores", "Gt", json!(["7"]), true),
            ("cores", "Lt", json!(["8"]), false),
            ("cores", "Magic", json!(["8"]), false),
        ] {
            let expression = json!({"key": key, "operator": operator, "values": values});
            let terms =
                NodeTerm::required(&required(json!([{"matchExpressions": [expression]}]))).unwrap();
            let holds = terms.iter().any(|term| term.matches("a", &labels));
            assert_eq!(holds, matches, "{key} {operator}");
        }
        let field = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
        let terms = NodeTerm::required(&required(json!([{}, {"matchFields": [field]}]))).unwrap();
        assert_eq!(terms.len(), 1, "a term that says nothing holds nowhere");
        assert!(terms[0].matches("a", &labels) && !terms[0].matches("b", &labels));
    }

    #[test]
    fn namespaces_of_a_term() {
        let term = |term: Value| {
            let mut term = term;
            term["labelSelector"] = json!({"matchLabels": {"app": "db"}});
            PodTerm::of(&term, "own")
        };
        let db = labels(&json!({"metadata": {"labels": {"app": "db"}}}));
        let prod = labels(&json!({"metadata": {"labels": {"stage": "prod"}}}));
        let namespaces = HashMap::from([("shop".to_owned(), prod)]);
        let about = |json: Value, namespace: &str| term(json).matches(namespace, &db, &namespaces);
        assert!(about(json!({}), "own") && !about(json!({}), "shop"));
        assert!(about(json!({"namespaces": ["shop"]}), "shop"));
        assert!(about(json!({"namespaceSelector": {}}), "anywhere"));
        let stage = json!({"namespaceSelector": {"matchLabels": {"stage": "prod"}}});
        assert!(about(stage.clone(), "shop") && !about(stage, "own"));
    }
}
