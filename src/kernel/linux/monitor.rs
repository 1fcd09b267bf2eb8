//! Notice that something changed.
//!
//! What changed is never read from the notification: it only says *look
//! again*. So an overrun (ENOBUFS) is as good a notification as any.

use std::future::poll_fn;
use std::io;

use futures::FutureExt;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use nix::errno::Errno;

use crate::kernel::KernelError;

/// `RTNLGRP_*` (linux/rtnetlink.h): links, neighbours, addresses, routes and
/// forwarding settings of both families.
const GROUPS: [u32; 8] = [1, 3, 5, 7, 9, 11, 24, 25];

pub struct Monitor {
    socket: TokioSocket,
}

impl Monitor {
    /// In the calling thread's network namespace; needs a tokio reactor.
    pub fn open() -> Result<Monitor, KernelError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(|e| fail(&e))?;
        let inner = socket.socket_mut();
        inner.bind(&SocketAddr::new(0, 0)).map_err(|e| fail(&e))?;
        for group in GROUPS {
            inner.add_membership(group).map_err(|e| fail(&e))?;
        }
        Ok(Monitor { socket })
    }

    /// Ready when something changed since the last call. Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), KernelError> {
        self.receive().await?;
        while let Some(received) = self.receive().now_or_never() {
            received?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<(), KernelError> {
        let mut scratch = bytes::BytesMut::with_capacity(4096);
        match poll_fn(|context| self.socket.poll_recv(context, &mut scratch)).await {
            Err(error) if error.raw_os_error() != Some(Errno::ENOBUFS as i32) => Err(fail(&error)),
            _ => Ok(()),
        }
    }
}

fn fail(error: &io::Error) -> KernelError {
    KernelError::io("watch the kernel's changes", error)
}
