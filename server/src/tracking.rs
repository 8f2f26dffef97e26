//! Client-side caching (CLIENT TRACKING): clients are told when keys change that they have read.
//!
//! A node hears of a change when it applies one - a write, or what another owner has sent, a merge among them. So it can promise that
//! for the keys it owns only: whatever else a client has read is told to be void right after the reply. The invariant: a key is in the
//! table before it is read, so that no change is missed in between; and what changed while it was read is told again behind the reply.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use replica::{Batch, NodeId, PartitionId, View};

use crate::clients::Client;
use crate::pubsub::Delivery;

/// The channel on which connections of RESP2 are told.
pub(crate) const CHANNEL: &[u8] = b"__redis__:invalidate";
/// How many prefixes a client may follow.
pub(crate) const PREFIXES: usize = 1_024;
/// So much is remembered of keys and of who has read them; the oldest are told to be void before there is more.
const REMEMBERED_BYTES: usize = 128 * 1024 * 1024;
/// What one reader of a key counts for.
const READER_BYTES: usize = 16;
/// So many keys are looked through for readers that have gone, whenever one is remembered.
const SWEPT_KEYS: usize = 2;

/// Who has read what.
#[derive(Debug, Default)]
pub struct Tracking {
    tables: Mutex<Tables>,
    /// How many clients there are: where there is none, nothing is looked at.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Tables {
    clients: HashMap<u64, Tracker>,
    keys: HashMap<Arc<[u8]>, Remembered>,
    /// The keys as they came: the oldest goes first.
    turns: BTreeMap<u64, Arc<[u8]>>,
    next_turn: u64,
    bytes: usize,
    /// How many keys have not been looked through since a client has gone.
    unswept: usize,
    swept_turn: u64,
}

/// A key.
#[derive(Debug)]
struct Remembered {
    turn: u64,
    readers: HashSet<u64>,
}

/// A client that is told.
#[derive(Debug)]
struct Tracker {
    client: Arc<Client>,
    /// Where it is told.
    inbox: Arc<Client>,
    /// It is told of all keys that begin so, whether it has read them or not; none: of what it has read.
    prefixes: Option<Vec<Vec<u8>>>,
}

impl Tracking {
    fn with<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        work(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many clients are told.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.with(|tables| tables.keys.len())
    }

    /// A client is told from now on, at this inbox.
    pub(crate) fn enter(&self, client: &Arc<Client>, inbox: Arc<Client>, prefixes: Option<Vec<Vec<u8>>>) {
        self.with(|tables| {
            let tracker = Tracker { client: Arc::clone(client), inbox, prefixes };
            tables.clients.insert(client.id, tracker);
            self.count.store(tables.clients.len(), Ordering::SeqCst);
        });
    }

    /// A client is not told any more. What it has read is forgotten as it changes, or as others read.
    pub(crate) fn leave(&self, id: u64) {
        if self.count() == 0 {
            return;
        }
        self.with(|tables| {
            tables.clients.remove(&id);
            tables.unswept = tables.keys.len();
            if tables.clients.is_empty() {
                tables.clear();
            }
            self.count.store(tables.clients.len(), Ordering::SeqCst);
        });
    }

    /// A client is about to read this; of more than so many keys, or bytes, the oldest are told to be void.
    pub(crate) fn remember(&self, id: u64, key: &[u8], limit_keys: u64) {
        self.with(|tables| {
            tables.sweep();
            tables.remember(id, key);
            while tables.keys.len() as u64 > limit_keys.max(1) || tables.bytes > REMEMBERED_BYTES {
                // The one that is being read stays.
                let Some(oldest) = tables.turns.values().find(|oldest| ***oldest != *key) else { break };
                tables.void(&Arc::clone(oldest));
            }
        });
    }

    /// Is what a client has read still as it was?
    pub(crate) fn remembers(&self, id: u64, key: &[u8]) -> bool {
        self.with(|tables| tables.keys.get(key).is_some_and(|known| known.readers.contains(&id)))
    }

    /// Tells one client that a key is void.
    pub(crate) fn tell(&self, id: u64, key: &[u8]) {
        self.with(|tables| {
            tables.keep_readers(key, |reader, _| reader != id);
            if let Some(tracker) = tables.clients.get(&id) {
                tracker.tell(Some(key));
            }
        });
    }

