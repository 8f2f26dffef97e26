//! Finds requests in the bytes of a connection, however they are cut.
//!
//! A request is an array of bulk strings, or a line of words for people:
//!
//! ```text
//! *2\r\n $3\r\nGET\r\n $3\r\nkey\r\n        multibulk
//! GET key\r\n                             inline
//! ```
//!
//! The invariants:
//! - no byte is examined again because more bytes came, so a command takes
//!   time linear in its length in however many reads it arrives;
//! - memory grows with arguments that have arrived, never with announced ones;
//! - what comes out does not depend on how the bytes were cut;
//! - an error is final.
//!
//! Stricter than Redis in one place: Redis skips two bytes behind an argument
//! and one behind a length without looking at them. Here they must be the
//! CR LF they stand for, because a client that miscounts would otherwise have
//! its data read as commands.

use std::ops::Range;

use bytes::Bytes;

use super::cursor::{COUNT_LINE, Cursor, LENGTH_LINE};
use super::inline::split_line;
use super::{Access, Limits, ProtocolError};

/// Arguments, and bytes of inline words, for which an idle scanner keeps room.
const KEPT_ROOM: usize = 1024;

const CRLF: &[u8] = b"\r\n";

/// What [`Scanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The command has not arrived in full.
    Incomplete {
        /// Scanning again is useless before the buffer holds this many bytes.
        ///
        /// A peer chooses this number: wait for it, but do not reserve it.
        at_least_bytes: usize,
    },
    /// The first `len` bytes are one command.
    Command {
        /// Bytes to drop from the front of the buffer, once the arguments
        /// have been read from it.
        len: usize,
    },
}

/// Reads one request after the other out of a growing buffer.
///
/// The caller owns the buffer. It appends what it reads, and passes the whole
/// of it, from the first byte of the current command on, to [`Scanner::scan`].
/// After [`Scan::Command`] it reads the arguments, drops `len` bytes from the
/// front, and scans again.
///
/// ```
/// use server::resp::{Scan, Scanner};
///
/// let mut scanner = Scanner::default();
/// let mut buffer = b"*2\r\n$3\r\nGET\r\n$3\r\nk".to_vec();
/// assert_eq!(scanner.scan(&buffer)?, Scan::Incomplete { at_least_bytes: 22 });
///
/// buffer.extend_from_slice(b"ey\r\nPING\r\n");
/// assert_eq!(scanner.scan(&buffer)?, Scan::Command { len: 22 });
/// assert_eq!(scanner.arg_count(), 2);
/// assert_eq!(scanner.arg(&buffer, 1), b"key");
///
/// buffer.drain(..22);
/// assert_eq!(scanner.scan(&buffer)?, Scan::Command { len: 6 });
/// assert_eq!(scanner.arg(&buffer, 0), b"PING");
/// # Ok::<(), server::resp::ProtocolError>(())
/// ```
#[derive(Debug, Default)]
pub struct Scanner {
    limits: Limits,
    access: Access,
    state: State,
    form: Form,
    cursor: Cursor,
    /// Arguments announced and not yet read.
    remaining: usize,
    /// Where each argument is: in the buffer, or in `words` if inline.
    args: Vec<Range<usize>>,
    /// The unquoted words of an inline command.
    words: Vec<u8>,
}

/// What the scanner reads next.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// The first byte, which tells the form.
    #[default]
    Start,
    /// The line of an inline command.
    Inline,
    /// The line `*<arguments>`.
    Count,
    /// The line `$<bytes>`, if an argument remains.
    Header,
    /// An argument of `bytes` bytes and its terminator.
    Argument { bytes: usize },
    /// Nothing: the command can be read.
    Complete,
    /// Nothing any more.
    Failed(ProtocolError),
}

#[derive(Clone, Copy, Debug, Default)]
enum Form {
    #[default]
    Multibulk,
    Inline,
}

/// Whether scanning can go on.
enum Step {
    Next(State),
    Wait { at_least_bytes: usize },
}

impl Scanner {
    /// A scanner at the beginning of a connection.
    pub fn new(limits: Limits, access: Access) -> Self {
        Self { limits, access, ..Self::default() }
    }

