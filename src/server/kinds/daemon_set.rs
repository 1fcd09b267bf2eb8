//! Daemon sets: a pod of one template on every node that fits.

use serde_json::{Value, json};

use super::names;
use super::workload::{self, Share, validate_share};
use crate::server::object::{self, default};
use crate::server::resource::{Resource, Strategy, Subresource};
use crate::server::status::Cause;
use crate::server::table::workload as table;

pub static DAEMON_SETS: Resource = Resource {
    group: "apps",
    version: "v1",
    plural: "daemonsets",
    singular: "daemonset",
    kind: "DaemonSet",
    short_names: &["ds"],
    categories: &["all"],
    namespaced: true,
    subresources: &[Subresource::Status],
    fields: &[],
    strategy: Strategy {
        unknown_fields: |object| {
            super::unknown_fields_around::<k8s_openapi::api::apps::v1::DaemonSet>(
                object,
                "/spec/template/spec",
            )
        },
        check_name: names::subdomain,
        tracks_generation: true,
        default: fill,
        prepare_create,
        prepare_update,
        validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: &[],
    columns: table::DAEMON_SET_COLUMNS,
    row: table::daemon_set_row,
};

fn fill(set: &mut Value) {
    let spec = object::map(set, "spec");
    default(spec, "revisionHistoryLimit", 10);
    let mut strategy = json!({"updateStrategy": spec.get("updateStrategy")});
    let update = object::map(&mut strategy, "updateStrategy");
    default(update, "type", "RollingUpdate");
    if update["type"] == "RollingUpdate" {
        let mut nested = json!({"rollingUpdate": update.get("rollingUpdate")});
        let rolling = object::map(&mut nested, "rollingUpdate");
        default(rolling, "maxUnavailable", 1);
        default(rolling, "maxSurge", 0);
        update.insert("rollingUpdate".into(), nested["rollingUpdate"].take());
    }
    spec.insert("updateStrategy".into(), strategy["updateStrategy"].take());
    workload::fill_template(spec);
}

/// How often the template has changed: a field of the first versions, which lives on as this.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn prepare_create(set: &mut Value) {
    count_templates(set, 1);
    set["status"] = json!({
        "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0,
        "numberReady": 0,
    });
}

fn prepare_update(set: &mut Value, old: &Value) {
    fill(set);
    let changed = set.pointer("/spec/template") != old.pointer("/spec/template");
    let before = old["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    let before = before.and_then(|count| count.parse().ok()).unwrap_or(1_u32);
    count_templates(set, before.saturating_add(changed.into()));
}

fn count_templates(set: &mut Value, count: u32) {
    object::metadata(set);
    object::map(&mut set["metadata"], "annotations")
        .insert(TEMPLATE_GENERATION.into(), count.to_string().into());
}

fn validate(set: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = workload::validate(set, old, "daemonset");
    for field in ["minReadySeconds", "revisionHistoryLimit"] {
        workload::not_negative(set, field, &mut causes);
    }
    let strategy = &set["spec"]["updateStrategy"];
    match object::text(strategy, "/type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = "spec.updateStrategy.rollingUpdate";
            let rolling = &strategy["rollingUpdate"];
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            validate_share(unavailable, &format!("{path}.maxUnavailable"), &mut causes);
            validate_share(surge, &format!("{path}.maxSurge"), &mut causes);
            let zero = |value: &Value| Share::of(value).is_none_or(Share::is_zero);
            match (zero(unavailable), zero(surge)) {
                (true, true) => causes.push(Cause::required(
                    format!("{path}.maxUnavailable"),
                    "cannot be 0 when maxSurge is 0",
                )),
                (false, false) => causes.push(Cause::invalid(
                    format!("{path}.maxSurge"),
                    surge,
                    "may not be set when maxUnavailable is non-zero",
                )),
                _ => {}
            }
        }
        other => causes.push(Cause::unsupported(
            "spec.updateStrategy.type",
            other,
            &["OnDelete", "RollingUpdate"],
        )),
    }
    causes
}
