//! The answers of anti-entropy as packed bytes: each message brings the actors it names.
//!
//! ```text
//! message   = actors number, per actor: node:16 incarnation number; then the body
//! missing   = clock, residual, asked_with context; more:1; keys number, per key: key
//! range     = clock, residual context; after, upto cursor; keys; noted number, per place: place, context
//! key       = head:1 name bytes [residual context] cells [events]
//! head      = bit 0: whole; bit 1: residual; bit 2: the one cell is the value; bit 3: the events are the cells' live dots
//! cells     = cell (the value's), or number, per cell: kind:1 name bytes, cell
//! events    = number, per event: dot, place, of which a cell of the list above is told by its position
//! place     = tag:1 (partition, key, cell, cell of the list) [key bytes] [kind:1 name bytes] [position number]
//! cursor    = tag:1 (none, key, cell) [key bytes] [kind:1 name bytes]
//! ```

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::id::{Actor, Dot, Incarnation, NodeId};
use crate::message::{Cursor, KeyState, MissingKeys, StatedCell, StreamedRange};
use crate::operation::ByteString;
use crate::pack::{Names, Packer, Unpacker, damaged};
use crate::place::{CellId, CellKind, Place};
use crate::residual::Residual;
use crate::store::StoreError;

/// How many keys, cells and events one answer has at most; honest ones, of some 256 KiB, have a hundredth of that - but for a key
/// with very many events.
const ANSWER_PARTS: usize = 1_048_576;

