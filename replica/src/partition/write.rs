//! Operations: which dots to replace, which to add. Everything else about a type is in how it is read.

use crdt::{Content, Hlc, Tallies, reading};

use crate::id::{Actor, Context, Dot, Entry, Seen};
use crate::message::Change;
use crate::operation::{ByteString, Failure, Observed, Write, Written};
use crate::partition::noted::{Noted, Notes, may_have_siblings};
use crate::partition::order::Stand;
use crate::partition::{Keys, OpenCell, OpenKey, Partition};
use crate::place::{CellId, CellKind, Place};
use crate::procedure::Procedures;
use crate::store::{StoreError, Txn};

/// What a write puts in the place of what it has seen.
enum Put<'a> {
    Value(&'a [u8]),
    Member,
    Nothing,
}

/// A write in the making: what it did so far.
pub(crate) struct Writing {
    at: Hlc,
    pub(crate) changes: Vec<Change>,
    pub(crate) written: Written,
    pub(super) notes: Notes,
}

/// A write, when it happens, and who carries out what the application calls.
pub(crate) struct Order<'w> {
    pub(crate) write: &'w Write,
    pub(crate) at: Hlc,
    pub(crate) procedures: &'w dyn Procedures,
}

impl Partition {
    /// Carries a write out here and gives the events the other replicas need.
    pub(crate) fn write(
        &mut self,
        txn: &mut Txn<'_>,
        key: &[u8],
        order: &Order<'_>,
    ) -> Result<(Written, Vec<Change>), Failure> {
        let watched = order.procedures.is_watched();
        let notes = if watched { Notes::wanted() } else { Notes::default() };
        let mut writing = Writing { notes, ..Writing::new(order.at) };
        match order.write {
            Write::Clear => self.clear(txn, &mut writing)?,
            Write::Call(call) => {
                self.sums.note();
                let said = order.procedures.call(&call.0, &mut Keys::new(self, txn, &mut writing));
                match said {
                    Ok(_) | Err(Failure::Store(_)) => self.sums.settle(),
                    Err(_) => self.sums.undo(),
                }
                writing.written.said = ByteString(said?);
            }
            write if watched => {
                let mut keys = Keys::new(self, txn, &mut writing);
                writing.written = order.procedures.write(key, write, &mut keys)?;
            }
            write => self.write_key(txn, key, write, &mut writing)?,
        }
        Ok((writing.written, writing.changes))
    }

