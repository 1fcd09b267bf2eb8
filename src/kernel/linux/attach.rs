//! Plugging a pod into its node's bridge, and pulling it out.
//!
//! Attach is four batches: the veth pair (whose name is the lock), its second
//! name (which is the attachment's, so that whoever tears this one down finds it
//! from here on), the pod's side, and the node's side, whose last change commits.
//! Whatever dies in between leaves a link without an alias, which the agent retires.
//!
//! Somebody may tear it down while it is made, and the slot be another pod's before it is
//! done. So once the link is there it is spoken of by its index, and in the end it is asked for
//! by its second name: what is found there, at its slot, was attached.

use std::os::fd::{AsFd, OwnedFd};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use crate::ipam;
use crate::kernel::attach::taken;
use crate::kernel::{Attach, Gateway, KernelError, Refusal};
use crate::model::{AttachmentId, Family, NodeCidrs, Slot};
use crate::plan::{DEAD_GROUP, GROUP};

use super::message::{self, End, index_of};
use super::netns::Visitor;
use super::observe;
use super::socket::{Request, Socket};
use super::sysctl;

const LOOPBACK: &str = "lo";
/// The loopback link is the first of every namespace (net/core/net_namespace.c).
const LOOPBACK_INDEX: u32 = 1;
/// How often a link is asked for whose name existed, and did not when it was looked at.
const TRIES: usize = 8;

/// Both sides of an attachment to be.
pub struct Ends<'a> {
    pub outside: &'a mut Socket,
    pub inside: &'a mut Socket,
    pub visitor: &'a Visitor,
    pub sandbox: &'a OwnedFd,
    /// Ports have no IPv6 here, so there is none to keep quiet.
    pub quiet: bool,
}

impl Ends<'_> {
    pub fn attach(mut self, attach: &Attach<'_>, slot: Slot) -> Result<(), KernelError> {
        let bridge = index_of(self.outside, attach.bridge.as_str())?;
        self.create(attach, slot, bridge)
            .and_then(|port| self.complete(attach, slot, bridge, port))
            .map_err(|mut error| {
                if error.refusal() != Refusal::Exists || error.step != taken(slot) {
                    error.step = format!("attach {} at {slot}: {}", attach.pod, error.step);
                }
                error
            })
    }

    /// Answers the port's index.
    fn create(&mut self, attach: &Attach<'_>, slot: Slot, bridge: u32) -> Result<u32, KernelError> {
        let name = slot.link_name();
        let message = message::create_veth(
            &End {
                name: &name,
                mac: attach.port_mac(slot),
            },
            &End {
                name: attach.interface.as_str(),
                mac: attach.mac(slot),
            },
            bridge,
            GROUP,
            attach.mtu_bytes,
            self.sandbox.as_fd(),
        );
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO;
        let request = [Request::new(taken(slot), message, flags)];
        let mut tries = 1;
        let made = loop {
            match self.outside.ask(&request) {
                Err(error) if error.refusal() == Refusal::Exists && tries < TRIES => {
                    if let Some(step) = self.in_the_way(attach, slot) {
                        return Err(KernelError { step, ..error });
                    }
                    tries += 1;
                }
                done => break done?,
            }
        };
        match made.first() {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link.header.index),
            // Linux says what it made since 6.2.
            _ => index_of(self.outside, &name),
        }
    }

    /// Which of the pair's two names exists, as the step that failed: in the pod, where no other
    /// slot helps, or here. `None`: neither does any more.
    fn in_the_way(&self, attach: &Attach<'_>, slot: Slot) -> Option<String> {
        let interface = attach.interface.as_str();
        if index_of(self.inside, interface).is_ok() {
            return Some(format!("create {interface} in the pod"));
        }
        let here = index_of(self.outside, &slot.link_name());
        here.is_ok().then(|| taken(slot))
    }

    /// From a bare link to a committed attachment, or back to nothing.
    fn complete(
        &mut self,
        attach: &Attach<'_>,
        slot: Slot,
        bridge: u32,
        port: u32,
    ) -> Result<(), KernelError> {
        let name = slot.link_name();
        // By itself: if the attachment exists at another slot, nothing may follow.
        let done = self
            .outside
            .request(message::add_alternative_name(port, &name, attach.id))
            .and_then(|()| self.without_ipv6(attach))
            .and_then(|()| configure_sandbox(self.inside, attach, slot, NLM_F_EXCL))
            .and_then(|()| self.commit(attach, slot, bridge, port));
        match done {
            // The attachment is there, whatever the answer.
            Ok(()) => drop(self.inside.request(start_queue(attach.interface.as_str()))),
            Err(_) => self.undo(attach, slot, bridge, port),
        }
        done
    }

    fn commit(
        &mut self,
        attach: &Attach<'_>,
        slot: Slot,
        bridge: u32,
        port: u32,
    ) -> Result<(), KernelError> {
        let name = slot.link_name();
        let mac = attach.mac(slot);
        let addresses = ipam::addresses(attach.cidrs, slot);
        let mut requests: Vec<Request> = addresses
            .into_iter()
            .flatten()
            .zip(std::iter::repeat(mac))
            .filter_map(|(ip, mac)| Some(message::set_neighbour(bridge, ip, mac?)))
            .collect();
        if !self.quiet {
            requests.push(message::keep_quiet(port, &name));
        }
        requests.push(message::commit_port(port, &name, attach));
        // This starts its queue as well. The bridge's carrier comes with its first port's.
        let step = format!("see {} where it was made", attach.id);
        requests.push(Request::new(
            step.clone(),
            message::link_by_attachment(attach.id),
            0,
        ));
        requests.push(start_queue(attach.bridge.as_str()));
        let whole = |answer: RouteNetlinkMessage| match answer {
            RouteNetlinkMessage::NewLink(link) => {
                let link = observe::link(link);
                link.index == port && link.name == name && link.group == GROUP
            }
            _ => false,
        };
        match self.outside.ask(&requests)?.into_iter().any(whole) {
            true => Ok(()),
            false => Err(KernelError::new(step, Errno::ENODEV)),
        }
    }

    /// The first error is the one to tell, so nothing here is. The link is ours, and so are the
    /// neighbours unless the slot is another's by now.
    fn undo(&mut self, attach: &Attach<'_>, slot: Slot, bridge: u32, port: u32) {
        let name = slot.link_name();
        if !index_of(self.outside, &name).is_ok_and(|index| index != port) {
            let _ = forget(self.outside, bridge, attach.cidrs, slot);
        }
        let mut requests = bury(port, &name);
        requests.push(message::delete_alternative_name(port, attach.id));
        let _ = self.outside.batch(&requests);
    }

    /// Whoever makes pods for an agent has switched IPv6 off in them. Asking costs a
    /// message; doing it again costs more with every namespace there is. A runtime
    /// leaves it on, so there is nothing to ask.
    fn without_ipv6(&mut self, attach: &Attach<'_>) -> Result<(), KernelError> {
        let one = attach.wishes.one_of_several;
        if attach.cidrs.has(Family::V6)
            || !one && !message::has_ipv6(self.inside, attach.interface)?
        {
            return Ok(());
        }
        self.visitor.work_in(self.sandbox.as_fd(), || match one {
            true => sysctl::disable_ipv6_on(attach.interface),
            false => sysctl::disable_ipv6(),
        })?
    }
}

