//! Sessions: nobody is answered with less than it has seen.
//!
//! "Session Guarantees for Weakly Consistent Replicated Data" (Terry et al. 1994): a client brings the clock of what it has
//! read and written, and whoever coordinates its next request must have all of that first. One rule gives all four
//! guarantees: read your writes, monotonic reads, writes follow reads, monotonic writes. A node that lacks something asks
//! the other replicas for it as anti-entropy does, and the request waits; if nobody who answers has it, it fails.

use crate::core::{Core, Origin, Step};
use crate::id::{Context, PartitionId};
use crate::operation::{Failure, Operation, Request};

/// A request that waits until this node has what its asker has seen.
#[derive(Debug)]
pub(in crate::core) struct Parked {
    origin: Origin,
    request: Request,
    deadline_ms: u64,
}

impl Core {
    /// How many events the asker has seen that are not here.
    pub(super) fn unseen_here(&self, request: &Request) -> u64 {
        let follows = matches!(request.operation, Operation::Write(_) | Operation::Read(_));
        let slot = self.partitions[usize::from(request.partition.number())].as_ref();
        match (&request.session, slot) {
            (Some(session), Some(slot)) if follows => session.minus(slot.clock()).len(),
            _ => 0,
        }
    }

    /// What somebody has seen who is answered now.
    pub(super) fn seen(&self, partition: PartitionId, keeps_session: bool) -> Option<Box<Context>> {
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        slot.filter(|_| keeps_session).map(|slot| Box::new(slot.clock().clone()))
    }

    /// Keeps a request until this node has caught up, and asks for what it lacks.
    pub(super) fn park(&mut self, step: &mut Step<'_>, origin: Origin, request: Request) {
        let (partition, deadline_ms) = (request.partition, step.now.mono_ms.saturating_add(self.timeout_ms(&request)));
        self.parked.entry(partition).or_default().push(Parked { origin, request, deadline_ms });
        self.ask_for_more(step, partition);
    }

    fn ask_for_more(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let Some(view) = self.view.clone() else { return };
        let me = self.me.node;
        for node in self.candidates(partition).into_iter().filter(|node| *node != me) {
            self.tell(step, &view, partition, node, true);
        }
    }

    /// Goes on with the requests for a partition that this node knows enough for by now.
    pub(in crate::core) fn resume(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let Some(parked) = self.parked.remove(&partition) else { return };
        for parked in parked {
            match self.unseen_here(&parked.request) {
                0 => self.coordinate(step, parked.origin, parked.request),
                missing if parked.deadline_ms <= step.now.mono_ms => {
                    step.out.push(parked.origin.fail(Failure::Behind { missing }));
                }
                _ => self.parked.entry(partition).or_default().push(parked),
            }
        }
    }

    /// Asks again for what is still missing; some have waited too long.
    pub(in crate::core) fn resume_all(&mut self, step: &mut Step<'_>) {
        for partition in self.parked.keys().copied().collect::<Vec<_>>() {
            self.resume(step, partition);
            if self.parked.contains_key(&partition) {
                self.ask_for_more(step, partition);
            }
        }
    }
}
