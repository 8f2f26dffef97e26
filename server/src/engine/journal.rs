//! The journals of fjall 3, read before fjall reads them: it takes a batch that it cannot read for a last write that was torn and
//! cuts off everything from there on, without a word, or refuses a last write that was torn indeed (inside a long value).
//!
//! ```text
//! journal = batch .. zeros          files <id>.jnl, the greatest id is written to; numbers little-endian
//! batch   = 1 items:4 seqno:8  item ..  3 xxh3(items):8 "FJL" 3
//! item    = 2 type:1 compression:1 keyspace:8 key_len:2 value_len:4 stored_len:4 key stored
//! ```
//! Each batch holds a [`Note`]. A batch that is not whole is a torn write if it stands at the end of the last journal, nothing
//! that was acknowledged is missing with it ([`Entry::owed`]), and no later batch says that it was synced. Everything else is damage.
//!
//! fjall's checksum does not cover `seqno`, by which it puts batches in order. It lies between the places of the batch's note and
//! of the next one; else it was changed, and is put right when the journal is written anew.

use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::ledger::Entry;
use super::note::{Missing, NOTE, Note};
use super::{EngineError, Loss};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
/// So many keys of a batch are named.
const NAMED: usize = 20;
const TRAILER: &[u8] = b"FJL\x03";
/// Where the sequence number stands in a batch.
const SEQNO: Range<usize> = 5..13;

/// One whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Batch {
    seqno: u64,
    note: Note,
    end: usize,
}

/// Takes bytes from the front.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// A little-endian number of so many bytes.
    fn number(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn len(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.number(bytes)?).ok()
    }

    fn tag(&mut self, tag: u8) -> Option<()> {
        (self.number(1)? == u64::from(tag)).then_some(())
    }
}

/// The batch that begins there, if it is whole and one of this store's.
fn batch_at(bytes: &[u8], at: usize, store: u64) -> Option<Batch> {
    let mut reader = Reader { bytes, at };
    reader.tag(START)?;
    let items = reader.number(4)?;
    let seqno = reader.number(8)?;
    let (mut hasher, mut note) = (Xxh3::new(), None);
    for _ in 0..items {
        let from = reader.at;
        reader.tag(ITEM)?;
        reader.take(2 + 8)?;
        let (key, _, stored) = (reader.len(2)?, reader.len(4)?, reader.len(4)?);
        let (key, stored) = (reader.take(key)?, reader.take(stored)?);
        if key == NOTE {
            note = Note::unseal(stored);
        }
        hasher.update(&bytes[from..reader.at]);
    }
    reader.tag(END)?;
    let checksum = reader.number(8)?;
    let is_whole = checksum == hasher.digest() && reader.take(TRAILER.len())? == TRAILER;
    // 0: the ledger that knew it is gone.
    let note = note.filter(|note| is_whole && (note.store == store || store == 0))?;
    Some(Batch { seqno, note, end: reader.at })
}

/// The keys of a batch that is not whole, as far as they can be made out.
fn keys_at(bytes: &[u8], at: usize) -> Vec<Vec<u8>> {
    let mut reader = Reader { bytes, at: at + SEQNO.end };
    let mut next = || {
        reader.tag(ITEM)?;
        reader.take(2 + 8)?;
        let (key, _, stored) = (reader.len(2)?, reader.len(4)?, reader.len(4)?);
        let key = reader.take(key)?.to_vec();
        reader.take(stored)?;
        Some(key)
    };
    std::iter::from_fn(&mut next).take(NAMED).collect()
}

/// One journal, examined.
struct Journal {
    path: PathBuf,
    /// The bytes up to the zeros at its end.
    used: usize,
    /// Where whole batches stand one behind the other.
    runs: Vec<Range<usize>>,
    /// Where their sequence numbers are wrong, and what they are to be.
    wrong: Vec<(usize, u64)>,
}

