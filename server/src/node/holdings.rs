//! What a node has come to hold, and what it has ceased to: said to the others together.
//!
//! Each word of it is a new picture of the cluster for every node, and partitions are filled by the hundred: one word for each kept
//! four nodes busy for seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use replica::{PartitionId, Presence};
use tokio::sync::Notify;

use crate::node::Node;

/// How long words are gathered.
const GATHER_TIME: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// What is to be said, and by which decisions on who owns what it was found.
    changed: Mutex<BTreeMap<PartitionId, (Presence, Option<u64>)>>,
    has_changed: Notify,
}

impl Holdings {
    /// The node holds all of the partition, by these decisions on who owns what.
    pub(crate) fn is_filled(&self, partition: PartitionId, placement: u64) {
        self.note(partition, (Presence::In, Some(placement)));
    }

    /// The node holds nothing of it any more, or not everything.
    pub(crate) fn is_dropped(&self, partition: PartitionId) {
        self.note(partition, (Presence::Out, None));
    }

    fn note(&self, partition: PartitionId, what: (Presence, Option<u64>)) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, what);
        self.has_changed.notify_one();
    }

    fn take(&self) -> BTreeMap<PartitionId, (Presence, Option<u64>)> {
        std::mem::take(&mut self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says what has changed, as long as the node runs.
pub(super) async fn announce(node: Arc<Node>) {
    loop {
        node.holdings.has_changed.notified().await;
        tokio::time::sleep(GATHER_TIME).await;
        let changed = node.holdings.take();
        node.with_cluster(|cluster, now, out| {
            let living = cluster.view().placement;
            let counts = |by: &Option<u64>| by.is_none_or(|placement| placement == living);
            for to in [Presence::Out, Presence::In] {
                let of = changed.iter().filter(|(_, (what, by))| *what == to && counts(by));
                let partitions: Vec<PartitionId> = of.map(|(partition, _)| *partition).collect();
                cluster.set_filled(&partitions, to, now, out);
            }
        });
    }
}
