//! Dots that no clock counts: what is remembered of removals that came before the write, and of writes that were lost everywhere.
//!
//! A client may have read a value whose write was lost with its author's disk afterwards; what replaces it has seen its dot, and the
//! cell has to remember that, or the value might come back from a replica that has it still. It may forget once nothing of the
//! author's run can arrive any more:
//!
//! - the author has started again, and every node has said that it takes nothing directly from the earlier run, and what it has of
//!   it, all of which every replica has by now: the run is *closed* (`stability.rs`);
//! - everything that was known here by then is in every replica's durable clock, also what has replaced the dot: so nobody shows it.
//!
//! (Design, 2.3: dots lost everywhere. A payload that only some replicas show - one that was read and joined elsewhere, and whose event was
//! lost then - is found by their sums, and joined; it is not forgotten by this, and what removes it is remembered like any other.)

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use causal::{MAX_COUNTER, Run};

use crate::id::{Actor, Context};
use crate::partition::Partition;
use crate::place::{CellId, Place};
use crate::record;
use crate::residual::Residual;
use crate::store::{StoreError, Txn};

/// Beyond this many places per step, the rest is left to the next.
const STRIPPED_AT_ONCE: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Earlier runs of which places remember something that the clock does not count.
    authors: BTreeSet<Actor>,
    /// Those of them that were closed at some time, and what was known here by then.
    closed: Option<(BTreeSet<Actor>, Context)>,
    /// While places are looked through: what need not be remembered any more.
    void: Context,
    /// Are places stored again that remember nothing new?
    pub(super) is_going_over: bool,
}

impl Lost {
    fn note(&mut self, authors: impl Iterator<Item = Actor>) {
        for author in authors {
            self.authors.insert(author);
            if !self.is_going_over {
                // Not everybody knows yet what has seen this.
                self.closed = None;
            }
        }
    }

    pub(super) fn authors(&self) -> impl Iterator<Item = Actor> {
        self.authors.iter().copied()
    }

    fn is_stripped(&mut self, is_all: bool) {
        if is_all && !self.void.is_empty() {
            self.closed = None;
        }
        (self.void, self.is_going_over) = (Context::new(), false);
    }
}

impl Partition {
    /// What a place has to remember of this.
    pub(super) fn to_remember(&self, residual: &Residual) -> Residual {
        let residual = residual.beyond(&self.meta.clock);
        if self.lost.void.is_empty() { residual } else { residual.beyond(&self.lost.void) }
    }

    /// Sees what need not be remembered any more, now that the places that remember something are looked through.
    fn void_what_is_lost(&mut self) {
        let authors = std::mem::take(&mut self.lost.authors);
        authors.iter().for_each(|author| self.want_closed(*author));
        // Of those that nothing is remembered of any more nobody is asked to speak.
        let closed = |author: &&Actor| authors.contains(*author) && self.is_closed(author);
        match &self.lost.closed {
            Some((then, known)) if self.is_everywhere(known) => {
                let all = Run { first: 1, last: MAX_COUNTER };
                let mut void = Context::new();
                then.iter().filter(closed).for_each(|author| void.insert_run(*author, all));
                if void.is_empty() {
                    self.lost.closed = None;
                }
                self.meta.residual = self.meta.residual.minus(&void);
                self.dirty |= !void.is_empty();
                self.lost.void = void;
            }
            Some(_) => {}
            None => {
                let closed: BTreeSet<Actor> = authors.iter().filter(closed).copied().collect();
                self.lost.closed = (!closed.is_empty()).then(|| (closed, self.meta.clock.clone()));
            }
        }
    }

    /// Notes that a place remembers dots that the clock does not count.
    pub(super) fn note_residual(&mut self, txn: &mut Txn<'_>, key: &[u8], id: Option<&CellId>, residual: &Context) {
        let place = id.map_or(Place::Key(key.to_vec()), |id| Place::Cell(key.to_vec(), id.clone()));
        txn.put(record::residual(self.id, key, id), record::encode(&place));
        self.strip_due = true;
        self.lost.note(residual.iter().map(|(actor, _)| *actor).filter(|actor| self.roster.has_fenced(actor)));
    }

    /// The same of what is remembered for the partition as a whole.
    pub(super) fn note_residual_of_all(&mut self) {
        let residual = self.meta.residual.minus(&self.meta.clock);
        if !residual.is_empty() {
            self.strip_due = true;
            self.lost.note(residual.iter().map(|(actor, _)| *actor).filter(|actor| self.roster.has_fenced(actor)));
        }
    }

