//! Plans as the `ip` commands that do the same: golden ones, and the proof that
//! a shell which runs them gets the same kernel as `apply`.

mod support;

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use podnet::kernel::linux::{Linux, in_netns, new_netns};
use podnet::kernel::{Attach, Kernel, Wishes};
use podnet::model::{AttachmentId, LinkName, Mac, NodeCidrs, NodeName, PodName, Slot};
use podnet::plan::{
    BRIDGE_NAME, Desired, NodeConfig, Observed, ObservedBridge, Peer, Plan, Port, Uplink, desired,
    diff,
};
use support::{isolated, sh};

const UPLINK_MAC: &str = "02:00:00:00:00:0b";
const V4: &[&str] = &["10.244.0.0/24"];
const V6: &[&str] = &["fd00:10:244::/64"];
const BOTH: &[&str] = &["10.244.0.0/24", "fd00:10:244::/64"];

fn link(name: &str) -> LinkName {
    LinkName::new(name).expect("a link name")
}

fn mac(text: &str) -> Mac {
    Mac::parse(text).expect("a MAC")
}

fn slot(offset: u32) -> Slot {
    Slot::new(offset).expect("a slot")
}

fn cidrs<T: AsRef<str>>(texts: &[T]) -> NodeCidrs {
    let networks = texts.iter().map(|t| t.as_ref().parse().expect("a network"));
    NodeCidrs::new(networks.collect()).expect("node CIDRs")
}

fn node(families: &[&str]) -> NodeConfig {
    NodeConfig {
        bridge: BRIDGE_NAME,
        cidrs: cidrs(families),
        uplink: Uplink {
            device: link("up0"),
            mac: Some(mac(UPLINK_MAC)),
            mtu_bytes: 1450,
        },
        static_neighbours: true,
    }
}

/// Node `n` of the cluster, with ranges of the families that `families` has.
fn peer(n: u8, families: &[&str]) -> Peer {
    let ours = cidrs(families);
    let all = ["10.244.", "fd00:10:244:"].map(|prefix| match prefix.contains(':') {
        true => format!("{prefix}{n}::/64"),
        false => format!("{prefix}{n}.0/24"),
    });
    let same_family = |text: &&String| ours.iter().any(|c| c.is_ipv6() == text.contains(':'));
    let texts: Vec<&String> = all.iter().filter(same_family).collect();
    Peer {
        name: NodeName::new(&format!("node-{n}")).expect("a name"),
        cidrs: cidrs(&texts),
        addresses: vec![address_v4(n), address_v6(n)],
        mac: Some(Mac::new([2, 0, 0, 0, 1, n])),
    }
}

fn address_v4(n: u8) -> IpAddr {
    format!("172.30.0.{}", 11 + n).parse().expect("an address")
}

fn address_v6(n: u8) -> IpAddr {
    format!("fd00:172:30::{n:x}f").parse().expect("an address")
}

/// What is observed of a node that has reached `desired` and has two pods.
fn reached(desired: &Desired) -> Observed {
    let Some(bridge) = &desired.bridge else {
        return Observed::default();
    };
    let mut observed = Observed {
        bridge: Some(ObservedBridge {
            mac: bridge.mac,
            mtu_bytes: bridge.mtu_bytes,
            up: true,
            addresses: podnet::ipam::gateways(&bridge.cidrs).into_iter().collect(),
        }),
        sysctls: desired
            .sysctls
            .iter()
            .map(|s| (s.key, s.value.to_owned()))
            .collect(),
        routes: desired.routes.clone(),
        neighbours: desired.neighbours.clone(),
        ..Observed::default()
    };
    for n in [2, 3] {
        let port = Port {
            on_bridge: true,
            up: true,
            hairpin: true,
            pod: Some(PodName::new("default", &format!("web-{n}"))),
            attachment: Some(format!("c{n}.eth0")),
            mac: None,
        };
        observed.ports.insert(slot(n), port);
    }
    for op in diff(desired, &observed) {
        match op {
            podnet::plan::Op::SetNeighbour(n) => assert!(observed.neighbours.insert(n)),
            other => panic!("a node that has reached its state needs {other}"),
        }
    }
    observed
}

fn commands(plan: &Plan) -> String {
    plan.iter().map(|op| format!("{op}\n")).collect()
}

macro_rules! golden {
    ($desired:expr, $observed:expr) => {
        insta::assert_snapshot!(commands(&diff($desired, $observed)))
    };
}

#[test]
fn a_fresh_ipv4_node() {
    let (wanted, complaints) = desired(&node(V4), &[peer(1, V4), peer(2, V4)]);
    assert_eq!(complaints, []);
    golden!(&wanted, &Observed::default());
}

#[test]
fn a_fresh_dual_stack_node() {
    let (wanted, complaints) = desired(&node(BOTH), &[peer(1, BOTH), peer(2, BOTH)]);
    assert_eq!(complaints, []);
    golden!(&wanted, &Observed::default());
}

