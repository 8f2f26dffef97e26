//! Which nodes own which partition: planned from what each node can bear and where it stands, moving as little as
//! possible.
//!
//! A plan is a pure function of the owners so far and of the roles of the nodes: whoever computes it gets the same one.
//!
//! - Each partition has `N` owners (or as many as there are nodes), all different, and in different zones if there are `N`
//!   zones; with fewer, no zone has more of them than it must.
//! - A node's *fair share* of all replicas is its share of the capacity, as far as zones allow: one that is too small to
//!   hold a replica of everything it has to, makes its nodes bear more, and a node can own a partition only once. No node owns
//!   more than its fair share, rounded up.
//! - Of all assignments that keep to this, one that leaves most replicas where they are: a flow of least cost from
//!   partitions through zones to nodes, where a replica that moves costs 1. (Garage's layouts, Dynamo section 6.2
//!   strategy 3; the flow is computed by the primal-dual method.)

mod flow;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::{hash_of, mix};
use crate::id::{NodeId, PARTITIONS, PartitionId};
use flow::Flow;

/// The longest name of a zone.
pub const MAX_ZONE_BYTES: usize = 64;
/// The greatest capacity.
pub const MAX_CAPACITY: u32 = 1_000_000;

/// What a node is to bear, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Replicas of a partition go to different zones, if there are enough.
    pub zone: String,
    /// Its share compared to other nodes': 1 and up.
    pub capacity: u32,
}

impl Default for Role {
    fn default() -> Self {
        Self { zone: "default".to_owned(), capacity: 1 }
    }
}

/// The owners of each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owners {
    nodes: Vec<NodeId>,
    each: u8,
    /// By partition, `each` of them: numbers in `nodes`.
    slots: Vec<u16>,
}

impl Owners {
    /// From what `of` says of each partition, which has to be as many for each.
    #[must_use]
    pub fn from_fn(mut of: impl FnMut(PartitionId) -> Vec<NodeId>) -> Self {
        let all: Vec<Vec<NodeId>> = PartitionId::all().map(&mut of).collect();
        let nodes: Vec<NodeId> = all.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let each = all.iter().map(Vec::len).min().unwrap_or(0);
        let number = |node: &NodeId| nodes.binary_search(node).unwrap_or(0) as u16;
        let slots = all.iter().flat_map(|owners| owners.iter().take(each)).map(number).collect();
        Self { nodes, each: each as u8, slots }
    }

    /// The owners of a partition, in the order of its preference list: another one is first for each partition.
    #[must_use]
    pub fn of(&self, partition: PartitionId) -> Vec<NodeId> {
        let (each, at) = (usize::from(self.each), usize::from(partition.number()));
        let slots = self.slots.get(at * each..(at + 1) * each).unwrap_or_default();
        let mut owners: Vec<NodeId> =
            slots.iter().filter_map(|number| self.nodes.get(usize::from(*number)).copied()).collect();
        owners.sort_by_key(|node| std::cmp::Reverse((score(*node, partition), *node)));
        owners.dedup(); // whoever sent it may have said anything
        owners
    }

    /// How many partitions each node owns.
    #[must_use]
    pub fn load(&self) -> BTreeMap<NodeId, u32> {
        let mut load: BTreeMap<NodeId, u32> = self.nodes.iter().map(|node| (*node, 0)).collect();
        for number in &self.slots {
            if let Some(count) = self.nodes.get(usize::from(*number)).and_then(|node| load.get_mut(node)) {
                *count += 1;
            }
        }
        load
    }
}

/// The rank of a node for a partition: by rendezvous hashing (Thaler and Ravishankar 1998).
pub(crate) fn score(node: NodeId, partition: PartitionId) -> u64 {
    mix(hash_of(node.0.as_bytes()) ^ mix(u64::from(partition.number()) + 1))
}

/// A replica that goes to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Of this partition.
    pub partition: PartitionId,
    /// It is no owner any more. Nobody, if the partition had too few.
    pub from: Option<NodeId>,
    /// The new owner.
    pub to: NodeId,
}

/// What placing partitions by these roles would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The owners afterwards.
    pub owners: Owners,
    /// What moves.
    pub moves: Vec<Move>,
    /// Of each node: its fair share, and how many partitions it owns afterwards.
    pub load: BTreeMap<NodeId, (f64, u32)>,
    /// What cannot be had, in words.
    pub violations: Vec<String>,
}

