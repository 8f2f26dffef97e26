//! Damaged records set aside, and what can be read of them put into new ones.
//!
//! ```text
//! records.mending   is written                         an interrupted one is begun again
//! records.mended    everything in it is on disk        takes the place of `records`, if that is gone
//! records.damaged-7 what was there before, as it was
//! ```
//! So that at any time one name or the other leads to a whole store, and the damaged one is never opened half.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checked::Checked;
use super::ledger::{Entry, Ledger};
use super::note::{Missing, NOTE, Note};
use super::salvage::salvage;
use super::{Edits, Engine, EngineError, EngineKind, Loss, Sync, beside, open_raw, redb, rescue};
use crate::error::Error;

/// How many bytes of records are written in one batch.
const BATCH_BYTES: usize = 1024 * 1024;

/// What came of it.
pub struct Mended {
    /// Where the damaged records are now; nowhere if there were none.
    pub aside: Option<PathBuf>,
    /// What is lost.
    pub loss: Loss,
}

/// Says which records are wanted, by their keys.
pub type Wanted<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// Writes what belongs to mended records beside those that were kept.
pub type Complete<'a> = dyn Fn(&Arc<dyn Engine>, &mut Loss) -> Result<(), EngineError> + 'a;

/// Sets the records aside, under this ending, and puts in their place those of them that are whole and wanted, and what `complete` writes.
/// Nothing is read of the damaged records if none are wanted.
///
/// # Errors
/// If the new ones cannot be written, or nothing at all can be read of the old ones and some are wanted: the old are left where they are then.
pub fn mend(
    kind: EngineKind,
    directory: &Path,
    ending: &str,
    wanted: Option<&Wanted<'_>>,
    complete: &Complete<'_>,
) -> Result<Mended, Error> {
    let Some(path) = kind.path(directory) else {
        let why = "records in memory are gone with the process, and cannot be mended".to_owned();
        return Err(Error::of_records(directory, EngineError::Failed(why)));
    };
    let (mending, mended, scratch) = (beside(&path, ".mending"), beside(&path, ".mended"), beside(&path, ".scratch"));
    let io_failed = |why| Error::of_records(&path, EngineError::from(why));
    remove(&mending).and_then(|()| remove(&scratch)).map_err(io_failed)?;
    let ledger = Ledger::create(&mending)?;
    let mut loss = Loss::default();
    let write = |loss: &mut Loss| -> Result<(), EngineError> {
        let records: Arc<dyn Engine> = Arc::new(Checked::open(open_raw(kind, &mending)?, ledger, &mending)?);
        if let Some(wanted) = wanted {
            let old = lay_out(kind, &path, &scratch, loss)?;
            note_end(&path, old.as_ref(), loss)?;
            copy(old.as_ref(), records.as_ref(), wanted, loss)?;
        }
        complete(&records, loss)?;
        records.sync()
    };
    write(&mut loss).map_err(|error| Error::of_records(&path, error))?;
    let exchange = || -> io::Result<Option<PathBuf>> {
        remove(&scratch)?;
        std::fs::rename(&mending, &mended)?;
        let aside = path.exists().then(|| beside(&path, ending));
        if let Some(aside) = &aside {
            std::fs::rename(&path, aside)?;
        }
        std::fs::rename(&mended, &path)?;
        File::open(directory)?.sync_all()?;
        Ok(aside)
    };
    Ok(Mended { aside: exchange().map_err(io_failed)?, loss })
}

/// Brings a mending to its end that was interrupted between two names.
pub(super) fn finish(path: &Path) -> Result<(), Error> {
    let mended = beside(path, ".mended");
    if !mended.exists() {
        return Ok(());
    }
    let done = if path.exists() { remove(&mended) } else { std::fs::rename(&mended, path) };
    done.map_err(|why| Error::of_records(path, EngineError::from(why)))
}

/// Removes a folder that need not be there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// The damaged records in a copy, in which the engine may do what it likes.
fn lay_out(kind: EngineKind, path: &Path, scratch: &Path, loss: &mut Loss) -> Result<Box<dyn Engine>, EngineError> {
    let entry = Ledger::open(path).map_or_else(|_| Entry::default(), |ledger| ledger.entry());
    match kind {
        EngineKind::Fjall => Ok(Box::new(rescue::open_readable(path, scratch, &entry, loss)?)),
        EngineKind::Memory => open_raw(kind, path),
        EngineKind::Redb => {
            std::fs::create_dir_all(scratch)?;
            std::fs::copy(redb::file(path), redb::file(scratch))?;
            Ok(Box::new(redb::Redb::open_unchecked(scratch)?))
        }
    }
}

/// Notes batches that are missing at the end: an engine may have gone back before them.
fn note_end(path: &Path, old: &dyn Engine, loss: &mut Loss) -> Result<(), EngineError> {
    let entry = Ledger::open(path).map_or_else(|_| Entry::default(), |ledger| ledger.entry());
    let owed = if old.wants_syncs() { entry.synced } else { entry.owed() };
    let last = old.get(NOTE)?.and_then(|record| Note::unseal(&record)).map_or(0, |note| note.number);
    if last < owed {
        loss.other.push(format!("{} at the end", Missing::between(last, owed)));
    }
    Ok(())
}

fn copy(old: &dyn Engine, new: &dyn Engine, wanted: &Wanted<'_>, loss: &mut Loss) -> Result<(), EngineError> {
    let (mut batch, mut bytes) = (BTreeMap::new(), 0);
    let write = |batch: &mut BTreeMap<Vec<u8>, Vec<u8>>| {
        let mut edits = batch.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
        let edits: &mut Edits<'_> = &mut edits;
        new.write(edits, Sync::Later)
    };
    salvage(old, loss, |key, value| {
        if wanted(key) {
            bytes += key.len() + value.len();
            batch.insert(key.to_vec(), value.to_vec());
        }
        if bytes >= BATCH_BYTES {
            write(&mut batch)?;
            (batch, bytes) = (BTreeMap::new(), 0);
        }
        Ok(())
    })?;
    write(&mut batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::open;

    #[test]
    fn a_mending_that_was_interrupted_between_two_names_is_brought_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let write = |value: &[u8]| {
            let engine = open(EngineKind::Fjall, folder.path()).unwrap();
            engine.write(&mut std::iter::once((b"K".as_slice(), Some(value))), Sync::Disk).unwrap();
        };
        let read = || open(EngineKind::Fjall, folder.path()).unwrap().get(b"K").unwrap();
        let (records, mended) = (folder.path().join("records"), folder.path().join("records.mended"));
        write(b"mended");
        std::fs::rename(&records, &mended).unwrap();
        assert_eq!((read(), mended.exists()), (Some(b"mended".to_vec()), false), "the old ones were set aside");
        std::fs::rename(&records, &mended).unwrap();
        std::fs::create_dir(folder.path().join("other")).unwrap();
        std::fs::create_dir(&records).unwrap();
        assert_eq!((read(), mended.exists()), (None, false), "the old ones were still there: it is done again");
    }
}
