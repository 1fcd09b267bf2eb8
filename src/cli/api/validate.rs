//! `--validate`: what the server does with fields that it does not know.

use anyhow::bail;

#[derive(Debug, clap::Args)]
pub struct ValidateArg {
    /// What fields are that do not exist: an error (strict), a warning (warn), nothing (ignore)
    #[arg(long, default_value = "strict", num_args = 0..=1, default_missing_value = "strict",
        require_equals = true, value_name = "HOW")]
    validate: String,
}

impl ValidateArg {
    /// The value of `fieldValidation` in a URL.
    pub fn parameter(&self) -> anyhow::Result<&'static str> {
        Ok(match self.validate.to_lowercase().as_str() {
            "strict" | "true" => "Strict",
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            _ => bail!(
                "invalid - validate option {:?}; must be one of: strict (or true), warn, ignore (or false)",
                self.validate
            ),
        })
    }
}
