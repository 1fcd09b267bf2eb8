//! What a pod's containers must be (pkg/apis/core/validation, whose words these are).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::probe_validation::{self, PORT_MESSAGE};
use super::{names, resources, volume_validation};
use crate::server::object::{list, text};
use crate::server::status::Cause;

const NOT_RESTARTABLE: &str = "may not be set for init containers without restartPolicy=Always";
const ID_MESSAGE: &str = "must be between 0 and 2147483647, inclusive";
const ENV_MESSAGE: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";

pub fn containers(pod: &Value, causes: &mut Vec<Cause>) {
    let mut names = HashSet::new();
    for kind in ["initContainers", "containers"] {
        for (index, container) in list(pod, &format!("/spec/{kind}")).iter().enumerate() {
            let path = format!("spec.{kind}[{index}]");
            name_and_image(container, &path, &mut names, causes);
            ports(pod, container, &path, causes);
            environment(container, &path, causes);
            volume_validation::mounts(pod, container, &path, causes);
            probe_validation::probes(container, &path, causes);
            probe_validation::hooks(container, &path, causes);
            policies(container, &path, causes);
            resources::validate(container, &path, causes);
            security(container, &path, causes);
            restarts(container, kind == "initContainers", &path, causes);
        }
    }
    if list(pod, "/spec/containers").is_empty() {
        causes.push(Cause::required("spec.containers", ""));
    }
}

fn name_and_image<'a>(
    container: &'a Value,
    path: &str,
    names: &mut HashSet<&'a str>,
    causes: &mut Vec<Cause>,
) {
    let name = text(container, "/name");
    if name.is_empty() {
        causes.push(Cause::required(format!("{path}.name"), ""));
    } else if let Some(why) = names::label(name) {
        causes.push(Cause::invalid(format!("{path}.name"), &json!(name), why));
    } else if !names.insert(name) {
        causes.push(Cause::duplicate(format!("{path}.name"), name));
    }
    let image = text(container, "/image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(format!("{path}.image"), &json!(image), why));
    }
}

fn ports(pod: &Value, container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let on_the_node = pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
    let mut names = HashSet::new();
    for (index, port) in list(container, "/ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        let name = text(port, "/name");
        let problems = if name.is_empty() {
            Vec::new()
        } else {
            names::port_name(name)
        };
        for why in &problems {
            causes.push(Cause::invalid(format!("{path}.name"), &json!(name), why));
        }
        if problems.is_empty() && !name.is_empty() && !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), name));
        }
        let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
        let (inside, outside) = (number("containerPort"), number("hostPort"));
        if inside == 0 {
            causes.push(Cause::required(format!("{path}.containerPort"), ""));
        }
        for (field, number) in [("containerPort", inside), ("hostPort", outside)] {
            if number != 0 && !(1..=65535).contains(&number) {
                causes.push(Cause::invalid(
                    format!("{path}.{field}"),
                    &json!(number),
                    PORT_MESSAGE,
                ));
            }
        }
        if on_the_node && inside != outside {
            let why = "must match `hostPort` when `hostNetwork` is true";
            causes.push(Cause::invalid(
                format!("{path}.containerPort"),
                &json!(inside),
                why,
            ));
        }
        let (protocol, protocols) = (text(port, "/protocol"), ["SCTP", "TCP", "UDP"]);
        if !protocols.contains(&protocol) {
            causes.push(Cause::unsupported(
                format!("{path}.protocol"),
                protocol,
                &protocols,
            ));
        }
    }
}

fn environment(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (index, variable) in list(container, "/env").iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        let name = text(variable, "/name");
        if name.is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        } else if !name
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
        {
            causes.push(Cause::invalid(
                format!("{path}.name"),
                &json!(name),
                ENV_MESSAGE,
            ));
        }
        if let Some(from) = variable.get("valueFrom") {
            value_from(variable, from, &format!("{path}.valueFrom"), causes);
        }
    }
    for (index, source) in list(container, "/envFrom").iter().enumerate() {
        let path = format!("{path}.envFrom[{index}]");
        let given: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|kind| source.get(kind).is_some())
            .collect();
        let wrong = |why| Cause::invalid(&path, &json!(""), why);
        match given[..] {
            [] => causes.push(wrong("must specify one of: `configMapRef` or `secretRef`")),
            [kind] if text(source, &format!("/{kind}/name")).is_empty() => {
                causes.push(Cause::required(format!("{path}.{kind}.name"), ""));
            }
            [_] => {}
            _ => causes.push(wrong(
                "may not have more than one field specified at a time",
            )),
        }
    }
}

fn value_from(variable: &Value, from: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut wrong = |why| causes.push(Cause::invalid(path, &json!(""), why));
    let given = from.as_object().map_or(0, |from| from.len());
    if !text(variable, "/value").is_empty() {
        wrong("may not be specified when `value` is not empty");
    }
    match given {
        0 => wrong(
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        1 => {}
        _ => wrong("may not have more than one field specified at a time"),
    }
    for (kind, fields) in [
        ("fieldRef", &["fieldPath"][..]),
        ("configMapKeyRef", &["name", "key"]),
        ("secretKeyRef", &["name", "key"]),
    ] {
        let Some(reference) = from.get(kind) else {
            continue;
        };
        for field in fields {
            if text(reference, &format!("/{field}")).is_empty() {
                causes.push(Cause::required(format!("{path}.{kind}.{field}"), ""));
            }
        }
    }
}

fn policies(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (field, allowed) in [
        ("imagePullPolicy", &["Always", "IfNotPresent", "Never"][..]),
        (
            "terminationMessagePolicy",
            &["FallbackToLogsOnError", "File"],
        ),
    ] {
        let said = text(container, &format!("/{field}"));
        if !allowed.contains(&said) {
            causes.push(Cause::unsupported(format!("{path}.{field}"), said, allowed));
        }
    }
}

fn security(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(context) = container.get("securityContext") else {
        return;
    };
    let path = format!("{path}.securityContext");
    ids(context, &["runAsUser", "runAsGroup"], &path, causes);
    if context["privileged"] == true && context["allowPrivilegeEscalation"] == false {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        causes.push(Cause::invalid(path, context, why));
    }
}

/// Users and groups.
pub fn ids(context: &Value, fields: &[&str], path: &str, causes: &mut Vec<Cause>) {
    for field in fields {
        let said = context.get(field).and_then(Value::as_i64);
        if let Some(id) = said.filter(|id| i32::try_from(*id).map_or(true, |id| id < 0)) {
            causes.push(Cause::invalid(
                format!("{path}.{field}"),
                &json!(id),
                ID_MESSAGE,
            ));
        }
    }
}

/// Sidecars are init containers that are restarted; others of those end and are not watched.
fn restarts(container: &Value, is_init: bool, path: &str, causes: &mut Vec<Cause>) {
    let policy = text(container, "/restartPolicy");
    if !is_init {
        if !policy.is_empty() {
            let why = "may not be set for non-init containers";
            causes.push(Cause::forbidden(format!("{path}.restartPolicy"), why));
        }
        return;
    }
    if !matches!(policy, "" | "Always") {
        causes.push(Cause::unsupported(
            format!("{path}.restartPolicy"),
            policy,
            &["Always"],
        ));
    }
    if policy == "Always" {
        return;
    }
    for field in [
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ] {
        if container.get(field).is_some() {
            causes.push(Cause::forbidden(format!("{path}.{field}"), NOT_RESTARTABLE));
        }
    }
}
