use proptest::prelude::*;
use serde_json::json;

use super::*;

fn node(name: &str, labels: Value, status: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    })
}

fn pod(selector: Value) -> Value {
    json!({"spec": {"schedulerName": "default-scheduler", "nodeSelector": selector}})
}

fn bound(decisions: &[Decision]) -> Vec<&str> {
    decisions
        .iter()
        .map(|decision| match decision {
            Decision::Bind { node, .. } => node.as_str(),
            Decision::Unfit { message, .. } => message.as_str(),
        })
        .collect()
}

#[test]
fn a_burst_spreads_over_the_emptiest_nodes() {
    let mut placement = Placement::default();
    for name in ["a", "b", "c"] {
        placement.node(&node(name, json!({}), "True"));
    }
    placement.pod_placed(&"pods/x/old".into(), "a", Needs::of(&pod(json!({}))));
    for index in 0..5 {
        placement.pod_pending(&format!("pods/x/{index}").into(), &pod(json!({})));
    }
    assert_eq!(bound(&placement.decide(9)), ["b", "c", "a", "b", "c"]);
    assert_eq!(placement.decide(9), []);
}

#[test]
fn the_reasons_are_counted_and_a_node_change_is_another_chance() {
    let mut placement = Placement::default();
    placement.pod_pending(&"p".into(), &pod(json!({"disk": "ssd"})));
    assert_eq!(
        bound(&placement.decide(9)),
        ["no nodes available to schedule pods"]
    );
    placement.node(&node("a", json!({}), "True"));
    placement.node(&node("b", json!({}), "True"));
    placement.node(&node("c", json!({"disk": "ssd"}), "Unknown"));
    assert_eq!(
        bound(&placement.decide(9)),
        ["0/3 nodes are available: 1 node(s) had untolerated taint \
          {node.kubernetes.io/unreachable: }, 2 node(s) didn't match Pod's node \
          affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful \
          for scheduling."]
    );
    placement.node(&node("a", json!({}), "True"));
    assert_eq!(placement.decide(9), [], "a heartbeat is no change");
    placement.node(&node("c", json!({"disk": "ssd"}), "True"));
    assert_eq!(bound(&placement.decide(9)), ["c"]);
}

#[test]
fn a_finished_pod_frees_its_place() {
    let mut placement = Placement::default();
    placement.node(&node("a", json!({}), "True"));
    placement.node(&node("b", json!({}), "True"));
    placement.pod_placed(&"one".into(), "a", Needs::of(&pod(json!({}))));
    placement.pod_placed(&"two".into(), "b", Needs::of(&pod(json!({}))));
    placement.pod_gone(&"two".into());
    placement.pod_pending(&"three".into(), &pod(json!({})));
    assert_eq!(bound(&placement.decide(9)), ["b"]);
}

fn sized(name: &str, cpu: &str, pods: &str) -> Value {
    let mut node = node(name, json!({"zone": name, "all": "x"}), "True");
    node["status"]["allocatable"] = json!({"cpu": cpu, "memory": "1Gi", "pods": pods});
    node
}

fn asking(cpu: &str, labels: Value, affinity: Value) -> Value {
    json!({
        "metadata": {"namespace": "x", "labels": labels},
        "spec": {
            "schedulerName": "default-scheduler", "affinity": affinity,
            "containers": [{"resources": {"requests": {"cpu": cpu}}}],
        },
    })
}

fn near(kind: &str, app: &str, key: &str) -> Value {
    json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}},
    ]}})
}

