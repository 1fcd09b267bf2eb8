//! Binding a pod to a node, for the API's subresource and for the scheduler.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::update::dry;
use super::{Answer, Api, Scope, body, respond};
use crate::server::object;
use crate::server::status::ApiError;
use crate::server::store::{Change, StoredObject};

impl Api {
    pub(super) async fn bind(&self, scope: Scope, request: Request<Incoming>) -> Answer {
        let binding = body::object(request, "Binding", "v1", &[]).await?;
        let node = object::text(&binding, "/target/name").to_owned();
        if node.is_empty() {
            return Err(ApiError::BadRequest(
                "Binding is invalid: target.name: Required value".into(),
            ));
        }
        self.store
            .write(move |view| {
                let pod = view.get(&scope.key()).ok_or_else(|| scope.not_found())?;
                Ok(dry(scope.options.dry_run, &pod, bind(&pod, &node)?))
            })
            .await?;
        let success = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
        });
        Ok(respond::value(StatusCode::CREATED, &success))
    }
}

/// Puts a pod on a node, once.
pub fn bind(pod: &StoredObject, node: &str) -> Result<Change, ApiError> {
    let mut value = pod.value();
    let refused = |why: String| ApiError::Conflict {
        resource: pod.resource,
        name: pod.name().to_owned(),
        why,
    };
    let bound = object::text(&value, "/spec/nodeName");
    if !bound.is_empty() {
        return Err(refused(format!(
            "pod {} is already assigned to node {bound:?}",
            pod.name()
        )));
    }
    if object::is_terminating(&value) {
        return Err(refused(format!(
            "pod {} is being deleted, cannot be assigned to a host",
            pod.name()
        )));
    }
    if !object::list(&value, "/spec/schedulingGates").is_empty() {
        return Err(refused(format!(
            "pod {} has non-empty .spec.schedulingGates",
            pod.name()
        )));
    }
    object::map(&mut value, "spec").insert("nodeName".into(), node.into());
    object::set_condition(
        &mut value,
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null}),
        &object::timestamp(Timestamp::now()),
    );
    Ok(Change::Put {
        resource: pod.resource,
        value,
    })
}
