//! Whom a read asks: as many as must answer, and the others once those take longer than reads mostly do.
//!
//! "The Tail at Scale" (Dean and Barroso 2013), hedged requests: after the 95th percentile of the time that reads take, a
//! read asks everybody else as well, which costs a twentieth more and takes off the tail. Here no more than a twentieth of
//! the reads may, so that a cluster that is slow as a whole is not asked for more; one that has waited for
//! [`AT_LAST_MS`] always does. A node that kept a read waiting is asked last until it is heard again.

use std::collections::{BTreeSet, VecDeque};

use crate::core::coordinate::{Awaited, Task};
use crate::core::{Action, Core, Step};
use crate::id::NodeId;
use crate::message::{Message, Ticket};
use crate::operation::ByteString;
use crate::quorum::{Holder, Medium, Part, Receipt, Verdict};

/// The least time a read waits before it asks others.
const LEAST_US: u64 = 2_000;
/// The most.
const MOST_US: u64 = 500_000;
/// After how long more a read asks others though too many have.
const AT_LAST_MS: u64 = 100;
/// One read in so many may ask others.
const ONE_IN: u32 = 20;
/// How many may do so at once, after a time in which none did.
const BURST: u32 = 50;

/// Reads that have not asked everybody.
#[derive(Debug)]
pub(in crate::core) struct Hedges {
    /// When each does, if it is still waiting then.
    due: VecDeque<(u64, Ticket)>,
    /// The same for those that would have been too many.
    at_last: VecDeque<(u64, Ticket)>,
    /// Who kept a read waiting and has said nothing since.
    late: BTreeSet<NodeId>,
    /// About the 95th percentile of the time until a read has its answers.
    wait_us: u64,
    /// So many may ask others, times [`ONE_IN`].
    budget: u32,
}

impl Default for Hedges {
    fn default() -> Self {
        let (due, at_last) = (VecDeque::new(), VecDeque::new());
        Self { due, at_last, late: BTreeSet::new(), wait_us: 10 * LEAST_US, budget: BURST * ONE_IN }
    }
}

impl Hedges {
    fn start(&mut self, ticket: Ticket, now_ms: u64) {
        self.budget = (self.budget + 1).min(BURST * ONE_IN);
        self.due.push_back((now_ms + self.wait_us.div_ceil(1_000), ticket));
    }

    /// A read has been answered after this time: one slow one outweighs 19 fast ones, so the bound settles where a
    /// twentieth are slow.
    pub(super) fn learn(&mut self, took_ms: u64) {
        let step_us = self.wait_us / 512 + 1;
        let was_slow = took_ms * 1_000 > self.wait_us;
        self.wait_us = if was_slow { self.wait_us + 19 * step_us } else { self.wait_us - step_us };
        self.wait_us = self.wait_us.clamp(LEAST_US, MOST_US);
    }

    pub(in crate::core) fn heard(&mut self, node: NodeId) {
        if !self.late.is_empty() {
            self.late.remove(&node);
        }
    }

    /// When there is something to do next.
    pub(in crate::core) fn next_ms(&self) -> Option<u64> {
        let first = |queue: &VecDeque<(u64, Ticket)>| queue.front().map(|(due_ms, _)| *due_ms);
        first(&self.due).into_iter().chain(first(&self.at_last)).min()
    }

    /// A read whose time has come.
    fn take(&mut self, now_ms: u64, is_waiting: impl Fn(Ticket) -> bool) -> Option<Ticket> {
        let next = |queue: &mut VecDeque<(u64, Ticket)>| {
            let is_due = queue.front().is_some_and(|(due_ms, _)| *due_ms <= now_ms);
            if is_due { queue.pop_front().map(|(_, ticket)| ticket) } else { None }
        };
        while let Some(ticket) = next(&mut self.at_last) {
            if is_waiting(ticket) {
                return Some(ticket);
            }
        }
        while let Some(ticket) = next(&mut self.due) {
            match self.budget.checked_sub(ONE_IN) {
                _ if !is_waiting(ticket) => {}
                Some(left) => {
                    self.budget = left;
                    return Some(ticket);
                }
                None => self.at_last.push_back((now_ms + AT_LAST_MS, ticket)),
            }
        }
        None
    }
}