    /// A write to one key.
    pub(super) fn write_key(
        &mut self,
        txn: &mut Txn<'_>,
        key: &[u8],
        write: &Write,
        writing: &mut Writing,
    ) -> Result<(), Failure> {
        let change = |this: &mut Self, txn: &mut Txn<'_>, open: &mut OpenKey, writing: &mut Writing| {
            this.write_open(txn, open, write, writing)
        };
        self.change_key(txn, key, kind_wanted(write), writing, change)
    }

    /// Puts a cell whose name has the dot of this very event in it, so that there can be none of this name: it is not looked for.
    pub(super) fn put_new(
        &mut self,
        txn: &mut Txn<'_>,
        key: &[u8],
        cell: CellId,
        value: &[u8],
        writing: &mut Writing,
    ) -> Result<(), Failure> {
        self.change_key(txn, key, Some(cell.kind), writing, |this, txn, open, writing| {
            writing.written.changed += 1;
            let cell = OpenCell { stood: Stand::Nowhere, ..OpenCell::absent(cell) };
            this.put(txn, open, cell, &Put::Value(value), writing);
            Ok(())
        })
    }

    /// Changes one key, if it is of this kind or there is none. What has ended is removed first, and what is left without a key
    /// loses its deadline.
    fn change_key(
        &mut self,
        txn: &mut Txn<'_>,
        key: &[u8],
        wanted: Option<CellKind>,
        writing: &mut Writing,
        change: impl FnOnce(&mut Self, &mut Txn<'_>, &mut OpenKey, &mut Writing) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut open = self.open(txn, key)?;
        let has_ended = self.deadline_ms(txn, &open)?.is_some_and(|deadline_ms| deadline_ms <= writing.at.millis());
        // What has ended is removed only if the write is carried out.
        let before = has_ended.then(|| (txn.edits().clone(), self.meta.clone(), self.dirty));
        if has_ended {
            self.remove_key(txn, &mut open, writing)?;
            writing.written.changed = 0;
            writing.notes.add(key, Noted::Ended);
        }
        if let Err(refused) = check_kind(&open, wanted).and_then(|()| change(self, txn, &mut open, writing)) {
            if let Some((edits, meta, dirty)) = before {
                txn.set_edits(edits);
                (self.meta, self.dirty) = (meta, dirty);
                self.ends.get_mut().clear();
                self.orders.get_mut().forget_touched();
            }
            return Err(refused);
        }
        if open.record.has_deadline && !open.record.is_present() {
            let cell = self.load_cell(txn, &open, CellId::deadline())?;
            if !cell.state.live.is_empty() {
                self.put(txn, &mut open, cell, &Put::Nothing, writing);
            }
        }
        self.close(txn, open);
        Ok(())
    }

    fn write_open(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        write: &Write,
        writing: &mut Writing,
    ) -> Result<(), Failure> {
        match write {
            Write::Set(value) => self.set(txn, open, value, writing)?,
            Write::Put(kind, cells) => {
                for (name, value) in cells {
                    let cell = self.load_cell(txn, open, CellId { kind: *kind, name: name.0.clone() })?;
                    writing.written.changed += u64::from(!cell.was_present);
                    self.put(txn, open, cell, &Put::Value(&value.0), writing);
                }
            }
            Write::PutObserved(id, values, observed) => {
                self.put_observed(txn, open, id, values, observed, writing)?;
            }
            Write::PutIfCurrent(id, values, observed) => {
                let cell = self.load_cell(txn, open, id.clone())?;
                if cell.state.live.dots().any(|dot| !observed.context.contains(dot)) {
                    return Err(Failure::NotCurrent);
                }
                self.put_observed(txn, open, id, values, observed, writing)?;
            }
            Write::Add(members) => {
                for member in members {
                    let cell = self.load_cell(txn, open, CellId::member(member.0.clone()))?;
                    writing.written.changed += u64::from(!cell.was_present);
                    self.put(txn, open, cell, &Put::Member, writing);
                }
            }
            Write::Increment(id, by) => self.increment(txn, open, id, *by, writing)?,
            Write::Remove(kind, names) => {
                for ByteString(name) in names {
                    let cell = self.load_cell(txn, open, CellId { kind: *kind, name: name.clone() })?;
                    if cell.was_present {
                        writing.written.changed += 1;
                        self.put(txn, open, cell, &Put::Nothing, writing);
                    }
                }
            }
            Write::RemoveObserved(id, observed) => {
                self.put_observed(txn, open, id, &[], observed, writing)?;
            }
            Write::RemoveKey => self.remove_key(txn, open, writing)?,
            Write::Clear | Write::Call(_) => return Err(Failure::NotOfOneKey),
        }
        Ok(())
    }

    /// SET replaces the key whatever it was.
    fn set(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        value: &[u8],
        writing: &mut Writing,
    ) -> Result<(), StoreError> {
        if open.record.cells > 0 {
            self.remove_key(txn, open, writing)?;
        }
        let cell = self.load_cell(txn, open, CellId::value())?;
        writing.written.changed = 1;
        self.put(txn, open, cell, &Put::Value(value), writing);
        Ok(())
    }

    /// Replaces everything live in a cell.
    fn put(&mut self, txn: &mut Txn<'_>, open: &mut OpenKey, cell: OpenCell, put: &Put<'_>, writing: &mut Writing) {
        let seen: Context = cell.state.live.dots().copied().collect();
        let content = self.content(&cell, &seen, put, &[]);
        self.change(txn, open, cell, content, seen, writing);
    }

    /// Replaces exactly what was observed; several values become siblings of each other, none becomes a removal.
    fn put_observed(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        id: &CellId,
        values: &[ByteString],
        observed: &Observed,
        writing: &mut Writing,
    ) -> Result<(), Failure> {
        let cell = self.load_cell(txn, open, id.clone())?;
        let stays = cell.state.live.iter().filter(|(dot, _)| !observed.context.contains(dot));
        let stays: usize = stays.map(|(_, entry)| value_bytes(entry)).sum();
        let comes: usize = values.iter().map(|value| value.0.len()).sum();
        if (stays + comes) as u64 > self.cell_bytes {
            return Err(Failure::TooLarge { limit_bytes: self.cell_bytes });
        }
        let puts = values.iter().map(|value| Put::Value(&value.0));
        let puts = if values.is_empty() { vec![Put::Nothing] } else { puts.collect() };
        for put in &puts {
            let cell = self.load_cell(txn, open, id.clone())?;
            let content = self.content(&cell, &observed.context, put, &observed.seen);
            self.change(txn, open, cell, content, observed.context.clone(), writing);
        }
        let cell = self.load_cell(txn, open, id.clone())?;
        writing.written.siblings = reading::siblings(&cell.state.live).len() as u64;
        Ok(())
    }

    fn increment(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        id: &CellId,
        by: i64,
        writing: &mut Writing,
    ) -> Result<(), Failure> {
        let cell = self.load_cell(txn, open, id.clone())?;
        let now = match reading::winner(&cell.state.live) {
            Some(value) => reading::parse_integer(&value).ok_or(Failure::NotAnInteger)?,
            None => 0,
        };
        let number = now.checked_add(by).ok_or(Failure::Overflow)?;
        let dot = self.mint();
        // A run's total can end before the number does; the number is then written afresh over what is seen.
        match reading::tallies(&cell.state.live).increment(&dot, by) {
            Some((tally, replaced)) => {
                let seen = replaced.into_iter().collect();
                self.change(txn, open, cell, Some(Content::Tally(tally)), seen, writing);
            }
            None => self.put(txn, open, cell, &Put::Value(number.to_string().as_bytes()), writing),
        }
        writing.written.number = Some(number);
        Ok(())
    }

    /// A string is removed as a cell; anything else as one event over the whole key, which costs the other
    /// replicas one event however many cells there are.
    fn remove_key(&mut self, txn: &mut Txn<'_>, open: &mut OpenKey, writing: &mut Writing) -> Result<(), StoreError> {
        if open.record.is_present() {
            writing.written.changed += 1;
        }
        if open.record.cells == 0 {
            let cell = self.load_cell(txn, open, CellId::value())?;
            if !cell.state.live.is_empty() {
                self.put(txn, open, cell, &Put::Nothing, writing);
            }
            return Ok(());
        }
        let mut seen = self.meta.clock.clone();
        seen.union(&open.record.residual);
        let resets = self.see_cells(txn, open, &mut seen)?;
        let change = Change { place: Place::Key(open.key.clone()), dot: self.mint(), entry: None, seen };
        self.remove_range(txn, open, &change.seen)?;
        self.count_in(txn, change.dot, &change.place);
        writing.own(change);
        self.put_resets(txn, open, resets, writing)
    }

    /// Removes everything in the partition in one event.
    fn clear(&mut self, txn: &mut Txn<'_>, writing: &mut Writing) -> Result<(), StoreError> {
        if self.meta.live_keys == 0 && self.keys(txn)?.is_empty() {
            return Ok(());
        }
        writing.written.changed = self.meta.live_keys;
        let mut seen = self.meta.clock.clone();
        seen.union(&self.meta.residual);
        let mut resets = Vec::new();
        for key in self.keys(txn)? {
            let open = self.open(txn, &key)?;
            resets.push((key, self.see_cells(txn, &open, &mut seen)?));
        }
        let change = Change { place: Place::Partition, dot: self.mint(), entry: None, seen };
        self.remove_everything(txn, &change.seen)?;
        self.count_in(txn, change.dot, &change.place);
        writing.own(change);
        for (key, resets) in resets.into_iter().filter(|(_, resets)| !resets.is_empty()) {
            let mut open = self.open(txn, &key)?;
            self.put_resets(txn, &mut open, resets, writing)?;
            self.close(txn, open);
        }
        Ok(())
    }

    /// Adds every live dot of the key to `seen`, and gives what a removal has to record of its counters. Residuals are not added:
    /// that of a key or cell says of any dot that it is gone *there*, and may hold dots of other places which nobody here has seen.
    fn see_cells(
        &self,
        txn: &Txn<'_>,
        open: &OpenKey,
        seen: &mut Context,
    ) -> Result<Vec<(CellId, Vec<Seen>)>, StoreError> {
        let mut resets = Vec::new();
        for id in self.cell_ids(txn, open)? {
            let cell = self.load_cell(txn, open, id)?;
            seen.extend(cell.state.live.dots().copied());
            if let Some(Content::Reset { seen }) = self.content(&cell, seen, &Put::Nothing, &[]) {
                resets.push((cell.id, seen));
            }
        }
        Ok(resets)
    }

    fn put_resets(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        resets: Vec<(CellId, Vec<Seen>)>,
        writing: &mut Writing,
    ) -> Result<(), StoreError> {
        for (id, seen) in resets {
            let cell = self.load_cell(txn, open, id)?;
            self.change(txn, open, cell, Some(Content::Reset { seen }), Context::new(), writing);
        }
        Ok(())
    }

    /// What the new dot says, with the marks it must keep of the counter runs it replaces: those a live tally
    /// still needs, and those an event not yet known everywhere might.
    fn content(&self, cell: &OpenCell, seen: &Context, put: &Put<'_>, noted: &[Seen]) -> Option<Content<Actor>> {
        let mut marks = Vec::new();
        if cell.state.live.iter().any(|(_, entry)| !matches!(entry.content, Content::Member)) || !noted.is_empty() {
            marks = self.marks(cell, seen, noted);
        }
        match put {
            Put::Value(bytes) => Some(Content::Value { bytes: bytes.to_vec(), seen: marks }),
            Put::Member => Some(Content::Member),
            Put::Nothing if marks.is_empty() => None,
            Put::Nothing => Some(Content::Reset { seen: marks }),
        }
    }

    fn marks(&self, cell: &OpenCell, seen: &Context, noted: &[Seen]) -> Vec<Seen> {
        let live = &cell.state.live;
        let replaced = || live.iter().filter(|(dot, _)| seen.contains(dot));
        let tallies_of = |(dot, entry): (&'_ Dot, &'_ Entry)| match &entry.content {
            Content::Tally(tally) => Some((*dot, *tally)),
            _ => None,
        };
        let gone: Vec<_> = replaced().filter_map(tallies_of).collect();
        let open_marks = replaced()
            .flat_map(|(dot, entry)| entry.content.seen().iter().filter(move |mark| !self.is_done(dot, mark)));
        let wanted = Tallies::new(gone.iter().map(|(dot, tally)| (dot, tally)), open_marks.chain(noted)).reset();
        let rest: Vec<_> = live.iter().filter(|(dot, _)| !seen.contains(dot)).filter_map(tallies_of).collect();
        let rest = Tallies::new(rest.iter().map(|(dot, tally)| (dot, tally)), []);
        let held = replaced().flat_map(|(_, entry)| entry.content.seen()).filter(|mark| rest.needs(mark));
        let mut marks: Vec<Seen> = wanted.into_iter().filter(|mark| !self.is_alone() || rest.needs(mark)).collect();
        for mark in held {
            if !marks.iter().any(|kept| kept.run == mark.run) {
                marks.push(mark.clone());
            }
        }
        marks
    }

    /// Mints the event and applies it.
    fn change(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        mut cell: OpenCell,
        content: Option<Content<Actor>>,
        seen: Context,
        writing: &mut Writing,
    ) {
        let entry = content.map(|content| Entry { at: writing.at, content });
        let place = Place::Cell(open.key.clone(), cell.id.clone());
        let change = Change { place, dot: self.mint(), entry, seen };
        let counts = writing.notes.are_wanted() && may_have_siblings(cell.id.kind);
        let before = counts.then(|| reading::siblings(&cell.state.live).len());
        self.apply_to_cell(txn, open, &mut cell, &change);
        if let Some(before) = before {
            let after = reading::siblings(&cell.state.live).len();
            if before.max(after) > 1 {
                writing.notes.add(&open.key, Noted::Siblings { cell: cell.id.clone(), before, after });
            }
        }
        self.store_cell(txn, open, cell);
        writing.own(change);
    }
}

