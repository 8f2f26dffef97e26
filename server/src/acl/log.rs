//! ACL LOG: who was refused what, the last first; the same again within a minute is counted.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::node::wall_ms;
use crate::resp::Reply;

/// What is the same within this time is one entry.
const SAME: Duration = Duration::from_secs(60);
/// How much of a name is kept.
const OBJECT_BYTES: usize = 128;

/// Where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A command of a client.
    TopLevel,
    /// One that is gathered, or was, by MULTI.
    Transaction,
    /// One of a script.
    Script,
}

impl Occasion {
    fn word(self) -> &'static str {
        match self {
            Occasion::TopLevel => "toplevel",
            Occasion::Transaction => "multi",
            Occasion::Script => "lua",
        }
    }
}

struct Entry {
    id: u64,
    count: i64,
    reason: &'static str,
    occasion: Occasion,
    object: String,
    user: String,
    client: String,
    created_ms: u64,
    updated_ms: u64,
    at: Instant,
}

/// The log.
#[derive(Default)]
pub(crate) struct AclLog(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    latest: VecDeque<Entry>,
    next: u64,
}

impl AclLog {
    fn with<T>(&self, work: impl FnOnce(&mut Entries) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody was refused something.
    pub(crate) fn note(
        &self,
        reason: &'static str,
        occasion: Occasion,
        object: &str,
        user: &str,
        client: String,
        limit_entries: u64,
    ) {
        let (object, user): (String, String) =
            (object.chars().take(OBJECT_BYTES).collect(), user.chars().take(OBJECT_BYTES).collect());
        let (at, now_ms) = (Instant::now(), wall_ms());
        self.with(|entries| {
            let is_same = |entry: &&mut Entry| {
                let known = (entry.reason, entry.occasion, &entry.object, &entry.user);
                known == (reason, occasion, &object, &user) && entry.at.elapsed() < SAME
            };
            if let Some(entry) = entries.latest.iter_mut().find(is_same) {
                (entry.count, entry.updated_ms, entry.at, entry.client) = (entry.count + 1, now_ms, at, client);
                return;
            }
            let (id, created_ms, updated_ms) = (entries.next, now_ms, now_ms);
            entries.next += 1;
            let entry = Entry { id, count: 1, reason, occasion, object, user, client, created_ms, updated_ms, at };
            entries.latest.push_front(entry);
            entries.latest.truncate(usize::try_from(limit_entries).unwrap_or(usize::MAX));
        });
    }

    pub(crate) fn clear(&self) {
        self.with(|entries| entries.latest.clear());
    }

    /// So many of the latest.
    pub(crate) fn latest(&self, count: usize) -> Vec<Reply> {
        self.with(|entries| entries.latest.iter().take(count).map(Entry::describe).collect())
    }
}

impl Entry {
    fn describe(&self) -> Reply {
        let age = self.at.elapsed().as_millis() as f64 / 1_000.0;
        let pairs = [
            ("count", Reply::Integer(self.count)),
            ("reason", Reply::copied(self.reason.as_bytes())),
            ("context", Reply::copied(self.occasion.word().as_bytes())),
            ("object", Reply::copied(self.object.as_bytes())),
            ("username", Reply::copied(self.user.as_bytes())),
            ("age-seconds", Reply::Double(age)),
            ("client-info", Reply::copied(self.client.as_bytes())),
            ("entry-id", Reply::Integer(self.id as i64)),
            ("timestamp-created", Reply::Integer(self.created_ms as i64)),
            ("timestamp-last-updated", Reply::Integer(self.updated_ms as i64)),
        ];
        Reply::map(pairs.map(|(name, value)| (Reply::copied(name.as_bytes()), value)))
    }
}
