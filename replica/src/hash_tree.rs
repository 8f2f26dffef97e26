//! A hash tree over the keys of a partition: two replicas whose clocks are equal must have equal sums.
//!
//! Keys fall by their hash into [`LEAVES`] leaves; a leaf's sum is the exclusive or of what its keys contribute, a node's
//! that of its leaves, the root's that of all. So one key costs one exclusive or to keep up, whatever the size of the
//! partition, and a difference is found in three steps (Merkle anti-entropy: Dynamo, section 4.7; here as verification, for
//! clocks have found what is missing before).

use crate::digest::{hash_of, mix};

/// How many leaves a tree has.
pub const LEAVES: usize = 1_024;
/// How many leaves a node has, and how many nodes the root.
pub const FANOUT: usize = 32;

/// The sums of a partition's keys.
///
/// ```
/// use replica::HashTree;
///
/// let (mut here, mut there) = (HashTree::new(), HashTree::new());
/// here.replace(b"cart", 0, 0xd1); // a key that had nothing has cells of this digest now
/// assert_ne!(here.root(), there.root());
/// there.replace(b"cart", 0, 0xd1);
/// assert_eq!(here, there);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashTree {
    leaves: Box<[u64]>,
}

impl Default for HashTree {
    fn default() -> Self {
        Self::new()
    }
}

impl HashTree {
    /// The tree of a partition without keys. 8 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self { leaves: vec![0; LEAVES].into_boxed_slice() }
    }

    /// The digest of a key's cells has changed; 0 is that of a key that has none. O(1).
    pub fn replace(&mut self, key: &[u8], before: u64, after: u64) {
        let hash = hash_of(key);
        self.leaves[leaf_of_hash(hash)] ^= contribution(hash, before) ^ contribution(hash, after);
    }

    /// The sum of all keys. O(leaves).
    #[must_use]
    pub fn root(&self) -> u64 {
        self.leaves.iter().fold(0, |sum, leaf| sum ^ leaf)
    }

    /// The sums of the nodes below the root.
    #[must_use]
    pub fn nodes(&self) -> Vec<u64> {
        self.leaves.chunks(FANOUT).map(|leaves| leaves.iter().fold(0, |sum, leaf| sum ^ leaf)).collect()
    }

    /// The sums of the leaves below a node; none if there is no such node.
    #[must_use]
    pub fn leaves_of(&self, node: usize) -> &[u64] {
        self.leaves.chunks(FANOUT).nth(node).unwrap_or(&[])
    }
}

fn contribution(hash: u64, digest: u64) -> u64 {
    if digest == 0 { 0 } else { mix(hash ^ digest.rotate_left(17)) }
}

/// By the leading bits, so that a leaf is a range in the order of the keys.
fn leaf_of_hash(hash: u64) -> usize {
    (hash >> (u64::BITS - LEAVES.trailing_zeros())) as usize
}

/// The first 48-bit hash of a leaf.
pub(crate) fn first_hash_of(leaf: usize) -> u64 {
    (leaf as u64) << (48 - LEAVES.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::{FANOUT, HashTree, LEAVES, first_hash_of, leaf_of_hash};
    use crate::record::key_hash;

    #[test]
    fn a_difference_is_found_by_its_node_and_its_leaf() {
        let (mut here, mut there) = (HashTree::new(), HashTree::new());
        for n in 0..10_000_u64 {
            here.replace(&n.to_be_bytes(), 0, n + 1);
            there.replace(&n.to_be_bytes(), 0, n + 1);
        }
        assert_eq!(here, there);
        there.replace(&7_u64.to_be_bytes(), 8, 0);
        let differing: Vec<usize> = (0..FANOUT).filter(|node| here.nodes()[*node] != there.nodes()[*node]).collect();
        let [node] = differing[..] else { panic!("one node differs: {differing:?}") };
        let leaves: Vec<usize> =
            (0..FANOUT).filter(|leaf| here.leaves_of(node)[*leaf] != there.leaves_of(node)[*leaf]).collect();
        let [leaf] = leaves[..] else { panic!("one leaf differs: {leaves:?}") };
        let leaf = node * FANOUT + leaf;
        let hash = key_hash(&7_u64.to_be_bytes()).0;
        assert!(first_hash_of(leaf) <= hash && (leaf + 1 == LEAVES || hash < first_hash_of(leaf + 1)));
        assert_eq!(leaf_of_hash(crate::digest::hash_of(&7_u64.to_be_bytes())), leaf);
        assert!(there.leaves_of(FANOUT).is_empty());
    }
}
