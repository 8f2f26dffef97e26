//! The bytes of each type.

use std::collections::BTreeMap;

use causal::{ActorBytes, DecodeError, Dot, DotFun, Hlc, Reader, Reason};

use super::{ItemBytes, KeyBytes, PayloadBytes, Place, StoreBytes, StoreReader, StoreWriter, Visit, Wanted};
use crate::register::{Held, Stamped};
use crate::rope::{PageItem, Rope};
use crate::zset::Scored;
use crate::{Boxed, Contribution, Deadline, DotMap, Log, Mark, Num, Scalar, Seen, Tally, ZSet};

/// ```text
/// actor << 1:varint, counter:signed, payload                          one dot, of an actor whose number that is
/// n << 1 | 1:varint, (actor:varint, counter:signed, payload) * n      none, or several
/// ```
impl<A: ActorBytes, V: PayloadBytes<A>> StoreBytes for DotFun<A, V> {
    const HAS_TREES: bool = false;

    fn name(out: &mut String) {
        V::name(out);
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        let only = self.iter().next().filter(|_| self.len() == 1);
        if let Some((dot, payload)) = only {
            let number = to.number(&dot.actor);
            to.varint(u64::from(number) << 1);
            to.counter(number, dot.counter);
            return payload.write(to);
        }
        to.varint((self.len() as u64) << 1 | 1);
        for (dot, payload) in self.iter() {
            to.dot(dot);
            payload.write(to);
        }
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        let head = from.varint()?;
        let mut live = Self::new();
        if head & 1 == 0 {
            let number = usize::try_from(head >> 1).ok().filter(|number| *number < from.actors.len());
            let dot = from.live_dot(number.ok_or(from.refuse(Reason::NotSeen))?)?;
            live.insert(dot, V::read(from)?);
            return Ok(live);
        }
        for _ in 0..head >> 1 {
            let number = from.number()?;
            let dot = from.live_dot(number)?;
            live.insert(dot, V::read(from)?);
        }
        Ok(live)
    }

    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if wanted == Wanted::Places {
            let is_empty = self.is_empty();
            visit(path, if is_empty { Place::Empty } else { Place::Lives(StoreWriter::record(|to| self.write(to))) });
        }
    }

    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        super::read_record(path, record).map(|live| *self = live)
    }
}

/// ```text
/// n:varint, (key, store) * n        keys ascending
/// ```
impl<K: KeyBytes, S: StoreBytes> StoreBytes for DotMap<K, S> {
    const HAS_TREES: bool = S::HAS_TREES;

    fn name(out: &mut String) {
        out.push_str(K::NAME);
        out.push(':');
        S::name(out);
    }

    fn write(&self, to: &mut StoreWriter<S::Actor>) {
        to.varint(self.len() as u64);
        let mut before = None;
        for (key, store) in self.iter() {
            to.item(key, before);
            store.write(to);
            before = Some(key);
        }
    }

    fn read(from: &mut StoreReader<'_, S::Actor>) -> Result<Self, DecodeError> {
        let mut entries: Vec<(K, S)> = Vec::new();
        for _ in 0..from.varint()? {
            let key = from.item(entries.last().map(|(key, _)| key))?;
            let store = S::read(from)?;
            if !from.is_delta() && store.is_bottom() {
                return Err(from.refuse(Reason::NotCanonical));
            }
            entries.push((key, store));
        }
        Ok(entries.into_iter().collect())
    }

    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if self.is_listed() {
            visit(path, Place::Listed);
        }
        if wanted == Wanted::Missing && !S::HAS_TREES {
            return;
        }
        let before = path.len();
        for (key, store) in self.iter() {
            key.write_key(path);
            store.unload(wanted, path, visit);
            path.truncate(before);
        }
    }

    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        self.touch(K::read_key(path)?).load(path, record)
    }
}

impl<A> PayloadBytes<A> for () {
    fn name(_: &mut String) {}

    fn write(&self, _: &mut StoreWriter<A>) {}

