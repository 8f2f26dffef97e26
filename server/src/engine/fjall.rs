//! [fjall](https://docs.rs/fjall): a log-structured merge tree with a journal.
//!
//! What soon changes again or goes is kept apart ([`Recent`]), so that the tree sees a fourth of the edits of a cluster's writes.
//!
//! Blocks of tables are under checksums that fjall looks at whenever it reads one. Two things it does not look at itself, and
//! [`check`] does before it opens: its journals ([`Journals`]), and its manifests ([`Manifest`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use replica::merge_scan;

use super::journal::Journals;
use super::ledger::Entry;
use super::manifest::Manifest;
use super::recent::{GROUPS, Recent, Word, is_group, is_recent, oldest_of};
use super::{Edits, Engine, EngineError, KeyRange, Sync, VisitRecord, gone, is_of_the_system};

/// What the tree has in memory before it goes into a table; while that is written there is as much again.
const MEMORY_BYTES: u64 = 24 * 1024 * 1024;

pub(super) struct Fjall {
    database: Database,
    records: Keyspace,
    recent: RwLock<Recent>,
}

/// So many recent words are copied at once for a scan.
const PAGE_WORDS: usize = 128;

/// What becomes of damage that an opening meets.
pub(super) type OnDamage<'a> = dyn FnMut(EngineError) -> Result<(), EngineError> + 'a;

impl Fjall {
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        Self::open_despite(path, &mut Err)
    }

    /// The same, with what can be read of recent records if the damage is borne.
    ///
    /// # Errors
    /// As [`Fjall::open`], and those of `on_damage`.
    pub(super) fn open_despite(path: &Path, on_damage: &mut OnDamage<'_>) -> Result<Self, EngineError> {
        let database =
            Database::builder(path).manual_journal_persist(true).worker_threads(1).open().map_err(opening)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMORY_BYTES);
        let records = database.keyspace("records", options).map_err(opening)?;
        let recent = RwLock::new(read_recent(&records, on_damage)?);
        Ok(Self { database, records, recent })
    }

    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the groups there are, from both ends if one cannot be got at.
fn read_recent(records: &Keyspace, on_damage: &mut OnDamage<'_>) -> Result<Recent, EngineError> {
    let (mut groups, mut is_whole) = (BTreeMap::new(), true);
    for item in records.prefix(GROUPS) {
        match item.into_inner() {
            Ok((key, group)) => drop(groups.insert(key, group)),
            Err(why) => {
                is_whole = false;
                on_damage(failed(why))?;
                break;
            }
        }
    }
    if !is_whole {
        groups.extend(records.prefix(GROUPS).rev().map_while(|item| item.into_inner().ok()));
    }
    let last = groups.last_key_value().map(|(key, group)| (key.as_ref(), group.as_ref()));
    let oldest = oldest_of(last).unwrap_or_default();
    let mut recent = Recent::default();
    for (key, group) in groups.into_iter().filter(|(key, _)| **key >= *oldest) {
        recent.read(&key, &group).or_else(&mut *on_damage)?;
    }
    Ok(recent)
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

fn borrowed((key, value): &Word) -> (&[u8], Option<&[u8]>) {
    (key, value.as_deref())
}

fn visit_all(items: impl Iterator<Item = fjall::Guard>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
    for item in items {
        let (key, value) = item.into_inner().map_err(failed)?;
        if !is_group(&key) && visit(&key, &value).is_break() {
            break;
        }
    }
    Ok(())
}

impl Engine for Fjall {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        if is_recent(key)
            && let Some(word) = self.recent().get(key)
        {
            return Ok(word);
        }
        let found = self.records.get(key).map_err(failed)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        // By pages: whoever looks at the first of many need not have all of them copied.
        let (mut from, mut is_over) = (range.0.map(<[u8]>::to_vec), false);
        while !is_over {
            let begin = from.as_ref().map(Vec::as_slice);
            let recent = self.recent().within((begin, range.1), PAGE_WORDS);
            let last = recent.last().filter(|_| recent.len() == PAGE_WORDS).map(|(key, _)| key.clone());
            let end = last.as_deref().map_or(range.1, Bound::Included);
            merge_scan(
                recent.iter().map(borrowed),
                Ordering::Less,
                &mut |key, value| {
                    let flow = visit(key, value);
                    is_over = flow.is_break();
                    flow
                },
                |visit| visit_all(self.records.range::<&[u8], _>((begin, end)), visit),
            )?;
            match last {
                Some(last) => from = Bound::Excluded(last),
                None => break,
            }
        }
        Ok(())
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        let recent = self.recent().within(range, usize::MAX);
        merge_scan(recent.iter().rev().map(borrowed), Ordering::Greater, visit, |visit| {
            visit_all(self.records.range::<&[u8], _>(range).rev(), visit)
        })
    }

    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), EngineError> {
        let mode = if sync == Sync::Disk { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        let mut put = |key: &[u8], edit: Option<&[u8]>| match edit {
            Some(value) => batch.insert(&self.records, key, value),
            None => batch.remove(&self.records, key),
        };
        let mut recent = Vec::new();
        for (key, edit) in edits {
            if is_recent(key) { recent.push((key, edit)) } else { put(key, edit) }
        }
        if recent.is_empty() {
            return batch.commit().map_err(failed);
        }
        let overdue = {
            let mut words = self.recent_mut();
            let (key, group) = words.take(&recent);
            put(&key, Some(group));
            words.overdue()
        };
        overdue.edits.iter().map(borrowed).for_each(|(key, edit)| put(key, edit));
        batch.commit().map_err(failed)?;
        // In the tree first: who looks meanwhile finds it in one place or the other.
        self.recent_mut().forget(&overdue);
        Ok(())
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
