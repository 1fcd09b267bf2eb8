//! Any log, cut into files anywhere, is read as one.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{LogOptions, LogReader};

/// Whether more of the line follows, and the text.
type Said = (bool, String);

fn said() -> impl Strategy<Value = Vec<Said>> {
    let text = prop_oneof![
        4 => "[a-z ]{0,20}",
        // Several of these fill more than a block.
        1 => (16_000..16_384_usize).prop_map(|length| "x".repeat(length)),
    ];
    proptest::collection::vec((any::<bool>(), text), 0..60)
}

fn lines(said: &[Said]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for (partial, text) in said {
        line += text;
        if !partial {
            lines.push(std::mem::take(&mut line) + "\n");
        }
    }
    if said.last().is_some_and(|(partial, _)| *partial) {
        lines.push(line);
    }
    lines
}

fn record((partial, text): &Said, second: usize) -> String {
    let tag = if *partial { "P" } else { "F" };
    format!(
        "2024-01-01T00:{:02}:{:02}.5Z stdout {tag} {text}\n",
        second / 60,
        second % 60
    )
}

/// The log of `said` in as many files as `cuts` make, without what is no whole record.
fn write(dir: &Path, said: &[Said], cuts: &[usize]) -> PathBuf {
    let log = dir.join("0.log");
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (said.len() + 1)).collect();
    bounds.extend([0, said.len()]);
    bounds.sort_unstable();
    let files = bounds.windows(2).rev().enumerate();
    for (age, bounds) in files {
        let path = match age {
            0 => log.clone(),
            age => dir.join(format!("0.log.{age}")),
        };
        let records = (bounds[0]..bounds[1]).map(|at| record(&said[at], at));
        fs::write(path, records.collect::<String>()).unwrap();
    }
    log
}

fn read(log: &Path, options: &LogOptions) -> String {
    let mut reader = LogReader::open(log, options).unwrap();
    let mut all = Vec::new();
    loop {
        let text = reader.read().unwrap();
        if text.is_empty() {
            return String::from_utf8(all).unwrap();
        }
        all.extend(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tail_is_the_last_lines(
        said in said(),
        cuts in proptest::collection::vec(any::<usize>(), 0..5),
        tail in proptest::option::of(0..70_u64),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let log = write(dir.path(), &said, &cuts);
        let lines = lines(&said);
        let first = tail.map_or(0, |tail| lines.len().saturating_sub(tail as usize));
        let options = LogOptions { tail, ..LogOptions::default() };
        prop_assert_eq!(read(&log, &options), lines[first..].concat());
    }

    #[test]
    fn a_record_that_is_being_written_is_not_told(said in said(), cut in 1..30_usize) {
        let dir = tempfile::tempdir().unwrap();
        let log = write(dir.path(), &said, &[]);
        let mut text = fs::read_to_string(&log).unwrap();
        text.push_str(&record(&(false, "unfinished".into()), 0)[..cut]);
        fs::write(&log, text).unwrap();
        for tail in [None, Some(1_000)] {
            let options = LogOptions { tail, ..LogOptions::default() };
            prop_assert_eq!(read(&log, &options), lines(&said).concat());
        }
    }

    #[test]
    fn since_leaves_out_whole_lines(said in said(), second in 0..60_usize) {
        let dir = tempfile::tempdir().unwrap();
        let log = write(dir.path(), &said, &[]);
        let since = format!("2024-01-01T00:00:{second:02}Z").parse().unwrap();
        // Up to the end of the line whose beginning is the last before it.
        let begins = |at: usize| at == 0 || !said[at - 1].0;
        let first = (second..said.len()).find(|at| begins(*at)).unwrap_or(said.len());
        let options = LogOptions { since: Some(since), ..LogOptions::default() };
        prop_assert_eq!(read(&log, &options), lines(&said[first..]).concat());
    }
}
