//! ConfigMaps, as far as pods use them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::client::{ApiError, is_not_found, timely};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMapView {
    pub data: BTreeMap<String, String>,
    pub binary: BTreeMap<String, Vec<u8>>,
}

impl ConfigMapView {
    /// A key's value, whichever of the two it is in.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        let text = self.data.get(key).map(String::as_bytes);
        text.or_else(|| self.binary.get(key).map(Vec::as_slice))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.data
            .keys()
            .chain(self.binary.keys())
            .map(String::as_str)
    }
}

/// `None`: there is none of that name.
pub async fn config_map(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<ConfigMapView>, ApiError> {
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match timely(config_maps.get(name)).await {
        Ok(found) => Ok(Some(view(found))),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => {
            let step = format!("get config map {namespace}/{name}");
            Err(ApiError::request(step)(error))
        }
    }
}

fn view(found: ConfigMap) -> ConfigMapView {
    let binary = found.binary_data.unwrap_or_default().into_iter();
    ConfigMapView {
        data: found.data.unwrap_or_default(),
        binary: binary.map(|(key, bytes)| (key, bytes.0)).collect(),
    }
}
