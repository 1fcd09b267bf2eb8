//! What containers leave in their pod's directory: logs and last words.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use k8s_openapi::api::core::v1::Container;
use tracing::warn;

use crate::pod::life::Terminated;
use crate::pod::{plan, protocol};

/// Limits of a termination message (kubelet's MaxContainerTerminationMessageLength
/// and …LogLength, …LogLines).
const LONGEST_MESSAGE: u64 = 4096;
const LONGEST_LOG: u64 = 2048;
const MOST_LINES: usize = 80;

/// How a run has ended, as the status says it.
pub fn terminated(
    dir: &Path,
    container: Option<&Container>,
    run: &protocol::Container,
    end: protocol::Ended,
) -> Terminated {
    let good = end.exit_code == 0;
    Terminated {
        attempt: run.attempt,
        exit_code: end.exit_code,
        signal: end.signal,
        reason: if good { "Completed" } else { "Error" }.to_owned(),
        message: last_words(dir, container, run, good),
        started_at: Some(run.started_at),
        finished_at: end.at,
        again: false,
    }
}

fn last_words(
    dir: &Path,
    container: Option<&Container>,
    run: &protocol::Container,
    good: bool,
) -> Option<String> {
    let path = dir.join(plan::termination_log(&run.name, run.attempt));
    let said = tail(&path, LONGEST_MESSAGE).unwrap_or_default();
    if !said.is_empty() {
        return Some(said);
    }
    let policy = container?.termination_message_policy.as_deref();
    if good || policy != Some("FallbackToLogsOnError") {
        return None;
    }
    let log = tail(
        &dir.join(plan::log(&run.name, run.attempt)),
        2 * LONGEST_LOG,
    )?;
    let lines: Vec<&str> = log.lines().filter_map(logged).collect();
    let kept = lines.len().saturating_sub(MOST_LINES);
    let text = lines[kept..].join("\n");
    let mut cut = text.len().saturating_sub(LONGEST_LOG as usize);
    while !text.is_char_boundary(cut) {
        cut += 1;
    }
    Some(text[cut..].to_owned()).filter(|text| !text.is_empty())
}

/// What a line of a CRI log says: behind time, stream and tag.
fn logged(line: &str) -> Option<&str> {
    line.splitn(4, ' ').nth(3)
}

fn tail(path: &Path, bytes: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))
        .ok()?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The highest number of a run that has left a log.
pub fn latest_attempt(dir: &Path, container: &str) -> Option<u32> {
    let log = dir.join(plan::log(container, 0));
    let entries = fs::read_dir(log.parent()?).ok()?.flatten();
    entries
        .filter_map(|entry| attempt_of(entry.file_name().to_str()?))
        .max()
}

/// Of `3.log`, or `3.log.1`.
fn attempt_of(file: &str) -> Option<u32> {
    file.split('.').next()?.parse().ok()
}

/// Of runs before `attempt` only the latest leaves something.
pub fn forget_old(dir: &Path, container: &str, attempt: u32) {
    let places = [plan::log(container, 0), plan::termination_log(container, 0)];
    let folders = places.iter().filter_map(|place| place.parent());
    for folder in folders {
        let entries = fs::read_dir(dir.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let number = entry.file_name().to_str().and_then(attempt_of);
            let old = number.is_some_and(|number| number.saturating_add(1) < attempt);
            if old && let Err(error) = fs::remove_file(entry.path()) {
                warn!("remove {}: {error}", entry.path().display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_before_keeps_its_log_and_older_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs/web");
        fs::create_dir_all(&logs).unwrap();
        for file in ["0.log", "1.log", "1.log.1", "2.log", "3.log"] {
            fs::write(logs.join(file), "").unwrap();
        }
        assert_eq!(latest_attempt(dir.path(), "web"), Some(3));
        forget_old(dir.path(), "web", 3);
        let mut left: Vec<_> = fs::read_dir(&logs)
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["2.log", "3.log"]);
        assert_eq!(latest_attempt(dir.path(), "other"), None);
    }
}