/// What the journals of one store are like.
pub(super) struct Journals {
    files: Vec<Journal>,
    /// Batches that are missing, as far as it shows.
    missing: Vec<Missing>,
    /// Keys in what is no whole batch.
    doubtful: Vec<Vec<u8>>,
    /// How many sequence numbers were changed.
    changed: usize,
    /// The whole batches before the first that is not, the last journal's end: what is torn there.
    torn_at: Option<usize>,
    /// The last number before what is torn.
    last: Option<u64>,
    /// The last batch that any says was synced.
    synced: u64,
    is_damaged: bool,
}

impl Journals {
    /// Reads the journals of a store.
    ///
    /// # Errors
    /// If a file cannot be read at all.
    pub(super) fn examine(records: &Path, entry: &Entry) -> Result<Self, EngineError> {
        let mut all = Self {
            files: Vec::new(),
            missing: Vec::new(),
            doubtful: Vec::new(),
            changed: 0,
            torn_at: None,
            last: None,
            synced: 0,
            is_damaged: false,
        };
        let paths = journals_in(records)?;
        let mut before: Option<(Batch, usize)> = None;
        for (index, path) in paths.iter().enumerate() {
            let is_last = index + 1 == paths.len();
            all.read(path.clone(), is_last, entry, &mut before)?;
        }
        if let Some((last, at)) = before {
            // What comes after the last is known only if the ledger speaks of it.
            let next = if last.note.number == entry.written { entry.place } else { u64::MAX };
            all.check_place(&last, at, next);
        }
        if all.torn_at.is_some() {
            let last = all.last.unwrap_or(0);
            let is_owed = all.last.is_some() && last < entry.owed().max(all.synced);
            all.is_damaged |= is_owed;
        }
        Ok(all)
    }

    fn read(
        &mut self,
        path: PathBuf,
        is_last: bool,
        entry: &Entry,
        before: &mut Option<(Batch, usize)>,
    ) -> Result<(), EngineError> {
        let bytes = std::fs::read(&path)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.files.push(Journal { path, used, runs: Vec::new(), wrong: Vec::new() });
        let mut at = 0;
        while at < bytes.len() {
            let (found, from) = match batch_at(&bytes, at, entry.store) {
                Some(batch) => (Some(batch), at),
                None if at >= used => break,
                None => {
                    let next =
                        (at + 1..bytes.len()).find_map(|from| Some((batch_at(&bytes, from, entry.store)?, from)));
                    self.meet_fault(at, is_last, next.is_some());
                    self.doubtful.extend(keys_at(&bytes, at));
                    next.map_or((None, bytes.len()), |(batch, from)| (Some(batch), from))
                }
            };
            let Some(batch) = found else { break };
            self.take(batch.clone(), from, before);
            at = batch.end;
        }
        Ok(())
    }

    /// Something stands there that is no whole batch.
    fn meet_fault(&mut self, at: usize, is_last: bool, is_followed: bool) {
        self.is_damaged |= !is_last || (is_followed && self.last.is_none());
        if is_last && self.torn_at.is_none() {
            self.torn_at = Some(at);
        }
    }

    fn take(&mut self, batch: Batch, from: usize, before: &mut Option<(Batch, usize)>) {
        let file = self.files.len() - 1;
        if let Some((last, at)) = before.take() {
            let expected = last.note.number + 1;
            if batch.note.number > expected {
                self.missing.push(Missing::between(last.note.number, batch.note.number - 1));
            }
            // Behind what is torn, nothing else has to be in order.
            self.is_damaged |= batch.note.number != expected && self.torn_at.is_none();
            self.check_place(&last, at, batch.note.place);
        }
        self.synced = self.synced.max(batch.note.synced);
        if self.torn_at.is_none() {
            self.last = Some(batch.note.number);
        }
        let runs = &mut self.files[file].runs;
        match runs.last_mut().filter(|run| run.end == from) {
            Some(run) => run.end = batch.end,
            None => runs.push(from..batch.end),
        }
        // Its place is judged when the next one is known: by then in which file it stood.
        *before = Some((batch, file << 40 | from));
    }

