//! [redb](https://docs.rs/redb): a copy-on-write B+ tree in one file, its pages under checksums that are looked at
//! after a crash.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase as _, TableDefinition};
use replica::StoreError;

use crate::engine::{Edits, Engine, KeyRange, Sync, VisitRecord, failed};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// What of the file may be held in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

pub(super) struct Redb {
    database: Database,
}

impl Redb {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|why| why.to_string())?;
        let engine = Self { database };
        // So that there is a table to read.
        engine.write(&mut std::iter::empty(), Sync::Disk).map_err(|why| why.0)?;
        Ok(engine)
    }

    fn commit(&self, edits: &mut Edits<'_>, durability: Durability) -> Result<(), StoreError> {
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
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let records = reading.open_table(RECORDS).map_err(failed)?;
        let found = records.get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), StoreError> {
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

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), StoreError> {
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

    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), StoreError> {
        self.commit(edits, if sync == Sync::Disk { Durability::Immediate } else { Durability::None })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.commit(&mut std::iter::empty(), Durability::Immediate)
    }

    /// Until then the file grows, and nothing of it survives even the end of the process.
    fn wants_syncs(&self) -> bool {
        true
    }
}
