//! Who waits until some node knows enough: sessions, and reads that are written back.
//!
//! "Session Guarantees for Weakly Consistent Replicated Data" (Terry et al. 1994): a client brings the clock of what it has
//! read and written, and whoever coordinates its next request must have all of that first. For the session itself this one
//! rule gives all four guarantees: read your writes, monotonic reads, writes follow reads, monotonic writes. (Others see its
//! writes in their order per cell.) A node that lacks something asks the other replicas for it, as anti-entropy does, and
//! the request waits; if nobody who answers has it, it fails.
//!
//! It rests on this: whatever a session is shown, the clock it is told counts. So it waits where cells are ahead of it.

use crate::core::{Core, Origin, Step, TICK_MS, Until};
use crate::id::{Context, NodeId, PartitionId};
use crate::operation::{Answer, Failure, Found, Operation, Request};
use crate::quorum::{Holder, Medium, Need, Part, Receipt, Verdict};

/// A request that waits until this node has what its asker has seen.
#[derive(Debug)]
pub(in crate::core) struct Parked {
    origin: Origin,
    request: Request,
    deadline_ms: u64,
}

/// A read that is answered once as many nodes as must answer know what it found.
#[derive(Debug)]
pub(in crate::core) struct Bringing {
    pub(super) origin: Origin,
    pub(super) deadline_ms: u64,
    pub(super) need: Need,
    pub(super) partition: PartitionId,
    pub(super) found: Found,
    /// All that those who answered knew.
    pub(super) known: Context,
    pub(super) barren: Vec<NodeId>,
}

impl Core {
    /// Has the asker seen what is not here, or could it be shown what the clock here does not count yet? (Cells are ahead of it
    /// where the partition is being filled, and where a read has just joined what others had.)
    pub(super) fn is_behind(&self, request: &Request) -> bool {
        let follows = matches!(request.operation, Operation::Write(_) | Operation::Read(_));
        let slot = self.partitions[usize::from(request.partition.number())].as_ref();
        match (&request.session, slot) {
            (Some(session), Some(slot)) if follows => {
                let is_ahead = !slot.clock().covers(&slot.ahead) || !self.can_be_read(request.partition);
                !slot.clock().covers(session) || is_ahead
            }
            _ => false,
        }
    }

    /// What somebody has seen who is answered now: also what has been joined ahead of the clock since it asked.
    pub(super) fn seen(&self, partition: PartitionId, keeps_session: bool) -> Option<Box<Context>> {
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        slot.filter(|_| keeps_session).map(|slot| {
            let mut seen = slot.clock().clone();
            seen.union(&slot.ahead);
            Box::new(seen)
        })
    }

    /// Keeps a request until this node has caught up, and asks for what it lacks.
    pub(super) fn park(&mut self, step: &mut Step<'_>, origin: Origin, request: Request) {
        let (partition, deadline_ms) = (request.partition, step.now.mono_ms.saturating_add(self.timeout_ms(&request)));
        let parked = self.parked.entry(partition).or_default();
        parked.push(Parked { origin, request, deadline_ms });
        if parked.len() == 1 {
            self.ask_for_more(step, partition);
        }
    }

    /// Answers a read once enough know what it found.
    pub(super) fn bring(&mut self, step: &mut Step<'_>, bringing: Bringing) {
        let partition = bringing.partition;
        self.bringing.entry(partition).or_default().push(bringing);
        self.settle_brought(step, partition);
    }

    fn ask_for_more(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let Some(view) = self.view.clone() else { return };
        if let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() {
            // Whoever was asked before may be gone.
            slot.expire_questions(step.now.mono_ms, 2 * TICK_MS);
        }
        let me = self.me.node;
        for node in self.candidates(partition).into_iter().filter(|node| *node != me) {
            self.tell(step, &view, partition, node, true);
        }
    }

