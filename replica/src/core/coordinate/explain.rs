//! Where each owner, and each that stands in for one, stands on a key.

use std::collections::BTreeMap;

use crate::core::coordinate::{Awaited, Pending, Task};
use crate::core::{Action, Core, Step};
use crate::id::NodeId;
use crate::message::{Message, Ticket};
use crate::operation::{ByteString, Failure, OwnerReport};
use crate::quorum::Part;

/// How long an explanation waits for a node.
const EXPLAIN_MS: u64 = 500;

impl Core {
    pub(super) fn coordinate_explain(&mut self, step: &mut Step<'_>, task: Task, key: Vec<u8>) {
        let Task { origin, partition, .. } = task;
        let own = match self.on_partition(step, partition, |p, txn| p.explain(txn, &key)) {
            Ok(report) => report,
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
            step.out.push(Action::Send(*node, Message::Inspect(ticket, partition, ByteString(key.clone()))));
        }
        let (reports, asked) = (BTreeMap::from([(self.me.node, own)]), others.len() + 1);
        let what = Awaited::Explain { order, reports, asked };
        let task = Task { timeout_ms: task.timeout_ms.min(EXPLAIN_MS), ..task };
        self.pending.insert(ticket, task.pending(step, what));
        self.finish_explain(step, ticket);
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
