//! Coordinating requests: which owner, how many, and when it is enough.

use std::collections::BTreeMap;

use crate::core::{Action, Core, Held, Origin, RequestId, Step, Until};
use crate::id::{Context, NodeId, PartitionId};
use crate::message::{KeyState, Message, Ticket};
use crate::operation::{Answer, ByteString, Failure, Found, Operation, OwnerReport, Read, Request, Write, Written};
use crate::partition::KeyView;
use crate::store::Txn;

/// How long an explanation waits for an owner.
const EXPLAIN_MS: u64 = 500;

/// A request that waits for other nodes.
#[derive(Debug)]
pub(super) struct Pending {
    origin: Origin,
    deadline_ms: u64,
    partition: PartitionId,
    needed: u8,
    answered: Vec<NodeId>,
    what: Awaited,
}

#[derive(Debug)]
enum Awaited {
    Write(Written),
    /// `found` is what this node alone would answer, as of the arrival of the read; `view` what is known together,
    /// once somebody differs.
    Read {
        key: Vec<u8>,
        read: Read,
        found: Found,
        own_digest: u64,
        differing: BTreeMap<NodeId, u64>,
        view: Option<Box<KeyView>>,
    },
    Explain {
        order: Vec<NodeId>,
        reports: BTreeMap<NodeId, OwnerReport>,
        asked: usize,
    },
    Forwarded {
        to: NodeId,
        is_write: bool,
    },
}

impl Core {
    pub(super) fn on_client(&mut self, step: &mut Step<'_>, id: RequestId, request: Request) {
        let origin = Origin::Client(id);
        let Some(view) = self.view.clone() else {
            return step.out.push(origin.fail(Failure::NotAnOwner));
        };
        let coordinator = view.coordinator(request.partition);
        let serves = view.replicas(request.partition).serving.contains(&self.me.node);
        // Reads go where writes go, so that a client's pipelined commands on one key take effect in their order.
        let here = match request.operation {
            Operation::Write(_) | Operation::Read(_) => coordinator == Some(self.me.node),
            Operation::Explain | Operation::Scan { .. } | Operation::Count => {
                serves && self.can_be_read(request.partition) || coordinator == Some(self.me.node)
            }
        };
        match coordinator {
            Some(_) if here => self.coordinate(step, origin, request),
            Some(to) => self.forward(step, origin, to, request),
            None => {
                let needed = view.replicas(request.partition).majority();
                let silent = view.replicas(request.partition).serving.clone();
                step.out.push(origin.fail(Failure::NoQuorum {
                    needed,
                    answered: vec![],
                    silent,
                    may_take_effect: false,
                }));
            }
        }
    }

    pub(super) fn can_be_read(&self, partition: PartitionId) -> bool {
        !self.returning.contains(&partition)
            && self.partitions[usize::from(partition.number())]
                .as_ref()
                .is_some_and(|partition| !partition.is_filling())
    }

    fn forward(&mut self, step: &mut Step<'_>, origin: Origin, to: NodeId, request: Request) {
        let ticket = self.ticket();
        let is_write = matches!(request.operation, Operation::Write(_));
        // The coordinator gives up first, and says who was silent.
        let deadline_ms = step.now.mono_ms + self.settings.timeout_ms + self.settings.timeout_ms / 4;
        self.pending.insert(
            ticket,
            Pending {
                origin,
                deadline_ms,
                partition: request.partition,
                needed: 1,
                answered: Vec::new(),
                what: Awaited::Forwarded { to, is_write },
            },
        );
        step.out.push(Action::Send(to, Message::Forward(ticket, request)));
    }

    /// Whoever is asked to coordinate does, or says that it cannot; it never asks a third node.
    pub(super) fn on_forward(&mut self, step: &mut Step<'_>, from: NodeId, ticket: Ticket, request: Request) {
        let origin = Origin::Node(from, ticket, request.partition);
        let me = self.me.node;
        let serves = self.view.as_ref().is_some_and(|view| view.replicas(request.partition).serving.contains(&me));
        if serves {
            self.coordinate(step, origin, request);
        } else {
            step.out.push(origin.fail(Failure::NotAnOwner));
        }
    }

    pub(super) fn on_forwarded(&mut self, step: &mut Step<'_>, ticket: Ticket, answer: Answer) {
        if let Some(pending) = self.pending.remove(&ticket) {
            step.out.push(pending.origin.answer(answer));
        }
    }

