//! What the runtime says in environment variables.

use std::ffi::OsString;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::{AttachmentId, LinkName, Mac, PodName};

use super::error::CniError;

/// The variables of CNI 1.1 §2, "Parameters", as they are; `None` where one is
/// not set or empty. What a verb needs of them it asks for by the methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub command: Option<String>,
    pub container_id: Option<String>,
    pub netns: Option<String>,
    pub interface: Option<String>,
    pub arguments: Option<String>,
}

impl Environment {
    /// `variable` answers what a variable of that name holds.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Environment {
        // What is no UTF-8 is refused where it is needed, as any other strange value.
        let text = |name: &str| {
            let value = variable(name)?.to_string_lossy().into_owned();
            (!value.is_empty()).then_some(value)
        };
        Environment {
            command: text("CNI_COMMAND"),
            container_id: text("CNI_CONTAINERID"),
            netns: text("CNI_NETNS"),
            interface: text("CNI_IFNAME"),
            arguments: text("CNI_ARGS"),
        }
    }

    /// # Errors
    /// Code 4: not set, or not as CNI 1.1 §2 wants it.
    pub fn container_id(&self) -> Result<&str, CniError> {
        let id = required("CNI_CONTAINERID", &self.container_id)?;
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(inner) {
            true => Ok(id),
            false => Err(CniError::Environment {
                name: "CNI_CONTAINERID",
                why: format!(
                    "is {id:?}, but must be letters, digits, '_', '.' and '-', the first a letter or digit"
                ),
            }),
        }
    }

    pub fn netns(&self) -> Result<&str, CniError> {
        required("CNI_NETNS", &self.netns)
    }

    pub fn interface(&self) -> Result<LinkName, CniError> {
        let name = required("CNI_IFNAME", &self.interface)?;
        LinkName::new(name).map_err(|error| CniError::Environment {
            name: "CNI_IFNAME",
            why: format!("is not usable: {error}"),
        })
    }

    pub fn attachment(&self) -> Result<AttachmentId, CniError> {
        let container = self.container_id()?;
        AttachmentId::new(container, &self.interface()?).map_err(|error| CniError::Environment {
            name: "CNI_CONTAINERID",
            why: format!("is too long: {error}"),
        })
    }
}

fn required<'a>(name: &'static str, value: &'a Option<String>) -> Result<&'a str, CniError> {
    value.as_deref().ok_or(CniError::Environment {
        name,
        why: "is not set".to_owned(),
    })
}

/// What is taken from `CNI_ARGS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraArguments {
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub address: Option<IpAddr>,
    pub mac: Option<Mac>,
}

impl ExtraArguments {
    /// `K=V;K=V`. An unknown key is an error unless `IgnoreUnknown` is `1` or
    /// `true`, as in libcni; those that Kubernetes' runtimes add are known.
    pub fn parse(text: &str) -> Result<ExtraArguments, CniError> {
        let mut found = ExtraArguments::default();
        let mut unknown = None;
        let mut ignore = false;
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(refuse(format!("has {pair:?}, which is not KEY=VALUE")));
            };
            match key {
                "IgnoreUnknown" => ignore = boolean(value)?,
                "K8S_POD_NAMESPACE" => found.namespace = some(value),
                "K8S_POD_NAME" => found.name = some(value),
                "K8S_POD_INFRA_CONTAINER_ID" | "K8S_POD_UID" => {}
                "IP" => found.address = Some(address(value)?),
                "MAC" => found.mac = Some(mac(value)?),
                _ => unknown = unknown.or(Some(key)),
            }
        }
        match unknown {
            Some(key) if !ignore => Err(refuse(format!(
                "has {key:?}, which podnet-cni does not know; add IgnoreUnknown=1 to have it ignored"
            ))),
            _ => Ok(found),
        }
    }

    /// What to call the pod: by its Kubernetes name, or by its network and
    /// container where it is none of Kubernetes'.
    pub fn pod(&self, network: &str, container: &str) -> PodName {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => PodName::new(namespace, name),
            (None, Some(name)) => PodName::new(network, name),
            _ => PodName::new(network, container),
        }
    }
}

