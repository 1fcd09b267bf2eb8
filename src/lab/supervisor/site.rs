//! A node's place: its network and UTS namespace, held by descriptors, and the
//! cable that joins it to the underlay.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::thread;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use thiserror::Error;

use crate::kernel::linux::{self, Cable};
use crate::kernel::{KernelError, Refusal};
use crate::lab::topology::Lab;
use crate::model::{Family, LinkName, Mac, NameError, NodeName};

/// The bridge between nodes, in the lab's own network namespace.
const SWITCH: &str = "underlay";
/// A node's link to it.
const UPLINK: &str = "eth0";

#[derive(Debug, Error)]
pub enum SiteError {
    #[error("cannot make the namespaces of node {node}")]
    Namespaces { node: NodeName, source: Errno },
    #[error("cannot {step} the namespaces of node {node}")]
    Open {
        step: &'static str,
        node: NodeName,
        source: io::Error,
    },
    #[error("cannot enter the namespaces of node {node}")]
    Enter { node: NodeName, source: Errno },
    #[error("cannot start a thread for node {node}")]
    NoThread { node: NodeName, source: io::Error },
    #[error("a thread for node {node} did not end well")]
    Thread { node: NodeName },
    #[error("cannot lay node {node}'s cable to the underlay")]
    Plug { node: NodeName, source: KernelError },
    #[error("cannot take node {node}'s cable away")]
    Unplug { node: NodeName, source: KernelError },
    #[error("cannot build the underlay")]
    Underlay { source: KernelError },
    #[error("cannot do without IPv6")]
    NoIpv6 { source: KernelError },
    #[error("cannot set {path}")]
    Sysctl {
        path: &'static str,
        source: io::Error,
    },
    #[error(transparent)]
    Name(#[from] NameError),
}

#[derive(Debug)]
pub struct Site {
    pub name: NodeName,
    pub position: u32,
    /// Addresses on the underlay with their prefixes, one per family.
    pub addresses: Vec<IpNetwork>,
    pub net: File,
    pub uts: File,
}

impl Site {
    /// Makes the node's namespaces and plugs them into the underlay, which must
    /// be there.
    pub fn build(lab: &Lab, name: &NodeName, position: u32) -> Result<Site, SiteError> {
        let with_ipv6 = lab.underlay.has(Family::V6);
        let (net, uts) = on_a_thread(name, || namespaces(name, with_ipv6))??;
        let site = Site {
            name: name.clone(),
            position,
            addresses: lab.underlay.node_addresses(position),
            net,
            uts,
        };
        site.plug(lab)?;
        Ok(site)
    }

    /// Runs `work` on a thread of its own inside the node's namespaces; what it
    /// starts is born there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, SiteError> {
        on_a_thread(&self.name, || {
            let enter = |source| SiteError::Enter {
                node: self.name.clone(),
                source,
            };
            setns(&self.net, CloneFlags::CLONE_NEWNET).map_err(enter)?;
            setns(&self.uts, CloneFlags::CLONE_NEWUTS).map_err(enter)?;
            Ok(work())
        })?
    }

    /// Takes the node off the underlay. Its namespaces go when the last process
    /// in them does.
    pub fn unplug(&self) -> Result<(), SiteError> {
        linux::unplug(&self.port()?).map_err(|source| SiteError::Unplug {
            node: self.name.clone(),
            source,
        })
    }

    fn plug(&self, lab: &Lab) -> Result<(), SiteError> {
        let cable = Cable {
            port: self.port()?,
            switch: LinkName::new(SWITCH)?,
            far_name: LinkName::new(UPLINK)?,
            far_mac: mac(&self.addresses),
            far_addresses: self.addresses.clone(),
            mtu_bytes: lab.mtu_bytes,
        };
        let mut plugged = linux::plug(&cable, self.net.as_fd());
        if matches!(&plugged, Err(error) if error.refusal() == Refusal::Exists) {
            // A node that left at this position could not be unplugged.
            self.unplug()?;
            plugged = linux::plug(&cable, self.net.as_fd());
        }
        plugged.map_err(|source| SiteError::Plug {
            node: self.name.clone(),
            source,
        })
    }

    fn port(&self) -> Result<LinkName, NameError> {
        LinkName::new(&format!("n{}", self.position))
    }
}

/// Makes the calling thread's network namespace the lab's underlay. Idempotent.
pub fn build_underlay(lab: &Lab) -> Result<(), SiteError> {
    let with_ipv6 = lab.underlay.has(Family::V6);
    if !with_ipv6 {
        no_ipv6()?;
    }
    let addresses = lab.underlay.gateways();
    let switch = linux::Switch {
        name: LinkName::new(SWITCH)?,
        mac: mac(&addresses),
        addresses,
        mtu_bytes: lab.mtu_bytes,
    };
    linux::ensure_switch(&switch).map_err(|source| SiteError::Underlay { source })?;
    if with_ipv6 {
        no_ipv6_for_ports()?;
    }
    Ok(())
}

fn namespaces(name: &NodeName, with_ipv6: bool) -> Result<(File, File), SiteError> {
    let made = |source| SiteError::Namespaces {
        node: name.clone(),
        source,
    };
    let opened = |source| SiteError::Open {
        step: "open",
        node: name.clone(),
        source,
    };
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS).map_err(made)?;
    nix::unistd::sethostname(name.as_str()).map_err(made)?;
    if !with_ipv6 {
        no_ipv6()?;
    }
    Ok((
        File::open("/proc/thread-self/ns/net").map_err(opened)?,
        File::open("/proc/thread-self/ns/uts").map_err(opened)?,
    ))
}

/// In the calling thread's network namespace, for links present and future.
fn no_ipv6() -> Result<(), SiteError> {
    linux::disable_ipv6().map_err(|source| SiteError::NoIpv6 { source })
}

/// The switch has its IPv6 addresses by now; its ports, which come later, have
/// none in any lab. A kernel without IPv6 has nothing to switch off.
fn no_ipv6_for_ports() -> Result<(), SiteError> {
    const DEFAULT: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    match fs::write(DEFAULT, "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SiteError::Sysctl {
            path: DEFAULT,
            source: error,
        }),
        _ => Ok(()),
    }
}

/// The IPv4 address decides if there is one, as for pods.
fn mac(addresses: &[IpNetwork]) -> Mac {
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    match v4.or(addresses.first()) {
        Some(address) => Mac::of(address.ip()),
        None => Mac::new([0; 6]),
    }
}

fn on_a_thread<T: Send>(node: &NodeName, work: impl FnOnce() -> T + Send) -> Result<T, SiteError> {
    let builder = thread::Builder::new().name(format!("node {node}"));
    thread::scope(|scope| {
        let started = builder.spawn_scoped(scope, work);
        let thread = started.map_err(|source| SiteError::NoThread {
            node: node.clone(),
            source,
        })?;
        thread
            .join()
            .map_err(|_| SiteError::Thread { node: node.clone() })
    })
}
