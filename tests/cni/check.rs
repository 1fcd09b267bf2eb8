//! CHECK sees what was changed behind its back.

use serde_json::{Value, json};

use crate::place::{Call, Pod, add, del, network, with};
use crate::support::{isolated, sh};

fn check(pod: &Pod, config: &Value, result: &Value) -> crate::place::Outcome {
    let config = with(config.clone(), "prevResult", result.clone());
    Call::new("CHECK", pod).run(&config)
}

#[test]
fn every_change_is_noticed_and_named() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        // Where it is done, what is done, and what CHECK must say of it.
        let changes = [
            (
                true,
                "ip address delete 10.1.0.2/24 dev eth0",
                "eth0 has no address 10.1.0.2/24",
            ),
            (true, "ip route delete default", "no route to 0.0.0.0/0"),
            (true, "ip link set eth0 down", "eth0 is down"),
            (
                true,
                "ip link set eth0 address 02:00:00:00:00:07",
                "02:00:00:00:00:07",
            ),
            (
                true,
                "ip link set eth0 down; ip link set eth0 name x",
                "eth0 is not in the pod",
            ),
            (
                false,
                "ip link set pod2 nomaster",
                "pod2 is not on bridge cbr0",
            ),
            (false, "ip link set pod2 down", "pod2 is down"),
            (
                false,
                "ip link set pod2 type bridge_slave hairpin off",
                "no hairpin",
            ),
            (false, "ip link set pod2 alias \"\"", "never committed"),
            (
                false,
                "ip link property del dev pod2 altname web.eth0",
                "no link has its name",
            ),
            (
                false,
                "ip address delete 10.1.0.1/24 dev cbr0",
                "cbr0 has no address",
            ),
            (false, "ip link delete cbr0", "cbr0 is gone"),
        ];
        for (inside, change, says) in changes {
            let pod = Pod::new("web");
            // Each in a fresh place: the first address again.
            sh("ip link delete cbr0 2>/dev/null || true");
            let result = add(&pod, &config).done();
            let before = check(&pod, &config, &result);
            assert!(before.ok, "before {change}: {before:?}");
            match inside {
                true => pod.sh(change),
                false => sh(change),
            };
            let text = check(&pod, &config, &result).refused(105);
            assert!(
                text.contains("web.eth0") && text.contains(says),
                "{change}: {text}"
            );
            let mut last = Call::new("DEL", &pod);
            last.netns = Some(pod.path());
            assert!(last.run(&config).ok, "{change}");
            drop(pod);
            crate::place::wait_for("a clean node", || {
                crate::place::links().iter().all(|link| link == "cbr0")
            });
        }
    });
}

#[test]
fn what_another_plugin_changed_is_its_own_affair() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        let pod = Pod::new("web");
        let mut result = add(&pod, &config).done();
        // As `tuning` does it: the change, and what it says of it.
        pod.sh("ip link set eth0 address 02:00:00:00:00:07; ip route add 10.7.0.0/16 via 10.1.0.9");
        result["interfaces"][2]["mac"] = json!("02:00:00:00:00:07");
        let routes = result["routes"].as_array_mut().expect("routes");
        routes.push(json!({"dst": "10.8.0.0/16"}));
        let checked = check(&pod, &config, &result);
        assert!(checked.ok, "{checked:?}");
        assert!(del(&pod, &config).ok);
        assert!(
            check(&pod, &config, &result)
                .refused(105)
                .contains("no link")
        );
    });
}

#[test]
fn check_needs_the_result_of_add() {
    isolated(|| {
        let config = network(&["10.1.0.0/24"]);
        let pod = Pod::new("web");
        let text = Call::new("CHECK", &pod).run(&config).refused(7);
        assert!(text.contains("prevResult"), "{text}");
        let strange = json!({"interfaces": [{"name": "eth0"}], "ips": []});
        let text = check(&pod, &config, &strange).refused(7);
        assert!(text.contains("no interface eth0"), "{text}");
    });
}
