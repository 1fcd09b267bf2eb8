//! What it costs that the kernel tells its log of every port.
//!
//! It writes a line to each console at once, whoever causes it, and a serial console
//! takes longer for a line than the kernel for the port.

use std::time::Instant;

use anyhow::{Context, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use podnet::kernel::linux::{Request, Socket};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec};

use super::table::Samples;

/// As the log has them (net/bridge/br_stp.c, net/core/dev.c). A port that comes up is
/// blocking, disabled, in allmulticast mode, promiscuous, blocking and forwarding,
/// whoever plugs it in.
pub const OF_ADD: u32 = 6;
/// Disabled and renamed.
pub const OF_OUR_DEL: u32 = 2;
/// Disabled, out of both modes, and disabled.
pub const OF_THEIR_DEL: u32 = 4;
const LINK: &str = "log0";
const REPETITIONS: usize = 50;

/// By how much longer it takes to switch a flag that the log is told of than one that
/// it is not.
pub fn line() -> Result<Samples> {
    let mut socket = Socket::open()?;
    let link = RouteNetlinkMessage::NewLink(LinkBridge::new(LINK).build());
    socket.request(Request::new("make a link", link, NLM_F_CREATE | NLM_F_EXCL))?;
    let mut lines = Samples::default();
    for n in 0..REPETITIONS {
        let on = n % 2 == 0;
        let told = switch(&mut socket, |link| link.allmulticast(on))?;
        let untold = switch(&mut socket, |link| link.arp(on))?;
        lines.push(told.saturating_sub(untold));
    }
    Ok(lines)
}

fn switch(
    socket: &mut Socket,
    flag: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
) -> Result<std::time::Duration> {
    let link = flag(LinkUnspec::new_with_name(LINK)).build();
    let request = Request::new("switch a flag", RouteNetlinkMessage::SetLink(link), 0);
    let start = Instant::now();
    socket.request(request).context("a link's flag")?;
    Ok(start.elapsed())
}
