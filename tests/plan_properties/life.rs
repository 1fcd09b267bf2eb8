//! A node's life on the in-memory kernel: states it was brought to, and what
//! happened to it in between.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use podnet::ipam;
use podnet::kernel::fake::{Fake, FakeSandbox};
use podnet::kernel::{Attach, Kernel, Wishes};
use podnet::model::{AttachmentId, LinkName, Mac, NodeCidrs, NodeName, PodName, Slot};
use podnet::plan::{
    BRIDGE_NAME, Desired, Neighbour, NodeConfig, Observed, Op, Peer, Route, Uplink, desired, diff,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

/// One address of the uplink per family; peers' addresses are beside it.
const UPLINK_V4: &str = "172.30.0.11/16";
const UPLINK_V6: &str = "fd00:172:30::11/64";

pub fn link(name: &str) -> LinkName {
    LinkName::new(name).expect("a link name")
}

pub fn network(text: &str) -> IpNetwork {
    text.parse().expect("a network")
}

pub fn mac(n: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 1, n])
}

#[derive(Clone, Copy, Debug)]
enum Families {
    V4,
    V6,
    Both,
}

fn any_families() -> impl Strategy<Value = Families> {
    prop_oneof![Just(Families::V4), Just(Families::V6), Just(Families::Both)]
}

/// Few enough ranges, of different sizes, that they often collide.
fn range(families: Families, n: u8, wide: bool) -> NodeCidrs {
    let v4 = match wide {
        true => format!("10.244.{}.0/22", n & !3),
        false => format!("10.244.{n}.0/24"),
    };
    let v6 = format!("fd00:10:244:{n}::/64");
    let texts = match families {
        Families::V4 => vec![v4],
        Families::V6 => vec![v6],
        Families::Both => vec![v4, v6],
    };
    NodeCidrs::new(texts.iter().map(|t| network(t)).collect()).expect("node CIDRs")
}

fn peer_addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let v4 = (20u8..26).prop_map(|n| IpAddr::V4(Ipv4Addr::new(172, 30, 0, n)));
    let v6 =
        (0x20u16..0x26).prop_map(|n| IpAddr::V6(Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, n)));
    vec(prop_oneof![v4, v6], 0..4)
}

prop_compose! {
    pub fn any_node()(families in any_families(), n in 0u8..6, wide: bool, static_neighbours: bool,
                  mtu_bytes in prop_oneof![Just(1450u32), Just(1500)]) -> NodeConfig {
        NodeConfig {
            bridge: BRIDGE_NAME,
            cidrs: range(families, n, wide),
            uplink: Uplink { device: link("up0"), mac: Some(mac(0)), mtu_bytes },
            static_neighbours,
        }
    }
}

prop_compose! {
    /// Few names, so that some peers appear twice.
    pub fn any_peer()(name in 1u8..7, families in any_families(), n in 0u8..9, wide: bool,
                  addresses in peer_addresses(), with_mac: bool) -> Peer {
        Peer {
            name: NodeName::new(&format!("node-{name}")).expect("a name"),
            cidrs: range(families, n, wide),
            addresses,
            mac: with_mac.then(|| mac(name)),
        }
    }
}

/// What can happen to a node between two plans.
#[derive(Clone, Debug)]
pub enum Drift {
    LoseRoute(Index),
    LoseNeighbour(Index),
    WrongNeighbour(Index),
    LoseAddress(Index),
    LoseBridge,
    /// Its ports are off it, without hairpin.
    OtherBridge,
    OtherMac,
    OtherMtu,
    ForeignAddress(IpNetwork),
    StrayRoute(u8),
    /// A move that was interrupted between its two halves.
    DoubleRoute(Index),
    /// A pod that came, one that came half way, one that went.
    Attach(u32),
    Begin(u32),
    Detach(u32),
}

const FOREIGN: &[&str] = &[
    "10.9.0.1/24",
    "10.244.1.1/16",
    "10.244.2.77/24",
    "fd00:10:244:1::1/48",
];