fn value_bytes(entry: &Entry) -> usize {
    match &entry.content {
        Content::Value { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

/// What a key must be for a write, if there is one.
fn kind_wanted(write: &Write) -> Option<CellKind> {
    match write {
        Write::Put(kind, _) | Write::Remove(kind, _) => Some(*kind),
        Write::Add(_) => Some(CellKind::Member),
        Write::Increment(id, _) | Write::PutObserved(id, ..) | Write::PutIfCurrent(id, ..) => Some(id.kind),
        // A removal of exactly what was read must work on every side of a type conflict.
        Write::Set(_) | Write::RemoveObserved(..) | Write::RemoveKey | Write::Clear | Write::Call(_) => None,
    }
}

fn check_kind(open: &OpenKey, wanted: Option<CellKind>) -> Result<(), Failure> {
    match (wanted, open.record.kind()) {
        (None | Some(CellKind::Deadline), _) | (_, None) => Ok(()),
        (Some(wanted), Some(kind)) if kind != wanted => Err(Failure::WrongType),
        _ => Ok(()),
    }
}

impl Writing {
    pub(super) fn new(at: Hlc) -> Self {
        Self { at, changes: Vec::new(), written: Written::default(), notes: Notes::default() }
    }

    pub(super) fn at(&self) -> Hlc {
        self.at
    }

    /// Another write of the same call, which is taken in only if it is carried out.
    pub(super) fn another(&self) -> Self {
        Self { notes: self.notes.alike(), ..Self::new(self.at) }
    }

    /// Takes in another write of the same call.
    pub(super) fn add(&mut self, other: Writing) {
        self.written.changed += other.written.changed;
        self.written.own.context.union(&other.written.own.context);
        self.written.own.seen.extend(other.written.own.seen);
        self.changes.extend(other.changes);
        self.notes.append(other.notes);
    }

    fn own(&mut self, change: Change) {
        self.written.own.context.insert(change.dot);
        if let Some(Entry { content: Content::Tally(tally), .. }) = &change.entry {
            let view = Tallies::new([(&change.dot, tally)], []);
            self.written.own.seen.extend(view.reset());
        }
        self.changes.push(change);
    }
}
