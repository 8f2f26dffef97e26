//! Streaming a partition in key order, when events alone cannot bring a replica up to date: it is new, was wiped,
//! or has been away for longer than the log reaches.
//!
//! Each range is joined *as a range*: cells of the receiver that the sender does not have are joined as empty.
//! The *floor* is the sender's clock at the start, and all it had removed beyond it; it counts in the context of everything the cursor has passed,
//! and is added to the clock when the stream ends, not before. The state of a stream is in memory only: after a
//! crash it starts again, and what was joined by then is merely early.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::id::{Cell, Context, NodeId, PartitionId};
use crate::message::{Cursor, KeyState, StreamedRange};
use crate::operation::ByteString;
use crate::pack::key as pack;
use crate::partition::{Joined, Partition};
use crate::place::{CellId, Place};
use crate::record;
use crate::store::{StoreError, Txn};

/// A stream being received.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) source: NodeId,
    /// The source's clock when it began; nothing before its first answer.
    pub(crate) floor: Context,
    /// What the source had removed in the whole partition, beyond its clock, when it began.
    pub(crate) floor_residual: Context,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) heard_at_ms: u64,
}

impl Inbound {
    /// Has the cursor passed this cell?
    pub(crate) fn has_passed(&self, partition: PartitionId, key: &[u8], cell: &CellId) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| !is_after(cursor, partition, key, cell))
    }
}

/// Does the cell stand after the cursor in the partition's order?
fn is_after(cursor: &Cursor, partition: PartitionId, key: &[u8], cell: &CellId) -> bool {
    let order = |key| record::key_record(partition, key);
    match order(key).cmp(&order(&cursor.key.0)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => cursor.cell.as_ref().is_some_and(|last| cell > last),
    }
}

impl Partition {
    /// Begins to receive a stream, dropping one that went on.
    pub(crate) fn begin_stream(&mut self, source: NodeId, now_ms: u64) {
        (self.debris, self.incomplete) = (true, true);
        self.inbound = Some(Inbound {
            source,
            floor: Context::new(),
            floor_residual: Context::new(),
            cursor: None,
            heard_at_ms: now_ms,
        });
    }

    /// The stream being received: from whom, where it stands, and when it last moved.
    pub(crate) fn inbound(&self) -> Option<(NodeId, Option<&Cursor>, u64)> {
        self.inbound.as_ref().map(|inbound| (inbound.source, inbound.cursor.as_ref(), inbound.heard_at_ms))
    }

    pub(crate) fn abandon_stream(&mut self) {
        self.inbound = None;
    }

