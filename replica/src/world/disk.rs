//! A disk with a page cache: what is written is visible at once and durable only after a sync; a crash keeps a
//! prefix of what was not yet synced, and no half of any batch.

use std::collections::VecDeque;

use crate::{Batch, BatchSeq, MemoryStore};

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) visible: MemoryStore,
    durable: MemoryStore,
    unsynced: VecDeque<Batch>,
}

impl Disk {
    pub(crate) fn write(&mut self, batch: Batch) {
        self.visible.apply(&batch);
        self.unsynced.push_back(batch);
    }

    pub(crate) fn last_written(&self) -> Option<BatchSeq> {
        self.unsynced.back().map(|batch| batch.seq)
    }

    pub(crate) fn sync(&mut self, upto: BatchSeq) {
        while let Some(batch) = self.unsynced.pop_front_if(|batch| batch.seq <= upto) {
            self.durable.apply(&batch);
        }
    }

    /// The machine stops; `kept` of the unsynced batches happen to have reached the disk.
    pub(crate) fn crash(&mut self, kept: usize) {
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
        *self = Self { visible: copy.clone(), durable: copy, unsynced: VecDeque::new() };
    }
}
