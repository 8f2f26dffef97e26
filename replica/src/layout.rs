//! Who owns what: the versioned member list, and the owners of each partition that follow from it.
//!
//! The list is itself a causal value: each entry is written by its own node only and carries a version, so lists
//! merge entry by entry whatever way they travel. The *targets* of a partition are its owners in the layout that was
//! committed last ([`Layouts`]), or as long as there is none, the `N` members with the greatest hash of (node, partition)
//! (rendezvous hashing, Thaler and Ravishankar 1998). Of the members that say they are *filled* for it, `N` *serve* it,
//! targets first and the others by that hash. So an old owner serves until the new one is filled, and drops out the moment
//! it is, on every node that has heard.

mod decided;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{hash_of, mix};
use crate::id::{Actor, ClusterId, Incarnation, NodeId, PARTITIONS, PartitionId};
use crate::placement::{Owners, Role, score};
use crate::quorum::{Medium, Need, Receipt, Verdict};
pub use decided::{Change as LayoutChange, Layout, Layouts, MAX_REPLICAS, Proposal, Refused};
pub(crate) use decided::{check, propose};

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
    /// Partitions of which it held everything until it set its records aside as damaged, and has not been filled since: it does not
    /// know what was in them.
    pub lost: PartitionSet,
    /// Nodes whose place it has taken: they had its address before, and will not come back.
    pub replaces: BTreeSet<NodeId>,
}

/// The member list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Which cluster it is the list of.
    pub cluster: ClusterId,
    /// How many replicas each partition has, if there are that many nodes, and no layout says otherwise.
    pub replicas: u8,
    /// Every node that ever joined.
    pub nodes: BTreeMap<NodeId, Member>,
    /// What operators have decided.
    pub layouts: Layouts,
}

impl Members {
    /// A cluster that begins.
    #[must_use]
    pub fn new(replicas: u8, nodes: BTreeMap<NodeId, Member>) -> Self {
        Self { cluster: ClusterId::default(), replicas, nodes, layouts: Layouts::default() }
    }

    /// The nodes that count: those nobody has replaced, and not every layout that holds has removed.
    pub fn current(&self) -> impl Iterator<Item = (&NodeId, &Member)> + '_ {
        let replaced: BTreeSet<&NodeId> = self.nodes.values().flat_map(|member| &member.replaces).collect();
        let layouts = self.layouts.iter();
        let is_removed =
            move |node: &NodeId| layouts.len() > 0 && layouts.clone().all(|(_, layout)| layout.removed.contains(node));
        self.nodes.iter().filter(move |(node, _)| !replaced.contains(node) && !is_removed(node))
    }

    /// The node itself, or the one that has taken its place (that one's, and so on); nobody if there is no such member.
    pub(crate) fn successor(&self, node: NodeId) -> Option<NodeId> {
        let mut at = node;
        for _ in 0..=self.nodes.len() {
            match self.nodes.iter().find(|(_, member)| member.replaces.contains(&at)) {
                Some((next, _)) if *next != at => at = *next,
                _ => break,
            }
        }
        self.nodes.contains_key(&at).then_some(at)
    }

    /// What each node bears, as far as operators have decided: of several layouts, the last word on each node.
    #[must_use]
    pub fn decided(&self) -> BTreeMap<NodeId, Role> {
        decided::together(self).roles
    }

    /// How many replicas each partition has, if there are that many nodes.
    #[must_use]
    pub fn replicas(&self) -> u8 {
        self.layouts.iter().map(|(_, layout)| layout.replicas).max().unwrap_or(self.replicas)
    }

    /// Who should own what, as far as one answer can say: of sibling layouts, the first.
    pub(crate) fn targets(&self) -> Owners {
        if let Some((_, layout)) = self.layouts.iter().next() {
            return layout.owners.clone();
        }
        let current: Vec<NodeId> = self.current().map(|(node, _)| *node).collect();
        Owners::from_fn(|partition| {
            ranked(&current, partition).into_iter().take(usize::from(self.replicas.max(1))).collect()
        })
    }

    /// Commits a layout in place of those that hold here.
    pub(crate) fn commit(&mut self, actor: Actor, layout: Layout) {
        self.layouts.commit(actor, layout);
    }

    /// The version of the list: it grows with every change of any entry, and every commit.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.nodes.values().fold(self.layouts.commits(), |sum, member| sum.saturating_add(member.version))
    }

    /// Takes over newer entries; says whether there were any. The list of another cluster is none of ours.
    pub fn merge(&mut self, other: &Members) -> bool {
        if !self.cluster.may_meet(other.cluster) {
            return false;
        }
        let joins = self.cluster != other.cluster && other.cluster.0.is_some();
        if joins {
            // A cluster keeps the number of replicas it began with; whoever joins takes it over.
            (self.cluster, self.replicas) = (other.cluster, other.replicas);
        }
        let mut changed = self.layouts.merge(&other.layouts) || joins;
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
        let cluster = self.cluster.0.map_or(0, |founder| hash_of(founder.as_bytes()));
        let start = u64::from(self.replicas) ^ self.layouts.digest() ^ cluster;
        self.nodes.iter().fold(start, |digest, (node, member)| {
            let entry = hash_of(node.0.as_bytes()) ^ mix(member.version << 32 ^ u64::from(member.incarnation.0));
            mix(digest ^ entry)
        })
    }

    /// The node people call by this name, or that has this id.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<NodeId> {
        let named = self.current().find(|(_, member)| member.name == name);
        named.or_else(|| self.current().find(|(node, _)| node.to_string() == name)).map(|(node, _)| *node)
    }
}

