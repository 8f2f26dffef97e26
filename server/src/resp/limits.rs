//! How much one request may ask for, before and after authentication.
//!
//! The invariant: a limit is compared with what a request announces, before
//! any memory is spent on it.

use super::ProtocolError;

/// Arguments a peer may send in one command before it has authenticated.
const UNAUTHENTICATED_ARGUMENTS: i64 = 10;

/// Bytes a peer may send in one argument before it has authenticated.
const UNAUTHENTICATED_BULK_BYTES: i64 = 16 * 1024;

/// The most that one request may hold.
///
/// ```
/// use server::resp::Limits;
///
/// let small = Limits { bulk_bytes: 512 * 1024, ..Limits::default() };
/// assert_eq!(small.inline_bytes, 64 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line without its terminator: an inline command, or the
    /// line that announces a count or a length.
    pub inline_bytes: usize,
    /// Arguments of one command, its name included.
    pub arguments: usize,
    /// Bytes of one argument: what Redis calls `proto-max-bulk-len`.
    pub bulk_bytes: usize,
    /// The greatest command, all its arguments together.
    pub request_bytes: usize,
}

impl Default for Limits {
    /// 64 KiB for a line, 1,048,576 arguments, 16 MiB for an argument.
    fn default() -> Self {
        Self {
            inline_bytes: 64 * 1024,
            arguments: 1_048_576,
            bulk_bytes: 16 * 1024 * 1024,
            request_bytes: 96 * 1024 * 1024,
        }
    }
}

/// Whether a peer has shown who it is, where that is asked for.
///
/// A server without a password treats every peer as authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Has yet to send `AUTH`: ten arguments of 16 KiB are enough for that,
    /// and a stranger gets no more of our memory.
    Unauthenticated,
    /// Bound by [`Limits`] alone.
    #[default]
    Authenticated,
}

impl Limits {
    /// The number of arguments to read for an announced count; a count of
    /// zero or less announces a command without arguments.
    pub(super) fn admit_count(&self, count: i64, access: Access) -> Result<usize, ProtocolError> {
        if count <= 0 {
            return Ok(0);
        }
        let arguments = admit(count, self.arguments);
        let arguments = arguments.ok_or(ProtocolError::InvalidMultibulkLength)?;
        if access == Access::Unauthenticated && count > UNAUTHENTICATED_ARGUMENTS {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(arguments)
    }

    /// The number of bytes to read for an announced argument length.
    pub(super) fn admit_bulk(&self, length: i64, access: Access) -> Result<usize, ProtocolError> {
        let bytes = admit(length, self.bulk_bytes).ok_or(ProtocolError::InvalidBulkLength)?;
        if access == Access::Unauthenticated && length > UNAUTHENTICATED_BULK_BYTES {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        Ok(bytes)
    }
}

fn admit(announced: i64, limit: usize) -> Option<usize> {
    usize::try_from(announced).ok().filter(|n| *n <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { inline_bytes: 64, arguments: 100, bulk_bytes: 100_000, request_bytes: 1_000_000 };

    #[test]
    fn a_limit_is_the_last_number_that_is_let_in() {
        let access = Access::Authenticated;
        assert_eq!(LIMITS.admit_count(100, access), Ok(100));
        assert_eq!(LIMITS.admit_count(101, access), Err(ProtocolError::InvalidMultibulkLength));
        assert_eq!(LIMITS.admit_bulk(100_000, access), Ok(100_000));
        assert_eq!(LIMITS.admit_bulk(100_001, access), Err(ProtocolError::InvalidBulkLength));
    }

    #[test]
    fn a_count_below_one_is_a_command_without_arguments_but_a_length_below_zero_is_an_error() {
        let access = Access::Authenticated;
        assert_eq!(LIMITS.admit_count(i64::MIN, access), Ok(0));
        assert_eq!(LIMITS.admit_bulk(0, access), Ok(0));
        assert_eq!(LIMITS.admit_bulk(-1, access), Err(ProtocolError::InvalidBulkLength));
    }

    #[test]
    fn a_stranger_gets_ten_arguments_of_sixteen_kibibytes() {
        let access = Access::Unauthenticated;
        assert_eq!(LIMITS.admit_count(10, access), Ok(10));
        assert_eq!(LIMITS.admit_count(11, access), Err(ProtocolError::UnauthenticatedMultibulkLength));
        assert_eq!(LIMITS.admit_bulk(16_384, access), Ok(16_384));
        assert_eq!(LIMITS.admit_bulk(16_385, access), Err(ProtocolError::UnauthenticatedBulkLength));
    }
}
