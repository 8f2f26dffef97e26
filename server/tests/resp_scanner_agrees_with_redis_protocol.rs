//! Our scanner against the decoder of the `redis-protocol` crate, and against
//! itself fed in other pieces.
//!
//! The streams are commands, commands with a few bytes wrong, and noise, from
//! fixed seeds. Where the scanner finds a multibulk command, the decoder must
//! find an array of the same bulk strings with the same length; the other way
//! round the scanner may refuse, with an invalid length, what the decoder lets
//! pass: a length that Redis would not read either, or an argument that does
//! not end where its length says.

use quickcheck::{Arbitrary, Gen, QuickCheck};
use redis_protocol::resp2::{decode::decode, types::OwnedFrame};
use server::resp::{ProtocolError, Scan, Scanner};

/// Streams of one test.
const STREAMS: u64 = 20_000;

/// Sizes the streams: an argument has at most about this many bytes.
const SIZE: usize = 40;

/// The decoder recurses into arrays and would run out of stack on many, so it
/// gets only streams in which there are not enough `*` to nest dangerously.
const MOST_STARS: usize = 32;

/// What one connection might send, and how it is cut into reads.
#[derive(Clone, Debug)]
struct Stream {
    bytes: Vec<u8>,
    /// Sizes of the reads, each less one, repeated to the end.
    reads: Vec<u8>,
}

impl Arbitrary for Stream {
    fn arbitrary(g: &mut Gen) -> Self {
        let bytes = match below(g, 5) {
            0 => commands(g),
            1 | 2 => damaged(g),
            3 => letters(g, 60),
            _ => Vec::arbitrary(g),
        };
        let mut reads = Vec::arbitrary(g);
        reads.push(u8::arbitrary(g) % 8);
        Self { bytes, reads }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let reads = self.reads.clone();
        Box::new(self.bytes.shrink().map(move |bytes| Self { bytes, reads: reads.clone() }))
    }
}

impl Stream {
    fn pieces(&self) -> Vec<&[u8]> {
        let mut rest = &self.bytes[..];
        let mut sizes = self.reads.iter().cycle();
        let mut pieces = Vec::new();
        while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
            let (piece, tail) = rest.split_at(rest.len().min(usize::from(*size) + 1));
            pieces.push(piece);
            rest = tail;
        }
        pieces
    }
}

fn below(g: &mut Gen, bound: usize) -> usize {
    u32::arbitrary(g) as usize % bound
}

/// Bytes that mean something to the scanner, in no order.
fn letters(g: &mut Gen, most: usize) -> Vec<u8> {
    let letters = b"**$$\r\n\r\n\r\n0123456789+-SETx \t\\\"'";
    let count = below(g, most);
    (0..count).map(|_| letters[below(g, letters.len())]).collect()
}

fn commands(g: &mut Gen) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=below(g, 4) {
        if below(g, 4) == 0 {
            bytes.extend(inline(g));
        } else {
            bytes.extend(multibulk(&arguments(g)));
        }
    }
    bytes
}

fn arguments(g: &mut Gen) -> Vec<Vec<u8>> {
    (0..below(g, 6))
        .map(|_| match below(g, 8) {
            0 => vec![b'v'; below(g, 5000)],
            1 => letters(g, 20),
            _ => Vec::arbitrary(g),
        })
        .collect()
}

