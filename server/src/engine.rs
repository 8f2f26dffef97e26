//! What keeps a node's records: an ordered map of byte strings on disk, with atomic batches. One of several engines, chosen
//! when the directory is made.
//!
//! What an engine promises, and the suite in `tests/engines.rs` holds each to: a batch is there as a whole or not at all; what
//! was written with [`Sync::Disk`] survives the power going; damage is an error, never an absent record, as far as its
//! checksums reach.

mod fjall;
mod redb;

use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use replica::StoreError;

use crate::error::Error;

/// Which engine keeps the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// A log-structured merge tree: fast writes.
    #[default]
    Fjall,
    /// A copy-on-write B+ tree in one file: `--durability none` syncs every second all the same.
    Redb,
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

/// An ordered map of byte strings on disk.
pub trait Engine: Send + std::marker::Sync {
    /// The record under `key`.
    ///
    /// # Errors
    /// If it cannot be read; never `None` for a record that should be there.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the records of a range, ascending, until `visit` breaks. Nothing beyond the range is looked at: there may be any
    /// number of records there that were removed.
    ///
    /// # Errors
    /// As [`Engine::get`].
    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), StoreError>;

    /// The same, descending.
    ///
    /// # Errors
    /// As [`Engine::get`].
    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), StoreError>;

    /// Writes a batch: all of it or nothing. Visible when it returns.
    ///
    /// # Errors
    /// If it could not be written; nobody knows then what is on disk.
    fn write(&self, edits: &mut Edits<'_>, sync: Sync) -> Result<(), StoreError>;

    /// Everything that was written is on disk when this returns.
    ///
    /// # Errors
    /// As [`Engine::write`].
    fn sync(&self) -> Result<(), StoreError>;

    /// Must it be synced every so often even if nobody asks for it?
    fn wants_syncs(&self) -> bool;
}

/// Opens, or makes, the records below `directory`.
///
/// # Errors
/// [`Error::DamagedData`] if what is there cannot be read, or was made by another engine.
pub fn open(kind: EngineKind, directory: &Path) -> Result<Arc<dyn Engine>, Error> {
    let (path, other) = match kind {
        EngineKind::Fjall => (directory.join("records"), (directory.join("records.redb"), "redb")),
        EngineKind::Redb => (directory.join("records.redb"), (directory.join("records"), "fjall")),
    };
    if other.0.exists() {
        return Err(Error::OtherEngine { path: directory.to_owned(), engine: other.1 });
    }
    let opened: Result<Arc<dyn Engine>, String> = match kind {
        EngineKind::Fjall => fjall::Fjall::open(&path).map(|engine| Arc::new(engine) as Arc<dyn Engine>),
        EngineKind::Redb => redb::Redb::open(&path).map(|engine| Arc::new(engine) as Arc<dyn Engine>),
    };
    opened.map_err(|why| Error::DamagedData { path, why })
}

fn failed(why: impl std::fmt::Display) -> StoreError {
    StoreError(why.to_string())
}
