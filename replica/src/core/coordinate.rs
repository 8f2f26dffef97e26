//! Coordinating requests: which owner, how many, and when it is enough.

mod explain;
mod hedge;
mod read;
mod session;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::{Action, Core, Durability, Origin, RequestId, Step, TICK_MS, Until};
use crate::id::{NodeId, PartitionId};
use crate::message::{Message, Ticket};
use crate::operation::{Answer, Failure, Operation, OwnerReport, PeerEntropy, Request, Written};
use crate::partition::Partition;
use crate::quorum::{Holder, Medium, Need, Part, Receipt, Verdict};
pub(super) use hedge::Hedges;
use read::Reading;
pub(super) use session::{Bringing, Parked};

/// A request that waits for other nodes.
#[derive(Debug)]
pub(super) struct Pending {
    origin: Origin,
    deadline_ms: u64,
    partition: PartitionId,
    need: Need,
    /// Who has done its part.
    receipt: Receipt,
    /// Who has said that it cannot.
    barren: Vec<NodeId>,
    what: Awaited,
    /// Those that hold a write and are still being filled.
    being_filled: Vec<(NodeId, Medium)>,
    /// The decisions on who owns what under which it goes on, and who has said to hold it under others.
    placement: u64,
    elsewhere: Vec<(NodeId, u64, Medium)>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once into its table and once out; a box would cost more")]
enum Awaited {
    Write(Written),
    Read(Box<Reading>),
    Explain {
        order: Vec<(NodeId, Part)>,
        reports: BTreeMap<NodeId, OwnerReport>,
        asked: usize,
    },
    /// A read is kept, to be asked of another should this one be gone.
    Forwarded {
        to: NodeId,
        read: Option<Box<Request>>,
    },
}

/// A request being coordinated: whose, where, and under which conditions.
#[derive(Clone, Copy)]
struct Task {
    origin: Origin,
    partition: PartitionId,
    need: Need,
    timeout_ms: u64,
    keeps_session: bool,
    /// Of a read that another node has passed on: the digest of what that one has, if it owns the partition.
    told: Option<(NodeId, u64)>,
    placement: u64,
}

impl Task {
    fn pending(self, step: &Step<'_>, what: Awaited) -> Pending {
        let Task { origin, partition, need, timeout_ms, placement, .. } = self;
        let deadline_ms = step.now.mono_ms.saturating_add(timeout_ms);
        Pending {
            origin,
            deadline_ms,
            partition,
            need,
            receipt: Receipt::default(),
            barren: Vec::new(),
            what,
            being_filled: Vec::new(),
            placement,
            elsewhere: Vec::new(),
        }
    }
}

impl Core {
    pub(super) fn on_client(&mut self, step: &mut Step<'_>, id: RequestId, request: Request) {
        let origin = Origin::Client(id);
        let Some(view) = self.view.clone() else {
            return step.out.push(origin.fail(Failure::NotAnOwner));
        };
        let partition = request.partition;
        if matches!(request.operation, Operation::Entropy) {
            return step.out.push(origin.answer(Answer::Entropy(self.entropy(partition))));
        }
        let serves = view.replicas(partition).serving.contains(&self.me.node);
        // Reads go where writes go, so that a client's pipelined commands on one key take effect in their order.
        let follows_writes = matches!(request.operation, Operation::Write(_) | Operation::Read(_));
        let coordinator = view.coordinator(partition);
        let stand_in = || view.stand_ins(partition).into_iter().next().filter(|_| follows_writes);
        match coordinator.or_else(stand_in) {
            Some(to) if to == self.me.node && (follows_writes || self.can_be_read(partition)) => {
                self.coordinate(step, origin, request, None);
            }
            Some(_) if !follows_writes && serves && self.can_be_read(partition) => {
                self.coordinate(step, origin, request, None);
            }
            // What looks at a whole partition is not asked of one that has only a part of it.
            Some(to) if to == self.me.node => {
                let others = view.replicas(partition).serving.iter().filter(|node| **node != to);
                match others.copied().find(|node| view.alive.contains(node)) {
                    Some(other) => self.forward(step, origin, other, request),
                    None => step.out.push(origin.fail(Failure::NotAnOwner)),
                }
            }
            Some(to) => self.forward(step, origin, to, request),
            None => {
                let replicas = view.replicas(partition);
                let (needed, silent) = (replicas.majority(), replicas.serving.clone());
                let answered = Vec::new();
                step.out.push(origin.fail(Failure::NoQuorum { needed, answered, silent, may_take_effect: false }));
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
        // A write goes to one coordinator, and is never silently sent to a second one.
        let is_read = !matches!(request.operation, Operation::Write(_));
        let read = is_read.then(|| Box::new(request.clone()));
        // The coordinator gives up first, and says who was silent.
        let timeout_ms = self.timeout_ms(&request);
        let timeout_ms = timeout_ms.saturating_add((timeout_ms / 4).max(2 * TICK_MS));
        let partition = request.partition;
        let (need, placement) = (Need::ANYBODY, self.view.as_ref().map_or(0, |view| view.placement));
        let task = Task { origin, partition, need, timeout_ms, keeps_session: false, told: None, placement };
        let ticket = self.ticket();
        self.pending.insert(ticket, task.pending(step, Awaited::Forwarded { to, read }));
        let message = match self.own_digest(step, &request) {
            Some(digest) => Message::ForwardRead(ticket, request, digest),
            None => Message::Forward(ticket, request),
        };
        step.out.push(Action::Send(to, message));
    }

    /// The digest of what this node would answer to a read by itself, if that counts.
    fn own_digest(&mut self, step: &mut Step<'_>, request: &Request) -> Option<u64> {
        let Operation::Read(read) = &request.operation else { return None };
        let partition = request.partition;
        let owns = self.part_of(self.me.node, partition) == Part::Owner;
        let counts = owns && self.can_be_read(partition) && self.waits_for_promise(partition).is_none();
        if !counts {
            return None;
        }
        self.quietly(step, partition, |p, txn| p.read_digest(txn, &request.key, read))
    }

    fn timeout_ms(&self, request: &Request) -> u64 {
        request.timeout_ms.map_or(self.settings.timeout_ms, u64::from)
    }

    /// Whoever is asked to coordinate does, or says that it cannot; it never asks a third node. One that is no owner does
    /// if it sees none either: then it stands in.
    pub(super) fn on_forward(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        request: Request,
        digest: Option<u64>,
    ) {
        let origin = Origin::Node(from, ticket, request.partition);
        let partition = request.partition;
        let coordinates = self.view.as_ref().is_some_and(|view| {
            view.replicas(partition).serving.contains(&self.me.node)
                || (view.coordinator(partition).is_none() && view.stand_ins(partition).contains(&self.me.node))
        });
        if coordinates {
            self.coordinate(step, origin, request, digest.map(|digest| (from, digest)));
        } else {
            step.out.push(origin.fail(Failure::NotAnOwner));
        }
    }

    pub(super) fn on_forwarded(&mut self, step: &mut Step<'_>, ticket: Ticket, answer: Answer) {
        if let Some(pending) = self.pending.remove(&ticket) {
            step.out.push(pending.origin.answer(answer.received()));
        }
    }

    fn coordinate(&mut self, step: &mut Step<'_>, origin: Origin, request: Request, told: Option<(NodeId, u64)>) {
        let Some(view) = self.view.clone() else { return };
        let partition = request.partition;
        let replicas = view.replicas(partition);
        let timeout_ms = self.timeout_ms(&request);
        let need = match request.operation {
            Operation::Write(_) | Operation::Read(_) => request.quorum.need(replicas.majority()),
            _ => Need::ANYBODY,
        };
        let owners = replicas.owners();
        if need.greatest() > owners.max(1) {
            return step.out.push(origin.fail(Failure::TooManyOwners { owners }));
        }
        if replicas.serving.is_empty() || !self.has(partition) {
            return step.out.push(origin.fail(Failure::NotAnOwner));
        }
        if self.is_behind(&request) {
            return self.park(step, origin, request);
        }
        let (keeps_session, placement) = (request.session.is_some(), view.placement);
        let task = Task { origin, partition, need, timeout_ms, keeps_session, told, placement };
        let candidates = self.candidates(partition);
        let verdict = match request.operation {
            Operation::Write(_) => {
                let in_sight = (&view.alive, self.formers.of(partition));
                replicas.verdict_of_write(need, &Receipt::default(), &[], &candidates, in_sight)
            }
            _ => replicas.verdict(need, &Receipt::default(), &candidates),
        };
        // This node is among them, with a disk or without.
        let disks = candidates.len() - usize::from(self.settings.durability == Durability::Volatile);
        if verdict == Verdict::Hopeless || disks < usize::from(need.on_disk) {
            let answered = candidates.into_iter().filter(|node| replicas.serving.contains(node)).collect();
            return step.out.push(origin.fail(self.no_quorum(partition, need, answered, false)));
        }
        match request.operation {
            Operation::Write(write) => self.coordinate_write(step, task, &request.key, &write),
            Operation::Read(read) => self.coordinate_read(step, task, request.key, read),
            Operation::Explain => self.coordinate_explain(step, task, request.key, Medium::Memory),
            Operation::ExplainStored => self.coordinate_explain(step, task, request.key, Medium::Disk),
            Operation::Scan { from, count_keys, conflicts_only } => {
                let now_ms = step.now.wall_ms;
                let page =
                    self.on_partition(step, partition, |p, txn| p.page(txn, from, count_keys, conflicts_only, now_ms));
                let answer = page.map_or_else(|e| Answer::Failed(e.into()), |(keys, next)| Answer::Page(keys, next));
                self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(answer));
            }
            Operation::Map { job, from, count_keys } => {
                let (at, procedures) = (self.hlc.tick(step.now.wall_ms), Arc::clone(&self.procedures));
                let page = self.on_partition(step, partition, |p, txn| {
                    p.map_page(txn, (from, count_keys), &job.0, procedures.as_ref(), at)
                });
                let answer = page.map_or_else(Answer::Failed, |(mapped, next)| Answer::Mapped(mapped, next));
                self.release(step, Until::Promised(self.batch_of(partition)), origin.answer(answer));
            }
            Operation::Entropy => step.out.push(origin.answer(Answer::Entropy(self.entropy(partition)))),
            Operation::Count => {
                let count = self.partitions[usize::from(partition.number())].as_ref().map_or(0, |p| p.live_keys());
                step.out.push(origin.answer(Answer::Count(count)));
            }
            Operation::Weigh => {
                let slot = self.partitions[usize::from(partition.number())].as_ref();
                step.out.push(origin.answer(Answer::Weighed(slot.and_then(|slot| slot.bytes()))));
            }
        }
    }

    /// What this node and the other replicas lack of each other.
    fn entropy(&self, partition: PartitionId) -> Vec<PeerEntropy> {
        let slot = self.partitions.get(usize::from(partition.number())).and_then(Option::as_deref);
        let differs = |slot: &Partition| {
            let peers = slot.peers.iter().map(|(node, peer)| PeerEntropy {
                node: *node,
                missing_there: slot.clock().minus(&peer.clock).len(),
                missing_here: peer.clock.minus(slot.clock()).len(),
            });
            let replicas = self.view.iter().flat_map(|view| view.replicas(partition).all()).collect::<Vec<_>>();
            peers.filter(|peer| replicas.contains(&peer.node) || peer.missing_here > 0).collect()
        };
        slot.filter(|slot| self.is_replica(partition) || slot.holds_anything()).map_or(Vec::new(), differs)
    }

    /// Everybody who could take part: owners that answer, those that stand in for the others, and this node.
    fn candidates(&self, partition: PartitionId) -> Vec<NodeId> {
        let Some(view) = &self.view else { return Vec::new() };
        let owners = view.replicas(partition).serving.iter().filter(|node| view.alive.contains(node));
        let mut candidates: Vec<NodeId> = owners.copied().chain(view.stand_ins(partition)).collect();
        if !candidates.contains(&self.me.node) {
            candidates.push(self.me.node);
        }
        candidates
    }

    fn part_of(&self, node: NodeId, partition: PartitionId) -> Part {
        let owns = self.view.as_ref().is_some_and(|view| view.replicas(partition).serving.contains(&node));
        if owns { Part::Owner } else { Part::StandIn }
    }

    fn verdict(&self, pending: &Pending) -> Verdict {
        let Some(view) = &self.view else { return Verdict::Hopeless };
        match &pending.what {
            Awaited::Forwarded { to, .. } if !view.alive.contains(to) => Verdict::Hopeless,
            Awaited::Forwarded { .. } | Awaited::Explain { .. } => Verdict::Open,
            Awaited::Write(_) | Awaited::Read(_) => {
                let mut possible = self.candidates(pending.partition);
                possible.retain(|node| !pending.barren.contains(node));
                possible.extend(
                    pending.receipt.all().into_iter().filter(|node| !possible.contains(node)).collect::<Vec<_>>(),
                );
                let (replicas, need, receipt) = (view.replicas(pending.partition), pending.need, &pending.receipt);
                match pending.what {
                    Awaited::Write(_) => {
                        let in_sight = (&view.alive, self.formers.of(pending.partition));
                        let also: Vec<NodeId> = pending.being_filled.iter().map(|(node, _)| *node).collect();
                        replicas.verdict_of_write(need, receipt, &also, &possible, in_sight)
                    }
                    _ => replicas.verdict(need, receipt, &possible),
                }
            }
        }
    }

    /// A node has done its part of a request.
    fn took_part(&mut self, step: &mut Step<'_>, node: NodeId, ticket: Ticket, medium: Medium) {
        let Some(partition) = self.pending.get(&ticket).map(|pending| pending.partition) else { return };
        // One that is being filled is told of every write, and counts neither as an owner nor for one: only as one to come.
        if self.view.as_ref().is_some_and(|view| view.replicas(partition).filling.contains(&node)) {
            if let Some(pending) =
                self.pending.get_mut(&ticket).filter(|it| it.being_filled.iter().all(|(known, _)| *known != node))
            {
                pending.being_filled.push((node, medium));
            }
            return self.settle_one(step, ticket);
        }
        let part = self.part_of(node, partition);
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.receipt.note(Holder { node, part, medium });
        }
        self.settle_one(step, ticket);
    }

