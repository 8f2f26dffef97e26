//! MONITOR: every command that clients send to this node, as it is begun, in Redis' words.
//!
//! While nobody monitors, a command costs one load of an atomic.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::clients::Client;
use crate::pubsub::Subscriber;

/// So much is shown of a word: a large value would else be copied, several times as large, and push out who monitors.
const WORD_BYTES: usize = 1_024;

/// Who monitors.
#[derive(Debug, Default)]
pub struct Monitors {
    all: Mutex<Vec<Monitor>>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Monitor {
    subscriber: Subscriber,
    client: Arc<Client>,
}

impl Monitors {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Monitor>) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut all);
        self.count.store(all.len(), Ordering::Relaxed);
        result
    }

    /// Does anybody?
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn enter(&self, subscriber: &Subscriber, client: &Arc<Client>) {
        self.with(|all| all.push(Monitor { subscriber: subscriber.clone(), client: Arc::clone(client) }));
    }

    /// A connection has ended, or has enough.
    pub(crate) fn forget(&self, id: u64) {
        if self.are_there() {
            self.with(|all| all.retain(|monitor| monitor.client.id != id));
        }
    }

    /// Shows a command to all of them. Who is too far behind to be told of it is let go, so that none believes to have seen all.
    pub(crate) fn show<'a>(&self, from: &str, words: impl Iterator<Item = &'a [u8]>) {
        let line = Bytes::from(line(from, words));
        self.with(|all| {
            all.retain(|monitor| {
                let is_told = monitor.subscriber.deliver_line(line.clone());
                if !is_told {
                    monitor.client.kill.notify_one();
                }
                is_told
            });
        });
    }
}

/// `1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn line<'a>(from: &str, words: impl Iterator<Item = &'a [u8]>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = format!("{}.{:06} [0 {from}]", now.as_secs(), now.subsec_micros());
    for word in words {
        line.push_str(" \"");
        for byte in &word[..word.len().min(WORD_BYTES)] {
            match byte {
                b'"' | b'\\' => line.extend(['\\', char::from(*byte)]),
                b'\n' => line.push_str("\\n"),
                b'\r' => line.push_str("\\r"),
                b'\t' => line.push_str("\\t"),
                7 => line.push_str("\\a"),
                8 => line.push_str("\\b"),
                b' '..=b'~' => line.push(char::from(*byte)),
                // Writing into a string does not fail.
                other => drop(write!(line, "\\x{other:02x}")),
            }
        }
        line.push_str(if word.len() > WORD_BYTES { "..\"" } else { "\"" });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_redis_shows_them() {
        let shown = line("127.0.0.1:1", [&b"SET"[..], b"a\"b\\ \x01\n\r\t\x07\x08\xff"].into_iter());
        let (_, words) = shown.split_once(" [0 127.0.0.1:1] ").expect("where it comes from");
        assert_eq!(words, r#""SET" "a\"b\\ \x01\n\r\t\a\b\xff""#);
    }

    #[test]
    fn a_large_word_is_cut() {
        let shown = |bytes: usize| line("", [vec![b'x'; bytes].as_slice()].into_iter());
        assert!(shown(WORD_BYTES).ends_with(&format!(" \"{}\"", "x".repeat(WORD_BYTES))));
        assert!(shown(16 * 1024 * 1024).ends_with(&format!(" \"{}..\"", "x".repeat(WORD_BYTES))));
    }
}
