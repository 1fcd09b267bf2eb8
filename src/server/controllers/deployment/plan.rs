//! How many pods each replica set of a deployment is to have next. Pure.
//!
//! Invariants of a rolling update: never more than `replicas + maxSurge` pods, and never a step that
//! takes an available pod away while only `replicas - maxUnavailable` are.

use serde_json::Value;

use crate::server::controllers::workload::number;
use crate::server::kinds::workload::Share;
use crate::server::object;

const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// What a deployment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub replicas: i64,
    /// Pods beyond `replicas` while there are old ones.
    pub surge: i64,
    /// Pods of `replicas` that may be missing meanwhile.
    pub unavailable: i64,
    /// All old pods go before the first new one comes.
    pub recreate: bool,
}

impl Limits {
    pub fn of(deployment: &Value) -> Limits {
        let replicas = number(deployment, "/spec/replicas");
        let strategy = &deployment["spec"]["strategy"];
        let share = |field: &str| Share::of(&strategy["rollingUpdate"][field]);
        let recreate = object::text(strategy, "/type") == "Recreate";
        if recreate {
            return Limits {
                replicas,
                surge: 0,
                unavailable: replicas,
                recreate,
            };
        }
        let surge = share("maxSurge").map_or(0, |share| share.rounded_up(replicas));
        let mut unavailable =
            share("maxUnavailable").map_or(0, |share| share.rounded_down(replicas));
        // Both may round to nothing, and then nothing would ever move.
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Limits {
            replicas,
            surge,
            unavailable: unavailable.min(replicas),
            recreate,
        }
    }

    fn most(&self) -> i64 {
        match self.replicas {
            0 => 0,
            replicas => replicas.saturating_add(self.surge),
        }
    }

    pub fn least_available(&self) -> i64 {
        self.replicas - self.unavailable
    }
}

/// A replica set's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Pods it is told to have.
    pub wanted: i64,
    /// Pods it has.
    pub has: i64,
    pub ready: i64,
    pub available: i64,
    /// For how many pods of the deployment it was sized; `None` where it does not say.
    pub desired: Option<i64>,
    /// What the deployment's limit was then.
    pub most: Option<i64>,
}

impl Set {
    pub fn of(set: &Value) -> Set {
        let annotation = |key: &str| {
            let annotations = set.pointer("/metadata/annotations")?;
            annotations.get(key)?.as_str()?.parse().ok()
        };
        Set {
            wanted: number(set, "/spec/replicas"),
            has: number(set, "/status/replicas"),
            ready: number(set, "/status/readyReplicas"),
            available: number(set, "/status/availableReplicas"),
            desired: annotation(DESIRED),
            most: annotation(MOST),
        }
    }
}

/// Notes on a set for which deployment size it was sized.
pub fn annotate(set: &mut Value, limits: &Limits) {
    let annotations = object::map(&mut set["metadata"], "annotations");
    annotations.insert(DESIRED.into(), limits.replicas.to_string().into());
    let most = limits.replicas.saturating_add(limits.surge);
    annotations.insert(MOST.into(), most.to_string().into());
}

/// Whether the deployment's size has changed since its sets were sized.
pub fn is_resized(sets: &[Set], limits: &Limits) -> bool {
    sets.iter().filter(|set| set.wanted > 0).any(|set| {
        set.desired
            .is_some_and(|desired| desired != limits.replicas)
    })
}

/// The size of a new set that is about to be made.
pub fn first_size(sets: &[Set], limits: &Limits) -> i64 {
    let total: i64 = sets.iter().map(|set| set.wanted).sum();
    match limits.recreate {
        true => limits.replicas,
        false => (limits.most() - total).clamp(0, limits.replicas),
    }
}

/// All of the deployment's pods to the new set.
pub fn whole(sets: &[Set], new: usize, limits: &Limits) -> Vec<(usize, i64)> {
    changes(sets, vec![(new, limits.replicas)])
}

/// No pods to the old sets.
pub fn without_old(sets: &[Set], new: Option<usize>) -> Vec<(usize, i64)> {
    let old = (0..sets.len()).filter(|place| Some(*place) != new);
    changes(sets, old.map(|place| (place, 0)).collect())
}

