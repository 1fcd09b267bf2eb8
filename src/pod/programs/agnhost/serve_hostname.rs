//! `agnhost serve-hostname`: says which pod this is, over HTTP, or over bare TCP
//! and UDP.
//!
//! Told to end, it ends; the original first waits a minute for its pod to go.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use super::super::end::End;
use super::super::flags::Flag;
use super::super::http::{Request, Response, Server};
use super::super::{ProgramError, hostname, listen};
use super::{address, log, only_flags};

const FLAGS: [Flag; 5] = [
    Flag::Switch("tcp"),
    Flag::Switch("udp"),
    Flag::Switch("http"),
    Flag::Switch("close"),
    Flag::Value("port"),
];
const PORT: u16 = 9376;
/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    let flags = only_flags("serve-hostname", &FLAGS, args)?;
    let (tcp, udp) = (flags.switch("tcp", false)?, flags.switch("udp", false)?);
    let http = flags.switch("http", true)?;
    let close = flags.switch("close", false)?;
    let port = flags.port("port", PORT)?;
    if http && (tcp || udp) {
        return Err(ProgramError::Usage(
            "agnhost serve-hostname cannot serve HTTP and bare TCP or UDP at once: \
             add --http=false"
                .to_owned(),
        ));
    }
    let mut end = End::expect(&[])?;
    if tcp {
        let listener = listen::tcp(port)?;
        serve("answers over TCP", move || serve_tcp(&listener))?;
    }
    if udp {
        let socket = listen::udp(None, port)?;
        serve("answers over UDP", move || serve_udp(&socket))?;
    }
    if http {
        Server::start(listen::tcp(port)?, move |request: &Request| {
            log(&format!(
                "HTTP request from {}",
                address::canonical(request.peer)
            ));
            let mut response = Response::ok(hostname());
            response.close = close;
            response
        })?;
    }
    log(&format!("Serving on port {port}."));
    let signal = end.next();
    log(&format!("Shutting down after receiving signal: {signal}."));
    Ok(0)
}

fn serve(what: &'static str, body: impl FnOnce() + Send + 'static) -> Result<(), ProgramError> {
    let thread = thread::Builder::new().spawn(body);
    thread
        .map(drop)
        .map_err(|source| ProgramError::Thread { what, source })
}

fn serve_tcp(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((mut stream, peer)) => {
                log(&format!("TCP request from {}", address::canonical(peer)));
                // Fits into the socket's buffer, so no client can hold up the next; one
                // that is gone needs no answer.
                let _ = stream.write_all(hostname().as_bytes());
            }
            Err(error) => {
                log(&format!("accept a connection: {error}"));
                thread::sleep(PAUSE);
            }
        }
    }
}

fn serve_udp(socket: &UdpSocket) {
    loop {
        match socket.recv_from(&mut [0; 16]) {
            Ok((_, peer)) => {
                log(&format!("UDP request from {}", address::canonical(peer)));
                if let Err(error) = socket.send_to(hostname().as_bytes(), peer) {
                    log(&format!("answer {peer} over UDP: {error}"));
                }
            }
            Err(error) => {
                log(&format!("receive a datagram: {error}"));
                thread::sleep(PAUSE);
            }
        }
    }
}