fn multibulk(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(format!("${}\r\n", argument.len()).into_bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn inline(g: &mut Gen) -> Vec<u8> {
    let words = [&b"SET"[..], b"key", b"'a b'", b"\"\\x00\\n\"", b"it's", b"", b"$1"];
    let mut line = b"GET".to_vec();
    for _ in 0..below(g, 5) {
        line.push(b' ');
        line.extend(words[below(g, words.len())]);
    }
    line.extend([&b"\n"[..], b"\r\n"][below(g, 2)]);
    line
}

/// Commands with one to three places wrong.
fn damaged(g: &mut Gen) -> Vec<u8> {
    let mut bytes = commands(g);
    for _ in 0..=below(g, 3) {
        let at = below(g, bytes.len());
        match below(g, 4) {
            0 => bytes[at] = u8::arbitrary(g),
            1 => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, letters(g, 4))),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Everything there is to see of a scanner.
#[derive(Debug, PartialEq)]
struct Seen {
    commands: Vec<Command>,
    end: Result<Scan, ProtocolError>,
}

#[derive(Debug, PartialEq)]
struct Command {
    arguments: Vec<Vec<u8>>,
    len: usize,
}

#[derive(Clone, Copy)]
enum Patience {
    /// Scan after each read.
    ScanAlways,
    /// Believe the scanner when it says that scanning is useless.
    WaitForUsefulBytes,
}

fn scan(pieces: &[&[u8]], patience: Patience) -> Seen {
    let mut scanner = Scanner::default();
    let mut buffer = Vec::new();
    let mut received = 0;
    let mut seen = Seen { commands: Vec::new(), end: scanner.scan(&buffer) };
    for piece in pieces {
        received += piece.len();
        buffer.extend_from_slice(piece);
        let needed = match (patience, seen.end) {
            (Patience::WaitForUsefulBytes, Ok(Scan::Incomplete { at_least_bytes })) => at_least_bytes,
            _ => 0,
        };
        if buffer.len() >= needed {
            seen.end = scan_all(&mut scanner, &mut buffer, &mut seen.commands);
        }
        let memory = scanner.heap_bytes();
        assert!(memory <= 128 + 20 * received, "{memory} bytes held for {received}");
    }
    seen
}

fn scan_all(scanner: &mut Scanner, buffer: &mut Vec<u8>, commands: &mut Vec<Command>) -> Result<Scan, ProtocolError> {
    loop {
        match scanner.scan(buffer)? {
            Scan::Command { len } => {
                assert!(len > 0, "a command has bytes");
                let arguments = (0..scanner.arg_count()).map(|index| scanner.arg(buffer, index).to_vec()).collect();
                commands.push(Command { arguments, len });
                buffer.drain(..len);
            }
            Scan::Incomplete { at_least_bytes } => {
                assert!(at_least_bytes > buffer.len(), "waits for what is there");
                return Ok(Scan::Incomplete { at_least_bytes });
            }
        }
    }
}

/// What the decoder says about the beginning of a stream.
enum Verdict {
    NotAsked,
    Command(Command),
    NoCommand,
}

fn verdict(bytes: &[u8]) -> Verdict {
    let stars = bytes.iter().filter(|byte| **byte == b'*').count();
    if stars > MOST_STARS || !bytes.starts_with(b"*") {
        return Verdict::NotAsked;
    }
    match decode(bytes) {
        Ok(Some((OwnedFrame::Array(frames), len))) => {
            let arguments = frames.into_iter().map(|frame| match frame {
                OwnedFrame::BulkString(bytes) => Some(bytes),
                _ => None,
            });
            match arguments.collect() {
                Some(arguments) => Verdict::Command(Command { arguments, len }),
                None => Verdict::NoCommand,
            }
        }
        _ => Verdict::NoCommand,
    }
}

fn agrees_with_the_decoder(stream: Stream) -> bool {
    let ours = scan(&[&stream.bytes], Patience::ScanAlways);
    let first = ours.commands.first();
    match verdict(&stream.bytes) {
        Verdict::NotAsked => true,
        Verdict::Command(theirs) => match first {
            Some(command) => *command == theirs,
            None => matches!(ours.end, Err(ProtocolError::InvalidMultibulkLength | ProtocolError::InvalidBulkLength)),
        },
        // Redis takes a negative count for a command without arguments, and
        // the decoder takes it for an error or a null.
        Verdict::NoCommand => first.is_none_or(|command| command.arguments.is_empty()),
    }
}

fn agrees_with_itself_in_pieces(stream: Stream) -> bool {
    let pieces = stream.pieces();
    let whole = scan(&[&stream.bytes], Patience::ScanAlways);
    let bytes: Vec<&[u8]> = stream.bytes.chunks(1).collect();
    whole == scan(&pieces, Patience::ScanAlways)
        && whole == scan(&pieces, Patience::WaitForUsefulBytes)
        && whole == scan(&bytes, Patience::ScanAlways)
}

fn check(property: fn(Stream) -> bool, seed: u64) {
    QuickCheck::new().rng(Gen::from_size_and_seed(SIZE, seed)).tests(STREAMS).max_tests(STREAMS).quickcheck(property);
}

#[test]
fn both_find_the_same_first_command() {
    check(agrees_with_the_decoder, 0x0d07_7ed1);
}

#[test]
fn the_scanner_sees_the_same_however_the_bytes_are_cut() {
    check(agrees_with_itself_in_pieces, 0x0d07_7ed2);
}

/// Without this, the properties above could hold because nothing was tried.
#[test]
fn the_streams_reach_every_outcome() {
    let mut g = Gen::from_size_and_seed(SIZE, 0x0d07_7ed3);
    let (mut compared, mut pipelined, mut incomplete) = (0, 0, 0);
    let mut errors = Vec::new();
    for _ in 0..STREAMS / 4 {
        let stream = Stream::arbitrary(&mut g);
        let seen = scan(&[&stream.bytes], Patience::ScanAlways);
        let both = matches!(verdict(&stream.bytes), Verdict::Command(_));
        compared += u64::from(both && !seen.commands.is_empty());
        pipelined += u64::from(seen.commands.len() > 1);
        match seen.end {
            Ok(_) => incomplete += 1,
            Err(error) => errors.push(std::mem::discriminant(&error)),
        }
    }
    for least in [compared, pipelined, incomplete] {
        assert!(least > STREAMS / 40, "{compared} {pipelined} {incomplete}");
    }
    for error in [
        ProtocolError::InvalidMultibulkLength,
        ProtocolError::InvalidBulkLength,
        ProtocolError::ExpectedBulk { got: b'x' },
        ProtocolError::UnbalancedQuotes,
    ] {
        let found = errors.contains(&std::mem::discriminant(&error));
        assert!(found, "no stream ends with: {error}");
    }
}

/// The two inputs that the decoder cannot bear, and the reason for our own.
#[test]
fn deep_nesting_and_huge_counts_are_refused_at_once() {
    let nested = b"*1\r\n".repeat(8_000);
    let seen = scan(&[&nested], Patience::ScanAlways);
    assert_eq!(seen.end, Err(ProtocolError::ExpectedBulk { got: b'*' }));

    let seen = scan(&[b"*3000000000\r\n"], Patience::ScanAlways);
    assert_eq!(seen.end, Err(ProtocolError::InvalidMultibulkLength));
}
