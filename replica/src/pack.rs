//! Contexts, cells and keys as few bytes, in which actors are numbers. Two tables say who a number is: on disk each
//! partition keeps one ([`Names`]), on the wire each message brings its own ([`message`](crate::pack::message)).
//!
//! ```text
//! number    = LEB128                      signed = LEB128 of the zigzag form
//! dot       = actor number, counter signed, as the difference from the counter before
//! context   = actors number, per actor: actor number, runs number, per run: gap from the run before number, length - 1 number
//! cell      = head:1 [dots number] [residual context], per dot: dot, at signed (difference), content
//! head      = bit 0: there is a residual; bits 1-2: 0, 1, 2 live dots, or 3: their number follows
//! content   = tag:1 (bits 0-1: value, member, tally, reset; bit 2: it has seen runs) [bytes] [tally] [runs]
//! ```
//! Counters and clock readings are told as differences from those before in the same record or message: the first counter from
//! 0, the first reading from the start of 2025.

pub(crate) mod key;
pub(crate) mod message;

use std::collections::BTreeMap;

use causal::{MAX_COUNTER, Run};
use crdt::{Content, Hlc, Mark, Tally};

use crate::id::{Actor, Cell, Context, Dot, Entry, Seen};
use crate::record::CellState;
use crate::residual::Residual;
use crate::store::StoreError;

/// The first moment of 2025, as a hybrid clock reading.
const EPOCH: u64 = 1_735_689_600_000 << 16;

/// Actors and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    actors: Vec<Actor>,
    numbers: BTreeMap<Actor, u64>,
    /// How many of them the disk knows.
    kept: usize,
}

impl Names {
    /// Those that were read from somewhere, in the order of their numbers.
    pub(crate) fn known(actors: Vec<Actor>) -> Self {
        let numbers = actors.iter().copied().zip(0..).collect();
        Self { kept: actors.len(), actors, numbers }
    }

    /// Are these fewer actors than were introduced?
    fn is_ambiguous(&self, introduced: usize) -> bool {
        self.numbers.len() != introduced
    }

    pub(crate) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// The number of an actor; the next free one if it has none. O(log actors).
    fn number(&mut self, actor: &Actor) -> u64 {
        *self.numbers.entry(*actor).or_insert_with(|| {
            self.actors.push(*actor);
            self.actors.len() as u64 - 1
        })
    }

    fn actor(&self, number: u64) -> Result<Actor, StoreError> {
        let known = usize::try_from(number).ok().and_then(|number| self.actors.get(number));
        known.copied().ok_or_else(|| damaged("it names an actor nobody has introduced"))
    }

    /// Those the disk does not know, with their numbers; from now on it does.
    pub(crate) fn take_fresh(&mut self) -> impl Iterator<Item = (u32, Actor)> + '_ {
        let first = std::mem::replace(&mut self.kept, self.actors.len());
        self.actors[first..].iter().enumerate().map(move |(at, actor)| ((first + at) as u32, *actor))
    }
}

fn damaged(why: &str) -> StoreError {
    StoreError(format!("packed bytes do not decode: {why}"))
}

/// Writes packed bytes.
pub(crate) struct Packer<'n> {
    bytes: Vec<u8>,
    names: &'n mut Names,
    counter: u64,
    at: u64,
}

impl<'n> Packer<'n> {
    pub(crate) fn new(names: &'n mut Names, bytes: Vec<u8>) -> Self {
        Self { bytes, names, counter: 0, at: EPOCH }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn number(&mut self, mut rest: u64) {
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }

    fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63) as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn dot(&mut self, dot: &Dot) {
        let actor = self.names.number(&dot.actor);
        self.number(actor);
        self.signed(dot.counter.wrapping_sub(self.counter) as i64);
        self.counter = dot.counter;
    }

