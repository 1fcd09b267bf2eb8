//! A log as a stream that goes on while the container does.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use thiserror::Error;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::{LogOptions, LogReader};
use crate::pod::nonblocking::nonblocking;

/// Blocks that wait for whoever reads the stream.
const AHEAD: usize = 2;

#[derive(Debug, Error)]
pub enum LogError {
    #[error("cannot {step} the log {log}")]
    Read {
        step: &'static str,
        log: PathBuf,
        source: io::Error,
    },
    #[error("the reader of the log {log} was lost")]
    Lost { log: PathBuf },
}

/// The text of a log as `options` ask for it. When they ask to follow it, the stream goes on until
/// `ended` resolves and what was written till then has been read. Nothing is read ahead of
/// the receiver but a few blocks; it ends the stream by going away.
pub fn stream(
    log: PathBuf,
    options: LogOptions,
    ended: impl Future<Output = ()> + Send + 'static,
) -> mpsc::Receiver<Result<Bytes, LogError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let told = tokio::select! {
            told = tell(&log, options, ended, &sender) => told,
            () = sender.closed() => return,
        };
        if let Err(error) = told {
            // Whoever read it may have gone.
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

async fn tell(
    log: &Path,
    options: LogOptions,
    ended: impl Future<Output = ()>,
    sender: &mpsc::Sender<Result<Bytes, LogError>>,
) -> Result<(), LogError> {
    let fail = |step| {
        move |source| LogError::Read {
            step,
            log: log.to_owned(),
            source,
        }
    };
    // Before the first look, so that nothing happens unseen in between.
    let changes = match options.follow {
        true => Some(Changes::of(log).map_err(fail("watch"))?),
        false => None,
    };
    let path = log.to_owned();
    let open = move || LogReader::open(&path, &options);
    let mut reader = blocking(log, open).await?.map_err(fail("open"))?;
    tokio::pin!(ended);
    let mut over = false;
    loop {
        let (back, text) = blocking(log, move || {
            let text = reader.read();
            (reader, text)
        })
        .await?;
        reader = back;
        let text = text.map_err(fail("read"))?;
        if !text.is_empty() {
            if sender.send(Ok(text.into())).await.is_err() {
                return Ok(());
            }
            continue;
        }
        let Some(changes) = changes.as_ref().filter(|_| !over && !reader.is_done()) else {
            return Ok(());
        };
        tokio::select! {
            changed = changes.next() => changed.map_err(fail("watch"))?,
            // One more look: it may have written until the end.
            () = &mut ended => over = true,
        }
    }
}

/// Disks can be slow, and the agent has one thread.
async fn blocking<T: Send + 'static>(
    log: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LogError> {
    let lost = |_| LogError::Lost {
        log: log.to_owned(),
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)
}

/// Says when there is something new in a log's directory: text or a file.
struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    fn of(log: &Path) -> io::Result<Changes> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVE;
        inotify.add_watch(log.parent().unwrap_or(Path::new("/")), what)?;
        Ok(Changes(nonblocking(inotify.into())?))
    }

    /// Forgets what it says: the reader looks at everything anyway.
    async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut buffer = [0; 4096];
            match nix::unistd::read(ready.get_inner(), &mut buffer) {
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
