//! Volumes, by where they come from.

use k8s_openapi::api::core::v1::{Volume, VolumeProjection};

use super::writer::{Text, Writer, all, quantity};
use crate::server::Quantity;

/// `indent` is what stands before the title.
pub fn write(w: &mut Writer, volumes: &[Volume], indent: &str) {
    if volumes.is_empty() {
        return w.field(0, &format!("{indent}Volumes"), "<none>");
    }
    w.line(0, format!("{indent}Volumes:"));
    let name_indent = if indent.is_empty() { "" } else { " " };
    for volume in volumes {
        w.line(1, format!("{name_indent}{}:", volume.name));
        source(w, volume);
    }
}

fn source(w: &mut Writer, volume: &Volume) {
    let optional = |optional: Option<bool>| optional.unwrap_or(false);
    if let Some(path) = &volume.host_path {
        w.field(2, "Type", "HostPath (bare host directory volume)");
        w.field(2, "Path", &path.path);
        w.field(2, "HostPathType", path.type_.as_deref().unwrap_or("<none>"));
    } else if let Some(dir) = &volume.empty_dir {
        let limit = dir.size_limit.as_ref();
        let limit =
            limit.filter(|limit| Quantity::parse(&limit.0).is_some_and(Quantity::is_positive));
        let limit = limit.map_or("<unset>".to_owned(), quantity);
        w.field(
            2,
            "Type",
            "EmptyDir (a temporary directory that shares a pod's lifetime)",
        );
        w.field(2, "Medium", dir.medium.text());
        w.field(2, "SizeLimit", limit);
    } else if let Some(secret) = &volume.secret {
        w.field(2, "Type", "Secret (a volume populated by a Secret)");
        w.field(2, "SecretName", secret.secret_name.text());
        w.field(2, "Optional", optional(secret.optional));
    } else if let Some(map) = &volume.config_map {
        w.field(2, "Type", "ConfigMap (a volume populated by a ConfigMap)");
        w.field(2, "Name", &map.name);
        w.field(2, "Optional", optional(map.optional));
    } else if let Some(nfs) = &volume.nfs {
        w.field(
            2,
            "Type",
            "NFS (an NFS mount that lasts the lifetime of a pod)",
        );
        w.field(2, "Server", &nfs.server);
        w.field(2, "Path", &nfs.path);
        w.field(2, "ReadOnly", optional(nfs.read_only));
    } else if let Some(claim) = &volume.persistent_volume_claim {
        let kind =
            "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)";
        w.field(2, "Type", kind);
        w.field(2, "ClaimName", &claim.claim_name);
        w.field(2, "ReadOnly", optional(claim.read_only));
    } else if let Some(downward) = &volume.downward_api {
        w.field(
            2,
            "Type",
            "DownwardAPI (a volume populated by information about the pod)",
        );
        w.line(2, "Items:");
        for item in all(&downward.items) {
            if let Some(field) = &item.field_ref {
                w.line(3, format!("{} -> {}", field.field_path, item.path));
            }
            if let Some(resource) = &item.resource_field_ref {
                w.line(3, format!("{} -> {}", resource.resource, item.path));
            }
        }
    } else if let Some(projected) = &volume.projected {
        let kind = "Projected (a volume that contains injected data from multiple sources)";
        w.field(2, "Type", kind);
        all(&projected.sources)
            .iter()
            .for_each(|source| projection(w, source));
    } else {
        w.line(1, "<unknown>");
    }
}

fn projection(w: &mut Writer, source: &VolumeProjection) {
    if let Some(secret) = &source.secret {
        w.field(2, "SecretName", &secret.name);
        w.field(2, "Optional", secret.optional.unwrap_or(false));
    } else if source.downward_api.is_some() {
        w.field(2, "DownwardAPI", true);
    } else if let Some(map) = &source.config_map {
        w.field(2, "ConfigMapName", &map.name);
        w.field(2, "Optional", map.optional.unwrap_or(false));
    } else if let Some(token) = &source.service_account_token {
        w.field(
            2,
            "TokenExpirationSeconds",
            token.expiration_seconds.unwrap_or(0),
        );
    }
}
