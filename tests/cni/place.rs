//! A node, its pods, and a runtime that calls the plugin for them.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use podnet::kernel::linux::{in_netns, new_netns};
use serde_json::{Value, json};

use crate::lab::text;
use crate::support::sh;

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn plugin() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_podnet-cni"))
}

/// A container's network namespace.
pub struct Pod {
    pub id: String,
    netns: OwnedFd,
}

impl Pod {
    pub fn new(id: &str) -> Pod {
        Pod {
            id: id.to_owned(),
            netns: new_netns().expect("a network namespace"),
        }
    }

    /// For as long as the pod is there, whoever asks.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_raw_fd())
    }

    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// What a shell command prints in it.
    pub fn sh(&self, command: &str) -> String {
        sh(&format!(
            "nsenter --net={} sh -euc '{command}'",
            self.path()
        ))
    }

    pub fn ip(&self, command: &str) -> Value {
        parse(&self.sh(&format!("ip -j {command}")))
    }

    /// One packet goes there, and its answer comes back, however busy the machine is.
    pub fn reaches(&self, address: &str) -> bool {
        self.pings(address, 10)
    }

    pub fn is_cut_off_from(&self, address: &str) -> bool {
        !self.pings(address, 1)
    }

    fn pings(&self, address: &str, patience_seconds: u32) -> bool {
        let ping = format!("ping -c 1 -W {patience_seconds} {address}");
        let status = Command::new("nsenter")
            .arg(format!("--net={}", self.path()))
            .args(["sh", "-c", &ping])
            .stdout(Stdio::null())
            .status();
        status.expect("nsenter runs").success()
    }

    /// What a server says to a connection from the pod; nothing if there is none.
    pub fn hears(&self, address: &str, port: u16) -> String {
        let fetch = format!("exec 3<>/dev/tcp/{address}/{port}; cat <&3");
        let output = Command::new("nsenter")
            .arg(format!("--net={}", self.path()))
            .args(["timeout", "2", "bash", "-c", &fetch])
            .output();
        text(&output.expect("nsenter runs").stdout)
    }
}

/// The node's side of [`Pod::ip`].
pub fn ip(command: &str) -> Value {
    parse(&sh(&format!("ip -j {command}")))
}

fn parse(text: &str) -> Value {
    match text.trim() {
        "" => json!([]),
        text => serde_json::from_str(text).expect("ip prints JSON"),
    }
}

/// Make `beyond` a machine beyond the node, that knows nothing of pods: 192.0.2.2 and
/// fd00:99::2, where the node is .1 and ::1.
pub fn uplink(beyond: &Pod) {
    sh(&format!(
        "ip link add up0 up type veth peer eth0 netns {}
         ip address add 192.0.2.1/24 dev up0
         ip address add fd00:99::1/64 dev up0 nodad",
        beyond.path()
    ));
    beyond.sh(
        "ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0; \
         ip address add fd00:99::2/64 dev eth0 nodad",
    );
}

/// Say `words` to whoever connects to port 80 in a network namespace, as long as the test runs.
pub fn serve(netns: BorrowedFd<'_>, words: &'static str) {
    let listener = in_netns(netns, || {
        TcpListener::bind("0.0.0.0:80").expect("port 80 is free in a pod")
    });
    let listener = listener.expect("entered");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            // One that does not wait for an answer gets none.
            let _ = connection.and_then(|mut c| c.write_all(words.as_bytes()));
        }
    });
}

/// A network as the README has it, of `subnets`.
pub fn network(subnets: &[&str]) -> Value {
    let everywhere = |subnet: &&&str| {
        let to = if subnet.contains(':') {
            "::/0"
        } else {
            "0.0.0.0/0"
        };
        json!({ "dst": to })
    };
    json!({
        "cniVersion": "1.1.0", "name": "podnet", "type": "podnet-cni", "bridge": "cbr0",
        "isGateway": true, "hairpinMode": true, "subnets": subnets,
        "routes": subnets.iter().map(|s| everywhere(&s)).collect::<Vec<_>>(),
    })
}

pub fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

/// What befalls a call as soon as it has sent its n-th netlink message, if it sends as many;
/// src/kernel/linux/fault.rs does it.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Killed(usize),
    /// Until it is told to continue.
    Stopped(usize),
}

/// One call of a plugin.
pub struct Call {
    pub program: PathBuf,
    pub verb: &'static str,
    pub container: Option<String>,
    pub netns: Option<String>,
    pub interface: Option<String>,
    pub arguments: String,
    pub fault: Option<Fault>,
    /// A capability that it is to lack, as `setpriv` names it.
    pub without: Option<&'static str>,
}

impl Call {
    pub fn new(verb: &'static str, pod: &Pod) -> Call {
        Call {
            program: plugin(),
            verb,
            container: Some(pod.id.clone()),
            netns: Some(pod.path()),
            interface: Some("eth0".to_owned()),
            arguments: String::new(),
            fault: None,
            without: None,
        }
    }

    /// Of a verb that is about no container.
    pub fn bare(verb: &'static str) -> Call {
        Call {
            program: plugin(),
            verb,
            container: None,
            netns: None,
            interface: None,
            arguments: String::new(),
            fault: None,
            without: None,
        }
    }

