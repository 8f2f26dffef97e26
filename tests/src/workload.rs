//! Clients: random operations on a few keys of every type, with what they have read before.

use crdt::reading;
use replica::world::{Clients, Dice};
use replica::{
    Answer, ByteString, CellId, CellKind, Contents, Found, Observed, Operation, PartitionId, Quorum, QuorumKind, Read,
    Request, RequestId, Write,
};

/// What a client has read of a cell, to write with later.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    key: &'static str,
    cell: CellId,
    observed: Observed,
}

#[derive(Debug, Default)]
pub(crate) struct Workload {
    memories: Vec<Memory>,
    written: u64,
}

const MEMORIES: usize = 64;

impl Clients for Workload {
    fn next(&mut self, _: RequestId, dice: &mut Dice, partition: PartitionId) -> Request {
        let (key, operation) = match dice.below(23) {
            0..=2 => ("cart", Operation::Write(Write::Set(self.fresh()))),
            3 | 4 => self.with_memory(dice),
            5 => ("cart", Operation::Read(Read::Cells(vec![CellId::value()]))),
            6 => ("hits", Operation::Read(Read::Cells(vec![CellId::value()]))),
            7 => ("tags", Operation::Read(Read::All)),
            8 | 9 => ("hits", Operation::Write(Write::Increment(CellId::value(), dice.between(1, 5) as i64 - 2))),
            10 => {
                ("hits", Operation::Write(if dice.percent(50) { Write::RemoveKey } else { Write::Set(b"10".to_vec()) }))
            }
            11 | 12 => ("tags", Operation::Write(Write::Add(self.members(dice)))),
            13 => ("tags", Operation::Write(Write::Remove(CellKind::Member, self.members(dice)))),
            14 => ("user", Operation::Write(Write::Put(CellKind::Field, vec![(name(dice), ByteString(self.fresh()))]))),
            15 => ("user", Operation::Write(Write::Remove(CellKind::Field, vec![name(dice)]))),
            16 => ("user", Operation::Write(Write::Increment(CellId::field("n"), 1))),
            17 => (["tags", "user", "cart"][dice.below(3)], Operation::Write(Write::RemoveKey)),
            18 if dice.percent(20) => ("", Operation::Write(Write::Clear)),
            18 | 19 => ("user", Operation::Read(Read::All)),
            20 => {
                let score = ByteString(dice.between(0, 9).to_string().into_bytes());
                ("board", Operation::Write(Write::Put(CellKind::Score, vec![(name(dice), score)])))
            }
            21 => ("board", Operation::Write(Write::Increment(CellId::score(name(dice).0), 1))),
            _ => ("board", Operation::Write(Write::Remove(CellKind::Score, self.members(dice)))),
        };
        let number = |dice: &mut Dice| [Some(1), Some(2), None][dice.below(3)];
        let kind = if dice.percent(30) { QuorumKind::Strict } else { QuorumKind::Sloppy };
        let owners = if dice.percent(20) { number(dice) } else { None };
        let on_disk = if dice.percent(20) { number(dice) } else { None };
        let quorum = Quorum { nodes: number(dice), owners, on_disk, kind };
        Request { partition, key: key.as_bytes().to_vec(), operation, quorum, timeout_ms: None }
    }

    fn answered(&mut self, _: RequestId, dice: &mut Dice, request: &Request, answer: &Answer) {
        if let Answer::Found(found) = answer {
            self.remember(dice, &request.key, found);
        }
    }

    fn judge(&mut self, _: &[Contents]) -> Option<String> {
        None
    }
}

impl Workload {
    fn fresh(&mut self) -> Vec<u8> {
        self.written += 1;
        format!("v{}", self.written).into_bytes()
    }

    fn members(&self, dice: &mut Dice) -> Vec<ByteString> {
        (0..dice.below(3) + 1).map(|_| name(dice)).collect()
    }

    fn with_memory(&mut self, dice: &mut Dice) -> (&'static str, Operation) {
        if self.memories.is_empty() {
            let nothing = Box::<Observed>::default();
            return (
                "cart",
                Operation::Write(Write::PutObserved(CellId::value(), vec![ByteString(self.fresh())], nothing)),
            );
        }
        let Memory { key, cell, observed } = self.memories[dice.below(self.memories.len())].clone();
        let observed = Box::new(observed);
        let write = match dice.below(3) {
            _ if cell.kind == CellKind::Member => Write::RemoveObserved(cell, observed),
            0 => Write::RemoveObserved(cell, observed),
            1 => Write::PutObserved(cell, vec![ByteString(self.fresh()), ByteString(self.fresh())], observed),
            2 if dice.percent(30) => Write::PutIfCurrent(cell, vec![ByteString(self.fresh())], observed),
            _ => Write::PutObserved(cell, vec![ByteString(self.fresh())], observed),
        };
        (key, Operation::Write(write))
    }

    /// A read has come back: its cells can be written with from now on.
    fn remember(&mut self, dice: &mut Dice, key: &[u8], found: &Found) {
        let Some(key) = ["cart", "hits", "tags", "user"].into_iter().find(|known| known.as_bytes() == key) else {
            return;
        };
        for (cell, state) in &found.cells {
            let context = state.live.dots().copied().collect();
            let observed = Observed { context, seen: reading::tallies(&state.live).reset() };
            let memory = Memory { key, cell: cell.clone(), observed };
            if self.memories.len() < MEMORIES {
                self.memories.push(memory);
            } else {
                let at = dice.below(MEMORIES);
                self.memories[at] = memory;
            }
        }
    }
}

fn name(dice: &mut Dice) -> ByteString {
    ByteString::from(["x", "y", "z"][dice.below(3)])
}