/// The nodes by their rank for a partition, the greatest first.
fn ranked(nodes: &[NodeId], partition: PartitionId) -> Vec<NodeId> {
    let mut order: Vec<(u64, NodeId)> = nodes.iter().map(|node| (score(*node, partition), *node)).collect();
    order.sort_unstable_by(|x, y| y.cmp(x));
    order.into_iter().map(|(_, node)| node).collect()
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
    /// Those of whom a quorum is needed, by each layout that holds.
    by_layout: Vec<ByLayout>,
}

/// Whose quorums one layout asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ByLayout {
    /// Those of [`Replicas::serving`] that it counts.
    quorum: Vec<NodeId>,
    /// Those that it wants to serve.
    targets: Vec<NodeId>,
}

impl ByLayout {
    /// How many owners there are or will be.
    fn owners(&self) -> usize {
        self.quorum.len().max(self.targets.len())
    }

    /// How many of them a write asks for that wants so many. A majority of fewer owners than there will be is none of those.
    fn asked(&self, need: Need, majority: u8) -> usize {
        let asked = usize::from(need.nodes.max(need.owners));
        if asked == usize::from(majority) { asked.max(self.owners() / 2 + 1) } else { asked }
    }
}

impl Replicas {
    /// Computes them, from the targets by each layout (and how many there should be) and from those that are filled, each in
    /// order.
    fn new(layouts: &[(Vec<NodeId>, usize)], filled: &[NodeId]) -> Self {
        let of = |(targets, wanted): &(Vec<NodeId>, usize)| -> Vec<NodeId> {
            let targets_filled = targets.iter().filter(|node| filled.contains(node));
            let others = filled.iter().filter(|node| !targets.contains(node));
            targets_filled.chain(others).take(*wanted).copied().collect()
        };
        let by_layout = |layout: &(Vec<NodeId>, usize)| ByLayout { quorum: of(layout), targets: layout.0.clone() };
        let mut by_layout: Vec<ByLayout> = layouts.iter().map(by_layout).collect();
        by_layout.dedup();
        let mut serving: Vec<NodeId> = Vec::new();
        serving.extend(by_layout.iter().flat_map(|layout| &layout.quorum));
        let mut seen = BTreeSet::new();
        serving.retain(|node| seen.insert(*node));
        let targets = layouts.iter().flat_map(|(targets, _)| targets);
        let mut filling: Vec<NodeId> = targets.clone().filter(|node| !seen.contains(node)).copied().collect();
        let mut asked = BTreeSet::new();
        filling.retain(|node| asked.insert(*node));
        let former = filled.iter().filter(|node| !seen.contains(node)).copied().collect();
        Self { serving, filling, former, by_layout }
    }

