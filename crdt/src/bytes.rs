//! Bytes: one form for each state, for disks and for wires.
//!
//! ```text
//! header:1 = version << 4 | kind        version 1; kinds: 3 state, 4 delta, 5 lattice, 6 digest
//! type:3                                of which type: a hash of its name, "set(u64)"
//! counted context                       states and deltas: what was seen (causal's canonical bytes)
//! actors:varint, actor ..               those that are named and not in the context, by first use
//! store                                 the type's own, by its fields
//! ```
//!
//! Dots are written as the number of their actor and the difference to the last counter of it, keys as the difference to
//! the key before, so that an element of a set of consecutive integers takes three bytes. Equal states have equal bytes,
//! and whoever reads refuses any other form: what was read is written again and compared. FORMAT.md draws what travels.

mod item;
mod lattice;
mod store;

use std::collections::BTreeMap;

use causal::{ActorBytes, CausalContext, DecodeError, Dot, Hlc, MAX_COUNTER, Reader, Reason};
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use item::put_varint;
pub use item::{ItemBytes, KeyBytes};
pub use lattice::LatticeBytes;

use crate::{Delta, Digest, DotStore, Payload, State};

const VERSION: u8 = 1;
const STATE: u8 = 3;
const DELTA: u8 = 4;
const LATTICE: u8 = 5;
const DIGEST: u8 = 6;
/// A place of an object in records: without a header, which its context has.
const RECORD: u8 = 7;

/// How deep types that contain themselves may be nested, in memory as well: see [`Boxed`](crate::Boxed).
pub const MAX_DEPTH: u16 = 100;

/// Which places are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that are there; of a tree, its head and the nodes that are not as their records say.
    Places,
    /// Nodes of trees that were looked for, and have not been loaded.
    Missing,
}

/// What there is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Something: its record.
    Lives(Vec<u8>),
    /// Nothing (any more).
    Empty,
    /// The head of a tree: its record, or nothing, and no nodes either. (In the delta of an edit: nothing, whatever is
    /// there.) The paths of its nodes begin with this one.
    Head(Option<Vec<u8>>),
    /// In the delta of an edit: everything whose path begins with this one was asked for.
    Listed,
    /// A node of a tree that is not as its record says: what it is now, or that it is gone.
    Node(Option<Vec<u8>>),
    /// A node of a tree that was looked for, and has not been loaded.
    Missing,
}

/// What is told of each place: its path, and what is there.
pub type Visit<'a> = dyn FnMut(&[u8], Place) + 'a;

/// A dot store that has bytes. All types of this crate do, if what is in them does; for a struct of one's own:
/// [`store_bytes!`](crate::store_bytes).
pub trait StoreBytes: DotStore<Actor: ActorBytes> {
    /// May there be trees in it: places that are kept in several records, of which not all need be loaded?
    const HAS_TREES: bool;

    /// Appends the name of the type: types with other bytes have another one. (What is in a [`Boxed`](crate::Boxed) is not
    /// named: the type around it has to be.)
    fn name(out: &mut String);

    /// Writes it.
    fn write(&self, to: &mut StoreWriter<Self::Actor>);

    /// Reads it.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not such a store's.
    fn read(from: &mut StoreReader<'_, Self::Actor>) -> Result<Self, DecodeError>;

    /// Visits places by their paths, which are in the order of the keys they are made of; none is the beginning of another
    /// place's, but for trees.
    fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>);

    /// Takes in the record of a place.
    ///
    /// # Errors
    /// [`DecodeError`] if there is no such place, or the record is none.
    fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError>;
}

/// A payload that has bytes.
pub trait PayloadBytes<A>: Payload<A> {
    /// Appends the name of the payload's type.
    fn name(out: &mut String);

    /// Writes it.
    fn write(&self, to: &mut StoreWriter<A>);

