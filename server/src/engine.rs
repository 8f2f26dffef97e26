//! What keeps a node's records: an ordered map of byte strings, with atomic batches. One of several engines, chosen
//! when the directory is made; or one that keeps them in memory alone, and has no directory.
//!
//! What an engine promises, and the suite in `tests/engines` holds each to: a batch is there as a whole or not at all; what
//! was written with [`Sync::Disk`] survives the power going; damage is [`EngineError::Damaged`], never another value or an
//! absent record.
//!
//! No engine on disk keeps the last promise alone. So each stands behind `Checked`: every record is under a
//! checksum of its key and value (`envelope`), every batch has a number that is written with it (`note`), and a file beside
//! the engine's own says how far the numbers have come (`ledger`). What was lost at the end of a journal is missed at the next
//! opening by that. What each engine leaves open beyond is looked at when it is opened: of fjall the journals and manifests, of
//! redb every page.

mod checked;
mod envelope;
mod fjall;
mod journal;
mod ledger;
mod manifest;
mod memory;
mod mend;
mod note;
mod recent;
mod redb;
mod rescue;
mod salvage;

use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use replica::StoreError;

pub use self::mend::{Complete, Mended, Wanted, mend};
pub use self::salvage::Loss;

use self::checked::Checked;
use self::ledger::Ledger;
use crate::error::Error;

/// Which engine keeps the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// A log-structured merge tree: fast writes.
    #[default]
    Fjall,
    /// A copy-on-write B+ tree in one file, read through at every start: `--durability none` syncs every second all the same.
    Redb,
    /// Memory: what a node holds is gone when it stops.
    Memory,
}

/// Those that keep records on disk.
const ON_DISK: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Redb];

impl EngineKind {
    /// Where its records are below the data directory, if it has any there.
    fn folder(self) -> Option<&'static str> {
        match self {
            EngineKind::Fjall => Some("records"),
            EngineKind::Redb => Some("records.redb"),
            EngineKind::Memory => None,
        }
    }

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            EngineKind::Fjall => "fjall",
            EngineKind::Redb => "redb",
            EngineKind::Memory => "memory",
        }
    }

    fn path(self, directory: &Path) -> Option<PathBuf> {
        self.folder().map(|folder| directory.join(folder))
    }

    fn has_records(self, directory: &Path) -> bool {
        self.path(directory).is_some_and(|path| path.exists())
    }
}

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// What is on disk is not what was written.
    Damaged(String),
    /// There is no space left.
    Full(String),
    /// It failed otherwise.
    Failed(String),
}

/// Does it say nothing of what is in the file: no permission, too many open files, a disk that does not answer?
fn is_of_the_system(why: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    !matches!(why.kind(), InvalidData | NotFound | UnexpectedEof)
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Damaged(why) => write!(f, "the records are damaged: {why}"),
            EngineError::Full(why) => write!(f, "there is no space left for the records in {why}"),
            EngineError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        StoreError(error.to_string())
    }
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, UnexpectedEof};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => EngineError::Full(error.to_string()),
            UnexpectedEof => EngineError::Damaged(error.to_string()),
            _ => EngineError::Failed(error.to_string()),
        }
    }
}

/// What a written batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The disk.
    Disk,
    /// Nothing: [`Engine::sync`] follows sometime.
    Later,
}

/// Called with records in order.
pub type VisitRecord<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Records to put, or to remove where there is no value; each key once.
pub type Edits<'a> = dyn Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + 'a;

/// From one key to another.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Every key.
pub const EVERYTHING: KeyRange<'_> = (Bound::Unbounded, Bound::Unbounded);

/// An ordered map of byte strings.
pub trait Engine: Send + std::marker::Sync {
    /// The record under `key`.
    ///
    /// # Errors
    /// If it cannot be read; never `None` for a record that should be there.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Visits the records of a range, ascending, until `visit` breaks. Nothing beyond the range is looked at: there may be any
    /// number of records there that were removed. All that was written before is seen, and of what is written meanwhile
    /// any record or none. `visit` asks the engine nothing.
    ///
    /// # Errors
    /// As [`Engine::get`].
    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError>;

