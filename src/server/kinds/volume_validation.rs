//! What a pod's volumes must be, and where containers may mount them
//! (pkg/apis/core/validation, whose words these are).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::names;
use crate::server::object::{list, text};
use crate::server::status::Cause;

/// Sorted, as Kubernetes lists them.
const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
const MODE_MESSAGE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

pub fn volumes(pod: &Value, causes: &mut Vec<Cause>) {
    let mut names = HashSet::new();
    for (index, volume) in list(pod, "/spec/volumes").iter().enumerate() {
        let path = format!("spec.volumes[{index}]");
        let name = text(volume, "/name");
        if name.is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        } else if let Some(why) = names::label(name) {
            causes.push(Cause::invalid(format!("{path}.name"), &json!(name), why));
        } else if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), name));
        }
        source(volume, &path, causes);
    }
}

fn source(volume: &Value, path: &str, causes: &mut Vec<Cause>) {
    let fields = volume.as_object().into_iter().flatten();
    let sources: Vec<&String> = fields
        .map(|(key, _)| key)
        .filter(|key| *key != "name")
        .collect();
    for source in sources.iter().skip(1) {
        let why = "may not specify more than 1 volume type";
        causes.push(Cause::forbidden(format!("{path}.{source}"), why));
    }
    if let Some(host) = volume.get("hostPath") {
        let path = format!("{path}.hostPath");
        match text(host, "/path") {
            "" => causes.push(Cause::required(format!("{path}.path"), "")),
            said => no_back_steps(said, &format!("{path}.path"), causes),
        }
        let kind = text(host, "/type");
        if !HOST_PATH_TYPES.contains(&kind) {
            causes.push(Cause::unsupported(
                format!("{path}.type"),
                kind,
                &HOST_PATH_TYPES,
            ));
        }
    }
    if let Some(map) = volume.get("configMap") {
        let path = format!("{path}.configMap");
        if text(map, "/name").is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        mode(map, "defaultMode", &path, causes);
        for (index, item) in list(map, "/items").iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            if text(item, "/key").is_empty() {
                causes.push(Cause::required(format!("{path}.key"), ""));
            }
            file(item, &path, causes);
        }
    }
    if let Some(downward) = volume.get("downwardAPI") {
        let path = format!("{path}.downwardAPI");
        mode(downward, "defaultMode", &path, causes);
        for (index, item) in list(downward, "/items").iter().enumerate() {
            file(item, &format!("{path}.items[{index}]"), causes);
        }
    }
}

/// One file of a projected volume.
fn file(item: &Value, path: &str, causes: &mut Vec<Cause>) {
    let field = format!("{path}.path");
    match text(item, "/path") {
        "" => causes.push(Cause::required(field, "")),
        said => {
            relative(said, &field, causes);
            if said.starts_with("..") && said != ".." && !said.starts_with("../") {
                causes.push(Cause::invalid(
                    field,
                    &json!(said),
                    "must not start with '..'",
                ));
            }
        }
    }
    mode(item, "mode", path, causes);
}

fn mode(holder: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    let said = holder.get(field).and_then(Value::as_i64);
    if let Some(said) = said.filter(|mode| !(0..=0o777).contains(mode)) {
        causes.push(Cause::invalid(
            format!("{path}.{field}"),
            &json!(said),
            MODE_MESSAGE,
        ));
    }
}

pub fn mounts(pod: &Value, container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let volumes: HashSet<&str> = list(pod, "/spec/volumes")
        .iter()
        .map(|volume| text(volume, "/name"))
        .collect();
    let mut targets = HashSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        match text(mount, "/name") {
            "" => causes.push(Cause::required(format!("{path}.name"), "")),
            name if !volumes.contains(name) => {
                causes.push(Cause::not_found(format!("{path}.name"), name));
            }
            _ => {}
        }
        let field = format!("{path}.mountPath");
        match text(mount, "/mountPath") {
            "" => causes.push(Cause::required(field, "")),
            target if !targets.insert(target) => {
                causes.push(Cause::invalid(field, &json!(target), "must be unique"));
            }
            _ => {}
        }
        for field in ["subPath", "subPathExpr"] {
            let said = text(mount, &format!("/{field}"));
            relative(said, &format!("{path}.{field}"), causes);
        }
        let (plain, expression) = (text(mount, "/subPath"), text(mount, "/subPathExpr"));
        if !plain.is_empty() && !expression.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            causes.push(Cause::invalid(
                format!("{path}.subPathExpr"),
                &json!(expression),
                why,
            ));
        }
    }
}

fn relative(said: &str, field: &str, causes: &mut Vec<Cause>) {
    if said.starts_with('/') {
        causes.push(Cause::invalid(
            field,
            &json!(said),
            "must be a relative path",
        ));
    }
    no_back_steps(said, field, causes);
}

fn no_back_steps(said: &str, field: &str, causes: &mut Vec<Cause>) {
    if said.split('/').any(|part| part == "..") {
        causes.push(Cause::invalid(field, &json!(said), "must not contain '..'"));
    }
}
