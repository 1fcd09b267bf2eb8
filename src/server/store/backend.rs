//! Where the store's objects survive: a trait, and redb behind it.

use std::path::{Path, PathBuf};

use hyper::body::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";
/// The store keeps every object in memory itself; redb's own cache only has to serve its tree.
const CACHE_BYTES: usize = 2 << 20;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the store {}", path.display())]
    Open {
        path: PathBuf,
        source: redb::DatabaseError,
    },
    #[error("cannot {step} the store")]
    Access {
        step: &'static str,
        source: Box<redb::Error>,
    },
    #[error("the store holds something unreadable under {key}: {why}")]
    Unreadable { key: String, why: String },
    #[error("cannot start the store's writer")]
    Thread { source: std::io::Error },
    #[error("the store's writer panicked")]
    WriterPanicked,
    #[error("loading the store panicked")]
    LoaderPanicked,
}

/// Everything a backend holds.
#[derive(Default)]
pub struct Loaded {
    pub revision: u64,
    pub entries: Vec<(String, Vec<u8>)>,
}

/// A durable map from key to JSON with a revision counter.
///
/// # Guarantees
/// When [`Backend::commit`] returns `Ok`, all of its changes survive any crash. When it returns an
/// error, either all or none of them do.
pub trait Backend: Send {
    fn load(&mut self) -> Result<Loaded, StoreError>;
    /// `None` removes the key.
    fn commit(
        &mut self,
        revision: u64,
        changes: &[(&str, Option<Bytes>)],
    ) -> Result<(), StoreError>;
}

/// One redb file, locked against a second process while open.
pub struct RedbBackend {
    database: Database,
}

impl RedbBackend {
    /// Opens the store, or makes an empty one. A new one is made under another name first: who is
    /// killed on the way leaves no file that nobody can open.
    pub fn open(path: &Path) -> Result<RedbBackend, StoreError> {
        let failed = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        if !path.exists() {
            let unfinished = path.with_added_extension("new");
            let made = std::fs::remove_file(&unfinished)
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })
                .map_err(|error| redb::DatabaseError::Storage(error.into()))
                .and_then(|()| Database::create(&unfinished));
            drop(made.map_err(failed)?);
            std::fs::rename(&unfinished, path)
                .map_err(|error| failed(redb::DatabaseError::Storage(error.into())))?;
        }
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .open(path)
            .map_err(failed)?;
        Ok(RedbBackend { database })
    }

    fn read(&self) -> Result<Loaded, redb::Error> {
        let transaction = self.database.begin_read()?;
        let counters = match transaction.open_table(COUNTERS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Loaded::default()),
            other => other?,
        };
        let revision = counters.get(REVISION)?.map_or(0, |counter| counter.value());
        let mut entries = Vec::new();
        for row in transaction.open_table(OBJECTS)?.iter()? {
            let (key, json) = row?;
            entries.push((key.value().to_owned(), json.value().to_vec()));
        }
        Ok(Loaded { revision, entries })
    }

    fn write(&self, revision: u64, changes: &[(&str, Option<Bytes>)]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for (key, json) in changes {
                match json {
                    Some(json) => objects.insert(key, json.as_ref())?,
                    None => objects.remove(key)?,
                };
            }
            transaction
                .open_table(COUNTERS)?
                .insert(REVISION, revision)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Backend for RedbBackend {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.read().map_err(access("read"))
    }

    fn commit(
        &mut self,
        revision: u64,
        changes: &[(&str, Option<Bytes>)],
    ) -> Result<(), StoreError> {
        self.write(revision, changes).map_err(access("write"))
    }
}

fn access(step: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
    move |source| StoreError::Access {
        step,
        source: Box::new(source),
    }
}
