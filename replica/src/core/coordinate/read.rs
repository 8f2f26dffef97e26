//! Coordinating reads: enough nodes are asked, what they have is joined, and whoever lacked something fetches it (read
//! repair). They are told a digest of what this node has, and answer in full only if they have something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use causal::Hlc;

use crate::core::coordinate::session::Bringing;
use crate::core::coordinate::{Awaited, Pending, Task};
use crate::core::{Core, Now, Step, Until};
use crate::id::{Actor, Context, Dot, NodeId, PartitionId};
use crate::message::{KeyState, Ticket};
use crate::operation::{Answer, ByteString, Failure, Found, Operation, Read, Request};
use crate::partition::{KeyView, Partition};
use crate::place::CellId;
use crate::procedure::Procedures;
use crate::quorum::{Holder, Medium, Need, Part, Receipt, Verdict};
use crate::record::CellState;
use crate::store::{Edits, Store, StoreError, Txn};

/// A read that waits for other nodes.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) key: Vec<u8>,
    pub(super) read: Read,
    /// What this node alone would answer, as of the arrival of the read.
    found: Found,
    /// Its clock by then, how many events it had minted, and whether it had cells ahead of the clock.
    clock: Context,
    minted: u64,
    is_ahead: bool,
    pub(super) own_digest: u64,
    differing: BTreeMap<NodeId, u64>,
    /// What is known together, once somebody differs.
    view: Option<Box<KeyView>>,
    /// Who was asked.
    pub(super) asked: Vec<NodeId>,
    /// Could others be, if these take long?
    pub(super) may_ask_more: bool,
    started_ms: u64,
}

impl Core {
    /// The answer to a read for which nobody else is asked, this node being the only owner, and nothing is waited for. Nothing
    /// where that is not so: then it is an [`Event::Client`](crate::Event::Client) like any other.
    #[must_use]
    pub fn read_alone(&self, now: Now, request: &Request, store: &dyn Store) -> Option<Answer> {
        let Operation::Read(read) = &request.operation else { return None };
        let partition = request.partition;
        let replicas = self.view.as_ref()?.replicas(partition);
        let is_alone = replicas.serving == [self.me.node] && replicas.owners() == 1;
        let may_be_read = is_alone && self.can_be_read(partition) && self.waits_for_promise(partition).is_none();
        let says_something = matches!(read, Read::Call(_));
        if !may_be_read || says_something || request.session.is_some() || request.quorum.need(1).greatest() > 1 {
            return None;
        }
        let slot = self.partitions[usize::from(partition.number())].as_ref()?;
        let found = slot.read(&Txn::new(store, Edits::new()), &request.key, read);
        let own = Holder { node: self.me.node, part: Part::Owner, medium: Medium::Memory };
        let receipt = Receipt { holders: vec![own] };
        Some(match found {
            Ok(found) => Answer::Found(Found { receipt, ..found }.at(now.wall_ms)),
            Err(error) => Answer::Failed(Failure::Store(error)),
        })
    }

