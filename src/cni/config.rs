//! A plugin's network configuration, of every version that the plugin speaks.
//!
//! Keys that nobody knows are ignored, since a runtime and its administrator may
//! add their own. Keys of the `bridge` plugin that would ask for something that
//! podnet-cni does not do are refused by ADD, so that nobody gets less than was
//! asked for; DEL takes them, since what was there before must go.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ipam;
use crate::kernel::PodRoute;
use crate::model::{AttachmentId, Family, LinkName, Mac, NodeCidrs};
use crate::plan::BRIDGE;

use super::args::parse_address;
use super::error::CniError;
use super::version::Version;

/// What Linux gives an Ethernet link.
const DEFAULT_MTU_BYTES: u32 = 1500;
/// `ETH_MIN_MTU` and what a veth takes at most (linux/if_ether.h, drivers/net/veth.c).
const MTU_BYTES: std::ops::RangeInclusive<u32> = 68..=65_535;
/// IPv6 works from here on (RFC 8200 §5).
const MIN_MTU_IPV6: u32 = 1280;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub version: Version,
    /// The network's.
    pub name: String,
    pub bridge: LinkName,
    /// Whether the bridge is to have the first address of each range.
    pub is_gateway: bool,
    pub hairpin: bool,
    /// `None`: the bridge's; that of a new bridge is 1500.
    pub mtu_bytes: Option<u32>,
    pub cidrs: NodeCidrs,
    pub routes: Vec<PodRoute>,
    /// Whether what leaves the ranges is to have the node's address.
    pub masquerade: bool,
    /// Passed on as it is.
    pub dns: Option<Map<String, Value>>,
    pub previous: Option<Value>,
    /// Addresses that the runtime asks for.
    pub addresses: Vec<IpAddr>,
    pub mac: Option<Mac>,
    /// Whom GC is to leave alone; `None`: the runtime did not say.
    pub valid: Option<Vec<AttachmentId>>,
    /// Whether the bridge has pods that the runtime does not know of.
    pub gc_disabled: bool,
    /// Where the agent that looks after the bridge is listening; `None`: nobody
    /// does.
    pub agent: Option<String>,
    /// The first key that asks for what is not supported.
    unsupported: Option<(String, String, &'static str)>,
}

impl Config {
    /// # Errors
    /// Code 1 for a version, 6 for what is no JSON, 7 for what is wrong in it.
    pub fn parse(input: &[u8]) -> Result<Config, CniError> {
        let value: Value = serde_json::from_slice(input).map_err(CniError::Decode)?;
        let version = version(&value)?;
        let unsupported = unsupported(&value);
        let raw = Raw::deserialize(&value).map_err(|error| {
            refuse(
                error.to_string(),
                "see podnet's README for the keys and what they hold",
            )
        })?;
        let name = network_name(raw.name.as_deref())?;
        let cidrs = cidrs(&raw)?;
        let is_gateway = raw.is_gateway || raw.is_default_gateway;
        let asked = requests(&raw)?;
        Ok(Config {
            version,
            name,
            bridge: bridge(raw.bridge.as_deref())?,
            is_gateway,
            hairpin: raw.hairpin_mode,
            mtu_bytes: mtu(raw.mtu, &cidrs)?,
            routes: routes(&raw, &cidrs)?,
            cidrs,
            masquerade: raw.ip_masq,
            dns: raw.dns,
            previous: raw.prev_result.filter(|value| !value.is_null()),
            addresses: asked.0,
            mac: asked.1,
            valid: valid(&value)?,
            gc_disabled: raw.disable_gc,
            agent: raw.agent,
            unsupported,
        })
    }

    /// # Errors
    /// Code 2: a key asks for what the plugin does not do.
    pub fn supported(&self) -> Result<(), CniError> {
        match &self.unsupported {
            None => Ok(()),
            Some((key, value, instead)) => Err(CniError::Unsupported {
                key: key.clone(),
                value: value.clone(),
                instead,
            }),
        }
    }

    /// Of a bridge that is yet to be made.
    pub fn bridge_mtu_bytes(&self) -> u32 {
        self.mtu_bytes.unwrap_or(DEFAULT_MTU_BYTES)
    }

