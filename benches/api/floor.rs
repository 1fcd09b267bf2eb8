//! The least that a server of the same answers costs: hyper and rustls, and files on the disk.
//!
//! A POST is answered once its answer is appended to a file and the file is on disk; those that wait
//! for that go together, as in the store. A watch gets a line for every POST.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::place::POD;
use super::pods;

/// Written together at most, as in the store.
const BATCH: usize = 256;
/// As the store's queue.
const QUEUE: usize = 1_024;

type Body = UnsyncBoxBody<Bytes, Infallible>;

struct Floor {
    pod: Bytes,
    /// As many bytes as a list has.
    list: Bytes,
    writer: mpsc::Sender<oneshot::Sender<()>>,
    changes: broadcast::Sender<Bytes>,
}

/// Serves on the socket that is standard input.
pub fn run(dir: &Path) -> Result<()> {
    let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
    let tokio = tokio::runtime::Runtime::new()?;
    tokio.block_on(serve(dir, listener.into()))
}

async fn serve(dir: &Path, listener: std::net::TcpListener) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(&dir.join("pki"))?));
    let pod = Bytes::from(fs::read(dir.join(POD))?);
    let (writer, queue) = mpsc::channel(QUEUE);
    let file = File::create(dir.join("floor"))?;
    let record = pod.clone();
    std::thread::spawn(move || append(file, &record, queue));
    let items = [&pod[..], b","].concat().repeat(pods::ALL);
    let floor = Arc::new(Floor {
        pod,
        list: items.into(),
        writer,
        changes: broadcast::Sender::new(16),
    });
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, acceptor.clone(), floor.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, floor: Arc<Floor>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let floor = floor.clone();
        async move { Ok::<_, Infallible>(floor.answer(request).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // A client that hangs up ends its connection, and nothing else.
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Floor {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let watches = request
            .uri()
            .query()
            .is_some_and(|query| query.starts_with("watch"));
        match (request.method(), request.uri().path()) {
            (&Method::POST, _) => match self.write(request).await {
                Some(()) => full(StatusCode::CREATED, self.pod.clone()),
                None => full(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
            },
            (_, pods::PATH) if watches => Response::new(self.watch()),
            (_, pods::PATH) => full(StatusCode::OK, self.list.clone()),
            _ => full(StatusCode::OK, self.pod.clone()),
        }
    }

    async fn write(&self, request: Request<Incoming>) -> Option<()> {
        request.into_body().collect().await.ok()?;
        let (done, on_disk) = oneshot::channel();
        self.writer.send(done).await.ok()?;
        on_disk.await.ok()?;
        let line = [&self.pod[..], b"\n"].concat();
        // Nobody may be watching.
        let _ = self.changes.send(line.into());
        Some(())
    }

    fn watch(&self) -> Body {
        let lines = stream::unfold(self.changes.subscribe(), |mut changes| async move {
            let line = changes.recv().await.ok()?;
            Some((Ok(Frame::data(line)), changes))
        });
        StreamBody::new(lines.boxed()).boxed_unsync()
    }
}

/// Ends when the disk does not take it: whoever waits is told nothing then.
fn append(mut file: File, record: &[u8], mut queue: mpsc::Receiver<oneshot::Sender<()>>) {
    while let Some(first) = queue.blocking_recv() {
        let mut waiting = vec![first];
        while waiting.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            waiting.push(next);
        }
        let written = file.write_all(&record.repeat(waiting.len()));
        if written.and_then(|()| file.sync_data()).is_err() {
            return;
        }
        for one in waiting {
            let _ = one.send(());
        }
    }
}

fn full(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn tls(pki: &Path) -> Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("ca.crt"))?)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build()?;
    let chain = vec![CertificateDer::from_pem_file(pki.join("server.crt"))?];
    let key = PrivateKeyDer::from_pem_file(pki.join("server.key")).context("a key")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
