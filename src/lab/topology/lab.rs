//! A lab as it is meant: sound by construction. Its masks fit, its ranges are
//! disjoint, its names and labels are ones that Kubernetes takes, and its nodes
//! fit every range they draw from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use super::file::numbered_nodes;
use super::{
    DEFAULT_NAME, LabFile, MAX_PORTS, NodeEntry, NodeMasks, PodSettings, Spec, TopologyError,
    Underlay, label,
};
use crate::ipam;
use crate::model::{ClusterRanges, Family, NodeName, Pool, is_dns_label};

const DEFAULT_CLUSTER: &str = "10.244.0.0/16";
const DEFAULT_NODES: u32 = 3;
const DEFAULT_MTU_BYTES: u32 = 1500;
/// IPv6 wants 1,280 (RFC 8200 §5); a veth takes at most 65,535.
const MTU_BYTES: RangeInclusive<u32> = 1280..=65535;

/// A lab's name: one DNS label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabName(String);

impl LabName {
    pub fn new(name: &str) -> Result<LabName, TopologyError> {
        if is_dns_label(name) {
            Ok(LabName(name.to_owned()))
        } else {
            Err(TopologyError::LabName(name.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    pub name: NodeName,
    pub labels: BTreeMap<String, String>,
}

/// What lies between the nodes; no node has this name.
const UNDERLAY: &str = "underlay";

impl NodeSpec {
    fn resolve(entry: &NodeEntry) -> Result<NodeSpec, TopologyError> {
        for (key, value) in &entry.labels {
            label::validate(key, value)?;
        }
        let name = NodeName::new(&entry.name)?;
        if name.as_str() == UNDERLAY {
            return Err(TopologyError::ReservedName(name));
        }
        Ok(NodeSpec {
            name,
            labels: entry.labels.clone(),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    pub name: LabName,
    pub ranges: ClusterRanges,
    pub underlay: Underlay,
    pub mtu_bytes: u32,
    /// 0 in a lab that is not up yet means any free port.
    pub api_port: u16,
    pub nodes: Vec<NodeSpec>,
    pub pods: PodSettings,
}

impl Lab {
    /// # Errors
    /// The first thing in `file` that cannot be, with what would be.
    pub fn resolve(file: &LabFile) -> Result<Lab, TopologyError> {
        let spec = &file.spec;
        let ranges = cluster_ranges(spec)?;
        let underlay = Underlay::resolve(spec.underlay_cidrs.as_deref(), &ranges)?;
        let mtu_bytes = spec.mtu.unwrap_or(DEFAULT_MTU_BYTES);
        if !MTU_BYTES.contains(&mtu_bytes) {
            return Err(TopologyError::Mtu(mtu_bytes));
        }
        match spec.backend.as_deref() {
            None | Some("host-gw") => {}
            Some(other) => return Err(TopologyError::Backend(other.to_owned())),
        }
        let nodes = match &spec.nodes {
            Some(entries) => nodes(entries.iter())?,
            None => nodes(numbered_nodes(DEFAULT_NODES).collect::<Vec<_>>().iter())?,
        };
        let lab = Lab {
            name: LabName::new(file.metadata.name.as_deref().unwrap_or(DEFAULT_NAME))?,
            ranges,
            underlay,
            mtu_bytes,
            api_port: spec.api_port.unwrap_or(0),
            nodes,
            pods: PodSettings::resolve(spec)?,
        };
        lab.nodes_fit()?;
        Ok(lab)
    }

    /// The file that resolves to this lab, with nothing left open.
    pub fn to_file(&self) -> LabFile {
        let pools = self.ranges.pools();
        let mask = |family| {
            let pool = pools.iter().find(|pool| pool.family() == family);
            pool.map(Pool::node_prefix)
        };
        let entry = |node: &NodeSpec| NodeEntry {
            name: node.name.to_string(),
            labels: node.labels.clone(),
        };
        let mut file = LabFile::empty();
        file.metadata.name = Some(self.name.to_string());
        file.spec = Spec {
            cluster_cidrs: Some(pools.iter().map(Pool::range).collect()),
            node_masks: NodeMasks {
                ipv4: mask(Family::V4),
                ipv6: mask(Family::V6),
            },
            underlay_cidrs: Some(self.underlay.networks().to_vec()),
            backend: Some("host-gw".to_owned()),
            api_port: Some(self.api_port),
            mtu: Some(self.mtu_bytes),
            nodes: Some(self.nodes.iter().map(entry).collect()),
            ..Spec::default()
        };
        self.pods.write(&mut file.spec);
        file
    }

    /// The first setting in which `wanted` asks for something else than this
    /// lab has, and which cannot change while the lab exists; `None` if there
    /// is none. What `wanted` leaves open is as it is.
    pub fn conflict(&self, wanted: &Spec) -> Option<String> {
        let has = self.to_file().spec;
        let cidrs = |cidrs: &Option<Vec<IpNetwork>>| {
            let cidrs = cidrs.as_ref()?;
            let texts: Vec<String> = cidrs.iter().map(IpNetwork::to_string).collect();
            Some(texts.join(","))
        };
        let mask = |mask: Option<u8>| mask.map(|bits| format!("/{bits}"));
        let port = |port: Option<u16>| port.filter(|port| *port != 0).map(|p| p.to_string());
        let mtu = |mtu: Option<u32>| mtu.map(|bytes| bytes.to_string());
        let settings = |spec: &Spec| {
            [
                ("cluster range", cidrs(&spec.cluster_cidrs)),
                ("IPv4 node mask", mask(spec.node_masks.ipv4)),
                ("IPv6 node mask", mask(spec.node_masks.ipv6)),
                ("underlay", cidrs(&spec.underlay_cidrs)),
                ("backend", spec.backend.clone()),
                ("MTU", mtu(spec.mtu)),
                ("API port", port(spec.api_port)),
            ]
        };
        let pairs = settings(&has).into_iter().zip(settings(wanted));
        pairs
            .filter(|((_, has), (_, wanted))| wanted.is_some() && has != wanted)
            .map(|((what, has), _)| match has {
                Some(has) => format!("{what} {has}"),
                None => format!("no {what}"),
            })
            .next()
            .or_else(|| self.pods.conflict(wanted))
    }

    /// The node that `entry` is, if this lab with it is sound.
    pub fn admit(&self, entry: NodeEntry) -> Result<NodeSpec, TopologyError> {
        let node = NodeSpec::resolve(&entry)?;
        if self.nodes.iter().any(|known| known.name == node.name) {
            return Err(TopologyError::NodeIsThere(node.name));
        }
        let mut lab = self.clone();
        lab.nodes.push(node.clone());
        lab.nodes_fit()?;
        Ok(node)
    }

    /// Every range a node draws from has room for as many.
    fn nodes_fit(&self) -> Result<(), TopologyError> {
        let wanted = self.nodes.len();
        if wanted > MAX_PORTS {
            return Err(TopologyError::TooManyPorts { wanted });
        }
        for pool in self.ranges.pools() {
            let alone = ClusterRanges::new(vec![*pool])?;
            let holds = ipam::capacity(&alone);
            if wanted > holds as usize {
                return Err(TopologyError::TooManyNodes {
                    what: "cluster range",
                    range: pool.range(),
                    holds,
                    wanted,
                    remedy: "use a wider range or a longer node mask",
                });
            }
        }
        self.underlay.hold(wanted)
    }
}

fn cluster_ranges(spec: &Spec) -> Result<ClusterRanges, TopologyError> {
    let cidrs = match &spec.cluster_cidrs {
        Some(cidrs) => cidrs.clone(),
        None => DEFAULT_CLUSTER.parse().into_iter().collect(),
    };
    let mut pools = Vec::with_capacity(cidrs.len());
    for cidr in cidrs {
        let family = Family::of(cidr.ip());
        let mask = match family {
            Family::V4 => spec.node_masks.ipv4,
            Family::V6 => spec.node_masks.ipv6,
        };
        pools.push(Pool::new(
            cidr,
            mask.unwrap_or_else(|| family.default_node_prefix()),
        )?);
    }
    Ok(ClusterRanges::new(pools)?)
}

fn nodes<'a>(entries: impl Iterator<Item = &'a NodeEntry>) -> Result<Vec<NodeSpec>, TopologyError> {
    let mut seen = BTreeSet::new();
    let mut nodes = Vec::new();
    for entry in entries {
        let node = NodeSpec::resolve(entry)?;
        if !seen.insert(node.name.clone()) {
            return Err(TopologyError::DuplicateNode(node.name));
        }
        nodes.push(node);
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::super::Overrides;
    use super::*;

    fn resolve(spec: &str) -> Result<Lab, TopologyError> {
        let text = format!("apiVersion: podnet.dev/v1alpha1\nkind: Lab\nspec:\n{spec}");
        Lab::resolve(&LabFile::parse("lab.yaml", &text)?)
    }

    fn refusal(spec: &str) -> String {
        resolve(spec).expect_err("must be refused").to_string()
    }

    #[test]
    fn nothing_said_is_three_nodes_on_the_default_range() {
        let lab = Lab::resolve(&LabFile::empty()).expect("defaults resolve");
        assert_eq!(lab.name.as_str(), "default");
        assert_eq!(lab.ranges.to_string(), "10.244.0.0/16");
        assert_eq!(lab.underlay.to_string(), "172.30.0.0/16");
        let names: Vec<&str> = lab.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["node-1", "node-2", "node-3"]);
    }

    #[test]
    fn a_resolved_lab_survives_its_own_file() {
        let lab = resolve(
            "  clusterCIDRs: [10.1.0.0/16, 'fd00:10:1::/56']\n  nodeMasks: {ipv4: 26}\n  apiPort: 7443\n  \
             nodes:\n  - {name: a, labels: {gpu: \"true\"}}\n  - {name: b}\n",
        )
        .expect("resolves");
        assert_eq!(Lab::resolve(&lab.to_file()).expect("resolves again"), lab);
        assert_eq!(lab.underlay.to_string(), "172.30.0.0/16,fd00:172:30::/64");
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        let error = refusal("  clusterCidr: 10.0.0.0/8\n");
        assert!(error.starts_with("lab.yaml:4:3: "), "{error}");
        assert!(error.contains("clusterCidr"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_could() {
        let cases = [
            ("  nodeMasks: {ipv4: 8}\n", "node mask /8 does not fit"),
            (
                "  clusterCIDRs: [172.16.0.0/12]\n",
                "overlaps underlay 172.30.0.0/16",
            ),
            (
                "  clusterCIDRs: [10.1.0.0/16, 10.2.0.0/16]\n",
                "two IPv4 networks",
            ),
            ("  nodes: [{name: Node_1}]\n", "is not a DNS label"),
            (
                "  nodes: [{name: a}, {name: a}]\n",
                "two nodes of the name a",
            ),
            (
                "  clusterCIDRs: [10.1.0.0/23]\n",
                "3 nodes do not fit cluster range 10.1.0.0/23, which holds 2",
            ),
            (
                "  underlayCIDRs: [192.168.0.0/28]\n  nodes: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}]\n",
                "5 nodes do not fit underlay 192.168.0.0/28, which holds 4",
            ),
            ("  nodes: [{name: a, labels: {-x: y}}]\n", "label \"-x=y\""),
            ("  backend: vxlan\n", "\"vxlan\" is no backend"),
            ("  mtu: 68\n", "68 bytes"),
            ("  restartBackOffScale: 2\n", "use 0.001 to 1"),
            ("  images: {Web: machine}\n", "image \"Web\" is not usable"),
            ("  images: {web: {directory: ../web}}\n", "must be absolute"),
            ("  images: {web: {url: http://x}}\n", "lab.yaml:4:"),
            ("  hostPaths: [srv]\n", "host path srv is not usable"),
            (
                "  clusterCIDRs: ['fd00:1::/56']\n  underlayCIDRs: [172.30.0.0/16]\n",
                "the cluster range has IPv6",
            ),
        ];
        for (spec, expected) in cases {
            let error = refusal(spec);
            assert!(error.contains(expected), "{spec}: {error}");
        }
    }

    #[test]
    fn flags_go_over_the_file_and_keep_its_labels() {
        let text = "apiVersion: podnet.dev/v1alpha1\nkind: Lab\nspec:\n  clusterCIDRs: [10.1.0.0/16]\n  \
                    nodes: [{name: node-2, labels: {gpu: \"true\"}}, {name: other}]\n";
        let flags = Overrides {
            name: Some("one".into()),
            nodes: Some(2),
            node_masks: NodeMasks {
                ipv4: Some(28),
                ipv6: None,
            },
            ..Overrides::default()
        };
        let file = LabFile::parse("lab.yaml", text)
            .expect("parses")
            .overridden(flags);
        let lab = Lab::resolve(&file).expect("resolves");
        assert_eq!(lab.name.as_str(), "one");
        assert_eq!(lab.ranges.pools()[0].node_prefix(), 28);
        assert_eq!(lab.nodes.len(), 2);
        assert_eq!(lab.nodes[1].labels["gpu"], "true");
    }

    #[test]
    fn what_pods_may_have_survives_and_does_not_change_while_the_lab_is_up() {
        let lab = resolve(
            "  images: {web: {archive: /srv/web.tar}, tools: machine}\n  hostPaths: [/srv]\n  \
             allowPrivileged: true\n  restartBackOffScale: 0.01\n",
        )
        .expect("resolves");
        assert_eq!(lab.pods.images.len(), 2);
        assert_eq!(lab.pods.back_off_scale.factor(), 0.01);
        let again = LabFile::empty().or(&lab.to_file());
        assert_eq!(Lab::resolve(&again).expect("resolves again").pods, lab.pods);
        assert_eq!(lab.conflict(&lab.to_file().spec), None);
        for (wanted, has) in [
            (
                Spec {
                    allow_privileged: Some(false),
                    ..Spec::default()
                },
                "privileged containers allowed",
            ),
            (
                Spec {
                    host_paths: Some(Vec::new()),
                    ..Spec::default()
                },
                "host paths /srv",
            ),
            (
                Spec {
                    images: Some(BTreeMap::new()),
                    ..Spec::default()
                },
                "images tools=machine, web=archive:/srv/web.tar",
            ),
            (
                Spec {
                    restart_back_off_scale: Some(Default::default()),
                    ..Spec::default()
                },
                "restart back-off scale 0.01",
            ),
        ] {
            assert_eq!(lab.conflict(&wanted).as_deref(), Some(has));
        }
    }

    #[test]
    fn only_what_was_asked_for_can_conflict() {
        let lab = resolve("  clusterCIDRs: [10.1.0.0/16]\n  apiPort: 7443\n").expect("resolves");
        assert_eq!(lab.conflict(&Spec::default()), None);
        assert_eq!(lab.conflict(&lab.to_file().spec), None);
        let wanted = Spec {
            cluster_cidrs: Some(vec!["10.2.0.0/16".parse().expect("a network")]),
            ..Spec::default()
        };
        assert_eq!(
            lab.conflict(&wanted).as_deref(),
            Some("cluster range 10.1.0.0/16")
        );
        let any_port = Spec {
            api_port: Some(0),
            ..Spec::default()
        };
        assert_eq!(lab.conflict(&any_port), None);
    }
}
