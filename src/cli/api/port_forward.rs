//! `podnet port-forward`: each connection has a WebSocket of its own, so that none waits for
//! another.

use std::net::IpAddr;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use kube::Client;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::duration::{Patience, parse_positive};
use super::exec::pod_path;
use super::print::name_of;
use super::session::{Socket, on_channel, open};
use super::{ClusterArg, NamespaceArg, target};

const DATA: u8 = 0;
const ERROR: u8 = 1;
const CLOSE: u8 = 255;
const BLOCK_BYTES: usize = 32 << 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) cluster: ClusterArg,
    /// The pod, or what leads to it, such as service/web
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    namespace: NamespaceArg,
    /// A port of the pod, and before it that here: 8080:80, or :80 for any
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<Ports>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// How long to wait until there is a pod: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_positive)]
    pod_running_timeout: Patience,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports {
    /// 0: any that is free.
    local: u16,
    remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Ports, String> {
        let (local, remote) = match text.split_once(':') {
            Some(("", remote)) => ("0", remote),
            Some(both) => both,
            None => (text, text),
        };
        match (local.parse(), remote.parse()) {
            (Ok(local), Ok(remote)) if remote > 0 => Ok(Ports { local, remote }),
            _ => Err("it is not PORT, LOCAL:REMOTE or :REMOTE".to_owned()),
        }
    }
}

pub async fn run(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let namespace = &args.namespace.namespace;
    let target = target::find(client, namespace, &args.pod, args.pod_running_timeout).await?;
    let pod = target.pod();
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if phase != "Running" {
        bail!("unable to forward port because pod is not running. Current status={phase}");
    }
    let path = pod_path(pod);
    let mut listening = JoinSet::new();
    for ports in &args.ports {
        let listener = TcpListener::bind((args.address, ports.local)).await;
        let listener = listener
            .with_context(|| format!("cannot listen on {} port {}", args.address, ports.local))?;
        let remote = match &target.found_by {
            Some(keeper) if keeper.resource.kind == "Service" => {
                behind(&keeper.value, ports.remote, pod)?
            }
            _ => ports.remote,
        };
        println!("Forwarding from {} -> {remote}", listener.local_addr()?);
        let url = format!("{path}/portforward?ports={remote}");
        listening.spawn(accept(listener, client.clone(), url));
    }
    match listening.join_next().await {
        Some(ended) => ended??,
        None => bail!("give a port"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The pod's port behind a service's.
fn behind(service: &Value, port: u16, pod: &Value) -> anyhow::Result<u16> {
    let name = name_of(service);
    let ports = service["spec"]["ports"].as_array();
    let found = ports.into_iter().flatten().find(|one| one["port"] == port);
    let found =
        found.with_context(|| format!("Service {name} does not have a service port {port}"))?;
    let target = &found["targetPort"];
    let Some(wanted) = target.as_str() else {
        let number = target.as_u64().unwrap_or(port.into());
        return Ok(u16::try_from(number)?);
    };
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports =
        containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let number = ports
        .find(|one| one["name"] == wanted)
        .map(|one| &one["containerPort"]);
    let number = number.and_then(Value::as_u64);
    let number = number.with_context(|| {
        format!(
            "Pod '{}' does not have a named port '{wanted}'",
            name_of(pod)
        )
    })?;
    Ok(u16::try_from(number)?)
}

async fn accept(listener: TcpListener, client: Client, url: String) -> anyhow::Result<()> {
    loop {
        let (connection, _) = listener.accept().await.context("cannot accept")?;
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            if let Err(error) = forward(connection, &client, &url).await {
                eprintln!("error: {error:#}");
            }
        });
    }
}

/// Until the pod has said all.
async fn forward(connection: TcpStream, client: &Client, url: &str) -> anyhow::Result<()> {
    let (read, write) = connection.into_split();
    let (sink, source) = open(client, url).await?.split();
    let up = async {
        // What cannot be passed on shows in the answer, or in its end.
        let _ = speak(read, sink).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        heard = hear(source, write) => heard,
        () = up => Ok(()),
    }
}

async fn speak(
    mut read: OwnedReadHalf,
    mut sink: SplitSink<Socket, Message>,
) -> anyhow::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    while let count @ 1.. = read.read(&mut block).await? {
        let message = on_channel(DATA, &block[..count]);
        sink.send(Message::Binary(message)).await?;
    }
    sink.send(Message::Binary(on_channel(CLOSE, &[DATA])))
        .await?;
    Ok(())
}

async fn hear(mut source: SplitStream<Socket>, mut write: OwnedWriteHalf) -> anyhow::Result<()> {
    // On each channel the port comes first, which is known.
    let mut begun = [false; 2];
    while let Some(message) = source.next().await {
        let Message::Binary(message) = message? else {
            continue;
        };
        let Some((channel @ (&DATA | &ERROR), data)) = message.split_first() else {
            continue;
        };
        let begun = &mut begun[usize::from(*channel)];
        if !std::mem::replace(begun, true) {
            continue;
        }
        if *channel == ERROR {
            bail!("{}", String::from_utf8_lossy(data));
        }
        write.write_all(data).await?;
    }
    write.shutdown().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_s_port_is_a_pod_s() {
        let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [
            {"port": 80, "targetPort": "http"}, {"port": 53, "targetPort": 5353}]}});
        let pod = json!({"metadata": {"name": "web-1"}, "spec": {"containers": [
            {"name": "main", "ports": [{"name": "http", "containerPort": 8080}]}]}});
        assert_eq!(behind(&service, 80, &pod).expect("a port"), 8080);
        assert_eq!(behind(&service, 53, &pod).expect("a port"), 5353);
        assert!(behind(&service, 81, &pod).is_err());
        assert!(behind(&service, 80, &json!({})).is_err());
    }

    #[test]
    fn ports_are_given_as_to_kubectl() {
        let ports = |local, remote| Ok(Ports { local, remote });
        assert_eq!("80".parse(), ports(80, 80));
        assert_eq!("8080:80".parse(), ports(8080, 80));
        assert_eq!(":80".parse(), ports(0, 80));
        for wrong in ["", "x", "1:0", "1:2:3", "70000"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
    }
}
