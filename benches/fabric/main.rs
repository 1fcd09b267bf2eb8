//! What the fabric costs, beside the kernel's floor.
//!
//! `cargo bench --bench fabric` needs no root: it runs in user, network and mount
//! namespaces of its own. A floor is the fewest netlink messages that give a pod
//! the same network, or read the same tables: written before the clock starts,
//! sent by this process in the same run over a raw socket. Samples of ours and of
//! the floor alternate, so that a machine that slows down slows both.
//!
//! A bench is no test: it says where a target is missed and exits with 0.

mod floor;
mod table;

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ipnetwork::IpNetwork;
use podnet::kernel::linux::{Linux, disable_ipv6, in_netns, new_netns};
use podnet::kernel::{Attach, Kernel, Wishes};
use podnet::model::{AttachmentId, LinkName, Mac, NodeCidrs, NodeName, PodName, Slot};
use podnet::plan::{BRIDGE, NodeConfig, Peer, Uplink, desired, diff};

use floor::Floor;
use table::{Samples, Table, Target};

const INSIDE: &str = "PODNET_BENCH_INSIDE";
const UPLINK: &str = "up0";
const NODE_ADDRESS: &str = "172.30.0.1";
const MTU_BYTES: u32 = 1500;
/// Pods on the bridge while the samples of a row are taken.
const CROWDS: [u32; 4] = [10, 100, 250, 1000];
/// Attachments of ours, and as many of the floor's, per batch; both are reaped together.
const PAIRS: u32 = 50;
const BATCHES: u32 = 3;
/// Where the samples' slots begin: above every crowd.
const FIRST_SAMPLE: u32 = 2000;
const PEERS: u8 = 50;
const REPETITIONS: usize = 30;

fn main() -> ExitCode {
    let run = if std::env::var_os(INSIDE).is_some() {
        measure()
    } else {
        enter()
    };
    if let Err(error) = run {
        eprintln!("the bench could not run: {error:#}");
    }
    ExitCode::SUCCESS
}

/// The same program in namespaces of its own.
fn enter() -> Result<()> {
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "--"])
        .arg(std::env::current_exe()?)
        .env(INSIDE, "1")
        .status()
        .context("run `unshare` (Debian package util-linux)")?;
    if !status.success() {
        bail!("unshare: {status} (does this machine allow user namespaces?)");
    }
    Ok(())
}

