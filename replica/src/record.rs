//! The records of a partition, byte by byte.
//!
//! ```text
//! 'M' p:2                                         -> Meta       clock and residual of the partition
//! 'A' p:2 number:4                                -> Actor      who the number is in the packed records of the partition
//! 'K' p:2 h:6 len:4 key                           -> KeyRecord  what stands once per key; a string's one cell
//! 'C' p:2 h:6 len:4 key kind:1 name               -> CellState  one member or field
//! 'L' p:2 node:16 incarnation:4 counter:8         -> Place      what an event touched, until it is stable
//! 'R' p:2 node:16 incarnation:4 counter:8         -> Place      where a counter's reset waits to settle
//! 'X' p:2 h:6 len:4 key [kind:1 name]             -> Place      where a residual waits for the clock
//! 'E' p:2 at:8 key                                -> nothing    which keys end when, for the coordinator's rounds
//! ```
//! Numbers in keys are big-endian; `h` is 48 bits of a hash of the key, so that a cursor over a partition fits a
//! number; values are a version byte and then [packed bytes](crate::pack) (M, K, C) or postcard. Keys, and the cells of a key,
//! stand in one order.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::{Deserialize as De, Serialize as Ser};

use crate::digest::hash_of;
use crate::id::{Cell, Context, Dot, PartitionId};
use crate::place::{CellId, CellKind, Counts};
use crate::residual::Residual;
use crate::store::StoreError;

pub(crate) const VERSION: u8 = 4;

/// What stands once per partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Every event whose whole effect is incorporated.
    pub(crate) clock: Context,
    /// Removed everywhere in the partition without being incorporated.
    pub(crate) residual: Context,
    /// Own events minted before the partition was last dropped here.
    pub(crate) minted: u64,
    /// Keys with anything present.
    pub(crate) live_keys: u64,
    /// About how much came in while this node was no replica, since the partition was last dropped here.
    pub(crate) standing_bytes: u64,
}

/// A stored cell: live dots, and what is known to be removed here beyond the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Ser, De)]
pub struct CellState {
    /// The live dots with what they say.
    pub live: Cell,
    /// Dots seen here that are not in the partition's clock.
    pub residual: Residual,
}

impl CellState {
    pub(crate) fn is_nothing(&self) -> bool {
        self.live.is_empty() && self.residual.is_empty()
    }

    /// When the key ends, in milliseconds since 1970, by its [deadline cell](CellKind::Deadline): of concurrent deadlines the
    /// latest; one of them that says [`NEVER`] beats all.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let siblings = crdt::reading::siblings(&self.live);
        let each = siblings.iter().map(|sibling| crdt::reading::parse_integer(&sibling.value));
        let latest = each.collect::<Option<Vec<i64>>>()?.into_iter().max()?;
        Some(u64::try_from(latest).unwrap_or(0))
    }
}

/// What a deadline cell says after somebody has decided that the key stays.
pub const NEVER: &[u8] = b"never";

/// What stands once per key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    /// Removed everywhere in the key without being incorporated.
    pub(crate) residual: Residual,
    /// The one cell of a string.
    pub(crate) value: CellState,
    /// How many cells are present.
    pub(crate) counts: Counts,
    /// Is there a record of a deadline?
    pub(crate) has_deadline: bool,
    /// How many cell records there are.
    pub(crate) cells: u64,
    /// Exclusive or of the digests of all cells' live dots.
    pub(crate) digest: u64,
}

impl KeyRecord {
    pub(crate) fn is_nothing(&self) -> bool {
        self.cells == 0 && self.residual.is_empty() && self.value.is_nothing()
    }

    pub(crate) fn is_present(&self) -> bool {
        self.kind().is_some()
    }

    pub(crate) fn kind(&self) -> Option<CellKind> {
        self.counts.shown(crdt::reading::is_present(&self.value.live))
    }

    pub(crate) fn kinds_present(&self) -> u8 {
        self.counts.kinds(crdt::reading::is_present(&self.value.live))
    }
}

/// Where a walk over a partition's keys stands: the next hash to visit, below 2^48.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Ser, De)]
pub struct KeyHash(pub u64);

/// The hash by which keys are ordered inside their partition.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(hash_of(key) >> 16)
}

fn start(table: u8, partition: PartitionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(table);
    key.extend_from_slice(&partition.number().to_be_bytes());
    key
}

pub(crate) fn meta(partition: PartitionId) -> Vec<u8> {
    start(b'M', partition)
}

/// Who the numbers in the packed records of the partition are.
pub(crate) fn names(partition: PartitionId) -> Vec<u8> {
    start(b'A', partition)
}

pub(crate) fn name(partition: PartitionId, number: u32) -> Vec<u8> {
    let mut out = names(partition);
    out.extend_from_slice(&number.to_be_bytes());
    out
}

pub(crate) fn keys(partition: PartitionId) -> Vec<u8> {
    start(b'K', partition)
}

pub(crate) fn keys_from(partition: PartitionId, hash: KeyHash) -> Vec<u8> {
    let mut from = keys(partition);
    from.extend_from_slice(&hash.0.to_be_bytes()[2..]);
    from
}

pub(crate) fn cells_of_all(partition: PartitionId) -> Vec<u8> {
    start(b'C', partition)
}

fn with_key(mut out: Vec<u8>, key: &[u8]) -> Vec<u8> {
    out.extend_from_slice(&key_hash(key).0.to_be_bytes()[2..]);
    out.extend_from_slice(&(key.len() as u32).to_be_bytes());
    out.extend_from_slice(key);
    out
}

pub(crate) fn key_record(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    with_key(start(b'K', partition), key)
}

pub(crate) fn cells(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    with_key(start(b'C', partition), key)
}