/// Plans the owners of all partitions. O(partitions x nodes), times the few lengths that chains of moves have.
///
/// ```
/// use std::collections::BTreeMap;
/// use replica::{NodeId, Owners, PARTITIONS, Role, plan};
/// let node = |n: u128| NodeId(uuid::Uuid::from_u128(n));
/// let mut roles: BTreeMap<_, _> = (1..=3).map(|n| (node(n), Role::default())).collect();
/// let three = plan(&roles, 3, &Owners::default());
/// assert!(three.load.values().all(|(_, owned)| *owned == u32::from(PARTITIONS)));
///
/// roles.insert(node(4), Role { zone: "attic".into(), capacity: 2 });
/// let four = plan(&roles, 3, &three.owners);
/// assert_eq!(four.load[&node(4)], (1024.0, 1024));             // it cannot own more than every partition
/// assert_eq!(four.moves.len(), 1024);
/// assert_eq!(four.violations, ["2 zones for 3 replicas: a zone holds up to 2 replicas of a partition"]);
/// ```
#[must_use]
pub fn plan(roles: &BTreeMap<NodeId, Role>, replicas: u8, before: &Owners) -> Plan {
    let nodes: Vec<(NodeId, &Role)> = roles.iter().map(|(node, role)| (*node, role)).collect();
    let zones: Vec<&str> = roles.values().map(|role| role.zone.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let each = usize::from(replicas).min(nodes.len());
    let mut violations = Vec::new();
    if nodes.len() < usize::from(replicas) {
        violations.push(format!("{} nodes for {replicas} replicas: partitions have {each} owners", nodes.len()));
    }
    if each == 0 {
        return Plan { owners: Owners::default(), moves: Vec::new(), load: BTreeMap::new(), violations };
    }
    let zone_of: Vec<usize> =
        nodes.iter().map(|(_, role)| zones.iter().position(|zone| *zone == role.zone).unwrap_or(0)).collect();
    let in_zone = in_one_zone(each, zones.len(), &zone_of);
    if in_zone > 1 && zones.len() > 1 {
        let (zones, most) = (zones.len(), in_zone);
        violations
            .push(format!("{zones} zones for {each} replicas: a zone holds up to {most} replicas of a partition"));
    }
    let fair = fair_shares(&nodes, &zone_of, zones.len(), each, in_zone);
    let assigned = assign(&nodes, &zone_of, zones.len(), each, in_zone, &fair, before);
    let owners = Owners::from_fn(|partition| {
        assigned[usize::from(partition.number())].iter().map(|number| nodes[*number].0).collect()
    });
    let moves = moves(before, &owners);
    let owned = owners.load();
    let load = nodes.iter().zip(&fair).map(|((node, _), fair)| (*node, (*fair, owned.get(node).copied().unwrap_or(0))));
    Plan { load: load.collect(), owners, moves, violations }
}

/// The least number of replicas of a partition that one zone has to hold.
fn in_one_zone(each: usize, zones: usize, zone_of: &[usize]) -> usize {
    let size = |zone: usize| zone_of.iter().filter(|of| **of == zone).count();
    let room = |most: usize| (0..zones).map(|zone| size(zone).min(most)).sum::<usize>();
    (1..each).find(|most| room(*most) >= each).unwrap_or(each)
}

/// Shares in proportion to capacity; whatever is more than a node or a zone can hold goes to the others.
fn fair_shares(nodes: &[(NodeId, &Role)], zone_of: &[usize], zones: usize, each: usize, in_zone: usize) -> Vec<f64> {
    let all = f64::from(PARTITIONS);
    let capacity: Vec<f64> = nodes.iter().map(|(_, role)| f64::from(role.capacity.max(1))).collect();
    // The share at a level of filling: proportional to capacity up to what a node holds, and then to what a zone holds.
    let at_level = |level: f64| -> Vec<f64> {
        let filled = |zone: usize, level: f64| -> f64 {
            (0..nodes.len()).filter(|n| zone_of[*n] == zone).map(|n| (capacity[n] * level).min(all)).sum()
        };
        let levels: Vec<f64> = (0..zones)
            .map(|zone| {
                let most = all * in_zone as f64;
                if filled(zone, level) <= most { level } else { bisect(level, |lower| filled(zone, lower) <= most) }
            })
            .collect();
        (0..nodes.len()).map(|n| (capacity[n] * levels[zone_of[n]]).min(all)).collect()
    };
    let wanted = all * each as f64;
    let level = bisect(all * each as f64, |level| at_level(level).iter().sum::<f64>() <= wanted);
    at_level(level)
}

/// The greatest number up to `most` that is small enough, as exactly as numbers go.
fn bisect(most: f64, is_small_enough: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if is_small_enough(middle) { low = middle } else { high = middle }
    }
    if is_small_enough(high) { high } else { low }
}