impl Core {
    /// Asks as many as must answer, the best first, and all that stand in for others; the rest wait.
    pub(super) fn ask_enough(&mut self, step: &mut Step<'_>, task: Task, ticket: Ticket) {
        let Some(view) = self.view.clone() else { return };
        let (partition, me) = (task.partition, self.me.node);
        let replicas = view.replicas(partition);
        let candidates = self.candidates(partition);
        let mut asked = Receipt::default();
        let part = self.part_of(me, partition);
        if part == Part::Owner && self.can_be_read(partition) {
            asked.note(Holder { node: me, part, medium: Medium::Memory });
        }
        let (mut now, mut may_ask_more) = (Vec::new(), false);
        let is_late = |node: &&NodeId| self.hedges.late.contains(node);
        let others = || candidates.iter().filter(|node| **node != me);
        for node in others().filter(|node| !is_late(node)).chain(others().filter(is_late)) {
            let part = self.part_of(*node, partition);
            if part == Part::Owner && replicas.verdict(task.need, &asked, &candidates) == Verdict::Reached {
                may_ask_more = true;
            } else {
                asked.note(Holder { node: *node, part, medium: Medium::Memory });
                now.push(*node);
            }
        }
        if may_ask_more {
            self.hedges.start(ticket, step.now.mono_ms);
        }
        self.fetch(step, ticket, &now);
        if let Some(Awaited::Read(reading)) = self.pending.get_mut(&ticket).map(|pending| &mut pending.what) {
            (reading.asked, reading.may_ask_more) = (now, may_ask_more);
        }
    }

    /// Asks everybody who has not been asked, those among them who have come since.
    pub(super) fn ask_the_rest(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let mut rest = self.candidates(pending.partition);
        if let Some(Awaited::Read(reading)) = self.pending.get_mut(&ticket).map(|pending| &mut pending.what) {
            rest.retain(|node| *node != self.me.node && !reading.asked.contains(node));
            reading.asked.extend(&rest);
            reading.may_ask_more = false;
            self.fetch(step, ticket, &rest);
        }
    }

    fn fetch(&self, step: &mut Step<'_>, ticket: Ticket, from: &[NodeId]) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let Awaited::Read(reading) = &pending.what else { return };
        for node in from {
            let (key, read) = (ByteString(reading.key.clone()), reading.read.of_others());
            let fetch = Message::Fetch(ticket, pending.partition, key, read, reading.own_digest);
            step.out.push(Action::Send(*node, fetch));
        }
    }

    /// Reads that have waited long enough ask everybody.
    pub(in crate::core) fn hedge(&mut self, step: &mut Step<'_>) {
        let pending = &self.pending;
        let may_ask_more = |ticket: Ticket| match pending.get(&ticket).map(|pending| &pending.what) {
            Some(Awaited::Read(reading)) => reading.may_ask_more,
            _ => false,
        };
        let mut due = Vec::new();
        while let Some(ticket) = self.hedges.take(step.now.mono_ms, may_ask_more) {
            due.push(ticket);
        }
        for ticket in due {
            if let Some(pending) = self.pending.get(&ticket)
                && let Awaited::Read(reading) = &pending.what
            {
                let has_answered = |node: &NodeId| pending.receipt.contains(*node) || pending.barren.contains(node);
                self.hedges.late.extend(reading.asked.iter().copied().filter(|node| !has_answered(node)));
            }
            self.ask_the_rest(step, ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_in_twenty_may_ask_others_and_the_rest_later() {
        let mut hedges = Hedges { budget: 0, ..Hedges::default() };
        (0..10_000).for_each(|n| hedges.start(Ticket(n), 0));
        let due_ms = hedges.next_ms().expect("they wait");
        let take_all = |hedges: &mut Hedges, at_ms| std::iter::from_fn(|| hedges.take(at_ms, |_| true)).count();
        assert_eq!(take_all(&mut hedges, due_ms - 1), 0);
        assert_eq!(take_all(&mut hedges, due_ms), BURST as usize);
        (0..10_000).for_each(|n| hedges.start(Ticket(n), due_ms));
        assert_eq!(take_all(&mut hedges, due_ms + AT_LAST_MS - 1), BURST as usize);
        assert_eq!(take_all(&mut hedges, due_ms + 2 * AT_LAST_MS), 20_000 - 2 * BURST as usize, "each does in the end");
    }

    #[test]
    fn the_time_it_waits_is_what_nineteen_of_twenty_reads_take() {
        let mut hedges = Hedges::default();
        for n in 0..20_000_u64 {
            hedges.learn(if n % 40 == 0 { 300 } else { n % 20 });
        }
        assert!((14_000..=24_000).contains(&hedges.wait_us), "{} us", hedges.wait_us);
        (0..20_000).for_each(|_| hedges.learn(0));
        assert_eq!(hedges.wait_us, LEAST_US);
    }
}