    pub(super) fn coordinate_read(&mut self, step: &mut Step<'_>, task: Task, key: Vec<u8>, read: Read) {
        let Task { origin, partition, keeps_session, .. } = task;
        let me = self.me.node;
        let owns = self.part_of(me, partition) == Part::Owner;
        let own = Holder { node: me, part: self.part_of(me, partition), medium: Medium::Memory };
        let can_answer = owns && self.can_be_read(partition);
        let alone = can_answer.then(|| Receipt { holders: vec![own] }).filter(|own| self.is_enough(task, own));
        let at_once = alone.or_else(|| self.agreed(step, task, own, (&key, &read)).filter(|_| can_answer));
        if let Some(receipt) = at_once {
            let looking = self.looking(step, &read);
            let found = self.on_partition(step, partition, |p, txn| {
                let found = p.read(txn, &key, &read)?;
                looking.carry_out(p, txn, found)
            });
            let seen = self.seen(partition, keeps_session);
            let answer = match found {
                Ok(found) => Answer::Found(Found { receipt, seen, ..found }.at(step.now.wall_ms)),
                Err(failure) => Answer::Failed(failure),
            };
            return self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(answer));
        }
        let looking = self.looking(step, &read);
        let looked = self.on_partition(step, partition, |p, txn| {
            // Of a whole key, a merge takes what is there by then.
            let (found, digest, view) = p.look(txn, &key, &read)?;
            let found = looking.carry_out(p, txn, found)?;
            Ok::<_, Failure>((digest, found, view, (p.clock().clone(), p.minted(), !p.clock().covers(&p.ahead))))
        });
        let (own_digest, found, view, (clock, minted, is_ahead)) = match looked {
            Ok(looked) => looked,
            Err(failure) => return step.out.push(origin.fail(failure)),
        };
        // What one that stands in has not says nothing.
        let counts = if owns { self.can_be_read(partition) } else { own_digest != 0 };
        let found = Found { seen: self.seen(partition, keeps_session), ..found };
        let (differing, asked, started_ms) = (BTreeMap::new(), Vec::new(), step.now.mono_ms);
        let may_ask_more = false;
        let reading = Reading {
            key,
            read,
            found,
            clock,
            minted,
            is_ahead,
            own_digest,
            differing,
            view,
            asked,
            may_ask_more,
            started_ms,
        };
        let ticket = self.ticket();
        self.pending.insert(ticket, task.pending(step, Awaited::Read(Box::new(reading))));
        self.ask_enough(step, task, ticket);
        if counts {
            self.took_part(step, me, ticket, Medium::Memory);
        } else if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.barren.push(me);
            self.settle_one(step, ticket);
        }
    }

    /// This node and the one that has passed the read on, if both have the same and need ask nobody else.
    fn agreed(&mut self, step: &mut Step<'_>, task: Task, own: Holder, (key, read): (&[u8], &Read)) -> Option<Receipt> {
        let (other, digest) = task.told.filter(|_| !task.need.write_back)?;
        let part = self.part_of(other, task.partition);
        let receipt = Receipt { holders: vec![own, Holder { node: other, part, medium: Medium::Memory }] };
        if part != Part::Owner || !self.is_enough(task, &receipt) {
            return None;
        }
        let own_digest = self.quietly(step, task.partition, |p, txn| p.read_digest(txn, key, read));
        (own_digest == Some(digest)).then_some(receipt)
    }

    /// Need nobody be asked but these?
    fn is_enough(&self, task: Task, receipt: &Receipt) -> bool {
        let Task { need: Need { nodes, owners, strict, .. }, partition, .. } = task;
        let held = receipt.holders.len();
        usize::from(nodes) <= held
            && usize::from(owners) <= held
            && self.view.as_ref().is_some_and(|view| {
                let need = Need { nodes, owners, strict, ..Need::ANYBODY };
                view.replicas(partition).verdict(need, receipt, &self.candidates(partition)) == Verdict::Reached
            })
    }

    pub(in crate::core) fn on_fetched(
        &mut self,
        step: &mut Step<'_>,
        (from, as_what): (NodeId, Part),
        ticket: Ticket,
        state: Option<(KeyState, Context)>,
    ) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        let Awaited::Read(reading) = &mut pending.what else { return };
        if pending.receipt.contains(from) || pending.barren.contains(&from) {
            return;
        }
        let Reading { key, read, own_digest, differing, view, clock: own_clock, minted, is_ahead, .. } = &mut **reading;
        let mut theirs_digest = *own_digest;
        // What this node itself has written since is no news: commands that follow a read must not be seen by it.
        let (me, then) = (self.me, *minted);
        let now = self.partitions[usize::from(pending.partition.number())].as_ref().map_or(then, |slot| slot.minted());
        let is_own_since = |actor: &Actor, first: u64, last: u64| *actor == me && first > then && last <= now;
        let is_news = |state: &KeyState, clock: &Context| {
            let foreign = |theirs: &Context| {
                let news = theirs.minus(own_clock);
                news.runs().any(|(actor, run)| !is_own_since(actor, run.first, run.last))
            };
            let of_cells = |(_, cell): &(CellId, CellState)| {
                let is_since = |dot: &Dot| is_own_since(&dot.actor, dot.counter, dot.counter);
                foreign(&cell.residual) || cell.live.dots().any(|dot| !own_clock.contains(dot) && !is_since(dot))
            };
            *is_ahead
                || !clock.covers(own_clock)
                || foreign(clock)
                || foreign(&state.residual)
                || state.cells.iter().any(of_cells)
        };
        if let Some((state, clock)) = state.filter(|(state, clock)| is_news(state, clock)) {
            if view.is_none() {
                let slot = self.partitions[usize::from(pending.partition.number())].as_ref();
                let own =
                    slot.and_then(|p| p.view(&Txn::new(step.store, step.edits.clone()), key, read).ok().flatten());
                // Too large to be compared, or damaged.
                let Some(own) = own else { return self.on_nothing(step, from, ticket) };
                *view = Some(Box::new(own));
            }
            let theirs = KeyView { state, clock };
            theirs_digest = theirs.digest();
            differing.insert(from, theirs_digest);
            if let Some(view) = view {
                view.join(&theirs.state, &theirs.clock);
            }
        }
        let partition = pending.partition;
        // An owner by the picture here alone has said what it has, and counts for nothing.
        let stands_in = self.part_of(from, partition) == Part::StandIn;
        if (theirs_digest == 0 && stands_in) || (as_what == Part::StandIn && !stands_in) {
            self.on_nothing(step, from, ticket);
        } else {
            self.took_part(step, from, ticket, Medium::Memory);
        }
    }

    /// Enough have answered: answer with what they know together. Whoever differs tells the others its clock, and they it
    /// theirs: each fetches what it lacks, events and all, as it would in the next round (read repair).
    pub(super) fn finish_read(&mut self, step: &mut Step<'_>, pending: Pending) {
        let Pending { origin, deadline_ms, partition, need, receipt, barren, what, .. } = pending;
        let Awaited::Read(reading) = what else { return };
        let Reading { read, found, own_digest, differing, view, started_ms, asked, .. } = *reading;
        if !asked.is_empty() {
            self.hedges.learn(step.now.mono_ms.saturating_sub(started_ms));
        }
        let Some(view) = view.filter(|_| !differing.is_empty()) else {
            let answer = origin.answer(Answer::Found(Found { receipt, ..found }.at(step.now.wall_ms)));
            return self.release(step, Until::Promised(self.batch_of(partition)), answer);
        };
        if let Some(cluster) = self.view.clone() {
            let me = self.me.node;
            for node in receipt.all().into_iter().filter(|node| *node != me) {
                self.tell(step, &cluster, partition, node, true);
            }
        }
        let mut known = view.clock.clone();
        if let Some(own) = self.seen(partition, true) {
            known.union(&own);
        }
        // This node has what it shows, at once: a write that follows replaces all of it. Its clock follows with the events.
        let mut has_all = self.is_replica(partition);
        if has_all && own_digest != view.digest() {
            let joined = self.quietly(step, partition, |p, txn| {
                p.ahead.union(&known);
                p.repair(txn, &view.state, &view.clock)
            });
            has_all = joined.is_some();
            if let (Some(joined), Some(from)) = (joined, differing.keys().next()) {
                self.report(step, *from, joined);
            }
        }
        // What the others know is seen with what they have.
        let seen = found.seen.map(|_| Box::new(known.clone()));
        let said = self.said_of(step, partition, &read, &view, has_all);
        let found = view.found().at(step.now.wall_ms);
        let found = match said {
            Ok(said) => Found { seen, said, ..read.pick(found) },
            Err(failure) => return step.out.push(origin.fail(failure)),
        };
        if need.write_back {
            return self.bring(step, Bringing { origin, deadline_ms, need, partition, found, known, barren });
        }
        let answer = Answer::Found(Found { receipt, ..found });
        self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(answer));
    }

    /// What the application is to say with a read, if anything.
    fn looking(&mut self, step: &Step<'_>, read: &Read) -> Looking {
        let Read::Call(call) = read else { return Looking(None) };
        Looking(Some((call.clone(), Arc::clone(&self.procedures), self.hlc.tick(step.now.wall_ms))))
    }

    /// What the application says of what several owners have together. Where that is not all here by now, as on one that stands in, it
    /// is only while it is looked at.
    fn said_of(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        read: &Read,
        view: &KeyView,
        has_all: bool,
    ) -> Result<ByteString, Failure> {
        let looking = self.looking(step, read);
        if looking.0.is_none() {
            return Ok(ByteString::default());
        }
        let said = self.on_partition(step, partition, |p, txn| {
            if !has_all {
                p.repair(txn, &view.state, &view.clock)?;
            }
            let said = looking.carry_out(p, txn, Found::default())?.said;
            if has_all { Ok(said) } else { Err(Undone::Said(said)) }
        });
        match said {
            Ok(said) | Err(Undone::Said(said)) => Ok(said),
            Err(Undone::Failed(failure)) => Err(failure),
        }
    }
}

/// What the application is to say, when.
struct Looking(Option<(ByteString, Arc<dyn Procedures>, Hlc)>);

impl Looking {
    fn carry_out(&self, partition: &mut Partition, txn: &mut Txn<'_>, found: Found) -> Result<Found, Failure> {
        let Some((call, procedures, at)) = &self.0 else { return Ok(found) };
        Ok(Found { said: partition.say(txn, call, procedures.as_ref(), *at)?, ..found })
    }
}

/// What was changed only to be looked at is not to stay.
enum Undone {
    Said(ByteString),
    Failed(Failure),
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        Undone::Failed(failure)
    }
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Undone::Failed(error.into())
    }
}
