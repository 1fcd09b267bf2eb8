//! Debian's containerd makes pod sandboxes over CRI, as a kubelet asks for them.
//!
//! It runs in namespaces of its own and keeps its files in a directory of the
//! test's. Skipped where there is none; `scripts/setup containerd` installs it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::lab::text;
use crate::place::{Pod, network, plugin, serve, uplink, wait_for, wait_for_links};
use crate::support::{isolated, sh};

const IMAGE: &str = "localhost/pause:test";

/// runc, with containerd's wishes but for the group of terminals: the test's user
/// namespace has no other group than 0.
const RUNC: &str = r#"#!/bin/sh
previous=
for argument; do
    [ "$previous" != --bundle ] || sed -i 's/,"gid=5"//' "$argument/config.json"
    previous=$argument
done
exec runc "$@"
"#;

struct Containerd {
    dir: tempfile::TempDir,
    child: Child,
}

impl Containerd {
    fn start() -> Containerd {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name).display().to_string();
        for name in ["bin", "conf"] {
            fs::create_dir(at(name)).expect("a directory");
        }
        symlink(plugin(), at("bin/podnet-cni")).expect("a link");
        // The first of which containerd calls for every pod.
        for name in ["loopback", "portmap"] {
            let link = at(&format!("bin/{name}"));
            symlink(Path::new("/usr/lib/cni").join(name), link).expect("a link");
        }
        let mut ours = network(&["10.244.0.0/16"]);
        ours.as_object_mut()
            .expect("an object")
            .remove("cniVersion");
        let list = json!({
            "cniVersion": "0.4.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0"], "name": "podnet",
            "plugins": [
                ours,
                {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
            ],
        });
        fs::write(at("conf/10-podnet.conflist"), list.to_string()).expect("written");
        fs::write(at("runc"), RUNC).expect("written");
        fs::set_permissions(at("runc"), fs::Permissions::from_mode(0o755)).expect("executable");
        let config = format!(
            "version = 2
             root = {root:?}
             state = {state:?}
             disabled_plugins = [\"io.containerd.internal.v1.opt\"]
             [grpc]
             address = {socket:?}
             [plugins.\"io.containerd.grpc.v1.cri\"]
             restrict_oom_score_adj = true
             disable_apparmor = true
             disable_cgroup = true
             sandbox_image = {IMAGE:?}
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]
             snapshotter = \"native\"
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]
             runtime_type = \"io.containerd.runc.v2\"
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
             BinaryName = {runc:?}
             [plugins.\"io.containerd.grpc.v1.cri\".cni]
             bin_dir = {bin:?}
             conf_dir = {conf:?}",
            root = at("root"),
            state = at("state"),
            socket = at("c.sock"),
            runc = at("runc"),
            bin = at("bin"),
            conf = at("conf"),
        );
        fs::write(at("config.toml"), config).expect("written");
        let log = fs::File::create(at("log")).expect("a file");
        let child = Command::new("containerd")
            .args(["--config", &at("config.toml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("containerd runs");
        let containerd = Containerd { dir, child };
        wait_for("containerd", || containerd.ctr(&["version"]).is_ok());
        containerd
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn ctr(&self, args: &[&str]) -> Result<(), String> {
        let output = Command::new("ctr")
            .args(["--address", &self.path("c.sock"), "--namespace", "k8s.io"])
            .args(args)
            .output()
            .expect("ctr runs");
        match output.status.success() {
            true => Ok(()),
            false => Err(text(&output.stderr)),
        }
    }

    /// An image that does nothing: podnet's own pause, and the libraries it needs.
    fn load_pause(&self) {
        let archive = self.path("image");
        fs::create_dir(&archive).expect("a directory");
        let layer = format!(
            "mkdir {archive}/root; cd {archive}/root
             cp {program} pause; cp --parents -L $(ldd {program} | grep -o '/[^ ]*') .
             tar -cf ../layer.tar .; cd ..; rm -r root; sha256sum layer.tar",
            program = env!("CARGO_BIN_EXE_podnet-program"),
        );
        let sum = sh(&layer);
        let sum = sum.split_whitespace().next().expect("a sum");
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Entrypoint": ["/pause"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
        });
        let manifest =
            json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
        let write = |name: &str, text: String| {
            fs::write(Path::new(&archive).join(name), text).expect("written");
        };
        write("config.json", config.to_string());
        write("manifest.json", manifest.to_string());
        sh(&format!("cd {archive}; tar -cf ../image.tar *"));
        self.ctr(&[
            "images",
            "import",
            "--snapshotter",
            "native",
            &self.path("image.tar"),
        ])
        .expect("imported");
    }

    /// One call of the runtime service: what it answers, as it came.
    fn cri(&self, method: &str, message: &[u8]) -> Vec<u8> {
        let tokio = tokio::runtime::Runtime::new().expect("a runtime");
        let (status, answer) = tokio.block_on(grpc(&self.path("c.sock"), method, message));
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        assert_eq!(status, "0", "{method}: {}\n{}", text(&answer), log());
        answer
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // The namespaces' end takes its shims along.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A unary gRPC call: the status, and the message without its five bytes of length.
async fn grpc(socket: &str, method: &str, message: &[u8]) -> (String, Vec<u8>) {
    let stream = tokio::net::UnixStream::connect(socket)
        .await
        .expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let length = u32::try_from(message.len()).expect("short");
    let framed = [&[0], &length.to_be_bytes()[..], message].concat();
    let request = http::Request::post(format!(
        "http://localhost/runtime.v1.RuntimeService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(Full::new(Bytes::from(framed)))
    .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.expect("a body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    let find = |name: &str| {
        let value = trailers.get(name).or_else(|| headers.get(name))?;
        Some(text(value.as_bytes()))
    };
    let status = find("grpc-status").unwrap_or_default();
    let answer = body.to_bytes();
    match find("grpc-message") {
        Some(refusal) if status != "0" => (status, refusal.into_bytes()),
        _ => (status, answer.get(5..).unwrap_or_default().to_vec()),
    }
}

/// A field of protobuf's wire type 2.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("short");
    assert!(length < 128, "one byte of length");
    [&[number << 3 | 2, length][..], value].concat()
}

/// A field of protobuf's wire type 0.
fn number(field: u8, value: u16) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    let mut rest = value;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// A sandbox as the kubelet sees it.
struct Sandbox {
    id: Vec<u8>,
    address: &'static str,
}

impl Sandbox {
    /// What containerd says of it has this address.
    fn run(containerd: &Containerd, name: &str, ports: &[u8], address: &'static str) -> Sandbox {
        // PodSandboxConfig: metadata (name, uid, namespace), log directory, port mappings.
        let uid = format!("uid-of-{name}");
        let metadata = [
            field(1, name.as_bytes()),
            field(2, uid.as_bytes()),
            field(3, b"shop"),
        ]
        .concat();
        let config = [field(1, &metadata), field(3, b"/run/logs"), ports.to_vec()].concat();
        let answer = containerd.cri("RunPodSandbox", &field(1, &config));
        let id = answer[2..].to_vec();
        let status = text(&containerd.cri("PodSandboxStatus", &field(1, &id)));
        assert!(status.contains(address), "{status}");
        Sandbox { id, address }
    }

    /// Its network namespace: the one in /run/netns that has its address.
    fn netns(&self) -> PathBuf {
        let mut all = fs::read_dir("/run/netns").expect("namespaces");
        let found = all.find_map(|entry| {
            let path = entry.expect("an entry").path();
            let shown = format!("nsenter --net={} ip -o address", path.display());
            let has = sh(&shown).contains(&format!(" {}/", self.address));
            has.then_some(path)
        });
        found.expect("the sandbox's namespace")
    }

    fn remove(&self, containerd: &Containerd) {
        containerd.cri("StopPodSandbox", &field(1, &self.id));
        containerd.cri("RemovePodSandbox", &field(1, &self.id));
    }
}

#[test]
fn sandboxes_get_a_network_and_give_it_back() {
    if Command::new("containerd")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: there is no containerd on the path (`scripts/setup containerd`)");
        return;
    }
    isolated(|| {
        // The results of plugins are kept in /var/lib/cni.
        sh(
            "mount -t tmpfs none /run; mkdir -p /run/netns /run/containerd
            mount -t tmpfs none /var/lib; ip link set lo up",
        );
        let client = Pod::new("client");
        uplink(&client);
        let containerd = Containerd::start();
        containerd.load_pause();
        // TCP, to port 80 of the pod from port 8080 of the node.
        let mapping = field(5, &[number(2, 80), number(3, 8080)].concat());
        let web = Sandbox::run(&containerd, "web", &mapping, "10.244.0.2");
        let other = Sandbox::run(&containerd, "other", &[], "10.244.0.3");
        let link = sh("ip link show pod2");
        assert!(link.contains("alias shop/web"), "{link}");
        for (from, to) in [(&web, &other), (&other, &web)] {
            sh(&format!(
                "nsenter --net={} ping -c 1 -W 5 {}",
                from.netns().display(),
                to.address
            ));
        }
        let netns = fs::File::open(web.netns()).expect("a namespace");
        serve(netns.as_fd(), "it is the sandbox");
        drop(netns);
        wait_for("answer by the node's port", || {
            client.hears("192.0.2.1", 8080) == "it is the sandbox"
        });
        web.remove(&containerd);
        wait_for_links(&["cbr0", "pod3", "up0"]);
        assert_eq!(client.hears("192.0.2.1", 8080), "");
        other.remove(&containerd);
        wait_for_links(&["cbr0", "up0"]);
        assert_eq!(sh("ip neighbour show nud permanent dev cbr0"), "");
    });
}
