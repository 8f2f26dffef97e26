//! Comparing replicas with equal clocks by the sums of what they have. The first of the owners that answer asks the others, in
//! quiet moments, and goes down the tree where they differ; see [`HashTree`](crate::HashTree).
//!
//! Nothing is done about a difference before it was seen [`SUSPICIONS`] times under one clock that all owners have: read
//! repair may be ahead of the clock for a while, and some event be under way.

use std::collections::BTreeSet;

use crate::core::{Action, Core, Step};
use crate::hash_tree::{FANOUT, HashTree};
use crate::id::{NodeId, PARTITIONS, PartitionId};
use crate::message::{Compared, Comparison, KeyState, Message};
use crate::operation::ByteString;
use crate::partition::{NO_QUESTION, Partition};
use crate::quorum::Medium;
use crate::store::StoreError;

/// How often a difference must have been seen before something is done about it.
const SUSPICIONS: u32 = 3;
/// How many nodes of the tree, leaves of these and keys of those are looked at in one go.
const AT_ONCE: usize = 16;

/// Where a scrub stands: reading a partition, or waiting for the next time.
#[derive(Debug, Default)]
pub(super) struct Scrubbing {
    /// The partition being read.
    at: u16,
    /// It has been through once and waits until then.
    rests_until_ms: Option<u64>,
}

impl Scrubbing {
    /// The partition being read, if it does not rest.
    pub(super) fn at(&self) -> Option<u16> {
        self.rests_until_ms.is_none().then_some(self.at)
    }
}

impl Core {
    /// Reads on, within the budget of one tick.
    pub(super) fn scrub(&mut self, step: &mut Step<'_>) {
        let now_ms = step.now.mono_ms;
        if self.scrubbing.rests_until_ms.is_some_and(|until_ms| now_ms < until_ms) {
            return;
        }
        if self.scrubbing.rests_until_ms.take().is_some() {
            self.scrubbing.at = 0;
        }
        let mut left = (self.settings.scrub_bytes_per_s / 10).max(1) as usize;
        while left > 0 && self.scrubbing.at < PARTITIONS {
            let Some(partition) = PartitionId::new(self.scrubbing.at).filter(|partition| self.has(*partition)) else {
                self.scrubbing.at += 1;
                continue;
            };
            let Some(found) = self.quietly(step, partition, |p, txn| p.scrub(txn, left)) else {
                self.scrubbing.at += 1; // it cannot be read, which was said
                continue;
            };
            if found.is_first || !found.damage.is_empty() {
                self.doubt(step, partition);
            }
            for damage in found.damage {
                step.out.push(Action::Alarm(format!("partition {partition}: {damage}")));
            }
            self.scrubbing.at += u16::from(found.is_done);
            left = left.saturating_sub(found.bytes);
        }
        if self.scrubbing.at == PARTITIONS {
            self.scrubbing.rests_until_ms = Some(now_ms.saturating_add(self.settings.scrub_every_ms));
        }
    }

    /// Begins a scrub now, if none is under way.
    pub(super) fn scrub_now(&mut self) {
        if self.scrubbing.rests_until_ms.is_some() {
            self.scrubbing = Scrubbing::default();
        }
    }

    /// Damage was found here, or may have happened since the last run: the one who compares is told, and compares with everybody
    /// again if it is this node.
    fn doubt(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        let Some(view) = self.view.clone() else { return };
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        match (view.coordinator(partition), slot.tree().map(HashTree::root)) {
            (Some(to), Some(root)) if to != self.me.node => {
                let comparison = Comparison { clock: slot.clock().clone(), what: Compared::Root(root, NO_QUESTION) };
                step.out.push(Action::Send(to, Message::Verify(partition, Box::new(comparison))));
            }
            _ => view.replicas(partition).serving.iter().for_each(|node| slot.is_in_doubt(*node)),
        }
    }

    /// Asks the other owners for their sums, if this node is the one to ask and all have the same clock.
    pub(super) fn verify(&mut self, step: &mut Step<'_>, partition: PartitionId) {
        if !self.may_verify(partition) {
            return;
        }
        let Some(view) = self.view.clone() else { return };
        let me = self.me.node;
        for node in view.replicas(partition).serving.iter().filter(|node| **node != me && view.alive.contains(node)) {
            let ticket = self.ticket();
            let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
            if let Some(root) = slot.should_verify(*node, step.now.mono_ms, self.settings.verify_every_ms, ticket) {
                let comparison = Comparison { clock: slot.clock().clone(), what: Compared::Root(root, ticket) };
                step.out.push(Action::Send(*node, Message::Verify(partition, Box::new(comparison))));
            }
        }
    }

