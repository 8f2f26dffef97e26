//! [redb](https://docs.rs/redb): a copy-on-write B+ tree in one file, its pages under checksums.
//!
//! redb looks at those only after a crash: a changed page of keys would lead past records as if they were not there. So every
//! page is looked at whenever the file is opened ([`Redb::check`]), which reads all of it.

use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTableMetadata as _, StorageError,
    TableDefinition,
};

use super::{Edits, Engine, EngineError, KeyRange, Sync, VisitRecord};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// What of the file may be held in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct Redb {
    database: Database,
}

/// Where the file is below its folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("data.redb")
}

fn failed(error: impl Into<redb::Error>) -> EngineError {
    match error.into() {
        redb::Error::Io(why) => EngineError::from(why),
        redb::Error::Corrupted(why) => EngineError::Damaged(format!("redb says: {why}")),
        why => EngineError::Failed(format!("redb says: {why}")),
    }
}

/// What does not open is damaged, unless it is the system that fails, or the file is in use.
fn opening(error: DatabaseError) -> EngineError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => EngineError::Failed("another process has the records open".to_owned()),
        DatabaseError::Storage(StorageError::Io(why)) if why.kind() == std::io::ErrorKind::InvalidData => {
            EngineError::Damaged(format!("redb says: {why}"))
        }
        error => match failed(error) {
            EngineError::Failed(why) => EngineError::Damaged(why),
            other => other,
        },
    }
}

impl Redb {
    pub(super) fn open(folder: &Path) -> Result<Self, EngineError> {
        std::fs::create_dir_all(folder)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(file(folder)).map_err(opening)?;
        Ok(Self { database })
    }

    /// Looks at every page. redb goes back to the commit before the last if that is whole and the last is not: its number shows it.
    pub(super) fn check(mut self) -> Result<Self, EngineError> {
        match self.database.check_integrity() {
            Ok(_) => Ok(self),
            Err(why) => Err(opening(why)),
        }
    }

    /// So that there is a table to read.
    pub(super) fn with_table(self) -> Result<Self, EngineError> {
        self.write(&mut std::iter::empty(), Sync::Disk)?;
        Ok(self)
    }

    fn commit(&self, edits: &mut Edits<'_>, durability: Durability) -> Result<(), EngineError> {
        let mut writing = self.database.begin_write().map_err(failed)?;
        writing.set_durability(durability).map_err(failed)?;
        {
            let mut records = writing.open_table(RECORDS).map_err(failed)?;
            for (key, edit) in edits {
                match edit {
                    Some(value) => drop(records.insert(key, value).map_err(failed)?),
                    None => drop(records.remove(key).map_err(failed)?),
                }
            }
        }
        writing.commit().map_err(failed)
    }
}

impl Engine for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let records = reading.open_table(RECORDS).map_err(failed)?;
        let found = records.get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let records = reading.open_table(RECORDS).map_err(failed)?;
        for item in records.range::<&[u8]>(range).map_err(failed)? {
            let (key, value) = item.map_err(failed)?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let records = reading.open_table(RECORDS).map_err(failed)?;
        for item in records.range::<&[u8]>(range).map_err(failed)?.rev() {
            let (key, value) = item.map_err(failed)?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), EngineError> {
        self.commit(edits, if sync == Sync::Disk { Durability::Immediate } else { Durability::None })
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.commit(&mut std::iter::empty(), Durability::Immediate)
    }

    /// Until then the file grows, and nothing of it survives even the end of the process.
    fn wants_syncs(&self) -> bool {
        true
    }

    fn count(&self) -> Option<u64> {
        self.database.begin_read().ok()?.open_table(RECORDS).ok()?.len().ok()
    }
}
