//! One container, put together.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;

use crate::pod::bundle::{Bundle, PidNamespace, Process, Root, Streams};
use crate::pod::image::Image;

use super::argv::argv;
use super::confinement::violations;
use super::environment::Environment;
use super::mounts::{mounts, termination_log as mount_termination_log};
use super::security::Security;
use super::volume::{Preparation, inside};
use super::{ConfigError, NodeFacts, PodFacts};

/// What `container` of `pod` is to be when it is started for the `attempt`-th time, counted
/// from 0. [`before_start`] says what its files need.
pub fn bundle(
    pod: &PodFacts,
    container: &Container,
    attempt: u32,
    image: &Image,
    node: &NodeFacts,
) -> Result<Bundle, ConfigError> {
    refuse_host_namespaces(pod)?;
    let spec = pod.spec()?;
    let environment = Environment::of(pod, container, node)?;
    let security = Security::of(pod, container, image, &node.policy)?;
    let said = container
        .working_dir
        .as_deref()
        .filter(|dir| !dir.is_empty());
    let cwd = said.map(PathBuf::from).or_else(|| image.cwd.clone());
    let home = image.accounts.home(security.user.uid).display().to_string();
    let tty = container.tty == Some(true);
    let mut mounts = mounts(pod, container, &environment, image, node)?;
    mounts.push(mount_termination_log(
        container,
        termination_log(&container.name, attempt),
    )?);
    let bundle = Bundle {
        name: container.name.clone(),
        attempt,
        process: Process {
            argv: argv(container, image, &environment)?,
            env: environment.complete(image, &pod.hostname(node)?, &home, tty),
            cwd: Path::new("/").join(inside(&cwd.unwrap_or_default().to_string_lossy())?),
            user: security.user,
            capabilities: security.capabilities,
            no_new_privileges: security.no_new_privileges,
        },
        root: Root {
            layers: image.root.layers.clone(),
            hidden: image.root.hidden.clone(),
            read_only: security.read_only_root,
            masked: security.masked.iter().map(PathBuf::from).collect(),
            read_only_paths: security.read_only_paths.iter().map(PathBuf::from).collect(),
        },
        mounts,
        pids: match spec.share_process_namespace {
            Some(true) => PidNamespace::Pod,
            _ => PidNamespace::Own,
        },
        streams: Streams {
            stdin: container.stdin == Some(true),
            stdin_once: container.stdin_once == Some(true),
            tty,
        },
        log: log(&container.name, attempt),
    };
    let ways = violations(&bundle, node, image);
    match ways.is_empty() {
        true => Ok(bundle),
        false => Err(ConfigError::Unconfined {
            container: container.name.clone(),
            ways,
        }),
    }
}

/// What one attempt of a container needs on disk, beside its pod's [`super::volumes`].
pub fn before_start(container: &str, attempt: u32) -> Vec<Preparation> {
    let directory = |path: PathBuf| Preparation::Directory {
        path,
        mode: 0o755,
        group: None,
    };
    let own = |path: PathBuf| path.parent().map(Path::to_owned).unwrap_or_default();
    let last_words = termination_log(container, attempt);
    vec![
        directory(own(log(container, attempt))),
        directory(own(last_words.clone())),
        Preparation::File {
            path: last_words,
            contents: String::new(),
            mode: 0o666,
        },
    ]
}

/// Where the container's output goes, in the pod's directory.
pub fn log(container: &str, attempt: u32) -> PathBuf {
    Path::new("logs")
        .join(container)
        .join(format!("{attempt}.log"))
}

/// What the container leaves at its `terminationMessagePath`, in the pod's directory.
pub fn termination_log(container: &str, attempt: u32) -> PathBuf {
    Path::new("termination")
        .join(container)
        .join(attempt.to_string())
}

