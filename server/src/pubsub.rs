//! Publish and subscribe: messages reach every node of the cluster; channels of merges are each node's own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::glob;
use crate::resp::Reply;
use crate::tracking;

/// A subscriber that is so many messages behind loses further ones.
const BACKLOG_MESSAGES: usize = 16_384;
/// The same, in bytes.
const BACKLOG_BYTES: usize = 32 * 1024 * 1024;

/// Something that is told a connection beside its replies.
#[derive(Clone, Debug)]
pub struct Delivery {
    what: What,
    /// What waits for the connection, this among it.
    waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
enum What {
    /// A message to the followers of a channel.
    Message { topic: Topic, pattern: Option<Bytes>, channel: Bytes, payload: Bytes },
    /// What it has read of a key, or of all of them, is void.
    Void(Option<Bytes>),
    /// Nobody is there any more who was to be told what is void.
    RedirectionBroken(u64),
    /// For whoever monitors.
    Line(Bytes),
}

impl Delivery {
    /// What was read of a key is void; of all of them, if none is named.
    pub(crate) fn void(key: Option<&[u8]>, waiting_bytes: Arc<AtomicUsize>) -> Self {
        Self { what: What::Void(key.map(Bytes::copy_from_slice)), waiting_bytes }
    }

    /// The connection of this number is gone, which was to be told.
    pub(crate) fn redirection_broken(to: u64, waiting_bytes: Arc<AtomicUsize>) -> Self {
        Self { what: What::RedirectionBroken(to), waiting_bytes }
    }

    fn bytes(&self) -> usize {
        match &self.what {
            What::Message { pattern, channel, payload, .. } => {
                payload.len() + channel.len() + pattern.as_ref().map_or(0, Bytes::len)
            }
            What::Void(key) => key.as_ref().map_or(0, Bytes::len),
            What::RedirectionBroken(_) => 0,
            What::Line(line) => line.len(),
        }
    }

    /// As RESP3 has it.
    pub(crate) fn into_reply(self) -> Reply {
        self.waiting_bytes.fetch_sub(self.bytes(), Ordering::Relaxed);
        let items = match self.what {
            What::Message { pattern: Some(pattern), channel, payload, .. } => {
                vec![Reply::copied(b"pmessage"), Reply::Bulk(pattern), Reply::Bulk(channel), Reply::Bulk(payload)]
            }
            What::Message { topic, channel, payload, .. } => {
                let word: &[u8] = if topic == Topic::Shard { b"smessage" } else { b"message" };
                vec![Reply::copied(word), Reply::Bulk(channel), Reply::Bulk(payload)]
            }
            What::Void(key) => vec![Reply::copied(b"invalidate"), voided(key)],
            What::RedirectionBroken(to) => vec![Reply::copied(b"tracking-redir-broken"), Reply::Integer(to as i64)],
            What::Line(line) => return Reply::Simple(String::from_utf8_lossy(&line).into_owned().into()),
        };
        Reply::Push(items)
    }

