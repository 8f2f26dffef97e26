//! The context a client carries from a read to its next write, as opaque text.
//!
//! ```text
//! plain   = head | context | note | check:5                       version 1
//! sealed  = head | context | note | check:5 | mac:16              version 2
//! head    = version << 4 | actors                                 15 or more: 15, then actors-15:varint
//! context = per actor: actor, runs                                as in a context's bytes
//! check   = the upper 2 bytes of crc32(head..note), then the lower 3 of crc32(place | head..note)
//! mac     = the first 16 bytes of HMAC-SHA-256(secret, length of place:varint | place | head..check)
//! text    = base64url without padding; only the one text of each token is accepted
//! ```
//! A token of one place is refused at another, and a damaged one everywhere. The two checksums together are at
//! least as strong as one of 32 bits: the second differs from the first by the place, and by nothing else. The
//! `note` belongs to whoever issues tokens. Neither checksum is a secret; where clients are not trusted, `Seal`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::codec::{Actors, put_varint};
use crate::{ActorBytes, CausalContext, DecodeError, Reader, Reason};

const PLAIN: u8 = 1;
const SEALED: u8 = 2;
const CHECK_BYTES: usize = 5;
/// So many actors and more do not fit the head.
const MANY_ACTORS: u8 = 15;

/// A context, bound to the place it was read from.
///
/// ```
/// use causal::{CausalContext, Dot, Token, TokenError};
/// let context: CausalContext<u64> = [Dot::new(7, 3)].into_iter().collect();
/// let text = Token::new(context.clone()).to_text(b"cart")?;
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
    /// Without the seal that is wanted here.
    NotSealed,
    /// With a seal, where nobody can tell whether it is right.
    Sealed,
    /// Not sealed with this secret: forged, or the secret was changed.
    WrongSeal,
    /// The checksum holds but the context does not decode.
    Malformed(DecodeError),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::TooLong => write!(f, "the context is longer than 65536 bytes"),
            TokenError::Damaged => write!(f, "the context is damaged or not a context at all"),
            TokenError::TooNew(version) => write!(f, "the context has version {version}, this release knows 1 and 2"),
            TokenError::OtherPlace => write!(f, "the context was read from another key, field or member"),
            TokenError::NotSealed => write!(f, "the context carries no seal, and only sealed ones are accepted"),
            TokenError::Sealed => write!(f, "the context carries a seal, and there is no secret here to check it"),
            TokenError::WrongSeal => write!(f, "the context was not sealed with this secret: read again"),
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
    /// The longest text there is.
    pub const MAX_TEXT_BYTES: usize = 65_536;

    /// A token without a note.
    #[must_use]
    pub fn new(context: CausalContext<A>) -> Self {
        Self { context, note: Vec::new() }
    }

    /// The text for a client that has read this from `place`.
    ///
    /// # Errors
    /// [`TokenError::TooLong`]: a context of a thousand UUID actors still fits.
    pub fn to_text(&self, place: &[u8]) -> Result<String, TokenError> {
        to_base64(&self.checked(PLAIN, place))
    }

    /// Reads a token for use on `place`.
    ///
    /// # Errors
    /// [`TokenError`] if it is damaged, too new, sealed, or was read from another place.
    pub fn from_text(place: &[u8], text: impl AsRef<[u8]>) -> Result<Self, TokenError> {
        let bytes = from_base64(text.as_ref())?;
        match version(&bytes)? {
            PLAIN => Self::from_body(check_bytes(place, &bytes)?).map_err(TokenError::Malformed),
            _ => Err(TokenError::Sealed),
        }
    }

    fn checked(&self, version: u8, place: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(80);
        let actors = self.context.iter().len();
        match u8::try_from(actors).ok().filter(|actors| *actors < MANY_ACTORS) {
            Some(few) => bytes.push(version << 4 | few),
            None => {
                bytes.push(version << 4 | MANY_ACTORS);
                put_varint(actors as u64 - u64::from(MANY_ACTORS), &mut bytes);
            }
        }
        self.context.write_entries(&mut bytes);
        bytes.extend_from_slice(&self.note);
        let check = check(place, &bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn from_body(body: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(body);
        let [head] = from.array()?;
        let actors = match head & 0xf {
            MANY_ACTORS => {
                let more = from.varint()?;
                more.checked_add(u64::from(MANY_ACTORS)).ok_or(from.refuse(Reason::Overflow))?
            }
            few => u64::from(few),
        };
        let context = CausalContext::read_entries(&mut from, Actors::Exactly(actors))?;
        Ok(Self { context, note: from.rest().to_vec() })
    }
}

fn to_base64(bytes: &[u8]) -> Result<String, TokenError> {
    let text = URL_SAFE_NO_PAD.encode(bytes);
    if text.len() > Token::<u8>::MAX_TEXT_BYTES { Err(TokenError::TooLong) } else { Ok(text) }
}

fn from_base64(text: &[u8]) -> Result<Vec<u8>, TokenError> {
    if text.len() > Token::<u8>::MAX_TEXT_BYTES {
        return Err(TokenError::TooLong);
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Damaged)
}

fn version(bytes: &[u8]) -> Result<u8, TokenError> {
    match bytes.first().ok_or(TokenError::Damaged)? >> 4 {
        0 => Err(TokenError::Damaged),
        known @ (PLAIN | SEALED) => Ok(known),
        newer => Err(TokenError::TooNew(newer)),
    }
}

/// The bytes before the checksums, if these are right.
fn check_bytes<'a>(place: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], TokenError> {
    let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(TokenError::Damaged)?;
    let wanted = check(place, body);
    if found[..2] != wanted[..2] {
        return Err(TokenError::Damaged);
    }
    if found[2..] != wanted[2..] {
        return Err(TokenError::OtherPlace);
    }
    Ok(body)
}

