//! Command lines as Go's pflag reads them: `--flag value`, `--flag=value`, and
//! switches as `--flag` or `--flag=false`. Also Go's durations.

use std::collections::HashMap;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("unknown flag: {0}")]
    Unknown(String),
    #[error("flag needs an argument: --{0}")]
    NoValue(&'static str),
    #[error("invalid argument {value:?} for --{flag}: it wants {wanted}")]
    Invalid {
        flag: &'static str,
        value: String,
        wanted: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `--NAME`, `--NAME=true`, `--NAME=false`.
    Switch(&'static str),
    /// `--NAME VALUE`, `--NAME=VALUE`.
    Value(&'static str),
}

impl Flag {
    fn name(self) -> &'static str {
        match self {
            Flag::Switch(name) | Flag::Value(name) => name,
        }
    }
}

#[derive(Debug, Default)]
pub struct Flags {
    /// The last of a flag counts.
    values: HashMap<&'static str, String>,
    /// What is no flag, in order; all that follows `--`.
    pub rest: Vec<String>,
}

impl Flags {
    pub fn parse(known: &[Flag], args: &[String]) -> Result<Flags, FlagError> {
        let mut flags = Flags::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                flags.rest.extend(args.cloned());
                break;
            }
            let Some(text) = arg.strip_prefix("--") else {
                if arg.len() > 1 && arg.starts_with('-') {
                    return Err(FlagError::Unknown(arg.clone()));
                }
                flags.rest.push(arg.clone());
                continue;
            };
            let (name, given) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            let Some(flag) = known.iter().find(|flag| flag.name() == name) else {
                return Err(FlagError::Unknown(format!("--{name}")));
            };
            let value = match (flag, given) {
                (_, Some(value)) => value,
                (Flag::Switch(_), None) => "true".to_owned(),
                (Flag::Value(name), None) => args.next().ok_or(FlagError::NoValue(name))?.clone(),
            };
            flags.values.insert(flag.name(), value);
        }
        Ok(flags)
    }

    pub fn text(&self, flag: &'static str) -> Option<&str> {
        self.values.get(flag).map(String::as_str)
    }

    pub fn switch(&self, flag: &'static str, default: bool) -> Result<bool, FlagError> {
        // As Go's strconv.ParseBool.
        let read = |text: &str| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        };
        self.read(flag, default, "true or false", read)
    }

    pub fn port(&self, flag: &'static str, default: u16) -> Result<u16, FlagError> {
        self.read(flag, default, "a port", |text| text.parse().ok())
    }

    /// `None` if it is -1, which switches off what listens there.
    pub fn port_or_off(
        &self,
        flag: &'static str,
        default: Option<u16>,
    ) -> Result<Option<u16>, FlagError> {
        self.read(flag, default, "a port, or -1 for none", |text| match text {
            "-1" => Some(None),
            text => text.parse().ok().map(Some),
        })
    }

    /// Whole seconds; none is zero.
    pub fn seconds(&self, flag: &'static str) -> Result<Duration, FlagError> {
        self.read(flag, Duration::ZERO, "a number of seconds", |text| {
            text.parse().ok().map(Duration::from_secs)
        })
    }

    /// None is zero.
    pub fn duration(&self, flag: &'static str) -> Result<Duration, FlagError> {
        self.read(flag, Duration::ZERO, "a duration such as 1m30s", duration)
    }

    fn read<T>(
        &self,
        flag: &'static str,
        default: T,
        wanted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, FlagError> {
        let Some(text) = self.text(flag) else {
            return Ok(default);
        };
        parse(text).ok_or_else(|| FlagError::Invalid {
            flag,
            value: text.to_owned(),
            wanted,
        })
    }
}

/// `1m30s`, `1.5h`, `300ms`, `0`: as Go's time.ParseDuration, but none before now.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let unit_end = after.find(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        sum = sum.checked_add(part(number, unit)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

fn part(number: &str, unit: &str) -> Option<Duration> {
    let nanoseconds: f64 = match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * nanoseconds / 1e9).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [Flag; 3] = [
        Flag::Switch("tcp"),
        Flag::Value("port"),
        Flag::Value("wait"),
    ];

    fn parse(line: &str) -> Result<Flags, FlagError> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse(&KNOWN, &args)
    }

    #[test]
    fn flags_are_read_as_pflag_reads_them() {
        let flags = parse("--port 1 a --tcp b --port=2 -- --wait").expect("flags");
        assert_eq!(flags.port("port", 9), Ok(2));
        assert_eq!(flags.switch("tcp", false), Ok(true));
        assert_eq!(flags.rest, ["a", "b", "--wait"]);
        let flags = parse("--tcp=false --port -1").expect("flags");
        assert_eq!(flags.switch("tcp", true), Ok(false));
        assert_eq!(flags.port_or_off("port", Some(1)), Ok(None));
        assert_eq!(flags.duration("wait"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refusal = |line: &str| parse(line).expect_err("refused").to_string();
        assert_eq!(refusal("--sctp"), "unknown flag: --sctp");
        assert_eq!(refusal("-p 1"), "unknown flag: -p");
        assert_eq!(refusal("--port"), "flag needs an argument: --port");
        let flags = parse("--port=65536 --wait=soon").expect("flags");
        let error = flags.port("port", 1).expect_err("refused").to_string();
        assert_eq!(
            error,
            r#"invalid argument "65536" for --port: it wants a port"#
        );
        assert!(flags.duration("wait").is_err());
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30.5s"), Some(Duration::from_millis(90_500)));
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for wrong in ["", "1", "s", ".s", "-1s", "1d", "1s ", "1e400h"] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_the_sum_of_its_parts(h in 0..9_u64, m in 0..99_u64, ms in 0..9_999_u64) {
            let sum = Duration::from_secs(h * 3600 + m * 60) + Duration::from_millis(ms);
            prop_assert_eq!(duration(&format!("{h}h{m}m{ms}ms")), Some(sum));
        }

        #[test]
        fn no_text_is_too_strange_for_a_duration(text in "[0-9.a-zµ]{0,12}") {
            let _ = duration(&text);
        }
    }
}
