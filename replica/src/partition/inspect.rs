//! Looking: what reads need of a key, pages of keys, and where a replica stands.

use std::ops::{ControlFlow, Range};

use crdt::reading;

use crate::digest;
use crate::id::Context;
use crate::message::KeyState;
use crate::operation::{ByteString, Found, OwnerReport, Read, places};
use crate::pack::key as pack;
use crate::partition::{OpenKey, Partition, Start};
use crate::place::{CellId, CellKind, Counts};
use crate::record::{self, CellState, DotTable, KeyHash, KeyRecord};
use crate::store::{StoreError, Txn};

/// How many cells an explanation lists.
const EXPLAINED_CELLS: usize = 64;

/// Places further than this from both ends are looked up in an order that is kept. It is made for those that are further than this part
/// of all.
const FAR_CELLS: u64 = 512;
const FAR_PART: u64 = 16;

/// Keys with their types, and the hash to go on from.
type Page = (Vec<(ByteString, CellKind)>, Option<KeyHash>);

/// What one replica has of a key, or several have together: cells, and what was seen of them.
#[derive(Clone, Debug)]
pub(crate) struct KeyView {
    pub(crate) state: KeyState,
    pub(crate) clock: Context,
}

impl KeyView {
    /// Merges another replica's view of the same cells.
    pub(crate) fn join(&mut self, other: &KeyState, clock: &Context) {
        let nothing = CellState::default();
        let ids = self.state.cells.iter().chain(&other.cells).map(|(id, _)| id.clone());
        let ids: std::collections::BTreeSet<CellId> = ids.collect();
        let find = |cells: &[(CellId, CellState)], id: &CellId| {
            cells.iter().find(|(cell, _)| cell == id).map(|(_, s)| s.clone())
        };
        let joined = ids.into_iter().map(|id| {
            let mut own = find(&self.state.cells, &id).unwrap_or_default();
            let theirs = find(&other.cells, &id).unwrap_or_else(|| nothing.clone());
            let ours = [&self.clock, &self.state.residual, &own.residual.clone()];
            // One dot with two payloads: what is here stays; replication reports it.
            let _ = own.live.join(&ours[..], &theirs.live, &[clock, &other.residual, &theirs.residual][..]);
            own.residual.union(&theirs.residual);
            (id, own)
        });
        self.state.cells = joined.collect();
        self.state.residual.union(&other.residual);
        self.clock.union(clock);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.state.cells.iter().fold(0, |digest, (id, cell)| digest ^ digest::of_cell(id, &cell.live))
    }

    /// The answer to a read.
    pub(crate) fn found(self) -> Found {
        let (mut counts, mut value, mut deadline_ms) = (Counts::default(), false, None);
        for (id, cell) in self.state.cells.iter().filter(|(_, cell)| reading::is_present(&cell.live)) {
            match (id.kind, counts.of_mut(id.kind)) {
                (_, Some(count)) => *count += 1,
                (CellKind::Deadline, None) => deadline_ms = cell.deadline_ms(),
                (_, None) => value = true,
            }
        }
        found(counts, value, deadline_ms, self.state.cells)
    }
}

fn found(counts: Counts, value: bool, deadline_ms: Option<u64>, cells: Vec<(CellId, CellState)>) -> Found {
    let (kind, kinds_present) = (counts.shown(value), counts.kinds(value));
    Found { kind, kinds_present, counts, deadline_ms, cells, ..Found::default() }
}

/// These cells of a key, and what its record says of the whole.
fn found_in(counts: Counts, value: bool, cells: Vec<(CellId, CellState)>) -> Found {
    let deadline = cells.iter().find(|(id, _)| id.kind == CellKind::Deadline);
    let deadline_ms = deadline.and_then(|(_, cell)| cell.deadline_ms());
    found(counts, value, deadline_ms, cells)
}

/// These, and the deadline: of a key that has ended nothing is shown.
fn with_deadline(mut ids: Vec<CellId>, open: &OpenKey) -> Vec<CellId> {
    if open.record.has_deadline && !ids.iter().any(|id| id.kind == CellKind::Deadline) {
        ids.push(CellId::deadline());
    }
    ids
}

impl Partition {
    /// The digest of what a read would give, without reading more than it must.
    pub(crate) fn read_digest(&self, txn: &Txn<'_>, key: &[u8], read: &Read) -> Result<u64, StoreError> {
        let open = self.open(txn, key)?;
        match read {
            Read::All
            | Read::Summary
            | Read::Slice { .. }
            | Read::After { .. }
            | Read::Before { .. }
            | Read::Within { .. }
            | Read::Call(_) => Ok(open.record.digest),
            Read::Cells(ids) => with_deadline(ids.clone(), &open)
                .into_iter()
                .try_fold(0, |digest, id| Ok(digest ^ self.load_cell(txn, &open, id)?.digest)),
        }
    }

