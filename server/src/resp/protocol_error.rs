//! Why a connection's bytes cannot be read any further.
//!
//! The texts are Redis' own, to the letter: clients and their test suites
//! compare them.

use std::error::Error;
use std::fmt;

/// A request that is not one.
///
/// Where the next request would begin is unknown from here on, so the
/// connection is answered with this and closed.
///
/// ```
/// use server::resp::ProtocolError;
///
/// let error = ProtocolError::ExpectedBulk { got: b'f' };
/// assert_eq!(error.to_string(), "Protocol error: expected '$', got 'f'");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The count after `*` is no canonical integer, or above the limit.
    InvalidMultibulkLength,
    /// The length after `$` is no canonical integer, is negative, is above the
    /// limit, or does not lead to the end of the argument.
    InvalidBulkLength,
    /// Something else stands where an argument should begin.
    ExpectedBulk {
        /// The byte in the place of the `$`.
        got: u8,
    },
    /// An inline command opens a quote and does not close it, or goes on
    /// without a space behind the closing one.
    UnbalancedQuotes,
    /// An inline command is longer than the limit.
    TooBigInline,
    /// The line that announces the count is longer than the limit.
    TooBigMultibulkCount,
    /// A line that announces a length is longer than the limit.
    TooBigBulkCount,
    /// All arguments together are more than a command may have.
    TooBigRequest,
    /// A peer announced too many arguments before it authenticated.
    UnauthenticatedMultibulkLength,
    /// A peer announced too long an argument before it authenticated.
    UnauthenticatedBulkLength,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Self::InvalidBulkLength => f.write_str("invalid bulk length"),
            Self::ExpectedBulk { got } => write!(f, "expected '$', got '{}'", Printable(*got)),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::TooBigInline => f.write_str("too big inline request"),
            Self::TooBigMultibulkCount => f.write_str("too big mbulk count string"),
            Self::TooBigRequest => f.write_str("too big request"),
            Self::TooBigBulkCount => f.write_str("too big bulk count string"),
            Self::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
        }
    }
}

impl Error for ProtocolError {}

/// A byte from a peer, safe to show: Redis sends it as it is, but the text
/// also goes to our log, which no peer should write control codes into.
struct Printable(u8);

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b' '..=b'~' => write!(f, "{}", char::from(self.0)),
            other => write!(f, "{}", other.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_redis() {
        let texts = [
            (ProtocolError::InvalidMultibulkLength, "invalid multibulk length"),
            (ProtocolError::InvalidBulkLength, "invalid bulk length"),
            (ProtocolError::ExpectedBulk { got: b'f' }, "expected '$', got 'f'"),
            (ProtocolError::UnbalancedQuotes, "unbalanced quotes in request"),
            (ProtocolError::TooBigInline, "too big inline request"),
            (ProtocolError::TooBigMultibulkCount, "too big mbulk count string"),
            (ProtocolError::TooBigBulkCount, "too big bulk count string"),
            (ProtocolError::UnauthenticatedMultibulkLength, "unauthenticated multibulk length"),
            (ProtocolError::UnauthenticatedBulkLength, "unauthenticated bulk length"),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), format!("Protocol error: {text}"));
        }
    }

    #[test]
    fn a_byte_that_does_not_print_is_escaped_and_a_quote_is_not() {
        let text = |got| ProtocolError::ExpectedBulk { got }.to_string();
        assert!(text(0).ends_with(r"got '\x00'"));
        assert!(text(b'\r').ends_with(r"got '\r'"));
        assert!(text(b'\'').ends_with("got '''"));
        assert!(text(0xff).ends_with(r"got '\xff'"));
    }
}
