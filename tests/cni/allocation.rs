//! Who gets which address.

use std::collections::{BTreeMap, BTreeSet};

use nix::sched::{CloneFlags, unshare};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use serde_json::{Value, json};

use crate::place::{
    Call, Pod, add, addresses, del, delete_dead_links, ip, links, network, wait_for_links, with,
};
use crate::support::{isolated, sh};

#[test]
fn three_hundred_at_once_get_as_many_addresses() {
    isolated(|| {
        let config = network(&["10.244.0.0/16", "fd00:10:244::/64"]);
        let pods: Vec<Pod> = (0..300).map(|n| Pod::new(&format!("c{n}"))).collect();
        let results: Vec<_> = std::thread::scope(|scope| {
            let calls: Vec<_> = pods
                .iter()
                .map(|pod| scope.spawn(|| add(pod, &config).done()))
                .collect();
            calls
                .into_iter()
                .map(|c| c.join().expect("added"))
                .collect()
        });
        let given: BTreeSet<String> = results.iter().flat_map(addresses).collect();
        assert_eq!(given.len(), 600, "two families");
        // What is said is what is there.
        for (pod, result) in pods.iter().zip(&results) {
            let is = pod.sh("ip -o address show eth0 scope global");
            for address in addresses(result) {
                assert!(is.contains(&format!(" {address}/")), "{address} in {is}");
            }
        }
        assert_eq!(links().len(), 301);
        let last = addresses(&results[299]);
        assert!(pods[0].reaches(&last[0]) && pods[0].reaches(&last[1]));
    });
}

#[test]
fn after_a_reboot_all_can_be_deleted_and_added() {
    isolated(|| {
        let config = with(
            network(&["10.244.0.0/16", "fd00:10:244::/64"]),
            "ipMasq",
            json!(true),
        );
        let pods: Vec<Pod> = (0..20).map(|n| Pod::new(&format!("c{n}"))).collect();
        let results: Vec<Value> = pods.iter().map(|pod| add(pod, &config).done()).collect();
        let calls: Vec<Call> = pods.iter().map(|pod| Call::new("DEL", pod)).collect();
        drop(pods);
        // All that a node's network was is gone with its namespace.
        unshare(CloneFlags::CLONE_NEWNET).expect("another network namespace");
        assert_eq!(links(), [""; 0]);
        for (call, result) in calls.iter().zip(results) {
            let outcome = call.run(&with(config.clone(), "prevResult", result));
            assert!(outcome.ok, "{outcome:?}");
        }
        assert_eq!(links(), [""; 0], "DEL makes nothing");
        let (one, two) = (Pod::new("c0"), Pod::new("c1"));
        let first = addresses(&add(&one, &config).done());
        assert_eq!(first, ["10.244.0.2", "fd00:10:244::2"]);
        add(&two, &config).done();
        assert!(two.reaches(&first[0]) && two.reaches(&first[1]));
    });
}

/// The order that addresses are given in: the free one that comes next after the last that was
/// given, around the range's end.
#[derive(Default)]
struct Order {
    held: BTreeMap<usize, u8>,
    last: u8,
}

impl Order {
    const ROOM: u8 = 5;

    fn add(&mut self, pod: usize) -> Option<u8> {
        let taken: Vec<u8> = self.held.values().copied().collect();
        let around = (1..=Self::ROOM).map(|n| (self.last + n - 1) % Self::ROOM + 1);
        let given = around.into_iter().find(|n| !taken.contains(n))?;
        self.held.insert(pod, given);
        self.last = given;
        Some(given)
    }
}

#[test]
fn addresses_are_given_in_order_whoever_comes_and_goes() {
    isolated(|| {
        // .2 to .6
        let config = network(&["10.1.0.0/29"]);
        let runs = Runs {
            cases: 12,
            failure_persistence: None,
            ..Runs::default()
        };
        let steps = prop::collection::vec(0..7_usize, 1..30);
        let run = TestRunner::new(runs).run(&steps, |steps| {
            let pods: Vec<Pod> = (0..7).map(|n| Pod::new(&format!("c{n}"))).collect();
            let mut order = Order::default();
            for pod in steps {
                // Who is there goes, who is not comes.
                if order.held.remove(&pod).is_some() {
                    prop_assert!(del(&pods[pod], &config).ok);
                    continue;
                }
                match order.add(pod) {
                    Some(n) => {
                        let given = addresses(&add(&pods[pod], &config).done());
                        prop_assert_eq!(given, [format!("10.1.0.{}", n + 1)]);
                    }
                    None => drop(add(&pods[pod], &config).refused(100)),
                }
            }
            // A fresh bridge for the next run.
            sh("ip link delete cbr0 2>/dev/null || true");
            delete_dead_links();
            drop(pods);
            wait_for_links(&[]);
            Ok(())
        });
        run.expect("the order");
    });
}