fn check(place: &[u8], body: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, ..] = crc32fast::hash(body).to_be_bytes();
    let mut with_place = crc32fast::Hasher::new();
    with_place.update(place);
    with_place.update(body);
    let [_, c, d, e] = with_place.finalize().to_be_bytes();
    [a, b, c, d, e]
}

#[cfg(feature = "hmac")]
pub use seal::Seal;

#[cfg(feature = "hmac")]
mod seal {
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::fmt;

    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::{SEALED, Token, TokenError, check_bytes, from_base64, to_base64, version};
    use crate::ActorBytes;
    use crate::codec::put_varint;

    const MAC_BYTES: usize = 16;

    /// A secret that makes tokens unforgeable: a client can use one it was given, on the place it was given for,
    /// and cannot make one up (one that claims dots not yet written would delete them when they come).
    ///
    /// ```
    /// use causal::{CausalContext, Dot, Seal, Token, TokenError};
    /// let seal = Seal::new(&[42; 32]);
    /// let token = Token::new(CausalContext::from_iter([Dot::new(7u64, 3)]));
    /// let text = seal.to_text(&token, b"cart")?;
    /// assert_eq!(seal.from_text(b"cart", &text)?, token);
    /// assert_eq!(seal.from_text::<u64>(b"cart", token.to_text(b"cart")?), Err(TokenError::NotSealed));
    /// assert_eq!(Seal::new(&[43; 32]).from_text::<u64>(b"cart", &text), Err(TokenError::WrongSeal));
    /// # Ok::<(), TokenError>(())
    /// ```
    #[derive(Clone)]
    pub struct Seal {
        keyed: Hmac<Sha256>,
    }

