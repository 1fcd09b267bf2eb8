//! What is remembered of a lab from one `up` to the next: one file, replaced whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{LabDir, StateError, file_error};
use crate::lab::init::Init;
use crate::lab::topology::LabFile;

/// Of the directory's contents; another one is a lab of another version.
pub const FORMAT: u32 = 1;

/// What is remembered of a lab beside its API objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub format: u32,
    pub version: String,
    pub api_port: u16,
    pub lab: LabFile,
    /// Who ran, or runs, it.
    pub init: Init,
    /// Where each node sits on the underlay; see [`crate::lab::topology::Underlay`].
    pub positions: BTreeMap<String, u32>,
}

/// What every format has.
#[derive(Deserialize)]
struct Header {
    format: u64,
    version: Option<String>,
}

impl LabDir {
    /// What was remembered; `None` if nothing is.
    pub fn record(&self) -> Result<Option<Record>, StateError> {
        let path = self.record_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(file_error("read", &path, source)),
        };
        let damaged = |source| StateError::Damaged {
            name: self.name.clone(),
            path: path.clone(),
            source,
        };
        let header: Header = serde_json::from_str(&text).map_err(damaged)?;
        if header.format != u64::from(FORMAT) {
            return Err(StateError::OtherFormat {
                name: self.name.clone(),
                found: header.format,
                version: header.version.unwrap_or_else(|| "(unknown)".to_owned()),
            });
        }
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Replaces what was remembered, at once or not at all.
    pub fn write_record(&self, record: &Record) -> Result<(), StateError> {
        let path = self.record_path();
        let unfinished = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(record).map_err(|source| StateError::Damaged {
            name: self.name.clone(),
            path: path.clone(),
            source,
        })?;
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|source| file_error("write", &path, source))
    }

    pub(super) fn record_path(&self) -> PathBuf {
        self.path.join("lab.json")
    }
}
