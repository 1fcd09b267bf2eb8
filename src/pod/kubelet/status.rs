//! Outcomes, as the Kubernetes API writes them (`metav1.Status`).

use serde_json::{Value, json};

use crate::pod::protocol::Ended;

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Of HTTP.
    pub code: u16,
    reason: &'static str,
    message: String,
}

impl Failure {
    pub fn bad(message: impl Into<String>) -> Failure {
        Failure::new(400, "BadRequest", message)
    }

    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(404, "NotFound", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Failure {
        Failure::new(403, "Forbidden", message)
    }

    pub fn internal(message: impl Into<String>) -> Failure {
        Failure::new(500, "InternalError", message)
    }

    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            code,
            reason,
            message: message.into(),
        }
    }

    pub fn status(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {"causes": [{"message": self.message}]},
            "code": self.code,
        })
    }
}

pub fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

/// How a program ended that was run for a client.
pub fn of_exit(ended: &Ended) -> Value {
    if ended.exit_code == 0 {
        return success();
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code {}", ended.exit_code),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": ended.exit_code.to_string()}]},
    })
}
