//! Network policies.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};

use super::super::resource::Object;
use super::typed;
use super::writer::{Writer, all, int_or_string, local, or_none, selector, selector_or_none};

pub fn describe(object: &Object) -> anyhow::Result<String> {
    let policy: NetworkPolicy = typed(object)?;
    let spec = policy.spec.clone().unwrap_or_default();
    let mut w = Writer::new();
    w.identity(&policy.metadata);
    let created = policy.metadata.creation_timestamp.as_ref();
    let created = created.map(|time| {
        local(time.0)
            .strftime("%Y-%m-%d %H:%M:%S %z %Z")
            .to_string()
    });
    w.field(0, "Created on", created.unwrap_or_default());
    w.labels_and_annotations(&policy.metadata);
    w.line(0, "Spec:");
    w.put(1, "PodSelector: ");
    let chosen = spec.pod_selector.as_ref().map(selector).unwrap_or_default();
    w.line(
        2,
        match chosen.as_str() {
            "" => "<none> (Allowing the specific traffic to all pods in this namespace)",
            chosen => chosen,
        },
    );
    let types = all(&spec.policy_types);
    let affects = |direction: &str| types.iter().any(|one| one == direction);
    if affects("Ingress") {
        w.line(1, "Allowing ingress traffic:");
        let rules = all(&spec.ingress).iter();
        let rules: Vec<Rule<'_>> = rules
            .map(|rule| (all(&rule.ports), all(&rule.from)))
            .collect();
        self::rules(&mut w, "ingress", &rules);
    } else {
        w.line(1, "Not affecting ingress traffic");
    }
    if affects("Egress") {
        w.line(1, "Allowing egress traffic:");
        let rules = all(&spec.egress).iter();
        let rules: Vec<Rule<'_>> = rules
            .map(|rule| (all(&rule.ports), all(&rule.to)))
            .collect();
        self::rules(&mut w, "egress", &rules);
    } else {
        w.line(1, "Not affecting egress traffic");
    }
    w.line(1, format!("Policy Types: {}", or_none(&types.join(", "))));
    Ok(w.finish())
}

/// The same for both directions.
type Rule<'a> = (&'a [NetworkPolicyPort], &'a [NetworkPolicyPeer]);

fn rules(w: &mut Writer, direction: &str, rules: &[Rule<'_>]) {
    let (word, end) = match direction {
        "ingress" => ("From", "source"),
        _ => ("To", "destination"),
    };
    if rules.is_empty() {
        w.line(
            2,
            format!("<none> (Selected pods are isolated for {direction} connectivity)"),
        );
    }
    for (index, (ports, peers)) in rules.iter().enumerate() {
        if ports.is_empty() {
            w.line(2, "To Port: <any> (traffic allowed to all ports)");
        }
        ports.iter().for_each(|port| self::port(w, port));
        if peers.is_empty() {
            w.line(
                2,
                format!("{word}: <any> (traffic not restricted by {end})"),
            );
        }
        for peer in *peers {
            w.line(2, format!("{word}:"));
            self::peer(w, peer);
        }
        if index + 1 < rules.len() {
            w.line(2, "----------");
        }
    }
}

fn port(w: &mut Writer, port: &NetworkPolicyPort) {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let number = port.port.as_ref().map_or("<nil>".to_owned(), int_or_string);
    match port.end_port {
        None => w.line(2, format!("To Port: {number}/{protocol}")),
        Some(end) => w.line(2, format!("To Port Range: {number}-{end}/{protocol}")),
    }
}

fn peer(w: &mut Writer, peer: &NetworkPolicyPeer) {
    let selectors = [
        ("NamespaceSelector", &peer.namespace_selector),
        ("PodSelector", &peer.pod_selector),
    ];
    for (title, given) in selectors {
        if given.is_some() {
            w.line(3, format!("{title}: {}", selector_or_none(given.as_ref())));
        }
    }
    let block = peer.ip_block.as_ref();
    let only_block = peer.namespace_selector.is_none() && peer.pod_selector.is_none();
    if let Some(block) = block.filter(|_| only_block) {
        w.line(3, "IPBlock:");
        w.line(4, format!("CIDR: {}", block.cidr));
        w.line(4, format!("Except: {}", all(&block.except).join(", ")));
    }
}
