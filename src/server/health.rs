//! `/healthz`, `/livez`, `/readyz` and the checks below them, as kube-apiserver answers them
//! (`apiserver/pkg/server/healthz`).

use std::fmt::Write;

/// How the server is.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// What is written reaches the disk.
    pub store: bool,
    pub stopping: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Health {
    pub is_well: bool,
    pub text: String,
}

/// `None` for a path that is no check. A query of `verbose` lists the checks, `exclude=NAME` leaves
/// one out.
pub fn answer(path: &str, query: &str, state: State) -> Option<Health> {
    let (endpoint, one) = match path.strip_prefix('/')?.split_once('/') {
        Some((endpoint, one)) => (endpoint, Some(one)),
        None => (path.strip_prefix('/')?, None),
    };
    // A server that stops is alive, and not to be asked any more.
    let shutdown = ("shutdown", !state.stopping);
    let checks: &[(&str, bool)] = match endpoint {
        "healthz" | "livez" => &[("ping", true), ("store", state.store)],
        "readyz" => &[("ping", true), ("store", state.store), shutdown],
        _ => return None,
    };
    match one {
        None => Some(all(endpoint, query, checks)),
        Some(one) => {
            let (_, is_well) = checks.iter().find(|(name, _)| *name == one)?;
            Some(Health {
                is_well: *is_well,
                text: match is_well {
                    true => "ok".into(),
                    false => format!("internal server error: {one} failed\n"),
                },
            })
        }
    }
}

fn all(endpoint: &str, query: &str, checks: &[(&str, bool)]) -> Health {
    let parameters = || form_urlencoded::parse(query.as_bytes());
    let is_excluded =
        |name: &str| parameters().any(|(key, value)| key == "exclude" && value == name);
    let is_well = checks
        .iter()
        .all(|(name, is_well)| *is_well || is_excluded(name));
    if is_well && !parameters().any(|(key, _)| key == "verbose") {
        return Health {
            is_well,
            text: "ok".into(),
        };
    }
    let mut text = String::new();
    for (name, is_well) in checks {
        let line = match (is_excluded(name), is_well) {
            (true, _) => format!("[+]{name} excluded: ok"),
            (false, true) => format!("[+]{name} ok"),
            (false, false) => format!("[-]{name} failed: reason withheld"),
        };
        // Writing to a text does not fail.
        let _ = writeln!(text, "{line}");
    }
    let outcome = if is_well { "passed" } else { "failed" };
    let _ = writeln!(text, "{endpoint} check {outcome}");
    Health { is_well, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: State = State {
        store: true,
        stopping: false,
    };

    fn text(path: &str, query: &str, state: State) -> Option<(bool, String)> {
        answer(path, query, state).map(|health| (health.is_well, health.text))
    }

    #[test]
    fn a_server_that_is_well_says_ok() {
        for path in [
            "/healthz",
            "/livez",
            "/readyz",
            "/readyz/ping",
            "/livez/store",
        ] {
            assert_eq!(text(path, "", WELL), Some((true, "ok".into())), "{path}");
        }
        assert_eq!(
            text("/readyz", "verbose", WELL).unwrap().1,
            "[+]ping ok\n[+]store ok\n[+]shutdown ok\nreadyz check passed\n"
        );
        for path in [
            "/readyz/etcd",
            "/livez/shutdown",
            "/health",
            "/readyz/ping/x",
        ] {
            assert_eq!(text(path, "", WELL), None, "{path}");
        }
    }

    #[test]
    fn a_check_that_fails_is_named() {
        let full = State {
            store: false,
            ..WELL
        };
        let said = "[+]ping ok\n[-]store failed: reason withheld\nlivez check failed\n";
        assert_eq!(text("/livez", "", full), Some((false, said.into())));
        assert_eq!(text("/livez/ping", "", full), Some((true, "ok".into())));
        assert!(!text("/livez/store", "", full).unwrap().0);
        assert_eq!(
            text("/livez", "exclude=store", full),
            Some((true, "ok".into()))
        );
        let stopping = State {
            stopping: true,
            ..WELL
        };
        assert!(text("/livez", "", stopping).unwrap().0);
        assert!(!text("/readyz", "", stopping).unwrap().0);
    }
}