    /// Is this node the first owner, does every node answer and nobody else hold anything, and do all owners have the same clock?
    fn may_verify(&self, partition: PartitionId) -> bool {
        let Some(view) = &self.view else { return false };
        let Some(slot) = self.partitions[usize::from(partition.number())].as_ref() else { return false };
        let replicas = view.replicas(partition);
        let has_clock = |node: &NodeId| {
            *node == self.me.node || slot.peers.get(node).is_some_and(|peer| peer.clock == *slot.clock())
        };
        // A node that is away may know of a removal that nobody else has heard of.
        view.members.current().all(|(node, _)| view.alive.contains(node))
            && view.coordinator(partition) == Some(self.me.node)
            && replicas.filling.is_empty()
            && replicas.former.is_empty()
            && replicas.serving.iter().all(has_clock)
            && slot.visitors().next().is_none()
            && self.can_be_read(partition)
            && !self.amnesia
    }

    pub(super) fn on_verify(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        partition: PartitionId,
        comparison: Comparison,
    ) {
        let asks = self.view.as_ref().is_some_and(|view| view.coordinator(partition) == Some(self.me.node));
        let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
        if *slot.clock() != comparison.clock || slot.tree().is_none() {
            return; // one of them has moved on; there will be another time
        }
        let reply = match comparison.what {
            Compared::Root(root, _) if asks => {
                if slot.tree().is_some_and(|tree| tree.root() != root) {
                    slot.is_in_doubt(from);
                }
                None
            }
            Compared::Root(root, ticket) => slot.tree().map(|tree| match tree.root() == root {
                true => Compared::Same(root, ticket),
                false => Compared::Nodes(tree.nodes(), ticket),
            }),
            Compared::Same(root, ticket) => {
                slot.is_verified(from, root, ticket);
                None
            }
            // A difference is followed only when it has been there for a while.
            Compared::Nodes(_, ticket) if slot.is_suspected(from, ticket) < SUSPICIONS => None,
            Compared::Nodes(sums, _) => slot.tree().map(|tree| {
                let own = tree.nodes();
                let differing = (0..FANOUT).filter(|node| sums.get(*node) != own.get(*node)).take(AT_ONCE);
                Compared::Leaves(differing.map(|node| (node as u16, tree.leaves_of(node).to_vec())).collect())
            }),
            Compared::Leaves(nodes) => {
                let leaves = differing_leaves(slot, &nodes);
                let digests = self.quietly(step, partition, |p, txn| {
                    leaves.into_iter().map(|leaf| Ok((leaf, list(p.digests_of(txn, leaf.into())?)))).collect()
                });
                digests.map(Compared::Digests)
            }
            Compared::Digests(leaves) => return self.on_digests(step, from, partition, leaves),
            Compared::Want(keys) => {
                let limit = self.settings.answer_bytes;
                let states = self.quietly(step, partition, |p, txn| whole_keys(p, txn, &keys, limit));
                states.map(Compared::States)
            }
            Compared::States(states) => return self.heal(step, from, partition, states),
        };
        if let Some(what) = reply {
            let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() else { return };
            let comparison = Comparison { clock: slot.clock().clone(), what };
            step.out.push(Action::Send(from, Message::Verify(partition, Box::new(comparison))));
        }
    }

