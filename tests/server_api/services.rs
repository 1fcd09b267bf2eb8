//! Services: addresses, and what is behind them.

use serde_json::{Value, json};

use crate::lab::{Lab, eventually, pod};

pub const SERVICES: &str = "/api/v1/namespaces/default/services";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const MERGE: &str = "application/merge-patch+json";

pub fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "selector": {"app": name}},
    });
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

#[tokio::test]
async fn addresses_and_node_ports_are_given_once() {
    let lab = Lab::start().await;
    let creations = (0..40).map(|index| {
        let service = service(&format!("s{index}"), json!({"type": "NodePort"}));
        lab.send("POST", SERVICES, service)
    });
    let created = futures::future::join_all(creations.collect::<Vec<_>>()).await;
    let mut addresses = std::collections::HashSet::new();
    let mut ports = std::collections::HashSet::new();
    for (code, service) in &created {
        assert_eq!(*code, 201, "{service}");
        assert_eq!(
            service["spec"]["clusterIPs"][0],
            service["spec"]["clusterIP"]
        );
        addresses.insert(service["spec"]["clusterIP"].as_str().unwrap().to_owned());
        ports.insert(service["spec"]["ports"][0]["nodePort"].as_i64().unwrap());
    }
    assert_eq!((addresses.len(), ports.len()), (40, 40));

    let taken = addresses.iter().next().unwrap();
    let (code, status) = lab
        .send(
            "POST",
            SERVICES,
            service("again", json!({"clusterIP": taken})),
        )
        .await;
    let expected = format!(
        "Service \"again\" is invalid: spec.clusterIPs: Invalid value: []string{{\"{taken}\"}}: \
         failed to allocate IP {taken}: provided IP is already allocated"
    );
    assert_eq!(
        (code, status["message"].as_str()),
        (422, Some(expected.as_str()))
    );

    let (_, headless) = lab
        .send(
            "POST",
            SERVICES,
            service("headless", json!({"clusterIP": "None"})),
        )
        .await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let name = json!({"type": "ExternalName", "externalName": "example.com", "ports": null});
    let (code, external) = lab.send("POST", SERVICES, service("external", name)).await;
    assert_eq!((code, external["spec"].get("clusterIP")), (201, None));
    let inside =
        json!({"spec": {"type": "ClusterIP", "externalName": null, "ports": [{"port": 80}]}});
    let path = format!("{SERVICES}/external");
    let (code, inside) = lab.send_as("PATCH", &path, MERGE, inside).await;
    assert_eq!(code, 200);
    assert!(
        inside["spec"]["clusterIP"].is_string(),
        "an address where it had none: {inside}"
    );
}

/// Families, policy, and of which family each address is.
fn families(service: &Value) -> (Value, String, Vec<&'static str>) {
    let addresses = service["spec"]["clusterIPs"].as_array().unwrap();
    let family = |address: &Value| match address.as_str().unwrap().parse().unwrap() {
        std::net::IpAddr::V4(_) => "IPv4",
        std::net::IpAddr::V6(_) => "IPv6",
    };
    (
        service["spec"]["ipFamilies"].clone(),
        service["spec"]["ipFamilyPolicy"]
            .as_str()
            .unwrap()
            .to_owned(),
        addresses.iter().map(family).collect(),
    )
}

