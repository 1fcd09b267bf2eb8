//! What ADD answers, in the shape of each version.
//!
//! 0.3 and 0.4 say of each address which family it is; 1.1 gives each interface's
//! MTU. A plugin before this one in the chain had its say first: its interfaces
//! and addresses come first, and ours are counted after them.

use ipnetwork::IpNetwork;
use serde_json::{Map, Value, json};

use crate::kernel::PodRoute;
use crate::model::Mac;

use super::version::Version;

#[derive(Clone, Debug, PartialEq)]
pub struct AddResult {
    pub version: Version,
    pub interfaces: Vec<Interface>,
    pub addresses: Vec<Address>,
    pub routes: Vec<PodRoute>,
    pub dns: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mac: Option<Mac>,
    pub mtu_bytes: u32,
    /// Path of the namespace it is in; `None`: the node's.
    pub sandbox: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub network: IpNetwork,
    /// `None`: the node is none.
    pub gateway: Option<std::net::IpAddr>,
    /// Which of our interfaces has it.
    pub interface: usize,
}

impl AddResult {
    /// `previous` is the result of the plugins before this one.
    pub fn to_json(&self, previous: Option<&Value>) -> Value {
        let list = |key: &str| -> Vec<Value> {
            let found = previous.and_then(|p| p.get(key)?.as_array());
            found.cloned().unwrap_or_default()
        };
        let mut interfaces = list("interfaces");
        let first = interfaces.len();
        interfaces.extend(self.interfaces.iter().map(|i| self.interface(i)));
        let mut addresses = list("ips");
        addresses.extend(self.addresses.iter().map(|a| self.address(a, first)));
        let mut routes = list("routes");
        routes.extend(self.routes.iter().map(route));
        let earlier_dns = previous.and_then(|p| p.get("dns")?.as_object());
        let dns = self.dns.as_ref().or(earlier_dns);
        json!({
            "cniVersion": self.version.as_str(),
            "interfaces": interfaces,
            "ips": addresses,
            "routes": routes,
            "dns": dns.cloned().unwrap_or_default(),
        })
    }

    fn interface(&self, interface: &Interface) -> Value {
        let mut object = json!({ "name": interface.name });
        if let Some(mac) = interface.mac {
            object["mac"] = Value::String(mac.to_string());
        }
        if self.version >= Version::V110 {
            object["mtu"] = Value::from(interface.mtu_bytes);
        }
        if let Some(sandbox) = &interface.sandbox {
            object["sandbox"] = Value::String(sandbox.clone());
        }
        object
    }

    fn address(&self, address: &Address, first: usize) -> Value {
        let mut object = json!({
            "interface": first + address.interface,
            "address": address.network.to_string(),
        });
        if self.version < Version::V100 {
            let family = if address.network.is_ipv4() { "4" } else { "6" };
            object["version"] = Value::String(family.to_owned());
        }
        if let Some(gateway) = address.gateway {
            object["gateway"] = Value::String(gateway.to_string());
        }
        object
    }
}

fn route(route: &PodRoute) -> Value {
    let mut object = json!({ "dst": route.destination.to_string() });
    if let Some(via) = route.via {
        object["gw"] = Value::String(via.to_string());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(version: Version) -> AddResult {
        AddResult {
            version,
            interfaces: vec![Interface {
                name: "eth0".to_owned(),
                mac: Mac::parse("0a:58:0a:f4:00:02"),
                mtu_bytes: 1450,
                sandbox: Some("/run/netns/a".to_owned()),
            }],
            addresses: vec![Address {
                network: "10.244.0.2/16".parse().expect("a network"),
                gateway: "10.244.0.1".parse().ok(),
                interface: 0,
            }],
            routes: Vec::new(),
            dns: None,
        }
    }

    #[test]
    fn each_version_has_its_shape() {
        for version in Version::ALL {
            let json = result(version).to_json(None);
            assert_eq!(json["cniVersion"], version.as_str());
            let family = json["ips"][0].get("version").and_then(Value::as_str);
            assert_eq!(
                family,
                (version < Version::V100).then_some("4"),
                "{version}"
            );
            let mtu = json["interfaces"][0].get("mtu").and_then(Value::as_u64);
            assert_eq!(mtu, (version >= Version::V110).then_some(1450), "{version}");
        }
    }

    #[test]
    fn what_came_before_comes_first() {
        let previous = json!({
            "interfaces": [{"name": "net0"}, {"name": "net1"}],
            "ips": [{"address": "192.0.2.7/24", "interface": 1}],
            "dns": {"domain": "example"},
        });
        let json = result(Version::V100).to_json(Some(&previous));
        assert_eq!(json["interfaces"][2]["name"], "eth0");
        assert_eq!(json["ips"][0]["interface"], 1);
        assert_eq!(json["ips"][1]["interface"], 2);
        assert_eq!(json["dns"]["domain"], "example");
    }
}
