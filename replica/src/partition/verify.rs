//! Verification: sums of everything the partition has, a scrub that reads it all, and what is done about a difference under
//! equal clocks (2.4 of the design: silent divergence).
//!
//! The sums are kept up with every change, in memory. After a start they are not known until a scrub has read the partition
//! once; each later scrub finds what has changed behind the store's back. Where two replicas with equal clocks differ, one of
//! them has lost something, or has failed to remove it. Which one, nobody can tell any more: a dot both have seen and only
//! one has would be taken for removed by a merge. So what only one has is written anew, under a dot nobody has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crdt::{Content, Tallies, reading};

use crate::digest;
use crate::hash_tree::{HashTree, LEAVES, first_hash_of};
use crate::id::{Context, Dot, Entry, NodeId};
use crate::message::{Change, KeyState, Ticket};
use crate::operation::ByteString;
use crate::pack::key as pack;
use crate::partition::{Joined, OpenKey, Partition};
use crate::place::{CellId, CellKind, Place};
use crate::record::{self, CellState, KeyHash, KeyRecord};
use crate::store::{StoreError, Txn};

/// The number of no question.
pub(crate) const NO_QUESTION: Ticket = Ticket(0);

/// The sums of a partition, and what has been verified by them.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// Not known before the first scrub.
    tree: Option<HashTree>,
    /// What the records of keys and cells take, once that is known.
    bytes: u64,
    scrub: Option<Pass>,
    /// At which clock and sum another replica was found equal.
    verified: BTreeMap<NodeId, (Context, u64)>,
    /// Since when, and how often, another replica was found different under this same clock.
    suspected: BTreeMap<NodeId, (Context, u32)>,
    /// When another replica was asked last, and with which question.
    asked: BTreeMap<NodeId, (u64, Ticket)>,
    /// What a call has changed so far, to be undone if it fails half-way.
    undo: Option<Vec<Replaced>>,
    /// Has that been done in this event?
    is_undone: bool,
}

/// A key that has changed: the path of its record, the key, its digests, whether it was and is present, and by how many bytes it
/// has grown.
type Replaced = (Vec<u8>, Vec<u8>, (u64, u64), (bool, bool), i64);

/// A scrub under way: the sums of the keys it has passed.
#[derive(Debug, Default)]
struct Pass {
    tree: HashTree,
    /// The path of the last key it has looked at.
    last: Option<Vec<u8>>,
    /// How many of the keys it has passed are present.
    live_keys: u64,
    /// What they take.
    bytes: u64,
}

/// What a step of a scrub has found.
#[derive(Debug, Default)]
pub(crate) struct Scrubbed {
    pub(crate) bytes: usize,
    pub(crate) is_done: bool,
    /// The sums are known for the first time in this run.
    pub(crate) is_first: bool,
    /// What was wrong, in words.
    pub(crate) damage: Vec<String>,
}

impl Sums {
    /// A call begins.
    pub(super) fn note(&mut self) {
        (self.undo, self.is_undone) = (Some(Vec::new()), false);
    }

    /// It has come to an end.
    pub(super) fn settle(&mut self) {
        self.undo = None;
    }

    /// It has failed: everything is as it was.
    pub(super) fn undo(&mut self) {
        let undo = self.undo.take().unwrap_or_default();
        self.is_undone = !undo.is_empty();
        for (path, key, (before, after), (was, is), grown) in undo.into_iter().rev() {
            self.replace(&path, &key, (after, before), (is, was), -grown);
        }
    }

    /// After an event that failed half-way they may have what did not come to be - unless that has been undone; the next scrub
    /// finds out.
    pub(super) fn forget(&mut self) {
        if !std::mem::take(&mut self.is_undone) {
            *self = Self::default();
        }
    }

