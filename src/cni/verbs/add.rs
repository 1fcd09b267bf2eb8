//! ADD: all or nothing (CNI 1.1 §2, "ADD").

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::cni::args::{Environment, ExtraArguments};
use crate::cni::config::Config;
use crate::cni::error::CniError;
use crate::cni::hint::Hint;
use crate::cni::result::{AddResult, Address, Interface};
use crate::ipam;
use crate::kernel::linux::{BridgeSpec, BridgeState, Linux, masquerade};
use crate::kernel::{
    Attach, Gateway, Kernel, KernelError, Refusal, Wishes, attach_first_free, taken,
};
use crate::model::{AttachmentId, Family, LinkName, Mac, Slot};

use super::{about, hint, on, sandbox};

pub fn add(environment: &Environment, config: &Config) -> Result<Value, CniError> {
    config.supported()?;
    let id = environment.attachment()?;
    let interface = environment.interface()?;
    let arguments = environment.arguments.as_deref().unwrap_or_default();
    let arguments = ExtraArguments::parse(arguments)?;
    let sandbox = sandbox(environment)?;
    let wanted = wanted_slot(config, &arguments, &id)?;
    let kernel = Linux::alone()?;
    let bridge = bridge(&kernel, config)?;
    let start = claim(&kernel, config, &bridge)?;
    if config.masquerade {
        for range in config.cidrs.iter() {
            masquerade(&config.name, range)?;
        }
    }
    let pod = arguments.pod(&config.name, environment.container_id()?);
    let attach = Attach {
        bridge: &config.bridge,
        cidrs: &config.cidrs,
        id: &id,
        interface: &interface,
        pod: &pod,
        mtu_bytes: config.mtu_bytes.unwrap_or(bridge.mtu_bytes),
        wishes: wishes(config, &arguments, &bridge),
    };
    let place = Place {
        kernel: &kernel,
        attach: &attach,
        sandbox: &sandbox,
        wanted,
        start,
    };
    let slot = place.plug_in().inspect_err(|_| {
        // A failing ADD leaves nothing, not even a dead link; what cannot be
        // deleted now is deleted by whoever reaps next.
        let _ = kernel.reap();
    })?;
    // Nothing depends on it.
    let _ = kernel.set_alias(bridge.index, &Hint::after(&config.name, slot).to_string());
    let path = environment.netns()?.to_owned();
    let result = result(config, &attach, slot, &bridge, path);
    Ok(result.to_json(config.previous.as_ref()))
}

/// Where there is an agent, the bridge is its work; else it is made here.
fn bridge(kernel: &Linux, config: &Config) -> Result<BridgeState, CniError> {
    if config.agent.is_some() {
        let found = kernel.bridge(&config.bridge)?;
        return found.ok_or_else(|| CniError::NoBridge {
            network: config.name.clone(),
            bridge: config.bridge.clone(),
        });
    }
    let spec = BridgeSpec {
        name: config.bridge.clone(),
        mac: gateway_mac(config),
        mtu_bytes: config.bridge_mtu_bytes(),
        addresses: config.gateways(),
        families: config.cidrs.iter().map(|c| Family::of(c.ip())).collect(),
    };
    Ok(kernel.ensure_bridge(&spec)?)
}

fn gateway_mac(config: &Config) -> Mac {
    // Every range has a gateway's slot: NodeCidrs holds no smaller one.
    ipam::mac(&config.cidrs, Slot::GATEWAY).unwrap_or(Mac::new([0; 6]))
}

/// One network per bridge: GC could not tell two apart. A bridge whose network
/// has no pods left is free for another. Answers where to look first.
fn claim(kernel: &Linux, config: &Config, bridge: &BridgeState) -> Result<Slot, CniError> {
    let found = hint(bridge);
    if let Some(hint) = &found
        && hint.network == config.name
    {
        return Ok(hint.next);
    }
    if let Some(hint) = found
        && kernel.near_ends()?.iter().any(|end| on(bridge)(&end))
    {
        return Err(CniError::Config {
            what: format!(
                "bridge {} has pods of network {}, so network {} cannot use it",
                config.bridge, hint.network, config.name
            ),
            instead: "give each network a bridge of its own".to_owned(),
        });
    }
    let first = Hint {
        network: config.name.clone(),
        next: Slot::FIRST,
    };
    kernel.set_alias(bridge.index, &first.to_string())?;
    Ok(first.next)
}

/// The slot whose addresses the runtime asks for; `None`: it asks for none.
fn wanted_slot(
    config: &Config,
    arguments: &ExtraArguments,
    id: &AttachmentId,
) -> Result<Option<Slot>, CniError> {
    let asked: Vec<IpAddr> = match config.addresses.is_empty() {
        true => arguments.address.into_iter().collect(),
        false => config.addresses.clone(),
    };
    let refuse = |what: String| {
        Err(CniError::Config {
            what: format!("{id} asks for {what}"),
            instead: format!(
                "ask for an address of {} that is neither its first (the gateway's) nor its last; \
                 of two, each as far from its range's base as the other",
                config.cidrs
            ),
        })
    };
    let mut slot = None;
    for ip in asked {
        let found = config.cidrs.iter().find_map(|cidr| ipam::slot_of(cidr, ip));
        let Some(found) = found else {
            return refuse(format!("{ip}, which pods of {} cannot have", config.cidrs));
        };
        if slot.is_some_and(|slot| slot != found) {
            return refuse(format!("{ip} and another, which no one pod can have"));
        }
        slot = Some(found);
    }
    Ok(slot)
}

