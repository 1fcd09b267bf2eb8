//! How many answers in a row count.

/// The state that a row of answers has led to.
#[derive(Clone, Debug)]
pub struct Threshold {
    success: u32,
    failure: u32,
    row: u32,
    last: Option<bool>,
    verdict: Option<bool>,
}

impl Threshold {
    /// So many in a row; each counts as 1 at least.
    pub fn new(success: u32, failure: u32) -> Threshold {
        Threshold {
            success: success.max(1),
            failure: failure.max(1),
            row: 0,
            last: None,
            verdict: None,
        }
    }

    /// The verdict, if this answer changes it.
    pub fn note(&mut self, good: bool) -> Option<bool> {
        self.row = match self.last == Some(good) {
            true => self.row.saturating_add(1),
            false => 1,
        };
        self.last = Some(good);
        let needed = if good { self.success } else { self.failure };
        if self.row < needed || self.verdict == Some(good) {
            return None;
        }
        self.verdict = Some(good);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The verdict is the last value that came often enough in a row.
        #[test]
        fn a_verdict_is_a_row_that_is_long_enough(
            success in 1u32..4, failure in 1u32..4, answers in prop::collection::vec(any::<bool>(), 0..40)
        ) {
            let mut threshold = Threshold::new(success, failure);
            let mut verdict = None;
            for end in 1..=answers.len() {
                let good = answers[end - 1];
                let row = answers[..end].iter().rev().take_while(|a| **a == good).count();
                let enough = row >= if good { success } else { failure } as usize;
                let expected = (enough && verdict != Some(good)).then_some(good);
                verdict = expected.or(verdict);
                prop_assert_eq!(threshold.note(good), expected);
            }
        }
    }
}
