//! Actors: who may name events. An actor is any ordered value; one that travels in bytes also has a byte form.
//!
//! Invariant the rest of the crate rests on: one actor is one sequential writer. A process that may have lost
//! what it wrote (crash, restored backup, copied disk) must come back under another actor: see
//! [`Minter`](crate::Minter).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Incarnation;
use crate::codec::{DecodeError, Reader, Reason, put_varint};

/// A sequential writer. Implemented for every ordered, clonable type.
pub trait Actor: Ord + Clone {}

impl<T: Ord + Clone> Actor for T {}

/// An actor with a canonical byte form: equal actors have equal bytes, and only those bytes decode to them.
///
/// Given for unsigned integers (big endian, their full width), byte arrays, UUIDs (feature `uuid`), texts of at most
/// [`MAX_TEXT_ACTOR_BYTES`] (length, then UTF-8) and [`Incarnation`]s of these (node, then number). For one's own:
///
/// ```
/// use causal::{ActorBytes, CausalContext, DecodeError, Dot, Reader};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
/// struct Device(u16);
///
/// impl ActorBytes for Device {
///     fn write(&self, out: &mut Vec<u8>) {
///         self.0.write(out);
///     }
///     fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
///         u16::read(from).map(Self)
///     }
/// }
///
/// let context: CausalContext<Device> = [Dot::new(Device(7), 3)].into_iter().collect();
/// assert_eq!(CausalContext::from_bytes(&context.to_bytes()), Ok(context));
/// ```
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

/// A text that is an actor has at most so many bytes: each live dot holds a copy of its actor, so that without a limit
/// a few bytes could ask for very much memory.
pub const MAX_TEXT_ACTOR_BYTES: usize = 128;

macro_rules! texts {
    ($($text:ty),*) => {$(
        /// # Panics
        /// On writing a text of more than [`MAX_TEXT_ACTOR_BYTES`].
        impl ActorBytes for $text {
            fn write(&self, out: &mut Vec<u8>) {
                assert!(self.len() <= MAX_TEXT_ACTOR_BYTES, "an actor's text has at most 128 bytes");
                put_varint(self.len() as u64, out);
                out.extend_from_slice(self.as_bytes());
            }
            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let bytes = from.counted()?;
                if bytes.len() > MAX_TEXT_ACTOR_BYTES {
                    return Err(from.refuse(Reason::Overflow));
                }
                core::str::from_utf8(bytes).map(Self::from).map_err(|_| from.refuse(Reason::NotText))
            }
        }
    )*};
}

texts!(String, Box<str>, Arc<str>);

impl<N: ActorBytes> ActorBytes for Incarnation<N> {
    fn write(&self, out: &mut Vec<u8>) {
        self.node.write(out);
        put_varint(self.number, out);
    }
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { node: N::read(from)?, number: from.varint()? })
    }
}