    /// Reads it.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not such a payload's.
    fn read(from: &mut StoreReader<'_, A>) -> Result<Self, DecodeError>;
}

/// Where a store is written to.
#[derive(Debug)]
pub struct StoreWriter<A> {
    out: Vec<u8>,
    numbers: BTreeMap<A, u32>,
    /// Named, and not in the context.
    others: Vec<A>,
    /// The last counter written, by actor.
    last: Vec<u64>,
    stamp: u64,
}

impl<A: ActorBytes> StoreWriter<A> {
    fn new(context: &CausalContext<A>) -> Self {
        let numbers: BTreeMap<A, u32> = context.iter().map(|(actor, _)| actor.clone()).zip(0..).collect();
        Self { out: Vec::new(), last: vec![0; numbers.len()], numbers, others: Vec::new(), stamp: 0 }
    }

    /// A byte.
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// A number: one byte below 128.
    pub fn varint(&mut self, number: u64) {
        item::put_varint(number, &mut self.out);
    }

    /// A whole number: one byte from -64 to 63.
    pub fn signed(&mut self, number: i64) {
        self.varint(item::zigzag(number));
    }

    /// A clock reading: as the difference to the last one.
    pub fn stamp(&mut self, at: Hlc) {
        self.signed(at.0.wrapping_sub(self.stamp) as i64);
        self.stamp = at.0;
    }

    /// A key, element or value; `before`: the one before it, where they ascend.
    pub fn item<T: ItemBytes>(&mut self, item: &T, before: Option<&T>) {
        item.write_item(before, &mut self.out);
    }

    /// The number of an actor.
    fn number(&mut self, actor: &A) -> u32 {
        if let Some(number) = self.numbers.get(actor) {
            return *number;
        }
        let number = self.last.len() as u32;
        self.numbers.insert(actor.clone(), number);
        self.others.push(actor.clone());
        self.last.push(0);
        number
    }

    /// An actor.
    pub fn actor(&mut self, actor: &A) {
        let number = self.number(actor);
        self.varint(number.into());
    }

    /// The counter of a dot whose actor is known to the reader.
    fn counter(&mut self, number: u32, counter: u64) {
        let last = std::mem::replace(&mut self.last[number as usize], counter);
        self.signed(counter.wrapping_sub(last) as i64);
    }

    /// A dot.
    pub fn dot(&mut self, dot: &Dot<A>) {
        let number = self.number(&dot.actor);
        self.varint(number.into());
        self.counter(number, dot.counter);
    }

    /// What `write` writes, as it stands alone.
    pub(crate) fn record(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::new(&CausalContext::new());
        write(&mut writer);
        let mut record = Vec::with_capacity(writer.out.len() + 10);
        writer.append_to(&mut record);
        record
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        item::put_varint(self.others.len() as u64, out);
        self.others.iter().for_each(|actor| actor.write(out));
        out.extend_from_slice(&self.out);
    }

    fn finish(self, kind: u8, name: &str, context: &CausalContext<A>) -> Vec<u8> {
        let mut out = header(kind, name);
        let context = context.to_bytes();
        item::put_varint(context.len() as u64, &mut out);
        out.extend_from_slice(&context);
        self.append_to(&mut out);
        out
    }
}

/// Where a store is read from.
#[derive(Debug)]
pub struct StoreReader<'a, A> {
    from: Reader<'a>,
    context: CausalContext<A>,
    actors: Vec<A>,
    last: Vec<u64>,
    stamp: u64,
    /// What is read; a record: a place of a state, whose context is elsewhere.
    kind: u8,
    depth: u16,
}

impl<'a, A: ActorBytes> StoreReader<'a, A> {
    fn new(bytes: &'a [u8], kind: u8, name: &str) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        read_header(&mut from, kind, name)?;
        let context = CausalContext::<A>::from_bytes(from.counted()?).map_err(|why| from.refuse(why.reason))?;
        Self::after_context(from, context, kind)
    }

