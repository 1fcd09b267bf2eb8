//! The files of a container's logs: which run's, and in which order.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files that rotation keeps besides the one being written.
const ROTATED: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The one that runs, or ran last.
    Current,
    /// The one before.
    Previous,
}

/// The log of a container's run, and how often it had been started before; `None` if there is
/// none. `dir` is the pod's directory.
pub fn log_of(dir: &Path, container: &str, run: Run) -> io::Result<Option<(PathBuf, u32)>> {
    let logs = dir.join("logs").join(container);
    let entries = match fs::read_dir(&logs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut attempts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let attempt = name.to_str().and_then(|name| name.strip_suffix(".log"));
        attempts.extend(attempt.and_then(|attempt| attempt.parse::<u32>().ok()));
    }
    attempts.sort_unstable_by(|a, b| b.cmp(a));
    let attempt = match run {
        Run::Current => attempts.first(),
        Run::Previous => attempts.get(1),
    };
    Ok(attempt.map(|attempt| (logs.join(format!("{attempt}.log")), *attempt)))
}

/// A file, known by more than its name.
#[derive(Debug)]
pub(super) struct LogFile {
    pub file: File,
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Option<LogFile>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(Some(LogFile {
            file,
            identity: (metadata.dev(), metadata.ino()),
        }))
    }

    /// Its writer has gone on to another.
    pub fn is_rotated(&self, log: &Path) -> io::Result<bool> {
        match fs::metadata(log) {
            Ok(now) => Ok((now.dev(), now.ino()) != self.identity),
            // Between two files: the next is about to be made. Or all of it is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// All files of one log, the oldest first.
pub(super) fn chain(log: &Path) -> io::Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = Vec::new();
    for age in 0..=ROTATED {
        let path = match age {
            0 => log.to_owned(),
            age => rotated(log, age),
        };
        // From the newest on: one that is renamed meanwhile is met again, never missed.
        if let Some(file) = LogFile::open(&path)?
            && files.iter().all(|known| known.identity != file.identity)
        {
            files.push(file);
        }
    }
    files.reverse();
    Ok(files)
}

/// Those that were begun after `file` was; all, if it is there no more.
pub(super) fn successors(log: &Path, file: &LogFile) -> io::Result<Vec<LogFile>> {
    let mut files = chain(log)?;
    if let Some(at) = files.iter().position(|one| one.identity == file.identity) {
        files.drain(..=at);
    }
    Ok(files)
}

fn rotated(log: &Path, age: u32) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}
