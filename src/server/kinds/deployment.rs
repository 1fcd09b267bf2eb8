//! Deployments: pods of a template that may change, exchanged a few at a time.

use serde_json::{Value, json};

use super::names;
use super::workload::{self, Share, validate_share};
use crate::server::object::{self, default};
use crate::server::resource::{Resource, Strategy, Subresource};
use crate::server::rest::protobuf::{Field, Kind, OBJECT_META};
use crate::server::status::Cause;
use crate::server::table::workload as table;

pub static DEPLOYMENTS: Resource = Resource {
    group: "apps",
    version: "v1",
    plural: "deployments",
    singular: "deployment",
    kind: "Deployment",
    short_names: &["deploy"],
    categories: &["all"],
    namespaced: true,
    subresources: &[Subresource::Scale, Subresource::Status],
    fields: &[],
    strategy: Strategy {
        unknown_fields: |object| {
            super::unknown_fields_around::<k8s_openapi::api::apps::v1::Deployment>(
                object,
                "/spec/template/spec",
            )
        },
        check_name: names::subdomain,
        tracks_generation: true,
        default: fill,
        prepare_create,
        prepare_update: super::keep_update,
        validate,
        grace: super::no_grace,
        mark_terminating: super::keep,
        returns_deleted: false,
    },
    protobuf: DEPLOYMENT,
    columns: table::DEPLOYMENT_COLUMNS,
    row: table::deployment_row,
};

/// What `kubectl create deployment` says, which sends nothing else.
const DEPLOYMENT: &[Field] = &[
    Field::new(1, "metadata", Kind::Message(OBJECT_META)),
    Field::new(2, "spec", Kind::Message(SPEC)),
];
const SPEC: &[Field] = &[
    Field::new(1, "replicas", Kind::Integer),
    Field::new(2, "selector", Kind::Message(SELECTOR)),
    Field::new(3, "template", Kind::Message(TEMPLATE)),
];
const SELECTOR: &[Field] = &[Field::new(1, "matchLabels", Kind::Pairs)];
const TEMPLATE: &[Field] = &[
    Field::new(1, "metadata", Kind::Message(OBJECT_META)),
    Field::new(2, "spec", Kind::Message(POD_SPEC)),
];
const POD_SPEC: &[Field] = &[Field::new(2, "containers", Kind::Messages(CONTAINER))];
const CONTAINER: &[Field] = &[
    Field::new(1, "name", Kind::Text),
    Field::new(2, "image", Kind::Text),
    Field::new(3, "command", Kind::Texts),
    Field::new(4, "args", Kind::Texts),
    Field::new(6, "ports", Kind::Messages(PORT)),
];
const PORT: &[Field] = &[
    Field::new(1, "name", Kind::Text),
    Field::new(3, "containerPort", Kind::Count),
    Field::new(4, "protocol", Kind::Text),
];

fn fill(deployment: &mut Value) {
    let spec = object::map(deployment, "spec");
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    let mut strategy = json!({"strategy": spec.get("strategy")});
    let rolling = object::map(&mut strategy, "strategy");
    default(rolling, "type", "RollingUpdate");
    if rolling["type"] == "RollingUpdate" {
        let mut nested = json!({"rollingUpdate": rolling.get("rollingUpdate")});
        let update = object::map(&mut nested, "rollingUpdate");
        default(update, "maxUnavailable", "25%");
        default(update, "maxSurge", "25%");
        rolling.insert("rollingUpdate".into(), nested["rollingUpdate"].take());
    }
    spec.insert("strategy".into(), strategy["strategy"].take());
    workload::fill_template(spec);
}

fn prepare_create(deployment: &mut Value) {
    deployment["status"] = json!({});
}

fn validate(deployment: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = workload::validate(deployment, old, "deployment");
    for field in [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ] {
        workload::not_negative(deployment, field, &mut causes);
    }
    let number = |field: &str| {
        deployment
            .pointer(&format!("/spec/{field}"))
            .and_then(Value::as_i64)
            .unwrap_or(0)
    };
    if number("progressDeadlineSeconds") <= number("minReadySeconds") {
        causes.push(Cause::invalid(
            "spec.progressDeadlineSeconds",
            &json!(number("progressDeadlineSeconds")),
            "must be greater than minReadySeconds",
        ));
    }
    validate_strategy(deployment, &mut causes);
    causes
}

fn validate_strategy(deployment: &Value, causes: &mut Vec<Cause>) {
    let strategy = &deployment["spec"]["strategy"];
    let rolling = &strategy["rollingUpdate"];
    match object::text(strategy, "/type") {
        "Recreate" => {
            if !rolling.is_null() {
                causes.push(Cause::forbidden(
                    "spec.strategy.rollingUpdate",
                    "may not be specified when strategy `type` is 'Recreate'",
                ));
            }
        }
        "RollingUpdate" => {
            let path = "spec.strategy.rollingUpdate";
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            validate_share(unavailable, &format!("{path}.maxUnavailable"), causes);
            validate_share(surge, &format!("{path}.maxSurge"), causes);
            let zero = |value: &Value| Share::of(value).is_some_and(Share::is_zero);
            if zero(unavailable) && zero(surge) {
                causes.push(Cause::invalid_shown(
                    format!("{path}.maxUnavailable"),
                    "0",
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            if let Some(Share::Percent(101..)) = Share::of(unavailable) {
                causes.push(Cause::invalid(
                    format!("{path}.maxUnavailable"),
                    unavailable,
                    "must not be greater than 100%",
                ));
            }
        }
        other => causes.push(Cause::unsupported(
            "spec.strategy.type",
            other,
            &["Recreate", "RollingUpdate"],
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(strategy: Value) -> Value {
        let mut deployment = json!({"spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": strategy,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "a", "image": "a:1"}]},
            },
        }});
        fill(&mut deployment);
        deployment
    }

    #[test]
    fn a_strategy_is_filled_in_and_checked() {
        let plain = deployment(Value::Null);
        assert_eq!(
            plain["spec"]["strategy"],
            json!({"type": "RollingUpdate",
                   "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
        );
        assert_eq!(validate(&plain, None), []);
        let recreate = deployment(json!({"type": "Recreate"}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
        assert_eq!(validate(&recreate, None), []);
        for (strategy, field) in [
            (json!({"type": "Magic"}), "spec.strategy.type"),
            (
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable",
            ),
            (
                json!({"rollingUpdate": {"maxSurge": "some"}}),
                "spec.strategy.rollingUpdate.maxSurge",
            ),
            (
                json!({"type": "Recreate", "rollingUpdate": {}}),
                "spec.strategy.rollingUpdate",
            ),
        ] {
            assert_eq!(validate(&deployment(strategy), None)[0].field, field);
        }
    }
}
