//! What replicas say to each other. One enum, versioned as a whole by the handshake of the shell.

use crdt::Content;
use serde::{Deserialize, Serialize};

use crate::id::{Actor, Context, Dot, Entry, PartitionId};
use crate::operation::{Answer, ByteString, OwnerReport, Read, Request};
use crate::place::{CellId, Place};
use crate::quorum::Medium;
use crate::record::CellState;
use crate::residual::Residual;

/// A number by which a node finds what an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// One event at one place: what it added, and everything its author had seen there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub place: Place,
    /// The event.
    pub dot: Dot,
    /// What its dot says from now on; nothing for a plain removal.
    pub entry: Option<Entry>,
    /// What it replaces. The whole of it travels: whoever has incorporated `dot` has removed all of this.
    pub seen: Context,
}

impl Change {
    /// Could an honest node have made it? Runs of increments begin at a dot of their author, and a value's cell has no name.
    pub(crate) fn is_sound(&self) -> bool {
        let names_value = matches!(&self.place, Place::Cell(_, id) if id.kind.is_single() && !id.name.is_empty());
        let tally_is_sound = match self.entry.as_ref().map(|entry| &entry.content) {
            Some(Content::Tally(tally)) => (1..=self.dot.counter).contains(&tally.run),
            _ => true,
        };
        tally_is_sound && !names_value
    }
}

/// A cell as one replica has it.
pub type StatedCell = (CellId, CellState);

/// A key as one replica has it; for as much of it as the message is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyState {
    /// The key.
    pub key: ByteString,
    /// What it has seen of the key as a whole, beyond its clock.
    pub residual: Residual,
    /// The cells.
    pub cells: Vec<StatedCell>,
    /// Are these all the cells it has, so that any other is known to be empty?
    pub whole: bool,
    /// The events this brings, with their places.
    pub events: Vec<(Dot, Place)>,
}

/// Where a stream of a partition stands: the last key, and the last cell of it, that were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The key.
    pub key: ByteString,
    /// The last cell of it, if more of them follow.
    pub cell: Option<CellId>,
}

/// Between replica cores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Please coordinate this.
    Forward(Ticket, Request),
    /// What came of it.
    Forwarded(Ticket, PartitionId, Answer),
    /// Events of one command: apply all or none, and say so when they are held there (at least).
    Delta(Ticket, PartitionId, Medium, Vec<Change>),
    /// The delta is applied, and held there.
    DeltaHeld(Ticket, PartitionId, Medium),
    /// This node stands in for too much already.
    DeltaRefused(Ticket, PartitionId),
    /// What have you of this key? The digest is that of the asker's own.
    Fetch(Ticket, PartitionId, ByteString, Read, u64),
    /// The same as you.
    FetchedSame(Ticket, PartitionId),
    /// This, under this clock.
    FetchedState(Ticket, PartitionId, Box<KeyState>, Context),
    /// Nothing that may count: this node is being filled, has nothing of it for an owner it stands in for, or cannot say.
    FetchedNothing(Ticket, PartitionId),
    /// Where do you stand on this key?
    Inspect(Ticket, PartitionId, ByteString),
    /// Here.
    Inspected(Ticket, PartitionId, Box<OwnerReport>),
    /// What I have, durably.
    Clock(PartitionId, ClockNote, Context),
    /// This actor has started again: what have you of it?
    Close(PartitionId, Actor),
    /// This, durably; and I take nothing directly from it any more.
    Closed(PartitionId, Actor, Context),
    /// With the same clock: have we the same?
    Verify(PartitionId, Box<Comparison>),
    /// Send me what I miss.
    Pull(PartitionId, Context),
    /// Some of it.
    Missing(PartitionId, Box<MissingKeys>),
    /// My log does not reach back that far (or too much is missing): have the partition streamed.
    MustStream(PartitionId),
    /// Stream on from here, or from the start.
    Stream(PartitionId, Option<Cursor>),
    /// Everything between two cursors.
    Streamed(PartitionId, Box<StreamedRange>),
    /// As [`Message::Forward`], of a read, by an owner: what it would answer itself has this digest. If the coordinator's has
    /// the same, two owners have been asked already.
    ForwardRead(Ticket, Request, u64),
    /// Where do you stand on this key, once all you have of the partition by now is on disk?
    InspectStored(Ticket, PartitionId, ByteString),
    /// As [`Message::DeltaHeld`], and by which decisions on who owns what the sender lives: see
    /// [`View::placement`](crate::View::placement).
    HeldUnder(Ticket, PartitionId, Medium, u64),
    /// What one has that does not own the partition in its own picture, be it an owner in that of the asker: this, or the same.
    FetchedAside(Ticket, PartitionId, Option<Box<(KeyState, Context)>>),
}