    /// Goes on with whoever waits for a partition, as far as enough is known by now.
    pub(in crate::core) fn resume(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        if !self.bringing.is_empty() {
            self.settle_brought(step, partition);
        }
        if self.parked.is_empty() {
            return;
        }
        for parked in self.parked.remove(&partition).unwrap_or_default() {
            if !self.is_behind(&parked.request) {
                self.dispatch(step, parked);
            } else if parked.deadline_ms <= step.now.mono_ms {
                let slot = self.partitions[usize::from(partition.number())].as_ref();
                let missing = parked.request.session.as_ref().zip(slot);
                let missing = missing.map_or(0, |(session, slot)| session.minus(slot.clock()).len());
                step.out.push(parked.origin.fail(Failure::Behind { missing }));
            } else {
                self.parked.entry(partition).or_default().push(parked);
            }
        }
    }

    /// Asks again for what is still missing; some have waited too long.
    pub(in crate::core) fn resume_all(&mut self, step: &mut Step<'_>) {
        let waiting = self.parked.keys().chain(self.bringing.keys()).copied();
        for partition in waiting.collect::<std::collections::BTreeSet<_>>() {
            self.resume(step, partition);
            if self.parked.contains_key(&partition) || self.bringing.contains_key(&partition) {
                self.ask_for_more(step, partition);
            }
        }
    }

    /// Somebody else may coordinate now.
    pub(in crate::core) fn dispatch_parked(&mut self, step: &mut Step<'_>) {
        for parked in std::mem::take(&mut self.parked).into_values().flatten() {
            self.dispatch(step, parked);
        }
    }

    /// Begins with a request anew, in the time that is left to it.
    fn dispatch(&mut self, step: &mut Step<'_>, parked: Parked) {
        let Parked { origin, request, deadline_ms } = parked;
        let left_ms = deadline_ms.saturating_sub(step.now.mono_ms);
        let timeout_ms = Some(u32::try_from(left_ms).unwrap_or(u32::MAX));
        let request = Request { timeout_ms, ..request };
        match origin {
            Origin::Client(id) => self.on_client(step, id, request),
            Origin::Node(from, ticket, _) => self.on_forward(step, from, ticket, request, None),
        }
    }

    fn settle_brought(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let Some(view) = self.view.clone() else { return };
        let candidates = self.candidates(partition);
        for bringing in self.bringing.remove(&partition).unwrap_or_default() {
            let slot = self.partitions[usize::from(partition.number())].as_ref();
            let knows = |node: &NodeId| {
                let clock = slot.and_then(|slot| match *node == self.me.node {
                    true => Some(slot.clock()),
                    false => slot.peers.get(node).map(|peer| &peer.clock),
                });
                clock.is_some_and(|clock| clock.covers(&bringing.known))
            };
            let holder =
                |node: &NodeId| Holder { node: *node, part: self.part_of(*node, partition), medium: Medium::Memory };
            let (mut receipt, mut possible) = (Receipt::default(), candidates.clone());
            candidates.iter().filter(|node| knows(node)).for_each(|node| receipt.note(holder(node)));
            // One that stands in fetches nothing.
            possible.retain(|node| {
                knows(node) || (self.part_of(*node, partition) == Part::Owner && !bringing.barren.contains(node))
            });
            let replicas = view.replicas(partition);
            match replicas.verdict(bringing.need, &receipt, &possible) {
                Verdict::Reached => {
                    let answer = bringing.origin.answer(Answer::Found(Found { receipt, ..bringing.found }));
                    self.release(step, Until::Promised(self.batch_of(partition)), answer);
                }
                Verdict::Open if bringing.deadline_ms > step.now.mono_ms => {
                    self.bringing.entry(partition).or_default().push(bringing);
                }
                _ => {
                    let failure = self.no_quorum(partition, bringing.need, receipt.all(), false);
                    step.out.push(bringing.origin.fail(failure));
                }
            }
        }
    }
}
