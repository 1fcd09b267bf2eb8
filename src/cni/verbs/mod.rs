//! The six verbs of CNI 1.1 §2.

mod add;
mod check;
mod del;
mod gc;
mod status;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use serde_json::{Value, json};

use crate::kernel::KernelError;
use crate::kernel::linux::{BridgeState, NearEnd};

use super::args::Environment;
use super::config::Config;
use super::error::CniError;
use super::hint::Hint;
use super::version::{self, Version};

/// `NSFS_MAGIC` (linux/magic.h): the file system that namespaces are files of.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// `None`: success has nothing to say.
pub fn run(environment: &Environment, input: &[u8]) -> Result<Option<Value>, CniError> {
    match environment.command.as_deref() {
        Some("VERSION") => Ok(Some(versions(input))),
        Some("ADD") => add::add(environment, &Config::parse(input)?).map(Some),
        Some("DEL") => del::del(environment, &Config::parse(input)?).map(|()| None),
        Some("CHECK") => {
            let config = since("CHECK", Version::V040, input)?;
            check::check(environment, &config).map(|()| None)
        }
        Some("STATUS") => {
            let config = since("STATUS", Version::V110, input)?;
            status::status(&config).map(|()| None)
        }
        Some("GC") => {
            let config = since("GC", Version::V110, input)?;
            gc::gc(&config).map(|()| None)
        }
        Some(other) => Err(CniError::Environment {
            name: "CNI_COMMAND",
            why: format!("is {other:?}, but must be ADD, DEL, CHECK, STATUS, GC or VERSION"),
        }),
        None => Err(CniError::Environment {
            name: "CNI_COMMAND",
            why: "is not set; podnet-cni is started by a container runtime".to_owned(),
        }),
    }
}

fn since(verb: &'static str, since: Version, input: &[u8]) -> Result<Config, CniError> {
    let config = Config::parse(input)?;
    let given = config.version;
    match given >= since {
        true => Ok(config),
        false => Err(CniError::Verb { verb, given, since }),
    }
}

/// It answers in the version asked in, even if it speaks no other word of it.
fn versions(input: &[u8]) -> Value {
    json!({
        "cniVersion": version::of_input(input),
        "supportedVersions": Version::ALL.map(Version::as_str),
    })
}

fn sandbox(environment: &Environment) -> Result<OwnedFd, CniError> {
    let path = environment.netns()?;
    let container = environment.container_id()?;
    open_namespace(path).map_err(|source| CniError::Sandbox {
        path: path.to_owned(),
        container: container.to_owned(),
        source,
    })
}

/// What a namespace was mounted on is, after a reboot, the plain file that it was before.
fn open_namespace(path: &str) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    match rustix::fs::fstatfs(&file)?.f_type as u64 == NSFS_MAGIC {
        true => Ok(file.into()),
        false => Err(io::Error::other("it is no namespace")),
    }
}

/// Whose the bridge is, as its alias says. `None`: nobody's yet.
fn hint(bridge: &BridgeState) -> Option<Hint> {
    bridge.alias.as_deref().and_then(Hint::parse)
}

fn on(bridge: &BridgeState) -> impl Fn(&&NearEnd) -> bool {
    let index = bridge.index;
    move |end| end.bridge == Some(index) && !end.dead
}

/// An error of the kernel with the object that the user knows.
fn about(object: &impl std::fmt::Display) -> impl Fn(KernelError) -> CniError {
    let object = object.to_string();
    move |mut error| {
        error.step = format!("{object}: {}", error.step);
        CniError::Kernel(error)
    }
}
