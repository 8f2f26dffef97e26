//! The context a client carries from a read to its next write, as opaque text.
//!
//! ```text
//! token = version:u8 = 1 | tag:3 | context (canonical) | note: the rest | checksum:4
//! tag      = the last 3 bytes of crc32("place" | place): the key and cell it speaks of
//! checksum = crc32(everything before it)     big-endian both
//! text     = base64url without padding; decoding accepts only the one text of each token
//! ```
//! A token of one place is refused at another, and a damaged one everywhere. The `note` belongs to whoever
//! issues tokens. Neither tag nor checksum is a secret: a forger is kept out by whatever guards the connection.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{ActorBytes, CausalContext, DecodeError, Reader};

const VERSION: u8 = 1;
const TAG_BYTES: usize = 3;
const CHECKSUM_BYTES: usize = 4;

/// A context, bound to the place it was read from.
///
/// ```
/// use causal::{CausalContext, Dot, Token, TokenError};
/// let context: CausalContext<u64> = [Dot::new(7, 3)].into_iter().collect();
/// let text = Token::new(context.clone()).to_text(b"cart");
/// assert_eq!(Token::from_text(b"cart", &text)?.context, context);
/// assert_eq!(Token::<u64>::from_text(b"other", &text), Err(TokenError::OtherPlace));
/// # Ok::<(), TokenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<A> {
    /// What the client has read.
    pub context: CausalContext<A>,
    /// Bytes of the issuer's own.
    pub note: Vec<u8>,
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than [`Token::MAX_TEXT_BYTES`].
    TooLong,
    /// Not the text of any token, or changed on the way.
    Damaged,
    /// Made by a newer release.
    TooNew(u8),
    /// Read from another key, field or member than it is used on.
    OtherPlace,
    /// The checksum holds but the context does not decode.
    Malformed(DecodeError),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::TooLong => write!(f, "the context is longer than 4096 bytes"),
            TokenError::Damaged => write!(f, "the context is damaged or not a context at all"),
            TokenError::TooNew(version) => write!(f, "the context has version {version}, this release knows version 1"),
            TokenError::OtherPlace => write!(f, "the context was read from another key, field or member"),
            TokenError::Malformed(why) => write!(f, "the context does not decode: {why}"),
        }
    }
}

impl core::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            TokenError::Malformed(why) => Some(why),
            _ => None,
        }
    }
}

impl<A: ActorBytes> Token<A> {
    /// The longest text that is decoded.
    pub const MAX_TEXT_BYTES: usize = 4096;

    /// A token without a note.
    #[must_use]
    pub fn new(context: CausalContext<A>) -> Self {
        Self { context, note: Vec::new() }
    }

    /// The text for a client that has read this from `place`.
    #[must_use]
    pub fn to_text(&self, place: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(80);
        bytes.push(VERSION);
        bytes.extend_from_slice(&tag(place));
        self.context.write(&mut bytes);
        bytes.extend_from_slice(&self.note);
        let checksum = crc32fast::hash(&bytes).to_be_bytes();
        bytes.extend_from_slice(&checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token for use on `place`.
    ///
    /// # Errors
    /// [`TokenError`] if it is damaged, too new, or was read from another place.
    pub fn from_text(place: &[u8], text: impl AsRef<[u8]>) -> Result<Self, TokenError> {
        let text = text.as_ref();
        if text.len() > Self::MAX_TEXT_BYTES {
            return Err(TokenError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Damaged)?;
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TokenError::Damaged)?;
        if crc32fast::hash(body).to_be_bytes() != *checksum {
            return Err(TokenError::Damaged);
        }
        let mut reader = Reader::new(body);
        let [version] = reader.array().map_err(TokenError::Malformed)?;
        if version != VERSION {
            return Err(TokenError::TooNew(version));
        }
        if reader.array::<TAG_BYTES>().map_err(TokenError::Malformed)? != tag(place) {
            return Err(TokenError::OtherPlace);
        }
        let context = CausalContext::read(&mut reader).map_err(TokenError::Malformed)?;
        Ok(Self { context, note: reader.rest().to_vec() })
    }
}

fn tag(place: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(b"place");
    hasher.update(place);
    let [_, tag @ ..] = hasher.finalize().to_be_bytes();
    tag
}

#[cfg(test)]
mod tests {
    use super::{Token, TokenError};
    use crate::Dot;
    use alloc::vec::Vec;
    use quickcheck::quickcheck;

    fn of(dots: &[(u64, u64)]) -> Token<u64> {
        Token::new(dots.iter().map(|(a, n)| Dot::new(*a, *n)).collect())
    }

    #[test]
    fn golden_text() {
        assert_eq!(of(&[(7, 3)]).to_text(b"cart"), "AXr3vAEAAAAAAAAABwlwxCyR");
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let text = of(&[(7, 3), (9, 1)]).to_text(b"cart").into_bytes();
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Token::<u64>::from_text(b"cart", &damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_truncated_token_is_refused() {
        let text = of(&[(7, 3)]).to_text(b"cart");
        for end in 0..text.len() {
            assert!(Token::<u64>::from_text(b"cart", &text[..end]).is_err());
        }
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn three_dots_of_uuid_actors_take_at_most_a_hundred_characters() {
        let dots = (1..=3).map(|n| Dot::new(uuid::Uuid::from_u128(n << 77), 400_000));
        assert!(Token::new(dots.collect()).to_text(b"cart").len() <= 100);
    }

    quickcheck! {
        fn tokens_round_trip_with_their_note(dots: Vec<(u64, u8)>, note: Vec<u8>, place: Vec<u8>) -> bool {
            let mut token = Token::new(dots.into_iter().map(|(a, n)| Dot::new(a, u64::from(n) + 1)).collect());
            token.note = note;
            let text = token.to_text(&place);
            text.len() > Token::<u64>::MAX_TEXT_BYTES || Token::from_text(&place, &text) == Ok(token)
        }

        fn random_text_never_decodes_nor_panics(text: Vec<u8>) -> bool {
            matches!(Token::<u64>::from_text(b"", &text), Err(TokenError::Damaged | TokenError::Malformed(_) | TokenError::TooLong))
        }
    }
}
