//! What a pod names, and its node may therefore read.

use serde_json::Value;

use crate::server::object;
use crate::server::store::StoredObject;

/// Whether a pod names this config map, in a volume or in its containers' environment
/// (`podutil.VisitPodConfigmapNames`).
pub(super) fn config_map(pod: &StoredObject, name: &str) -> bool {
    // Most pods do not, which their bytes tell sooner than their fields.
    let quoted = format!("\"{name}\"");
    pod.json.mentions(&quoted) && named(&pod.value()).any(|one| one == name)
}

fn named(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = object::list(pod, "/spec/volumes").iter();
    let in_volumes = volumes.flat_map(|volume| {
        let sources = object::list(volume, "/projected/sources").iter();
        let projected = sources.map(|source| object::text(source, "/configMap/name"));
        projected.chain([object::text(volume, "/configMap/name")])
    });
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let containers = lists
        .into_iter()
        .flat_map(|list| object::list(pod, &format!("/spec/{list}")));
    let in_containers = containers.flat_map(|container| {
        let variables = object::list(container, "/env").iter();
        let whole = object::list(container, "/envFrom").iter();
        variables
            .map(|one| object::text(one, "/valueFrom/configMapKeyRef/name"))
            .chain(whole.map(|one| object::text(one, "/configMapRef/name")))
    });
    in_volumes.chain(in_containers)
}