#[tokio::test]
async fn a_service_has_one_family_or_both() {
    let lab = Lab::start().await;
    for (name, spec, policy, expected) in [
        ("plain", json!({}), "SingleStack", &["IPv4"][..]),
        (
            "six",
            json!({"ipFamilies": ["IPv6"]}),
            "SingleStack",
            &["IPv6"],
        ),
        (
            "prefers",
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            "PreferDualStack",
            &["IPv4", "IPv6"],
        ),
        (
            "requires",
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            "RequireDualStack",
            &["IPv6", "IPv4"],
        ),
        (
            "asks",
            json!({"clusterIPs": ["fd00:10:96::77", "10.96.7.7"], "ipFamilyPolicy": "RequireDualStack"}),
            "RequireDualStack",
            &["IPv6", "IPv4"],
        ),
    ] {
        let (code, made) = lab.send("POST", SERVICES, service(name, spec)).await;
        assert_eq!(code, 201, "{made}");
        assert_eq!(
            families(&made),
            (json!(expected), policy.to_owned(), expected.to_vec()),
            "{name}"
        );
        assert_eq!(made["spec"]["clusterIP"], made["spec"]["clusterIPs"][0]);
    }
    for (spec, why) in [
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be RequireDualStack or \
             PreferDualStack when multiple ipFamilies are specified",
        ),
        (
            json!({"clusterIP": "fd00:10:96::77"}),
            "spec.clusterIPs: Invalid value: []string{\"fd00:10:96::77\"}: failed to allocate IP \
             fd00:10:96::77: provided IP is already allocated",
        ),
        (
            json!({"clusterIP": "fd00::1"}),
            "spec.clusterIPs: Invalid value: []string{\"fd00::1\"}: failed to allocate IP fd00::1: the \
             provided IP is not in the valid range. The range of valid IPs is fd00:10:96::/112",
        ),
        (
            json!({"clusterIP": "10.96.7.8", "ipFamilies": ["IPv6"]}),
            "spec.clusterIPs[0]: Invalid value: \"10.96.7.8\": expected an IPv6 value as indicated by \
             `ipFamilies[0]`",
        ),
    ] {
        let (code, status) = lab.send("POST", SERVICES, service("wrong", spec)).await;
        let expected = format!("Service \"wrong\" is invalid: {why}");
        assert_eq!((code, &status["message"]), (422, &json!(expected)));
    }
}

