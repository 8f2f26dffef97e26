//! What Prometheus reads.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use replica::PartitionId;

use crate::latency::Shown;
use crate::node::Node;

/// What this node and another lack of each other, in events.
#[derive(Debug)]
pub struct Lack {
    /// The other node's name.
    pub node: String,
    /// By its last word, it lacks so many that are here.
    pub there: i64,
    /// This node lacks so many that are there.
    pub here: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Between {
    peer: String,
    missing: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partitions {
    state: &'static str,
}

/// The node's figures, in the text format of OpenMetrics.
#[must_use]
pub fn render(node: &Node, keys: Option<i64>, lacks: &[Lack]) -> String {
    let view = node.view();
    let mut registry = Registry::with_prefix("dotted");
    let mut counter = |name: &str, help: &str, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter("commands", "Commands carried out", node.commands.load(Ordering::Relaxed));
    counter("connections", "Connections taken, and requests over HTTP", node.next_client.load(Ordering::Relaxed) - 1);
    counter("merges", "Merges that changed something", node.merges.load(Ordering::Relaxed));
    counter("slow_commands", "Commands noted in the slow log", node.slow_log.noted());
    for (name, help, value) in node.peers.counters.all() {
        counter(name, help, value);
    }
    let mut gauge = |name: &str, help: &str, value: i64| registry.register(name, help, ConstGauge::new(value));
    if let Some(keys) = keys {
        gauge("keys", "Keys of the whole cluster, each counted once", keys);
    }
    gauge("clients", "Clients that are connected", node.clients.count() as i64);
    gauge("waiting_clients", "Clients that wait for a key", node.waiting_clients.count() as i64);
    gauge("members", "Nodes of the cluster", view.members.current().count() as i64);
    gauge("members_alive", "Nodes that answer, this one among them", view.alive.len() as i64);
    gauge("peer_queue_bytes", "Bytes that wait for other nodes", node.peers.queued_bytes() as i64);
    let uptime = ConstGauge::new(node.started.elapsed().as_secs_f64());
    registry.register_with_unit("uptime", "Since the node was started", Unit::Seconds, uptime);
    if let Some(bytes) = resident_bytes() {
        registry.register_with_unit("resident", "Memory the process has", Unit::Bytes, ConstGauge::new(bytes));
    }
    let partitions = Family::<Partitions, Gauge>::default();
    let count = |of: fn(&replica::Replicas) -> &Vec<replica::NodeId>| {
        PartitionId::all().filter(|partition| of(view.replicas(*partition)).contains(&node.id)).count() as i64
    };
    partitions.get_or_create(&Partitions { state: "serving" }).set(count(|replicas| &replicas.serving));
    partitions.get_or_create(&Partitions { state: "filling" }).set(count(|replicas| &replicas.filling));
    partitions.get_or_create(&Partitions { state: "giving_away" }).set(count(|replicas| &replicas.former));
    registry.register("partitions", "Partitions of this node", partitions);
    let missing = Family::<Between, Gauge>::default();
    for lack in lacks {
        let between = |missing| Between { peer: lack.node.clone(), missing };
        missing.get_or_create(&between("there")).set(lack.there);
        missing.get_or_create(&between("here")).set(lack.here);
    }
    registry.register("missing_events", "Events that one of two nodes has and the other lacks", missing);
    let took = Shown::families(
        "command_duration",
        "From when a command was read until its reply was there; commands that wait for others are left out",
        &node.latencies,
    );
    registry.register_collector(Box::new(took));
    let took = Shown::one("sync_duration", "A batch of writes until it is on disk", &node.disk.syncs);
    registry.register_collector(Box::new(took));
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// What the system says that the process has in memory, where it says so.
fn resident_bytes() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok().map(|kib| kib * 1024)
}
