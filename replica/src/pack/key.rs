//! Records of keys, cells and partitions as packed bytes, behind their version.
//!
//! ```text
//! key       = version:1 head:1 [residual context] [collection] cell (the value's)
//! head      = bit 0: there is a residual; bit 1: there is a collection; bit 2: it has a deadline
//! collection = kinds:1 (a bit each), per kind its count, cells number, digest:8 little-endian (of all cells but the value)
//! cell      = version:1 cell
//! partition = version:1 clock context, residual context, minted, keys, standing bytes number
//! ```

use crate::digest;
use crate::pack::{Names, Packer, Unpacker, damaged};
use crate::place::{CellId, Counts};
use crate::record::{CellState, KeyRecord, Meta, VERSION};
use crate::residual::Residual;
use crate::store::StoreError;

fn begin(names: &mut Names) -> Packer<'_> {
    let mut bytes = Vec::with_capacity(64);
    bytes.push(VERSION);
    Packer::new(names, bytes)
}

fn open<'b>(bytes: &'b [u8], names: &'b Names) -> Result<Unpacker<'b>, StoreError> {
    crate::record::check_version(bytes).map(|rest| Unpacker::new(names, rest))
}

pub(crate) fn pack(key: &KeyRecord, names: &mut Names) -> Vec<u8> {
    let mut packer = begin(names);
    // A string's digest follows from its one cell.
    let digest = key.digest ^ digest::of_cell(&CellId::value(), &key.value.live);
    let kinds = key.counts.iter().enumerate().fold(0, |kinds, (bit, (_, count))| kinds | u8::from(count > 0) << bit);
    let is_collection = kinds > 0 || (key.cells | digest) != 0;
    packer.byte(u8::from(!key.residual.is_empty()) | u8::from(is_collection) << 1 | u8::from(key.has_deadline) << 2);
    if !key.residual.is_empty() {
        packer.context(&key.residual);
    }
    if is_collection {
        packer.byte(kinds);
        key.counts.iter().filter(|(_, count)| *count > 0).for_each(|(_, count)| packer.number(count));
        packer.number(key.cells);
        digest.to_le_bytes().into_iter().for_each(|byte| packer.byte(byte));
    }
    packer.cell(&key.value);
    packer.into_bytes()
}

pub(crate) fn unpack(bytes: &[u8], names: &Names) -> Result<KeyRecord, StoreError> {
    let mut unpacker = open(bytes, names)?;
    let head = unpacker.byte()?;
    if head > 7 {
        return Err(damaged("a key begins with nothing known"));
    }
    let residual = if head & 1 == 1 { unpacker.context()?.into() } else { Residual::default() };
    let mut key = KeyRecord { residual, has_deadline: head & 4 == 4, ..KeyRecord::default() };
    if head & 2 == 2 {
        let kinds = unpacker.byte()?;
        if kinds > 0x1f {
            return Err(damaged("a key has cells of no known kind"));
        }
        for (_, (kind, _)) in Counts::default().iter().enumerate().filter(|(bit, _)| kinds >> bit & 1 == 1) {
            if let Some(count) = key.counts.of_mut(kind) {
                *count = unpacker.number()?;
            }
        }
        key.cells = unpacker.number()?;
        for shift in (0..64).step_by(8) {
            key.digest |= u64::from(unpacker.byte()?) << shift;
        }
    }
    key.value = unpacker.cell()?;
    key.digest ^= digest::of_cell(&CellId::value(), &key.value.live);
    unpacker.end().map(|()| key)
}

pub(crate) fn pack_cell(cell: &CellState, names: &mut Names) -> Vec<u8> {
    let mut packer = begin(names);
    packer.cell(cell);
    packer.into_bytes()
}

pub(crate) fn unpack_cell(bytes: &[u8], names: &Names) -> Result<CellState, StoreError> {
    let mut unpacker = open(bytes, names)?;
    let cell = unpacker.cell()?;
    unpacker.end().map(|()| cell)
}

pub(crate) fn pack_meta(meta: &Meta, names: &mut Names) -> Vec<u8> {
    let mut packer = begin(names);
    packer.context(&meta.clock);
    packer.context(&meta.residual);
    packer.number(meta.minted);
    packer.number(meta.live_keys);
    packer.number(meta.standing_bytes);
    packer.into_bytes()
}

pub(crate) fn unpack_meta(bytes: &[u8], names: &Names) -> Result<Meta, StoreError> {
    let mut unpacker = open(bytes, names)?;
    let (clock, residual) = (unpacker.context()?, unpacker.context()?);
    let (minted, live_keys, standing_bytes) = (unpacker.number()?, unpacker.number()?, unpacker.number()?);
    unpacker.end().map(|()| Meta { clock, residual, minted, live_keys, standing_bytes })
}

/// About how many bytes a cell takes in a message.
pub(crate) fn size_of(cell: &CellState) -> usize {
    pack_cell(cell, &mut Names::default()).len()
}

/// How many bytes the causal part of a cell takes: everything but names, payloads and clock readings.
pub(crate) fn metadata_bytes(cell: &CellState) -> usize {
    let mut names = Names::default();
    let mut packer = Packer::new(&mut names, Vec::new());
    if !cell.residual.is_empty() {
        packer.context(&cell.residual);
    }
    cell.live.dots().for_each(|dot| packer.dot(dot));
    packer.into_bytes().len()
}
