//! What a connection has said of itself, and chosen.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use replica::{ByteString, Context, QuorumKind};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::acl::User;
use crate::clients::Client;
use crate::command::{Mode, Tracking};
use crate::latency::Family;
use crate::node::Node;
use crate::pubsub::{Delivery, Messages, Subscriber, Topic};
use crate::resp::{Protocol, Reply};
use crate::seen::Seen;
use crate::tracking;

/// What a connection, or one command, has chosen of quorums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorums {
    /// How many nodes must answer a read.
    pub r: Option<u8>,
    /// How many nodes must hold a write.
    pub w: Option<u8>,
    /// How many owners must answer a read.
    pub pr: Option<u8>,
    /// How many owners must hold a write.
    pub pw: Option<u8>,
    /// How many nodes must hold a write on disk.
    pub dw: Option<u8>,
    /// May others stand in for owners?
    pub kind: Option<QuorumKind>,
    /// Is what a read has found brought to as many as must answer, before it is answered?
    pub write_back: bool,
    /// After how long a request fails.
    pub timeout_ms: Option<u32>,
}

impl Quorums {
    /// These choices where there are any, else the others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            r: self.r.or(other.r),
            w: self.w.or(other.w),
            pr: self.pr.or(other.pr),
            pw: self.pw.or(other.pw),
            dw: self.dw.or(other.dw),
            kind: self.kind.or(other.kind),
            write_back: self.write_back || other.write_back,
            timeout_ms: self.timeout_ms.or(other.timeout_ms),
        }
    }
}

/// The state of one connection.
pub struct Session {
    /// Its number, unique in this run of the node.
    pub id: u64,
    /// What others may know of it.
    pub client: Arc<Client>,
    /// When its command has begun.
    pub now: Instant,
    /// Whose it is: what it may do.
    pub user: Arc<User>,
    /// Has it said who it is, where that is asked for?
    pub is_authenticated: bool,
    /// RESP2 until HELLO says otherwise.
    pub protocol: Protocol,
    /// How many must take part in its requests, as far as it has chosen.
    pub quorums: Quorums,
    /// Its channels and patterns.
    pub follows: BTreeSet<(Topic, Vec<u8>)>,
    /// Where its messages go.
    pub subscriber: Subscriber,
    /// What it has seen, if it keeps to it.
    pub seen: Option<Seen>,
    /// What it has written last.
    pub last_write: LastWrite,
    /// The commands it has gathered since MULTI.
    pub transaction: Option<Transaction>,
    /// The keys it watches.
    pub watched: Rc<Watched>,
    /// What it is shown of concurrency beside plain replies.
    pub mode: Mode,
    /// Is it shown every command?
    pub monitors: bool,
    /// Is it told what of its reads is void?
    pub tracking: Option<Tracking>,
    /// It has said goodbye.
    pub closing: bool,
    /// What kind of command was its last.
    pub family: Family,
}

/// The keys and events of a connection's last write: shared with whatever still waits for its answer.
#[derive(Clone, Debug, Default)]
pub struct LastWrite(Rc<RefCell<Vec<Events>>>);

/// A key, and events on it.
pub type Events = (Vec<u8>, Context);

impl LastWrite {
    /// A write has been answered.
    pub fn note(&self, events: impl IntoIterator<Item = Events>) {
        let mut events = events.into_iter().filter(|(_, own)| !own.is_empty()).peekable();
        if events.peek().is_some() {
            *self.0.borrow_mut() = events.collect();
        }
    }

    /// The last one, by keys.
    #[must_use]
    pub fn get(&self) -> Vec<Events> {
        self.0.borrow().clone()
    }
}

/// The commands of a transaction, until EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    /// In their order.
    pub commands: Vec<Vec<ByteString>>,
    /// How large they are together.
    pub bytes: usize,
    /// One of them was refused: EXEC will refuse them all.
    pub is_broken: bool,
}

/// Keys that a connection watches, with what they were then.
#[derive(Debug, Default)]
pub struct Watched {
    keys: RefCell<Vec<(ByteString, u64)>>,
    asked: Cell<usize>,
    failed: Cell<bool>,
    wake: Notify,
}

