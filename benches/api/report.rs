//! How the figures are shown, each beside its floor and its target.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::load::Run;
use super::place::Server;
use super::table::Samples;

#[derive(Default)]
pub struct Report {
    rates: Vec<String>,
    others: Vec<String>,
    missed: bool,
}

impl Report {
    /// `least` is per second.
    pub fn rate(&mut self, what: &str, ours: &Run, floor: Option<&Run>, least: f64) {
        let reached = ours.per_second() / least;
        let verdict = self.judge(reached, &format!("{least:.0}/s"));
        let floor = floor.map_or(format!("{:>7} {:>8} {:>8}", "-", "-", "-"), Run::cells);
        self.rates.push(format!(
            "{what:<26} {} {:>7.0}  | {floor} | {verdict}",
            ours.cells(),
            ours.server_microseconds(),
        ));
    }

    pub fn time(&mut self, what: &str, ours: &Samples, floor: Option<&Samples>, most: Duration) {
        let reached = most.as_secs_f64() / ours.median().as_secs_f64();
        let verdict = self.judge(reached, &format!("{} ms", most.as_millis()));
        let floor = floor.map_or("-".to_owned(), |floor| ms(floor.median()));
        self.others.push(format!(
            "{what:<30} {:>8} ms   floor {floor:>8} ms   {verdict}",
            ms(ours.median())
        ));
    }

    /// As [`Report::time`], but the 99th percentile counts.
    pub fn tail(&mut self, what: &str, ours: &Samples, floor: &Samples, most: Duration) {
        let reached = most.as_secs_f64() / ours.p99().as_secs_f64();
        let verdict = self.judge(reached, &format!("p99 {} ms", most.as_millis()));
        self.others.push(format!(
            "{what:<30} {:>8} ms, p99 {} ms   floor {} ms, p99 {} ms   {verdict}",
            ms(ours.median()),
            ms(ours.p99()),
            ms(floor.median()),
            ms(floor.p99()),
        ));
    }

    /// What the server holds of its own with `pods` pods; `bare` is without any.
    pub fn memory(&mut self, server: &Server, bare: u64, pods: usize, most_kb: u64) -> Result<()> {
        let kilobytes = server.private_kilobytes()?;
        let verdict = self.judge(most_kb as f64 / kilobytes as f64, &format!("{most_kb} kB"));
        self.others.push(format!(
            "memory with {pods:<18} {kilobytes:>8} kB   empty {bare:>8} kB   {verdict}"
        ));
        Ok(())
    }

    pub fn note(&mut self, line: String) {
        self.others.push(line);
    }

    /// `reached` is 1 where the target is just reached, and more beyond it.
    fn judge(&mut self, reached: f64, target: &str) -> String {
        if reached >= 1.0 {
            return format!("target {target}: ok");
        }
        self.missed = true;
        format!(
            "target {target}: missed by {:.0} %",
            (1.0 / reached - 1.0) * 100.0
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>7} {:>8} {:>8} {:>7}  | {:>7} {:>8} {:>8} |",
            "what", "per s", "p50 ms", "p99 ms", "CPU us", "floor/s", "p50 ms", "p99 ms"
        )?;
        for line in self.rates.iter().chain(&self.others) {
            writeln!(f, "{line}")?;
        }
        if self.missed {
            writeln!(f, "not every target was reached")?;
        }
        Ok(())
    }
}

impl Run {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// What one request took of the server's processor time.
    fn server_microseconds(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    fn cells(&self) -> String {
        format!(
            "{:>7.0} {:>8} {:>8}",
            self.per_second(),
            ms(self.calls.median()),
            ms(self.calls.p99())
        )
    }
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
