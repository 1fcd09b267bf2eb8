use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pod::plan::bundle::tests::{Case, image};
use crate::pod::plan::{Policy, volumes};

fn path() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "a", "..", ".", "proc", "sys", "etc", "srv", "open", "lab", "dev", "volumes", "",
        "var/log", "pods"
    ];
    prop::collection::vec(word, 0..5).prop_map(|words| format!("/{}", words.join("/")))
}

fn volume() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"emptyDir": {}})),
        Just(json!({"emptyDir": {"medium": "Memory"}})),
        Just(json!({"configMap": {"name": "config"}})),
        Just(json!({"secret": {"secretName": "s"}})),
        path().prop_map(|path| json!({"hostPath": {"path": path}})),
    ]
}

fn security() -> impl Strategy<Value = Value> {
    let names = prop::collection::vec(
        prop_oneof![
            "ALL",
            "SYS_ADMIN",
            "NET_ADMIN",
            "CAP_SYS_PTRACE",
            "net_raw",
            "BPF",
            "MKNOD"
        ],
        0..3,
    );
    let flag = any::<Option<bool>>();
    (
        names.clone(),
        names,
        flag.clone(),
        flag,
        any::<Option<u32>>(),
    )
        .prop_map(|(add, drop, privileged, escalation, uid)| {
            json!({
                "capabilities": {"add": add, "drop": drop}, "privileged": privileged,
                "allowPrivilegeEscalation": escalation, "runAsUser": uid,
                "procMount": privileged.map(|on| if on { "Unmasked" } else { "Default" }),
            })
        })
}

fn spec() -> impl Strategy<Value = Value> {
    let mount = (0..3usize, path(), path(), any::<Option<bool>>());
    (
        prop::collection::vec(volume(), 3),
        prop::collection::vec(mount, 0..4),
        security(),
        any::<[Option<bool>; 4]>(),
        prop::option::of(path()),
    )
        .prop_map(|(mut volumes, mounts, security, flags, message)| {
            for (number, volume) in volumes.iter_mut().enumerate() {
                volume["name"] = json!(format!("v{number}"));
            }
            let mounts: Vec<Value> = mounts
                .into_iter()
                .map(|(volume, target, sub, read_only)| {
                    let sub = sub.trim_start_matches('/').to_owned();
                    json!({
                        "name": format!("v{volume}"), "mountPath": target, "subPath": sub,
                        "readOnly": read_only,
                    })
                })
                .collect();
            let [share, host_network, host_pid, host_ipc] = flags;
            json!({
                "shareProcessNamespace": share, "hostNetwork": host_network,
                // Rarely: it refuses everything.
                "hostPID": host_pid.filter(|_| host_ipc == Some(true)), "volumes": volumes,
                "containers": [{
                    "name": "a", "volumeMounts": mounts, "securityContext": security,
                    "terminationMessagePath": message,
                }],
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The law itself, told apart from the guard: from the bundle alone.
    #[test]
    fn no_pod_spec_gets_further_than_its_own_node(spec in spec(), open in any::<bool>()) {
        let mut case = Case::new(spec);
        if open {
            case.node.policy.host_paths = vec!["/srv/open".into()];
        }
        let Ok(bundle) = case.bundle() else {
            return Ok(());
        };
        for mount in &bundle.mounts {
            let source = mount.source.join(&mount.below);
            prop_assert!(!source.components().any(|part| part == Component::ParentDir));
            prop_assert!(
                source.is_relative() || source.starts_with(&case.node.root)
                    || (source == case.node.logs && mount.read_only)
                    || (open && source.starts_with("/srv/open")),
                "{mount:?}"
            );
            prop_assert!(mount.target.is_absolute() && mount.target.components().count() > 1);
            prop_assert!(!mount.target.starts_with("/proc") && !mount.target.starts_with("/sys"));
        }
        let added = bundle.process.capabilities & !capability::DEFAULT;
        prop_assert_eq!(added & !capability::HARMLESS, 0);
        let of = Confinement::of(&bundle);
        prop_assert!(!of.writes_kernel_settings);
        for path in of.reads.iter().filter(|path| *path != Path::new("/")) {
            let own = path.starts_with(&case.node.root) || *path == case.node.logs;
            prop_assert!(own || open, "{}", path.display());
        }
        prop_assert_eq!(&bundle.root.hidden, &image().root.hidden);
        if bundle.pids == PidNamespace::Pod {
            prop_assert!(!of.capabilities.contains(&"SYS_PTRACE"));
        }
    }

    /// What the guard refuses the planner never makes; it is there for mistakes.
    #[test]
    fn the_guard_never_refuses_what_was_planned(spec in spec(), privileged in any::<bool>()) {
        let mut case = Case::new(spec);
        case.node.policy = Policy { privileged, host_paths: vec!["/srv".into(), "/srv/open".into()] };
        if let Err(error) = case.bundle() {
            let unconfined = matches!(error, crate::pod::plan::ConfigError::Unconfined { .. });
            prop_assert!(!unconfined, "{}", error);
        }
        // Nothing panics on the way either.
        let _ = volumes(&case.facts(), &case.node);
    }
}

#[test]
fn the_guard_sees_each_way_out() {
    let case = Case::new(json!({"containers": [{"name": "a"}]}));
    let sound = case.bundle().expect("sound");
    let objections = |change: fn(&mut Bundle)| {
        let mut bundle = sound.clone();
        change(&mut bundle);
        violations(&bundle, &case.node, &image()).join("; ")
    };
    assert_eq!(objections(|_| {}), "");
    type WayOut = (fn(&mut Bundle), &'static str);
    let cases: [WayOut; 11] = [
        (
            |b| b.mounts[0].source = "/etc".into(),
            "neither the pod's nor open",
        ),
        (
            |b| b.mounts[0].source = "sandbox.sock".into(),
            "neither the pod's nor open",
        ),
        (|b| b.mounts[0].source = "volumes/../..".into(), "leads out"),
        (|b| b.mounts[0].below = "../x".into(), "leads out"),
        (
            |b| b.mounts[0].source = "/usr/bin/podnet".into(),
            "neither the pod's nor open",
        ),
        (
            |b| b.mounts[0].source = "/lab/nodes/node-1/pod-logs".into(),
            "neither the pod's nor open",
        ),
        (
            |b| b.mounts[0].target = "/proc/sys".into(),
            "no place for a mount",
        ),
        (|b| b.root.hidden.clear(), "/home is not hidden"),
        (|b| b.root.layers = vec!["/home".into()], "not its image's"),
        (|b| b.process.capabilities |= 1 << 21, "it has SYS_ADMIN"),
        (|b| b.root.read_only_paths.clear(), "kernel settings"),
    ];
    for (change, expected) in cases {
        let found = objections(change);
        assert!(found.contains(expected), "{expected}: {found}");
    }
}
