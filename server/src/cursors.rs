//! Where the pages of SSCAN, HSCAN and ZSCAN ended: a cursor must be a number, and a place in a collection is a name.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Mutex, PoisonError};

use replica::{Incarnation, NodeId};

/// How much a node remembers; of the oldest beyond that a scan begins anew.
const PLACES_BYTES: usize = 64 * 1024 * 1024;
/// What a place takes beside its name.
const PLACE_BYTES: usize = 128;
const COUNTER_BITS: u32 = 40;

/// The cursors a node has given.
#[derive(Debug)]
pub struct Cursors {
    /// Tells this node's cursors from others'; not 0.
    tag: u64,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    order: VecDeque<u64>,
    /// A hash of the key, and the name.
    names: HashMap<u64, (u64, Vec<u8>)>,
    bytes: usize,
}

/// The cursor was given by another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl Cursors {
    /// Those of one run of a node.
    #[must_use]
    pub fn new(node: NodeId, incarnation: Incarnation) -> Self {
        let run = node.0.as_u128() as u64 ^ u64::from(incarnation.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { tag: (run >> 48 | 0x1_0000) << COUNTER_BITS, places: Mutex::default() }
    }

    /// A cursor for what follows this name of the key.
    pub fn keep(&self, key: &[u8], name: &[u8]) -> u64 {
        let places = &mut *self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.next = (places.next + 1) % (1 << COUNTER_BITS);
        let cursor = self.tag | places.next;
        places.names.insert(cursor, (hash_of(key), name.to_vec()));
        places.order.push_back(cursor);
        places.bytes += name.len() + PLACE_BYTES;
        while places.bytes > PLACES_BYTES
            && let Some(oldest) = places.order.pop_front()
        {
            let name = places.names.remove(&oldest).map_or(0, |(_, name)| name.len());
            places.bytes -= name + PLACE_BYTES;
        }
        cursor
    }

    /// Behind which name of the key to go on; from the beginning if it is 0, or too old.
    ///
    /// # Errors
    /// [`Foreign`] if another node has given it.
    pub fn name(&self, cursor: u64, key: &[u8]) -> Result<Option<Vec<u8>>, Foreign> {
        if cursor == 0 {
            return Ok(None);
        }
        if cursor >> COUNTER_BITS != self.tag >> COUNTER_BITS {
            return Err(Foreign);
        }
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(places.names.get(&cursor).filter(|(of, _)| *of == hash_of(key)).map(|(_, name)| name.clone()))
    }
}

fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Cursors, Foreign, PLACES_BYTES};
    use replica::{Incarnation, NodeId};

    #[test]
    fn a_cursor_is_known_where_it_was_given_until_many_others_were() {
        let [here, there] = [1, 2].map(|n| Cursors::new(NodeId(uuid::Uuid::from_u128(n << 48)), Incarnation(1)));
        let cursor = here.keep(b"tags", b"m");
        assert_eq!(here.name(cursor, b"tags"), Ok(Some(b"m".to_vec())));
        assert_eq!(here.name(cursor, b"other"), Ok(None));
        assert_eq!(here.name(0, b"tags"), Ok(None));
        assert_eq!(there.name(cursor, b"tags"), Err(Foreign));
        for _ in 0..PLACES_BYTES / 16_384 {
            here.keep(b"tags", &[0; 16_384]);
        }
        assert_eq!(here.name(cursor, b"tags"), Ok(None));
    }
}