fn wishes(config: &Config, arguments: &ExtraArguments, bridge: &BridgeState) -> Wishes {
    let derived = bridge.mac == Some(gateway_mac(config));
    let gateway = match config.is_gateway && derived {
        true => Gateway::Permanent,
        false => Gateway::Learned,
    };
    Wishes {
        mac: config.mac.or(arguments.mac),
        routes: Some(config.routes.clone()),
        gateway,
        without_hairpin: !config.hairpin,
        one_of_several: true,
    }
}

/// What is to be plugged in where.
struct Place<'a> {
    kernel: &'a Linux,
    attach: &'a Attach<'a>,
    sandbox: &'a OwnedFd,
    wanted: Option<Slot>,
    start: Slot,
}

impl Place<'_> {
    /// What an earlier ADD or DEL left in the way, because it died or because dead
    /// links are deleted later, is cleared, once.
    fn plug_in(&self) -> Result<Slot, CniError> {
        let (id, interface) = (self.attach.id, self.attach.interface);
        match self.try_once()? {
            Attempt::Done(slot) => return Ok(slot),
            Attempt::InTheWay(_) => {
                // Whether anything was there says nothing: another process may just have
                // deleted it.
                self.kernel
                    .clear_leftovers(id, interface, Some(self.sandbox))
                    .map_err(about(id))?;
            }
            // Dead links hold ports until they are deleted.
            Attempt::Full => {}
        }
        // The pod's end goes with the dead link's.
        self.kernel.reap().map_err(about(id))?;
        match self.try_once()? {
            Attempt::Done(slot) => Ok(slot),
            Attempt::InTheWay(error) => Err(exists(id, interface, &error)),
            Attempt::Full => Err(CniError::Full {
                bridge: self.attach.bridge.clone(),
            }),
        }
    }

    fn try_once(&self) -> Result<Attempt, CniError> {
        let Place {
            kernel,
            attach,
            sandbox,
            ..
        } = *self;
        let attached = match self.wanted {
            Some(slot) => match kernel.attach(attach, slot, sandbox) {
                Err(error) if error.refusal() == Refusal::Exists && error.step == taken(slot) => {
                    return Err(self.taken(slot));
                }
                done => done.map(|()| Some(slot)),
            },
            None => attach_first_free(kernel, attach, self.start, sandbox),
        };
        match attached {
            Ok(Some(slot)) => Ok(Attempt::Done(slot)),
            Ok(None) => Err(CniError::UsedUp {
                cidrs: attach.cidrs.clone(),
                capacity: ipam::slot_capacity(attach.cidrs),
            }),
            Err(error) => match error.refusal() {
                Refusal::Exists => Ok(Attempt::InTheWay(error)),
                Refusal::Full => Ok(Attempt::Full),
                _ => Err(error.into()),
            },
        }
    }

    fn taken(&self, slot: Slot) -> CniError {
        let cidr = self.attach.cidrs.iter().next();
        let address = cidr.and_then(|cidr| {
            let ip = ipam::address(cidr, slot)?;
            IpNetwork::new(ip, cidr.prefix()).ok()
        });
        match address {
            Some(address) => CniError::Taken {
                address,
                id: self.attach.id.clone(),
            },
            None => CniError::Kernel(KernelError::new(taken(slot), nix::errno::Errno::EEXIST)),
        }
    }
}

enum Attempt {
    Done(Slot),
    /// The attachment, or the pod's interface, is there.
    InTheWay(KernelError),
    /// The bridge takes no more ports.
    Full,
}

fn exists(id: &AttachmentId, interface: &LinkName, error: &KernelError) -> CniError {
    CniError::Exists {
        id: id.clone(),
        what: format!("it, or {interface} in the pod, exists ({error})"),
    }
}

fn result(
    config: &Config,
    attach: &Attach<'_>,
    slot: Slot,
    bridge: &BridgeState,
    sandbox: String,
) -> AddResult {
    let interface = |name: &str, mac: Option<Mac>, mtu_bytes: u32| Interface {
        name: name.to_owned(),
        mac,
        mtu_bytes,
        sandbox: None,
    };
    let mut inside = interface(
        attach.interface.as_str(),
        attach.mac(slot),
        attach.mtu_bytes,
    );
    inside.sandbox = Some(sandbox);
    let addresses = config.cidrs.iter().filter_map(|cidr| {
        Some(Address {
            network: IpNetwork::new(ipam::address(cidr, slot)?, cidr.prefix()).ok()?,
            gateway: ipam::gateway(cidr),
            interface: 2,
        })
    });
    AddResult {
        version: config.version,
        interfaces: vec![
            interface(config.bridge.as_str(), bridge.mac, bridge.mtu_bytes),
            interface(&slot.link_name(), attach.port_mac(slot), attach.mtu_bytes),
            inside,
        ],
        addresses: addresses.collect(),
        routes: config.routes.clone(),
        dns: config.dns.clone(),
    }
}