#[tokio::test]
async fn a_second_family_comes_and_goes_and_the_first_stays() {
    let lab = Lab::start().await;
    let (_, made) = lab.send("POST", SERVICES, service("web", json!({}))).await;
    let path = format!("{SERVICES}/web");
    let set = async |spec: Value| {
        lab.send_as("PATCH", &path, MERGE, json!({"spec": spec}))
            .await
    };
    let (code, both) = set(json!({"ipFamilyPolicy": "PreferDualStack"})).await;
    assert_eq!(code, 200, "{both}");
    assert_eq!(families(&both).2, ["IPv4", "IPv6"]);
    assert_eq!(both["spec"]["clusterIP"], made["spec"]["clusterIP"]);

    let mut pod = pod("one");
    pod["metadata"]["labels"] = json!({"app": "web"});
    lab.send("POST", PODS, pod).await;
    let status = json!({"status": {
        "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}, {"ip": "fd00:244::9"}],
        "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
    }});
    lab.send_as("PATCH", &format!("{PODS}/one/status"), MERGE, status)
        .await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices\
                  ?labelSelector=kubernetes.io/service-name=web";
    let behind = async || {
        let (_, slices) = lab.send("GET", slices, Value::Null).await;
        let slices = slices["items"].as_array().unwrap().clone();
        let mut each: Vec<String> = slices
            .iter()
            .map(|slice| {
                format!(
                    "{} {}",
                    slice["addressType"], slice["endpoints"][0]["addresses"]
                )
            })
            .collect();
        each.sort();
        each
    };
    let four = "\"IPv4\" [\"10.244.0.9\"]";
    let six = "\"IPv6\" [\"fd00:244::9\"]";
    eventually("a slice of each family", async || {
        (behind().await == [four, six]).then_some(())
    })
    .await;

    let (code, status) = set(json!({"ipFamilies": ["IPv6", "IPv4"]})).await;
    let message = status["message"].as_str().unwrap_or_default();
    assert_eq!(code, 422);
    assert!(message.contains("may not change once set"), "{message}");
    let (code, status) = set(json!({"clusterIP": "10.96.0.99"})).await;
    assert_eq!(code, 422);
    let message = status["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("spec.clusterIPs[0]: Invalid value: []string{\"10.96.0.99\","),
        "{message}"
    );
    let (code, single) = set(json!({"ipFamilyPolicy": "SingleStack"})).await;
    assert_eq!(code, 200, "{single}");
    assert_eq!(
        families(&single),
        (json!(["IPv4"]), "SingleStack".to_owned(), vec!["IPv4"])
    );
    eventually("the second slice is gone", async || {
        (behind().await == [four]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_headless_service_without_a_selector_is_of_every_family() {
    let lab = Lab::start().await;
    let bare = json!({"clusterIP": "None", "selector": null});
    let (_, bare) = lab.send("POST", SERVICES, service("bare", bare)).await;
    assert_eq!(bare["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(bare["spec"]["ipFamilyPolicy"], "RequireDualStack");
    assert_eq!(bare["spec"]["clusterIPs"], json!(["None"]));
    let (_, choosy) = lab
        .send(
            "POST",
            SERVICES,
            service("choosy", json!({"clusterIP": "None"})),
        )
        .await;
    assert_eq!(choosy["spec"]["ipFamilies"], json!(["IPv4"]));
}

#[tokio::test]
async fn the_api_has_a_service_and_every_namespace_an_account() {
    let lab = Lab::start().await;
    let path = format!("{SERVICES}/kubernetes");
    let first = eventually("the service", async || {
        let (code, service) = lab.send("GET", &path, Value::Null).await;
        (code == 200).then_some(service)
    })
    .await;
    assert_eq!(first["spec"]["clusterIP"], "10.96.0.1");
    lab.send("DELETE", &path, Value::Null).await;
    eventually("another one", async || {
        let (code, service) = lab.send("GET", &path, Value::Null).await;
        (code == 200 && service["metadata"]["uid"] != first["metadata"]["uid"]).then_some(())
    })
    .await;
    lab.send(
        "POST",
        "/api/v1/namespaces",
        json!({"metadata": {"name": "shop"}}),
    )
    .await;
    for namespace in ["default", "kube-system", "shop"] {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        eventually(&path, async || {
            (lab.send("GET", &path, Value::Null).await.0 == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_behind_a_service_follows_its_pods() {
    let lab = Lab::start().await;
    lab.send("POST", SERVICES, service("web", json!({}))).await;
    for (name, ready) in [("one", "True"), ("two", "False")] {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({"app": "web"});
        lab.send("POST", PODS, pod).await;
        let status = json!({"status": {
            "podIP": format!("10.244.0.{}", name.len() + usize::from(ready == "True")),
            "phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
        }});
        lab.send_as("PATCH", &format!("{PODS}/{name}/status"), MERGE, status)
            .await;
    }
    let endpoints = "/api/v1/namespaces/default/endpoints/web";
    eventually("one ready and one not", async || {
        let (_, endpoints) = lab.send("GET", endpoints, Value::Null).await;
        let subset = &endpoints["subsets"][0];
        let ready = &subset["addresses"][0]["targetRef"]["name"] == "one";
        (ready && subset["notReadyAddresses"][0]["targetRef"]["name"] == "two").then_some(())
    })
    .await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices\
                  ?labelSelector=kubernetes.io/service-name=web";
    eventually("a slice with both", async || {
        let (_, slices) = lab.send("GET", slices, Value::Null).await;
        let endpoints = slices["items"][0]["endpoints"].as_array()?;
        (endpoints.len() == 2 && slices["items"][0]["ports"][0]["port"] == 80).then_some(())
    })
    .await;
    lab.send("DELETE", &format!("{PODS}/one"), Value::Null)
        .await;
    eventually("nothing ready is left", async || {
        let (_, endpoints) = lab.send("GET", endpoints, Value::Null).await;
        let subset = &endpoints["subsets"][0];
        (subset["addresses"].is_null() && subset["notReadyAddresses"].is_array()).then_some(())
    })
    .await;
    lab.send("DELETE", &format!("{SERVICES}/web"), Value::Null)
        .await;
    eventually("both go with the service", async || {
        let (code, _) = lab.send("GET", endpoints, Value::Null).await;
        let (_, slices) = lab.send("GET", slices, Value::Null).await;
        (code == 404 && slices["items"].as_array()?.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_caller_may_ask_who_it_is_and_what_it_may() {
    let lab = Lab::start().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, review) = lab.send("POST", path, json!({})).await;
    let user = &review["status"]["userInfo"];
    assert_eq!((code, &user["username"]), (201, &json!("tester")));
    assert_eq!(
        user["groups"],
        json!(["system:masters", "system:authenticated"])
    );
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}});
    let (_, review) = lab.send("POST", path, asked).await;
    assert_eq!(review["status"]["allowed"], true);
    let (code, _) = lab.send("GET", path, Value::Null).await;
    assert_eq!(code, 405);
}

#[tokio::test]
async fn events_are_the_same_in_both_groups() {
    let lab = Lab::start().await;
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let older = "/api/v1/namespaces/default/events";
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "one"},
        "reason": "Tested", "note": "it works", "type": "Normal", "action": "Test",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "test",
        "reportingInstance": "test-1", "regarding": {"kind": "Pod", "name": "web"},
    });
    let (code, created) = lab.send("POST", newer, event).await;
    assert_eq!(
        (code, &created["note"]),
        (201, &json!("it works")),
        "{created}"
    );
    let (_, stored) = lab.send("GET", &format!("{older}/one"), Value::Null).await;
    assert_eq!(
        (&stored["apiVersion"], &stored["message"]),
        (&json!("v1"), &json!("it works"))
    );
    let patch = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "again"});
    let path = format!("{newer}/one");
    let (code, patched) = lab.send_as("PATCH", &path, MERGE, patch).await;
    assert_eq!(
        (code, &patched["note"]),
        (200, &json!("again")),
        "{patched}"
    );
    let selected = format!("{newer}?fieldSelector=regarding.name=web");
    let (_, list) = lab.send("GET", &selected, Value::Null).await;
    assert_eq!(list["apiVersion"], "events.k8s.io/v1");
    assert_eq!(list["items"][0]["regarding"]["name"], "web");
    let api: kube::Api<k8s_openapi::api::events::v1::Event> =
        kube::Api::namespaced(lab.client.clone(), "default");
    let parameters = kube::api::WatchParams::default();
    let mut watch = Box::pin(api.watch(&parameters, "0").await.unwrap());
    let first = futures::StreamExt::next(&mut watch).await.unwrap().unwrap();
    let kube::core::WatchEvent::Added(event) = first else {
        panic!("{first:?}");
    };
    assert_eq!(event.note.as_deref(), Some("again"));
}

#[tokio::test]
async fn network_policies_are_filled_in_and_checked() {
    const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let lab = Lab::start().await;
    let policy = |spec: Value| json!({"metadata": {"name": "web"}, "spec": spec});
    let (code, made) = lab.send("POST", POLICIES, policy(json!({}))).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["spec"]["podSelector"], &made["spec"]["policyTypes"]),
        (&json!({}), &json!(["Ingress"]))
    );
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{POLICIES}/web");
    let egress = policy(json!({"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}));
    let (code, put) = lab.send("PUT", &path, egress).await;
    assert_eq!(
        (code, &put["spec"]["policyTypes"]),
        (200, &json!(["Ingress", "Egress"])),
        "{put}"
    );
    assert_eq!(put["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    assert_eq!(put["metadata"]["generation"], 2);
    for (peer, why) in [
        (
            json!({}),
            "spec.ingress[0].from[0]: Required value: must specify a peer",
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.1"}}),
            "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.1\": must be a valid CIDR \
             value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
    ] {
        let wrong = policy(json!({"podSelector": {}, "ingress": [{"from": [peer]}]}));
        let (code, status) = lab.send("PUT", &path, wrong).await;
        let expected = format!("NetworkPolicy.networking.k8s.io \"web\" is invalid: {why}");
        assert_eq!((code, &status["message"]), (422, &json!(expected)));
    }
}
