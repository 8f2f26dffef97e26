//! Values that have bytes: what a DVV set needs of its values to be bytes itself.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Reason;

/// A value with a canonical byte form: equal values have equal bytes, and only those bytes decode to them.
pub trait ValueBytes: Sized {
    /// This value's bytes.
    fn bytes(&self) -> Cow<'_, [u8]>;
    /// The value with exactly these bytes.
    ///
    /// # Errors
    /// The [`Reason`] if they are no value's.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Reason>;
}

impl ValueBytes for Vec<u8> {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, Reason> {
        Ok(bytes.to_vec())
    }
}

impl ValueBytes for Box<[u8]> {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, Reason> {
        Ok(bytes.into())
    }
}

impl ValueBytes for String {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, Reason> {
        core::str::from_utf8(bytes).map(String::from).map_err(|_| Reason::NotText)
    }
}

/// Eight bytes, the most significant first.
impl ValueBytes for u64 {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_be_bytes().to_vec())
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, Reason> {
        bytes.try_into().map(u64::from_be_bytes).map_err(|_| Reason::NotCanonical)
    }
}

/// No bytes: for sets of which only the dots matter.
impl ValueBytes for () {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&[])
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.is_empty() { Ok(()) } else { Err(Reason::NotCanonical) }
    }
}
