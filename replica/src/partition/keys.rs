//! The keys of a partition as a procedure sees and changes them.

use std::ops::{Bound, ControlFlow, Range};

use crdt::Hlc;

use crate::id::{Dot, PartitionId};
use crate::operation::{ByteString, Failure, Found, Read, Write, Written};
use crate::pack::key as pack;
use crate::partition::Partition;
use crate::partition::noted::{Noted, WriteNote};
use crate::partition::order::{Draft, Order, Stand};
use crate::partition::write::Writing;
use crate::place::{CellId, CellKind};
use crate::procedure::Procedures;
use crate::record::{self, CellState};
use crate::store::{StoreError, Txn};

/// The keys of one partition, within one [call](crate::Procedures::call): what it writes it sees.
pub struct Keys<'a, 's> {
    partition: &'a mut Partition,
    txn: &'a mut Txn<'s>,
    writing: &'a mut Writing,
    access: Access,
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Writing,
    Looking,
}

/// Where a walk over the cells of a key begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'n> {
    /// With the first.
    First,
    /// With the last, going back.
    Last,
    /// With this name, if there is one, or behind it.
    From(&'n [u8]),
    /// Behind this name.
    After(&'n [u8]),
    /// Before this name, going back.
    Before(&'n [u8]),
}

/// Called with the name of a cell and what it holds.
pub type VisitCell<'v> = dyn FnMut(&[u8], &CellState) -> ControlFlow<()> + 'v;

impl<'a, 's> Keys<'a, 's> {
    pub(super) fn new(partition: &'a mut Partition, txn: &'a mut Txn<'s>, writing: &'a mut Writing) -> Self {
        Self { partition, txn, writing, access: Access::Writing }
    }

    /// The same, to look at only.
    pub(super) fn into_looking(self) -> Self {
        Self { access: Access::Looking, ..self }
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition.id
    }

    /// Milliseconds since 1970, as the coordinator's machine believes; the same within one call.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.writing.at().millis()
    }

    /// The dot of the next event: unique in the partition, until something is written.
    #[must_use]
    pub fn next_dot(&self) -> Dot {
        self.partition.mint()
    }

    /// What this replica has of a key.
    ///
    /// # Errors
    /// [`StoreError`] if a record cannot be read.
    pub fn read(&self, key: &[u8], read: &Read) -> Result<Found, StoreError> {
        Ok(self.partition.read(self.txn, key, read)?.at(self.now_ms()))
    }

    /// Tells apart what a key is at different times: the digest of its live dots, 0 for one that is not there.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn digest(&self, key: &[u8]) -> Result<u64, StoreError> {
        if self.read(key, &Read::Summary)?.kind.is_none() {
            return Ok(0);
        }
        self.partition.read_digest(self.txn, key, &Read::All)
    }

    /// Changes a key.
    ///
    /// # Errors
    /// [`Failure`], among them that the key is of another type; then nothing is changed by this write.
    pub fn write(&mut self, key: &[u8], write: &Write) -> Result<Written, Failure> {
        if self.access == Access::Looking {
            return Err(Failure::LooksOnly);
        }
        let mut own = self.writing.another();
        self.partition.write_key(self.txn, key, write, &mut own)?;
        let written = own.written.clone();
        self.writing.add(own);
        Ok(written)
    }

    /// Puts a cell of which there can be none yet, as its name was made of [`next_dot`](Self::next_dot), as
    /// [`Position`](crate::Position)s are: it is not looked for.
    ///
    /// # Errors
    /// As [`Keys::write`].
    pub fn put_new(&mut self, key: &[u8], kind: CellKind, name: Vec<u8>, value: &[u8]) -> Result<(), Failure> {
        if self.access == Access::Looking {
            return Err(Failure::LooksOnly);
        }
        let mut own = self.writing.another();
        self.partition.put_new(self.txn, key, CellId { kind, name }, value, &mut own)?;
        self.writing.add(own);
        Ok(())
    }

    /// A name that no present cell of the kind comes before ([`Start::First`]) or behind ([`Start::Last`]): a new one goes on from
    /// there. Once known it costs nothing to find, and may be that of a cell which has gone meanwhile. Nothing if there is no cell.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn outermost(&self, key: &[u8], kind: CellKind, start: Start<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        let known = match start {
            Start::First => self.partition.ends.borrow().first(key, kind).map(<[u8]>::to_vec),
            Start::Last => self.partition.ends.borrow().last(key, kind).map(<[u8]>::to_vec),
            Start::From(_) | Start::After(_) | Start::Before(_) => None,
        };
        if known.is_some() {
            return Ok(known);
        }
        let mut found = None;
        self.walk(key, kind, start, &mut |name, _| {
            found = Some(name.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Are notes taken? See [`Procedures::is_watched`](crate::Procedures::is_watched).
    #[must_use]
    pub fn takes_notes(&self) -> bool {
        self.writing.notes.are_wanted()
    }

    /// Has something noted of a key, for [`Keys::take_notes`].
    pub fn note(&mut self, key: &[u8], what: &'static str) {
        self.writing.notes.add(key, Noted::Own(what));
    }

    /// What was noted so far, in its order; nothing unless [`Procedures::is_watched`](crate::Procedures::is_watched) said that it is
    /// wanted.
    pub fn take_notes(&mut self) -> Vec<WriteNote> {
        self.writing.notes.take()
    }

    /// Visits the present cells of one kind in the order of their names, or backwards. O(log cells) and what is visited.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn walk(
        &self,
        key: &[u8],
        kind: CellKind,
        start: Start<'_>,
        visit: &mut VisitCell<'_>,
    ) -> Result<(), StoreError> {
        self.partition.walk(self.txn, key, kind, start, visit)
    }

    /// The present cells of one kind at these places of their order, with their scores: [`CellKind::Score`] is ordered by scores, and
    /// by names where these are equal (a score that is no number has no place); all other kinds are by their names, and have 0.
    /// O(log cells + those) if the key was asked for something like that within the last minute, O(cells log cells) if not.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn at_places(&self, key: &[u8], kind: CellKind, places: Range<u64>) -> Result<Vec<(Vec<u8>, f64)>, StoreError> {
        self.partition.with_order(self.txn, key, kind, |order| {
            order.at(places).map(|(name, score)| (name.to_vec(), score)).collect()
        })
    }

    /// How many places there are in that order. Costs as [`Keys::at_places`] does.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn places(&self, key: &[u8], kind: CellKind) -> Result<u64, StoreError> {
        self.partition.with_order(self.txn, key, kind, Order::len)
    }

    /// The cells at each of these places of that order, as [`Keys::at_places`] gives them, as long as their names fit `limit_bytes`.
    /// O(places log cells + cells / 256).
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn at_each(
        &self,
        key: &[u8],
        kind: CellKind,
        places: &[u64],
        limit_bytes: usize,
    ) -> Result<Vec<(Vec<u8>, f64)>, StoreError> {
        self.partition.with_order(self.txn, key, kind, |order| {
            let mut bytes = 0;
            let fitting = order.at_each(places).take_while(|(name, _)| {
                bytes += name.len();
                bytes <= limit_bytes
            });
            fitting.map(|(name, score)| (name.to_vec(), score)).collect()
        })
    }

    /// The place of a cell in that order, if it has one. Costs as [`Keys::at_places`] does.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn place(&self, key: &[u8], cell: &CellId) -> Result<Option<u64>, StoreError> {
        let open = self.partition.open(self.txn, key)?;
        let state = self.partition.load_cell(self.txn, &open, cell.clone())?.state;
        let Stand::At(score) = Stand::of(cell.kind, &state.live) else { return Ok(None) };
        self.partition.with_order(self.txn, key, cell.kind, |order| order.place(score, &cell.name))
    }

    /// The places of those with a name in this range, if all have one score. Costs as [`Keys::at_places`] does.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn places_named(
        &self,
        key: &[u8],
        kind: CellKind,
        (least, greatest): (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Option<Range<u64>>, StoreError> {
        self.partition.with_order(self.txn, key, kind, |order| order.named(least, greatest))
    }

    /// The places of those with a score in this range. Costs as [`Keys::at_places`] does.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn places_between(
        &self,
        key: &[u8],
        least: Bound<f64>,
        greatest: Bound<f64>,
    ) -> Result<Range<u64>, StoreError> {
        self.partition.with_order(self.txn, key, CellKind::Score, |order| order.between(least, greatest))
    }
}

