//! Killed after each netlink message that ADD and DEL send.
//!
//! Whatever comes next (the same verb again, the other one, GC) must leave the
//! node as if nothing had died: no link that nobody owns, no address that is
//! lost, none that two have.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::place::{Call, Pod, add, addresses, del, network, wait_for, wait_for_links, with};
use crate::support::{isolated, sh};

/// Slots 2 to 6.
const RANGE: &str = "10.1.0.0/29";
const ROOM: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Add,
    Del,
    DelThenAdd,
    Gc,
}

/// Die at message `at`, do `next`, and see that nothing is wrong. Answers whether
/// the verb died at all.
fn die_and_go_on(verb: &'static str, at: usize, next: Next) -> bool {
    let config = network(&[RANGE]);
    let (pod, witness) = (Pod::new("web"), Pod::new("witness"));
    let held = addresses(&add(&witness, &config).done()).remove(0);
    if verb == "DEL" {
        add(&pod, &config).done();
    }
    let mut call = Call::new(verb, &pod);
    call.fault_at = Some(at);
    let died = call.run(&config).killed;
    let context = format!("{verb} killed after message {at}, then {next:?}");
    let mut owners = vec![held];
    match next {
        Next::Add => {
            // What was done to the end, or not undone yet, is still there, whole.
            let again = add(&pod, &config);
            match again.ok {
                true => owners.extend(addresses(&again.json)),
                false => {
                    again.refused(101);
                    assert!(sh("ip link").contains("alias podnet/web"), "{context}");
                    assert!(del(&pod, &config).ok, "{context}");
                }
            }
        }
        Next::Del => assert!(del(&pod, &config).ok, "{context}"),
        Next::DelThenAdd => {
            assert!(del(&pod, &config).ok, "{context}");
            owners.extend(addresses(&add(&pod, &config).done()));
        }
        Next::Gc => {
            let valid = json!([{"containerID": "witness", "ifname": "eth0"}]);
            let outcome =
                Call::bare("GC").run(&with(config.clone(), "cni.dev/valid-attachments", valid));
            assert!(outcome.ok, "{context}: {outcome:?}");
        }
    }
    let mut expected: Vec<String> = owners.iter().map(|a| link_of(a)).collect();
    expected.push("cbr0".to_owned());
    expected.sort_unstable();
    wait_for(&format!("node with {expected:?} ({context})"), || {
        crate::place::links() == expected
    });
    assert!(witness.reaches("10.1.0.1"), "{context}");
    nothing_is_lost(&config, &owners, &context);
    died
}

fn link_of(address: &str) -> String {
    format!("pod{}", address.rsplit('.').next().unwrap_or_default())
}

/// As many pods as the range has room for get an address each.
fn nothing_is_lost(config: &Value, owners: &[String], context: &str) {
    let rest: Vec<Pod> = (owners.len()..ROOM)
        .map(|n| Pod::new(&format!("rest{n}")))
        .collect();
    let mut all: BTreeSet<String> = owners.iter().cloned().collect();
    for pod in &rest {
        let outcome = add(pod, config);
        assert!(outcome.ok, "{context}: {outcome:?}\n{}", sh("ip -d link"));
        all.extend(addresses(&outcome.json));
    }
    assert_eq!(all.len(), ROOM, "{context}: {all:?}");
}

/// Every message of `verb`, each in fresh namespaces of its own.
fn enumerate(verb: &'static str, next: Next) {
    isolated(|| {
        let mut at = 1;
        while die_and_go_on(verb, at, next) {
            // The namespaces of the pods are gone, and their links with them.
            wait_for_links(&["cbr0"]);
            sh("ip link delete cbr0");
            at += 1;
            assert!(at < 200, "it never gets through");
        }
        // Not even one that did not die may have done nothing.
        assert!(at > 5, "only {at} messages: were there faults at all?");
    });
}

macro_rules! enumerate {
    ($($name:ident: $verb:literal, $next:ident;)*) => { $(
        #[test]
        #[cfg_attr(not(debug_assertions), ignore = "only debug builds die on purpose")]
        fn $name() {
            enumerate($verb, Next::$next);
        }
    )* };
}

enumerate! {
    a_killed_add_is_done_again: "ADD", Add;
    a_killed_add_is_undone_by_del: "ADD", Del;
    a_killed_add_is_undone_and_done: "ADD", DelThenAdd;
    a_killed_add_is_undone_by_gc: "ADD", Gc;
    a_killed_del_is_undone_by_add: "DEL", Add;
    a_killed_del_is_done_again: "DEL", Del;
    a_killed_del_is_done_again_and_added: "DEL", DelThenAdd;
    a_killed_del_is_finished_by_gc: "DEL", Gc;
}
