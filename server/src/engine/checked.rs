//! An engine whose every record is checked, and whose batches are counted.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::ledger::{Entry, Ledger};
use super::note::{NOTE, Note};
use super::{EVERYTHING, Edits, Engine, EngineError, KeyRange, Sync, VisitRecord, envelope, is_full};

/// How much room is made for the records of a batch to begin with.
const BATCH_BYTES: usize = 64 * 1024;

/// The number of the last batch, under a lock for as long as the next one is written.
struct Last(u64);

pub(super) struct Checked {
    raw: Box<dyn Engine>,
    ledger: Ledger,
    folder: PathBuf,
    store: u64,
    last: Mutex<Last>,
}

impl Checked {
    /// Puts an engine behind checks.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] if its last batch is not the one that is owed.
    pub(super) fn open(raw: Box<dyn Engine>, ledger: Ledger, folder: &Path) -> Result<Self, EngineError> {
        let entry = ledger.entry();
        let owed = if raw.wants_syncs() { entry.synced } else { entry.owed() };
        let note = match raw.get(NOTE)? {
            Some(record) => Note::unseal(&record)
                .filter(|note| note.store == entry.store)
                .ok_or_else(|| EngineError::Damaged("the number of the last batch cannot be read".to_owned()))?,
            None => Note::default(),
        };
        if note.number < owed {
            let why = format!("the last batch that is there is {}, and {owed} was written", note.number);
            return Err(EngineError::Damaged(why));
        }
        ledger.begin(note.number)?;
        let folder = folder.to_owned();
        Ok(Self { raw, ledger, folder, store: entry.store, last: Mutex::new(Last(note.number)) })
    }

    /// Reads every record, in order and by itself: filters by which an engine looks up single records are read only then.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] if one cannot be read.
    pub(super) fn read_all(&self) -> Result<(), EngineError> {
        let mut read = Ok(());
        self.scan(EVERYTHING, &mut |key, _| {
            read = self.get(key).map(drop);
            if read.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        read?;
        Ok(self.ledger.change(|entry| entry.is_suspect = false)?)
    }

    /// Sees to it that all is read at the next opening, if this is damage.
    fn noted(&self, error: EngineError) -> EngineError {
        if matches!(error, EngineError::Damaged(_)) && !self.ledger.entry().is_suspect {
            // If that cannot be written, the damage is met again.
            let _ = self.ledger.change(|entry| entry.is_suspect = true);
        }
        error
    }

    /// Says it if there is no space: engines do not always.
    fn explained(&self, error: EngineError) -> EngineError {
        let error = match error {
            EngineError::Failed(why) => is_full(&self.folder).unwrap_or(EngineError::Failed(why)),
            other => other,
        };
        match error {
            EngineError::Full(why) => EngineError::Full(format!("{} ({why})", self.folder.display())),
            other => other,
        }
    }

    fn damaged(&self, key: &[u8]) -> EngineError {
        self.noted(EngineError::Damaged(format!("the record {} does not match its checksum", key.escape_ascii())))
    }

    fn visit(
        &self,
        visit: &mut VisitRecord<'_>,
        scan: impl FnOnce(&mut VisitRecord<'_>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut damaged = None;
        let scanned = scan(&mut |key, record| match envelope::unseal(key, record) {
            Some(_) if key == NOTE => ControlFlow::Continue(()),
            Some(value) => visit(key, value),
            None => {
                damaged = Some(self.damaged(key));
                ControlFlow::Break(())
            }
        });
        scanned.map_err(|error| self.noted(error))?;
        damaged.map_or(Ok(()), Err)
    }
}

impl Engine for Checked {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(mut record) = self.raw.get(key).map_err(|error| self.noted(error))? else { return Ok(None) };
        let len = envelope::unseal(key, &record).ok_or_else(|| self.damaged(key))?.len();
        record.truncate(len);
        Ok(Some(record))
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        self.visit(visit, |visit| self.raw.scan(range, visit))
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        self.visit(visit, |visit| self.raw.scan_back(range, visit))
    }

    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), EngineError> {
        let last = &mut *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.raw.next_place();
        let note = Note { store: self.store, number: last.0 + 1, place, synced: self.ledger.entry().synced };
        let mut batch = Batch::default();
        batch.records.reserve(BATCH_BYTES);
        edits.for_each(|(key, edit)| batch.push(key, edit));
        let note_value = note.encode();
        batch.push(NOTE, Some(&note_value));
        self.raw.write(&mut batch.edits(), sync).map_err(|error| self.explained(error))?;
        last.0 = note.number;
        let place = self.raw.next_place();
        self.ledger.change(|entry| {
            let synced = if sync == Sync::Disk { note.number } else { entry.synced };
            *entry = Entry { written: note.number, synced, place, ..*entry };
        })?;
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.raw.sync().map_err(|error| self.explained(error))?;
        Ok(self.ledger.change(|entry| entry.synced = last.0)?)
    }

    fn wants_syncs(&self) -> bool {
        self.raw.wants_syncs()
    }
}

/// Edits with their records sealed, all in one piece of memory.
#[derive(Default)]
struct Batch<'k> {
    records: Vec<u8>,
    edits: Vec<(&'k [u8], Option<std::ops::Range<usize>>)>,
}

impl<'k> Batch<'k> {
    fn push(&mut self, key: &'k [u8], edit: Option<&[u8]>) {
        let record = edit.map(|value| {
            let from = self.records.len();
            envelope::seal(key, value, &mut self.records);
            from..self.records.len()
        });
        self.edits.push((key, record));
    }

    fn edits(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.edits.iter().map(|(key, record)| (*key, record.clone().map(|at| &self.records[at])))
    }
}