    /// As RESP2 has it, where what is void is a message to those who follow a channel of that.
    pub(crate) fn into_plain_reply(self, follows_void: impl FnOnce() -> bool) -> Option<Reply> {
        match self.what {
            What::Message { .. } | What::Line(_) => Some(self.into_reply()),
            What::Void(ref key) => {
                let items = [Reply::copied(b"message"), Reply::copied(tracking::CHANNEL), voided(key.clone())];
                self.waiting_bytes.fetch_sub(self.bytes(), Ordering::Relaxed);
                follows_void().then(|| Reply::Push(items.into()))
            }
            What::RedirectionBroken(_) => None,
        }
    }
}

fn voided(key: Option<Bytes>) -> Reply {
    key.map_or(Reply::NullArray, |key| Reply::Array(vec![Reply::Bulk(key)]))
}

/// The receiving end of a connection.
pub type Messages = Receiver<Delivery>;

/// The sending end of a connection.
#[derive(Clone, Debug)]
pub struct Subscriber {
    id: u64,
    queue: Sender<Delivery>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Subscriber {
    pub(crate) fn new(id: u64) -> (Self, Messages) {
        let (queue, messages) = channel(BACKLOG_MESSAGES);
        (Self { id, queue, waiting_bytes: Arc::default() }, messages)
    }

    /// Hands it a line of MONITOR; says whether there was room.
    pub(crate) fn deliver_line(&self, line: Bytes) -> bool {
        self.send(|waiting_bytes| Delivery { what: What::Line(line), waiting_bytes })
    }

    /// Tells it something; false if it cannot take it.
    pub(crate) fn send(&self, make: impl FnOnce(Arc<AtomicUsize>) -> Delivery) -> bool {
        let delivery = make(Arc::clone(&self.waiting_bytes));
        let bytes = delivery.bytes();
        let fits = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= BACKLOG_BYTES;
        let is_sent = fits && self.queue.try_send(delivery).is_ok();
        if !is_sent {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_sent
    }
}

/// Who follows what.
#[derive(Default)]
pub struct PubSub {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    channels: HashMap<Vec<u8>, Vec<Subscriber>>,
    patterns: HashMap<Vec<u8>, Vec<Subscriber>>,
    shards: HashMap<Vec<u8>, Vec<Subscriber>>,
}

/// A channel, or a pattern of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Topic {
    /// One channel.
    Channel,
    /// All channels that match.
    Pattern,
    /// One channel of those that belong to a slot.
    Shard,
}

impl PubSub {
    fn with<R>(&self, work: impl FnOnce(&mut Tables) -> R) -> R {
        work(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn subscribe(&self, topic: Topic, name: &[u8], subscriber: &Subscriber) {
        self.with(|tables| tables.of(topic).entry(name.to_vec()).or_default().push(subscriber.clone()));
    }

    pub(crate) fn unsubscribe(&self, topic: Topic, name: &[u8], id: u64) {
        self.with(|tables| {
            let table = tables.of(topic);
            if let Some(subscribers) = table.get_mut(name) {
                subscribers.retain(|subscriber| subscriber.id != id);
                if subscribers.is_empty() {
                    table.remove(name);
                }
            }
        });
    }

    /// A connection has ended.
    pub(crate) fn forget(&self, id: u64) {
        self.with(|tables| {
            for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
                tables.of(topic).retain(|_, subscribers| {
                    subscribers.retain(|subscriber| subscriber.id != id);
                    !subscribers.is_empty()
                });
            }
        });
    }

    /// What these connections follow.
    pub(crate) fn followed_by(&self, ids: &HashSet<u64>) -> Vec<(u64, Topic, Vec<u8>)> {
        self.with(|tables| {
            let mut followed = Vec::new();
            for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
                for (name, subscribers) in tables.of(topic).iter() {
                    let theirs = subscribers.iter().filter(|subscriber| ids.contains(&subscriber.id));
                    followed.extend(theirs.map(|subscriber| (subscriber.id, topic, name.clone())));
                }
            }
            followed
        })
    }

    /// Does nobody here follow anything?
    pub(crate) fn is_idle(&self) -> bool {
        self.with(|tables| tables.channels.is_empty() && tables.patterns.is_empty())
    }

    /// Channels that somebody here follows, and how many do.
    pub(crate) fn channels(&self, topic: Topic) -> Vec<(Vec<u8>, usize)> {
        self.with(|tables| tables.of(topic).iter().map(|(name, all)| (name.clone(), all.len())).collect())
    }

    /// How many patterns are followed here.
    pub(crate) fn patterns(&self) -> usize {
        self.with(|tables| tables.patterns.len())
    }

    /// Hands a message to the subscribers of this node; says how many there were. A pattern matches no channel of a slot.
    pub(crate) fn publish(&self, topic: Topic, channel: &[u8], payload: &[u8]) -> usize {
        let (name, payload) = (Bytes::copy_from_slice(channel), Bytes::copy_from_slice(payload));
        self.with(|tables| {
            let mut reached = 0;
            let mut deliver = |subscriber: &Subscriber, pattern: Option<Bytes>| {
                let what = What::Message { topic, pattern, channel: name.clone(), payload: payload.clone() };
                reached += usize::from(subscriber.send(|waiting_bytes| Delivery { what, waiting_bytes }));
            };
            tables.of(topic).get(channel).into_iter().flatten().for_each(|subscriber| deliver(subscriber, None));
            let patterns = tables
                .patterns
                .iter()
                .filter(|(pattern, _)| topic == Topic::Channel && glob::matches(pattern, channel));
            for (pattern, subscribers) in patterns {
                subscribers.iter().for_each(|subscriber| deliver(subscriber, Some(Bytes::copy_from_slice(pattern))));
            }
            reached
        })
    }
}

impl Tables {
    fn of(&mut self, topic: Topic) -> &mut HashMap<Vec<u8>, Vec<Subscriber>> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::Shard => &mut self.shards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large names would else be held without a limit, however small the messages are.
    #[test]
    fn a_backlog_counts_the_names_of_channels_and_patterns_too() {
        const NAME_BYTES: usize = 1024 * 1024;
        let (pubsub, channel) = (PubSub::default(), vec![b'c'; NAME_BYTES]);
        let pattern = [&channel[1..], b"*"].concat();
        let ((one, mut messages), (other, mut matched)) = (Subscriber::new(1), Subscriber::new(2));
        pubsub.subscribe(Topic::Channel, &channel, &one);
        pubsub.subscribe(Topic::Pattern, &pattern, &other);
        let reached = (0..64).map(|_| pubsub.publish(Topic::Channel, &channel, b"")).sum::<usize>();
        assert_eq!(reached, 32 + 16);
        drop(messages.try_recv().map(Delivery::into_reply));
        drop(matched.try_recv().map(Delivery::into_reply));
        assert_eq!(pubsub.publish(Topic::Channel, &channel, b""), 2, "what is taken makes room");
    }
}
