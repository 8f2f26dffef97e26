//! A redis-server of the test's own, and connections that show replies as they are.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, request};

/// A redis-server; it ends with this value.
pub(crate) struct Redis {
    child: Child,
    pub(crate) address: String,
    _directory: tempfile::TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // The suite's threads each take their own.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        for _ in 0..50 {
            let attempt = NEXT.fetch_add(1, Ordering::SeqCst);
            let port = 22_000 + ((std::process::id() as u16).wrapping_mul(31) % 5_000 + attempt) % 8_000;
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                continue;
            }
            let child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"])
                .arg(directory.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is installed (Debian package redis-server)");
            let mut redis = Self { child, address: format!("127.0.0.1:{port}"), _directory: directory };
            let deadline = Instant::now() + PATIENCE;
            while TcpStream::connect(&redis.address).is_err() {
                assert!(Instant::now() < deadline, "redis-server does not answer");
                if redis.child.try_wait().expect("it can be asked").is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            if redis.child.try_wait().expect("it can be asked").is_none() {
                return redis;
            }
            return Self::start();
        }
        panic!("no free port for redis-server");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reply as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// The first byte of the frame, and its text.
    Line(char, String),
    Bulk(Vec<u8>),
    Nil(char),
    Many(char, Vec<Value>),
}

impl Value {
    /// Everything nested in it without regard to order; pairs of maps stay together.
    pub(crate) fn sorted(&self) -> Self {
        match self {
            Value::Many('%', items) => {
                let pairs: BTreeMap<Value, Value> =
                    items.chunks(2).map(|pair| (pair[0].sorted(), pair[1].sorted())).collect();
                Value::Many('%', pairs.into_iter().flat_map(|(key, value)| [key, value]).collect())
            }
            Value::Many(kind, items) => {
                let mut items: Vec<Value> = items.iter().map(Value::sorted).collect();
                items.sort();
                Value::Many(*kind, items)
            }
            other => other.clone(),
        }
    }

    pub(crate) fn kind(&self) -> char {
        match self {
            Value::Line(kind, _) | Value::Nil(kind) | Value::Many(kind, _) => *kind,
            Value::Bulk(_) => '$',
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Line(kind, text) => write!(f, "{kind}{text}"),
            Value::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Value::Nil(kind) => write!(f, "({kind}nil)"),
            Value::Many(kind, items) => {
                write!(f, "{kind}[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
                }
                write!(f, "]")
            }
        }
    }
}

/// A connection of one protocol.
pub(crate) struct Speaker {
    reader: BufReader<TcpStream>,
}

impl Speaker {
    pub(crate) fn new(address: &str, protocol: u8) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let mut speaker = Self { reader: BufReader::new(stream) };
        speaker.call(&["HELLO".as_bytes().to_vec(), protocol.to_string().into_bytes()]);
        speaker
    }

    pub(crate) fn send(&mut self, command: &[Vec<u8>]) {
        self.reader.get_mut().write_all(&request(command)).expect("the server reads");
    }

    pub(crate) fn call(&mut self, command: &[Vec<u8>]) -> Value {
        self.send(command);
        self.read()
    }

    pub(crate) fn read(&mut self) -> Value {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).expect("the server answers");
        assert!(line.ends_with(b"\r\n"), "the server closed the connection");
        let text = String::from_utf8_lossy(&line[1..line.len() - 2]).into_owned();
        let kind = char::from(line[0]);
        let len = text.parse::<i64>();
        match (kind, len) {
            ('$' | '*' | '%' | '~' | '>' | '=', Ok(-1)) => Value::Nil(kind),
            ('_', _) => Value::Nil('_'),
            ('$' | '=', Ok(len)) => {
                let mut bytes = vec![0; len as usize + 2];
                self.reader.read_exact(&mut bytes).expect("the server answers");
                bytes.truncate(len as usize);
                Value::Bulk(bytes)
            }
            ('*' | '~' | '>', Ok(len)) => Value::Many(kind, (0..len).map(|_| self.read()).collect()),
            ('%', Ok(len)) => Value::Many(kind, (0..2 * len).map(|_| self.read()).collect()),
            _ => Value::Line(kind, text),
        }
    }
}
