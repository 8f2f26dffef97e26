//! What other nodes' coordinators ask of this one: hold a delta, show a key, take a repair.

use crate::core::{Action, Core, Step, Until};
use crate::id::{Context, NodeId, PartitionId};
use crate::message::{Change, KeyState, Message, Ticket};
use crate::operation::Read;

impl Core {
    pub(super) fn on_delta(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        partition: PartitionId,
        changes: &[Change],
    ) {
        // Nobody else mints under this node's name: who knows such a dot has met a copy of it, or its past.
        let dots: Context = changes.iter().map(|change| change.dot).collect();
        if self.is_amnesia(step, partition, &dots) {
            return;
        }
        for entry in changes.iter().filter_map(|change| change.entry.as_ref()) {
            self.follow(entry.at, step.now.wall_ms);
        }
        let Some(joined) = self.quietly(step, partition, |p, txn| p.incorporate(txn, changes)) else { return };
        self.report(step, from, joined);
        let held = Action::Send(from, Message::DeltaHeld(ticket, partition));
        self.release(step, Until::Promised(self.batch_of(partition)), held);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the message")]
    pub(super) fn on_fetch(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        partition: PartitionId,
        key: &[u8],
        read: &Read,
        digest: u64,
    ) {
        let me = self.me.node;
        let serves = self.view.as_ref().is_some_and(|view| view.replicas(partition).serving.contains(&me));
        let serves = serves && self.can_be_read(partition);
        let looked = self.quietly(step, partition, |p, txn| {
            if !serves {
                return Ok(None);
            }
            if p.read_digest(txn, key, read)? == digest {
                return Ok(Some(None));
            }
            Ok(p.view(txn, key, read)?.map(Some))
        });
        let reply = match looked.flatten() {
            None => Message::FetchedNothing(ticket, partition),
            Some(None) => Message::FetchedSame(ticket, partition),
            Some(Some(view)) => Message::FetchedState(ticket, partition, Box::new(view.state), view.clock),
        };
        self.release(step, Until::Promised(self.batch_of(partition)), Action::Send(from, reply));
    }

    pub(super) fn on_repair(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        partition: PartitionId,
        state: &KeyState,
        clock: &Context,
    ) {
        // A late repair must not leave cells, without a clock, where the partition was dropped.
        if self.view.as_ref().is_none_or(|view| !view.replicas(partition).contains(self.me.node)) {
            return;
        }
        if let Some(joined) = self.quietly(step, partition, |p, txn| p.repair(txn, state, clock)) {
            self.report(step, from, joined);
        }
    }

    pub(super) fn on_inspect(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        partition: PartitionId,
        key: &[u8],
    ) {
        if let Some(report) = self.quietly(step, partition, |p, txn| p.explain(txn, key)) {
            step.out.push(Action::Send(from, Message::Inspected(ticket, partition, Box::new(report))));
        }
    }
}
