//! What is between the nodes: links that lose, double, delay, are cut, cut one way, or come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::world::{Fault, Sabotage, What, World};
use crate::{Context, Event, Gossip, Message, NodeId, Place};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packet {
    Core(Box<Message>),
    Gossip(Gossip),
}

impl Packet {
    /// Does it carry what another node lacks, as an answer?
    fn is_bulk(&self) -> bool {
        matches!(self, Packet::Core(message) if matches!(**message, Message::Missing(..) | Message::Streamed(..)))
    }
}

/// The longest frame between two nodes.
const FRAME_BYTES: usize = 256 * 1024 * 1024;

/// From whom to whom.
pub(super) type Link = (usize, usize);

#[derive(Debug, Default)]
pub(super) struct Network {
    /// The nodes on one side of the cut.
    pub(super) cut: BTreeSet<usize>,
    /// From whom to whom nothing arrives, though the other way it may.
    pub(super) one_way: BTreeSet<Link>,
    /// Links that are up and down for so long each: faster than anybody detects.
    pub(super) flapping: BTreeMap<Link, u64>,
    /// Where answers that carry much get stuck, and those that are.
    pub(super) stuck: BTreeMap<Link, Vec<Packet>>,
    pub(super) loss_percent: u64,
}

impl Network {
    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&from) != self.cut.contains(&to) || self.one_way.contains(&(from, to))
    }

    fn is_down_for_a_moment(&self, from: usize, to: usize, now_ms: u64) -> bool {
        self.flapping.get(&(from, to)).is_some_and(|period_ms| now_ms / period_ms % 2 == 1)
    }

    pub(super) fn reconnect(&mut self) {
        *self = Self { loss_percent: self.loss_percent, ..Self::default() };
    }
}

impl World<'_> {
    pub(super) fn send(&mut self, from: usize, to: NodeId, mut packet: Packet) {
        if let Packet::Core(message) = &mut packet {
            self.overhear(from, message);
        }
        let Some(to) = self.machine(from, to) else { return };
        if self.network.is_cut(from, to) {
            return self.wears_out(from, to);
        }
        if self.network.is_down_for_a_moment(from, to, self.now_ms) {
            return self.count(Fault::Flap);
        }
        if self.plan.copies && !self.is_connected(from, to) {
            return;
        }
        if self.dice.percent(self.network.loss_percent) {
            return self.count(Fault::Loss);
        }
        // A request for coordination is not repeated by any transport: it travels on one connection.
        let repeats = !matches!(&packet, Packet::Core(message) if matches!(**message, Message::Forward(..)));
        let doubled = repeats && self.dice.percent(self.network.loss_percent);
        if let Some(stuck) = self.network.stuck.get_mut(&(from, to)).filter(|_| packet.is_bulk()) {
            return stuck.push(packet);
        }
        if self.plan.upgrades {
            let Some(understood) = self.understood(from, to, packet) else { return };
            packet = understood;
        }
        for _ in 0..=u8::from(doubled) {
            let slow = if self.dice.percent(3) { self.dice.between(100, 3_000) } else { 0 };
            let arrival = self.now_ms + self.dice.between(1, 30) + slow;
            self.at(arrival, What::Arrive { from, to, packet: packet.clone() });
        }
    }

    /// What is stuck there arrives after all, some of it twice.
    pub(super) fn unstick(&mut self, link: Link, within_ms: u64) {
        for packet in self.network.stuck.remove(&link).into_iter().flatten() {
            for _ in 0..=usize::from(self.dice.percent(30)) {
                let arrival = self.now_ms + self.dice.between(1, within_ms);
                self.at(arrival, What::Arrive { from: link.0, to: link.1, packet: packet.clone() });
            }
        }
    }

    fn overhear(&mut self, from: usize, message: &mut Message) {
        match message {
            Message::Delta(.., changes) => {
                changes.iter().for_each(|change| self.oracle.minted(change));
                let author = self.nodes[from].id;
                for change in changes.iter().filter(|change| change.place == Place::Partition) {
                    if change.dot.actor.node == author {
                        self.oracle.cleared(change, &self.knew);
                    }
                }
                if self.plan.sabotage == Some(Sabotage::DeltaWithoutPast) {
                    changes.iter_mut().for_each(|change| change.seen = Context::new());
                }
            }
            Message::Clock(_, _, clock) if self.plan.sabotage == Some(Sabotage::LyingClocks) => {
                for n in 0..self.nodes.len() {
                    clock.union(&self.contents(n).clock);
                }
            }
            _ => {}
        }
    }

    pub(super) fn arrive(&mut self, from: usize, to: usize, packet: Packet) {
        if self.nodes[to].running.is_none() || (self.plan.copies && !self.is_heard(from, to)) {
            return;
        }
        self.outcome.delivered += 1;
        (from, to).hash(&mut self.trace);
        let sender = self.nodes[from].id;
        // What arrives has been bytes on the way.
        let arrived = match packet {
            Packet::Gossip(gossip) => self.over_the_wire(&gossip).map(Packet::Gossip),
            Packet::Core(message) => self.over_the_wire(&*message).map(|message| Packet::Core(Box::new(message))),
        };
        match arrived {
            Ok(Packet::Gossip(gossip)) => {
                self.cluster(to, |cluster, now, out| cluster.receive(sender, gossip, now, out));
            }
            Ok(Packet::Core(message)) => {
                self.cluster(to, |cluster, now, out| cluster.heard(sender, now, out));
                self.core(to, Event::Peer(sender, *message));
            }
            Err(why) => self.alarm = Some(format!("a message from node {from} to {to} does not decode: {why}")),
        }
    }

    /// Every link refuses what is longer than any frame may be.
    fn over_the_wire<T: Serialize + DeserializeOwned>(&mut self, packet: &T) -> Result<T, postcard::Error> {
        let bytes = postcard::to_extend(packet, Vec::new())?;
        let limit = if self.plan.limits { FRAME_BYTES / 1_024 } else { FRAME_BYTES };
        if bytes.len() > limit {
            self.alarm = Some(format!("a message of {} bytes is over the limit of {limit}", bytes.len()));
        }
        bytes.hash(&mut self.trace);
        postcard::from_bytes(&bytes)
    }
}
