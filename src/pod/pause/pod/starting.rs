//! Containers, and programs in them, from the request to the program that runs.

use std::io;
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use nix::sched::CloneFlags;
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;

use crate::pod::bundle::{Bundle, PidNamespace};
use crate::pod::pause::child::{Place, Stdio};
use crate::pod::pause::container::{Container, Running};
use crate::pod::pause::launch::{Launch, Report, What};
use crate::pod::pause::mounts;
use crate::pod::pause::root::{is_null, null};
use crate::pod::pause::user::needs_namespace;
use crate::pod::protocol::{self, Refusal, Reply};

use super::{Answer, ConnectionId, Pod, refused};

impl Pod {
    pub(super) fn start(&mut self, id: ConnectionId, bundle: &Bundle) -> Answer {
        let name = &bundle.name;
        let starting = |launch: &Launch| matches!(&launch.what, What::Container { name: other, .. } if other == name);
        if self.running(name).is_ok() || self.launches.values().any(starting) {
            return Err((Refusal::Running, format!("container {name} runs already")));
        }
        let own_users = needs_namespace(&bundle.process.user, &self.users, &self.groups);
        let (mut running, stdio) = Running::new(bundle, own_users).map_err(refused)?;
        let mut namespaces = CloneFlags::CLONE_NEWNS;
        if bundle.pids == PidNamespace::Own {
            namespaces |= CloneFlags::CLONE_NEWPID;
        }
        let place = Place::New {
            bundle,
            own_users,
            tty_group: mounts::tty_group(&self.groups),
        };
        let (pid, report) = Launch::fork(&place, stdio, namespaces).map_err(refused)?;
        running.forked(pid);
        let what = What::Container {
            name: name.clone(),
            attempt: bundle.attempt,
            running: Box::new(running),
        };
        self.launched(Launch::new(pid, report, id, what));
        Ok(None)
    }

    pub(super) fn exec(
        &mut self,
        id: ConnectionId,
        container: &str,
        argv: Vec<String>,
        tty: bool,
        given: Vec<OwnedFd>,
    ) -> Answer {
        let container = self.running(container)?;
        let gone = || {
            (
                Refusal::NotRunning,
                "the container has just ended".to_owned(),
            )
        };
        let running = container.running.as_ref().ok_or_else(gone)?;
        let first = running.pidfd.as_ref().ok_or_else(gone)?;
        let stdio = match (tty, <[OwnedFd; 3]>::try_from(given)) {
            (true, _) => Stdio::Terminal,
            (false, Ok(descriptors)) => Stdio::Descriptors(
                harmless(descriptors).map_err(|error| (Refusal::Failed, error.to_string()))?,
            ),
            (false, Err(given)) => {
                let why = format!("exec wants 3 descriptors, not {}", given.len());
                return Err((Refusal::Failed, why));
            }
        };
        let mut process = running.process.clone();
        process.argv = argv;
        if tty && !process.env.iter().any(|entry| entry.starts_with("TERM=")) {
            process.env.push("TERM=xterm".to_owned());
        }
        let place = Place::Existing {
            first,
            process: &process,
            own_users: running.own_users,
        };
        let forked = match running.pids {
            PidNamespace::Own => Launch::fork_beside(first, &place, stdio),
            PidNamespace::Pod => Launch::fork(&place, stdio, CloneFlags::empty()),
        };
        let (pid, report) = forked.map_err(refused)?;
        self.launched(Launch::new(pid, report, id, What::Exec));
        Ok(None)
    }

    fn launched(&mut self, launch: Launch) {
        if let Some(connection) = self.connections.get_mut(&launch.connection) {
            connection.busy = true;
        }
        self.launches.insert(launch.pid, launch);
    }

    /// The child of a launch has something to tell.
    pub fn reported(&mut self, pid: i32) {
        let Some(launch) = self.launches.get_mut(&pid) else {
            return;
        };
        let report = launch.read();
        if matches!(report, Report::Waiting) {
            return;
        }
        let Some(launch) = self.launches.remove(&pid) else {
            return;
        };
        match report {
            Report::Waiting => {}
            Report::Refused(refusal, why) => {
                self.conclude(launch.connection, &Reply::Refused { refusal, why }, None);
            }
            Report::Started => self.started(launch),
        }
    }

    fn started(&mut self, launch: Launch) {
        let (pid, at) = (launch.pid, Timestamp::now());
        let reply = Reply::Started { pid, at };
        match launch.what {
            What::Exec => {
                self.execs.insert(pid, launch.connection);
                self.conclude(launch.connection, &reply, launch.terminal);
            }
            What::Container {
                name,
                attempt,
                mut running,
            } => {
                if let Err(error) = running.started(pid, launch.terminal) {
                    let _ = kill(Pid::from_raw(pid), SIGKILL);
                    let (refusal, why) = refused(error);
                    self.conclude(launch.connection, &Reply::Refused { refusal, why }, None);
                    return;
                }
                let status = protocol::Container {
                    name,
                    attempt,
                    pid,
                    started_at: at,
                    ended: None,
                };
                self.containers.retain(|one| one.status.name != status.name);
                self.containers.push(Container {
                    status: status.clone(),
                    running: Some(running),
                });
                self.conclude(launch.connection, &reply, None);
                self.changed(&status);
            }
        }
        if let Some(ended) = launch.ended {
            self.ended(pid, ended);
        }
    }
}

/// The agent's /dev/null is the machine's: whoever has it could change its mode.
fn harmless(descriptors: [OwnedFd; 3]) -> io::Result<[OwnedFd; 3]> {
    let [stdin, stdout, stderr] = descriptors;
    let replaced = |fd: OwnedFd| match is_null(&fd)? {
        true => null(),
        false => Ok(fd),
    };
    Ok([replaced(stdin)?, replaced(stdout)?, replaced(stderr)?])
}