fn refuse_host_namespaces(pod: &PodFacts) -> Result<(), ConfigError> {
    let spec = pod.spec()?;
    let asked = [
        (
            spec.host_pid,
            "hostPID",
            "use shareProcessNamespace for the pod's own processes",
        ),
        (
            spec.host_ipc,
            "hostIPC",
            "a pod's containers share an IPC namespace already",
        ),
    ];
    match asked.iter().find(|(asked, ..)| *asked == Some(true)) {
        None => Ok(()),
        Some((_, what, instead)) => Err(ConfigError::Unsupported {
            object: format!("pod {}/{}", pod.namespace(), pod.name()),
            what: (*what).to_owned(),
            instead,
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::ConfigMapView;
    use crate::pod::image::Accounts;
    use crate::pod::plan::Policy;

    /// A pod of this spec, on a node.
    pub struct Case {
        pub pod: Pod,
        pub node: NodeFacts,
        pub addresses: Vec<IpAddr>,
        pub config_maps: BTreeMap<String, ConfigMapView>,
    }

    impl Case {
        pub fn new(spec: Value) -> Case {
            let pod = json!({
                "metadata": {
                    "name": "web", "namespace": "default", "uid": "u-1",
                    "labels": {"app": "web"}, "annotations": {"note": "two\nlines"},
                },
                "spec": spec,
            });
            let config = ConfigMapView {
                data: BTreeMap::from([
                    ("colour".to_owned(), "blue".to_owned()),
                    ("size".to_owned(), "L".to_owned()),
                ]),
                binary: BTreeMap::from([("blob".to_owned(), vec![0, 255])]),
            };
            Case {
                pod: serde_json::from_value(pod).expect("a pod"),
                node: NodeFacts {
                    name: "node-1".to_owned(),
                    addresses: vec!["172.30.0.11".parse().expect("an address")],
                    policy: Policy::default(),
                    root: "/lab/nodes/node-1/rootfs".into(),
                    logs: "/lab/nodes/node-1/pod-logs".into(),
                    program: "/usr/bin/podnet".into(),
                    resolv_conf: "nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch a.example\n\
                                  options ndots:5\n"
                        .to_owned(),
                },
                addresses: vec!["10.244.0.2".parse().expect("an address")],
                config_maps: BTreeMap::from([("config".to_owned(), config)]),
            }
        }

        pub fn facts(&self) -> PodFacts<'_> {
            PodFacts {
                pod: &self.pod,
                addresses: &self.addresses,
                config_maps: &self.config_maps,
            }
        }

        pub fn container(&self) -> Container {
            self.pod.spec.as_ref().expect("a spec").containers[0].clone()
        }

        pub fn bundle(&self) -> Result<Bundle, ConfigError> {
            bundle(&self.facts(), &self.container(), 2, &image(), &self.node)
        }
    }

    pub fn image() -> Image {
        Image {
            reference: "busybox".to_owned(),
            id: "machine:/".to_owned(),
            root: crate::pod::image::ImageRoot {
                layers: vec!["/".into()],
                hidden: vec!["/home".into(), "/root".into()],
            },
            entrypoint: Vec::new(),
            cmd: vec!["sh".to_owned()],
            env: vec!["LANG=C".to_owned(), "COLOUR=grey".to_owned()],
            cwd: None,
            user: None,
            accounts: Accounts::parse("root:x:0:0::/root:\nweb:x:7:8::/srv:", "log:x:9:web"),
            program: None,
        }
    }

    fn of_container(container: Value) -> Result<Bundle, ConfigError> {
        let mut container = container;
        container["name"] = "main".into();
        let volumes = json!([
            {"name": "scratch", "emptyDir": {}},
            {"name": "cfg", "configMap": {"name": "config"}},
            {"name": "host", "hostPath": {"path": "/var/data"}},
        ]);
        Case::new(json!({"containers": [container], "volumes": volumes})).bundle()
    }

    #[test]
    fn the_environment_is_the_authors_over_the_images_over_dockers() {
        let bundle = of_container(json!({
            "args": ["echo $(GREETING) $(LANG) $(NONE)"],
            "envFrom": [{"configMapRef": {"name": "config"}, "prefix": "C_"}],
            "env": [
                {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "GREETING", "value": "hello $(WHO) $(LATER)"},
                {"name": "LATER", "value": "x"},
                {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "colour"}}},
                {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": true}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
        }))
        .expect("sound");
        assert_eq!(
            bundle.process.argv,
            ["echo hello web $(LATER) $(LANG) $(NONE)"]
        );
        let mut env = bundle.process.env;
        env.sort();
        assert_eq!(
            env,
            [
                "APP=web",
                "COLOUR=blue",
                "C_colour=blue",
                "C_size=L",
                "GREETING=hello web $(LATER)",
                "HOME=/root",
                "HOSTNAME=web",
                "IP=10.244.0.2",
                "LANG=C",
                "LATER=x",
                "NODE=node-1",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "WHO=web",
            ]
        );
    }

    #[test]
    fn volumes_are_mounted_where_the_author_says_and_config_is_read_only() {
        let bundle = of_container(json!({"volumeMounts": [
            {"name": "scratch", "mountPath": "/data/deep/", "subPath": "a/b"},
            {"name": "cfg", "mountPath": "/data"},
            {"name": "host", "mountPath": "/host"},
            {"name": "scratch", "mountPath": "/etc/hosts", "subPath": "hosts", "readOnly": true},
        ]}))
        .expect("sound");
        let seen: Vec<String> = bundle
            .mounts
            .iter()
            .map(|mount| {
                let source = mount.source.join(&mount.below);
                let kind = if mount.read_only { "ro" } else { "rw" };
                format!(
                    "{} {} {kind}",
                    mount.target.display(),
                    source.display().to_string().trim_end_matches('/')
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                "/data volumes/cfg ro",
                "/host /lab/nodes/node-1/rootfs/var/data rw",
                "/data/deep volumes/scratch/a/b rw",
                "/etc/hosts volumes/scratch/hosts ro",
                "/etc/hostname etc/hostname rw",
                "/etc/resolv.conf etc/resolv.conf rw",
                "/dev/termination-log termination/main/2 rw",
            ]
        );
    }

    #[test]
    fn whoever_mounts_the_nodes_logs_gets_the_pods_and_changes_none() {
        let seen = |path: &str, mount: Value| {
            let mut mount = mount;
            mount["name"] = "host".into();
            Case::new(json!({
                "containers": [{"name": "main", "volumeMounts": [mount]}],
                "volumes": [{"name": "host", "hostPath": {"path": path}}],
            }))
            .bundle()
            .map(|bundle| {
                let logs = bundle.mounts.into_iter();
                logs.filter(|mount| mount.source == Path::new("/lab/nodes/node-1/pod-logs"))
                    .map(|mount| (mount.target, mount.below, mount.read_only))
                    .collect::<Vec<_>>()
            })
        };
        for (path, mount, target) in [
            ("/var/log/pods", json!({"mountPath": "/logs"}), "/logs"),
            ("/var/log/", json!({"mountPath": "/logs"}), "/logs/pods"),
            (
                "/",
                json!({"mountPath": "/host", "readOnly": true}),
                "/host/var/log/pods",
            ),
            (
                "/var",
                json!({"mountPath": "/v", "subPath": "log"}),
                "/v/pods",
            ),
        ] {
            let expected = vec![(PathBuf::from(target), PathBuf::new(), true)];
            assert_eq!(seen(path, mount), Ok(expected), "{path}");
        }
        assert_eq!(seen("/var/lib", json!({"mountPath": "/v"})), Ok(vec![]));
        let deeper = seen("/var/log/pods/a_b_c", json!({"mountPath": "/v"}));
        assert!(
            deeper
                .expect_err("refused")
                .to_string()
                .contains("read-only")
        );
        let part = seen("/var/log/pods", json!({"mountPath": "/v", "subPath": "x"}));
        assert!(part.expect_err("refused").to_string().contains("whole"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_reason() {
        for (container, reason, expected) in [
            (
                json!({"volumeMounts": [{"name": "scratch", "mountPath": "/proc/sys"}]}),
                "CreateContainerConfigError",
                "nothing can be mounted at /proc/sys",
            ),
            (
                json!({"volumeMounts": [{"name": "scratch", "mountPath": "/a", "subPath": "../b"}]}),
                "CreateContainerConfigError",
                "leaves the directory",
            ),
            (
                json!({"volumeMounts": [{"name": "other", "mountPath": "/a"}]}),
                "CreateContainerConfigError",
                "no volume \"other\"",
            ),
            (
                json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                "CreateContainerConfigError",
                "a secretKeyRef is not supported",
            ),
            (
                json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}]}),
                "CreateContainerConfigError",
                "configmap \"none\" not found",
            ),
            (
                json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "k"}}}]}),
                "CreateContainerConfigError",
                "couldn't find key k in ConfigMap default/config",
            ),
            (
                json!({"securityContext": {"privileged": true}}),
                "CreateContainerError",
                "allowPrivileged: true",
            ),
        ] {
            let error = of_container(container).expect_err(expected);
            assert_eq!(error.reason(), reason, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = Case::new(json!({"hostPID": true, "containers": [{"name": "a"}]})).bundle();
        assert!(
            error
                .expect_err("refused")
                .to_string()
                .contains("hostPID is not supported")
        );
    }
}
