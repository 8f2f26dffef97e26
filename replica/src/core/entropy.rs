//! Anti-entropy: replicas tell each other their clocks, fetch what they lack, fill new owners, and let go of what
//! others have. Once all clocks are equal and everybody knows, nothing is sent any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::{Action, Core, Step, Until};
use crate::id::{Actor, Context, NodeId, PARTITIONS, PartitionId};
use crate::layout::View;
use crate::message::{ClockNote, Message, MissingKeys, StreamedRange};
use crate::operation::{Failure, Write};
use crate::partition::{Backlog, Order, Peer};
use crate::quorum::Medium;

/// An answer that has not come by then was lost.
const ANSWER_MS: u64 = 2_000;
/// A stream that has not moved for so long is begun anew, perhaps from another source.
const STREAM_MS: u64 = 600_000;

/// Of how many logs some is forgotten per tick while all together are too large.
const LOGS_PER_TICK: usize = 8;

/// How many keys of a partition that have ended one round removes.
const ENDINGS_PER_ROUND: usize = 256;

impl Core {
    /// One comparison of a partition with its other replicas. Of the event so far only rounds of other partitions have changed anything:
    /// that is put aside. (Each change of a partition is made beside a copy of what the event has changed, to be taken back if it fails.)
    pub(super) fn round(&mut self, step: &mut Step<'_>, number: u16) {
        let of_others = std::mem::take(&mut step.edits);
        self.compare(step, number);
        let own = std::mem::replace(&mut step.edits, of_others);
        step.edits.extend(own);
    }

    fn compare(&mut self, step: &mut Step<'_>, number: u16) {
        let (Some(view), Some(partition)) = (self.view.clone(), PartitionId::new(number)) else { return };
        let Some(slot) = self.partitions[usize::from(number)].as_mut() else { return };
        slot.age_orders();
        let me = self.me.node;
        let replicas = view.replicas(partition);
        let (owner, holds) = (replicas.contains(me), slot.holds_anything());
        if !owner && !holds {
            if slot.has_debris() {
                self.quietly(step, partition, |p, txn| p.drop_all(txn));
            }
            if view.members.nodes.get(&me).is_some_and(|own| own.filled.contains(partition)) {
                step.out.push(Action::Dropped(partition));
            }
            return;
        }
        self.end_keys(step, &view, partition);
        let Some(slot) = self.partitions[usize::from(number)].as_mut() else { return };
        let formers = if owner { self.formers.of(partition).clone() } else { BTreeSet::new() };
        slot.expire_questions(step.now.mono_ms, ANSWER_MS);
        if slot.awaits_stability() {
            self.quietly(step, partition, |p, txn| p.advance_stability(txn));
        }
        let Some(slot) = self.partitions[usize::from(number)].as_mut() else { return };
        if slot.may_strip() {
            self.quietly(step, partition, |p, txn| p.strip(txn));
        }
        let Some(slot) = self.partitions[usize::from(number)].as_mut() else { return };
        if slot.is_log_counted_in_part() {
            self.quietly(step, partition, |p, txn| p.count_log(txn));
        }
        if !replicas.serving.is_empty() && replicas.all().chain(formers.iter().copied()).all(|node| node == me) {
            return;
        }
        self.watch_stream(step, &view, partition);
        if let Some(slot) = self.partitions[usize::from(number)].as_mut()
            && slot.is_filling()
            && slot.inbound().is_none()
        {
            // What a stream that was given up has left out came by other ways: nobody would be asked for it again.
            let has_all_of = |node: &NodeId| slot.peers.get(node).is_some_and(|peer| slot.clock().covers(&peer.clock));
            if !replicas.serving.is_empty() && replicas.serving.iter().filter(|node| **node != me).all(has_all_of) {
                slot.is_complete();
            }
        }
        let asked_of = self.partitions[usize::from(number)].iter().filter(|_| owner).flat_map(|slot| slot.asked_of());
        for node in asked_of.filter(|node| view.alive.contains(node)).collect::<Vec<_>>() {
            self.tell(step, &view, partition, node, true);
        }
        let to_close = self.partitions[usize::from(number)].iter().flat_map(|slot| slot.to_close());
        for (node, actor) in to_close.filter(|(node, _)| view.alive.contains(node)).collect::<Vec<_>>() {
            step.out.push(Action::Send(node, Message::Close(partition, actor)));
        }
        let is_orphaned = replicas.serving.is_empty();
        // On fresh words only.
        let may_let_go = !owner && replicas.filling.is_empty();
        let everybody = view.alive.iter().copied().filter(|_| is_orphaned);
        let others: BTreeSet<NodeId> = replicas.all().chain(everybody).chain(formers.iter().copied()).collect();
        for node in others.into_iter().filter(|node| *node != me && view.alive.contains(node)) {
            let Some(slot) = self.partitions[usize::from(number)].as_mut() else { return };
            let peer = slot.peers.get(&node);
            let known = peer.is_some_and(|peer| {
                let told = peer.told.as_ref().is_some_and(|(in_, told)| *in_ == view.placement && told == slot.clock());
                // Who is no replica gets no more of what is written.
                let is_covered = if owner { peer.clock == *slot.clock() } else { peer.clock.covers(slot.clock()) };
                told && is_covered
                    && peer.placement == view.placement
                    && (peer.serves || !replicas.serving.contains(&node))
                    && (peer.counts_me || !owner)
                    && (peer.is_fresh || !is_orphaned && !may_let_go)
            });
            if !known || formers.contains(&node) {
                self.tell(step, &view, partition, node, true);
            }
        }
        self.settle_ownership(step, partition);
        self.verify(step, partition);
    }

