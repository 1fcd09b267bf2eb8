//! HTTP requests in, HTTP responses out: the verbs, generic over the resource table.

mod apply;
mod binding;
mod body;
mod create;
mod delete;
mod events;
mod eviction;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod list_options;
mod negotiate;
mod page;
mod patch;
pub mod protobuf;
mod proxy;
mod read;
mod respond;
mod review;
mod scale;
mod update;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::authorize::{self, Asked, Caller, ResourceAsked, Restriction};
use super::kinds::review::Review;
use super::limits::Limits;
use super::metrics::{self, Labels, Metrics};
use super::request::{Options, ResourceRequest, Target, Verb};
use super::resource::{Resource, Subresource};
use super::status::ApiError;
use super::store::Store;
use super::{discovery, health};

pub use binding::bind;
pub use create::{admit, prepare};
pub use delete::{DeleteOptions, Propagation, delete_in};
pub use patch::strategic_merge;
pub use update::finish as finish_update;

pub type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Answer = Result<Response<Body>, ApiError>;

/// Serves requests over one store.
pub struct Api {
    pub store: Store,
    pub limits: Limits,
    pub metrics: Metrics,
    /// A permit for each watch that there may be.
    pub watches: Arc<Semaphore>,
    /// Ends watches when the server stops.
    pub stopping: CancellationToken,
    /// Has a directory for each node, and in it the socket of the node's agent.
    pub nodes_dir: Option<PathBuf>,
}

/// A request whose resource is known and whose names fit it.
struct Scope {
    resource: &'static Resource,
    /// Empty for cluster-scoped resources; `None` for all namespaces.
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<Subresource>,
    options: Options,
    /// What the caller's writes are held to.
    restriction: Restriction,
}

impl Api {
    pub async fn handle(&self, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
        let begun = Instant::now();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let mut labels = Labels::of_method(&method);
        let answer = timeout(
            self.limits.request,
            self.route(caller, request, &mut labels),
        );
        let response = answer
            .await
            .unwrap_or(Err(ApiError::TooSlow))
            .unwrap_or_else(|error| respond::error(&error));
        let code = response.status().as_u16();
        self.metrics.answered(&labels, code, begun.elapsed());
        tracing::debug!(
            user = caller.user,
            %method,
            path,
            status = code,
            "request"
        );
        response
    }

    async fn route(
        &self,
        sender: &Caller,
        request: Request<Incoming>,
        labels: &mut Labels,
    ) -> Answer {
        let mut options = Options::parse(request.uri().query().unwrap_or(""))
            .map_err(|unfit| unfit.error(request.method()))?;
        let target = Target::parse(request.method(), request.uri().path(), &options)?;
        let caller = authorize::impersonated(sender, request.headers(), &self.store)?;
        let caller = caller.as_ref();
        if let Target::Resource(target) = &target {
            let resource = Resource::find(&target.group, &target.version, &target.resource);
            *labels = Labels::of(target, &options, resource);
        }
        self.authorize(caller, &target, &options, request.method())?;
        match target {
            Target::Path(path) => match *request.method() {
                Method::GET | Method::HEAD => {
                    let form = negotiate::accepted_document(&request);
                    self.path(&path, request.uri().query(), form)
                }
                _ => Err(ApiError::MethodNotAllowed),
            },
            Target::Resource(mut target) => {
                if let Some(review) = Review::find(&target.group, &target.version, &target.resource)
                {
                    return review::answer(review, &target, caller, &self.store, request).await;
                }
                if discovery::lists_definitions(&target) {
                    return Ok(respond::value(StatusCode::OK, &discovery::no_definitions()));
                }
                let verb = target.verb;
                let newer_event = events::redirect(&mut target, &mut options);
                let scope = Scope::of(target, options, Restriction::of(caller))?;
                let deprecated = scope.resource.deprecated();
                let mut answer = self.serve(verb, scope, request).await?;
                respond::warn(&mut answer, deprecated);
                match newer_event {
                    true => events::renamed(verb, answer).await,
                    false => Ok(answer),
                }
            }
        }
    }