proptest! {
    #[test]
    fn no_node_gets_more_than_it_has_and_no_pod_waits_without_reason(
        nodes in prop::collection::vec((1_i64..5, 1_i64..5), 1..4),
        pods in prop::collection::vec(1_i64..4000, 1..20),
    ) {
        let mut placement = Placement::default();
        for (index, (cpu, most)) in nodes.iter().enumerate() {
            placement.node(&sized(&format!("n{index}"), &cpu.to_string(), &most.to_string()));
        }
        for (index, cpu) in pods.iter().enumerate() {
            let pod = asking(&format!("{cpu}m"), json!({}), Value::Null);
            placement.pod_pending(&format!("{index:02}").into(), &pod);
        }
        let mut used = vec![(0, 0); nodes.len()];
        for decision in placement.decide(99) {
            match decision {
                Decision::Bind { pod, node } => {
                    let cpu = pods[pod.parse::<usize>().unwrap()];
                    let node: usize = node[1..].parse().unwrap();
                    used[node] = (used[node].0 + cpu, used[node].1 + 1);
                    let (has, most) = nodes[node];
                    prop_assert!(used[node].0 <= has * 1000 && used[node].1 <= most);
                }
                Decision::Unfit { pod, .. } => {
                    let cpu = pods[pod.parse::<usize>().unwrap()];
                    let fits = nodes.iter().zip(&used).any(|((has, most), (used, count))| {
                        used + cpu <= has * 1000 && count < most
                    });
                    prop_assert!(!fits, "{cpu} would fit");
                }
            }
        }
    }
}

#[test]
fn what_is_full_says_of_what_and_room_is_another_chance() {
    let mut placement = Placement::default();
    placement.node(&sized("a", "1", "9"));
    placement.node(&sized("b", "4", "1"));
    let pod = |cpu: &str| asking(cpu, json!({}), Value::Null);
    placement.pod_placed(&"old".into(), "b", Needs::of(&pod("1")));
    placement.pod_pending(&"p".into(), &pod("2"));
    assert_eq!(
        bound(&placement.decide(9)),
        [
            "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods. preemption: 0/2 nodes \
          are available: 1 No preemption victims found for incoming pod, 1 Preemption is not \
          helpful for scheduling."
        ]
    );
    placement.pod_gone(&"old".into());
    assert_eq!(bound(&placement.decide(9)), ["b"]);
}

#[test]
fn pods_keep_near_and_apart() {
    let mut placement = Placement::default();
    placement.node(&sized("a", "9", "9"));
    placement.node(&sized("b", "9", "9"));
    let web = json!({"app": "web"});
    let follower = asking(
        "1m",
        json!({"app": "log"}),
        near("podAffinity", "web", "zone"),
    );
    placement.pod_pending(&"follower".into(), &follower);
    assert!(bound(&placement.decide(9))[0].contains("2 node(s) didn't match pod affinity rules"));
    let loner = asking("1m", web.clone(), near("podAntiAffinity", "web", "zone"));
    for name in ["one", "two", "zero"] {
        placement.pod_pending(&name.into(), &loner);
    }
    let decisions = placement.decide(2);
    assert_eq!(
        bound(&decisions),
        ["a", "b"],
        "the follower waits for the next look"
    );
    let rest = placement.decide(9);
    assert_eq!(bound(&rest)[0], "a", "the follower goes where it may");
    assert!(bound(&rest)[1].contains("2 node(s) didn't match pod anti-affinity rules"));
    placement.pod_pending(&"plain".into(), &asking("1m", web, Value::Null));
    let why = placement.decide(9);
    assert!(
        bound(&why)[0].contains("existing pods anti-affinity rules"),
        "{why:?}"
    );
}

#[test]
fn the_first_of_a_group_may_go_anywhere() {
    let mut placement = Placement::default();
    placement.node(&sized("a", "9", "9"));
    let own = asking(
        "1m",
        json!({"app": "web"}),
        near("podAffinity", "web", "zone"),
    );
    placement.pod_pending(&"p".into(), &own);
    assert_eq!(bound(&placement.decide(9)), ["a"]);
}

