//! What only a pod's node can answer: its logs, and streams to and from its containers.
//!
//! The request is checked as kube-apiserver does, and then goes on to the node's agent. A connection
//! that is upgraded is carried through byte by byte: what runs on it is between client and agent.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::time::timeout;

use super::{Answer, Api, Scope, respond};
use crate::pod::kubelet::{self, SOCKET};
use crate::server::kinds::names;
use crate::server::object;
use crate::server::resource::Subresource;
use crate::server::status::ApiError;

/// How long an agent may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an upgrade, and no others: both ends are the same user's.
const PASSED_ON: [&str; 7] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-accept",
    "x-stream-protocol-version",
];

impl Api {
    pub(super) async fn proxy(
        &self,
        scope: &Scope,
        subresource: Subresource,
        mut request: Request<Incoming>,
    ) -> Answer {
        let pod = self.store.get(&scope.key());
        let pod = pod.ok_or_else(|| scope.not_found())?.value();
        let asked = Asked {
            subresource,
            query: request.uri().query().unwrap_or(""),
        };
        let node = node(&pod)?;
        let uri = asked.uri(&pod)?;
        let nodes_dir = self.nodes_dir.as_deref().ok_or_else(|| {
            ApiError::Unavailable("this server does not know how to reach its nodes".into())
        })?;
        let mut onward = Request::get(uri).body(Empty::<Bytes>::new());
        if let Ok(onward) = &mut onward {
            pass_on(request.headers(), onward.headers_mut());
            onward
                .headers_mut()
                .insert(HOST, hyper::header::HeaderValue::from_static("node"));
        }
        let onward = onward.map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let mut answer = ask(nodes_dir, node, onward).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(plain(answer));
        }
        let (client, agent) = (
            hyper::upgrade::on(&mut request),
            hyper::upgrade::on(&mut answer),
        );
        let stopping = self.stopping.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = carry(client, agent) => {}
                () = stopping.cancelled() => {}
            }
        });
        let mut switched = Response::new(respond::full(""));
        *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        pass_on(answer.headers(), switched.headers_mut());
        Ok(switched)
    }
}

/// Both ways, until both ends are done or one is gone.
async fn carry(client: hyper::upgrade::OnUpgrade, agent: hyper::upgrade::OnUpgrade) {
    let carried = async {
        let (client, agent) = tokio::try_join!(client, agent).map_err(std::io::Error::other)?;
        copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(agent)).await
    };
    if let Err(error) = carried.await {
        tracing::debug!(%error, "a stream to a node ended");
    }
}

/// The agent's answer, or why there is none.
async fn ask(
    nodes_dir: &Path,
    node: &str,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, ApiError> {
    let unreachable = |why: &dyn std::fmt::Display| {
        ApiError::Unavailable(format!(
            "node {node:?} cannot be asked: its agent does not answer ({why}); \
             `podnet status` says how it is"
        ))
    };
    let stream = kubelet::connect(&nodes_dir.join(node).join(SOCKET))
        .await
        .map_err(|error| unreachable(&error))?;
    let (mut agent, connection) = timely(http1::handshake(TokioIo::new(stream)))
        .await
        .map_err(|why| unreachable(&why))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a node ended");
        }
    });
    timely(agent.send_request(request))
        .await
        .map_err(|why| unreachable(&why))
}

async fn timely<T>(work: impl Future<Output = hyper::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing in {} s", PATIENCE.as_secs())),
    }
}

fn plain(answer: Response<Incoming>) -> Response<super::Body> {
    let (head, body) = answer.into_parts();
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = head.status;
    if let Some(content_type) = head.headers.get(CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, content_type.clone());
    }
    response
}

/// Connection and Upgrade only together: alone they mean nothing to the other connection.
fn pass_on(from: &HeaderMap, to: &mut HeaderMap) {
    let upgrades = from.contains_key(UPGRADE);
    for name in PASSED_ON {
        if name == CONNECTION.as_str() && !upgrades {
            continue;
        }
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

/// What is asked of a pod's node. Pure.
struct Asked<'a> {
    subresource: Subresource,
    query: &'a str,
}

impl Asked<'_> {
    fn uri(&self, pod: &Value) -> Result<String, ApiError> {
        let (uid, what) = (object::uid(pod), self.subresource.name());
        let query = self.query;
        if self.subresource == Subresource::PortForward {
            return Ok(format!("/pods/{uid}/{what}?{query}"));
        }
        let named = form_urlencoded::parse(query.as_bytes())
            .find(|(key, value)| key == "container" && !value.is_empty());
        let container = container(pod, named.as_ref().map(|(_, value)| value.as_ref()))?;
        if self.subresource == Subresource::Log {
            has_begun(pod, container, self.asks_for("previous"))?;
        }
        Ok(format!("/pods/{uid}/{what}/{container}?{query}"))
    }

    fn asks_for(&self, flag: &str) -> bool {
        form_urlencoded::parse(self.query.as_bytes())
            .any(|(key, value)| key == flag && (value == "true" || value == "1"))
    }
}