fn any_drift() -> impl Strategy<Value = Drift> {
    prop_oneof![
        any::<Index>().prop_map(Drift::LoseRoute),
        any::<Index>().prop_map(Drift::LoseNeighbour),
        any::<Index>().prop_map(Drift::WrongNeighbour),
        any::<Index>().prop_map(Drift::LoseAddress),
        Just(Drift::LoseBridge),
        Just(Drift::OtherBridge),
        Just(Drift::OtherMac),
        Just(Drift::OtherMtu),
        proptest::sample::select(FOREIGN).prop_map(|text| Drift::ForeignAddress(network(text))),
        (100u8..104).prop_map(Drift::StrayRoute),
        any::<Index>().prop_map(Drift::DoubleRoute),
        (2u32..8).prop_map(Drift::Attach),
        (2u32..8).prop_map(Drift::Begin),
        (2u32..8).prop_map(Drift::Detach),
    ]
}

/// A node somewhere in its life, and where it is to go from there.
#[derive(Clone, Debug)]
pub struct Case {
    before: Vec<(Goal, Vec<Drift>)>,
    pub goal: Goal,
    strangers: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Goal {
    /// `None`: the node withdraws.
    node: Option<NodeConfig>,
    peers: Vec<Peer>,
    expired: Vec<u32>,
}

impl Goal {
    pub fn desired(&self) -> Desired {
        let expired = self.expired.iter().filter_map(|n| Slot::new(*n));
        let state = self.node.as_ref().map(|node| desired(node, &self.peers).0);
        Desired {
            expired: expired.collect(),
            ..state.unwrap_or_default()
        }
    }
}

pub fn any_goal() -> impl Strategy<Value = Goal> {
    let node = prop::option::weighted(0.9, any_node());
    let expired = subsequence((2..8).collect::<Vec<u32>>(), 0..3);
    (node, vec(any_peer(), 0..6), expired).prop_map(|(node, peers, expired)| Goal {
        node,
        peers,
        expired,
    })
}

pub fn any_case() -> impl Strategy<Value = Case> {
    let strangers = subsequence((0..4).collect::<Vec<u8>>(), 0..=4);
    let past = vec((any_goal(), vec(any_drift(), 0..6)), 0..3);
    (past, any_goal(), strangers).prop_map(|(before, goal, strangers)| Case {
        before,
        goal,
        strangers,
    })
}

impl Case {
    /// The same one each time.
    pub fn kernel(&self) -> Fake {
        let kernel = Fake::new();
        kernel.add_link(
            "up0",
            mac(0),
            1500,
            &[network(UPLINK_V4), network(UPLINK_V6)],
        );
        for n in &self.strangers {
            strange(&kernel, *n);
        }
        for (goal, drifts) in &self.before {
            apply(&kernel, &diff(&goal.desired(), &observe(&kernel)));
            for drift in drifts {
                happen(&kernel, drift, goal);
            }
        }
        kernel
    }
}

fn strange(kernel: &Fake, n: u8) {
    let address = Ipv4Addr::new(172, 30, 9, n).into();
    let route = Route {
        destination: network(&format!("192.168.{n}.0/24")),
        via: address,
        device: link("up0"),
    };
    match n {
        0 => kernel.add_link("docker0", mac(90), 1500, &[network("172.17.0.1/16")]),
        // A name of ours makes no link ours.
        1 => kernel.add_link("pod77", mac(91), 1500, &[]),
        2 => kernel.add_strangers_neighbour("up0", address, mac(92)),
        _ => kernel.add_strangers_route(route, 4),
    }
}

pub fn observe(kernel: &Fake) -> Observed {
    kernel.observe(&[]).expect("observed")
}

pub fn apply(kernel: &Fake, plan: &[Op]) {
    for op in plan {
        if let Err(error) = kernel.apply(op) {
            panic!("{op}: {error}\nin the plan\n{}", text(plan));
        }
    }
}

pub fn text(plan: &[Op]) -> String {
    plan.iter().map(|op| format!("  {op}\n")).collect()
}

fn happen(kernel: &Fake, drift: &Drift, goal: &Goal) {
    let seen = observe(kernel);
    if let Drift::Attach(n) = drift {
        return attach(kernel, goal, *n);
    }
    if let Drift::Begin(n) = drift {
        return begin(kernel, goal, *n);
    }
    if let Drift::Detach(n) = drift {
        kernel.detach(&id(*n)).expect("detached");
        return;
    }
    for op in drift_ops(drift, &seen) {
        // Something may be there already, or not any more: then nothing happens.
        let _ = kernel.apply(&op);
    }
}

fn drift_ops(drift: &Drift, seen: &Observed) -> Vec<Op> {
    let route = |index: &Index| pick(index, &seen.routes);
    let neighbour = |index: &Index| pick(index, &seen.neighbours);
    let other_way = |to: &Route| Route {
        via: match to.via {
            IpAddr::V4(_) => Ipv4Addr::new(172, 30, 7, 7).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, 0x77).into(),
        },
        ..to.clone()
    };
    let op = match drift {
        Drift::LoseRoute(index) => route(index).map(Op::DeleteRoute),
        Drift::LoseNeighbour(index) => neighbour(index).map(Op::DeleteNeighbour),
        Drift::WrongNeighbour(index) => neighbour(index).map(|mut n| {
            n.mac = mac(99);
            Op::SetNeighbour(n)
        }),
        Drift::LoseAddress(index) => {
            let addresses = seen.bridge.as_ref().map(|b| b.addresses.clone());
            pick(index, &addresses.unwrap_or_default()).map(|a| Op::DeleteAddress(BRIDGE_NAME, a))
        }
        Drift::LoseBridge => Some(Op::DeleteBridge(BRIDGE_NAME)),
        Drift::OtherMac => Some(Op::SetMac(BRIDGE_NAME, mac(98))),
        Drift::OtherMtu => Some(Op::SetMtu(BRIDGE_NAME, 1280)),
        Drift::ForeignAddress(address) => Some(Op::AddAddress(BRIDGE_NAME, *address)),
        Drift::StrayRoute(n) => Some(Op::AddRoute(Route {
            destination: network(&format!("10.244.{n}.0/24")),
            via: Ipv4Addr::new(172, 30, 7, *n).into(),
            device: link("up0"),
        })),
        Drift::OtherBridge => {
            return vec![
                Op::DeleteBridge(BRIDGE_NAME),
                Op::CreateBridge {
                    name: BRIDGE_NAME,
                    mac: mac(97),
                    mtu_bytes: 1500,
                },
            ];
        }
        Drift::DoubleRoute(index) => route(index).map(|there| half_of_move(&other_way(&there))),
        Drift::Attach(_) | Drift::Begin(_) | Drift::Detach(_) => None,
    };
    op.into_iter().collect()
}

