//! Waiting longer each time, as the kubelet does
//! (`client-go/util/flowcontrol/backoff.go`): the first start after an end is
//! not put off; each one after it waits twice as long as the one before.

use jiff::{SignedDuration, Timestamp};

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(300);

/// How fast the pauses go: what the kubelet waits, times a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// `scale` is from just above 0 to 1, the kubelet's own pace.
    pub fn new(scale: f64) -> Pace {
        Pace(scale)
    }

    fn scaled(self, duration: SignedDuration) -> SignedDuration {
        SignedDuration::try_from_secs_f64(duration.as_secs_f64() * self.0).unwrap_or(duration)
    }

    pub fn first(self) -> SignedDuration {
        self.scaled(FIRST)
    }

    pub fn longest(self) -> SignedDuration {
        self.scaled(LONGEST)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BackOff {
    /// The pause that the latest step came to, and when that was; `None`: no step yet.
    step: Option<(SignedDuration, Timestamp)>,
}

impl BackOff {
    /// When it may be tried again after it failed at `failed`.
    pub fn due(&self, failed: Timestamp, pace: Pace) -> Timestamp {
        match self.step {
            Some((pause, _)) if !self.is_over(failed, pace) => later(failed, pause),
            _ => failed,
        }
    }

    /// It is tried again now: the next pause is longer.
    pub fn step(&mut self, failed: Timestamp, now: Timestamp, pace: Pace) -> SignedDuration {
        let pause = match self.step {
            Some((pause, _)) if !self.is_over(failed, pace) => (pause * 2).min(pace.longest()),
            _ => pace.first(),
        };
        self.step = Some((pause, now));
        pause
    }

    /// The pause that counts now.
    pub fn pause(&self) -> SignedDuration {
        self.step.map_or(SignedDuration::ZERO, |(pause, _)| pause)
    }

    /// It went well for twice the longest pause.
    fn is_over(&self, failed: Timestamp, pace: Pace) -> bool {
        self.step
            .is_some_and(|(_, at)| failed.duration_since(at) > pace.longest() * 2)
    }
}

/// A time no clock overflows.
pub fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