pub fn mend_sandbox(
    inside: &mut Socket,
    attach: &Attach<'_>,
    slot: Slot,
) -> Result<(), KernelError> {
    configure_sandbox(inside, attach, slot, NLM_F_REPLACE).map_err(|mut error| {
        error.step = format!("mend {} at {slot}: {}", attach.pod, error.step);
        error
    })
}

fn configure_sandbox(
    inside: &mut Socket,
    attach: &Attach<'_>,
    slot: Slot,
    flags: u16,
) -> Result<(), KernelError> {
    let interface = attach.interface.as_str();
    let index = index_of(inside, interface)?;
    let up = |index: u32, name: &str| {
        message::set_link(
            format!("set {name} up in the pod"),
            LinkUnspec::new_with_index(index).up().build(),
        )
    };
    let mut requests = vec![up(LOOPBACK_INDEX, LOOPBACK)];
    for cidr in attach.cidrs.iter() {
        let network =
            ipam::address(cidr, slot).and_then(|ip| IpNetwork::new(ip, cidr.prefix()).ok());
        let network = network.ok_or_else(|| out_of_range(slot, cidr))?;
        requests.push(message::add_address(index, interface, network, flags));
    }
    requests.push(up(index, interface));
    for route in attach.routes() {
        requests.push(message::add_pod_route(index, &route, flags));
    }
    if attach.wishes.gateway == Gateway::Permanent {
        let mac = ipam::mac(attach.cidrs, Slot::GATEWAY);
        for cidr in attach.cidrs.iter() {
            let (Some(gateway), Some(mac)) = (ipam::gateway(cidr), mac) else {
                return Err(out_of_range(Slot::GATEWAY, cidr));
            };
            requests.push(message::set_neighbour(index, gateway, mac));
        }
    }
    inside.batch(&requests)
}

