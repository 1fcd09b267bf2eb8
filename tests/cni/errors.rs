//! Every code that the README's table has, each brought about, and what its answer
//! looks like (CNI 1.1 §2, "Error").

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::agent::hold;
use crate::place::{Call, Outcome, Pod, add, del, network, plugin, with};
use crate::support::{isolated, sh};

/// A refusal in `version` with `code`, whose text has all of `names`: what it is about,
/// and what to do.
fn says(outcome: Outcome, version: &str, code: u64, names: &[&str]) {
    let answer = outcome.json.clone();
    let fields = answer.as_object().expect("an object");
    for (name, value) in fields {
        match name.as_str() {
            "cniVersion" => assert_eq!(value, version, "{answer}"),
            "code" => assert_eq!(value, code, "{answer}"),
            "msg" | "details" => assert!(value.as_str().is_some_and(|t| !t.is_empty())),
            _ => panic!("{name} is no field of an error: {answer}"),
        }
    }
    for name in ["cniVersion", "code", "msg"] {
        assert!(fields.contains_key(name), "no {name}: {answer}");
    }
    assert_eq!(outcome.stderr, "", "the answer is all there is to say");
    let text = outcome.refused(code);
    for name in names {
        assert!(text.contains(name), "{code}: no {name} in {text}");
    }
}

fn verb(verb: &'static str, pod: &Pod, config: &Value) -> Outcome {
    Call::new(verb, pod).run(config)
}

#[test]
fn the_specifications_codes() {
    isolated(|| {
        let pod = Pod::new("web");
        let config = network(&["10.1.0.0/24"]);
        let set = |key: &str, value: Value| with(config.clone(), key, value);
        let newer = set("cniVersion", json!("2.0.0"));
        says(add(&pod, &newer), "2.0.0", 1, &["\"2.0.0\"", "1.1.0"]);
        let older = set("cniVersion", json!("0.3.1"));
        for name in ["CHECK", "GC", "STATUS"] {
            let refused = verb(name, &pod, &older);
            says(refused, "0.3.1", 1, &[name, "set cniVersion to"]);
        }
        let vlan = set("vlan", json!(7));
        says(
            add(&pod, &vlan),
            "1.1.0",
            2,
            &["vlan = 7", "remove the key"],
        );
        let mut lost = Call::new("ADD", &pod);
        lost.netns = Some("/run/netns/lost".to_owned());
        says(lost.run(&config), "1.1.0", 3, &["/run/netns/lost", "web"]);
        lost.netns = Some("/etc/hostname".to_owned());
        says(
            lost.run(&config),
            "1.1.0",
            3,
            &["/etc/hostname", "no namespace"],
        );
        let mut nameless = Call::new("DEL", &pod);
        nameless.interface = None;
        says(nameless.run(&config), "1.1.0", 4, &["CNI_IFNAME"]);
        says(add(&pod, &json!(7)), "1.1.0", 1, &["\"0.1.0\""]);
        let strange = set("subnets", json!(["10.1.0.0/24", "10.2.0.0/24"]));
        says(
            add(&pod, &strange),
            "1.1.0",
            7,
            &["subnets", "one of each family"],
        );
        let agents = set("agent", json!("an-agent"));
        let status = |config: &Value| Call::bare("STATUS").run(config);
        says(
            status(&agents),
            "1.1.0",
            51,
            &["cbr0", "no agent", "podnet agent"],
        );
        let _agent = hold("an-agent");
        says(status(&agents), "1.1.0", 50, &["cbr0 is gone"]);
        says(add(&pod, &agents), "1.1.0", 11, &["cbr0", "try again"]);
    });
}

/// The plugin with `input` as its standard input.
fn given(verb: &str, input: impl Into<Stdio>) -> Outcome {
    let output = Command::new(plugin())
        .env("CNI_COMMAND", verb)
        .stdin(input)
        .output();
    Outcome::of(output.expect("it runs"))
}

#[test]
fn what_cannot_be_read_or_is_no_json() {
    let directory = File::open("/").expect("a directory");
    says(
        given("ADD", directory),
        "1.1.0",
        5,
        &["standard input", "/etc/cni/net.d"],
    );
    says(
        given("ADD", Stdio::null()),
        "1.1.0",
        6,
        &["not JSON", "/etc/cni/net.d"],
    );
}

#[test]
fn the_plugins_own_codes() {
    isolated(|| {
        let config = network(&["10.1.0.0/29"]);
        let (pod, other) = (Pod::new("web"), Pod::new("other"));
        let result = add(&pod, &config).done();
        // All networks of a node share their links' names: the only slot is taken.
        let mut small = network(&["10.2.0.0/30"]);
        (small["name"], small["bridge"]) = (json!("small"), json!("cbr1"));
        says(
            add(&other, &small),
            "1.1.0",
            100,
            &["10.2.0.0/30", "delete pods", "ip link show group 28772"],
        );
        says(add(&pod, &config), "1.1.0", 101, &["web.eth0", "DEL"]);
        let asked = with(
            config.clone(),
            "runtimeConfig",
            json!({"ips": ["10.1.0.2"]}),
        );
        says(
            add(&other, &asked),
            "1.1.0",
            102,
            &["10.1.0.2/29", "other.eth0", "another"],
        );
        sh("ip link set pod2 down");
        let previous = with(config.clone(), "prevResult", result);
        let checked = verb("CHECK", &pod, &previous);
        says(
            checked,
            "1.1.0",
            105,
            &["web.eth0", "pod2 is down", "delete the pod"],
        );
        // Of the kernel's refusals, the one that whoever installs a plugin meets.
        let powerless = |verb: &'static str, config: &Value| {
            let mut call = Call::new(verb, &pod);
            call.without = Some("net_admin");
            call.run(config)
        };
        let none = with(config.clone(), "cni.dev/valid-attachments", json!([]));
        says(powerless("GC", &none), "1.1.0", 106, &["pod2", "repeated"]);
        says(
            powerless("DEL", &config),
            "1.1.0",
            104,
            &["web.eth0", "CAP_NET_ADMIN"],
        );
        assert!(del(&pod, &config).ok);
        says(powerless("ADD", &config), "1.1.0", 104, &["CAP_NET_ADMIN"]);
    });
}
