//! What holds for every plan, from whatever state and towards whichever.

mod life;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;
use podnet::ipam;
use podnet::kernel::Kernel;
use podnet::kernel::fake::Fake;
use podnet::model::NodeCidrs;
use podnet::plan::{Complaint, Desired, Observed, Op, Peer, Plan, Route, desired, diff};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use life::{any_case, any_node, any_peer, apply, half_of_move, observe, pick, text};

/// How far an operation gets that dies in its middle, if it has one.
fn half(op: &Op) -> Option<Op> {
    match op {
        Op::MoveRoute { to, .. } => Some(half_of_move(to)),
        Op::CreateBridge { name, mac, .. } => Some(Op::CreateBridge {
            name: name.clone(),
            mac: *mac,
            mtu_bytes: 1500,
        }),
        _ => None,
    }
}

/// What an operation adds or sets; `None` for those that take away.
fn thing(op: &Op) -> Option<String> {
    Some(match op {
        Op::SetSysctl(sysctl) => format!("sysctl {}", sysctl.key),
        Op::CreateBridge { name, .. } => format!("link {name}"),
        Op::SetMac(name, _) => format!("mac {name}"),
        Op::SetMtu(name, _) => format!("mtu {name}"),
        Op::SetUp(name) => format!("up {name}"),
        Op::AddAddress(name, address) => format!("address {} on {name}", address.ip()),
        Op::SetMaster { port, .. } => format!("master {port}"),
        Op::SetPortUp(port) => format!("up {port}"),
        Op::SetHairpin(port) => format!("hairpin {port}"),
        Op::SetNeighbour(n) => format!("neighbour {} on {}", n.address, n.device),
        Op::AddRoute(to) | Op::MoveRoute { to, .. } => format!("route {}", to.destination),
        Op::DeleteAddress(..)
        | Op::DeleteNeighbour(_)
        | Op::DeleteRoute(_)
        | Op::Retire(_)
        | Op::DeleteBridge(_) => return None,
    })
}

