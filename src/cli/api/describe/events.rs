//! What happened to an object, at the end of its description.

use anyhow::Context;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Client;
use serde_json::Value;

use super::super::duration::since;
use super::super::http;
use super::super::resource::{Object, escape};
use super::writer::{Text, Writer};

pub struct Events(Vec<Event>);

impl Events {
    /// Those about the object that is there, not an earlier one of its name. `kind` may be empty.
    pub async fn of(client: &Client, object: &Object, kind: &str) -> anyhow::Result<Events> {
        let uid = object.value["metadata"]["uid"].as_str().unwrap_or_default();
        Events::about(client, object, kind, uid).await
    }

    /// As [`Events::of`], by what somebody wrote for a uid.
    pub async fn about(
        client: &Client,
        object: &Object,
        kind: &str,
        uid: &str,
    ) -> anyhow::Result<Events> {
        let namespace = object.value["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let mut fields = vec![
            format!("involvedObject.name={}", object.name()),
            format!("involvedObject.namespace={namespace}"),
        ];
        let optional = [("involvedObject.kind", kind), ("involvedObject.uid", uid)];
        for (field, value) in optional.iter().filter(|(_, value)| !value.is_empty()) {
            fields.push(format!("{field}={value}"));
        }
        let collection = match namespace {
            "" => "/api/v1/events".to_owned(),
            namespace => format!("/api/v1/namespaces/{}/events", escape(namespace)),
        };
        let url = format!("{collection}?fieldSelector={}", escape(&fields.join(",")));
        let mut list = http::get(client, &url).await?;
        let items = match list["items"].take() {
            Value::Null => Vec::new(),
            items => {
                serde_json::from_value(items).context("events are not as Kubernetes has them")?
            }
        };
        Ok(Events(items))
    }

    pub fn and(mut self, other: Events) -> Events {
        self.0.extend(other.0);
        self
    }

    pub fn write(mut self, writer: &mut Writer) {
        if self.0.is_empty() {
            return writer.field(0, "Events", "<none>");
        }
        writer.flush();
        self.0
            .sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
        writer.line(0, "Events:");
        writer.line(1, "Type\tReason\tAge\tFrom\tMessage");
        writer.line(1, "----\t------\t----\t----\t-------");
        for event in &self.0 {
            let component = event.source.as_ref().map(|source| source.component.text());
            let component = component.filter(|component| !component.is_empty());
            let line = [
                event.type_.text(),
                event.reason.text(),
                &interval(event),
                component.unwrap_or(event.reporting_component.text()),
                event.message.text().trim(),
            ];
            writer.line(1, line.join("\t"));
        }
    }
}

/// When it happened: `5s`, or `5s (x3 over 2m)`.
fn interval(event: &Event) -> String {
    let ago = |time: Option<Timestamp>| time.map_or("<unknown>".to_owned(), since);
    let first = event.event_time.as_ref().map(|time| time.0);
    let first = ago(first.or(event.first_timestamp.as_ref().map(|time| time.0)));
    if let Some(series) = &event.series {
        let last = ago(series.last_observed_time.as_ref().map(|time| time.0));
        return format!("{last} (x{} over {first})", series.count.unwrap_or(0));
    }
    match event.count {
        Some(count @ 2..) => {
            let last = ago(event.last_timestamp.as_ref().map(|time| time.0));
            format!("{last} (x{count} over {first})")
        }
        _ => first,
    }
}

/// Puts events where they belong, if they are wanted.
pub fn finish(mut writer: Writer, events: Option<Events>) -> String {
    if let Some(events) = events {
        events.write(&mut writer);
    }
    writer.finish()
}