#[test]
fn a_fresh_ipv6_node() {
    let (wanted, complaints) = desired(&node(V6), &[peer(1, V6), peer(2, V6)]);
    assert_eq!(complaints, []);
    golden!(&wanted, &Observed::default());
}

#[test]
fn a_peer_moved() {
    let before = desired(&node(BOTH), &[peer(1, BOTH), peer(2, BOTH)]).0;
    let moved = Peer {
        addresses: peer(9, BOTH).addresses,
        ..peer(1, BOTH)
    };
    let after = desired(&node(BOTH), &[moved, peer(2, BOTH)]).0;
    golden!(&after, &reached(&before));
}

#[test]
fn a_peer_is_gone() {
    let before = desired(&node(BOTH), &[peer(1, BOTH), peer(2, BOTH)]).0;
    let after = desired(&node(BOTH), &[peer(2, BOTH)]).0;
    golden!(&after, &reached(&before));
}

#[test]
fn a_drifted_node() {
    let wanted = desired(&node(V4), &[peer(1, V4)]).0;
    let mut observed = reached(&wanted);
    let bridge = observed.bridge.as_mut().expect("a bridge");
    bridge.addresses = ["10.9.0.1/24".parse().expect("a network")].into();
    bridge.mtu_bytes = 1500;
    bridge.up = false;
    *observed.ports.get_mut(&slot(3)).expect("a port") = Port {
        on_bridge: false,
        hairpin: false,
        ..observed.ports[&slot(2)].clone()
    };
    let mut wrong = observed.neighbours.pop_first().expect("a neighbour");
    wrong.mac = mac("02:00:00:00:00:99");
    observed.neighbours.insert(wrong);
    observed.routes.clear();
    golden!(&wanted, &observed);
}

#[test]
fn a_node_whose_bridge_is_gone() {
    let wanted = desired(&node(V4), &[]).0;
    let mut observed = reached(&wanted);
    observed.bridge = None;
    observed.neighbours.clear();
    observed.sysctls.remove(podnet::plan::PROMOTE_SECONDARIES);
    for port in observed.ports.values_mut() {
        port.on_bridge = false;
        port.hairpin = false;
    }
    golden!(&wanted, &observed);
}

#[test]
fn an_attachment_that_died_half_way() {
    let mut wanted = desired(&node(V4), &[]).0;
    let mut observed = reached(&wanted);
    let port = observed.ports.get_mut(&slot(3)).expect("a port");
    port.pod = None;
    wanted.expired.insert(slot(3));
    golden!(&wanted, &observed);
}

#[test]
fn withdrawing() {
    let before = desired(&node(BOTH), &[peer(1, BOTH)]).0;
    golden!(&Desired::default(), &reached(&before));
}

/// A node of its own: a namespace with an uplink, and a pod's.
struct Machine {
    netns: OwnedFd,
    pod: OwnedFd,
}

impl Machine {
    fn new() -> Machine {
        let machine = Machine {
            netns: new_netns().expect("a namespace"),
            pod: new_netns().expect("a namespace"),
        };
        machine.sh(&format!(
            "ip link add up0 address {UPLINK_MAC} mtu 1450 up type veth peer up1
             ip link set up1 up
             ip address add 172.30.0.11/16 dev up0
             ip address add fd00:172:30::11/64 dev up0 nodad"
        ));
        machine
    }

    fn inside<T: Send>(&self, work: impl FnOnce(Linux) -> T + Send) -> T {
        let run = || work(Linux::open().expect("a netlink socket"));
        in_netns(self.netns.as_fd(), run).expect("entered")
    }

    fn sh(&self, commands: &str) {
        self.inside(|_| sh(commands));
    }

    fn observe(&self) -> Observed {
        let addresses = [address_v4(0), address_v6(0)];
        self.inside(|kernel| kernel.observe(&addresses).expect("observed"))
    }

    fn apply(&self, plan: &Plan) {
        self.inside(|kernel| {
            for op in plan {
                kernel.apply(op).unwrap_or_else(|e| panic!("{op}: {e}"));
            }
        });
    }

    fn reap(&self) {
        self.inside(|kernel| kernel.reap().expect("reaped"));
    }

    fn attach(&self, cidrs: &NodeCidrs, at: Slot) {
        let eth0 = link("eth0");
        let attach = Attach {
            bridge: &BRIDGE_NAME,
            cidrs,
            id: &AttachmentId::new("c", &eth0).expect("an attachment"),
            interface: &eth0,
            pod: &PodName::new("default", "web"),
            mtu_bytes: 1450,
            wishes: Wishes::default(),
        };
        self.inside(|kernel| kernel.attach(&attach, at, &self.pod))
            .expect("attached");
    }
}

/// One machine that applies its plans, and one whose shell runs them.
struct Twins {
    applied: Machine,
    typed: Machine,
}

