//! Where the last lines of a log begin, read backwards in blocks.

use std::io::{self, Read, Seek, SeekFrom};

use super::record::{MAX_HEAD_BYTES, Record};

const BLOCK_BYTES: u64 = 64 << 10;

/// Counts lines from the end of a log, file after file, the newest first.
///
/// A line is what ends in a full record; what follows the last of those is a line too. So partial
/// records count with the line that they are parts of, even one that began in an older file.
#[derive(Debug)]
pub struct Countdown {
    wanted: u64,
    seen: u64,
    any: bool,
}

impl Countdown {
    pub fn new(lines: u64) -> Countdown {
        Countdown {
            wanted: lines,
            seen: 0,
            any: false,
        }
    }

    /// Where in `file` the wanted lines begin; `None` if they begin in an older file. Only what
    /// is before `end`, which is the end of a record, counts.
    pub fn start_in(&mut self, file: &mut (impl Read + Seek), end: u64) -> io::Result<Option<u64>> {
        // The records from `later` on have been looked at; `carry` is how what lies between
        // `unread` and `later` begins.
        let (mut unread, mut later) = (end, end);
        let mut carry: Vec<u8> = Vec::new();
        while unread > 0 {
            let from = unread.saturating_sub(BLOCK_BYTES);
            let mut block = vec![0; index(unread - from)];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut block)?;
            for newline in (0..block.len()).rev().filter(|at| block[*at] == b'\n') {
                let begin = from + newline as u64 + 1;
                if begin >= later {
                    continue;
                }
                if self.passes(&head(
                    &block[newline + 1..],
                    later.min(unread) - begin,
                    &carry,
                )) {
                    return Ok(Some(later));
                }
                later = begin;
                carry.clear();
            }
            carry = head(&block, later.min(unread) - from, &carry);
            unread = from;
        }
        let passed = later > 0 && self.passes(&carry);
        Ok(passed.then_some(later))
    }

    /// Takes the next older record into view; true if that is one line too many.
    fn passes(&mut self, head: &[u8]) -> bool {
        let partial = Record::parse(head).is_some_and(|record| record.partial);
        if !partial || !self.any {
            self.seen += 1;
        }
        self.any = true;
        self.seen > self.wanted
    }
}

/// How a record begins of which `here` has the first `bytes`, and `carry` what follows.
fn head(here: &[u8], bytes: u64, carry: &[u8]) -> Vec<u8> {
    let here = &here[..here.len().min(index(bytes))];
    here.iter()
        .chain(carry)
        .take(MAX_HEAD_BYTES)
        .copied()
        .collect()
}

/// Within a block.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
