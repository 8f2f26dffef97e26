//! Who owns what: the versioned member list, and the owners of each partition that follow from it.
//!
//! The list is itself a causal value: each entry is written by its own node only and carries a version, so lists
//! merge entry by entry whatever way they travel. Placement is computed, never sent: the `N` members with the
//! greatest hash of (node, partition) are the partition's *targets* (rendezvous hashing, Thaler and Ravishankar
//! 1998); of the members that say they are *filled* for it, the `N` greatest *serve* it. So an old owner serves
//! until the new one is filled, and drops out the moment it is, on every node that has heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::digest::{hash_of, mix};
use crate::id::{Incarnation, NodeId, PARTITIONS, PartitionId};

/// How many replicas of each partition a new cluster has.
pub const DEFAULT_REPLICAS: u8 = 3;

/// A set of partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSet(Vec<u64>);

impl PartitionSet {
    /// No partition.
    #[must_use]
    pub fn none() -> Self {
        Self(vec![0; usize::from(PARTITIONS) / 64])
    }

    /// Every partition.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![u64::MAX; usize::from(PARTITIONS) / 64])
    }

    /// Is it in the set?
    #[must_use]
    pub fn contains(&self, partition: PartitionId) -> bool {
        let word = self.0.get(usize::from(partition.number()) / 64);
        word.is_some_and(|word| word >> (partition.number() % 64) & 1 == 1)
    }

    /// Adds or removes a partition; says whether that changed anything.
    pub fn set(&mut self, partition: PartitionId, to: Presence) -> bool {
        let Some(word) = self.0.get_mut(usize::from(partition.number()) / 64) else { return false };
        let (before, bit) = (*word, 1 << (partition.number() % 64));
        match to {
            Presence::In => *word |= bit,
            Presence::Out => *word &= !bit,
        }
        *word != before
    }
}

/// In a set, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In.
    In,
    /// Out.
    Out,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: SocketAddr,
    /// Where clients reach it.
    pub client_address: SocketAddr,
    /// Its current run.
    pub incarnation: Incarnation,
    /// Grows whenever the node changes this entry.
    pub version: u64,
    /// The partitions of which it holds everything.
    pub filled: PartitionSet,
    /// Nodes whose place it has taken: they had its address before, and will not come back.
    pub replaces: BTreeSet<NodeId>,
}

/// The member list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// How many replicas each partition has, if there are that many nodes.
    pub replicas: u8,
    /// Every node that ever joined.
    pub nodes: BTreeMap<NodeId, Member>,
}

impl Members {
    /// The nodes that count: those nobody has replaced.
    pub fn current(&self) -> impl Iterator<Item = (&NodeId, &Member)> + '_ {
        let replaced: BTreeSet<&NodeId> = self.nodes.values().flat_map(|member| &member.replaces).collect();
        self.nodes.iter().filter(move |(node, _)| !replaced.contains(node))
    }

    /// The version of the list: it grows with every change of any entry.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.nodes.values().fold(0, |sum, member| sum.saturating_add(member.version))
    }

    /// Takes over newer entries; says whether there were any.
    pub fn merge(&mut self, other: &Members) -> bool {
        let mut changed = false;
        for (node, theirs) in &other.nodes {
            let newer = self
                .nodes
                .get(node)
                .is_none_or(|ours| (ours.incarnation, ours.version) < (theirs.incarnation, theirs.version));
            if newer {
                self.nodes.insert(*node, theirs.clone());
                changed = true;
            }
        }
        changed
    }

    /// Tells lists apart: equal lists have equal digests.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.nodes.iter().fold(u64::from(self.replicas), |digest, (node, member)| {
            let entry = hash_of(node.0.as_bytes()) ^ mix(member.version << 32 ^ u64::from(member.incarnation.0));
            mix(digest ^ entry)
        })
    }

    /// The node people call by this name, or whose id begins so.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<NodeId> {
        let named = self.current().find(|(_, member)| member.name == name);
        named.or_else(|| self.current().find(|(node, _)| node.to_string() == name)).map(|(node, _)| *node)
    }
}

/// The replicas of one partition, in the order of its preference list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Those that answer and count: the preference list.
    pub serving: Vec<NodeId>,
    /// Those that are being filled, to serve later.
    pub filling: Vec<NodeId>,
    /// Those that held it before and have not said that they dropped it.
    pub former: Vec<NodeId>,
}

impl Replicas {
    /// All that get every write.
    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.serving.iter().chain(&self.filling).copied()
    }

    /// Does this node get every write?
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.all().any(|replica| replica == node)
    }

    /// The least number of serving replicas that is more than half of them.
    #[must_use]
    pub fn majority(&self) -> u8 {
        (self.serving.len() / 2 + 1) as u8
    }
}

/// One node's picture of the cluster: members, owners, and who answers. Advisory where it speaks of liveness.
#[derive(Clone, Debug)]
pub struct View {
    /// Whose picture it is.
    pub me: NodeId,
    /// The member list it follows from.
    pub members: Members,
    /// Who answers, this node among them.
    pub alive: BTreeSet<NodeId>,
    replicas: Vec<Replicas>,
}

