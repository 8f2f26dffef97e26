//! What can go wrong. Whatever it is, the state is as it was.

use std::fmt;

use causal::{DecodeError, Dot, DoubleSpentDot, FarFuture, MintError};

/// Why an edit or a merge was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<A> {
    /// One dot has two payloads: an actor is in use twice, or came back without its past.
    DoubleSpent(DoubleSpentDot<A>),
    /// What arrived knows more of this replica's actor than the replica does: it was restored from a copy, lost its
    /// tail or exists twice. [`Replica::renew`](crate::Replica::renew) gives it a new name.
    Amnesia {
        /// Who has forgotten.
        actor: A,
        /// The greatest counter somebody has seen.
        seen: u64,
        /// The greatest counter the actor knows of.
        minted: u64,
    },
    /// The actor has used all its counters.
    Exhausted(A),
    /// No dot could be leased from the host.
    Lease(String),
    /// The records of a stored object could not be read or written, or are damaged.
    Records(String),
    /// A stamp too far ahead of this replica's wall clock.
    FarFuture(FarFuture),
    /// A number would leave its range.
    Overflow,
    /// Boxes within boxes go no deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    TooDeep,
    /// A place in a sequence that is not there.
    OutOfRange {
        /// Where.
        index: usize,
        /// How many elements there are.
        len: usize,
    },
    /// Too few rights for what was asked of a bounded counter.
    Rights(Shortage<A>),
    /// Bytes that were refused.
    Decode(DecodeError),
    /// A token of another object or type, or without this seal.
    ForeignToken,
    /// A token that was changed on the way, or is of a newer release.
    #[cfg(feature = "token")]
    Token(causal::TokenError),
    /// The reader of a token has seen more than this replica: it has to take that in first.
    Behind,
    /// What the reader of a token has seen has moved on, and cannot be removed as it was then: read again.
    Stale,
}

/// What is missing to decrement a bounded counter, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage<A> {
    /// How many rights were asked for.
    pub wanted: u64,
    /// How many this replica has.
    pub held: u64,
    /// Who has rights, most first: ask them for a transfer.
    pub holders: Vec<(A, u64)>,
}

impl<A: fmt::Debug> fmt::Display for Error<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::DoubleSpent(dot) => dot.fmt(f),
            Error::Amnesia { actor, seen, minted } => write!(
                f,
                "{actor:?} knows of its dots up to {minted}, but somebody has seen {seen}: it was restored from a copy, lost its tail or exists twice; renew the replica"
            ),
            Error::Exhausted(actor) => write!(f, "{actor:?} has used all its counters; renew the replica"),
            Error::Lease(why) => write!(f, "no dot could be leased: {why}"),
            Error::Records(why) => write!(f, "the stored records: {why}"),
            Error::FarFuture(why) => why.fmt(f),
            Error::Overflow => write!(f, "the number would leave its range"),
            Error::TooDeep => write!(f, "the place is more than {} levels deep", crate::MAX_DEPTH),
            Error::OutOfRange { index, len } => write!(f, "index {index} is outside of a sequence of {len}"),
            Error::Rights(Shortage { wanted, held, holders }) => {
                write!(f, "{wanted} rights are needed and {held} are here: {} are missing", wanted - held)?;
                match holders.first() {
                    Some((actor, rights)) => write!(f, "; ask {actor:?}, who has {rights}"),
                    None => write!(f, ", and nobody else has any"),
                }
            }
            Error::Decode(why) => write!(f, "the bytes were refused {why}"),
            Error::ForeignToken => write!(f, "the token was read from another object or type, or was not sealed here"),
            #[cfg(feature = "token")]
            Error::Token(why) => write!(f, "the token was refused: {why}"),
            Error::Behind => write!(f, "the token's reader has seen more than this replica: merge that first"),
            Error::Stale => write!(f, "what the token's reader has seen has changed since: read again"),
        }
    }
}

impl<A: fmt::Debug> std::error::Error for Error<A> {}

impl<A> From<DoubleSpentDot<A>> for Error<A> {
    fn from(dot: DoubleSpentDot<A>) -> Self {
        Error::DoubleSpent(dot)
    }
}

impl<A, E: fmt::Display> From<MintError<A, E>> for Error<A> {
    fn from(why: MintError<A, E>) -> Self {
        match why {
            MintError::Amnesia { actor, seen, minted } => Error::Amnesia { actor, seen, minted },
            MintError::Exhausted { actor } => Error::Exhausted(actor),
            MintError::Lease(why) => Error::Lease(why.to_string()),
        }
    }
}

impl<A> From<DecodeError> for Error<A> {
    fn from(why: DecodeError) -> Self {
        Error::Decode(why)
    }
}

impl<A> Error<A> {
    /// The dot with two payloads, if that is what is wrong.
    #[must_use]
    pub fn double_spent(&self) -> Option<&Dot<A>> {
        match self {
            Error::DoubleSpent(DoubleSpentDot(dot)) => Some(dot),
            _ => None,
        }
    }
}