    /// All that get every write.
    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.serving.iter().chain(&self.filling).copied()
    }

    /// Does this node get every write?
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.all().any(|replica| replica == node)
    }

    fn quorums(&self) -> impl Iterator<Item = &Vec<NodeId>> {
        self.by_layout.iter().map(|layout| &layout.quorum)
    }

    /// How many serving replicas there are by one layout.
    #[must_use]
    pub fn owners(&self) -> u8 {
        self.quorums().map(Vec::len).max().unwrap_or(0) as u8
    }

    /// The least number of serving replicas that is more than half of them, by one layout.
    #[must_use]
    pub fn majority(&self) -> u8 {
        self.owners() / 2 + 1
    }

    /// Are these `needed` serving replicas, or all there are, by every layout that holds?
    #[must_use]
    pub fn reached(&self, nodes: &[NodeId], needed: u8) -> bool {
        let count = |quorum: &Vec<NodeId>| quorum.iter().filter(|node| nodes.contains(node)).count();
        let is_enough = |quorum: &Vec<NodeId>| count(quorum) >= usize::from(needed).min(quorum.len()).max(1);
        !self.by_layout.is_empty() && self.quorums().all(is_enough)
    }

    /// How a request stands of which these nodes have done their part, and at most `possible` will have.
    pub(crate) fn verdict(&self, need: Need, receipt: &Receipt, possible: &[NodeId]) -> Verdict {
        let done = receipt.all();
        let on_disk = usize::from(need.on_disk);
        let holders = receipt.holders.iter().filter(|holder| holder.medium == Medium::Disk);
        let on_disk_now = holders.filter(|holder| !need.strict || self.serving.contains(&holder.node)).count();
        if self.is_enough(need, &done, possible) && on_disk_now >= on_disk {
            Verdict::Reached
        } else if self.is_enough(need, possible, possible)
            && possible.len() >= on_disk
            // When all have said how they hold it, no more of them will have it on disk.
            && !possible.iter().all(|node| receipt.contains(*node))
        {
            Verdict::Open
        } else {
            Verdict::Hopeless
        }
    }

    /// How a write stands that these nodes hold, `also` being among those that are being filled, when `alive` answer and `before`
    /// may take themselves for owners still.
    pub(crate) fn verdict_of_write(
        &self,
        need: Need,
        receipt: &Receipt,
        also: &[NodeId],
        possible: &[NodeId],
        (alive, before): (&BTreeSet<NodeId>, &BTreeSet<NodeId>),
    ) -> Verdict {
        let holds = |node: &NodeId| also.contains(node) || receipt.contains(*node);
        let by_then = |could: &dyn Fn(&NodeId) -> bool| match need.strict {
            true => self.is_missing_at_few(need, before, could),
            false => self.is_with_those_to_come(need, alive, could),
        };
        let is_told = |node: &NodeId| holds(node) || (alive.contains(node) && !before.contains(node));
        match self.verdict(need, receipt, possible) {
            Verdict::Reached if by_then(&holds) => Verdict::Reached,
            Verdict::Hopeless => Verdict::Hopeless,
            // Those before will say by and by what they are.
            _ if by_then(&is_told) || before.iter().any(|node| alive.contains(node)) => Verdict::Open,
            _ => Verdict::Hopeless,
        }
    }

    /// While replicas move: do no more lack it, of all who serve, are being filled, or may take themselves for owners still, than a
    /// read leaves out? Then no quorum misses it, whoever counts it, and by whatever picture. (`tests/tests/models/moves.rs`)
    fn is_missing_at_few(&self, need: Need, before: &BTreeSet<NodeId>, holds: &dyn Fn(&NodeId) -> bool) -> bool {
        let few = |layout: &ByLayout| {
            let in_play: BTreeSet<&NodeId> = layout.quorum.iter().chain(&layout.targets).chain(before).collect();
            let missing = in_play.into_iter().filter(|node| !holds(node)).count();
            missing <= layout.owners().saturating_sub(layout.asked(need, self.majority()))
        };
        (self.filling.is_empty() && before.is_empty()) || self.by_layout.iter().all(few)
    }

    /// Is it with as many of those who will serve as it asks for, as far as they answer?
    fn is_with_those_to_come(&self, need: Need, alive: &BTreeSet<NodeId>, holds: &dyn Fn(&NodeId) -> bool) -> bool {
        let is_under_way = |layout: &&ByLayout| layout.targets.iter().any(|node| self.filling.contains(node));
        self.by_layout.iter().filter(is_under_way).all(|layout| {
            let held = layout.targets.iter().filter(|node| holds(node)).count();
            let answering = layout.targets.iter().filter(|node| alive.contains(node)).count();
            held >= layout.asked(need, self.majority()).min(answering)
        })
    }

    /// Are these enough by every layout that holds, given that no others than `possible` can do it?
    fn is_enough(&self, need: Need, nodes: &[NodeId], possible: &[NodeId]) -> bool {
        let stand_ins = |of: &[NodeId]| of.iter().filter(|node| !self.serving.contains(node)).count();
        let by_layout = |quorum: &Vec<NodeId>| {
            let owners = |of: &[NodeId]| quorum.iter().filter(|node| of.contains(node)).count();
            // No more stand in than owners of this layout are away.
            let absent = quorum.len() - owners(possible);
            let wanted = usize::from(need.nodes).min(owners(possible) + stand_ins(possible).min(absent));
            owners(nodes) + stand_ins(nodes).min(absent) >= wanted
                && owners(nodes) >= usize::from(need.owners).min(quorum.len())
        };
        !nodes.is_empty() && !self.by_layout.is_empty() && self.quorums().all(by_layout)
    }
}