    fn read(_: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl<A: ActorBytes> PayloadBytes<A> for bool {
    fn name(out: &mut String) {
        out.push_str(<bool as ItemBytes>::NAME);
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        to.item(self, None);
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        from.item(None)
    }
}

impl<A: ActorBytes, V: ItemBytes + Clone + PartialEq> PayloadBytes<A> for Held<V> {
    fn name(out: &mut String) {
        out.push_str(V::NAME);
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        to.item(&self.0, None);
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        from.item(None).map(Held)
    }
}

/// The stamp, then the value.
impl<A: ActorBytes, V: ItemBytes + Clone + PartialEq> PayloadBytes<A> for Stamped<V> {
    fn name(out: &mut String) {
        out.push('@');
        out.push_str(V::NAME);
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        to.stamp(self.at);
        to.item(&self.value, None);
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        Ok(Self { at: from.stamp()?, value: from.item(None)? })
    }
}

/// ```text
/// 0, run:varint, total:signed, mark                 a tally
/// 1, stamp, value:signed, seen                      a set
/// 2, seen                                           a reset
///
/// mark = upto:varint, total:signed                  seen = n:varint, (dot, mark) * n
/// ```
impl<A: ActorBytes> PayloadBytes<A> for Contribution<A> {
    fn name(out: &mut String) {
        out.push_str("number");
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        match self {
            Contribution::Tally(Tally { run, total, reset }) => {
                to.byte(0);
                to.varint(*run);
                to.signed(*total);
                write_mark(*reset, to);
            }
            Contribution::Set { at, value, seen } => {
                to.byte(1);
                to.stamp(*at);
                to.signed(*value);
                write_seen(seen, to);
            }
            Contribution::Reset(seen) => {
                to.byte(2);
                write_seen(seen, to);
            }
        }
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        match from.byte()? {
            0 => Ok(Contribution::Tally(Tally { run: from.varint()?, total: from.signed()?, reset: read_mark(from)? })),
            1 => Ok(Contribution::Set { at: from.stamp()?, value: from.signed()?, seen: read_seen(from)? }),
            2 => read_seen(from).map(Contribution::Reset),
            _ => Err(from.refuse(Reason::NotCanonical)),
        }
    }
}

fn write_mark<A: ActorBytes>(mark: Mark, to: &mut StoreWriter<A>) {
    to.varint(mark.upto);
    to.signed(mark.total);
}

fn read_mark<A: ActorBytes>(from: &mut StoreReader<'_, A>) -> Result<Mark, DecodeError> {
    Ok(Mark { upto: from.varint()?, total: from.signed()? })
}

fn write_seen<A: ActorBytes>(seen: &[Seen<A>], to: &mut StoreWriter<A>) {
    to.varint(seen.len() as u64);
    for Seen { run, mark } in seen {
        to.dot(run);
        write_mark(*mark, to);
    }
}

fn read_seen<A: ActorBytes>(from: &mut StoreReader<'_, A>) -> Result<Vec<Seen<A>>, DecodeError> {
    (0..from.varint()?).map(|_| Ok(Seen { run: from.dot()?, mark: read_mark(from)? })).collect()
}

/// 0 for never; 1, then the time.
impl ItemBytes for Deadline {
    const NAME: &'static str = "deadline";

    fn write_item(&self, _: Option<&Self>, out: &mut Vec<u8>) {
        match self {
            Deadline::Never => out.push(0),
            Deadline::At(time) => {
                out.push(1);
                time.write_item(None, out);
            }
        }
    }

    fn read_item(_: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.array()? {
            [0] => Ok(Deadline::Never),
            [1] => u64::read_item(None, from).map(Deadline::At),
            _ => Err(from.refuse(Reason::NotCanonical)),
        }
    }
}

/// 0 to 3 for boolean, integer, text, bytes; what it is, by itself.
impl ItemBytes for Scalar {
    const NAME: &'static str = "scalar";

    fn write_item(&self, _: Option<&Self>, out: &mut Vec<u8>) {
        match self {
            Scalar::Bool(value) => (out.push(0), value.write_item(None, out)),
            Scalar::Integer(value) => (out.push(1), value.write_item(None, out)),
            Scalar::Text(value) => (out.push(2), value.write_item(None, out)),
            Scalar::Bytes(value) => (out.push(3), value.write_item(None, out)),
        };
    }

    fn read_item(before: Option<&Self>, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = match from.array()? {
            [0] => bool::read_item(None, from).map(Scalar::Bool)?,
            [1] => i64::read_item(None, from).map(Scalar::Integer)?,
            [2] => String::read_item(None, from).map(Scalar::Text)?,
            [3] => Vec::read_item(None, from).map(Scalar::Bytes)?,
            _ => return Err(from.refuse(Reason::NotCanonical)),
        };
        if before.is_none_or(|before| *before < value) { Ok(value) } else { Err(from.refuse(Reason::NotCanonical)) }
    }
}

/// The same number, and the key of what it is.
impl KeyBytes for Scalar {
    fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Scalar::Bool(value) => out.extend_from_slice(&[0, (*value).into()]),
            Scalar::Integer(value) => {
                out.push(1);
                value.write_key(out);
            }
            Scalar::Text(value) => {
                out.push(2);
                value.write_key(out);
            }
            Scalar::Bytes(value) => {
                out.push(3);
                value.write_key(out);
            }
        }
    }

    fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.array()? {
            [0] => bool::read_item(None, from).map(Scalar::Bool),
            [1] => i64::read_key(from).map(Scalar::Integer),
            [2] => String::read_key(from).map(Scalar::Text),
            [3] => Vec::read_key(from).map(Scalar::Bytes),
            _ => Err(from.refuse(Reason::NotCanonical)),
        }
    }
}

/// The members' scores; the order follows. In records the order is kept as well:
///
/// ```text
/// 0 member      its score
/// 1             sum:4, head of the tree
/// 1 node        (score:signed, member) ..
/// ```
impl<A: ActorBytes, M: KeyBytes> StoreBytes for ZSet<A, M> {
    const HAS_TREES: bool = true;

