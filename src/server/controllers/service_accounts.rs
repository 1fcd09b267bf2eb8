//! Every namespace has a service account named `default`.

use serde_json::json;

use super::informer::{Informer, Seen, any};
use super::{note, write};
use crate::server::kinds::namespace::NAMESPACES;
use crate::server::kinds::service_account::SERVICE_ACCOUNTS;
use crate::server::status::ApiError;
use crate::server::store::{EventKind, Store, StoredObject};

pub async fn run(store: Store) {
    let mut informers = [
        Informer::new(&store, &NAMESPACES),
        Informer::new(&store, &SERVICE_ACCOUNTS),
    ];
    loop {
        let (resource, seen) = any(&mut informers).await;
        let of_namespaces = std::ptr::eq(resource, &NAMESPACES);
        let namespaces: Vec<String> = match seen {
            Seen::All(objects) if of_namespaces => objects.iter().map(name).collect(),
            Seen::All(_) => Vec::new(),
            Seen::Changes(events) => events
                .iter()
                .filter(|event| of_namespaces == (event.kind == EventKind::Added))
                .map(|event| match of_namespaces {
                    true => event.object.name().to_owned(),
                    false => event.object.namespace().to_owned(),
                })
                .collect(),
        };
        for namespace in namespaces {
            ensure(&store, &namespace).await;
        }
    }
}

fn name(namespace: &std::sync::Arc<StoredObject>) -> String {
    namespace.name().to_owned()
}

async fn ensure(store: &Store, namespace: &str) {
    if store
        .get(&SERVICE_ACCOUNTS.key(namespace, "default"))
        .is_some()
    {
        return;
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"namespace": namespace, "name": "default"},
    });
    match write::put(store, &SERVICE_ACCOUNTS, account).await {
        // A namespace that is going away takes nothing new.
        Err(ApiError::NamespaceTerminating { .. }) => {}
        result => {
            note("make a default service account", result);
        }
    }
}
