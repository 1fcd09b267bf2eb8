//! What every [`Kernel`] does: one body, run on the fake and on Linux.

mod support;

use std::os::fd::OwnedFd;

use podnet::kernel::fake::{Fake, FakeSandbox};
use podnet::kernel::linux::{Linux, in_netns, new_netns};
use podnet::kernel::{Attach, Kernel, KernelError, Refusal, Wishes, attach_first_free};
use podnet::model::{AttachmentId, LinkName, Mac, NodeCidrs, PodName, Slot};
use podnet::plan::{
    BRIDGE, Desired, Neighbour, NodeConfig, Observed, Op, Peer, Route, Uplink, desired, diff,
};
use support::{isolated, sh};

/// A machine with one ordinary link, `up0`, at 172.30.0.11/16 and fd00:172:30::11/64.
trait World {
    type K: Kernel;
    fn kernel(&self) -> &Self::K;
    fn sandbox(&self) -> <Self::K as Kernel>::Sandbox;
    /// Ports that are not ours.
    fn fill_bridge(&self, count: usize);
    /// A route of somebody else's, through `up0`.
    fn strangers_route(&self, destination: &str, via: &str);
}

struct InMemory(Fake);

impl World for InMemory {
    type K = Fake;

    fn kernel(&self) -> &Fake {
        &self.0
    }

    fn sandbox(&self) -> FakeSandbox {
        FakeSandbox::default()
    }

    fn fill_bridge(&self, count: usize) {
        self.0.fill_bridge(count);
    }

    fn strangers_route(&self, destination: &str, via: &str) {
        self.0.add_strangers_route(route(destination, via), 4);
    }
}

struct Real(Linux);

impl World for Real {
    type K = Linux;

    fn kernel(&self) -> &Linux {
        &self.0
    }

    fn sandbox(&self) -> OwnedFd {
        new_netns().expect("a network namespace")
    }

    fn fill_bridge(&self, count: usize) {
        sh(&format!(
            "for n in $(seq {count}); do echo \"link add fill$n master {BRIDGE} type veth peer rest$n\"; done \
             | ip -batch -"
        ));
    }

    fn strangers_route(&self, destination: &str, via: &str) {
        sh(&format!(
            "ip route add {destination} via {via} proto static"
        ));
    }
}

const UPLINK_MAC: &str = "02:00:00:00:00:0b";

fn in_memory() -> InMemory {
    let fake = Fake::new();
    let addresses = ["172.30.0.11/16", "fd00:172:30::11/64"].map(|a| a.parse().expect("a network"));
    fake.add_link("up0", mac(UPLINK_MAC), 1500, &addresses);
    InMemory(fake)
}

fn real() -> Real {
    sh(&format!(
        "ip link add up0 address {UPLINK_MAC} mtu 1500 up type veth peer up1
         ip link set up1 up
         ip address add 172.30.0.11/16 dev up0
         ip address add fd00:172:30::11/64 dev up0 nodad"
    ));
    Real(Linux::open().expect("a netlink socket"))
}

/// The same test on both.
macro_rules! contract {
    ($($name:ident)*) => { $(
        mod $name {
            #[test]
            fn fake() {
                super::$name(&super::in_memory());
            }
            #[test]
            fn linux() {
                super::isolated(|| super::$name(&super::real()));
            }
        }
    )* };
}

contract! {
    a_plan_converges_and_is_then_empty
    attach_commits_a_port_that_a_plan_leaves_alone
    a_taken_slot_is_passed_over
    a_wish_is_kept_and_a_plan_leaves_it_alone
    an_attachment_exists_once
    a_pod_has_one_interface_of_a_name
    detach_frees_the_slot_at_once
    without_a_bridge_nothing_is_attached
    the_1024th_port_is_refused
    what_exists_and_what_is_missing_is_refused
    a_lost_bridge_is_rebuilt_with_its_ports
    routes_move_without_a_stranger_noticing
    a_used_up_range_is_a_value
    a_node_that_withdraws_leaves_nothing
}

fn mac(text: &str) -> Mac {
    Mac::parse(text).expect("a MAC")
}