/// One node's picture of the cluster: members, owners, and who answers. Advisory where it speaks of liveness.
#[derive(Clone, Debug)]
pub struct View {
    /// Whose picture it is.
    pub me: NodeId,
    /// The member list it follows from.
    pub members: Members,
    /// Who answers, this node among them (unless it was removed).
    pub alive: BTreeSet<NodeId>,
    /// Tells decisions on who owns what apart: what a node says of what it holds counts only for those who live by the same.
    /// (Who is filled by now is not part of it.)
    pub placement: u64,
    replicas: Arc<[Replicas]>,
}

impl View {
    /// Computes the owners of every partition. O(partitions x members log members).
    #[must_use]
    pub fn new(me: NodeId, members: Members, alive: BTreeSet<NodeId>) -> Self {
        let current: Vec<NodeId> = members.current().map(|(node, _)| *node).collect();
        let n = usize::from(members.replicas().max(1));
        let place = |partition: PartitionId| {
            let ranked = ranked(&current, partition);
            let is_filled = |node: &NodeId| members.nodes.get(node).is_some_and(|m| m.filled.contains(partition));
            let filled: Vec<NodeId> = ranked.iter().filter(|node| is_filled(node)).copied().collect();
            let of = |owners: Vec<NodeId>| {
                let wanted = owners.len().min(current.len());
                let mut successors: Vec<NodeId> =
                    owners.into_iter().filter_map(|node| members.successor(node)).collect();
                let mut seen = BTreeSet::new();
                successors.retain(|node| current.contains(node) && seen.insert(*node));
                (successors, wanted)
            };
            let mut targets: Vec<(Vec<NodeId>, usize)> =
                members.layouts.iter().map(|(_, layout)| of(layout.owners.of(partition))).collect();
            if targets.is_empty() {
                let first: Vec<NodeId> = ranked.into_iter().take(n).collect();
                let wanted = first.len();
                targets.push((first, wanted));
            }
            Replicas::new(&targets, &filled)
        };
        let replicas = PartitionId::all().map(place).collect();
        let start = members.layouts.digest() ^ u64::from(members.replicas);
        let placement = current.iter().fold(start, |digest, node| mix(digest ^ hash_of(node.0.as_bytes())));
        Self { me, members, alive, placement, replicas }
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

    /// Who stands in for the owners that do not answer: as many others that do, by their rank for the partition.
    #[must_use]
    pub fn stand_ins(&self, partition: PartitionId) -> Vec<NodeId> {
        let replicas = self.replicas(partition);
        let absent = replicas.serving.iter().filter(|node| !self.alive.contains(node)).count();
        if absent == 0 {
            return Vec::new();
        }
        let others = self.members.current().map(|(node, _)| *node);
        let others: Vec<NodeId> =
            others.filter(|node| self.alive.contains(node) && !replicas.contains(*node)).collect();
        ranked(&others, partition).into_iter().take(absent).collect()
    }

    /// What people call a node.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        self.members.nodes.get(&node).map_or_else(|| node.to_string(), |member| member.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{LayoutChange, Member, Members, PartitionSet, Presence, Refused, View};
    use crate::id::{Actor, ClusterId, Incarnation, NodeId, PARTITIONS, PartitionId};
    use crate::placement::Role;
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
            lost: PartitionSet::none(),
            replaces: BTreeSet::new(),
        };
        Members::new(3, (1..=count).map(|n| (node(n), member(n))).collect())
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

