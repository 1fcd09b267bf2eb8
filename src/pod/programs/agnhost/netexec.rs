//! `agnhost netexec`: HTTP and UDP servers with an endpoint for whatever a test
//! of a network wants to know.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use ::http::StatusCode;
use jiff::Timestamp;

use super::super::end::End;
use super::super::flags::{Flag, Flags, duration};
use super::super::http::{Request, Response, Server};
use super::super::{ProgramError, listen};
use super::{endpoints, log, only_flags};

const FLAGS: [Flag; 8] = [
    Flag::Value("http-port"),
    Flag::Value("udp-port"),
    Flag::Value("sctp-port"),
    Flag::Value("udp-listen-addresses"),
    Flag::Value("http-override"),
    Flag::Value("delay-shutdown"),
    Flag::Value("tls-cert-file"),
    Flag::Value("tls-private-key-file"),
];
const HTTP_PORT: u16 = 8080;
const UDP_PORT: u16 = 8081;
const DATAGRAM_MAX: usize = 2048;

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    let flags = only_flags("netexec", &FLAGS, args)?;
    refuse_what_is_not_here(&flags)?;
    let http_port = flags.port("http-port", HTTP_PORT)?;
    let delay = flags.seconds("delay-shutdown")?;
    let mut end = End::expect(&[])?;
    if let Some(port) = flags.port_or_off("udp-port", Some(UDP_PORT))? {
        for address in udp_addresses(&flags)? {
            serve_udp(listen::udp(address, port)?)?;
            let on = address.map_or(String::new(), |address| format!("{address} "));
            log(&format!("Started UDP server on port {on}{port}"));
        }
    }
    let netexec = Arc::new(Netexec {
        override_with: flags.text("http-override").map(split_override),
        told_to_end: AtomicBool::new(false),
        server: OnceLock::new(),
    });
    let answering = Arc::clone(&netexec);
    let listener = listen::tcp(http_port)?;
    log(&format!("Started HTTP server on port {http_port}"));
    let server = Server::start(listener, move |request| answering.answer(request))?;
    // Nobody else sets it.
    let _ = netexec.server.set(server);
    end.next();
    netexec.told_to_end.store(true, Ordering::Relaxed);
    if !delay.is_zero() {
        log(&format!(
            "Sleeping {} seconds before terminating...",
            delay.as_secs()
        ));
        thread::sleep(delay);
    }
    Ok(0)
}

fn refuse_what_is_not_here(flags: &Flags) -> Result<(), ProgramError> {
    let without = |what: &str| {
        Err(ProgramError::Usage(format!(
            "podnet's agnhost has no {what}; load the image itself for that"
        )))
    };
    let is_given = |flag| flags.text(flag).is_some_and(|file| !file.is_empty());
    if is_given("tls-cert-file") || is_given("tls-private-key-file") {
        return without("TLS (--tls-cert-file)");
    }
    if flags.port_or_off("sctp-port", None)?.is_some() {
        return without("SCTP (--sctp-port)");
    }
    Ok(())
}

/// `None` is all of them.
fn udp_addresses(flags: &Flags) -> Result<Vec<Option<IpAddr>>, ProgramError> {
    let text = flags.text("udp-listen-addresses").unwrap_or("");
    if text.is_empty() {
        return Ok(vec![None]);
    }
    let parse = |address: &str| {
        address.trim().parse().map(Some).map_err(|_| {
            ProgramError::Usage(format!("--udp-listen-addresses: {address:?} is no address"))
        })
    };
    let mut addresses: Vec<Option<IpAddr>> =
        text.split(',').map(parse).collect::<Result<_, _>>()?;
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn split_override(target: &str) -> (String, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_owned(), query.to_owned())
}

fn serve_udp(socket: UdpSocket) -> Result<(), ProgramError> {
    let answer = move || {
        let mut buffer = [0; DATAGRAM_MAX];
        loop {
            let (length, peer): (usize, SocketAddr) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) => {
                    log(&format!("receive a datagram: {error}"));
                    process::exit(1);
                }
            };
            if let Some(answer) = endpoints::datagram(&buffer[..length], peer)
                && let Err(error) = socket.send_to(answer.as_bytes(), peer)
            {
                log(&format!("answer {peer} over UDP: {error}"));
            }
        }
    };
    let thread = thread::Builder::new().spawn(answer);
    thread.map(drop).map_err(|source| ProgramError::Thread {
        what: "answers over UDP",
        source,
    })
}

struct Netexec {
    /// Path and query that are answered instead of those asked for.
    override_with: Option<(String, String)>,
    /// It was told to end, and takes its time.
    told_to_end: AtomicBool,
    server: OnceLock<Arc<Server>>,
}

impl Netexec {
    fn answer(&self, request: &Request) -> Response {
        if let Some((path, query)) = &self.override_with {
            let request = Request {
                method: "GET".to_owned(),
                path: path.clone(),
                query: query.clone(),
                headers: Vec::new(),
                peer: request.peer,
            };
            return self.route(&request);
        }
        self.route(request)
    }

    fn route(&self, request: &Request) -> Response {
        if request.path == "/readyz" {
            return self.ready();
        }
        match endpoints::answer(request, Timestamp::now()) {
            Some(response) => response,
            None if request.path == "/exit" => self.exit(request),
            None => {
                log("GET /shutdown");
                process::exit(0)
            }
        }
    }

    /// Not once it is about to end, so that it gets no more traffic.
    fn ready(&self) -> Response {
        log("GET /readyz");
        if self.told_to_end.load(Ordering::Relaxed) {
            Response::new(StatusCode::SERVICE_UNAVAILABLE, "shutting down")
        } else {
            Response::ok("ok")
        }
    }

    /// With no timeout the program is gone before it answers; with one, it answers
    /// and lets others be answered.
    fn exit(&self, request: &Request) -> Response {
        let value = |key| request.value(key);
        let (code, timeout, wait) = (value("code"), value("timeout"), value("wait"));
        log(&format!(
            "GET /exit?code={code}&timeout={timeout}&wait={wait}"
        ));
        let invalid = |name, what, text: &str| {
            Response::ok(format!(
                "argument '{name}' must be {what} or empty, got {text:?}\n"
            ))
        };
        let read = |text: &str| match text {
            "" => Some(Duration::ZERO),
            text => duration(text),
        };
        let a_duration = "a valid golang duration";
        let Some(patience) = read(&timeout) else {
            return invalid("timeout", a_duration, &timeout);
        };
        let Some(pause) = read(&wait) else {
            return invalid("wait", a_duration, &wait);
        };
        let code: i32 = match code.parse() {
            Ok(code) if (0..=127).contains(&code) => code,
            Err(_) if code.is_empty() => 0,
            _ => return invalid("code", "an integer [0-127]", &code),
        };
        log(&format!(
            "Will begin shutdown in {pause:?}, allowing {patience:?} for connections to close, \
             then will exit with {code}"
        ));
        thread::sleep(pause);
        match self.server.get() {
            Some(server) if !patience.is_zero() => exit_later(Arc::clone(server), patience, code),
            _ => process::exit(code),
        }
        Response::ok("")
    }
}

/// Beside the thread that asks for it, whose own answer is waited for.
fn exit_later(server: Arc<Server>, patience: Duration, code: i32) {
    let drain = move || {
        let all = server.drain(patience);
        let completed = if all { "all" } else { "not all" };
        log(&format!(
            "Graceful shutdown completed: {completed} requests were answered"
        ));
        process::exit(code)
    };
    if thread::Builder::new().spawn(drain).is_err() {
        process::exit(code);
    }
}
