//! Bytes: minimal varints, a bounded reader, and the canonical form of a context.
//!
//! ```text
//! context = count:varint, count x (actor, runs)            actors strictly ascend
//! runs    = one or more (head:varint [, length-2:varint])  head = gap << 2 | more << 1 | single
//! ```
//! `gap` is the number of counters left out since the end of the run before (the first run: since 0), `more`
//! says that another run of this actor follows, `single` that the run has one counter. Equal contexts are equal
//! bytes, and any other bytes for the same context are refused.

use alloc::vec::Vec;
use core::fmt;

use crate::{ActorBytes, CausalContext, Dot, IntervalSet, MAX_COUNTER, Run};

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before what they announce.
    Truncated,
    /// The same value has another, shorter or ordered form: only that one is accepted.
    NotCanonical,
    /// A number does not fit.
    Overflow,
    /// Bytes follow after the end.
    TrailingBytes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Truncated => "the bytes end too early",
            DecodeError::NotCanonical => "the bytes are not in canonical form",
            DecodeError::Overflow => "a number is too large",
            DecodeError::TrailingBytes => "bytes follow after the end",
        })
    }
}

impl core::error::Error for DecodeError {}

/// Reads from the front of a slice; never beyond it.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A minimal LEB128 number.
    ///
    /// # Errors
    /// [`DecodeError`] if it ends early, is longer than needed, or exceeds 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let [byte] = self.array()?;
            let low = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && low > 1) {
                return Err(DecodeError::Overflow);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(DecodeError::NotCanonical) } else { Ok(value) };
            }
        }
        Err(DecodeError::Overflow)
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
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

/// The runs of a set as `(gap since the last run, length)`.
pub(crate) fn gaps(set: &IntervalSet) -> impl Iterator<Item = (u64, u64)> + '_ {
    let mut end = 0;
    set.runs().iter().map(move |run| {
        let gap = run.first - end - 1;
        end = run.last;
        (gap, run.last - run.first + 1)
    })
}

/// The inverse of [`gaps`], refusing what it never gives.
pub(crate) fn runs_from_gaps(pairs: impl Iterator<Item = (u64, u64)>) -> Result<IntervalSet, DecodeError> {
    let (mut set, mut end) = (IntervalSet::new(), 0u64);
    for (index, (gap, length)) in pairs.enumerate() {
        if (gap == 0 && index > 0) || length == 0 {
            return Err(DecodeError::NotCanonical);
        }
        let first = end.checked_add(gap).and_then(|n| n.checked_add(1)).ok_or(DecodeError::Overflow)?;
        end = first.checked_add(length - 1).filter(|end| *end <= MAX_COUNTER).ok_or(DecodeError::Overflow)?;
        set.push(Run { first, last: end });
    }
    if set.is_empty() { Err(DecodeError::NotCanonical) } else { Ok(set) }
}

impl<A: ActorBytes> CausalContext<A> {
    /// Appends the canonical bytes: equal contexts, equal bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_varint(self.iter().count() as u64, out);
        for (actor, set) in self.iter() {
            actor.write(out);
            let last = set.runs().len() - 1;
            for (index, (gap, length)) in gaps(set).enumerate() {
                let (more, single) = (u64::from(index < last), u64::from(length == 1));
                put_varint(gap << 2 | more << 1 | single, out);
                if length > 1 {
                    put_varint(length - 2, out);
                }
            }
        }
    }

    /// Takes a context off the front. Allocates in proportion to the bytes read, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a context.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut context = Self::new();
        let mut previous: Option<A> = None;
        for _ in 0..from.varint()? {
            let actor = A::read(from)?;
            if previous.as_ref().is_some_and(|before| *before >= actor) {
                return Err(DecodeError::NotCanonical);
            }
            let set = read_runs(from)?;
            for run in set.runs() {
                context.insert_run(actor.clone(), *run);
            }
            previous = Some(actor);
        }
        Ok(context)
    }
}

fn read_runs(from: &mut Reader<'_>) -> Result<IntervalSet, DecodeError> {
    let mut pairs = Vec::new();
    loop {
        let head = from.varint()?;
        let length = if head & 1 == 1 { 1 } else { from.varint()?.checked_add(2).ok_or(DecodeError::Overflow)? };
        pairs.push((head >> 2, length));
        if head & 2 == 0 {
            return runs_from_gaps(pairs.into_iter());
        }
    }
}

impl<A: ActorBytes> Dot<A> {
    /// Appends actor and counter.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.actor.write(out);
        put_varint(self.counter, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Reader};
    use crate::{CausalContext, Dot};
    use alloc::vec::Vec;
    use quickcheck::quickcheck;

    fn bytes(context: &CausalContext<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        context.write(&mut out);
        out
    }

    #[test]
    fn golden_bytes() {
        let context: CausalContext<u64> =
            [Dot::new(7, 1), Dot::new(7, 2), Dot::new(7, 5), Dot::new(9, 300)].into_iter().collect();
        // two actors; 7: run 1..=2 (gap 0, more, length-2 = 0), then 5 (gap 2, single); 9: 300 (gap 299, single)
        assert_eq!(bytes(&context), [2, 0, 0, 0, 0, 0, 0, 0, 7, 0b10, 0, 0b1001, 0, 0, 0, 0, 0, 0, 0, 9, 0xad, 0x09]);
    }

    #[test]
    fn a_hole_and_then_many_dots_take_at_most_sixteen_bytes() {
        let context: CausalContext<u64> = (1..100_000).filter(|n| *n != 2).map(|n| Dot::new(1, n)).collect();
        assert!(bytes(&context).len() <= 16, "{:?}", bytes(&context));
    }

    #[test]
    fn a_number_longer_than_needed_is_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).varint(), Err(DecodeError::NotCanonical));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(DecodeError::Overflow));
    }

    quickcheck! {
        fn contexts_round_trip(dots: Vec<(u64, u16)>) -> bool {
            let context: CausalContext<u64> = dots.into_iter().map(|(a, n)| Dot::new(a, u64::from(n % 50) + 1)).collect();
            CausalContext::read(&mut Reader::new(&bytes(&context))) == Ok(context)
        }

        fn whatever_decodes_encodes_to_the_same_bytes(input: Vec<u8>) -> bool {
            let mut reader = Reader::new(&input);
            match CausalContext::<[u8; 1]>::read(&mut reader) {
                Ok(context) => {
                    let mut out = Vec::new();
                    context.write(&mut out);
                    out == input[..input.len() - reader.rest().len()]
                }
                Err(_) => true,
            }
        }
    }
}