    fn coordinate(&mut self, step: &mut Step<'_>, origin: Origin, request: Request) {
        let Some(view) = self.view.clone() else { return };
        let partition = request.partition;
        let replicas = view.replicas(partition);
        let asked = match request.operation {
            Operation::Write(_) => request.w,
            Operation::Read(_) => request.r,
            _ => Some(1),
        };
        let needed = asked.unwrap_or(replicas.majority()).max(1);
        let owners = replicas.owners();
        if needed > owners {
            return step.out.push(origin.fail(Failure::TooManyOwners { owners }));
        }
        let alive = self.serving_alive(partition);
        let answering: Vec<NodeId> = alive.iter().copied().collect();
        if !replicas.reached(&answering, needed) {
            let silent = replicas.serving.iter().copied().filter(|node| !alive.contains(node)).collect();
            let answered = alive.into_iter().collect();
            return step.out.push(origin.fail(Failure::NoQuorum { needed, answered, silent, may_take_effect: false }));
        }
        if !self.has(partition) {
            return step.out.push(origin.fail(Failure::NotAnOwner));
        }
        match request.operation {
            Operation::Write(write) => self.coordinate_write(step, origin, partition, &request.key, &write, needed),
            Operation::Read(read) => self.coordinate_read(step, origin, partition, request.key, read, needed),
            Operation::Explain => self.coordinate_explain(step, origin, partition, request.key),
            Operation::Scan { from, count_keys, conflicts_only } => {
                let page = self.on_partition(step, partition, |p, txn| p.page(txn, from, count_keys, conflicts_only));
                let answer = page.map_or_else(|e| Answer::Failed(e.into()), |(keys, next)| Answer::Page(keys, next));
                self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(answer));
            }
            Operation::Count => {
                let count = self.partitions[usize::from(partition.number())].as_ref().map_or(0, |p| p.live_keys());
                step.out.push(origin.answer(Answer::Count(count)));
            }
        }
    }

    fn coordinate_write(
        &mut self,
        step: &mut Step<'_>,
        origin: Origin,
        partition: PartitionId,
        key: &[u8],
        write: &Write,
        needed: u8,
    ) {
        if self.amnesia {
            return step.out.push(origin.fail(Failure::NotAnOwner));
        }
        let at = self.hlc.tick(step.now.wall_ms);
        let (written, changes) = match self.on_partition(step, partition, |p, txn| p.write(txn, key, write, at)) {
            Ok(done) => done,
            Err(failure) => return step.out.push(origin.fail(failure)),
        };
        let seq = self.batch_of(partition);
        let others: Vec<NodeId> = self.view.iter().flat_map(|view| view.replicas(partition).all()).collect();
        let others: Vec<NodeId> = others.into_iter().filter(|node| *node != self.me.node).collect();
        if changes.is_empty() || (needed == 1 && others.is_empty()) {
            return self.release(step, Until::Promised(seq), origin.answer(Answer::Written(written)));
        }
        let ticket = self.ticket();
        // Leaves in parallel with the own flush.
        for node in others {
            step.out.push(Action::Send(node, Message::Delta(ticket, partition, changes.clone())));
        }
        let what = Awaited::Write(written);
        self.wait(step, ticket, origin, partition, needed, Vec::new(), what, self.settings.timeout_ms);
        match self.waits_for(Until::Promised(seq)) {
            Some(seq) => self.held.entry(seq).or_default().push(Held::OwnWrite(ticket)),
            None => self.on_held(step, self.me.node, ticket),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a pending request, in one place")]
    fn wait(
        &mut self,
        step: &Step<'_>,
        ticket: Ticket,
        origin: Origin,
        partition: PartitionId,
        needed: u8,
        answered: Vec<NodeId>,
        what: Awaited,
        timeout_ms: u64,
    ) {
        let deadline_ms = step.now.mono_ms + timeout_ms;
        self.pending.insert(ticket, Pending { origin, deadline_ms, partition, needed, answered, what });
    }

    /// An owner (perhaps this one) holds a write.
    pub(super) fn on_held(&mut self, step: &mut Step<'_>, by: NodeId, ticket: Ticket) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        let counts = self.view.as_ref().is_some_and(|view| view.replicas(pending.partition).serving.contains(&by));
        if !matches!(pending.what, Awaited::Write(_)) || !counts || pending.answered.contains(&by) {
            return;
        }
        pending.answered.push(by);
        let (partition, needed) = (pending.partition, pending.needed);
        let is_enough =
            self.view.as_ref().is_some_and(|view| view.replicas(partition).reached(&pending.answered, needed));
        if is_enough && let Some(Pending { origin, what: Awaited::Write(written), .. }) = self.pending.remove(&ticket) {
            step.out.push(origin.answer(Answer::Written(written)));
        }
    }

    fn coordinate_read(
        &mut self,
        step: &mut Step<'_>,
        origin: Origin,
        partition: PartitionId,
        key: Vec<u8>,
        read: Read,
        needed: u8,
    ) {
        let counts_self = self.can_be_read(partition);
        let is_enough =
            self.view.as_ref().is_some_and(|view| view.replicas(partition).reached(&[self.me.node], needed));
        if needed == 1 && counts_self && is_enough {
            return self.answer_alone(step, origin, partition, &key, &read);
        }
        let looked = self.on_partition(step, partition, |p, txn| {
            // One cell or a few are cheap to keep for a merge; of a whole key, the merge takes what is there by then.
            let view = if matches!(read, Read::Cells(_)) { p.view(txn, &key, &read)?.map(Box::new) } else { None };
            Ok((p.read_digest(txn, &key, &read)?, p.read(txn, &key, &read)?, view))
        });
        let (digest, found, own) = match looked {
            Ok(looked) => looked,
            Err(error) => return step.out.push(origin.fail(Failure::Store(error))),
        };
        let ticket = self.ticket();
        for node in self.serving_alive(partition).into_iter().filter(|node| *node != self.me.node) {
            let fetch = Message::Fetch(ticket, partition, ByteString(key.clone()), read.clone(), digest);
            step.out.push(Action::Send(node, fetch));
        }
        let answered = if counts_self { vec![self.me.node] } else { Vec::new() };
        let what = Awaited::Read { key, read, found, own_digest: digest, differing: BTreeMap::new(), view: own };
        self.wait(step, ticket, origin, partition, needed, answered, what, self.settings.timeout_ms);
    }

    /// A read this node may answer from what it has.
    fn answer_alone(&mut self, step: &mut Step<'_>, origin: Origin, partition: PartitionId, key: &[u8], read: &Read) {
        let found = self.on_partition(step, partition, |p, txn| p.read(txn, key, read));
        let answer = found.map_or_else(|error| Answer::Failed(Failure::Store(error)), Answer::Found);
        self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(answer));
    }

    pub(super) fn on_fetched(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        state: Option<(KeyState, Context)>,
    ) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        let Awaited::Read { key, read, differing, view, .. } = &mut pending.what else { return };
        if pending.answered.contains(&from) {
            return;
        }
        if let Some((state, clock)) = state {
            if view.is_none() {
                let slot = self.partitions[usize::from(pending.partition.number())].as_ref();
                let own =
                    slot.and_then(|p| p.view(&Txn::new(step.store, step.edits.clone()), key, read).ok().flatten());
                let Some(own) = own else { return };
                *view = Some(Box::new(own));
            }
            let theirs = KeyView { state, clock };
            differing.insert(from, theirs.digest());
            if let Some(view) = view {
                view.join(&theirs.state, &theirs.clock);
            }
        }
        pending.answered.push(from);
        let (partition, needed) = (pending.partition, pending.needed);
        let is_enough =
            self.view.as_ref().is_some_and(|view| view.replicas(partition).reached(&pending.answered, needed));
        if is_enough && let Some(pending) = self.pending.remove(&ticket) {
            self.finish_read(step, pending);
        }
    }

    /// Enough owners have answered: answer with what they know together, and tell those who knew less.
    fn finish_read(&mut self, step: &mut Step<'_>, pending: Pending) {
        let Pending { origin, partition, answered, what, .. } = pending;
        let Awaited::Read { read, found, own_digest, differing, view, .. } = what else { return };
        let Some(view) = view.filter(|_| !differing.is_empty()) else {
            let answer = origin.answer(Answer::Found(found));
            return self.release(step, Until::Promised(self.batch_of(partition)), answer);
        };
        let together = view.digest();
        for node in answered.iter().filter(|node| **node != self.me.node) {
            if *differing.get(node).unwrap_or(&own_digest) != together {
                let repair = Message::Repair(partition, Box::new(view.state.clone()), view.clock.clone());
                step.out.push(Action::Send(*node, repair));
            }
        }
        let joined = self.quietly(step, partition, |p, txn| p.repair(txn, &view.state, &view.clock));
        if let (Some(joined), Some(from)) = (joined, differing.keys().next()) {
            self.report(step, *from, joined);
        }
        let found = view.found();
        let found = if matches!(read, Read::Summary) { Found { cells: Vec::new(), ..found } } else { found };
        self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(Answer::Found(found)));
    }

    pub(super) fn on_fetched_nothing(&mut self, step: &mut Step<'_>, from: NodeId, ticket: Ticket) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let possible: Vec<NodeId> =
            self.serving_alive(pending.partition).into_iter().filter(|node| *node != from).collect();
        let (partition, needed) = (pending.partition, pending.needed);
        let can_be = self.view.as_ref().is_some_and(|view| view.replicas(partition).reached(&possible, needed));
        if !can_be && let Some(pending) = self.pending.remove(&ticket) {
            self.give_up(step, pending);
        }
    }

    fn coordinate_explain(&mut self, step: &mut Step<'_>, origin: Origin, partition: PartitionId, key: Vec<u8>) {
        let own = match self.on_partition(step, partition, |p, txn| p.explain(txn, &key)) {
            Ok(report) => report,
            Err(error) => return step.out.push(origin.fail(Failure::Store(error))),
        };
        let order: Vec<NodeId> = self.view.iter().flat_map(|view| view.replicas(partition).all()).collect();
        let others = self.view.iter().flat_map(|view| order.iter().filter(|node| view.alive.contains(node)));
        let others: Vec<NodeId> = others.copied().filter(|node| *node != self.me.node).collect();
        let ticket = self.ticket();
        for node in &others {
            step.out.push(Action::Send(*node, Message::Inspect(ticket, partition, ByteString(key.clone()))));
        }
        let (reports, asked) = (BTreeMap::from([(self.me.node, own)]), others.len() + 1);
        let what = Awaited::Explain { order, reports, asked };
        self.wait(step, ticket, origin, partition, 1, Vec::new(), what, EXPLAIN_MS);
        self.finish_explain(step, ticket);
    }

    pub(super) fn on_inspected(&mut self, step: &mut Step<'_>, from: NodeId, ticket: Ticket, report: OwnerReport) {
        if let Some(Pending { what: Awaited::Explain { reports, .. }, .. }) = self.pending.get_mut(&ticket) {
            reports.insert(from, report);
            self.finish_explain(step, ticket);
        }
    }

    fn finish_explain(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        let complete = match self.pending.get(&ticket) {
            Some(Pending { what: Awaited::Explain { reports, asked, .. }, .. }) => reports.len() >= *asked,
            _ => false,
        };
        if complete && let Some(pending) = self.pending.remove(&ticket) {
            self.give_up(step, pending);
        }
    }

    /// Answers with what there is.
    fn give_up(&mut self, step: &mut Step<'_>, pending: Pending) {
        let Pending { origin, partition, needed, answered, what, .. } = pending;
        let (silent, may_take_effect) = match what {
            Awaited::Explain { order, mut reports, .. } => {
                let reports = order.into_iter().map(|node| (node, reports.remove(&node))).collect();
                return step.out.push(origin.answer(Answer::Explained(reports)));
            }
            Awaited::Forwarded { to, is_write } => (vec![to], is_write),
            Awaited::Write(_) => (self.silent(partition, &answered), true),
            Awaited::Read { .. } => (self.silent(partition, &answered), false),
        };
        step.out.push(origin.fail(Failure::NoQuorum { needed, answered, silent, may_take_effect }));
    }

    fn silent(&self, partition: PartitionId, answered: &[NodeId]) -> Vec<NodeId> {
        let serving = self.view.iter().flat_map(|view| view.replicas(partition).serving.iter());
        serving.copied().filter(|node| !answered.contains(node)).collect()
    }

    /// Fails what has waited too long.
    pub(super) fn expire(&mut self, step: &mut Step<'_>) {
        let late = self.pending.iter().filter(|(_, pending)| pending.deadline_ms <= step.now.mono_ms);
        for ticket in late.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(pending) = self.pending.remove(&ticket) {
                self.give_up(step, pending);
            }
        }
    }

    /// Answers the writes that are held by enough owners as they are now.
    pub(super) fn finish_reached(&mut self, step: &mut Step<'_>) {
        let Some(view) = self.view.clone() else { return };
        let is_reached = |pending: &Pending| {
            matches!(pending.what, Awaited::Write(_))
                && view.replicas(pending.partition).reached(&pending.answered, pending.needed)
        };
        let reached = self.pending.iter().filter(|(_, pending)| is_reached(pending));
        for ticket in reached.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(Pending { origin, what: Awaited::Write(written), .. }) = self.pending.remove(&ticket) {
                step.out.push(origin.answer(Answer::Written(written)));
            }
        }
    }

    /// Fails what cannot be answered any more because a node was lost: nobody should wait for the deadline.
    pub(super) fn fail_hopeless(&mut self, step: &mut Step<'_>) {
        let Some(view) = self.view.clone() else { return };
        let is_hopeless = |pending: &Pending| {
            let replicas = view.replicas(pending.partition);
            let possible = replicas.serving.iter().copied();
            let possible = possible.filter(|node| view.alive.contains(node) || pending.answered.contains(node));
            match &pending.what {
                Awaited::Forwarded { to, .. } => !view.alive.contains(to),
                Awaited::Explain { .. } => false,
                Awaited::Write(_) | Awaited::Read { .. } => {
                    !replicas.reached(&possible.collect::<Vec<_>>(), pending.needed)
                }
            }
        };
        let lost = self.pending.iter().filter(|(_, pending)| is_hopeless(pending));
        for ticket in lost.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(pending) = self.pending.remove(&ticket) {
                self.give_up(step, pending);
            }
        }
    }
}
