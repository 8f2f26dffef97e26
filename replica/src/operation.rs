//! What can be asked of one key or partition, and what comes back.
//!
//! Operations speak of cells; which command of which protocol they serve is the shell's business. They travel
//! between nodes when a node that does not own the partition forwards them.

use crdt::reading;
use serde::{Deserialize, Serialize};

use crate::id::{Context, Dot, NodeId, PartitionId, Seen};
use crate::place::{CellId, CellKind, Counts};
use crate::quorum::{Part, Quorum, Receipt};
use crate::record::{CellState, KeyHash};
use crate::store::{StoreError, prefix_end};

/// A request for one key (or, where the operation has none, for one partition).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The partition of the key.
    pub partition: PartitionId,
    /// The key; empty where the operation is about the whole partition.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// What to do.
    pub operation: Operation,
    /// How many must take part.
    pub quorum: Quorum,
    /// After how long it fails; as the coordinator is set if not given.
    pub timeout_ms: Option<u32>,
    /// What the asker has seen of the partition, if it keeps a session: a read or write is carried out by a node that knows
    /// all of that, and answered with what the asker has seen then.
    pub session: Option<Box<Context>>,
}

impl Request {
    /// A request like most: as many take part as the partition's layout makes a majority, and there is no session.
    #[must_use]
    pub fn new(partition: PartitionId, key: impl Into<Vec<u8>>, operation: Operation) -> Self {
        let (key, quorum) = (key.into(), Quorum::default());
        Self { partition, key, operation, quorum, timeout_ms: None, session: None }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Change the key.
    Write(Write),
    /// Look at the key.
    Read(Read),
    /// Where each owner stands on the key.
    Explain,
    /// A page of the partition's keys, from a hash on.
    Scan {
        /// Where to go on.
        from: KeyHash,
        /// How many keys to look at, about.
        count_keys: u32,
        /// Only keys with siblings or several types.
        conflicts_only: bool,
    },
    /// How many keys the partition has.
    Count,
    /// What the node asked and the other replicas lack of each other, by their last words.
    Entropy,
    /// A page of the partition's keys, from a hash on, mapped and reduced where they are; for
    /// [`Procedures`](crate::Procedures) to understand. See [`Sweep`](crate::Sweep).
    Map {
        /// What to do.
        job: ByteString,
        /// Where to go on.
        from: KeyHash,
        /// How many keys to look at, about.
        count_keys: u32,
    },
    /// Where each owner stands on the key, by what it has on disk: each says so once all it knew when it was asked is there.
    ExplainStored,
    /// What the partition's records take, at the owner that is asked.
    Weigh,
}

/// What a client has seen of one cell: the dots of its values, and the counter runs among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The dots.
    pub context: Context,
    /// How far counter runs were seen.
    pub seen: Vec<Seen>,
}

/// A change of one key. Each names what it replaces: what its coordinator sees there, or exactly what a client
/// has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// A plain string write: replaces everything seen of every kind of cell.
    Set(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Writes registers of one kind, each replacing what the coordinator sees of its cell.
    Put(CellKind, Vec<(ByteString, ByteString)>),
    /// Writes the values as siblings of each other, replacing exactly what was observed.
    PutObserved(CellId, Vec<ByteString>, Box<Observed>),
    /// The same, if nothing lives there that was not observed.
    PutIfCurrent(CellId, Vec<ByteString>, Box<Observed>),
    /// Adds members.
    Add(Vec<ByteString>),
    /// Adds to the number in a cell.
    Increment(CellId, i64),
    /// Removes what the coordinator sees of cells of one kind.
    Remove(CellKind, Vec<ByteString>),
    /// Removes exactly what was observed of a cell.
    RemoveObserved(CellId, Box<Observed>),
    /// Removes what the coordinator sees of the key.
    RemoveKey,
    /// Removes what the coordinator sees in the partition.
    Clear,
    /// Carries out a command of the application's own where the partition is coordinated; for
    /// [`Procedures`](crate::Procedures) to understand.
    Call(ByteString),
}

/// Bytes that travel as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteString(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl<T: Into<Vec<u8>>> From<T> for ByteString {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

/// What of a key to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Read {
    /// Some of its cells.
    Cells(Vec<CellId>),
    /// All of its cells of all kinds.
    All,
    /// Only what stands once per key.
    Summary,
    /// The present cells of one kind at these places of their order, both included; negative ones count from the end.
    Slice {
        /// The kind.
        kind: CellKind,
        /// The first place.
        from: i64,
        /// The last place.
        to: i64,
    },
    /// Present cells of one kind behind a name, in their order.
    After {
        /// The kind.
        kind: CellKind,
        /// Behind which name; from the first on if not given.
        name: Option<ByteString>,
        /// How many, at most.
        count: u32,
    },
    /// The last present cells of one kind before a name, in their order.
    Before {
        /// The kind.
        kind: CellKind,
        /// Before which name; up to the last if not given.
        name: Option<ByteString>,
        /// How many, at most.
        count: u32,
    },
    /// The first present cells of one kind of a range of names, in their order. (Owners of the release before are not asked.)
    Within {
        /// The kind.
        kind: CellKind,
        /// The least name; from the first on if not given.
        from: Option<ByteString>,
        /// Below which name; up to the last if not given.
        below: Option<ByteString>,
        /// How many, at most.
        count: u32,
    },
    /// What the application says of it, where it is coordinated ([`Procedures::look`](crate::Procedures::look)), beside what stands
    /// once per key. Other owners are asked whether they have the same of the whole key. (A coordinator of the release before is not
    /// asked.)
    Call(ByteString),
}

