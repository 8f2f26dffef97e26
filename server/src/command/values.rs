//! What commands that are carried out at their keys read of them.

use crdt::reading;
use replica::{CellId, CellKind, Found, Keys, Read};

use crate::command::refusal::Refused;
use crate::resp::Reply;

/// What is found of a key that should be of one kind, or not there.
pub(super) fn of_kind(keys: &Keys<'_, '_>, key: &[u8], kind: CellKind, read: &Read) -> Result<Found, Refused> {
    let found = keys.read(key, read)?;
    match found.kind {
        Some(other) if other != kind => Err(Reply::wrong_type().into()),
        _ => Ok(found),
    }
}

/// The value of a cell, as a plain read shows it.
pub(super) fn winner(found: &Found, cell: &CellId) -> Option<Vec<u8>> {
    found.cell(cell).and_then(|state| reading::winner(&state.live)).map(std::borrow::Cow::into_owned)
}

/// The value of a string.
pub(super) fn string(keys: &Keys<'_, '_>, key: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
    let found = of_kind(keys, key, CellKind::Value, &Read::Cells(vec![CellId::value()]))?;
    Ok(winner(&found, &CellId::value()))
}

/// Is there a key?
pub(super) fn exists(keys: &Keys<'_, '_>, key: &[u8]) -> Result<bool, Refused> {
    Ok(keys.read(key, &Read::Summary)?.kind.is_some())
}

/// The places of a collection from one to another, both included, negative ones from the end; what ends before the start is
/// nothing.
pub(super) fn places_of(len: usize, from: i64, to: i64) -> std::ops::Range<usize> {
    let len = len as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (from, to) = (place(from).max(0), place(to).min(len - 1));
    if from > to { 0..0 } else { from as usize..to as usize + 1 }
}
