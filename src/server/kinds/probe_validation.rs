//! What probes and lifecycle handlers must be (pkg/apis/core/validation, whose words these are).

use serde_json::{Value, json};

use super::names;
use crate::server::object::{list, text};
use crate::server::status::Cause;

const PROBE_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];
pub const PORT_MESSAGE: &str = "must be between 1 and 65535, inclusive";

pub fn probes(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get(kind) else {
            continue;
        };
        let path = format!("{path}.{kind}");
        handler(probe, &PROBE_HANDLERS, &path, causes);
        for field in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            if let Some(said) = number(probe, field).filter(|said| *said < 0) {
                let why = "must be greater than or equal to 0";
                causes.push(Cause::invalid(format!("{path}.{field}"), &json!(said), why));
            }
        }
        let threshold = number(probe, "successThreshold").filter(|said| *said > 1);
        let grace = number(probe, "terminationGracePeriodSeconds");
        if kind == "readinessProbe" {
            if let Some(grace) = grace {
                let field = format!("{path}.terminationGracePeriodSeconds");
                causes.push(Cause::invalid(
                    field,
                    &json!(grace),
                    "must not be set for readinessProbes",
                ));
            }
            continue;
        }
        if let Some(said) = threshold {
            causes.push(Cause::invalid(
                format!("{path}.successThreshold"),
                &json!(said),
                "must be 1",
            ));
        }
        if let Some(grace) = grace.filter(|grace| *grace <= 0) {
            let field = format!("{path}.terminationGracePeriodSeconds");
            causes.push(Cause::invalid(
                field,
                &json!(grace),
                "must be greater than 0",
            ));
        }
    }
}

pub fn hooks(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    for kind in ["postStart", "preStop"] {
        if let Some(hook) = container.pointer(&format!("/lifecycle/{kind}")) {
            handler(
                hook,
                &HOOK_HANDLERS,
                &format!("{path}.lifecycle.{kind}"),
                causes,
            );
        }
    }
}

fn handler(holder: &Value, kinds: &[&str], path: &str, causes: &mut Vec<Cause>) {
    let given: Vec<&&str> = kinds
        .iter()
        .filter(|kind| holder.get(**kind).is_some())
        .collect();
    if given.is_empty() {
        causes.push(Cause::required(path, "must specify a handler type"));
    }
    for second in given.iter().skip(1) {
        let why = "may not specify more than 1 handler type";
        causes.push(Cause::forbidden(format!("{path}.{second}"), why));
    }
    if let Some(exec) = holder.get("exec")
        && list(exec, "/command").is_empty()
    {
        causes.push(Cause::required(format!("{path}.exec.command"), ""));
    }
    if let Some(get) = holder.get("httpGet") {
        let path = format!("{path}.httpGet");
        if text(get, "/path").is_empty() {
            causes.push(Cause::required(format!("{path}.path"), ""));
        }
        port(get, &path, causes);
        let (scheme, schemes) = (text(get, "/scheme"), ["HTTP", "HTTPS"]);
        if !schemes.contains(&scheme) {
            causes.push(Cause::unsupported(
                format!("{path}.scheme"),
                scheme,
                &schemes,
            ));
        }
    }
    for kind in ["tcpSocket", "grpc"] {
        if let Some(handler) = holder.get(kind) {
            port(handler, &format!("{path}.{kind}"), causes);
        }
    }
}

/// By number or name.
fn port(holder: &Value, path: &str, causes: &mut Vec<Cause>) {
    let field = format!("{path}.port");
    let said = holder.get("port").unwrap_or(&Value::Null);
    if let Some(name) = said.as_str() {
        for why in names::port_name(name) {
            causes.push(Cause::invalid(&field, &json!(name), why));
        }
        return;
    }
    let number = said.as_i64().unwrap_or(0);
    if !(1..=65535).contains(&number) {
        causes.push(Cause::invalid(field, &json!(number), PORT_MESSAGE));
    }
}

fn number(holder: &Value, field: &str) -> Option<i64> {
    holder.get(field).and_then(Value::as_i64)
}
