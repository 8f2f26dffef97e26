//! [fjall](https://docs.rs/fjall): a log-structured merge tree with a journal.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use replica::StoreError;

use crate::engine::{Edits, Engine, KeyRange, Sync, VisitRecord, failed};

pub(super) struct Fjall {
    database: Database,
    records: Keyspace,
}

impl Fjall {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let database = Database::builder(path).manual_journal_persist(true).worker_threads(1).open();
        let database = database.map_err(|why| why.to_string())?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default).map_err(|why| why.to_string())?;
        Ok(Self { database, records })
    }
}

impl Engine for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.records.get(key).map_err(failed)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), StoreError> {
        for item in self.records.range::<&[u8], _>(range) {
            let (key, value) = item.into_inner().map_err(failed)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), StoreError> {
        for item in self.records.range::<&[u8], _>(range).rev() {
            let (key, value) = item.into_inner().map_err(failed)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), StoreError> {
        let mode = if sync == Sync::Disk { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, edit) in edits {
            match edit {
                Some(value) => batch.insert(&self.records, key, value),
                None => batch.remove(&self.records, key),
            }
        }
        batch.commit().map_err(failed)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    fn wants_syncs(&self) -> bool {
        false
    }
}
