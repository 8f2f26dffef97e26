//! Clients: random operations on a few keys of every type, with what they have read before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crdt::{Content, reading};
use replica::world::{Clients, Dice, START_WALL_MS};
use replica::{
    Answer, ByteString, CellId, CellKind, CellState, Contents, Context, Dot, Failure, Found, NEVER, Observed,
    Operation, PartitionId, Procedures, Quorum, QuorumKind, Read, Request, RequestId, Write,
};

use crate::procedures::{DONE, Lists, QUEUE};

/// What a client has read of a cell, to write with later.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    key: &'static str,
    cell: CellId,
    observed: Observed,
}

/// What clients are fond of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Taste {
    #[default]
    Everything,
    /// Counting, and setting counters back.
    Counters,
    /// Values, keys and numbers of cells near the limits, which are a thousandth of what they are.
    Large,
}

#[derive(Debug, Default)]
pub(crate) struct Workload {
    taste: Taste,
    memories: Vec<Memory>,
    written: u64,
    sessions: [Session; SESSIONS],
    /// Whose request it was.
    asked: BTreeMap<RequestId, usize>,
    /// What was taken from the queue, by answers.
    taken: BTreeMap<Vec<u8>, Context>,
    violation: Option<String>,
}

/// A client that keeps to what it has seen, with several requests under way at once.
#[derive(Debug, Default)]
struct Session {
    seen: Context,
    /// What it has read as alive, by key.
    alive: BTreeSet<(Vec<u8>, CellId, Dot)>,
    /// What it has then read as gone, and what it had seen by then.
    gone: Vec<(Vec<u8>, Dot, Context)>,
}

const MEMORIES: usize = 64;
const SESSIONS: usize = 3;
/// A key that ends.
const LEASE: &str = "lease";
/// The longest value a client may write.
const VALUE_BYTES: usize = 32 * 1024 * 1024;
/// A key as long as any may be: no command is about more than two cells of it where the limits are low.
const LONG: &str = match std::str::from_utf8(&[b'k'; 16 * 1024]) {
    Ok(key) => key,
    Err(_) => "",
};
/// A key of hundreds of cells, more than are sent for a read where the limits are low.
const CROWD: &str = "crowd";
/// How much the siblings of a cell may come to.
const CELL_BYTES: usize = 48 * 1024 * 1024;
/// How many gone dots a session remembers.
const GONE: usize = 64;

impl Clients for Workload {
    fn next(&mut self, asked: RequestId, dice: &mut Dice, partition: PartitionId) -> Request {
        let (key, operation) = match self.taste {
            Taste::Counters if dice.percent(85) => self.count(dice),
            Taste::Large if dice.percent(50) => self.large(dice),
            _ => self.anything(dice),
        };
        let number = |dice: &mut Dice| [Some(1), Some(2), None][dice.below(3)];
        let kind = if dice.percent(30) { QuorumKind::Strict } else { QuorumKind::Sloppy };
        let owners = if dice.percent(20) { number(dice) } else { None };
        let on_disk = if dice.percent(20) { number(dice) } else { None };
        let any = Quorum { nodes: number(dice), owners, on_disk, kind, write_back: dice.percent(20) };
        // What a majority of owners has taken, a majority has to show.
        let majority = Quorum { kind: QuorumKind::Strict, ..Quorum::default() };
        let quorum = if dice.percent(25) { majority } else { any };
        // What a removal of everything may have seen is judged by what had reached its author when it was asked.
        let may_wait = operation != Operation::Write(Write::Clear);
        let session = (may_wait && dice.percent(30)).then(|| dice.below(SESSIONS));
        if let Some(session) = session {
            self.asked.insert(asked, session);
        }
        let session = session.map(|session| Box::new(self.sessions[session].seen.clone()));
        Request { quorum, session, ..Request::new(partition, key, operation) }
    }

    fn answered(&mut self, asked: RequestId, dice: &mut Dice, request: &Request, answer: &Answer) {
        if let Some(session) = self.asked.remove(&asked) {
            let broken = self.sessions[session].hear(request, answer);
            self.violation = self.violation.take().or(broken);
        }
        match (answer, &request.operation) {
            (Answer::Found(found), _) => self.remember(dice, &request.key, found),
            (Answer::Written(written), Operation::Write(Write::Call(call))) => {
                if !written.said.0.is_empty() {
                    self.taken.insert(written.said.0.clone(), written.own.context.clone());
                }
                if call.0.starts_with(b"!") {
                    self.complain("a call that failed half-way is said to be written");
                }
            }
            (Answer::Written(_), Operation::Write(Write::PutObserved(_, values, _))) if self.is_too_large(values) => {
                self.complain("siblings were written that no message can carry");
            }
            _ => {}
        }
    }

