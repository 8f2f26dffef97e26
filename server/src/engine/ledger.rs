//! How far the numbers of batches have come, in a file beside the engine's own: an end of the records that is gone is missed by it.
//!
//! ```text
//! two slots, at 0 and 4096, written in turn:
//! "dtlg" version:1 suspect:1 store:8 turn:8 written:8 synced:8 place:8 boot:16 crc32:4      big-endian
//! ```
//! It is written after each batch and so is never ahead of the records; it is behind them by a batch if the process was killed
//! in between, and by up to a second's batches after a power loss, for it is synced that seldom. What was only handed to the operating
//! system counts as long as that runs (`boot` is the kernel's name for one run of it); afterwards, what was synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

const MAGIC: &[u8; 4] = b"dtlg";
/// 1 was before there were groups of recent records, and is read as well.
const VERSION: u8 = 2;
const SLOT_BYTES: u64 = 4096;
const ENTRY_BYTES: usize = 4 + 2 + 5 * 8 + 16 + 4;
/// How often it is synced.
const INTERVAL: Duration = Duration::from_secs(1);

/// What it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Which records it belongs to.
    pub(super) store: u64,
    /// The last batch that was written.
    pub(super) written: u64,
    /// The last batch that was synced.
    pub(super) synced: u64,
    /// What the engine's journal counts a batch as that is written after the last one, at least.
    pub(super) place: u64,
    /// Was a damaged record met?
    pub(super) is_suspect: bool,
    /// The run of the operating system in which it was written.
    pub(super) boot: [u8; 16],
}

impl Entry {
    /// The batch up to which everything must be there, with an engine that has handed the operating system what it has written.
    pub(super) fn owed(&self) -> u64 {
        if self.boot != [0; 16] && self.boot == boot() { self.written } else { self.synced }
    }

    fn encode(&self, turn: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([VERSION, u8::from(self.is_suspect)]);
        for number in [self.store, turn, self.written, self.synced, self.place] {
            out.extend(number.to_be_bytes());
        }
        out.extend(self.boot);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Result<(u64, Self), Unreadable> {
        let (entry, checksum) = bytes.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
        if u32::from_be_bytes(*checksum) != crc32fast::hash(entry) {
            return Err(Unreadable::Damaged);
        }
        let (head, rest) = entry.split_first_chunk::<6>().ok_or(Unreadable::Damaged)?;
        if !head.starts_with(MAGIC) || !(1..=VERSION).contains(&head[4]) {
            return Err(Unreadable::OtherVersion);
        }
        let (numbers, boot) = rest.split_last_chunk::<16>().ok_or(Unreadable::Damaged)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [store, turn, written, synced, place] = numbers else { return Err(Unreadable::Damaged) };
        let [store, turn, written, synced, place] =
            [store, turn, written, synced, place].map(|bytes| u64::from_be_bytes(*bytes));
        Ok((turn, Self { store, written, synced, place, is_suspect: head[5] != 0, boot: *boot }))
    }
}

/// Why a slot says nothing.
enum Unreadable {
    Damaged,
    OtherVersion,
}

/// What the kernel calls its current run; nothing is remembered as handed over where it does not say.
fn boot() -> [u8; 16] {
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    uuid::Uuid::parse_str(name.trim()).map_or([0; 16], uuid::Uuid::into_bytes)
}

/// The file.
pub(super) struct Ledger {
    file: File,
    state: Mutex<State>,
}

struct State {
    turn: u64,
    entry: Entry,
    synced_at: Instant,
}

impl Ledger {
    /// The one of records that do not exist yet.
    ///
    /// # Errors
    /// [`Error::Directory`] if it cannot be made.
    pub(super) fn create(records: &Path) -> Result<Self, Error> {
        let made = || -> io::Result<Self> {
            std::fs::create_dir_all(records)?;
            // Under its name only when it is whole: records without one are refused.
            let (path, draft) = (records.join("ledger"), records.join("ledger.new"));
            let file = File::options().create(true).truncate(true).read(true).write(true).open(&draft)?;
            let entry = Entry { store: uuid::Uuid::new_v4().as_u64_pair().0, boot: boot(), ..Entry::default() };
            for turn in [0, 1] {
                let mut slot = entry.encode(turn);
                slot.resize(SLOT_BYTES as usize, 0);
                file.write_all_at(&slot, turn * SLOT_BYTES)?;
            }
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(records)?.sync_all()?;
            Ok(Self { file, state: Mutex::new(State { turn: 1, entry, synced_at: Instant::now() }) })
        };
        made().map_err(|why| Error::Directory(records.to_owned(), why))
    }