    /// Forgets the residuals that the clock has caught up with; where nothing else was left, nothing is.
    pub(crate) fn strip(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.strip_due) {
            return Ok(());
        }
        self.lost.is_going_over = true;
        let is_all = self.strip_some(txn);
        let has_all = is_all.as_ref().is_ok_and(|is_all| *is_all);
        self.lost.is_stripped(has_all);
        self.strip_due |= !has_all;
        is_all.map(drop)
    }

    /// The same for no more than [`STRIPPED_AT_ONCE`] places; were those all?
    fn strip_some(&mut self, txn: &mut Txn<'_>) -> Result<bool, StoreError> {
        let prefix = record::residuals(self.id);
        let mut noted = Vec::new();
        txn.scan(&prefix, &prefix, &mut |path, place| {
            noted.push((path.to_vec(), record::decode::<Place>(place)));
            if noted.len() < STRIPPED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let is_all = noted.len() < STRIPPED_AT_ONCE;
        self.note_residual_of_all();
        self.void_what_is_lost();
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
        Ok(is_all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use uuid::Uuid;

    use crate::id::{Actor, Context, Dot, Incarnation, NodeId, PartitionId};
    use crate::message::{Change, ClockNote};
    use crate::partition::{Partition, Picture, Roster};
    use crate::place::{CellId, Place};
    use crate::store::{Edits, MemoryStore, Txn};

    fn actor(node: u128, run: u32) -> Actor {
        Actor { node: NodeId(Uuid::from_u128(node)), incarnation: Incarnation(run) }
    }

    /// A partition of node 1, beside node 2, which runs for the second time and was an owner as well as `former` are.
    fn partition(store: &MemoryStore, former: &[NodeId]) -> Partition {
        let id = PartitionId::new(3).expect("there is one");
        let mut partition = Partition::load(id, actor(1, 1), store).expect("an empty store reads");
        let runs = [actor(1, 1), actor(2, 2), actor(3, 1)].map(|actor| (actor.node, actor.incarnation));
        let roster = Roster { runs: BTreeMap::from(runs), ..Roster::default() };
        let (others, former) = (vec![actor(2, 2).node], former.to_vec());
        partition.set_picture(Picture { others, former, is_replica: true, roster: Arc::new(roster) });
        partition
    }

    fn hear(partition: &mut Partition, from: NodeId, clock: &Context) {
        let note = ClockNote { ask: false, counts_you: true, retired: None, placement: 0, serves: true };
        partition.hear(from, clock.clone(), note);
    }

    /// Looks through what is remembered so often that all is done which can be; is something remembered still?
    fn remembers(partition: &mut Partition, txn: &mut Txn<'_>) -> bool {
        for _ in 0..4 {
            partition.advance_stability(txn).expect("it can be");
            partition.strip_due = true;
            partition.strip(txn).expect("it can be");
            for (node, author) in partition.to_close() {
                partition.hear_closed(node, &author, Context::new());
            }
        }
        let open = partition.open(txn, b"k").expect("it reads");
        !open.record.value.residual.is_empty()
    }

    /// A write that replaces a dot of the second node's first run, which nobody has.
    fn replace_what_is_lost(partition: &mut Partition, txn: &mut Txn<'_>) -> Context {
        let place = Place::Cell(b"k".to_vec(), CellId::value());
        let lost: Context = [Dot::new(actor(2, 1), 7)].into_iter().collect();
        let dot = Dot::new(actor(2, 2), 1);
        partition.incorporate(txn, &[Change { place, dot, entry: None, seen: lost }]).expect("it can be");
        partition.clock().clone()
    }

    #[test]
    fn what_was_lost_is_forgotten_once_every_replica_has_what_has_replaced_it() {
        let store = MemoryStore::new();
        let (mut partition, mut txn) = (partition(&store, &[]), Txn::new(&store, Edits::new()));
        let clock = replace_what_is_lost(&mut partition, &mut txn);
        hear(&mut partition, actor(2, 2).node, &Context::new());
        assert!(remembers(&mut partition, &mut txn), "the other might bring it back");
        hear(&mut partition, actor(2, 2).node, &clock);
        assert!(!remembers(&mut partition, &mut txn));
    }

    /// One that was an owner may show a value still that it was handed by a read, and be one again.
    #[test]
    fn what_was_lost_is_remembered_as_long_as_a_former_owner_may_show_it() {
        let (store, former) = (MemoryStore::new(), actor(3, 1).node);
        let (mut partition, mut txn) = (partition(&store, &[former]), Txn::new(&store, Edits::new()));
        let clock = replace_what_is_lost(&mut partition, &mut txn);
        hear(&mut partition, actor(2, 2).node, &clock);
        hear(&mut partition, former, &Context::new());
        assert!(remembers(&mut partition, &mut txn));
        hear(&mut partition, former, &clock);
        assert!(!remembers(&mut partition, &mut txn));
    }
}
