//! A bridge that is made where there is no agent to make it.
//!
//! Its creation is a race that one of any number of processes wins; what follows
//! is idempotent, so that whoever finds a bridge half made completes it. Being up
//! is the last step: a bridge that is up and has its addresses is complete.

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_EXCL;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use nix::errno::Errno;
use rtnetlink::LinkUnspec;

use crate::kernel::{KernelError, Refusal};
use crate::model::{Family, LinkName, Mac};

use super::message;
use super::observe::{self, Link};
use super::socket::Socket;
use super::{Linux, sysctl};

/// What a bridge is to be.
#[derive(Clone, Debug)]
pub struct BridgeSpec {
    pub name: LinkName,
    pub mac: Mac,
    pub mtu_bytes: u32,
    /// The node's own, each the gateway of a range; none makes a bridge that only
    /// switches.
    pub addresses: Vec<IpNetwork>,
    /// Families in which its pods have addresses.
    pub families: Vec<Family>,
}

/// What a bridge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeState {
    pub index: u32,
    pub mac: Option<Mac>,
    pub mtu_bytes: u32,
    pub up: bool,
    pub alias: Option<String>,
    /// Without link-local ones.
    pub addresses: Vec<IpNetwork>,
}

impl Linux {
    /// `None`: there is no link of that name.
    ///
    /// # Errors
    /// A link of that name that is no bridge.
    pub fn bridge(&self, name: &LinkName) -> Result<Option<BridgeState>, KernelError> {
        let mut socket = self.socket();
        let found = observe::link_named(&mut socket, name)?;
        found.map(|link| state(&mut socket, link)).transpose()
    }

    /// The bridge, made or completed as far as it is not there. Of one that is, its
    /// MAC, MTU and further addresses stay as they are. Idempotent, and safe to do
    /// from any number of processes at once.
    pub fn ensure_bridge(&self, spec: &BridgeSpec) -> Result<BridgeState, KernelError> {
        if let Some(found) = self.bridge(&spec.name)?
            && is_complete(&found, spec)
        {
            return Ok(found);
        }
        self.complete(spec)?;
        let gone = || KernelError::new(format!("find link {}", spec.name), Errno::ENODEV);
        self.bridge(&spec.name)?.ok_or_else(gone)
    }

    /// A link's alias, free text of at most 254 bytes.
    pub fn set_alias(&self, index: u32, alias: &str) -> Result<(), KernelError> {
        let link = LinkUnspec::new_with_index(index).alias(alias.to_owned());
        let request = message::set_link(format!("set the alias {alias:?}"), link.build());
        self.socket().request(request)
    }

    fn complete(&self, spec: &BridgeSpec) -> Result<(), KernelError> {
        let gateway = |family: Family| spec.addresses.iter().any(|a| Family::of(a.ip()) == family);
        for (family, key) in [
            (Family::V4, "net.ipv4.ip_forward"),
            (Family::V6, "net.ipv6.conf.all.forwarding"),
        ] {
            if gateway(family) && !sysctl::read(key).is_ok_and(|value| value == "1") {
                sysctl::write(key, "1")?;
            }
        }
        let mut socket = self.socket();
        match socket.request(message::create_bridge(&spec.name, spec.mac)) {
            Err(error) if error.refusal() != Refusal::Exists => return Err(error),
            _ => {}
        }
        let gone = || KernelError::new(format!("find link {}", spec.name), Errno::ENODEV);
        let link = observe::link_named(&mut socket, &spec.name)?.ok_or_else(gone)?;
        // Of one that somebody else made, only what is missing is made.
        let ours = link.mac == Some(spec.mac);
        let found = state(&mut socket, link)?;
        if ours && !spec.families.contains(&Family::V6) && !sysctl::born_without_ipv6() {
            sysctl::disable_ipv6_on(&spec.name)?;
        }
        let missing = spec
            .addresses
            .iter()
            .filter(|a| !found.addresses.contains(a));
        for address in missing {
            let name = spec.name.as_str();
            let request = message::add_address(found.index, name, *address, NLM_F_EXCL);
            match socket.request(request) {
                Err(error) if error.refusal() != Refusal::Exists => return Err(error),
                _ => {}
            }
        }
        let mtu_bytes = if ours {
            spec.mtu_bytes
        } else {
            found.mtu_bytes
        };
        socket.request(message::start_bridge(&spec.name, mtu_bytes))
    }
}

fn is_complete(found: &BridgeState, spec: &BridgeSpec) -> bool {
    found.up && spec.addresses.iter().all(|a| found.addresses.contains(a))
}

fn state(socket: &mut Socket, link: Link) -> Result<BridgeState, KernelError> {
    if !link.is_bridge {
        return Err(KernelError {
            step: format!("use link {} as a bridge", link.name),
            errno: Errno::EOPNOTSUPP,
            detail: Some("it is no bridge; give the name of one, or of none".to_owned()),
        });
    }
    Ok(BridgeState {
        index: link.index,
        mac: link.mac,
        mtu_bytes: link.mtu_bytes,
        up: link.up,
        alias: link.alias,
        addresses: addresses_of(socket, link.index)?,
    })
}

/// Of one link alone: the kernel filters.
pub fn addresses_of(socket: &mut Socket, index: u32) -> Result<Vec<IpNetwork>, KernelError> {
    let mut request = AddressMessage::default();
    request.header.index = index;
    let answers = socket.dump(
        "list a link's addresses",
        &RouteNetlinkMessage::GetAddress(request),
    )?;
    let found = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewAddress(message) => observe::address(&message),
        _ => None,
    });
    Ok(found
        .filter(|(on, _)| *on == index)
        .map(|(_, network)| network)
        .collect())
}
