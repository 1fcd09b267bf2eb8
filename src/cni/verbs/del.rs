//! DEL: whatever is there goes (CNI 1.1 §2, "DEL").
//!
//! The attachment is found by its link's name alone, so neither a namespace nor
//! a previous result is needed, and after a reboot there is nothing to find. Its
//! address is free when DEL answers; the dead link itself is deleted later.

use crate::cni::args::Environment;
use crate::cni::config::Config;
use crate::cni::error::CniError;
use crate::cni::reaper;
use crate::kernel::linux::Linux;

use super::status::agent_answers;
use super::{about, open_namespace};

pub fn del(environment: &Environment, config: &Config) -> Result<(), CniError> {
    let id = environment.attachment()?;
    let interface = environment.interface()?;
    let kernel = Linux::alone()?;
    let unplugged = kernel.unplug(&id, &config.bridge, &config.cidrs);
    let mut gone = unplugged.map_err(about(&id))?.is_some();
    if !gone {
        // An ADD that died before it named its link left one that only the pod's
        // side leads to. A namespace that is gone took it along.
        let netns = environment.netns.as_ref();
        let sandbox = netns.and_then(|path| open_namespace(path).ok());
        if let Some(sandbox) = sandbox {
            let cleared = kernel.clear_leftovers(&id, &interface, Some(&sandbox));
            gone = cleared.map_err(about(&id))?;
        }
    }
    if gone && !config.agent.as_deref().is_some_and(agent_answers) {
        reaper::reap_soon();
    }
    Ok(())
}
