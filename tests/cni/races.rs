//! Stopped after each netlink message that ADD, DEL and GC send, while somebody else acts.
//!
//! There is room for one pod, so that whatever is wrongly taken for held, or for free, shows.

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::place::{
    Call, Fault, GROUP, Outcome, Pod, add, addresses, del, delete_dead_links, group, network,
    wait_for_links, with,
};
use crate::support::{isolated, sh};

/// Who acts while the verb is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Other {
    /// Whoever deletes dead links.
    Reaper,
    /// The same pod's runtime, which has lost patience.
    Del,
    /// The same pod's, which begins anew.
    Add,
    /// Another pod's.
    AddOfAnother,
    Gc,
    /// The same pod's, which has lost patience, and then another pod's.
    DelAndAddOfAnother,
}

impl Other {
    /// What the plugin answered it.
    fn act(self, pod: &Pod, another: &Pod, config: &Value) -> Option<Outcome> {
        match self {
            Other::Reaper => {
                delete_dead_links();
                None
            }
            Other::Del => Some(del(pod, config)),
            Other::Add => Some(add(pod, config)),
            Other::AddOfAnother => Some(add(another, config)),
            Other::Gc => {
                let (call, config) = gc(config);
                Some(call.run(&config))
            }
            Other::DelAndAddOfAnother => {
                assert!(del(pod, config).ok);
                Some(add(another, config))
            }
        }
    }
}

fn gc(config: &Value) -> (Call, Value) {
    let none_valid = with(config.clone(), "cni.dev/valid-attachments", json!([]));
    (Call::bare("GC"), none_valid)
}

/// A process that is stopped, and continues whatever becomes of the test.
struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Have `other` act as soon as `call` has sent its `at`-th message. The call's outcome, and
/// what the other answered; `None`: the call ended before.
fn interrupted<T>(
    call: Call,
    at: usize,
    config: &Value,
    other: impl FnOnce() -> T,
) -> (Outcome, Option<T>) {
    let fault = Some(Fault::Stopped(at));
    let child = Call { fault, ..call }.start(config);
    let pid = Pid::from_raw(child.id() as i32);
    let look = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    let stopped = match waitid(Id::Pid(pid), look).expect("it stops or ends") {
        WaitStatus::Stopped(..) => Some(Stopped(pid)),
        _ => None,
    };
    let answer = stopped.map(|_stopped| other());
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    (outcome, answer)
}

/// Answers whether the verb was interrupted at all.
fn interrupt_and_go_on(verb: &'static str, at: usize, other: Other) -> bool {
    let config = network(&["10.1.0.0/30"]);
    let (pod, another) = (Pod::new("web"), Pod::new("another"));
    add(&pod, &config).done();
    if verb == "ADD" {
        // The dead link is still in the pod.
        assert!(del(&pod, &config).ok);
    }
    let (call, given) = match verb {
        "GC" => gc(&config),
        _ => (Call::new(verb, &pod), config.clone()),
    };
    let act = || {
        // With its last step a link gets its alias.
        let was_done = group(GROUP)
            .iter()
            .any(|link| link.get("ifalias").is_some());
        (was_done, other.act(&pod, &another, &config))
    };
    let (outcome, answer) = interrupted(call, at, &given, act);
    let context = format!("{other:?} after message {at} of {verb}: {outcome:?}, {answer:?}");
    let Some((was_done, others)) = answer else {
        assert!(outcome.ok, "{context}");
        return false;
    };
    // Whoever undoes what is being done, or does it twice, may see either fail.
    if verb != "ADD" || other == Other::Reaper {
        assert!(outcome.ok, "{context}");
    }
    match (other, others) {
        (Other::Del | Other::Gc, Some(others)) => assert!(others.ok, "{context}"),
        (Other::AddOfAnother, Some(others)) if verb == "ADD" => {
            assert!(outcome.ok != others.ok, "{context}");
            let refused = if outcome.ok { others } else { outcome };
            let text = refused.refused(100);
            assert!(text.contains("all 1 addresses"), "{context}");
        }
        (Other::DelAndAddOfAnother, Some(others)) if others.ok => {
            assert!(verb != "ADD" || !outcome.ok || was_done, "{context}");
            let given = with(config.clone(), "prevResult", others.json);
            let checked = Call::new("CHECK", &another).run(&given);
            assert!(checked.ok, "{context}: {checked:?}");
            assert!(another.reaches("10.1.0.1"), "{context}");
        }
        (Other::DelAndAddOfAnother, _) => assert!(outcome.ok, "{context}"),
        _ => {}
    }
    for pod in [&pod, &another] {
        assert!(del(pod, &config).ok, "{context}");
    }
    assert_eq!(group(GROUP), [Value::Null; 0], "{context}");
    let neighbours = sh("ip neighbour show nud permanent dev cbr0");
    assert_eq!(neighbours, "", "{context}");
    let result = add(&another, &config).done();
    assert_eq!(addresses(&result), ["10.1.0.2"], "{context}");
    assert!(another.reaches("10.1.0.1"), "{context}");
    assert!(del(&another, &config).ok, "{context}");
    true
}

/// Every message of `verb`, each on a bare node.
fn enumerate(verb: &'static str, other: Other) {
    isolated(|| {
        let mut at = 1;
        while interrupt_and_go_on(verb, at, other) {
            delete_dead_links();
            wait_for_links(&["cbr0"]);
            sh("ip link delete cbr0");
            at += 1;
            assert!(at < 200, "it never gets through");
        }
        assert!(at > 5, "only {at} messages: was it interrupted at all?");
    });
}

macro_rules! enumerate {
    ($($name:ident: $verb:literal, $other:ident;)*) => { $(
        #[test]
        #[cfg_attr(not(debug_assertions), ignore = "only debug builds stop on purpose")]
        fn $name() {
            enumerate($verb, Other::$other);
        }
    )* };
}

enumerate! {
    dead_links_are_deleted_during_add: "ADD", Reaper;
    del_comes_during_add: "ADD", Del;
    add_comes_twice_at_a_time: "ADD", Add;
    two_pods_want_the_last_address: "ADD", AddOfAnother;
    gc_comes_during_add: "ADD", Gc;
    another_takes_the_place_of_an_add_that_is_undone: "ADD", DelAndAddOfAnother;
    dead_links_are_deleted_during_del: "DEL", Reaper;
    del_comes_twice_at_a_time: "DEL", Del;
    add_comes_during_del: "DEL", Add;
    add_of_another_comes_during_del: "DEL", AddOfAnother;
    gc_comes_during_del: "DEL", Gc;
    another_takes_the_place_of_what_is_deleted: "DEL", DelAndAddOfAnother;
    dead_links_are_deleted_during_gc: "GC", Reaper;
    del_comes_during_gc: "GC", Del;
    add_comes_during_gc: "GC", Add;
    add_of_another_comes_during_gc: "GC", AddOfAnother;
    gc_comes_twice_at_a_time: "GC", Gc;
}