/// By partition, the numbers of its owners.
fn assign(
    nodes: &[(NodeId, &Role)],
    zone_of: &[usize],
    zones: usize,
    each: usize,
    in_zone: usize,
    fair: &[f64],
    before: &Owners,
) -> Vec<Vec<usize>> {
    let partitions = usize::from(PARTITIONS);
    let (source, sink) = (0, 1);
    let partition_at = |partition: usize| 2 + partition;
    let zone_at = |partition: usize, zone: usize| 2 + partitions + partition * zones + zone;
    let node_at = |node: usize| 2 + partitions + partitions * zones + node;
    let mut flow = Flow::new(2 + partitions + partitions * zones + nodes.len());
    for (node, share) in fair.iter().enumerate() {
        flow.arc(node_at(node), sink, (share - 1e-6).ceil() as u32, 0);
    }
    let mut used = Vec::with_capacity(partitions * nodes.len());
    for partition in PartitionId::all() {
        let at = usize::from(partition.number());
        flow.arc(source, partition_at(at), each as u32, 0);
        for zone in 0..zones {
            flow.arc(partition_at(at), zone_at(at, zone), in_zone as u32, 0);
        }
        let kept = before.of(partition);
        for (number, (node, _)) in nodes.iter().enumerate() {
            let cost = i32::from(!kept.contains(node));
            used.push(flow.arc(zone_at(at, zone_of[number]), node_at(number), 1, cost));
        }
    }
    let proof = flow.run(source, sink);
    debug_assert!(flow.is_cheapest(&proof), "as few moves as can be");
    let owners = used.chunks(nodes.len()).map(|arcs| {
        let owned = arcs.iter().enumerate().filter(|(_, arc)| flow.used(**arc) > 0);
        owned.map(|(number, _)| number).collect()
    });
    owners.collect()
}

