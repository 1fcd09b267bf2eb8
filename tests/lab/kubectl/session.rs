//! A session at a terminal: commands one after the other, and what they print, chapter by chapter.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use super::mask::mask;
use crate::place::{Place, eventually, text};

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifests");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/kubectl");

pub struct Session<'a> {
    place: &'a Place,
    /// Looked into before the path.
    programs: Option<&'a Path>,
    /// Of the present chapter: the commands, and what they printed.
    record: String,
    /// Chapters that are not as they were.
    changed: Vec<&'static str>,
}

impl<'a> Session<'a> {
    pub fn new(place: &'a Place) -> Session<'a> {
        Session::of(place, None)
    }

    /// With the programs of a directory before those on the path.
    pub fn of(place: &'a Place, programs: Option<&'a Path>) -> Session<'a> {
        Session {
            place,
            programs,
            record: String::new(),
            changed: Vec::new(),
        }
    }

    /// A shell for one line, in the directory of the manifests.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", line])
            .current_dir(MANIFESTS)
            .env("KUBECONFIG", self.place.lab("default").join("kubeconfig"))
            // What kubectl remembers of servers: the next one may have this one's port.
            .env("HOME", self.place.root())
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        if let Some(programs) = self.programs {
            let path = std::env::var("PATH").unwrap_or_default();
            shell.env("PATH", format!("{}:{path}", programs.display()));
        }
        shell
    }

    fn output(&self, line: &str) -> Output {
        self.shell(line).output().expect("sh runs")
    }

    /// Runs a line and records what it prints: its output, then its complaints.
    pub fn run(&mut self, line: &str) {
        let output = self.output(line);
        let _ = writeln!(self.record, "$ {line}");
        let (printed, complaint) = (text(&output.stdout), text(&output.stderr));
        self.record.push_str(&mask(&printed));
        self.record.push_str(&mask(&complaint));
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            let _ = writeln!(self.record, "[exit code {code}]");
        }
        self.record.push('\n');
    }

    pub fn run_all<const N: usize>(&mut self, lines: [&str; N]) {
        for line in lines {
            self.run(line);
        }
    }

    /// What a line prints that is not recorded and has to succeed.
    pub fn quietly(&self, line: &str) -> String {
        let output = self.output(line);
        let error = text(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        text(&output.stdout)
    }

    /// Waits until a line prints what it shall.
    pub fn until(&self, line: &str, wanted: impl Fn(&str) -> bool) {
        eventually(line, || {
            wanted(&text(&self.output(line).stdout)).then_some(())
        });
    }

    /// Records what a line prints while `during` runs, which is given what is there to wait with: up to
    /// the row that has `last` in it, as how much of the rest is seen is a matter of luck.
    pub fn watch(&mut self, line: &str, last: &str, during: impl FnOnce(&Session<'_>, &Watch)) {
        let watch = Watch::start(self.shell(&format!("exec {line}")));
        during(self, &watch);
        watch.wait_for(|printed| printed.contains(last));
        let printed = watch.end();
        let _ = writeln!(self.record, "$ {line}");
        // A change that no column shows is another row of the same.
        let mut rows: Vec<String> = mask(&printed).lines().map(str::to_owned).collect();
        rows.dedup();
        let end = rows.iter().position(|row| row.contains(last));
        rows.truncate(end.map_or(rows.len(), |end| end + 1));
        let _ = writeln!(self.record, "{}\n", rows.join("\n"));
    }

    /// Records what is answered at a pod's port that kubectl makes a local one.
    pub fn forward(&mut self, pod: &str, port: u16) {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let local = free.local_addr().expect("an address").port();
        drop(free);
        let line = format!("kubectl port-forward {pod} {local}:{port}");
        let watch = Watch::start(self.shell(&format!("exec {line}")));
        let said = format!("Forwarding from 127.0.0.1:{local} -> {port}");
        watch.wait_for(|printed| printed.contains(&said));
        let mut stream = TcpStream::connect(("127.0.0.1", local)).expect("connected");
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        watch.end();
        let line = line.replace(&local.to_string(), "<port>");
        let _ = writeln!(self.record, "$ {line}\n{}", mask(&said));
        let _ = writeln!(
            self.record,
            "$ curl localhost:<port>\n{}\n",
            body.trim_end()
        );
    }

    /// Compares what was recorded since the last chapter with the golden file of this one.
    pub fn chapter(&mut self, name: &'static str) {
        let record = std::mem::take(&mut self.record);
        let root = self.place.root().display().to_string();
        let record = record.replace(&root, "<home>");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new(GOLDEN));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        // The chapters after it are worth seeing too.
        let same = catch_unwind(AssertUnwindSafe(|| {
            settings.bind(|| insta::assert_snapshot!(name, record));
        }));
        if same.is_err() {
            self.changed.push(name);
        }
    }

    pub fn end(self) {
        let changed = self.changed;
        assert!(
            changed.is_empty(),
            "other than in tests/golden/kubectl: {changed:?}"
        );
    }
}

/// A line that goes on printing; it ends when it is dropped.
pub struct Watch {
    child: Child,
    printed: Arc<Mutex<String>>,
}

impl Watch {
    fn start(mut command: Command) -> Watch {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("sh runs");
        let stdout = child.stdout.take().expect("a pipe");
        let printed = Arc::new(Mutex::new(String::new()));
        let lines = printed.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut lines = lines.lock().expect("no panic");
                lines.push_str(&line);
                lines.push('\n');
            }
        });
        Watch { child, printed }
    }

    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) {
        eventually("the watched change", || {
            wanted(&self.printed.lock().expect("no panic")).then_some(())
        });
    }

    fn end(self) -> String {
        let printed = self.printed.clone();
        drop(self);
        let printed = printed.lock().expect("no panic");
        printed.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