/// Keys with all the events of theirs that the receiver lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingKeys {
    /// The keys.
    pub keys: Vec<KeyState>,
    /// The sender's clock, read with them.
    pub clock: Context,
    /// What the sender has seen in the whole partition beyond its clock.
    pub residual: Context,
    /// Is there more to pull?
    pub more: bool,
    /// The clock the receiver asked with: what it has beyond that is no matter, but it must still have all of that.
    pub asked_with: Context,
}

/// A range of a partition in key order: cells of the receiver in it that are not listed are empty at the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamedRange {
    /// The end of the range before.
    pub after: Option<Cursor>,
    /// The end of this one; nothing if it reaches the end of the partition.
    pub upto: Option<Cursor>,
    /// The keys in it. `whole` has no meaning here.
    pub keys: Vec<KeyState>,
    /// The sender's clock, read with the range.
    pub clock: Context,
    /// What the sender has seen in the whole partition beyond its clock.
    pub residual: Context,
    /// In the first range: everything the sender has removed beyond its clock, by key and cell.
    pub noted: Vec<(Place, Context)>,
}

/// A step of the comparison of two replicas by sums; without meaning unless both have this clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The sender's clock.
    pub clock: Context,
    /// What it says.
    pub what: Compared,
}

/// What is compared: from the root of the tree down to keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compared {
    /// My sum of everything is this.
    Root(u64, Ticket),
    /// So is mine.
    Same(u64, Ticket),
    /// Mine is another: these are my nodes.
    Nodes(Vec<u64>, Ticket),
    /// These nodes differ: these are their leaves here.
    Leaves(Vec<(u16, Vec<u64>)>),
    /// These leaves differ: these are their keys here, with digests.
    Digests(Vec<(u16, Vec<(ByteString, u64)>)>),
    /// What have you of these keys?
    Want(Vec<ByteString>),
    /// This.
    States(Vec<KeyState>),
}

/// What goes with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockNote {
    /// Should the receiver tell its own in return?
    pub ask: bool,
    /// Does the sender count the receiver among the replicas, and so send it every delta from here on?
    pub counts_you: bool,
    /// If the sender holds nothing of the partition: how many events it has minted there in this run. All of them are at
    /// the owners.
    pub retired: Option<u64>,
    /// Which decisions on who owns what the sender lives by: see [`View::placement`](crate::View::placement).
    pub placement: u64,
    /// Does it serve the partition by them?
    pub serves: bool,
}

impl Message {
    /// Does it fill or repair a replica, so that nobody waits for it in particular?
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        matches!(self, Message::Missing(..) | Message::Streamed(..) | Message::Verify(..))
    }

    /// The partition the message is about: it is handled by the core that has it.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        match self {
            Message::Forward(_, request) | Message::ForwardRead(_, request, _) => request.partition,
            Message::Forwarded(_, partition, _)
            | Message::Delta(_, partition, ..)
            | Message::DeltaHeld(_, partition, _)
            | Message::HeldUnder(_, partition, ..)
            | Message::DeltaRefused(_, partition)
            | Message::Fetch(_, partition, ..)
            | Message::FetchedSame(_, partition)
            | Message::FetchedState(_, partition, ..)
            | Message::FetchedAside(_, partition, _)
            | Message::FetchedNothing(_, partition)
            | Message::Inspect(_, partition, _)
            | Message::InspectStored(_, partition, _)
            | Message::Inspected(_, partition, _)
            | Message::Clock(partition, ..)
            | Message::Close(partition, _)
            | Message::Closed(partition, ..)
            | Message::Verify(partition, _)
            | Message::Pull(partition, _)
            | Message::Missing(partition, _)
            | Message::MustStream(partition)
            | Message::Stream(partition, _)
            | Message::Streamed(partition, _) => *partition,
        }
    }
}