    pub(crate) fn context(&mut self, context: &Context) {
        self.number(context.iter().len() as u64);
        for (actor, set) in context.iter() {
            let actor = self.names.number(actor);
            self.number(actor);
            self.number(set.runs().len() as u64);
            let mut last = 0;
            for run in set.runs() {
                self.number(run.first - last - 1);
                self.number(run.last - run.first);
                last = run.last;
            }
        }
    }

    fn seen(&mut self, seen: &[Seen]) {
        self.number(seen.len() as u64);
        for seen in seen {
            self.dot(&seen.run);
            self.mark(seen.mark);
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.number(mark.upto);
        self.signed(mark.total);
    }

    fn entry(&mut self, entry: &Entry) {
        self.signed(entry.at.0.wrapping_sub(self.at) as i64);
        self.at = entry.at.0;
        let (tag, seen) = match &entry.content {
            Content::Value { seen, .. } => (0, seen.as_slice()),
            Content::Member => (1, &[][..]),
            Content::Tally(_) => (2, &[][..]),
            Content::Reset { seen } => (3, seen.as_slice()),
        };
        self.byte(tag | u8::from(!seen.is_empty()) << 2);
        match &entry.content {
            Content::Value { bytes, .. } => self.bytes(bytes),
            Content::Tally(Tally { run, total, reset }) => {
                self.number(*run);
                self.signed(*total);
                self.mark(*reset);
            }
            Content::Member | Content::Reset { .. } => {}
        }
        if !seen.is_empty() {
            self.seen(seen);
        }
    }

    pub(crate) fn cell(&mut self, cell: &CellState) {
        let dots = cell.live.len();
        self.byte(u8::from(!cell.residual.is_empty()) | (dots.min(3) as u8) << 1);
        if dots > 2 {
            self.number(dots as u64);
        }
        if !cell.residual.is_empty() {
            self.context(&cell.residual);
        }
        for (dot, entry) in cell.live.iter() {
            self.dot(dot);
            self.entry(entry);
        }
    }
}

/// Reads packed bytes; nothing is allocated beyond what they can hold.
pub(crate) struct Unpacker<'b> {
    rest: &'b [u8],
    names: &'b Names,
    counter: u64,
    at: u64,
}

