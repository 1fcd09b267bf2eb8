//! A log as text, a block at a time.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::LogOptions;
use super::files::{LogFile, chain, successors};
use super::record::Record;
use super::tail::Countdown;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

const BLOCK_BYTES: usize = 64 << 10;
/// A record longer than this is not podnet-pause's; it is passed on in pieces.
const MAX_RECORD_BYTES: usize = 4 * BLOCK_BYTES;

/// What the next text belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// A new line.
    Begins,
    /// One whose beginning was told.
    Told,
    /// One that began before `since`.
    Skipped,
}

/// Reads one run's log from the line that was asked for to what is its end for now.
#[derive(Debug)]
pub struct LogReader {
    log: PathBuf,
    /// Being read, and those that were begun after it.
    files: VecDeque<LogFile>,
    /// Read, and not yet a whole record.
    rest: Vec<u8>,
    line: Line,
    since: Option<Timestamp>,
    timestamps: bool,
    /// Bytes that may still be told.
    allowed: Option<u64>,
}

impl LogReader {
    /// # Errors
    /// As reading the log's files does. A log that is not there is empty.
    pub fn open(log: &Path, options: &LogOptions) -> io::Result<LogReader> {
        let mut files = VecDeque::from(chain(log)?);
        if let Some(lines) = options.tail {
            seek_tail(&mut files, lines)?;
        }
        Ok(LogReader {
            log: log.to_owned(),
            files,
            rest: Vec::new(),
            line: Line::Begins,
            since: options.since,
            timestamps: options.timestamps,
            allowed: options.limit_bytes,
        })
    }

    /// As many bytes as were allowed have been read.
    pub fn is_done(&self) -> bool {
        self.allowed == Some(0)
    }

    /// The next text, up to about a block of it; empty at the end of what is there now.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < BLOCK_BYTES && !self.is_done() {
            if !self.fill()? && !self.next_file()? {
                break;
            }
            self.tell(&mut text);
        }
        if let Some(allowed) = &mut self.allowed {
            text.truncate(usize::try_from(*allowed).unwrap_or(usize::MAX));
            *allowed -= text.len() as u64;
        }
        Ok(text)
    }

    /// Reads a block of the current file; false at its end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(current) = self.files.front() else {
            return Ok(false);
        };
        let known = self.rest.len();
        self.rest.resize(known + BLOCK_BYTES, 0);
        let read = (&current.file).read(&mut self.rest[known..]);
        self.rest.truncate(known + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    /// Goes on to what was begun after the current file, which is read to its end; false if
    /// that is the one being written.
    fn next_file(&mut self) -> io::Result<bool> {
        if let Some(current) = self.files.front() {
            if self.files.len() == 1 {
                if !current.is_rotated(&self.log)? {
                    return Ok(false);
                }
                // What was written between the last look and the renaming.
                if self.fill()? {
                    return Ok(true);
                }
            }
            if let Some(read) = self.files.pop_front()
                && self.files.is_empty()
            {
                self.files = successors(&self.log, &read)?.into();
            }
        } else {
            self.files = chain(&self.log)?.into();
        }
        Ok(!self.files.is_empty())
    }

    /// Turns the whole records that have been read into text.
    fn tell(&mut self, text: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.rest);
        let mut told = 0;
        while let Some(end) = rest[told..].iter().position(|byte| *byte == b'\n') {
            self.tell_record(&rest[told..told + end], text);
            told += end + 1;
        }
        if rest.len() - told > MAX_RECORD_BYTES {
            text.extend_from_slice(&rest[told..]);
            told = rest.len();
        }
        self.rest = rest[told..].to_vec();
    }

    fn tell_record(&mut self, line: &[u8], text: &mut Vec<u8>) {
        let Some(record) = Record::parse(line) else {
            text.extend_from_slice(line);
            text.push(b'\n');
            return;
        };
        if self.line == Line::Begins {
            let early = self.since.is_some_and(|since| is_before(&record, since));
            self.line = if early { Line::Skipped } else { Line::Told };
            if self.timestamps && !early {
                text.extend_from_slice(record.time.as_bytes());
                text.push(b' ');
            }
        }
        if self.line == Line::Told {
            text.extend_from_slice(record.text);
            if !record.partial {
                text.push(b'\n');
            }
        }
        if !record.partial {
            self.line = Line::Begins;
        }
    }
}

fn is_before(record: &Record<'_>, since: Timestamp) -> bool {
    record
        .time
        .parse::<Timestamp>()
        .is_ok_and(|time| time < since)
}

/// Leaves the files that hold the last `lines`, the first of them at their beginning.
fn seek_tail(files: &mut VecDeque<LogFile>, lines: u64) -> io::Result<()> {
    let mut countdown = Countdown::new(lines);
    for at in (0..files.len()).rev() {
        let file = &mut files[at].file;
        let end = last_record_end(file)?;
        if let Some(start) = countdown.start_in(file, end)? {
            file.seek(SeekFrom::Start(start))?;
            files.drain(..at);
            return Ok(());
        }
        file.rewind()?;
    }
    Ok(())
}

/// The end of what is written whole: a record may just be being written.
fn last_record_end(file: &mut (impl Read + Seek)) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let from = end.saturating_sub(BLOCK_BYTES as u64);
        let mut block = vec![0; usize::try_from(end - from).unwrap_or(0)];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        if let Some(newline) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + newline as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}
