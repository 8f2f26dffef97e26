//! Where each owner, and each that stands in for one, stands on a key.

use std::collections::BTreeMap;

use crate::core::coordinate::{Awaited, Pending, Task};
use crate::core::{Action, Core, Held, Step, Until};
use crate::id::NodeId;
use crate::message::{Message, Ticket};
use crate::operation::{ByteString, Failure, OwnerReport};
use crate::quorum::{Medium, Part};

/// How long an explanation waits for a node.
const EXPLAIN_MS: u64 = 500;
/// The same, if it is to have all on disk: those that write once a second need so long.
const STORED_MS: u64 = 1_500;

impl Core {
    pub(super) fn coordinate_explain(&mut self, step: &mut Step<'_>, task: Task, key: Vec<u8>, medium: Medium) {
        let Task { origin, partition, .. } = task;
        let own = match self.on_partition(step, partition, |p, txn| p.explain(txn, &key)) {
            Ok(report) => self.told_of(report, medium),
            Err(error) => return step.out.push(origin.fail(Failure::Store(error))),
        };
        let Some(view) = self.view.clone() else { return };
        let mut order: Vec<(NodeId, Part)> = view.replicas(partition).all().map(|node| (node, Part::Owner)).collect();
        // Those that would stand in now, and those that have and still hold something.
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        let visitors = slot.into_iter().flat_map(|slot| slot.visitors());
        for node in view.stand_ins(partition).into_iter().chain(visitors).chain([self.me.node]) {
            if !order.iter().any(|(known, _)| *known == node) {
                order.push((node, Part::StandIn));
            }
        }
        let others = order.iter().map(|(node, _)| *node);
        let others: Vec<NodeId> = others.filter(|node| *node != self.me.node && view.alive.contains(node)).collect();
        let ticket = self.ticket();
        for node in &others {
            let key = ByteString(key.clone());
            let message = match medium {
                Medium::Memory => Message::Inspect(ticket, partition, key),
                Medium::Disk => Message::InspectStored(ticket, partition, key),
            };
            step.out.push(Action::Send(*node, message));
        }
        let most_ms = if medium == Medium::Disk { STORED_MS } else { EXPLAIN_MS };
        let what = Awaited::Explain { order, reports: BTreeMap::new(), asked: others.len() + 1 };
        let task = Task { timeout_ms: task.timeout_ms.min(most_ms), ..task };
        self.pending.insert(ticket, task.pending(step, what));
        match self.waits_for(Until::OnDisk(self.batch_of(partition))).filter(|_| medium == Medium::Disk) {
            Some(seq) => self.held.entry(seq).or_default().push(Held::OwnReport(ticket, Box::new(own))),
            None => self.on_inspected(step, self.me.node, ticket, own),
        }
    }

    pub(in crate::core) fn on_inspected(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        report: OwnerReport,
    ) {
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
}
