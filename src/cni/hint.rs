//! What the bridge remembers: whose it is, and which slot to try next.
//!
//! It is the bridge's alias, `podnet NETWORK next 17`. Nothing depends on the
//! number: without it, or with a wrong one, the search begins elsewhere and the
//! kernel still gives no name twice. With it, the slot that was freed last is the
//! last to be given again. The network keeps GC from another network's pods.

use std::fmt;

use crate::model::Slot;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub network: String,
    pub next: Slot,
}

impl Hint {
    /// `None` for a text that is none of ours.
    pub fn parse(alias: &str) -> Option<Hint> {
        let mut words = alias.split(' ');
        let (Some("podnet"), Some(network), Some("next"), Some(next), None) = (
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        ) else {
            return None;
        };
        Some(Hint {
            network: network.to_owned(),
            next: Slot::new(next.parse().ok()?)?,
        })
    }

    /// After `given`. The search itself goes round at the range's end.
    pub fn after(network: &str, given: Slot) -> Hint {
        Hint {
            network: network.to_owned(),
            next: Slot::new(given.offset().saturating_add(1)).unwrap_or(Slot::FIRST),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "podnet {} next {}", self.network, self.next.offset())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_strangers_alias_is_no_hint() {
        for alias in [
            "",
            "the bridge",
            "podnet a next 1",
            "podnet a next x",
            "podnet a next 2 3",
        ] {
            assert_eq!(Hint::parse(alias), None, "{alias}");
        }
    }

    proptest! {
        #[test]
        fn a_hint_is_read_as_it_is_written(network in "[a-z0-9][a-z0-9_.-]{0,40}", given in 2u32..) {
            let hint = Hint::after(&network, Slot::new(given).expect("a slot"));
            prop_assert_eq!(Hint::parse(&hint.to_string()), Some(hint));
        }
    }
}
