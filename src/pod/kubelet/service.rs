//! The socket, and what is answered on it.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tracing::{debug, warn};

use super::query::{Ask, Query};
use super::status::Failure;
use super::upgrade::{self, Carrier};
use super::{console, forward, spdy, websocket};
use crate::pod::logs::{self, LogError, LogOptions, Run};

/// A listener that has run out of descriptors tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, LogError>;

#[derive(Debug, Error)]
pub enum KubeletError {
    #[error("cannot {step} the socket {path}")]
    Socket {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Serves one node's pods.
#[derive(Debug)]
pub struct Kubelet {
    listener: UnixListener,
    pods_dir: Arc<Path>,
}

impl Kubelet {
    /// Listens on `socket`, in the place of who did before. Only this user can connect.
    pub fn bind(socket: &Path, pods_dir: &Path) -> Result<Kubelet, KubeletError> {
        let fail = |step| {
            move |source| KubeletError::Socket {
                step,
                path: socket.to_owned(),
                source,
            }
        };
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail("replace")(error));
            }
            _ => {}
        }
        let listener = by_descriptor(socket, |path| UnixListener::bind(path));
        let listener = listener.map_err(fail("listen on"))?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(socket, private).map_err(fail("protect"))?;
        Ok(Kubelet {
            listener,
            pods_dir: pods_dir.into(),
        })
    }

    /// Never ends; each connection is a task of its own.
    pub async fn serve(self) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, self.pods_dir.clone()));
                }
                Err(error) => {
                    warn!("accept a connection from the API server: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A connection to the kubelet that listens on `socket`.
pub async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = by_descriptor(socket, |path| std::os::unix::net::UnixStream::connect(path))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// By way of the directory's descriptor: the path itself may be longer than the 108 bytes of
/// `sun_path`.
fn by_descriptor<T>(socket: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let dir = File::open(socket.parent().unwrap_or(Path::new("/")))?;
    let name = socket.file_name().unwrap_or_default();
    let link = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    work(&link.join(name))
}

async fn connection(stream: UnixStream, pods_dir: Arc<Path>) {
    let service = service_fn(move |request| {
        let pods_dir = pods_dir.clone();
        async move { Ok::<_, Infallible>(handle(request, &pods_dir).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = serving.await {
        debug!("a connection from the API server: {error}");
    }
}

async fn handle(request: Request<Incoming>, pods_dir: &Path) -> Response<Body> {
    answer(request, pods_dir).await.unwrap_or_else(|failure| {
        let status = StatusCode::from_u16(failure.code);
        let mut response = Response::new(full(failure.status().to_string()));
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    })
}

async fn answer(request: Request<Incoming>, pods_dir: &Path) -> Result<Response<Body>, Failure> {
    let uri = request.uri();
    let query = Query::parse(uri.path(), uri.query().unwrap_or(""), Timestamp::now())?;
    let dir = pods_dir.join(&query.uid);
    if !dir.is_dir() {
        let text = format!(
            "pod {} is not on this node, or has not begun yet",
            query.uid
        );
        return Err(Failure::not_found(text));
    }
    match query.ask {
        Ask::Log {
            container,
            run,
            options,
        } => log(dir, container, run, options),
        ask => streams(request, dir, ask).await,
    }
}

fn log(
    dir: PathBuf,
    container: String,
    run: Run,
    options: LogOptions,
) -> Result<Response<Body>, Failure> {
    let (log, attempt) = logs::log_of(&dir, &container, run)
        .map_err(|error| Failure::internal(format!("look for the container's logs: {error}")))?
        .ok_or_else(|| match run {
            Run::Current => Failure::bad(format!("container {container:?} has no log yet")),
            Run::Previous => Failure::bad(format!(
                "previous terminated container {container:?} not found"
            )),
        })?;
    let ended = async move { super::container::ended(&dir, &container, attempt).await };
    let text = logs::stream(log, options, ended);
    let frames = futures::stream::unfold(text, |mut text| async {
        let next = text.recv().await?;
        if let Err(error) = &next {
            warn!("a log breaks off: {error}");
        }
        Some((next.map(Frame::data), text))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let plain = hyper::header::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    Ok(response)
}

/// Accepts the upgrade, and leaves the rest to a task that ends with the connection.
async fn streams(
    mut request: Request<Incoming>,
    dir: PathBuf,
    ask: Ask,
) -> Result<Response<Body>, Failure> {
    let offer = match ask {
        Ask::PortForward { .. } => upgrade::FORWARDING,
        _ => upgrade::REMOTE_COMMAND,
    };
    super::container::check(&dir, &ask).await?;
    let (carrier, answer) = upgrade::accept(request.headers(), offer)?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(connection) => carry(connection, carrier, dir, ask).await,
            Err(error) => debug!("an upgrade that did not come about: {error}"),
        }
    });
    answer
        .body(full(""))
        .map_err(|error| Failure::internal(format!("answer an upgrade: {error}")))
}

async fn carry(connection: hyper::upgrade::Upgraded, carrier: Carrier, dir: PathBuf, ask: Ask) {
    match (ask, carrier) {
        (Ask::Log { .. }, _) => {}
        (Ask::PortForward { .. }, Carrier::WebSocket(upgrade::TUNNEL)) => {
            spdy::forward_tunnelled(connection, &dir).await;
        }
        (Ask::PortForward { .. }, Carrier::Spdy(_)) => spdy::forward(connection, &dir).await,
        (Ask::PortForward { ports }, Carrier::WebSocket(_)) => {
            forward::over_websocket(connection, &dir, ports).await;
        }
        (ask, carrier) => {
            let (console, far) = console::pair();
            let wanted = ask.streams();
            let running = super::container::run(&dir, ask, console);
            match carrier {
                Carrier::WebSocket(_) => tokio::join!(running, websocket::carry(connection, far)),
                Carrier::Spdy(_) => tokio::join!(running, spdy::carry(connection, far, wanted)),
            };
        }
    }
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
