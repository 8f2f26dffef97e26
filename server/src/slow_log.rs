//! Commands that took long: from when they were read until their reply was there.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::resp::Reply;

/// How many are kept.
const ENTRIES: usize = 128;
/// How much of a command is kept.
const ARGUMENTS: usize = 32;
const ARGUMENT_BYTES: usize = 128;

/// The last commands that took long.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    next: u64,
    entries: VecDeque<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    at_s: u64,
    took: Duration,
    command: Vec<Vec<u8>>,
    address: String,
    name: String,
}

impl SlowLog {
    fn with<T>(&self, work: impl FnOnce(&mut Log) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A command has taken long.
    pub fn note(&self, took: Duration, command: &[Vec<u8>], address: &str, name: String) {
        let shown = |argument: &Vec<u8>| argument[..argument.len().min(ARGUMENT_BYTES)].to_vec();
        let command = command.iter().take(ARGUMENTS).map(shown).collect();
        self.with(|log| {
            let at_s = crate::node::wall_ms() / 1_000;
            log.entries.push_front(Entry { id: log.next, at_s, took, command, address: address.to_owned(), name });
            log.next += 1;
            log.entries.truncate(ENTRIES);
        });
    }

    /// The latest, as SLOWLOG GET shows them.
    #[must_use]
    pub fn latest(&self, count: usize) -> Vec<Reply> {
        let entries: Vec<Entry> = self.with(|log| log.entries.iter().take(count).cloned().collect());
        let shown = entries.into_iter().map(|entry| {
            Reply::Array(vec![
                Reply::Integer(entry.id as i64),
                Reply::Integer(entry.at_s as i64),
                Reply::Integer(entry.took.as_micros() as i64),
                Reply::array(entry.command),
                Reply::bulk(entry.address),
                Reply::bulk(entry.name),
            ])
        });
        shown.collect()
    }

    /// How many there have been.
    #[must_use]
    pub fn noted(&self) -> u64 {
        self.with(|log| log.next)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|log| log.entries.len())
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.with(|log| log.entries.clear());
    }
}
