//! How far into a command the scanner has come, and the lines it reads there.
//!
//! The invariant: [`Cursor::seen`] only grows within a command, and a search
//! for the end of a line begins there, so that a line is searched once however
//! many reads it takes to arrive.

use super::{ProtocolError, parse_integer};

/// A place in a command, between two of its parts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    /// Where the current line or argument begins.
    offset: usize,
    /// Bytes from there on that are known not to end the line.
    searched: usize,
}

/// What can be wrong with a line that announces a number.
pub(super) struct LineErrors {
    too_big: ProtocolError,
    invalid: ProtocolError,
}

/// For the line `*<arguments>`.
pub(super) const COUNT_LINE: LineErrors =
    LineErrors { too_big: ProtocolError::TooBigMultibulkCount, invalid: ProtocolError::InvalidMultibulkLength };

/// For the line `$<bytes>`.
pub(super) const LENGTH_LINE: LineErrors =
    LineErrors { too_big: ProtocolError::TooBigBulkCount, invalid: ProtocolError::InvalidBulkLength };

impl Cursor {
    /// Bytes of the command read so far.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes of the command that will not be looked at again to find out where
    /// its parts end.
    pub(super) fn seen(&self) -> usize {
        self.offset + self.searched
    }

    /// Goes on behind a part that ends at `offset`.
    pub(super) fn skip_to(&mut self, offset: usize) {
        self.offset = offset;
        self.searched = 0;
    }

    /// Reads a line of text up to LF, without it and a CR before it; `None`
    /// until it is complete.
    pub(super) fn line<'b>(&mut self, bytes: &'b [u8], limit: usize) -> Result<Option<&'b [u8]>, ProtocolError> {
        let line = &bytes[self.offset..];
        let Some(end) = self.find(b'\n', line, limit, ProtocolError::TooBigInline)? else {
            return Ok(None);
        };
        self.skip_to(self.offset + end + 1);
        let line = &line[..end];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Reads a line of one byte, which the caller knows, and a number, up to
    /// CR LF; `None` until it is complete.
    pub(super) fn number(
        &mut self,
        bytes: &[u8],
        limit: usize,
        errors: &LineErrors,
    ) -> Result<Option<i64>, ProtocolError> {
        let line = &bytes[self.offset..];
        if self.searched == 0
            && let Some((number, len)) = short_number(line)
            && len <= limit
        {
            self.skip_to(self.offset + len);
            return Ok(Some(number));
        }
        let Some(end) = self.find(b'\r', line, limit, errors.too_big)? else {
            return Ok(None);
        };
        match line.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                self.skip_to(self.offset + end + 2);
                let number = parse_integer(&line[1..end]).ok_or(errors.invalid)?;
                Ok(Some(number))
            }
            Some(_) => Err(errors.invalid),
        }
    }

    /// How many bytes stand before the first `end` in the line, once there is
    /// one. More than `limit` are too many, whether or not the line is complete.
    fn find(
        &mut self,
        end: u8,
        line: &[u8],
        limit: usize,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let unsearched = &line[self.searched..];
        let found = unsearched.iter().position(|byte| *byte == end);
        self.searched += found.unwrap_or(unsearched.len());
        if self.searched > limit {
            return Err(too_big);
        }
        Ok(found.map(|_| self.searched))
    }
}

/// The number in a whole line of one or two digits, and the line's length.
///
/// Nearly every line is one of these, and reading them in one glance takes a
/// third off a small command. The general way reads them to the same end.
fn short_number(line: &[u8]) -> Option<(i64, usize)> {
    let digit = |byte: &u8| i64::from(byte - b'0');
    match line {
        [_, ones @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(ones), 4)),
        [_, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(tens) * 10 + digit(ones), 5)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(line: &[u8]) -> Option<i64> {
        let mut cursor = Cursor::default();
        let number = cursor.number(line, 64, &COUNT_LINE).ok().flatten();
        assert!(number.is_none() || cursor.offset() == line.len());
        number
    }

    fn byte_by_byte(line: &[u8]) -> Option<i64> {
        let mut cursor = Cursor::default();
        (1..=line.len()).find_map(|len| {
            let part = &line[..len];
            cursor.number(part, 64, &COUNT_LINE).ok().flatten()
        })
    }

    #[test]
    fn the_short_way_reads_what_the_general_way_reads() {
        for number in -12..=1200 {
            let line = format!("*{number}\r\n");
            assert_eq!(whole(line.as_bytes()), Some(number));
            assert_eq!(byte_by_byte(line.as_bytes()), Some(number));
        }
        for line in ["*\r\n", "*00\r\n", "*01\r\n", "*1x\r\n", "*1\n\r"] {
            assert_eq!(whole(line.as_bytes()), None);
            assert_eq!(byte_by_byte(line.as_bytes()), None);
        }
    }

    #[test]
    fn the_limit_holds_the_short_way_too() {
        let error = ProtocolError::TooBigBulkCount;
        let mut cursor = Cursor::default();
        assert_eq!(cursor.number(b"$12\r\n", 2, &LENGTH_LINE), Err(error));
        let mut cursor = Cursor::default();
        assert_eq!(cursor.number(b"$12\r\n", 3, &LENGTH_LINE), Ok(Some(12)));
    }
}
