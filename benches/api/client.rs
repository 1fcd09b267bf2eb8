//! A client that costs little: hyper over TLS with a client certificate, one connection.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::place::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What is left of an answer once it is read to its end.
pub struct Answer {
    pub status: u16,
    pub bytes: usize,
}

pub fn request(method: &str, path: &str, body: String) -> Request<Full<Bytes>> {
    // Paths here are plain, so a request can always be made of them.
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1")
        .header(header::USER_AGENT, "bench/1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .unwrap_or_default()
}

impl Connection {
    pub async fn open(server: &Server, protocol: Protocol) -> Result<Connection> {
        let stream = TokioIo::new(secured(server, protocol).await?);
        // A connection that fails shows in the requests it was for.
        Ok(match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Connection::Http1(sender)
            }
            Protocol::Http2 => {
                // As Go's client, which has four megabytes.
                const WINDOW: u32 = 4 << 20;
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder
                    .initial_stream_window_size(WINDOW)
                    .initial_connection_window_size(WINDOW);
                let (sender, connection) = builder.handshake(stream).await?;
                tokio::spawn(connection);
                Connection::Http2(sender)
            }
        })
    }

    /// Another user of the same connection; `None` where it takes one request at a time.
    pub fn share(&self) -> Option<Connection> {
        match self {
            Connection::Http1(_) => None,
            Connection::Http2(sender) => Some(Connection::Http2(sender.clone())),
        }
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        Ok(match self {
            Connection::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Connection::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    /// Reads the answer to its end and keeps none of it.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(Answer { status, bytes })
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.exchange(request("GET", path, String::new())).await
    }

    pub async fn post(&mut self, path: &str, body: String) -> Result<Answer> {
        self.exchange(request("POST", path, body)).await
    }

    pub async fn fetch(&mut self, path: &str) -> Result<Bytes> {
        let response = self.send(request("GET", path, String::new())).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

async fn secured(server: &Server, protocol: Protocol) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address)
        .await
        .context("connect to the server")?;
    stream.set_nodelay(true)?;
    let config = match protocol {
        Protocol::Http1 => server.tls.http1.clone(),
        Protocol::Http2 => server.tls.http2.clone(),
    };
    let name = ServerName::IpAddress(server.address.ip().into());
    Ok(TlsConnector::from(config).connect(name, stream).await?)
}
