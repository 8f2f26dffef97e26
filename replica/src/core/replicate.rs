//! What other nodes' coordinators ask of this one: hold a delta, show a key.

use crate::core::{Action, Core, Step, Until};
use crate::id::{Context, NodeId, PartitionId};
use crate::message::{Change, Message, Ticket};
use crate::operation::Read;
use crate::quorum::Medium;

impl Core {
    pub(super) fn on_delta(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        ticket: Ticket,
        partition: PartitionId,
        medium: Medium,
        changes: &[Change],
    ) {
        if !changes.iter().all(Change::is_sound) {
            return step
                .out
                .push(Action::Alarm(format!("partition {partition}: node {from} sends events that cannot be")));
        }
        // Nobody else mints under this node's name: who knows such a dot has met a copy of it, or its past.
        let dots: Context = changes.iter().map(|change| change.dot).collect();
        if self.is_amnesia(step, partition, &dots) {
            return;
        }
        // What an earlier run of a node wrote last is taken from those that hold it: by then it can be closed.
        let slot = self.partitions[usize::from(partition.number())].as_ref();
        if slot.is_some_and(|slot| changes.iter().any(|change| slot.roster.has_fenced(&change.dot.actor))) {
            return;
        }
        let standing_bytes = if self.is_replica(partition) { 0 } else { bytes_of(changes) };
        if standing_bytes > 0 && self.is_full() {
            return step.out.push(Action::Send(from, Message::DeltaRefused(ticket, partition)));
        }
        for entry in changes.iter().filter_map(|change| change.entry.as_ref()) {
            self.follow(entry.at, step.now.wall_ms);
        }
        let taken = self.quietly(step, partition, |p, txn| {
            if standing_bytes > 0 && changes.iter().any(|change| !p.clock().contains(&change.dot)) {
                p.count_standing(standing_bytes);
            }
            p.incorporate(txn, changes)
        });
        let Some(joined) = taken else { return };
        self.report(step, from, joined);
        let medium = self.promised(medium);
        let placement = self.view.as_ref().map_or(0, |view| view.placement);
        let held = Action::Send(from, Message::HeldUnder(ticket, partition, medium, placement));
        self.release(step, self.held_until(medium, self.batch_of(partition)), held);
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
        let counts = serves && self.can_be_read(partition);
        // One that stands in for an owner tells what it has, and nothing of what it has not.
        let tells = counts || !self.is_replica(partition);
        let looked = self.quietly(step, partition, |p, txn| {
            if !tells {
                return Ok(None);
            }
            let own = p.read_digest(txn, key, read)?;
            match own == digest {
                true if own == 0 && !counts => Ok(None),
                true => Ok(Some(None)),
                // What was removed there is told, though it is no answer.
                false if own == 0 && !counts && !p.holds_anything() => Ok(None),
                false => Ok(p.view(txn, key, read)?.map(Some)),
            }
        });
        let reply = match looked.flatten() {
            None => Message::FetchedNothing(ticket, partition),
            // Somebody with another picture may take it for an owner.
            Some(state) if !serves => {
                let state = state.map(|view| Box::new((view.state, view.clock)));
                Message::FetchedAside(ticket, partition, state)
            }
            Some(None) => Message::FetchedSame(ticket, partition),
            Some(Some(view)) => Message::FetchedState(ticket, partition, Box::new(view.state), view.clock),
        };
        self.release(step, Until::Promised(self.batch_of(partition)), Action::Send(from, reply));
    }

    pub(super) fn on_inspect(
        &mut self,
        step: &mut Step<'_>,
        (from, ticket): (NodeId, Ticket),
        partition: PartitionId,
        key: &[u8],
        medium: Medium,
    ) {
        if let Some(report) = self.quietly(step, partition, |p, txn| p.explain(txn, key)) {
            let report = Box::new(self.told_of(report, medium));
            let said = Action::Send(from, Message::Inspected(ticket, partition, report));
            match medium {
                Medium::Memory => step.out.push(said),
                Medium::Disk => self.release(step, Until::OnDisk(self.batch_of(partition)), said),
            }
        }
    }
}

/// About what the events will take here.
pub(super) fn bytes_of(changes: &[Change]) -> u64 {
    let size = |change: &Change| {
        let place = change.place.name_bytes();
        let payload = match change.entry.as_ref().map(|entry| &entry.content) {
            Some(crdt::Content::Value { bytes, .. }) => bytes.len(),
            _ => 0,
        };
        let seen = change.seen.runs().count() + change.entry.as_ref().map_or(0, |entry| entry.content.seen().len());
        (64 + 2 * place + payload + 32 * seen) as u64
    };
    changes.iter().map(size).sum()
}