#[test]
fn a_toleration_opens_a_tainted_node() {
    let mut placement = Placement::default();
    let mut tainted = node("a", json!({}), "True");
    tainted["spec"]["taints"] = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]);
    placement.node(&tainted);
    placement.pod_pending(&"p".into(), &pod(json!({})));
    assert!(bound(&placement.decide(9))[0].contains("1 node(s) had untolerated taint {gpu: yes}"));
    let mut tolerant = pod(json!({}));
    tolerant["spec"]["tolerations"] = json!([{"key": "gpu", "operator": "Exists"}]);
    placement.pod_pending(&"q".into(), &tolerant);
    assert_eq!(bound(&placement.decide(9)), ["a"]);
}

fn zoned(name: &str, zone: &str) -> Value {
    node(name, json!({"zone": zone, "host": name}), "True")
}

fn labelled(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"namespace": "x", "labels": {"app": "web"}}, "spec": spec});
    pod["spec"]["schedulerName"] = "default-scheduler".into();
    pod
}

fn only(placement: &mut Placement, pod: &Value) -> String {
    placement.pod_pending(&"p".into(), pod);
    let decisions = placement.decide(9);
    placement.pod_gone(&"p".into());
    bound(&decisions)[0].to_owned()
}

#[test]
fn a_wish_counts_where_it_can_come_true() {
    let mut placement = Placement::default();
    for (name, zone) in [("a", "1"), ("b", "2"), ("c", "2")] {
        placement.node(&zoned(name, zone));
    }
    placement.pod_placed(&"old".into(), "b", Needs::of(&labelled(json!({}))));
    let wish = |weight: i64, key: &str, value: &str| {
        json!({"weight": weight, "preference": {"matchExpressions": [
            {"key": key, "operator": "In", "values": [value]},
        ]}})
    };
    let likes = |wishes: Value| {
        labelled(json!({"affinity": {"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": wishes,
        }}}))
    };
    let one = likes(json!([wish(1, "zone", "2")]));
    assert_eq!(
        only(&mut placement, &one),
        "c",
        "the emptier one of the zone"
    );
    let more = likes(json!([wish(10, "zone", "1"), wish(11, "host", "b")]));
    assert_eq!(only(&mut placement, &more), "b", "the weightier wish");
    let nowhere = likes(json!([wish(100, "zone", "9")]));
    assert_eq!(only(&mut placement, &nowhere), "a");
    let near = |kind: &str| {
        labelled(
            json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 5, "podAffinityTerm": {
                    "topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}},
                }},
            ]}}}),
        )
    };
    assert_eq!(only(&mut placement, &near("podAffinity")), "c");
    assert_eq!(only(&mut placement, &near("podAntiAffinity")), "a");
    // What is there has wishes, too.
    placement.pod_placed(&"old".into(), "a", Needs::of(&near("podAntiAffinity")));
    assert_eq!(only(&mut placement, &labelled(json!({}))), "b");
}

#[test]
fn a_node_that_would_rather_be_left_alone_is_the_last_choice() {
    let mut placement = Placement::default();
    let mut soft = zoned("a", "1");
    soft["spec"]["taints"] = json!([{"key": "busy", "effect": "PreferNoSchedule"}]);
    placement.node(&soft);
    placement.node(&zoned("b", "1"));
    placement.pod_placed(&"old".into(), "b", Needs::of(&labelled(json!({}))));
    assert_eq!(only(&mut placement, &labelled(json!({}))), "b");
    let tolerant = json!({"tolerations": [{"key": "busy", "operator": "Exists"}]});
    assert_eq!(only(&mut placement, &labelled(tolerant)), "a");
    placement.node_gone("b");
    assert_eq!(only(&mut placement, &labelled(json!({}))), "a");
}

