//! Coordinating writes: applied here, sent to every owner and to those that stand in, answered when enough hold it.

use std::sync::Arc;

use crate::core::coordinate::{Awaited, Pending, Task};
use crate::core::replicate::bytes_of;
use crate::core::{Action, Core, Held, Step};
use crate::id::{NodeId, PartitionId};
use crate::message::{Message, Ticket};
use crate::operation::{Answer, Failure, Write};
use crate::partition::Order;
use crate::quorum::{Holder, Medium, Receipt};

impl Core {
    pub(super) fn coordinate_write(&mut self, step: &mut Step<'_>, task: Task, key: &[u8], write: &Write) {
        let Task { origin, partition, need, .. } = task;
        if self.amnesia {
            return step.out.push(origin.fail(Failure::NotAnOwner));
        }
        let stands_in = !self.is_replica(partition);
        if stands_in && self.is_full() {
            let limit_bytes = self.settings.stand_in_bytes;
            return step.out.push(origin.fail(Failure::StandInFull { limit_bytes }));
        }
        let at = self.hlc.tick(step.now.wall_ms);
        let procedures = Arc::clone(&self.procedures);
        let order = Order { write, at, procedures: procedures.as_ref() };
        let done = self.on_partition(step, partition, |p, txn| {
            let (written, changes) = p.write(txn, key, &order)?;
            if stands_in && !changes.is_empty() {
                p.count_standing(bytes_of(&changes));
            }
            Ok((written, changes))
        });
        let (mut written, changes) = match done {
            Ok(done) => done,
            Err(failure) => return step.out.push(origin.fail(failure)),
        };
        written.seen = self.seen(partition, task.keeps_session);
        let seq = self.batch_of(partition);
        let asked = if need.on_disk > 0 { Medium::Disk } else { Medium::Memory };
        let medium = self.promised(asked);
        let until = self.held_until(medium, seq);
        let others = self.told(task);
        // Those who take themselves for owners still are asked for nothing, and waited for.
        let is_alone = others.is_empty() && (!need.strict || self.formers.of(partition).is_empty());
        if changes.is_empty() || (need.greatest() == 1 && is_alone) {
            if !changes.is_empty() {
                let part = self.part_of(self.me.node, partition);
                written.receipt = Receipt { holders: vec![Holder { node: self.me.node, part, medium }] };
            }
            return self.release(step, until, origin.answer(Answer::Written(written)));
        }
        let ticket = self.ticket();
        // Leaves in parallel with the own flush.
        for node in others {
            step.out.push(Action::Send(node, Message::Delta(ticket, partition, asked, changes.clone())));
        }
        self.pending.insert(ticket, task.pending(step, Awaited::Write(written)));
        match self.waits_for(until) {
            Some(seq) => self.held.entry(seq).or_default().push(Held::OwnWrite(ticket, medium)),
            None => self.took_part(step, self.me.node, ticket, medium),
        }
    }

    /// Who is told of a write: every replica, whether it seems to answer or not, and those that stand in.
    fn told(&self, task: Task) -> Vec<NodeId> {
        let Some(view) = &self.view else { return Vec::new() };
        let all = view.replicas(task.partition).all().chain(view.stand_ins(task.partition));
        all.filter(|node| *node != self.me.node).collect()
    }

    /// A node (perhaps this one) holds a write, and lives by these decisions on who owns what, if it says so. For a strict write
    /// they have to be those by which this node lives: others may have been filled since by what that node had before.
    pub(in crate::core) fn on_held(
        &mut self,
        step: &mut Step<'_>,
        by: NodeId,
        ticket: Ticket,
        medium: Medium,
        placement: Option<u64>,
    ) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        match placement.filter(|theirs| pending.need.strict && *theirs != pending.placement) {
            _ if !matches!(pending.what, Awaited::Write(_)) => {}
            Some(theirs) => pending.elsewhere.push((by, theirs, medium)),
            None => self.took_part(step, by, ticket, medium),
        }
    }

    /// Strict writes that began under other decisions on who owns what go on under those of now: who holds them has to say so by these.
    pub(in crate::core) fn go_on_under_this_placement(&mut self, step: &mut Step<'_>) {
        let Some(placement) = self.view.as_ref().map(|view| view.placement) else { return };
        let me = self.me.node;
        let is_bound = |pending: &Pending| pending.need.strict && matches!(pending.what, Awaited::Write(_));
        let mut said = Vec::new();
        for (ticket, pending) in &mut self.pending {
            if is_bound(pending) && pending.placement != placement {
                pending.placement = placement;
                pending.receipt.holders.retain(|holder| holder.node == me);
                pending.being_filled.clear();
                let (now, later): (Vec<_>, Vec<_>) =
                    pending.elsewhere.drain(..).partition(|(_, theirs, _)| *theirs == placement);
                pending.elsewhere = later;
                said.extend(now.into_iter().map(|(by, _, medium)| (*ticket, by, medium)));
            }
        }
        for (ticket, by, medium) in said {
            self.took_part(step, by, ticket, medium);
        }
    }

    /// The writes to a partition that wait: perhaps they need not any more.
    pub(in crate::core) fn settle_writes_of(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let of_it = |pending: &Pending| pending.partition == partition && matches!(pending.what, Awaited::Write(_));
        let tickets: Vec<Ticket> =
            self.pending.iter().filter(|(_, pending)| of_it(pending)).map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            self.settle_one(step, ticket);
        }
    }
}
