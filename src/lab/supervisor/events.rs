//! Where the supervisor's events come from.
//!
//! ```text
//!   signals thread ── ChildExited, Stop ─┐
//!   listener thread                      ├──► one channel ──► the loop
//!     └ a thread per connection ─ Asked ─┘
//! ```
//!
//! The threads only carry: every decision and every effect is the loop's.
//! Without signals no child could be reaped or restarted, so their thread's end
//! is `Broken`, and that ends the lab.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::lab::control::{Channel, Reply, Request};

/// Before the next try to take a request; what fails is then out of memory or
/// descriptors.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

pub enum Event {
    /// Some child ended; which ones, the kernel is asked.
    ChildExited,
    Asked(Box<Question>),
    /// SIGTERM, SIGINT or a request.
    Stop,
    Broken(io::Error),
}

pub struct Question {
    pub request: Request,
    pub answer: Sender<Answer>,
}

pub struct Answer {
    pub reply: Reply,
    pub descriptors: Vec<OwnedFd>,
}

/// Starts the threads. When this returns, no child's end can be missed.
pub fn sources(control: UnixListener) -> io::Result<Receiver<Event>> {
    let (sender, events) = mpsc::channel();
    let (armed, is_armed) = mpsc::channel();
    let signals = sender.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let end = carry_signals(&signals, &armed);
            if let Err(error) = end {
                let _ = signals.send(Event::Broken(error));
            }
        })?;
    // A dropped sender means that arming failed; `Broken` then says why.
    let _ = is_armed.recv();
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || carry_requests(&control, &sender))?;
    Ok(events)
}

fn carry_signals(events: &Sender<Event>, armed: &Sender<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let mut child: Signal = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let _ = armed.send(());
        loop {
            let event = tokio::select! {
                _ = child.recv() => Event::ChildExited,
                _ = terminate.recv() => Event::Stop,
                _ = interrupt.recv() => Event::Stop,
            };
            // The loop is gone, and this process with it.
            if events.send(event).is_err() {
                return Ok(());
            }
        }
    })
}

fn carry_requests(control: &UnixListener, events: &Sender<Event>) {
    loop {
        let accepted = control.accept().and_then(|(stream, _)| {
            let events = events.clone();
            thread::Builder::new()
                .name("request".to_owned())
                .spawn(move || serve(Channel::over(stream), &events))
        });
        if let Err(error) = accepted {
            // The lab can do without; who asks can ask again.
            tracing::warn!(%error, "cannot take a request");
            thread::sleep(AFTER_A_FAILURE);
        }
    }
}

/// One connection. A peer that goes away in the middle harms nobody.
fn serve(mut channel: Channel, events: &Sender<Event>) {
    let request = match channel.receive() {
        Ok((request, _)) => request,
        Err(error) => {
            let _ = channel.send(&Reply::Refused(error.to_string()), &[]);
            return;
        }
    };
    let (answer, answered) = mpsc::channel();
    if events
        .send(Event::Asked(Box::new(Question { request, answer })))
        .is_err()
    {
        return;
    }
    if let Ok(Answer { reply, descriptors }) = answered.recv() {
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        if let Err(error) = channel.send(&reply, &borrowed) {
            tracing::debug!(%error, "a request's answer went nowhere");
        }
    }
}