impl View {
    /// Computes the owners of every partition. O(partitions x members log members).
    #[must_use]
    pub fn new(me: NodeId, members: Members, alive: BTreeSet<NodeId>) -> Self {
        let hashed: Vec<(u64, NodeId)> =
            members.current().map(|(node, _)| (hash_of(node.0.as_bytes()), *node)).collect();
        let place = |partition: PartitionId| {
            let score = |hash: u64| mix(hash ^ mix(u64::from(partition.number()) + 1));
            let mut order: Vec<(u64, NodeId)> = hashed.iter().map(|(hash, node)| (score(*hash), *node)).collect();
            order.sort_unstable_by(|x, y| y.cmp(x));
            let n = usize::from(members.replicas.max(1));
            let nodes = order.iter().map(|(_, node)| *node);
            let is_filled = |node: &NodeId| members.nodes.get(node).is_some_and(|m| m.filled.contains(partition));
            let serving: Vec<NodeId> = nodes.clone().filter(is_filled).take(n).collect();
            let filling: Vec<NodeId> = nodes.clone().take(n).filter(|node| !serving.contains(node)).collect();
            let former = nodes.filter(is_filled).filter(|node| !serving.contains(node)).collect();
            Replicas { serving, filling, former }
        };
        let replicas = PartitionId::all().map(place).collect();
        Self { me, members, alive, replicas }
    }

    /// The same owners with another guess of who answers.
    #[must_use]
    pub fn with_alive(&self, alive: BTreeSet<NodeId>) -> Self {
        Self { alive, ..self.clone() }
    }

    /// The replicas of a partition.
    #[must_use]
    pub fn replicas(&self, partition: PartitionId) -> &Replicas {
        &self.replicas[usize::from(partition.number())]
    }

    /// The one who coordinates writes: the first of the preference list that answers.
    #[must_use]
    pub fn coordinator(&self, partition: PartitionId) -> Option<NodeId> {
        self.replicas(partition).serving.iter().copied().find(|node| self.alive.contains(node))
    }

    /// What people call a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        self.members.nodes.get(&node).map_or_else(|| node.to_string(), |member| member.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, Members, PartitionSet, Presence, View};
    use crate::id::{Incarnation, NodeId, PARTITIONS, PartitionId};
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn node(n: u128) -> NodeId {
        NodeId(Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
    }

    fn members(count: u128, filled: u128) -> Members {
        let member = |n| Member {
            name: format!("n{n}"),
            peer_address: ([127, 0, 0, 1], 1).into(),
            client_address: ([127, 0, 0, 1], 2).into(),
            incarnation: Incarnation(1),
            version: 1,
            filled: if n <= filled { PartitionSet::all() } else { PartitionSet::none() },
            replaces: BTreeSet::new(),
        };
        Members { replicas: 3, nodes: (1..=count).map(|n| (node(n), member(n))).collect() }
    }

    #[test]
    fn every_partition_has_three_owners_and_the_load_is_even() {
        let view = View::new(node(1), members(8, 8), BTreeSet::new());
        for n in 1..=8 {
            let owned = PartitionId::all().filter(|p| view.replicas(*p).contains(node(n))).count();
            let fair = usize::from(PARTITIONS) * 3 / 8;
            assert!(owned * 10 > fair * 8 && owned * 10 < fair * 12, "node {n} owns {owned}, fair is {fair}");
        }
        assert!(PartitionId::all().all(|p| view.replicas(p).serving.len() == 3));
    }

    #[test]
    fn old_owners_serve_until_the_new_one_is_filled() {
        let (before, mut now) = (View::new(node(1), members(4, 4), BTreeSet::new()), members(5, 4));
        let joining = View::new(node(1), now.clone(), BTreeSet::new());
        let moved: Vec<_> = PartitionId::all().filter(|p| joining.replicas(*p).filling == [node(5)]).collect();
        assert!(moved.len() > usize::from(PARTITIONS) / 3, "the new node gets its share: {}", moved.len());
        for p in PartitionId::all() {
            assert_eq!(joining.replicas(p).serving, before.replicas(p).serving);
        }
        now.nodes.get_mut(&node(5)).unwrap().filled.set(moved[0], Presence::In);
        let filled = View::new(node(1), now, BTreeSet::new());
        assert!(filled.replicas(moved[0]).serving.contains(&node(5)));
        assert_eq!(filled.replicas(moved[0]).serving.len(), 3);
        assert_eq!(filled.replicas(moved[1]).serving, before.replicas(moved[1]).serving);
    }

    #[test]
    fn lists_merge_to_the_newest_entry_of_each_node() {
        let (mut x, mut y) = (members(2, 2), members(3, 2));
        y.nodes.get_mut(&node(1)).unwrap().version = 5;
        let expected = y.clone();
        assert!(x.merge(&y));
        assert!(!y.merge(&x));
        assert_eq!((x, y), (expected.clone(), expected));
    }
}
