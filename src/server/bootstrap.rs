//! What exists in every cluster before anybody creates anything.

use serde_json::json;

use super::kinds::namespace::{BUILT_IN, NAMESPACES};
use super::rest::{admit, prepare};
use super::status::ApiError;
use super::store::Store;

pub async fn create_namespaces(store: &Store) -> Result<(), ApiError> {
    for name in BUILT_IN {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        });
        let namespace = prepare(&NAMESPACES, namespace)?;
        let created = store
            .write(move |view| admit(&NAMESPACES, namespace, view))
            .await;
        match created {
            Ok(_) | Err(ApiError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
