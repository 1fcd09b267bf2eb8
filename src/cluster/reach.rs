//! Whether the API answers.
//!
//! While it does not, everything that is asked of it fails, again and again. That is said once when it
//! begins and once when it is over, by whoever finds out first, and who waits to ask again is woken
//! then. What the API does answer, be it a refusal, is said each time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::ApiError;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What all who ask it know of it together; a clone knows the same.
#[derive(Clone, Default)]
pub struct Reach(Arc<watch::Sender<Option<Instant>>>);

/// Hears of it when the API answers again.
pub struct Regained(watch::Receiver<Option<Instant>>);

impl Reach {
    /// What came of a request.
    pub fn note<T>(&self, result: &Result<T, ApiError>) {
        match result {
            Ok(_) => self.answered(),
            Err(error) => self.failed(error),
        }
    }

    pub fn failed(&self, error: &ApiError) {
        if error.is_answer() {
            self.answered();
            return warn!("{error}");
        }
        if self.lose() {
            warn!("the API server is out of reach: {error}");
        }
    }

    pub fn answered(&self) {
        if let Some(seconds) = self.regain() {
            info!("the API server answers again, after {seconds} s");
        }
    }

    pub fn regained(&self) -> Regained {
        Regained(self.0.subscribe())
    }

    /// Ready while it is out of reach.
    pub async fn lost(&self) {
        let mut lost = self.0.subscribe();
        // It fails without a sender, and this is one.
        let _ = lost.wait_for(Option::is_some).await;
    }

    /// For as long, or until the API answers again; whether it was that.
    pub async fn pause(&self, pause: Duration) -> bool {
        let mut regained = self.regained();
        tokio::time::timeout(pause, regained.next()).await.is_ok()
    }

    /// Whether that is news.
    fn lose(&self) -> bool {
        self.0.send_if_modified(|lost| {
            let is_news = lost.is_none();
            lost.get_or_insert_with(Instant::now);
            is_news
        })
    }

    /// After how many seconds, if it was out of reach.
    fn regain(&self) -> Option<u64> {
        let mut since = None;
        self.0.send_if_modified(|lost| {
            since = lost.take();
            since.is_some()
        });
        since.map(|since| since.elapsed().as_secs())
    }
}

impl Regained {
    /// Cancel-safe.
    pub async fn next(&mut self) {
        // The sender may be gone; then there is nobody left to answer.
        while self.0.changed().await.is_ok() {
            if self.0.borrow_and_update().is_none() {
                return;
            }
        }
        std::future::pending().await
    }
}

/// How long to wait after so many failures in a row: 1, 2, 4 … 30 s, and up to a quarter more or less,
/// so that those who failed together do not ask together.
pub fn back_off(failures: u32) -> Duration {
    spread(failures, Timestamp::now().subsec_nanosecond())
}

/// `nanoseconds`: of the clock, which is chance enough.
fn spread(failures: u32, nanoseconds: i32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let chance = f64::from(nanoseconds.unsigned_abs()) / 1e9;
    doubled.min(LONGEST_PAUSE).mul_f64(0.75 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_news_once_and_the_end_wakes_who_waits() {
        let reach = Reach::default();
        assert_eq!(reach.regain(), None, "it was never lost");
        let mut regained = reach.regained();
        assert!(reach.lose());
        assert!(!reach.lose() && !reach.clone().lose(), "it is known");
        reach.lost().await;
        let hour = Duration::from_secs(3600);
        let (woken, ()) = tokio::join!(reach.pause(hour), async {
            assert_eq!(reach.regain(), Some(0));
        });
        assert!(woken);
        regained.next().await;
        assert_eq!(reach.regain(), None, "it is known");
        assert!(reach.lose(), "it begins again");
    }

    #[tokio::test]
    async fn what_was_lost_and_regained_unseen_is_heard_of() {
        let reach = Reach::default();
        let mut regained = reach.regained();
        reach.lose();
        reach.regain();
        regained.next().await;
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let seconds = |failures| spread(failures, 500_000_000).as_secs();
        let pauses: Vec<u64> = (1..=7).map(seconds).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(seconds(u32::MAX), 30);
        assert_eq!(spread(1, 0), Duration::from_millis(750));
        assert!(spread(1, 999_999_999) < Duration::from_millis(1250));
    }
}
