//! A key as a value: what DUMP gives and RESTORE takes, and how COPY, RENAME and the commands that store their result put a
//! key in its place. What concurrency did is not part of it: of siblings it has the one a plain read shows.
//!
//! ```text
//! dump = "DOT1", checksum:4 (CRC32 of the rest, little-endian), postcard of Dump
//! ```

use crdt::reading;
use replica::{ByteString, CellId, CellKind, CellState, Failure, Found, Keys, Position, Read, Write};
use serde::{Deserialize, Serialize};

use crate::command::{check_cells_of, check_name, check_value};
use crate::node::Node;
use crate::resp::{DoubleText, Reply, parse_integer};
use crate::stream::{self, EntryId};

const MAGIC: &[u8; 4] = b"DOT1";

/// Values of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Contents {
    /// A string.
    String(ByteString),
    /// Members of a set.
    Set(Vec<ByteString>),
    /// Fields and values.
    Hash(Vec<(ByteString, ByteString)>),
    /// Members and scores.
    Sorted(Vec<(ByteString, f64)>),
    /// Elements in their order.
    List(Vec<ByteString>),
    /// Names and values of the cells of a stream's entries.
    Stream(Vec<(ByteString, ByteString)>),
}

impl Contents {
    /// How Redis would keep it: by its default limits, as of release 7.2.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        let small = |things: usize, longest: Option<usize>| things <= 128 && longest.unwrap_or(0) <= 64;
        match self {
            Contents::String(value) if parse_integer(&value.0).is_some() => "int",
            Contents::String(value) if value.0.len() <= 44 => "embstr",
            Contents::String(_) => "raw",
            Contents::Set(all) if all.len() <= 512 && all.iter().all(|member| parse_integer(&member.0).is_some()) => {
                "intset"
            }
            Contents::Set(all) if small(all.len(), all.iter().map(|member| member.0.len()).max()) => "listpack",
            Contents::Hash(all) if small(all.len(), all.iter().map(|(f, v)| f.0.len().max(v.0.len())).max()) => {
                "listpack"
            }
            Contents::Set(_) | Contents::Hash(_) => "hashtable",
            Contents::Sorted(all) if small(all.len(), all.iter().map(|(member, _)| member.0.len()).max()) => "listpack",
            Contents::Sorted(_) => "skiplist",
            Contents::List(all) if all.iter().map(|element| element.0.len() + 11).sum::<usize>() <= 8 * 1024 => {
                "listpack"
            }
            Contents::List(_) => "quicklist",
            Contents::Stream(_) => "stream",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Contents::String(_) => false,
            Contents::Set(members) => members.is_empty(),
            Contents::Hash(fields) => fields.is_empty(),
            Contents::Sorted(members) => members.is_empty(),
            Contents::List(elements) => elements.is_empty(),
            Contents::Stream(entries) => entries.is_empty(),
        }
    }
}

/// A key without its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dump {
    /// What it holds.
    pub contents: Contents,
    /// When it ends, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
}

impl Dump {
    /// What a read of a whole key found; nothing if there is no key.
    #[must_use]
    pub fn of(found: &Found) -> Option<Self> {
        let owned = |name: &[u8]| ByteString::from(name);
        let kind = found.kind?;
        let cells = found.of(kind);
        let with_value = |(name, cell): (&[u8], &CellState)| {
            Some((owned(name), ByteString(reading::winner(&cell.live)?.into_owned())))
        };
        let contents = match kind {
            CellKind::Value => {
                let value = found.cell(&CellId::value()).and_then(|cell| reading::winner(&cell.live))?;
                Contents::String(ByteString(value.into_owned()))
            }
            CellKind::Member => Contents::Set(cells.map(|(name, _)| owned(name)).collect()),
            CellKind::Field => Contents::Hash(cells.filter_map(with_value).collect()),
            CellKind::Entry => Contents::Stream(cells.filter_map(with_value).collect()),
            CellKind::Score => {
                Contents::Sorted(cells.filter_map(|(name, cell)| Some((owned(name), score_of(&cell.live)?))).collect())
            }
            CellKind::Item => Contents::List(
                cells.filter_map(|(_, cell)| Some(ByteString(reading::winner(&cell.live)?.into_owned()))).collect(),
            ),
            CellKind::Deadline => return None,
        };
        Some(Self { contents, deadline_ms: found.deadline_ms })
    }

