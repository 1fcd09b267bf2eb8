//! `agnhost porter`: on each port N for which there is a `SERVE_PORT_N` in its
//! environment, answers what that says.

use super::super::end::End;
use super::super::http::{Request, Response, Server};
use super::super::{ProgramError, listen};
use super::{log, only_flags};

const PLAIN: &str = "SERVE_PORT_";
/// What podnet's agnhost does not speak.
const OTHERS: [&str; 2] = ["SERVE_TLS_PORT_", "SERVE_SCTP_PORT_"];

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    only_flags("porter", &[], args)?;
    let environment = std::env::vars_os().filter_map(|(key, value)| {
        let value = value.to_string_lossy().into_owned();
        key.into_string().ok().map(|key| (key, value))
    });
    let ports = ports(environment)?;
    let mut end = End::expect(&[])?;
    for (port, text) in ports {
        Server::start(listen::tcp(port)?, move |_: &Request| {
            Response::ok(text.clone())
        })?;
        log(&format!("Serving on port {port}."));
    }
    end.next();
    Ok(0)
}

/// What is to be answered where.
fn ports(
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(u16, String)>, ProgramError> {
    let mut ports = Vec::new();
    for (key, value) in environment {
        if OTHERS.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(ProgramError::Usage(format!(
                "{key}: podnet's agnhost has neither TLS nor SCTP; use {PLAIN}N"
            )));
        }
        let Some(port) = key.strip_prefix(PLAIN) else {
            continue;
        };
        let port = port.parse().map_err(|_| {
            ProgramError::Usage(format!("{key}: {port:?} is no number up to 65535"))
        })?;
        ports.push((port, value));
    }
    if ports.is_empty() {
        return Err(ProgramError::Usage(format!(
            "agnhost porter has no port to serve: set {PLAIN}N to what port N answers"
        )));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports_of(environment: &[(&str, &str)]) -> Result<Vec<(u16, String)>, String> {
        let pairs = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        ports(pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn ports_come_from_the_environment() {
        let found = ports_of(&[
            ("PATH", "/"),
            ("SERVE_PORT_80", "foo"),
            ("SERVE_PORT_81", ""),
        ]);
        assert_eq!(found, Ok(vec![(80, "foo".to_owned()), (81, String::new())]));
        for wrong in [
            "PATH",
            "SERVE_PORT_http",
            "SERVE_TLS_PORT_1",
            "SERVE_SCTP_PORT_1",
        ] {
            assert!(ports_of(&[(wrong, "x")]).is_err(), "{wrong}");
        }
    }
}
