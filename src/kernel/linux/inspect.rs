//! Reading attachments back, and what a process that died left of one.

use std::os::fd::{AsFd, OwnedFd};

use ipnetwork::IpNetwork;
use netlink_packet_route::route::{RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::kernel::{KernelError, PodRoute, Refusal};
use crate::model::{AttachmentId, LinkName, Mac, NodeCidrs, Slot};
use crate::plan::{DEAD_GROUP, GROUP};

use super::bridge::{BridgeState, addresses_of};
use super::message::index_of;
use super::observe::{self, Link};
use super::socket::Socket;
use super::{Linux, attach};

/// The node's end of an attachment, committed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearEnd {
    pub index: u32,
    pub name: String,
    pub mac: Option<Mac>,
    pub mtu_bytes: u32,
    pub up: bool,
    pub hairpin: bool,
    /// Index of the bridge it is on.
    pub bridge: Option<u32>,
    /// Whether the last step of attaching was done.
    pub committed: bool,
    /// Whether it waits to be deleted.
    pub dead: bool,
    /// The alternative name, `<containerID>.<ifname>`.
    pub attachment: Option<String>,
}

/// The pod's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarEnd {
    pub mac: Option<Mac>,
    pub mtu_bytes: u32,
    pub up: bool,
    /// Index, in its own namespace, of the link that it is a pair with.
    pub peer: Option<u32>,
    /// Without link-local ones.
    pub addresses: Vec<IpNetwork>,
    /// Of the pod's main table, those that lead out by this interface.
    pub routes: Vec<PodRoute>,
}

impl Linux {
    /// `None`: no link has that attachment's name.
    pub fn near_end(&self, id: &AttachmentId) -> Result<Option<NearEnd>, KernelError> {
        let found = attach::lookup(&mut self.socket(), id)?;
        Ok(found.map(|message| near_end(&observe::link(message))))
    }

    /// Every attachment of this namespace: what has the name and the group of one,
    /// and what waits to be deleted.
    pub fn near_ends(&self) -> Result<Vec<NearEnd>, KernelError> {
        let links = observe::links(&mut self.socket())?;
        let ours = |link: &&Link| {
            link.group == DEAD_GROUP || link.group == GROUP && Slot::of_link(&link.name).is_some()
        };
        Ok(links.iter().filter(ours).map(near_end).collect())
    }

    /// How many links are on a bridge, whoever made them, but for dead ones.
    pub fn port_count(&self, bridge: &BridgeState) -> Result<usize, KernelError> {
        let links = observe::links(&mut self.socket())?;
        let on = |link: &&Link| link.controller == Some(bridge.index) && link.group != DEAD_GROUP;
        Ok(links.iter().filter(on).count())
    }

    /// `None`: the sandbox has no interface of that name.
    pub fn far_end(
        &self,
        sandbox: &OwnedFd,
        interface: &LinkName,
    ) -> Result<Option<FarEnd>, KernelError> {
        let mut inside = self.visitor.socket_in(sandbox.as_fd())?;
        let Some(link) = observe::link_named(&mut inside, interface)? else {
            return Ok(None);
        };
        Ok(Some(FarEnd {
            mac: link.mac,
            mtu_bytes: link.mtu_bytes,
            up: link.up,
            peer: link.peer,
            addresses: addresses_of(&mut inside, link.index)?,
            routes: routes_of(&mut inside, link.index)?,
        }))
    }

    /// What an ADD or DEL that died left behind, that stands in the way of `id`: a
    /// link of its name, or the other end of `interface` in the sandbox, that is
    /// dead or was never committed. It is buried. Whether there was any.
    pub fn clear_leftovers(
        &self,
        id: &AttachmentId,
        interface: &LinkName,
        sandbox: Option<&OwnedFd>,
    ) -> Result<bool, KernelError> {
        let mut found = self.near_end(id)?;
        if found.is_none()
            && let Some(sandbox) = sandbox
        {
            found = self.behind(sandbox, interface)?;
        }
        let left = |end: &NearEnd| {
            let anothers = end.attachment.as_deref().is_some_and(|a| a != id.as_str());
            end.dead || !end.committed && !anothers
        };
        let Some(end) = found.filter(left) else {
            return Ok(false);
        };
        let mut socket = self.socket();
        let mut requests = attach::bury(end.index, &end.name);
        if end.attachment.is_some() {
            requests.push(super::message::delete_alternative_name(end.index, id));
        }
        match socket.batch(&requests) {
            Err(error) if !attach::is_gone(&error) => Err(error),
            _ => Ok(true),
        }
    }

    /// The link of this namespace that is a pair with a sandbox's interface, if it
    /// is one of ours.
    fn behind(
        &self,
        sandbox: &OwnedFd,
        interface: &LinkName,
    ) -> Result<Option<NearEnd>, KernelError> {
        let mut inside = self.visitor.socket_in(sandbox.as_fd())?;
        let Some(far) = observe::link_named(&mut inside, interface)? else {
            return Ok(None);
        };
        let Some(peer) = far.peer else {
            return Ok(None);
        };
        let near = observe::link_at(&mut self.socket(), peer)?;
        let ours = |link: &Link| {
            // The index may be another link's, in another namespace than this one.
            let pair = link.peer == Some(far.index);
            pair && (link.group == DEAD_GROUP || link.group == GROUP)
        };
        Ok(near.filter(ours).as_ref().map(near_end))
    }

    /// Free an attachment's name and address, and what the bridge knows of it. The
    /// link itself waits to be deleted. `None`: there was none.
    pub fn unplug(
        &self,
        id: &AttachmentId,
        bridge: &LinkName,
        cidrs: &NodeCidrs,
    ) -> Result<Option<Slot>, KernelError> {
        let mut socket = self.socket();
        let Some(message) = attach::lookup(&mut socket, id)? else {
            return Ok(None);
        };
        let slot = attach::name(&message).and_then(Slot::of_link);
        if let (Some(slot), Ok(bridge)) = (slot, index_of(&socket, bridge.as_str())) {
            attach::forget(&mut socket, bridge, cidrs, slot)?;
        }
        attach::detach_link(&mut socket, id, &message)
    }

    /// Free the slot of a link that has no attachment's name.
    pub fn retire(&self, slot: Slot) -> Result<(), KernelError> {
        match attach::retire(&mut self.socket(), slot) {
            Err(error) if error.refusal() == Refusal::NoDevice => Ok(()),
            done => done,
        }
    }
}

fn near_end(link: &Link) -> NearEnd {
    NearEnd {
        index: link.index,
        name: link.name.clone(),
        mac: link.mac,
        mtu_bytes: link.mtu_bytes,
        up: link.up,
        hairpin: link.hairpin,
        bridge: link.controller,
        committed: link.alias.is_some() && link.group == GROUP,
        dead: link.group == DEAD_GROUP,
        attachment: link.alternative_names.first().cloned(),
    }
}

/// Those of the main table; the kernel filters by table and device.
fn routes_of(socket: &mut Socket, index: u32) -> Result<Vec<PodRoute>, KernelError> {
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        request.header.table = RouteHeader::RT_TABLE_MAIN;
        let request = RouteNetlinkMessage::GetRoute(request);
        let answers = match socket.dump("list a pod's routes", &request) {
            // A namespace that never had a route has no main table yet.
            Err(error) if error.refusal() == Refusal::NoEntry => continue,
            answers => answers?,
        };
        let routes = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        });
        found.extend(routes.filter_map(|route| observe::pod_route(route, index)));
    }
    Ok(found)
}
