//! Which pods a daemon set is to make and to delete. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::server::kinds::workload::Share;
use crate::server::object;

/// Whether a node is to run the set's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suits {
    Yes,
    /// It takes no new pod, and leaves those that run.
    MayStay,
    No,
}

pub type Nodes = BTreeMap<String, Suits>;

/// A pod of the set.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Where it stands among the set's pods.
    pub place: usize,
    /// The node it is on, or is made for.
    pub node: String,
    pub terminating: bool,
    pub failed: bool,
    pub finished: bool,
    pub ready: bool,
    pub available: bool,
    /// It is of the present template.
    pub current: bool,
    pub scheduled: bool,
}

/// How pods of an old template are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// By whoever deletes them.
    OnDelete,
    /// So many nodes may be without a pod meanwhile, or have two.
    Rolling { unavailable: i64, surge: i64 },
}

impl Limits {
    pub fn of(set: &Value, desired: i64) -> Limits {
        let strategy = &set["spec"]["updateStrategy"];
        if object::text(strategy, "/type") == "OnDelete" {
            return Limits::OnDelete;
        }
        let share = |field: &str| {
            Share::of(&strategy["rollingUpdate"][field])
                .map_or(0, |share| share.rounded_up(desired))
        };
        let (unavailable, surge) = (share("maxUnavailable"), share("maxSurge"));
        // Both may round to nothing, and then nothing would ever move.
        let unavailable = if surge == 0 {
            unavailable.max(1)
        } else {
            unavailable
        };
        Limits::Rolling { unavailable, surge }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes to make a pod for.
    pub create: BTreeSet<String>,
    /// Places of the pods to delete.
    pub delete: BTreeSet<usize>,
}

/// How many nodes are to run a pod.
pub fn desired(nodes: &Nodes) -> i64 {
    count(nodes.values().filter(|suits| **suits == Suits::Yes).count())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub fn next(nodes: &Nodes, daemons: &[Daemon], limits: &Limits) -> Plan {
    let mut plan = Plan::default();
    let mut by_node: BTreeMap<&str, Vec<&Daemon>> = BTreeMap::new();
    for daemon in daemons {
        by_node.entry(&daemon.node).or_default().push(daemon);
    }
    for (node, suits) in nodes {
        let here = by_node.get(node.as_str()).map_or(&[][..], Vec::as_slice);
        match suits {
            Suits::Yes => keep_one(node, here, limits, &mut plan),
            Suits::MayStay => delete(
                here.iter().filter(|daemon| daemon.failed).copied(),
                &mut plan,
            ),
            Suits::No => delete(here.iter().copied(), &mut plan),
        }
    }
    // Pods for nodes that are gone, and that nobody will ever bind.
    let lost = daemons
        .iter()
        .filter(|daemon| !nodes.contains_key(&daemon.node) && !daemon.scheduled);
    delete(lost, &mut plan);
    roll(nodes, &by_node, limits, &mut plan);
    plan
}

fn delete<'a>(daemons: impl Iterator<Item = &'a Daemon>, plan: &mut Plan) {
    let going = daemons.filter(|daemon| !daemon.terminating);
    plan.delete.extend(going.map(|daemon| daemon.place));
}

/// A node that suits has one pod, or two while they are exchanged (`podsShouldBeOnNode`).
fn keep_one(node: &str, here: &[&Daemon], limits: &Limits, plan: &mut Plan) {
    let (failed, alive): (Vec<&Daemon>, Vec<&Daemon>) =
        here.iter().partition(|daemon| daemon.failed);
    delete(failed.into_iter(), plan);
    // A pod that is going leaves its place only when it is gone.
    if here.is_empty() {
        plan.create.insert(node.to_owned());
    }
    let staying = alive.into_iter().filter(|daemon| !daemon.terminating);
    let (new, old): (Vec<&Daemon>, Vec<&Daemon>) = staying.partition(|daemon| daemon.current);
    let surging = matches!(limits, Limits::Rolling { surge: 1.., .. });
    if surging && !new.is_empty() {
        // The old one serves until the new one does.
        let served = new.iter().any(|daemon| daemon.available);
        delete(new.into_iter().skip(1), plan);
        delete(old.into_iter().skip(usize::from(!served)), plan);
    } else {
        delete(new.into_iter().chain(old).skip(1), plan);
    }
}

/// Exchanges pods of an old template, as many at a time as may be missing or doubled.
fn roll(nodes: &Nodes, by_node: &BTreeMap<&str, Vec<&Daemon>>, limits: &Limits, plan: &mut Plan) {
    let Limits::Rolling { unavailable, surge } = *limits else {
        return;
    };
    let wanted = nodes.iter().filter(|(_, suits)| **suits == Suits::Yes);
    let mut missing = 0;
    let mut doubled = 0;
    let mut outdated: Vec<(&str, &Daemon)> = Vec::new();
    for (node, _) in wanted {
        let here = by_node.get(node.as_str()).map_or(&[][..], Vec::as_slice);
        let staying =
            |daemon: &&&Daemon| !daemon.terminating && !plan.delete.contains(&daemon.place);
        let staying: Vec<&&Daemon> = here.iter().filter(staying).collect();
        missing += i64::from(!staying.iter().any(|daemon| daemon.available));
        doubled += i64::from(staying.len() > 1);
        if let [only] = staying.as_slice()
            && !only.current
        {
            outdated.push((node, only));
        }
    }
    if surge > 0 {
        for (node, _) in outdated
            .into_iter()
            .take(usize::try_from(surge - doubled).unwrap_or(0))
        {
            plan.create.insert(node.to_owned());
        }
        return;
    }
    let mut may_go = unavailable - missing;
    for (_, daemon) in outdated {
        // One that serves nobody takes nothing away by going.
        if !daemon.available {
            plan.delete.insert(daemon.place);
        } else if may_go > 0 {
            may_go -= 1;
            plan.delete.insert(daemon.place);
        }
    }
}

/// The numbers of the status (`updateDaemonSetStatus`).
pub fn status(nodes: &Nodes, daemons: &[Daemon]) -> Value {
    let mut current = 0;
    let mut misscheduled = 0;
    let (mut ready, mut available, mut updated) = (0, 0, 0);
    for (node, suits) in nodes {
        let here: Vec<&Daemon> = daemons
            .iter()
            .filter(|daemon| daemon.node == *node && !daemon.terminating)
            .collect();
        if here.is_empty() {
            continue;
        }
        if *suits != Suits::Yes {
            misscheduled += i64::from(here.iter().any(|daemon| !daemon.finished));
            continue;
        }
        current += 1;
        ready += i64::from(here.iter().any(|daemon| daemon.ready));
        available += i64::from(here.iter().any(|daemon| daemon.available));
        updated += i64::from(here.iter().any(|daemon| daemon.current));
    }
    let desired = desired(nodes);
    json!({
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn daemon(place: usize, node: usize, current: bool, available: bool) -> Daemon {
        Daemon {
            place,
            node: format!("n{node}"),
            terminating: false,
            failed: false,
            finished: false,
            ready: available,
            available,
            current,
            scheduled: true,
        }
    }

    fn nodes(suits: &[Suits]) -> Nodes {
        suits
            .iter()
            .enumerate()
            .map(|(index, suits)| (format!("n{index}"), *suits))
            .collect()
    }

    fn unserved(nodes: &Nodes, daemons: &[Daemon]) -> i64 {
        let served = |node: &&String| {
            daemons
                .iter()
                .any(|daemon| daemon.node == **node && daemon.available)
        };
        count(nodes.keys().filter(|node| !served(node)).count())
    }

    proptest! {
        #[test]
        fn an_exchange_ends_with_one_new_pod_each_and_never_misses_too_many(
            size in 1_usize..8, unavailable in 0_i64..4, surge in 0_i64..4,
        ) {
            prop_assume!((unavailable > 0) != (surge > 0));
            let nodes = nodes(&vec![Suits::Yes; size]);
            let limits = Limits::Rolling { unavailable, surge };
            let mut daemons: Vec<Daemon> =
                (0..size).map(|node| daemon(node, node, false, true)).collect();
            let mut place = size;
            for _ in 0..100 {
                let plan = next(&nodes, &daemons, &limits);
                daemons.retain(|daemon| !plan.delete.contains(&daemon.place));
                prop_assert!(unserved(&nodes, &daemons) <= unavailable);
                prop_assert!(daemons.len() <= size + usize::try_from(surge).unwrap());
                // What was made before gets ready before more is made.
                daemons.iter_mut().for_each(|daemon| daemon.available = true);
                for node in plan.create {
                    let mut made = daemon(place, 0, true, false);
                    made.node = node;
                    daemons.push(made);
                    place += 1;
                }
            }
            prop_assert_eq!(daemons.len(), size);
            prop_assert!(daemons.iter().all(|daemon| daemon.current));
        }

        #[test]
        fn every_node_that_suits_gets_one_and_no_other_keeps_any(
            suits in prop::collection::vec(
                prop::sample::select(vec![Suits::Yes, Suits::MayStay, Suits::No]), 1..6,
            ),
            on in prop::collection::vec(0_usize..6, 0..8),
        ) {
            let nodes = nodes(&suits);
            let daemons: Vec<Daemon> = on
                .iter()
                .enumerate()
                .map(|(place, node)| daemon(place, *node, true, true))
                .collect();
            let plan = next(&nodes, &daemons, &Limits::OnDelete);
            for (node, suits) in &nodes {
                let stay = daemons
                    .iter()
                    .filter(|one| one.node == *node && !plan.delete.contains(&one.place))
                    .count();
                let had = daemons.iter().filter(|one| one.node == *node).count();
                let expected = match suits {
                    Suits::Yes => 1,
                    Suits::MayStay => had,
                    Suits::No => 0,
                };
                prop_assert_eq!(stay + usize::from(plan.create.contains(node)), expected);
            }
        }
    }

    #[test]
    fn a_failed_pod_makes_room_before_its_successor_comes() {
        let nodes = nodes(&[Suits::Yes]);
        let mut failed = daemon(0, 0, true, false);
        failed.failed = true;
        let plan = next(&nodes, &[failed], &Limits::OnDelete);
        assert_eq!((plan.create.len(), plan.delete.len()), (0, 1));
        assert_eq!(next(&nodes, &[], &Limits::OnDelete).create.len(), 1);
    }
}
