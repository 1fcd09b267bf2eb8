//! Names: of nodes, pods, links and attachments.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// `IFNAMSIZ` less the terminating zero (linux/if.h).
const MAX_LINK_NAME: usize = 15;
/// `ALTIFNAMSIZ` less the terminating zero (linux/if.h).
const MAX_ALTERNATIVE_NAME: usize = 127;
/// RFC 1123 labels.
const MAX_DNS_LABEL: usize = 63;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    #[error(
        "{what} {name:?} is not a DNS label: use 1 to 63 lower-case letters, digits and '-', \
         with a letter or digit at each end"
    )]
    NotDnsLabel { what: &'static str, name: String },
    #[error(
        "link name {0:?} is not usable: 1 to 15 bytes, no '/', no white space, not '.' or '..'"
    )]
    NotLinkName(String),
    #[error("{0:?} is not namespace/name")]
    NotPodName(String),
    #[error(
        "attachment {0:?} is not usable as a link's alternative name: 1 to 127 bytes, no '/' and no white space"
    )]
    NotAttachment(String),
}

/// RFC 1123 §2.1 label, lower case, as Kubernetes wants it.
pub fn is_dns_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let bytes = text.as_bytes();
    (1..=MAX_DNS_LABEL).contains(&bytes.len())
        && bytes.iter().all(|&c| inner(c))
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// A node's name: one DNS label, since it is also the node's host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    pub fn new(name: &str) -> Result<NodeName, NameError> {
        if !is_dns_label(name) {
            return Err(NameError::NotDnsLabel {
                what: "node name",
                name: name.to_owned(),
            });
        }
        Ok(NodeName(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number that ends the name behind a `-`: 3 for `node-3`.
    pub fn ordinal(&self) -> Option<u32> {
        self.0.rsplit_once('-')?.1.parse().ok()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `namespace/name`, what a link's alias says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

impl PodName {
    pub fn new(namespace: &str, name: &str) -> PodName {
        PodName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub fn parse(text: &str) -> Result<PodName, NameError> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(PodName::new(namespace, name))
            }
            _ => Err(NameError::NotPodName(text.to_owned())),
        }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A link's first name, as `dev_valid_name` in net/core/dev.c takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(Cow<'static, str>);

impl LinkName {
    pub fn new(name: &str) -> Result<LinkName, NameError> {
        let fits = (1..=MAX_LINK_NAME).contains(&name.len()) && name != "." && name != "..";
        if !fits || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
            return Err(NameError::NotLinkName(name.to_owned()));
        }
        Ok(LinkName(Cow::Owned(name.to_owned())))
    }

    /// A name that podnet itself gives; its length is checked when it is compiled.
    pub const fn constant(name: &'static str) -> LinkName {
        assert!(!name.is_empty() && name.len() <= MAX_LINK_NAME);
        LinkName(Cow::Borrowed(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which interface of which container: CNI 1.1's key of an attachment, and the
/// alternative name `<containerID>.<ifname>` of its link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentId(String);

impl AttachmentId {
    pub fn new(container_id: &str, interface: &LinkName) -> Result<AttachmentId, NameError> {
        let text = format!("{container_id}.{interface}");
        if container_id.is_empty()
            || text.len() > MAX_ALTERNATIVE_NAME
            || text.contains(|c: char| c == '/' || c.is_whitespace())
        {
            return Err(NameError::NotAttachment(text));
        }
        Ok(AttachmentId(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttachmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_dns_labels() {
        for good in ["node-1", "a", "0", "rack0-n7"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Node", "a.b", "a_b", &"x".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
        let error = NodeName::new("Node_1").unwrap_err().to_string();
        assert!(
            error.contains("node name \"Node_1\" is not a DNS label"),
            "{error}"
        );
    }

    #[test]
    fn the_ordinal_is_the_number_behind_the_last_dash() {
        let ordinal = |name| NodeName::new(name).expect("a name").ordinal();
        assert_eq!(ordinal("node-12"), Some(12));
        assert_eq!(ordinal("node"), None);
        assert_eq!(ordinal("node-x"), None);
    }

    #[test]
    fn attachments_must_fit_an_alternative_name() {
        let eth0 = LinkName::new("eth0").expect("a link name");
        assert_eq!(
            AttachmentId::new("abc", &eth0).expect("fits").as_str(),
            "abc.eth0"
        );
        assert!(AttachmentId::new(&"f".repeat(64), &eth0).is_ok());
        assert!(AttachmentId::new(&"f".repeat(124), &eth0).is_err());
        assert!(AttachmentId::new("a/b", &eth0).is_err());
    }
}