    /// Reads a place that stands alone.
    pub(crate) fn record(record: &'a [u8]) -> Result<Self, DecodeError> {
        Self::after_context(Reader::new(record), CausalContext::new(), RECORD)
    }

    fn after_context(mut from: Reader<'a>, context: CausalContext<A>, kind: u8) -> Result<Self, DecodeError> {
        let mut actors: Vec<A> = context.iter().map(|(actor, _)| actor.clone()).collect();
        for _ in 0..from.varint()? {
            actors.push(A::read(&mut from)?);
        }
        let last = vec![0; actors.len()];
        Ok(Self { from, context, actors, last, stamp: 0, kind, depth: 0 })
    }

    /// The error that what was read last is refused for `reason`.
    #[must_use]
    pub fn refuse(&self, reason: Reason) -> DecodeError {
        self.from.refuse(reason)
    }

    /// A byte.
    ///
    /// # Errors
    /// [`DecodeError`] at the end.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.from.array().map(|[byte]| byte)
    }

    /// A number.
    ///
    /// # Errors
    /// [`DecodeError`] at the end.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        self.from.varint()
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`DecodeError`] at the end.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        self.varint().map(item::unzigzag)
    }

    /// A clock reading.
    ///
    /// # Errors
    /// [`DecodeError`] at the end.
    pub fn stamp(&mut self) -> Result<Hlc, DecodeError> {
        self.stamp = self.stamp.wrapping_add(self.signed()? as u64);
        Ok(Hlc(self.stamp))
    }

    /// A key, element or value.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not such a one's.
    pub fn item<T: ItemBytes>(&mut self, before: Option<&T>) -> Result<T, DecodeError> {
        T::read_item(before, &mut self.from)
    }

    fn number(&mut self) -> Result<usize, DecodeError> {
        let number = self.varint()?;
        let number = usize::try_from(number).ok().filter(|number| *number < self.actors.len());
        number.ok_or(self.refuse(Reason::NotSeen))
    }

    /// An actor.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none that was announced.
    pub fn actor(&mut self) -> Result<A, DecodeError> {
        self.number().map(|number| self.actors[number].clone())
    }

    fn counter(&mut self, number: usize) -> Result<u64, DecodeError> {
        let counter = self.last[number].wrapping_add(self.signed()? as u64);
        if counter == 0 || counter > MAX_COUNTER {
            return Err(self.refuse(Reason::Overflow));
        }
        self.last[number] = counter;
        Ok(counter)
    }

    /// A dot.
    ///
    /// # Errors
    /// [`DecodeError`] if its actor was not announced, or its counter is none.
    pub fn dot(&mut self) -> Result<Dot<A>, DecodeError> {
        let number = self.number()?;
        Ok(Dot { counter: self.counter(number)?, actor: self.actors[number].clone() })
    }

    /// Is it a delta that is read?
    pub(crate) fn is_delta(&self) -> bool {
        self.kind == DELTA
    }

    /// Have all these counters of an actor been seen?
    pub(crate) fn has_seen(&self, actor: &A, first: u64, last: u64) -> bool {
        if self.kind == RECORD {
            return true;
        }
        let runs = self.context.of(actor).map(causal::IntervalSet::runs).unwrap_or_default();
        runs.get(runs.partition_point(|run| run.last < first)).is_some_and(|run| run.first <= first && last <= run.last)
    }

    /// The dot of something that is there: it has been seen.
    fn live_dot(&mut self, number: usize) -> Result<Dot<A>, DecodeError> {
        let dot = Dot { counter: self.counter(number)?, actor: self.actors[number].clone() };
        if self.kind == RECORD || self.context.contains(&dot) { Ok(dot) } else { Err(self.refuse(Reason::NotSeen)) }
    }

    /// Reads what is one level deeper.
    fn deeper<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R, DecodeError>) -> Result<R, DecodeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.refuse(Reason::Overflow));
        }
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }
}

