//! Versions of the specification.

use std::fmt;

use serde_json::Value;

/// What the plugin can speak. Ordered: a later version can do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V030,
    V031,
    V040,
    V100,
    V110,
}

impl Version {
    /// Oldest first.
    pub const ALL: [Version; 5] = [
        Version::V030,
        Version::V031,
        Version::V040,
        Version::V100,
        Version::V110,
    ];
    /// The newest that the plugin can speak.
    pub const NEWEST: Version = Version::V110;

    pub fn as_str(self) -> &'static str {
        match self {
            Version::V030 => "0.3.0",
            Version::V031 => "0.3.1",
            Version::V040 => "0.4.0",
            Version::V100 => "1.0.0",
            Version::V110 => "1.1.0",
        }
    }

    pub fn parse(text: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.as_str() == text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version to answer in: the one that was asked in, whatever else is wrong
/// with the input, and the newest where there is none.
pub fn of_input(input: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(input).ok();
    let asked = value.as_ref().and_then(|v| v.get("cniVersion")?.as_str());
    asked.unwrap_or(Version::NEWEST.as_str()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_and_read_as_they_are_written() {
        for pair in Version::ALL.windows(2) {
            assert!(pair[0] < pair[1], "{} {}", pair[0], pair[1]);
        }
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()), Some(version));
        }
        for other in ["", "0.1.0", "0.2.0", "1.1", "v1.0.0", "1.2.0"] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_answer_is_in_the_version_asked_in() {
        assert_eq!(of_input(br#"{"cniVersion": "0.4.0", "x": 1}"#), "0.4.0");
        assert_eq!(of_input(b"no json"), "1.1.0");
        assert_eq!(of_input(b""), "1.1.0");
    }
}