fn link(name: &str) -> LinkName {
    LinkName::new(name).expect("a link name")
}

fn cidrs(texts: &[&str]) -> NodeCidrs {
    let networks = texts.iter().map(|t| t.parse().expect("a network"));
    NodeCidrs::new(networks.collect()).expect("node CIDRs")
}

fn both_families() -> NodeCidrs {
    cidrs(&["10.244.0.0/24", "fd00:10:244::/64"])
}

fn route(destination: &str, via: &str) -> Route {
    Route {
        destination: destination.parse().expect("a network"),
        via: via.parse().expect("an address"),
        device: link("up0"),
    }
}

fn slot(offset: u32) -> Slot {
    Slot::new(offset).expect("a slot")
}

fn node(cidrs: &NodeCidrs) -> NodeConfig {
    NodeConfig {
        bridge: link(BRIDGE),
        cidrs: cidrs.clone(),
        uplink: Uplink {
            device: link("up0"),
            mac: Some(mac(UPLINK_MAC)),
            mtu_bytes: 1500,
        },
        static_neighbours: true,
    }
}

fn peer(n: u8) -> Peer {
    Peer {
        name: podnet::model::NodeName::new(&format!("node-{n}")).expect("a name"),
        cidrs: cidrs(&[
            &format!("10.244.{n}.0/24"),
            &format!("fd00:10:244:{n}::/64"),
        ]),
        addresses: vec![
            format!("172.30.0.{}", 11 + n).parse().expect("an address"),
            format!("fd00:172:30::{n:x}f").parse().expect("an address"),
        ],
        mac: Some(Mac::new([2, 0, 0, 0, 1, n])),
    }
}

fn observe<W: World>(world: &W) -> Observed {
    let addresses = [
        "172.30.0.11".parse().expect("an address"),
        "fd00:172:30::11".parse().expect("an address"),
    ];
    world.kernel().observe(&addresses).expect("observed")
}

fn converge<W: World>(world: &W, wanted: &Desired) {
    for op in diff(wanted, &observe(world)) {
        world
            .kernel()
            .apply(&op)
            .unwrap_or_else(|e| panic!("{op}: {e}"));
    }
    assert_eq!(diff(wanted, &observe(world)), [], "the second plan");
}

fn bridge_only<W: World>(world: &W, cidrs: &NodeCidrs) {
    converge(world, &desired(&node(cidrs), &[]).0);
}

fn attach<W: World>(
    world: &W,
    cidrs: &NodeCidrs,
    container: &str,
    at: Slot,
    sandbox: &<W::K as Kernel>::Sandbox,
) -> Result<Option<Slot>, KernelError> {
    let eth0 = link("eth0");
    let request = Attach {
        bridge: &link(BRIDGE),
        cidrs,
        id: &AttachmentId::new(container, &eth0).expect("an attachment"),
        interface: &eth0,
        pod: &PodName::new("default", container),
        mtu_bytes: 1500,
        wishes: Wishes::default(),
    };
    attach_first_free(world.kernel(), &request, at, sandbox)
}

fn id(container: &str) -> AttachmentId {
    AttachmentId::new(container, &link("eth0")).expect("an attachment")
}

fn a_plan_converges_and_is_then_empty<W: World>(world: &W) {
    let (wanted, complaints) = desired(&node(&both_families()), &[peer(1), peer(2)]);
    assert_eq!(complaints, []);
    converge(world, &wanted);
    let seen = observe(world);
    assert_eq!(seen.routes, wanted.routes);
    assert_eq!(seen.routes.len(), 4, "two peers, two families");
    assert_eq!(seen.neighbours, wanted.neighbours);
    assert_eq!(seen.uplink, Some(node(&both_families()).uplink));
}