/// Puts the actors in front of the body that names them.
fn with_names(write: impl FnOnce(&mut Packer<'_>)) -> Vec<u8> {
    let mut names = Names::default();
    let mut packer = Packer::new(&mut names, Vec::new());
    write(&mut packer);
    let body = packer.into_bytes();
    let mut nobody = Names::default();
    let mut head = Packer::new(&mut nobody, Vec::with_capacity(body.len() + 24 * names.actors().len() + 8));
    head.number(names.actors().len() as u64);
    for actor in names.actors() {
        actor.node.0.as_bytes().iter().for_each(|byte| head.byte(*byte));
        head.number(actor.incarnation.0.into());
    }
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

fn read<T>(bytes: &[u8], body: impl FnOnce(&mut Unpacker<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let nobody = Names::default();
    let mut head = Unpacker::new(&nobody, bytes);
    let mut actors = Vec::new();
    for _ in 0..head.count()? {
        let mut node = [0; 16];
        for byte in &mut node {
            *byte = head.byte()?;
        }
        let incarnation = u32::try_from(head.number()?).map_err(|_| damaged("an incarnation is too large"))?;
        actors.push(Actor { node: NodeId(uuid::Uuid::from_bytes(node)), incarnation: Incarnation(incarnation) });
    }
    let count = actors.len();
    let names = Names::known(actors);
    if names.is_ambiguous(count) {
        return Err(damaged("an actor is introduced twice"));
    }
    let mut unpacker = Unpacker::new(&names, head.rest);
    let value = body(&mut unpacker)?;
    unpacker.end().map(|()| value)
}

fn write_kind(packer: &mut Packer<'_>, cell: &CellId) {
    packer.byte(cell.kind.code());
    packer.bytes(&cell.name);
}

fn read_kind(unpacker: &mut Unpacker<'_>) -> Result<CellId, StoreError> {
    let kind = CellKind::from_code(unpacker.byte()?).ok_or_else(|| damaged("a cell is of no known kind"))?;
    let name = unpacker.bytes()?;
    if kind.is_single() && !name.is_empty() {
        return Err(damaged("a cell that a key has one of has a name"));
    }
    Ok(CellId { kind, name })
}

/// Are the events just the live dots of the cells, one each?
fn are_live_dots(key: &KeyState) -> bool {
    let same = |((id, cell), (dot, place)): (&StatedCell, &(Dot, Place))| {
        let mut dots = cell.live.dots();
        dots.len() == 1
            && dots.next() == Some(dot)
            && matches!(place, Place::Cell(name, of) if *name == key.key.0 && of == id)
    };
    key.cells.len() == key.events.len() && key.cells.iter().zip(&key.events).all(same)
}

fn write_key(packer: &mut Packer<'_>, key: &KeyState) {
    let is_string = matches!(&key.cells[..], [(id, _)] if *id == CellId::value());
    let are_implied = are_live_dots(key);
    let residual = !key.residual.is_empty();
    packer.byte(u8::from(key.whole) | u8::from(residual) << 1 | u8::from(is_string) << 2 | u8::from(are_implied) << 3);
    packer.bytes(&key.key.0);
    if residual {
        packer.context(&key.residual);
    }
    if !is_string {
        packer.number(key.cells.len() as u64);
    }
    for (id, cell) in &key.cells {
        if !is_string {
            write_kind(packer, id);
        }
        packer.cell(cell);
    }
    if !are_implied {
        packer.number(key.events.len() as u64);
        for (dot, place) in &key.events {
            packer.dot(dot);
            write_place(packer, place, key);
        }
    }
}

fn write_place(packer: &mut Packer<'_>, place: &Place, key: &KeyState) {
    match place {
        Place::Partition => packer.byte(0),
        Place::Key(name) => {
            packer.byte(1);
            packer.bytes(name);
        }
        Place::Cell(name, id) => {
            let position = key.cells.iter().position(|(cell, _)| cell == id).filter(|_| *name == key.key.0);
            if let Some(position) = position {
                packer.byte(3);
                return packer.number(position as u64);
            }
            packer.byte(2);
            packer.bytes(name);
            write_kind(packer, id);
        }
    }
}

fn read_key(unpacker: &mut Unpacker<'_>) -> Result<KeyState, StoreError> {
    let head = unpacker.byte()?;
    if head > 15 {
        return Err(damaged("a key begins with nothing known"));
    }
    let key = ByteString(unpacker.bytes()?);
    let residual = if head & 2 == 2 { unpacker.context()?.into() } else { Residual::default() };
    let mut cells = Vec::new();
    if head & 4 == 4 {
        cells.push((CellId::value(), unpacker.cell()?));
    } else {
        for _ in 0..unpacker.count()? {
            cells.push((read_kind(unpacker)?, unpacker.cell()?));
        }
    }
    let mut state = KeyState { key, residual, cells, whole: head & 1 == 1, events: Vec::new() };
    if head & 8 == 8 {
        for (id, cell) in &state.cells {
            let dot = cell.live.dots().next().filter(|_| cell.live.len() == 1);
            let dot = *dot.ok_or_else(|| damaged("an event is not there"))?;
            state.events.push((dot, Place::Cell(state.key.0.clone(), id.clone())));
        }
    } else {
        for _ in 0..unpacker.count()? {
            let event = (unpacker.dot()?, read_place(unpacker, &state)?);
            state.events.push(event);
        }
    }
    Ok(state)
}

fn read_place(unpacker: &mut Unpacker<'_>, key: &KeyState) -> Result<Place, StoreError> {
    match unpacker.byte()? {
        0 => Ok(Place::Partition),
        1 => Ok(Place::Key(unpacker.bytes()?)),
        2 => Ok(Place::Cell(unpacker.bytes()?, read_kind(unpacker)?)),
        3 => {
            let position = usize::try_from(unpacker.number()?).ok();
            let cell = position.and_then(|position| key.cells.get(position));
            let (id, _) = cell.ok_or_else(|| damaged("an event names a cell that is not there"))?;
            Ok(Place::Cell(key.key.0.clone(), id.clone()))
        }
        _ => Err(damaged("a place is of no known kind")),
    }
}

fn write_cursor(packer: &mut Packer<'_>, cursor: Option<&Cursor>) {
    let Some(Cursor { key, cell }) = cursor else { return packer.byte(0) };
    packer.byte(if cell.is_some() { 2 } else { 1 });
    packer.bytes(&key.0);
    if let Some(cell) = cell {
        write_kind(packer, cell);
    }
}

fn read_cursor(unpacker: &mut Unpacker<'_>) -> Result<Option<Cursor>, StoreError> {
    let tag = unpacker.byte()?;
    match tag {
        0 => Ok(None),
        1 | 2 => {
            let key = ByteString(unpacker.bytes()?);
            let cell = if tag == 2 { Some(read_kind(unpacker)?) } else { None };
            Ok(Some(Cursor { key, cell }))
        }
        _ => Err(damaged("a cursor is of no known kind")),
    }
}

fn keys(unpacker: &mut Unpacker<'_>) -> Result<Vec<KeyState>, StoreError> {
    let (count, mut cells) = (unpacker.count()?, 0);
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = read_key(unpacker)?;
        // In memory a cell or a key takes much more than in the message.
        cells += 1 + key.cells.len() + key.events.len();
        if cells > ANSWER_PARTS {
            return Err(damaged("an answer has too many keys, cells or events"));
        }
        keys.push(key);
    }
    Ok(keys)
}

impl Serialize for MissingKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&with_names(|packer| {
            packer.context(&self.clock);
            packer.context(&self.residual);
            packer.context(&self.asked_with);
            packer.byte(self.more.into());
            packer.number(self.keys.len() as u64);
            self.keys.iter().for_each(|key| write_key(packer, key));
        }))
    }
}

impl<'de> Deserialize<'de> for MissingKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: serde_bytes::ByteBuf = Deserialize::deserialize(deserializer)?;
        let missing = read(&bytes, |unpacker| {
            let (clock, residual, asked_with) = (unpacker.context()?, unpacker.context()?, unpacker.context()?);
            let more = match unpacker.byte()? {
                byte @ (0 | 1) => byte == 1,
                _ => return Err(damaged("neither more nor no more")),
            };
            Ok(MissingKeys { keys: keys(unpacker)?, clock, residual, more, asked_with })
        });
        missing.map_err(D::Error::custom)
    }
}

