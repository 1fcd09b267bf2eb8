//! The in-memory side: it refuses what Linux refuses.
//!
//! Only what podnet relies on is modelled: names are unique, a bridge has 1,023
//! ports, a route's gateway must be on a link that is up, links take their
//! addresses, routes and neighbours with them. `tests/kernel_contract.rs` runs
//! the same body on this and on Linux, and so keeps it honest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnetwork::IpNetwork;
use nix::errno::Errno;

use crate::ipam;
use crate::model::{AttachmentId, LinkName, Mac, PodName, Slot};
use crate::plan::{
    BRIDGE, BRIDGE_WITHOUT_IPV6, GROUP, Neighbour, Observed, ObservedBridge, Op,
    PROMOTE_SECONDARIES, PROTOCOL, Port, Route, Uplink,
};

use super::attach::taken;
use super::{Attach, Kernel, KernelError};

/// `BR_MAX_PORTS` less port 0 (net/bridge/br_private.h).
const MAX_PORTS: usize = 1023;

/// Settings that come and go with the bridge.
const OF_BRIDGE: [&str; 2] = [PROMOTE_SECONDARIES, BRIDGE_WITHOUT_IPV6];

#[derive(Default)]
pub struct Fake {
    state: Mutex<State>,
}

/// A pod's namespace: the interfaces in it and how many times each was mended.
#[derive(Clone, Default)]
pub struct FakeSandbox(Arc<Mutex<BTreeMap<LinkName, u32>>>);

#[derive(Default)]
struct State {
    links: BTreeMap<String, Link>,
    routes: BTreeSet<FakeRoute>,
    neighbours: BTreeMap<(String, IpAddr), (Mac, u8)>,
    sysctls: BTreeMap<&'static str, String>,
    buried: usize,
}

#[derive(Clone, Default)]
struct Link {
    mac: Option<Mac>,
    mtu_bytes: u32,
    up: bool,
    hairpin: bool,
    group: u32,
    master: Option<String>,
    addresses: BTreeSet<IpNetwork>,
    alias: Option<PodName>,
    /// Of the pod's interface, where it does not follow from the slot.
    far_mac: Option<Mac>,
    alternative_name: Option<AttachmentId>,
    far: Option<(FakeSandbox, LinkName)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FakeRoute {
    route: Route,
    protocol: u8,
}

impl Fake {
    pub fn new() -> Fake {
        Fake::default()
    }

    /// An ordinary link that is up, as a machine has without podnet.
    pub fn add_link(&self, name: &str, mac: Mac, mtu_bytes: u32, addresses: &[IpNetwork]) {
        let link = Link {
            mac: Some(mac),
            mtu_bytes,
            up: true,
            addresses: addresses.iter().copied().collect(),
            ..Link::default()
        };
        self.state().links.insert(name.to_owned(), link);
    }

    /// Fill the bridge with `count` ports that are not ours.
    pub fn fill_bridge(&self, count: usize) {
        let mut state = self.state();
        for n in 0..count {
            let port = Link {
                master: Some(BRIDGE.to_owned()),
                ..Link::default()
            };
            state.links.insert(format!("filler{n}"), port);
        }
    }

    /// A route with another protocol than ours.
    pub fn add_strangers_route(&self, route: Route, protocol: u8) {
        self.state().routes.insert(FakeRoute { route, protocol });
    }

    /// Everything that does not carry our marks, in a form that compares.
    pub fn strangers(&self) -> Vec<String> {
        let state = self.state();
        let routes = state.routes.iter().filter(|r| r.protocol != PROTOCOL);
        let links = state
            .links
            .iter()
            .filter(|(name, link)| *name != BRIDGE && link.group != GROUP);
        let neighbours = state.neighbours.iter().filter(|(_, (_, p))| *p != PROTOCOL);
        routes
            .map(|r| format!("{r:?}"))
            .chain(links.map(|(name, l)| format!("{name} {:?} {:?}", l.addresses, l.mac)))
            .chain(neighbours.map(|n| format!("{n:?}")))
            .collect()
    }