/// What has to be copied to come from one assignment to another.
fn moves(before: &Owners, after: &Owners) -> Vec<Move> {
    let of = |partition| {
        let (old, new) = (before.of(partition), after.of(partition));
        let mut left = old.clone().into_iter().filter(|node| !new.contains(node)).collect::<Vec<_>>().into_iter();
        let come: Vec<NodeId> = new.into_iter().filter(|node| !old.contains(node)).collect();
        come.into_iter().map(move |to| Move { partition, from: left.next(), to }).collect::<Vec<_>>()
    };
    PartitionId::all().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::flow::Flow;
    use super::{Owners, Plan, Role, plan};
    use crate::id::{NodeId, PARTITIONS, PartitionId};
    use std::collections::{BTreeMap, BTreeSet};
    use uuid::Uuid;

    type Roles = BTreeMap<NodeId, Role>;

    fn node(n: usize) -> NodeId {
        NodeId(Uuid::from_u128((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
    }

    fn role(zone: usize, capacity: u32) -> Role {
        Role { zone: format!("z{zone}"), capacity }
    }

    fn roles(nodes: usize, zones: usize, capacity: impl Fn(usize) -> u32) -> Roles {
        (0..nodes).map(|n| (node(n), role(n % zones, capacity(n)))).collect()
    }

    /// As many owners as there must be, in different zones as far as there are any, and no node above its fair share.
    fn check(planned: &Plan, roles: &Roles, replicas: usize) {
        let zones: BTreeSet<&str> = roles.values().map(|role| role.zone.as_str()).collect();
        for partition in PartitionId::all() {
            let owners = planned.owners.of(partition);
            assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), replicas.min(roles.len()), "{owners:?}");
            let in_zones: BTreeSet<&str> = owners.iter().map(|node| roles[node].zone.as_str()).collect();
            assert_eq!(in_zones.len(), zones.len().min(replicas));
        }
        for (node, (fair, owned)) in &planned.load {
            assert!(f64::from(*owned) <= fair.ceil() + 1e-6, "{node} owns {owned}, fair is {fair}");
        }
        let fair: f64 = planned.load.values().map(|(fair, _)| fair).sum();
        assert!((fair - f64::from(PARTITIONS) * replicas.min(roles.len()) as f64).abs() < 1e-3, "{fair}");
    }

    /// No assignment within the same bounds can leave more where it is than fits into the bounds of nodes and zones, whatever
    /// becomes of the others. (Perhaps none leaves as much: that the plan is the cheapest is proved where it is made.)
    fn least_moves(planned: &Plan, roles: &Roles, replicas: usize, before: &Owners) -> usize {
        let zones: Vec<&str> =
            roles.values().map(|role| role.zone.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
        let in_zone = replicas.div_ceil(zones.len()) as u32;
        let (partitions, nodes) = (usize::from(PARTITIONS), roles.len());
        let mut flow = Flow::new(2 + partitions * zones.len() + nodes);
        let mut kept = Vec::new();
        for (number, (node, role)) in roles.iter().enumerate() {
            let at = 2 + partitions * zones.len() + number;
            flow.arc(at, 1, (planned.load[node].0 - 1e-6).ceil() as u32, 0);
            let zone = zones.iter().position(|zone| *zone == role.zone).unwrap();
            for partition in PartitionId::all().filter(|partition| before.of(*partition).contains(node)) {
                kept.push(flow.arc(2 + usize::from(partition.number()) * zones.len() + zone, at, 1, 0));
            }
        }
        for place in 0..partitions * zones.len() {
            flow.arc(0, 2 + place, in_zone, 0);
        }
        let proof = flow.run(0, 1);
        assert!(flow.is_cheapest(&proof));
        partitions * replicas.min(nodes) - kept.iter().map(|arc| flow.used(*arc) as usize).sum::<usize>()
    }

    #[test]
    fn plans_keep_to_the_bounds_and_move_nothing_twice() {
        let start = |nodes, zones| roles(nodes, zones, |n| [1, 2, 4][n % 3]);
        for (nodes, zones, replicas) in [(1, 1, 3), (2, 1, 3), (3, 3, 3), (5, 2, 3), (7, 7, 3), (12, 4, 3), (24, 3, 5)]
        {
            let before_roles = start(nodes, zones);
            let first = plan(&before_roles, replicas, &Owners::default());
            check(&first, &before_roles, replicas.into());
            assert_eq!(plan(&before_roles, replicas, &first.owners).moves, []);
            let mut joined = before_roles.clone();
            joined.insert(node(nodes), role(nodes % zones, 2));
            let mut left = before_roles.clone();
            left.remove(&node(0));
            let mut heavier = before_roles.clone();
            heavier.insert(node(0), role(0, 7));
            let mut moved = before_roles.clone();
            moved.insert(node(0), role(zones - 1, 1));
            for (what, after) in [("join", joined), ("leave", left), ("reweigh", heavier), ("another zone", moved)] {
                if after.is_empty() {
                    continue;
                }
                let planned = plan(&after, replicas, &first.owners);
                check(&planned, &after, replicas.into());
                let least = least_moves(&planned, &after, replicas.into(), &first.owners);
                let moves = planned.moves.len();
                assert!(moves >= least, "{what} at {nodes} nodes: {moves} moves, {least} are needed");
            }
        }
    }

    #[test]
    fn whoever_joins_takes_over_its_share_and_nothing_else_moves() {
        let twelve = roles(12, 3, |_| 1);
        let before = plan(&twelve, 3, &Owners::default()).owners;
        let mut thirteen = twelve;
        thirteen.insert(node(12), role(0, 1));
        let planned = plan(&thirteen, 3, &before);
        let least = least_moves(&planned, &thirteen, 3, &before);
        assert_eq!(planned.moves.len(), least);
        assert!(planned.moves.iter().all(|it| it.to == node(12) && it.from.is_some()));
    }

    #[test]
    fn a_zone_that_is_too_small_for_its_replicas_leaves_the_rest_to_the_others() {
        let mut roles = roles(4, 4, |_| 1);
        roles.insert(node(3), role(3, 9));
        let planned = plan(&roles, 3, &Owners::default());
        assert_eq!(planned.load[&node(3)].0, 1024.0);
        for n in 0..3 {
            let (fair, owned) = planned.load[&node(n)];
            assert!((fair - 2048.0 / 3.0).abs() < 1e-6 && owned.abs_diff(683) < 3, "{fair} {owned}");
        }
        assert!(planned.violations.is_empty());
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let planned = plan(&roles(2, 1, |_| 1), 3, &Owners::default());
        assert_eq!(planned.violations, ["2 nodes for 3 replicas: partitions have 2 owners"]);
        let planned = plan(&roles(4, 2, |_| 1), 3, &Owners::default());
        assert_eq!(planned.violations, ["2 zones for 3 replicas: a zone holds up to 2 replicas of a partition"]);
        assert_eq!(plan(&Roles::new(), 3, &Owners::default()).violations.len(), 1);
    }
}