    /// Another owner's keys in leaves that differ: asks for those that are not the same, and heals those it does not have.
    fn on_digests(
        &mut self,
        step: &mut Step<'_>,
        from: NodeId,
        partition: PartitionId,
        mut leaves: Vec<(u16, Vec<(ByteString, u64)>)>,
    ) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_ref() else { return };
        if !self.may_verify(partition) || slot.suspicions(from) < SUSPICIONS {
            return;
        }
        leaves.truncate(AT_ONCE);
        let own = self.quietly(step, partition, |p, txn| {
            leaves.iter().map(|(leaf, _)| p.digests_of(txn, (*leaf).into())).collect::<Result<Vec<_>, StoreError>>()
        });
        let (mut wanted, mut absent) = (Vec::new(), Vec::new());
        for (own, (_, theirs)) in own.into_iter().flatten().zip(&leaves) {
            wanted.extend(
                theirs.iter().filter(|(key, digest)| own.get(&key.0) != Some(digest)).map(|(key, _)| key.clone()),
            );
            let known: BTreeSet<&Vec<u8>> = theirs.iter().map(|(key, _)| &key.0).collect();
            absent.extend(own.into_keys().filter(|key| !known.contains(key)));
        }
        wanted.truncate(AT_ONCE);
        if !wanted.is_empty() {
            let Some(slot) = self.partitions[usize::from(partition.number())].as_ref() else { return };
            let comparison = Comparison { clock: slot.clock().clone(), what: Compared::Want(wanted) };
            step.out.push(Action::Send(from, Message::Verify(partition, Box::new(comparison))));
        } else if !absent.is_empty() {
            let nothing = |key: Vec<u8>| KeyState {
                key: ByteString(key),
                residual: crate::Residual::default(),
                cells: Vec::new(),
                whole: true,
                events: Vec::new(),
            };
            let states = absent.into_iter().take(AT_ONCE).map(nothing).collect();
            self.heal(step, from, partition, states);
        }
    }

    /// Writes anew what one of two replicas with equal clocks has and the other has not.
    fn heal(&mut self, step: &mut Step<'_>, from: NodeId, partition: PartitionId, states: Vec<KeyState>) {
        let Some(slot) = self.partitions[usize::from(partition.number())].as_ref() else { return };
        if !self.may_verify(partition) || slot.suspicions(from) < SUSPICIONS {
            return;
        }
        let healed = self.quietly(step, partition, |p, txn| {
            let mut changes = Vec::new();
            let mut joined = crate::partition::Joined::default();
            for state in &states {
                let (more, merged) = p.heal(txn, state)?;
                changes.extend(more);
                joined.add(merged);
            }
            Ok((changes, joined))
        });
        let Some((changes, joined)) = healed else { return };
        let names: Vec<String> =
            states.iter().map(|state| format!("{:?}", String::from_utf8_lossy(&state.key.0))).collect();
        step.out.push(Action::Alarm(format!(
            "partition {partition}: this node and {from} have the same clock and differ in {}; {} values were written anew",
            names.join(", "),
            changes.len()
        )));
        self.report(step, from, joined);
        let others: Vec<NodeId> = self.view.iter().flat_map(|view| view.replicas(partition).all()).collect();
        let ticket = self.ticket();
        for node in others.into_iter().filter(|node| *node != self.me.node && !changes.is_empty()) {
            let delta = Message::Delta(ticket, partition, Medium::Memory, changes.clone());
            step.out.push(Action::Send(node, delta));
        }
    }
}

fn list(digests: std::collections::BTreeMap<Vec<u8>, u64>) -> Vec<(ByteString, u64)> {
    digests.into_iter().map(|(key, digest)| (ByteString(key), digest)).collect()
}

fn differing_leaves(slot: &Partition, nodes: &[(u16, Vec<u64>)]) -> Vec<u16> {
    let Some(tree) = slot.tree() else { return Vec::new() };
    let differing = nodes.iter().flat_map(|(node, sums)| {
        let own = tree.leaves_of(usize::from(*node));
        let leaves = (0..own.len()).filter(|leaf| sums.get(*leaf) != own.get(*leaf));
        leaves.map(move |leaf| node * FANOUT as u16 + leaf as u16)
    });
    differing.take(AT_ONCE).collect()
}

fn whole_keys(
    slot: &Partition,
    txn: &crate::store::Txn<'_>,
    keys: &[ByteString],
    limit_bytes: usize,
) -> Result<Vec<KeyState>, StoreError> {
    let (mut states, mut bytes) = (Vec::new(), 0);
    for key in keys.iter().take(AT_ONCE) {
        let state = slot.whole_key(txn, &key.0)?;
        bytes +=
            state.cells.iter().map(|(id, cell)| 64 + id.name.len() + crate::pack::key::size_of(cell)).sum::<usize>();
        if bytes > limit_bytes && !states.is_empty() {
            break;
        }
        states.push(state);
    }
    Ok(states)
}
