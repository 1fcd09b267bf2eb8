//! CHECK: whether the attachment is as ADD made it (CNI 1.1 §2, "CHECK").
//!
//! What is compared is what `prevResult` says of the interface, since a plugin
//! after this one may have changed it on purpose, and what the slot implies.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::cni::args::Environment;
use crate::cni::config::Config;
use crate::cni::error::CniError;
use crate::ipam;
use crate::kernel::PodRoute;
use crate::kernel::linux::{BridgeState, FarEnd, Linux, NearEnd, is_masqueraded};
use crate::model::{Mac, Slot};

use super::{about, sandbox};

pub fn check(environment: &Environment, config: &Config) -> Result<(), CniError> {
    let id = environment.attachment()?;
    let interface = environment.interface()?;
    let Some(previous) = &config.previous else {
        return Err(CniError::Config {
            what: "CHECK has no prevResult to compare with".to_owned(),
            instead: "the runtime is to give the result of ADD".to_owned(),
        });
    };
    let sandbox = sandbox(environment)?;
    let kernel = Linux::alone()?;
    let expected = Expected::of(config, previous, interface.as_str(), environment.netns()?)?;
    let near = kernel.near_end(&id).map_err(about(&id))?;
    let far = kernel.far_end(&sandbox, &interface).map_err(about(&id))?;
    let bridge = kernel.bridge(&config.bridge)?;
    let seen = Seen { near, far, bridge };
    let mut differences = differences(config, interface.as_str(), &expected, &seen);
    for range in config.cidrs.iter().filter(|_| config.masquerade) {
        if !is_masqueraded(&config.name, range)? {
            differences.push(format!("nothing masquerades what leaves {range}"));
        }
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(CniError::Differs { id, differences }),
    }
}

/// What the runtime has from ADD.
#[derive(Debug, Default)]
struct Expected {
    mac: Option<Mac>,
    addresses: Vec<IpNetwork>,
    routes: Vec<PodRoute>,
}

/// What there is.
struct Seen {
    near: Option<NearEnd>,
    far: Option<FarEnd>,
    bridge: Option<BridgeState>,
}

impl Expected {
    fn of(
        config: &Config,
        previous: &Value,
        interface: &str,
        netns: &str,
    ) -> Result<Expected, CniError> {
        let wrong = |what: String| CniError::Config {
            what: format!("prevResult: {what}"),
            instead: "the runtime is to give the result of ADD as it was".to_owned(),
        };
        let list = |key: &str| previous.get(key).and_then(Value::as_array);
        let text = |value: &Value, key: &str| {
            Some(value.get(key)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
        };
        let interfaces = list("interfaces").into_iter().flatten();
        let own = interfaces.enumerate().find(|(_, entry)| {
            let name = text(entry, "name");
            name.as_deref() == Some(interface) && text(entry, "sandbox").as_deref() == Some(netns)
        });
        let Some((index, own)) = own else {
            return Err(wrong(format!("it has no interface {interface} in {netns}")));
        };
        let mut expected = Expected {
            mac: text(own, "mac").and_then(|mac| Mac::parse(&mac)),
            ..Expected::default()
        };
        for entry in list("ips").into_iter().flatten() {
            if entry.get("interface").and_then(Value::as_u64) != Some(index as u64) {
                continue;
            }
            let address = text(entry, "address").and_then(|text| text.parse().ok());
            let address = address.ok_or_else(|| wrong(format!("{entry} is no address")))?;
            expected.addresses.push(address);
        }
        for entry in list("routes").into_iter().flatten() {
            let destination = text(entry, "dst").and_then(|text| text.parse().ok());
            let destination = destination.ok_or_else(|| wrong(format!("{entry} is no route")))?;
            let via = text(entry, "gw").and_then(|text| text.parse::<IpAddr>().ok());
            expected.routes.push(PodRoute { destination, via });
        }
        // Of the others, who made them knows.
        expected.routes.retain(|r| config.routes.contains(r));
        Ok(expected)
    }
}

fn differences(config: &Config, interface: &str, expected: &Expected, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let near = seen.near.as_ref();
    match (near, &seen.bridge) {
        (None, _) => found.push("no link has its name".to_owned()),
        (_, None) => found.push(format!("bridge {} is gone", config.bridge)),
        (Some(near), Some(bridge)) => {
            near_differences(near, bridge, config, expected, &mut found);
        }
    }
    match &seen.far {
        None => found.push(format!("{interface} is not in the pod")),
        Some(far) => {
            if let Some(near) = near
                && far.peer != Some(near.index)
            {
                found.push(format!("{interface} is not the other end of {}", near.name));
            }
            far_differences(interface, far, expected, &mut found);
        }
    }
    found
}

fn near_differences(
    near: &NearEnd,
    bridge: &BridgeState,
    config: &Config,
    expected: &Expected,
    found: &mut Vec<String>,
) {
    let name = &near.name;
    let mut check = |wrong: bool, what: String| {
        if wrong {
            found.push(what);
        }
    };
    check(
        near.dead || !near.committed,
        format!("{name} was never committed"),
    );
    check(!near.up, format!("{name} is down"));
    check(
        near.bridge != Some(bridge.index),
        format!("{name} is not on bridge {}", config.bridge),
    );
    check(
        config.hairpin && !near.hairpin,
        format!("{name} has no hairpin"),
    );
    check(!bridge.up, format!("bridge {} is down", config.bridge));
    for gateway in config.gateways() {
        check(
            !bridge.addresses.contains(&gateway),
            format!("bridge {} has no address {gateway}", config.bridge),
        );
    }
    for address in &expected.addresses {
        let slots = config
            .cidrs
            .iter()
            .find_map(|c| ipam::slot_of(c, address.ip()));
        check(
            slots != Slot::of_link(name),
            format!("address {} is not that of {name}", address.ip()),
        );
    }
}

fn far_differences(interface: &str, far: &FarEnd, expected: &Expected, found: &mut Vec<String>) {
    if !far.up {
        found.push(format!("{interface} is down"));
    }
    if let (Some(wanted), Some(is)) = (expected.mac, far.mac)
        && wanted != is
    {
        found.push(format!("{interface} has MAC {is} rather than {wanted}"));
    }
    for address in &expected.addresses {
        if !far.addresses.contains(address) {
            found.push(format!("{interface} has no address {address}"));
        }
    }
    for route in &expected.routes {
        let same = |r: &PodRoute| {
            r.destination.ip() == route.destination.network()
                && r.destination.prefix() == route.destination.prefix()
                && r.via == route.via
        };
        if !far.routes.iter().any(same) {
            found.push(format!("the pod has no route to {}", route.destination));
        }
    }
}
