//! A port that a client forwards, with a server behind it that sends back what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

/// So many bytes, of which no two stretches are alike: a piece that is lost or doubled shows.
pub fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

/// Ends when it is dropped.
pub struct Forwarded {
    child: Child,
    /// It says more than one line, and ends if it cannot.
    _stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forwarded {
    /// By a `port-forward` of kubectl or podnet that chooses the port, and says so first.
    pub fn by(command: &mut Command) -> Forwarded {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).expect("a line");
        let port = line
            .split(" -> ")
            .next()
            .and_then(|from| from.rsplit(':').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port: {line:?}"));
        Forwarded {
            child,
            _stdout: stdout,
            port,
        }
    }

    /// What comes back by one connection.
    pub fn exchange(&self, sent: &[u8]) -> Vec<u8> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            let mut writing = connection.try_clone().expect("a copy");
            scope.spawn(move || {
                // One that is refused is closed meanwhile.
                let _ = writing.write_all(sent);
                let _ = writing.shutdown(Shutdown::Write);
            });
            let _ = connection.read_to_end(&mut received);
        });
        received
    }

    /// Fails the test unless all of it comes back by each of so many connections at once.
    pub fn echoes(&self, sent: &[u8], connections: usize) {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..connections)
                .map(|_| scope.spawn(|| self.exchange(sent)))
                .collect();
            for one in all {
                let received = one.join().expect("no panic");
                assert!(received == sent, "{} bytes came back", received.len());
            }
        });
    }
}
