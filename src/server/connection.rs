//! Accepting connections: TLS, then HTTP/1.1 or HTTP/2, each in a task of its own.
//!
//! What a stranger can cost is bounded: a handshake takes ten seconds at most, headers are limited,
//! and only so many connections are open at a time.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::rest::Api;
use super::tls;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of a request.
const HEADERS: Duration = Duration::from_secs(30);
/// How long a client may leave what it is sent unread.
const STALLED_MILLISECONDS: u32 = 60_000;
const HEADER_BYTES: u32 = 64 << 10;
const CONNECTIONS: usize = 4_096;
/// A listener that has run out of descriptors tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests may go on once the server stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves one listener until `api.stopping`, then lets requests in flight finish.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, api: Arc<Api>) {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            () = api.stopping.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            permit = open.clone().acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = api.stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (acceptor, api) = (acceptor.clone(), api.clone());
                connections.spawn(async move {
                    let _permit = permit;
                    connection(stream, acceptor, api).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                if !is_about_one_connection(&error) {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    // Dropping the set ends what is left.
    let _ = timeout(DRAIN, drained).await;
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // Without this a watch's small events wait for the client's acknowledgements.
    stream.set_nodelay(true)?;
    // Ends a connection whose client no longer reads, a closed window included.
    Ok(set_tcp_user_timeout(stream, STALLED_MILLISECONDS)?)
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, api: Arc<Api>) {
    if let Err(error) = tune(&stream) {
        tracing::debug!(%error, "cannot tune a connection");
    }
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let Some(caller) = tls::caller(stream.get_ref().1).map(Arc::new) else {
        return tracing::debug!("a client certificate names no user");
    };
    let stopping = api.stopping.clone();
    let service = service_fn(move |request| {
        let (api, caller) = (api.clone(), caller.clone());
        async move { Ok::<_, Infallible>(api.handle(&caller, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES as usize * 2)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADERS)
        .max_header_list_size(HEADER_BYTES);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let result = tokio::select! {
        result = &mut serving => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
