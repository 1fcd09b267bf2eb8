//! What an agent is told at its start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::model::{ClusterRanges, Family, NameError, NodeName, Pool, RangeError};

#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Name of this node, a DNS label
    #[arg(long)]
    pub node_name: String,
    /// Kubeconfig that says where the API server is and who this node is
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// Range that all nodes' pod ranges are carved from; one, or one per family
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        default_value = "10.244.0.0/16"
    )]
    pub cluster_cidr: Vec<IpNetwork>,
    /// Prefix length of a node's range, one per cluster range [default: 24 for IPv4, 64 for IPv6]
    #[arg(long, value_name = "BITS", value_delimiter = ',')]
    pub node_mask: Vec<u8>,
    /// Address by which other nodes reach this one; one, or one per family
    #[arg(long, value_name = "IP", value_delimiter = ',', required = true)]
    pub node_ip: Vec<IpAddr>,
    /// Label to put on the Node object
    #[arg(long = "node-label", value_name = "KEY=VALUE")]
    pub node_labels: Vec<String>,
    /// Run the pods bound to this node, below this directory
    #[arg(long, value_name = "DIR")]
    pub pods_dir: Option<PathBuf>,
    /// Where to put the CNI configuration while this node is ready, as /etc/cni/net.d
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Permanent neighbour entries for the other nodes (where a node's MAC never moves)
    #[arg(long)]
    pub static_neighbours: bool,
    /// Look at everything again after so many seconds without news
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub resync: u32,
    /// Print what would be done, as commands, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error("--node-mask gives {masks} masks for {ranges} cluster ranges; give one for each")]
    MaskCount { masks: usize, ranges: usize },
    #[error("--node-label {0:?} is not KEY=VALUE")]
    Label(String),
    #[error("cluster range {range} is {family}, but --node-ip has no {family} address")]
    NoNodeAddress { range: IpNetwork, family: Family },
    #[error("--resync must be at least 1 second")]
    Resync,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeName,
    pub kubeconfig: PathBuf,
    pub ranges: ClusterRanges,
    pub addresses: Vec<IpAddr>,
    pub labels: BTreeMap<String, String>,
    pub pods_dir: Option<PathBuf>,
    pub cni_conf_dir: Option<PathBuf>,
    pub static_neighbours: bool,
    pub resync: Duration,
    pub dry_run: bool,
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Config, ConfigError> {
        let ranges = cluster_ranges(&args.cluster_cidr, &args.node_mask)?;
        for pool in ranges.pools() {
            let family = pool.family();
            if !args.node_ip.iter().any(|ip| Family::of(*ip) == family) {
                let range = pool.range();
                return Err(ConfigError::NoNodeAddress { range, family });
            }
        }
        if args.resync == 0 {
            return Err(ConfigError::Resync);
        }
        let label = |text: &String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(ConfigError::Label(text.clone())),
        };
        Ok(Config {
            node: NodeName::new(&args.node_name)?,
            kubeconfig: args.kubeconfig,
            ranges,
            addresses: args.node_ip,
            labels: args
                .node_labels
                .iter()
                .map(label)
                .collect::<Result<_, _>>()?,
            pods_dir: args.pods_dir,
            cni_conf_dir: args.cni_conf_dir,
            static_neighbours: args.static_neighbours,
            resync: Duration::from_secs(args.resync.into()),
            dry_run: args.dry_run,
        })
    }
}

fn cluster_ranges(cidrs: &[IpNetwork], masks: &[u8]) -> Result<ClusterRanges, ConfigError> {
    if !masks.is_empty() && masks.len() != cidrs.len() {
        return Err(ConfigError::MaskCount {
            masks: masks.len(),
            ranges: cidrs.len(),
        });
    }
    let mask = |i: usize, cidr: &IpNetwork| {
        let default = Family::of(cidr.ip()).default_node_prefix();
        masks.get(i).copied().unwrap_or(default)
    };
    let pools: Result<Vec<Pool>, RangeError> = cidrs
        .iter()
        .enumerate()
        .map(|(i, cidr)| Pool::new(*cidr, mask(i, cidr)))
        .collect();
    Ok(ClusterRanges::new(pools?)?)
}