pub fn pick<T: Clone>(index: &Index, from: &BTreeSet<T>) -> Option<T> {
    let all: Vec<&T> = from.iter().collect();
    (!all.is_empty()).then(|| (*index.get(&all)).clone())
}

fn id(n: u32) -> AttachmentId {
    AttachmentId::new(&format!("c{n}"), &link("eth0")).expect("an attachment")
}

fn attach(kernel: &Fake, goal: &Goal, n: u32) {
    let (Some(node), Some(slot)) = (&goal.node, Slot::new(n)) else {
        return;
    };
    let request = Attach {
        bridge: &BRIDGE_NAME,
        cidrs: &node.cidrs,
        id: &id(n),
        interface: &link("eth0"),
        pod: &PodName::new("default", "web"),
        mtu_bytes: 1500,
        wishes: Wishes::default(),
    };
    // Refused where there is no bridge or the slot is taken.
    let _ = kernel.attach(&request, slot, &FakeSandbox::default());
}

/// An attachment that has its link and its neighbours, but was never committed.
fn begin(kernel: &Fake, goal: &Goal, n: u32) {
    let (Some(node), Some(slot)) = (&goal.node, Slot::new(n)) else {
        return;
    };
    if observe(kernel).ports.contains_key(&slot) {
        return;
    }
    kernel.add_link(&slot.link_name(), mac(96), 1500, &[]);
    let addresses = ipam::addresses(&node.cidrs, slot).into_iter().flatten();
    for address in addresses {
        let entry = Neighbour {
            address,
            mac: ipam::mac(&node.cidrs, slot).expect("within the range"),
            device: BRIDGE_NAME,
        };
        // Refused where there is no bridge.
        let _ = kernel.apply(&Op::SetNeighbour(entry));
    }
}

/// The new way is in, and the old one was not taken out.
pub fn half_of_move(to: &Route) -> Op {
    let nowhere = Route {
        destination: network("192.0.2.0/24"),
        ..to.clone()
    };
    Op::MoveRoute {
        from: nowhere,
        to: to.clone(),
    }
}
