//! The files that tell a pod who it is: /etc/hosts, /etc/hostname, /etc/resolv.conf.
//!
//! They are the pod's and not a container's: all its containers see the same ones.

use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::PodDNSConfig;

use super::volume::Preparation;
use super::{ConfigError, NodeFacts, PodFacts};

/// Where each is in a container and in the pod's directory.
pub const FILES: [(&str, &str); 3] = [
    ("/etc/hosts", "etc/hosts"),
    ("/etc/hostname", "etc/hostname"),
    ("/etc/resolv.conf", "etc/resolv.conf"),
];
/// The cluster's domain.
const DOMAIN: &str = "cluster.local";
/// resolv.conf(5) reads no more.
const MAX_NAMESERVERS: usize = 3;
/// Kubernetes takes no more.
const MAX_SEARCHES: usize = 32;

pub fn files(pod: &PodFacts, node: &NodeFacts) -> Result<Vec<Preparation>, ConfigError> {
    let hostname = pod.hostname(node)?;
    let contents = [
        hosts(pod, node, &hostname)?,
        format!("{hostname}\n"),
        resolv_conf(pod, node)?,
    ];
    let mut files = vec![Preparation::Directory {
        path: PathBuf::from("etc"),
        mode: 0o755,
        group: None,
    }];
    files.extend(
        FILES
            .iter()
            .zip(contents)
            .map(|((_, path), contents)| Preparation::File {
                path: path.into(),
                contents,
                mode: 0o644,
            }),
    );
    Ok(files)
}

fn hosts(pod: &PodFacts, node: &NodeFacts, hostname: &str) -> Result<String, ConfigError> {
    let spec = pod.spec()?;
    let mut text = String::from(
        "# The pod's hosts, written by podnet.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let on_the_node = spec.host_network == Some(true);
    let addresses: &[IpAddr] = if on_the_node {
        &node.addresses
    } else {
        pod.addresses
    };
    let subdomain = spec
        .subdomain
        .as_deref()
        .filter(|name| !name.is_empty() && !on_the_node);
    let names = match subdomain {
        Some(subdomain) => {
            let namespace = pod.namespace();
            format!("{hostname}.{subdomain}.{namespace}.svc.{DOMAIN}\t{hostname}")
        }
        None => hostname.to_owned(),
    };
    for address in addresses {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    let aliases = spec.host_aliases.iter().flatten();
    for (index, alias) in aliases.enumerate() {
        if index == 0 {
            text.push_str("\n# From the pod's hostAliases.\n");
        }
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        text.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    Ok(text)
}

/// What resolv.conf(5) says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Resolver {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// There is no DNS of the cluster's: all policies but None mean the machine's.
fn resolv_conf(pod: &PodFacts, node: &NodeFacts) -> Result<String, ConfigError> {
    let spec = pod.spec()?;
    let mut resolver = match spec.dns_policy.as_deref() {
        Some("None") => Resolver::default(),
        _ => Resolver::parse(&node.resolv_conf),
    };
    if let Some(config) = &spec.dns_config {
        resolver.add(config);
    }
    Ok(resolver.text())
}

impl Resolver {
    /// Without nameservers that only the machine itself can reach.
    fn parse(text: &str) -> Resolver {
        let mut resolver = Resolver::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => resolver.nameservers.extend(words.next()),
                Some("search" | "domain") => resolver.searches = words.collect(),
                Some("options") => resolver.options.extend(words),
                _ => {}
            }
        }
        let reachable = |server: &String| match server.parse::<IpAddr>() {
            Ok(address) => !address.is_loopback(),
            Err(_) => true,
        };
        resolver.nameservers.retain(reachable);
        resolver
    }

    /// An option of the same name takes the place of one that is there.
    fn add(&mut self, config: &PodDNSConfig) {
        let words = |list: &Option<Vec<String>>| -> Vec<String> {
            let word = |text: &&String| !text.is_empty() && !text.contains(char::is_whitespace);
            list.iter().flatten().filter(word).cloned().collect()
        };
        self.nameservers.extend(words(&config.nameservers));
        self.searches.extend(words(&config.searches));
        for option in config.options.iter().flatten() {
            let Some(name) = option
                .name
                .as_deref()
                .filter(|name| !name.contains(char::is_whitespace))
            else {
                continue;
            };
            self.options
                .retain(|known| known.split(':').next() != Some(name));
            self.options.push(match option.value.as_deref() {
                Some(value) if !value.contains(char::is_whitespace) => format!("{name}:{value}"),
                _ => name.to_owned(),
            });
        }
    }

    fn text(self) -> String {
        let mut text = String::new();
        let nameservers = distinct(self.nameservers);
        for server in nameservers.iter().take(MAX_NAMESERVERS) {
            text.push_str(&format!("nameserver {server}\n"));
        }
        let mut searches = distinct(self.searches);
        searches.truncate(MAX_SEARCHES);
        for (word, list) in [("search", searches), ("options", self.options)] {
            if !list.is_empty() {
                text.push_str(&format!("{word} {}\n", list.join(" ")));
            }
        }
        text
    }
}

fn distinct(list: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(list.len());
    for one in list {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::plan::bundle::tests::Case;

    fn contents(spec: Value, file: &str) -> String {
        let case = Case::new(spec);
        let files = files(&case.facts(), &case.node).expect("sound");
        let found = files.into_iter().find_map(|file_| match file_ {
            Preparation::File { path, contents, .. } if path.ends_with(file) => Some(contents),
            _ => None,
        });
        found.expect("one of the files")
    }

    #[test]
    fn a_pod_finds_itself_and_its_aliases() {
        let hosts = contents(
            json!({
                "subdomain": "sub", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}],
                "containers": [],
            }),
            "hosts",
        );
        assert!(
            hosts.contains("\n10.244.0.2\tweb.sub.default.svc.cluster.local\tweb\n"),
            "{hosts}"
        );
        assert!(hosts.contains("\n1.2.3.4\ta\tb\n"), "{hosts}");
        assert!(hosts.contains("\n127.0.0.1\tlocalhost\n"), "{hosts}");
        assert_eq!(contents(json!({"containers": []}), "hostname"), "web\n");
        assert_eq!(
            contents(json!({"containers": [], "hostNetwork": true}), "hostname"),
            "node-1\n"
        );
    }

    #[test]
    fn the_machines_resolver_with_the_pods_words_over_it() {
        let config = json!({
            "nameservers": ["1.1.1.1"], "searches": ["b.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        });
        let file = |policy: &str, config: &Value| {
            let spec = json!({"containers": [], "dnsPolicy": policy, "dnsConfig": config});
            contents(spec, "resolv.conf")
        };
        assert_eq!(
            file("ClusterFirst", &Value::Null),
            "nameserver 9.9.9.9\nsearch a.example\noptions ndots:5\n"
        );
        assert_eq!(
            file("Default", &config),
            "nameserver 9.9.9.9\nnameserver 1.1.1.1\nsearch a.example b.example\noptions ndots:2 edns0\n"
        );
        assert_eq!(
            file("None", &config),
            "nameserver 1.1.1.1\nsearch b.example\noptions ndots:2 edns0\n"
        );
    }
}