    /// The node's own addresses: none where it is no gateway.
    pub fn gateways(&self) -> Vec<IpNetwork> {
        match self.is_gateway {
            true => ipam::gateways(&self.cidrs),
            false => Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    name: Option<String>,
    bridge: Option<String>,
    #[serde(default)]
    is_gateway: bool,
    #[serde(default)]
    is_default_gateway: bool,
    #[serde(default)]
    hairpin_mode: bool,
    #[serde(default)]
    ip_masq: bool,
    mtu: Option<u32>,
    subnet: Option<IpNetwork>,
    #[serde(default)]
    subnets: Vec<IpNetwork>,
    #[serde(default)]
    routes: Vec<RawRoute>,
    #[serde(default, rename = "disableGC")]
    disable_gc: bool,
    dns: Option<Map<String, Value>>,
    prev_result: Option<Value>,
    #[serde(default)]
    runtime_config: Asked,
    #[serde(default)]
    args: Args,
    agent: Option<String>,
}

#[derive(Deserialize)]
struct RawRoute {
    dst: IpNetwork,
    gw: Option<IpAddr>,
}

#[derive(Default, Deserialize)]
struct Args {
    #[serde(default)]
    cni: Asked,
}

/// Capabilities `ips` and `mac` (CNI's CONVENTIONS.md), by either way.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    ips: Vec<String>,
    mac: Option<String>,
}

fn refuse(what: String, instead: &str) -> CniError {
    CniError::Config {
        what,
        instead: instead.to_owned(),
    }
}

fn version(value: &Value) -> Result<Version, CniError> {
    // Without the key a configuration is of 0.1.0, as libcni has it.
    let given = match value.get("cniVersion") {
        None => "0.1.0".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Version::parse(&given).ok_or(CniError::Version { given })
}

/// CNI 1.1 §1: letters and digits first, then also '_', '.' and '-'.
fn network_name(name: Option<&str>) -> Result<String, CniError> {
    let name = name.unwrap_or_default();
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inner) {
        true => Ok(name.to_owned()),
        false => Err(refuse(
            format!("name {name:?} is not a network's"),
            "use letters, digits, '_', '.' and '-', the first a letter or digit",
        )),
    }
}

fn bridge(name: Option<&str>) -> Result<LinkName, CniError> {
    LinkName::new(name.unwrap_or(BRIDGE))
        .map_err(|error| refuse(format!("bridge: {error}"), "give a link's name, as cbr0"))
}

fn cidrs(raw: &Raw) -> Result<NodeCidrs, CniError> {
    let all = raw.subnet.iter().chain(&raw.subnets).copied().collect();
    NodeCidrs::new(all).map_err(|error| {
        refuse(
            format!("subnets: {error}"),
            "give one range, or one of each family: \"subnets\": [\"10.244.0.0/16\"]",
        )
    })
}

fn mtu(mtu: Option<u32>, cidrs: &NodeCidrs) -> Result<Option<u32>, CniError> {
    let least = match cidrs.has(Family::V6) {
        true => MIN_MTU_IPV6,
        false => *MTU_BYTES.start(),
    };
    match mtu {
        None | Some(0) => Ok(None),
        Some(mtu) if (least..=*MTU_BYTES.end()).contains(&mtu) => Ok(Some(mtu)),
        Some(mtu) => Err(refuse(
            format!("mtu {mtu} is not one that pods can have"),
            "give one from 68 (1280 with an IPv6 range) to 65535, or leave it out",
        )),
    }
}

/// Those that are given, by the range's gateway unless they say another; and
/// `isDefaultGateway`'s for each range that has none yet.
fn routes(raw: &Raw, cidrs: &NodeCidrs) -> Result<Vec<PodRoute>, CniError> {
    let mut all = Vec::new();
    for route in &raw.routes {
        let family = Family::of(route.dst.ip());
        let gateway = cidrs.iter().find(|c| Family::of(c.ip()) == family);
        let via = match route.gw {
            Some(via) if Family::of(via) == family => Some(via),
            None => gateway.and_then(ipam::gateway),
            Some(_) => None,
        };
        let (Some(via), Some(_)) = (via, gateway) else {
            return Err(refuse(
                format!("route to {} has no {family} gateway", route.dst),
                "give a subnet of that family, and a gw of it or none",
            ));
        };
        all.push(PodRoute {
            destination: route.dst,
            via: Some(via),
        });
    }
    for cidr in cidrs.iter().filter(|_| raw.is_default_gateway) {
        let family = Family::of(cidr.ip());
        let default =
            |r: &PodRoute| r.destination.prefix() == 0 && Family::of(r.destination.ip()) == family;
        let everywhere = match family {
            Family::V4 => IpAddr::from([0; 4]),
            Family::V6 => IpAddr::from([0; 16]),
        };
        if let (false, Ok(destination)) = (all.iter().any(default), IpNetwork::new(everywhere, 0)) {
            all.push(PodRoute {
                destination,
                via: ipam::gateway(cidr),
            });
        }
    }
    Ok(all)
}

/// A capability before an argument of the configuration.
fn requests(raw: &Raw) -> Result<(Vec<IpAddr>, Option<Mac>), CniError> {
    let [first, second] = [&raw.runtime_config, &raw.args.cni];
    let ips = if first.ips.is_empty() {
        &second.ips
    } else {
        &first.ips
    };
    let address = |text: &String| {
        parse_address(text).ok_or_else(|| {
            refuse(
                format!("ips has {text:?}, which is no address"),
                "give addresses, as 10.244.0.17 or 10.244.0.17/24",
            )
        })
    };
    let mac = |text: &String| {
        Mac::parse(text).ok_or_else(|| {
            refuse(
                format!("mac {text:?} is no MAC address"),
                "give six hexadecimal octets between colons",
            )
        })
    };
    let asked = first.mac.as_ref().or(second.mac.as_ref());
    let asked = asked.filter(|text| !text.is_empty());
    Ok((
        ips.iter().map(address).collect::<Result<_, _>>()?,
        asked.map(mac).transpose()?,
    ))
}

/// CNI 1.1 §2 "GC", and the spelling of its first release candidates. A runtime
/// without attachments may send `null`.
fn valid(value: &Value) -> Result<Option<Vec<AttachmentId>>, CniError> {
    let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
    let Some(given) = keys.iter().find_map(|key| value.get(key)) else {
        return Ok(None);
    };
    let wrong = |what: String| refuse(what, "the runtime gives a list of containerID and ifname");
    let list = match given {
        Value::Null => return Ok(Some(Vec::new())),
        Value::Array(list) => list,
        other => return Err(wrong(format!("valid attachments are {other}"))),
    };
    let attachment = |entry: &Value| {
        let container = entry.get("containerID")?.as_str()?;
        let interface = LinkName::new(entry.get("ifname")?.as_str()?).ok()?;
        AttachmentId::new(container, &interface).ok()
    };
    // One that is not understood might be any: nothing is deleted on a guess.
    list.iter()
        .map(|entry| {
            attachment(entry).ok_or_else(|| wrong(format!("valid attachments have {entry}")))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Keys of `bridge` and `host-local`, the values that ask for nothing, and what to
/// do instead.
fn unsupported(value: &Value) -> Option<(String, String, &'static str)> {
    const SUBNETS: &str = "podnet-cni gives addresses itself: remove the key and put the ranges \
                           into \"subnets\"";
    const NONE: &str = "remove the key, or use the plugin that has it";
    let keys = [
        ("ipam", SUBNETS),
        ("ranges", SUBNETS),
        ("vlan", NONE),
        ("vlanTrunk", NONE),
        ("promiscMode", NONE),
        ("macspoofchk", NONE),
        ("portIsolation", NONE),
        ("disableContainerInterface", NONE),
        ("enabledad", NONE),
    ];
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    };
    let key = keys.into_iter().find_map(|(key, instead)| {
        let given = value.get(key).filter(|given| !empty(given))?;
        Some((key.to_owned(), given.to_string(), instead))
    });
    let routes = value.get("routes").and_then(Value::as_array);
    let mut attributes = routes.into_iter().flatten().flat_map(|route| {
        ["mtu", "advmss", "priority", "table", "scope"]
            .into_iter()
            .filter_map(|key| Some((key, route.get(key)?)))
    });
    key.or_else(|| {
        let (key, given) = attributes.find(|(_, given)| !empty(given))?;
        let key = format!("routes[].{key}");
        Some((key, given.to_string(), "leave the attribute out"))
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
