//! Anti-entropy by clocks: a replica sends its clock, and gets the events it lacks with the cells they touched.
//! The cost is proportional to what is missing.
//!
//! Answers are cut *by key*: with a key come all its missing events, so that the state of its cells never runs
//! ahead of the events that are counted in. What the sender has removed beyond its clock is kept here as residual.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::id::{Context, Dot};
use crate::message::{KeyState, MissingKeys};
use crate::operation::ByteString;
use crate::pack::key as pack;
use crate::partition::{Joined, Partition};
use crate::place::{CellId, Place};
use crate::record::{self, CellState, DotTable};
use crate::store::{StoreError, Txn};

/// More missing events than this are cheaper to stream.
const LOGGED_EVENTS: u64 = 65_536;

/// What another replica lacks.
#[derive(Debug)]
pub(crate) enum Backlog {
    /// Nothing.
    None,
    /// These keys; `true` if there are more.
    Keys(Vec<KeyState>, bool),
    /// It must be streamed: the log does not reach back that far, or the whole partition is concerned.
    Stream,
}

impl Partition {
    /// What a replica with the clock `theirs` lacks.
    pub(crate) fn backlog(&self, txn: &Txn<'_>, theirs: &Context) -> Result<Backlog, StoreError> {
        let missing = self.meta.clock.minus(theirs);
        if missing.is_empty() {
            return Ok(Backlog::None);
        }
        if missing.len() > LOGGED_EVENTS {
            return Ok(Backlog::Stream);
        }
        let Some(touched) = self.touched_by(txn, &missing)? else { return Ok(Backlog::Stream) };
        let (mut keys, mut bytes, mut left) = (Vec::new(), 0, touched.len());
        for (key, events) in touched {
            if bytes >= self.answer_bytes {
                break;
            }
            let whole = events.iter().any(|(_, place)| matches!(place, Place::Key(_)));
            let state = self.key_state(txn, key, events, whole)?;
            let cells: usize = state.cells.iter().map(|(id, cell)| 64 + id.name.len() + pack::size_of(cell)).sum();
            // Each event names its key and cell.
            let events: usize = state.events.iter().map(|(_, place)| 64 + place.name_bytes()).sum();
            let can_be_streamed = state.cells.len() > 1 || events > self.answer_bytes;
            if cells + events > self.answer_bytes && can_be_streamed {
                return Ok(Backlog::Stream);
            }
            bytes += cells + events;
            left -= 1;
            keys.push(state);
        }
        Ok(Backlog::Keys(keys, left > 0))
    }

    /// The missing events by key; nothing if the log lacks any, or one concerns the whole partition.
    #[expect(clippy::type_complexity, reason = "events by key, used here only")]
    fn touched_by(
        &self,
        txn: &Txn<'_>,
        missing: &Context,
    ) -> Result<Option<BTreeMap<Vec<u8>, Vec<(Dot, Place)>>>, StoreError> {
        let mut touched: BTreeMap<Vec<u8>, Vec<(Dot, Place)>> = BTreeMap::new();
        for (actor, run) in missing.runs() {
            let path = |counter| DotTable::Log.record(self.id, &Dot { actor: *actor, counter });
            let last = path(run.last);
            let mut found = Vec::new();
            txn.scan(&DotTable::Log.all(self.id), &path(run.first), &mut |key, place| {
                if key > last.as_slice() {
                    return ControlFlow::Break(());
                }
                found.push((DotTable::dot_in(key), record::decode::<Place>(place)));
                ControlFlow::Continue(())
            })?;
            if found.len() as u64 != run.last - run.first + 1 {
                return Ok(None);
            }
            for (dot, place) in found {
                let (dot, place) = (dot?, place?);
                let Some(key) = place.key() else { return Ok(None) };
                touched.entry(key.to_vec()).or_default().push((dot, place));
            }
        }
        Ok(Some(touched))
    }

    fn key_state(
        &self,
        txn: &Txn<'_>,
        key: Vec<u8>,
        events: Vec<(Dot, Place)>,
        whole: bool,
    ) -> Result<KeyState, StoreError> {
        let open = self.open(txn, &key)?;
        let ids: Vec<CellId> = if whole {
            self.cell_ids(txn, &open)?
        } else {
            let cells = events.iter().filter_map(|(_, place)| match place {
                Place::Cell(_, id) => Some(id.clone()),
                _ => None,
            });
            cells.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        };
        let load = |id: CellId| Ok((id.clone(), self.load_cell(txn, &open, id)?.state));
        let cells = ids.into_iter().map(load).collect::<Result<_, StoreError>>()?;
        Ok(KeyState { key: ByteString(key), residual: open.record.residual, cells, whole, events })
    }

    /// Takes in an answer: joins the cells, then counts the events in.
    pub(crate) fn take_missing(&mut self, txn: &mut Txn<'_>, missing: &MissingKeys) -> Result<Joined, StoreError> {
        let MissingKeys { keys, clock, residual, .. } = missing;
        let mut joined = Joined::default();
        for key in keys {
            let mut open = self.open(txn, &key.key.0)?;
            for (id, state) in &key.cells {
                let theirs = [clock, residual, &key.residual, &state.residual];
                let keep = [residual, &key.residual, &state.residual];
                joined.add(self.join_cell(txn, &mut open, id, &state.live, &theirs, &keep)?);
            }
            if key.whole {
                let unlisted = self.cell_ids(txn, &open)?;
                for id in unlisted.into_iter().filter(|id| !key.cells.iter().any(|(cell, _)| cell == id)) {
                    let theirs = [clock, residual, &key.residual];
                    let nothing = CellState::default();
                    joined.add(self.join_cell(txn, &mut open, &id, &nothing.live, &theirs, &[residual])?);
                }
                open.record.residual.union(&key.residual);
                open.record.residual.union(residual);
            }
            for (dot, place) in &key.events {
                if !self.meta.clock.contains(dot) {
                    self.count_in(txn, *dot, place);
                }
            }
            self.close(txn, open);
        }
        Ok(joined)
    }
}