impl Twins {
    fn both(&self, act: impl Fn(&Machine)) {
        act(&self.applied);
        act(&self.typed);
    }

    /// Both reach `wanted` by one plan, which is the same for both, and are then equal.
    fn reach(&self, what: &str, wanted: &Desired) {
        let plan = diff(wanted, &self.applied.observe());
        assert_ne!(plan, [], "{what}: there is something to do");
        assert_eq!(plan, diff(wanted, &self.typed.observe()), "{what}");
        self.applied.apply(&plan);
        self.typed.sh(&commands(&plan));
        self.both(Machine::reap);
        let (applied, typed) = (self.applied.observe(), self.typed.observe());
        assert_eq!(applied, typed, "{what}:\n{}", commands(&plan));
        let again = diff(wanted, &applied);
        assert_eq!(
            again,
            [],
            "{what}: a second plan after\n{}",
            commands(&plan)
        );
    }
}

/// Also the one place where every drift is real, and one plan must mend it.
#[test]
fn a_shell_that_runs_the_commands_gets_what_apply_gets() {
    isolated(|| {
        let twins = Twins {
            applied: Machine::new(),
            typed: Machine::new(),
        };
        let peers = [peer(1, BOTH), peer(2, BOTH)];
        let (wanted, _) = desired(&node(BOTH), &peers);
        twins.reach("a fresh node", &wanted);
        twins.both(|machine| machine.attach(&cidrs(BOTH), slot(2)));
        assert_eq!(diff(&wanted, &twins.applied.observe()), []);

        for (what, drift) in DRIFTS {
            twins.both(|machine| machine.sh(drift));
            twins.reach(what, &wanted);
        }

        let moved = Peer {
            addresses: peer(9, BOTH).addresses,
            ..peer(1, BOTH)
        };
        twins.reach("a peer moved", &desired(&node(BOTH), &[moved]).0);
        twins.reach("IPv4 only", &desired(&node(V4), &[peer(2, V4)]).0);

        twins.reach("IPv6 only", &desired(&node(V6), &[peer(2, V6)]).0);
        twins.reach("IPv4 again", &desired(&node(V4), &[peer(2, V4)]).0);

        let mut expired = desired(&node(V4), &[peer(2, V4)]).0;
        twins.both(|machine| machine.sh("ip link add pod9 group 28772 type veth peer far9"));
        expired.expired.insert(slot(9));
        twins.reach("an attachment that died half way", &expired);
        twins.reach("withdrawing", &Desired::default());
    });
}

const DRIFTS: &[(&str, &str)] = &[
    ("the bridge is gone", "ip link delete cbr0"),
    ("the bridge is down", "ip link set cbr0 down"),
    (
        "the bridge has another MAC",
        "ip link set cbr0 address 02:00:00:00:00:99",
    ),
    ("the bridge has another MTU", "ip link set cbr0 mtu 1400"),
    (
        "the pod's port is off, and down",
        "ip link set pod2 nomaster down",
    ),
    (
        "hairpin is off",
        "ip link set pod2 type bridge_slave hairpin off",
    ),
    ("the uplink was down", "ip link set up0 down; ip link set up0 up
      ip address replace fd00:172:30::11/64 dev up0 nodad"),
    (
        "a neighbour is wrong, another gone",
        "ip neighbour replace 10.244.0.2 lladdr 02:00:00:00:00:99 dev cbr0 nud permanent protocol 112
         ip neighbour delete fd00:10:244::2 dev cbr0",
    ),
    (
        "a foreign address beside ours",
        "ip address add 10.244.0.77/24 dev cbr0; ip address add fd00:10:244::77/64 dev cbr0 nodad",
    ),
    (
        "a foreign address before ours",
        "sysctl -q -w net.ipv4.conf.cbr0.promote_secondaries=0
         ip address flush dev cbr0
         ip address add 10.244.0.77/24 dev cbr0; ip address add 10.244.0.1/24 dev cbr0",
    ),
    (
        "only foreign addresses",
        "ip address flush dev cbr0
         ip address add 10.9.0.1/24 dev cbr0; ip address add 10.9.0.2/24 dev cbr0",
    ),
    (
        "our addresses with other prefixes",
        "ip address flush dev cbr0
         ip address add 10.244.0.1/16 dev cbr0; ip address add fd00:10:244::1/48 dev cbr0 nodad",
    ),
    (
        "routes that died half way through a move",
        "ip route append 10.244.1.0/24 via 172.30.0.99 dev up0 proto 112
         ip -6 route append fd00:10:244:1::/64 via fd00:172:30::99 dev up0 proto 112",
    ),
    (
        "a route is gone, another is ours and too many",
        "ip route delete 10.244.1.0/24
         ip route add 10.245.0.0/24 via 172.30.0.99 dev up0 proto 112",
    ),
    (
        "forwarding is off",
        "sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
    ),
];
