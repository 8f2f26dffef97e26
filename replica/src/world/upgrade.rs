//! Nodes of two releases side by side: each can do what its release can, and is told no more than that.

use crate::world::network::Packet;
use crate::world::{Fault, Node, What, World};
use crate::{Capabilities, Decisions, Message, Operation};

/// What is decided for the whole cluster, by name.
const NAMES: [&[u8]; 3] = [b"x", b"y", b"z"];

impl Node {
    /// Those that it knows: one of an earlier release passes them over.
    pub(super) fn decisions(&self) -> Decisions {
        if self.can.has(Capabilities::DECISIONS) { self.decisions.clone() } else { Decisions::default() }
    }
}

impl World<'_> {
    /// A node ends and starts as another release, mostly a later one; in the end all are of the last.
    pub(super) fn upgrade(&mut self) {
        let rolls = self.now_ms < self.plan.troubled_ms;
        let n = self.dice.below(self.nodes.len());
        let can = match self.dice.below(4) {
            0 if rolls => Capabilities::default(),
            1 if rolls => Capabilities(self.dice.between(0, Capabilities::OURS.0 + 1)),
            _ => Capabilities::OURS,
        };
        for n in if rolls { n..n + 1 } else { 0..self.nodes.len() } {
            if self.nodes[n].can != can {
                self.count(Fault::Upgrade);
                self.nodes[n].can = can;
                self.crash(n);
            }
        }
        if rolls {
            let next = (self.now_ms + self.dice.between(500, 4_000)).min(self.plan.troubled_ms);
            self.at(next, What::Upgrade);
        }
    }

    /// Somebody decides something at a node that knows of decisions.
    pub(super) fn decide(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        let n = self.dice.below(self.nodes.len());
        if self.nodes[n].can.has(Capabilities::DECISIONS) && self.nodes[n].running.is_some() {
            self.count(Fault::Decision);
            let (name, value) = (NAMES[self.dice.below(NAMES.len())], self.now_ms.to_string());
            let value = self.dice.percent(80).then_some(value);
            self.cluster(n, |cluster, _, out| {
                let _ = cluster.decide(name, value.as_ref().map(String::as_bytes), out);
            });
        }
        let next = self.dice.between(200, 2_000);
        self.at(self.now_ms + next, What::Decide);
    }

    /// What is sent of a packet where both can do only what both can.
    pub(super) fn understood(&mut self, from: usize, to: usize, packet: Packet) -> Option<Packet> {
        let both = self.nodes[from].can.common(self.nodes[to].can);
        let understood = match &packet {
            Packet::Core(message) => message.understood(both).map(|it| Packet::Core(Box::new(it.into_owned()))),
            Packet::Gossip(gossip) => gossip.is_understood(both).then(|| packet.clone()),
        };
        if understood.as_ref() != Some(&packet) {
            self.count(Fault::NotUnderstood);
        }
        if let Some(packet) = understood.as_ref().filter(|packet| !knows(self.nodes[to].can, packet)) {
            self.alarm = Some(format!("node {to} is sent what its release does not know: {packet:?}"));
        }
        understood
    }

    /// In the end everybody lives by the same decisions.
    pub(super) fn differ_in_decisions(&self) -> Option<String> {
        let mut known = self.nodes.iter().filter_map(|node| node.running.as_ref()).map(|(_, it)| it.decisions());
        let first = known.next()?;
        known.find(|other| *other != first).map(|other| format!("after healing {first:?} is decided, and {other:?}"))
    }
}

/// Does a node that can do this know what it is sent? By the first byte, the number of the variant: it knows all that the first
/// release had, and those that came with what it can do.
fn knows(can: Capabilities, packet: &Packet) -> bool {
    let bytes = match packet {
        Packet::Core(message) => postcard::to_extend(&**message, Vec::new()),
        Packet::Gossip(gossip) => postcard::to_extend(gossip, Vec::new()),
    };
    let asks_for_stored = |message: &Message| matches!(message, Message::Forward(_, request) if request.operation == Operation::ExplainStored);
    match (packet, bytes.unwrap_or_default().first()) {
        (Packet::Core(message), Some(0)) if asks_for_stored(message) => can.has(Capabilities::STORED),
        (Packet::Core(_), Some(..20)) | (Packet::Gossip(_), Some(..3)) => true,
        (Packet::Core(_), Some(20)) => can.has(Capabilities::READS_WITH_DIGEST),
        (Packet::Core(_), Some(21)) => can.has(Capabilities::STORED),
        (Packet::Core(_), Some(22..=23)) => can.has(Capabilities::PLACED_ANSWERS),
        (Packet::Gossip(_), Some(3)) => can.has(Capabilities::DECISIONS),
        _ => false,
    }
}