    fn check_place(&mut self, batch: &Batch, at: usize, next: u64) {
        if !(batch.note.place..next).contains(&batch.seqno) {
            self.changed += 1;
            self.is_damaged = true;
            let (file, from) = (at >> 40, at & ((1 << 40) - 1));
            self.files[file].wrong.push((from, batch.note.place));
        }
    }

    /// What is damaged, if anything is.
    pub(super) fn damage(&self, entry: &Entry) -> Option<String> {
        self.is_damaged.then(|| {
            let mut what: Vec<String> =
                self.missing.iter().map(|missing| format!("{missing} cannot be read")).collect();
            if let (Some(_), Some(last), true) = (self.torn_at, self.last, self.missing.is_empty()) {
                let end = entry.owed().max(self.synced).max(last + 1);
                what.push(format!("{} at the end cannot be read", Missing::between(last, end)));
            }
            if self.changed > 0 {
                what.push(format!("the order of {} batches was changed", self.changed));
            }
            if what.is_empty() { "a journal cannot be read".to_owned() } else { what.join(", ") }
        })
    }

    /// Cuts a torn last write off, and keeps what is cut off beside the journal.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn cut_torn(&self) -> Result<(), EngineError> {
        let (Some(at), Some(file)) = (self.torn_at, self.files.last()) else { return Ok(()) };
        let mut bytes = std::fs::read(&file.path)?.split_off(at);
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        let kept = file.path.with_extension(format!("torn-{at}"));
        std::fs::write(&kept, &bytes)?;
        let journal = std::fs::File::options().write(true).open(&file.path)?;
        journal.set_len(at as u64)?;
        journal.sync_all()?;
        tracing::warn!(
            "the last write before the end was torn and never acknowledged: its {} bytes were cut off and are in {}",
            bytes.len(),
            kept.display()
        );
        Ok(())
    }

    /// Writes every whole batch into journals of the same names in another folder.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn write_whole(&self, into: &Path) -> Result<(), EngineError> {
        for journal in &self.files {
            let mut bytes = std::fs::read(&journal.path)?;
            for (at, seqno) in &journal.wrong {
                bytes[*at..][SEQNO].copy_from_slice(&seqno.to_le_bytes());
            }
            let whole: Vec<u8> = journal.runs.iter().flat_map(|run| &bytes[run.clone()]).copied().collect();
            std::fs::write(into.join(journal.path.file_name().unwrap_or_default()), whole)?;
        }
        Ok(())
    }

    /// Notes what is no whole batch.
    pub(super) fn note_loss(&self, loss: &mut Loss) {
        loss.other.extend(self.missing.iter().map(|missing| format!("{missing} of the journal")));
        let whole = |journal: &Journal| journal.runs.iter().map(ExactSizeIterator::len).sum::<usize>();
        let left: usize = self.files.iter().map(|journal| journal.used - whole(journal)).sum();
        if left > 0 {
            loss.other.push(format!("{left} bytes of the journal that are no whole batch"));
        }
        loss.keys.extend(self.doubtful.iter().filter(|key| key.as_slice() != NOTE).cloned());
    }
}

