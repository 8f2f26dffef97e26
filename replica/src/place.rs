//! Places inside a partition: cells of keys, whole keys, the whole partition.

use serde::{Deserialize, Serialize};

/// What kind of place a cell is; in the order in which a key with several kinds shows its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CellKind {
    /// The one value of a string.
    Value,
    /// A member of a set.
    Member,
    /// A field of a hash.
    Field,
    /// A member of a sorted set, with its score.
    Score,
    /// An element of a list; the names of its cells stand in the list's order.
    Item,
    /// When the key ends: one cell, which alone makes no key.
    Deadline,
    /// An entry of a stream, named by its id.
    Entry,
}

impl CellKind {
    /// The kinds of which a key has many cells.
    const COLLECTIONS: [Self; 5] = [Self::Member, Self::Field, Self::Score, Self::Item, Self::Entry];
    const ALL: [Self; 7] =
        [Self::Value, Self::Member, Self::Field, Self::Score, Self::Item, Self::Deadline, Self::Entry];

    /// The byte that stands for it in records and messages.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Is there at most one cell of this kind in a key, without a name?
    pub(crate) fn is_single(self) -> bool {
        matches!(self, Self::Value | Self::Deadline)
    }

    /// Is it read from its ends, and taken from there?
    pub(crate) fn has_ends(self) -> bool {
        matches!(self, Self::Item | Self::Entry)
    }
}

/// How many cells of each kind are present that a key has many of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts([u64; CellKind::COLLECTIONS.len()]);

impl Counts {
    fn position(kind: CellKind) -> Option<usize> {
        CellKind::COLLECTIONS.iter().position(|other| *other == kind)
    }

    /// How many of this kind; 0 for kinds a key has one of.
    #[must_use]
    pub fn of(&self, kind: CellKind) -> u64 {
        Self::position(kind).map_or(0, |at| self.0[at])
    }

    pub(crate) fn of_mut(&mut self, kind: CellKind) -> Option<&mut u64> {
        Self::position(kind).map(|at| &mut self.0[at])
    }

    /// Kinds with their counts, those that are 0 among them, in the order in which they are shown.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CellKind, u64)> {
        CellKind::COLLECTIONS.into_iter().zip(self.0)
    }

    /// The kind a key shows that has these, and a value or none.
    pub(crate) fn shown(&self, value: bool) -> Option<CellKind> {
        let value = value.then_some(CellKind::Value);
        value.or_else(|| self.iter().find(|(_, count)| *count > 0).map(|(kind, _)| kind))
    }

    /// How many kinds there are.
    pub(crate) fn kinds(&self, value: bool) -> u8 {
        u8::from(value) + self.0.iter().filter(|count| **count > 0).count() as u8
    }
}

/// A cell of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// The kind of cell.
    pub kind: CellKind,
    /// Which of its kind; empty for [`CellKind::Value`] and [`CellKind::Deadline`].
    #[serde(with = "serde_bytes")]
    pub name: Vec<u8>,
}

impl CellId {
    /// The value of a string.
    #[must_use]
    pub fn value() -> Self {
        Self { kind: CellKind::Value, name: Vec::new() }
    }

    /// A member of a set.
    #[must_use]
    pub fn member(name: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Member, name: name.into() }
    }

    /// A field of a hash.
    #[must_use]
    pub fn field(name: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Field, name: name.into() }
    }

    /// A member of a sorted set.
    #[must_use]
    pub fn score(member: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Score, name: member.into() }
    }

    /// An element of a list, by its position.
    #[must_use]
    pub fn item(position: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Item, name: position.into() }
    }

    /// An entry of a stream, by its id.
    #[must_use]
    pub fn entry(id: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Entry, name: id.into() }
    }

    /// When a key ends.
    #[must_use]
    pub fn deadline() -> Self {
        Self { kind: CellKind::Deadline, name: Vec::new() }
    }
}

/// What an event happened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// Everything in the partition.
    Partition,
    /// Everything of a key.
    Key(#[serde(with = "serde_bytes")] Vec<u8>),
    /// One cell of a key.
    Cell(#[serde(with = "serde_bytes")] Vec<u8>, CellId),
}

impl Place {
    /// The key, unless it is the whole partition.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Place::Partition => None,
            Place::Key(key) | Place::Cell(key, _) => Some(key),
        }
    }

    /// How long its names are.
    pub(crate) fn name_bytes(&self) -> usize {
        match self {
            Place::Partition => 0,
            Place::Key(key) => key.len(),
            Place::Cell(key, cell) => key.len() + cell.name.len(),
        }
    }
}
