//! What the scanner promises, one sentence a test.

use server::resp::{Access, Limits, ProtocolError, Scan, Scanner};

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";

fn command(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut scanner = Scanner::default();
    let scan = scanner.scan(bytes);
    assert_eq!(scan, Ok(Scan::Command { len: bytes.len() }));
    (0..scanner.arg_count()).map(|index| scanner.arg(bytes, index).to_vec()).collect()
}

fn error(bytes: &[u8]) -> ProtocolError {
    Scanner::default().scan(bytes).expect_err("not a request")
}

fn incomplete(at_least_bytes: usize) -> Result<Scan, ProtocolError> {
    Ok(Scan::Incomplete { at_least_bytes })
}

#[test]
fn a_multibulk_command_gives_its_arguments() {
    assert_eq!(command(SET), [&b"SET"[..], b"key", b"value"]);
    let odd = b"*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n";
    assert_eq!(command(odd), [&b""[..], b"\r\n"]);
}

#[test]
fn an_inline_command_gives_its_words() {
    assert_eq!(command(b"SET key 'a b'\r\n"), [&b"SET"[..], b"key", b"a b"]);
    assert_eq!(command(b"PING\n"), [b"PING"]);
    assert_eq!(command(b"$5\r\n"), [b"$5"]);
}

