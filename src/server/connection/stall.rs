//! Dropping what nobody reads.
//!
//! HTTP asks a body for its next piece once the client has taken enough of the last one. A piece that is
//! handed out and not asked beyond is therefore one that the client leaves unread, whether TCP is
//! full (`TCP_USER_TIMEOUT` would notice that, too) or an HTTP/2 stream's window is closed, which
//! nothing below would notice. A watch that has nothing to say is asked, and waits: it is not stalled.
//!
//! ```text
//!  task of a connection, or of one HTTP/2 stream
//!    └─ unless_stalled ── task-local Progress ◄── Guarded body: handed out, asked again
//! ```
//!
//! Dropping the task is what ends it: hyper closes the connection or resets the stream, and lets go
//! of what was to be sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep};

/// Answers are handed out in pieces of at most this size: one that is whole would be taken off our
/// hands, and be buffered for its client, whether that reads it or not.
const PIECE_BYTES: usize = 64 << 10;

tokio::task_local! {
    static PROGRESS: Arc<Progress>;
}

/// When the last piece was handed out that has not been asked beyond.
struct Progress {
    begun: Instant,
    /// In milliseconds since `begun`, and one more; 0 for none.
    handed_out: AtomicU64,
}

impl Progress {
    fn new() -> Arc<Progress> {
        Arc::new(Progress {
            begun: Instant::now(),
            handed_out: AtomicU64::new(0),
        })
    }

    fn hand_out(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.handed_out.store(now + 1, Ordering::Relaxed);
    }

    fn move_on(&self) {
        self.handed_out.store(0, Ordering::Relaxed);
    }

    /// Resolves once a piece has been left for so long.
    async fn stalled(&self, limit: Duration) {
        let mut wait = limit;
        loop {
            sleep(wait).await;
            wait = match self.handed_out.load(Ordering::Relaxed) {
                0 => limit,
                handed_out => {
                    let at = self.begun + Duration::from_millis(handed_out - 1);
                    match (at + limit).checked_duration_since(Instant::now()) {
                        Some(left) if !left.is_zero() => left,
                        _ => return,
                    }
                }
            };
        }
    }
}

/// `work`, or `None` if a body that is handed out in it is left unread for `limit`.
pub async fn unless_stalled<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let progress = Progress::new();
    tokio::select! {
        biased;
        done = PROGRESS.scope(progress.clone(), work) => Some(done),
        () = progress.stalled(limit) => None,
    }
}

/// Runs the streams of an HTTP/2 connection, each [`unless_stalled`].
#[derive(Clone)]
pub struct Streams {
    pub limit: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let limit = self.limit;
        tokio::spawn(async move {
            if unless_stalled(limit, stream).await.is_none() {
                tracing::debug!("a stream is dropped: its client does not read it");
            }
        });
    }
}

/// A body that tells the task it is sent in how it gets on.
pub struct Guarded<B> {
    body: B,
    /// What is left of a piece that was too large.
    rest: Bytes,
    progress: Option<Arc<Progress>>,
}

impl<B> Guarded<B> {
    /// For the task that this is called in; in none of [`unless_stalled`], nothing is watched.
    pub fn new(body: B) -> Guarded<B> {
        Guarded {
            body,
            rest: Bytes::new(),
            progress: PROGRESS.try_with(Arc::clone).ok(),
        }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        if let Some(progress) = &self.progress {
            progress.hand_out();
        }
        Frame::data(piece)
    }
}

impl<B> Drop for Guarded<B> {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.move_on();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Guarded<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(progress) = &self.progress {
            progress.move_on();
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Err(trailers) => Poll::Ready(Some(Ok(trailers))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    fn body(bytes: usize) -> Guarded<Full<Bytes>> {
        Guarded::new(Full::new(vec![7; bytes].into()))
    }

    #[tokio::test]
    async fn what_is_not_asked_beyond_is_stalled() {
        let read = unless_stalled(LIMIT, async {
            let mut body = body(3 * PIECE_BYTES);
            body.frame().await;
            body.frame().await;
            std::future::pending::<()>().await;
        });
        assert!(read.await.is_none());
    }

    /// Idle for far longer than a piece may be left.
    #[tokio::test]
    async fn what_waits_for_us_is_not() {
        let read = unless_stalled(LIMIT, async {
            let mut body = body(PIECE_BYTES);
            while body.frame().await.is_some() {}
            sleep(LIMIT * 5).await;
            drop(body);
            sleep(LIMIT * 5).await;
        });
        assert!(read.await.is_some());
    }

    #[tokio::test]
    async fn pieces_are_small_and_whole() {
        let mut body = body(2 * PIECE_BYTES + 1);
        assert_eq!(body.size_hint().exact(), Some(2 * PIECE_BYTES as u64 + 1));
        let mut lengths = Vec::new();
        while !body.is_end_stream() {
            let frame = body.frame().await.unwrap().unwrap();
            lengths.push(frame.into_data().unwrap().len());
        }
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 1]);
    }
}
