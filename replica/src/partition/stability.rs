//! What every replica has: when the log may forget, and when a counter's reset has done its work.
//!
//! *Stable*: in the durable clock of every replica. Log entries of stable dots go.
//! *Settled*: stable, and so is everything that was minted before its minter knew. Only then can no increment
//! of a replica arrive any more that has not seen a settled reset.
//! *Over*: of a run of increments that a reset has seen, no more can arrive either. As long as its author runs, it must have
//! said that it knows the reset (or that it holds nothing here any more), and all it had minted by then must be stable.
//! Once it has started again, what it wrote last may be held by nobody but one that stood in for an owner: then its earlier
//! self must be *closed*. Every node says that it takes nothing directly from that self any more (the later one *fences* it) and
//! what it has of it; when all of that is stable, there is nothing left to arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crdt::Content;

use crate::id::{Actor, Context, Dot, NodeId, Seen};
use crate::partition::Partition;
use crate::place::Place;
use crate::record::{self, DotTable};
use crate::store::{StoreError, Txn};

#[derive(Debug, Default)]
pub(crate) struct Stability {
    stable: Context,
    settled: Context,
    /// What was stable when the wait began, and what must be stable for it to be settled.
    settling: Option<(Context, Context)>,
    /// Whose word is wanted on runs of increments that settled resets have seen.
    asked_of: BTreeSet<NodeId>,
    /// Who wrote such runs and has started again since, with what each node has said to hold of it.
    closing: BTreeMap<Actor, BTreeMap<NodeId, Context>>,
}

/// Whose word is wanted before a run of increments counts as over.
enum WantedWord {
    /// That of its author.
    Author(NodeId),
    /// That of every node on an author that has started again.
    Closing(Actor),
}

impl Stability {
    pub(super) fn stable(&self) -> &Context {
        &self.stable
    }
}

impl Partition {
    pub(crate) fn is_settled(&self, dot: &Dot) -> bool {
        self.is_alone() || self.stability.settled.contains(dot)
    }

    /// Has the reset done its work on this run: can no increment of it arrive any more that has not seen the reset?
    pub(crate) fn is_done(&self, reset: &Dot, mark: &Seen) -> bool {
        self.is_settled(reset) && self.may_go_on(reset, mark).is_none()
    }

    /// What has to be known before the run can count as over by this reset.
    fn may_go_on(&self, reset: &Dot, mark: &Seen) -> Option<WantedWord> {
        let (author, first) = (mark.run.actor, mark.run.counter);
        if author == self.me || self.is_alone() {
            return None;
        }
        if self.roster.has_fenced(&author) {
            return (!self.is_closed(&author)).then_some(WantedWord::Closing(author));
        }
        let says_so = self.peers.get(&author.node).is_some_and(|peer| {
            let knows = peer.clock.contains(reset) && self.is_stable(&author, &peer.clock);
            knows || peer.retired.is_some_and(|minted| minted >= first)
        });
        (!says_so).then_some(WantedWord::Author(author.node))
    }

    /// Is everything of the actor in this context stable?
    fn is_stable(&self, actor: &Actor, context: &Context) -> bool {
        let stable = self.stability.stable.of(actor);
        context.of(actor).is_none_or(|dots| stable.is_some_and(|stable| stable.covers(dots)))
    }

    pub(super) fn is_closed(&self, actor: &Actor) -> bool {
        let words = self.stability.closing.get(actor);
        let has_all = |node: &NodeId| match words.and_then(|words| words.get(node)) {
            _ if *node == self.me.node => self.is_stable(actor, &self.meta.clock),
            Some(word) => self.is_stable(actor, word),
            None => false,
        };
        // What a replica has told since counts as well: it may have got it from one that had dropped it before it was asked.
        let mut told = self.others.iter().filter_map(|node| self.peers.get(node));
        self.roster.runs.keys().all(has_all) && told.all(|peer| self.is_stable(actor, &peer.clock))
    }

    /// A node takes nothing directly from the actor any more, and has this of it.
    pub(crate) fn hear_closed(&mut self, from: NodeId, actor: &Actor, dots: Context) {
        if let Some(words) = self.stability.closing.get_mut(actor) {
            words.insert(from, dots);
        }
    }

