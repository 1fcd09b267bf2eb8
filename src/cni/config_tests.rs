use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: &Value) -> Result<Config, CniError> {
    Config::parse(value.to_string().as_bytes())
}

fn with(key: &str, value: Value) -> Value {
    let mut base = json!({
        "cniVersion": "1.1.0", "name": "podnet", "type": "podnet-cni",
        "subnets": ["10.244.0.0/16"],
    });
    base[key] = value;
    base
}

#[test]
fn the_readmes_configuration_means_what_it_says() {
    let config = parse(&json!({
        "cniVersion": "1.1.0", "name": "podnet", "type": "podnet-cni", "bridge": "cbr0",
        "isGateway": true, "hairpinMode": true, "subnets": ["10.244.0.0/16", "fd00:10:244::/64"],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd00::/8", "gw": "fd00:10:244::9"}],
        "my-own": {"key": 1},
    }))
    .expect("parsed");
    assert!(config.supported().is_ok());
    let gateways: Vec<String> = config.gateways().iter().map(ToString::to_string).collect();
    assert_eq!(gateways, ["10.244.0.1/16", "fd00:10:244::1/64"]);
    let via: Vec<String> = config
        .routes
        .iter()
        .filter_map(|r| Some(format!("{} {}", r.destination, r.via?)))
        .collect();
    assert_eq!(via, ["0.0.0.0/0 10.244.0.1", "fd00::/8 fd00:10:244::9"]);
    assert!(config.hairpin && !config.masquerade);
}

#[test]
fn a_default_gateway_is_a_gateway_with_a_default_route_per_range() {
    let mut value = with("isDefaultGateway", json!(true));
    value["subnets"] = json!(["10.1.0.0/24", "fd00::/64"]);
    value["routes"] = json!([{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}]);
    let config = parse(&value).expect("parsed");
    assert!(config.is_gateway);
    let via: Vec<Option<IpAddr>> = config.routes.iter().map(|r| r.via).collect();
    assert_eq!(via, ["10.1.0.9", "fd00::1"].map(|ip| ip.parse().ok()));
}

#[test]
fn what_is_wrong_is_named_with_its_code() {
    let cases = [
        (with("cniVersion", json!("2.0.0")), 1, "2.0.0"),
        (with("cniVersion", Value::Null), 1, "null"),
        (with("name", json!("-x")), 7, "\"-x\""),
        (with("bridge", json!("a bridge")), 7, "a bridge"),
        (with("subnets", json!([])), 7, "empty"),
        (
            with("subnets", json!(["10.1.0.0/24", "10.2.0.0/24"])),
            7,
            "10.2.0.0/24",
        ),
        (with("subnets", json!(["10.1.0.7/24"])), 7, "10.1.0.0/24"),
        (with("subnets", json!("10.1.0.0/24")), 7, "sequence"),
        (with("mtu", json!(20)), 7, "mtu 20"),
        (with("mtu", json!(-1)), 7, "-1"),
        (with("routes", json!([{"dst": "::/0"}])), 7, "::/0"),
        (with("routes", json!([{"gw": "10.1.0.1"}])), 7, "dst"),
        (with("runtimeConfig", json!({"ips": ["x"]})), 7, "\"x\""),
        (with("runtimeConfig", json!({"mac": "x"})), 7, "\"x\""),
        (
            with("cni.dev/valid-attachments", json!([{"ifname": "a"}])),
            7,
            "ifname",
        ),
    ];
    for (value, code, names) in cases {
        let error = parse(&value).expect_err(&value.to_string());
        assert_eq!(error.code(), code, "{value}: {error}");
        assert!(error.to_string().contains(names), "{value}: {error}");
        assert!(error.details().is_some(), "{error}");
    }
    assert_eq!(Config::parse(b"{").expect_err("no JSON").code(), 6);
    assert_eq!(Config::parse(b"[]").expect_err("no object").code(), 1);
}

#[test]
fn what_would_silently_do_less_is_refused_with_key_and_value() {
    let cases = [
        ("ipam", json!({"type": "host-local"}), "host-local"),
        ("vlan", json!(7), "vlan = 7"),
        ("promiscMode", json!(true), "promiscMode = true"),
        (
            "routes",
            json!([{"dst": "0.0.0.0/0", "table": 5}]),
            "table = 5",
        ),
    ];
    for (key, value, names) in cases {
        let config = parse(&with(key, value)).expect("parsed, so that DEL can do its work");
        let error = config.supported().expect_err(key);
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains(names), "{error}");
    }
    for (key, value) in [
        ("ipam", json!({})),
        ("vlan", json!(0)),
        ("promiscMode", json!(false)),
    ] {
        assert!(
            parse(&with(key, value))
                .expect("parsed")
                .supported()
                .is_ok(),
            "{key}"
        );
    }
}

#[test]
fn both_spellings_of_the_valid_attachments_are_taken() {
    let list = json!([{"containerID": "a", "ifname": "eth0"}]);
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let valid = parse(&with(key, list.clone())).expect("parsed").valid;
        let names: Vec<String> = valid.into_iter().flatten().map(|a| a.to_string()).collect();
        assert_eq!(names, ["a.eth0"], "{key}");
    }
    let valid = |value| parse(&value).expect("parsed").valid;
    assert_eq!(
        valid(with("cni.dev/valid-attachments", Value::Null)),
        Some(Vec::new())
    );
    assert_eq!(valid(with("x", Value::Null)), None);
}

#[test]
fn a_capability_goes_before_an_argument() {
    let mut value = with(
        "args",
        json!({"cni": {"ips": ["10.244.0.9"], "mac": "02:00:00:00:00:01"}}),
    );
    let asked = |value: &Value| {
        let config = parse(value).expect("parsed");
        (config.addresses, config.mac.map(|m| m.to_string()))
    };
    let nine: IpAddr = "10.244.0.9".parse().expect("an address");
    assert_eq!(
        asked(&value),
        (vec![nine], Some("02:00:00:00:00:01".to_owned()))
    );
    value["runtimeConfig"] = json!({"ips": ["10.244.0.8/16"]});
    let eight: IpAddr = "10.244.0.8".parse().expect("an address");
    assert_eq!(asked(&value).0, [eight]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::parse(&bytes);
    }

    #[test]
    fn no_value_of_a_key_makes_it_panic(
        key in prop::sample::select(vec![
            "cniVersion", "name", "bridge", "isGateway", "mtu", "subnet", "subnets", "routes", "dns",
            "prevResult", "runtimeConfig", "args", "agent", "cni.dev/valid-attachments", "ipam",
        ]),
        value in any_value(),
    ) {
        if let Ok(config) = parse(&with(key, value)) {
            let _ = config.supported();
            prop_assert!(config.gateways().len() <= 2);
        }
    }
}

/// JSON of any shape, near to what is expected.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "10.0.0.0/8",
            "fd00::/64",
            "0.0.0.0/0",
            "::/0",
            "10.0.0.1",
            "1.1.0"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(vec![
                    "dst",
                    "gw",
                    "ips",
                    "mac",
                    "cni",
                    "containerID",
                    "ifname"
                ]),
                inner,
                0..4
            )
            .prop_map(|map| Value::Object(
                map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}
