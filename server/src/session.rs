//! What a connection has said of itself, and chosen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::node::Node;
use crate::pubsub::{Messages, Subscriber};
use crate::resp::Protocol;

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
    /// How many owners must answer its reads, if it has chosen.
    pub r: Option<u8>,
    /// How many owners must hold its writes, if it has chosen.
    pub w: Option<u8>,
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
            r: None,
            w: None,
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
