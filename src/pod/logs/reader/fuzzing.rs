//! Logs: any file is read, in blocks of any size, as what it says.

use std::collections::VecDeque;
use std::io::Cursor;
use std::path::PathBuf;

use super::{Line, LogReader, last_record_end};
use crate::pod::logs::record::Record;
use crate::pod::logs::tail::Countdown;

/// How much is read at a time, how many lines from the end are asked for, and a log.
pub fn logs(input: &[u8]) {
    let Some(([block, lines], log)) = input.split_first_chunk::<2>() else {
        return;
    };
    let (block, lines) = (1 + usize::from(*block), u64::from(*lines % 8));
    for timestamps in [false, true] {
        let told = text(log, log.len().max(1), timestamps);
        assert_eq!(text(log, block, timestamps), told);
        assert_eq!(plainly(log, timestamps), told);
    }
    tail(log, lines);
}

/// What a reader tells of a log that it gets in blocks.
fn text(log: &[u8], block: usize, timestamps: bool) -> Vec<u8> {
    let mut reader = LogReader {
        log: PathBuf::new(),
        files: VecDeque::new(),
        rest: Vec::new(),
        line: Line::Begins,
        since: None,
        timestamps,
        allowed: None,
    };
    let mut text = Vec::new();
    for block in log.chunks(block) {
        reader.rest.extend_from_slice(block);
        reader.tell(&mut text);
    }
    text
}

/// The records of a log, as far as it is whole.
fn records(log: &[u8]) -> impl Iterator<Item = (&[u8], Option<Record<'_>>)> {
    let lines = log.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| line.strip_suffix(b"\n"));
    lines.map(|line| (line, Record::parse(line)))
}

/// The same, without regard to what that costs.
fn plainly(log: &[u8], timestamps: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let mut begins = true;
    for (line, record) in records(log) {
        let Some(record) = record else {
            text.extend_from_slice(&[line, b"\n"].concat());
            continue;
        };
        assert!(line.ends_with(record.text));
        if begins && timestamps {
            text.extend_from_slice(&[record.time.as_bytes(), b" "].concat());
        }
        text.extend_from_slice(record.text);
        if !record.partial {
            text.push(b'\n');
        }
        begins = !record.partial;
    }
    text
}

/// The last lines of a log are those that a reader of the whole would tell last.
fn tail(log: &[u8], lines: u64) {
    let mut file = Cursor::new(log);
    let end = last_record_end(&mut file).expect("memory is read");
    let start = Countdown::new(lines).start_in(&mut file, end);
    let start = start.expect("memory is read").unwrap_or(0);
    let whole = usize::try_from(end).expect("a small file");
    let start = usize::try_from(start).expect("a small file");
    // Whatever is no record is shown, but who wrote it has not said where it belongs.
    if records(log).any(|(_, record)| record.is_none()) {
        return;
    }
    let mut ends = Vec::new();
    let mut at = 0;
    for (line, record) in records(log) {
        at += line.len() + 1;
        if at == whole || record.is_some_and(|record| !record.partial) {
            ends.push(at);
        }
    }
    let skipped = ends
        .len()
        .saturating_sub(usize::try_from(lines).expect("a few"));
    let expected = skipped.checked_sub(1).map_or(0, |last| ends[last]);
    assert_eq!(start, expected, "{lines} of {} lines", ends.len());
}
