//! Which IP families a service has: said by its families, its addresses or its policy, and filled in
//! from one another (`pkg/registry/core/service/storage/alloc.go`). Pure.
//!
//! The cluster has both, and IPv4 is the one a service gets that says nothing.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::service::has_cluster_ip;
use crate::model::Family;
use crate::server::object::{self, default};
use crate::server::status::Cause;

pub const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
const SINGLE: &str = "SingleStack";

pub fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

pub fn named(text: &str) -> Option<Family> {
    match text {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    }
}

fn other(family: &str) -> &'static str {
    match family {
        "IPv6" => "IPv4",
        _ => "IPv6",
    }
}

/// A service's families, the first one first.
pub fn of(service: &Value) -> Vec<Family> {
    let families = object::list(service, "/spec/ipFamilies").iter();
    families
        .filter_map(|family| named(family.as_str()?))
        .collect()
}

/// Fills in what a service with an address does not say of its families.
pub fn fill(spec: &mut Map<String, Value>) {
    let texts = |key: &str| -> Vec<String> {
        let list = spec.get(key).and_then(Value::as_array);
        let texts = list.into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap_or("").to_owned())
            .collect()
    };
    let mut families = texts("ipFamilies");
    let addresses = texts("clusterIPs");
    let parsed: Result<Vec<IpAddr>, _> = addresses.iter().map(|text| text.parse()).collect();
    let unnamed = parsed.unwrap_or_default().into_iter().skip(families.len());
    families.extend(unnamed.map(|address| name(Family::of(address)).to_owned()));
    let selects = spec.get("selector").and_then(Value::as_object);
    let headless = addresses.first().is_some_and(|first| first == "None");
    // What somebody else puts behind a service may be of any family.
    let policy = match headless && selects.is_none_or(Map::is_empty) {
        true => "RequireDualStack",
        false => SINGLE,
    };
    default(spec, "ipFamilyPolicy", policy);
    if families.is_empty() {
        families.push("IPv4".to_owned());
    }
    if families.len() == 1 && spec["ipFamilyPolicy"] != SINGLE {
        families.push(other(&families[0]).to_owned());
    }
    spec.insert("ipFamilies".into(), json!(families));
}

/// An update to one family gives up the second without having to name what stays.
pub fn release_second(spec: &mut Map<String, Value>, old: &Value) {
    if spec
        .get("ipFamilyPolicy")
        .is_none_or(|policy| policy != SINGLE)
    {
        return;
    }
    for key in ["clusterIPs", "ipFamilies"] {
        let before = old["spec"].get(key);
        let list = spec.get_mut(key);
        if list.as_deref() == before
            && let Some(Value::Array(list)) = list
        {
            list.truncate(1);
        }
    }
}

/// Adds what is wrong with families, policy and addresses.
pub fn validate(service: &Value, causes: &mut Vec<Cause>) {
    let families = object::list(service, "/spec/ipFamilies");
    let addresses = object::list(service, "/spec/clusterIPs");
    let policy = object::text(service, "/spec/ipFamilyPolicy");
    if !has_cluster_ip(service) {
        for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if service["spec"]
                .get(key)
                .is_some_and(|given| *given != json!([]))
            {
                causes.push(Cause::forbidden(
                    format!("spec.{key}"),
                    "may not be set for ExternalName services",
                ));
            }
        }
        return;
    }
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        causes.push(Cause::unsupported("spec.ipFamilyPolicy", policy, POLICIES));
    }
    for (key, all) in [("clusterIPs", addresses), ("ipFamilies", families)] {
        if all.len() == 2 && policy == SINGLE {
            let why = format!(
                "must be RequireDualStack or PreferDualStack when multiple {key} are specified"
            );
            causes.push(Cause::invalid("spec.ipFamilyPolicy", &json!(policy), &why));
        }
        if all.len() > 2 {
            let path = format!("spec.{key}");
            let why = "may only hold up to 2 values";
            causes.push(Cause::invalid_shown(path, &go_list(all), why));
        }
    }
    validate_families(families, causes);
    validate_addresses(service, addresses, families, causes);
}

fn validate_families(families: &[Value], causes: &mut Vec<Cause>) {
    for (index, family) in families.iter().enumerate() {
        let path = format!("spec.ipFamilies[{index}]");
        let text = family.as_str().unwrap_or("");
        if named(text).is_none() {
            causes.push(Cause::unsupported(&path, text, &["IPv4", "IPv6"]));
        }
        if families[..index].contains(family) {
            causes.push(Cause::duplicate(path, text));
        }
    }
}

fn validate_addresses(
    service: &Value,
    addresses: &[Value],
    families: &[Value],
    causes: &mut Vec<Cause>,
) {
    const ALL: &str = "spec.clusterIPs";
    let texts: Vec<&str> = addresses
        .iter()
        .map(|address| address.as_str().unwrap_or(""))
        .collect();
    if texts.len() > 1 && texts.contains(&"None") {
        let why = "'None' must be the first and only value";
        causes.push(Cause::invalid_shown(ALL, &go_list(addresses), why));
    }
    let mut seen = Vec::new();
    for (index, text) in texts
        .iter()
        .enumerate()
        .filter(|(_, text)| **text != "None")
    {
        let path = format!("{ALL}[{index}]");
        let Ok(address) = text.parse::<IpAddr>() else {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.push(Cause::invalid(path, &json!(text), why));
            continue;
        };
        let family = name(Family::of(address));
        seen.push(family);
        let said = families
            .get(index)
            .and_then(Value::as_str)
            .unwrap_or(family);
        if said != family && named(said).is_some() {
            let why = format!("expected an {said} value as indicated by `ipFamilies[{index}]`");
            causes.push(Cause::invalid(path, &json!(text), &why));
        }
    }
    if let [one, another] = seen[..]
        && one == another
    {
        let why = "may specify no more than one IP for each IP family";
        causes.push(Cause::invalid_shown(ALL, &go_list(addresses), why));
    }
    if texts.first().copied().unwrap_or("") != object::text(service, "/spec/clusterIP") {
        let why = "first value must match `clusterIP`";
        causes.push(Cause::invalid_shown(ALL, &go_list(addresses), why));
    }
}

