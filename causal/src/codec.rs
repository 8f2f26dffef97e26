//! Bytes: minimal varints, a bounded reader, and the canonical form of contexts and DVV sets.
//!
//! ```text
//! bytes    = header:1 | body                                header = version 1 << 4 | kind
//! kind 1   = context      per actor: actor, runs
//! kind 2   = DVV set      per actor: actor, runs, live:varint, live x (skipped:varint, value)
//! runs     = one or more (head:varint [, length-2:varint])  head = gap << 2 | more << 1 | single
//! value    = length:varint, bytes
//! ```
//! Actors strictly ascend. `gap` is the number of counters left out since the end of the run before (the first
//! run: since 0), `more` says that another run of this actor follows, `single` that the run has one counter. Live
//! dots come newest first; `skipped` is the number of counters left out since the one before (the first: since
//! the actor's greatest). Equal states are equal bytes, whichever form holds them, and any other bytes for the same
//! state are refused. The whole of it for other languages: `FORMAT.md`, with test vectors.

use alloc::vec::Vec;
use core::fmt;

use crate::{
    Actor, ActorBytes, CausalContext, Dot, DotFun, DvvSet, IntervalSet, MAX_COUNTER, Run, Siblings, ValueBytes,
    VersionVector, Versions,
};

const VERSION: u8 = 1;
const CONTEXT: u8 = 1;
const SET: u8 = 2;

/// Bytes that were refused: where, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The byte, counted from 0, where what was refused begins.
    pub offset: usize,
    /// Why.
    pub reason: Reason,
}

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bytes end before what they announce.
    Truncated,
    /// The same value has another, shorter or ordered form: only that one is accepted.
    NotCanonical,
    /// A number does not fit.
    Overflow,
    /// Text that is not UTF-8.
    NotText,
    /// A value under a dot that the set has never seen.
    NotSeen,
    /// A state with gaps where the form without is wanted.
    HasGaps,
    /// Made by a newer release, or not by us at all: the first byte.
    UnknownVersion(u8),
    /// A context where a set is wanted, or the other way round: the first byte.
    OtherKind(u8),
    /// Bytes that do not match their checksum.
    Damaged,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Truncated => "the bytes end too early",
            Reason::NotCanonical => "the bytes are not in canonical form",
            Reason::Overflow => "a number is too large",
            Reason::NotText => "a text is not UTF-8",
            Reason::NotSeen => "a value has a dot that was never seen",
            Reason::Damaged => "the bytes do not match their checksum",
            Reason::HasGaps => "the counters have gaps, and the form without gaps is wanted",
            Reason::UnknownVersion(byte) => return write!(f, "byte {byte:#04x} is no version this release knows (1)"),
            Reason::OtherKind(byte) => {
                return write!(f, "byte {byte:#04x} announces something else than was asked for");
            }
        })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.reason)
    }
}

impl core::error::Error for DecodeError {}