    impl fmt::Debug for Seal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Seal(secret)")
        }
    }

    impl Seal {
        /// Seals with this secret: 32 random bytes, the same on every node that shall accept the tokens.
        #[must_use]
        pub fn new(secret: &[u8; 32]) -> Self {
            let keyed = Hmac::new_from_slice(secret);
            Self { keyed: keyed.expect("a key may have any length") }
        }

        /// The sealed text for a client that has read this from `place`.
        ///
        /// # Errors
        /// [`TokenError::TooLong`].
        pub fn to_text<A: ActorBytes>(&self, token: &Token<A>, place: &[u8]) -> Result<String, TokenError> {
            let mut bytes = token.checked(SEALED, place);
            let mac = self.mac(place, &bytes).finalize().into_bytes();
            bytes.extend_from_slice(&mac[..MAC_BYTES]);
            to_base64(&bytes)
        }

        /// Reads a sealed token for use on `place`. The seal is compared in constant time.
        ///
        /// # Errors
        /// [`TokenError`] if it is damaged, too new, was read from another place, or not sealed with this secret.
        pub fn from_text<A: ActorBytes>(&self, place: &[u8], text: impl AsRef<[u8]>) -> Result<Token<A>, TokenError> {
            let bytes = from_base64(text.as_ref())?;
            if version(&bytes)? != SEALED {
                return Err(TokenError::NotSealed);
            }
            let (checked, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(TokenError::Damaged)?;
            let sealed_here = self.mac(place, checked).verify_truncated_left(mac).is_ok();
            let body = check_bytes(place, checked)?; // after the seal, and only to say what is wrong
            if !sealed_here {
                return Err(TokenError::WrongSeal);
            }
            Token::from_body(body).map_err(TokenError::Malformed)
        }

        fn mac(&self, place: &[u8], checked: &[u8]) -> Hmac<Sha256> {
            let mut length = Vec::with_capacity(4);
            put_varint(place.len() as u64, &mut length);
            self.keyed.clone().chain_update(length).chain_update(place).chain_update(checked)
        }
    }
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
    fn every_flipped_bit_is_refused() {
        let text = of(&[(7, 3), (9, 1)]).to_text(b"cart").unwrap().into_bytes();
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Token::<u64>::from_text(b"cart", &damaged).is_err(), "bit {bit}");
        }
    }

    #[cfg(feature = "hmac")]
    #[test]
    fn a_seal_does_not_hold_for_any_other_bytes_or_place() {
        let seal = crate::Seal::new(&[1; 32]);
        let text = seal.to_text(&of(&[(7, 3), (9, 1)]), b"cart").unwrap().into_bytes();
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(seal.from_text::<u64>(b"cart", &damaged).is_err(), "bit {bit}");
        }
        assert_eq!(seal.from_text::<u64>(b"car", &text), Err(TokenError::OtherPlace));
        assert_eq!(Token::<u64>::from_text(b"cart", &text), Err(TokenError::Sealed));
    }

    #[test]
    fn a_truncated_token_is_refused() {
        let text = of(&[(7, 3)]).to_text(b"cart").unwrap();
        for end in 0..text.len() {
            assert!(Token::<u64>::from_text(b"cart", &text[..end]).is_err());
        }
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn three_dots_of_uuid_actors_take_at_most_a_hundred_characters() {
        let dots = (1..=3).map(|n| Dot::new(uuid::Uuid::from_u128(n << 77), 400_000));
        assert!(Token::new(dots.collect()).to_text(b"cart").unwrap().len() <= 100);
    }

    #[test]
    fn three_dots_of_integer_actors_take_at_most_forty_eight_characters() {
        let text = of(&[(u64::MAX / 3, 4_096), (u64::MAX / 2, 4_096), (u64::MAX, 4_096)]).to_text(b"cart").unwrap();
        assert_eq!(text.len(), 48);
    }

    #[test]
    fn a_context_that_does_not_fit_is_refused_before_it_is_handed_out() {
        let of_actors = |count: u64| of(&(0..count).map(|actor| (actor << 40, 7)).collect::<Vec<_>>()).to_text(b"cart");
        assert!(of_actors(1_024).is_ok_and(|text| Token::<u64>::from_text(b"cart", text).is_ok()));
        assert_eq!(of_actors(8_000), Err(TokenError::TooLong));
    }

    quickcheck! {
        fn tokens_round_trip_with_their_note(dots: Vec<(u64, u8)>, note: Vec<u8>, place: Vec<u8>) -> bool {
            let mut token = Token::new(dots.into_iter().map(|(a, n)| Dot::new(a, u64::from(n) + 1)).collect());
            token.note = note;
            Token::from_text(&place, token.to_text(&place).unwrap()) == Ok(token)
        }

        fn random_text_never_decodes_nor_panics(text: Vec<u8>) -> bool {
            Token::<u64>::from_text(b"", &text).is_err()
        }
    }
}
