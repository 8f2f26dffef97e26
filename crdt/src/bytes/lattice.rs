//! The bytes of types that only grow.

use causal::{ActorBytes, DecodeError, Reader, Reason, VersionVector};

use super::{ItemBytes, LATTICE, canonical, header, item::put_varint, read_header};
use crate::{BoundedCounter, GCounter, GSet, Hll, Lattice, PnCounter};

/// A lattice that has bytes: a header, and its own.
///
/// ```
/// use crdt::{GSet, LatticeBytes};
/// let set = GSet::from_iter([3u64, 5, 8]);
/// assert_eq!(set.to_bytes()[4..], [3, 3, 1, 2]);              // three; 3, 3 + 1 + 1, 5 + 1 + 2
/// assert_eq!(GSet::from_bytes(&set.to_bytes()), Ok(set));
/// ```
pub trait LatticeBytes: Lattice {
    /// The name of the type; types with other bytes have another one.
    fn name() -> String;

    /// Appends its bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes one off the front.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are none's.
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Of a part: appends where it stands. Parts that stand at one place join to one part.
    fn place(&self, out: &mut Vec<u8>);

    /// The canonical bytes: equal states, equal bytes. O(n).
    #[must_use]
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = header(LATTICE, &Self::name());
        self.write(&mut out);
        out
    }

    /// The state with these bytes. Allocates in proportion to them, whatever they announce.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a state of this type.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        read_header(&mut from, LATTICE, &Self::name())?;
        let state = Self::read(&mut from)?;
        canonical(bytes, state, Self::to_bytes)
    }
}

/// Counted bytes of a version vector.
impl<A: ActorBytes> LatticeBytes for GCounter<A> {
    fn name() -> String {
        "g-counter".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.totals().to_bytes().write_item(None, out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = from.counted()?;
        VersionVector::from_bytes(bytes).map(Self::of).map_err(|why| from.refuse(why.reason))
    }

    fn place(&self, out: &mut Vec<u8>) {
        self.totals().iter().for_each(|(actor, _)| actor.write(out));
    }
}

/// What was added, what was taken away.
impl<A: ActorBytes> LatticeBytes for PnCounter<A> {
    fn name() -> String {
        "pn-counter".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (added, taken) = self.sides();
        added.write(out);
        taken.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::of(GCounter::read(from)?, GCounter::read(from)?))
    }

    fn place(&self, out: &mut Vec<u8>) {
        let (added, taken) = self.sides();
        out.push(u8::from(added.totals().is_empty()));
        added.place(out);
        taken.place(out);
    }
}

/// How many, and the elements, ascending.
impl<T: ItemBytes + Ord + Clone> LatticeBytes for GSet<T> {
    fn name() -> String {
        format!("g-set({})", T::NAME)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_varint(self.iter().len() as u64, out);
        let mut before = None;
        for element in self.iter() {
            element.write_item(before, out);
            before = Some(element);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut elements: Vec<T> = Vec::new();
        for _ in 0..from.varint()? {
            elements.push(T::read_item(elements.last(), from)?);
        }
        Ok(elements.into_iter().collect())
    }

    fn place(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|element| element.write_item(None, out));
    }
}

/// Rights given: how many entries; from whom, to whom, how many in all. Rights used up: how many entries; whose, how many.
impl<A: ActorBytes> LatticeBytes for BoundedCounter<A> {
    fn name() -> String {
        "bounded-counter".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (given, taken) = self.rights();
        put_varint(given.len() as u64, out);
        for ((from, to), rights) in given {
            from.write(out);
            to.write(out);
            put_varint(*rights, out);
        }
        put_varint(taken.len() as u64, out);
        for (actor, rights) in taken {
            actor.write(out);
            put_varint(*rights, out);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let given = (0..from.varint()?).map(|_| Ok(((A::read(from)?, A::read(from)?), from.varint()?)));
        let given = given.collect::<Result<_, DecodeError>>()?;
        let taken = (0..from.varint()?).map(|_| Ok((A::read(from)?, from.varint()?)));
        Ok(Self::of(given, taken.collect::<Result<_, DecodeError>>()?))
    }

    fn place(&self, out: &mut Vec<u8>) {
        let (given, taken) = self.rights();
        out.push(u8::from(given.is_empty()));
        for (from, to) in given.keys() {
            from.write(out);
            to.write(out);
        }
        taken.keys().for_each(|actor| actor.write(out));
    }
}

/// How many registers are in use; each as an item, with what it holds.
impl LatticeBytes for Hll {
    fn name() -> String {
        "hll(14,xxh3)".to_owned()
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_varint(self.iter().count() as u64, out);
        let mut before = None;
        for (register, rank) in self.iter() {
            register.write_item(before.as_ref(), out);
            out.push(rank);
            before = Some(register);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut state, mut before) = (Self::default(), None);
        for _ in 0..from.varint()? {
            let register = u16::read_item(before.as_ref(), from)?;
            let [rank] = from.array()?;
            if !Self::is_possible(register, rank) {
                return Err(from.refuse(Reason::Overflow));
            }
            state.raise(register, rank);
            before = Some(register);
        }
        Ok(state)
    }

    fn place(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|(register, _)| out.extend_from_slice(&register.to_be_bytes()));
    }
}