/// The next step of a rolling update: the new set grows, or, if it cannot, old ones shrink.
pub fn rolling(sets: &[Set], new: usize, limits: &Limits) -> Vec<(usize, i64)> {
    let target = sets[new];
    let total: i64 = sets.iter().map(|set| set.wanted).sum();
    if target.wanted > limits.replicas {
        return vec![(new, limits.replicas)];
    }
    let room = (limits.most() - total).min(limits.replicas - target.wanted);
    if room > 0 {
        return vec![(new, target.wanted + room)];
    }
    shrink_old(sets, new, limits, total)
}

fn shrink_old(sets: &[Set], new: usize, limits: &Limits, total: i64) -> Vec<(usize, i64)> {
    let mut wanted: Vec<i64> = sets.iter().map(|set| set.wanted).collect();
    let old = || (0..sets.len()).filter(|place| *place != new);
    // New pods that are not available yet may take none away.
    let unavailable_new = sets[new].wanted - sets[new].available;
    let mut may_go = total - limits.least_available() - unavailable_new;
    // Pods that serve nobody go first: that takes nothing from anyone.
    for place in old() {
        let idle = (wanted[place] - sets[place].available).clamp(0, may_go.max(0));
        wanted[place] -= idle;
        may_go -= idle;
    }
    let available: i64 = sets.iter().map(|set| set.available).sum();
    let mut may_go = (available - limits.least_available()).min(may_go);
    for place in old() {
        let gone = wanted[place].clamp(0, may_go.max(0));
        wanted[place] -= gone;
        may_go -= gone;
    }
    changes(sets, wanted.into_iter().enumerate().collect())
}

/// A deployment of another size: its sets grow or shrink in proportion, so that a rollout under way
/// keeps its balance.
pub fn scaled(sets: &[Set], new: Option<usize>, limits: &Limits) -> Vec<(usize, i64)> {
    let active: Vec<usize> = (0..sets.len())
        .filter(|place| sets[*place].wanted > 0)
        .collect();
    match active.as_slice() {
        [] => {
            let only = new.or(sets.len().checked_sub(1));
            return sized(
                sets,
                only.map(|place| (place, limits.replicas))
                    .into_iter()
                    .collect(),
                limits,
            );
        }
        [only] => return sized(sets, vec![(*only, limits.replicas)], limits),
        _ => {}
    }
    if let Some(new) = new.filter(|new| is_saturated(&sets[*new], limits)) {
        return without_old(sets, Some(new));
    }
    if limits.recreate {
        return Vec::new();
    }
    sized(sets, proportional(sets, &active, limits), limits)
}

fn is_saturated(set: &Set, limits: &Limits) -> bool {
    set.wanted == limits.replicas
        && set.desired == Some(limits.replicas)
        && set.available == limits.replicas
}

fn proportional(sets: &[Set], active: &[usize], limits: &Limits) -> Vec<(usize, i64)> {
    let total: i64 = active.iter().map(|place| sets[*place].wanted).sum();
    let to_add = limits.most() - total;
    let mut order = active.to_vec();
    // The largest first; of equal ones the newest grows and the oldest shrinks first.
    order.sort_by_key(|place| {
        let age = i64::try_from(*place).unwrap_or(0);
        (-sets[*place].wanted, if to_add > 0 { -age } else { age })
    });
    let mut left = to_add;
    let mut sizes: Vec<(usize, i64)> = order
        .iter()
        .map(|place| {
            let set = sets[*place];
            let share = match left {
                0 => 0,
                _ => bounded(fraction(set, limits), left),
            };
            left -= share;
            (*place, (set.wanted + share).max(0))
        })
        .collect();
    // What rounding left over: the largest takes it, as far as it can.
    for (_, size) in &mut sizes {
        let after = (*size + left).max(0);
        left -= after - *size;
        *size = after;
    }
    sizes
}

/// What is a set's part in the change, rounded.
fn fraction(set: Set, limits: &Limits) -> i64 {
    if limits.replicas == 0 {
        return -set.wanted;
    }
    let before = set.most.filter(|most| *most > 0).unwrap_or(limits.most());
    let scaled = set.wanted.saturating_mul(limits.most());
    (scaled.saturating_mul(2) + before) / (before * 2) - set.wanted
}

/// `share` between nothing and what is left to give or to take.
fn bounded(share: i64, left: i64) -> i64 {
    match left {
        ..0 => share.clamp(left, 0),
        _ => share.clamp(0, left),
    }
}

