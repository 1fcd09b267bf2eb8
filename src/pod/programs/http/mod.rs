//! A small HTTP/1.1 server, for programs that are many and mostly idle.
//!
//! hyper needs a runtime per process; tiny_http waits for a client as long as
//! that likes and starts as many threads as there are clients. So this is our
//! own, on httparse: a thread per connection and none besides the accepting
//! one, never more than [`CONNECTIONS_MAX`]; the next ones wait in the
//! kernel's queue. A client has [`PATIENCE`] for each request; when there are
//! many clients, less, and then no connection is kept for a second request.

mod message;
mod read;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use message::{Request, Response};
use read::{Body, Head, ReadError, Reader};

use super::{ProgramError, say_error};

const CONNECTIONS_MAX: usize = 256;
const CROWD: usize = CONNECTIONS_MAX / 2;
/// From the end of one request to that of the next.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_IN_A_CROWD: Duration = Duration::from_secs(5);
/// For a client that does not take its response.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// A refused client may still be sending; see [`linger`].
const LINGER: Duration = Duration::from_secs(1);
/// After a failure to accept, such as too many open files, unless a connection ends before.
const PAUSE: Duration = Duration::from_millis(100);
/// Resolving a name takes the most; pages that are not used cost nothing.
const STACK_BYTES: usize = 256 * 1024;

pub struct Server {
    listener: TcpListener,
    counts: Mutex<Counts>,
    changed: Condvar,
    answer: Box<dyn Fn(&Request) -> Response + Send + Sync>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    /// Requests read and not yet answered.
    requests: usize,
    ending: bool,
}

impl Server {
    /// Serves until the process ends. `answer` is called on many threads at once;
    /// if it panics, its connection ends.
    pub fn start(
        listener: TcpListener,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Arc<Server>, ProgramError> {
        let server = Arc::new(Server {
            listener,
            counts: Mutex::default(),
            changed: Condvar::new(),
            answer: Box::new(answer),
        });
        let accepting = Arc::clone(&server);
        spawn(move || accept(&accepting)).map_err(|source| ProgramError::Thread {
            what: "accepts connections",
            source,
        })?;
        Ok(server)
    }

    /// Accepts no more, and waits at most `patience` for the requests that were
    /// read to be answered. Whether they were.
    pub fn drain(&self, patience: Duration) -> bool {
        self.counts().ending = true;
        // Wakes the accepting thread; nothing is lost if it cannot be.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        let busy = |counts: &mut Counts| counts.requests > 0;
        let waited = self
            .changed
            .wait_timeout_while(self.counts(), patience, busy);
        let (counts, _) = waited.unwrap_or_else(PoisonError::into_inner);
        counts.requests == 0
    }

    /// Counts are whole even if a thread that held them panicked.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_crowded(&self) -> bool {
        self.counts().connections > CROWD
    }

    fn pause(&self) {
        let waited = self.changed.wait_timeout(self.counts(), PAUSE);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new().stack_size(STACK_BYTES);
    builder.spawn(body).map(drop)
}

fn accept(server: &Arc<Server>) {
    loop {
        let full = |counts: &mut Counts| counts.connections >= CONNECTIONS_MAX;
        let room = server.changed.wait_while(server.counts(), full);
        let ending = room.unwrap_or_else(PoisonError::into_inner).ending;
        if ending {
            return;
        }
        match server.listener.accept() {
            Ok((stream, peer)) => {
                let place = Place::take(server, |counts| &mut counts.connections);
                let served = spawn(move || {
                    // The connection is closed before its place is given away.
                    let place = place;
                    let stream = stream;
                    serve(&place, &stream, peer);
                });
                if let Err(error) = served {
                    say_error(&format!("serve {peer}: start a thread: {error}"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !server.counts().ending {
                    say_error(&format!("accept a connection: {error}"));
                    server.pause();
                }
            }
        }
    }
}

/// One of a count, until it is dropped, be it by a panic.
struct Place {
    server: Arc<Server>,
    count: fn(&mut Counts) -> &mut usize,
}

impl Place {
    fn take(server: &Arc<Server>, count: fn(&mut Counts) -> &mut usize) -> Place {
        *count(&mut server.counts()) += 1;
        Place {
            server: Arc::clone(server),
            count,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *(self.count)(&mut self.server.counts()) -= 1;
        self.server.changed.notify_all();
    }
}

/// Reads until a moment, not longer, however the bytes trickle in.
struct Until<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(to)
    }
}

/// A connection, to its end.
fn serve(place: &Place, stream: &TcpStream, peer: SocketAddr) {
    let server = &place.server;
    // Neither can fail on an open socket, and both only make things better.
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(WRITE_PATIENCE));
    let mut reader = Reader::new(Until {
        stream,
        deadline: Instant::now(),
    });
    loop {
        let crowded = server.is_crowded();
        let patience = if crowded {
            PATIENCE_IN_A_CROWD
        } else {
            PATIENCE
        };
        reader.source.deadline = Instant::now() + patience;
        match exchange(server, &mut reader, peer) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return refuse(stream, &error),
        }
    }
}

/// One request and its response. Whether another may follow.
fn exchange(
    server: &Arc<Server>,
    reader: &mut Reader<Until<'_>>,
    peer: SocketAddr,
) -> Result<bool, ReadError> {
    let Some(head) = reader.head(peer)? else {
        return Ok(false);
    };
    let request = Place::take(server, |counts| &mut counts.requests);
    let mut stream = reader.source.stream;
    let Head {
        body,
        request: asked,
        ..
    } = &head;
    if head.expects_continue && *body != Body::Length(0) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    reader.drop_body(*body)?;
    let mut response = (server.answer)(asked);
    response.close |= !head.keep_alive || server.is_crowded() || server.counts().ending;
    response.write(&mut stream, asked.method == "HEAD", Timestamp::now())?;
    drop(request);
    if response.close && head.keep_alive {
        // It may have sent the next one already.
        linger(stream);
    }
    Ok(!response.close)
}

fn refuse(mut stream: &TcpStream, error: &ReadError) {
    let Some(status) = error.status() else {
        return;
    };
    let mut response = Response::new(status, format!("{error}\n"));
    response.close = true;
    if response.write(&mut stream, false, Timestamp::now()).is_ok() {
        linger(stream);
    }
}

/// Closing while bytes come in resets the connection, and the client may lose
/// the response (RFC 9112 §9.6).
fn linger(stream: &TcpStream) {
    if stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let deadline = Instant::now() + LINGER;
    let mut rest = Until { stream, deadline };
    while matches!(rest.read(&mut [0; 4096]), Ok(1..)) {}
}
