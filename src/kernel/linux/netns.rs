//! Entering network namespaces.
//!
//! A network namespace is a property of a thread. Whoever enters one does it on
//! a thread of its own that ends with the work, so that no other work is ever
//! done in the wrong namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError, mpsc};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use crate::kernel::KernelError;

use super::socket::Socket;

/// The calling thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// A handle on the calling thread's network namespace. It keeps the namespace
/// alive for as long as it is open.
pub fn current_netns() -> Result<OwnedFd, KernelError> {
    File::open(OWN)
        .map(OwnedFd::from)
        .map_err(|error| KernelError::io(format!("open {OWN}"), &error))
}

/// A new, empty network namespace, held by nothing but the handle.
pub fn new_netns() -> Result<OwnedFd, KernelError> {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| KernelError::new("make a network namespace", errno))?;
        current_netns()
    })
}

/// Do `work` in the network namespace behind `netns`.
pub fn in_netns<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, KernelError> {
    on_own_thread(|| {
        enter(netns)?;
        Ok(work())
    })
}

/// A thread that goes into namespaces to open sockets there, and comes back.
///
/// A socket belongs to the namespace it was opened in, whoever uses it, so this
/// is all that an attachment needs of a thread of its own; one that is kept
/// saves starting one for every pod. It starts with the first visit. A thread
/// that could not come back ends, and the next visit starts another.
///
/// A process that has one thread, and lives for one attachment, goes there itself
/// ([`Visitor::alone`]): on a busy machine, waiting for a thread to be scheduled
/// costs more than everything else.
#[derive(Default)]
pub struct Visitor {
    requests: Mutex<Option<mpsc::Sender<Visit>>>,
    alone: bool,
}

struct Visit {
    netns: OwnedFd,
    answer: mpsc::Sender<Result<Socket, KernelError>>,
}

impl Visitor {
    /// The calling thread is the process's only one.
    pub fn alone() -> Visitor {
        Visitor {
            alone: true,
            ..Visitor::default()
        }
    }

    /// Do `work` in the namespace behind `netns`.
    pub fn work_in<T: Send>(
        &self,
        netns: BorrowedFd<'_>,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, KernelError> {
        if !self.alone {
            return in_netns(netns, work);
        }
        let home = current_netns()?;
        enter(netns)?;
        let done = work();
        enter(home.as_fd())?;
        Ok(done)
    }

    /// A netlink socket in the namespace behind `netns`.
    pub fn socket_in(&self, netns: BorrowedFd<'_>) -> Result<Socket, KernelError> {
        if self.alone {
            return self.work_in(netns, Socket::open)?;
        }
        let netns = netns
            .try_clone_to_owned()
            .map_err(|error| KernelError::io("keep a namespace open", &error))?;
        let (answer, answered) = mpsc::channel();
        self.send(Visit { netns, answer })?;
        let lost = |_| KernelError::new("visit a network namespace", Errno::EIO);
        answered.recv().map_err(lost)?
    }

    fn send(&self, visit: Visit) -> Result<(), KernelError> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let visit = match &*requests {
            Some(thread) => match thread.send(visit) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(visit)) => visit,
            },
            None => visit,
        };
        let (sender, visits) = mpsc::channel();
        std::thread::Builder::new()
            .name("netns-visitor".to_owned())
            .spawn(move || receive_visits(&visits))
            .map_err(|error| KernelError::io("start a thread for a namespace", &error))?;
        let lost = |_| KernelError::new("visit a network namespace", Errno::EIO);
        sender.send(visit).map_err(lost)?;
        *requests = Some(sender);
        Ok(())
    }
}

fn receive_visits(visits: &mpsc::Receiver<Visit>) {
    while let Ok(Visit { netns, answer }) = visits.recv() {
        let home = current_netns();
        let socket = home.as_ref().map_err(Clone::clone).and_then(|_| {
            enter(netns.as_fd())?;
            Socket::open()
        });
        let back = home.and_then(|home| enter(home.as_fd()));
        // Nobody waits for it any more if the caller died, which is its own trouble.
        let _ = answer.send(socket);
        if back.is_err() {
            return;
        }
    }
}

fn enter(netns: BorrowedFd<'_>) -> Result<(), KernelError> {
    setns(netns, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| KernelError::new("enter a network namespace", errno))
}

fn on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .spawn_scoped(scope, work)
            .map_err(|error| KernelError::io("start a thread for a namespace", &error))?;
        let failed = || KernelError::new("work in a network namespace", Errno::EIO);
        thread.join().unwrap_or_else(|_| Err(failed()))
    })
}
