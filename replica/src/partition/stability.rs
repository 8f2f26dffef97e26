//! What every replica has: when the log may forget, and when a counter's reset has done its work.
//!
//! *Stable*: in the durable clock of every replica. Log entries of stable dots go.
//! *Settled*: stable, and so is everything that was minted before its minter knew. Only then can no increment
//! arrive any more that has not seen a settled reset.

use std::ops::ControlFlow;

use crdt::Content;

use crate::id::{Context, Dot};
use crate::partition::Partition;
use crate::place::{CellId, Place};
use crate::record::{self, DotTable};
use crate::store::{StoreError, Txn};

/// Beyond this many records per step, the rest is left to the next.
const PRUNED_AT_ONCE: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Stability {
    stable: Context,
    settled: Context,
    /// What was stable when the wait began, and what must be stable for it to be settled.
    settling: Option<(Context, Context)>,
}

impl Partition {
    pub(crate) fn is_settled(&self, dot: &Dot) -> bool {
        self.is_alone() || self.stability.settled.contains(dot)
    }

    /// Is anything logged, or waiting to settle, that may have become stable?
    pub(crate) fn awaits_stability(&self) -> bool {
        self.stability.settling.is_some() || self.stability.stable != self.meta.clock
    }

    /// Recomputes the stable cut from what the other replicas have told, and forgets what is below it.
    pub(crate) fn advance_stability(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let mut stable = self.meta.clock.clone();
        let mut known = self.meta.clock.clone();
        for other in &self.others {
            let Some(peer) = self.peers.get(other) else { return Ok(()) };
            stable = stable.intersection(&peer.clock);
            known.union(&peer.clock);
        }
        let fresh = stable.minus(&self.stability.stable);
        if !fresh.is_empty() {
            let pruned = self.prune_log(txn, &fresh)?;
            self.stability.stable.union(&pruned);
        }
        // A former owner may still bring increments that no reset has marked.
        for former in &self.former {
            let Some(peer) = self.peers.get(former) else { return Ok(()) };
            stable = stable.intersection(&peer.clock);
            known.union(&peer.clock);
        }
        self.settle(txn, &stable, known)
    }

    fn settle(&mut self, txn: &mut Txn<'_>, stable: &Context, known: Context) -> Result<(), StoreError> {
        match self.stability.settling.take() {
            Some((settling, needed)) if stable.covers(&needed) => {
                self.stability.settled = settling;
                self.drop_settled_resets(txn)?;
            }
            Some(waiting) => self.stability.settling = Some(waiting),
            None if *stable != self.stability.settled => self.stability.settling = Some((stable.clone(), known)),
            None => {}
        }
        Ok(())
    }

    fn prune_log(&mut self, txn: &mut Txn<'_>, fresh: &Context) -> Result<Context, StoreError> {
        let (mut paths, mut done) = (Vec::new(), Context::new());
        for (actor, run) in fresh.runs() {
            let path = |counter| DotTable::Log.record(self.id, &Dot { actor: *actor, counter });
            let (first, last) = (path(run.first), path(run.last));
            let mut last_pruned = None;
            txn.scan(&DotTable::Log.all(self.id), &first, &mut |key, _| {
                if key > last.as_slice() {
                    return ControlFlow::Break(());
                }
                if paths.len() == PRUNED_AT_ONCE {
                    last_pruned = paths.last().cloned();
                    return ControlFlow::Break(());
                }
                paths.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
            match last_pruned {
                None => done.insert_run(*actor, run),
                Some(path) => {
                    let upto = DotTable::dot_in(&path)?;
                    if upto.actor == *actor && upto.counter >= run.first {
                        done.insert_run(*actor, causal::Run { first: run.first, last: upto.counter });
                    }
                    break;
                }
            }
        }
        paths.into_iter().for_each(|path| txn.remove(path));
        Ok(done)
    }

    pub(crate) fn note_residual(&mut self, txn: &mut Txn<'_>, key: &[u8], id: Option<&CellId>) {
        let place = id.map_or(Place::Key(key.to_vec()), |id| Place::Cell(key.to_vec(), id.clone()));
        txn.put(record::residual(self.id, key, id), record::encode(&place));
        self.strip_due = true;
    }

    /// Forgets the residuals that the clock has caught up with; where nothing else was left, nothing is.
    pub(crate) fn strip(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.strip_due) {
            return Ok(());
        }
        let prefix = record::residuals(self.id);
        let mut noted = Vec::new();
        txn.scan(&prefix, &prefix, &mut |path, place| {
            noted.push((path.to_vec(), record::decode::<Place>(place)));
            if noted.len() < PRUNED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for (path, place) in noted {
            txn.remove(path);
            match place? {
                Place::Partition => {}
                Place::Key(key) => {
                    let open = self.open(txn, &key)?;
                    self.close(txn, open);
                }
                Place::Cell(key, id) => {
                    let mut open = self.open(txn, &key)?;
                    let cell = self.load_cell(txn, &open, id)?;
                    self.store_cell(txn, &mut open, cell);
                    self.close(txn, open);
                }
            }
        }
        Ok(())
    }

    /// A reset that every replica has, and that no late increment can need, goes - unless a live tally is still
    /// read against it; the tally's next increment carries the mark on, and then it goes.
    pub(crate) fn drop_settled_resets(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let prefix = DotTable::Resets.all(self.id);
        let mut waiting = Vec::new();
        txn.scan(&prefix, &prefix, &mut |path, place| {
            waiting.push((path.to_vec(), place.to_vec()));
            ControlFlow::Continue(())
        })?;
        for (path, place) in waiting {
            let dot = DotTable::dot_in(&path)?;
            let place: Place = record::decode(&place)?;
            let (true, Place::Cell(key, id)) = (self.is_settled(&dot), place) else { continue };
            let mut open = self.open(txn, &key)?;
            let mut cell = self.load_cell(txn, &open, id)?;
            let tallies = crdt::reading::tallies(&cell.state.live);
            let needed = match cell.state.live.get(&dot).map(|entry| &entry.content) {
                Some(Content::Reset { seen }) => seen.iter().any(|mark| tallies.needs(mark)),
                _ => false,
            };
            if !needed {
                cell.state.live.retain(|live, _| *live != dot);
                self.store_cell(txn, &mut open, cell);
                txn.remove(path);
            }
            self.close(txn, open);
        }
        Ok(())
    }
}
