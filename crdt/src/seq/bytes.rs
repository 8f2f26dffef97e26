//! The bytes of sequences: runs, not elements.
//!
//! ```text
//! actors:varint, (actor:varint, runs:varint, run * runs) * actors        actors by number, runs by counter
//!
//! run = flags:1                 1 alive, 2 goes on where the run before it ends, 4 * left kind, 16 * right kind
//!       gap:varint              counters between the run before it and this one; not if it goes on
//!       length:varint
//!       left, right             not if it goes on; kinds: 0 none, 1 of the same actor, 2 of another
//!       elements                if alive
//!
//! of the same actor: (counter of the run - counter):signed       of another: actor:varint, counter:varint
//! ```

use causal::{ActorBytes, DecodeError, MAX_COUNTER, Reader, Reason};
use smallvec::SmallVec;

use super::Seq;
use super::span::{Id, Span};
use crate::{ItemBytes, StoreBytes, StoreReader, StoreWriter, Visit, Wanted};

const ALIVE: u8 = 1;
const GOES_ON: u8 = 2;

impl<A: ActorBytes, T: ItemBytes + Clone + PartialEq> StoreBytes for Seq<A, T> {
    const HAS_TREES: bool = true;

    fn name(out: &mut String) {
        out.push_str("seq(");
        out.push_str(T::NAME);
        out.push(')');
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        let names = &self.order.names;
        let mut spans: Vec<&Span<T>> = self.order.spans().collect();
        spans.sort_by(|x, y| (names.name(x.id.actor), x.id.counter).cmp(&(names.name(y.id.actor), y.id.counter)));
        let actors = spans.chunk_by(|x, y| x.id.actor == y.id.actor);
        to.varint(actors.clone().count() as u64);
        for spans in actors {
            to.actor(names.name(spans[0].id.actor));
            let runs: Vec<&[&Span<T>]> = spans.chunk_by(|x, y| x.is_continued_by(y)).collect();
            to.varint(runs.len() as u64);
            let mut before: Option<&Span<T>> = None;
            for run in runs {
                self.write_run(before, run, to);
                before = run.last().copied();
            }
        }
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        let (mut seq, mut last) = (Self::default(), None);
        for _ in 0..from.varint()? {
            let actor = from.actor()?;
            if last.as_ref().is_some_and(|last| *last >= actor) {
                return Err(from.refuse(Reason::NotCanonical));
            }
            let id = Id { actor: seq.order.names.intern(&actor), counter: 0 };
            let mut end = Span { id, len: 1, left: None, right: None, values: SmallVec::new() };
            for _ in 0..from.varint()? {
                let span = seq.read_run(&end, from)?;
                end = span.removed_part(span.len - 1, span.len);
                if from.is_delta() { seq.order.keep(span) } else { seq.order.settle(span) }
            }
            last = Some(actor);
        }
        Ok(seq)
    }

    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        self.unload_records(wanted, path, visit);
    }

    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        self.load_record(path, record)
    }
}

impl<A: ActorBytes, T: ItemBytes + Clone + PartialEq> Seq<A, T> {
    fn write_run(&self, before: Option<&Span<T>>, run: &[&Span<T>], to: &mut StoreWriter<A>) {
        let first = run[0];
        let goes_on = before.is_some_and(|before| {
            first.id == before.id.plus(before.len) && first.left == Some(before.last()) && first.right == before.right
        });
        let kind = |anchor: Option<Id>| match anchor {
            None => 0,
            Some(id) if id.actor == first.id.actor => 1,
            Some(_) => 2,
        };
        let anchors = if goes_on { 0 } else { kind(first.left) << 2 | kind(first.right) << 4 };
        let flags = if goes_on { GOES_ON } else { 0 } | if first.is_live() { ALIVE } else { 0 };
        to.byte(flags | anchors);
        if !goes_on {
            to.varint(first.id.counter - before.map_or(0, |before| before.last().counter) - 1);
        }
        to.varint(run.iter().map(|span| span.len as u64).sum());
        for anchor in [first.left, first.right].into_iter().filter(|_| !goes_on).flatten() {
            if anchor.actor == first.id.actor {
                to.signed(first.id.counter.wrapping_sub(anchor.counter) as i64);
            } else {
                to.actor(self.order.names.name(anchor.actor));
                to.varint(anchor.counter);
            }
        }
        run.iter().flat_map(|span| &span.values).for_each(|value| to.item(value, None));
    }

    /// Reads a run that comes after the element `end` of the same actor (counter 0: none).
    fn read_run(&mut self, end: &Span<T>, from: &mut StoreReader<'_, A>) -> Result<Span<T>, DecodeError> {
        let flags = from.byte()?;
        let goes_on = flags & GOES_ON > 0;
        let gap = if goes_on { 0 } else { from.varint()? };
        let first = end.id.counter.saturating_add(gap).saturating_add(1);
        let len = from.varint()?;
        if len == 0 || first.saturating_add(len - 1) > MAX_COUNTER {
            return Err(from.refuse(Reason::Overflow));
        }
        let id = Id { counter: first, ..end.id };
        if !from.has_seen(self.order.names.name(id.actor), first, first + (len - 1)) {
            return Err(from.refuse(Reason::NotSeen));
        }
        let (left, right) = match goes_on {
            true => (Some(end.id), end.right),
            false => (self.read_anchor(flags >> 2, id, from)?, self.read_anchor(flags >> 4, id, from)?),
        };
        let len = usize::try_from(len).map_err(|_| from.refuse(Reason::Overflow))?;
        let alive = if flags & ALIVE > 0 { len } else { 0 };
        let values = (0..alive).map(|_| from.item(None)).collect::<Result<_, _>>()?;
        Ok(Span { id, len, left, right, values })
    }

    fn read_anchor(&mut self, kind: u8, of: Id, from: &mut StoreReader<'_, A>) -> Result<Option<Id>, DecodeError> {
        let (actor, counter) = match kind & 3 {
            0 => return Ok(None),
            1 => (of.actor, of.counter.wrapping_sub(from.signed()? as u64)),
            _ => (self.order.names.intern(&from.actor()?), from.varint()?),
        };
        if counter == 0 || counter > MAX_COUNTER {
            return Err(from.refuse(Reason::Overflow));
        }
        Ok(Some(Id { actor, counter }))
    }
}