/// Reads from the front of a slice; never beyond it.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    next: usize,
    /// Where what was read last begins: errors name it.
    item: usize,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, item: 0 }
    }

    /// The error that what was read last is refused for `reason`.
    #[must_use]
    pub fn refuse(&self, reason: Reason) -> DecodeError {
        DecodeError { offset: self.item, reason }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Reason::Truncated`] if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        self.item = self.next;
        let taken = self.rest().get(..count).ok_or(self.refuse(Reason::Truncated))?;
        self.next += count;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Reason::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.item = self.next;
        let taken = self.rest().first_chunk().ok_or(self.refuse(Reason::Truncated))?;
        self.next += N;
        Ok(*taken)
    }

    /// A minimal LEB128 number.
    ///
    /// # Errors
    /// [`DecodeError`] if it ends early, is longer than needed, or exceeds 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        self.item = self.next;
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = *self.bytes.get(self.next).ok_or(self.refuse(Reason::Truncated))?;
            self.next += 1;
            let low = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && low > 1) {
                break;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                let longer_than_needed = byte == 0 && shift > 0;
                return if longer_than_needed { Err(self.refuse(Reason::NotCanonical)) } else { Ok(value) };
            }
        }
        Err(self.refuse(Reason::Overflow))
    }

    /// Bytes that follow their length.
    ///
    /// # Errors
    /// [`DecodeError`] if they end early.
    pub fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| self.refuse(Reason::Truncated))?;
        self.take(length)
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.next..]
    }

    fn header(&mut self, kind: u8) -> Result<(), DecodeError> {
        let [byte] = self.array()?;
        match (byte >> 4 == VERSION, byte & 0xf == kind) {
            (true, true) => Ok(()),
            (true, false) => Err(self.refuse(Reason::OtherKind(byte))),
            (false, _) => Err(self.refuse(Reason::UnknownVersion(byte))),
        }
    }
}

/// Appends a minimal LEB128 number.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_runs(set: &IntervalSet, out: &mut Vec<u8>) {
    let (last, mut end) = (set.runs().len() - 1, 0);
    for (index, run) in set.runs().iter().enumerate() {
        let (gap, length) = (run.first - end - 1, run.last - run.first + 1);
        let (more, single) = (u64::from(index < last), u64::from(length == 1));
        put_varint(gap << 2 | more << 1 | single, out);
        if length > 1 {
            put_varint(length - 2, out);
        }
        end = run.last;
    }
}

fn read_runs(from: &mut Reader<'_>) -> Result<IntervalSet, DecodeError> {
    let (mut set, mut end) = (IntervalSet::new(), 0u64);
    loop {
        let head = from.varint()?;
        let gap = head >> 2;
        if gap == 0 && end > 0 {
            return Err(from.refuse(Reason::NotCanonical));
        }
        let beyond_first = if head & 1 == 1 { 0 } else { from.varint()?.saturating_add(1) };
        let first = end + gap + 1; // both within MAX_COUNTER = 2^62 - 1
        end = first.saturating_add(beyond_first);
        if end > MAX_COUNTER {
            return Err(from.refuse(Reason::Overflow));
        }
        set.push(Run { first, last: end });
        if head & 2 == 0 {
            return Ok(set);
        }
    }
}

/// How many actors there are to read.
#[derive(Clone, Copy)]
pub(crate) enum Actors {
    #[cfg(feature = "token")]
    Exactly(u64),
    UntilTheEnd,
}

impl Actors {
    /// Is there another one?
    fn next(&mut self, from: &Reader<'_>) -> bool {
        match self {
            Actors::UntilTheEnd => !from.rest().is_empty(),
            #[cfg(feature = "token")]
            Actors::Exactly(0) => false,
            #[cfg(feature = "token")]
            Actors::Exactly(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// Actors, ascending; what follows each is read by `rest`.
fn read_actors<A: ActorBytes>(
    from: &mut Reader<'_>,
    mut actors: Actors,
    mut rest: impl FnMut(&mut Reader<'_>, &A, &IntervalSet) -> Result<(), DecodeError>,
) -> Result<CausalContext<A>, DecodeError> {
    let mut context = CausalContext::new();
    let mut last: Option<A> = None;
    while actors.next(from) {
        let start = from.next;
        let actor = A::read(from)?;
        if last.as_ref().is_some_and(|last| *last >= actor) {
            return Err(DecodeError { offset: start, reason: Reason::NotCanonical });
        }
        let set = read_runs(from)?;
        rest(from, &actor, &set)?;
        context.push(actor.clone(), set);
        last = Some(actor);
    }
    Ok(context)
}

impl<A: ActorBytes> CausalContext<A> {
    /// The canonical bytes: equal contexts, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION << 4 | CONTEXT);
        self.write_entries(&mut out);
        out
    }

    /// The context with these bytes. Allocates in proportion to them, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a context.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        from.header(CONTEXT)?;
        Self::read_entries(&mut from, Actors::UntilTheEnd)
    }

    pub(crate) fn write_entries(&self, out: &mut Vec<u8>) {
        for (actor, set) in self.iter() {
            actor.write(out);
            write_runs(set, out);
        }
    }

    pub(crate) fn read_entries(from: &mut Reader<'_>, actors: Actors) -> Result<Self, DecodeError> {
        read_actors(from, actors, |_, _, _| Ok(()))
    }
}

/// The bytes are those of the same history as a [`CausalContext`].
impl<A: ActorBytes> VersionVector<A> {
    /// The canonical bytes: equal histories, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        CausalContext::from(self).to_bytes()
    }

    /// The vector with these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a history without gaps.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let context = CausalContext::from_bytes(bytes)?;
        Self::try_from(&context).map_err(|_| DecodeError { offset: 0, reason: Reason::HasGaps })
    }
}

fn write_live<'a, V: ValueBytes + 'a>(
    max: u64,
    newest_first: impl ExactSizeIterator<Item = (u64, &'a V)>,
    out: &mut Vec<u8>,
) {
    put_varint(newest_first.len() as u64, out);
    let mut next = max;
    for (counter, value) in newest_first {
        put_varint(next - counter, out);
        let bytes = value.bytes();
        put_varint(bytes.len() as u64, out);
        out.extend_from_slice(&bytes);
        next = counter - 1;
    }
}

fn read_live<A: Actor, V: ValueBytes>(
    from: &mut Reader<'_>,
    actor: &A,
    seen: &IntervalSet,
    live: &mut Vec<(Dot<A>, V)>,
) -> Result<(), DecodeError> {
    let mut next = seen.max();
    for _ in 0..from.varint()? {
        let skipped = from.varint()?;
        let counter = next.checked_sub(skipped).filter(|counter| seen.contains(*counter));
        let counter = counter.ok_or(from.refuse(Reason::NotSeen))?;
        let value = V::from_bytes(from.counted()?).map_err(|reason| from.refuse(reason))?;
        live.push((Dot { actor: actor.clone(), counter }, value));
        next = counter - 1;
    }
    Ok(())
}

/// The bytes of a set do not tell which form held it.
impl<A: ActorBytes, V: ValueBytes> Siblings<A, V> {
    /// The canonical bytes: equal states, equal bytes, so that they can be hashed or serve as an `ETag`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION << 4 | SET);
        let mut live: Vec<_> = Vec::new();
        let mut all = self.live().iter().peekable();
        for (actor, set) in self.context().iter() {
            actor.write(&mut out);
            write_runs(set, &mut out);
            live.clear();
            while let Some((dot, value)) = all.next_if(|(dot, _)| dot.actor == *actor) {
                live.push((dot.counter, value));
            }
            write_live(set.max(), live.iter().rev().copied(), &mut out);
        }
        out
    }

    /// The state with these bytes. Allocates in proportion to them, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a set.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        from.header(SET)?;
        let mut live = Vec::new();
        let context = read_actors(&mut from, Actors::UntilTheEnd, |from, actor, seen| {
            let start = live.len();
            read_live(from, actor, seen, &mut live)?;
            live[start..].reverse();
            Ok(())
        })?;
        Ok(Self::from_parts(DotFun::from_ascending(live), context))
    }
}

/// The bytes are those of the same state as [`Siblings`].
impl<A: ActorBytes, V: ValueBytes + Clone> DvvSet<A, V> {
    /// The canonical bytes: equal states, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_siblings().to_bytes()
    }

    /// The set with these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a set without gaps.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let siblings = Siblings::from_bytes(bytes)?;
        Self::try_from(&siblings).map_err(|_| DecodeError { offset: 0, reason: Reason::HasGaps })
    }
}

/// The bytes are those of the same state as [`Siblings`].
impl<A: ActorBytes, V: ValueBytes + Clone> Versions<A, V> {
    /// The canonical bytes: equal states, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_siblings().to_bytes()
    }

    /// The state with these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a set.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Siblings::from_bytes(bytes).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Reader, Reason};
    use crate::{CausalContext, Dot, Siblings};
    use alloc::vec::Vec;
    use quickcheck::quickcheck;

    fn refused(offset: usize, reason: Reason) -> DecodeError {
        DecodeError { offset, reason }
    }

    #[test]
    fn a_hole_and_then_many_dots_take_at_most_sixteen_bytes() {
        let context: CausalContext<u64> = (1..=100_001).filter(|n| *n != 2).map(|n| Dot::new(1, n)).collect();
        assert!(context.to_bytes().len() <= 16, "{:?}", context.to_bytes());
    }

    #[test]
    fn a_number_longer_than_needed_is_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).varint(), Err(refused(0, Reason::NotCanonical)));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(refused(0, Reason::Overflow)));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(refused(0, Reason::Truncated)));
    }

    #[test]
    fn errors_name_the_byte_and_the_reason() {
        let context = CausalContext::<u8>::from_bytes;
        assert_eq!(context(&[]), Err(refused(0, Reason::Truncated)));
        assert_eq!(context(&[0x21]), Err(refused(0, Reason::UnknownVersion(0x21))));
        assert_eq!(context(&[0x12, 0]), Err(refused(0, Reason::OtherKind(0x12))));
        assert_eq!(context(&[0x11, 7, 1, 7, 1]), Err(refused(3, Reason::NotCanonical)));
        assert_eq!(context(&[0x11, 7, 1, 9]), Err(refused(4, Reason::Truncated)));
        assert_eq!(context(&[0x11, 7, 0, 0xff, 0xff]), Err(refused(3, Reason::Truncated)));
        let set = Siblings::<u8, Vec<u8>>::from_bytes;
        assert_eq!(set(&[0x12, 7, 1, 1, 1, 0]), Err(refused(4, Reason::NotSeen)));
    }

    quickcheck! {
        fn contexts_round_trip(dots: Vec<(u64, u16)>) -> bool {
            let context: CausalContext<u64> = dots.into_iter().map(|(a, n)| Dot::new(a, u64::from(n % 50) + 1)).collect();
            CausalContext::from_bytes(&context.to_bytes()) == Ok(context)
        }

        fn whatever_decodes_encodes_to_the_same_bytes(input: Vec<u8>, set: bool) -> bool {
            let headed: Vec<u8> = [0x11 + u8::from(set)].into_iter().chain(input).collect();
            let again = match set {
                true => Siblings::<[u8; 1], Vec<u8>>::from_bytes(&headed).map(|set| set.to_bytes()),
                false => CausalContext::<[u8; 1]>::from_bytes(&headed).map(|context| context.to_bytes()),
            };
            again.is_err() || again == Ok(headed)
        }
    }
}
