//! The CNI plugin: attach and detach for any container runtime.
//!
//! CNI 1.1 and its configurations and results from 0.3.0 on, over the kernel and
//! address arithmetic alone: no server, no agent, no files. An allocation is the
//! name of a link, so there is no state that could disagree with the kernel.
//!
//! A request is the environment and standard input; an answer is what goes to
//! standard output, and the exit code. [`answer`] turns one into the other.

mod args;
mod config;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hint;
mod reaper;
mod result;
mod verbs;
mod version;

pub use args::{Environment, ExtraArguments};
pub use config::Config;
pub use error::CniError;
pub use reaper::{REAP, reap_when_quiet};
pub use result::AddResult;
pub use version::Version;

use serde_json::{Value, json};

/// What the plugin says to the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output; empty for a verb that answers with success alone.
    pub output: String,
    /// 0, or 1 with an error object in `output` (CNI 1.1 §2, "Error").
    pub exit_code: u8,
}

/// Carry out what the runtime asks for. The process is to have no other thread: this
/// one goes into the pod's namespace and comes back.
pub fn answer(environment: &Environment, input: &[u8]) -> Answer {
    let version = version::of_input(input);
    match verbs::run(environment, input) {
        Ok(None) => Answer {
            output: String::new(),
            exit_code: 0,
        },
        Ok(Some(value)) => Answer {
            output: format!("{value}\n"),
            exit_code: 0,
        },
        Err(error) => refusal(&version, &error),
    }
}

/// What there is to say when standard input cannot be read.
pub fn input_error(error: std::io::Error) -> Answer {
    refusal(Version::NEWEST.as_str(), &CniError::Input(error))
}

fn refusal(version: &str, error: &CniError) -> Answer {
    Answer {
        output: format!("{}\n", error_object(version, error)),
        exit_code: 1,
    }
}

fn error_object(version: &str, error: &CniError) -> Value {
    let mut object = json!({
        "cniVersion": version,
        "code": error.code(),
        "msg": error.to_string(),
    });
    if let Some(details) = error.details() {
        object["details"] = Value::String(details);
    }
    object
}