fn measure() -> Result<()> {
    let limit = rustix::process::Rlimit {
        current: Some(4096),
        maximum: Some(4096),
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
        .context("allow 4,096 open files: each pod's namespace is one")?;
    let node = Node::new()?;
    let mut table = Table::default();
    let mut crowd = Vec::new();
    let mut first = None;
    for count in CROWDS {
        node.grow(&mut crowd, count)?;
        let taken = node.sample_attachments()?;
        let at_ten = *first.get_or_insert(taken.attach.median());
        table.add(
            &format!("attach, {count} pods on the bridge"),
            &taken.attach,
            Some(&taken.attach_floor),
            Target::TimesFloor(1.5),
        );
        if count == 250 {
            table.compare("attach at 250 pods against 10", &taken.attach, at_ten, 1.2);
            table.add(
                "observe, 250 pods",
                &node.sample_observe()?,
                Some(&node.sample_dumps()?),
                Target::None,
            );
        }
        let two = Target::AtMost(Duration::from_millis(2));
        table.add(&format!("detach, {count} pods"), &taken.detach, None, two);
        let one = Target::AtMost(Duration::from_millis(1));
        table.add(
            &format!("reap, per link of {}", 2 * PAIRS),
            &taken.reap,
            None,
            one,
        );
    }
    let (routes, routes_floor) = node.sample_routes()?;
    let title = format!("apply, per route of {PEERS}");
    table.add(&title, &routes, Some(&routes_floor), Target::None);
    print!("{table}");
    Ok(())
}

struct Node {
    kernel: Linux,
    floor: Floor,
    config: NodeConfig,
}

#[derive(Default)]
struct Attachments {
    attach: Samples,
    attach_floor: Samples,
    detach: Samples,
    reap: Samples,
}

impl Node {
    fn new() -> Result<Node> {
        // As an IPv4 lab makes its nodes.
        disable_ipv6()?;
        sh(&format!(
            "ip link add {UPLINK} mtu {MTU_BYTES} up type veth peer up1
             ip link set up1 up
             ip address add {NODE_ADDRESS}/16 dev {UPLINK}"
        ))?;
        let config = NodeConfig {
            bridge: LinkName::new(BRIDGE)?,
            cidrs: NodeCidrs::new(vec!["10.244.0.0/20".parse()?])?,
            uplink: Uplink {
                device: LinkName::new(UPLINK)?,
                mac: None,
                mtu_bytes: MTU_BYTES,
            },
            static_neighbours: false,
        };
        let kernel = Linux::open()?;
        let observed = kernel.observe(&[])?;
        for op in diff(&desired(&config, &[]).0, &observed) {
            kernel.apply(&op)?;
        }
        Ok(Node {
            floor: Floor::open(BRIDGE)?,
            kernel,
            config,
        })
    }

    /// More pods, until there are `count`.
    fn grow(&self, crowd: &mut Vec<OwnedFd>, count: u32) -> Result<()> {
        for n in crowd.len() as u32..count {
            let sandbox = pod_netns()?;
            self.attach(&Plug::new(2 + n)?, &sandbox)?;
            crowd.push(sandbox);
        }
        Ok(())
    }

    fn attach(&self, plug: &Plug, sandbox: &OwnedFd) -> Result<Duration> {
        let interface = LinkName::new("eth0")?;
        let attach = Attach {
            bridge: &self.config.bridge,
            cidrs: &self.config.cidrs,
            id: &plug.id,
            interface: &interface,
            pod: &plug.pod,
            mtu_bytes: MTU_BYTES,
            wishes: Wishes::default(),
        };
        let start = Instant::now();
        self.kernel.attach(&attach, plug.slot, sandbox)?;
        Ok(start.elapsed())
    }

    fn sample_attachments(&self) -> Result<Attachments> {
        let mut taken = Attachments::default();
        for _ in 0..BATCHES {
            self.sample_batch(&mut taken)?;
        }
        Ok(taken)
    }

    /// Each pair is plugged in and out again before the next, so that the bridge
    /// keeps its number of ports.
    fn sample_batch(&self, taken: &mut Attachments) -> Result<()> {
        let sandboxes: Vec<(OwnedFd, OwnedFd)> = (0..PAIRS)
            .map(|_| Ok((pod_netns()?, pod_netns()?)))
            .collect::<Result<_>>()?;
        for (n, (ours, floors)) in (0..).zip(&sandboxes) {
            let plug = Plug::new(FIRST_SAMPLE + n)?;
            let other = Plug::new(FIRST_SAMPLE + PAIRS + n)?;
            let prepared = self
                .floor
                .prepare(&self.config.cidrs, other.slot, floors.as_fd())?;
            if n % 2 == 0 {
                taken.attach.push(self.attach(&plug, ours)?);
                taken.attach_floor.push(self.floor.attach(&prepared)?);
            } else {
                taken.attach_floor.push(self.floor.attach(&prepared)?);
                taken.attach.push(self.attach(&plug, ours)?);
            }
            let start = Instant::now();
            self.kernel.detach(&plug.id)?;
            taken.detach.push(start.elapsed());
            self.floor.retire(other.slot)?;
        }
        let start = Instant::now();
        self.kernel.reap()?;
        taken.reap.push(start.elapsed() / (2 * PAIRS));
        Ok(())
    }

    fn sample_observe(&self) -> Result<Samples> {
        let mut samples = Samples::default();
        let addresses: [IpAddr; 1] = [NODE_ADDRESS.parse()?];
        for _ in 0..REPETITIONS {
            let start = Instant::now();
            self.kernel.observe(&addresses)?;
            samples.push(start.elapsed());
        }
        Ok(samples)
    }

    fn sample_dumps(&self) -> Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..REPETITIONS {
            samples.push(self.floor.dump_everything()?);
        }
        Ok(samples)
    }

    /// Per route: a plan's worth of ours, then of the floor's, each taken away again.
    fn sample_routes(&self) -> Result<(Samples, Samples)> {
        let (mut ours, mut floors) = (Samples::default(), Samples::default());
        let peers: Vec<Peer> = (0..PEERS).map(peer).collect::<Result<_>>()?;
        let (wanted, _) = desired(&self.config, &peers);
        let (bare, _) = desired(&self.config, &[]);
        let routes: Vec<(IpNetwork, IpAddr)> = wanted
            .routes
            .iter()
            .map(|route| (route.destination, route.via))
            .collect();
        for _ in 0..REPETITIONS {
            let plan = diff(&wanted, &self.kernel.observe(&[])?);
            let count = u32::try_from(plan.len())?;
            let start = Instant::now();
            for op in &plan {
                self.kernel.apply(op)?;
            }
            ours.push(start.elapsed() / count);
            self.take_away(&bare)?;
            floors.push(self.floor.add_routes(UPLINK, &routes)? / count);
            self.take_away(&bare)?;
        }
        Ok((ours, floors))
    }

    fn take_away(&self, bare: &podnet::plan::Desired) -> Result<()> {
        for op in diff(bare, &self.kernel.observe(&[])?) {
            self.kernel.apply(&op)?;
        }
        Ok(())
    }
}

/// Who is plugged in where.
struct Plug {
    slot: Slot,
    id: AttachmentId,
    pod: PodName,
}

impl Plug {
    fn new(offset: u32) -> Result<Plug> {
        // As long as a real container's identifier.
        let container = format!("{offset:064x}");
        Ok(Plug {
            slot: Slot::new(offset).context("a slot")?,
            id: AttachmentId::new(&container, &LinkName::new("eth0")?)?,
            pod: PodName::new("default", &format!("pod-{offset}")),
        })
    }
}

fn peer(n: u8) -> Result<Peer> {
    Ok(Peer {
        name: NodeName::new(&format!("node-{n}"))?,
        cidrs: NodeCidrs::new(vec![format!("10.245.{n}.0/24").parse()?])?,
        addresses: vec![format!("172.30.1.{n}").parse()?],
        mac: Some(Mac::new([2, 0, 0, 0, 1, n])),
    })
}

/// As podnet-pause makes it for an IPv4 pod.
fn pod_netns() -> Result<OwnedFd> {
    let netns = new_netns()?;
    in_netns(netns.as_fd(), disable_ipv6)??;
    Ok(netns)
}

fn sh(command: &str) -> Result<()> {
    let status = Command::new("sh").args(["-euc", command]).status()?;
    if !status.success() {
        bail!("{command}: {status}");
    }
    Ok(())
}