    /// What is no resource.
    fn path(&self, path: &str, query: Option<&str>, form: discovery::Form) -> Answer {
        let state = health::State {
            store: self.store.is_running(),
            stopping: self.stopping.is_cancelled(),
        };
        if let Some(health) = health::answer(path, query.unwrap_or(""), state) {
            let code = match health.is_well {
                true => StatusCode::OK,
                false => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return Ok(respond::text(
                code,
                "text/plain; charset=utf-8",
                health.text,
            ));
        }
        if path == "/metrics" {
            let metrics = self.metrics.render(&self.store);
            let metrics = metrics.map_err(|error| ApiError::Internal(error.to_string()))?;
            return Ok(respond::text(StatusCode::OK, metrics::MEDIA_TYPE, metrics));
        }
        discovery::answer(path, form)
            .map(|document| respond::document(&document, query))
            .ok_or(ApiError::NoSuchPath)
    }

    fn authorize(
        &self,
        caller: &Caller,
        target: &Target,
        options: &Options,
        method: &Method,
    ) -> Result<(), ApiError> {
        let small;
        let asked = match target {
            Target::Resource(request) => Asked::Resource(ResourceAsked::of(request, options)),
            Target::Path(path) => {
                small = method.as_str().to_ascii_lowercase();
                Asked::Path { verb: &small, path }
            }
        };
        authorize::require(caller, &asked, &self.store)
    }

    async fn serve(&self, verb: Verb, scope: Scope, request: Request<Incoming>) -> Answer {
        match (verb, scope.subresource) {
            (Verb::Get, None | Some(Subresource::Status)) => {
                self.get(&scope, negotiate::accepted(&request)?)
            }
            (_, Some(Subresource::Scale)) => self.scale(verb, scope, request).await,
            (Verb::List, None) => self.list(&scope, negotiate::accepted(&request)?),
            (Verb::Watch, None) => self.watch(&scope, negotiate::accepted(&request)?),
            (Verb::Create, Some(Subresource::Binding)) => self.bind(scope, request).await,
            (Verb::Create, Some(Subresource::Eviction)) => self.evict(scope, request).await,
            (Verb::Create, None) if scope.name.is_none() => self.create(scope, request).await,
            (Verb::Get | Verb::Create, Some(subresource)) if subresource.is_remote() => {
                self.proxy(&scope, subresource, request).await
            }
            (Verb::Update, None | Some(Subresource::Status | Subresource::Finalize)) => {
                self.update(scope, request).await
            }
            (Verb::Patch, None | Some(Subresource::Status | Subresource::Finalize)) => {
                self.patch(scope, request).await
            }
            (Verb::Delete, None) => self.delete(scope, request).await,
            (Verb::DeleteCollection, None) if scope.resource.deletes_collections() => {
                self.delete_collection(scope, request).await
            }
            _ => Err(ApiError::MethodNotAllowed),
        }
    }
}

impl Scope {
    fn of(
        target: ResourceRequest,
        options: Options,
        restriction: Restriction,
    ) -> Result<Scope, ApiError> {
        let resource = Resource::find(&target.group, &target.version, &target.resource)
            .ok_or(ApiError::NoSuchPath)?;
        let subresource = match target.subresource {
            None => None,
            Some(name) => Some(
                resource
                    .subresources
                    .iter()
                    .copied()
                    .find(|one| one.name() == name)
                    .ok_or(ApiError::NoSuchPath)?,
            ),
        };
        let namespace = match (resource.namespaced, target.namespace) {
            (true, namespace) => namespace,
            (false, None) => Some(String::new()),
            (false, Some(_)) => return Err(ApiError::NoSuchPath),
        };
        // Only collections span namespaces.
        let single = target.name.is_some() || target.verb == Verb::DeleteCollection;
        if namespace.is_none() && single {
            return Err(ApiError::NoSuchPath);
        }
        Ok(Scope {
            resource,
            namespace,
            name: target.name,
            subresource,
            options,
            restriction,
        })
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("")
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("")
    }

    fn key(&self) -> String {
        self.resource.key(self.namespace(), self.name())
    }

    fn not_found(&self) -> ApiError {
        ApiError::not_found(self.resource, self.name())
    }
}
