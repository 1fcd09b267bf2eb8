//! Accepting connections: TLS, then HTTP/1.1 or HTTP/2, each in a task of its own.
//!
//! What a client can cost is bounded by [`Limits`]: who is slow, or does not read, is dropped.

mod prompt;
mod stall;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::rest::{Api, Body};
use super::tls;
use prompt::Prompt;
use stall::{Guarded, Streams, unless_stalled};

/// A listener that has run out of descriptors tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests may go on once the server stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves one listener until `api.stopping`, then lets requests in flight finish.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, api: Arc<Api>) {
    let open = Arc::new(Semaphore::new(api.limits.connections));
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

fn tune(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    // Without this a watch's small events wait for the client's acknowledgements.
    stream.set_nodelay(true)?;
    // Ends a connection whose client no longer reads, a closed window included.
    let stalled = u32::try_from(limits.stalled.as_millis()).unwrap_or(u32::MAX);
    Ok(set_tcp_user_timeout(stream, stalled)?)
}

/// `PRI * HTTP/2.0`, two empty lines and what is between them (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, api: Arc<Api>) {
    let limits = api.limits;
    if let Err(error) = tune(&stream, &limits) {
        tracing::debug!(%error, "cannot tune a connection");
    }
    let stream = match timeout(limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let Some(caller) = tls::caller(session).map(Arc::new) else {
        return tracing::debug!("a client certificate names no user");
    };
    let stopping = api.stopping.clone();
    let service = service_fn(move |request| {
        let (api, caller) = (api.clone(), caller.clone());
        async move { Ok::<_, Infallible>(api.handle(&caller, request).await.map(Guarded::new)) }
    });
    let serving = async {
        match is_http2 {
            true => serve_http2(stream, service, &limits, &stopping).await,
            false => serve_http1(stream, service, &limits, &stopping).await,
        }
    };
    match unless_stalled(limits.stalled, serving).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "connection ended"),
        None => tracing::debug!("a connection is dropped: its client does not read"),
    }
}

async fn serve_http1<S>(
    stream: TlsStream<TcpStream>,
    service: S,
    limits: &Limits,
    stopping: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Guarded<Body>, Error = Infallible> + Send,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes as usize * 2)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}

async fn serve_http2<S>(
    stream: TlsStream<TcpStream>,
    service: S,
    limits: &Limits,
    stopping: &CancellationToken,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Guarded<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let streams = Streams {
        limit: limits.stalled,
    };
    let stream = Prompt::new(stream, PREFACE_BYTES, limits.head);
    let serving = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head)
        .max_header_list_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}