fn header(kind: u8, name: &str) -> Vec<u8> {
    let [.., x, y, z] = xxh3_64(name.as_bytes()).to_be_bytes();
    vec![VERSION << 4 | kind, x, y, z]
}

fn read_header(from: &mut Reader<'_>, kind: u8, name: &str) -> Result<(), DecodeError> {
    let [version] = from.array()?;
    if version >> 4 != VERSION {
        return Err(from.refuse(Reason::UnknownVersion(version)));
    }
    let of_type: [u8; 3] = from.array()?;
    if header(kind, name) == [version, of_type[0], of_type[1], of_type[2]] {
        Ok(())
    } else {
        Err(DecodeError { offset: 0, reason: Reason::OtherKind(version) })
    }
}

fn name_of<S: StoreBytes>() -> String {
    let mut name = String::new();
    S::name(&mut name);
    name
}

/// What is read, if writing it again gives the same bytes.
fn canonical<T>(bytes: &[u8], value: T, write: impl FnOnce(&T) -> Vec<u8>) -> Result<T, DecodeError> {
    let again = write(&value);
    if again == bytes {
        return Ok(value);
    }
    let offset = again.iter().zip(bytes).take_while(|(x, y)| x == y).count();
    Err(DecodeError { offset, reason: Reason::NotCanonical })
}

/// Reads what is at the end of a path.
pub(crate) fn read_record<S: StoreBytes>(path: &Reader<'_>, record: &[u8]) -> Result<S, DecodeError> {
    if !path.rest().is_empty() {
        return Err(path.refuse(Reason::NotCanonical));
    }
    let store = S::read(&mut StoreReader::record(record)?)?;
    canonical(record, store, |store| StoreWriter::record(|to| store.write(to)))
}

impl<S: StoreBytes> State<S> {
    /// The canonical bytes: equal states, equal bytes. O(n).
    ///
    /// ```
    /// use causal::Minter;
    /// use crdt::{AwSet, Counter, Replica, State};
    /// let mut set = Replica::<AwSet<u64, u64>>::new(Minter::once(1));
    /// for element in 0..1_000u64 {
    ///     let _ = set.edit(|set| set.add(element))?;
    /// }
    /// let bytes = set.state().to_bytes();
    /// assert!(bytes.len() < 3_050);
    /// assert_eq!(State::from_bytes(&bytes)?, *set.state());
    /// assert!(State::<Counter<u64>>::from_bytes(&bytes).is_err());
    /// # Ok::<(), crdt::Error<u64>>(())
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = StoreWriter::new(self.context());
        (**self).write(&mut writer);
        writer.finish(STATE, &name_of::<S>(), self.context())
    }

    /// The state with these bytes. Allocates in proportion to them, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a state of this type.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = StoreReader::new(bytes, STATE, &name_of::<S>())?;
        let store = S::read(&mut reader)?;
        canonical(bytes, Self::from_parts(store, reader.context), Self::to_bytes)
    }
}

impl<S: StoreBytes> Delta<S> {
    /// The bytes, to be sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = StoreWriter::new(self.context());
        writer.byte(self.is_named().into());
        self.touched().write(&mut writer);
        writer.finish(DELTA, &name_of::<S>(), self.context())
    }

    /// The delta with these bytes. Allocates in proportion to them, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the bytes of a delta of this type.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = StoreReader::new(bytes, DELTA, &name_of::<S>())?;
        let is_named = reader.byte()? == 1;
        let store = S::read(&mut reader)?;
        canonical(bytes, Self::from_parts(store, reader.context, is_named), Self::to_bytes)
    }
}