    fn name(out: &mut String) {
        out.push_str("z-set(");
        DotMap::<M, Num<A>>::name(out);
        out.push(')');
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        self.scores().write(to);
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        let (scores, is_delta) = (DotMap::read(from)?, from.is_delta());
        Ok(if is_delta { Self::touching(scores) } else { Self::sorted(scores) })
    }

    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        path.push(0);
        self.scores().unload(wanted, path, visit);
        path.pop();
        path.push(1);
        if self.scores().is_listed() {
            visit(path, Place::Listed);
        }
        let order = self.order();
        if wanted == Wanted::Places {
            visit(path, Place::Head((!order.is_empty()).then(|| order.head_record())));
        }
        order.unload(wanted, path, visit);
        path.pop();
    }

    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        match path.array()? {
            [0] => self.scores_mut().load(path, record),
            [1] if path.rest().is_empty() => Rope::from_head_record(record).map(|order| *self.order_mut() = order),
            [1] => self.order_mut().load(path, record),
            _ => Err(path.refuse(Reason::NotCanonical)),
        }
    }
}

impl<M: KeyBytes> PageItem for Scored<M> {
    fn write(&self, out: &mut Vec<u8>) {
        self.score.write_item(None, out);
        self.member.write_item(None, out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { score: i64::read_item(None, from)?, member: M::read_item(None, from)? })
    }

    fn write_key(key: &Self, out: &mut Vec<u8>) {
        key.write(out);
    }

    fn read_key(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::read(from)
    }
}

/// 0 for none, 1 and what is in it.
impl<S: StoreBytes> StoreBytes for Boxed<S> {
    /// Perhaps: of a type that contains itself, the answer would be in itself.
    const HAS_TREES: bool = true;

    /// Of a type that contains itself, only this: its own name says the rest.
    fn name(out: &mut String) {
        out.push_str("boxed");
    }

    fn write(&self, to: &mut StoreWriter<S::Actor>) {
        match self.store() {
            None => to.byte(0),
            Some(store) => {
                to.byte(1);
                store.write(to);
            }
        }
    }

    fn read(from: &mut StoreReader<'_, S::Actor>) -> Result<Self, DecodeError> {
        match from.byte()? {
            0 => Ok(Self::default()),
            1 => {
                let store = from.deeper(S::read)?;
                if !from.is_delta() && store.is_bottom() {
                    return Err(from.refuse(Reason::NotCanonical));
                }
                Ok(Self::of(store))
            }
            _ => Err(from.refuse(Reason::NotCanonical)),
        }
    }

    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if self.is_listed() {
            visit(path, Place::Listed);
        }
        if let Some(store) = self.store() {
            store.unload(wanted, path, visit);
        }
    }

    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        self.store_mut().load(path, record)
    }
}

/// ```text
/// n:varint, (stamp:varint, m:varint, (actor:varint, store) * m) * n       stamps ascending, as items
/// ```
impl<A: ActorBytes, V: ItemBytes + Clone + PartialEq> StoreBytes for Log<A, V> {
    const HAS_TREES: bool = false;

    fn name(out: &mut String) {
        out.push_str("log(");
        out.push_str(V::NAME);
        out.push(')');
    }

    fn write(&self, to: &mut StoreWriter<A>) {
        to.varint(self.entries().len() as u64);
        let mut before = None;
        for (at, actors) in self.entries().iter() {
            to.item(&at.0, before);
            to.varint(actors.len() as u64);
            for (actor, live) in actors.iter() {
                to.actor(actor);
                live.write(to);
            }
            before = Some(&at.0);
        }
    }

    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError> {
        let (mut entries, mut before) = (BTreeMap::new(), None);
        for _ in 0..from.varint()? {
            let at: u64 = from.item(before.as_ref())?;
            let mut actors = BTreeMap::new();
            for _ in 0..from.varint()? {
                let actor = from.actor()?;
                let live: DotFun<A, Stamped<V>> = DotFun::read(from)?;
                let is_in_place = |(dot, stamped): (&Dot<A>, &Stamped<V>)| dot.actor == actor && stamped.at == Hlc(at);
                if !live.iter().all(is_in_place) || (live.is_empty() && !from.is_delta()) {
                    return Err(from.refuse(Reason::NotCanonical));
                }
                actors.insert(actor, live);
            }
            if actors.is_empty() && !from.is_delta() {
                return Err(from.refuse(Reason::NotCanonical));
            }
            entries.insert(Hlc(at), actors.into_iter().collect());
            before = Some(at);
        }
        Ok(Self::of(entries.into_iter().collect()))
    }

    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if self.entries().is_listed() {
            visit(path, Place::Listed);
        }
        let before = path.len();
        for (at, actors) in self.entries().iter() {
            for (actor, live) in actors.iter() {
                at.0.write_key(path);
                actor.write(path);
                live.unload(wanted, path, visit);
                path.truncate(before);
            }
        }
    }

    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        let (at, actor) = (Hlc(u64::read_key(path)?), A::read(path)?);
        self.entries_mut().touch(at).touch(actor).load(path, record)
    }
}
