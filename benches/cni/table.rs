//! Samples of calls, and how two sides of them are shown.

use std::time::Duration;

#[derive(Default)]
pub struct Samples {
    calls: Vec<Duration>,
    /// How long all of them took together.
    elapsed: Duration,
}

impl Samples {
    pub fn push(&mut self, sample: Duration) {
        self.calls.push(sample);
    }

    pub fn took(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    pub fn extend(&mut self, other: Samples) {
        self.calls.extend(other.calls);
        self.elapsed += other.elapsed;
    }

    pub fn median(&self) -> Duration {
        self.quantile(50)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.calls.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let found = sorted.get(last * percent / 100);
        found.copied().unwrap_or_default()
    }

    fn per_second(&self) -> f64 {
        self.calls.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn plain(&self, what: &str) -> String {
        format!("{what:<28} {:>8.2} ms", ms(self.median()))
    }

    pub fn against(&self, what: &str, most: Duration) -> String {
        judged(what, self.median(), most)
    }
}

pub fn judged(what: &str, median: Duration, most: Duration) -> String {
    let verdict = verdict(most.as_secs_f64() / median.as_secs_f64());
    format!(
        "{what:<28} {:>8.2} ms  (at most {:.2})  {verdict}",
        ms(median),
        ms(most)
    )
}

pub fn size(what: &str, bytes: u64, most: u64) -> String {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let verdict = verdict(mb(most) / mb(bytes));
    format!(
        "{what:<28} {:>8.2} MB  (at most {:.2})  {verdict}",
        mb(bytes),
        mb(most)
    )
}

/// One verb under one load.
#[derive(Default)]
pub struct Row {
    pub ours: Samples,
    pub reference: Samples,
}

impl Row {
    pub const HEAD: &str = "what                  ours p50      p99    per s   | bridge+host-local \
                            p50      p99    per s   | times as fast (p50, per s)";

    /// By how many times ours is as fast once so many lines of the kernel's log, which
    /// take `line` each, are taken off a call.
    pub fn without(&self, line: Duration, ours: u32, theirs: u32) -> f64 {
        let rest = |side: &Samples, lines: u32| side.median().saturating_sub(line * lines);
        rest(&self.reference, theirs).as_secs_f64() / rest(&self.ours, ours).as_secs_f64()
    }

    /// Medians and rates are both to reach `target`.
    pub fn line(&self, what: &str, target: f64) -> String {
        let (ours, reference) = (&self.ours, &self.reference);
        let by_median = reference.median().as_secs_f64() / ours.median().as_secs_f64();
        let by_rate = ours.per_second() / reference.per_second();
        let side = |s: &Samples| {
            format!(
                "{:>8.2} {:>8.2} {:>8.0}",
                ms(s.median()),
                ms(s.quantile(99)),
                s.per_second()
            )
        };
        format!(
            "{what:<21} {}   |             {}   | {by_median:.1} {by_rate:.1}  (at least {target})  {}",
            side(ours),
            side(reference),
            verdict(by_median.min(by_rate) / target)
        )
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// `reached` is 1 where the target is just reached, and more beyond it.
fn verdict(reached: f64) -> String {
    match reached >= 1.0 {
        true => "ok".to_owned(),
        false => format!("target missed by {:.0} %", (1.0 / reached - 1.0) * 100.0),
    }
}
