//! The resources that the verbs know, by every name kubectl has for them.

use anyhow::bail;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    pub plural: &'static str,
    pub singular: &'static str,
    short: &'static str,
    kind: &'static str,
    /// Below which path: `/api/v1` or `/apis/GROUP/VERSION`.
    base: &'static str,
    pub namespaced: bool,
}

const RESOURCES: [Resource; 6] = [
    Resource {
        plural: "pods",
        singular: "pod",
        short: "po",
        kind: "Pod",
        base: "/api/v1",
        namespaced: true,
    },
    Resource {
        plural: "nodes",
        singular: "node",
        short: "no",
        kind: "Node",
        base: "/api/v1",
        namespaced: false,
    },
    Resource {
        plural: "namespaces",
        singular: "namespace",
        short: "ns",
        kind: "Namespace",
        base: "/api/v1",
        namespaced: false,
    },
    Resource {
        plural: "events",
        singular: "event",
        short: "ev",
        kind: "Event",
        base: "/api/v1",
        namespaced: true,
    },
    Resource {
        plural: "configmaps",
        singular: "configmap",
        short: "cm",
        kind: "ConfigMap",
        base: "/api/v1",
        namespaced: true,
    },
    Resource {
        plural: "leases",
        singular: "lease",
        short: "leases",
        kind: "Lease",
        base: "/apis/coordination.k8s.io/v1",
        namespaced: true,
    },
];

impl Resource {
    /// # Errors
    /// Lists the resources there are.
    pub fn named(name: &str) -> anyhow::Result<Resource> {
        let known = |r: &&Resource| [r.plural, r.singular, r.short].contains(&name);
        match RESOURCES.iter().find(known) {
            Some(resource) => Ok(*resource),
            None => {
                let names: Vec<&str> = RESOURCES.iter().map(|r| r.plural).collect();
                bail!("no resource {name:?} here; there are {}", names.join(", "))
            }
        }
    }

    /// # Errors
    /// Lists the kinds there are.
    pub fn of_kind(api_version: &str, kind: &str) -> anyhow::Result<Resource> {
        let is_it = |r: &&Resource| r.kind == kind && r.api_version() == api_version;
        match RESOURCES.iter().find(is_it) {
            Some(resource) => Ok(*resource),
            None => {
                let kinds: Vec<&str> = RESOURCES.iter().map(|r| r.kind).collect();
                bail!(
                    "no kind {kind} in version {api_version:?} here; there are {}",
                    kinds.join(", ")
                )
            }
        }
    }

    fn api_version(&self) -> &'static str {
        let base = self.base.strip_prefix("/apis/");
        base.or(self.base.strip_prefix("/api/")).unwrap_or_default()
    }

    /// The path of the collection; `None` for all namespaces.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{}/namespaces/{namespace}/{}", self.base, self.plural)
            }
            _ => format!("{}/{}", self.base, self.plural),
        }
    }
}

/// `pods a b` and `pod/a pod/b` are the same.
pub fn split(words: &[String]) -> anyhow::Result<(Resource, Vec<String>)> {
    let Some((first, rest)) = words.split_first() else {
        bail!("name a resource: pods, nodes, namespaces, events, configmaps, leases");
    };
    let Some((kind, name)) = first.split_once('/') else {
        return Ok((Resource::named(first)?, rest.to_vec()));
    };
    let resource = Resource::named(kind)?;
    let mut names = vec![name.to_owned()];
    for word in rest {
        match word.split_once('/') {
            Some((kind, name)) if Resource::named(kind)? == resource => names.push(name.to_owned()),
            _ => bail!(
                "{word:?} is not {}/NAME like the first one",
                resource.singular
            ),
        }
    }
    Ok((resource, names))
}

/// A name or selector as part of a URL: everything but unreserved characters
/// as %XX (RFC 3986 §2).
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_naming_are_the_same() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (resource, names) = split(&words("po a b")).expect("pods");
        assert_eq!((resource.plural, names), ("pods", words("a b")));
        let (resource, names) = split(&words("pod/a pods/b")).expect("pods");
        assert_eq!((resource.plural, names), ("pods", words("a b")));
        assert!(split(&words("pod/a node/b")).is_err());
        let error = split(&words("gizmos")).unwrap_err().to_string();
        assert!(error.contains("there are pods, nodes"), "{error}");
    }

    #[test]
    fn selectors_survive_a_url() {
        assert_eq!(escape("env in (a, b)"), "env%20in%20%28a%2C%20b%29");
    }
}