#[test]
fn pods_are_spread_as_evenly_as_they_ask() {
    let mut placement = Placement::default();
    for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2")] {
        placement.node(&zoned(name, zone));
    }
    placement.node(&node("d", json!({}), "True"));
    let spread = |otherwise: &str, more: Value| {
        let mut constraint = json!({
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": otherwise,
            "labelSelector": {"matchLabels": {"app": "web"}},
        });
        constraint
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        labelled(json!({"topologySpreadConstraints": [constraint]}))
    };
    let hard = spread("DoNotSchedule", json!({}));
    for index in 0..5 {
        placement.pod_pending(&format!("{index}").into(), &hard);
    }
    assert_eq!(bound(&placement.decide(9)), ["a", "c", "b", "c", "a"]);
    let mut cordoned = zoned("c", "2");
    cordoned["spec"]["unschedulable"] = true.into();
    placement.node(&cordoned);
    assert_eq!(
        only(&mut placement, &hard),
        "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing \
         required label), 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread \
         constraints. preemption: 0/4 nodes are available: 2 No preemption victims found for incoming \
         pod, 2 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        only(&mut placement, &spread("ScheduleAnyway", json!({}))),
        "b"
    );
    placement.node(&zoned("c", "2"));
    assert_eq!(
        only(&mut placement, &spread("ScheduleAnyway", json!({}))),
        "c"
    );
    // With three zones wanted and two there, the third counts as empty.
    let three = spread("DoNotSchedule", json!({"minDomains": 3}));
    assert!(only(&mut placement, &three).contains("3 node(s) didn't match pod topology spread"));
    let elsewhere = spread(
        "DoNotSchedule",
        json!({"matchLabelKeys": ["app"], "labelSelector": {}}),
    );
    assert_eq!(only(&mut placement, &elsewhere), "c");
}

#[test]
fn a_node_is_named_by_its_field() {
    let mut placement = Placement::default();
    for name in ["a", "b", "c"] {
        placement.node(&sized(name, "1", "9"));
    }
    let on = |names: Value, cpu: &str| {
        let field = json!({"key": "metadata.name", "operator": "In", "values": names});
        asking(
            cpu,
            json!({}),
            json!({"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [field]}],
                },
            }}),
        )
    };
    assert_eq!(only(&mut placement, &on(json!(["c"]), "1")), "c");
    assert_eq!(
        only(&mut placement, &on(json!(["b"]), "3")),
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) \
         [NodeAffinity]. preemption: 0/3 nodes are available: 3 Preemption is not helpful for \
         scheduling."
    );
}

#[test]
fn every_resource_counts_and_one_that_a_node_lacks_is_not_there() {
    let mut placement = Placement::default();
    let mut rich = sized("a", "4", "9");
    rich["status"]["allocatable"]["example.com/gpu"] = "1".into();
    rich["status"]["allocatable"]["ephemeral-storage"] = "1Gi".into();
    placement.node(&rich);
    placement.node(&sized("b", "4", "9"));
    let asks =
        |requests: Value| labelled(json!({"containers": [{"resources": {"requests": requests}}]}));
    let gpu = asks(json!({"example.com/gpu": 1, "memory": "1Gi"}));
    assert_eq!(only(&mut placement, &gpu), "a");
    placement.pod_placed(&"old".into(), "a", Needs::of(&gpu));
    assert_eq!(
        only(&mut placement, &gpu),
        "0/2 nodes are available: 1 Insufficient memory, 2 Insufficient example.com/gpu. preemption: \
         0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not \
         helpful for scheduling."
    );
    let large = asks(json!({"ephemeral-storage": "2Gi"}));
    assert_eq!(
        only(&mut placement, &large),
        "b",
        "it does not say how much it has"
    );
}

#[test]
fn a_pod_that_changes_has_another_chance() {
    let mut placement = Placement::default();
    let mut tainted = node("a", json!({}), "True");
    tainted["spec"]["taints"] = json!([{"key": "gpu", "effect": "NoSchedule"}]);
    placement.node(&tainted);
    let mut pod = labelled(json!({}));
    placement.pod_pending(&"p".into(), &pod);
    assert_eq!(placement.decide(9).len(), 1);
    pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False"}]);
    placement.pod_pending(&"p".into(), &pod);
    assert_eq!(
        placement.decide(9),
        [],
        "nothing but what was said about it"
    );
    pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    placement.pod_pending(&"p".into(), &pod);
    assert_eq!(bound(&placement.decide(9)), ["a"]);
}