/// Changes of size, and sets that are of the right size but sized for another deployment.
fn sized(sets: &[Set], wanted: Vec<(usize, i64)>, limits: &Limits) -> Vec<(usize, i64)> {
    let mut all = wanted;
    for (place, set) in sets.iter().enumerate() {
        if set.wanted > 0 && !all.iter().any(|(other, _)| *other == place) {
            all.push((place, set.wanted));
        }
    }
    all.retain(|(place, size)| {
        sets[*place].wanted != *size || sets[*place].desired != Some(limits.replicas)
    });
    all
}

fn changes(sets: &[Set], mut wanted: Vec<(usize, i64)>) -> Vec<(usize, i64)> {
    wanted.retain(|(place, size)| sets[*place].wanted != *size);
    wanted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(wanted: i64, available: i64) -> Set {
        Set {
            wanted,
            has: wanted,
            ready: available,
            available,
            desired: None,
            most: None,
        }
    }

    /// What replica sets and pods do between two looks: they follow, and some new pods get ready.
    fn live(sets: &mut [Set], resizes: &[(usize, i64)], ready: i64) {
        for (place, size) in resizes {
            sets[*place].wanted = *size;
        }
        for set in sets {
            set.has = set.wanted;
            // Pods that are not available go first.
            set.available = set.available.min(set.wanted);
            set.available += ready.min(set.wanted - set.available);
        }
    }

    proptest! {
        #[test]
        fn a_rolling_update_ends_and_keeps_its_promises(
            replicas in 1_i64..20, surge in 0_i64..8, unavailable in 0_i64..8,
            readiness in prop::collection::vec(0_i64..4, 1..8),
        ) {
            prop_assume!(surge + unavailable > 0);
            let limits = Limits {
                replicas, surge, unavailable: unavailable.min(replicas), recreate: false,
            };
            let mut sets = [set(replicas, replicas), set(0, 0)];
            for round in 0..1000 {
                let resizes = rolling(&sets, 1, &limits);
                let ready = readiness[round % readiness.len()].max(i64::from(round > 500));
                live(&mut sets, &resizes, ready);
                let total: i64 = sets.iter().map(|set| set.wanted).sum();
                let available: i64 = sets.iter().map(|set| set.available).sum();
                prop_assert!(total <= replicas + surge, "{sets:?}");
                prop_assert!(available >= limits.least_available(), "{sets:?}");
            }
            prop_assert_eq!((sets[0].wanted, sets[1].wanted), (0, replicas));
        }

        #[test]
        fn scaling_keeps_to_the_limit_and_settles(
            sizes in prop::collection::vec(0_i64..10, 1..4), replicas in 0_i64..30,
            surge in 0_i64..5, before in 1_i64..30,
        ) {
            let limits = Limits { replicas, surge, unavailable: 1, recreate: false };
            let mut sets: Vec<Set> = sizes
                .iter()
                .map(|size| Set { desired: Some(before), most: Some(before), ..set(*size, 0) })
                .collect();
            let new = Some(sets.len() - 1);
            for (place, size) in scaled(&sets, new, &limits) {
                prop_assert!(size >= 0);
                sets[place].wanted = size;
                sets[place].desired = Some(replicas);
                sets[place].most = Some(replicas + surge);
            }
            let total: i64 = sets.iter().map(|set| set.wanted).sum();
            prop_assert!(total <= limits.most().max(replicas), "{sets:?}");
            prop_assert!(!is_resized(&sets, &limits), "{sets:?}");
        }
    }

    #[test]
    fn shares_of_a_deployment() {
        let limits = |update: Value| {
            Limits::of(&serde_json::json!({"spec": {"replicas": 10, "strategy": {
                "type": "RollingUpdate", "rollingUpdate": update,
            }}}))
        };
        let quarter = limits(serde_json::json!({"maxSurge": "25%", "maxUnavailable": "25%"}));
        assert_eq!((quarter.surge, quarter.unavailable), (3, 2));
        let nothing = limits(serde_json::json!({"maxSurge": 0, "maxUnavailable": "5%"}));
        assert_eq!((nothing.surge, nothing.unavailable), (0, 1));
    }

    #[test]
    fn a_rollout_under_way_grows_in_proportion() {
        let limits = Limits {
            replicas: 15,
            surge: 3,
            unavailable: 2,
            recreate: false,
        };
        let sized = |wanted: i64| Set {
            desired: Some(10),
            most: Some(13),
            ..set(wanted, wanted)
        };
        // Kubernetes' documentation has this very example: 10 to 15 pods, 8 old and 5 new ones.
        assert_eq!(
            scaled(&[sized(8), sized(5)], Some(1), &limits),
            [(0, 11), (1, 7)]
        );
    }
}
