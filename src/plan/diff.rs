//! The difference between what should be and what is, as an ordered plan.
//!
//! What makes something reachable comes before what uses it, and everything is
//! added before anything is taken away.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use crate::ipam;
use crate::model::Slot;

use super::op::{Op, Plan};
use super::state::{
    BRIDGE_NAME, BRIDGE_WITHOUT_IPV6, Bridge, Desired, Neighbour, Observed, Port, Route, Sysctl,
};

/// Pure and total. `diff` of a state that was reached is empty.
pub fn diff(desired: &Desired, observed: &Observed) -> Plan {
    let mut plan = Plan::new();
    if let Some(bridge) = &desired.bridge {
        build_bridge(bridge, observed, &mut plan);
    }
    let (last, first): (Vec<&Sysctl>, Vec<&Sysctl>) = desired
        .sysctls
        .iter()
        .partition(|s| takes_addresses_along(s));
    set_sysctls(&first, observed, &mut plan);
    let mut strange = Vec::new();
    if let Some(bridge) = &desired.bridge {
        strange = set_addresses(bridge, observed, &mut plan);
        mend_ports(bridge, desired, observed, &mut plan);
    }
    let wanted = all_neighbours(desired, observed);
    let standing = unflushed_neighbours(desired, observed);
    let missing = wanted.iter().filter(|n| !standing.contains(n));
    plan.extend(missing.cloned().map(Op::SetNeighbour));
    let obsolete_routes = add_routes(desired, observed, &mut plan);

    plan.extend(obsolete_routes.into_iter().map(Op::DeleteRoute));
    let keys: BTreeSet<_> = wanted.iter().map(|n| (n.address, &n.device)).collect();
    let obsolete = standing
        .into_iter()
        .filter(|n| !keys.contains(&(n.address, &n.device)));
    plan.extend(obsolete.cloned().map(Op::DeleteNeighbour));
    plan.extend(strange);
    let in_flight = |slot: &&Slot| observed.ports.get(slot).is_some_and(|p| p.pod.is_none());
    plan.extend(
        desired
            .expired
            .iter()
            .filter(in_flight)
            .copied()
            .map(Op::Retire),
    );
    set_sysctls(&last, observed, &mut plan);
    remove_bridge(desired, observed, &mut plan);
    plan
}

/// What is left of the neighbours when the bridge is as it should be: a link
/// whose MAC changes loses even the permanent ones (net/core/neighbour.c,
/// neigh_changeaddr).
fn unflushed_neighbours<'a>(desired: &Desired, observed: &'a Observed) -> BTreeSet<&'a Neighbour> {
    let changed = match (&desired.bridge, &observed.bridge) {
        (Some(bridge), Some(found)) if found.mac != bridge.mac => Some(&bridge.name),
        _ => None,
    };
    let all = observed.neighbours.iter();
    all.filter(|n| Some(&n.device) != changed).collect()
}

/// Switching IPv6 off flushes what the plan would then fail to delete.
fn takes_addresses_along(sysctl: &Sysctl) -> bool {
    sysctl.key == BRIDGE_WITHOUT_IPV6 && sysctl.value == "1"
}

/// After the bridge is there, since some of them are its own.
fn set_sysctls(wanted: &[&Sysctl], observed: &Observed, plan: &mut Plan) {
    for sysctl in wanted {
        let current = observed.sysctls.get(sysctl.key).map(String::as_str);
        if current != Some(sysctl.value) {
            plan.push(Op::SetSysctl((*sysctl).clone()));
        }
    }
}

fn build_bridge(bridge: &Bridge, observed: &Observed, plan: &mut Plan) {
    let name = || bridge.name.clone();
    match &observed.bridge {
        None => plan.push(Op::CreateBridge {
            name: name(),
            mac: bridge.mac,
            mtu_bytes: bridge.mtu_bytes,
        }),
        Some(found) => {
            if found.mac != bridge.mac {
                plan.push(Op::SetMac(name(), bridge.mac));
            }
            if found.mtu_bytes != bridge.mtu_bytes {
                plan.push(Op::SetMtu(name(), bridge.mtu_bytes));
            }
            if !found.up {
                plan.push(Op::SetUp(name()));
            }
        }
    }
}

