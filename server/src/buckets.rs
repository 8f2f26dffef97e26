//! Buckets: what requests of keys with a common prefix ask for if nobody says otherwise.
//!
//! The settings are [decisions](replica::Decisions) of the cluster: told to every node by gossip, kept on each node's disk, merged
//! when a cut heals. This is what a node makes of them for its requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use replica::{Decisions, QuorumKind};

use crate::session::Quorums;

/// How many there may be: each request looks for its own among them.
pub const MAX_BUCKETS: usize = 256;
/// The names under which buckets are decided begin so, followed by the prefix.
const NAME: &[u8] = b"bucket:";
/// The form of a decision.
const VERSION: u8 = 1;

/// One bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What its keys begin with.
    pub prefix: Vec<u8>,
    /// What their requests ask for.
    pub quorums: Quorums,
    /// How many settings were decided at once; the strictest of each is what holds.
    pub siblings: usize,
}

/// The buckets of the cluster, as far as this node has heard.
#[derive(Debug, Default)]
pub struct Buckets {
    are_there: AtomicBool,
    /// The longest prefix first.
    all: RwLock<Arc<[Bucket]>>,
}

impl Buckets {
    /// All of them, the longest prefix first.
    #[must_use]
    pub fn all(&self) -> Arc<[Bucket]> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// That of a key: the one with the longest prefix.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> Option<Bucket> {
        self.all().iter().find(|bucket| key.starts_with(&bucket.prefix)).cloned()
    }

    /// What was chosen, and of the rest what the key's bucket asks for. One load of an atomic while there are no buckets.
    #[must_use]
    pub fn fill_in(&self, chosen: Quorums, key: &[u8]) -> Quorums {
        if !self.are_there.load(Ordering::Relaxed) {
            return chosen;
        }
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let bucket = all.iter().find(|bucket| key.starts_with(&bucket.prefix));
        bucket.map_or(chosen, |bucket| chosen.or(bucket.quorums))
    }

    /// From now on these hold.
    pub(crate) fn live_by(&self, decisions: &Decisions) {
        let mut all: Vec<Bucket> = decisions.iter().filter_map(|(name, values)| bucket(name, values)).collect();
        all.sort_by_key(|bucket| std::cmp::Reverse(bucket.prefix.len()));
        self.are_there.store(!all.is_empty(), Ordering::Relaxed);
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all.into();
    }
}

/// What a decision is called.
#[must_use]
pub fn name_of(prefix: &[u8]) -> Vec<u8> {
    [NAME, prefix].concat()
}

/// Settings as they are decided.
#[must_use]
pub fn encode(quorums: &Quorums) -> Vec<u8> {
    // Writing into memory does not fail for such types.
    postcard::to_extend(quorums, vec![VERSION]).unwrap_or_default()
}

fn bucket<'v>(name: &[u8], values: impl Iterator<Item = &'v [u8]>) -> Option<Bucket> {
    let prefix = name.strip_prefix(NAME)?.to_vec();
    let read = |value: &[u8]| match value.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes::<Quorums>(rest).ok(),
        // Of a later release: this one does not know what it means.
        _ => None,
    };
    let settings: Vec<Quorums> = values.filter_map(read).collect();
    let quorums = settings.iter().copied().reduce(strictest)?;
    Some(Bucket { prefix, quorums, siblings: settings.len() })
}

/// Of two settings decided at once, the greater number of each kind, and owners alone if one says so.
fn strictest(one: Quorums, other: Quorums) -> Quorums {
    let kind = match (one.kind, other.kind) {
        (Some(QuorumKind::Strict), _) | (_, Some(QuorumKind::Strict)) => Some(QuorumKind::Strict),
        (one, other) => one.or(other),
    };
    Quorums {
        r: one.r.max(other.r),
        w: one.w.max(other.w),
        pr: one.pr.max(other.pr),
        pw: one.pw.max(other.pw),
        dw: one.dw.max(other.dw),
        kind,
        write_back: one.write_back || other.write_back,
        timeout_ms: one.timeout_ms.max(other.timeout_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replica::{Actor, Incarnation, NodeId};

    fn decided(settings: &[(u128, &str, Quorums)]) -> Buckets {
        let mut all = Decisions::default();
        for (node, prefix, quorums) in settings {
            let actor = Actor { node: NodeId(uuid::Uuid::from_u128(*node)), incarnation: Incarnation(1) };
            let mut one = Decisions::default();
            one.decide(actor, &name_of(prefix.as_bytes()), Some(&encode(quorums))).expect("there is room");
            all.merge(&one);
        }
        let buckets = Buckets::default();
        buckets.live_by(&all);
        buckets
    }

    #[test]
    fn the_longest_prefix_counts_and_what_is_chosen_counts_more() {
        let (of_all, of_users) =
            (Quorums { r: Some(1), ..Quorums::default() }, Quorums { w: Some(3), ..Quorums::default() });
        let buckets = decided(&[(1, "", of_all), (1, "user:", of_users)]);
        assert_eq!(buckets.fill_in(Quorums::default(), b"user:1"), of_users);
        assert_eq!(buckets.fill_in(Quorums::default(), b"users"), of_all);
        let chosen = Quorums { w: Some(1), ..Quorums::default() };
        assert_eq!(buckets.fill_in(chosen, b"user:1"), chosen);
    }

    #[test]
    fn of_what_two_decide_at_once_the_strictest_holds() {
        let one = Quorums { r: Some(1), w: Some(3), kind: Some(QuorumKind::Sloppy), ..Quorums::default() };
        let other = Quorums { r: Some(2), kind: Some(QuorumKind::Strict), ..Quorums::default() };
        let bucket = decided(&[(1, "k", one), (2, "k", other)]).of(b"key").expect("there is one");
        let expected = Quorums { r: Some(2), w: Some(3), kind: Some(QuorumKind::Strict), ..Quorums::default() };
        assert_eq!((bucket.quorums, bucket.siblings), (expected, 2));
    }
}
