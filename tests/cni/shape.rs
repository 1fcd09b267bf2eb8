//! Results of every version and of any configuration have the shape that their
//! version of the specification gives them, and say what is there.

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use serde_json::{Value, json};

use crate::place::{Call, Pod, del, network, with};
use crate::support::{isolated, sh};

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The fields of each object, of which the first `required` have to be there; what else an
/// object has is an error.
struct Shape {
    what: &'static str,
    required: usize,
    fields: Vec<&'static str>,
}

impl Shape {
    fn hold(&self, value: &Value) {
        let what = self.what;
        let object = value
            .as_object()
            .unwrap_or_else(|| panic!("{what}: {value}"));
        for name in object.keys() {
            assert!(
                self.fields.contains(&name.as_str()),
                "{what} has {name}: {value}"
            );
        }
        for name in &self.fields[..self.required] {
            assert!(object.contains_key(*name), "{what} has no {name}: {value}");
        }
    }
}

/// As "Result Types" of SPEC.md has it in each version: 1.0.0 took away an address's
/// `version`, 1.1.0 gave interfaces an MTU.
fn shapes(version: &str) -> [Shape; 5] {
    let result = vec!["cniVersion", "interfaces", "ips", "routes", "dns"];
    let mut interface = vec!["name", "mac", "sandbox"];
    let mut address = vec!["address", "interface", "gateway"];
    if version >= "1.1.0" {
        interface.push("mtu");
    }
    if version < "1.0.0" {
        address.insert(0, "version");
    }
    let shape = |what, required, fields| Shape {
        what,
        required,
        fields,
    };
    let needed = if version < "1.0.0" { 2 } else { 1 };
    [
        shape("the result", 1, result),
        shape("an interface", 1, interface),
        shape("an address", needed, address),
        shape("a route", 1, vec!["dst", "gw"]),
        shape("dns", 0, vec!["nameservers", "domain", "search", "options"]),
    ]
}

fn entries<'a>(result: &'a Value, key: &str) -> &'a [Value] {
    result[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is no text: {value}"))
}

fn holds(version: &str, result: &Value) {
    let [whole, interface, address, route, dns] = shapes(version);
    whole.hold(result);
    assert_eq!(result["cniVersion"], version);
    dns.hold(&result["dns"]);
    for entry in entries(result, "interfaces") {
        interface.hold(entry);
        let is_mac = podnet::model::Mac::parse(text(entry, "mac")).is_some();
        assert!(is_mac && !text(entry, "name").is_empty(), "{entry}");
        assert_eq!(entry.get("mtu").is_some(), version >= "1.1.0", "{entry}");
    }
    for entry in entries(result, "ips") {
        address.hold(entry);
        let network: ipnetwork::IpNetwork = text(entry, "address").parse().expect("an address");
        let index = usize::try_from(entry["interface"].as_u64().expect("an index"));
        let on = &entries(result, "interfaces")[index.expect("small")];
        assert!(on.get("sandbox").is_some(), "{entry} is the pod's");
        let gateway: std::net::IpAddr = text(entry, "gateway").parse().expect("an address");
        assert!(network.contains(gateway), "{entry}");
        if let Some(family) = entry.get("version") {
            assert_eq!(family, if network.is_ipv4() { "4" } else { "6" });
        }
    }
    for entry in entries(result, "routes") {
        route.hold(entry);
        let to: ipnetwork::IpNetwork = text(entry, "dst").parse().expect("a network");
        let by: std::net::IpAddr = text(entry, "gw").parse().expect("an address");
        assert_eq!(to.is_ipv4(), by.is_ipv4(), "{entry}");
    }
}

/// What an administrator may write, in any combination.
fn configuration() -> impl Strategy<Value = Value> {
    let subnets = prop_oneof![
        Just(vec!["10.1.0.0/24"]),
        Just(vec!["fd00:1::/64"]),
        Just(vec!["10.1.0.0/24", "fd00:1::/64"]),
        Just(vec!["fd00:1::/64", "10.1.0.0/24"]),
    ];
    let dns = prop_oneof![
        Just(Value::Null),
        Just(json!({"nameservers": ["10.1.0.1"], "search": ["shop.example"]})),
    ];
    let flag = any::<bool>;
    (
        (prop::sample::select(&VERSIONS[..]), subnets, dns),
        prop::option::of(1280_u32..9000),
        (flag(), flag(), flag(), flag()),
        prop::option::of(Just("02:00:00:00:00:09")),
    )
        .prop_map(|((version, subnets, dns), mtu, flags, mac)| {
            let (gateway, hairpin, routes, masquerade) = flags;
            let mut config = network(&subnets);
            for (key, value) in [
                ("cniVersion", json!(version)),
                ("dns", dns),
                ("mtu", json!(mtu)),
                ("isGateway", json!(gateway)),
                ("hairpinMode", json!(hairpin)),
                ("ipMasq", json!(masquerade)),
                ("runtimeConfig", json!({ "mac": mac })),
            ] {
                config[key] = value;
            }
            // A route needs a gateway that answers only when it is used.
            match routes {
                true => config,
                false => with(config, "routes", json!([])),
            }
        })
}

#[test]
fn any_configurations_result_is_of_its_versions_shape() {
    isolated(|| {
        let runs = Runs {
            cases: 60,
            failure_persistence: None,
            ..Runs::default()
        };
        let run = TestRunner::new(runs).run(&configuration(), |config| {
            let version = config["cniVersion"].as_str().expect("a version");
            let pod = Pod::new("web");
            let result = Call::new("ADD", &pod).run(&config).done();
            holds(version, &result);
            let families = config["subnets"].as_array().map_or(0, Vec::len);
            prop_assert_eq!(entries(&result, "ips").len(), families);
            prop_assert_eq!(
                &result["routes"].as_array().map(Vec::len),
                &config["routes"].as_array().map(Vec::len)
            );
            // The kernel agrees with all of it.
            if version >= "0.4.0" {
                let checked =
                    Call::new("CHECK", &pod).run(&with(config.clone(), "prevResult", result));
                prop_assert!(checked.ok, "{:?}", checked);
            }
            prop_assert!(del(&pod, &config).ok);
            sh("ip link delete cbr0");
            Ok(())
        });
        run.expect("every configuration");
    });
}