fn attach_commits_a_port_that_a_plan_leaves_alone<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let sandbox = world.sandbox();
    let granted = attach(world, &cidrs, "web", Slot::FIRST, &sandbox).expect("attached");
    assert_eq!(granted, Some(slot(2)));
    let seen = observe(world);
    let port = &seen.ports[&slot(2)];
    assert!(port.on_bridge && port.up && port.hairpin, "{port:?}");
    assert_eq!(port.pod, Some(PodName::new("default", "web")));
    assert_eq!(port.attachment.as_deref(), Some("web.eth0"));
    assert_eq!(seen.neighbours.len(), 2, "one per family: {seen:?}");
    let (wanted, _) = desired(&node(&cidrs), &[]);
    assert_eq!(diff(&wanted, &seen), []);
    // By a plan that was made while the port was in flight.
    assert_eq!(world.kernel().apply(&Op::Retire(slot(2))), Ok(()));
    assert_eq!(observe(world).ports, seen.ports);
}

fn a_taken_slot_is_passed_over<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let (one, two) = (world.sandbox(), world.sandbox());
    assert_eq!(
        attach(world, &cidrs, "one", slot(7), &one),
        Ok(Some(slot(7)))
    );
    assert_eq!(
        attach(world, &cidrs, "two", slot(7), &two),
        Ok(Some(slot(8)))
    );
}

fn a_wish_is_kept_and_a_plan_leaves_it_alone<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let (eth0, pod) = (link("eth0"), PodName::new("default", "web"));
    let asked = mac("02:00:00:00:00:09");
    let request = Attach {
        bridge: &link(BRIDGE),
        cidrs: &cidrs,
        id: &id("web"),
        interface: &eth0,
        pod: &pod,
        mtu_bytes: 1500,
        wishes: Wishes {
            mac: Some(asked),
            ..Wishes::default()
        },
    };
    let sandbox = world.sandbox();
    assert!(!world.kernel().is_taken(slot(9)));
    world
        .kernel()
        .attach(&request, slot(9), &sandbox)
        .expect("attached");
    assert!(world.kernel().is_taken(slot(9)));
    let seen = observe(world);
    let port = &seen.ports[&slot(9)];
    assert_eq!((port.mac, port.pod.as_ref()), (Some(asked), Some(&pod)));
    let macs: Vec<Mac> = seen.neighbours.iter().map(|n| n.mac).collect();
    assert_eq!(macs, [asked, asked], "one per family");
    let (wanted, _) = desired(&node(&cidrs), &[]);
    assert_eq!(diff(&wanted, &seen), []);
}

fn an_attachment_exists_once<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let (one, two) = (world.sandbox(), world.sandbox());
    attach(world, &cidrs, "web", slot(2), &one).expect("attached");
    let before = observe(world);
    let error = attach(world, &cidrs, "web", slot(3), &two).expect_err("the same attachment");
    assert_eq!(error.refusal(), Refusal::Exists);
    assert!(error.to_string().contains("web.eth0"), "{error}");
    let after = observe(world);
    assert_eq!(after.ports, before.ports, "nothing half-made stays");
    assert_eq!(after.neighbours, before.neighbours);
}

fn a_pod_has_one_interface_of_a_name<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let sandbox = world.sandbox();
    attach(world, &cidrs, "one", slot(2), &sandbox).expect("attached");
    let error = attach(world, &cidrs, "two", slot(2), &sandbox).expect_err("eth0 is taken");
    assert_eq!(error.refusal(), Refusal::Exists);
    assert!(error.to_string().contains("eth0 in the pod"), "{error}");
    assert_eq!(observe(world).ports.len(), 1);
}

fn detach_frees_the_slot_at_once<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let (one, two) = (world.sandbox(), world.sandbox());
    attach(world, &cidrs, "one", slot(2), &one).expect("attached");
    assert_eq!(world.kernel().detach(&id("one")), Ok(Some(slot(2))));
    assert_eq!(world.kernel().detach(&id("one")), Ok(None), "idempotent");
    assert_eq!(observe(world).dead_links, 1);
    assert_eq!(
        attach(world, &cidrs, "two", slot(2), &two),
        Ok(Some(slot(2)))
    );
    assert_eq!(world.kernel().reap(), Ok(()));
    assert_eq!(world.kernel().reap(), Ok(()), "nothing to reap is no error");
    let seen = observe(world);
    assert_eq!((seen.dead_links, seen.ports.len()), (0, 1));
}

