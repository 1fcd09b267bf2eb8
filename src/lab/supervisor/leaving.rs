//! Nodes that leave.
//!
//! A node is out of the lab once its agent is dead, and that cannot fail. What it
//! leaves behind, its pods, its cable and its directory, may resist: then it is
//! tried again until it is gone, and nobody gets its name or position before.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::model::NodeName;

use super::site::Site;
use super::{Supervisor, SupervisorError};

/// Between two tries to clear remains away.
const CLEAR_AGAIN: Duration = Duration::from_secs(1);

/// What is left of a node.
pub struct Remains {
    site: Site,
    due: Instant,
}

impl Remains {
    pub fn name(&self) -> &NodeName {
        &self.site.name
    }

    pub fn position(&self) -> u32 {
        self.site.position
    }

    /// When to clear them away.
    pub fn due(&self) -> Instant {
        self.due
    }
}

impl Supervisor {
    /// Ends the node's agent. What is left is due to be cleared away.
    pub fn take_out(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.remove(name) else {
            return;
        };
        if let Some(agent) = node.agent.pid() {
            end(agent);
            // A dying agent may still start a pod. What else there is to know of its
            // end is that somebody has reaped it.
            while waitpid(agent, None) == Err(Errno::EINTR) {}
        }
        self.remains.push(Remains {
            site: node.site,
            due: Instant::now(),
        });
    }

    /// Clears away what is due.
    pub fn clear_remains(&mut self) {
        let mut remains = std::mem::take(&mut self.remains);
        remains.retain_mut(|left| {
            let now = Instant::now();
            if left.due > now {
                return true;
            }
            left.due = now + CLEAR_AGAIN;
            let cleared = self.clear(&left.site);
            if let Err(error) = &cleared {
                tracing::error!(node = %left.name(), "{}", crate::lab::chain(error));
            }
            cleared.is_err()
        });
        self.remains = remains;
    }

    /// In this order: pods are found by what is in the directory. Idempotent.
    fn clear(&self, site: &Site) -> Result<(), SupervisorError> {
        for sandbox in self.sandboxes(&site.name)? {
            end(Pid::from_raw(sandbox.pid));
        }
        site.unplug()?;
        self.dir.remove_node(&site.name)?;
        Ok(())
    }
}

/// SIGKILL. Who is gone already is as dead as we want him.
fn end(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
}
