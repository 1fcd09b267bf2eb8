//! A program that runs for one test, and what it says.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_podnet-program");
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// Ended when it is dropped.
pub struct Program {
    child: Child,
    output: File,
    errors: File,
}

impl Program {
    /// Catches SIGTERM by the time this returns.
    pub fn start(line: &str) -> Program {
        let mut command = Command::new(PROGRAM);
        command.args(line.split(' '));
        let program = Program::spawn(&mut command);
        program.wait_listening_to_signals(program.pid());
        program
    }

    pub fn spawn(command: &mut Command) -> Program {
        // Files take all that is written, whether it is read or not.
        let file = || tempfile::tempfile().expect("a file");
        let (output, errors) = (file(), file());
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("copied"))
            .stderr(errors.try_clone().expect("copied"))
            .spawn()
            .expect("the program starts");
        Program {
            child,
            output,
            errors,
        }
    }

    /// And takes connections.
    pub fn serving(line: &str, port: u16) -> Program {
        let mut program = Program::start(line);
        program.wait_serving(port);
        program
    }

    pub fn wait_serving(&mut self, port: u16) {
        eventually(&format!("it listens on {port}"), || {
            let status = self.child.try_wait().expect("looked at");
            assert!(status.is_none(), "{status:?}\n{}", self.errors());
            // Not by connecting: that would count as a client.
            let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
            tables
                .iter()
                .filter_map(|table| fs::read_to_string(table).ok())
                .any(|table| table.lines().any(|line| is_listening(line, port)))
                .then_some(())
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn wait_listening_to_signals(&self, pid: u32) {
        const TERMINATE: u64 = 1 << (15 - 1);
        eventually("it catches SIGTERM", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught & TERMINATE != 0).then_some(())
        });
    }

    pub fn wait(&mut self) -> ExitStatus {
        eventually("it ends", || self.child.try_wait().expect("looked at"))
    }

    /// All that it wrote; it must have ended.
    pub fn output(&mut self) -> String {
        whole(&mut self.output)
    }

    pub fn errors(&mut self) -> String {
        whole(&mut self.errors)
    }
}

/// A line of proc_net_tcp(5).
fn is_listening(line: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields
        .get(1)
        .is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
    local && fields.get(3) == Some(&LISTEN)
}

fn whole(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().expect("rewound");
    file.read_to_string(&mut text).expect("text");
    text
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn terminate(pid: u32) {
    signal(pid, nix::sys::signal::SIGTERM);
}

pub fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, signal).expect("signalled");
}

/// A program that ends by itself.
pub fn run(line: &str) -> Output {
    Command::new(PROGRAM)
        .args(line.split(' '))
        .output()
        .expect("it runs")
}

/// What the raw request is answered with, up to the end of the connection.
pub fn exchange(address: &str, request: &[u8]) -> String {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    // A server that refuses it need not read all of it.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

pub fn get(port: u16, target: &str) -> Answer {
    get_from(&format!("127.0.0.1:{port}"), target)
}

pub fn get_from(address: &str, target: &str) -> Answer {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: pod\r\nX-forwarded-FOR: me\r\nConnection: close\r\n\r\n"
    );
    let text = exchange(address, request.as_bytes());
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).expect("a code");
    Answer {
        code: code.parse().expect("a number"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub fn hostname() -> String {
    let name = nix::unistd::gethostname().expect("a name");
    name.into_string().expect("text")
}
