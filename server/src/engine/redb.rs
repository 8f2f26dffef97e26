//! [redb](https://docs.rs/redb): a copy-on-write B+ tree in one file, its pages under checksums.
//!
//! redb looks at those only after a crash: a changed page of keys would lead past records as if they were not there. So it is
//! told to look at every page whenever the file is opened, which reads all of it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use redb::{
    ConcurrencyMode, Database, DatabaseError, Durability, ReadOnlyDatabase, ReadableDatabase,
    ReadableTableMetadata as _, StorageError, TableDefinition,
};

use super::{Edits, Engine, EngineError, KeyRange, Sync, VisitRecord, is_of_the_system};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// What of the file may be held in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct Redb<D = Database> {
    database: D,
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
        DatabaseError::Storage(StorageError::Io(why)) if is_of_the_system(&why) => EngineError::from(why),
        error => match failed(error) {
            EngineError::Failed(why) => EngineError::Damaged(why),
            other => other,
        },
    }
}

impl Redb {
    /// Looks at every page. redb goes back to the commit before the last if that is whole and the last is not: its number shows it.
    pub(super) fn open(folder: &Path) -> Result<Self, EngineError> {
        std::fs::create_dir_all(folder)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let engine = Self { database: builder.create(file(folder)).map_err(opening)? };
        // So that there is a table to read.
        engine.write(&mut std::iter::empty(), Sync::Disk)?;
        Ok(engine)
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

impl<D: ReadableDatabase> Redb<D> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let records = reading.open_table(RECORDS).map_err(failed)?;
        let found = records.get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn walk(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
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

    fn walk_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
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

    fn len(&self) -> Option<u64> {
        self.database.begin_read().ok()?.open_table(RECORDS).ok()?.len().ok()
    }
}

impl Engine for Redb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.read(key)
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        self.walk(range, visit)
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        self.walk_back(range, visit)
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
}

/// Where the header of the file says whether it was closed.
const FLAGS_AT: usize = 9;
/// Was it not closed, or its last commit not synced?
const NEEDS_REPAIR: u8 = 2 | 8;

impl Redb<ReadOnlyDatabase> {
    /// Opens a damaged file for what can still be read of it, with no page looked at before; its header is changed.
    pub(super) fn open_unchecked(folder: &Path) -> Result<Self, EngineError> {
        let path = file(folder);
        let header = File::options().read(true).write(true).open(&path)?;
        let mut flags = [0];
        header.read_exact_at(&mut flags, FLAGS_AT as u64)?;
        header.write_all_at(&[flags[0] & !NEEDS_REPAIR], FLAGS_AT as u64)?;
        drop(header);
        let mut builder = Database::builder();
        // In this mode a reader trusts the last commit, and needs nothing else of the file.
        builder.set_cache_size(CACHE_BYTES).set_concurrency_mode(ConcurrencyMode::SingleWriter);
        Ok(Self { database: builder.open_read_only(path).map_err(opening)? })
    }
}

impl Engine for Redb<ReadOnlyDatabase> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.read(key)
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        self.walk(range, visit)
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        self.walk_back(range, visit)
    }

    fn write(&self, _: &mut Edits<'_>, _: Sync) -> Result<(), EngineError> {
        self.sync()
    }

    fn sync(&self) -> Result<(), EngineError> {
        Err(EngineError::Failed("a damaged file is only read".to_owned()))
    }

    fn wants_syncs(&self) -> bool {
        true
    }

    fn count(&self) -> Option<u64> {
        self.len()
    }
}