    /// The range after `after`, for another replica.
    pub(crate) fn stream_range(
        &self,
        txn: &Txn<'_>,
        after: Option<Cursor>,
    ) -> Result<(StreamedRange, usize), StoreError> {
        let (mut keys, mut bytes, mut upto) = (Vec::new(), 0, None);
        let start = after.as_ref().map_or(record::keys(self.id), |cursor| record::key_record(self.id, &cursor.key.0));
        let mut paths = Vec::new();
        // A page of keys: a key is at least this large, so that no more are ever needed.
        txn.scan(&record::keys(self.id), &start, &mut |path, _| {
            paths.push(path.to_vec());
            if paths.len() > self.answer_bytes / 32 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut more = paths.len() > self.answer_bytes / 32;
        if more {
            paths.pop();
        }
        for (index, path) in paths.iter().enumerate() {
            let key = record::key_in(path)?;
            let resumed = after.as_ref().filter(|cursor| cursor.key.0 == key);
            if resumed.is_some_and(|cursor| cursor.cell.is_none()) {
                continue;
            }
            let (state, cut) =
                self.stream_key(txn, key, resumed.and_then(|cursor| cursor.cell.as_ref()), &mut bytes)?;
            keys.push(state);
            upto = Some(Cursor { key: ByteString(key.to_vec()), cell: cut });
            if bytes >= self.answer_bytes {
                more |= index + 1 < paths.len() || upto.as_ref().is_some_and(|cursor| cursor.cell.is_some());
                break;
            }
        }
        let upto = upto.or_else(|| after.clone()).filter(|_| more);
        let noted = if after.is_none() { self.noted_residuals(txn)? } else { Vec::new() };
        let (clock, residual) = (self.meta.clock.clone(), self.meta.residual.clone());
        Ok((StreamedRange { after, upto, keys, clock, residual, noted }, bytes))
    }

    /// What was removed here beyond the clock, place by place.
    fn noted_residuals(&self, txn: &Txn<'_>) -> Result<Vec<(Place, Context)>, StoreError> {
        let (prefix, mut places) = (record::residuals(self.id), Vec::new());
        txn.scan(&prefix, &prefix, &mut |_, place| {
            places.push(record::decode::<Place>(place));
            ControlFlow::Continue(())
        })?;
        let mut noted = Vec::new();
        for place in places {
            let place = place?;
            let residual = match &place {
                Place::Partition => continue,
                Place::Key(key) => self.open(txn, key)?.record.residual.into_context(),
                Place::Cell(key, id) => {
                    self.load_cell(txn, &self.open(txn, key)?, id.clone())?.state.residual.into_context()
                }
            };
            noted.push((place, residual));
        }
        Ok(noted)
    }

    /// Remembers what the source had removed when the stream began. By the time the cursor comes to the place, the
    /// source may have incorporated those dots and have nothing left there to tell of them; but events of the
    /// floor rely on their having been seen.
    fn take_noted(&mut self, txn: &mut Txn<'_>, noted: &[(Place, Context)]) -> Result<(), StoreError> {
        for (place, residual) in noted {
            let Some(key) = place.key() else { continue };
            let mut open = self.open(txn, key)?;
            if let Place::Cell(_, id) = place {
                let mut cell = self.load_cell(txn, &open, id.clone())?;
                cell.state.residual.union(residual);
                self.store_cell(txn, &mut open, cell);
            } else {
                open.record.residual.union(residual);
            }
            self.close(txn, open);
        }
        Ok(())
    }

    /// The cells of one key after `from`; with the last one sent, if some are left.
    fn stream_key(
        &self,
        txn: &Txn<'_>,
        key: &[u8],
        from: Option<&CellId>,
        bytes: &mut usize,
    ) -> Result<(KeyState, Option<CellId>), StoreError> {
        let open = self.open(txn, key)?;
        let (mut cells, mut cut, mut damaged) = (Vec::new(), None, None);
        *bytes += 64 + key.len();
        if from.is_none() && !open.record.value.is_nothing() {
            *bytes += pack::size_of(&open.record.value);
            cells.push((CellId::value(), open.record.value.clone()));
        }
        let prefix = record::cells(self.id, key);
        let start = from.map_or(prefix.clone(), |cell| record::cell(self.id, key, cell));
        txn.scan(&prefix, &start, &mut |path, value| {
            let read = record::cell_in(path).and_then(|id| Ok((id, pack::unpack_cell(value, &self.names)?)));
            match read {
                Ok((id, _)) if from == Some(&id) => {}
                Ok((id, state)) => {
                    if *bytes >= self.answer_bytes && !cells.is_empty() {
                        cut = cells.last().map(|(last, _): &(CellId, _)| last.clone());
                        return ControlFlow::Break(());
                    }
                    *bytes += 64 + path.len() + value.len();
                    cells.push((id, state));
                }
                Err(error) => {
                    damaged = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        damaged.map_or(Ok(()), Err)?;
        let residual = open.record.residual;
        Ok((KeyState { key: key.into(), residual, cells, whole: false, events: Vec::new() }, cut))
    }

    /// Takes in a range; says whether the stream is complete. A range that does not fit where the stream stands
    /// (a late duplicate) is passed over.
    pub(crate) fn take_range(
        &mut self,
        txn: &mut Txn<'_>,
        from: NodeId,
        range: &StreamedRange,
        now_ms: u64,
    ) -> Result<Option<(Joined, bool)>, StoreError> {
        let Some(inbound) = &mut self.inbound else { return Ok(None) };
        if inbound.source != from || inbound.cursor != range.after {
            return Ok(None);
        }
        if inbound.cursor.is_none() {
            inbound.floor = range.clock.clone();
            inbound.floor_residual = range.residual.clone();
        }
        if !range.clock.covers(&inbound.floor) {
            // The source has lost what it promised: only a new stream can be trusted.
            self.begin_stream(from, now_ms);
            return Ok(None);
        }
        self.take_noted(txn, &range.noted)?;
        let joined = self.join_range(txn, range)?;
        let Some(inbound) = &mut self.inbound else { return Ok(None) };
        inbound.heard_at_ms = now_ms;
        if range.upto.is_some() {
            inbound.cursor.clone_from(&range.upto);
            return Ok(Some((joined, false)));
        }
        let (floor, residual) = (std::mem::take(&mut inbound.floor), std::mem::take(&mut inbound.floor_residual));
        (self.inbound, self.incomplete) = (None, false);
        self.meta.residual.union(&residual);
        self.meta.clock.union(&floor);
        self.meta.residual.union(&range.residual);
        self.note_residual_of_all();
        self.dirty = true;
        Ok(Some((joined, true)))
    }

    fn join_range(&mut self, txn: &mut Txn<'_>, range: &StreamedRange) -> Result<Joined, StoreError> {
        let mut joined = Joined::default();
        let (no_context, no_cell) = (Context::new(), Cell::new());
        for key in self.keys_in(txn, range)? {
            let mut open = self.open(txn, &key)?;
            let listed = range.keys.iter().find(|state| state.key.0 == key);
            let key_residual = listed.map_or(&no_context, |state| &state.residual);
            let own = self.cell_ids(txn, &open)?.into_iter().filter(|id| self.is_in(range, &key, id));
            let mut ids: BTreeSet<CellId> = own.collect();
            ids.extend(listed.into_iter().flat_map(|state| state.cells.iter().map(|(id, _)| id.clone())));
            for id in ids {
                let state = listed.and_then(|state| state.cells.iter().find(|(cell, _)| *cell == id));
                let (live, residual) =
                    state.map_or((&no_cell, &no_context), |(_, state)| (&state.live, &state.residual));
                let theirs = [&range.clock, &range.residual, key_residual, residual];
                joined.add(self.join_cell(txn, &mut open, &id, live, &theirs, &[&range.residual, residual])?);
            }
            open.record.residual.union(key_residual);
            self.close(txn, open);
        }
        Ok(joined)
    }

    /// Every key either side has in the range.
    fn keys_in(&self, txn: &Txn<'_>, range: &StreamedRange) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let table = record::keys(self.id);
        let path_of = |cursor: &Cursor| record::key_record(self.id, &cursor.key.0);
        let start = range.after.as_ref().map_or(table.clone(), path_of);
        let end = range.upto.as_ref().map(path_of);
        let mut keys: BTreeSet<Vec<u8>> = range.keys.iter().map(|state| state.key.0.clone()).collect();
        let mut damaged = None;
        txn.scan(&table, &start, &mut |path, _| {
            if end.as_ref().is_some_and(|end| path > end.as_slice()) {
                return ControlFlow::Break(());
            }
            match record::key_in(path) {
                Ok(key) => keys.insert(key.to_vec()),
                Err(error) => {
                    damaged = Some(error);
                    return ControlFlow::Break(());
                }
            };
            ControlFlow::Continue(())
        })?;
        damaged.map_or(Ok(keys), Err)
    }

    fn is_in(&self, range: &StreamedRange, key: &[u8], cell: &CellId) -> bool {
        let begun = range.after.as_ref().is_none_or(|cursor| is_after(cursor, self.id, key, cell));
        let ended = range.upto.as_ref().is_some_and(|cursor| is_after(cursor, self.id, key, cell));
        debug_assert!(!cell.kind.is_single() || cell.name.is_empty());
        begun && !ended
    }
}