fn without_a_bridge_nothing_is_attached<W: World>(world: &W) {
    let error = attach(world, &both_families(), "web", slot(2), &world.sandbox())
        .expect_err("there is no bridge");
    assert_eq!(error.refusal(), Refusal::NoDevice);
    assert!(error.to_string().contains("cbr0"), "{error}");
}

fn the_1024th_port_is_refused<W: World>(world: &W) {
    let wide = cidrs(&["10.244.0.0/20"]);
    bridge_only(world, &wide);
    world.fill_bridge(1022);
    let (one, two) = (world.sandbox(), world.sandbox());
    attach(world, &wide, "last", slot(2), &one).expect("the 1,023rd port");
    let error = attach(world, &wide, "over", slot(2), &two).expect_err("one too many");
    assert_eq!(error.refusal(), Refusal::Full);
    assert!(error.to_string().contains("1,023 ports"), "{error}");
    assert_eq!(observe(world).ports.len(), 1, "nothing half-made stays");
}

fn what_exists_and_what_is_missing_is_refused<W: World>(world: &W) {
    let refusal = |op: Op| world.kernel().apply(&op).map_err(|e| e.refusal());
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let to = route("10.244.1.0/24", "172.30.0.12");
    assert_eq!(refusal(Op::AddRoute(to.clone())), Ok(()));
    assert_eq!(refusal(Op::AddRoute(to.clone())), Err(Refusal::Exists));
    assert_eq!(refusal(Op::DeleteRoute(to.clone())), Ok(()));
    assert_eq!(refusal(Op::DeleteRoute(to)), Err(Refusal::NoEntry));
    let unreachable = Op::AddRoute(route("10.244.1.0/24", "192.0.2.1"));
    assert_eq!(refusal(unreachable), Err(Refusal::Other));

    let bridge = || link(BRIDGE);
    let gateway = "10.244.0.1/24".parse().expect("a network");
    assert_eq!(
        refusal(Op::AddAddress(bridge(), gateway)),
        Err(Refusal::Exists)
    );
    let other = "10.9.0.1/24".parse().expect("a network");
    assert_eq!(
        refusal(Op::DeleteAddress(bridge(), other)),
        Err(Refusal::NoEntry)
    );
    let neighbour = Neighbour {
        address: "10.244.0.9".parse().expect("an address"),
        mac: mac("0a:58:0a:f4:00:09"),
        device: bridge(),
    };
    assert_eq!(refusal(Op::SetNeighbour(neighbour.clone())), Ok(()));
    assert_eq!(
        refusal(Op::SetNeighbour(neighbour.clone())),
        Ok(()),
        "idempotent"
    );
    assert_eq!(refusal(Op::DeleteNeighbour(neighbour.clone())), Ok(()));
    assert_eq!(
        refusal(Op::DeleteNeighbour(neighbour)),
        Err(Refusal::NoEntry)
    );
    let again = Op::CreateBridge {
        name: bridge(),
        mac: mac("0a:58:0a:f4:00:01"),
        mtu_bytes: 1500,
    };
    assert_eq!(refusal(again), Err(Refusal::Exists));
    assert_eq!(refusal(Op::Retire(slot(9))), Err(Refusal::NoDevice));
    assert_eq!(refusal(Op::SetUp(link("nosuch"))), Err(Refusal::NoDevice));
}

fn a_lost_bridge_is_rebuilt_with_its_ports<W: World>(world: &W) {
    let cidrs = both_families();
    bridge_only(world, &cidrs);
    let sandbox = world.sandbox();
    attach(world, &cidrs, "web", slot(2), &sandbox).expect("attached");
    let before = observe(world);
    world
        .kernel()
        .apply(&Op::DeleteBridge(link(BRIDGE)))
        .expect("deleted");
    assert_eq!(observe(world).bridge, None);
    assert!(!observe(world).ports[&slot(2)].on_bridge);
    bridge_only(world, &cidrs);
    assert_eq!(observe(world), before);
}

