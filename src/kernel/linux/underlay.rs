//! The network between the nodes of a lab: a switch, and a cable to each node.

use std::os::fd::{AsFd, BorrowedFd};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::LinkUnspec;

use crate::kernel::{KernelError, Refusal};
use crate::model::{LinkName, Mac};

use super::message::{self, End, index_of};
use super::netns::in_netns;
use super::socket::{Request, Socket};

const LOOPBACK_INDEX: u32 = 1;
/// Links of the underlay stay out of the groups that agents use.
const UNDERLAY_GROUP: u32 = 0;

/// A bridge that stands for the network between the nodes.
#[derive(Clone, Debug)]
pub struct Switch {
    pub name: LinkName,
    pub mac: Mac,
    /// The lab's own addresses on it, with their prefixes.
    pub addresses: Vec<IpNetwork>,
    pub mtu_bytes: u32,
}

/// A veth pair from a port of the switch to a link inside a node.
#[derive(Clone, Debug)]
pub struct Cable {
    pub port: LinkName,
    pub switch: LinkName,
    pub far_name: LinkName,
    pub far_mac: Mac,
    pub far_addresses: Vec<IpNetwork>,
    pub mtu_bytes: u32,
}

/// Make the switch in this thread's namespace, and set loopback up. Idempotent.
pub fn ensure_switch(switch: &Switch) -> Result<(), KernelError> {
    let mut socket = Socket::open()?;
    let created = socket.request(message::create_bridge(&switch.name, switch.mac));
    match created {
        Err(error) if error.refusal() != Refusal::Exists => return Err(error),
        _ => {}
    }
    let index = index_of(&socket, switch.name.as_str())?;
    let mut requests = vec![
        up(LOOPBACK_INDEX, "lo"),
        message::start_bridge(&switch.name, switch.mtu_bytes),
    ];
    requests.extend(addresses(index, &switch.name, &switch.addresses));
    socket.batch(&requests)
}

/// Plug a node in, all or nothing.
///
/// # Errors
/// [`Refusal::Exists`] if the port is taken.
pub fn plug(cable: &Cable, far_netns: BorrowedFd<'_>) -> Result<(), KernelError> {
    let mut socket = Socket::open()?;
    let switch = index_of(&socket, cable.switch.as_str())?;
    let near = End {
        name: cable.port.as_str(),
        mac: None,
    };
    let far = End {
        name: cable.far_name.as_str(),
        mac: Some(cable.far_mac),
    };
    socket.request(Request::new(
        format!("plug a cable into {}", cable.port),
        message::create_veth(
            &near,
            &far,
            switch,
            UNDERLAY_GROUP,
            cable.mtu_bytes,
            far_netns.as_fd(),
        ),
        NLM_F_CREATE | NLM_F_EXCL,
    ))?;
    let configured = in_netns(far_netns, || {
        let mut inside = Socket::open()?;
        let index = index_of(&inside, cable.far_name.as_str())?;
        let mut requests = vec![up(LOOPBACK_INDEX, "lo"), up(index, cable.far_name.as_str())];
        requests.extend(addresses(index, &cable.far_name, &cable.far_addresses));
        inside.batch(&requests)
    });
    let plugged = configured.and_then(|inner| inner).and_then(|()| {
        let near = LinkUnspec::new_with_name(cable.port.as_str()).up().build();
        socket.request(message::set_link(format!("set {} up", cable.port), near))
    });
    plugged.inspect_err(|_| {
        // Half a cable is of no use, and the error that matters is the first.
        let _ = socket.request(message::delete_link(cable.port.as_str()));
    })
}

/// Pull a cable; its far end goes with it. Idempotent.
pub fn unplug(port: &LinkName) -> Result<(), KernelError> {
    match Socket::open()?.request(message::delete_link(port.as_str())) {
        Err(error) if error.refusal() == Refusal::NoDevice => Ok(()),
        other => other,
    }
}

fn up(index: u32, name: &str) -> Request {
    message::set_link(
        format!("set {name} up"),
        LinkUnspec::new_with_index(index).up().build(),
    )
}

fn addresses<'a>(
    index: u32,
    device: &'a LinkName,
    networks: &'a [IpNetwork],
) -> impl Iterator<Item = Request> + 'a {
    networks
        .iter()
        .map(move |network| message::add_address(index, device.as_str(), *network, NLM_F_REPLACE))
}