fn in_order(plan: &Plan) -> Result<(), TestCaseError> {
    let mut things = BTreeSet::new();
    let mut deleted = BTreeSet::new();
    for op in plan {
        if let Some(thing) = thing(op) {
            prop_assert!(things.insert(thing), "twice: {op}\n{}", text(plan));
        }
        match op {
            Op::DeleteRoute(route) => {
                deleted.insert(route.destination);
            }
            Op::AddRoute(to) | Op::MoveRoute { to, .. } => {
                let late = deleted.contains(&to.destination);
                prop_assert!(!late, "a gap before {op}\n{}", text(plan));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Without the neighbours of attachments in flight: a plan keeps those that it
/// finds, and each attachment sets its own.
fn settled(kernel: &Fake, wanted: &Desired) -> Observed {
    let mut observed = observe(kernel);
    let in_flight = observed.ports.iter().filter(|(_, port)| port.pod.is_none());
    let cidrs = wanted.bridge.as_ref().map(|bridge| &bridge.cidrs);
    let addresses: Vec<IpAddr> = in_flight
        .filter_map(|(slot, _)| ipam::addresses(cidrs?, *slot))
        .flatten()
        .collect();
    observed
        .neighbours
        .retain(|n| !addresses.contains(&n.address));
    observed
}

proptest! {
    #[test]
    fn one_plan_is_enough_and_touches_no_stranger(case in any_case()) {
        let kernel = case.kernel();
        let wanted = case.goal.desired();
        let (before, strangers) = (observe(&kernel), kernel.strangers());
        let plan = diff(&wanted, &before);
        prop_assert_eq!(&plan, &diff(&wanted, &before), "deterministic");
        in_order(&plan)?;
        apply(&kernel, &plan);
        let after = observe(&kernel);
        let again = diff(&wanted, &after);
        prop_assert!(again.is_empty(), "after\n{}the second plan is\n{}", text(&plan), text(&again));
        prop_assert_eq!(&after.routes, &wanted.routes);
        prop_assert!(after.neighbours.is_superset(&wanted.neighbours));
        prop_assert_eq!(after.bridge.is_some(), wanted.bridge.is_some());
        prop_assert_eq!(strangers, kernel.strangers());
    }

    /// An agent may die anywhere in a plan, also in the middle of an operation.
    #[test]
    fn a_plan_that_was_cut_short_ends_in_the_same_place(case in any_case(), cut: Index, in_middle: bool) {
        let wanted = case.goal.desired();
        let whole = case.kernel();
        let plan = diff(&wanted, &observe(&whole));
        apply(&whole, &plan);

        let kernel = case.kernel();
        let done = cut.index(plan.len() + 1);
        apply(&kernel, &plan[..done]);
        if in_middle && let Some(half) = plan.get(done).and_then(half) {
            // Half of a move reports what it could not take out.
            let _ = kernel.apply(&half);
        }
        apply(&kernel, &diff(&wanted, &observe(&kernel)));
        let (ended, expected) = (settled(&kernel, &wanted), settled(&whole, &wanted));
        prop_assert_eq!(ended, expected, "cut after {} of\n{}", done, text(&plan));
    }

    /// A stranger who routes a destination of ours keeps it; all else goes on.
    #[test]
    fn a_stranger_in_the_way_costs_that_route_only(case in any_case(), which: Index) {
        let wanted = case.goal.desired();
        let kernel = case.kernel();
        let seen = observe(&kernel);
        let new: BTreeSet<Route> = wanted.routes.iter()
            .filter(|route| seen.routes.iter().all(|r| r.destination != route.destination))
            .cloned().collect();
        let Some(contested) = pick(&which, &new) else { return Ok(()) };
        let theirs = Route { via: Ipv4Addr::new(172, 30, 8, 8).into(), ..contested.clone() };
        kernel.add_strangers_route(theirs, 4);
        let strangers = kernel.strangers();
        for op in diff(&wanted, &seen) {
            let refused = kernel.apply(&op).is_err();
            prop_assert_eq!(refused, op == Op::AddRoute(contested.clone()), "{}", op);
        }
        prop_assert_eq!(diff(&wanted, &observe(&kernel)), [Op::AddRoute(contested)]);
        prop_assert_eq!(strangers, kernel.strangers());
    }

    #[test]
    fn every_peer_has_one_route_per_family_or_a_reason(node in any_node(), peers in vec(any_peer(), 0..8)) {
        let (wanted, complaints) = desired(&node, &peers);
        let destinations: BTreeSet<_> = wanted.routes.iter().map(|r| r.destination).collect();
        prop_assert_eq!(destinations.len(), wanted.routes.len(), "no destination twice");
        for route in &wanted.routes {
            let alone = NodeCidrs::new(vec![route.destination]).expect("one range");
            prop_assert!(!alone.overlaps(&node.cidrs), "{:?} covers this node's own", route);
            let others = wanted.routes.iter().filter(|other| *other != route);
            for other in others {
                let other = NodeCidrs::new(vec![other.destination]).expect("one range");
                prop_assert!(!alone.overlaps(&other), "{:?} and {:?}", alone, other);
            }
        }
        let by_name: BTreeMap<_, _> = peers.iter().map(|p| (&p.name, p)).collect();
        let about = |peer: &Peer, cidr: IpNetwork| complaints.iter().any(|c| match c {
            Complaint::Overlap { peer: name, .. } => *name == peer.name,
            Complaint::NoAddress { peer: name, cidr: of } => *name == peer.name && *of == cidr,
        });
        let mut routed = 0;
        for peer in by_name.values() {
            for cidr in peer.cidrs.iter() {
                if about(peer, cidr) {
                    continue;
                }
                routed += 1;
                let via = peer.addresses.iter().find(|a| a.is_ipv4() == cidr.is_ipv4());
                let found = wanted.routes.iter().find(|r| r.destination == cidr).map(|r| &r.via);
                prop_assert!(via.is_some() && found == via, "{} of {}", cidr, peer.name);
            }
        }
        prop_assert_eq!(routed, wanted.routes.len(), "and no others");
        let entries: BTreeSet<_> = wanted.neighbours.iter().map(|n| (n.address, &n.device)).collect();
        prop_assert_eq!(entries.len(), wanted.neighbours.len(), "no neighbour twice");
    }
}
