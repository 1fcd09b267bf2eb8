//! Killed after each netlink message that ADD, DEL and GC send.
//!
//! Whatever comes next (the same verb again, another one, an agent's look at the
//! node) must leave the node as if nothing had died: no link that nobody owns, no
//! address that is lost, none that two have.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::agent::{hold, in_a_node, is_held};
use crate::place::{
    Call, DEAD_GROUP, Fault, GROUP, Pod, add, addresses, del, delete_dead_links, group, links,
    network, wait_for, wait_for_links, with,
};
use crate::support::{isolated, sh};

/// How many pods [`Node::network`] has room for: slots 2 to 6.
const ROOM: usize = 5;
const AGENT: &str = "an-agent";
/// The name that src/cni/reaper.rs holds while it waits.
const REAPER: &str = "podnet-cni-reaper";

/// What there is beside the plugin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    /// Nothing.
    Plain,
    /// Both families, and a masquerade.
    Masked,
    /// An agent, that has made the bridge and deletes dead links.
    Agent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Add,
    Del,
    DelThenAdd,
    Gc,
}

impl Node {
    fn network(self) -> Value {
        let plain = network(&["10.1.0.0/29"]);
        match self {
            Node::Plain => plain,
            Node::Masked => with(
                network(&["10.1.0.0/29", "fd00:1::/125"]),
                "ipMasq",
                json!(true),
            ),
            Node::Agent => with(plain, "agent", json!(AGENT)),
        }
    }