    /// Changes what the peer may send from the next announcement on, when it
    /// has authenticated, or has been reset.
    pub fn set_access(&mut self, access: Access) {
        self.access = access;
    }

    /// Reads on, in the same command until it is complete, then in the next.
    ///
    /// `bytes` begins with the current command and holds at least what it held
    /// at the call before. An empty line and a count of zero or less are
    /// commands without arguments, which the caller skips.
    ///
    /// # Errors
    ///
    /// When the bytes are not a request. They cannot become one: this call
    /// and every later one give the same error.
    ///
    /// # Panics
    ///
    /// When `bytes` lost a part of the current command, a bug of the caller.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scan, ProtocolError> {
        match self.state {
            State::Complete => self.begin(),
            State::Failed(error) => return Err(error),
            _ => {}
        }
        assert!(self.cursor.seen() <= bytes.len(), "the buffer of a partial command only grows");
        let scan = self.advance(bytes);
        if let Err(error) = scan {
            self.state = State::Failed(error);
        }
        scan
    }

    /// The number of arguments, the command's name included; zero unless the
    /// last scan found a command.
    pub fn arg_count(&self) -> usize {
        match self.state {
            State::Complete => self.args.len(),
            _ => 0,
        }
    }

    /// The argument at `index`, from the same `bytes` in which the last scan
    /// found a command.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`Scanner::arg_count`].
    pub fn arg<'a>(&'a self, bytes: &'a [u8], index: usize) -> &'a [u8] {
        let range = self.range(index);
        match self.form {
            Form::Multibulk => &bytes[range],
            Form::Inline => &self.words[range],
        }
    }

    /// The argument at `index` as bytes of its own, from the same `bytes` in
    /// which the last scan found a command.
    ///
    /// Shares the buffer where it can, which keeps all of the buffer alive: for
    /// large arguments. Copying a small one is cheaper than counting it.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`Scanner::arg_count`].
    pub fn shared_arg(&self, bytes: &Bytes, index: usize) -> Bytes {
        let range = self.range(index);
        match self.form {
            Form::Multibulk => bytes.slice(range),
            Form::Inline => Bytes::copy_from_slice(&self.words[range]),
        }
    }

    /// Bytes of heap that this scanner holds, besides the caller's buffer.
    pub fn heap_bytes(&self) -> usize {
        self.args.capacity() * size_of::<Range<usize>>() + self.words.capacity()
    }

    fn range(&self, index: usize) -> Range<usize> {
        assert!(index < self.arg_count(), "no argument {index}");
        self.args[index].clone()
    }

    /// Forgets the last command, and the memory of an unusually large one.
    fn begin(&mut self) {
        self.state = State::Start;
        self.cursor = Cursor::default();
        self.args.clear();
        self.args.shrink_to(KEPT_ROOM);
        self.words.clear();
        self.words.shrink_to(KEPT_ROOM);
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Scan, ProtocolError> {
        loop {
            let step = match self.state {
                State::Start => self.first_byte(bytes),
                State::Inline => self.inline(bytes)?,
                State::Count => self.count(bytes)?,
                State::Header if self.remaining == 0 => Step::Next(State::Complete),
                State::Header => self.header(bytes)?,
                State::Argument { bytes: length } => self.argument(bytes, length)?,
                State::Complete => return Ok(Scan::Command { len: self.cursor.offset() }),
                State::Failed(error) => return Err(error),
            };
            match step {
                Step::Next(state) => self.state = state,
                Step::Wait { at_least_bytes } => return Ok(Scan::Incomplete { at_least_bytes }),
            }
        }
    }

    fn first_byte(&mut self, bytes: &[u8]) -> Step {
        let (form, state) = match bytes.first() {
            None => return wait_for_one_more(bytes),
            Some(b'*') => (Form::Multibulk, State::Count),
            Some(_) => (Form::Inline, State::Inline),
        };
        self.form = form;
        Step::Next(state)
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        let Some(line) = self.cursor.line(bytes, self.limits.inline_bytes)? else {
            return Ok(wait_for_one_more(bytes));
        };
        split_line(line, &mut self.words, &mut self.args)?;
        Ok(Step::Next(State::Complete))
    }

    fn count(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        let line_limit = self.limits.inline_bytes;
        let Some(count) = self.cursor.number(bytes, line_limit, &COUNT_LINE)? else {
            return Ok(wait_for_one_more(bytes));
        };
        self.remaining = self.limits.admit_count(count, self.access)?;
        Ok(Step::Next(State::Header))
    }

    fn header(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        match bytes.get(self.cursor.offset()) {
            None => return Ok(wait_for_one_more(bytes)),
            Some(b'$') => {}
            Some(got) => return Err(ProtocolError::ExpectedBulk { got: *got }),
        }
        let line_limit = self.limits.inline_bytes;
        let Some(length) = self.cursor.number(bytes, line_limit, &LENGTH_LINE)? else {
            return Ok(wait_for_one_more(bytes));
        };
        let bytes = self.limits.admit_bulk(length, self.access)?;
        if self.cursor.offset().saturating_add(bytes) > self.limits.request_bytes {
            return Err(ProtocolError::TooBigRequest);
        }
        Ok(Step::Next(State::Argument { bytes }))
    }

    fn argument(&mut self, bytes: &[u8], length: usize) -> Result<Step, ProtocolError> {
        // Saturating, because a limit may be as large as an address.
        let start = self.cursor.offset();
        let end = start.saturating_add(length);
        let next = end.saturating_add(CRLF.len());
        let Some(terminator) = bytes.get(end..next) else {
            return Ok(Step::Wait { at_least_bytes: next });
        };
        if terminator != CRLF {
            return Err(ProtocolError::InvalidBulkLength);
        }
        self.args.push(start..end);
        self.cursor.skip_to(next);
        self.remaining -= 1;
        Ok(Step::Next(State::Header))
    }
}

