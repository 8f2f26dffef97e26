//! The number of a batch, written with it: one record that every batch puts.
//!
//! ```text
//! 'N' "/batch" -> version:1 store:8 number:8 place:8 synced:8 crc:4      big-endian; crc as of every record
//! ```
//! Numbers have no gaps, so a batch that is missing between others is missed. `place` is what the engine's journal could at
//! least have counted the batch as: fjall's checksums do not cover its own count, and a batch with another count would be taken
//! for an older one. `store` is drawn when the records are made: bytes a client has sent are not taken for a batch of ours.

use std::fmt;

use super::envelope;

/// Where it stands.
pub(super) const NOTE: &[u8] = b"N/batch";
const VERSION: u8 = 1;

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Whose batch it is.
    pub(super) store: u64,
    /// Which one.
    pub(super) number: u64,
    /// The least the engine's journal can have counted it as.
    pub(super) place: u64,
    /// The last batch that was synced before this was written.
    pub(super) synced: u64,
}

impl Note {
    /// The record's value, without its checksum.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for number in [self.store, self.number, self.place, self.synced] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out
    }

    /// The note in a record as an engine keeps it; nothing if it is none.
    pub(super) fn unseal(record: &[u8]) -> Option<Self> {
        let (version, numbers) = envelope::unseal(NOTE, record)?.split_first()?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        let [store, number, place, synced] = numbers else { return None };
        let [store, number, place, synced] = [store, number, place, synced].map(|bytes| u64::from_be_bytes(*bytes));
        (*version == VERSION && rest.is_empty()).then_some(Self { store, number, place, synced })
    }
}

/// Numbers of batches that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    first: u64,
    last: u64,
}

impl Missing {
    /// Those behind one that is there, up to another.
    pub(super) fn between(there: u64, last: u64) -> Self {
        Self { first: there + 1, last }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "batch {}", self.first)
        } else {
            write!(f, "batches {} to {}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NOTE, Note};
    use crate::engine::envelope;

    #[test]
    fn a_note_reads_back_and_nothing_else_is_one() {
        let note = Note { store: 7, number: 1 << 40, place: 3, synced: 2 };
        let mut record = Vec::new();
        envelope::seal(NOTE, &note.encode(), &mut record);
        assert_eq!(Note::unseal(&record), Some(note));
        let mut longer = Vec::new();
        envelope::seal(NOTE, &[note.encode(), vec![0]].concat(), &mut longer);
        assert_eq!(Note::unseal(&longer), None);
        assert_eq!(Note::unseal(&[]), None);
    }
}
