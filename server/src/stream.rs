//! Entries of streams: their ids, and how they are kept. A stream is a cell per entry, named by the sixteen bytes of its id.

use std::fmt;

use replica::{ByteString, NodeId};

/// An entry's id: when it was added, and a number among those of that millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// The number.
    pub seq: u64,
}

/// So many bits of a number say which node gave it, in a cluster.
const NODE_BITS: u32 = 16;

impl EntryId {
    /// No entry has it, and all come after it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The greatest.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// `ms-seq`, or `ms` alone with the number that is meant then.
    #[must_use]
    pub fn parse(text: &[u8], seq: u64) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        match text.split_once('-') {
            Some((ms, seq)) => Some(Self { ms: number(ms)?, seq: number(seq)? }),
            None => Some(Self { ms: number(text)?, seq }),
        }
    }

    /// From the name of a cell.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let (ms, seq) = name.split_first_chunk::<8>()?;
        Some(Self { ms: u64::from_be_bytes(*ms), seq: u64::from_be_bytes(seq.try_into().ok()?) })
    }

    /// The name of its cell: in the order of ids.
    #[must_use]
    pub fn name(self) -> ByteString {
        ByteString([self.ms.to_be_bytes(), self.seq.to_be_bytes()].concat())
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The one before.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// An id for a new entry of this millisecond, greater than the last one's; nothing if there is none. Two nodes of a
    /// cluster never choose the same: two sides of a partition may add at once.
    #[must_use]
    pub fn after(last: Option<Self>, ms: u64, among: Option<NodeId>) -> Option<Self> {
        let tag = among.map_or(0, |node| u64::from(crc32fast::hash(node.0.as_bytes()) & ((1 << NODE_BITS) - 1)));
        let seq = match (last.filter(|last| last.ms == ms), among) {
            (None, _) => tag,
            (Some(last), None) => last.seq.checked_add(1)?,
            (Some(last), Some(_)) => ((last.seq >> NODE_BITS) + 1).checked_mul(1 << NODE_BITS)? | tag,
        };
        // No entry is called 0-0.
        let id = Self { ms, seq };
        if id == Self::MIN { id.next() } else { Some(id) }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Fields and values, one after the other, as the value of a cell.
#[must_use]
pub fn pack(fields: &[ByteString]) -> Vec<u8> {
    // Writing into memory does not fail for such types.
    postcard::to_allocvec(fields).unwrap_or_default()
}

/// What was packed.
#[must_use]
pub fn unpack(bytes: &[u8]) -> Option<Vec<ByteString>> {
    let (fields, rest): (Vec<ByteString>, _) = postcard::take_from_bytes(bytes).ok()?;
    (rest.is_empty() && fields.len() % 2 == 0).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId { ms, seq }
    }

    #[test]
    fn ids_are_read_written_and_ordered_as_their_names() {
        assert_eq!(EntryId::parse(b"5-3", 0), Some(id(5, 3)));
        assert_eq!(EntryId::parse(b"5", u64::MAX), Some(id(5, u64::MAX)));
        assert_eq!(id(5, 3).to_string(), "5-3");
        for wrong in [&b""[..], b"-", b"5-", b"-5", b"+5", b"a", b"5-3-1", b"5-*", b"18446744073709551616"] {
            assert_eq!(EntryId::parse(wrong, 0), None, "{}", String::from_utf8_lossy(wrong));
        }
        let ordered = [EntryId::MIN, id(0, 1), id(0, u64::MAX), id(1, 0), id(256, 0), EntryId::MAX];
        for pair in ordered.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].name() < pair[1].name());
            assert_eq!(EntryId::from_name(&pair[0].name().0), Some(pair[0]));
        }
        assert_eq!(id(0, u64::MAX).next(), Some(id(1, 0)));
        assert_eq!(id(1, 0).previous(), Some(id(0, u64::MAX)));
        assert_eq!((EntryId::MAX.next(), EntryId::MIN.previous()), (None, None));
    }

    #[test]
    fn two_nodes_never_give_the_same_id_and_one_alone_counts_as_redis_does() {
        assert_eq!(EntryId::after(None, 5, None), Some(id(5, 0)));
        assert_eq!(EntryId::after(Some(id(5, 0)), 5, None), Some(id(5, 1)));
        assert_eq!(EntryId::after(None, 0, None), Some(id(0, 1)));
        assert_eq!(EntryId::after(Some(id(5, u64::MAX)), 5, None), None);
        let nodes = [1, 2].map(|n| Some(NodeId(uuid::Uuid::from_u128(n))));
        let mut last = EntryId::after(None, 5, nodes[0]);
        for _ in 0..3 {
            let [one, other] = nodes.map(|node| EntryId::after(last, 5, node).expect("there is room"));
            assert!(one != other && Some(one) > last && Some(other) > last);
            last = Some(one);
        }
    }
}