/// Answers with the addresses that are to go, after the neighbours: with its last
/// IPv4 address a link loses those (net/ipv4/fib_frontend.c, fib_disable_ip). But
/// Linux refuses an IPv6 address that is there with another prefix
/// (net/ipv6/addrconf.c, ipv6_add_addr), so that one goes first.
fn set_addresses(bridge: &Bridge, observed: &Observed, plan: &mut Plan) -> Vec<Op> {
    let wanted: BTreeSet<IpNetwork> = ipam::gateways(&bridge.cidrs).into_iter().collect();
    let present = observed.bridge.as_ref().map(|found| &found.addresses);
    let is_present = |a: &IpNetwork| present.is_some_and(|present| present.contains(a));
    let in_the_way = |a: &IpNetwork| a.is_ipv6() && wanted.iter().any(|w| w.ip() == a.ip());
    let strange = present.into_iter().flatten();
    let (first, last): (Vec<IpNetwork>, Vec<IpNetwork>) = strange
        .filter(|a| !wanted.contains(a))
        .partition(|a| in_the_way(a));
    let delete = |a: IpNetwork| Op::DeleteAddress(bridge.name.clone(), a);
    plan.extend(first.into_iter().map(delete));
    let missing = wanted.iter().filter(|a| !is_present(a));
    plan.extend(missing.map(|a| Op::AddAddress(bridge.name.clone(), *a)));
    last.into_iter().map(delete).collect()
}

/// A committed port belongs on the bridge, up, with hairpin on.
fn mend_ports(bridge: &Bridge, desired: &Desired, observed: &Observed, plan: &mut Plan) {
    for (slot, port) in committed(desired, observed) {
        let on_bridge = port.on_bridge && observed.bridge.is_some();
        if !on_bridge {
            plan.push(Op::SetMaster {
                port: *slot,
                bridge: bridge.name.clone(),
            });
        }
        // Leaving a bridge takes the port's flags along (net/bridge/br_if.c, del_nbp).
        if !port.hairpin || !on_bridge {
            plan.push(Op::SetHairpin(*slot));
        }
        if !port.up {
            plan.push(Op::SetPortUp(*slot));
        }
    }
}

fn committed<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a Slot, &'a Port)> {
    let bridge = desired.bridge.as_ref();
    observed.ports.iter().filter(move |(slot, port)| {
        let ours = bridge.is_some_and(|b| ipam::addresses(&b.cidrs, **slot).is_some());
        port.pod.is_some() && ours
    })
}

/// Those of the other nodes, and those of every port, committed or in flight:
/// an attachment sets its neighbours before it commits.
fn all_neighbours(desired: &Desired, observed: &Observed) -> BTreeSet<Neighbour> {
    let mut all = desired.neighbours.clone();
    let Some(bridge) = &desired.bridge else {
        return all;
    };
    for (slot, port) in &observed.ports {
        let mac = port.mac.or_else(|| ipam::mac(&bridge.cidrs, *slot));
        let found = ipam::addresses(&bridge.cidrs, *slot).zip(mac);
        let Some((addresses, mac)) = found else {
            continue;
        };
        let entries = addresses.into_iter().map(|address| Neighbour {
            address,
            mac,
            device: bridge.name.clone(),
        });
        if port.pod.is_some() {
            all.extend(entries);
        } else if !desired.expired.contains(slot) {
            all.extend(entries.filter(|entry| observed.neighbours.contains(entry)));
        }
    }
    all
}

/// Adds and moves; answers with the routes that are to go.
fn add_routes(desired: &Desired, observed: &Observed, plan: &mut Plan) -> Vec<Route> {
    let mut obsolete: BTreeMap<IpNetwork, Vec<&Route>> = BTreeMap::new();
    for route in observed.routes.difference(&desired.routes) {
        obsolete.entry(route.destination).or_default().push(route);
    }
    for route in desired.routes.difference(&observed.routes) {
        match obsolete.get_mut(&route.destination).and_then(Vec::pop) {
            Some(old) => plan.push(Op::MoveRoute {
                from: old.clone(),
                to: route.clone(),
            }),
            None => plan.push(Op::AddRoute(route.clone())),
        }
    }
    obsolete.into_values().flatten().cloned().collect()
}

fn remove_bridge(desired: &Desired, observed: &Observed, plan: &mut Plan) {
    if desired.bridge.is_none() && observed.bridge.is_some() {
        plan.push(Op::DeleteBridge(BRIDGE_NAME));
    }
}
