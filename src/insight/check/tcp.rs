//! TCP connections from everywhere to everywhere.
//!
//! Every endpoint listens; whoever connects is told the address it was seen
//! with. So one connection shows the way there, the way back, and that nobody
//! rewrote the source on the way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};

use crate::kernel::linux::in_netns;

use super::{Endpoint, Probe, Protocol, targets};

const TIMEOUT: Duration = Duration::from_secs(2);
/// Sources at a time; each connects to every other endpoint at once.
const SOURCES: usize = 4;

pub async fn probe(endpoints: &Arc<[Endpoint]>) -> Result<Vec<Probe>, JoinError> {
    let mut servers = JoinSet::new();
    let mut ports: Vec<Vec<(IpAddr, io::Result<u16>)>> = Vec::new();
    for endpoint in endpoints.iter() {
        let listeners = endpoint
            .addresses
            .iter()
            .map(|ip| (*ip, listen(endpoint, *ip)));
        let mut here = Vec::new();
        for (ip, listener) in listeners {
            let port = listener.and_then(|listener| {
                let port = listener.local_addr()?.port();
                servers.spawn(serve(listener));
                Ok(port)
            });
            here.push((ip, port));
        }
        ports.push(here);
    }
    let ports = Arc::new(ports);
    let mut probes = Vec::new();
    let mut running = JoinSet::new();
    for index in 0..endpoints.len() {
        if running.len() >= SOURCES
            && let Some(done) = running.join_next().await
        {
            probes.extend::<Vec<Probe>>(done?);
        }
        let (endpoints, ports) = (Arc::clone(endpoints), Arc::clone(&ports));
        running.spawn(async move { from(&endpoints, &ports, index).await });
    }
    while let Some(done) = running.join_next().await {
        probes.extend(done?);
    }
    Ok(probes)
}

fn listen(endpoint: &Endpoint, ip: IpAddr) -> io::Result<TcpListener> {
    let std = in_netns(endpoint.netns.as_fd(), || {
        std::net::TcpListener::bind((ip, 0))
    })
    .map_err(io::Error::other)??;
    std.set_nonblocking(true)?;
    TcpListener::from_std(std)
}

async fn serve(listener: TcpListener) {
    while let Ok((mut stream, peer)) = listener.accept().await {
        // Who hangs up early has its own error to tell.
        let _ = stream.write_all(peer.ip().to_string().as_bytes()).await;
    }
}

async fn from(
    endpoints: &[Endpoint],
    ports: &[Vec<(IpAddr, io::Result<u16>)>],
    index: usize,
) -> Vec<Probe> {
    let source = &endpoints[index];
    let others = endpoints.iter().enumerate().filter(|(i, _)| *i != index);
    let tries = others.flat_map(|(i, to)| {
        targets(source, to).map(move |ip| async move {
            let tried = match ports[i].iter().find(|(at, _)| *at == ip) {
                Some((_, Ok(port))) => try_one(source, SocketAddr::new(ip, *port)).await,
                Some((_, Err(error))) => Err(format!("cannot listen there: {error}")),
                None => Err("nobody listens there".to_owned()),
            };
            Probe {
                from: source.name.clone(),
                to: to.name.clone(),
                address: ip,
                protocol: Protocol::Tcp,
                error: tried.err(),
            }
        })
    });
    join_all(tries).await
}

async fn try_one(source: &Endpoint, to: SocketAddr) -> Result<(), String> {
    let socket = in_netns(source.netns.as_fd(), || match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    });
    let socket = socket
        .map_err(io::Error::other)
        .and_then(|inner| inner)
        .map_err(|error| error.to_string())?;
    let talk = async {
        let mut stream: TcpStream = socket.connect(to).await?;
        let mut seen = String::new();
        stream.read_to_string(&mut seen).await?;
        io::Result::Ok(seen)
    };
    let seen = match tokio::time::timeout(TIMEOUT, talk).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer in {} s", TIMEOUT.as_secs())),
    };
    match seen.parse::<IpAddr>() {
        Ok(ip) if source.sources.contains(&ip) => Ok(()),
        Ok(ip) => Err(format!("its source address was rewritten to {ip}")),
        Err(_) => Err(format!("answered {seen:?} instead of an address")),
    }
}
