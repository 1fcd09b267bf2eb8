//! The CNI configuration for the node's container runtime.
//!
//! A runtime takes a node's network for ready when there is a configuration, so
//! the file is there while the node is ready and not otherwise. It is written whole:
//! a runtime reads the old one or the new one. It says no more than the plugin needs,
//! and the plugin keeps no state, so an agent that ends leaves it: pods can be added
//! without an agent. STATUS tells the runtime whether one runs, by a name that the
//! agent holds in its network namespace and that goes with it.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;

use serde_json::json;
use thiserror::Error;

use crate::model::NodeCidrs;
use crate::plan::BRIDGE;

/// Runtimes take the first file in the order of names.
const FILE: &str = "10-podnet.conflist";
/// Of no ending that a runtime reads.
const UNFINISHED: &str = ".10-podnet.unfinished";
/// The abstract socket that says that an agent runs here.
const HELD: &str = "podnet-agent";

#[derive(Debug, Error)]
#[error("CNI configuration {}: {source}", path.display())]
pub struct ConflistError {
    path: PathBuf,
    source: io::Error,
}

pub struct Conflist {
    dir: PathBuf,
    /// Whether the bridge has pods that the runtime does not know of, so that its GC
    /// is to leave the bridge alone.
    shared: bool,
    /// `None`: another agent of this namespace still has the name.
    held: Option<UnixDatagram>,
}

impl Conflist {
    pub fn new(dir: PathBuf, shared: bool) -> Conflist {
        Conflist {
            dir,
            shared,
            held: None,
        }
    }

    /// The node takes pods. Idempotent.
    pub fn ready(&mut self, cidrs: &NodeCidrs, mtu_bytes: u32) -> Result<(), ConflistError> {
        if self.held.is_none() {
            let address = SocketAddr::from_abstract_name(HELD);
            self.held = address.and_then(|a| UnixDatagram::bind_addr(&a)).ok();
        }
        let text = conflist(cidrs, mtu_bytes, self.shared);
        let path = self.dir.join(FILE);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let unfinished = self.dir.join(UNFINISHED);
        fs::create_dir_all(&self.dir)
            .and_then(|()| fs::write(&unfinished, text))
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|source| ConflistError { path, source })
    }

    /// The node takes none. Idempotent.
    pub fn not_ready(&self) -> Result<(), ConflistError> {
        let path = self.dir.join(FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ConflistError { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// In the oldest version that every runtime speaks, with the newer ones beside it
/// (CNI 1.1 §1, "cniVersions").
fn conflist(cidrs: &NodeCidrs, mtu_bytes: u32, shared: bool) -> String {
    let everywhere = |v6: bool| if v6 { "::/0" } else { "0.0.0.0/0" };
    let routes = cidrs
        .iter()
        .map(|cidr| json!({ "dst": everywhere(cidr.is_ipv6()) }));
    let value = json!({
        "cniVersion": "0.4.0",
        "cniVersions": ["0.4.0", "1.0.0", "1.1.0"],
        "name": "podnet",
        "disableGC": shared,
        "plugins": [{
            "type": "podnet-cni",
            "bridge": BRIDGE,
            "isGateway": true,
            "hairpinMode": true,
            "mtu": mtu_bytes,
            "subnets": cidrs.iter().map(|cidr| cidr.to_string()).collect::<Vec<_>>(),
            "routes": routes.collect::<Vec<_>>(),
            "agent": HELD,
            "disableGC": shared,
            "capabilities": { "ips": true, "mac": true },
        }],
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> NodeCidrs {
        let networks = texts.iter().map(|t| t.parse().expect("a network"));
        NodeCidrs::new(networks.collect()).expect("node CIDRs")
    }

    #[test]
    fn the_file_is_there_while_the_node_is_ready() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("net.d");
        let mut conflist = Conflist::new(below.clone(), false);
        conflist.not_ready().expect("nothing to take away");
        let both = cidrs(&["10.244.3.0/24", "fd00:10:244:3::/64"]);
        conflist.ready(&both, 1450).expect("written");
        let read = || fs::read_to_string(below.join(FILE)).expect("there");
        let value: serde_json::Value = serde_json::from_str(&read()).expect("JSON");
        let plugin = &value["plugins"][0];
        assert_eq!(
            plugin["subnets"],
            json!(["10.244.3.0/24", "fd00:10:244:3::/64"])
        );
        assert_eq!(
            plugin["routes"],
            json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])
        );
        // What somebody changed is set right, and the MTU's change is said.
        fs::write(below.join(FILE), "{}").expect("written");
        conflist
            .ready(&cidrs(&["10.244.3.0/24"]), 9000)
            .expect("written");
        assert!(read().contains("\"mtu\": 9000"), "{}", read());
        conflist.not_ready().expect("taken away");
        let left: Vec<_> = fs::read_dir(&below).expect("a directory").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn what_cannot_be_written_names_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("file"), "").expect("written");
        let mut conflist = Conflist::new(dir.path().join("file"), true);
        let error = conflist
            .ready(&cidrs(&["10.244.3.0/24"]), 1500)
            .unwrap_err();
        assert!(error.to_string().contains(FILE), "{error}");
    }
}
