//! Sequences in records: a head, and the nodes of two ropes.
//!
//! ```text
//! (nothing)          sum:4, actors:varint, (actor, last counter:varint) ..                      actors by number
//!                    waiting:varint, (run, what it waits for) ..
//!                    head of the runs that are placed, head of their starts
//! 1 node             runs in order:     (flags, len:varint, id, left, right, element ..) ..      flags: 1 alive
//! 2 node             their starts:      (id, leaf:varint) ..                                     by actor's number and counter
//!
//! id = (actor's number + 1):varint, counter:varint         or 0 for none
//! ```
//!
//! Runs are short, and so are leaves: so an edit writes two of them, the branches above, and the head, however long the sequence.
//! What waits for its anchors is all in the head: it is there only while news is missing.

use causal::{ActorBytes, DecodeError, Reader, Reason};
use smallvec::SmallVec;

use super::Seq;
use super::order::{Ordered, Start};
use super::span::{Id, Span};
use crate::bytes::put_varint;
use crate::rope::{HEAD, PageItem, Rope, check, checked};
use crate::{ItemBytes, Place, Visit, Wanted};

/// The most runs in a leaf, and starts.
const MAX_RUNS: usize = 8;
const MAX_STARTS: usize = 32;

const PLACED: u8 = 1;
const STARTS: u8 = 2;

impl<A: ActorBytes, T: ItemBytes + Clone + PartialEq> Seq<A, T> {
    /// Visits the records it needs, as far as they are not there already. (One that was never in records needs them all.)
    pub(super) fn unload_records(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if self.is_listed {
            visit(path, Place::Listed);
        }
        let is_new = !self.order.placed.is_empty() && !self.order.placed.is_in_records();
        match (wanted, is_new) {
            (Wanted::Places, true) => self.in_short_runs().unload_tree(wanted, path, visit),
            (Wanted::Missing, true) => {}
            (_, false) => self.unload_tree(wanted, path, visit),
        }
    }

    fn unload_tree(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if wanted == Wanted::Places {
            let is_empty = self.order.placed.is_empty() && self.order.loose.is_empty();
            visit(path, Place::Head((!is_empty).then(|| self.write_head())));
        }
        path.push(PLACED);
        self.order.placed.unload(wanted, path, visit);
        path.pop();
        path.push(STARTS);
        self.order.starts.unload(wanted, path, visit);
        path.pop();
    }

    /// Takes in a record.
    pub(super) fn load_record(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        if path.rest().is_empty() {
            *self = Self::read_head(record)?;
            return Ok(());
        }
        match path.array()? {
            [PLACED] => self.order.placed.load(path, record),
            [STARTS] => self.order.starts.load(path, record),
            _ => Err(path.refuse(Reason::NotCanonical)),
        }
    }

    /// The same, in runs that fit into records.
    fn in_short_runs(&self) -> Self {
        let mut order = Ordered {
            names: self.order.names.clone(),
            placed: Rope::for_records(MAX_RUNS),
            starts: Rope::for_records(MAX_STARTS),
            ends: self.order.ends.clone(),
            loose: self.order.loose.clone(),
            waiting_for: self.order.waiting_for.clone(),
            size: Some(size),
            ..Ordered::default()
        };
        for span in self.order.placed.iter() {
            for span in order.cut(span.clone()) {
                order.insert(None, span);
            }
        }
        Self { order, ..Self::default() }
    }

    fn write_head(&self) -> Vec<u8> {
        let Ordered { names, ends, loose, waiting_for, placed, starts, .. } = &self.order;
        let mut out = Vec::new();
        put_varint(names.len() as u64, &mut out);
        for number in 0..names.len() {
            names.name(number as u32).write(&mut out);
            put_varint(ends.get(number).copied().unwrap_or(0), &mut out);
        }
        put_varint(loose.len() as u64, &mut out);
        loose.values().for_each(|span| span.write(&mut out));
        put_varint(waiting_for.values().map(|waiting| waiting.len() as u64).sum(), &mut out);
        for (missing, waiting) in waiting_for {
            for id in waiting {
                put_id(Some(*missing), &mut out);
                put_id(Some(*id), &mut out);
            }
        }
        placed.write_head(&mut out);
        starts.write_head(&mut out);
        checked(HEAD, 0, &out)
    }

    fn read_head(record: &[u8]) -> Result<Self, DecodeError> {
        let mut from = check(HEAD, 0, record)?;
        let mut order = Ordered { size: Some(size), ..Ordered::default() };
        for _ in 0..from.varint()? {
            let name = A::read(&mut from)?;
            order.names.intern(&name);
            order.ends.push(from.varint()?);
        }
        for _ in 0..from.varint()? {
            let span = Span::read(&mut from)?;
            order.loose.insert(span.id, span);
        }
        for _ in 0..from.varint()? {
            let pair = (id(&mut from)?, id(&mut from)?);
            let (Some(missing), Some(waiting)) = pair else { return Err(from.refuse(Reason::Damaged)) };
            order.waiting_for.entry(missing).or_default().push(waiting);
        }
        order.placed = Rope::read_head(&mut from, MAX_RUNS)?;
        order.starts = Rope::read_head(&mut from, MAX_STARTS)?;
        Ok(Self { order, ..Self::default() })
    }
}

/// The bytes of an element.
fn size<T: ItemBytes>(element: &T) -> usize {
    let mut bytes = Vec::new();
    element.write_item(None, &mut bytes);
    bytes.len()
}

impl<T: ItemBytes> PageItem for Span<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.is_live().into());
        put_varint(self.len as u64, out);
        [Some(self.id), self.left, self.right].into_iter().for_each(|id| put_id(id, out));
        self.values.iter().for_each(|value| value.write_item(None, out));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [alive] = from.array()?;
        let len = usize::try_from(from.varint()?).map_err(|_| from.refuse(Reason::Overflow))?;
        let (name, left, right) = (id(from)?, id(from)?, id(from)?);
        let name = name.ok_or(from.refuse(Reason::Damaged))?;
        let values = if alive == 0 { 0 } else { len };
        let values = (0..values).map(|_| T::read_item(None, from)).collect::<Result<SmallVec<_>, _>>()?;
        Ok(Self { id: name, len, left, right, values })
    }

    fn write_key((): &(), _: &mut Vec<u8>) {}

    fn read_key(_: &mut Reader<'_>) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl PageItem for Start {
    fn write(&self, out: &mut Vec<u8>) {
        put_id(Some(self.id), out);
        put_varint(self.leaf.into(), out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = id(from)?.ok_or(from.refuse(Reason::Damaged))?;
        let leaf = u32::try_from(from.varint()?).map_err(|_| from.refuse(Reason::Overflow))?;
        Ok(Self { id, leaf })
    }

    fn write_key(key: &Self, out: &mut Vec<u8>) {
        key.write(out);
    }

    fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::read(from)
    }
}

fn put_id(id: Option<Id>, out: &mut Vec<u8>) {
    match id {
        None => out.push(0),
        Some(Id { actor, counter }) => {
            put_varint(u64::from(actor) + 1, out);
            put_varint(counter, out);
        }
    }
}

fn id(from: &mut Reader<'_>) -> Result<Option<Id>, DecodeError> {
    let Some(actor) = from.varint()?.checked_sub(1) else { return Ok(None) };
    let actor = u32::try_from(actor).map_err(|_| from.refuse(Reason::Overflow))?;
    Ok(Some(Id { actor, counter: from.varint()? }))
}