#[test]
fn nothing_to_do_is_a_command_without_arguments() {
    for bytes in [&b"\n"[..], b"\r\n", b"  \r\n", b"*0\r\n", b"*-1\r\n", b"*-10\r\n"] {
        assert!(command(bytes).is_empty(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn pipelined_commands_come_one_by_one() {
    let commands = [SET, b"PING 'a b'\r\n", b"*0\r\n", b"GET k\n", SET, b"\n"];
    let counts = [3, 2, 0, 2, 3, 0];
    let mut scanner = Scanner::default();
    let mut stream = commands.concat();
    for (command, count) in commands.iter().zip(counts) {
        let len = command.len();
        assert_eq!(scanner.scan(&stream), Ok(Scan::Command { len }));
        assert_eq!(scanner.arg_count(), count);
        stream.drain(..len);
    }
    assert_eq!(scanner.scan(&stream), incomplete(1));
    assert_eq!(scanner.arg_count(), 0);
}

#[test]
fn a_partial_command_says_how_many_bytes_are_useful() {
    let mut scanner = Scanner::default();
    assert_eq!(scanner.scan(b""), incomplete(1));
    assert_eq!(scanner.scan(b"*1\r"), incomplete(4));
    assert_eq!(scanner.scan(b"*1\r\n"), incomplete(5));
    assert_eq!(scanner.scan(b"*1\r\n$10"), incomplete(8));
    assert_eq!(scanner.scan(b"*1\r\n$10\r\n"), incomplete(21));
    assert_eq!(scanner.scan(b"*1\r\n$10\r\n0123456789\r"), incomplete(21));
    let whole = b"*1\r\n$10\r\n0123456789\r\n";
    assert_eq!(scanner.scan(whole), Ok(Scan::Command { len: 21 }));
}

/// The end of a line is put where a second search would find it.
#[test]
fn no_end_of_line_is_looked_for_twice() {
    let mut scanner = Scanner::default();
    assert_eq!(scanner.scan(b"PING    "), incomplete(9));
    assert_eq!(scanner.scan(b"PING\n    "), incomplete(10));

    let mut scanner = Scanner::default();
    assert_eq!(scanner.scan(b"*12345"), incomplete(7));
    assert_eq!(scanner.scan(b"*12\r\n567"), incomplete(9));
}

#[test]
fn an_announced_length_costs_no_memory() {
    let mut scanner = Scanner::default();
    let announced = b"*1048576\r\n$16777216\r\n";
    assert_eq!(scanner.scan(announced), incomplete(16_777_239));
    assert_eq!(scanner.heap_bytes(), 0);
}

#[test]
fn a_limit_as_large_as_an_address_does_not_overflow() {
    let limits = Limits { bulk_bytes: usize::MAX, request_bytes: usize::MAX, ..Limits::default() };
    let mut scanner = Scanner::new(limits, Access::Authenticated);
    let announced = b"*1\r\n$9223372036854775807\r\n";
    for _ in 0..2 {
        let scan = scanner.scan(announced);
        assert!(matches!(scan, Ok(Scan::Incomplete { .. })), "{scan:?}");
    }
}

#[test]
fn the_memory_of_a_large_command_is_given_back() {
    let arguments = b"$1\r\nx\r\n".repeat(100_000);
    let multibulk = [&b"*100000\r\n"[..], &arguments].concat();
    let inline = [&b"x".repeat(60_000)[..], b"\n"].concat();
    for large in [multibulk, inline] {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.scan(&large), Ok(Scan::Command { len: large.len() }));
        assert!(scanner.heap_bytes() >= 60_000);
        assert_eq!(scanner.scan(b""), incomplete(1));
        assert!(scanner.heap_bytes() < 32 * 1024);
    }
}

#[test]
fn a_count_that_is_no_canonical_number_is_an_invalid_multibulk_length() {
    for count in ["", "x", "+1", " 1", "01", "1 ", "-0", "1048577", "3000000000"] {
        let bytes = format!("*{count}\r\n");
        let error = error(bytes.as_bytes());
        assert_eq!(error, ProtocolError::InvalidMultibulkLength, "{count:?}");
    }
    assert_eq!(error(b"*1\rx"), ProtocolError::InvalidMultibulkLength);
}

#[test]
fn a_length_that_is_no_canonical_number_is_an_invalid_bulk_length() {
    for length in ["", "x", "+1", " 1", "01", "1 ", "-0", "-1", "16777217"] {
        let bytes = format!("*1\r\n${length}\r\n");
        let error = error(bytes.as_bytes());
        assert_eq!(error, ProtocolError::InvalidBulkLength, "{length:?}");
    }
    assert_eq!(error(b"*1\r\n$1\rx"), ProtocolError::InvalidBulkLength);
}

#[test]
fn a_length_that_misses_the_end_of_its_argument_is_an_invalid_bulk_length() {
    for bytes in [&b"*1\r\n$3\r\nab\r\n\r\n"[..], b"*1\r\n$1\r\nab\r\n"] {
        assert_eq!(error(bytes), ProtocolError::InvalidBulkLength);
    }
}

#[test]
fn an_argument_begins_with_a_dollar_sign() {
    let nested = b"*2\r\n$3\r\nGET\r\n*1\r\n";
    assert_eq!(error(nested), ProtocolError::ExpectedBulk { got: b'*' });
    let fooz = error(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n");
    assert_eq!(fooz.to_string(), "Protocol error: expected '$', got 'f'");
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits { inline_bytes: 8, ..Limits::default() };
    let scan = |bytes: &[u8]| Scanner::new(limits, Access::Authenticated).scan(bytes);
    assert_eq!(scan(b"12345678\n"), Ok(Scan::Command { len: 9 }));
    assert_eq!(scan(b"12345678"), incomplete(9));
    for (bytes, error) in [
        (&b"123456789"[..], ProtocolError::TooBigInline),
        (b"123456789\n", ProtocolError::TooBigInline),
        (b"*12345678", ProtocolError::TooBigMultibulkCount),
        (b"*12345678\r\n", ProtocolError::TooBigMultibulkCount),
        (b"*1\r\n$12345678", ProtocolError::TooBigBulkCount),
        (b"*1\r\n$12345678\r\n", ProtocolError::TooBigBulkCount),
    ] {
        assert_eq!(scan(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_stranger_may_send_little_until_its_access_changes() {
    let mut scanner = Scanner::new(Limits::default(), Access::Unauthenticated);
    let auth = b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
    assert_eq!(scanner.scan(auth), Ok(Scan::Command { len: auth.len() }));
    scanner.set_access(Access::Authenticated);
    assert_eq!(scanner.scan(b"*11\r\n"), incomplete(6));

    let mut scanner = Scanner::new(Limits::default(), Access::Unauthenticated);
    let error = scanner.scan(b"*11\r\n").unwrap_err();
    assert_eq!(error, ProtocolError::UnauthenticatedMultibulkLength);
}

#[test]
fn an_error_is_final() {
    let mut scanner = Scanner::default();
    let error = scanner.scan(b"*x\r\n").unwrap_err();
    assert_eq!(scanner.scan(b"*x\r\n*1\r\n$4\r\nPING\r\n"), Err(error));
    assert_eq!(scanner.scan(b""), Err(error));
    assert_eq!(scanner.arg_count(), 0);
}
