//! The log: what each event touched, until every replica has the event.
//!
//! While an owner is away nothing becomes stable, and the log grows. Once it is too large, what only those lack who are furthest behind is
//! forgotten: when they are back, their clocks do not cover what is not logged any more, and the partition is streamed to them
//! (`sync.rs`). Nothing else relies on the log: cells say themselves what they have seen.

use std::ops::ControlFlow;

use crate::id::{Context, Dot, NodeId};
use crate::partition::Partition;
use crate::place::Place;
use crate::record::{self, DotTable};
use crate::store::{StoreError, Txn};

/// Beyond this many records per step, the rest is left to the next.
pub(super) const PRUNED_AT_ONCE: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Log {
    /// How large it is; nothing before anybody wanted to know.
    bytes: Option<u64>,
    /// What is not logged any more although not every replica had it when it was forgotten.
    forgotten: Context,
}

impl Log {
    /// Every replica has this.
    pub(super) fn is_stable(&mut self, stable: &Context) {
        if stable.covers(&self.forgotten) {
            self.forgotten = Context::new();
        }
    }
}

fn record_bytes(path: &[u8], place: &[u8]) -> u64 {
    (path.len() + place.len()) as u64
}

impl Partition {
    /// Logs what an event touched.
    pub(super) fn log(&mut self, txn: &mut Txn<'_>, dot: Dot, place: &Place) {
        let (path, place) = (DotTable::Log.record(self.id, &dot), record::encode(place));
        self.log.bytes = self.log.bytes.map(|all| all + record_bytes(&path, &place));
        txn.put(path, place);
    }

    /// How large the log is. Counted once, O(entries); then known.
    pub(crate) fn log_bytes(&mut self, txn: &Txn<'_>) -> Result<u64, StoreError> {
        if let Some(bytes) = self.log.bytes {
            return Ok(bytes);
        }
        let (table, mut bytes) = (DotTable::Log.all(self.id), 0);
        txn.scan(&table, &table, &mut |path, place| {
            bytes += record_bytes(path, place);
            ControlFlow::Continue(())
        })?;
        self.log.bytes = Some(bytes);
        Ok(bytes)
    }

    /// Forgets what all have but those that are furthest behind, and those that have to be streamed the partition anyway.
    pub(crate) fn forget_log(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let served = |node: &NodeId| {
            let clock = &self.peers.get(node)?.clock;
            clock.covers(&self.log.forgotten).then_some(clock)
        };
        let mut clocks: Vec<&Context> = self.others.iter().filter_map(served).collect();
        clocks.sort_by_key(|clock| self.meta.clock.minus(clock).len());
        // If somebody has to be streamed the partition already, what the log has for the others is looked at first.
        let is_all_logged = self.log.forgotten.is_empty() && clocks.len() == self.others.len();
        let kept_for = if is_all_logged { clocks.len().saturating_sub(1) } else { clocks.len() };
        let cut = |clocks: &[&Context]| clocks.iter().fold(self.meta.clock.clone(), |cut, it| cut.intersection(it));
        let mut forgotten = cut(&clocks[..kept_for]).minus(&self.log.forgotten);
        if forgotten.is_empty() && kept_for > 0 {
            forgotten = cut(&clocks[..kept_for - 1]).minus(&self.log.forgotten);
        }
        let pruned = self.prune_log(txn, &forgotten)?;
        self.log.forgotten.union(&pruned);
        Ok(())
    }

    pub(super) fn prune_log(&mut self, txn: &mut Txn<'_>, fresh: &Context) -> Result<Context, StoreError> {
        let (mut paths, mut done, mut bytes) = (Vec::new(), Context::new(), 0);
        for (actor, run) in fresh.runs() {
            let path = |counter| DotTable::Log.record(self.id, &Dot { actor: *actor, counter });
            let (first, last) = (path(run.first), path(run.last));
            let mut last_pruned = None;
            txn.scan(&DotTable::Log.all(self.id), &first, &mut |key, place| {
                if key > last.as_slice() {
                    return ControlFlow::Break(());
                }
                if paths.len() == PRUNED_AT_ONCE {
                    last_pruned = paths.last().cloned();
                    return ControlFlow::Break(());
                }
                bytes += record_bytes(key, place);
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
        self.log.bytes = self.log.bytes.map(|all| all.saturating_sub(bytes));
        paths.into_iter().for_each(|path| txn.remove(path));
        Ok(done)
    }
}