impl<'b> Unpacker<'b> {
    pub(crate) fn new(names: &'b Names, bytes: &'b [u8]) -> Self {
        Self { rest: bytes, names, counter: 0, at: EPOCH }
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), StoreError> {
        if self.rest.is_empty() { Ok(()) } else { Err(damaged("something follows")) }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, StoreError> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| damaged("they end early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn number(&mut self) -> Result<u64, StoreError> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(damaged("a number is too large"));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    fn signed(&mut self) -> Result<i64, StoreError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// How many things follow, each of them at least one byte.
    pub(crate) fn count(&mut self) -> Result<usize, StoreError> {
        let count = self.number()?;
        let count = usize::try_from(count).ok().filter(|count| *count <= self.rest.len());
        count.ok_or_else(|| damaged("it counts more than follows"))
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        let len = self.count()?;
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(bytes.to_vec())
    }

    pub(crate) fn dot(&mut self) -> Result<Dot, StoreError> {
        let number = self.number()?;
        let actor = self.names.actor(number)?;
        let counter = self.counter.wrapping_add(self.signed()? as u64);
        if !(1..=MAX_COUNTER).contains(&counter) {
            return Err(damaged("a dot is out of range"));
        }
        self.counter = counter;
        Ok(Dot::new(actor, counter))
    }

    pub(crate) fn context(&mut self) -> Result<Context, StoreError> {
        // In one order and one form only, so that each part is added at the end.
        let (mut context, mut before) = (Context::new(), None);
        for _ in 0..self.count()? {
            let number = self.number()?;
            let actor = self.names.actor(number)?;
            let (mut last, runs): (u64, _) = (0, self.count()?);
            if before.replace(actor).is_some_and(|before| before >= actor) || runs == 0 {
                return Err(damaged("a context is not in order"));
            }
            for _ in 0..runs {
                let (gap, more) = (self.number()?, self.number()?);
                if gap == 0 && last > 0 {
                    return Err(damaged("a run is in two parts"));
                }
                let first = last.checked_add(gap).and_then(|first| first.checked_add(1));
                let run = first.and_then(|first| Some(Run { first, last: first.checked_add(more)? }));
                let run = run.filter(|run| run.last <= MAX_COUNTER);
                let run = run.ok_or_else(|| damaged("a run is out of range"))?;
                context.insert_run(actor, run);
                last = run.last;
            }
        }
        Ok(context)
    }

    fn seen(&mut self) -> Result<Vec<Seen>, StoreError> {
        let count = self.count()?;
        (0..count).map(|_| Ok(Seen { run: self.dot()?, mark: self.mark()? })).collect()
    }

    fn mark(&mut self) -> Result<Mark, StoreError> {
        Ok(Mark { upto: self.number()?, total: self.signed()? })
    }

    fn entry(&mut self) -> Result<Entry, StoreError> {
        self.at = self.at.wrapping_add(self.signed()? as u64);
        let at = Hlc(self.at);
        let tag = self.byte()?;
        let has_seen = match tag {
            0..=7 => tag & 4 != 0,
            _ => return Err(damaged("a dot says nothing known")),
        };
        let bytes = if tag & 3 == 0 { self.bytes()? } else { Vec::new() };
        let tally = match tag & 3 {
            2 => {
                let run = self.number()?;
                // The run of the dot that was just read.
                if !(1..=self.counter).contains(&run) {
                    return Err(damaged("a run of increments begins after its last dot"));
                }
                Some(Tally { run, total: self.signed()?, reset: self.mark()? })
            }
            _ => None,
        };
        let seen = if has_seen { self.seen()? } else { Vec::new() };
        let content = match (tag & 3, tally) {
            (0, _) => Content::Value { bytes, seen },
            (1, _) if !has_seen => Content::Member,
            (2, Some(tally)) if !has_seen => Content::Tally(tally),
            (3, _) => Content::Reset { seen },
            _ => return Err(damaged("a dot says nothing known")),
        };
        Ok(Entry { at, content })
    }

    pub(crate) fn cell(&mut self) -> Result<CellState, StoreError> {
        let head = self.byte()?;
        let dots = match head >> 1 {
            few @ 0..=2 => usize::from(few),
            3 => self.count()?,
            _ => return Err(damaged("a cell begins with nothing known")),
        };
        let residual = if head & 1 == 1 { self.context()?.into() } else { Residual::default() };
        let (mut live, mut before) = (Cell::new(), None);
        for _ in 0..dots {
            let dot = self.dot()?;
            if before.replace(dot).is_some_and(|before| before >= dot) {
                return Err(damaged("dots are not in order"));
            }
            live.insert(dot, self.entry()?);
        }
        Ok(CellState { live, residual })
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Packer, Unpacker};
    use crate::id::{Actor, Cell, Context, Dot, Entry, Incarnation, NodeId, Seen};
    use crate::record::CellState;
    use crdt::{Content, Hlc, Mark, Tally};
    use quickcheck::quickcheck;

    fn dot(n: u8, counter: u64) -> Dot {
        let actor = Actor { node: NodeId(uuid::Uuid::from_u128(n.into())), incarnation: Incarnation(n.into()) };
        Dot::new(actor, counter % 1_000_000 + 1)
    }

    fn context(dots: &[(u8, u64)]) -> Context {
        dots.iter().map(|(n, counter)| dot(n % 5, counter % 40)).collect()
    }

    fn cell(dots: &[(u8, u64)], residual: &[(u8, u64)]) -> CellState {
        let mut live = Cell::new();
        for (n, counter) in dots {
            let seen = vec![Seen { run: dot(*n, *counter), mark: Mark { upto: *counter, total: -(i64::from(*n)) } }];
            let content = match counter % 5 {
                0 => Content::Value { bytes: counter.to_string().into_bytes(), seen: Vec::new() },
                1 => Content::Value { bytes: Vec::new(), seen },
                2 => Content::Member,
                3 => Content::Tally(Tally {
                    run: counter % 1_000_000 + 1,
                    total: i64::MIN + i64::from(*n),
                    reset: seen[0].mark,
                }),
                _ => Content::Reset { seen },
            };
            live.insert(dot(*n, *counter), Entry { at: Hlc(counter << 8), content });
        }
        CellState { live, residual: context(residual).into() }
    }

    quickcheck! {
        fn cells_and_contexts_come_back(dots: Vec<(u8, u64)>, residual: Vec<(u8, u64)>, other: Vec<(u8, u64)>) -> bool {
            let (cell, context) = (cell(&dots, &residual), context(&other));
            let mut names = Names::default();
            let mut packer = Packer::new(&mut names, Vec::new());
            packer.cell(&cell);
            packer.context(&context);
            let bytes = packer.into_bytes();
            let mut unpacker = Unpacker::new(&names, &bytes);
            let same = (unpacker.cell().unwrap(), unpacker.context().unwrap()) == (cell, context);
            same && unpacker.end().is_ok()
        }

        fn any_bytes_are_an_error_or_a_cell_and_never_a_panic(bytes: Vec<u8>, dots: Vec<(u8, u64)>) -> bool {
            let mut names = Names::default();
            let mut packer = Packer::new(&mut names, Vec::new());
            packer.cell(&cell(&dots, &[]));
            let mut packed = packer.into_bytes();
            let mut unpacker = Unpacker::new(&names, &bytes);
            let _ = (unpacker.cell(), unpacker.context());
            // And good bytes with one of them changed.
            for byte in &bytes {
                let at = usize::from(*byte) % packed.len();
                packed[at] ^= byte;
                let _ = Unpacker::new(&names, &packed).cell();
            }
            true
        }
    }

    #[test]
    fn contexts_and_cells_come_in_one_form_only() {
        let names = Names::known(vec![dot(1, 0).actor, dot(2, 0).actor]);
        let context = |bytes: &[u8]| Unpacker::new(&names, bytes).context();
        assert!(context(&[2, 0, 1, 0, 2, 1, 1, 0, 2]).is_ok());
        assert!(context(&[2, 1, 1, 0, 2, 0, 1, 0, 2]).is_err(), "actors out of order");
        assert!(context(&[2, 0, 1, 0, 2, 0, 1, 9, 2]).is_err(), "an actor twice");
        assert!(context(&[1, 0, 0]).is_err(), "an actor without runs");
        assert!(context(&[1, 0, 2, 0, 2, 0, 2]).is_err(), "one run in two parts");
        let cell = |bytes: &[u8]| Unpacker::new(&names, bytes).cell();
        let (first, second) = ([0, 2, 0, 1], [0, 2, 0, 1]); // member: actor, counter difference, clock difference, tag
        assert!(cell(&[&[2 << 1][..], &first, &second].concat()).is_ok());
        let backwards = [0, 1, 0, 1]; // zigzag: one less
        assert!(cell(&[&[2 << 1][..], &[0, 8, 0, 1], &backwards].concat()).is_err(), "dots out of order");
        assert!(cell(&[1 << 1, 0, 2, 0, 2, 0, 0, 0, 0]).is_err(), "a run that begins nowhere");
    }

    #[test]
    fn a_short_string_takes_nine_bytes_beside_its_value_and_its_clock() {
        let (mut names, mut live) = (Names::default(), Cell::new());
        let at = Hlc(1_767_225_600_000 << 16);
        live.insert(
            dot(1, 999_998),
            Entry { at, content: Content::Value { bytes: b"abc".to_vec(), seen: Vec::new() } },
        );
        let record = crate::record::KeyRecord {
            digest: crate::digest::of_cell(&crate::place::CellId::value(), &live),
            value: CellState { live, residual: crate::Residual::default() },
            ..crate::record::KeyRecord::default()
        };
        let bytes = super::key::pack(&record, &mut names);
        assert_eq!(bytes.len() - 3 - 8, 9, "{bytes:?}");
    }
}
