//! Running a program in a container, for probes and hooks.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::pod::client::{Pause, Stdio};
use crate::pod::probe::{MAX_OUTPUT, Output, Programs};

pub struct InContainer<'a> {
    pub pause: &'a Pause,
    pub container: &'a str,
}

impl Programs for InContainer<'_> {
    async fn run(&self, argv: &[String]) -> Result<Output, String> {
        let (mut output, theirs) = ends().map_err(|error| error.to_string())?;
        let nothing = File::open("/dev/null").map_err(|error| error.to_string())?;
        let stdio = Stdio::Descriptors([nothing.as_fd(), theirs.as_fd(), theirs.as_fd()]);
        let running = self.pause.exec(self.container, argv, stdio).await;
        let running = running.map_err(|error| error.to_string())?;
        drop(theirs);
        let mut text = Vec::new();
        let mut ended = std::pin::pin!(running.ended());
        let ended = loop {
            tokio::select! {
                biased;
                read = read(&mut output, &mut text) => {
                    if !read {
                        break ended.await;
                    }
                }
                ended = &mut ended => {
                    // What it left in the pipe; not what others write who still have it.
                    while output.try_read_buf(&mut text).is_ok_and(|read| read > 0)
                        && text.len() < MAX_OUTPUT {}
                    break ended;
                }
            }
        };
        let ended = ended.map_err(|error| error.to_string())?;
        text.truncate(MAX_OUTPUT);
        Ok(Output {
            exit_code: ended.exit_code,
            text: String::from_utf8_lossy(&text).trim_end().to_owned(),
        })
    }
}

/// Reads some more; what is beyond the limit is passed over. `false`: that was all.
async fn read(output: &mut pipe::Receiver, text: &mut Vec<u8>) -> bool {
    let mut piece = [0; 1024];
    match output.read(&mut piece).await {
        Ok(length) if length > 0 => {
            let room = MAX_OUTPUT.saturating_sub(text.len()).min(length);
            text.extend_from_slice(&piece[..room]);
            true
        }
        _ => false,
    }
}

fn ends() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((pipe::Receiver::from_owned_fd(ours)?, theirs))
}
