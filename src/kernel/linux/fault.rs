//! Dying on purpose, for tests: with `PODNET_FAULT_AT=n` in its environment, a
//! process that was built with debug assertions kills itself as soon as it has
//! sent its n-th netlink message, and sends each by itself. No other build looks
//! at the variable.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    fn point() -> Option<usize> {
        static POINT: OnceLock<Option<usize>> = OnceLock::new();
        *POINT.get_or_init(|| std::env::var("PODNET_FAULT_AT").ok()?.parse().ok())
    }

    pub fn is_armed() -> bool {
        point().is_some()
    }

    pub fn sent() {
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let Some(point) = point() else { return };
        if SENT.fetch_add(1, Ordering::Relaxed) + 1 == point {
            // It is delivered before the call returns.
            let _ = kill(Pid::this(), Signal::SIGKILL);
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
