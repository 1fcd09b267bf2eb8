//! GC: what the runtime does not know of goes (CNI 1.1 §2, "GC").
//!
//! Only from this network's bridge, and only what has this plugin's names. The
//! runtime does nothing else with the network meanwhile, so what was begun and
//! not committed is left over. A network that has no pods any more needs no masquerade,
//! which the next ADD makes again.

use crate::cni::config::Config;
use crate::cni::error::CniError;
use crate::kernel::linux::{Linux, NearEnd, end_masquerade};
use crate::kernel::{Kernel, KernelError};
use crate::model::{AttachmentId, LinkName, Slot};

use super::{hint, on};

pub fn gc(config: &Config) -> Result<(), CniError> {
    if config.gc_disabled {
        return Ok(());
    }
    let Some(valid) = &config.valid else {
        return Err(CniError::Config {
            what: "GC without cni.dev/valid-attachments would delete every attachment".to_owned(),
            instead: "the runtime is to list those that are valid, even if there are none"
                .to_owned(),
        });
    };
    let kernel = Linux::alone()?;
    let bridge = kernel.bridge(&config.bridge)?;
    let bridge = bridge.filter(|b| hint(b).is_some_and(|h| h.network == config.name));
    let mut failures = Vec::new();
    if let Some(bridge) = bridge {
        let keep = |end: &NearEnd| {
            let name = end.attachment.as_deref();
            end.committed && name.is_some_and(|name| valid.iter().any(|v| v.as_str() == name))
        };
        let ends = kernel.near_ends()?;
        for end in ends.iter().filter(on(&bridge)).filter(|end| !keep(end)) {
            if let Err(error) = remove(&kernel, config, end) {
                failures.push(format!("{}: {error}", end.name));
            }
        }
    }
    if let Err(error) = kernel.reap() {
        failures.push(error.to_string());
    }
    let unused = config.masquerade && valid.is_empty();
    for range in config.cidrs.iter().filter(|_| unused) {
        if let Err(error) = end_masquerade(&config.name, range) {
            failures.push(error.to_string());
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CniError::Remains { failures }),
    }
}

fn remove(kernel: &Linux, config: &Config, end: &NearEnd) -> Result<(), KernelError> {
    let id = end.attachment.as_deref().and_then(attachment);
    match (id, Slot::of_link(&end.name)) {
        (Some(id), _) => kernel
            .unplug(&id, &config.bridge, &config.cidrs)
            .map(|_| ()),
        (None, Some(slot)) => kernel.retire(slot),
        (None, None) => Ok(()),
    }
}

/// The interface is what follows the last dot, unless it has dots of its own; the
/// name is looked up as a whole, so where it is split does not matter.
fn attachment(name: &str) -> Option<AttachmentId> {
    let (container, interface) = name.rsplit_once('.')?;
    AttachmentId::new(container, &LinkName::new(interface).ok()?).ok()
}
