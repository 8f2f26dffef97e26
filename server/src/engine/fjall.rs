//! [fjall](https://docs.rs/fjall): a log-structured merge tree with a journal.
//!
//! Blocks of tables are under checksums that fjall looks at whenever it reads one. Two things it does not look at itself, and
//! [`check`] does before it opens: its journals ([`Journals`]), and its manifests ([`Manifest`]).

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::journal::Journals;
use super::ledger::Entry;
use super::manifest::Manifest;
use super::{Edits, Engine, EngineError, KeyRange, Sync, VisitRecord, gone, is_of_the_system};

pub(super) struct Fjall {
    database: Database,
    records: Keyspace,
}

impl Fjall {
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        let database =
            Database::builder(path).manual_journal_persist(true).worker_threads(1).open().map_err(opening)?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default).map_err(opening)?;
        Ok(Self { database, records })
    }
}

/// What does not open is damaged, unless it is the system that fails.
fn opening(error: fjall::Error) -> EngineError {
    let is_of_the_system = match &error {
        fjall::Error::Io(why) | fjall::Error::Storage(fjall::LsmError::Io(why)) => is_of_the_system(why),
        fjall::Error::Locked => true,
        _ => false,
    };
    match failed(error) {
        error if is_of_the_system => error,
        EngineError::Failed(why) => EngineError::Damaged(why),
        other => other,
    }
}

fn failed(error: fjall::Error) -> EngineError {
    match error {
        fjall::Error::Io(why) | fjall::Error::Storage(fjall::LsmError::Io(why)) => EngineError::from(why),
        fjall::Error::Poisoned => EngineError::Failed("an earlier write of fjall failed".to_owned()),
        fjall::Error::Locked => EngineError::Failed("another process has the records open".to_owned()),
        why => EngineError::Damaged(format!("fjall says: {why:?}")),
    }
}

/// Looks at what fjall does not look at, before it changes anything; cuts a torn last write off.
///
/// # Errors
/// [`EngineError::Damaged`] says what is missing.
pub(super) fn check(path: &Path, entry: &Entry) -> Result<(), EngineError> {
    if !path.join("version").exists() {
        // It never came to the first record.
        return if entry.written == 0 { Ok(()) } else { Err(gone()) };
    }
    for keyspace in std::fs::read_dir(path.join("keyspaces"))? {
        Manifest::of(&keyspace?.path()).check(entry)?;
    }
    let journals = Journals::examine(path, entry)?;
    match journals.damage(entry) {
        Some(why) => Err(EngineError::Damaged(why)),
        None => journals.cut_torn(),
    }
}

impl Engine for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let found = self.records.get(key).map_err(failed)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        for item in self.records.range::<&[u8], _>(range) {
            let (key, value) = item.into_inner().map_err(failed)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        for item in self.records.range::<&[u8], _>(range).rev() {
            let (key, value) = item.into_inner().map_err(failed)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), EngineError> {
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

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    fn wants_syncs(&self) -> bool {
        false
    }

    fn next_place(&self) -> u64 {
        self.database.seqno()
    }
}