#[test]
fn an_address_that_was_freed_is_the_last_to_be_given_again() {
    isolated(|| {
        // .2 to .6
        let config = network(&["10.1.0.0/29"]);
        let pods: Vec<Pod> = (0..9).map(|n| Pod::new(&format!("c{n}"))).collect();
        let take = |n: usize| addresses(&add(&pods[n], &config).done()).remove(0);
        assert_eq!([take(0), take(1)], ["10.1.0.2", "10.1.0.3"]);
        assert!(del(&pods[0], &config).ok);
        assert_eq!([take(2), take(3)], ["10.1.0.4", "10.1.0.5"]);
        assert!(del(&pods[2], &config).ok);
        assert_eq!(
            [take(4), take(5), take(6)],
            ["10.1.0.6", "10.1.0.2", "10.1.0.4"]
        );
        let text = add(&pods[7], &config).refused(100);
        assert!(
            text.contains("10.1.0.0/29") && text.contains("all 5"),
            "{text}"
        );
        assert!(del(&pods[1], &config).ok);
        assert_eq!(take(8), "10.1.0.3");
    });
}

#[test]
fn without_its_hint_allocation_goes_on() {
    isolated(|| {
        let config = network(&["10.1.0.0/29"]);
        let pods: Vec<Pod> = (0..3).map(|n| Pod::new(&format!("c{n}"))).collect();
        add(&pods[0], &config).done();
        sh("ip link set cbr0 alias something-else");
        assert_eq!(addresses(&add(&pods[1], &config).done()), ["10.1.0.3"]);
        sh("ip link set cbr0 alias \"podnet podnet next 4000000000\"");
        assert_eq!(addresses(&add(&pods[2], &config).done()), ["10.1.0.4"]);
    });
}

#[test]
fn a_pod_can_ask_for_its_address_and_mac() {
    isolated(|| {
        let config = network(&["10.1.0.0/24", "fd00:1::/64"]);
        let asked = json!({"ips": ["10.1.0.17/24", "fd00:1::11"], "mac": "02:00:00:00:00:09"});
        let pod = Pod::new("web");
        let result = add(&pod, &with(config.clone(), "runtimeConfig", asked)).done();
        assert_eq!(addresses(&result), ["10.1.0.17", "fd00:1::11"]);
        assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:09");
        assert_eq!(pod.ip("link show eth0")[0]["address"], "02:00:00:00:00:09");
        let neighbour = &ip("neighbour show 10.1.0.17")[0];
        assert_eq!(neighbour["lladdr"], "02:00:00:00:00:09");
        assert!(pod.reaches("10.1.0.1"));

        let ask = |id: &str, arguments: &str| {
            let pod = Pod::new(id);
            let mut call = Call::new("ADD", &pod);
            call.arguments = arguments.to_owned();
            (call.run(&config), pod)
        };
        let (taken, _) = ask("other", "IP=10.1.0.17");
        assert!(taken.refused(102).contains("10.1.0.17"));
        let (gateway, _) = ask("other", "IP=10.1.0.1");
        assert!(gateway.refused(7).contains("10.1.0.1"));
        let (outside, _) = ask("other", "IP=192.0.2.1");
        assert!(outside.refused(7).contains("192.0.2.1"));
        let (free, other) = ask("other", "IP=10.1.0.19;MAC=02:00:00:00:00:0a");
        assert_eq!(addresses(&free.done()), ["10.1.0.19", "fd00:1::13"]);
        assert!(other.reaches("10.1.0.17"));
        // Two that are not a pair.
        let odd = json!({"ips": ["10.1.0.20", "fd00:1::15"]});
        add(
            &Pod::new("odd"),
            &with(config.clone(), "runtimeConfig", odd),
        )
        .refused(7);
    });
}
