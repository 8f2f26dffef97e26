//! Keyspace notifications: what happens to keys, for whoever follows `__keyspace@0__:<key>` or `__keyevent@0__:<event>`.
//!
//! As in a Redis Cluster each node tells of what it does itself: a write is told of by the node that coordinates its key, a merge
//! by every node that merges. While nobody has asked for them (`notify-keyspace-events`), a write costs one load of an atomic.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};

use replica::{MergeReport, Noted, WriteNote};

use crate::pubsub::{PubSub, Topic};

/// A flag of `notify-keyspace-events`: its letter, and its bit.
type Flag = (char, u16);

const KEYSPACE: Flag = ('K', 1);
const KEYEVENT: Flag = ('E', 1 << 1);
const GENERIC: Flag = ('g', 1 << 2);
const STRING: Flag = ('$', 1 << 3);
const LIST: Flag = ('l', 1 << 4);
const SET: Flag = ('s', 1 << 5);
const HASH: Flag = ('h', 1 << 6);
const SORTED: Flag = ('z', 1 << 7);
const EXPIRED: Flag = ('x', 1 << 8);
/// Nothing is ever evicted here.
const EVICTED: Flag = ('e', 1 << 9);
const STREAM: Flag = ('t', 1 << 10);
/// Types of modules, of which there are none.
const MODULE: Flag = ('d', 1 << 11);
const NEW: Flag = ('n', 1 << 12);
const MISS: Flag = ('m', 1 << 13);
/// Of our own: what concurrency does. No part of `A`, so that who asks Redis' question gets Redis' answer.
const CONCURRENCY: Flag = ('D', 1 << 14);

/// The classes that `A` stands for, in the order in which Redis lists them.
const ALL: [Flag; 10] = [GENERIC, STRING, LIST, SET, HASH, SORTED, EXPIRED, EVICTED, STREAM, MODULE];
/// The others, in that order as well.
const OTHERS: [Flag; 5] = [NEW, KEYSPACE, KEYEVENT, MISS, CONCURRENCY];

/// Every event, and its class.
const EVENTS: &[(Flag, &[&str])] = &[
    (GENERIC, &["del", "expire", "persist", "rename_from", "rename_to", "copy_to", "restore"]),
    (STRING, &["set", "setrange", "append", "incrby", "incrbyfloat", "setbit", "pfadd"]),
    (LIST, &["lpush", "rpush", "lpop", "rpop", "linsert", "lset", "lrem", "ltrim", "sortstore"]),
    (SET, &["sadd", "srem", "spop", "sinterstore", "sunionstore", "sdiffstore"]),
    (HASH, &["hset", "hdel", "hincrby", "hincrbyfloat"]),
    (
        SORTED,
        &[
            "zadd",
            "zincr",
            "zrem",
            "zremrangebyscore",
            "zremrangebyrank",
            "zremrangebylex",
            "zpopmin",
            "zpopmax",
            "zunionstore",
            "zinterstore",
            "zdiffstore",
            "zrangestore",
            "geosearchstore",
            "georadiusstore",
        ],
    ),
    (STREAM, &["xadd", "xdel", "xtrim"]),
    (EXPIRED, &["expired"]),
    (NEW, &["new"]),
    (MISS, &["keymiss"]),
    (CONCURRENCY, &["sibling", "merged", "resolved"]),
];

/// What an operator asks for, as in `KEA`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    fn has(self, (_, bit): Flag) -> bool {
        self.0 & bit > 0
    }
}

impl FromStr for Flags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bits = 0;
        for letter in text.chars() {
            let flag = ALL.into_iter().chain(OTHERS).find(|(known, _)| *known == letter);
            match flag {
                Some((_, bit)) => bits |= bit,
                None if letter == 'A' => bits |= ALL.iter().fold(0, |all, (_, bit)| all | bit),
                None => return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdnD'.".to_owned()),
            }
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_all = ALL.into_iter().all(|flag| self.has(flag));
        if is_all {
            f.write_str("A")?;
        }
        let listed = ALL.into_iter().filter(|_| !is_all).chain(OTHERS).filter(|flag| self.has(*flag));
        listed.map(|(letter, _)| letter).try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// What is told, as far as it was asked for.
#[derive(Debug, Default)]
pub struct Notifications(AtomicU16);

impl Notifications {
    /// From the start on.
    #[must_use]
    pub fn new(flags: Flags) -> Self {
        Self(AtomicU16::new(flags.0))
    }

    /// What is asked for.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags(self.0.load(Ordering::Relaxed))
    }

    /// From now on.
    pub fn ask_for(&self, flags: Flags) {
        self.0.store(flags.0, Ordering::Relaxed);
    }

    /// Is anything asked for?
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Tells of an event, by its name.
    pub fn tell(&self, event: &str, key: &[u8], to: &PubSub) {
        let flags = self.flags();
        if flags == Flags::default() {
            return;
        }
        let class = EVENTS.iter().find(|(_, names)| names.contains(&event)).map(|(class, _)| *class);
        if !class.is_some_and(|class| flags.has(class)) || to.is_idle() {
            return;
        }
        if flags.has(KEYSPACE) {
            to.publish(Topic::Channel, &[b"__keyspace@0__:", key].concat(), event.as_bytes());
        }
        if flags.has(KEYEVENT) {
            to.publish(Topic::Channel, &[b"__keyevent@0__:", event.as_bytes()].concat(), key);
        }
    }

    /// Tells of what was noted of a write.
    pub fn tell_all(&self, notes: &[WriteNote], to: &PubSub) {
        for WriteNote { key, what } in notes {
            match what {
                Noted::Own(event) => self.tell(event, key, to),
                Noted::Ended => self.tell("expired", key, to),
                Noted::Siblings { before, after, .. } => self.tell_siblings(key, *before, *after, to),
            }
        }
    }

    /// Tells of a merge.
    pub fn tell_merge(&self, report: &MergeReport, to: &PubSub) {
        if self.flags().has(CONCURRENCY) {
            let note = &report.note;
            self.tell("merged", &note.key, to);
            self.tell_siblings(&note.key, note.siblings_before, note.siblings_after, to);
        }
    }

    fn tell_siblings(&self, key: &[u8], before: usize, after: usize, to: &PubSub) {
        if after > before.max(1) {
            self.tell("sibling", key, to);
        } else if before > 1 && after <= 1 {
            self.tell("resolved", key, to);
        }
    }

    /// The key, if it is to be told of should there be none.
    #[must_use]
    pub fn if_missed(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.flags().has(MISS).then(|| key.to_vec())
    }
}

/// The event of this name.
#[must_use]
pub fn event(name: &str) -> Option<&'static str> {
    EVENTS.iter().flat_map(|(_, names)| names.iter()).find(|known| **known == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_shown_as_redis_shows_them() {
        let shown = |text: &str| text.parse().map(|flags: Flags| flags.to_string());
        assert_eq!(shown("KEA"), Ok("AKE".to_owned()));
        assert_eq!(shown("Elg"), Ok("glE".to_owned()));
        assert_eq!(shown("KD$"), Ok("$KD".to_owned()));
        assert_eq!(shown(""), Ok(String::new()));
        assert!(shown("Kq").is_err());
    }

    #[test]
    fn no_event_has_two_classes() {
        let mut names: Vec<_> = EVENTS.iter().flat_map(|(_, names)| names.iter()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
