//! Who a container runs as and what it may do: its `securityContext` over its pod's.

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, SecurityContext};

use crate::pod::bundle::User;
use crate::pod::image::Image;

use super::{ConfigError, PodFacts, Policy, capability};

/// Docker's.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    pub user: User,
    pub capabilities: u64,
    pub no_new_privileges: bool,
    pub read_only_root: bool,
    pub masked: &'static [&'static str],
    pub read_only_paths: &'static [&'static str],
}

impl Security {
    pub fn of(
        pod: &PodFacts,
        container: &Container,
        image: &Image,
        policy: &Policy,
    ) -> Result<Security, ConfigError> {
        let of_pod = pod.spec()?.security_context.clone().unwrap_or_default();
        let own = container.security_context.clone().unwrap_or_default();
        refuse_unknown(container, &of_pod, &own)?;
        let privileged = own.privileged == Some(true);
        let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
        for (asked, what) in [
            (privileged, "privileged"),
            (unmasked, "procMount: Unmasked"),
        ] {
            if asked && !policy.privileged {
                return Err(not_allowed(container, what.to_owned()));
            }
        }
        let bare = privileged || unmasked;
        Ok(Security {
            user: user(container, &of_pod, &own, image)?,
            capabilities: match privileged {
                true => capability::ALL,
                false => capabilities(pod, container, &own, policy)?,
            },
            no_new_privileges: !privileged && own.allow_privilege_escalation != Some(true),
            read_only_root: own.read_only_root_filesystem == Some(true),
            masked: if bare { &[] } else { &MASKED },
            read_only_paths: if bare { &[] } else { &READ_ONLY },
        })
    }
}

fn user(
    container: &Container,
    of_pod: &PodSecurityContext,
    own: &SecurityContext,
    image: &Image,
) -> Result<User, ConfigError> {
    let of_image = image.user.as_deref().unwrap_or_default();
    let mut user = match own.run_as_user.or(of_pod.run_as_user) {
        Some(uid) => {
            let uid = id(container, "runAsUser", uid)?;
            User {
                uid,
                gid: image.accounts.group_of(uid),
                groups: image.accounts.groups_of(uid),
            }
        }
        None => image
            .accounts
            .resolve(of_image)
            .map_err(|what| ConfigError::NoUser {
                container: container.name.clone(),
                what,
            })?,
    };
    if let Some(gid) = own.run_as_group.or(of_pod.run_as_group) {
        user.gid = id(container, "runAsGroup", gid)?;
    }
    let more = of_pod
        .supplemental_groups
        .iter()
        .flatten()
        .chain(&of_pod.fs_group);
    for gid in more {
        user.groups.push(id(container, "supplementalGroups", *gid)?);
    }
    user.groups.sort_unstable();
    user.groups.dedup();
    let not_root = own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true);
    if not_root && user.uid == 0 {
        return Err(ConfigError::RunsAsRoot {
            container: container.name.clone(),
        });
    }
    Ok(user)
}

/// Added ones over the default ones, less the dropped ones; with `ALL` dropped, the added
/// ones alone (the container runtime interface's rule).
fn capabilities(
    pod: &PodFacts,
    container: &Container,
    own: &SecurityContext,
    policy: &Policy,
) -> Result<u64, ConfigError> {
    let asked = own.capabilities.clone().unwrap_or_default();
    let set = |names: &Option<Vec<String>>| {
        names.iter().flatten().try_fold(0, |set, name| {
            let one = capability::parse(name).ok_or_else(|| ConfigError::Invalid {
                object: format!("container {:?}", container.name),
                why: format!("there is no capability {name:?}; write it as in capabilities(7)"),
            })?;
            Ok(set | one)
        })
    };
    let (added, dropped): (u64, u64) = (set(&asked.add)?, set(&asked.drop)?);
    let spec = pod.spec()?;
    let mut harmless = capability::HARMLESS;
    if spec.share_process_namespace == Some(true) {
        harmless &= !capability::NOT_WITH_POD_PIDS;
    }
    if spec.host_network == Some(true) {
        harmless &= !capability::NOT_WITH_HOST_NETWORK;
    }
    let beyond = added & !harmless;
    if beyond != 0 && !policy.privileged {
        let names = capability::names(beyond).join(", ");
        return Err(not_allowed(container, format!("capabilities {names}")));
    }
    Ok(match dropped == capability::ALL {
        true => added,
        false => (capability::DEFAULT | added) & !dropped,
    })
}

