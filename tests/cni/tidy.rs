//! GC and STATUS, and who deletes dead links.

use serde_json::{Value, json};

use crate::agent::hold;
use crate::place::{Call, Pod, add, addresses, del, links, network, uplink, wait_for_links, with};
use crate::support::{isolated, sh};

fn gc(config: &Value, key: &str, valid: Value) {
    let outcome = Call::bare("GC").run(&with(config.clone(), key, valid));
    assert!(outcome.ok, "{outcome:?}");
}

#[test]
fn gc_takes_what_is_not_valid_and_nothing_else() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        let mut second = network(&["10.2.0.0/24"]);
        (second["name"], second["bridge"]) = (json!("second"), json!("cbr1"));
        let pods: Vec<Pod> = (0..4).map(|n| Pod::new(&format!("c{n}"))).collect();
        for pod in &pods[..3] {
            add(pod, &config).done();
        }
        add(&pods[3], &second).done();
        // A stranger on our bridge, with a name like ours.
        sh("ip link add pod99 master cbr0 type veth peer x99");
        // One that was begun, by whoever died over it.
        sh("ip link add pod50 group 28772 master cbr0 type veth peer x50");
        let valid = json!([{"containerID": "c1", "ifname": "eth0"}]);
        gc(&config, "cni.dev/valid-attachments", valid);
        assert_eq!(links(), ["cbr0", "cbr1", "pod3", "pod5", "pod99", "x99"]);
        assert!(pods[1].reaches("10.1.0.1") && pods[3].reaches("10.2.0.1"));
        assert!(!sh("ip neighbour show nud permanent dev cbr0").contains("10.1.0.2 "));
        gc(&config, "cni.dev/attachments", Value::Null);
        assert_eq!(links(), ["cbr0", "cbr1", "pod5", "pod99", "x99"]);
        let text = Call::bare("GC").run(&config).refused(7);
        assert!(text.contains("cni.dev/valid-attachments"), "{text}");
    });
}

#[test]
fn gc_leaves_a_bridge_of_another_network_alone() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        add(&Pod::new("gone"), &config).done();
        let pod = Pod::new("web");
        add(&pod, &config).done();
        let renamed = with(config, "name", json!("renamed"));
        gc(&renamed, "cni.dev/valid-attachments", json!([]));
        assert!(pod.reaches("10.1.0.1"));
    });
}

#[test]
fn a_masquerade_lasts_as_long_as_gc_finds_a_pod() {
    isolated(|| {
        let (router, far) = (Pod::new("router"), "192.0.2.2");
        uplink(&router);
        let plain = network(&["10.1.0.0/24", "fd00:1::/64"]);
        let masked = with(plain.clone(), "ipMasq", json!(true));
        let pods = ["one", "two"].map(Pod::new);
        for pod in &pods {
            add(pod, &masked).done();
        }
        let valid = json!([{"containerID": "one", "ifname": "eth0"}]);
        gc(&masked, "cni.dev/valid-attachments", valid);
        assert_eq!(links(), ["cbr0", "pod2", "up0"]);
        assert!(pods[0].reaches(far) && pods[0].reaches("fd00:99::2"));
        gc(&masked, "cni.dev/valid-attachments", json!([]));
        // By a pod of the same network that asks for none: the other end has no way back.
        let without = Pod::new("without");
        add(&without, &plain).done();
        assert!(without.is_cut_off_from(far) && without.is_cut_off_from("fd00:99::2"));
        // Twice, and then again from the start.
        gc(&masked, "cni.dev/valid-attachments", json!([]));
        let again = Pod::new("again");
        add(&again, &masked).done();
        assert!(again.reaches(far) && again.reaches("fd00:99::2"));
    });
}

#[test]
fn a_burst_of_dels_ends_with_nothing_left() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        let pods: Vec<Pod> = (0..60).map(|n| Pod::new(&format!("c{n}"))).collect();
        let each = |verb: &'static str| {
            std::thread::scope(|scope| {
                for pod in &pods {
                    let config = &config;
                    scope.spawn(move || assert!(Call::new(verb, pod).run(config).ok));
                }
            });
        };
        each("ADD");
        assert_eq!(links().len(), 61);
        each("DEL");
        wait_for_links(&["cbr0"]);
        assert_eq!(sh("ip neighbour show nud permanent"), "");
    });
}

fn status(config: &Value) -> crate::place::Outcome {
    Call::bare("STATUS").run(config)
}

#[test]
fn status_says_why_no_pod_can_be_added() {
    isolated(|| {
        let config = network(&["10.1.0.0/30"]);
        assert!(status(&config).ok, "ADD makes the bridge");
        let pod = Pod::new("only");
        add(&pod, &config).done();
        let text = status(&config).refused(50);
        assert!(
            text.contains("all 1 addresses of range 10.1.0.0/30"),
            "{text}"
        );
        assert!(del(&pod, &config).ok);
        assert!(status(&config).ok);
        let old = with(config, "cniVersion", json!("1.0.0"));
        assert!(status(&old).refused(1).contains("STATUS"));
    });
}

#[test]
fn status_asks_for_the_agent_where_there_is_one() {
    isolated(|| {
        let config = with(network(&["10.1.0.0/24"]), "agent", json!("an-agent"));
        let text = status(&config).refused(51);
        assert!(text.contains("cbr0") && text.contains("agent"), "{text}");
        let running = hold("an-agent");
        assert!(status(&config).refused(50).contains("cbr0 is gone"));
        let pod = Pod::new("web");
        let text = add(&pod, &config).refused(11);
        assert!(
            text.contains("cbr0") && text.contains("try again"),
            "{text}"
        );
        sh(
            "ip link add cbr0 type bridge; ip link set cbr0 up; ip address add 10.1.0.1/24 dev cbr0",
        );
        assert!(status(&config).ok);
        assert_eq!(addresses(&add(&pod, &config).done()), ["10.1.0.2"]);
        assert!(
            pod.reaches("10.1.0.1"),
            "by a gateway whose MAC is not ours to choose"
        );
        drop(running);
        assert!(status(&config).refused(50).contains("agent"));
    });
}

#[test]
fn a_bridge_that_is_full_is_said_to_be() {
    isolated(|| {
        let config = network(&["10.244.0.0/16"]);
        add(&Pod::new("first"), &config).done();
        wait_for_links(&["cbr0"]);
        sh(
            "for n in $(seq 1023); do echo \"link add f$n master cbr0 type veth peer g$n\"; done \
            | ip -batch -",
        );
        for text in [
            add(&Pod::new("late"), &config).refused(103),
            status(&config).refused(50),
        ] {
            assert!(text.contains("cbr0") && text.contains("1,023"), "{text}");
        }
        let last = Pod::new("last");
        sh("ip link delete f1");
        add(&last, &config).done();
        assert!(del(&last, &config).ok);
        let addresses = addresses(&add(&Pod::new("late"), &config).done());
        assert_eq!(addresses.len(), 1, "a dead link holds no port for long");
    });
}
