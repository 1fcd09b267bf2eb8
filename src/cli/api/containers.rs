//! Which container of a pod a verb is about.

use anyhow::{Context, bail};
use serde_json::Value;

use super::print::name_of;

const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// Those of a pod, in the order in which they start: field of the spec, container.
pub fn all(pod: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    kinds.into_iter().flat_map(|kind| of_kind(pod, kind))
}

fn of_kind<'a>(
    pod: &'a Value,
    kind: &'static str,
) -> impl Iterator<Item = (&'static str, &'a Value)> {
    let containers = pod["spec"][kind].as_array().into_iter().flatten();
    containers.map(move |container| (kind, container))
}

pub fn find<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let mut all = all(pod).map(|(_, container)| container);
    all.find(|container| container["name"] == name)
}

/// The one of the name `asked`; else the one that the pod's annotation names; else the first, which
/// is told of where there are others.
pub fn choose<'a>(
    pod: &'a Value,
    asked: Option<&str>,
    is_quiet: bool,
) -> anyhow::Result<&'a Value> {
    if let Some(name) = asked {
        let found = find(pod, name);
        return found
            .with_context(|| format!("container {name} not found in pod {}", name_of(pod)));
    }
    let annotated = pod["metadata"]["annotations"][DEFAULT].as_str();
    if let Some(container) = annotated.and_then(|name| find(pod, name)) {
        return Ok(container);
    }
    let Some((_, first)) = of_kind(pod, "containers").next() else {
        bail!("pod {} does not have any containers", name_of(pod));
    };
    if !is_quiet && let Some(message) = defaulted(pod, first) {
        eprintln!("{message}");
    }
    Ok(first)
}

fn defaulted(pod: &Value, first: &Value) -> Option<String> {
    let kinds = [
        ("containers", ""),
        ("ephemeralContainers", " (ephem)"),
        ("initContainers", " (init)"),
    ];
    let name = |container: &Value| container["name"].as_str().unwrap_or_default().to_owned();
    let named = kinds.into_iter().flat_map(|(kind, note)| {
        of_kind(pod, kind).map(move |(_, container)| format!("{}{note}", name(container)))
    });
    let names: Vec<String> = named.collect();
    (names.len() > 1).then(|| {
        format!(
            "Defaulted container {:?} out of: {}",
            name(first),
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_chosen_as_kubectl_does() {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {
            "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]}});
        let chosen = |pod: &Value, asked| choose(pod, asked, true).expect("one")["name"].clone();
        assert_eq!(chosen(&pod, None), "a");
        assert_eq!(chosen(&pod, Some("i")), "i");
        assert_eq!(
            defaulted(&pod, &json!({"name": "a"})).as_deref(),
            Some("Defaulted container \"a\" out of: a, b, i (init)")
        );
        let missing = choose(&pod, Some("x"), true).unwrap_err();
        assert_eq!(missing.to_string(), "container x not found in pod web");
        pod["metadata"]["annotations"] = json!({DEFAULT: "b"});
        assert_eq!(chosen(&pod, None), "b");
        let one = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(defaulted(&one, &json!({"name": "a"})), None);
        assert!(choose(&json!({}), None, true).is_err());
    }
}