    pub fn run(&self, config: &Value) -> Outcome {
        Outcome::of(self.start(config).wait_with_output().expect("it ends"))
    }

    pub fn start(&self, config: &Value) -> Child {
        let mut command = match self.without {
            None => Command::new(&self.program),
            Some(capability) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--bounding-set=-{capability}"));
                command.arg(&self.program);
                command
            }
        };
        command.env("CNI_COMMAND", self.verb);
        command.env("CNI_PATH", "/usr/lib/cni");
        let variables = [
            ("CNI_CONTAINERID", &self.container),
            ("CNI_NETNS", &self.netns),
            ("CNI_IFNAME", &self.interface),
        ];
        for (name, value) in variables {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("CNI_ARGS", &self.arguments);
        match self.fault {
            Some(Fault::Killed(at)) => command.env("PODNET_FAULT_AT", at.to_string()),
            Some(Fault::Stopped(at)) => command.env("PODNET_STOP_AT", at.to_string()),
            None => &mut command,
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", self.program.display()));
        let text = config.to_string();
        let mut input = child.stdin.take().expect("a pipe");
        // One that fails early may not read all.
        let _ = input.write_all(text.as_bytes());
        drop(input);
        child
    }
}

/// What a plugin answered.
#[derive(Debug)]
pub struct Outcome {
    pub ok: bool,
    /// Whether a signal ended it.
    pub killed: bool,
    /// `null` if it said nothing.
    pub json: Value,
    pub stderr: String,
}

impl Outcome {
    pub fn of(output: Output) -> Outcome {
        let text = String::from_utf8_lossy(&output.stdout);
        Outcome {
            ok: output.status.success(),
            killed: output.status.code().is_none(),
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its result; fails the test if it was refused.
    pub fn done(self) -> Value {
        assert!(self.ok, "refused: {} {}", self.json, self.stderr);
        self.json
    }

    /// Its refusal, whose code must be `code`, as one text.
    pub fn refused(self, code: u64) -> String {
        assert!(!self.ok && !self.killed, "not refused: {self:?}");
        assert_eq!(self.json["code"], code, "{}", self.json);
        let text = |key: &str| self.json[key].as_str().unwrap_or_default().to_owned();
        format!("{}; {}", text("msg"), text("details"))
    }
}

pub fn add(pod: &Pod, config: &Value) -> Outcome {
    Call::new("ADD", pod).run(config)
}

pub fn del(pod: &Pod, config: &Value) -> Outcome {
    Call::new("DEL", pod).run(config)
}

/// Its addresses, as its result has them, without prefix lengths.
pub fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().expect("a list of addresses");
    let bare = |entry: &Value| {
        let text = entry["address"].as_str().expect("an address");
        text.split('/').next().unwrap_or_default().to_owned()
    };
    ips.iter().map(bare).collect()
}

/// The node's links but `lo`, sorted.
pub fn links() -> Vec<String> {
    let mut names: Vec<String> = ip("link")
        .as_array()
        .expect("a list of links")
        .iter()
        .filter_map(|link| Some(link["ifname"].as_str()?.to_owned()))
        .filter(|name| name != "lo")
        .collect();
    names.sort_unstable();
    names
}

/// The node's links of a group; src/plan/state.rs has the numbers.
pub fn group(number: &str) -> Vec<Value> {
    let found = ip(&format!("link show group {number}"));
    // What is of another group is an empty object.
    let links = found.as_array().expect("a list of links");
    let is_there = |link: &&Value| link.get("ifname").is_some();
    links.iter().filter(is_there).cloned().collect()
}

/// Of links that are attachments or become some.
pub const GROUP: &str = "28772";
/// Of links that wait to be deleted.
pub const DEAD_GROUP: &str = "28773";

/// As an agent does it, or the process that DEL starts where there is none.
pub fn delete_dead_links() {
    sh(&format!(
        "ip link delete group {DEAD_GROUP} 2>/dev/null || true"
    ));
}

/// Wait until the node's links are these and no other.
pub fn wait_for_links(wanted: &[&str]) {
    wait_for(&format!("the links {wanted:?}"), || links() == wanted);
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < PATIENCE,
            "no {what}\n{}",
            sh("ip -d link; ip neighbour; ip address")
        );
        std::thread::yield_now();
    }
}

/// All that a node's or a pod's network consists of.
pub fn everything(pod: Option<&Pod>) -> String {
    let command = "ip -d link; ip address; ip route; ip -6 route; ip neighbour";
    let text = match pod {
        Some(pod) => pod.sh(command),
        None => sh(command),
    };
    // Some lines and figures move by themselves; whether a link has a carrier is seen a moment
    // after it has one.
    const CARRIER: [&str; 4] = ["NO-CARRIER,", ",LOWER_UP", " linkdown", ",M-DOWN"];
    let stays = |line: &&str| !line.contains("fe80::") && !line.contains("ff02::");
    let still = |line: &str| {
        let mut words = line.split_whitespace();
        let mut kept = String::new();
        while let Some(word) = words.next() {
            match word.ends_with("_timer") || word == "state" {
                true => drop(words.next()),
                false => kept.extend([word, " "]),
            }
        }
        CARRIER
            .iter()
            .fold(kept, |line, word| line.replace(word, ""))
    };
    let lines: Vec<String> = text.lines().filter(stays).map(still).collect();
    lines.join("\n")
}