    /// What this replica alone answers to a read, and the digest of that. One cell or a few are cheap to keep for a merge, and come
    /// as a view as well.
    pub(crate) fn look(
        &self,
        txn: &Txn<'_>,
        key: &[u8],
        read: &Read,
    ) -> Result<(Found, u64, Option<Box<KeyView>>), StoreError> {
        if matches!(read, Read::Cells(_)) {
            let open = self.open(txn, key)?;
            if let Some(view) = self.view_of(txn, &open, read)? {
                let cells = view.state.cells.iter().filter(|(_, state)| !state.is_nothing()).cloned().collect();
                let value = reading::is_present(&open.record.value.live);
                return Ok((found_in(open.record.counts, value, cells), view.digest(), Some(Box::new(view))));
            }
        }
        Ok((self.read(txn, key, read)?, self.read_digest(txn, key, read)?, None))
    }

    /// What this replica alone answers to a read.
    pub(crate) fn read(&self, txn: &Txn<'_>, key: &[u8], read: &Read) -> Result<Found, StoreError> {
        let mut open = self.open(txn, key)?;
        let ids = match read {
            Read::Summary | Read::Call(_) => Vec::new(),
            Read::Cells(ids) => ids.clone(),
            Read::All => self.cell_ids(txn, &open)?,
            Read::Slice { kind, from, to } => {
                let count = open.record.counts.of(*kind);
                self.names_at(txn, key, *kind, count, places(count, *from, *to))?
            }
            // Not to pass by what was removed, to find that there is no more.
            Read::After { kind, .. } | Read::Before { kind, .. } | Read::Within { kind, .. }
                if open.record.counts.of(*kind) == 0 =>
            {
                Vec::new()
            }
            Read::Within { kind, from, below, count } => {
                let start = from.as_ref().map_or(Start::First, |from| Start::From(&from.0));
                let mut ids = Vec::new();
                self.walk(txn, key, *kind, start, &mut |name, _| {
                    if below.as_ref().is_some_and(|below| name >= below.0.as_slice())
                        || ids.len() as u64 >= u64::from(*count)
                    {
                        return ControlFlow::Break(());
                    }
                    ids.push(CellId { kind: *kind, name: name.to_vec() });
                    ControlFlow::Continue(())
                })?;
                ids
            }
            Read::After { kind, name, count } => {
                let start = name.as_ref().map_or(Start::First, |name| Start::After(&name.0));
                self.names_from(txn, key, *kind, start, 0, u64::from(*count))?
            }
            Read::Before { kind, name, count } => {
                let start = name.as_ref().map_or(Start::Last, |name| Start::Before(&name.0));
                let mut ids = self.names_from(txn, key, *kind, start, 0, u64::from(*count))?;
                ids.reverse();
                ids
            }
        };
        let mut cells = Vec::with_capacity(ids.len());
        let value = reading::is_present(&open.record.value.live);
        for id in with_deadline(ids, &open) {
            let state = match id.kind {
                CellKind::Value => std::mem::take(&mut open.record.value),
                _ => self.stored_cell(txn, &open, &id)?.unwrap_or_default().0,
            };
            if !state.is_nothing() {
                cells.push((id, state));
            }
        }
        Ok(found_in(open.record.counts, value, cells))
    }

    /// The cells at these places of the order, walked to from the nearer end unless that is far.
    fn names_at(
        &self,
        txn: &Txn<'_>,
        key: &[u8],
        kind: CellKind,
        count: u64,
        places: Range<u64>,
    ) -> Result<Vec<CellId>, StoreError> {
        let wanted = places.end - places.start;
        let to_end = count.saturating_sub(places.end);
        let distance = places.start.min(to_end);
        let is_far = distance > FAR_CELLS && (distance > count / FAR_PART || self.orders.borrow().has(key, kind));
        // Sorted sets stand in another order than their names.
        if wanted > 0 && is_far && kind != CellKind::Score {
            return self.with_order(txn, key, kind, |order| {
                order.at(places).map(|(name, _)| CellId { kind, name: name.to_vec() }).collect()
            });
        }
        if places.start <= to_end {
            return self.names_from(txn, key, kind, Start::First, places.start, wanted);
        }
        let mut ids = self.names_from(txn, key, kind, Start::Last, to_end, wanted)?;
        ids.reverse();
        Ok(ids)
    }

