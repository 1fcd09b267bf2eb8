//! STATUS: whether ADD would succeed (CNI 1.1 §2, "STATUS").

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::cni::config::Config;
use crate::cni::error::CniError;
use crate::ipam;
use crate::kernel::linux::Linux;
use crate::model::Slot;

/// `BR_MAX_PORTS` less port 0 (net/bridge/br_private.h).
const MAX_PORTS: usize = 1023;

pub fn status(config: &Config) -> Result<(), CniError> {
    config.supported()?;
    let not_ready = |why: String| {
        let network = config.name.clone();
        Err(CniError::NotReady { network, why })
    };
    let kernel = Linux::alone()?;
    let bridge = kernel.bridge(&config.bridge)?;
    let name = &config.bridge;
    if let Some(agent) = &config.agent {
        let answers = agent_answers(agent);
        // Pods lose what only the bridge gives them, and nobody mends it.
        if bridge.is_none() && !answers {
            let network = config.name.clone();
            let why = format!("bridge {name} is gone and no agent runs");
            return Err(CniError::Limited { network, why });
        }
        if !answers {
            return not_ready("podnet's agent does not run".to_owned());
        }
        if bridge.is_none() {
            return not_ready(format!("bridge {name} is gone"));
        }
    }
    // Without an agent the first ADD makes it.
    let Some(bridge) = bridge else {
        return Ok(());
    };
    let ends = kernel.near_ends()?;
    // Of another network too: names are given once, whoever has them.
    let in_range = |slot: Slot| ipam::addresses(&config.cidrs, slot).is_some();
    let taken = ends
        .iter()
        .filter(|end| Slot::of_link(&end.name).is_some_and(in_range));
    let capacity = ipam::slot_capacity(&config.cidrs);
    if taken.count() >= capacity as usize {
        return not_ready(format!(
            "all {capacity} addresses of range {} are taken",
            config.cidrs
        ));
    }
    // Anybody's are ports.
    if kernel.port_count(&bridge)? >= MAX_PORTS {
        return not_ready(format!("bridge {name} has its 1,023 ports"));
    }
    Ok(())
}

/// Whether an agent of this network namespace holds the abstract socket `name`. It
/// goes with the agent, however that ends.
pub fn agent_answers(name: &str) -> bool {
    let Ok(address) = SocketAddr::from_abstract_name(name.as_bytes()) else {
        return false;
    };
    UnixDatagram::unbound().is_ok_and(|socket| socket.connect_addr(&address).is_ok())
}
