//! Taking in what happened elsewhere: single events, and other replicas' states.

use crdt::reading;

use crate::id::{Cell, Context, Dot};
use crate::message::{Change, KeyState};
use crate::partition::{OpenCell, OpenKey, Partition};
use crate::place::{CellId, Place};
use crate::record::{CellState, DotTable, encode};
use crate::store::{StoreError, Txn};

/// A merge that changed what is live in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeNote {
    /// The key.
    pub key: Vec<u8>,
    /// The cell.
    pub cell: CellId,
    /// Dots that came to live.
    pub dots_in: Vec<Dot>,
    /// Dots that were replaced or removed.
    pub dots_out: Vec<Dot>,
    /// Siblings before.
    pub siblings_before: usize,
    /// Siblings now.
    pub siblings_after: usize,
}

/// What taking something in brought about.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) merges: Vec<MergeNote>,
    /// One dot with two payloads was met and left alone: somebody writes under a foreign name.
    pub(crate) double_spent: Option<Dot>,
}

impl Partition {
    /// Takes in the events of one command from their coordinator.
    pub(crate) fn incorporate(&mut self, txn: &mut Txn<'_>, changes: &[Change]) -> Result<Joined, StoreError> {
        let mut joined = Joined::default();
        for change in changes {
            if self.meta.clock.contains(&change.dot) {
                continue;
            }
            match &change.place {
                Place::Cell(key, id) => {
                    let mut open = self.open_lossy(txn, key)?;
                    let mut cell = self.load_lossy(txn, &open, id.clone())?;
                    let before = cell.state.live.clone();
                    self.apply_to_cell(txn, &mut open, &mut cell, change);
                    // Plain replication (everything here was seen by the author) is no merge.
                    if before.dots().any(|dot| !change.seen.contains(dot)) {
                        joined.note(key, id, &before, &cell.state.live);
                    }
                    self.store_cell(txn, &mut open, cell);
                    self.close(txn, open);
                }
                Place::Key(key) => {
                    let mut open = self.open(txn, key)?;
                    self.remove_range(txn, &mut open, &change.seen)?;
                    self.count_in(txn, change.dot, &change.place);
                    self.close(txn, open);
                }
                Place::Partition => {
                    self.remove_everything(txn, &change.seen)?;
                    self.count_in(txn, change.dot, &change.place);
                }
            }
        }
        Ok(joined)
    }

    /// One event on one cell: removes all its author had seen, adds its dot unless it was seen here already.
    pub(crate) fn apply_to_cell(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        cell: &mut OpenCell,
        change: &Change,
    ) {
        cell.state.live.discard(&change.seen);
        if let Some(entry) = &change.entry
            && !self.has_seen(open, cell, &change.dot)
        {
            cell.state.live.insert(change.dot, entry.clone());
            if matches!(entry.content, crdt::Content::Reset { .. }) {
                txn.put(DotTable::Resets.record(self.id, &change.dot), encode(&change.place));
            }
        }
        self.count_in(txn, change.dot, &change.place);
        if !self.meta.clock.covers(&change.seen) {
            cell.state.residual.union(&change.seen);
        }
    }

    /// Removes from every cell of the key what was seen, and remembers it for cells that are not here.
    pub(crate) fn remove_range(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        seen: &Context,
    ) -> Result<(), StoreError> {
        for id in self.cell_ids(txn, open)? {
            let mut cell = self.load_cell(txn, open, id)?;
            cell.state.live.discard(seen);
            self.store_cell(txn, open, cell);
        }
        open.record.residual.union(&seen.minus(&self.meta.clock));
        Ok(())
    }

    pub(crate) fn remove_everything(&mut self, txn: &mut Txn<'_>, seen: &Context) -> Result<(), StoreError> {
        for key in self.keys(txn)? {
            let mut open = self.open(txn, &key)?;
            for id in self.cell_ids(txn, &open)? {
                let mut cell = self.load_cell(txn, &open, id)?;
                cell.state.live.discard(seen);
                self.store_cell(txn, &mut open, cell);
            }
            self.close(txn, open);
        }
        self.meta.residual.union(&seen.minus(&self.meta.clock));
        Ok(())
    }

