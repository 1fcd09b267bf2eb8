//! Times as people give them (`30s`, `1h30m`), and as kubectl shows them (`5m3s`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A negative one is this long.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long somebody is willing to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(Duration);

impl Patience {
    pub fn deadline(self) -> Instant {
        Instant::now() + self.0
    }

    /// To look once is enough.
    pub fn is_none(self) -> bool {
        self.0.is_zero()
    }

    /// Where 0 stands for ever.
    pub fn deadline_or_never(self) -> Option<Instant> {
        (!self.0.is_zero()).then(|| self.deadline())
    }
}

pub fn parse_patience(text: &str) -> Result<Patience, String> {
    let bare = matches!(text, "0" | "-1");
    let text = if bare {
        format!("{text}s")
    } else {
        text.to_owned()
    };
    let parsed: Result<SignedDuration, _> = text.parse();
    let parsed = parsed.map_err(|_| "it is no time such as 30s or 1h30m".to_owned())?;
    Ok(Patience(Duration::try_from(parsed).unwrap_or(WEEK)))
}

/// As [`parse_patience`], of somebody who cannot wait for nothing.
pub fn parse_positive(text: &str) -> Result<Patience, String> {
    let patience = parse_patience(text)?;
    match patience.is_none() || text.starts_with('-') {
        true => Err("it must be higher than zero".to_owned()),
        false => Ok(patience),
    }
}

/// How long ago something was, roughly: `5m3s`, `3d`.
pub fn since(time: Timestamp) -> String {
    roughly(Timestamp::now().duration_since(time).as_secs())
}

/// Two units where the first says little (`duration.HumanDuration`).
fn roughly(seconds: i64) -> String {
    let with_rest = |whole: i64, unit: &str, rest: i64, smaller: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{smaller}"),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => with_rest(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with_rest(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with_rest(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => with_rest(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubectl_shows_them() {
        for (seconds, shown) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3_600, "60m"),
            (11_000, "3h3m"),
            (100_000, "27h"),
            (200_000, "2d7h"),
            (1_000_000, "11d"),
            (70_000_000, "2y80d"),
            (400_000_000, "12y"),
        ] {
            assert_eq!(roughly(seconds), shown, "{seconds}");
        }
    }

    #[test]
    fn patience_is_given_as_to_kubectl() {
        assert_eq!(
            parse_patience("1h30m"),
            Ok(Patience(Duration::from_secs(5400)))
        );
        assert_eq!(parse_patience("0"), Ok(Patience(Duration::ZERO)));
        assert_eq!(parse_patience("-1s"), Ok(Patience(WEEK)));
        assert!(parse_patience("soon").is_err());
        assert_eq!(parse_positive("20s"), Ok(Patience(Duration::from_secs(20))));
        for none in ["0", "0s", "-1s", "soon"] {
            assert!(parse_positive(none).is_err(), "{none}");
        }
    }
}
