//! Who gets which address.

use std::collections::BTreeSet;

use serde_json::json;

use crate::place::{Call, Pod, add, addresses, del, ip, links, network, with};
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