fn wait_for_one_more(bytes: &[u8]) -> Step {
    Step::Wait { at_least_bytes: bytes.len() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";

    /// Feeding byte by byte, everything already examined is overwritten with
    /// bytes that would change the outcome if they were examined again.
    #[test]
    fn no_byte_of_a_partial_command_is_examined_twice() {
        let mut scanner = Scanner::default();
        let mut buffer = Vec::new();
        for byte in &SET[..SET.len() - 1] {
            buffer.push(*byte);
            assert!(matches!(scanner.scan(&buffer), Ok(Scan::Incomplete { .. })));
            buffer[..scanner.cursor.offset()].fill(b'?');
        }
        buffer.push(b'\n');
        assert_eq!(scanner.scan(&buffer), Ok(Scan::Command { len: SET.len() }));
        assert_eq!(scanner.arg_count(), 3);
    }

    #[test]
    fn a_shared_argument_shares_the_buffer_unless_it_was_unquoted() {
        let buffer = Bytes::from_static(SET);
        let mut scanner = Scanner::default();
        assert!(scanner.scan(&buffer).is_ok());
        let value = scanner.shared_arg(&buffer, 2);
        assert_eq!(value, "value");
        assert_eq!(value.as_ptr(), scanner.arg(&buffer, 2).as_ptr());

        let inline = Bytes::from_static(b"ECHO \"a\\nb\"\n");
        assert!(scanner.scan(&inline).is_ok());
        assert_eq!(scanner.shared_arg(&inline, 1), "a\nb");
    }

    #[test]
    #[should_panic(expected = "no argument 1")]
    fn an_argument_beyond_the_last_is_a_bug_of_the_caller() {
        let mut scanner = Scanner::default();
        assert!(scanner.scan(b"PING\n").is_ok());
        scanner.arg(b"PING\n", 1);
    }

    #[test]
    #[should_panic(expected = "only grows")]
    fn a_buffer_that_lost_part_of_a_command_is_a_bug_of_the_caller() {
        let mut scanner = Scanner::default();
        assert!(scanner.scan(&SET[..20]).is_ok());
        let _ = scanner.scan(&SET[..3]);
    }
}
