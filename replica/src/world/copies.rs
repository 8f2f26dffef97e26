//! A data directory is copied, and both copies run: who is let in, who is refused and ends, and which of the two is turned off.

use std::collections::BTreeMap;

use crate::world::disk::Disk;
use crate::world::network::Link;
use crate::world::{Fault, What, World, address};
use crate::{Actor, NodeId, REFUSED_MS};

/// How often who is refused tries again.
const REDIAL_MS: u64 = 200;
/// One that talks is noted as alive once in so many milliseconds.
const NOTE_ALIVE_MS: u64 = 100;

/// Two nodes under one id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Twins {
    original: usize,
    copy: usize,
}

impl Twins {
    fn are(&self, n: usize) -> bool {
        n == self.original || n == self.copy
    }

    fn other(&self, n: usize) -> usize {
        if n == self.original { self.copy } else { self.original }
    }
}

/// A connection that one node has dialled to another.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    /// The runs of both ends.
    lives: (u32, u32),
    noted_at_ms: u64,
}

/// Who dials whom, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    up: BTreeMap<Link, Connection>,
    /// Since when a node is refused, and when it dials again.
    refused: BTreeMap<Link, (u64, u64)>,
    dialled: u64,
}

impl World<'_> {
    /// Somebody copies the disk of a node and starts the copy on another machine.
    pub(super) fn copy(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        if self.twins.is_none() {
            let original = self.dice.below(self.nodes.len());
            if self.nodes[original].disk.room_batches.is_none() && !self.nodes[original].is_off {
                self.start_copy(original);
            }
        }
        let next = self.dice.between(1_000, 6_000);
        self.at(self.now_ms + next, What::Copy);
    }

    fn start_copy(&mut self, original: usize) {
        self.count(Fault::Copied);
        self.majorities.give_up();
        let (node, copy) = (&self.nodes[original], self.nodes.len());
        let (id, incarnation, kept) = (node.id, node.incarnation, node.kept.clone());
        let mut disk = Disk::default();
        disk.restore(node.disk.durable().clone());
        self.nodes[original].restored = true;
        self.twins = Some(Twins { original, copy });
        self.put_up(id, kept);
        let node = &mut self.nodes[copy];
        (node.incarnation, node.disk, node.restored) = (incarnation, disk, true);
        if self.dice.percent(30) {
            // It was copied because its machine was given up.
            self.crash(original);
        }
        self.start(copy);
        let seen_after_ms = self.dice.between(300, 9_000);
        self.at(self.now_ms + seen_after_ms, What::TurnOff);
    }

    /// Somebody has seen it: one of the two is turned off for good.
    pub(super) fn turn_off(&mut self) {
        let Some(twins) = self.twins.take() else { return };
        let goes = if self.dice.percent(50) { twins.original } else { twins.copy };
        self.crash(goes);
        let elsewhere = self.durable_of(|other| other != goes);
        self.oracle.gave_up(&self.durable_clock(goes).minus(&elsewhere));
        let node = &mut self.nodes[goes];
        (node.is_off, node.id) = (true, nobody(goes));
        node.disk = Disk::default();
    }

    /// A machine mints under this name from now on: no other may.
    pub(super) fn mints(&mut self, n: usize) {
        let actor = Actor { node: self.nodes[n].id, incarnation: self.nodes[n].incarnation };
        let by = *self.minters.entry(actor).or_insert(n);
        if by != n {
            self.alarm = Some(format!("the machines {by} and {n} both mint as {actor}"));
        }
    }

    /// Which machine is meant by a node's id: the one at the address that the sender knows, as long as things break.
    pub(super) fn machine(&self, from: usize, to: NodeId) -> Option<usize> {
        if !self.plan.copies {
            return self.nodes.iter().position(|node| node.id == to);
        }
        let (_, cluster) = self.nodes[from].running.as_ref()?;
        let listed = cluster.view().members.nodes.get(&to)?.peer_address;
        let known = self.nodes[from].callers.address(to, self.now_ms).unwrap_or(listed);
        // Two that both know the other only at a machine that was turned off do not find each other, until somebody says where
        // (`--join`).
        let is_told = self.now_ms > self.plan.troubled_ms;
        (0..self.nodes.len()).find(|n| self.nodes[*n].id == to && (is_told || address(*n) == known))
    }

    /// Has the other one started in the same second? Two that do have the same name, and nothing tells them apart.
    pub(super) fn has_just_started_elsewhere(&self, n: usize, second: u32) -> bool {
        let other = self.twins.filter(|twins| twins.are(n)).map(|twins| twins.other(n));
        other.is_some_and(|other| self.nodes[other].incarnation.0 == second)
    }

    pub(super) fn is_twin(&self, n: usize) -> bool {
        self.twins.is_some_and(|twins| twins.are(n))
    }

    /// Is there a connection from one node to another, or can there be one? Whoever is refused for too long ends.
    pub(super) fn is_connected(&mut self, from: usize, to: usize) -> bool {
        let lives = (self.nodes[from].life, self.nodes[to].life);
        if self.lines.up.get(&(from, to)).is_some_and(|line| line.lives == lives) {
            return true;
        }
        if self.nodes[to].running.is_none() {
            return false;
        }
        let (since_ms, again_ms) = self.lines.refused.get(&(from, to)).copied().unwrap_or((self.now_ms, 0));
        if again_ms > self.now_ms {
            return false;
        }
        if self.nodes[to].callers.objection(self.nodes[from].id, address(from), self.now_ms).is_none() {
            self.lines.dialled += 1;
            let line = Connection { number: self.lines.dialled, lives, noted_at_ms: 0 };
            self.lines.up.insert((from, to), line);
            self.lines.refused.remove(&(from, to));
            let met = self.nodes[to].id;
            self.cluster(from, |cluster, now, out| cluster.linked(met, now, out));
            return true;
        }
        self.count(Fault::Refused);
        self.lines.refused.insert((from, to), (since_ms, self.now_ms + REDIAL_MS));
        if self.now_ms > since_ms + REFUSED_MS {
            self.lines.refused.retain(|(refused, _), _| *refused != from);
            self.crash(from);
        }
        false
    }

    /// Where nothing arrives, the connection is given up sooner or later.
    pub(super) fn wears_out(&mut self, from: usize, to: usize) {
        if self.plan.copies && self.dice.percent(2) {
            self.lines.up.remove(&(from, to));
        }
    }

    /// A message has come by a connection: does it count? It does not if another has its sender's id by now.
    pub(super) fn is_heard(&mut self, from: usize, to: usize) -> bool {
        let (now_ms, sender) = (self.now_ms, self.nodes[from].id);
        let Some(line) = self.lines.up.get_mut(&(from, to)) else { return true };
        if now_ms < line.noted_at_ms + NOTE_ALIVE_MS {
            return true;
        }
        line.noted_at_ms = now_ms;
        let is_heard = self.nodes[to].callers.hear(sender, address(from), line.number, now_ms).is_ok();
        if !is_heard {
            self.lines.up.remove(&(from, to));
        }
        is_heard
    }

    /// A node has stopped: some of the others notice at once.
    pub(super) fn hang_up_all(&mut self, from: usize) {
        for to in 0..self.nodes.len() {
            if self.dice.percent(70) {
                self.hang_up(from, to);
            }
        }
    }

    /// A connection has ended, and the other end has noticed.
    fn hang_up(&mut self, from: usize, to: usize) {
        let sender = self.nodes[from].id;
        if let Some(line) = self.lines.up.remove(&(from, to)) {
            self.nodes[to].callers.ended(sender, line.number);
        }
    }
}

/// The id of a machine that is turned off.
fn nobody(n: usize) -> NodeId {
    NodeId(uuid::Uuid::from_u128(n as u128))
}