    /// Forgets some of the largest log, if all together are too large. (What is kept for owners that do not answer has a limit of its
    /// own.)
    pub(super) fn bound_logs(&mut self, step: &mut Step<'_>) {
        let slots = self.partitions.iter().flatten().filter(|slot| slot.is_replica());
        let mut logs: Vec<(u64, PartitionId)> = slots.map(|slot| (slot.log_bytes(), slot.id)).collect();
        let mut all_bytes: u64 = logs.iter().map(|(bytes, _)| bytes).sum();
        self.logs_are_too_large = all_bytes > self.settings.log_bytes;
        if !self.logs_are_too_large {
            return;
        }
        logs.sort_unstable_by_key(|log| std::cmp::Reverse(*log));
        // Of some logs nothing can be forgotten yet.
        for (bytes, partition) in logs.into_iter().take(LOGS_PER_TICK) {
            if all_bytes <= self.settings.log_bytes {
                break;
            }
            self.quietly(step, partition, |p, txn| p.forget_log(txn));
            let left = self.partitions[usize::from(partition.number())].as_ref().map_or(0, |slot| slot.log_bytes());
            all_bytes = all_bytes.saturating_sub(bytes.saturating_sub(left));
        }
    }

    /// Removes keys that have ended, at the one that coordinates: the others only hide them. Not before it has heard from every
    /// replica that it knows all that one does, and all that was written elsewhere has been handed over: somebody may have
    /// given the key more time.
    fn end_keys(&mut self, step: &mut Step<'_>, view: &View, partition: PartitionId) {
        let now_ms = step.now.wall_ms;
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        let is_due = slot.is_some_and(|slot| slot.may_end(now_ms)) && !self.amnesia;
        let replicas = view.replicas(partition);
        if !is_due
            || view.coordinator(partition) != Some(self.me.node)
            || !replicas.all().all(|node| view.alive.contains(&node))
        {
            return;
        }
        let others: Vec<NodeId> = replicas.all().filter(|node| *node != self.me.node).collect();
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        let waits_for = |node: &&NodeId| slot.is_some_and(|slot| !slot.knows_all_of(node));
        let unknown: Vec<NodeId> = others.iter().filter(waits_for).copied().collect();
        if !unknown.is_empty() || slot.is_some_and(|slot| slot.visitors().next().is_some()) {
            for node in unknown {
                self.tell(step, view, partition, node, true);
            }
            return;
        }
        let (at, procedures) = (self.hlc.tick(now_ms), Arc::clone(&self.procedures));
        let order = Order { write: &Write::RemoveKey, at, procedures: procedures.as_ref() };
        let ended = self.on_partition(step, partition, |p, txn| {
            let mut changes = Vec::new();
            for key in p.ended(txn, now_ms, ENDINGS_PER_ROUND)? {
                changes.extend(p.write(txn, &key, &order)?.1);
            }
            Ok::<_, Failure>(changes)
        });
        match ended {
            Ok(changes) if !changes.is_empty() => {
                let ticket = self.ticket();
                for node in others {
                    step.out
                        .push(Action::Send(node, Message::Delta(ticket, partition, Medium::Memory, changes.clone())));
                }
            }
            Ok(_) => {}
            Err(why) => {
                step.out.push(Action::Alarm(format!("partition {partition}: keys that have ended stay: {why:?}")))
            }
        }
    }

    pub(super) fn tell(&mut self, step: &mut Step<'_>, view: &View, partition: PartitionId, to: NodeId, ask: bool) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        let clock = slot.clock().clone();
        slot.peers.entry(to).or_default().told = Some((view.placement, clock.clone()));
        let replicas = view.replicas(partition);
        let note = ClockNote {
            ask,
            counts_you: replicas.contains(to),
            retired: slot.retired(),
            placement: view.placement,
            serves: replicas.serving.contains(&self.me.node) && !self.returning.contains(&partition),
        };
        self.release(
            step,
            Until::OnDisk(self.batch_of(partition)),
            Action::Send(to, Message::Clock(partition, note, clock)),
        );
    }

