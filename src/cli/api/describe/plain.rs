//! Namespaces, config maps, service accounts.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};

use super::super::resource::Object;
use super::events::finish;
use super::writer::{Text, Writer, all, date, or_none};
use super::{Scene, typed};

pub fn namespace(object: &Object) -> anyhow::Result<String> {
    let namespace: Namespace = typed(object)?;
    let status = namespace.status.unwrap_or_default();
    let mut w = Writer::new();
    w.field(0, "Name", namespace.metadata.name.text());
    w.labels_and_annotations(&namespace.metadata);
    w.field(0, "Status", status.phase.text());
    let conditions = all(&status.conditions);
    if !conditions.is_empty() {
        w.line(0, "Conditions:");
        w.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
        w.line(1, "----\t------\t------------------\t------\t-------");
    }
    for condition in conditions {
        let cells = [
            condition.type_.as_str(),
            &condition.status,
            &date(condition.last_transition_time.as_ref()),
            condition.reason.text(),
            condition.message.text(),
        ];
        w.line(1, cells.join("\t"));
    }
    Ok(w.finish())
}

pub async fn config_map(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let map: ConfigMap = typed(object)?;
    let mut w = Writer::new();
    w.head(&map.metadata);
    w.line(0, "\nData\n====");
    for (key, value) in map.data.iter().flatten() {
        w.line(0, format!("{key}:\n----\n{value}\n"));
    }
    w.line(0, "\nBinaryData\n====");
    for (key, value) in map.binary_data.iter().flatten() {
        w.line(0, format!("{key}: {} bytes", value.0.len()));
    }
    w.line(0, "");
    Ok(finish(w, scene.events(object).await?))
}

pub async fn service_account(scene: &Scene<'_>, object: &Object) -> anyhow::Result<String> {
    let account: ServiceAccount = typed(object)?;
    let mut w = Writer::new();
    w.head(&account.metadata);
    let pull: Vec<&str> = all(&account.image_pull_secrets)
        .iter()
        .map(|secret| secret.name.as_str())
        .collect();
    let mount: Vec<&str> = all(&account.secrets)
        .iter()
        .map(|secret| secret.name.text())
        .collect();
    for (title, names) in [
        ("Image pull secrets:", pull),
        ("Mountable secrets: ", mount),
        ("Tokens:            ", Vec::new()),
    ] {
        let (first, rest) = names.split_first().unwrap_or((&"", &[]));
        w.line(0, format!("{title}\t{}", or_none(first)));
        for name in rest {
            w.line(0, format!("{}\t{name}", " ".repeat(19)));
        }
    }
    Ok(finish(w, scene.events(object).await?))
}
