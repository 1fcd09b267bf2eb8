//! What went wrong, in kubectl's words: scripts look for them.

use std::fmt;

use kube::core::Status;
use kube::core::response::reason;

use super::http::Refusal;

/// Several failures of one command, each of which left the others alone.
#[derive(Debug, Default)]
pub struct Failures(Vec<anyhow::Error>);

impl Failures {
    pub fn add(&mut self, error: anyhow::Error) {
        self.0.push(error);
    }

    /// A success is passed on.
    pub fn keep<T>(&mut self, outcome: anyhow::Result<T>) -> Option<T> {
        outcome.map_err(|error| self.add(error)).ok()
    }

    /// What they say, without what they are.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|error| format!("{error:#}")).collect()
    }

    /// Drops those that are none after all.
    pub fn forgive(&mut self, is_fine: impl Fn(&anyhow::Error) -> bool) {
        self.0.retain(|error| !is_fine(error));
    }

    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// There are some.
    pub fn into_result(mut self) -> anyhow::Result<()> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(self.0.remove(0)),
            _ => Err(self.into()),
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(one_of_many).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Failures {}

/// The lines that end up on standard error.
pub fn told(error: &anyhow::Error) -> String {
    if let Some(failures) = error.downcast_ref::<Failures>() {
        return failures.to_string();
    }
    match error.downcast_ref::<Refusal>() {
        Some(Refusal(status)) if status.is_invalid() => invalid(status),
        Some(Refusal(status)) => refused(status),
        None => format!("error: {error:#}"),
    }
}

fn one_of_many(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal(status)) => refused(status),
        None => format!("{error:#}"),
    }
}

fn refused(status: &Status) -> String {
    match status.reason.as_str() {
        reason::UNAUTHORIZED => format!(
            "error: You must be logged in to the server ({})",
            status.message
        ),
        "" => format!("Error from server: {}", status.message),
        reason => format!("Error from server ({reason}): {}", status.message),
    }
}

fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else {
        return format!("The request is invalid: {}", status.message);
    };
    let mut text = match details.kind.is_empty() && details.name.is_empty() {
        true => "The request is invalid".to_owned(),
        false => format!("The {} {:?} is invalid", details.kind, details.name),
    };
    let causes: Vec<String> = details
        .causes
        .iter()
        .map(|cause| match cause.field.is_empty() {
            true => cause.message.clone(),
            false => format!("{}: {}", cause.field, cause.message),
        })
        .collect();
    match &causes[..] {
        [] if details.kind.is_empty() && details.name.is_empty() => {
            text += &format!(": {}", status.message);
        }
        [] => {}
        [only] => text += &format!(": {only}"),
        several => {
            text += ": ";
            for cause in several {
                text += &format!("\n* {cause}");
            }
        }
    }
    text
}

/// As an error about one of several files says which.
pub fn when(error: anyhow::Error, doing: &str, source: &str) -> anyhow::Error {
    match error.downcast::<Refusal>() {
        Ok(Refusal(mut status)) => {
            status.message = format!("error when {doing} {source:?}: {}", status.message);
            Refusal(status).into()
        }
        Err(other) => anyhow::anyhow!("error when {doing} {source:?}: {other:#}"),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    #[test]
    fn in_kubectl_s_words() {
        let missing = || Status::failure("pods \"a\" not found", "NotFound");
        let error = anyhow::Error::from(Refusal(missing()));
        assert_eq!(
            told(&error),
            "Error from server (NotFound): pods \"a\" not found"
        );
        assert_eq!(told(&anyhow::anyhow!("no file")), "error: no file");
        let mut failures = Failures::default();
        failures.add(Refusal(missing()).into());
        failures.add(anyhow::anyhow!("timed out"));
        assert_eq!(
            told(&failures.into_result().unwrap_err()),
            "Error from server (NotFound): pods \"a\" not found\ntimed out"
        );
        let cause = |field: &str| StatusCause {
            reason: String::new(),
            message: "Required value".to_owned(),
            field: field.to_owned(),
        };
        let mut details = StatusDetails {
            kind: "Pod".to_owned(),
            name: "a".to_owned(),
            group: String::new(),
            uid: String::new(),
            causes: vec![cause("spec.x")],
            retry_after_seconds: 0,
        };
        let status = |details: &StatusDetails| {
            let status = Status::failure("long", "Invalid").with_details(details.clone());
            told(&Refusal(status).into())
        };
        assert_eq!(
            status(&details),
            "The Pod \"a\" is invalid: spec.x: Required value"
        );
        details.causes.push(cause("spec.y"));
        assert_eq!(
            status(&details),
            "The Pod \"a\" is invalid: \n* spec.x: Required value\n* spec.y: Required value"
        );
    }
}
