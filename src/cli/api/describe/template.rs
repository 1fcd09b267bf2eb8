//! Templates for pods, and what they share with pods.

use k8s_openapi::api::core::v1::{PodTemplateSpec, Toleration, TopologySpreadConstraint};

use super::container::{self, Place};
use super::volume;
use super::writer::{Text, Writer, all, selector_or_none};

const INDENT: &str = "  ";

pub fn write(w: &mut Writer, template: &PodTemplateSpec) {
    w.line(0, "Pod Template:");
    let metadata = template.metadata.clone().unwrap_or_default();
    w.pairs("  Labels", metadata.labels.as_ref());
    if metadata
        .annotations
        .as_ref()
        .is_some_and(|map| !map.is_empty())
    {
        w.annotations("  Annotations", metadata.annotations.as_ref());
    }
    let Some(spec) = &template.spec else {
        return;
    };
    let given =
        |text: &Option<String>| Some(text.text().to_owned()).filter(|text| !text.is_empty());
    w.given(1, "Service Account", given(&spec.service_account_name));
    let place = |title| Place {
        title,
        indent: INDENT,
        pod: None,
    };
    let init = all(&spec.init_containers);
    if !init.is_empty() {
        container::write(w, &place("Init Containers"), init, &[]);
    }
    container::write(w, &place("Containers"), &spec.containers, &[]);
    volume::write(w, all(&spec.volumes), INDENT);
    spread(w, all(&spec.topology_spread_constraints), INDENT);
    w.given(1, "Priority Class Name", given(&spec.priority_class_name));
    w.pairs("  Node-Selectors", spec.node_selector.as_ref());
    tolerations(w, "  Tolerations", all(&spec.tolerations));
}

pub fn tolerations(w: &mut Writer, title: &str, tolerations: &[Toleration]) {
    let mut tolerations: Vec<&Toleration> = tolerations.iter().collect();
    tolerations.sort_by_key(|toleration| toleration.key.text());
    let lines: Vec<String> = tolerations.into_iter().map(toleration).collect();
    w.lines(title, &lines);
}

fn toleration(toleration: &Toleration) -> String {
    let mut text = toleration.key.text().to_owned();
    let value = toleration.value.text();
    if !value.is_empty() {
        text += &format!("={value}");
    }
    let effect = toleration.effect.text();
    if !effect.is_empty() {
        text += &format!(":{effect}");
    }
    if toleration.operator.text() == "Exists" && value.is_empty() {
        text += if text.is_empty() {
            "op=Exists"
        } else {
            " op=Exists"
        };
    }
    if let Some(seconds) = toleration.toleration_seconds {
        text += &format!(" for {seconds}s");
    }
    text
}

/// Nothing where there are none.
pub fn spread(w: &mut Writer, constraints: &[TopologySpreadConstraint], indent: &str) {
    if constraints.is_empty() {
        return;
    }
    let mut constraints: Vec<&TopologySpreadConstraint> = constraints.iter().collect();
    constraints.sort_by_key(|constraint| &constraint.topology_key);
    w.put(0, format!("{indent}Topology Spread Constraints:\t"));
    for (index, constraint) in constraints.into_iter().enumerate() {
        if index > 0 {
            w.put(0, format!("{indent}\t"));
        }
        let selector = match &constraint.label_selector {
            Some(selector) => format!(" for selector {}", selector_or_none(Some(selector))),
            None => String::new(),
        };
        w.line(
            0,
            format!(
                "{}:{} when max skew {} is exceeded{selector}",
                constraint.topology_key, constraint.when_unsatisfiable, constraint.max_skew
            ),
        );
    }
}