fn routes_move_without_a_stranger_noticing<W: World>(world: &W) {
    let cidrs = both_families();
    world.strangers_route("192.168.7.0/24", "172.30.0.99");
    let (first, _) = desired(&node(&cidrs), &[peer(1)]);
    converge(world, &first);
    let moved = Peer {
        addresses: peer(2).addresses,
        ..peer(1)
    };
    let (second, _) = desired(&node(&cidrs), &[moved]);
    converge(world, &second);
    assert_eq!(observe(world).routes, second.routes);

    // A stranger already routes what should be ours: refused, and left alone.
    world.strangers_route("10.244.3.0/24", "172.30.0.99");
    let op = Op::AddRoute(route("10.244.3.0/24", "172.30.0.14"));
    let refused = world
        .kernel()
        .apply(&op)
        .expect_err("a stranger's route is in the way");
    assert_eq!(refused.refusal(), Refusal::Exists);
}

fn a_used_up_range_is_a_value<W: World>(world: &W) {
    let tiny = cidrs(&["10.244.0.0/30"]);
    bridge_only(world, &tiny);
    let (one, two) = (world.sandbox(), world.sandbox());
    assert_eq!(
        attach(world, &tiny, "one", slot(2), &one),
        Ok(Some(slot(2)))
    );
    assert_eq!(attach(world, &tiny, "two", slot(2), &two), Ok(None));
}

fn a_node_that_withdraws_leaves_nothing<W: World>(world: &W) {
    world.strangers_route("192.168.7.0/24", "172.30.0.99");
    let before = observe(world);
    converge(
        world,
        &desired(&node(&both_families()), &[peer(1), peer(2)]).0,
    );
    converge(world, &Desired::default());
    let after = observe(world);
    assert_eq!(
        (after.bridge, after.routes, after.neighbours),
        (before.bridge, before.routes, before.neighbours)
    );
}

/// What the fake cannot show: packets.
#[test]
fn pods_on_one_bridge_reach_each_other_and_their_gateway_in_both_families() {
    isolated(|| {
        let world = real();
        let cidrs = both_families();
        bridge_only(&world, &cidrs);
        let (one, two) = (world.sandbox(), world.sandbox());
        attach(&world, &cidrs, "one", slot(2), &one).expect("attached");
        attach(&world, &cidrs, "two", slot(3), &two).expect("attached");
        for target in [
            "10.244.0.3",
            "10.244.0.2",
            "10.244.0.1",
            "172.30.0.11",
            "fd00:10:244::3",
            "fd00:10:244::1",
        ] {
            in_netns(std::os::fd::AsFd::as_fd(&one), || {
                sh(&format!("ping -c1 -W10 {target}"))
            })
            .expect("entered");
        }
    });
}

#[test]
fn a_namespace_without_a_single_route_is_observed() {
    isolated(|| {
        let kernel = Linux::open().expect("a netlink socket");
        assert_eq!(kernel.observe(&[]).expect("observed").routes.len(), 0);
    });
}

#[test]
fn the_pods_side_is_mended_in_place() {
    isolated(|| {
        let world = real();
        let cidrs = both_families();
        bridge_only(&world, &cidrs);
        let sandbox = world.sandbox();
        attach(&world, &cidrs, "one", slot(2), &sandbox).expect("attached");
        let show = || {
            in_netns(std::os::fd::AsFd::as_fd(&sandbox), || {
                sh("ip -br address show dev eth0; ip route; ip -6 route; ip neighbour")
            })
            .expect("entered")
        };
        let before = show();
        in_netns(std::os::fd::AsFd::as_fd(&sandbox), || {
            sh("ip address flush dev eth0; ip link set lo down")
        })
        .expect("entered");
        assert_ne!(show(), before);
        let eth0 = link("eth0");
        let request = Attach {
            bridge: &link(BRIDGE),
            cidrs: &cidrs,
            id: &id("one"),
            interface: &eth0,
            pod: &PodName::new("default", "one"),
            mtu_bytes: 1500,
            wishes: Wishes::default(),
        };
        for _ in 0..2 {
            world
                .kernel()
                .mend_sandbox(&request, slot(2), &sandbox)
                .expect("mended");
            for address in [
                "10.244.0.2/24",
                "fd00:10:244::2/64",
                "default via 10.244.0.1",
                "default via fd00:10:244::1",
            ] {
                assert!(show().contains(address), "{address} in {}", show());
            }
        }
    });
}
