//! What the pods of a node may have, as the agent is told at its start.
//!
//! A lab says it in its file, for all nodes alike; see `lab::topology`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde::{Deserialize, Serialize};
use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    #[error(
        "image {0:?} is not NAME=machine, NAME=directory:PATH or NAME=archive:PATH with an absolute path"
    )]
    Image(String),
    #[error("a back-off scale of {0} is out of range; use 0.001 to 1")]
    BackOffScale(String),
}

#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// Answer the API server about these pods (logs, exec) on this Unix socket
    #[arg(long, value_name = "FILE", requires = "pods_dir")]
    pub socket: Option<PathBuf>,
    /// Where loaded images are kept
    #[arg(long, value_name = "DIR")]
    pub images_dir: Option<PathBuf>,
    /// What runs as an image: NAME=machine, NAME=directory:PATH or NAME=archive:PATH
    #[arg(long = "image", value_name = "NAME=SOURCE")]
    pub images: Vec<NamedImage>,
    /// Directory of the machine that hostPath volumes may reach
    #[arg(long = "host-path", value_name = "DIR")]
    pub host_paths: Vec<PathBuf>,
    /// The tree that other hostPath volumes are in
    #[arg(long, value_name = "DIR")]
    pub node_root: Option<PathBuf>,
    /// Path of the machine that no container sees
    #[arg(long = "hide", value_name = "PATH")]
    pub hidden: Vec<PathBuf>,
    /// Run privileged containers
    #[arg(long)]
    pub allow_privileged: bool,
    /// Part of Kubernetes' waits before restarts that is waited here, 0.001 to 1
    #[arg(long, value_name = "NUMBER", default_value_t)]
    pub back_off_scale: BackOffScale,
}

/// `NAME=SOURCE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage {
    pub name: String,
    pub source: ImageSource,
}

/// What an image is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSource {
    /// The machine's own root file system.
    Machine,
    /// A root file system in a directory.
    Directory(PathBuf),
    /// What `podnet image load` takes; loaded when it is first asked for.
    Archive(PathBuf),
}

impl FromStr for NamedImage {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<NamedImage, SettingsError> {
        let malformed = || SettingsError::Image(text.to_owned());
        let (name, source) = text.split_once('=').ok_or_else(malformed)?;
        let source = match source.split_once(':') {
            None if source == "machine" => ImageSource::Machine,
            Some(("directory", path)) => ImageSource::Directory(path.into()),
            Some(("archive", path)) => ImageSource::Archive(path.into()),
            _ => return Err(malformed()),
        };
        let relative = source.path().is_some_and(|path| !path.is_absolute());
        if name.is_empty() || relative {
            return Err(malformed());
        }
        Ok(NamedImage {
            name: name.to_owned(),
            source,
        })
    }
}

impl fmt::Display for NamedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.source)
    }
}

impl ImageSource {
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            ImageSource::Machine => None,
            ImageSource::Directory(path) | ImageSource::Archive(path) => Some(path),
        }
    }

    pub fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            ImageSource::Machine => None,
            ImageSource::Directory(path) | ImageSource::Archive(path) => Some(path),
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::Machine => f.write_str("machine"),
            ImageSource::Directory(path) => write!(f, "directory:{}", path.display()),
            ImageSource::Archive(path) => write!(f, "archive:{}", path.display()),
        }
    }
}

/// What Kubernetes' back-off before restarts and image pulls is multiplied with;
/// 1 if nothing is said. Kept in thousandths, so that it equals itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct BackOffScale(u16);

impl BackOffScale {
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl Default for BackOffScale {
    fn default() -> BackOffScale {
        BackOffScale(1000)
    }
}

impl TryFrom<f64> for BackOffScale {
    type Error = SettingsError;

    fn try_from(factor: f64) -> Result<BackOffScale, SettingsError> {
        if !(0.001..=1.0).contains(&factor) {
            return Err(SettingsError::BackOffScale(factor.to_string()));
        }
        Ok(BackOffScale((factor * 1000.0).round() as u16))
    }
}

impl From<BackOffScale> for f64 {
    fn from(scale: BackOffScale) -> f64 {
        scale.factor()
    }
}

impl FromStr for BackOffScale {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<BackOffScale, SettingsError> {
        let malformed = || SettingsError::BackOffScale(text.to_owned());
        let factor: f64 = text.parse().map_err(|_| malformed())?;
        BackOffScale::try_from(factor)
    }
}

impl fmt::Display for BackOffScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.factor())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_scale_survives_its_own_text(thousandths in 1u16..=1000) {
            let scale = BackOffScale(thousandths);
            prop_assert_eq!(scale.to_string().parse(), Ok(scale));
        }
    }

    #[test]
    fn settings_say_what_they_could_be() {
        for text in ["0", "-1", "1.5", "NaN", "x", "inf"] {
            let error = text.parse::<BackOffScale>().expect_err(text);
            assert!(error.to_string().contains("use 0.001 to 1"), "{error}");
        }
        for text in [
            "web",
            "=machine",
            "web=",
            "web=archive:web.tar",
            "web=oci:/x",
        ] {
            assert!(text.parse::<NamedImage>().is_err(), "{text}");
        }
        for text in [
            "web:1.2=archive:/srv/web.tar",
            "tools=machine",
            "r.io:5000/a=directory:/a:b",
        ] {
            let image: NamedImage = text.parse().expect("sound");
            assert_eq!(image.to_string(), text);
        }
    }
}
