//! Samples, and how they are shown.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

#[derive(Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub fn median(&self) -> Duration {
        self.quantile(50)
    }

    pub fn p99(&self) -> Duration {
        self.quantile(99)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted
            .get(last * percent / 100)
            .copied()
            .unwrap_or_default()
    }
}

pub enum Target {
    None,
    TimesFloor(f64),
    AtMost(Duration),
}

#[derive(Default)]
pub struct Table {
    lines: Vec<String>,
    missed: Cell<bool>,
}

impl Table {
    pub fn add(&mut self, what: &str, ours: &Samples, floor: Option<&Samples>, target: Target) {
        let ratio = floor.map(|floor| ratio(ours.median(), floor.median()));
        let cell = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1e3);
        let floor_cells = floor.map(|floor| [cell(floor.median()), cell(floor.p99())]);
        let [floor_median, floor_p99] = floor_cells.unwrap_or(["-".into(), "-".into()]);
        let verdict = match target {
            Target::None => String::new(),
            Target::TimesFloor(most) => self.judge(ratio.unwrap_or(0.0) / most),
            Target::AtMost(most) => self.judge(self::ratio(ours.median(), most)),
        };
        self.lines.push(format!(
            "{what:<32} {:>9} {:>9} {floor_median:>9} {floor_p99:>9} {:>6}  {verdict}",
            cell(ours.median()),
            cell(ours.p99()),
            ratio.map_or("-".into(), |r| format!("{r:.2}")),
        ));
    }

    /// `ours` may be `most` times as slow as it was `before`.
    pub fn compare(&mut self, what: &str, ours: &Samples, before: Duration, most: f64) {
        let ratio = ratio(ours.median(), before);
        let verdict = self.judge(ratio / most);
        let empty = "";
        self.lines
            .push(format!("{what:<32} {empty:>39} {ratio:>6.2}  {verdict}"));
    }

    /// `part` is how much of the target was used.
    fn judge(&self, part: f64) -> String {
        if part <= 1.0 {
            return "ok".to_owned();
        }
        self.missed.set(true);
        format!("target missed by {:.0} %", (part - 1.0) * 100.0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "ours", "p99", "floor", "p99", "ratio"];
        let [what, ours, p99, floor, floor_p99, ratio] = head;
        writeln!(
            f,
            "{what:<32} {ours:>9} {p99:>9} {floor:>9} {floor_p99:>9} {ratio:>6}  (ms, medians)"
        )?;
        for line in &self.lines {
            writeln!(f, "{}", line.trim_end())?;
        }
        if self.missed.get() {
            writeln!(f, "not every target was reached")?;
        }
        Ok(())
    }
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}