impl Read {
    /// The first cells of one kind whose names begin with `prefix`, at most `count`. O(count log cells).
    ///
    /// ```
    /// use replica::{CellKind, Read};
    ///
    /// let read = Read::prefix(CellKind::Field, b"user:", 100);
    /// assert_eq!(read, Read::Within {
    ///     kind: CellKind::Field,
    ///     from: Some(b"user:".as_slice().into()),
    ///     below: Some(b"user;".as_slice().into()),
    ///     count: 100,
    /// });
    /// ```
    #[must_use]
    pub fn prefix(kind: CellKind, prefix: &[u8], count: u32) -> Self {
        let below = prefix_end(prefix).map(ByteString);
        Self::Within { kind, from: Some(prefix.into()), below, count }
    }

    /// What other owners are asked for.
    pub(crate) fn of_others(&self) -> Self {
        match self {
            Read::Call(_) => Read::All,
            read => read.clone(),
        }
    }

    /// Of all that a key has, keeps what was asked for. (Other owners are asked for all of a key of which they have something
    /// else, whatever part of it is read.)
    pub(crate) fn pick(&self, mut found: Found) -> Found {
        let (kind, places) = match self {
            Read::All | Read::Cells(_) => return found,
            Read::Summary | Read::Call(_) => {
                found.cells.clear();
                return found;
            }
            Read::Slice { kind, from, to } => {
                let count = found.counts.of(*kind);
                (*kind, places(count, *from, *to))
            }
            Read::After { kind, name, count } => {
                let behind = |id: &CellId| name.as_ref().is_none_or(|name| id.name > name.0);
                found.cells.retain(|(id, _)| id.kind != *kind || behind(id));
                (*kind, 0..u64::from(*count))
            }
            Read::Within { kind, from, below, count } => {
                let is_within = |id: &CellId| {
                    from.as_ref().is_none_or(|from| id.name >= from.0)
                        && below.as_ref().is_none_or(|below| id.name < below.0)
                };
                found.cells.retain(|(id, _)| id.kind != *kind || is_within(id));
                (*kind, 0..u64::from(*count))
            }
            Read::Before { kind, name, count } => {
                let before = |id: &CellId| name.as_ref().is_none_or(|name| id.name < name.0);
                found.cells.retain(|(id, _)| id.kind != *kind || before(id));
                let there = found.of(*kind).count() as u64;
                (*kind, there.saturating_sub(u64::from(*count))..there)
            }
        };
        let mut at = 0;
        found.cells.retain(|(id, cell)| {
            let is_one = id.kind == kind && reading::is_present(&cell.live);
            at += u64::from(is_one);
            is_one && places.contains(&(at - 1))
        });
        found
    }
}

/// The places from one to another, both included, as far as there are any.
pub(crate) fn places(count: u64, from: i64, to: i64) -> std::ops::Range<u64> {
    let place = |at: i64| if at < 0 { count.checked_sub(at.unsigned_abs()) } else { Some(at.unsigned_abs()) };
    let from = place(from).unwrap_or(0);
    let to = place(to).map_or(0, |to| to.saturating_add(1).min(count));
    from..to.max(from)
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To a write.
    Written(Written),
    /// To a read.
    Found(Found),
    /// To [`Operation::Explain`] and [`Operation::ExplainStored`]: a report per owner, in the order of the preference list, and then of those that stand in
    /// for owners.
    Explained(Vec<(NodeId, Part, Option<OwnerReport>)>),
    /// To [`Operation::Scan`]: keys with their types, and where to go on, if anywhere.
    Page(Vec<(ByteString, CellKind)>, Option<KeyHash>),
    /// To [`Operation::Count`].
    Count(u64),
    /// To [`Operation::Entropy`].
    Entropy(Vec<PeerEntropy>),
    /// It could not be done.
    Failed(Failure),
    /// To [`Operation::Map`]: what the keys of the page come to, by name, and where to go on, if anywhere.
    Mapped(Vec<(ByteString, ByteString)>, Option<KeyHash>),
    /// To [`Operation::Weigh`]: keys and cells as they are stored, in bytes; nothing if no scrub has read all of them yet in this run of
    /// the node.
    Weighed(Option<u64>),
    /// Between nodes, to [`Read::Call`]: what was found, and what the application said of it.
    Said(Box<Found>, ByteString),
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// How many cells (for [`Write::RemoveKey`] and [`Write::Clear`]: keys) came to be or ceased to be.
    pub changed: u64,
    /// The new number, after [`Write::Increment`].
    pub number: Option<i64>,
    /// The dots of this write, and nothing its author has not read.
    pub own: Observed,
    /// How many siblings the written cell has now.
    pub siblings: u64,
    /// What the application said, after [`Write::Call`].
    pub said: ByteString,
    /// Who holds it.
    pub receipt: Receipt,
    /// What its author has seen of the partition now, if it keeps a session.
    pub seen: Option<Box<Context>>,
}

