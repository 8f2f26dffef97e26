//! Where the records live: read while an event is handled, written as one atomic batch when it is done.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};

use crate::record;

/// An ordered map of byte strings. What a finished event has written is visible at once; that it is on disk is
/// said later, by [`Event::Flushed`](crate::Event::Flushed).
pub trait Store {
    /// The record under `key`.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is damaged; never `None` for a record that should be there.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the records with the given prefix from `from` on, ascending, until `visit` breaks.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Visits the records with the given prefix below `before` (all of them, if not given), descending, until `visit` breaks.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// Called with each record of a scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The store could not do what was asked; the text says what and with which file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed: {}", self.0)
    }
}

impl std::error::Error for StoreError {}

/// The number of a batch of one core: batches are flushed in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchSeq(pub u64);

/// Records to put, or to remove where there is no value.
pub(crate) type Edits = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Everything one event wrote: all of it reaches the disk, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub seq: BatchSeq,
    /// Records to put, or to remove where there is no value.
    pub edits: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// The keys it changes.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.edits.keys().filter_map(|path| record::changed_key(path))
    }
}

/// The store as the event being handled sees it: its own edits first.
pub(crate) struct Txn<'s> {
    store: &'s dyn Store,
    edits: Edits,
}

impl<'s> Txn<'s> {
    pub(crate) fn new(store: &'s dyn Store, edits: Edits) -> Self {
        Self { store, edits }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.edits.get(key) {
            Some(edit) => Ok(edit.clone()),
            None => self.store.get(key),
        }
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.edits.insert(key, Some(value));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.edits.insert(key, None);
    }

    /// As [`Store::scan`], with the event's own edits merged in.
    pub(crate) fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let from_either = (Bound::Included(from.max(prefix)), Bound::Unbounded);
        let own = self.edits.range::<[u8], _>(from_either).take_while(|(key, _)| key.starts_with(prefix));
        let own = own.map(|(key, edit)| (key.as_slice(), edit.as_deref()));
        merge_scan(own, Ordering::Less, visit, |visit| self.store.scan(prefix, from, visit))
    }

    /// As [`Store::scan_back`], with the event's own edits merged in.
    pub(crate) fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let end = before.map_or_else(|| prefix_end(prefix), |before| Some(before.to_vec()));
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let own = self.edits.range::<[u8], _>((Bound::Included(prefix), end)).rev();
        let own = own.map(|(key, edit)| (key.as_slice(), edit.as_deref()));
        merge_scan(own, Ordering::Greater, visit, |visit| self.store.scan_back(prefix, before, visit))
    }

    pub(crate) fn edits(&self) -> &Edits {
        &self.edits
    }

    /// Goes back to what it had.
    pub(crate) fn set_edits(&mut self, edits: Edits) {
        self.edits = edits;
    }

    pub(crate) fn into_edits(self) -> Edits {
        self.edits
    }
}

/// Visits what lies below and what lies above it in one order (`Less`: ascending): of a record in both, what lies above, where
/// `None` says that it was removed.
///
/// # Errors
/// Those of `below`.
pub fn merge_scan<'o, E>(
    above: impl Iterator<Item = (&'o [u8], Option<&'o [u8]>)>,
    order: Ordering,
    visit: &mut Visit<'_>,
    below: impl FnOnce(&mut Visit<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut above = above.peekable();
    let mut stopped = false;
    below(&mut |key, value| {
        while let Some((mine, edit)) = above.next_if(|(mine, _)| (*mine).cmp(key) == order) {
            if edit.is_some_and(|value| visit(mine, value).is_break()) {
                stopped = true;
                return ControlFlow::Break(());
            }
        }
        let flow = match above.next_if(|(mine, _)| *mine == key) {
            Some((_, None)) => ControlFlow::Continue(()),
            Some((_, Some(newer))) => visit(key, newer),
            None => visit(key, value),
        };
        stopped = flow.is_break();
        flow
    })?;
    while !stopped {
        let Some((mine, edit)) = above.next() else { break };
        stopped = edit.is_some_and(|value| visit(mine, value).is_break());
    }
    Ok(())
}

/// The first key behind all that begin with the prefix; `None` if there can be none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A store in memory: for tests, the simulator, and servers without a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a batch.
    pub fn apply(&mut self, batch: &Batch) {
        for (key, edit) in &batch.edits {
            match edit {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Is there no record?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.records.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let start = from.max(prefix).to_vec();
        for (key, value) in self.records.range(start..).take_while(|(key, _)| key.starts_with(prefix)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let end = before.map_or_else(|| prefix_end(prefix), |before| Some(before.to_vec()));
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.records.range::<[u8], _>((Bound::Included(prefix), end)).rev() {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, BatchSeq, MemoryStore, Txn};
    use std::ops::ControlFlow;

    #[test]
    fn a_scan_sees_the_edits_of_its_own_event_in_order() {
        let mut store = MemoryStore::new();
        let edits = ["pb", "pd", "q"].map(|key| (key.as_bytes().to_vec(), Some(b"old".to_vec())));
        store.apply(&Batch { seq: BatchSeq(1), edits: edits.into() });
        let mut txn = Txn::new(&store, super::Edits::new());
        txn.put(b"pa".to_vec(), b"new".to_vec());
        txn.put(b"pb".to_vec(), b"new".to_vec());
        txn.remove(b"pd".to_vec());
        txn.put(b"pe".to_vec(), b"new".to_vec());
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            seen.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
            ControlFlow::Continue(())
        };
        txn.scan(b"p", b"p", &mut visit).unwrap();
        txn.scan_back(b"p", None, &mut visit).unwrap();
        txn.scan_back(b"p", Some(b"pb"), &mut visit).unwrap();
        assert_eq!(seen, ["pa=new", "pb=new", "pe=new", "pe=new", "pb=new", "pa=new", "pa=new"]);
    }
}