    fn committed(members: &mut Members, by: u128, changes: &[LayoutChange]) {
        let proposal = super::propose(members, changes).unwrap();
        members.commit(Actor { node: node(by), incarnation: Incarnation(1) }, proposal.layout);
    }

    #[test]
    fn who_joins_after_a_commit_bears_nothing_until_the_next_one() {
        let mut members = members(3, 3);
        committed(&mut members, 1, &[]);
        let before = View::new(node(1), members.clone(), BTreeSet::new());
        members.nodes.insert(node(4), super::tests::members(4, 3).nodes[&node(4)].clone());
        let joined = View::new(node(1), members.clone(), BTreeSet::new());
        assert!(PartitionId::all().all(|p| joined.replicas(p) == before.replicas(p)));
        committed(&mut members, 2, &[LayoutChange::Role(node(4), Role::default())]);
        let view = View::new(node(1), members, BTreeSet::new());
        assert_eq!(PartitionId::all().filter(|p| view.replicas(*p).filling == [node(4)]).count(), 768);
    }

    /// Of what two operators said at once, all holds that they said of different nodes.
    #[test]
    fn two_layouts_need_a_quorum_each_and_one_that_has_seen_both_replaces_them() {
        let mut one = members(6, 6);
        committed(&mut one, 1, &[LayoutChange::Replicas(3)]);
        let mut other = one.clone();
        committed(&mut one, 1, &[LayoutChange::Leave(node(1)), LayoutChange::Leave(node(2))]);
        committed(&mut other, 2, &[LayoutChange::Leave(node(5)), LayoutChange::Leave(node(6))]);
        assert!(one.merge(&other) && !one.merge(&other) && other.merge(&one));
        assert_eq!((one.layouts.iter().len(), one.digest()), (2, other.digest()));
        let view = View::new(node(1), one.clone(), BTreeSet::new());
        let (_, first) = one.layouts.iter().next().unwrap();
        let (_, second) = one.layouts.iter().nth(1).unwrap();
        let apart =
            PartitionId::all().find(|p| first.owners.of(*p).iter().all(|n| !second.owners.of(*p)[1..].contains(n)));
        let partition = apart.expect("some partition has hardly an owner in common");
        let (replicas, mut half) = (view.replicas(partition), first.owners.of(partition));
        assert!(replicas.serving.len() > 4 && replicas.owners() == 3);
        half.retain(|node| !second.owners.of(partition).contains(node));
        assert!(half.len() > 1 && !replicas.reached(&half, 2), "a quorum of one layout is none of the other");
        half.extend(&second.owners.of(partition)[1..]);
        assert!(replicas.reached(&half, 2));
        committed(&mut one, 3, &[]);
        assert!(other.merge(&one));
        let (_, only) = other.layouts.iter().next().unwrap();
        assert_eq!(other.layouts.iter().len(), 1);
        assert_eq!(only.roles.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from([node(3), node(4)]));
    }

