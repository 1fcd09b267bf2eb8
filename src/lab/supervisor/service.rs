//! One process that has to be there: when it was started, how it ended, when
//! it is due again.
//!
//! Time is an argument; starting and reaping are the caller's.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::process::WaitStatus;

use crate::lab::control::ServiceStatus;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// An incarnation that lived this long had no trouble starting.
const SETTLED: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Service {
    state: State,
    delay: Duration,
    restarts: u32,
    last_exit: Option<String>,
}

#[derive(Debug)]
enum State {
    Running { pid: Pid, since: Instant },
    Due { at: Instant },
}

impl Service {
    /// Due at once.
    pub fn new(now: Instant) -> Service {
        Service {
            state: State::Due { at: now },
            delay: FIRST_DELAY,
            restarts: 0,
            last_exit: None,
        }
    }

    pub fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Due { .. } => None,
        }
    }

    /// When to start it; `None` while it runs.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Running { .. } => None,
            State::Due { at } => Some(at),
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|at| at <= now)
    }

    pub fn started(&mut self, pid: Pid, now: Instant) {
        self.state = State::Running { pid, since: now };
    }

    /// It ended: it is due again after a delay that doubles with every end that
    /// comes soon.
    pub fn ended(&mut self, how: String, now: Instant) {
        if let State::Running { since, .. } = self.state
            && now.duration_since(since) >= SETTLED
        {
            self.delay = FIRST_DELAY;
        }
        self.state = State::Due {
            at: now + self.delay,
        };
        self.delay = LONGEST_DELAY.min(self.delay * 2);
        self.restarts += 1;
        self.last_exit = Some(how);
    }

    pub fn status(&self) -> ServiceStatus {
        ServiceStatus {
            pid: self.pid().map(Pid::as_raw),
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
        }
    }
}

/// `exit code 1`, `killed by SIGKILL`. Real-time signals have no names.
pub fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => format!("{status:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_to_its_end_and_starts_over_after_a_good_run() {
        let mut now = Instant::now();
        let mut service = Service::new(now);
        assert!(service.is_due(now));
        let mut delays = Vec::new();
        for _ in 0..8 {
            service.started(Pid::from_raw(7), now);
            assert_eq!(service.due(), None);
            service.ended("exit code 1".into(), now);
            let due = service.due().expect("due again");
            delays.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        service.started(Pid::from_raw(8), now);
        now += SETTLED;
        service.ended("killed by SIGKILL".into(), now);
        assert_eq!(service.due(), Some(now + FIRST_DELAY));
        assert_eq!(service.status().restarts, 9);
    }
}
