//! Calling a plugin as a runtime does.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use podnet::kernel::linux::new_netns;
use serde_json::json;

use super::table::Samples;

pub const BRIDGE: &str = "cbr0";
pub const SUBNET: &str = "10.10.0.0/16";
const REFERENCE_SUBNET: &str = "10.20.0.0/16";
const PLUGINS: &str = "/usr/lib/cni";

pub struct Pod {
    id: String,
    pub netns: OwnedFd,
}

impl Pod {
    pub fn new(id: &str) -> Result<Pod> {
        Ok(Pod {
            // As long as a real container's identifier.
            id: format!("{id:x<64}"),
            netns: new_netns()?,
        })
    }
}

pub struct Plugin {
    program: PathBuf,
    configuration: String,
}

impl Plugin {
    pub fn ours() -> Plugin {
        let configuration = json!({
            "cniVersion": "1.0.0", "name": "ours", "type": "podnet-cni", "bridge": BRIDGE,
            "isGateway": true, "hairpinMode": true, "subnets": [SUBNET],
            "routes": [{"dst": "0.0.0.0/0"}],
        });
        Plugin {
            program: PathBuf::from(env!("CARGO_BIN_EXE_podnet-cni")),
            configuration: configuration.to_string(),
        }
    }

    /// Stripped, as a release build is.
    pub fn size_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.program)?.len())
    }

    /// `data`: where host-local keeps its files.
    pub fn reference(data: &Path) -> Result<Plugin> {
        let program = Path::new(PLUGINS).join("bridge");
        if !program.exists() {
            bail!(
                "no {}; scripts/setup installs Debian's plugins",
                program.display()
            );
        }
        let configuration = json!({
            "cniVersion": "1.0.0", "name": "reference", "type": "bridge", "bridge": "ref0",
            "isGateway": true, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "dataDir": data, "ranges": [[{"subnet": REFERENCE_SUBNET}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        });
        Ok(Plugin {
            program,
            configuration: configuration.to_string(),
        })
    }

    /// From before the process starts until it has ended and all it says is read.
    pub fn call(&self, verb: &str, pod: &Pod) -> Result<Duration> {
        let netns = format!("/proc/{}/fd/{}", std::process::id(), pod.netns.as_raw_fd());
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &pod.id)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", PLUGINS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().context("start the plugin")?;
        let mut input = child.stdin.take().context("a pipe")?;
        input.write_all(self.configuration.as_bytes())?;
        drop(input);
        let mut said = String::new();
        let mut output = child.stdout.take().context("a pipe")?;
        output.read_to_string(&mut said)?;
        let status = child.wait()?;
        let took = start.elapsed();
        if !status.success() {
            bail!("{} {verb}: {status}: {said}", self.program.display());
        }
        Ok(took)
    }
}

/// The verb for every pod, `at_once` of them at any time.
pub fn all(plugin: &Plugin, verb: &str, pods: &[Pod], at_once: usize) -> Result<Samples> {
    let next = AtomicUsize::new(0);
    let taken = Mutex::new(Samples::default());
    let start = Instant::now();
    let work = || -> Result<()> {
        while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
            let took = plugin.call(verb, pod)?;
            taken
                .lock()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))?
                .push(took);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut workers = workers.into_iter();
        workers.try_for_each(|w| w.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    let mut samples = taken
        .into_inner()
        .map_err(|_| anyhow::anyhow!("a worker panicked"))?;
    samples.took(start.elapsed());
    Ok(samples)
}