    /// The same, descending.
    ///
    /// # Errors
    /// As [`Engine::get`].
    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError>;

    /// Writes a batch: all of it or nothing. Visible when it returns.
    ///
    /// # Errors
    /// If it could not be written; nobody knows then what is on disk.
    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), EngineError>;

    /// Everything that was written is on disk when this returns.
    ///
    /// # Errors
    /// As [`Engine::write`].
    fn sync(&self) -> Result<(), EngineError>;

    /// Must it be synced every so often even if nobody asks for it, because what is not synced ends with the process?
    fn wants_syncs(&self) -> bool;

    /// The least number its journal can give to the next batch; it only grows. 0 if it has none.
    fn next_place(&self) -> u64 {
        0
    }

    /// How many records it says it has, if it counts them.
    fn count(&self) -> Option<u64> {
        None
    }
}

/// Opens, or makes, the records below `directory`; those in memory begin empty, wherever it is.
///
/// # Errors
/// [`Error::DamagedData`] if what is there cannot be read, or is not all that was written; [`Error::OtherEngine`] and
/// [`Error::OtherVersion`] if something else has made it.
pub fn open(kind: EngineKind, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
    let Some(path) = kind.path(directory) else { return Ok(Arc::new(memory::Memory::default())) };
    if let Some(other) = ON_DISK.into_iter().find(|other| *other != kind && other.has_records(directory)) {
        return Err(Error::OtherEngine { path: directory.to_owned(), engine: other.name() });
    }
    mend::finish(&path)?;
    let is_there = path.exists();
    let ledger = if is_there { Ledger::open(&path)? } else { Ledger::create(&path)? };
    let opened = open_checked(kind, &path, ledger);
    opened.map(|engine| Arc::new(engine) as Arc<dyn Engine>).map_err(|error| Error::of_records(&path, error))
}

/// Are there any records? What they are like is another question.
pub(crate) fn is_there(kind: EngineKind, directory: &Path) -> bool {
    let is_mended = kind.path(directory).is_some_and(|path| beside(&path, ".mended").exists());
    is_mended || ON_DISK.into_iter().any(|kind| kind.has_records(directory))
}

fn open_checked(kind: EngineKind, path: &Path, ledger: Ledger) -> Result<Checked, EngineError> {
    let entry = ledger.entry();
    if kind == EngineKind::Fjall {
        fjall::check(path, &entry)?;
    }
    if kind == EngineKind::Redb && entry.written > 0 && !redb::file(path).exists() {
        return Err(gone());
    }
    let engine = Checked::open(open_raw(kind, path)?, ledger, path)?;
    if entry.is_suspect {
        tracing::warn!(
            "a damaged record was met when the records in {} were last in use: all are read",
            path.display()
        );
        engine.read_all()?;
    }
    Ok(engine)
}

fn gone() -> EngineError {
    EngineError::Damaged("the records are gone".to_owned())
}

/// The engine alone, behind nothing.
fn open_raw(kind: EngineKind, path: &Path) -> Result<Box<dyn Engine>, EngineError> {
    Ok(match kind {
        EngineKind::Fjall => Box::new(fjall::Fjall::open(path)?),
        EngineKind::Redb => Box::new(redb::Redb::open(path)?),
        EngineKind::Memory => Box::new(memory::Memory::default()),
    })
}

/// Is there really no space left below here? Engines do not always say why they failed.
fn is_full(path: &Path) -> Option<EngineError> {
    let probe = path.join("space");
    let written = std::fs::write(&probe, vec![0x5a; 256 * 1024]);
    // It is there only to be tried.
    let _ = std::fs::remove_file(&probe);
    written.err().map(EngineError::from).filter(|error| matches!(error, EngineError::Full(_)))
}

/// The folder beside the records that has this ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
