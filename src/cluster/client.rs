//! A client whose failures are quick and whose retries are the caller's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use thiserror::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request that is not a watch is answered by then, or has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub enum ApiError {
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        path: PathBuf,
        source: Box<KubeconfigError>,
    },
    #[error("{step}: {}", first_cause(.source))]
    Request {
        step: String,
        source: Box<kube::Error>,
    },
}

impl ApiError {
    pub fn request(step: impl Into<String>) -> impl FnOnce(kube::Error) -> ApiError {
        let step = step.into();
        move |source| ApiError::Request {
            step,
            source: Box::new(source),
        }
    }

    /// Whether the server said it, rather than nobody.
    pub fn is_answer(&self) -> bool {
        use kube::Error::{HyperError, ReadEvents, Service};
        match self {
            ApiError::Kubeconfig { .. } => true,
            ApiError::Request { source, .. } => {
                !matches!(**source, Service(_) | HyperError(_) | ReadEvents(_))
            }
        }
    }

    /// Whether the same request may succeed later: anything but the server's
    /// own verdict on it.
    pub fn can_retry(&self) -> bool {
        match self {
            ApiError::Kubeconfig { .. } => false,
            ApiError::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => status.code == 429 || status.code >= 500,
                _ => true,
            },
        }
    }
}

/// A client for the cluster that the kubeconfig's current context names.
/// Connecting takes at most 5 s; nothing is retried behind the caller's back.
pub async fn connect(kubeconfig: &Path) -> Result<Client, ApiError> {
    let fail = |source| ApiError::Kubeconfig {
        path: kubeconfig.to_owned(),
        source: Box::new(source),
    };
    let read = Kubeconfig::read_from(kubeconfig).map_err(fail)?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .map_err(fail)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    config.proxy_url = None;
    Client::try_from(config).map_err(ApiError::request("set up a client"))
}

/// A request's answer, or its failure after 10 s: a server that is stopped, or
/// cut off without a word, would otherwise be waited for until TCP gives up.
pub(super) async fn timely<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer,
        Err(_) => {
            let text = format!("no answer in {} s", REQUEST_TIMEOUT.as_secs());
            let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
            Err(kube::Error::Service(Box::new(error)))
        }
    }
}

pub fn is_not_found(error: &kube::Error) -> bool {
    code(error) == Some(404)
}

/// 409, be it AlreadyExists or a resourceVersion that has moved on.
pub fn is_conflict(error: &kube::Error) -> bool {
    code(error) == Some(409)
}

/// 410: a watch's resourceVersion is no longer retained.
pub fn is_gone(error: &kube::Error) -> bool {
    code(error) == Some(410)
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// kube wraps what went wrong in several layers that say nothing.
fn first_cause(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