    pub fn add_strangers_neighbour(&self, device: &str, address: IpAddr, mac: Mac) {
        let key = (device.to_owned(), address);
        self.state().neighbours.insert(key, (mac, 0));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kernel for Fake {
    type Sandbox = FakeSandbox;

    fn observe(&self, node_addresses: &[IpAddr]) -> Result<Observed, KernelError> {
        Ok(self.state().observe(node_addresses))
    }

    fn apply(&self, op: &Op) -> Result<(), KernelError> {
        self.state()
            .apply(op)
            .map_err(|errno| KernelError::new(op.to_string(), errno))
    }

    fn is_taken(&self, slot: Slot) -> bool {
        self.state().links.contains_key(&slot.link_name())
    }

    fn attach(
        &self,
        attach: &Attach<'_>,
        slot: Slot,
        sandbox: &FakeSandbox,
    ) -> Result<(), KernelError> {
        self.state().attach(attach, slot, sandbox)
    }

    fn mend_sandbox(
        &self,
        attach: &Attach<'_>,
        _slot: Slot,
        sandbox: &FakeSandbox,
    ) -> Result<(), KernelError> {
        let mut inside = sandbox.inside();
        let Some(times) = inside.get_mut(attach.interface) else {
            return Err(KernelError::new(
                format!("find link {}", attach.interface),
                Errno::ENODEV,
            ));
        };
        *times += 1;
        Ok(())
    }

    fn find(&self, id: &AttachmentId) -> Result<Option<Slot>, KernelError> {
        let found = self.state().name_of(id);
        Ok(found.as_deref().and_then(Slot::of_link))
    }

    fn detach(&self, id: &AttachmentId) -> Result<Option<Slot>, KernelError> {
        let mut state = self.state();
        let Some(name) = state.name_of(id) else {
            return Ok(None);
        };
        state.bury(&name);
        Ok(Slot::of_link(&name))
    }

    fn reap(&self) -> Result<(), KernelError> {
        self.state().buried = 0;
        Ok(())
    }
}

impl FakeSandbox {
    fn inside(&self) -> MutexGuard<'_, BTreeMap<LinkName, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::SetSysctl(sysctl) => {
                if OF_BRIDGE.contains(&sysctl.key) && !self.links.contains_key(BRIDGE) {
                    return Err(Errno::ENOENT);
                }
                self.sysctls.insert(sysctl.key, sysctl.value.to_owned());
            }
            Op::CreateBridge {
                name,
                mac,
                mtu_bytes,
            } => self.create_bridge(name, *mac, *mtu_bytes)?,
            Op::SetMac(name, mac) => {
                self.link(name.as_str())?.mac = Some(*mac);
                self.neighbours
                    .retain(|(device, _), _| device != name.as_str());
            }
            Op::SetMtu(name, mtu_bytes) => self.link(name.as_str())?.mtu_bytes = *mtu_bytes,
            Op::SetUp(name) => self.link(name.as_str())?.up = true,
            Op::AddAddress(name, network) => {
                let addresses = &mut self.link(name.as_str())?.addresses;
                let same = |a: &IpNetwork| a == network || a.is_ipv6() && a.ip() == network.ip();
                if addresses.iter().any(same) {
                    return Err(Errno::EEXIST);
                }
                addresses.insert(*network);
            }
            Op::DeleteAddress(name, network) => {
                let addresses = &mut self.link(name.as_str())?.addresses;
                if !addresses.remove(network) {
                    return Err(Errno::EADDRNOTAVAIL);
                }
                if !addresses.iter().any(IpNetwork::is_ipv4) {
                    self.neighbours
                        .retain(|(device, ip), _| device != name.as_str() || ip.is_ipv6());
                }
                self.drop_unreachable();
            }
            Op::SetMaster { port, bridge } => self.set_master(*port, bridge)?,
            Op::SetPortUp(port) => self.link(&port.link_name())?.up = true,
            Op::SetHairpin(port) => {
                let link = self.link(&port.link_name())?;
                if link.master.is_none() {
                    return Err(Errno::EINVAL);
                }
                link.hairpin = true;
            }
            Op::SetNeighbour(n) => {
                self.link(n.device.as_str())?;
                let key = (n.device.as_str().to_owned(), n.address);
                self.neighbours.insert(key, (n.mac, PROTOCOL));
            }
            Op::DeleteNeighbour(n) => {
                let key = (n.device.as_str().to_owned(), n.address);
                self.neighbours.remove(&key).ok_or(Errno::ENOENT)?;
            }
            Op::AddRoute(route) => {
                let same = |r: &FakeRoute| r.route.destination == route.destination;
                if self.routes.iter().any(same) {
                    return Err(Errno::EEXIST);
                }
                self.insert_route(route)?;
            }
            Op::MoveRoute { from, to } => {
                self.insert_route(to)?;
                self.delete_route(from)?;
            }
            Op::DeleteRoute(route) => self.delete_route(route)?,
            Op::Retire(port) => {
                let name = port.link_name();
                if self.link(&name)?.alias.is_none() {
                    self.bury(&name);
                }
            }
            Op::DeleteBridge(name) => {
                self.link(name.as_str())?;
                self.remove(name.as_str());
            }
        }
        Ok(())
    }

