//! What a command answers, in the words of the protocol.
//!
//! The invariant: a reply says what it is once, and both protocols can say it.
//! RESP2 has fewer kinds, so there a reply falls back to the kind that Redis
//! uses in its place:
//!
//! | reply | RESP3 | RESP2 |
//! |---|---|---|
//! | double | `,1.5` | the text as a bulk string |
//! | boolean | `#t` | the integer 1 or 0 |
//! | null, null array | `_` | `$-1`, `*-1` |
//! | pairs | an array of arrays of two | one array of both in turn |
//! | map | `%` pairs | an array of keys and values in turn |
//! | set, push | `~`, `>` | an array |
//! | verbatim | `=` with `txt:` | a bulk string |

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::encoder::Encoder;
use super::{Protocol, ProtocolError};

/// An answer to a command, or a message that nobody asked for.
///
/// ```
/// use server::resp::{Protocol, Reply};
///
/// let reply = Reply::map([(Reply::bulk("proto"), Reply::from(3))]);
/// let mut out = Vec::new();
/// reply.encode(Protocol::Resp3, &mut out);
/// assert_eq!(out, b"%1\r\n$5\r\nproto\r\n:3\r\n");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// A status: a short text of ours without CR and LF.
    Simple(Cow<'static, str>),
    /// An error: its code, a space, and a sentence. A CR or LF in it is
    /// written as a space, because the text may quote a client.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A double.
    Double(f64),
    /// A boolean, for the few answers that are one in RESP3. Most commands
    /// answer yes and no with the integers 1 and 0 in both protocols.
    Boolean(bool),
    /// A string of any bytes.
    Bulk(Bytes),
    /// No value where a string or a number would be.
    Null,
    /// No value where an array would be.
    NullArray,
    /// Replies in an order.
    Array(Vec<Reply>),
    /// Pairs of a key and a value, in the order given.
    Map(Vec<(Reply, Reply)>),
    /// Pairs in an order: an array of arrays of two in RESP3, one flat array in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// Pairs in an order: a map in RESP3, an array of arrays of two in RESP2.
    Keyed(Vec<(Reply, Reply)>),
    /// Replies without an order; that they differ is up to the command.
    Set(Vec<Reply>),
    /// A message outside of the order of replies.
    Push(Vec<Reply>),
    /// What is said beside the reply that follows; nothing in RESP2.
    Attribute(Vec<(Reply, Reply)>),
    /// A text for people to read, lines and all.
    Verbatim(String),
    /// A double in a text of its own, with more digits than it needs.
    Decimal(String),
}

impl Reply {
    /// `OK`.
    pub const fn ok() -> Self {
        Self::status("OK")
    }

    /// A status.
    pub const fn status(text: &'static str) -> Self {
        Self::Simple(Cow::Borrowed(text))
    }

    /// An error, which begins with its code: `ERR no such key`.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// The error for a key that holds another type than the command needs.
    pub fn wrong_type() -> Self {
        Self::error("WRONGTYPE Operation against a key holding the wrong kind of value")
    }

    /// The error for keys that are in different slots where one command needs them together.
    pub fn cross_slot() -> Self {
        Self::error("CROSSSLOT Keys in request don't hash to the same slot")
    }

    /// The error for arguments that do not go together.
    pub fn syntax_error() -> Self {
        Self::error("ERR syntax error")
    }

    /// The error for an argument or a value that should be an `i64`.
    pub fn not_an_integer() -> Self {
        Self::error("ERR value is not an integer or out of range")
    }

    /// The error for an argument or a value that should be a double.
    pub fn not_a_float() -> Self {
        Self::error("ERR value is not a valid float")
    }

    /// The error for too few or too many arguments to `command`, which Redis
    /// shows in lower case, and with its subcommand as `client|list`.
    pub fn wrong_number_of_arguments(command: &str) -> Self {
        let command = command.to_ascii_lowercase();
        Self::Error(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// A string; shares `bytes` if they are [`Bytes`], static, or owned.
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// A string, copied from bytes that belong to someone else.
    pub fn copied(bytes: &[u8]) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes))
    }

    /// A number of things.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Replies in an order.
    pub fn array<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }

    /// Replies without an order.
    pub fn set<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Set(items.into_iter().map(Into::into).collect())
    }

    /// A message outside of the order of replies.
    pub fn push<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Push(items.into_iter().map(Into::into).collect())
    }

    /// Pairs of a key and a value.
    pub fn map<K: Into<Self>, V: Into<Self>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let pairs = pairs.into_iter();
        Self::Map(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Appends the bytes of this reply to `out`.
    ///
    /// Numbers, lengths and texts go there without an allocation between.
    /// Recurses as deep as the reply nests; replies are made by commands, not
    /// by peers, and nest a handful of levels.
    pub fn encode(&self, protocol: Protocol, out: &mut Vec<u8>) {
        Encoder { protocol, out }.reply(self);
    }
}

impl From<i64> for Reply {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Reply {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<Bytes> for Reply {
    fn from(value: Bytes) -> Self {
        Self::Bulk(value)
    }
}

impl From<Vec<u8>> for Reply {
    fn from(value: Vec<u8>) -> Self {
        Self::bulk(value)
    }
}

impl From<String> for Reply {
    fn from(value: String) -> Self {
        Self::bulk(value)
    }
}

/// `None` is [`Reply::Null`].
impl<T: Into<Reply>> From<Option<T>> for Reply {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What Redis says before it closes a connection it cannot read.
impl From<ProtocolError> for Reply {
    fn from(error: ProtocolError) -> Self {
        Self::Error(format!("ERR {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_null() {
        assert_eq!(Reply::from(None::<i64>), Reply::Null);
        assert_eq!(Reply::from(Some(5)), Reply::Integer(5));
    }

    #[test]
    fn a_protocol_error_carries_the_code_err() {
        let reply = Reply::from(ProtocolError::InvalidBulkLength);
        assert!(reply.is_error());
        let text = "ERR Protocol error: invalid bulk length";
        assert_eq!(reply, Reply::error(text));
    }

    #[test]
    fn a_command_is_named_in_lower_case() {
        let text = "ERR wrong number of arguments for 'get' command";
        assert_eq!(Reply::wrong_number_of_arguments("GET"), Reply::error(text));
    }
}