    /// Whom to ask to close which actors.
    pub(crate) fn to_close(&self) -> Vec<(NodeId, Actor)> {
        let silent = |(actor, words): (&Actor, &BTreeMap<NodeId, Context>)| {
            let nodes = self.roster.runs.keys().filter(|node| **node != self.me.node && !words.contains_key(node));
            nodes.map(|node| (*node, *actor)).collect::<Vec<_>>()
        };
        self.stability.closing.iter().flat_map(silent).collect()
    }

    /// Whose word is wanted: of those who could say that a run of increments is over, and of those who held something for a
    /// replica by their last word (that they have dropped it may have been lost).
    pub(crate) fn asked_of(&self) -> BTreeSet<NodeId> {
        self.stability.asked_of.iter().copied().chain(self.visitors()).collect()
    }

    /// Is this in the durable clock of every replica, and of those that were replicas and have not dropped what they had?
    pub(super) fn is_everywhere(&self, context: &Context) -> bool {
        let has_it = |node: &NodeId| self.peers.get(node).is_some_and(|peer| peer.clock.covers(context));
        self.stability.stable.covers(context) && self.former.iter().all(has_it) && self.inbound.is_none()
    }

    /// Wants everybody's word on an author that has started again.
    pub(super) fn want_closed(&mut self, author: Actor) {
        self.stability.closing.entry(author).or_default();
    }

    fn awaits_words(&self) -> bool {
        !self.stability.asked_of.is_empty() || !self.stability.closing.is_empty()
    }

    /// Is anything logged, or waiting to settle, that may have become stable?
    pub(crate) fn awaits_stability(&self) -> bool {
        self.stability.settling.is_some()
            || self.awaits_words()
            || self.log.has_stale()
            || self.stability.stable != self.meta.clock
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
            self.stability.stable.union(&fresh);
            self.log.is_stable(&fresh, &self.stability.stable);
        }
        self.prune_stale(txn)?;
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
            None if self.awaits_words() => self.drop_settled_resets(txn)?,
            None => {}
        }
        Ok(())
    }

    /// A reset that every replica has, and that no late increment can need, goes - unless a live tally is still
    /// read against it; the tally's next increment carries the mark on, and then it goes.
    pub(crate) fn drop_settled_resets(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        self.lost.is_going_over = true;
        let dropped = self.drop_those_settled(txn);
        self.lost.is_going_over = false;
        dropped
    }

    fn drop_those_settled(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let prefix = DotTable::Resets.all(self.id);
        let mut waiting = Vec::new();
        txn.scan(&prefix, &prefix, &mut |path, place| {
            waiting.push((path.to_vec(), place.to_vec()));
            ControlFlow::Continue(())
        })?;
        self.stability.asked_of.clear();
        let mut closing = BTreeSet::new();
        for (path, place) in waiting {
            let dot = DotTable::dot_in(&path)?;
            let place: Place = record::decode(&place)?;
            let (true, Place::Cell(key, id)) = (self.is_settled(&dot), place) else { continue };
            let mut open = self.open(txn, &key)?;
            let mut cell = self.load_cell(txn, &open, id)?;
            let tallies = crdt::reading::tallies(&cell.state.live);
            let seen = match cell.state.live.get(&dot).map(|entry| &entry.content) {
                Some(Content::Reset { seen }) => seen.as_slice(),
                _ => &[],
            };
            let mut needed = seen.iter().any(|mark| tallies.needs(mark));
            for awaited in seen.iter().filter_map(|mark| self.may_go_on(&dot, mark)).collect::<Vec<_>>() {
                needed = true;
                match awaited {
                    WantedWord::Author(node) => drop(self.stability.asked_of.insert(node)),
                    WantedWord::Closing(actor) => drop(closing.insert(actor)),
                }
            }
            if !needed {
                cell.state.live.retain(|live, _| *live != dot);
                self.store_cell(txn, &mut open, cell);
                txn.remove(path);
            }
            self.close(txn, open);
        }
        closing.extend(self.lost.authors());
        self.stability.closing.retain(|actor, _| closing.contains(actor));
        for actor in closing {
            self.stability.closing.entry(actor).or_default();
        }
        Ok(())
    }
}
