//! Jobs that bring containers up: volumes first, then image, bundle, start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use super::notes::Notes;
use super::{Node, files, spec};
use crate::cluster::{self, ConfigMapView};
use crate::pod::client::{Pause, PauseError};
use crate::pod::image::{Image, ImageError};
use crate::pod::plan::{self, ConfigError, PodFacts, Preparation};
use crate::pod::protocol::Refusal;

/// What a job sees of its pod.
pub struct Scene {
    pub node: Arc<Node>,
    pub dir: PathBuf,
    pub pause: Arc<Pause>,
    pub pod: Arc<Pod>,
    pub addresses: Vec<IpAddr>,
    pub client: Client,
    pub notes: Notes,
}

/// Why something could not be made, in one word and in some.
#[derive(Debug)]
pub struct Failure {
    pub reason: &'static str,
    pub message: String,
}

/// What came of a start.
pub struct Made {
    pub image_id: String,
    pub at: Timestamp,
}

pub enum Refused {
    /// There is no container.
    NotMade(Failure),
    /// Its program does not start.
    NotStarted(String),
    /// There is no sandbox any more.
    Gone,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure {
            reason: error.reason(),
            message: error.to_string(),
        }
    }
}

/// Have everything there that the containers share.
pub async fn volumes(scene: Scene) -> Result<(), Failure> {
    let preparations = planned(&scene).await?;
    let tmpfs: Vec<_> = preparations
        .iter()
        .filter_map(|preparation| match preparation {
            Preparation::Tmpfs { path, size_bytes } => Some((path.clone(), *size_bytes)),
            _ => None,
        })
        .collect();
    prepare(&scene, preparations).await?;
    for (path, size_bytes) in tmpfs {
        let made = scene.pause.tmpfs(&path, size_bytes).await;
        made.map_err(|error| Failure {
            reason: "FailedMount",
            message: format!("a tmpfs at {}: {error}", path.display()),
        })?;
    }
    Ok(())
}

/// Have the volumes that show what the API has show it as it is now. The others are
/// the containers' by now.
pub async fn refresh(scene: Scene) -> Result<(), Failure> {
    let mut preparations = planned(&scene).await?;
    preparations.retain(|preparation| matches!(preparation, Preparation::Projected { .. }));
    prepare(&scene, preparations).await
}

/// Whether any of the pod's volumes does.
pub fn shows_the_api(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let mut volumes = volumes.into_iter().flatten();
    volumes.any(|volume| volume.config_map.is_some() || volume.downward_api.is_some())
}

async fn planned(scene: &Scene) -> Result<Vec<Preparation>, Failure> {
    let config_maps = config_maps(scene).await?;
    let facts = PodFacts {
        pod: &scene.pod,
        addresses: &scene.addresses,
        config_maps: &config_maps,
    };
    Ok(plan::volumes(&facts, &scene.node.facts)?)
}

async fn prepare(scene: &Scene, preparations: Vec<Preparation>) -> Result<(), Failure> {
    let dir = scene.dir.clone();
    let prepared = blocking(move || plan::prepare(&dir, &preparations)).await?;
    prepared.map_err(|error| Failure {
        reason: error.reason(),
        message: error.to_string(),
    })
}

/// Find the image, plan the container's run `attempt`, and start it.
pub async fn start(scene: Scene, index: usize, attempt: u32) -> Result<Made, Refused> {
    let Some(container) = spec(&scene.pod, index) else {
        return Err(Refused::Gone);
    };
    let name = &container.name;
    let reference = container.image.clone().unwrap_or_default();
    let not_made = |failure: Failure| {
        let (reason, message) = (failure.reason, &failure.message);
        scene.notes.failed(name, &reference, reason, message);
        Refused::NotMade(failure)
    };
    let image = image(
        &scene,
        reference.clone(),
        container.image_pull_policy.clone(),
    );
    let image = image.await.map_err(not_made)?;
    scene.notes.pulled(name, &reference);
    let config_maps = config_maps(&scene).await.map_err(not_made)?;
    let facts = PodFacts {
        pod: &scene.pod,
        addresses: &scene.addresses,
        config_maps: &config_maps,
    };
    let planned = plan::bundle(&facts, container, attempt, &image, &scene.node.facts);
    let bundle = planned.map_err(|error| not_made(error.into()))?;
    let (dir, of) = (scene.dir.clone(), name.clone());
    let prepared = blocking(move || {
        files::forget_old(&dir, &of, attempt);
        plan::prepare(&dir, &plan::before_start(&of, attempt))
    });
    let prepared = prepared.await.map_err(not_made)?;
    prepared.map_err(|error| {
        not_made(Failure {
            reason: "CreateContainerError",
            message: error.to_string(),
        })
    })?;
    match scene.pause.start(&bundle).await {
        Ok((_, at)) => {
            scene.notes.started(name);
            Ok(Made {
                image_id: image.id,
                at,
            })
        }
        Err(error) if error.is_gone() => Err(Refused::Gone),
        Err(PauseError::Refused {
            refusal: Refusal::NoSuchProgram,
            why,
        }) => {
            scene.notes.not_started(name, &why);
            Err(Refused::NotStarted(why))
        }
        Err(error) => Err(not_made(Failure {
            reason: "RunContainerError",
            message: error.to_string(),
        })),
    }
}

async fn image(scene: &Scene, reference: String, policy: Option<String>) -> Result<Image, Failure> {
    let node = Arc::clone(&scene.node);
    let found = blocking(move || {
        let policy = policy.as_deref().unwrap_or("IfNotPresent");
        node.catalogue.find(&reference, policy)
    });
    found.await?.map_err(|error: ImageError| Failure {
        reason: error.reason(),
        message: error.to_string(),
    })
}

/// Those that the pod needs and that are there; what to make of the others is the plan's business.
async fn config_maps(scene: &Scene) -> Result<BTreeMap<String, ConfigMapView>, Failure> {
    let namespace = scene.pod.metadata.namespace.clone().unwrap_or_default();
    let mut found = BTreeMap::new();
    for (name, _) in plan::config_maps_needed(&scene.pod) {
        let config_map = cluster::config_map(&scene.client, &namespace, &name).await;
        let config_map = config_map.map_err(|error| Failure {
            reason: "CreateContainerConfigError",
            message: error.to_string(),
        })?;
        if let Some(config_map) = config_map {
            found.insert(name, config_map);
        }
    }
    Ok(found)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure {
            reason: "CreateContainerError",
            message: format!("the job ended early: {error}"),
        })
}
