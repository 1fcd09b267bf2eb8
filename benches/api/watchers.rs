//! One change and a thousand who wait for it, each on a connection of its own.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::client::{self, Connection, Protocol};
use super::place::Server;
use super::pods;
use super::table::Samples;

pub const COUNT: usize = 1_000;
const CHANGES: usize = 50;
/// Connections opened at a time.
const OPENING: usize = 50;

/// From the sending of each change to its arrival at each watcher.
pub async fn see(server: &Server) -> Result<Samples> {
    let mut watchers = Vec::new();
    while watchers.len() < COUNT {
        let opening = (0..OPENING).map(|_| Watcher::open(server));
        watchers.extend(try_join_all(opening).await?);
    }
    let mut writer = Connection::open(server, Protocol::Http1).await?;
    let samples = RefCell::new(Samples::default());
    // One more than the arrivals so far: the next change is made once all have seen the last.
    let (seen, mut all_seen) = watch::channel(0);
    let sent = RefCell::new(Instant::now());
    let watching = watchers.into_iter().map(|mut watcher| {
        let (samples, sent, seen) = (&samples, &sent, &seen);
        async move {
            for _ in 0..CHANGES {
                watcher.event().await?;
                samples.borrow_mut().push(sent.borrow().elapsed());
                seen.send_modify(|count| *count += 1);
            }
            anyhow::Ok(watcher)
        }
    });
    let writing = async {
        for n in 1..=CHANGES {
            *sent.borrow_mut() = Instant::now();
            let body = pods::unscheduled(pods::ALL + n);
            let answer = writer.post(pods::PATH, body).await?;
            if answer.status != 201 {
                bail!("a change was answered with {}", answer.status);
            }
            all_seen.wait_for(|count| *count == n * COUNT).await?;
        }
        anyhow::Ok(())
    };
    futures::try_join!(try_join_all(watching), writing)?;
    Ok(samples.into_inner())
}

struct Watcher {
    body: Incoming,
    _connection: Connection,
}

impl Watcher {
    async fn open(server: &Server) -> Result<Watcher> {
        let mut connection = Connection::open(server, Protocol::Http1).await?;
        // From some version on that is in the past of no change.
        let path = format!(
            "{}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
            pods::PATH
        );
        let response = connection
            .send(client::request("GET", &path, String::new()))
            .await?;
        if response.status() != 200 {
            bail!("a watch was answered with {}", response.status());
        }
        Ok(Watcher {
            body: response.into_body(),
            _connection: connection,
        })
    }

    /// Waits for the end of the next event's line.
    async fn event(&mut self) -> Result<()> {
        loop {
            let frame = self.body.frame().await.context("the watch ended")??;
            if frame.data_ref().is_some_and(|data| data.ends_with(b"\n")) {
                return Ok(());
            }
        }
    }
}
