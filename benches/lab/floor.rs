//! What the kernel alone takes for the same namespaces, links and processes.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use podnet::kernel::linux::{Cable, Linux, Switch, ensure_switch, new_netns, plug};
use podnet::kernel::{Attach, Kernel, Wishes};
use podnet::model::{AttachmentId, LinkName, Mac, NodeCidrs, PodName, Slot};
use podnet::plan::{BRIDGE_NAME, NodeConfig, Uplink, desired, diff};
use podnet::pod::{NewPod, pause_program, spawn};

const ETH0: LinkName = LinkName::constant("eth0");

pub fn run(words: &[&str]) -> Result<()> {
    let [what, count] = words else {
        bail!("floor WHAT COUNT");
    };
    let count = count.parse()?;
    let milliseconds = match *what {
        "nodes" => nodes(count)?,
        "pods" => pods(count)?,
        other => bail!("no floor of {other}"),
    };
    println!("{milliseconds:.3}");
    Ok(())
}

/// A namespace and a cable each, one after the other.
fn nodes(count: u32) -> Result<f64> {
    let switch = Switch {
        name: LinkName::constant("switch"),
        mac: Mac::new([2, 0, 0, 0, 0, 1]),
        addresses: vec!["172.30.0.1/16".parse()?],
        mtu_bytes: 1500,
    };
    let start = Instant::now();
    ensure_switch(&switch)?;
    let mut namespaces: Vec<OwnedFd> = Vec::new();
    for n in 0..count {
        let netns = new_netns()?;
        let cable = Cable {
            port: LinkName::new(&format!("n{n}"))?,
            switch: switch.name.clone(),
            far_name: ETH0,
            far_mac: Mac::new([2, 0, 0, 1, (n >> 8) as u8, n as u8]),
            far_addresses: vec![format!("172.30.{}.{}/16", 1 + n / 250, n % 250).parse()?],
            mtu_bytes: 1500,
        };
        plug(&cable, netns.as_fd())?;
        namespaces.push(netns);
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// A pause process and an attachment each, one after the other, without any
/// agent, server or object.
fn pods(count: u32) -> Result<f64> {
    let kernel = Linux::open()?;
    let cidrs = NodeCidrs::new(vec!["10.244.0.0/20".parse()?])?;
    let config = NodeConfig {
        bridge: BRIDGE_NAME,
        cidrs: cidrs.clone(),
        uplink: Uplink {
            device: ETH0,
            mac: None,
            mtu_bytes: 1500,
        },
        static_neighbours: false,
    };
    for op in diff(&desired(&config, &[]).0, &kernel.observe(&[])?) {
        kernel.apply(&op)?;
    }
    let dir = tempfile::tempdir()?;
    let pause = pause_program().or_else(|_| beside_podnet())?;
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let start = Instant::now();
    let mut children = Vec::new();
    for n in 0..count {
        let home = dir.path().join(n.to_string());
        std::fs::create_dir(&home)?;
        let child = tokio.block_on(spawn(&NewPod {
            program: &pause,
            dir: &home,
            hostname: &format!("pod-{n}"),
            ipv6: true,
            host_network: false,
        }))?;
        let pid = child.id().context("it lives")?;
        let netns: OwnedFd = File::open(format!("/proc/{pid}/ns/net"))?.into();
        let attach = Attach {
            bridge: &BRIDGE_NAME,
            cidrs: &cidrs,
            id: &AttachmentId::new(&format!("c{n}"), &ETH0)?,
            interface: &ETH0,
            pod: &PodName::new("bench", &n.to_string()),
            mtu_bytes: 1500,
            wishes: Wishes::default(),
        };
        let slot = Slot::new(2 + n).context("a slot")?;
        kernel.attach(&attach, slot, &netns)?;
        children.push(child);
    }
    let took = start.elapsed().as_secs_f64() * 1e3;
    // The rest goes with this PID namespace.
    for mut child in children {
        child.start_kill()?;
    }
    Ok(took)
}

/// A bench runs from a directory of its own.
fn beside_podnet() -> std::io::Result<std::path::PathBuf> {
    Ok(std::path::Path::new(super::PODNET).with_file_name("podnet-pause"))
}
