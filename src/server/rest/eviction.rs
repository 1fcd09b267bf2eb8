//! POST `pods/NAME/eviction`: a deletion that whatever protects pods may refuse.
//!
//! There are no PodDisruptionBudgets here, so nothing ever does. `kubectl drain` asks in this way
//! wherever discovery says that it can.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::protobuf::EVICTION;
use super::{Answer, Api, DeleteOptions, Scope, body, delete_in, respond};
use crate::server::object;
use crate::server::status::ApiError;

impl Api {
    pub(super) async fn evict(&self, scope: Scope, request: Request<Incoming>) -> Answer {
        let mut eviction = body::object(request, "Eviction", "policy/v1", EVICTION).await?;
        let name = object::name(&eviction);
        if !name.is_empty() && name != scope.name() {
            return Err(ApiError::BadRequest(format!(
                "name in URL ({}) does not match name in Eviction object ({name})",
                scope.name()
            )));
        }
        let options = match eviction.get_mut("deleteOptions") {
            Some(options) => options.take(),
            None => Value::Null,
        };
        let options = DeleteOptions::of(options, &scope.options)?;
        self.store
            .write(move |view| {
                let pod = view.get(&scope.key()).ok_or_else(|| scope.not_found())?;
                scope.restriction.check_eviction(&pod)?;
                delete_in(view, &pod, &options)
            })
            .await?;
        let success = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
        });
        Ok(respond::value(StatusCode::CREATED, &success))
    }
}
