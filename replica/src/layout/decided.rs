//! Layouts that operators have decided on: staged, planned, shown, and only then committed.
//!
//! A committed layout is itself a causal value: it replaces the layouts that its operator's node knew. Two operators who
//! commit on two sides of a cut leave two, side by side; both are honoured (see [`Replicas`](super::Replicas)) until one
//! more commit has seen them both. As long as there is none, placement is automatic: every member bears the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use causal::{DotFun, Siblings};
use serde::{Deserialize, Serialize};

use crate::digest::hash_of;
use crate::id::{Actor, Context, Dot, NodeId, PartitionId};
use crate::layout::{Members, PartitionSet};
use crate::placement::{MAX_CAPACITY, MAX_ZONE_BYTES, Owners, Plan, Role, plan};

/// The most replicas of a partition.
pub const MAX_REPLICAS: u8 = 9;

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// How many replicas each partition has, if there are that many nodes.
    pub replicas: u8,
    /// The nodes that bear something, and what.
    pub roles: BTreeMap<NodeId, Role>,
    /// In which round of decisions the role of each node, or that it has none, was said last: of two layouts that were
    /// committed at once, the later word on each node counts.
    said_in: BTreeMap<NodeId, u64>,
    /// The same of the number of replicas.
    replicas_said_in: u64,
    /// Nodes that will not come back: nobody waits for them any more.
    pub removed: BTreeSet<NodeId>,
    /// Who owns what.
    pub owners: Owners,
}

/// The layouts that hold: none, one, or several that were committed at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layouts(Siblings<Actor, Layout>);

impl Layouts {
    /// Those that hold, in an order that is the same everywhere, each with the commit it came by.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Dot, &Layout)> + Clone + '_ {
        self.0.live().iter()
    }

    /// How many commits are known.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.0.context().iter().fold(0, |sum: u64, (_, counters)| sum.saturating_add(counters.len()))
    }

    /// Have some been committed, and replaced again, that `before` had not heard of?
    pub(crate) fn skip_some_of(&self, before: &Self) -> bool {
        let news = self.0.context().minus(before.0.context());
        news.dots().any(|dot| self.0.dots().all(|live| *live != dot))
    }

    /// Puts a layout in place of those that are here.
    pub(super) fn commit(&mut self, actor: Actor, layout: Layout) {
        let mut context: Context = self.0.context().clone();
        let dot = Dot { actor, counter: context.max(&actor).saturating_add(1) };
        context.insert(dot);
        self.0 = Siblings::from_parts(DotFun::from_iter([(dot, layout)]), context);
    }

    /// Takes over what others have committed; says whether that changed anything.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        // One commit is never two: whoever commits has an incarnation of its own.
        self.0.sync(&other.0).is_ok_and(|outcome| outcome.changed())
    }

    /// Tells them apart: what is the same has the same digest.
    pub(super) fn digest(&self) -> u64 {
        let live: Context = self.0.dots().copied().collect();
        hash_of(&[self.0.context().to_bytes(), live.to_bytes()].concat())
    }
}

/// A change of the layout that an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The node bears this much from now on, and stands there.
    Role(NodeId, Role),
    /// The node gives everything away, and stays a member.
    Leave(NodeId),
    /// The node is gone for good: what it had is copied from the others.
    Remove(NodeId),
    /// So many replicas of each partition.
    Replicas(u8),
}

