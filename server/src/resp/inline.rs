//! Words of an inline command: what a person types into a raw connection.
//!
//! The rules are Redis' (`sdssplitargs`). Words end at white space; a double
//! quote keeps white space and knows the escapes `\n \r \t \b \a \xHH`, where
//! a backslash before any other byte gives that byte; a single quote keeps
//! everything and knows only `\'`. Behind a closing quote the word must end.
//!
//! The invariant: the line is read once from left to right, and the words
//! together are never longer than the line.

use std::ops::Range;

use super::ProtocolError;

/// Splits `line` into words: appends their bytes to `out`, one word after the
/// other, and to `words` where each of them is in `out`.
pub(super) fn split_line(line: &[u8], out: &mut Vec<u8>, words: &mut Vec<Range<usize>>) -> Result<(), ProtocolError> {
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let start = out.len();
        rest = skip_space(word(rest, out)?);
        words.push(start..out.len());
    }
    Ok(())
}

/// What C's `isspace` says, which counts one byte more than
/// [`u8::is_ascii_whitespace`].
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_space(line: &[u8]) -> &[u8] {
    let space = line.iter().take_while(|byte| is_space(**byte)).count();
    &line[space..]
}

fn word<'l>(line: &'l [u8], out: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    let mut rest = line;
    loop {
        match rest {
            // Not every white space ends a word that has begun; Redis lets
            // form feeds and vertical tabs into it.
            [] | [b' ' | b'\t' | b'\n' | b'\r', ..] => return Ok(rest),
            [b'"', tail @ ..] => return end_of_word(double_quoted(tail, out)?),
            [b'\'', tail @ ..] => return end_of_word(single_quoted(tail, out)?),
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

fn end_of_word(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest {
        [byte, ..] if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn double_quoted<'l>(line: &'l [u8], out: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    let mut rest = line;
    loop {
        let (byte, tail) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', tail @ ..] => escaped(tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
}

/// The byte that a backslash and the beginning of `line` stand for.
fn escaped(line: &[u8]) -> (u8, &[u8]) {
    match line {
        [] => (b'\\', line),
        [b'x', high, low, tail @ ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, tail),
            _ => (b'x', &line[1..]),
        },
        [b'n', tail @ ..] => (b'\n', tail),
        [b'r', tail @ ..] => (b'\r', tail),
        [b't', tail @ ..] => (b'\t', tail),
        [b'b', tail @ ..] => (0x08, tail),
        [b'a', tail @ ..] => (0x07, tail),
        [byte, tail @ ..] => (*byte, tail),
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn single_quoted<'l>(line: &'l [u8], out: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    let mut rest = line;
    loop {
        let (byte, tail) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => (b'\'', tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let (mut out, mut words) = (Vec::new(), Vec::new());
        split_line(line, &mut out, &mut words)?;
        Ok(words.into_iter().map(|word| out[word].to_vec()).collect())
    }

    fn assert_words(line: &[u8], expected: &[&[u8]]) {
        assert_eq!(split(line).unwrap(), expected, "{}", line.escape_ascii());
    }

    #[test]
    fn words_end_at_white_space() {
        assert_words(b"", &[]);
        assert_words(b" \t\x0b\x0c ", &[]);
        assert_words(b"  SET\tkey  value ", &[b"SET", b"key", b"value"]);
        assert_words(b"a\x0bb", &[b"a\x0bb"]);
    }

    #[test]
    fn double_quotes_keep_space_and_know_escapes() {
        assert_words(br#"SET "a b" "\n\r\t\b\a""#, &[b"SET", b"a b", b"\n\r\t\x08\x07"]);
        assert_words(br#""\x00\xfF\\\"\q""#, &[b"\x00\xff\\\"q"]);
        assert_words(br#""\xZZ\x1""#, &[b"xZZx1"]);
        assert_words(br#""" x"#, &[b"", b"x"]);
    }

    #[test]
    fn single_quotes_keep_everything_but_an_escaped_quote() {
        assert_words(br#"'a "b"\n' 'it\'s'"#, &[br#"a "b"\n"#, b"it's"]);
    }

    #[test]
    fn a_quote_may_open_inside_a_word() {
        assert_words(br#"foo"bar baz""#, &[b"foobar baz"]);
        assert_words(br"back\slash", &[br"back\slash"]);
    }

    #[test]
    fn a_quote_that_stays_open_or_is_followed_by_more_is_unbalanced() {
        for line in [&b"\""[..], b"'", b"\"a", b"'a", b"\"a\\", b"\"a\\\"", b"'a\\'", b"\"a\"b", b"'a'b", b"\"a\"\"b\""]
        {
            let error = ProtocolError::UnbalancedQuotes;
            assert_eq!(split(line), Err(error), "{}", line.escape_ascii());
        }
    }
}