    fn link(&mut self, name: &str) -> Result<&mut Link, Errno> {
        self.links.get_mut(name).ok_or(Errno::ENODEV)
    }

    fn name_of(&self, id: &AttachmentId) -> Option<String> {
        let mut links = self.links.iter();
        let found = links.find(|(_, link)| link.alternative_name.as_ref() == Some(id));
        found.map(|(name, _)| name.clone())
    }

    fn create_bridge(&mut self, name: &LinkName, mac: Mac, mtu_bytes: u32) -> Result<(), Errno> {
        if self.links.contains_key(name.as_str()) {
            return Err(Errno::EEXIST);
        }
        let link = Link {
            mac: Some(mac),
            mtu_bytes,
            up: true,
            ..Link::default()
        };
        self.links.insert(name.as_str().to_owned(), link);
        Ok(())
    }

    fn set_master(&mut self, port: Slot, bridge: &LinkName) -> Result<(), Errno> {
        self.link(bridge.as_str())?;
        let full = self.ports(bridge.as_str()) >= MAX_PORTS;
        let link = self.link(&port.link_name())?;
        let bridge = Some(bridge.as_str().to_owned());
        if link.master != bridge {
            if full {
                return Err(Errno::EXFULL);
            }
            link.master = bridge;
            link.hairpin = false;
        }
        Ok(())
    }

    fn ports(&self, bridge: &str) -> usize {
        let is_port = |link: &&Link| link.master.as_deref() == Some(bridge);
        self.links.values().filter(is_port).count()
    }

    fn attach(
        &mut self,
        attach: &Attach<'_>,
        slot: Slot,
        sandbox: &FakeSandbox,
    ) -> Result<(), KernelError> {
        let refuse = |step: String, errno| Err(KernelError::new(step, errno));
        let bridge = attach.bridge.as_str();
        if !self.links.contains_key(bridge) {
            return refuse(format!("find link {bridge}"), Errno::ENODEV);
        }
        if sandbox.inside().contains_key(attach.interface) {
            return refuse(
                format!("create {} in the pod", attach.interface),
                Errno::EEXIST,
            );
        }
        if self.links.contains_key(&slot.link_name()) {
            return refuse(taken(slot), Errno::EEXIST);
        }
        if self.ports(bridge) >= MAX_PORTS {
            return refuse(taken(slot), Errno::EXFULL);
        }
        let same = |link: &Link| link.alternative_name.as_ref() == Some(attach.id);
        if self.links.values().any(same) {
            return refuse(format!("name link {slot} {}", attach.id), Errno::EEXIST);
        }
        let addresses = ipam::addresses(attach.cidrs, slot).into_iter().flatten();
        let mac = attach.mac(slot);
        for (ip, mac) in addresses.zip(std::iter::repeat(mac)) {
            let mac = mac.unwrap_or(Mac::new([0; 6]));
            self.neighbours
                .insert((bridge.to_owned(), ip), (mac, PROTOCOL));
        }
        sandbox.inside().insert(attach.interface.clone(), 0);
        let link = Link {
            mtu_bytes: attach.mtu_bytes,
            up: true,
            hairpin: !attach.wishes.without_hairpin,
            group: GROUP,
            master: Some(bridge.to_owned()),
            alias: Some(attach.pod.clone()),
            far_mac: attach.wishes.mac,
            alternative_name: Some(attach.id.clone()),
            far: Some((sandbox.clone(), attach.interface.clone())),
            ..Link::default()
        };
        self.links.insert(slot.link_name(), link);
        Ok(())
    }

