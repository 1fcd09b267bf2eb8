//! Many requests from many clients at once.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;

use super::client::{Connection, Protocol};
use super::place::Server;
use super::table::Samples;

/// Requests under way at a time.
const CLIENTS: usize = 64;
/// With HTTP/2 the clients share so many connections.
const CONNECTIONS: usize = 4;

pub struct Load<'a> {
    pub server: &'a Server,
    pub protocol: Protocol,
    pub count: usize,
    /// What every answer has to say.
    pub status: u16,
}

/// What became of a load.
pub struct Run {
    pub count: usize,
    /// One for each request, from its sending to the end of its answer.
    pub calls: Samples,
    pub elapsed: Duration,
    /// Of all of the server's threads.
    pub server_cpu: Duration,
}

impl Load<'_> {
    /// Sends what `request` makes of 0 to `count`.
    pub async fn run(&self, request: impl Fn(usize) -> Request<Full<Bytes>>) -> Result<Run> {
        let connections = self.connect().await?;
        let calls = RefCell::new(Samples::default());
        let next = Cell::new(0);
        let client = async |mut connection: Connection| {
            while next.get() < self.count {
                let n = next.replace(next.get() + 1);
                let request = request(n);
                let start = Instant::now();
                let answer = connection.exchange(request).await?;
                calls.borrow_mut().push(start.elapsed());
                if answer.status != self.status {
                    bail!("request {n} was answered with {}", answer.status);
                }
            }
            Ok(())
        };
        let (before, start) = (self.server.cpu()?, Instant::now());
        try_join_all(connections.into_iter().map(client)).await?;
        Ok(Run {
            count: self.count,
            elapsed: start.elapsed(),
            server_cpu: self.server.cpu()?.saturating_sub(before),
            calls: calls.into_inner(),
        })
    }

    async fn connect(&self) -> Result<Vec<Connection>> {
        let distinct = match self.protocol {
            Protocol::Http1 => CLIENTS,
            Protocol::Http2 => CONNECTIONS,
        };
        let mut connections = Vec::new();
        for _ in 0..distinct {
            connections.push(Connection::open(self.server, self.protocol).await?);
        }
        for n in distinct..CLIENTS {
            connections.extend(connections[n % distinct].share());
        }
        Ok(connections)
    }
}