    /// Joins one cell with another replica's. `theirs` is that cell's logical context there; `keep` is what of it
    /// must be remembered here. Does not touch the clock.
    pub(crate) fn join_cell(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        id: &CellId,
        live: &Cell,
        theirs: &[&Context],
        keep: &[&Context],
    ) -> Result<Joined, StoreError> {
        let mut joined = Joined::default();
        let mut cell = self.load_cell(txn, open, id.clone())?;
        let before = cell.state.live.clone();
        let mut after = before.clone();
        match after.join(&self.context_of(open, &cell)[..], live, theirs) {
            Ok(outcome) => {
                for dot in &outcome.added {
                    if let Some(crdt::Content::Reset { .. }) = after.get(dot).map(|entry| &entry.content) {
                        let place = Place::Cell(open.key.clone(), id.clone());
                        txn.put(DotTable::Resets.record(self.id, dot), encode(&place));
                    }
                }
                cell.state.live = after;
                if outcome.changed() {
                    joined.note(&open.key, id, &before, &cell.state.live);
                }
            }
            Err(double) => joined.double_spent = Some(double.0),
        }
        keep.iter().filter(|context| !context.is_empty()).for_each(|context| cell.state.residual.union(context));
        self.store_cell(txn, open, cell);
        Ok(joined)
    }

    /// Joins what the owners that answered a read know together. The clock stays: a cell is not a partition.
    ///
    /// What was removed elsewhere is removed here, but only dots already in the clock are remembered as seen:
    /// to know less than one has been told is always safe in this lattice, and sync brings the rest. So there may be cells
    /// here and no clock, to be dropped should this node not come to own the partition.
    pub(crate) fn repair(&mut self, txn: &mut Txn<'_>, key: &KeyState, clock: &Context) -> Result<Joined, StoreError> {
        let mut joined = Joined::default();
        self.debris = true;
        let mut open = self.open(txn, &key.key.0)?;
        let nothing = CellState::default();
        let listed: Vec<_> = key.cells.iter().map(|(id, state)| (id.clone(), state)).collect();
        let unlisted = if key.whole { self.cell_ids(txn, &open)? } else { Vec::new() };
        let unlisted = unlisted.into_iter().filter(|id| !key.cells.iter().any(|(cell, _)| cell == id));
        let all: Vec<_> = listed.into_iter().chain(unlisted.map(|id| (id, &nothing))).collect();
        for (id, state) in all {
            let theirs = [clock, &key.residual, &state.residual];
            joined.add(self.join_cell(txn, &mut open, &id, &state.live, &theirs, &[])?);
        }
        self.close(txn, open);
        Ok(joined)
    }
}

impl Joined {
    pub(crate) fn add(&mut self, other: Joined) {
        self.merges.extend(other.merges);
        self.double_spent = self.double_spent.or(other.double_spent);
    }

    pub(crate) fn note(&mut self, key: &[u8], cell: &CellId, before: &Cell, after: &Cell) {
        let missing =
            |from: &Cell, of: &Cell| of.dots().filter(|dot| from.get(dot).is_none()).copied().collect::<Vec<_>>();
        let (dots_in, dots_out) = (missing(before, after), missing(after, before));
        if !dots_in.is_empty() || !dots_out.is_empty() {
            self.merges.push(MergeNote {
                key: key.to_vec(),
                cell: cell.clone(),
                dots_in,
                dots_out,
                siblings_before: shown(before),
                siblings_after: shown(after),
            });
        }
    }
}

/// How many siblings the cell shows; a member, which has no value, counts as one.
fn shown(cell: &Cell) -> usize {
    reading::siblings(cell).len().max(usize::from(reading::is_present(cell)))
}
