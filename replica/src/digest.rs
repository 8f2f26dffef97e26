//! Sixty-four bits that tell states apart: FNV-1a with a final mix. Not against an adversary.

use crdt::Content;

use crate::id::Cell;
use crate::place::CellId;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn fold(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    hash
}

/// Spreads every input bit over all output bits (the finalizer of MurmurHash3).
pub(crate) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    mix(fold(OFFSET, bytes))
}

/// The digest of one cell's live dots; 0 for a cell with none, so that absent and empty cells agree. What a reset has to say is
/// left out: each replica forgets it when it has done its work there.
pub(crate) fn of_cell(id: &CellId, live: &Cell) -> u64 {
    let mut said = live.iter().filter(|(_, entry)| !matches!(entry.content, Content::Reset { .. })).peekable();
    if said.peek().is_none() {
        return 0;
    }
    let start = fold(fold(OFFSET, &[id.kind as u8]), &id.name);
    mix(said.fold(start, |hash, (dot, _)| {
        let hash = fold(hash, dot.actor.node.0.as_bytes());
        fold(fold(hash, &dot.actor.incarnation.0.to_le_bytes()), &dot.counter.to_le_bytes())
    }))
}
