//! The embedded API server: Kubernetes' REST over TLS, a durable store, and the controllers.
//!
//! ```text
//!  connection ─► rest (verbs) ─► store ─► redb
//!      │           │  │            ▲
//!     tls    resource table        └── controllers
//!  authorize (kinds, selector, table, discovery)
//! ```
//!
//! Everything about a kind is one row of the table in `resource`; the verbs know no kinds. A resource
//! that is not in the table is not in discovery and answers 404, as in Kubernetes.

mod args;
mod authorize;
mod bootstrap;
mod connection;
mod controllers;
mod discovery;
mod health;
mod kinds;
mod limits;
mod metrics;
mod object;
mod openapi;
mod pick;
mod quantity;
mod random;
mod request;
mod resource;
mod rest;
mod schema;
mod selector;
mod status;
mod store;
mod table;
mod tls;

/// See [`crate::fuzzing`].
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing {
    pub use super::rest::fuzzing::{apply, decoder, patch, protobuf};
    pub use super::selector::fuzzing::selector;
}

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use args::{Args, ArgsError, run};
pub use authorize::is_protected_label;
pub use limits::Limits;
pub use quantity::Quantity;
pub use rest::strategic_merge;
pub use selector::LabelSelector;
pub use tls::{TlsError, TlsFiles};

use metrics::Metrics;
use rest::Api;
use store::{RedbBackend, Store, StoreError, Writer};

/// What a server needs.
pub struct ServerConfig {
    /// The redb file; made if absent, locked while the server runs.
    pub store: PathBuf,
    /// Client certificates are required and must chain to `tls.ca`.
    pub tls: TlsFiles,
    /// Bound already; `serve` makes them non-blocking.
    pub listeners: Vec<std::net::TcpListener>,
    /// Where the nodes' agents listen, `NODE/kubelet.sock`; `None`: nowhere, and what a node has
    /// to answer (logs, exec) is refused.
    pub nodes_dir: Option<PathBuf>,
    /// What a client may cost; the default is for all but tests.
    pub limits: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot serve on a listening socket")]
    Listener { source: io::Error },
    #[error("cannot prepare the built-in objects: {why}")]
    Bootstrap { why: String },
    #[error("cannot count what happens")]
    Metrics { source: prometheus::Error },
    #[error("a part of the server ended by itself")]
    Ended { source: Option<JoinError> },
}

/// Serves until `shutdown` resolves; watches then end and requests in flight get a second.
///
/// # Errors
/// As [`Server::start`] and [`Server::run`].
pub async fn serve(
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    Server::start(config).await?.run(shutdown).await
}

/// A server whose store is loaded and whose listeners accept.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stopping: CancellationToken,
    parts: JoinSet<()>,
    writer: Writer,
}

impl Server {
    /// Loads the store and starts to answer on every listener.
    pub async fn start(config: ServerConfig) -> Result<Server, ServerError> {
        let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(&config.tls)?));
        let metrics = Metrics::new().map_err(|source| ServerError::Metrics { source })?;
        let (store, writer) = Store::open(metrics.timed(RedbBackend::open(&config.store)?))?;
        bootstrap::create_namespaces(&store)
            .await
            .map_err(|error| ServerError::Bootstrap {
                why: error.to_string(),
            })?;
        let stopping = CancellationToken::new();
        let mut parts = JoinSet::new();
        controllers::spawn(&mut parts, &store, &stopping);
        let api = Arc::new(Api {
            store: store.clone(),
            stopping: stopping.clone(),
            nodes_dir: config.nodes_dir,
            watches: Arc::new(Semaphore::new(config.limits.watches)),
            limits: config.limits,
            metrics,
        });
        let mut addresses = Vec::new();
        for listener in config.listeners {
            let (listener, address) =
                listen(listener).map_err(|source| ServerError::Listener { source })?;
            addresses.push(address);
            parts.spawn(connection::serve(listener, acceptor.clone(), api.clone()));
        }
        controllers::announce(&mut parts, &store, &stopping, addresses.clone());
        Ok(Server {
            addresses,
            stopping,
            parts,
            writer,
        })
    }

    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// When the store fails: nothing more could be promised to be durable, and a new start finds out
    /// what is on disk. Or when one of the server's own tasks ends.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            () = self.writer.ended() => Err(ServerError::Ended { source: None }),
            Some(part) = self.parts.join_next() => Err(ServerError::Ended { source: part.err() }),
        };
        self.stopping.cancel();
        while self.parts.join_next().await.is_some() {}
        // No handle to the store is left now, so its writer ends.
        self.writer.ended().await;
        self.writer.join()?;
        ended
    }
}

fn listen(listener: std::net::TcpListener) -> io::Result<(TcpListener, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::body::Bytes;
    use serde_json::json;

    use super::kinds::node::NODES;
    use super::kinds::pod::PODS;
    use super::store::{Backend, Change, Loaded};
    use super::*;

    /// Far more than it takes; reaching it is a failure.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Full when the first pod is bound.
    struct Small;

    impl Backend for Small {
        fn load(&mut self) -> Result<Loaded, StoreError> {
            Ok(Loaded::default())
        }

        fn commit(&mut self, _: u64, changes: &[(&str, Option<Bytes>)]) -> Result<(), StoreError> {
            let binds = |json: &Bytes| String::from_utf8_lossy(json).contains("nodeName");
            match changes
                .iter()
                .filter_map(|(_, json)| json.as_ref())
                .any(binds)
            {
                false => Ok(()),
                true => Err(StoreError::Thread {
                    source: io::ErrorKind::StorageFull.into(),
                }),
            }
        }
    }

    async fn run_until_the_store_is_full() -> Result<(), ServerError> {
        let (store, writer) = Store::open(Small)?;
        let (stopping, mut parts) = (CancellationToken::new(), JoinSet::new());
        controllers::spawn(&mut parts, &store, &stopping);
        let server = Server {
            addresses: Vec::new(),
            stopping,
            parts,
            writer,
        };
        let node = json!({
            "metadata": {"name": "node-1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let pod = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"schedulerName": "default-scheduler", "containers": []},
            "status": {"phase": "Pending"},
        });
        for (resource, value) in [(&NODES, node), (&PODS, pod)] {
            let written = store.write(|_| Ok(Change::Put { resource, value })).await;
            written.expect("there is space");
        }
        drop(store);
        server.run(std::future::pending()).await
    }

    #[test]
    fn a_server_whose_store_fails_ends_with_the_stores_error() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ended = runtime.block_on(async {
            let running = tokio::spawn(run_until_the_store_is_full());
            tokio::time::timeout(PATIENCE, running).await
        });
        // A task that never pauses would be waited for in vain.
        runtime.shutdown_background();
        let ended = ended.expect("it ends").expect("no panic");
        assert!(matches!(ended, Err(ServerError::Store(_))), "{ended:?}");
    }
}
