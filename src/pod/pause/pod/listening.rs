//! What containers say and are told: to their logs, and to whoever is attached.

use std::os::fd::OwnedFd;

use crate::pod::pause::attach::{Attachment, Input, Sink};
use crate::pod::pause::container::{Piece, unblock};
use crate::pod::pause::lines::Stream;
use crate::pod::protocol::{Refusal, Reply};

use super::{Answer, ConnectionId, Pod};

impl Pod {
    pub(super) fn attach(
        &mut self,
        id: ConnectionId,
        container: String,
        stdin: bool,
        mut given: Vec<OwnedFd>,
    ) -> Answer {
        let found = self.running(&container)?;
        let running = found.running.as_ref();
        let tty = running.is_some_and(|running| running.tty);
        let terminal = running.and_then(|running| running.terminal.as_ref());
        let failed = |why: &dyn std::fmt::Display| (Refusal::Failed, format!("attach: {why}"));
        let copy = terminal.map(OwnedFd::try_clone).transpose();
        let copy = copy.map_err(|error| failed(&error))?;
        let wanted = usize::from(stdin) + if tty { 1 } else { 2 };
        if tty {
            // Whoever has no terminal there asks for errors too; a terminal has none apart.
            given.truncate(wanted);
        }
        if given.len() != wanted {
            let why = format!("attach wants {wanted} descriptors, not {}", given.len());
            return Err((Refusal::Failed, why));
        }
        for descriptor in &given {
            unblock(descriptor).map_err(|error| failed(&error))?;
        }
        let input = stdin.then(|| Input::new(given.remove(0)));
        let mut sinks = given.into_iter().map(Sink::new);
        let attachment = Attachment {
            container,
            stdout: sinks.next(),
            stderr: sinks.next(),
            input,
            ended: None,
        };
        self.attachments.insert(id, attachment);
        Ok(Some((Reply::Done, copy)))
    }

    /// A container said something.
    pub fn read_output(&mut self, container: usize, output: usize) {
        let Some(container) = self.containers.get_mut(container) else {
            return;
        };
        let Some(running) = &mut container.running else {
            return;
        };
        let Some(stream) = running.outputs.get(output).map(|one| one.stream) else {
            return;
        };
        match running.read(output, &mut self.buffer) {
            Piece::Nothing => {}
            Piece::End => drop(running.outputs.remove(output)),
            Piece::Bytes(length) => {
                let name = &container.status.name;
                let listeners = self.attachments.values_mut();
                for one in listeners.filter(|one| one.container == *name) {
                    one.hear(stream, &self.buffer[..length]);
                }
            }
        }
    }

    /// A listener takes more.
    pub fn drain(&mut self, id: ConnectionId, stream: Stream) {
        let Some(attachment) = self.attachments.get_mut(&id) else {
            return;
        };
        let sink = attachment.sink(stream);
        if let Some(open) = sink
            && open.flush().is_err()
        {
            *sink = None;
        }
        self.conclude_attachment(id);
    }

    pub(super) fn conclude_attachment(&mut self, id: ConnectionId) {
        if let Some(attachment) = self.attachments.get(&id)
            && attachment.is_done()
            && let Some(ended) = attachment.ended
        {
            self.attachments.remove(&id);
            self.reply(id, &Reply::Exited { ended }, None);
        }
    }

    /// Somebody types, or a container takes what was typed.
    pub fn type_in(&mut self, id: ConnectionId) {
        let Some(attachment) = self.attachments.get_mut(&id) else {
            return;
        };
        let Some(input) = &mut attachment.input else {
            return;
        };
        let mut all = self.containers.iter_mut();
        let container = all.find(|one| one.status.name == attachment.container);
        let running = container.and_then(|one| one.running.as_mut());
        let goes_on = match running.as_ref().and_then(|one| one.stdin.as_ref()) {
            Some(stdin) => input.pump(stdin),
            None => false,
        };
        if !goes_on {
            attachment.input = None;
            if let Some(running) = running
                && running.stdin_once
            {
                running.stdin = None;
            }
        }
    }
}