    /// May it become that key here? Whatever made it, its parts are held to the limits of what clients write.
    ///
    /// # Errors
    /// What to tell the client.
    pub fn check(&self, key: &[u8], node: &Node) -> Result<(), Reply> {
        let (mut cells, mut scores_are_numbers) = (1, true);
        match &self.contents {
            Contents::String(value) => check_value(node, &value.0)?,
            Contents::Set(members) => {
                cells = members.len();
                members.iter().try_for_each(|member| check_name(node, &member.0))?;
            }
            Contents::Hash(fields) => {
                cells = fields.len();
                let both = |(field, value): &(ByteString, ByteString)| {
                    check_name(node, &field.0).and_then(|()| check_value(node, &value.0))
                };
                fields.iter().try_for_each(both)?;
            }
            Contents::Sorted(members) => {
                cells = members.len();
                scores_are_numbers = members.iter().all(|(_, score)| !score.is_nan());
                members.iter().try_for_each(|(member, _)| check_name(node, &member.0))?;
            }
            Contents::List(elements) => {
                cells = elements.len();
                elements.iter().try_for_each(|element| check_value(node, &element.0))?;
            }
            Contents::Stream(entries) => {
                cells = entries.len();
                let is_sound = |(name, fields): &(ByteString, ByteString)| {
                    EntryId::from_name(&name.0).is_some() && stream::unpack(&fields.0).is_some()
                };
                if !entries.iter().all(is_sound) {
                    return Err(Reply::error("ERR Bad data format"));
                }
                entries.iter().try_for_each(|(_, fields)| check_value(node, &fields.0))?;
            }
        }
        if !scores_are_numbers {
            return Err(Reply::error("ERR a score is not a number"));
        }
        check_cells_of(key, cells)
    }

    /// Puts it in the place of whatever is there; an empty one removes that. To be [checked](Self::check) before.
    ///
    /// # Errors
    /// [`Failure`] as writes have it.
    pub fn restore(&self, key: &[u8], keys: &mut Keys<'_, '_>) -> Result<(), Failure> {
        if keys.read(key, &Read::Summary)?.kind.is_some() {
            keys.write(key, &Write::RemoveKey)?;
        }
        if self.contents.is_empty() || self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= keys.now_ms()) {
            return Ok(());
        }
        match &self.contents {
            Contents::String(value) => drop(keys.write(key, &Write::Set(value.0.clone()))?),
            Contents::Set(members) => drop(keys.write(key, &Write::Add(members.clone()))?),
            Contents::Hash(fields) => drop(keys.write(key, &Write::Put(CellKind::Field, fields.clone()))?),
            Contents::Sorted(members) => {
                let cells = members.iter().map(|(member, score)| (member.clone(), score_text(*score)));
                keys.write(key, &Write::Put(CellKind::Score, cells.collect()))?;
            }
            Contents::Stream(entries) => drop(keys.write(key, &Write::Put(CellKind::Entry, entries.clone()))?),
            Contents::List(elements) => {
                let mut last: Option<Vec<u8>> = None;
                for element in elements {
                    let dot = keys.next_dot();
                    let position =
                        last.as_ref().map_or_else(|| Position::only(&dot), |last| Position::after(last, &dot));
                    let name = position.into_name();
                    keys.write(key, &Write::Put(CellKind::Item, vec![(ByteString(name.clone()), element.clone())]))?;
                    last = Some(name);
                }
            }
        }
        if let Some(deadline_ms) = self.deadline_ms {
            set_deadline(keys, key, deadline_ms)?;
        }
        Ok(())
    }

    /// As DUMP gives it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing into memory does not fail for such types.
        let body = postcard::to_allocvec(&Self { deadline_ms: None, ..self.clone() }).unwrap_or_default();
        [&MAGIC[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat()
    }

    /// As RESTORE takes it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sum, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        postcard::from_bytes(body).ok()
    }
}

/// Decides when a key ends.
///
/// # Errors
/// As writes have it.
pub fn set_deadline(keys: &mut Keys<'_, '_>, key: &[u8], deadline_ms: u64) -> Result<(), Failure> {
    let text = ByteString(deadline_ms.to_string().into_bytes());
    keys.write(key, &Write::Put(CellKind::Deadline, vec![(ByteString::default(), text)])).map(drop)
}

/// How a score is kept: an integer as one, so that increments add up.
#[must_use]
pub fn score_text(score: f64) -> ByteString {
    // Zero is one number.
    ByteString(DoubleText::new(score + 0.0).as_bytes().to_vec())
}

/// The score in a cell.
#[must_use]
pub fn score_of(live: &replica::Cell) -> Option<f64> {
    let text = reading::winner(live)?;
    match parse_integer(&text) {
        Some(integer) => Some(integer as f64),
        None => std::str::from_utf8(&text).ok()?.parse().ok(),
    }
}