/// Why something about the layout was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such number of replicas.
    Replicas(u8),
    /// A capacity that cannot be.
    Capacity(u32),
    /// A zone's name that cannot be.
    Zone(String),
    /// The node was removed and cannot come back under its id.
    Removed(NodeId),
    /// A node would be removed that answers.
    StillThere(NodeId),
    /// Nobody would own anything.
    NobodyLeft,
    /// So many partitions would be held by nobody any more: what was in them would be gone.
    NobodyHolds(usize),
    /// The plan is not what was shown: the cluster has changed since, or it never was.
    OtherPlan {
        /// What it would be now.
        now: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Replicas(replicas) => write!(f, "{replicas} replicas: it has to be 1 to {MAX_REPLICAS}"),
            Refused::Capacity(capacity) => write!(f, "a capacity of {capacity}: it has to be 1 to {MAX_CAPACITY}"),
            Refused::Zone(zone) => write!(f, "a zone of {} bytes: it has to be 1 to {MAX_ZONE_BYTES}", zone.len()),
            Refused::Removed(node) => write!(f, "{node} was removed: it can join again with an empty directory"),
            Refused::StillThere(node) => write!(f, "{node} answers: stage LEAVE, so that it hands over what it has"),
            Refused::NobodyLeft => f.write_str("no node would own anything"),
            Refused::NobodyHolds(partitions) => {
                write!(f, "nobody else holds {partitions} of the partitions: what was in them would be gone")
            }
            Refused::OtherPlan { now } => {
                write!(f, "that is not the plan as it is now ({now:016x}): look at it again, and commit that")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// What would come of what is staged.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Names it: the same layout in place of the same ones has the same.
    pub id: u64,
    /// What would be committed.
    pub layout: Layout,
    /// What that means.
    pub plan: Plan,
    /// How many partitions each node owns as things are.
    pub load_before: BTreeMap<NodeId, u32>,
}

/// What would be committed if `staged` was done to what holds now.
pub(crate) fn propose(members: &Members, staged: &[Change]) -> Result<Proposal, Refused> {
    let mut decided = together(members);
    let last = decided.said_in.values().copied().max().unwrap_or(0).max(decided.replicas_said_in);
    let round = last.saturating_add(1);
    for change in staged {
        match change {
            Change::Role(node, role) => drop(decided.roles.insert(*node, role.clone())),
            Change::Leave(node) => drop(decided.roles.remove(node)),
            Change::Remove(node) => {
                decided.roles.remove(node);
                decided.removed.insert(*node);
            }
            Change::Replicas(wanted) => (decided.replicas, decided.replicas_said_in) = (*wanted, round),
        }
        if let Change::Role(node, _) | Change::Leave(node) | Change::Remove(node) = change {
            decided.said_in.insert(*node, round);
        }
    }
    let current: BTreeSet<NodeId> = members.current().map(|(node, _)| *node).collect();
    if !(1..=MAX_REPLICAS).contains(&decided.replicas) {
        return Err(Refused::Replicas(decided.replicas));
    }
    let Layout { roles, removed, .. } = &mut decided;
    roles.retain(|node, _| current.contains(node) && !removed.contains(node));
    if roles.is_empty() {
        return Err(Refused::NobodyLeft);
    }
    let stays = members.current().filter(|(node, _)| !removed.contains(node));
    let holders: Vec<&PartitionSet> = stays.map(|(_, member)| &member.filled).collect();
    let is_held = |partition: &PartitionId| holders.iter().any(|filled| filled.contains(*partition));
    let gone = members.current().filter(|(node, _)| removed.contains(node));
    let gone: Vec<&PartitionSet> = gone.map(|(_, member)| &member.filled).collect();
    let is_lost = |it: &PartitionId| !is_held(it) && gone.iter().any(|filled| filled.contains(*it));
    let lost = PartitionId::all().filter(is_lost).count();
    if lost > 0 && staged.iter().any(|change| matches!(change, Change::Remove(_))) {
        return Err(Refused::NobodyHolds(lost));
    }
    let before = members.targets();
    let load_before = before.load();
    let plan = plan(&decided.roles, decided.replicas, &before);
    let layout = Layout { owners: plan.owners.clone(), ..decided };
    let id = hash_of(&[&members.layouts.digest().to_be_bytes()[..], &layout.bytes()].concat());
    Ok(Proposal { id, layout, plan, load_before })
}

/// What several layouts say together; without any, that every member bears the same. Whoever has taken another's place has
/// its role.
pub(super) fn together(members: &Members) -> Layout {
    let layouts: Vec<&Layout> = members.layouts.iter().map(|(_, layout)| layout).collect();
    let Some((first, others)) = layouts.split_first() else {
        let roles = members.current().map(|(node, _)| (*node, Role::default())).collect();
        return Layout {
            replicas: members.replicas,
            roles,
            said_in: BTreeMap::new(),
            replicas_said_in: 0,
            removed: BTreeSet::new(),
            owners: Owners::default(),
        };
    };
    let mut all: Layout = (*first).clone();
    for other in others {
        let nodes: BTreeSet<NodeId> = other.roles.keys().chain(other.said_in.keys()).copied().collect();
        let said = |layout: &Layout, node: &NodeId| layout.said_in.get(node).copied().unwrap_or(0);
        for node in nodes {
            let is_unknown = !all.roles.contains_key(&node) && !all.said_in.contains_key(&node);
            if said(other, &node) <= said(&all, &node) && !is_unknown {
                continue;
            }
            match other.roles.get(&node) {
                Some(role) => drop(all.roles.insert(node, role.clone())),
                None => drop(all.roles.remove(&node)),
            }
            all.said_in.insert(node, said(other, &node));
        }
        if other.replicas_said_in > all.replicas_said_in {
            (all.replicas, all.replicas_said_in) = (other.replicas, other.replicas_said_in);
        }
        all.removed.extend(&other.removed);
    }
    let of_successor = |(node, role)| (members.successor(node).unwrap_or(node), role);
    all.roles = all.roles.into_iter().map(of_successor).collect();
    all
}

impl Layout {
    /// What makes it this one.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.replicas];
        bytes.extend_from_slice(&self.replicas_said_in.to_be_bytes());
        for (node, round) in &self.said_in {
            bytes.extend_from_slice(node.0.as_bytes());
            bytes.extend_from_slice(&round.to_be_bytes());
        }
        bytes.extend_from_slice(&(self.said_in.len() as u64).to_be_bytes());
        for (node, role) in &self.roles {
            bytes.extend_from_slice(node.0.as_bytes());
            bytes.extend_from_slice(&role.capacity.to_be_bytes());
            bytes.extend_from_slice(&(role.zone.len() as u64).to_be_bytes());
            bytes.extend_from_slice(role.zone.as_bytes());
        }
        for node in self.removed.iter().copied().chain(PartitionId::all().flat_map(|it| self.owners.of(it))) {
            bytes.extend_from_slice(node.0.as_bytes());
        }
        bytes
    }
}

/// Can this be staged?
pub(crate) fn check(change: &Change, members: &Members, alive: &BTreeSet<NodeId>) -> Result<(), Refused> {
    let is_removed = |node: &NodeId| members.layouts.iter().any(|(_, layout)| layout.removed.contains(node));
    match change {
        Change::Role(node, _) | Change::Leave(node) if is_removed(node) => Err(Refused::Removed(*node)),
        Change::Role(_, role) if role.capacity == 0 || role.capacity > MAX_CAPACITY => {
            Err(Refused::Capacity(role.capacity))
        }
        Change::Role(_, role) if role.zone.is_empty() || role.zone.len() > MAX_ZONE_BYTES => {
            Err(Refused::Zone(role.zone.clone()))
        }
        Change::Remove(node) if alive.contains(node) => Err(Refused::StillThere(*node)),
        Change::Replicas(replicas) if !(1..=MAX_REPLICAS).contains(replicas) => Err(Refused::Replicas(*replicas)),
        _ => Ok(()),
    }
}
