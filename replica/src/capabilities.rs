//! What a node can do beyond the version of the protocol that it speaks, and what one is sent that cannot do all of it.
//!
//! Nodes of two releases run side by side while a cluster is upgraded. What the older one does not know would end its connection: it
//! is said otherwise, or not at all.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::cluster::Gossip;
use crate::message::Message;
use crate::operation::{Operation, Read, Request};

/// What a node can do: bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// It takes reads with the digest of what the node has that passes them on.
    pub const READS_WITH_DIGEST: Self = Self(1);
    /// It says where it stands on a key once that is on disk.
    pub const STORED: Self = Self(2);
    /// It takes part in decisions of the whole cluster by name.
    pub const DECISIONS: Self = Self(4);
    /// It says what its partitions take.
    pub const WEIGHTS: Self = Self(8);
    /// It counts answers by the picture of those who give them.
    pub const PLACED_ANSWERS: Self = Self(16);
    /// It reads ranges of the names of a key's cells.
    pub const RANGES: Self = Self(32);
    /// It has its application say something of what is read.
    pub const LOOKS: Self = Self(64);
    /// Those of this program.
    pub const OURS: Self = Self(
        Self::READS_WITH_DIGEST.0
            | Self::STORED.0
            | Self::DECISIONS.0
            | Self::WEIGHTS.0
            | Self::PLACED_ANSWERS.0
            | Self::RANGES.0
            | Self::LOOKS.0,
    );

    /// Does it have all of these?
    #[must_use]
    pub fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// What both have.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Message {
    /// What a node is sent that can do this: the message as it is, another in its place, or nothing.
    #[must_use]
    pub fn understood(&self, theirs: Capabilities) -> Option<Cow<'_, Self>> {
        let reads_a_range = |request: &Request| matches!(request.operation, Operation::Read(Read::Within { .. }));
        let looks = |request: &Request| matches!(request.operation, Operation::Read(Read::Call(_)));
        let needed = match self {
            Message::Forward(_, request) | Message::ForwardRead(_, request, _) if reads_a_range(request) => {
                Capabilities::RANGES
            }
            Message::Forward(_, request) | Message::ForwardRead(_, request, _) if looks(request) => Capabilities::LOOKS,
            Message::Fetch(_, _, _, Read::Within { .. }, _) => Capabilities::RANGES,
            Message::ForwardRead(ticket, request, _) if !theirs.has(Capabilities::READS_WITH_DIGEST) => {
                return Some(Cow::Owned(Message::Forward(*ticket, request.clone())));
            }
            Message::HeldUnder(..) | Message::FetchedAside(..) if !theirs.has(Capabilities::PLACED_ANSWERS) => {
                return Some(Cow::Owned(self.unplaced()));
            }
            Message::InspectStored(..) => Capabilities::STORED,
            Message::Forward(_, request) if request.operation == Operation::ExplainStored => Capabilities::STORED,
            Message::Forward(_, request) if request.operation == Operation::Weigh => Capabilities::WEIGHTS,
            _ => Capabilities::default(),
        };
        theirs.has(needed).then_some(Cow::Borrowed(self))
    }

    /// What says the same but for the picture by which the sender lives.
    fn unplaced(&self) -> Self {
        match self.clone() {
            Message::HeldUnder(ticket, partition, medium, _) => Message::DeltaHeld(ticket, partition, medium),
            Message::FetchedAside(ticket, partition, None) => Message::FetchedSame(ticket, partition),
            Message::FetchedAside(ticket, partition, Some(state)) => {
                let (state, clock) = *state;
                Message::FetchedState(ticket, partition, Box::new(state), clock)
            }
            other => other,
        }
    }
}

impl Gossip {
    /// Is it understood by a node that can do this?
    #[must_use]
    pub fn is_understood(&self, theirs: Capabilities) -> bool {
        match self {
            Gossip::Decided(..) => theirs.has(Capabilities::DECISIONS),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Capabilities;
    use crate::{ByteString, CellId, CellKind, Medium, Message, Operation, PartitionId, Read, Request, Ticket};

    #[test]
    fn both_have_what_each_has() {
        assert_eq!(Capabilities(0b101).common(Capabilities(0b110)), Capabilities(0b100));
    }

    /// A node of an earlier release would end the link over a frame that it does not know.
    #[test]
    fn what_a_node_cannot_do_is_not_asked_of_it() {
        let partition = PartitionId::new(3).unwrap();
        let key = ByteString::from(b"key".as_slice());
        let request = |operation| Request::new(partition, b"key", operation);
        let read = request(Operation::Read(Read::Cells(vec![CellId::value()])));
        let with_digest = Message::ForwardRead(Ticket(1), read.clone(), 7);
        let plain = with_digest.understood(Capabilities::default()).map(Cow::into_owned);
        assert_eq!(plain, Some(Message::Forward(Ticket(1), read)));
        let stored = Message::InspectStored(Ticket(1), partition, key.clone());
        let passed_on = Message::Forward(Ticket(1), request(Operation::ExplainStored));
        let weighed = Message::Forward(Ticket(1), request(Operation::Weigh));
        let range = Message::Forward(Ticket(1), request(Operation::Read(Read::prefix(CellKind::Field, b"a", 1))));
        let looks = Message::Forward(Ticket(1), request(Operation::Read(Read::Call(b"count".as_slice().into()))));
        for message in [&stored, &passed_on, &weighed, &range, &looks] {
            assert!(message.understood(Capabilities::default()).is_none(), "{message:?}");
        }
        let plain = Message::Inspect(Ticket(1), partition, key);
        assert!(plain.understood(Capabilities::default()).is_some());
        let placed = [
            (
                Message::HeldUnder(Ticket(1), partition, Medium::Disk, 7),
                Message::DeltaHeld(Ticket(1), partition, Medium::Disk),
            ),
            (Message::FetchedAside(Ticket(1), partition, None), Message::FetchedSame(Ticket(1), partition)),
        ];
        for (placed, unplaced) in &placed {
            assert_eq!(placed.understood(Capabilities::default()).as_deref(), Some(unplaced));
            assert_eq!(placed.understood(Capabilities::OURS).as_deref(), Some(placed));
        }
        for message in [&with_digest, &stored, &passed_on, &weighed] {
            assert!(matches!(message.understood(Capabilities::OURS), Some(Cow::Borrowed(_))), "{message:?}");
        }
    }
}