    fn judge(&mut self, owners: &[Contents]) -> Option<String> {
        let cells = owners.iter().flat_map(|owner| owner.cells.iter().map(move |cell| (owner, cell)));
        let queued = cells.filter(|(_, ((key, cell), _))| key == QUEUE.as_bytes() && cell.kind == CellKind::Item);
        for (owner, (_, state)) in queued {
            // What was taken on a machine that was turned off for good may be back.
            let was_taken = |element: &[u8]| self.taken.get(element).is_some_and(|taken| owner.clock.covers(taken));
            if let Some(back) = reading::winner(&state.live).filter(|element| was_taken(element)) {
                let back = String::from_utf8_lossy(&back);
                self.violation.get_or_insert(format!("{back} was taken from the queue, and is in it again"));
            }
        }
        self.violation.take()
    }

    fn procedures(&self) -> Arc<dyn Procedures> {
        Arc::new(Lists)
    }
}

impl Session {
    /// What has been answered must not be older than what was asked with.
    fn hear(&mut self, request: &Request, answer: &Answer) -> Option<String> {
        let asked_with = request.session.as_deref()?;
        let seen = match answer {
            Answer::Found(found) => found.seen.as_deref()?,
            Answer::Written(written) => written.seen.as_deref()?,
            // What it has seen was lost with a disk, or is out of reach: it begins anew.
            Answer::Failed(Failure::Behind { .. }) => {
                *self = Self::default();
                return None;
            }
            _ => return None,
        };
        self.seen.union(seen);
        if !seen.covers(asked_with) {
            return Some(format!("a session had seen {asked_with:?} and was answered with {seen:?}"));
        }
        let Answer::Found(found) = answer else { return None };
        let live = |dot: &Dot| found.cells.iter().any(|(_, state)| values(state).any(|live| live == *dot));
        let back =
            |(key, dot, by): &&(Vec<u8>, Dot, Context)| *key == request.key && asked_with.covers(by) && live(dot);
        if let Some((key, dot, _)) = self.gone.iter().find(back) {
            return Some(format!(
                "a session has read {dot} of {:?} as gone, and then as alive",
                String::from_utf8_lossy(key)
            ));
        }
        let is_read = |cell: &CellId| match &request.operation {
            Operation::Read(Read::Cells(cells)) => cells.contains(cell),
            _ => true,
        };
        let was_read = |(key, cell, dot): &&(Vec<u8>, CellId, Dot)| *key == request.key && is_read(cell) && !live(dot);
        // Only what was answered later than what showed it alive says that it is gone.
        let gone: Vec<_> =
            self.alive.iter().filter(was_read).filter(|(.., dot)| asked_with.contains(dot)).cloned().collect();
        for place in gone {
            self.alive.remove(&place);
            self.gone.push((place.0, place.2, seen.clone()));
        }
        self.gone.drain(..self.gone.len().saturating_sub(GONE));
        for (cell, state) in &found.cells {
            self.alive.extend(values(state).map(|dot| (request.key.clone(), cell.clone(), dot)));
        }
        None
    }
}

/// What is alive and a value: how far counters were reset is forgotten, and may be told again.
fn values(state: &CellState) -> impl Iterator<Item = Dot> {
    state.live.iter().filter(|(_, entry)| matches!(entry.content, Content::Value { .. })).map(|(dot, _)| *dot)
}

/// A moment in or soon after the run, by a clock that is right; or never.
fn deadline(dice: &mut Dice) -> ByteString {
    let at_ms =
        if dice.percent(20) { NEVER.to_vec() } else { (START_WALL_MS + dice.between(0, 20_000)).to_string().into() };
    ByteString(at_ms)
}

impl Workload {
    pub(crate) fn new(taste: Taste) -> Self {
        Self { taste, ..Self::default() }
    }

    fn complain(&mut self, what: &str) {
        self.violation.get_or_insert(what.to_owned());
    }