    /// A node cannot do its part.
    pub(super) fn on_nothing(&mut self, step: &mut Step<'_>, from: NodeId, ticket: Ticket) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            if !pending.barren.contains(&from) {
                pending.barren.push(from);
            }
            self.ask_the_rest(step, ticket);
            self.settle_one(step, ticket);
        }
    }

    /// Answers a request if it can be, or cannot be any more.
    fn settle_one(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        self.count_those_filled_since(ticket);
        let Some(pending) = self.pending.get(&ticket) else { return };
        match self.verdict(pending) {
            Verdict::Open => {}
            Verdict::Hopeless => match self.pending.remove(&ticket) {
                Some(Pending {
                    origin: Origin::Client(id),
                    what: Awaited::Forwarded { read: Some(request), .. },
                    ..
                }) => self.on_client(step, id, *request),
                Some(pending) => self.give_up(step, pending),
                None => {}
            },
            Verdict::Reached => match self.pending.remove(&ticket) {
                Some(Pending { origin, partition, receipt, what: Awaited::Write(written), .. }) => {
                    let keeps_session = written.seen.is_some();
                    let answer = origin.answer(Answer::Written(Written { receipt, ..written }));
                    match keeps_session {
                        // What a session has seen is to be found again, after a power loss too.
                        true => self.release(step, Until::Promised(self.batch_of(partition)), answer),
                        false => step.out.push(answer),
                    }
                }
                Some(pending) => self.finish_read(step, pending),
                None => {}
            },
        }
    }

    /// Who held a write while it was being filled, and owns the partition by now, counts as an owner.
    fn count_those_filled_since(&mut self, ticket: Ticket) {
        let (Some(pending), Some(view)) = (self.pending.get_mut(&ticket), &self.view) else { return };
        if pending.being_filled.is_empty() {
            return;
        }
        let serving = &view.replicas(pending.partition).serving;
        let (owners, filling) = pending.being_filled.drain(..).partition(|(node, _)| serving.contains(node));
        pending.being_filled = filling;
        let owners: Vec<(NodeId, Medium)> = owners;
        owners.into_iter().for_each(|(node, medium)| pending.receipt.note(Holder { node, part: Part::Owner, medium }));
    }

    /// Answers what the new picture of the cluster decides: nobody should wait for the deadline.
    pub(super) fn settle_pending(&mut self, step: &mut Step<'_>) {
        self.go_on_under_this_placement(step);
        for ticket in self.pending.keys().copied().collect::<Vec<_>>() {
            self.ask_the_rest(step, ticket);
            self.settle_one(step, ticket);
        }
    }

    /// Answers with what there is.
    fn give_up(&mut self, step: &mut Step<'_>, pending: Pending) {
        let Pending { origin, partition, need, receipt, what, .. } = pending;
        let failure = match what {
            Awaited::Explain { order, mut reports, .. } => {
                let reports = order.into_iter().map(|(node, part)| (node, part, reports.remove(&node))).collect();
                return step.out.push(origin.answer(Answer::Explained(reports)));
            }
            Awaited::Forwarded { to, read } => {
                Failure::NoQuorum { needed: 1, answered: Vec::new(), silent: vec![to], may_take_effect: read.is_none() }
            }
            Awaited::Write(_) => self.no_quorum(partition, need, receipt.all(), true),
            Awaited::Read(_) => self.no_quorum(partition, need, receipt.all(), false),
        };
        step.out.push(origin.fail(failure));
    }

    fn no_quorum(&self, partition: PartitionId, need: Need, answered: Vec<NodeId>, may_take_effect: bool) -> Failure {
        let serving = self.view.iter().flat_map(|view| view.replicas(partition).serving.iter());
        // Those too that may take themselves for owners still.
        let formers = self.formers.of(partition).iter().filter(|_| need.strict);
        let silent = serving.chain(formers).copied().filter(|node| !answered.contains(node)).collect();
        Failure::NoQuorum { needed: need.greatest(), answered, silent, may_take_effect }
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
}