/// Behind all cells of a key, before those of the next.
pub(crate) fn after_cells(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    let mut out = cells(partition, key);
    out.push(u8::MAX);
    out
}

pub(crate) fn cell(partition: PartitionId, key: &[u8], cell: &CellId) -> Vec<u8> {
    let mut out = cells(partition, key);
    out.push(cell.kind.code());
    out.extend_from_slice(&cell.name);
    out
}

pub(crate) fn residuals(partition: PartitionId) -> Vec<u8> {
    start(b'X', partition)
}

/// Where it is noted that the key, or the cell of it, has a residual.
pub(crate) fn residual(partition: PartitionId, key: &[u8], id: Option<&CellId>) -> Vec<u8> {
    let mut path = id.map_or_else(|| key_record(partition, key), |id| cell(partition, key, id));
    path[0] = b'X';
    path
}

/// The user's key inside the key of a key record or of a cell record.
pub(crate) fn key_in(record: &[u8]) -> Result<&[u8], StoreError> {
    let damaged = || StoreError("a record has a damaged key".to_owned());
    let (head, rest) = record.split_at_checked(13).ok_or_else(damaged)?;
    let len = u32::from_be_bytes([head[9], head[10], head[11], head[12]]) as usize;
    rest.get(..len).ok_or_else(damaged)
}

/// The key of which this is the record.
pub(crate) fn changed_key(record: &[u8]) -> Option<&[u8]> {
    if record.first() == Some(&b'K') { key_in(record).ok() } else { None }
}

/// The cell inside the key of a cell record.
pub(crate) fn cell_in(record: &[u8]) -> Result<CellId, StoreError> {
    let damaged = || StoreError("a cell record has a damaged key".to_owned());
    let after = 13 + key_in(record)?.len();
    let (kind, name) = record[after..].split_first().ok_or_else(damaged)?;
    let kind = CellKind::from_code(*kind).filter(|kind| *kind != CellKind::Value).ok_or_else(damaged)?;
    Ok(CellId { kind, name: name.to_vec() })
}

/// All keys that end, by when.
pub(crate) fn endings(partition: PartitionId) -> Vec<u8> {
    start(b'E', partition)
}

/// That a key ends, and when.
pub(crate) fn ending(partition: PartitionId, at_ms: u64, key: &[u8]) -> Vec<u8> {
    let mut out = endings(partition);
    out.extend_from_slice(&at_ms.to_be_bytes());
    out.extend_from_slice(key);
    out
}

/// When which key ends.
pub(crate) fn ending_in(record: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (at_ms, key) = record[3..].split_first_chunk().ok_or_else(|| StoreError("a deadline is damaged".to_owned()))?;
    Ok((u64::from_be_bytes(*at_ms), key))
}

pub(crate) fn hash_in(record: &[u8]) -> KeyHash {
    let mut wide = [0; 8];
    wide[2..].copy_from_slice(&record[3..9]);
    KeyHash(u64::from_be_bytes(wide))
}

/// The two tables ordered by dots.
#[derive(Clone, Copy)]
pub(crate) enum DotTable {
    Log,
    Resets,
}

impl DotTable {
    pub(crate) fn all(self, partition: PartitionId) -> Vec<u8> {
        start(if matches!(self, DotTable::Log) { b'L' } else { b'R' }, partition)
    }

    pub(crate) fn record(self, partition: PartitionId, dot: &Dot) -> Vec<u8> {
        let mut out = self.all(partition);
        out.extend_from_slice(dot.actor.node.0.as_bytes());
        out.extend_from_slice(&dot.actor.incarnation.0.to_be_bytes());
        out.extend_from_slice(&dot.counter.to_be_bytes());
        out
    }

    /// The dot inside a key of this table.
    pub(crate) fn dot_in(record: &[u8]) -> Result<Dot, StoreError> {
        let damaged = || StoreError("a log record has a damaged key".to_owned());
        let bytes: &[u8; 28] = record.get(3..).and_then(|rest| rest.try_into().ok()).ok_or_else(damaged)?;
        let [node @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *bytes;
        let number =
            |range: std::ops::Range<usize>| bytes[range].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        let incarnation = crate::id::Incarnation(number(16..20) as u32);
        let actor = crate::id::Actor { node: crate::id::NodeId(uuid::Uuid::from_bytes(node)), incarnation };
        Ok(Dot { actor, counter: number(20..28) })
    }
}

/// The bytes of a record's value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(VERSION);
    // Writing into memory fails only for types that no record has (such as maps of unknown length).
    postcard::to_extend(value, out).unwrap_or_default()
}

/// A record's value from its bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let rest = check_version(bytes)?;
    postcard::from_bytes(rest).map_err(|why| StoreError(format!("a record does not decode: {why}")))
}

/// What follows the version.
pub(crate) fn check_version(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((version, _)) => Err(StoreError(format!("a record has version {version}, this release knows {VERSION}"))),
        None => Err(StoreError("a record is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{DotTable, cell, cell_in, key_in};
    use crate::id::{Actor, Dot, Incarnation, NodeId, PartitionId};
    use crate::place::CellId;

    #[test]
    fn keys_of_records_can_be_read_back() {
        let partition = PartitionId::new(700).unwrap();
        let record = cell(partition, b"tags", &CellId::member("x"));
        assert_eq!(key_in(&record).unwrap(), b"tags");
        assert_eq!(cell_in(&record).unwrap(), CellId::member("x"));
        let actor = Actor { node: NodeId(uuid::Uuid::from_u128(7 << 90)), incarnation: Incarnation(9) };
        let dot = Dot::new(actor, 1 << 40);
        assert_eq!(DotTable::dot_in(&DotTable::Log.record(partition, &dot)).unwrap(), dot);
    }
}
