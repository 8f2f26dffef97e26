//! `cargo bench -p replica --bench bars`: one line per bar, tab-separated: name, ours, bar or peer, ratio.
//!
//! With names after `--`, those bars only. The ratio is ours to the bar; at most 1 is as wanted, but for rates, where it is at least 1.

mod replication;

use std::collections::BTreeMap;
use std::time::Instant;

use replica::{HashTree, NodeId, Owners, Role, plan};
use uuid::Uuid;

fn print(name: &str, ours: f64, bar: f64) {
    println!("{name}\t{ours:.3}\t{bar:.3}\t{:.3}", ours / bar);
}

fn node(n: usize) -> NodeId {
    NodeId(Uuid::from_u128((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
}

/// Nodes in zones, with capacities of 1, 2 and 4.
fn roles(nodes: usize, zones: usize) -> BTreeMap<NodeId, Role> {
    (0..nodes).map(|n| (node(n), Role { zone: format!("z{}", n % zones), capacity: [1, 2, 4][n % 3] })).collect()
}

/// The heaviest node against its fair share rounded up, by 1.01: over clusters of 3 to 200 nodes, fresh and grown.
fn max_load() {
    let mut worst: f64 = 0.0;
    for (nodes, zones) in [(3, 3), (5, 5), (7, 3), (12, 4), (24, 6), (50, 5), (200, 8)] {
        let fresh = plan(&roles(nodes, zones), 3, &Owners::default());
        let grown = plan(&roles(nodes + 1, zones), 3, &fresh.owners);
        for (fair, owned) in fresh.load.values().chain(grown.load.values()) {
            worst = worst.max(f64::from(*owned) / (fair - 1e-6).ceil());
        }
    }
    print("placement-max-load", worst, 1.01);
}

/// Replicas that move when a thirteenth node joins, against its share: nobody could do with less.
fn moved() {
    let equal = |nodes: usize| roles(nodes, 3).into_iter().map(|(node, role)| (node, Role { capacity: 1, ..role }));
    let before = plan(&equal(12).collect(), 3, &Owners::default());
    let after = plan(&equal(13).collect(), 3, &before.owners);
    // What has to leave the others: what they own above their bounds.
    let surplus = before.load.iter().map(|(node, (_, owned))| f64::from(*owned) - (after.load[node].0 - 1e-6).ceil());
    let least: f64 = surplus.map(|surplus| surplus.max(0.0)).sum();
    print("placement-moved", after.moves.len() as f64 / least, 1.05);
}

fn plan_ms(name: &str, nodes: usize, zones: usize, bar: f64) {
    let before = plan(&roles(nodes - 1, zones), 3, &Owners::default());
    let after = roles(nodes, zones);
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(plan(&after, 3, &before.owners));
            start.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    print(name, times[2], bar);
}

/// What keeping the sums up costs a write: one key of a million changes its digest.
fn hash_tree_upkeep() {
    const WRITES: u64 = 1_000_000;
    let keys: Vec<Vec<u8>> = (0..WRITES).map(|n| format!("key:{n:012}").into_bytes()).collect();
    let mut tree = HashTree::new();
    let start = Instant::now();
    for (n, key) in (1..).zip(&keys) {
        std::hint::black_box(&mut tree).replace(key, n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    print("hash-tree-upkeep-ns", start.elapsed().as_secs_f64() * 1e9 / WRITES as f64, 250.0);
}

/// Any words after `--` choose the bars whose names begin with one of them.
fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let bars: [(&str, fn()); 7] = [
        ("placement-max-load", max_load),
        ("placement-moved", moved),
        ("plan-24-nodes-ms", || plan_ms("plan-24-nodes-ms", 24, 4, 50.0)),
        ("plan-200-nodes-ms", || plan_ms("plan-200-nodes-ms", 200, 8, 1_000.0)),
        ("hash-tree-upkeep-ns", hash_tree_upkeep),
        ("sync-idle-bytes sync-bytes-per-missing-dot metadata-bytes-per-stable-key", replication::sync),
        ("durable-puts-per-s-64-writers", replication::durable_puts),
    ];
    let chosen =
        |names: &str| words.is_empty() || words.iter().any(|word| names.split(' ').any(|name| name.starts_with(word)));
    bars.iter().filter(|(names, _)| chosen(names)).for_each(|(_, run)| run());
}