    fn names_from(
        &self,
        txn: &Txn<'_>,
        key: &[u8],
        kind: CellKind,
        start: Start<'_>,
        mut skip: u64,
        wanted: u64,
    ) -> Result<Vec<CellId>, StoreError> {
        let mut ids = Vec::new();
        if wanted == 0 {
            return Ok(ids);
        }
        self.walk(txn, key, kind, start, &mut |name, _| {
            if skip > 0 {
                skip -= 1;
                return ControlFlow::Continue(());
            }
            ids.push(CellId { kind, name: name.to_vec() });
            if ids.len() as u64 == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(ids)
    }

    /// Everything a merge with another replica's view needs. `None` if it is too large to send at once.
    pub(crate) fn view(&self, txn: &Txn<'_>, key: &[u8], read: &Read) -> Result<Option<KeyView>, StoreError> {
        self.view_of(txn, &self.open(txn, key)?, read)
    }

    fn view_of(&self, txn: &Txn<'_>, open: &OpenKey, read: &Read) -> Result<Option<KeyView>, StoreError> {
        let (ids, whole) = match read {
            Read::Cells(ids) => (with_deadline(ids.clone(), open), false),
            _ => (self.cell_ids(txn, open)?, true),
        };
        let (mut cells, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for id in ids {
            let state = self.load_cell(txn, open, id.clone())?.state;
            bytes += 64 + id.name.len() + state.live.iter().map(|(_, entry)| 64 + payload_bytes(entry)).sum::<usize>();
            if bytes > self.state_bytes && !cells.is_empty() {
                return Ok(None);
            }
            cells.push((id, state));
        }
        let mut residual = open.record.residual.clone();
        residual.union(&self.meta.residual);
        let state = KeyState { key: open.key.as_slice().into(), residual, cells, whole, events: Vec::new() };
        Ok(Some(KeyView { state, clock: self.meta.clock.clone() }))
    }

    /// A page of present keys from a hash on; keys of one hash stand on one page.
    pub(crate) fn page(
        &self,
        txn: &Txn<'_>,
        from: KeyHash,
        count: u32,
        conflicts_only: bool,
        now_ms: u64,
    ) -> Result<Page, StoreError> {
        let (mut keys, mut looked_at, mut last, mut next) = (Vec::new(), 0, None, None);
        let mut candidates = Vec::new();
        let mut damaged = None;
        txn.scan(&record::keys(self.id), &record::keys_from(self.id, from), &mut |path, value| {
            let hash = record::hash_in(path);
            if looked_at >= count && last != Some(hash) {
                next = Some(hash);
                return ControlFlow::Break(());
            }
            (looked_at, last) = (looked_at + 1, Some(hash));
            match record::key_in(path).and_then(|key| Ok((key.to_vec(), pack::unpack(value, &self.names)?))) {
                Ok((key, record)) => candidates.extend(record.kind().map(|kind| (key, kind, record))),
                Err(error) => damaged = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        damaged.map_or(Ok(()), Err)?;
        for (key, kind, record) in candidates {
            if record.has_deadline {
                let open = self.open(txn, &key)?;
                if self.deadline_ms(txn, &open)?.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
                    continue;
                }
            }
            if !conflicts_only || self.has_conflict(txn, &key, &record)? {
                keys.push((ByteString(key), kind));
            }
        }
        Ok((keys, next))
    }

    fn has_conflict(&self, txn: &Txn<'_>, key: &[u8], record: &KeyRecord) -> Result<bool, StoreError> {
        if record.kinds_present() > 1 || reading::siblings(&record.value.live).len() > 1 {
            return Ok(true);
        }
        if record.counts.of(CellKind::Member) == record.cells {
            return Ok(false);
        }
        let open = self.open(txn, key)?;
        let has_siblings = |id: &CellId| !matches!(id.kind, CellKind::Member | CellKind::Deadline);
        for id in self.cell_ids(txn, &open)?.into_iter().filter(has_siblings) {
            if reading::siblings(&self.load_cell(txn, &open, id)?.state.live).len() > 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn explain(&self, txn: &Txn<'_>, key: &[u8]) -> Result<OwnerReport, StoreError> {
        let open = self.open(txn, key)?;
        let ids = self.cell_ids(txn, &open)?;
        let mut report = OwnerReport {
            clock: self.meta.clock.clone(),
            cells_total: ids.len() as u64,
            filling: self.is_filling(),
            ..OwnerReport::default()
        };
        let of_key = CellState { residual: open.record.residual.clone(), ..CellState::default() };
        let mut metadata = pack::metadata_bytes(&of_key);
        for id in ids {
            let state = self.load_cell(txn, &open, id.clone())?.state;
            metadata += pack::metadata_bytes(&state);
            if report.cells.len() < EXPLAINED_CELLS {
                report.cells.push((id, state.live.dots().copied().collect()));
            }
        }
        report.metadata_bytes = metadata as u64;
        let prefix = DotTable::Log.all(self.id);
        txn.scan(&prefix, &prefix, &mut |_, _| {
            report.log_entries += 1;
            ControlFlow::Continue(())
        })?;
        Ok(report)
    }

    /// Everything that lives here, for comparing replicas: places with their dots, and the clock.
    pub(crate) fn contents(&self, store: &dyn crate::store::Store) -> Result<crate::core::Contents, StoreError> {
        let txn = Txn::new(store, crate::store::Edits::new());
        let mut cells = std::collections::BTreeMap::new();
        for key in self.keys(&txn)? {
            let open = self.open(&txn, &key)?;
            for id in self.cell_ids(&txn, &open)? {
                cells.insert((key.clone(), id.clone()), self.load_cell(&txn, &open, id)?.state);
            }
        }
        Ok(crate::core::Contents { clock: self.meta.clock.clone(), residual: self.meta.residual.clone(), cells })
    }
}

fn payload_bytes(entry: &crate::id::Entry) -> usize {
    match &entry.content {
        crdt::Content::Value { bytes, seen } => bytes.len() + 48 * seen.len(),
        crdt::Content::Reset { seen } => 48 * seen.len(),
        crdt::Content::Member | crdt::Content::Tally(_) => 0,
    }
}