impl Partition {
    /// What the application says.
    pub(crate) fn say(
        &mut self,
        txn: &mut Txn<'_>,
        call: &ByteString,
        procedures: &dyn Procedures,
        at: Hlc,
    ) -> Result<ByteString, Failure> {
        let mut writing = Writing::new(at);
        procedures.look(&call.0, &mut Keys::new(self, txn, &mut writing).into_looking()).map(ByteString)
    }

    /// The order of the cells of a kind, kept from before or made of what is there.
    pub(super) fn with_order<R>(
        &self,
        txn: &Txn<'_>,
        key: &[u8],
        kind: CellKind,
        then: impl FnOnce(&Order) -> R,
    ) -> Result<R, StoreError> {
        if let Some(order) = self.orders.borrow_mut().get(key, kind) {
            return Ok(then(order));
        }
        let mut draft = Draft::new(kind);
        self.walk(txn, key, kind, Start::First, &mut |name, cell| {
            draft.add(name, &cell.live);
            ControlFlow::Continue(())
        })?;
        Ok(self.orders.borrow_mut().make(key, draft, then))
    }

    pub(super) fn walk(
        &self,
        txn: &Txn<'_>,
        key: &[u8],
        kind: CellKind,
        start: Start<'_>,
        visit: &mut VisitCell<'_>,
    ) -> Result<(), StoreError> {
        let path = |name: &[u8]| record::cell(self.id, key, &CellId { kind, name: name.to_vec() });
        let prefix = path(b"");
        let has_ends = kind.has_ends();
        let (mut damaged, mut reached) = (None, None);
        let mut each = |path: &[u8], bytes: &[u8]| match pack::unpack_cell(bytes, &self.names) {
            Ok(cell) if crdt::reading::is_present(&cell.live) => {
                let name = &path[prefix.len()..];
                if has_ends && reached.is_none() {
                    reached = Some(name.to_vec());
                }
                visit(name, &cell)
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                damaged = Some(error);
                ControlFlow::Break(())
            }
        };
        match start {
            Start::First => {
                let known = self.ends.borrow().first(key, kind).map(path);
                txn.scan(&prefix, known.as_ref().unwrap_or(&prefix), &mut each)?;
            }
            Start::From(name) => txn.scan(&prefix, &path(name), &mut each)?,
            Start::After(name) => txn.scan(&prefix, &[&path(name)[..], &[0]].concat(), &mut each)?,
            Start::Last => {
                // Below the next name there is.
                let known = self.ends.borrow().last(key, kind).map(|last| [&path(last)[..], &[0]].concat());
                txn.scan_back(&prefix, known.as_deref(), &mut each)?;
            }
            Start::Before(name) => txn.scan_back(&prefix, Some(&path(name)), &mut each)?,
        }
        match (start, reached) {
            (Start::First, Some(name)) if damaged.is_none() => self.ends.borrow_mut().is_first(key, kind, &name),
            (Start::Last, Some(name)) if damaged.is_none() => self.ends.borrow_mut().is_last(key, kind, &name),
            _ => {}
        }
        damaged.map_or(Ok(()), Err)
    }
}