    pub(super) fn on_clock(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        partition: PartitionId,
        note: ClockNote,
        clock: Context,
    ) {
        if self.is_amnesia(step, partition, &clock) {
            return;
        }
        let Some(view) = self.view.clone() else { return };
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        if slot.roster.gone.contains(&from) {
            return;
        }
        let behind = !slot.clock().covers(&clock);
        slot.hear(from, clock, note);
        let says_that_it_does_not_serve = note.placement == view.placement && !note.serves;
        if says_that_it_does_not_serve && self.formers.forget(partition, from) {
            self.settle_writes_of(step, partition);
        }
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        let idle = slot.inbound().is_none() && !slot.is_asking_anybody();
        if note.ask {
            self.tell(step, &view, partition, from, false);
        }
        if behind && idle && view.replicas(partition).contains(self.me.node) {
            self.pull(step, partition, from);
        }
        self.quietly(step, partition, |p, txn| p.advance_stability(txn));
        self.settle_ownership(step, partition);
    }

    /// Somebody wants to know whether anything of an actor can still come from here.
    pub(super) fn on_close(&mut self, step: &mut Step<'_>, from: NodeId, partition: PartitionId, actor: Actor) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_ref() else { return };
        if slot.roster.has_fenced(&actor) {
            let runs = slot.clock().runs().filter(|(known, _)| **known == actor);
            let mut dots = Context::new();
            runs.for_each(|(actor, run)| dots.insert_run(*actor, run));
            let closed = Action::Send(from, Message::Closed(partition, actor, dots));
            self.release(step, Until::OnDisk(self.batch_of(partition)), closed);
        }
    }

    /// Does somebody know more of this node's writes than it does? Then its disk is an old copy.
    pub(super) fn is_amnesia(&mut self, step: &mut Step<'_>, partition: PartitionId, theirs: &Context) -> bool {
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        let amnesia = slot.is_some_and(|slot| slot.is_amnesia(theirs));
        if amnesia && !std::mem::replace(&mut self.amnesia, true) {
            step.out.push(Action::Amnesia);
        }
        amnesia
    }

    fn pull(&mut self, step: &mut Step<'_>, partition: PartitionId, from: NodeId) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        slot.ask(from, step.now.mono_ms);
        step.out.push(Action::Send(from, Message::Pull(partition, slot.clock().clone())));
    }

    pub(super) fn on_pull(&mut self, step: &mut Step<'_>, from: NodeId, partition: PartitionId, clock: &Context) {
        if self.is_amnesia(step, partition, clock) {
            return;
        }
        let Some(view) = self.view.clone() else { return };
        let backlog = self
            .quietly(step, partition, |p, txn| Ok((p.backlog(txn, clock)?, p.clock().clone(), p.residual().clone())));
        // What is sent is durable here: the receiver will count on it.
        let until = Until::OnDisk(self.batch_of(partition));
        match backlog {
            None => {}
            Some((Backlog::None, ..)) => self.tell(step, &view, partition, from, false),
            Some((Backlog::Stream, ..)) => step.out.push(Action::Send(from, Message::MustStream(partition))),
            Some((Backlog::Keys(keys, more), own, residual)) => {
                let missing = Message::Missing(
                    partition,
                    Box::new(MissingKeys { keys, clock: own, residual, more, asked_with: clock.clone() }),
                );
                self.release(step, until, Action::Send(from, missing));
            }
        }
    }

    pub(super) fn on_missing(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        partition: PartitionId,
        missing: MissingKeys,
    ) {
        let owner = self.view.as_ref().is_some_and(|view| view.replicas(partition).contains(self.me.node));
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        // A late answer to a question asked before the partition was dropped or lost here speaks of what is not here.
        let wanted = slot.is_some_and(|slot| slot.is_asking(from) && slot.clock().covers(&missing.asked_with));
        if !owner || !wanted {
            return;
        }
        let dots: Context = missing.keys.iter().flat_map(|key| &key.events).map(|(dot, _)| *dot).collect();
        if self.is_amnesia(step, partition, &dots) {
            return;
        }
        for (_, state) in missing.keys.iter().flat_map(|key| &key.cells) {
            self.follow(crdt::reading::latest(&state.live), step.now.wall_ms);
        }
        let taken = self.quietly(step, partition, |p, txn| {
            p.answered(from);
            let joined = p.take_missing(txn, &missing)?;
            if !missing.more {
                p.is_complete();
            }
            Ok(joined)
        });
        let Some(joined) = taken else { return };
        self.report(step, from, joined);
        if missing.more {
            self.pull(step, partition, from);
        } else {
            // Whoever waits for this node to know is told at once.
            if let Some(view) = self.view.clone() {
                self.tell(step, &view, partition, from, false);
            }
            self.settle_ownership(step, partition);
        }
    }