    /// The one of existing records.
    ///
    /// # Errors
    /// [`Error::OtherVersion`] if there is none, or one of another release; [`Error::DamagedData`] if it cannot be read.
    pub(super) fn open(records: &Path) -> Result<Self, Error> {
        let path = records.join("ledger");
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                // A process that was killed while it made its first ledger had no records.
                return if std::fs::remove_dir(records).is_ok() || only_drafts(records) {
                    Self::create(records)
                } else {
                    Err(Error::OtherVersion(records.to_owned()))
                };
            }
            Err(why) => return Err(Error::Directory(path, why)),
        };
        let slots = [0, 1].map(|slot| {
            let mut bytes = [0; ENTRY_BYTES];
            match file.read_exact_at(&mut bytes, slot * SLOT_BYTES) {
                Ok(()) => Entry::decode(&bytes),
                Err(_) => Err(Unreadable::Damaged),
            }
        });
        let is_of_another = slots.iter().all(|slot| matches!(slot, Err(Unreadable::OtherVersion)));
        match slots.into_iter().filter_map(Result::ok).max_by_key(|(turn, _)| *turn) {
            Some((turn, entry)) => {
                Ok(Self { file, state: Mutex::new(State { turn, entry, synced_at: Instant::now() }) })
            }
            None if is_of_another => Err(Error::OtherVersion(records.to_owned())),
            None => Err(Error::DamagedData { path: records.to_owned(), why: "its ledger cannot be read".to_owned() }),
        }
    }

    /// What it says now.
    pub(super) fn entry(&self) -> Entry {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).entry
    }

    /// Changes what it says.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn change(&self, how: impl FnOnce(&mut Entry)) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut state.entry);
        state.turn += 1;
        self.file.write_all_at(&state.entry.encode(state.turn), state.turn % 2 * SLOT_BYTES)?;
        if state.synced_at.elapsed() >= INTERVAL {
            self.file.sync_data()?;
            state.synced_at = Instant::now();
        }
        Ok(())
    }

    /// Remembers this run of the operating system, at an opening that has found everything there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn begin(&self, last: u64) -> io::Result<()> {
        // Where the batch behind the last one stands is known of the last one written here only.
        let place = |entry: &Entry| if entry.written == last { entry.place } else { u64::MAX };
        self.change(|entry| *entry = Entry { written: last, place: place(entry), boot: boot(), ..*entry })?;
        self.file.sync_data()
    }
}

/// Is there nothing but what an interrupted beginning has left?
fn only_drafts(records: &Path) -> bool {
    let Ok(mut entries) = std::fs::read_dir(records) else { return !records.exists() };
    entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "ledger.new"))
}

#[cfg(test)]
mod tests {
    use super::{Entry, Ledger};

    #[test]
    fn of_two_slots_one_may_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        let ledger = Ledger::create(&records).unwrap();
        for written in 1..=5 {
            ledger.change(|entry| *entry = Entry { written, ..*entry }).unwrap();
        }
        drop(ledger);
        let path = records.join("ledger");
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(Ledger::open(&records).unwrap().entry().written, 5);
        for (broken, left) in [(vec![0], 4), (vec![4096], 5), (vec![20], 4)].map(|(at, left)| (at, left)) {
            let mut bytes = whole.clone();
            // The fifth change is turn 6, in the first slot.
            broken.iter().for_each(|at: &usize| bytes[*at] ^= 1);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Ledger::open(&records).unwrap().entry().written, left, "{broken:?}");
        }
        let mut bytes = whole;
        (bytes[10], bytes[4106]) = (bytes[10] ^ 1, bytes[4106] ^ 1);
        std::fs::write(&path, bytes).unwrap();
        assert!(Ledger::open(&records).err().unwrap().to_string().contains("ledger cannot be read"));
    }

    #[test]
    fn records_of_another_release_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        std::fs::create_dir(&records).unwrap();
        std::fs::write(records.join("0.jnl"), b"something").unwrap();
        assert!(Ledger::open(&records).err().unwrap().to_string().contains("another release"));
    }
}