fn some(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn boolean(value: &str) -> Result<bool, CniError> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(refuse(format!(
            "has IgnoreUnknown={value:?}, which is neither true nor false"
        ))),
    }
}

/// With or without a prefix length, as host-local takes it.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let network: Option<IpNetwork> = text.parse().ok();
    network.map(|network| network.ip())
}

fn address(value: &str) -> Result<IpAddr, CniError> {
    parse_address(value).ok_or_else(|| refuse(format!("has IP={value:?}, which is no address")))
}

fn mac(value: &str) -> Result<Mac, CniError> {
    Mac::parse(value).ok_or_else(|| refuse(format!("has MAC={value:?}, which is no MAC address")))
}

fn refuse(why: String) -> CniError {
    CniError::Environment {
        name: "CNI_ARGS",
        why,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kubernetes_arguments_name_the_pod() {
        let text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;\
                    K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=1-2;FOO=bar";
        let found = ExtraArguments::parse(text).expect("parsed");
        assert_eq!(found.pod("net", "abc").to_string(), "shop/web-0");
        let none = ExtraArguments::parse("").expect("parsed");
        assert_eq!(none.pod("net", "abc").to_string(), "net/abc");
    }

    #[test]
    fn an_unknown_key_is_named_unless_it_is_to_be_ignored() {
        let error = ExtraArguments::parse("FOO=bar").unwrap_err();
        assert_eq!(error.code(), 4);
        assert!(error.to_string().contains("\"FOO\""), "{error}");
        assert!(ExtraArguments::parse("FOO=bar;IgnoreUnknown=true").is_ok());
        assert!(ExtraArguments::parse("FOO=bar;IgnoreUnknown=0").is_err());
        assert!(ExtraArguments::parse("FOO;IgnoreUnknown=1").is_err());
    }

    #[test]
    fn addresses_come_with_and_without_a_prefix() {
        let ip = |text: &str| ExtraArguments::parse(text).expect("parsed").address;
        assert_eq!(ip("IP=10.1.0.7"), ip("IP=10.1.0.7/16"));
        assert_eq!(ip("IP=fd00::7"), "fd00::7".parse().ok());
        assert!(ExtraArguments::parse("IP=10.1.0").is_err());
        assert!(ExtraArguments::parse("MAC=0a:58").is_err());
    }

    fn environment(container: &str, interface: &str) -> Environment {
        Environment {
            container_id: Some(container.to_owned()),
            interface: Some(interface.to_owned()),
            ..Environment::default()
        }
    }

    #[test]
    fn what_cannot_name_an_attachment_is_refused_by_the_variables_name() {
        assert!(environment("a-1_b.c", "eth0").attachment().is_ok());
        for (container, interface, name) in [
            ("", "eth0", "CNI_CONTAINERID"),
            ("-a", "eth0", "CNI_CONTAINERID"),
            ("a/b", "eth0", "CNI_CONTAINERID"),
            (&*"a".repeat(128), "eth0", "CNI_CONTAINERID"),
            ("a", "eth0:1", "CNI_IFNAME"),
            ("a", "an-interface-too-long", "CNI_IFNAME"),
        ] {
            let error = environment(container, interface).attachment().unwrap_err();
            assert_eq!(error.code(), 4);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", id in "\\PC*", interface in "\\PC*") {
            let _ = ExtraArguments::parse(&text);
            let _ = environment(&id, &interface).attachment();
        }

        #[test]
        fn pairs_of_any_order_say_the_same(pairs in Just(["IP=10.0.0.9", "MAC=02:00:00:00:00:01", "K8S_POD_NAME=a", "IgnoreUnknown=1", "X=1"]).prop_shuffle()) {
            let found = ExtraArguments::parse(&pairs.join(";")).expect("parsed");
            prop_assert_eq!(found.mac, Mac::parse("02:00:00:00:00:01"));
            prop_assert_eq!(found.name.as_deref(), Some("a"));
        }
    }
}