    /// A key has changed: its digest, whether it is present, and what it takes.
    pub(crate) fn replace(&mut self, path: &[u8], key: &[u8], digests: (u64, u64), present: (bool, bool), grown: i64) {
        if let Some(undo) = &mut self.undo {
            undo.push((path.to_vec(), key.to_vec(), digests, present, grown));
        }
        self.bytes = self.bytes.saturating_add_signed(grown);
        let (before, after) = digests;
        if before != after
            && let Some(tree) = &mut self.tree
        {
            tree.replace(key, before, after);
        }
        if let Some(pass) = &mut self.scrub
            && pass.last.as_ref().is_some_and(|last| path <= last.as_slice())
        {
            pass.tree.replace(key, before, after);
            pass.live_keys = (pass.live_keys + u64::from(present.1)).saturating_sub(u64::from(present.0));
            pass.bytes = pass.bytes.saturating_add_signed(grown);
        }
    }
}

impl Partition {
    /// The sums, unless it is being filled or they are not known yet.
    pub(crate) fn tree(&self) -> Option<&HashTree> {
        self.sums.tree.as_ref().filter(|_| self.inbound.is_none() && !self.incomplete)
    }

    /// What its records of keys and cells take, in bytes, if a scrub has read them all in this run.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.sums.tree.as_ref().map(|_| self.sums.bytes)
    }

    /// Reads on for about so many bytes, from where the last step ended.
    pub(crate) fn scrub(&mut self, txn: &mut Txn<'_>, budget_bytes: usize) -> Result<Scrubbed, StoreError> {
        let mut found = Scrubbed::default();
        let (prefix, mut paths) = (record::keys(self.id), Vec::new());
        let last = self.sums.scrub.get_or_insert_default().last.clone();
        let most = budget_bytes / 32 + 1;
        txn.scan(&prefix, last.as_deref().unwrap_or(&prefix), &mut |path, _| {
            if last.as_deref() != Some(path) {
                paths.push(path.to_vec());
            }
            if paths.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut left = paths.len();
        for path in paths {
            if found.bytes >= budget_bytes {
                break;
            }
            left -= 1;
            self.adopt_orphans(txn, Some(&path), &mut found)?;
            self.pass(txn, path, &mut found)?;
        }
        if left == 0 {
            self.adopt_orphans(txn, None, &mut found)?;
            found.is_done = true;
            found.is_first = self.sums.tree.is_none();
            let Pass { tree, live_keys, bytes, .. } = self.sums.scrub.take().unwrap_or_default();
            if self.sums.tree.as_ref().is_some_and(|known| *known != tree) {
                found.damage.push("records have changed or vanished behind the store's back".to_owned());
            }
            (self.sums.tree, self.sums.bytes) = (Some(tree), bytes);
            self.dirty |= self.meta.live_keys != live_keys;
            self.meta.live_keys = live_keys;
        }
        Ok(found)
    }

    /// Looks at one key.
    fn pass(&mut self, txn: &mut Txn<'_>, path: Vec<u8>, found: &mut Scrubbed) -> Result<(), StoreError> {
        let key = record::key_in(&path)?.to_vec();
        let (digest, is_present, bytes) = self.scrub_key(txn, &path, &key, found)?;
        if let Some(pass) = &mut self.sums.scrub {
            pass.bytes += bytes;
            pass.tree.replace(&key, 0, digest);
            pass.live_keys += u64::from(is_present);
            pass.last = Some(path);
        }
        Ok(())
    }

    /// Looks at the keys between the last one and `upto` that have cells, and have lost their own record.
    fn adopt_orphans(
        &mut self,
        txn: &mut Txn<'_>,
        upto: Option<&[u8]>,
        found: &mut Scrubbed,
    ) -> Result<(), StoreError> {
        let prefix = record::cells_of_all(self.id);
        loop {
            let last = self.sums.scrub.as_ref().and_then(|pass| pass.last.as_deref());
            let from = last
                .map_or(Ok(prefix.clone()), |path| record::key_in(path).map(|key| record::after_cells(self.id, key)))?;
            let mut next = None;
            txn.scan(&prefix, &from, &mut |path, _| {
                next = Some(record::key_in(path).map(<[u8]>::to_vec));
                ControlFlow::Break(())
            })?;
            let Some(key) = next.transpose()? else { return Ok(()) };
            let path = record::key_record(self.id, &key);
            if upto.is_some_and(|upto| path.as_slice() >= upto) {
                return Ok(());
            }
            found.damage.push(format!("the record of key {:?} is lost here", String::from_utf8_lossy(&key)));
            self.pass(txn, path, found)?;
        }
    }

    /// Reads a key and all its cells; sets right what its record says of them. Gives the digest of what is there, whether the key
    /// is present, and what its records take.
    fn scrub_key(
        &mut self,
        txn: &mut Txn<'_>,
        path: &[u8],
        key: &[u8],
        found: &mut Scrubbed,
    ) -> Result<(u64, bool, u64), StoreError> {
        let name = || String::from_utf8_lossy(key).into_owned();
        // What does not decode stays as it is until it is written anew: as long as it cannot be read, nobody takes it for removed.
        let stored = txn.get(path)?;
        let mut bytes = stored.as_ref().map_or(0, |record| (path.len() + record.len()) as u64);
        let stored = stored.map(|bytes| pack::unpack(&bytes, &self.names));
        if let Some(Err(why)) = stored {
            found.damage.push(format!("the record of key {:?} is lost here ({why})", name()));
            return Ok((0, false, 0));
        }
        let mut open = self.open(txn, key)?;
        let mut actual =
            KeyRecord { digest: digest::of_cell(&CellId::value(), &open.record.value.live), ..KeyRecord::default() };
        found.bytes += path.len() + pack::size_of(&open.record.value) + 16;
        let (prefix, mut broken) = (record::cells(self.id, key), Vec::new());
        txn.scan(&prefix, &prefix, &mut |path, record| {
            found.bytes += path.len() + record.len();
            bytes += (path.len() + record.len()) as u64;
            match record::cell_in(path).and_then(|id| Ok((id, pack::unpack_cell(record, &self.names)?))) {
                Ok((id, cell)) => {
                    if let Some(count) = actual.counts.of_mut(id.kind) {
                        *count += u64::from(reading::is_present(&cell.live));
                    }
                    actual.has_deadline |= id.kind == CellKind::Deadline;
                    actual.cells += 1;
                    actual.digest ^= digest::of_cell(&id, &cell.live);
                }
                Err(why) => broken.push(why),
            }
            ControlFlow::Continue(())
        })?;
        actual.cells += broken.len() as u64;
        let decodes = broken.is_empty();
        for why in broken {
            found.damage.push(format!("a cell of key {:?} is lost here ({why})", name()));
        }
        let KeyRecord { counts, has_deadline, cells, digest, .. } = actual;
        let is_present = counts.shown(reading::is_present(&open.record.value.live)).is_some();
        let OpenKey { record, .. } = &open;
        let is_right =
            (record.counts, record.has_deadline, record.cells, record.digest) == (counts, has_deadline, cells, digest);
        if !is_right {
            self.orders.get_mut().forget(key);
            if decodes {
                found.damage.push(format!("cells of key {:?} are not what its record says", name()));
            }
            let record = &mut open.record;
            (record.counts, record.has_deadline, record.cells, record.digest) = (counts, has_deadline, cells, digest);
            self.close(txn, open);
        }
        Ok((digest, is_present, bytes))
    }

    /// Is it time to compare sums with another replica, with which this one has been found equal so far?
    pub(crate) fn should_verify(&mut self, with: NodeId, now_ms: u64, every_ms: u64, ticket: Ticket) -> Option<u64> {
        let root = self.tree()?.root();
        let known = self.sums.verified.get(&with);
        let asked = self.sums.asked.get(&with);
        let is_due = asked.is_none_or(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= every_ms);
        if !is_due || known.is_some_and(|(clock, sum)| *clock == self.meta.clock && *sum == root) {
            return None;
        }
        self.sums.asked.insert(with, (now_ms, ticket));
        Some(root)
    }

    /// Another replica has the same sums; an answer to an earlier question says nothing of now.
    pub(crate) fn is_verified(&mut self, with: NodeId, root: u64, ticket: Ticket) {
        let is_last = self.sums.asked.get(&with).is_some_and(|(_, asked)| *asked == ticket);
        if is_last && self.tree().is_some_and(|tree| tree.root() == root) {
            self.sums.suspected.remove(&with);
            self.sums.verified.insert(with, (self.meta.clock.clone(), root));
        }
    }

    /// Another replica says that its sums have changed under the same clock.
    pub(crate) fn is_in_doubt(&mut self, with: NodeId) {
        self.sums.verified.remove(&with);
        self.sums.asked.remove(&with);
    }

    /// Another replica has other sums; says how often that was so, in a row, under this clock. Each question counts once.
    pub(crate) fn is_suspected(&mut self, with: NodeId, ticket: Ticket) -> u32 {
        match self.sums.asked.get_mut(&with) {
            Some((_, asked)) if *asked == ticket && ticket != NO_QUESTION => *asked = NO_QUESTION,
            _ => return 0,
        }
        let (clock, times) = self.sums.suspected.entry(with).or_default();
        if *clock != self.meta.clock {
            (*clock, *times) = (self.meta.clock.clone(), 0);
        }
        *times += 1;
        *times
    }

    pub(crate) fn suspicions(&self, with: NodeId) -> u32 {
        let suspected = self.sums.suspected.get(&with).filter(|(clock, _)| *clock == self.meta.clock);
        suspected.map_or(0, |(_, times)| *times)
    }

    /// The keys of a leaf with their digests.
    pub(crate) fn digests_of(&self, txn: &Txn<'_>, leaf: usize) -> Result<BTreeMap<Vec<u8>, u64>, StoreError> {
        let (mut digests, mut damaged) = (BTreeMap::new(), None);
        if leaf >= LEAVES {
            return Ok(digests);
        }
        let end = first_hash_of(leaf + 1);
        let from = record::keys_from(self.id, KeyHash(first_hash_of(leaf)));
        txn.scan(&record::keys(self.id), &from, &mut |path, bytes| {
            if leaf + 1 < LEAVES && record::hash_in(path).0 >= end {
                return ControlFlow::Break(());
            }
            // One that does not decode is as good as absent: the other replica's is put in its place.
            match (record::key_in(path), pack::unpack(bytes, &self.names)) {
                (Ok(key), Ok(record)) if record.digest != 0 => drop(digests.insert(key.to_vec(), record.digest)),
                (Ok(_), _) => {}
                (Err(error), _) => damaged = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        damaged.map_or(Ok(digests), Err)
    }

    /// Everything of a key, for a replica with the same clock.
    pub(crate) fn whole_key(&self, txn: &Txn<'_>, key: &[u8]) -> Result<KeyState, StoreError> {
        let open = self.open_lossy(txn, key)?;
        let load = |id: CellId| Ok((id.clone(), self.load_lossy(txn, &open, id)?.state));
        let cells = self.cell_ids(txn, &open)?.into_iter().map(load).collect::<Result<_, StoreError>>()?;
        let mut residual = open.record.residual.clone();
        residual.union(&self.meta.residual);
        Ok(KeyState { key: ByteString(key.to_vec()), residual, cells, whole: true, events: Vec::new() })
    }

    /// Makes this replica and one with the same clock agree on a key again: what one of them has and the other has seen is
    /// written anew, then the rest is joined. Gives the events to send to all.
    pub(crate) fn heal(&mut self, txn: &mut Txn<'_>, theirs: &KeyState) -> Result<(Vec<Change>, Joined), StoreError> {
        let (key, mut changes) = (theirs.key.0.clone(), Vec::new());
        self.orders.get_mut().forget(&key);
        // What they have seen; nothing of what is written here now.
        let clock = self.meta.clock.clone();
        let mut open = self.open_lossy(txn, &key)?;
        let theirs_by_id: BTreeMap<&CellId, &CellState> = theirs.cells.iter().map(|(id, state)| (id, state)).collect();
        let mut ids: BTreeSet<CellId> = self.cell_ids(txn, &open)?.into_iter().collect();
        ids.extend(theirs.cells.iter().map(|(id, _)| id.clone()));
        for id in ids {
            for (dot, entry) in self.torn(txn, &open, &id, (theirs, &theirs_by_id))? {
                changes.extend(self.rewrite(txn, &mut open, &id, dot, entry)?);
            }
        }
        self.close(txn, open);
        let joined = self.repair(txn, theirs, &clock)?;
        Ok((changes, joined))
    }

    /// The live dots of a cell that one side has and the other has seen.
    fn torn(
        &self,
        txn: &Txn<'_>,
        open: &OpenKey,
        id: &CellId,
        (theirs, by_id): (&KeyState, &BTreeMap<&CellId, &CellState>),
    ) -> Result<Vec<(Dot, Entry)>, StoreError> {
        let own = self.load_lossy(txn, open, id.clone())?;
        let nothing = CellState::default();
        let their = by_id.get(id).copied().unwrap_or(&nothing);
        let seen_there = [&self.meta.clock, &theirs.residual, &their.residual];
        let lost_here =
            their.live.iter().filter(|(dot, _)| own.state.live.get(dot).is_none() && self.has_seen(open, &own, dot));
        let lost_there =
            own.state.live.iter().filter(|(dot, _)| {
                their.live.get(dot).is_none() && seen_there.iter().any(|context| context.contains(dot))
            });
        let torn = lost_here.chain(lost_there).filter(|(_, entry)| !matches!(entry.content, Content::Reset { .. }));
        Ok(torn.map(|(dot, entry)| (*dot, entry.clone())).collect())
    }

    /// The same under a new dot. Increments are reset and become this node's own, so that nothing counts twice should their
    /// author go on meanwhile.
    fn rewrite(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        id: &CellId,
        old: Dot,
        entry: Entry,
    ) -> Result<Vec<Change>, StoreError> {
        let (seen, at) = ([old].into_iter().collect::<Context>(), entry.at);
        let Content::Tally(tally) = &entry.content else {
            return Ok(vec![self.put_back(txn, open, id, entry, seen)?]);
        };
        let cell = self.load_lossy(txn, open, id.clone())?;
        let marks = cell.state.live.iter().flat_map(|(_, entry)| entry.content.seen());
        let run = Tallies::new([(&old, tally)], marks);
        let reset = Entry { at, content: Content::Reset { seen: run.reset() } };
        let mut changes = vec![self.put_back(txn, open, id, reset, seen)?];
        let cell = self.load_cell(txn, open, id.clone())?;
        if let Some((tally, replaced)) = reading::tallies(&cell.state.live).increment(&self.mint(), run.value()) {
            let entry = Entry { at, content: Content::Tally(tally) };
            changes.push(self.put_back(txn, open, id, entry, replaced.into_iter().collect())?);
        }
        Ok(changes)
    }

    fn put_back(
        &mut self,
        txn: &mut Txn<'_>,
        open: &mut OpenKey,
        id: &CellId,
        entry: Entry,
        seen: Context,
    ) -> Result<Change, StoreError> {
        let mut cell = self.load_lossy(txn, open, id.clone())?;
        let place = Place::Cell(open.key.clone(), id.clone());
        let change = Change { place, dot: self.mint(), entry: Some(entry), seen };
        self.apply_to_cell(txn, open, &mut cell, &change);
        self.store_cell(txn, open, cell);
        Ok(change)
    }
}