fn node(pod: &Value) -> Result<&str, ApiError> {
    match object::text(pod, "/spec/nodeName") {
        "" => Err(ApiError::BadRequest(format!(
            "pod {} does not have a host assigned",
            object::name(pod)
        ))),
        node if names::subdomain(node).is_none() => Ok(node),
        node => Err(ApiError::BadRequest(format!("{node:?} is no node's name"))),
    }
}

/// The container that is meant; one need not be named where it is clear.
fn container<'a>(pod: &'a Value, named: Option<&str>) -> Result<&'a str, ApiError> {
    let names = |list: &str| -> Vec<&'a str> {
        let all = object::list(pod, &format!("/spec/{list}"));
        all.iter().map(|one| object::text(one, "/name")).collect()
    };
    let (main, first) = (names("containers"), names("initContainers"));
    let default = "/metadata/annotations/kubectl.kubernetes.io~1default-container";
    let named = named.or(Some(object::text(pod, default)).filter(|name| !name.is_empty()));
    let pod = object::name(pod);
    let Some(named) = named else {
        return match main[..] {
            [only] => Ok(only),
            _ => Err(ApiError::BadRequest(format!(
                "a container name must be specified for pod {pod}, choose one of: [{}]{}",
                main.join(" "),
                match first.is_empty() {
                    true => String::new(),
                    false => format!(" or one of the init containers: [{}]", first.join(" ")),
                }
            ))),
        };
    };
    let known = main.into_iter().chain(first).find(|name| *name == named);
    known.ok_or_else(|| {
        ApiError::BadRequest(format!("container {named} is not valid for pod {pod}"))
    })
}

/// Whether there can be a log, as the kubelet decides.
fn has_begun(pod: &Value, container: &str, previous: bool) -> Result<(), ApiError> {
    let all = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let status = all
        .iter()
        .flat_map(|list| object::list(pod, list))
        .find(|status| object::text(status, "/name") == container);
    let pod = object::name(pod);
    let Some(status) = status else {
        // Nobody has reported on it yet; its node knows.
        return Ok(());
    };
    let had_ended = status.pointer("/lastState/terminated").is_some();
    if previous && !had_ended {
        return Err(ApiError::BadRequest(format!(
            "previous terminated container {container:?} in pod {pod:?} not found"
        )));
    }
    match status.pointer("/state/waiting") {
        Some(waiting) if !had_ended => {
            let why = match object::text(waiting, "/reason") {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                "" => "ContainerCreating",
                reason => reason,
            };
            Err(ApiError::BadRequest(format!(
                "container {container:?} in pod {pod:?} is waiting to start: {why}"
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: &[&str]) -> Value {
        let containers: Vec<Value> = containers.iter().map(|c| json!({"name": c})).collect();
        json!({
            "metadata": {"name": "web", "uid": "u-1"},
            "spec": {"nodeName": "node-1", "containers": containers},
        })
    }

    fn uri(pod: &Value, subresource: Subresource, query: &str) -> Result<String, String> {
        let asked = Asked { subresource, query };
        asked.uri(pod).map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_container_need_not_be_named() {
        let one = uri(&pod(&["a"]), Subresource::Exec, "command=ls");
        assert_eq!(one.unwrap(), "/pods/u-1/exec/a?command=ls");
        let two = pod(&["a", "b"]);
        assert_eq!(
            uri(&two, Subresource::Log, "follow=true").unwrap_err(),
            "a container name must be specified for pod web, choose one of: [a b]"
        );
        assert_eq!(
            uri(&two, Subresource::Log, "container=b").unwrap(),
            "/pods/u-1/log/b?container=b"
        );
        assert_eq!(
            uri(&two, Subresource::Log, "container=x").unwrap_err(),
            "container x is not valid for pod web"
        );
        let mut annotated = two;
        annotated["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/default-container": "b"});
        let chosen = uri(&annotated, Subresource::Attach, "stdin=1").unwrap();
        assert_eq!(chosen, "/pods/u-1/attach/b?stdin=1");
    }

    #[test]
    fn a_container_that_waits_has_no_log() {
        let mut pod = pod(&["a"]);
        pod["status"]["containerStatuses"] =
            json!([{"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}}]);
        assert_eq!(
            uri(&pod, Subresource::Log, "").unwrap_err(),
            "container \"a\" in pod \"web\" is waiting to start: ContainerCreating"
        );
        assert_eq!(
            uri(&pod, Subresource::Log, "previous=true").unwrap_err(),
            "previous terminated container \"a\" in pod \"web\" not found"
        );
        pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {}});
        for query in ["", "previous=true"] {
            assert!(uri(&pod, Subresource::Log, query).is_ok(), "{query}");
        }
    }

    #[test]
    fn a_pod_without_a_node_is_said() {
        let error = node(&json!({"metadata": {"name": "web"}})).unwrap_err();
        assert_eq!(error.to_string(), "pod web does not have a host assigned");
    }
}