    /// Tells whoever has read what a batch changes.
    pub fn note(&self, batch: &Batch) {
        if self.count() > 0 {
            let changed: HashSet<&[u8]> = batch.keys().collect();
            self.with(|tables| changed.into_iter().for_each(|key| tables.change(key)));
        }
    }

    /// A node that has ceased to own something does not hear of all changes any more: everything is void, and whoever follows prefixes
    /// has to begin anew.
    pub(crate) fn own_others(&self, me: NodeId, before: &View, now: &View) {
        let serves = |view: &View, partition| view.replicas(partition).serving.contains(&me);
        let has_ceased = |partition| serves(before, partition) && !serves(now, partition);
        if self.count() == 0 || !PartitionId::all().any(has_ceased) {
            return;
        }
        self.with(|tables| {
            tables.clear();
            for tracker in tables.clients.values() {
                tracker.tell(None);
                if tracker.prefixes.is_some() {
                    tracker.client.kill.notify_one();
                }
            }
        });
    }
}

impl Tables {
    fn change(&mut self, key: &[u8]) {
        self.void(key);
        for tracker in self.clients.values() {
            let prefixes = tracker.prefixes.iter().flatten();
            if prefixes.into_iter().any(|prefix| key.starts_with(prefix)) {
                tracker.tell(Some(key));
            }
        }
    }

    fn remember(&mut self, id: u64, key: &[u8]) {
        let is_new = match self.keys.get_mut(key) {
            Some(known) => known.readers.insert(id),
            None => {
                let (name, turn) = (Arc::<[u8]>::from(key), self.next_turn);
                self.next_turn += 1;
                self.bytes += key.len();
                self.turns.insert(turn, Arc::clone(&name));
                self.keys.insert(name, Remembered { turn, readers: HashSet::from([id]) });
                true
            }
        };
        self.bytes += if is_new { READER_BYTES } else { 0 };
    }

    /// Forgets a key; says who has read it.
    fn forget(&mut self, key: &[u8]) -> HashSet<u64> {
        let Some(Remembered { turn, readers }) = self.keys.remove(key) else { return HashSet::new() };
        self.turns.remove(&turn);
        self.bytes -= key.len() + READER_BYTES * readers.len();
        readers
    }

    /// Forgets those readers of a key that are not to be kept.
    fn keep_readers(&mut self, key: &[u8], keeps: impl Fn(u64, &HashMap<u64, Tracker>) -> bool) {
        let Some(known) = self.keys.get_mut(key) else { return };
        let before = known.readers.len();
        known.readers.retain(|reader| keeps(*reader, &self.clients));
        let left = known.readers.len();
        self.bytes -= READER_BYTES * (before - left);
        if left == 0 {
            self.forget(key);
        }
    }

    /// Looks some keys through for readers that have gone: all at once would hold everybody up.
    fn sweep(&mut self) {
        for _ in 0..SWEPT_KEYS.min(self.unswept) {
            self.unswept -= 1;
            let next = self.turns.range(self.swept_turn..).next().or_else(|| self.turns.first_key_value());
            let Some((turn, key)) = next.map(|(turn, key)| (*turn, Arc::clone(key))) else { return };
            self.swept_turn = turn + 1;
            self.keep_readers(&key, |reader, clients| clients.contains_key(&reader));
        }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.turns.clear();
        (self.bytes, self.unswept) = (0, 0);
    }

    fn void(&mut self, key: &[u8]) {
        for id in self.forget(key) {
            if let Some(tracker) = self.clients.get(&id) {
                tracker.tell(Some(key));
            }
        }
    }
}

