//! A terminal or pipe here, joined to a program in a pod: what `exec` and `attach` share.
//!
//! The two directions are independent, so that neither can hold up the other:
//! a program that writes while it is written to is an ordinary filter.

use std::io::{self, IsTerminal, Read, Write};
use std::thread;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Request;
use kube::Client;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::explain;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
const BLOCK_BYTES: usize = 32 << 10;

pub type Socket =
    tokio_tungstenite::WebSocketStream<hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>>;

/// What of a program is wanted, besides its output.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wanted {
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// It has a terminal
    #[arg(short, long)]
    pub tty: bool,
}

impl Wanted {
    /// A terminal is nothing without one here; kubectl goes on without, too.
    pub fn settled(mut self, is_quiet: bool) -> Wanted {
        if self.tty && !(self.stdin && io::stdin().is_terminal()) {
            if self.stdin && !is_quiet {
                eprintln!(
                    "Unable to use a TTY - input is not a terminal or the right kind of file"
                );
            }
            self.tty = false;
        }
        self
    }

    /// As query parameters. What a program says on its terminal is all one.
    pub fn query(self, has_terminal: bool) -> String {
        let Wanted { stdin, tty } = self;
        format!(
            "stdin={stdin}&stdout=true&stderr={}&tty={tty}",
            !has_terminal
        )
    }
}

/// A WebSocket to what is at `path`, or the server's own words on why there is none.
pub async fn open(client: &Client, path: &str) -> anyhow::Result<Socket> {
    let request = || Request::get(path).body(Vec::new());
    match client.connect(request()?).await {
        Ok(connection) => Ok(connection.into_stream()),
        Err(kube::Error::UpgradeConnection(refused)) => {
            // Asked without an upgrade, nothing can begin, and the reason is told.
            match client.request_text(request()?).await {
                Err(error @ kube::Error::Api(_)) => Err(explain(error)),
                _ => Err(refused.into()),
            }
        }
        Err(error) => Err(explain(error)),
    }
}

/// Carries everything until the program has ended; how, as a `metav1.Status`.
pub async fn run(client: &Client, path: &str, wanted: Wanted) -> anyhow::Result<Value> {
    let (mut sink, mut source) = open(client, path).await?.split();
    let raw = wanted.tty.then(Raw::enter).transpose()?;
    let (messages, mut outgoing) = mpsc::channel::<Message>(1);
    if wanted.stdin {
        let messages = messages.clone();
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || type_in(&messages))
            .context("cannot read standard input")?;
    }
    let resized = match raw {
        Some(_) => Some(signal(SignalKind::window_change())?),
        None => None,
    };
    let said = async {
        let sent = async {
            while let Some(message) = outgoing.recv().await {
                // One that is gone is noticed where its answer is read.
                if sink.send(message).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(sent, tell_sizes(resized, messages));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        status = hear(&mut source) => status,
        () = said => bail!("there is nothing more to say"),
    }
}

/// The exit code for a program that ended so.
///
/// # Errors
/// For one that was not run; in the words of who could not.
pub fn exit_code(status: &Value) -> anyhow::Result<u8> {
    if status["status"] == "Success" {
        return Ok(0);
    }
    let message = status["message"].as_str().unwrap_or_default();
    if status["reason"] != "NonZeroExitCode" {
        bail!("{message}");
    }
    let causes = status["details"]["causes"].as_array();
    let cause = causes
        .into_iter()
        .flatten()
        .find(|cause| cause["reason"] == "ExitCode");
    let code = cause.and_then(|cause| cause["message"].as_str()?.parse::<i32>().ok());
    let code = code.with_context(|| format!("no exit code in {status}"))?;
    eprintln!("command terminated with exit code {code}");
    // As a shell would see it.
    Ok((code & 0xff).try_into().unwrap_or(1))
}

/// Standard input, to the program. On a thread of its own, which nobody waits for: a read from a
/// terminal cannot be called off.
fn type_in(messages: &mpsc::Sender<Message>) {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let message = match io::stdin().read(&mut block) {
            Ok(count @ 1..) => on_channel(STDIN, &block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => on_channel(CLOSE, &[STDIN]),
        };
        let last = message.first() == Some(&CLOSE);
        if messages.blocking_send(Message::Binary(message)).is_err() || last {
            return;
        }
    }
}

/// The terminal's size, now and whenever it changes.
async fn tell_sizes(resized: Option<Signal>, messages: mpsc::Sender<Message>) {
    let Some(mut resized) = resized else {
        return;
    };
    loop {
        if let Ok(size) = tcgetwinsize(io::stdin()) {
            let size = json!({"Width": size.ws_col, "Height": size.ws_row}).to_string();
            let message = Message::Binary(on_channel(RESIZE, size.as_bytes()));
            if messages.send(message).await.is_err() {
                return;
            }
        }
        if resized.recv().await.is_none() {
            return;
        }
    }
}

/// What the program says, until it has ended.
async fn hear(source: &mut futures::stream::SplitStream<Socket>) -> anyhow::Result<Value> {
    while let Some(message) = source.next().await {
        let Message::Binary(message) = message.context("the connection broke off")? else {
            continue;
        };
        match message.first() {
            Some(&STDOUT) => print(io::stdout(), message.slice(1..)).await?,
            Some(&STDERR) => print(io::stderr(), message.slice(1..)).await?,
            Some(&STATUS) => return Ok(serde_json::from_slice(&message[1..])?),
            _ => {}
        }
    }
    bail!("the connection ended before the program did")
}

/// Writes all of it, and waits for whoever reads it; all else goes on meanwhile.
pub async fn print(mut to: impl Write + Send + 'static, bytes: Bytes) -> io::Result<()> {
    let write = move || to.write_all(&bytes).and_then(|()| to.flush());
    tokio::task::spawn_blocking(write)
        .await
        .map_err(io::Error::other)?
}

pub fn on_channel(channel: u8, data: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(data.len() + 1);
    message.push(channel);
    message.extend_from_slice(data);
    message.into()
}

/// This terminal, as long as it passes every key on; then as it was.
struct Raw(Termios);

impl Raw {
    fn enter() -> anyhow::Result<Raw> {
        let before = tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)
            .context("cannot make the terminal pass keys on")?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_exit_code_is_passed_on() {
        let failure = |code: &str| {
            json!({"status": "Failure", "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code}]}})
        };
        assert_eq!(exit_code(&json!({"status": "Success"})).unwrap(), 0);
        assert_eq!(exit_code(&failure("137")).unwrap(), 137);
        assert!(exit_code(&failure("many")).is_err());
        let status = json!({"status": "Failure", "reason": "InternalError", "message": "no sh"});
        assert_eq!(exit_code(&status).unwrap_err().to_string(), "no sh");
    }
}
