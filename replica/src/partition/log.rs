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
/// What every replica has goes when it is so much, or all: to look for a few events costs as much as to look for many.
const PRUNED_FROM_EVENTS: u64 = 64;
/// So many records of a log that was there at the start are counted per round.
const COUNTED_AT_ONCE: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Log {
    /// How large it is, as far as it has been counted.
    bytes: u64,
    /// Up to where what was there at the start has been counted.
    counted: Counted,
    /// What is not logged any more although not every replica had it when it was forgotten.
    forgotten: Context,
    /// What every replica has, and may still be logged.
    stale: Context,
}

/// How much of the log that was there at the start has been counted.
#[derive(Debug, Default)]
enum Counted {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything up to this record.
    UpTo(Vec<u8>),
    /// Everything.
    All,
}

impl Log {
    /// Is this record counted, or does the count come to it yet?
    fn has_counted(&self, path: &[u8]) -> bool {
        match &self.counted {
            Counted::Nothing => false,
            Counted::UpTo(last) => path <= last.as_slice(),
            Counted::All => true,
        }
    }

    /// Is anything logged, perhaps, that every replica has?
    pub(super) fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Every replica has this as well, and so all of that.
    pub(super) fn is_stable(&mut self, fresh: &Context, stable: &Context) {
        self.stale.union(fresh);
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
        if self.log.has_counted(&path) {
            self.log.bytes += record_bytes(&path, &place);
        }
        txn.put(path, place);
    }

    /// How large the log is, as far as it has been counted.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.bytes
    }

    pub(crate) fn is_log_counted_in_part(&self) -> bool {
        !matches!(self.log.counted, Counted::All)
    }

    /// Counts some of what was there at the start: a log may be large by then, and clients wait.
    pub(crate) fn count_log(&mut self, txn: &Txn<'_>) -> Result<(), StoreError> {
        let table = DotTable::Log.all(self.id);
        let start = match &self.log.counted {
            Counted::All => return Ok(()),
            Counted::Nothing => table.clone(),
            Counted::UpTo(last) => [last.as_slice(), &[0]].concat(),
        };
        let (mut bytes, mut records, mut last) = (0, 0, None);
        txn.scan(&table, &start, &mut |path, place| {
            bytes += record_bytes(path, place);
            records += 1;
            last = Some(path.to_vec());
            if records < COUNTED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.log.bytes += bytes;
        self.log.counted = match last {
            Some(last) if records == COUNTED_AT_ONCE => Counted::UpTo(last),
            _ => Counted::All,
        };
        Ok(())
    }

    /// Forgets what every replica has, if that is worth while.
    pub(super) fn prune_stale(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let is_much = self.log.stale.len() >= PRUNED_FROM_EVENTS || self.stability.stable().covers(&self.meta.clock);
        if is_much { self.prune_all_stale(txn) } else { Ok(()) }
    }

    fn prune_all_stale(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        if self.log.has_stale() {
            let pruned = self.prune_log(txn, &self.log.stale.clone())?;
            self.log.stale = self.log.stale.minus(&pruned);
        }
        Ok(())
    }

    /// Forgets what all have but those that are furthest behind, and those that have to be streamed the partition anyway.
    pub(crate) fn forget_log(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        self.prune_all_stale(txn)?;
        let served = |node: &NodeId| {
            let clock = &self.peers.get(node)?.clock;
            clock.covers(&self.log.forgotten).then_some(clock)
        };
        let mut clocks: Vec<&Context> = self.others.iter().filter_map(served).collect();
        clocks.sort_by_key(|clock| self.meta.clock.minus(clock).len());
        let is_all_logged = self.log.forgotten.is_empty() && clocks.len() == self.others.len();
        let kept_for = if is_all_logged { clocks.len().saturating_sub(1) } else { clocks.len() };
        let mut gone = self.stability.stable().clone();
        gone.union(&self.log.forgotten);
        let cut = |clocks: &[&Context]| clocks.iter().fold(self.meta.clock.clone(), |cut, it| cut.intersection(it));
        // Those that are equally far behind are given up together.
        let mut cuts = (0..=kept_for).rev().map(|kept| cut(&clocks[..kept]).minus(&gone));
        let forgotten = cuts.find(|cut| !cut.is_empty()).unwrap_or_default();
        let pruned = self.prune_log(txn, &forgotten)?;
        self.log.forgotten.union(&pruned);
        Ok(())
    }

    fn prune_log(&mut self, txn: &mut Txn<'_>, fresh: &Context) -> Result<Context, StoreError> {
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
                bytes += if self.log.has_counted(key) { record_bytes(key, place) } else { 0 };
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
        self.log.bytes = self.log.bytes.saturating_sub(bytes);
        paths.into_iter().for_each(|path| txn.remove(path));
        Ok(done)
    }
}
