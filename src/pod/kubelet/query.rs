//! What a request asks for, read from its path and query.
//!
//! `/pods/UID/log/CONTAINER`, `/pods/UID/exec/CONTAINER`, `/pods/UID/attach/CONTAINER` and
//! `/pods/UID/portforward`, with the query parameters that the Kubernetes API has for them.

use jiff::{SignedDuration, Timestamp};

use super::status::Failure;
use crate::pod::logs::{LogOptions, Run};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A file name, so that it cannot lead out of the directory of all pods.
    pub uid: String,
    pub ask: Ask,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Log {
        container: String,
        run: Run,
        options: LogOptions,
    },
    Exec {
        container: String,
        command: Vec<String>,
        streams: Streams,
    },
    Attach {
        container: String,
        streams: Streams,
    },
    /// Ports for a client that names them here, and not stream by stream.
    PortForward {
        ports: Vec<u16>,
    },
}

/// Which of a program's streams the client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Ask {
    /// Those of the program, where one is asked for.
    pub fn streams(&self) -> Streams {
        match self {
            Ask::Exec { streams, .. } | Ask::Attach { streams, .. } => *streams,
            Ask::Log { .. } | Ask::PortForward { .. } => Streams::default(),
        }
    }
}

impl Query {
    /// # Errors
    /// 404 for a path that is none of these, 400 for a parameter that makes no sense.
    pub fn parse(path: &str, query: &str, now: Timestamp) -> Result<Query, Failure> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (uid, ask) = match parts[..] {
            ["pods", uid, "log", container] => (uid, log(file_name(container)?, query, now)?),
            ["pods", uid, "exec", container] => (uid, exec(file_name(container)?, query)?),
            ["pods", uid, "attach", container] => {
                let container = file_name(container)?;
                let streams = streams(query)?;
                (uid, Ask::Attach { container, streams })
            }
            ["pods", uid, "portforward"] => (uid, port_forward(query)?),
            _ => return Err(Failure::not_found("there is nothing at this path")),
        };
        let uid = file_name(uid)?;
        Ok(Query { uid, ask })
    }
}

fn file_name(text: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(Failure::bad(format!("{text:?} is no name"))),
    }
}

fn log(container: String, query: &str, now: Timestamp) -> Result<Ask, Failure> {
    let (mut options, mut run) = (LogOptions::default(), Run::Current);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.as_ref();
        match key.as_ref() {
            "follow" => options.follow = flag(&key, value)?,
            "timestamps" => options.timestamps = flag(&key, value)?,
            "previous" if flag(&key, value)? => run = Run::Previous,
            "tailLines" => options.tail = Some(number(&key, value)?),
            "limitBytes" => options.limit_bytes = Some(number(&key, value)?),
            "sinceSeconds" | "sinceTime" if options.since.is_some() => {
                let text = "at most one of sinceTime or sinceSeconds may be specified";
                return Err(Failure::bad(text));
            }
            "sinceSeconds" => {
                let ago = SignedDuration::from_secs(number(&key, value)?);
                options.since = Some(now.checked_sub(ago).unwrap_or(Timestamp::MIN));
            }
            "sinceTime" => {
                let time = value.parse();
                options.since = Some(time.map_err(|_| invalid(&key, value, "an RFC 3339 time"))?);
            }
            _ => {}
        }
    }
    // What has ended does not go on.
    options.follow &= run == Run::Current;
    Ok(Ask::Log {
        container,
        run,
        options,
    })
}

fn exec(container: String, query: &str) -> Result<Ask, Failure> {
    let command: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == "command")
        .map(|(_, value)| value.into_owned())
        .collect();
    if command.is_empty() {
        return Err(Failure::bad("you must specify a command to run"));
    }
    Ok(Ask::Exec {
        container,
        command,
        streams: streams(query)?,
    })
}

fn streams(query: &str) -> Result<Streams, Failure> {
    let mut streams = Streams::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let stream = match key.as_ref() {
            "stdin" => &mut streams.stdin,
            "stdout" => &mut streams.stdout,
            "stderr" => &mut streams.stderr,
            "tty" => &mut streams.tty,
            _ => continue,
        };
        *stream = flag(&key, &value)?;
    }
    if streams.tty && streams.stderr {
        return Err(Failure::bad("tty and stderr cannot both be true"));
    }
    if !streams.stdin && !streams.stdout && !streams.stderr {
        let text = "you must specify at least 1 of stdin, stdout, stderr";
        return Err(Failure::bad(text));
    }
    Ok(streams)
}

fn port_forward(query: &str) -> Result<Ask, Failure> {
    let mut ports = Vec::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == "ports" {
            for port in value.split(',') {
                match port.parse() {
                    // Each has two of the 255 channels.
                    Ok(port) if port > 0 && ports.len() < 100 => ports.push(port),
                    _ => return Err(invalid(&key, port, "a port")),
                }
            }
        }
    }
    Ok(Ask::PortForward { ports })
}

fn flag(key: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid(key, value, "true or false")),
    }
}

fn number<T: std::str::FromStr + PartialOrd + From<u8>>(
    key: &str,
    value: &str,
) -> Result<T, Failure> {
    match value.parse() {
        Ok(number) if number >= T::from(0) => Ok(number),
        _ => Err(invalid(key, value, "a number that is not negative")),
    }
}

fn invalid(key: &str, value: &str, expected: &str) -> Failure {
    Failure::bad(format!("invalid {key}: {value:?} is not {expected}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(uri: &str) -> Result<Query, Failure> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        Query::parse(path, query, Timestamp::from_second(1_000).unwrap())
    }

    #[test]
    fn a_log_is_asked_for_with_kubernetes_parameters() {
        let query = parse("/pods/u-1/log/web?follow=true&tailLines=3&sinceSeconds=100").unwrap();
        let Ask::Log { options, run, .. } = query.ask else {
            panic!("{query:?}");
        };
        assert_eq!((options.tail, options.follow), (Some(3), true));
        assert_eq!(options.since, Timestamp::from_second(900).ok());
        assert_eq!(run, Run::Current);
        for wrong in [
            "tailLines=-1",
            "limitBytes=x",
            "sinceTime=now",
            "follow=maybe",
        ] {
            let error = parse(&format!("/pods/u/log/web?{wrong}")).unwrap_err();
            assert_eq!(error.code, 400, "{wrong}");
        }
    }

    #[test]
    fn a_command_keeps_its_words() {
        let query = parse("/pods/u/exec/web?command=sh&command=-c&command=echo+a%26b&stdout=1");
        let Ask::Exec { command, .. } = query.unwrap().ask else {
            panic!("no exec");
        };
        assert_eq!(command, ["sh", "-c", "echo a&b"]);
        assert!(parse("/pods/u/exec/web?stdout=1").is_err());
        assert!(parse("/pods/u/exec/web?command=sh").is_err());
        assert!(parse("/pods/u/exec/web?command=sh&tty=1&stderr=1").is_err());
    }

    #[test]
    fn no_path_leads_out_of_the_pods_directory() {
        for path in [
            "/pods/../log/web",
            "/pods/u/log/..",
            "/pods//log/a",
            "/pods/u/log/a%2fb",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_uri_is_survived(uri in "(/pods/[a-z.%]{0,4}/(log|exec|attach)/a|\\PC*)\\?\\PC*") {
            if let Ok(query) = parse(&uri) {
                prop_assert!(!query.uid.contains('/') && !query.uid.starts_with('.'));
            }
        }
    }
}