    /// The bridge is there before the first ADD.
    fn prepare(self) {
        if self == Node::Agent {
            sh("ip link add cbr0 type bridge; ip link set cbr0 up
                ip address add 10.1.0.1/29 dev cbr0");
        }
    }

    /// They need not be waited for: it is enough that somebody is going to delete them.
    fn delete_dead_links(self) {
        if self != Node::Agent {
            wait_for("process that deletes dead links", || {
                group(DEAD_GROUP).is_empty() || is_held(REAPER)
            });
        }
        delete_dead_links();
    }
}

fn gc(config: &Value) -> (Call, Value) {
    let valid = json!([{"containerID": "witness", "ifname": "eth0"}]);
    let config = with(config.clone(), "cni.dev/valid-attachments", valid);
    (Call::bare("GC"), config)
}

/// Die at message `at`, do `next`, and see that nothing is wrong. Answers whether
/// the verb died at all.
fn die_and_go_on(node: Node, verb: &'static str, at: usize, next: Next) -> bool {
    let config = node.network();
    let (pod, witness) = (Pod::new("web"), Pod::new("witness"));
    node.prepare();
    let mut owners = vec![add(&witness, &config).done()];
    if verb != "ADD" {
        add(&pod, &config).done();
    }
    let (mut call, given) = match verb {
        "GC" => gc(&config),
        _ => (Call::new(verb, &pod), config.clone()),
    };
    call.fault = Some(Fault::Killed(at));
    let died = call.run(&given).killed;
    let context = format!("{node:?}: {verb} killed after message {at}, then {next:?}");
    match next {
        Next::Add => {
            // What was done to the end, or not undone yet, is still there, whole.
            let again = add(&pod, &config);
            match again.ok {
                true => owners.push(again.json),
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
            owners.push(add(&pod, &config).done());
        }
        Next::Gc => {
            let (call, config) = gc(&config);
            let outcome = call.run(&config);
            assert!(outcome.ok, "{context}: {outcome:?}");
        }
    }
    let mut expected: Vec<String> = owners.iter().map(link_of).collect();
    expected.push("cbr0".to_owned());
    expected.sort_unstable();
    node.delete_dead_links();
    wait_for(&format!("node with {expected:?} ({context})"), || {
        links() == expected
    });
    for owner in &owners {
        let pod = if owner == &owners[0] { &witness } else { &pod };
        let checked =
            Call::new("CHECK", pod).run(&with(config.clone(), "prevResult", owner.clone()));
        assert!(checked.ok, "{context}: {checked:?}");
    }
    assert!(witness.reaches("10.1.0.1"), "{context}");
    nothing_is_lost(&config, &owners, &context);
    died
}

fn link_of(result: &Value) -> String {
    let near = result["interfaces"][1]["name"].as_str();
    near.expect("the node's end").to_owned()
}

/// As many pods as the range has room for get an address each, in each family.
fn nothing_is_lost(config: &Value, owners: &[Value], context: &str) {
    let rest: Vec<Pod> = (owners.len()..ROOM)
        .map(|n| Pod::new(&format!("rest{n}")))
        .collect();
    let mut all: BTreeSet<String> = owners.iter().flat_map(addresses).collect();
    for pod in &rest {
        let outcome = add(pod, config);
        assert!(outcome.ok, "{context}: {outcome:?}\n{}", sh("ip -d link"));
        all.extend(addresses(&outcome.json));
    }
    let families = config["subnets"].as_array().map_or(0, Vec::len);
    assert_eq!(all.len(), ROOM * families, "{context}: {all:?}");
}

/// Every message of `verb`, each on a bare node.
fn enumerate(node: Node, verb: &'static str, next: Next) {
    isolated(|| {
        let _agent = (node == Node::Agent).then(|| hold(AGENT));
        let mut at = 1;
        while die_and_go_on(node, verb, at, next) {
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
    ($($name:ident: $node:ident, $verb:literal, $next:ident;)*) => { $(
        #[test]
        #[cfg_attr(not(debug_assertions), ignore = "only debug builds die on purpose")]
        fn $name() {
            enumerate(Node::$node, $verb, Next::$next);
        }
    )* };
}

enumerate! {
    a_killed_add_is_done_again: Plain, "ADD", Add;
    a_killed_add_is_undone_by_del: Plain, "ADD", Del;
    a_killed_add_is_undone_and_done: Plain, "ADD", DelThenAdd;
    a_killed_add_is_undone_by_gc: Plain, "ADD", Gc;
    a_killed_del_is_undone_by_add: Plain, "DEL", Add;
    a_killed_del_is_done_again: Plain, "DEL", Del;
    a_killed_del_is_done_again_and_added: Plain, "DEL", DelThenAdd;
    a_killed_del_is_finished_by_gc: Plain, "DEL", Gc;
    a_killed_gc_is_followed_by_add: Plain, "GC", Add;
    a_killed_gc_is_followed_by_del: Plain, "GC", Del;
    a_killed_gc_is_followed_by_del_and_add: Plain, "GC", DelThenAdd;
    a_killed_gc_is_done_again: Plain, "GC", Gc;

    a_killed_add_of_two_families_is_done_again: Masked, "ADD", Add;
    a_killed_add_of_two_families_is_undone_by_del: Masked, "ADD", Del;
    a_killed_add_of_two_families_is_undone_and_done: Masked, "ADD", DelThenAdd;
    a_killed_add_of_two_families_is_undone_by_gc: Masked, "ADD", Gc;
    a_killed_del_of_two_families_is_undone_by_add: Masked, "DEL", Add;
    a_killed_del_of_two_families_is_done_again: Masked, "DEL", Del;
    a_killed_del_of_two_families_is_done_again_and_added: Masked, "DEL", DelThenAdd;
    a_killed_del_of_two_families_is_finished_by_gc: Masked, "DEL", Gc;
    a_killed_gc_of_two_families_is_done_again: Masked, "GC", Gc;

    a_killed_add_beside_an_agent_is_done_again: Agent, "ADD", Add;
    a_killed_add_beside_an_agent_is_undone_by_del: Agent, "ADD", Del;
    a_killed_add_beside_an_agent_is_undone_and_done: Agent, "ADD", DelThenAdd;
    a_killed_add_beside_an_agent_is_undone_by_gc: Agent, "ADD", Gc;
    a_killed_del_beside_an_agent_is_undone_by_add: Agent, "DEL", Add;
    a_killed_del_beside_an_agent_is_done_again: Agent, "DEL", Del;
    a_killed_del_beside_an_agent_is_done_again_and_added: Agent, "DEL", DelThenAdd;
    a_killed_del_beside_an_agent_is_finished_by_gc: Agent, "DEL", Gc;
    a_killed_gc_beside_an_agent_is_done_again: Agent, "GC", Gc;
}

/// The runtime says nothing more: the real agent alone looks at its node.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "only debug builds die on purpose")]
fn an_agents_look_takes_away_what_any_killed_verb_left() {
    // Room for 61 pods.
    in_a_node(&["--node-mask", "26"], |config| {
        let mut pods = Vec::new();
        for verb in ["ADD", "DEL"] {
            for at in 1.. {
                let pod = Pod::new(&format!("{verb}{at}"));
                if verb == "DEL" {
                    add(&pod, config).done();
                }
                let mut call = Call::new(verb, &pod);
                call.fault = Some(Fault::Killed(at));
                let died = call.run(config).killed;
                pods.push(pod);
                if !died {
                    assert!(at > 5, "only {at} messages of {verb}");
                    break;
                }
            }
        }
        let half_made = || {
            group(GROUP)
                .iter()
                .any(|link| link.get("ifalias").is_none())
        };
        wait_for("node without anything half made", || {
            !half_made() && group(DEAD_GROUP).is_empty()
        });
        // What is left is whole, on both sides; of what is not, neither side is there.
        let named = |name: &str| {
            let is = |link: &Value| link["altnames"] == json!([format!("{name}.eth0")]);
            group(GROUP).iter().any(is)
        };
        for pod in &pods {
            let inside = pod.ip("link").as_array().map_or(0, Vec::len) > 1;
            assert_eq!(inside, named(&pod.id), "{}", pod.id);
            assert!(!inside || pod.reaches("10.244.0.1"), "{}", pod.id);
        }
        for pod in &pods {
            assert!(del(pod, config).ok, "{}", pod.id);
        }
        wait_for("node without pods", || {
            group(GROUP).is_empty() && group(DEAD_GROUP).is_empty()
        });
        assert_eq!(sh("ip neighbour show nud permanent dev cbr0"), "");
        let all: Vec<Pod> = (0..61).map(|n| Pod::new(&format!("c{n}"))).collect();
        let given = all
            .iter()
            .flat_map(|pod| addresses(&add(pod, config).done()));
        assert_eq!(given.collect::<BTreeSet<String>>().len(), 61);
        add(&Pod::new("late"), config).refused(100);
    });
}