/// What would be silently without effect, where its effect is what it is there for.
fn refuse_unknown(
    container: &Container,
    of_pod: &PodSecurityContext,
    own: &SecurityContext,
) -> Result<(), ConfigError> {
    let what = if of_pod.sysctls.as_ref().is_some_and(|list| !list.is_empty()) {
        "securityContext.sysctls"
    } else if own.windows_options.is_some() || of_pod.windows_options.is_some() {
        "securityContext.windowsOptions"
    } else {
        return Ok(());
    };
    Err(ConfigError::Unsupported {
        object: format!("container {:?}", container.name),
        what: what.to_owned(),
        instead: "leave it out",
    })
}

fn id(container: &Container, field: &str, id: i64) -> Result<u32, ConfigError> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| ConfigError::Invalid {
            object: format!("container {:?}", container.name),
            why: format!("{field} {id} is no id; use 0 to 4294967294"),
        })
}

fn not_allowed(container: &Container, what: String) -> ConfigError {
    ConfigError::NotAllowed {
        object: format!("container {:?}", container.name),
        what,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::plan::bundle::tests::{Case, image};

    fn security(pod: Value, own: Value, allowed: bool) -> Result<Security, String> {
        let case = Case::new(json!({
            "securityContext": pod,
            "containers": [{"name": "a", "image": "busybox", "securityContext": own}],
        }));
        let policy = Policy {
            privileged: allowed,
            host_paths: Vec::new(),
        };
        let container = case.container();
        Security::of(&case.facts(), &container, &image(), &policy)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_containers_word_goes_over_the_pods() {
        let pod = json!({"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [9, 9]});
        let found = security(pod.clone(), json!({"runAsUser": 5}), false).expect("sound");
        assert_eq!((found.user.uid, found.user.gid), (5, 2000));
        assert_eq!(found.user.groups, [9, 3000]);
        let error = security(json!({"runAsNonRoot": true}), json!({}), false).expect_err("root");
        assert!(
            error.contains("container has runAsNonRoot and image will run as root"),
            "{error}"
        );
        assert!(
            security(
                json!({"runAsNonRoot": true}),
                json!({"runAsUser": 1}),
                false
            )
            .is_ok()
        );
        assert!(security(json!({"runAsUser": -1}), json!({}), false).is_err());
    }

    #[test]
    fn capabilities_are_added_and_dropped_and_the_dangerous_ones_want_the_labs_word() {
        let with = |own: Value, allowed| security(json!({}), json!({"capabilities": own}), allowed);
        let capabilities = |own| with(own, false).expect("sound").capabilities;
        assert_eq!(capabilities(json!({})), capability::DEFAULT);
        assert_eq!(capabilities(json!({"drop": ["ALL"]})), 0);
        assert_eq!(
            capabilities(json!({"drop": ["ALL"], "add": ["CAP_NET_RAW"]})),
            1 << 13
        );
        assert_eq!(
            capabilities(json!({"drop": ["NET_RAW"]})),
            capability::DEFAULT & !(1 << 13)
        );
        for add in ["SYS_ADMIN", "ALL", "SYS_MODULE", "BPF", "DAC_READ_SEARCH"] {
            let error = with(json!({"add": [add]}), false).expect_err(add);
            assert!(error.contains("allowPrivileged: true"), "{error}");
            assert!(with(json!({"add": [add]}), true).is_ok(), "{add}");
        }
        assert!(with(json!({"add": ["FLY"]}), true).is_err());
    }

    #[test]
    fn privileged_is_refused_unless_the_lab_allows_it() {
        let error = security(json!({}), json!({"privileged": true}), false).expect_err("refused");
        assert!(error.contains("allowPrivileged: true"), "{error}");
        let found = security(json!({}), json!({"privileged": true}), true).expect("allowed");
        assert_eq!(found.capabilities, capability::ALL);
        assert!(found.masked.is_empty() && !found.no_new_privileges);
    }
}
