//! Images that are loaded from files, and run as they say.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::terminated;
use crate::cluster::Cluster;
use crate::place::{Place, eventually, text};

/// What the entrypoint says: the image's environment, working directory, user and arguments.
const SCRIPT: &str = "echo $GREETING from $PWD; while read name id rest; do case $name in Uid:|Gid:) echo $name $id;; esac; done < /proc/self/status; echo \"$0 $@\"";

/// A tar archive in memory.
struct Archive(Builder<Vec<u8>>);

impl Archive {
    fn new() -> Archive {
        Archive(Builder::new(Vec::new()))
    }

    fn add(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.entry(EntryType::Regular, path, mode, bytes);
    }

    fn dir(&mut self, path: &str, mode: u32) {
        self.entry(EntryType::Directory, path, mode, &[]);
    }

    fn entry(&mut self, kind: EntryType, path: &str, mode: u32, bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        let added = self.0.append_data(&mut header, path, bytes);
        added.expect("added");
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("finished")
    }
}

/// The machine's shell and the libraries that it takes.
fn shell() -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg("/bin/sh").output().expect("ldd");
    let words = text(&listed.stdout);
    let libraries = words
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    [PathBuf::from("/bin/sh")]
        .into_iter()
        .chain(libraries)
        .collect()
}

/// A shell, one user, and a directory that nobody may write to.
fn layer() -> Vec<u8> {
    let mut layer = Archive::new();
    for path in shell() {
        let inside = path.to_str().expect("text").trim_start_matches('/');
        layer.add(inside, 0o755, &fs::read(&path).expect("read"));
    }
    layer.add("etc/passwd", 0o644, b"root:x:0:0::/:\nweb:x:7:8::/srv:\n");
    layer.dir("srv", 0o555);
    layer.add("srv/page", 0o444, b"page");
    layer.bytes()
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config(layer: &[u8]) -> Vec<u8> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {
            "Entrypoint": ["/bin/sh", "-c", SCRIPT, "web"], "Cmd": ["by", "default"],
            "Env": ["GREETING=hello"], "User": "web", "WorkingDir": "/srv",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(layer))]},
    });
    config.to_string().into_bytes()
}

/// As `docker save` wrote them before it wrote OCI layouts.
fn docker_archive(name: &str, layer: &[u8]) -> Vec<u8> {
    let config = config(layer);
    let config_name = format!("{}.json", hex(&config));
    let manifest =
        json!([{"Config": config_name, "RepoTags": [name], "Layers": ["layer/layer.tar"]}]);
    let mut archive = Archive::new();
    archive.add(&config_name, 0o644, &config);
    archive.add("layer/layer.tar", 0o644, layer);
    archive.add("manifest.json", 0o644, manifest.to_string().as_bytes());
    archive.bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// An OCI image layout in a tar archive, its layer compressed.
fn oci_archive(name: &str, layer: &[u8]) -> Vec<u8> {
    let mut archive = Archive::new();
    let mut blob = |kind: &str, bytes: &[u8]| -> Value {
        let digest = hex(bytes);
        archive.add(&format!("blobs/sha256/{digest}"), 0o644, bytes);
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", &config(layer)),
        "layers": [blob("layer.v1.tar+gzip", &gzip(layer))],
    });
    let mut manifest = blob("manifest.v1+json", manifest.to_string().as_bytes());
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    archive.add("index.json", 0o644, index.to_string().as_bytes());
    archive.add("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    archive.bytes()
}

fn load(cluster: &Cluster, dir: &Path, archive: &[u8], name: &str) {
    let file = dir.join("image.tar");
    fs::write(&file, archive).expect("written");
    let loaded = cluster
        .place
        .ok(&["image", "load", file.to_str().expect("text")]);
    assert_eq!(loaded.trim(), name);
}

fn said(cluster: &Cluster, pod: &str, spec: Value) -> String {
    cluster.create(json!({
        "metadata": {"name": pod},
        "spec": {"restartPolicy": "Never", "containers": [spec]},
    }));
    let pod_now = cluster.phase(pod, "Succeeded");
    let status = &pod_now["status"]["containerStatuses"][0];
    assert_eq!(terminated(status, "state")["exitCode"], 0);
    cluster.place.ok(&["logs", pod])
}

fn loaded_images_run_as_they_say(place: Place) {
    let cluster = Cluster::up_in(place, "restartBackOffScale: 0.001");
    let dir = tempfile::tempdir().expect("a directory");
    let mut readable = fs::metadata(dir.path()).expect("there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut readable, 0o755);
    fs::set_permissions(dir.path(), readable).expect("readable");
    let layer = layer();
    // It is asked for before it is there.
    let saved = json!({"name": "main", "image": "example.com/saved:1"});
    cluster.create(json!({"metadata": {"name": "early"}, "spec": {"restartPolicy": "Never", "containers": [saved]}}));
    cluster.container("early", "main", |status| {
        status["state"]["waiting"]["reason"] == "ImagePullBackOff"
    });
    load(
        &cluster,
        dir.path(),
        &gzip(&docker_archive("example.com/saved:1", &layer)),
        "example.com/saved:1",
    );
    cluster.phase("early", "Succeeded");
    let own = "hello from /srv\nUid: 7\nGid: 8\nweb by default\n";
    assert_eq!(cluster.place.ok(&["logs", "early"]), own);

    load(
        &cluster,
        dir.path(),
        &oci_archive("layout:2", &layer),
        "layout:2",
    );
    let spec = json!({"name": "main", "image": "layout:2"});
    assert_eq!(said(&cluster, "as-it-is", spec), own);
    let spec = json!({
        "name": "main", "image": "layout:2", "args": ["by", "its", "pod"], "workingDir": "/etc",
        "env": [{"name": "GREETING", "value": "welcome"}],
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
    });
    assert_eq!(
        said(&cluster, "as-told", spec),
        "welcome from /etc\nUid: 0\nGid: 0\nweb by its pod\n"
    );

    let listed = cluster.place.ok(&["image", "list"]);
    assert!(
        listed.contains("example.com/saved") && listed.contains("layout:2"),
        "{listed}"
    );
    let (_, why) = cluster
        .place
        .refused(&["image", "remove", "no-such-image:1"]);
    assert!(why.contains("no-such-image"), "{why}");
    let lab = cluster.place.lab("default");
    cluster.place.ok(&["down"]);
    eventually("its roots are gone too", || (!lab.exists()).then_some(()));
}

#[test]
fn loaded_images_run_as_they_say_in_roots_lab() {
    loaded_images_run_as_they_say(Place::new());
}

#[test]
fn loaded_images_run_as_they_say_in_an_ordinary_users_lab() {
    loaded_images_run_as_they_say(Place::ordinary());
}