    fn anything(&mut self, dice: &mut Dice) -> (&'static str, Operation) {
        match dice.below(32) {
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
            22 => ("board", Operation::Write(Write::Remove(CellKind::Score, self.members(dice)))),
            23 | 24 => (QUEUE, Operation::Write(Write::Call(self.push(dice)))),
            25 => (QUEUE, Operation::Write(Write::Call(["pop first", "pop last", "move"][dice.below(3)].into()))),
            26 => ([QUEUE, DONE][dice.below(2)], Operation::Read(Read::All)),
            27 => (LEASE, Operation::Write(Write::Set(self.fresh()))),
            28 => (LEASE, Operation::Write(Write::Put(CellKind::Deadline, vec![("".into(), deadline(dice))]))),
            29 => ([LEASE, "tags"][dice.below(2)], Operation::Read(Read::All)),
            30 if dice.percent(4) => ("cart", Operation::Write(Write::Set(self.huge(dice)))),
            30 if dice.percent(1) => self.too_large(),
            30 if dice.percent(10) => {
                ("cart", if dice.percent(50) { Operation::ExplainStored } else { Operation::Explain })
            }
            _ => ("cart", Operation::Read(Read::Cells(vec![CellId::value()]))),
        }
    }

    /// The limits are lower where they are to be met.
    fn scale(&self) -> usize {
        if self.taste == Taste::Large { 1_024 } else { 1 }
    }

    fn is_too_large(&self, values: &[ByteString]) -> bool {
        values.iter().map(|value| value.0.len()).sum::<usize>() > CELL_BYTES / self.scale()
    }

    fn count(&mut self, dice: &mut Dice) -> (&'static str, Operation) {
        let by = dice.between(1, 5) as i64 - 2;
        let write = match dice.below(12) {
            0..=5 => return ("hits", Operation::Write(Write::Increment(CellId::value(), by))),
            6 => Write::Set(b"10".to_vec()),
            7 | 8 => Write::RemoveKey,
            9 => return self.with_memory(dice),
            _ => return ("hits", Operation::Read(Read::Cells(vec![CellId::value()]))),
        };
        ("hits", Operation::Write(write))
    }

    fn large(&mut self, dice: &mut Dice) -> (&'static str, Operation) {
        let write = match dice.below(8) {
            0 | 1 => return ("cart", Operation::Write(Write::Set(self.filled(dice, VALUE_BYTES)))),
            2 => {
                let values = (0..3).map(|_| ByteString(self.filled(dice, CELL_BYTES / 2))).collect();
                let seen = self.memories.iter().rev().find(|memory| memory.key == "cart");
                let seen = seen.map(|memory| memory.observed.clone()).unwrap_or_default();
                return ("cart", Operation::Write(Write::PutObserved(CellId::value(), values, Box::new(seen))));
            }
            3 | 4 => {
                let first = dice.below(800);
                Write::Add((first..first + 40).map(|n| ByteString(format!("m{n}").into_bytes())).collect())
            }
            5 => Write::Put(CellKind::Field, vec![(name(dice), ByteString(self.filled(dice, VALUE_BYTES)))]),
            6 if dice.percent(20) => Write::RemoveKey,
            6 => Write::Add(vec![name(dice), name(dice)]),
            _ => return ([LONG, CROWD][dice.below(2)], Operation::Read(Read::All)),
        };
        (
            if matches!(write, Write::Add(ref members) if members.len() > 2) { CROWD } else { LONG },
            Operation::Write(write),
        )
    }

    /// A value of any length up to this.
    fn filled(&mut self, dice: &mut Dice, bytes: usize) -> Vec<u8> {
        let mut value = self.fresh();
        let len = dice.between(0, (bytes / self.scale()) as u64 + 1) as usize;
        value.resize(len.max(value.len()), b'.');
        value
    }

    fn push(&mut self, dice: &mut Dice) -> ByteString {
        let how = ["<", ">", "|", "!"][dice.below(4)];
        [how.as_bytes(), &self.fresh()].concat().into()
    }

    /// Larger than any answer of anti-entropy is meant to be.
    fn huge(&mut self, dice: &mut Dice) -> Vec<u8> {
        let mut value = self.fresh();
        value.resize(dice.between(200_000, 3_000_000) as usize / self.scale(), b'.');
        value
    }

    /// Siblings that together are more than may be in a cell.
    fn too_large(&mut self) -> (&'static str, Operation) {
        let half = CELL_BYTES / self.scale() / 2;
        let values = vec![ByteString(vec![b'.'; half]), ByteString(vec![b'.'; half + 1])];
        ("cart", Operation::Write(Write::PutObserved(CellId::value(), values, Box::default())))
    }

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
