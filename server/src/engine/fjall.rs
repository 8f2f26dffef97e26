//! [fjall](https://docs.rs/fjall): a log-structured merge tree with a journal.
//!
//! Blocks of tables are under checksums that fjall looks at whenever it reads one. Two things it does not look at itself, and
//! [`check`] does before it opens: its journals ([`Journals`]), and its manifests, for which it keeps checksums.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::journal::Journals;
use super::ledger::Entry;
use super::{Edits, Engine, EngineError, KeyRange, Loss, Sync, VisitRecord, gone};

/// Where the tables of the one keyspace are; what fjall notes about keyspaces is in `keyspaces/0`.
const RECORDS_KEYSPACE: &str = "keyspaces/1";

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
    match failed(error) {
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
        check_manifest(&keyspace?.path(), entry)?;
    }
    let journals = Journals::examine(path, entry)?;
    match journals.damage(entry) {
        Some(why) => Err(EngineError::Damaged(why)),
        None => journals.cut_torn(),
    }
}

/// ```text
/// current = id:8 xxh3-128(v<id>):16 0       little-endian; v<id> names the tables
/// ```
fn check_manifest(keyspace: &Path, entry: &Entry) -> Result<(), EngineError> {
    let damaged = |what: &str| EngineError::Damaged(format!("the manifest of {} {what}", keyspace.display()));
    let current = match std::fs::read(keyspace.join("current")) {
        Ok(current) => current,
        // fjall removes a keyspace that was never finished.
        Err(why) if why.kind() == std::io::ErrorKind::NotFound && entry.written == 0 => return Ok(()),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Err(damaged("is gone")),
        Err(why) => return Err(why.into()),
    };
    let (id, rest) = current.split_first_chunk().ok_or_else(|| damaged("is cut short"))?;
    let (checksum, _) = rest.split_first_chunk().ok_or_else(|| damaged("is cut short"))?;
    let version = keyspace.join(format!("v{}", u64::from_le_bytes(*id)));
    let version = std::fs::read(version).map_err(|_| damaged("names a version that cannot be read"))?;
    let is_whole = xxhash_rust::xxh3::xxh3_128(&version) == u128::from_le_bytes(*checksum);
    if is_whole { Ok(()) } else { Err(damaged("does not match its checksum")) }
}

/// Lays out, in an empty folder, what can be read of damaged records; notes what cannot.
///
/// What fjall notes about the one keyspace there is, and not the records, is taken from a new database: it is always the same.
///
/// # Errors
/// If that cannot be written.
pub(super) fn lay_out(path: &Path, into: &Path, entry: &Entry, loss: &mut Loss) -> Result<(), EngineError> {
    drop(Fjall::open(into)?);
    let keyspace = into.join(RECORDS_KEYSPACE);
    std::fs::remove_dir_all(&keyspace)?;
    for journal in std::fs::read_dir(into)? {
        let journal = journal?.path();
        if journal.extension().is_some_and(|ending| ending == "jnl") {
            std::fs::remove_file(journal)?;
        }
    }
    let damaged = path.join(RECORDS_KEYSPACE);
    copy_or_link(&damaged, &keyspace)?;
    if check_manifest(&damaged, entry).is_err() {
        point_to_manifest(&keyspace)?;
        // Its checksum still shows what of it can be trusted.
        let is_whole = check_manifest(&keyspace, entry).is_ok();
        loss.other
            .extend((!is_whole).then(|| "tables that a damaged manifest does not name any more, if any".to_owned()));
    }
    Journals::examine(path, entry)?.write_whole(into, loss)
}

/// Names the one manifest there is as the current one.
fn point_to_manifest(keyspace: &Path) -> std::io::Result<()> {
    let mut found: Option<u64> = None;
    for entry in std::fs::read_dir(keyspace)? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix('v')).and_then(|id| id.parse().ok());
        found = found.max(id);
    }
    let path = keyspace.join("current");
    if let (Some(id), Ok(mut current)) = (found, std::fs::read(&path)) {
        current.resize(25, 0);
        current[..8].copy_from_slice(&id.to_le_bytes());
        std::fs::write(path, current)?;
    }
    Ok(())
}

/// Tables are never written again: they are linked, everything else is copied.
fn copy_or_link(from: &Path, into: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), into.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_or_link(&path, &target)?;
        } else if !from.ends_with("tables") || std::fs::hard_link(&path, &target).is_err() {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
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