impl Watched {
    /// The keys, as far as they are known.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.keys.borrow().iter().map(|(key, _)| key.0.clone()).collect()
    }

    /// A key's state was asked for.
    pub fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    /// What it is; nothing if it could not be told.
    pub fn answer(&self, key: ByteString, digest: Option<u64>) {
        self.asked.set(self.asked.get() - 1);
        match digest {
            Some(digest) => self.keys.borrow_mut().push((key, digest)),
            None => self.failed.set(true),
        }
        self.wake.notify_waiters();
    }

    /// Everything that is watched, once it is known; nothing if that of some key is not.
    pub async fn known(&self) -> Option<Vec<(ByteString, u64)>> {
        while self.asked.get() > 0 {
            self.wake.notified().await;
        }
        (!self.failed.get()).then(|| self.keys.take())
    }
}

impl Session {
    pub(crate) fn new(node: &Arc<Node>, address: String, local_address: String) -> (Self, Messages) {
        let id = node.next_client.fetch_add(1, Ordering::Relaxed);
        let (subscriber, messages) = Subscriber::new(id);
        let client = Arc::new(Client::new(id, address, local_address, subscriber.clone()));
        let (user, is_authenticated) = (node.acl.default_user(), node.acl.is_open());
        (Self { user, is_authenticated, ..Self::with(client, subscriber) }, messages)
    }

    /// For commands that are carried out where their keys are: nobody listens.
    #[must_use]
    pub fn without_connection() -> Self {
        let subscriber = Subscriber::new(0).0;
        let client = Arc::new(Client::new(0, String::new(), String::new(), subscriber.clone()));
        Self { protocol: Protocol::Resp3, ..Self::with(client, subscriber) }
    }

    fn with(client: Arc<Client>, subscriber: Subscriber) -> Self {
        Self {
            id: client.id,
            now: client.since,
            client,
            user: User::anybody(),
            is_authenticated: true,
            protocol: Protocol::Resp2,
            quorums: Quorums::default(),
            follows: BTreeSet::new(),
            subscriber,
            seen: None,
            last_write: LastWrite::default(),
            transaction: None,
            watched: Rc::default(),
            mode: Mode::Off,
            monitors: false,
            tracking: None,
            closing: false,
            family: Family::NONE,
        }
    }

    /// As it was when it was new.
    pub(crate) fn reset(&mut self, node: &Node) {
        self.client.rename("");
        let fresh = Self::with(Arc::clone(&self.client), self.subscriber.clone());
        *self = Self { is_authenticated: node.acl.is_open(), ..fresh };
        self.become_user(node.acl.default_user());
        self.describe();
    }

    /// It belongs to this user from now on.
    pub(crate) fn become_user(&mut self, user: Arc<User>) {
        self.client.belong_to(user.name());
        self.user = user;
    }

    /// Is there a connection, which can wait?
    #[must_use]
    pub fn has_connection(&self) -> bool {
        self.id > 0
    }

    /// How many topics of a kind it follows.
    #[must_use]
    pub fn following(&self, topic: Topic) -> usize {
        self.follows.iter().filter(|(of, _)| *of == topic).count()
    }

    /// Lets others know what it speaks and follows.
    pub(crate) fn describe(&self) {
        let following = [Topic::Channel, Topic::Pattern, Topic::Shard].map(|topic| self.following(topic));
        self.client.describe(self.protocol.version(), following, if self.monitors { "O" } else { "" });
    }

    /// What it is told beside replies, as it speaks.
    pub(crate) fn show(&self, delivery: Delivery) -> Option<Reply> {
        match self.protocol {
            Protocol::Resp3 => Some(delivery.into_reply()),
            Protocol::Resp2 => {
                delivery.into_plain_reply(|| self.follows.contains(&(Topic::Channel, tracking::CHANNEL.to_vec())))
            }
        }
    }

    /// In RESP2 a subscriber's connection takes hardly any other command.
    #[must_use]
    pub fn only_subscribes(&self) -> bool {
        self.protocol == Protocol::Resp2 && !self.follows.is_empty()
    }
}