impl Serialize for StreamedRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&with_names(|packer| {
            packer.context(&self.clock);
            packer.context(&self.residual);
            write_cursor(packer, self.after.as_ref());
            write_cursor(packer, self.upto.as_ref());
            packer.number(self.keys.len() as u64);
            self.keys.iter().for_each(|key| write_key(packer, key));
            packer.number(self.noted.len() as u64);
            for (place, residual) in &self.noted {
                write_place(packer, place, &NO_KEY);
                packer.context(residual);
            }
        }))
    }
}

/// In whose cells no place can be told by its position.
static NO_KEY: std::sync::LazyLock<KeyState> = std::sync::LazyLock::new(|| KeyState {
    key: ByteString(Vec::new()),
    residual: Residual::default(),
    cells: Vec::new(),
    whole: false,
    events: Vec::new(),
});

impl<'de> Deserialize<'de> for StreamedRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: serde_bytes::ByteBuf = Deserialize::deserialize(deserializer)?;
        let range = read(&bytes, |unpacker| {
            let (clock, residual) = (unpacker.context()?, unpacker.context()?);
            let (after, upto) = (read_cursor(unpacker)?, read_cursor(unpacker)?);
            let keys = keys(unpacker)?;
            let mut noted = Vec::new();
            for _ in 0..unpacker.count()? {
                noted.push((read_place(unpacker, &NO_KEY)?, unpacker.context()?));
            }
            Ok(StreamedRange { after, upto, keys, clock, residual, noted })
        });
        range.map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, KeyState, MissingKeys, StreamedRange};
    use crate::id::{Actor, Cell, Context, Dot, Entry, Incarnation, NodeId};
    use crate::place::{CellId, Place};
    use crate::record::CellState;
    use crdt::{Content, Hlc};
    use quickcheck::quickcheck;

    fn dot(n: u8, counter: u64) -> Dot {
        let node = NodeId(uuid::Uuid::from_u128(u128::from(n) + 1));
        Dot::new(Actor { node, incarnation: Incarnation(u32::from(n) << 24) }, counter % 1_000 + 1)
    }

    fn key(n: u8, dots: &[(u8, u64)]) -> KeyState {
        let name = vec![n; usize::from(n % 4)];
        let ids = [CellId::value(), CellId::member("m"), CellId::field(vec![n])];
        let mut cells = Vec::new();
        let mut events = Vec::new();
        for (at, (actor, counter)) in dots.iter().enumerate().take(3) {
            let (dot, mut live) = (dot(*actor, *counter), Cell::new());
            let content = Content::Value { bytes: vec![*actor; usize::from(*actor % 9)], seen: Vec::new() };
            live.insert(dot, Entry { at: Hlc(*counter), content });
            let residual = if counter % 3 == 0 { [dot].into_iter().collect() } else { Context::new() };
            cells.push((ids[at].clone(), CellState { live, residual: residual.into() }));
            let place = match counter % 7 {
                0 => Place::Key(name.clone()),
                1 => Place::Partition,
                2 => Place::Cell(name.clone(), CellId::field("elsewhere")),
                _ => Place::Cell(name.clone(), ids[at].clone()),
            };
            events.push((dot, place));
        }
        let residual = if n.is_multiple_of(2) { Context::new() } else { [dot(n, 5)].into_iter().collect() };
        KeyState { key: name.into(), residual: residual.into(), cells, whole: n.is_multiple_of(3), events }
    }

    fn back<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        postcard::from_bytes(&postcard::to_allocvec(value).unwrap()).unwrap()
    }

    quickcheck! {
        fn answers_come_back(keys: Vec<(u8, Vec<(u8, u64)>)>, more: bool) -> bool {
            let keys: Vec<KeyState> = keys.iter().map(|(n, dots)| key(*n, dots)).collect();
            let clock: Context = keys.iter().flat_map(|key| key.events.iter().map(|(dot, _)| *dot)).collect();
            let (residual, asked_with) = (Context::new(), clock.clone());
            let missing = MissingKeys { keys: keys.clone(), clock: clock.clone(), residual, more, asked_with };
            let noted = keys.iter().flat_map(|key| &key.events).map(|(dot, place)| {
                (place.clone(), [*dot].into_iter().collect())
            });
            let noted = noted.collect();
            let cell = more.then(|| CellId::member("x"));
            let upto = keys.first().map(|key| Cursor { key: key.key.clone(), cell });
            let residual = clock.clone();
            let range = StreamedRange { after: None, upto, keys, clock, residual, noted };
            back(&missing) == missing && back(&range) == range
        }

        fn any_bytes_are_an_error_or_an_answer_and_never_a_panic(bytes: Vec<u8>) -> bool {
            let framed = postcard::to_allocvec(serde_bytes::Bytes::new(&bytes)).unwrap();
            let _ = postcard::from_bytes::<MissingKeys>(&framed);
            let _ = postcard::from_bytes::<StreamedRange>(&framed);
            true
        }
    }
}
