//! A disk with a page cache: what is written is visible at once and durable only after a sync; a crash keeps a
//! prefix of what was not yet synced, and no half of any batch.

use std::collections::VecDeque;

use crate::{Batch, BatchSeq, MemoryStore};

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) visible: MemoryStore,
    durable: MemoryStore,
    unsynced: VecDeque<Batch>,
    /// How many more batches fit, if it is about to be full.
    pub(crate) room_batches: Option<usize>,
}

impl Disk {
    pub(crate) fn write(&mut self, batch: Batch) {
        self.visible.apply(&batch);
        self.unsynced.push_back(batch);
    }

    pub(crate) fn last_written(&self) -> Option<BatchSeq> {
        self.unsynced.back().map(|batch| batch.seq)
    }

    /// Is there room for one more?
    pub(crate) fn takes_one(&mut self) -> bool {
        match &mut self.room_batches {
            Some(0) => false,
            Some(room) => {
                *room -= 1;
                true
            }
            None => true,
        }
    }

    /// Says whether all of it found room.
    pub(crate) fn sync(&mut self, upto: BatchSeq) -> bool {
        while self.unsynced.front().is_some_and(|batch| batch.seq <= upto) {
            if !self.takes_one() {
                return false;
            }
            if let Some(batch) = self.unsynced.pop_front() {
                self.durable.apply(&batch);
            }
        }
        true
    }

    /// The machine stops; `kept` of the unsynced batches happen to have reached the disk, if there was room.
    pub(crate) fn crash(&mut self, kept: usize) {
        let kept = kept.min(self.room_batches.unwrap_or(usize::MAX));
        for batch in self.unsynced.drain(..).take(kept) {
            self.durable.apply(&batch);
        }
        self.unsynced.clear();
        self.visible = self.durable.clone();
    }

    /// A crash as no real engine here allows it: of the unsynced batches, only the records that `reached` picks
    /// are on disk.
    pub(crate) fn crash_tearing(&mut self, reached: impl Fn(&[u8]) -> bool) {
        for mut batch in self.unsynced.drain(..) {
            batch.edits.retain(|key, _| reached(key));
            self.durable.apply(&batch);
        }
        self.visible = self.durable.clone();
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(crate) fn durable(&self) -> &MemoryStore {
        &self.durable
    }

    /// A record is gone, and nothing says so.
    pub(crate) fn lose(&mut self, key: &[u8]) {
        let edits = std::collections::BTreeMap::from([(key.to_vec(), None)]);
        let batch = Batch { seq: BatchSeq::default(), edits };
        self.visible.apply(&batch);
        self.durable.apply(&batch);
    }

    /// The disk is replaced by an older copy of it.
    pub(crate) fn restore(&mut self, copy: MemoryStore) {
        *self = Self { visible: copy.clone(), durable: copy, ..Self::default() };
    }
}