impl Tracker {
    /// Who cannot be told is let go: what it keeps would be wrong.
    fn tell(&self, key: Option<&[u8]>) {
        if self.inbox.inbox.send(|waiting| Delivery::void(key, waiting)) {
            return;
        }
        let broken = |waiting| Delivery::redirection_broken(self.inbox.id, waiting);
        if self.inbox.id == self.client.id || !self.client.inbox.send(broken) {
            self.client.kill.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::{Messages, Subscriber};
    use crate::resp::Reply;

    fn client(id: u64) -> (Arc<Client>, Messages) {
        let (inbox, messages) = Subscriber::new(id);
        (Arc::new(Client::new(id, String::new(), String::new(), inbox)), messages)
    }

    fn told(messages: &mut Messages) -> Vec<Reply> {
        std::iter::from_fn(|| messages.try_recv().ok()).map(Delivery::into_reply).collect()
    }

    fn void(key: &str) -> Reply {
        Reply::Push(vec![Reply::copied(b"invalidate"), Reply::array([key.to_owned()])])
    }

    #[test]
    fn the_table_holds_no_more_than_it_may_and_what_falls_out_is_told() {
        let (tracking, (client, mut messages)) = (Tracking::default(), client(1));
        tracking.enter(&client, Arc::clone(&client), None);
        for n in 0..100 {
            tracking.remember(1, format!("k{n}").as_bytes(), 10);
        }
        assert_eq!((tracking.keys(), told(&mut messages).len()), (10, 90));
        assert!(tracking.remembers(1, b"k99"), "the one that is being read stays");
        tracking.leave(1);
        assert_eq!((tracking.keys(), tracking.count()), (0, 0));
    }

    #[test]
    fn the_oldest_falls_out_first_and_large_keys_do_before_there_are_many() {
        let (tracking, (client, mut messages)) = (Tracking::default(), client(1));
        tracking.enter(&client, Arc::clone(&client), None);
        ["a", "b", "a", "c"].iter().for_each(|key| tracking.remember(1, key.as_bytes(), 2));
        assert_eq!(told(&mut messages), [void("a")]);
        const KEY_BYTES: usize = 1024 * 1024;
        let key = |n: u8| [&[n][..], &vec![b'k'; KEY_BYTES]].concat();
        for n in 0..=200 {
            tracking.remember(1, &key(n), 1_000);
            told(&mut messages);
        }
        assert_eq!(tracking.keys(), REMEMBERED_BYTES / KEY_BYTES - 1);
        assert!(tracking.remembers(1, &key(200)) && !tracking.remembers(1, &key(0)));
        tracking.with(|tables| (74..=200).for_each(|n| tables.change(&key(n))));
        tracking.with(|tables| assert_eq!((tables.keys.len(), tables.turns.len(), tables.bytes), (0, 0, 0)));
    }

    #[test]
    fn those_who_have_gone_are_swept_out_as_others_read() {
        let (tracking, (gone, _), (stays, mut messages)) = (Tracking::default(), client(1), client(2));
        tracking.enter(&gone, Arc::clone(&gone), None);
        tracking.enter(&stays, Arc::clone(&stays), None);
        let key = |n: usize| format!("k{n:03}");
        (0..100).for_each(|n| tracking.remember(1, key(n).as_bytes(), 1_000));
        tracking.remember(2, key(0).as_bytes(), 1_000);
        tracking.leave(1);
        (100..150).for_each(|n| tracking.remember(2, key(n).as_bytes(), 1_000));
        assert_eq!((tracking.keys(), told(&mut messages)), (51, vec![]));
        tracking.with(|tables| assert_eq!((tables.turns.len(), tables.bytes), (51, 51 * (4 + READER_BYTES))));
        assert!(tracking.remembers(2, key(0).as_bytes()));
    }

    #[test]
    fn a_change_is_told_once_to_those_who_have_read_the_key_and_to_all_who_follow_its_prefix() {
        let (tracking, (reader, mut read), (follower, mut followed)) = (Tracking::default(), client(1), client(2));
        tracking.enter(&reader, Arc::clone(&reader), None);
        tracking.enter(&follower, Arc::clone(&follower), Some(vec![b"a".to_vec()]));
        tracking.remember(1, b"a1", 10);
        tracking.with(|tables| ["a1", "a1", "b1"].iter().for_each(|key| tables.change(key.as_bytes())));
        assert_eq!(told(&mut read), [void("a1")]);
        assert_eq!(told(&mut followed), [void("a1"), void("a1")]);
        assert!(!tracking.remembers(1, b"a1"));
    }
}