/// What a read found, merged over the owners that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The type the key shows.
    pub kind: Option<CellKind>,
    /// How many kinds of cells it has; more than one is a conflict of types.
    pub kinds_present: u8,
    /// How many cells of each kind are present.
    pub counts: Counts,
    /// When the key ends, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
    /// The cells that were asked for and have anything; the deadline's among them.
    pub cells: Vec<(CellId, CellState)>,
    /// Who was asked and had an answer.
    pub receipt: Receipt,
    /// What the asker has seen of the partition now, if it keeps a session.
    pub seen: Option<Box<Context>>,
    /// What the application said, to [`Read::Call`]. It travels as [`Answer::Said`].
    #[serde(skip)]
    pub said: ByteString,
}

impl Answer {
    /// As it travels to another node.
    pub(crate) fn into_sent(self) -> Self {
        match self {
            Answer::Found(mut found) if !found.said.0.is_empty() => {
                let said = std::mem::take(&mut found.said);
                Answer::Said(Box::new(found), said)
            }
            answer => answer,
        }
    }

    /// As it was before it travelled.
    pub(crate) fn received(self) -> Self {
        match self {
            Answer::Said(found, said) => Answer::Found(Found { said, ..*found }),
            answer => answer,
        }
    }
}

impl Found {
    /// The state of a cell.
    #[must_use]
    pub fn cell(&self, id: &CellId) -> Option<&CellState> {
        self.cells.iter().find(|(cell, _)| cell == id).map(|(_, state)| state)
    }

    /// The present cells of a kind, in the order of their names.
    pub fn of(&self, kind: CellKind) -> impl Iterator<Item = (&[u8], &CellState)> {
        let of_kind = self.cells.iter().filter(move |(id, state)| id.kind == kind && reading::is_present(&state.live));
        of_kind.map(|(id, state)| (id.name.as_slice(), state))
    }

    /// What has ended is not shown, though it may be there until a coordinator removes it. (What the application says it says by the
    /// same clock.)
    #[must_use]
    pub(crate) fn at(self, now_ms: u64) -> Self {
        match self.deadline_ms {
            Some(deadline_ms) if deadline_ms <= now_ms => {
                Self { receipt: self.receipt, seen: self.seen, said: self.said, ..Self::default() }
            }
            _ => self,
        }
    }
}

/// How one owner stands on a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerReport {
    /// Its partition's clock.
    pub clock: Context,
    /// Live dots of the key, by cell.
    pub cells: Vec<(CellId, Vec<Dot>)>,
    /// How many cells it has in all (the list above may be cut).
    pub cells_total: u64,
    /// Bytes of causal metadata stored for the key: dots, residuals, log.
    pub metadata_bytes: u64,
    /// Log entries of the partition that wait for some owner.
    pub log_entries: u64,
    /// Is it being filled, and so not counted in reads?
    pub filling: bool,
}

/// How far another node's replica of a partition is from this one's, in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEntropy {
    /// The other node.
    pub node: NodeId,
    /// Events that are here and, by its last word, not there.
    pub missing_there: u64,
    /// Events that are there and not here.
    pub missing_here: u64,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The key holds another type.
    WrongType,
    /// Something lives there that the writer has not seen, and it asked not to write then.
    NotCurrent,
    /// The value is no integer.
    NotAnInteger,
    /// The result would not fit.
    Overflow,
    /// Too few owners answered in time.
    NoQuorum {
        /// How many were needed.
        needed: u8,
        /// Those that answered.
        answered: Vec<NodeId>,
        /// Those that did not.
        silent: Vec<NodeId>,
        /// May the write take effect all the same?
        may_take_effect: bool,
    },
    /// More owners were asked for than the partition has.
    TooManyOwners {
        /// How many it has.
        owners: u8,
    },
    /// The node keeps as much for absent owners as it may.
    StandInFull {
        /// How much that is.
        limit_bytes: u64,
    },
    /// The node asked does not own the partition (the layout is changing): ask again.
    NotAnOwner,
    /// Nobody who answers has all that the asker has seen.
    Behind {
        /// How many events of it are not where the request was coordinated.
        missing: u64,
    },
    /// The siblings of the cell would be too large together to travel between nodes.
    TooLarge {
        /// How large they may be.
        limit_bytes: u64,
    },
    /// The write is about more than one key and cannot be part of another.
    NotOfOneKey,
    /// The application did not understand what it was called with.
    NotUnderstood,
    /// The node's store failed.
    Store(StoreError),
    /// The application tried to write where it may only look.
    LooksOnly,
    /// A sweep comes to more than may be held.
    TooMuch {
        /// How much that is.
        limit_bytes: u64,
    },
    /// The application failed, and says why.
    Application(ByteString),
    /// So much waits for the disk of the node asked that it takes no more now.
    Busy {
        /// How much waits.
        backlog_bytes: u64,
    },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}
