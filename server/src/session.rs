//! What a connection has said of itself, and chosen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use replica::QuorumKind;

use crate::node::Node;
use crate::pubsub::{Messages, Subscriber};
use crate::resp::Protocol;

/// What a connection, or one command, has chosen of quorums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
            timeout_ms: self.timeout_ms.or(other.timeout_ms),
        }
    }
}

/// The state of one connection.
pub struct Session {
    /// Its number, unique in this run of the node.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// RESP2 until HELLO says otherwise.
    pub protocol: Protocol,
    /// CLIENT SETNAME.
    pub name: String,
    /// How many must take part in its requests, as far as it has chosen.
    pub quorums: Quorums,
    /// Its channels.
    pub channels: BTreeSet<Vec<u8>>,
    /// Its patterns.
    pub patterns: BTreeSet<Vec<u8>>,
    /// Where its messages go.
    pub subscriber: Subscriber,
    /// It has said goodbye.
    pub closing: bool,
}

impl Session {
    pub(crate) fn new(node: &Arc<Node>, address: String) -> (Self, Messages) {
        let id = node.next_client.fetch_add(1, Ordering::Relaxed);
        let (subscriber, messages) = Subscriber::new(id);
        let session = Self {
            id,
            address,
            protocol: Protocol::Resp2,
            name: String::new(),
            quorums: Quorums::default(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            subscriber,
            closing: false,
        };
        (session, messages)
    }

    /// How many channels and patterns it follows.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// In RESP2 a subscriber's connection takes hardly any other command.
    #[must_use]
    pub fn only_subscribes(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions() > 0
    }
}