    #[test]
    fn whoever_takes_a_place_takes_what_was_decided_for_it() {
        let mut members = members(4, 4);
        let role = Role { zone: "attic".to_owned(), capacity: 3 };
        committed(&mut members, 1, &[LayoutChange::Role(node(4), role.clone())]);
        let before = View::new(node(1), members.clone(), BTreeSet::new());
        let newcomer = Member {
            replaces: BTreeSet::from([node(4)]),
            filled: PartitionSet::none(),
            ..members.nodes[&node(4)].clone()
        };
        members.nodes.insert(node(9), newcomer);
        assert_eq!((members.decided().get(&node(9)), members.decided().get(&node(4))), (Some(&role), None));
        let view = View::new(node(1), members.clone(), BTreeSet::new());
        for partition in PartitionId::all().filter(|p| before.replicas(*p).serving.contains(&node(4))) {
            let replicas = view.replicas(partition);
            assert_eq!(replicas.filling, [node(9)]);
            assert_eq!(replicas.owners(), 3, "another one that holds it serves until then");
        }
    }

    #[test]
    fn what_cannot_be_decided_is_refused() {
        let mut members = members(3, 3);
        let refused = |members: &Members, change| super::propose(members, &[change]).map(|it| it.id);
        for n in [1, 2] {
            members.nodes.get_mut(&node(n)).unwrap().filled = PartitionSet::none();
        }
        assert_eq!(refused(&members, LayoutChange::Remove(node(3))), Err(Refused::NobodyHolds(1_024)));
        assert_eq!(refused(&members, LayoutChange::Replicas(0)), Err(Refused::Replicas(0)));
        assert!(refused(&members, LayoutChange::Leave(node(3))).is_ok());
    }

    #[test]
    fn a_node_is_removed_once_all_layouts_say_so() {
        let mut one = members(4, 4);
        let mut other = one.clone();
        committed(&mut one, 1, &[LayoutChange::Remove(node(4))]);
        assert_eq!(one.current().count(), 3);
        committed(&mut other, 2, &[]);
        one.merge(&other);
        assert_eq!(one.current().count(), 4, "the other side may count on it");
        committed(&mut one, 1, &[]);
        assert_eq!(one.current().count(), 3);
    }

    /// Two clusters whose nodes came to dial each other became one, and gave each other's keys away.
    #[test]
    fn the_list_of_another_cluster_changes_nothing_and_who_has_not_joined_joins() {
        let of = |founder: Option<u128>, count| {
            let cluster = ClusterId(founder.map(Uuid::from_u128));
            Members { cluster, ..members(count, count) }
        };
        let (mut ours, theirs) = (of(Some(1), 2), of(Some(2), 4));
        assert!(!ours.merge(&theirs) && ours == of(Some(1), 2));
        let mut newcomer = of(None, 1);
        assert!(newcomer.merge(&ours) && newcomer.cluster == ours.cluster && newcomer.digest() == ours.digest());
        assert!(ours.merge(&of(None, 3)) && ours.cluster == of(Some(1), 1).cluster && ours.nodes.len() == 3);
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