/// The journals below a folder, in order.
fn journals_in(records: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(records)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "jnl") {
            let id = path.file_stem().and_then(|id| id.to_str()).and_then(|id| id.parse::<u64>().ok());
            let id = id.ok_or_else(|| EngineError::Damaged(format!("{} is no journal's name", path.display())))?;
            found.push((id, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Journals, SEQNO, batch_at};
    use crate::engine::ledger::Entry;
    use crate::engine::note::Note;
    use crate::engine::{EngineKind, Loss, Sync, open, open_raw};

    /// A store of ten batches in one journal, the bytes of that, and the ledger's last word.
    fn ten_batches(folder: &Path) -> (Vec<u8>, Entry) {
        let engine = open(EngineKind::Fjall, folder).unwrap();
        for n in 0..10_u8 {
            let value = vec![n; 200];
            engine.write(&mut std::iter::once((b"K".as_slice(), Some(value.as_slice()))), Sync::Disk).unwrap();
        }
        drop(engine);
        let records = folder.join("records");
        let entry = super::super::Ledger::open(&records).unwrap().entry();
        let journal = records.join("0.jnl");
        let bytes = std::fs::read(&journal).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        std::fs::write(&journal, &bytes[..end]).unwrap();
        (bytes[..end].to_vec(), entry)
    }

    fn starts(bytes: &[u8], store: u64) -> Vec<usize> {
        let mut starts = vec![0];
        while let Some(batch) = batch_at(bytes, *starts.last().unwrap(), store) {
            starts.push(batch.end);
        }
        starts
    }

    #[test]
    fn our_reader_agrees_with_what_fjall_writes() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, entry) = ten_batches(folder.path());
        let starts = starts(&bytes, entry.store);
        assert_eq!((starts.len(), starts.last()), (11, Some(&bytes.len())));
        let last = batch_at(&bytes, starts[9], entry.store).unwrap();
        assert_eq!(last.note, Note { store: entry.store, number: 10, place: last.seqno, synced: 9 });
        assert!(batch_at(&bytes, starts[9], entry.store + 1).is_none(), "another store's batch is none");
        let journals = Journals::examine(&folder.path().join("records"), &entry).unwrap();
        assert!(journals.damage(&entry).is_none() && journals.torn_at.is_none());
    }

    #[test]
    fn every_bit_of_a_journal_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, entry) = ten_batches(folder.path());
        let (records, journal) = (folder.path().join("records"), folder.path().join("records/0.jnl"));
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&journal, flipped).unwrap();
            let journals = Journals::examine(&records, &entry).unwrap();
            assert!(journals.damage(&entry).is_some(), "bit {bit} of {}", bytes.len() * 8);
        }
    }

    #[test]
    fn a_tail_is_torn_only_where_nothing_is_owed() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, entry) = ten_batches(folder.path());
        let (records, journal) = (folder.path().join("records"), folder.path().join("records/0.jnl"));
        let starts = starts(&bytes, entry.store);
        let behind = Entry { written: 9, synced: 9, ..entry };
        for cut in starts[9] + 1..starts[10] {
            std::fs::write(&journal, &bytes[..cut]).unwrap();
            assert!(Journals::examine(&records, &entry).unwrap().damage(&entry).is_some(), "cut at {cut}");
            let journals = Journals::examine(&records, &behind).unwrap();
            assert_eq!((journals.damage(&behind), journals.torn_at), (None, Some(starts[9])), "cut at {cut}");
        }
        // The ledger knows of two batches only; the ninth says that the eighth was synced.
        let mut holed = bytes.clone();
        holed[starts[7] + 40] ^= 1;
        std::fs::write(&journal, &holed).unwrap();
        let old = Entry { written: 2, synced: 2, ..entry };
        assert!(Journals::examine(&records, &old).unwrap().damage(&old).is_some_and(|why| why.contains("batch 8")));
    }

    #[test]
    fn a_changed_order_is_put_right_and_other_damage_leaves_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, entry) = ten_batches(folder.path());
        let (records, journal) = (folder.path().join("records"), folder.path().join("records/0.jnl"));
        let starts = starts(&bytes, entry.store);
        let mut flipped = bytes.clone();
        flipped[starts[9] + SEQNO.start] ^= 0x80;
        flipped[starts[3] + 60] ^= 1;
        std::fs::write(&journal, flipped).unwrap();
        let into = tempfile::tempdir().unwrap();
        let mut loss = Loss::default();
        let journals = Journals::examine(&records, &entry).unwrap();
        journals.write_whole(into.path()).unwrap();
        journals.note_loss(&mut loss);
        assert!(loss.to_string().contains("batch 4"), "{loss}");
        assert_eq!(loss.keys, [b"K"]);
        let written = std::fs::read(into.path().join("0.jnl")).unwrap();
        assert_eq!(written, [&bytes[..starts[3]], &bytes[starts[4]..]].concat());
    }

    #[test]
    fn what_was_never_written_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        drop(open_raw(EngineKind::Fjall, folder.path()).unwrap());
        let entry = Entry::default();
        assert!(Journals::examine(folder.path(), &entry).unwrap().damage(&entry).is_none());
    }
}
