//! Dying or stopping on purpose, for tests: with `PODNET_FAULT_AT=n` in its environment, a
//! process that was built with debug assertions kills itself as soon as it has
//! sent its n-th netlink message, with `PODNET_STOP_AT=n` it stops there until it is told to
//! continue, and with either it sends each message by itself. No other build looks at the variables.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::{Signal, raise};

    struct Fault {
        at: usize,
        signal: Signal,
    }

    fn fault() -> Option<&'static Fault> {
        static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
        let read = |variable, signal| {
            let at = std::env::var(variable).ok()?.parse().ok()?;
            Some(Fault { at, signal })
        };
        let fault = FAULT.get_or_init(|| {
            read("PODNET_FAULT_AT", Signal::SIGKILL)
                .or_else(|| read("PODNET_STOP_AT", Signal::SIGSTOP))
        });
        fault.as_ref()
    }

    pub fn is_armed() -> bool {
        fault().is_some()
    }

    pub fn sent() {
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let Some(fault) = fault() else { return };
        if SENT.fetch_add(1, Ordering::Relaxed) + 1 == fault.at {
            // It is delivered before the call returns.
            let _ = raise(fault.signal);
        }
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    pub const fn is_armed() -> bool {
        false
    }

    pub const fn sent() {}
}

pub use armed::{is_armed, sent};