    pub(super) fn on_must_stream(&mut self, step: &mut Step<'_>, from: NodeId, partition: PartitionId) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        slot.answered(from);
        if slot.inbound().is_none() {
            slot.begin_stream(from, step.now.mono_ms);
            step.out.push(Action::Send(from, Message::Stream(partition, None)));
        }
    }

    pub(super) fn on_streamed(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        partition: PartitionId,
        range: &StreamedRange,
    ) {
        let now_ms = step.now.mono_ms;
        if self.is_amnesia(step, partition, &range.clock) {
            return;
        }
        for (_, state) in range.keys.iter().flat_map(|key| &key.cells) {
            self.follow(crdt::reading::latest(&state.live), step.now.wall_ms);
        }
        let taken = self.quietly(step, partition, |p, txn| p.take_range(txn, from, range, now_ms));
        let Some(Some((joined, complete))) = taken else { return };
        self.report(step, from, joined);
        if complete {
            self.compare(step, partition.number());
        } else {
            step.out.push(Action::Send(from, Message::Stream(partition, range.upto.clone())));
        }
    }

    /// Asks again for a range that was lost; begins anew when the source is.
    fn watch_stream(&mut self, step: &mut Step<'_>, view: &View, partition: PartitionId) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        let Some((source, cursor, heard_at_ms)) = slot.inbound() else { return };
        let silence_ms = step.now.mono_ms.saturating_sub(heard_at_ms);
        if !view.alive.contains(&source) || silence_ms > STREAM_MS {
            slot.abandon_stream();
        } else if silence_ms > ANSWER_MS {
            step.out.push(Action::Send(source, Message::Stream(partition, cursor.cloned())));
        }
    }

    /// Declares this node filled, or drops what it no longer owns, as soon as that is safe.
    fn settle_ownership(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let Some(view) = self.view.clone() else { return };
        let Some(slot) = self.partitions[usize::from(partition.number())].as_ref() else { return };
        let (me, replicas) = (self.me.node, view.replicas(partition));
        // Words from before the layouts that hold now, or of one that does not serve by them, are nothing to rely on.
        let covered = |node: &&NodeId| {
            let relies_on = |peer: &Peer| peer.counts_me && peer.serves_by(view.placement);
            slot.peers.get(node).is_some_and(|peer| relies_on(peer) && slot.clock().covers(&peer.clock))
        };
        if replicas.filling.contains(&me) && replicas.serving.is_empty() {
            // Nobody serves it: those who would have had lost it before, or perhaps, and have said so. Whoever has all that there is
            // begins, once everybody has told what they have: nobody can say who may have more. (One that has set its records aside
            // cannot tell what it had.)
            let mut others = view.members.current().map(|(node, _)| node).filter(|node| **node != me);
            let is_known = view.members.current().all(|(_, member)| !member.lost.contains(partition))
                && others.all(|node| view.alive.contains(node) && slot.knows_all_of(node));
            if is_known && slot.inbound().is_none() {
                let filled = Action::Filled(partition, view.placement);
                self.release(step, Until::OnDisk(self.batch_of(partition)), filled);
            }
        } else if replicas.filling.contains(&me) && slot.inbound().is_none() {
            // Every owner that answers, and so many that no acknowledged write is missed.
            let caught_up: Vec<NodeId> = replicas.serving.iter().filter(covered).copied().collect();
            let mut answering = replicas.serving.iter().filter(|node| view.alive.contains(node));
            if replicas.reached(&caught_up, replicas.majority()) && answering.all(|node| caught_up.contains(node)) {
                let filled = Action::Filled(partition, view.placement);
                self.release(step, Until::OnDisk(self.batch_of(partition)), filled);
            }
        } else if !replicas.contains(me) && slot.holds_anything() {
            // Nobody gives a copy away while replicas are being filled: those that serve may be few. And a word from before the picture
            // last changed may be that of a disk which has gone since.
            let holds_all = |node: &NodeId| {
                let peer = slot.peers.get(node).filter(|peer| peer.is_fresh && peer.serves_by(view.placement));
                peer.is_some_and(|peer| peer.clock.covers(slot.clock()))
            };
            if replicas.filling.is_empty() && !replicas.serving.is_empty() && replicas.serving.iter().all(holds_all) {
                self.quietly(step, partition, |p, txn| p.drop_all(txn));
                for node in replicas.serving.iter().filter(|node| view.alive.contains(node)) {
                    self.tell(step, &view, partition, *node, false);
                }
            }
        }
    }

    /// The partitions this core keeps.
    pub fn share(&self) -> impl Iterator<Item = PartitionId> + '_ {
        (0..PARTITIONS).filter(|n| self.partitions[usize::from(*n)].is_some()).filter_map(PartitionId::new)
    }
}