/// Until the kernel comes round to starting the queue of a link that got a carrier, it drops what
/// is sent by it. Asked for the link, it does so before it answers (`rtnl_getlink` in
/// net/core/rtnetlink.c, since Linux 6.8). Nobody reads the answer.
fn start_queue(name: &str) -> Request {
    let link = LinkUnspec::new_with_name(name).build();
    Request::new(
        format!("see {name} up"),
        RouteNetlinkMessage::GetLink(link),
        0,
    )
}

fn out_of_range(slot: Slot, cidr: IpNetwork) -> KernelError {
    KernelError::new(
        format!("find the address of {slot} in {cidr}"),
        Errno::ERANGE,
    )
}

pub fn find(socket: &mut Socket, id: &AttachmentId) -> Result<Option<Slot>, KernelError> {
    let committed = |link: &LinkMessage| alias(link).is_some();
    let link = lookup(socket, id)?.filter(committed);
    Ok(link.as_ref().and_then(name).and_then(Slot::of_link))
}

pub fn detach(socket: &mut Socket, id: &AttachmentId) -> Result<Option<Slot>, KernelError> {
    let Some(link) = lookup(socket, id)? else {
        return Ok(None);
    };
    detach_link(socket, id, &link)
}

pub fn detach_link(
    socket: &mut Socket,
    id: &AttachmentId,
    link: &LinkMessage,
) -> Result<Option<Slot>, KernelError> {
    let name = name(link).unwrap_or_default();
    let mut requests = bury(link.header.index, name);
    requests.push(message::delete_alternative_name(link.header.index, id));
    match socket.batch(&requests) {
        Err(error) if is_gone(&error) => Ok(Slot::of_link(name)),
        done => done.map(|()| Slot::of_link(name)),
    }
}

pub fn lookup(socket: &mut Socket, id: &AttachmentId) -> Result<Option<LinkMessage>, KernelError> {
    match socket.get(format!("find link {id}"), &message::link_by_attachment(id)) {
        Ok(RouteNetlinkMessage::NewLink(link)) => Ok(Some(link)),
        Ok(_) => Ok(None),
        Err(error) if error.refusal() == Refusal::NoDevice => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

pub fn alias(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
            _ => None,
        })
}

/// Take away the neighbours that [`Ends::commit`] sets. Before the slot is free: whoever
/// has it next sets the same entries.
pub fn forget(
    socket: &mut Socket,
    bridge: u32,
    cidrs: &NodeCidrs,
    slot: Slot,
) -> Result<(), KernelError> {
    let addresses = ipam::addresses(cidrs, slot).into_iter().flatten();
    let requests: Vec<Request> = addresses
        .map(|ip| message::delete_neighbour(bridge, ip))
        .collect();
    match socket.batch(&requests) {
        Err(error) if error.refusal() == Refusal::NoEntry => Ok(()),
        done => done,
    }
}

pub fn retire(socket: &mut Socket, slot: Slot) -> Result<(), KernelError> {
    let name = slot.link_name();
    let index = index_of(socket, &name)?;
    socket.batch(&bury(index, &name))
}

/// Like [`retire`], unless the slot's link has been committed since it was seen in flight.
pub fn expire(socket: &mut Socket, slot: Slot) -> Result<(), KernelError> {
    let name = slot.link_name();
    let index = index_of(socket, &name)?;
    let link = observe::link_at(socket, index)?;
    match link.is_some_and(|link| link.alias.is_some()) {
        true => Ok(()),
        false => socket.batch(&bury(index, &name)),
    }
}

/// Whether what was to be buried died with its namespace in between, or another process has
/// buried it and taken its second name.
pub fn is_gone(error: &KernelError) -> bool {
    matches!(error.refusal(), Refusal::NoDevice | Refusal::NoEntry)
}

/// Down first: before Linux 6.2 a link that is up keeps its name. The name goes
/// second, and with it the slot is free. A port that is down passes nothing on, so it
/// stays on the bridge until it is deleted: taking it off waits for RCU, which one
/// deletion does for all that it deletes.
pub fn bury(index: u32, name: &str) -> Vec<Request> {
    let down = LinkUnspec::new_with_index(index)
        .down()
        .link_group(DEAD_GROUP)
        .build();
    let renamed = LinkUnspec::new_with_index(index)
        .name(format!("dead{index}"))
        .build();
    vec![
        message::set_link(format!("set {name} down"), down),
        message::set_link(format!("free the name {name}"), renamed),
    ]
}

pub fn reap(socket: &mut Socket) -> Result<(), KernelError> {
    match socket.request(message::delete_group(DEAD_GROUP)) {
        Err(error) if error.refusal() == Refusal::NoDevice => Ok(()),
        other => other,
    }
}
