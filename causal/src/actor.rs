//! Actors: who may name events. An actor is any ordered value; one that travels in tokens also has bytes.
//!
//! Invariant the rest of the crate rests on: one actor is one sequential writer. A process that may have lost
//! what it wrote (crash, restored backup, copied disk) must come back under another actor.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader};

/// A sequential writer. Implemented for every ordered, clonable type.
pub trait Actor: Ord + Clone {}

impl<T: Ord + Clone> Actor for T {}

/// An actor with a canonical byte form: equal actors have equal bytes, and only those bytes decode to them.
pub trait ActorBytes: Actor {
    /// Appends this actor's bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes an actor off the front.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes end early or are not the canonical form.
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl ActorBytes for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(u64::from_be_bytes(from.array()?))
    }
}

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
