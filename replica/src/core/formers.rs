//! Who may take themselves for owners of a partition still, although they are none in this node's picture.
//!
//! News of a move travels: one that served, or was to, goes on answering for the partition until it has heard that it does not
//! any more. A strict write counts it among those that lack the write until it has said so itself
//! ([`Replicas`]: `is_missing_at_few`).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NodeId, PartitionId};
use crate::layout::Replicas;

/// Nobody.
static NOBODY: BTreeSet<NodeId> = BTreeSet::new();

#[derive(Debug, Default)]
pub(super) struct Formers(BTreeMap<PartitionId, BTreeSet<NodeId>>);

impl Formers {
    /// The picture of a partition was one, and is another.
    pub(super) fn note(&mut self, partition: PartitionId, were: Option<&Replicas>, are: &Replicas, me: NodeId) {
        if were == Some(are) {
            return;
        }
        let were = were.cloned().unwrap_or_default();
        let comes_to_light = are.former.iter().filter(|node| !were.former.contains(node));
        let mut formers = self.0.remove(&partition).unwrap_or_default();
        formers.extend(were.all().chain(comes_to_light.copied()));
        formers.retain(|node| *node != me && !are.contains(*node));
        if !formers.is_empty() {
            self.0.insert(partition, formers);
        }
    }

    /// A node has said that it does not serve it: did that have to be said?
    pub(super) fn forget(&mut self, partition: PartitionId, node: NodeId) -> bool {
        let Some(formers) = self.0.get_mut(&partition) else { return false };
        let was = formers.remove(&node);
        if formers.is_empty() {
            self.0.remove(&partition);
        }
        was
    }

    /// Only these nodes are there still.
    pub(super) fn keep(&mut self, is_there: impl Fn(&NodeId) -> bool) {
        self.0.values_mut().for_each(|formers| formers.retain(&is_there));
        self.0.retain(|_, formers| !formers.is_empty());
    }

    /// Those of a partition.
    pub(super) fn of(&self, partition: PartitionId) -> &BTreeSet<NodeId> {
        self.0.get(&partition).unwrap_or(&NOBODY)
    }
}
