//! The control: a last-writer-wins store under the same oracle. It must be found out, or the oracle is blind.

use std::collections::BTreeMap;

use crdt::{Content, Hlc};
use replica::{Actor, CellId, CellState, Change, Contents, Context, Dot, Entry, Incarnation, NodeId, Place, Residual};

use replica::world::{Dice, Oracle};

/// Three nodes that keep the write with the greatest clock, and tell each other everything unless they are cut.
/// Gives what the oracle has to say.
#[must_use]
pub fn run_last_writer_wins(seed: u64) -> Option<String> {
    let mut dice = Dice::new(seed);
    let (mut oracle, mut clock) = (Oracle::default(), Context::new());
    let mut nodes: [BTreeMap<u8, (Dot, Entry)>; 3] = Default::default();
    let mut counters = [0; 3];
    for step in 0..60u64 {
        let at = dice.below(3);
        let key = dice.below(2) as u8;
        counters[at] += 1;
        let node = NodeId(uuid::Uuid::from_u128(at as u128 + 1));
        let dot = Dot::new(Actor { node, incarnation: Incarnation(1) }, counters[at]);
        let content = Content::Value { bytes: step.to_be_bytes().to_vec(), seen: Vec::new() };
        let entry = Entry { at: Hlc::default().next(1_000 + step), content };
        let seen: Context = nodes[at].get(&key).map(|(dot, _)| *dot).into_iter().collect();
        oracle.minted(&Change { place: place(key), dot, entry: Some(entry.clone()), seen });
        clock.insert(dot);
        nodes[at].insert(key, (dot, entry));
        oracle.acknowledged(&[dot].into_iter().collect());
        if step % 10 > 5 {
            exchange(&mut nodes);
        }
    }
    exchange(&mut nodes);
    let contents =
        nodes.iter().map(|node| Contents { clock: clock.clone(), residual: Context::new(), cells: cells(node) });
    oracle.judge(&contents.collect::<Vec<_>>())
}

fn place(key: u8) -> Place {
    Place::Cell(vec![key], CellId::value())
}

fn exchange(nodes: &mut [BTreeMap<u8, (Dot, Entry)>; 3]) {
    let mut newest: BTreeMap<u8, (Dot, Entry)> = BTreeMap::new();
    for (key, write) in nodes.iter().flatten() {
        let known = newest.entry(*key).or_insert_with(|| write.clone());
        if (known.1.at, known.0) < (write.1.at, write.0) {
            *known = write.clone();
        }
    }
    nodes.fill(newest);
}

fn cells(node: &BTreeMap<u8, (Dot, Entry)>) -> BTreeMap<(Vec<u8>, CellId), CellState> {
    let state = |(dot, entry): &(Dot, Entry)| CellState {
        live: [(*dot, entry.clone())].into_iter().collect(),
        residual: Residual::default(),
    };
    node.iter().map(|(key, write)| ((vec![*key], CellId::value()), state(write))).collect()
}
