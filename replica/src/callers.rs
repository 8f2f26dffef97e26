//! Who calls a node: of two that call under one id, only one is heard.
//!
//! A copied data directory that runs beside the original has the original's node id, and would be taken for it: what the one has
//! on disk would count as the other's. So an id is bound to the address of the one who was let in, as long as he talks. Another
//! is refused at the greeting; and if he was let in because the first was silent, the first is not heard any more when he talks
//! again, by whatever connection he still has.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::cluster::SILENCE_MS;
use crate::id::NodeId;

/// How long a node is refused before it believes it and ends: the end of its own last run may not have been noticed yet.
pub const REFUSED_MS: u64 = 3 * SILENCE_MS;

/// Why one who calls must not be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Its id is this node's own.
    Mine,
    /// Its id is in use at this address.
    InUse(SocketAddr),
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    /// Which connection it is: one that ends late does not speak for the one that has taken its place.
    connection: u64,
    address: SocketAddr,
    heard_at_ms: u64,
}

/// Those who call a node, by id.
#[derive(Debug)]
pub struct Callers {
    me: NodeId,
    by_node: BTreeMap<NodeId, Caller>,
}

impl Callers {
    /// Nobody calls yet.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Self { me, by_node: BTreeMap::new() }
    }

    /// Why this one must not be let in, who says that it listens at this address - if he must not.
    #[must_use]
    pub fn objection(&self, node: NodeId, address: SocketAddr, now_ms: u64) -> Option<Objection> {
        if node == self.me {
            return Some(Objection::Mine);
        }
        let another = self.by_node.get(&node).filter(|caller| caller.address != address && caller.talks(now_ms))?;
        Some(Objection::InUse(another.address))
    }

    /// One who was let in has said something on a connection that speaks for it. If another has its id by now, the connection has to
    /// end.
    ///
    /// # Errors
    /// The [`Objection`].
    pub fn hear(&mut self, node: NodeId, address: SocketAddr, connection: u64, now_ms: u64) -> Result<(), Objection> {
        match self.objection(node, address, now_ms) {
            Some(why) => Err(why),
            None => {
                self.by_node.insert(node, Caller { connection, address, heard_at_ms: now_ms });
                Ok(())
            }
        }
    }

    /// Where the one who was let in under this id listens, as long as he talks: what is meant for him goes there, whatever others
    /// say.
    #[must_use]
    pub fn address(&self, node: NodeId, now_ms: u64) -> Option<SocketAddr> {
        self.by_node.get(&node).filter(|caller| caller.talks(now_ms)).map(|caller| caller.address)
    }

    /// A connection has ended. If it was the last that spoke for the node its id is free again: it may come back at another address.
    pub fn ended(&mut self, node: NodeId, connection: u64) -> bool {
        let is_its_last = self.by_node.get(&node).is_some_and(|caller| caller.connection == connection);
        is_its_last && self.by_node.remove(&node).is_some()
    }
}

impl Caller {
    fn talks(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_at_ms) < SILENCE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::{Callers, Objection};
    use crate::cluster::SILENCE_MS;
    use crate::id::NodeId;
    use std::net::SocketAddr;
    use uuid::Uuid;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn of_two_with_one_id_the_one_that_talks_is_heard() {
        let [me, node] = [1, 2].map(|n| NodeId(Uuid::from_u128(n)));
        let mut callers = Callers::new(me);
        assert_eq!(callers.objection(me, address(9), 0), Some(Objection::Mine));
        assert_eq!(callers.hear(node, address(1), 1, 0), Ok(()));
        let in_use = Some(Objection::InUse(address(1)));
        assert_eq!(callers.objection(node, address(2), SILENCE_MS - 1), in_use);
        assert_eq!(callers.objection(node, address(1), SILENCE_MS - 1), None, "it may dial again");
    }

    /// Both were heard from then on, each by its own connection.
    #[test]
    fn who_was_silent_is_not_heard_any_more_once_another_has_its_id() {
        let node = NodeId(Uuid::from_u128(2));
        let mut callers = Callers::new(NodeId(Uuid::from_u128(1)));
        assert_eq!(callers.hear(node, address(1), 1, 0), Ok(()));
        let later = SILENCE_MS + 10;
        assert_eq!(callers.objection(node, address(2), later), None, "the first is silent");
        assert_eq!(callers.hear(node, address(2), 2, later), Ok(()));
        assert_eq!(callers.hear(node, address(1), 1, later + 1), Err(Objection::InUse(address(2))));
        assert!(!callers.ended(node, 1), "it does not speak for the other");
        assert!(callers.ended(node, 2));
        assert_eq!(callers.objection(node, address(1), later + 2), None, "the id is free");
    }
}
