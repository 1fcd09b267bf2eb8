//! A container's log: a file that is exchanged when it is full.
//!
//! Writing never fails and never waits for anybody: what the disk does not take
//! is dropped, and the log says so once it takes something again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::lines::note;

/// Both are the kubelet's own (containerLogMaxSize, containerLogMaxFiles).
const LARGEST_BYTES: u64 = 10 << 20;
const MOST_FILES: u32 = 5;

#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    dropped: Dropped,
}

#[derive(Debug, Default)]
struct Dropped {
    bytes: u64,
    why: String,
}

impl Log {
    /// Goes on with a file that is there.
    pub fn open(path: &Path) -> Log {
        let mut log = Log {
            path: path.to_owned(),
            file: None,
            bytes: 0,
            dropped: Dropped::default(),
        };
        if let Err(error) = log.reopen() {
            log.dropped.why = error.to_string();
        }
        log
    }

    /// `lines` are whole ones.
    pub fn write(&mut self, lines: &[u8], now: Timestamp) {
        if lines.is_empty() {
            return;
        }
        // Both or none: a note that fits where its lines do not would be written for ever.
        let noted = (self.dropped.bytes > 0).then(|| {
            let Dropped { bytes, why } = &self.dropped;
            let text = format!("podnet: {bytes} bytes of the log could not be written: {why}");
            [&note(&text, now), lines].concat()
        });
        match self.try_write(noted.as_deref().unwrap_or(lines)) {
            Ok(()) => self.dropped = Dropped::default(),
            Err(error) => {
                self.dropped.bytes += lines.len() as u64;
                self.dropped.why = error.to_string();
            }
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > LARGEST_BYTES {
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let written = file.write_all(lines);
        match written {
            Ok(()) => self.bytes += lines.len() as u64,
            // No half line is left; that this can fail too changes nothing.
            Err(_) => drop(file.set_len(self.bytes)),
        }
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for older in (1..MOST_FILES).rev() {
            let newer = match older {
                1 => self.path.clone(),
                _ => self.numbered(older - 1),
            };
            match fs::rename(newer, self.numbered(older)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.bytes = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}
