//! Actors: who may name events. An actor is any ordered value; one that travels in bytes also has a byte form.
//!
//! Invariant the rest of the crate rests on: one actor is one sequential writer. A process that may have lost
//! what it wrote (crash, restored backup, copied disk) must come back under another actor: see
//! [`Minter`](crate::Minter).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Incarnation;
use crate::codec::{DecodeError, Reader, Reason, put_varint};

/// A sequential writer. Implemented for every ordered, clonable type.
pub trait Actor: Ord + Clone {}

impl<T: Ord + Clone> Actor for T {}

/// An actor with a canonical byte form: equal actors have equal bytes, and only those bytes decode to them.
///
/// Given for integers (big endian, their full width), byte arrays, UUIDs (feature `uuid`), strings (length, then
/// UTF-8) and [`Incarnation`]s of these (node, then number).
pub trait ActorBytes: Actor {
    /// Appends this actor's bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes an actor off the front.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes end early or are not the canonical form.
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl ActorBytes for $integer {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(from.array()?))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128);

impl<const N: usize> ActorBytes for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.array()
    }
}

#[cfg(feature = "uuid")]
impl ActorBytes for uuid::Uuid {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(uuid::Uuid::from_bytes(from.array()?))
    }
}

impl ActorBytes for String {
    fn write(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        out.extend_from_slice(self.as_bytes());
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = from.counted()?;
        core::str::from_utf8(bytes).map(String::from).map_err(|_| from.refuse(Reason::NotText))
    }
}

impl ActorBytes for Box<str> {
    fn write(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        out.extend_from_slice(self.as_bytes());
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        String::read(from).map(String::into_boxed_str)
    }
}

impl<N: ActorBytes> ActorBytes for Incarnation<N> {
    fn write(&self, out: &mut Vec<u8>) {
        self.node.write(out);
        put_varint(self.number, out);
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { node: N::read(from)?, number: from.varint()? })
    }
}
