//! Processes, by how their command line begins behind the path: `podnet agent`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Their directories below /proc.
pub fn named(name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(command) = fs::read_to_string(entry.path().join("cmdline")) else {
            continue;
        };
        let command = command.replace('\0', " ");
        let first = command.split(' ').next().unwrap_or_default();
        let name_at = first.rfind('/').map_or(0, |at| at + 1);
        if command[name_at..].starts_with(name) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The median of their private memory.
pub fn private_kilobytes(name: &str) -> Result<u64> {
    let mut found = Vec::new();
    for process in named(name)? {
        found.push(private_of(&process)?);
    }
    found.sort_unstable();
    let median = found.get(found.len() / 2).context("no such process")?;
    Ok(*median)
}

/// Kilobytes that the process below /proc shares with nobody.
pub fn private_of(process: &Path) -> Result<u64> {
    let rollup = fs::read_to_string(process.join("smaps_rollup"))?;
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kilobytes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kilobytes.sum())
}
