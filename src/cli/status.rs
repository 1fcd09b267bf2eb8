//! `podnet status`: what the supervisor knows and what the API says, side by side.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::Serialize;

use crate::lab::LabDir;
use crate::lab::control::{NodeStatus, ServiceStatus, Status};

use super::ready::ready_condition;
use super::{Format, LabArg, client, print_structured};

/// The API answers in milliseconds, or its server is down.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    lab: LabArg,
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    lab: String,
    api: String,
    kubeconfig: String,
    #[serde(rename = "clusterCIDRs")]
    cluster_cidrs: Vec<String>,
    #[serde(rename = "underlayCIDRs")]
    underlay: Vec<String>,
    server: ServiceStatus,
    nodes: Vec<NodeReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeReport {
    name: String,
    /// Ready, NotReady, or Unknown if the API does not say.
    status: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
    addresses: Vec<String>,
    agent: ServiceStatus,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = args.lab.dir()?;
    if !dir.is_live()? {
        let state = if dir.exists()? {
            "was killed; `podnet up` resumes it and `podnet down` removes what it left"
        } else {
            "is not there; `podnet up` starts it"
        };
        eprintln!("lab {} {state}", dir.name());
        return Ok(ExitCode::FAILURE);
    }
    let report = report(&dir)?;
    if !print_structured(args.output, &report)? {
        eprintln!("lab {}: API on {}", report.lab, report.api);
        println!("{}", table(&report));
    }
    let all_ready = report.nodes.iter().all(|node| node.status == "Ready");
    Ok(ExitCode::from(u8::from(!all_ready)))
}

pub fn print_table(dir: &LabDir) -> anyhow::Result<()> {
    println!("{}", table(&report(dir)?));
    Ok(())
}

fn report(dir: &LabDir) -> anyhow::Result<Report> {
    let status = Status::ask(dir)?;
    let known = client::runtime()?.block_on(async {
        let client = client::connect(dir).await?;
        let listed = tokio::time::timeout(PATIENCE, nodes(&client)).await;
        anyhow::Ok(listed.ok().and_then(Result::ok).unwrap_or_default())
    })?;
    let texts = |networks: Option<Vec<ipnetwork::IpNetwork>>| {
        let networks = networks.unwrap_or_default();
        networks.iter().map(ToString::to_string).collect()
    };
    let node = |(name, found): (String, NodeStatus)| {
        let object = known.get(&name);
        NodeReport {
            status: object.map_or_else(|| "Unknown".to_owned(), state_of),
            pod_cidrs: object.map(pod_cidrs).unwrap_or_default(),
            addresses: found.addresses,
            agent: found.agent,
            name,
        }
    };
    Ok(Report {
        lab: dir.name().to_string(),
        api: format!("https://127.0.0.1:{}", status.api_port),
        kubeconfig: dir.kubeconfig().display().to_string(),
        cluster_cidrs: texts(status.lab.spec.cluster_cidrs),
        underlay: texts(status.lab.spec.underlay_cidrs),
        server: status.server,
        nodes: status.nodes.into_iter().map(node).collect(),
    })
}

async fn nodes(client: &Client) -> kube::Result<BTreeMap<String, Node>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let list = nodes.list(&ListParams::default()).await?;
    Ok(list
        .into_iter()
        .map(|node| (node.name_any(), node))
        .collect())
}

fn state_of(node: &Node) -> String {
    let ready = ready_condition(node).map(|condition| condition.status.as_str());
    // A node that is silent has a status that is not known, which kubectl calls so too.
    match ready {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    }
}

fn pod_cidrs(node: &Node) -> Vec<String> {
    let spec = node.spec.as_ref();
    spec.and_then(|spec| spec.pod_cidrs.clone())
        .unwrap_or_default()
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["NODE", "STATUS", "POD CIDR", "ADDRESS", "AGENT", "RESTARTS"]);
    for node in &report.nodes {
        let agent = match node.agent.pid {
            Some(_) => "running".to_owned(),
            None => node.agent.last_exit.clone().unwrap_or_default(),
        };
        table.add_row([
            node.name.clone(),
            node.status.clone(),
            node.pod_cidrs.join(","),
            node.addresses.join(","),
            agent,
            node.agent.restarts.to_string(),
        ]);
    }
    table
}
