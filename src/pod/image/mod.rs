//! The catalogue: what runs as an image, without a registry.
//!
//! A name means, in this order: what the lab's file says of it, an image that was loaded,
//! a program of podnet's own, the machine's root file system. Nothing is kept in
//! memory of what is on disk, so what `podnet image load` adds is there at once.

mod accounts;
mod built_in;
mod load;
mod machine;
mod reference;
mod store;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::settings::{ImageSource, Settings};

pub use accounts::Accounts;
#[cfg(any(test, feature = "fuzzing"))]
pub use load::fuzzing;
pub use load::{LoadError, load};
pub use reference::Reference;
pub use store::{Loaded, Store, StoreError};

use store::Origin;

/// What a container starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The name in its shortest form.
    pub reference: String,
    /// The same for the same contents.
    pub id: String,
    pub root: ImageRoot,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `KEY=VALUE`.
    pub env: Vec<String>,
    pub cwd: Option<PathBuf>,
    /// `USER[:GROUP]`, names or numbers; `None` is root.
    pub user: Option<String>,
    pub accounts: Accounts,
    /// Where in the container the binary of the built-in programs is, if this is one of them.
    pub program: Option<PathBuf>,
}

/// See [`super::bundle::Root`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRoot {
    pub layers: Vec<PathBuf>,
    pub hidden: Vec<PathBuf>,
}

#[derive(Debug, Error)]
pub enum ImageError {
    #[error(
        "couldn't parse image name {0:?}: invalid reference format; a name is [REGISTRY/]NAME[:TAG], \
         in lower case"
    )]
    InvalidName(String),
    #[error(
        "no image {image:?} on this node and there is no registry to pull it from; `podnet image load FILE` \
         loads one, `images:` in the lab file names one, or use one of {known}"
    )]
    Unknown { image: String, known: String },
    #[error(
        "Container image {image:?} is not present with pull policy of Never; `podnet image load FILE` \
         loads one, or use one of {known}"
    )]
    NeverPull { image: String, known: String },
    #[error("image {image:?} is in {} and cannot be used", path.display())]
    Directory {
        image: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("image {image:?} is in {} and cannot be loaded", path.display())]
    Archive {
        image: String,
        path: PathBuf,
        source: Box<LoadError>,
    },
    #[error("image {image:?} cannot be looked for")]
    Store { image: String, source: StoreError },
}

impl ImageError {
    /// As the kubelet calls it where a container waits.
    pub fn reason(&self) -> &'static str {
        match self {
            ImageError::InvalidName(_) => "InvalidImageName",
            ImageError::NeverPull { .. } => "ErrImageNeverPull",
            _ => "ErrImagePull",
        }
    }
}

pub struct Catalogue {
    named: Vec<(Reference, ImageSource)>,
    store: Option<Store>,
    /// Hidden where the machine's root is an image.
    hidden: Vec<PathBuf>,
}

impl Catalogue {
    /// Looks at the machine's root, once.
    ///
    /// # Errors
    /// A name in `settings` that is none.
    pub fn new(settings: &Settings) -> Result<Catalogue, ImageError> {
        let named = settings.images.iter().map(|image| {
            let reference = Reference::parse(&image.name)
                .ok_or_else(|| ImageError::InvalidName(image.name.clone()))?;
            Ok((reference, image.source.clone()))
        });
        Ok(Catalogue {
            named: named.collect::<Result<_, ImageError>>()?,
            store: settings.images_dir.clone().map(Store::new),
            hidden: machine::hidden(Path::new("/"), &settings.hidden),
        })
    }

    /// `pull_policy`: the container's `imagePullPolicy`. Reads the disk, and for the first of an
    /// archive that the lab's file names, unpacks it.
    pub fn find(&self, image: &str, pull_policy: &str) -> Result<Image, ImageError> {
        let invalid = || ImageError::InvalidName(image.to_owned());
        let reference = Reference::parse(image).ok_or_else(invalid)?;
        if let Some(source) = self.source(&reference) {
            return self.of_source(&reference, source);
        }
        let lookup = self.store.as_ref().map(|store| store.find(&reference));
        let lookup = lookup.transpose().map_err(|source| ImageError::Store {
            image: image.to_owned(),
            source,
        })?;
        if let Some(found) = lookup.flatten() {
            return Ok(found);
        }
        if let Some(found) = built_in::find(&reference, &self.hidden) {
            return Ok(found);
        }
        let (image, known) = (image.to_owned(), built_in::known());
        Err(match pull_policy {
            "Never" => ImageError::NeverPull { image, known },
            _ => ImageError::Unknown { image, known },
        })
    }

    /// A name in the lab's file without a tag stands for all tags.
    fn source(&self, wanted: &Reference) -> Option<&ImageSource> {
        let of_name = || self.named.iter().filter(|(r, _)| r.name == wanted.name);
        let exact = of_name().find(|(r, _)| r.tag.as_deref() == wanted.tag_or_latest());
        let found = exact.or_else(|| of_name().find(|(r, _)| r.tag.is_none()));
        found.map(|(_, source)| source)
    }

    fn of_source(&self, name: &Reference, source: &ImageSource) -> Result<Image, ImageError> {
        match source {
            ImageSource::Machine => Ok(built_in::machine(name, &self.hidden, "sh")),
            ImageSource::Directory(path) => directory(name, path),
            ImageSource::Archive(path) => {
                self.archive(name, path)
                    .map_err(|source| ImageError::Archive {
                        image: name.to_string(),
                        path: path.clone(),
                        source: Box::new(source),
                    })
            }
        }
    }

    fn archive(&self, name: &Reference, path: &Path) -> Result<Image, LoadError> {
        let not_found = |source| LoadError::Open {
            path: path.to_owned(),
            source,
        };
        let store = self
            .store
            .as_ref()
            .ok_or_else(|| not_found(io::ErrorKind::Unsupported.into()))?;
        let origin = Origin::of(path).map_err(not_found)?;
        if let Some(found) = store.find_from(name, &origin)? {
            return Ok(found);
        }
        let tag = name.tag_or_latest().unwrap_or("latest");
        load(store, path, Some(&format!("{}:{tag}", name.name)))?;
        let found = store.find_from(name, &origin)?;
        found.ok_or_else(|| not_found(io::ErrorKind::NotFound.into()))
    }
}

fn directory(name: &Reference, path: &Path) -> Result<Image, ImageError> {
    let failed = |source| ImageError::Directory {
        image: name.to_string(),
        path: path.to_owned(),
        source,
    };
    // Where it really is: a link may be changed while containers run.
    let path = path.canonicalize().map_err(failed)?;
    if !path.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    Ok(Image {
        reference: name.to_string(),
        id: format!("directory:{}", path.display()),
        accounts: Accounts::read(&path).map_err(failed)?,
        root: ImageRoot {
            layers: vec![path],
            hidden: Vec::new(),
        },
        entrypoint: Vec::new(),
        cmd: vec!["sh".to_owned()],
        env: Vec::new(),
        cwd: None,
        user: None,
        program: None,
    })
}
