//! netexec's `/shell`: runs a command in the container.
//!
//! What the command leaves running is not reaped when it ends: this process
//! waits for the commands it started itself, and for no others.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::{Map, Value};

use super::super::http::{Request, Response};
use super::log;

const SHELL: &str = "/bin/sh";
/// Bytes of output that are told; the rest is read and dropped.
const OUTPUT_MAX: u64 = 1024 * 1024;

pub fn answer(request: &Request) -> Response {
    let command = match request.value("shellCommand") {
        command if command.is_empty() => request.value("cmd"),
        command => command,
    };
    log(&format!("GET /shell?cmd={command}"));
    let mut report = Map::new();
    let error = match run(&command) {
        Ok((output, status)) => {
            if !output.is_empty() {
                report.insert("output".to_owned(), output.into());
            }
            failure(status)
        }
        Err(error) => Some(format!("{SHELL}: {error}")),
    };
    if let Some(error) = error {
        report.insert("error".to_owned(), error.into());
    }
    let report = Value::from(report).to_string();
    log(&format!("Output: {report}"));
    Response::ok(report)
}

/// What it wrote to both its outputs, in the order it did.
fn run(command: &str) -> io::Result<(String, ExitStatus)> {
    let (mut reader, writer) = io::pipe()?;
    let mut child = Command::new(SHELL)
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    // The builder, and with it our copies of the pipe's end, is gone: it ends with the command.
    let mut output = Vec::new();
    let read = (&mut reader).take(OUTPUT_MAX).read_to_end(&mut output);
    let read = read.and_then(|_| io::copy(&mut reader, &mut io::sink()));
    let status = child.wait()?;
    read?;
    Ok((String::from_utf8_lossy(&output).into_owned(), status))
}

/// In Go's words.
fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, Some(signal)) => Some(format!("signal: {signal}")),
        (None, None) => Some(status.to_string()),
    }
}