    fn insert_route(&mut self, route: &Route) -> Result<(), Errno> {
        let link = self.link(route.device.as_str())?;
        if !link.up {
            return Err(Errno::ENETDOWN);
        }
        if !link
            .addresses
            .iter()
            .any(|network| network.contains(route.via))
        {
            return Err(Errno::ENETUNREACH);
        }
        let ours = FakeRoute {
            route: route.clone(),
            protocol: PROTOCOL,
        };
        if !self.routes.insert(ours) {
            return Err(Errno::EEXIST);
        }
        Ok(())
    }

    fn delete_route(&mut self, route: &Route) -> Result<(), Errno> {
        let ours = FakeRoute {
            route: route.clone(),
            protocol: PROTOCOL,
        };
        self.routes.remove(&ours).then_some(()).ok_or(Errno::ESRCH)
    }

    fn bury(&mut self, name: &str) {
        self.remove(name);
        self.buried += 1;
    }

    fn remove(&mut self, name: &str) {
        if let Some((sandbox, interface)) = self.links.remove(name).and_then(|link| link.far) {
            sandbox.inside().remove(&interface);
        }
        self.neighbours.retain(|(device, _), _| device != name);
        self.routes.retain(|r| r.route.device.as_str() != name);
        if name == BRIDGE {
            self.sysctls.retain(|key, _| !OF_BRIDGE.contains(key));
        }
        for link in self.links.values_mut() {
            if link.master.as_deref() == Some(name) {
                link.master = None;
                link.hairpin = false;
            }
        }
    }

    /// A route goes when its gateway is on no link any more.
    fn drop_unreachable(&mut self) {
        let links = &self.links;
        self.routes.retain(|r| {
            links
                .get(r.route.device.as_str())
                .is_some_and(|link| link.addresses.iter().any(|n| n.contains(r.route.via)))
        });
    }

    fn observe(&self, node_addresses: &[IpAddr]) -> Observed {
        let name = |name: &str| LinkName::new(name).ok();
        let ours = self.routes.iter().filter(|r| r.protocol == PROTOCOL);
        let neighbours = self.neighbours.iter().filter(|(_, (_, p))| *p == PROTOCOL);
        Observed {
            bridge: self.links.get(BRIDGE).and_then(|link| {
                Some(ObservedBridge {
                    mac: link.mac?,
                    mtu_bytes: link.mtu_bytes,
                    up: link.up,
                    addresses: link.addresses.clone(),
                })
            }),
            ports: self
                .links
                .iter()
                .filter(|(_, link)| link.group == GROUP)
                .filter_map(|(name, link)| Some((Slot::of_link(name)?, port(link))))
                .collect(),
            sysctls: self.sysctls.clone(),
            routes: ours.map(|r| r.route.clone()).collect(),
            neighbours: neighbours
                .filter_map(|((device, address), (mac, _))| {
                    Some(Neighbour {
                        address: *address,
                        mac: *mac,
                        device: name(device)?,
                    })
                })
                .collect(),
            dead_links: self.buried,
            uplink: self.links.iter().find_map(|(device, link)| {
                let carries = |n: &IpNetwork| node_addresses.contains(&n.ip());
                link.addresses.iter().any(carries).then_some(())?;
                Some(Uplink {
                    device: name(device)?,
                    mac: link.mac,
                    mtu_bytes: link.mtu_bytes,
                })
            }),
        }
    }
}

fn port(link: &Link) -> Port {
    Port {
        on_bridge: link.master.as_deref() == Some(BRIDGE),
        up: link.up,
        hairpin: link.hairpin,
        pod: link.alias.clone(),
        mac: link.far_mac,
        attachment: link.alternative_name.as_ref().map(ToString::to_string),
    }
}