/// Adds what is wrong with the step from `old`: what a service has first, stays.
pub fn validate_update(service: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if !has_cluster_ip(service) || !has_cluster_ip(old) {
        return;
    }
    let single = object::text(service, "/spec/ipFamilyPolicy") == SINGLE;
    for (key, one) in [("clusterIPs", "clusterIP"), ("ipFamilies", "ipFamily")] {
        let pointer = format!("/spec/{key}");
        let (had, has) = (object::list(old, &pointer), object::list(service, &pointer));
        for (index, (had, now)) in had.iter().zip(has).enumerate() {
            if had != now {
                causes.push(Cause::invalid_shown(
                    format!("spec.{key}[{index}]"),
                    &go_list(has),
                    "may not change once set",
                ));
            }
        }
        if had.len() == 2 && has.len() == 1 && !single {
            let why = format!("must be set to 'SingleStack' when releasing the secondary {one}");
            let policy = object::text(service, "/spec/ipFamilyPolicy");
            causes.push(Cause::invalid("spec.ipFamilyPolicy", &json!(policy), &why));
        }
    }
}

/// A list of texts as Go prints it in an error.
pub fn go_list(list: &[Value]) -> String {
    let texts: Vec<String> = list.iter().map(Value::to_string).collect();
    format!("[]string{{{}}}", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(spec: Value) -> Value {
        let mut service = json!({"spec": spec});
        fill(object::map(&mut service, "spec"));
        service
    }

    fn problems(spec: Value) -> Vec<String> {
        let mut causes = Vec::new();
        validate(&filled(spec), &mut causes);
        let each = causes.iter();
        each.map(|cause| format!("{}: {}", cause.field, cause.detail))
            .collect()
    }

    #[test]
    fn what_is_not_said_follows_from_what_is() {
        let (dual, prefer) = ("RequireDualStack", "PreferDualStack");
        for (spec, policy, families) in [
            (json!({}), SINGLE, json!(["IPv4"])),
            (json!({"ipFamilies": ["IPv6"]}), SINGLE, json!(["IPv6"])),
            (json!({"clusterIPs": ["fd00::1"]}), SINGLE, json!(["IPv6"])),
            (
                json!({"clusterIPs": ["x", "fd00::1"]}),
                SINGLE,
                json!(["IPv4"]),
            ),
            (
                json!({"ipFamilyPolicy": prefer}),
                prefer,
                json!(["IPv4", "IPv6"]),
            ),
            (
                json!({"ipFamilyPolicy": dual, "ipFamilies": ["IPv6"]}),
                dual,
                json!(["IPv6", "IPv4"]),
            ),
            (
                json!({"ipFamilyPolicy": prefer, "clusterIPs": ["fd00::1", "10.96.0.7"]}),
                prefer,
                json!(["IPv6", "IPv4"]),
            ),
            (
                json!({"clusterIPs": ["None"]}),
                dual,
                json!(["IPv4", "IPv6"]),
            ),
            (
                json!({"clusterIPs": ["None"], "selector": {"a": "b"}}),
                SINGLE,
                json!(["IPv4"]),
            ),
        ] {
            let service = filled(spec.clone());
            assert_eq!(service["spec"]["ipFamilyPolicy"], policy, "{spec}");
            assert_eq!(service["spec"]["ipFamilies"], families, "{spec}");
            assert_eq!(filled(service["spec"].clone()), service, "once is enough");
        }
    }

    #[test]
    fn problems_are_worded_as_in_kubernetes() {
        for (spec, expected) in [
            (
                json!({"ipFamilies": ["IPv4", "IPv6"]}),
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be RequireDualStack or \
                 PreferDualStack when multiple ipFamilies are specified",
            ),
            (
                json!({"ipFamilyPolicy": "Both"}),
                "spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \
                 \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\"",
            ),
            (
                json!({"ipFamilies": ["IPv5"]}),
                "spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"",
            ),
            (
                json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv4"]}),
                "spec.ipFamilies[1]: Duplicate value: \"IPv4\"",
            ),
            (
                json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv6"]}),
                "spec.clusterIPs[0]: Invalid value: \"10.96.0.1\": expected an IPv6 value as indicated by \
                 `ipFamilies[0]`",
            ),
            (
                json!({
                    "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"],
                    "clusterIP": "None", "clusterIPs": ["None", "10.96.0.1"],
                }),
                "spec.clusterIPs: Invalid value: []string{\"None\", \"10.96.0.1\"}: 'None' must be the first \
                 and only value",
            ),
            (
                json!({"clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.1"]}),
                "spec.clusterIPs: Invalid value: []string{\"10.96.0.1\"}: first value must match \
                 `clusterIP`",
            ),
            (
                json!({"clusterIP": "a", "clusterIPs": ["a"]}),
                "spec.clusterIPs[0]: Invalid value: \"a\": must be a valid IP address, (e.g. 10.9.8.7 or \
                 2001:db8::ffff)",
            ),
        ] {
            assert_eq!(problems(spec)[0], expected);
        }
        let mut causes = Vec::new();
        let external = json!({"spec": {"type": "ExternalName", "ipFamilyPolicy": SINGLE}});
        validate(&external, &mut causes);
        assert_eq!(
            causes[0].detail,
            "Forbidden: may not be set for ExternalName services"
        );
    }
}
