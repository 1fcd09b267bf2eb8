//! Whether this machine can run a lab: found out by trying, in a child, and
//! said with the setting that mends it.

use std::env;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::isolate::{self, IsolateError};
use super::{console, state};
use crate::kernel::KernelError;
use crate::kernel::linux::{self, Cable, Switch};
use crate::model::{LinkName, Mac};

const PAUSE: &str = "podnet-pause";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Good,
    Bad,
    /// Labs run without it.
    Missing,
    /// Labs run, but not as fast as they could.
    Slow,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub check: String,
    pub verdict: Verdict,
    pub detail: String,
    /// What to do, if something can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    fn new(check: &str, result: Result<String, String>, mend: Option<String>) -> Finding {
        let (verdict, detail) = match result {
            Ok(detail) => (Verdict::Good, detail),
            Err(why) => (Verdict::Bad, why),
        };
        Finding {
            check: check.to_owned(),
            mend: mend.filter(|_| verdict == Verdict::Bad),
            verdict,
            detail,
        }
    }

    fn of_isolation(check: &str, result: Result<(), IsolateError>, good: &str) -> Finding {
        let mend = result.as_ref().err().map(IsolateError::mend);
        let told = result.map(|()| good.to_owned());
        Finding::new(check, told.map_err(|error| super::chain(&error)), mend)
    }
}

/// Everything, in the order in which it would stand in the way.
pub fn examine() -> Vec<Finding> {
    let mut findings = probe();
    findings.push(pause());
    findings.push(state_directory());
    findings.extend(slow_console());
    findings.extend(
        [
            ("ip", "iproute2, to look into nodes yourself"),
            ("ping", "iputils-ping, to try connections yourself"),
            (
                "kubectl",
                "kubectl, if you want more than podnet's own verbs",
            ),
        ]
        .map(|(tool, package)| optional_tool(tool, package)),
    );
    findings
}

/// The first half of the attempt, in a process of its own: leave the host.
pub fn probe_outside() -> Vec<Finding> {
    let left = isolate::leave_host();
    let mut findings = vec![Finding::of_isolation(
        "namespaces",
        left,
        "a lab's namespaces can be made",
    )];
    if findings[0].verdict == Verdict::Good {
        findings.extend(run_probe(&["probe", "--init"]));
    }
    findings
}

/// The second, as PID 1 of the new namespaces: what a lab does in them.
pub fn probe_inside() -> Vec<Finding> {
    let mounted = isolate::settle_mounts();
    let fabric = try_fabric();
    vec![
        Finding::of_isolation("mounts", mounted, "/proc can be mounted"),
        Finding::new(
            "links",
            fabric
                .map(|()| "bridges and veth pairs can be made".to_owned())
                .map_err(|error| super::chain(&error)),
            Some("load the kernel's modules: sudo modprobe -a bridge veth".to_owned()),
        ),
    ]
}

fn probe() -> Vec<Finding> {
    run_probe(&["probe"])
}

fn run_probe(arguments: &[&str]) -> Vec<Finding> {
    let output = env::current_exe().and_then(|binary| {
        Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
    });
    let found = output
        .map_err(|error| error.to_string())
        .and_then(|output| {
            serde_json::from_slice(&output.stdout)
                .map_err(|error| format!("{error}; it ended with {}", output.status))
        });
    found.unwrap_or_else(|why| {
        let why = format!("the attempt itself failed: {why}");
        vec![Finding::new("namespaces", Err(why), None)]
    })
}

fn try_fabric() -> Result<(), KernelError> {
    let named = |name: &str| {
        LinkName::new(name).map_err(|_| KernelError::new("name a link", nix::errno::Errno::EINVAL))
    };
    let switch = Switch {
        name: named("probe")?,
        mac: Mac::new([0x0a, 0x58, 0, 0, 0, 1]),
        addresses: Vec::new(),
        mtu_bytes: 1500,
    };
    linux::ensure_switch(&switch)?;
    let node = linux::new_netns()?;
    let cable = Cable {
        port: named("n0")?,
        switch: switch.name,
        far_name: named("eth0")?,
        far_mac: Mac::new([0x0a, 0x58, 0, 0, 0, 2]),
        far_addresses: Vec::new(),
        mtu_bytes: 1500,
    };
    linux::plug(&cable, node.as_fd())
}

fn pause() -> Finding {
    let found = env::current_exe().map(|binary| binary.with_file_name(PAUSE));
    let result = match found {
        Ok(path) if path.is_file() => Ok(format!("{} holds pods", path.display())),
        Ok(path) => Err(format!("{} is not there", path.display())),
        Err(error) => Err(error.to_string()),
    };
    let mend = format!("install {PAUSE} in the directory of podnet itself; cargo builds both");
    Finding::new(PAUSE, result, Some(mend))
}

fn state_directory() -> Finding {
    let root = state::root();
    let result = state::make_private_dir(&root)
        .map_err(|error| super::chain(&error))
        .and_then(|()| writable(&root).map_err(|error| error.to_string()))
        .map(|()| format!("{} takes the labs' state", root.display()));
    let mend = format!("set {} to a directory of yours", state::STATE_DIR_VARIABLE);
    Finding::new("state", result, Some(mend))
}

fn slow_console() -> Option<Finding> {
    let console = console::slowed_by()?;
    Some(Finding {
        check: "console".to_owned(),
        verdict: Verdict::Slow,
        detail: format!(
            "the kernel writes six lines to {console} for every pod, and what changes links waits"
        ),
        mend: Some("sudo dmesg --console-level warn, until the next boot".to_owned()),
    })
}

fn writable(directory: &Path) -> Result<(), rustix::io::Errno> {
    rustix::fs::access(
        directory,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
}

fn optional_tool(tool: &str, package: &str) -> Finding {
    let found = on_path(tool);
    Finding {
        check: tool.to_owned(),
        verdict: if found.is_some() {
            Verdict::Good
        } else {
            Verdict::Missing
        },
        detail: match &found {
            Some(path) => path.display().to_string(),
            None => format!("not on the path; labs run without {package}"),
        },
        mend: None,
    }
}

fn on_path(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&path).map(|directory| directory.join(tool));
    candidates.find(|candidate| candidate.is_file())
}
