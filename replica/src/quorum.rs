//! Quorums: how many nodes must take part before a request is answered, and who did.
//!
//! A *sloppy* quorum (Dynamo, section 4.6) asks the nodes that answer: for each owner that does not, the next node of the
//! preference list stands in; where there are fewer than `R` or `W` of both, those there are will do. A *strict* one asks
//! owners only. What a stand-in does not have says nothing: it never counts as an answer to a read.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// How many must take part before a request is answered.
///
/// ```
/// use replica::{Quorum, QuorumKind};
///
/// let quorum = Quorum { nodes: Some(2), owners: Some(1), ..Quorum::default() }; // W 2 PW 1, or R 2 PR 1
/// assert_eq!(quorum.kind, QuorumKind::Sloppy);
/// assert_eq!(Quorum::strict(2).kind, QuorumKind::Strict);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// How many nodes must answer a read, or hold a write (R, W); the majority of the owners if not given.
    pub nodes: Option<u8>,
    /// How many of them must be owners (PR, PW); none if not given.
    pub owners: Option<u8>,
    /// How many of them must hold a write on disk (DW); as many as the nodes' settings make of it if not given.
    pub on_disk: Option<u8>,
    /// May others stand in for owners that do not answer?
    pub kind: QuorumKind,
    /// Where those who answer a read differ: do as many as must answer know what it found before it is answered? Then nobody
    /// reads an older value afterwards whose nodes meet with these, as majorities do (Attiya, Bar-Noy, Dolev 1995).
    pub write_back: bool,
}

/// Who counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuorumKind {
    /// Owners and those that stand in for them; fewer, if there are no more.
    #[default]
    Sloppy,
    /// Owners only, and never fewer.
    Strict,
}

impl Quorum {
    /// So many nodes, owners or those that stand in for them.
    #[must_use]
    pub fn of(nodes: u8) -> Self {
        Self { nodes: Some(nodes), ..Self::default() }
    }

    /// So many owners.
    #[must_use]
    pub fn strict(owners: u8) -> Self {
        Self { nodes: Some(owners), kind: QuorumKind::Strict, ..Self::default() }
    }

    pub(crate) fn need(self, majority: u8) -> Need {
        let nodes = self.nodes.unwrap_or(majority).max(1);
        let strict = self.kind == QuorumKind::Strict;
        let owners = if strict { nodes } else { 0 };
        Need {
            strict,
            nodes,
            owners: self.owners.unwrap_or(0).max(owners),
            on_disk: self.on_disk.unwrap_or(0),
            write_back: self.write_back,
        }
    }
}

/// A quorum in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) nodes: u8,
    pub(crate) owners: u8,
    pub(crate) on_disk: u8,
    /// Do owners' disks alone count?
    pub(crate) strict: bool,
    pub(crate) write_back: bool,
}

impl Need {
    /// Any one node.
    pub(crate) const ANYBODY: Need = Need { nodes: 1, owners: 0, on_disk: 0, strict: false, write_back: false };

    pub(crate) fn greatest(self) -> u8 {
        self.nodes.max(self.owners).max(self.on_disk)
    }
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Enough have taken part.
    Reached,
    /// Not yet.
    Open,
    /// There are not so many who could.
    Hopeless,
}

/// Where a node holds what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Medium {
    /// It is applied, and its disk has been asked to keep it.
    Memory,
    /// It is on disk.
    Disk,
}

/// In what quality a node took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// It owns the partition.
    Owner,
    /// It keeps what it was told for an owner that did not answer.
    StandIn,
}

/// A node that took part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// As what.
    pub part: Part,
    /// Where it holds a write; for a read, [`Medium::Memory`].
    pub medium: Medium,
}

/// Who had taken part in a request when it was answered. Others may have since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The nodes, in the order of their answers.
    pub holders: Vec<Holder>,
}

impl Receipt {
    /// Those that took part as this.
    pub fn nodes(&self, part: Part) -> impl Iterator<Item = NodeId> + '_ {
        self.holders.iter().filter(move |holder| holder.part == part).map(|holder| holder.node)
    }

    /// How many hold it on disk.
    #[must_use]
    pub fn on_disk(&self) -> usize {
        self.holders.iter().filter(|holder| holder.medium == Medium::Disk).count()
    }

    /// Notes an answer; a node that has answered before may hold it on disk now.
    pub(crate) fn note(&mut self, holder: Holder) {
        match self.holders.iter_mut().find(|known| known.node == holder.node) {
            Some(known) => known.medium = known.medium.max(holder.medium),
            None => self.holders.push(holder),
        }
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.holders.iter().any(|holder| holder.node == node)
    }

    pub(crate) fn all(&self) -> Vec<NodeId> {
        self.holders.iter().map(|holder| holder.node).collect()
    }
}