impl<S: StoreBytes> Digest<S> {
    /// The canonical bytes, to be sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (context, live) = self.parts();
        let mut out = header(DIGEST, &name_of::<S>());
        for part in [context.to_bytes(), live.to_bytes()] {
            item::put_varint(part.len() as u64, &mut out);
            out.extend_from_slice(&part);
        }
        out
    }

    /// The digest with these bytes. Allocates in proportion to them, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a digest of this type.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        read_header(&mut from, DIGEST, &name_of::<S>())?;
        let mut next = || CausalContext::from_bytes(from.counted()?).map_err(|why| from.refuse(why.reason));
        let (context, live) = (next()?, next()?);
        canonical(bytes, Self::from_parts(context, live), Self::to_bytes)
    }
}

/// The header of the records of an object of this type.
pub(crate) fn records_header<S: StoreBytes>() -> Vec<u8> {
    header(RECORD, &name_of::<S>())
}

/// The same of a lattice.
pub(crate) fn lattice_records_header<L: LatticeBytes>() -> Vec<u8> {
    header(RECORD, &L::name())
}

/// Gives a struct of dot stores bytes, field by field: the companion of [`dot_store!`](crate::dot_store). The name is part of
/// the format: a type with other fields needs another one.
///
/// ```
/// use causal::{Actor, ActorBytes, Minter};
/// use crdt::{Counter, EwFlag, Replica, State, dot_store, store_bytes};
///
/// #[derive(Clone, Debug, Default, PartialEq)]
/// struct Post {
///     likes: Counter<u64>,
///     pinned: EwFlag<u64>,
/// }
/// dot_store!(Post<> by u64 { likes: Counter<u64>, pinned: EwFlag<u64> });
/// store_bytes!(Post<> by u64, "post" { likes: Counter<u64>, pinned: EwFlag<u64> });
///
/// let mut post = Replica::<Post>::new(Minter::once(7));
/// let _ = post.edit(|post| post.field(|post| &post.likes, |post| &mut post.likes).add(1))?;
/// assert_eq!(State::from_bytes(&post.state().to_bytes())?, *post.state());
/// # Ok::<(), crdt::Error<u64>>(())
/// ```
#[macro_export]
macro_rules! store_bytes {
    ($name:ident<$($parameter:ident $(: $bound:path)?),*> by $actor:ty, $title:literal $(, where [$($clause:tt)*])? { $($field:ident: $store:ty),+ $(,)? }) => {
        impl<$($parameter $(: $bound)?),*> $crate::StoreBytes for $name<$($parameter),*> $(where $($clause)*)? {
            const HAS_TREES: bool = $(<$store as $crate::StoreBytes>::HAS_TREES)||+;

            fn name(out: &mut String) {
                out.push_str($title);
                let mut separator = '(';
                $(
                    out.push(std::mem::replace(&mut separator, ','));
                    <$store as $crate::StoreBytes>::name(out);
                )+
                out.push(')');
            }

            fn write(&self, to: &mut $crate::StoreWriter<$actor>) {
                $($crate::StoreBytes::write(&self.$field, to);)+
            }

            fn read(from: &mut $crate::StoreReader<'_, $actor>) -> Result<Self, $crate::causal::DecodeError> {
                Ok(Self { $($field: <$store as $crate::StoreBytes>::read(from)?),+ })
            }

            fn unload(&self, wanted: $crate::Wanted, path: &mut Vec<u8>, visit: &mut $crate::Visit<'_>) {
                let mut field = 0;
                $(
                    path.push(field);
                    $crate::StoreBytes::unload(&self.$field, wanted, path, visit);
                    path.pop();
                    field += 1;
                )+
                let _ = field;
            }

            fn load(
                &mut self,
                path: &mut $crate::causal::Reader<'_>,
                record: &[u8],
            ) -> Result<(), $crate::causal::DecodeError> {
                let [wanted] = path.array()?;
                let mut field = 0;
                $(
                    if field == wanted {
                        return $crate::StoreBytes::load(&mut self.$field, path, record);
                    }
                    field += 1;
                )+
                let _ = field;
                Err(path.refuse($crate::causal::Reason::NotCanonical))
            }
        }
    };
}
