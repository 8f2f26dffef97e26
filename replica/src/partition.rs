//! One partition at one node: the cells under one clock (design: "a partition is a map of keys under one clock").
//!
//! State: the clock `K` (every event whose whole effect is incorporated), residual contexts `X` (dots removed
//! here without being in `K`) on three levels, and the cells' live dots `L`. A cell's logical context is
//! `K + X_partition + X_key + X_cell`, and its own live dots.
//!
//! Invariants: clock and cells change in one atomic batch; `K` advances only by own writes, received changes and
//! completed sync batches or streams; whoever has a dot in `K` has removed everything the dot's author had seen.
//!
//! (Gonçalves, Almeida, Baquero, Fonte: *Concise Server-Wide Causality Management for Eventually Consistent Data
//! Stores*, 2015; *DottedDB*, 2017 - here with deltas, removals that mint, and streams.)

mod ends;
mod incorporate;
mod inspect;
mod keys;
mod log;
mod lost;
mod map;
mod noted;
mod order;
mod stability;
mod stream;
mod sync;
mod verify;
mod write;

pub(crate) use incorporate::Joined;
pub use incorporate::MergeNote;
pub(crate) use inspect::KeyView;
pub use keys::{Keys, Start, VisitCell};
pub use noted::{Noted, WriteNote};
pub(crate) use order::Budget;
pub(crate) use sync::Backlog;
pub(crate) use write::Order;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::digest;
use crate::id::{Actor, Context, Dot, Incarnation, NodeId, PartitionId};
use crate::message::ClockNote;
use crate::pack::{Names, key as pack};
use crate::place::{CellId, CellKind, Place};
use crate::record::{self, CellState, DotTable, KeyRecord, Meta};
use crate::store::{BatchSeq, Store, StoreError, Txn};
use ends::Ends;
use log::Log;
use lost::Lost;
use order::{Orders, Stand};
use stability::Stability;
use stream::Inbound;
pub(crate) use verify::NO_QUESTION;
use verify::Sums;

/// What another replica has said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// The last clock it told: durable there.
    pub(crate) clock: Context,
    /// Has it said so since the picture of the cluster last changed?
    pub(crate) is_fresh: bool,
    /// Did it count this node among the replicas by then?
    pub(crate) counts_me: bool,
    /// Which decisions it lived by then, and did it serve by them?
    pub(crate) placement: u64,
    pub(crate) serves: bool,
    /// The last clock it was told, and by which decisions.
    pub(crate) told: Option<(u64, Context)>,
    /// If it held nothing by then: how many events it had minted here in that run.
    retired: Option<u64>,
}

impl Peer {
    /// May others rely on that it holds what it has told: did it serve the partition by the decisions that hold here?
    pub(crate) fn serves_by(&self, placement: u64) -> bool {
        self.serves && self.placement == placement
    }
}

/// What the picture of the cluster says of a partition.
pub(crate) struct Picture {
    /// The other replicas.
    pub(crate) others: Vec<NodeId>,
    /// Former owners, this node not among them.
    pub(crate) former: Vec<NodeId>,
    /// Is this node a replica?
    pub(crate) is_replica: bool,
    /// Who there is.
    pub(crate) roster: Arc<Roster>,
}

/// Who there is in the cluster, as far as is known here.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// Every node that counts, this one among them, with its run.
    pub(crate) runs: BTreeMap<NodeId, Incarnation>,
    /// Those that were replaced or removed.
    pub(crate) gone: BTreeSet<NodeId>,
}

impl Roster {
    /// Has the actor started again, or gone for good? Then nothing is taken from it directly any more.
    pub(crate) fn has_fenced(&self, actor: &Actor) -> bool {
        self.gone.contains(&actor.node) || self.runs.get(&actor.node).is_some_and(|run| *run > actor.incarnation)
    }
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    me: Actor,
    /// About how much one answer to a pull or a stream carries.
    pub(crate) answer_bytes: usize,
    pub(crate) cell_bytes: u64,
    pub(crate) state_bytes: usize,
    meta: Meta,
    /// Who the numbers in its records are.
    names: Names,
    /// The other replicas: owners, and those that are being filled.
    others: Vec<NodeId>,
    /// Former owners that have not dropped their data yet, and may still bring events.
    former: Vec<NodeId>,
    /// Is this node a replica? Otherwise what it has it keeps for those that are.
    is_replica: bool,
    pub(crate) roster: Arc<Roster>,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    stability: Stability,
    log: Log,
    lost: Lost,
    sums: Sums,
    inbound: Option<Inbound>,
    /// Has a stream begun since it was last known to be complete? Then it must not count in reads.
    incomplete: bool,
    /// What was joined into cells without being counted in: some of it may be ahead of the clock.
    pub(crate) ahead: Context,
    /// Whom it has asked for what it lacks, and when.
    asked: Option<(NodeId, u64)>,
    /// Could there be records here although nothing is held: what a stream or a repair brought before this node ceased to own?
    debris: bool,
    /// May there be residuals that the clock has caught up with?
    strip_due: bool,
    /// No key ends before this.
    next_ending_ms: Option<u64>,
    /// Where lists begin and end.
    ends: RefCell<Ends>,
    /// Who stands where in large keys.
    orders: RefCell<Orders>,
    /// The last batch that changed anything here: what reads depend on.
    pub(crate) last_batch: BatchSeq,
    dirty: bool,
    nothing: Context,
}

/// A key being changed: its record, and what it was like before.
pub(crate) struct OpenKey {
    key: Vec<u8>,
    record: KeyRecord,
    stored: bool,
    was_present: bool,
    /// Its digest when it was opened.
    digest: u64,
    /// How many bytes more it takes now than then, with its cells.
    grown: i64,
}

impl OpenKey {
    /// One whose record cannot be read.
    fn damaged(key: &[u8]) -> Self {
        let record = KeyRecord::default();
        // That it was present is as good a guess as any: the count of keys is one too high or one too low.
        Self { key: key.to_vec(), record, stored: true, was_present: true, digest: 0, grown: 0 }
    }
}

/// A cell being changed.
pub(crate) struct OpenCell {
    id: CellId,
    pub(crate) state: CellState,
    stored: bool,
    was_present: bool,
    digest: u64,
    /// What its record took when it was loaded.
    bytes: i64,
    /// When it ended the key, if it is a deadline.
    deadline_ms: Option<u64>,
    /// Where it stood, if the order of the key is kept.
    stood: Stand,
}

impl OpenCell {
    /// One that is not there.
    fn absent(id: CellId) -> Self {
        let state = CellState::default();
        let (digest, bytes, deadline_ms, stood) = (0, 0, None, Stand::Unknown);
        Self { id, state, stored: false, was_present: false, digest, bytes, deadline_ms, stood }
    }
}

/// What a record takes.
fn size_of(path: &[u8], record: &[u8]) -> i64 {
    i64::try_from(path.len() + record.len()).unwrap_or(i64::MAX)
}

impl Partition {
    pub(crate) fn load(id: PartitionId, me: Actor, store: &dyn Store) -> Result<Self, StoreError> {
        let (names, meta) = Self::load_meta(id, &Txn::new(store, BTreeMap::new()))?;
        Ok(Self {
            id,
            me,
            answer_bytes: usize::MAX,
            cell_bytes: u64::MAX,
            state_bytes: usize::MAX,
            meta,
            names,
            others: Vec::new(),
            peers: BTreeMap::new(),
            stability: Stability::default(),
            log: Log::default(),
            lost: Lost::default(),
            sums: Sums::default(),
            inbound: None,
            asked: None,
            incomplete: false,
            ahead: Context::new(),
            former: Vec::new(),
            is_replica: true,
            roster: Arc::default(),
            strip_due: true,
            next_ending_ms: Some(0),
            ends: RefCell::default(),
            orders: RefCell::default(),
            debris: true,
            last_batch: BatchSeq::default(),
            dirty: false,
            nothing: Context::new(),
        })
    }

    fn load_meta(id: PartitionId, txn: &Txn<'_>) -> Result<(Names, Meta), StoreError> {
        let (prefix, mut actors, mut damaged) = (record::names(id), Vec::new(), None);
        txn.scan(&prefix, &prefix, &mut |path, actor| {
            let expected = record::name(id, actors.len() as u32);
            match record::decode::<Actor>(actor) {
                Ok(actor) if path == expected => actors.push(actor),
                Ok(_) => damaged = Some(StoreError(format!("partition {id}: actor {} is missing", actors.len()))),
                Err(error) => damaged = Some(error),
            }
            if damaged.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let names = damaged.map_or(Ok(Names::known(actors)), Err)?;
        let meta = txn.get(&record::meta(id))?;
        let meta = meta.map_or(Ok(Meta::default()), |bytes| pack::unpack_meta(&bytes, &names))?;
        Ok((names, meta))
    }

    /// Keeps orders of large keys within what is left of a budget.
    pub(crate) fn keep_orders_within(&mut self, budget: Budget) {
        self.orders.get_mut().within(budget);
    }

    /// The event that is being handled has changed nothing after all: orders may have.
    pub(crate) fn forget_touched_orders(&mut self) {
        self.orders.get_mut().forget_touched();
    }

    /// A round has passed.
    pub(crate) fn age_orders(&mut self) {
        self.orders.get_mut().age();
    }

    /// Mints under a new incarnation from now on.
    pub(crate) fn become_actor(&mut self, me: Actor) {
        self.me = me;
        self.meta.minted = 0;
    }

    pub(crate) fn set_picture(&mut self, picture: Picture) {
        let Picture { others, former, is_replica, roster } = picture;
        self.peers.retain(|node, _| roster.runs.contains_key(node));
        for (node, peer) in &mut self.peers {
            peer.is_fresh = false;
            // What an earlier run had minted says nothing of this one.
            peer.retired = peer.retired.filter(|_| roster.runs.get(node) == self.roster.runs.get(node));
        }
        (self.others, self.former, self.is_replica, self.roster) = (others, former, is_replica, roster);
    }

    /// Notes that it holds so much for owners that did not answer.
    pub(crate) fn count_standing(&mut self, bytes: u64) {
        self.meta.standing_bytes += bytes;
        self.dirty = true;
    }

    /// How much it holds, about, for owners that did not answer.
    pub(crate) fn standing_bytes(&self) -> u64 {
        if self.is_replica { 0 } else { self.meta.standing_bytes }
    }

    /// Nodes that are no replicas, and by their last word hold something for those that are.
    pub(crate) fn visitors(&self) -> impl Iterator<Item = NodeId> + '_ {
        let holds = |(node, peer): &(&NodeId, &Peer)| !self.others.contains(node) && !peer.clock.is_empty();
        self.peers.iter().filter(holds).map(|(node, _)| *node)
    }

    /// What it tells with its clock if it holds nothing.
    pub(crate) fn retired(&self) -> Option<u64> {
        (!self.holds_anything()).then(|| self.minted())
    }

    pub(crate) fn clock(&self) -> &Context {
        &self.meta.clock
    }

    pub(crate) fn live_keys(&self) -> u64 {
        self.meta.live_keys
    }

    /// Nobody else has or will have this data: no event can arrive from elsewhere.
    fn is_alone(&self) -> bool {
        self.others.is_empty() && self.roster.runs.len() < 2
    }

    /// Does this node own it, or will it? Otherwise what it has it keeps for those that do.
    pub(crate) fn is_replica(&self) -> bool {
        self.is_replica
    }

    pub(crate) fn is_filling(&self) -> bool {
        self.incomplete
    }

    pub(crate) fn holds_anything(&self) -> bool {
        !self.meta.clock.is_empty() || !self.meta.residual.is_empty()
    }

    /// How many events this actor has minted here.
    pub(crate) fn minted(&self) -> u64 {
        self.meta.minted.max(self.meta.clock.max(&self.me))
    }

    /// Does somebody know more of this actor than it does itself? Then it has lost its memory.
    pub(crate) fn is_amnesia(&self, theirs: &Context) -> bool {
        theirs.max(&self.me) > self.minted()
    }

    fn mint(&self) -> Dot {
        Dot::new(self.me, self.minted() + 1)
    }

    /// Takes note of a clock another replica has told.
    pub(crate) fn hear(&mut self, from: NodeId, clock: Context, note: ClockNote) {
        let peer = self.peers.entry(from).or_default();
        (peer.clock, peer.is_fresh) = (clock, true);
        (peer.counts_me, peer.retired) = (note.counts_you, note.retired);
        (peer.placement, peer.serves) = (note.placement, note.serves);
    }

    /// Is there something to drop when this node is no replica?
    pub(crate) fn has_debris(&self) -> bool {
        self.debris
    }

    /// Could some residual be behind the clock by now?
    pub(crate) fn may_strip(&self) -> bool {
        self.strip_due
    }

    pub(crate) fn residual(&self) -> &Context {
        &self.meta.residual
    }

    /// Notes that `node` was asked for what is missing here.
    pub(crate) fn ask(&mut self, node: NodeId, now_ms: u64) {
        self.asked = Some((node, now_ms));
    }

    pub(crate) fn answered(&mut self, by: NodeId) {
        self.asked = self.asked.filter(|(node, _)| *node != by);
    }

    pub(crate) fn is_asking_anybody(&self) -> bool {
        self.asked.is_some()
    }

    pub(crate) fn is_asking(&self, node: NodeId) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == node)
    }

    /// Has caught up with another owner: it counts in reads again.
    pub(crate) fn is_complete(&mut self) {
        self.incomplete = false;
    }

    pub(crate) fn expire_questions(&mut self, now_ms: u64, after_ms: u64) {
        self.asked = self.asked.filter(|(_, at_ms)| now_ms.saturating_sub(*at_ms) < after_ms);
    }

    /// Has the event being handled changed anything yet?
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Goes back to what the store has, after an event that failed half-way.
    pub(crate) fn forget_changes(&mut self, txn: &Txn<'_>) -> Result<(), StoreError> {
        (self.names, self.meta) = Self::load_meta(self.id, txn)?;
        (self.stability, self.log, self.lost) = (Stability::default(), Log::default(), Lost::default());
        (self.inbound, self.asked, self.dirty) = (None, None, false);
        self.sums.forget();
        self.ends.get_mut().clear();
        self.orders.get_mut().forget_touched();
        self.next_ending_ms = Some(0);
        Ok(())
    }

    // Keys and cells

    pub(crate) fn open(&self, txn: &Txn<'_>, key: &[u8]) -> Result<OpenKey, StoreError> {
        self.opened(txn, key)?
    }

    /// What is stored of a key; an error of its own if that does not decode.
    fn opened(&self, txn: &Txn<'_>, key: &[u8]) -> Result<Result<OpenKey, StoreError>, StoreError> {
        let path = record::key_record(self.id, key);
        let stored = txn.get(&path)?;
        let bytes = stored.as_ref().map_or(0, |record| size_of(&path, record));
        let record = stored.map(|bytes| pack::unpack(&bytes, &self.names)).transpose();
        Ok(record.map(|record| {
            let (stored, record) = (record.is_some(), record.unwrap_or_default());
            let (was_present, digest) = (record.is_present(), record.digest);
            OpenKey { key: key.to_vec(), was_present, digest, record, stored, grown: -bytes }
        }))
    }

    /// As [`open`](Self::open); a record that does not decode counts as lost, where others may have what it held.
    pub(crate) fn open_lossy(&self, txn: &Txn<'_>, key: &[u8]) -> Result<OpenKey, StoreError> {
        match self.opened(txn, key)? {
            Err(_) if !self.is_alone() => Ok(OpenKey::damaged(key)),
            opened => opened,
        }
    }

    /// As [`load_cell`](Self::load_cell); a record that does not decode counts as lost, where others may have what it held.
    pub(crate) fn load_lossy(&self, txn: &Txn<'_>, open: &OpenKey, id: CellId) -> Result<OpenCell, StoreError> {
        let loaded = self.load_cell(txn, open, id.clone());
        if loaded.is_ok() || id.kind == CellKind::Value || self.is_alone() {
            return loaded;
        }
        let path = record::cell(self.id, &open.key, &id);
        match txn.get(&path)? {
            Some(record) if pack::unpack_cell(&record, &self.names).is_err() => {
                Ok(OpenCell { stored: true, bytes: size_of(&path, &record), ..OpenCell::absent(id) })
            }
            _ => loaded,
        }
    }

    pub(crate) fn close(&mut self, txn: &mut Txn<'_>, mut open: OpenKey) {
        open.record.residual = self.to_remember(&open.record.residual);
        if !open.record.residual.is_empty() {
            self.note_residual(txn, &open.key, None, &open.record.residual);
        }
        match (open.was_present, open.record.is_present()) {
            (false, true) => self.meta.live_keys += 1,
            (true, false) => self.meta.live_keys = self.meta.live_keys.saturating_sub(1),
            _ => {}
        }
        let path = record::key_record(self.id, &open.key);
        let present = (open.was_present, open.record.is_present());
        let record = (!open.record.is_nothing()).then(|| pack::pack(&open.record, &mut self.names));
        let grown = open.grown + record.as_ref().map_or(0, |record| size_of(&path, record));
        self.sums.replace(&path, &open.key, (open.digest, open.record.digest), present, grown);
        match record {
            Some(record) => txn.put(path, record),
            None if open.stored => txn.remove(path),
            None => {}
        }
        self.dirty = true;
    }

    /// A cell that has a record of its own, if it is there, and what that takes.
    fn stored_cell(&self, txn: &Txn<'_>, open: &OpenKey, id: &CellId) -> Result<Option<(CellState, i64)>, StoreError> {
        if id.kind == CellKind::Deadline && !open.record.has_deadline {
            return Ok(None);
        }
        let path = record::cell(self.id, &open.key, id);
        let Some(record) = txn.get(&path)? else { return Ok(None) };
        Ok(Some((pack::unpack_cell(&record, &self.names)?, size_of(&path, &record))))
    }

    pub(crate) fn load_cell(&self, txn: &Txn<'_>, open: &OpenKey, id: CellId) -> Result<OpenCell, StoreError> {
        let stored = match id.kind {
            CellKind::Value => Some((open.record.value.clone(), 0)),
            _ => self.stored_cell(txn, open, &id)?,
        };
        let (stored, (state, bytes)) = (stored.is_some(), stored.unwrap_or_default());
        let (was_present, digest) = (crdt::reading::is_present(&state.live), digest::of_cell(&id, &state.live));
        let deadline_ms = if id.kind == CellKind::Deadline { state.deadline_ms() } else { None };
        let is_ordered = self.orders.borrow().has(&open.key, id.kind);
        let stood = if is_ordered { Stand::of(id.kind, &state.live) } else { Stand::Unknown };
        Ok(OpenCell { id, state, stored, was_present, digest, bytes, deadline_ms, stood })
    }

    pub(crate) fn store_cell(&mut self, txn: &mut Txn<'_>, open: &mut OpenKey, mut cell: OpenCell) {
        cell.state.residual = self.to_remember(&cell.state.residual);
        if !cell.state.residual.is_empty() {
            self.note_residual(txn, &open.key, Some(&cell.id), &cell.state.residual);
        }
        let present = crdt::reading::is_present(&cell.state.live);
        open.record.digest ^= cell.digest ^ digest::of_cell(&cell.id, &cell.state.live);
        if cell.id.kind == CellKind::Value {
            open.record.value = cell.state;
            return;
        }
        if let Some(count) = open.record.counts.of_mut(cell.id.kind) {
            *count = (*count + u64::from(present)).saturating_sub(u64::from(cell.was_present));
        }
        let keep = !cell.state.is_nothing();
        if present && cell.id.kind.has_ends() {
            self.ends.get_mut().add(&open.key, cell.id.kind, &cell.id.name);
        }
        if self.orders.get_mut().may_have(&open.key) {
            let stands = Stand::of(cell.id.kind, &cell.state.live);
            self.orders.get_mut().moved(&open.key, cell.id.kind, &cell.id.name, cell.stood, stands);
        }
        if cell.id.kind == CellKind::Deadline {
            open.record.has_deadline = keep;
            self.note_ending(txn, &open.key, cell.deadline_ms, cell.state.deadline_ms());
        }
        open.record.cells = (open.record.cells + u64::from(keep)).saturating_sub(u64::from(cell.stored));
        let path = record::cell(self.id, &open.key, &cell.id);
        open.grown -= cell.bytes;
        match (keep, cell.stored) {
            (true, _) => {
                let record = pack::pack_cell(&cell.state, &mut self.names);
                open.grown += size_of(&path, &record);
                txn.put(path, record);
            }
            (false, true) => txn.remove(path),
            (false, false) => {}
        }
    }

    /// Keeps the list of keys that end in step with their deadlines.
    fn note_ending(&mut self, txn: &mut Txn<'_>, key: &[u8], before_ms: Option<u64>, now_ms: Option<u64>) {
        if before_ms != now_ms {
            before_ms.into_iter().for_each(|at_ms| txn.remove(record::ending(self.id, at_ms, key)));
            now_ms.into_iter().for_each(|at_ms| txn.put(record::ending(self.id, at_ms, key), Vec::new()));
            self.next_ending_ms = self.next_ending_ms.into_iter().chain(now_ms).min();
        }
    }

    /// Does it know, by a word of since the picture last changed, whatever that replica knows?
    pub(crate) fn knows_all_of(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.is_fresh && self.meta.clock.covers(&peer.clock))
    }

    /// Is there perhaps a key that has ended?
    pub(crate) fn may_end(&self, now_ms: u64) -> bool {
        self.next_ending_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Up to so many of the keys that have ended. What the list of them has beyond that is set right.
    pub(crate) fn ended(&mut self, txn: &mut Txn<'_>, now_ms: u64, count: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let (mut listed, mut next, prefix) = (Vec::new(), Ok(None), record::endings(self.id));
        txn.scan(&prefix, &prefix, &mut |path, _| match record::ending_in(path) {
            Ok((at_ms, key)) if at_ms <= now_ms && listed.len() < count => {
                listed.push((at_ms, key.to_vec()));
                ControlFlow::Continue(())
            }
            Ok((at_ms, _)) => {
                next = Ok(Some(at_ms));
                ControlFlow::Break(())
            }
            Err(error) => {
                next = Err(error);
                ControlFlow::Break(())
            }
        })?;
        self.next_ending_ms = next?;
        let mut keys = Vec::new();
        for (at_ms, key) in listed {
            // A deadline that could not be read when it was replaced may have left a stale entry.
            let open = self.open(txn, &key)?;
            if self.deadline_ms(txn, &open)? == Some(at_ms) {
                keys.push(key);
            } else {
                txn.remove(record::ending(self.id, at_ms, &key));
                self.dirty = true;
            }
        }
        Ok(keys)
    }

    /// When the key ends, if it does.
    pub(crate) fn deadline_ms(&self, txn: &Txn<'_>, open: &OpenKey) -> Result<Option<u64>, StoreError> {
        if !open.record.has_deadline {
            return Ok(None);
        }
        Ok(self.load_cell(txn, open, CellId::deadline())?.deadline_ms)
    }

    /// The ids of all stored cells of a key, the value's first if it has anything.
    pub(crate) fn cell_ids(&self, txn: &Txn<'_>, open: &OpenKey) -> Result<Vec<CellId>, StoreError> {
        let mut ids = Vec::new();
        if !open.record.value.is_nothing() {
            ids.push(CellId::value());
        }
        if open.record.cells > 0 {
            let prefix = record::cells(self.id, &open.key);
            let mut damaged = None;
            txn.scan(&prefix, &prefix, &mut |path, _| match record::cell_in(path) {
                Ok(id) => {
                    ids.push(id);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    damaged = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            damaged.map_or(Ok(()), Err)?;
        }
        Ok(ids)
    }

    /// The keys that have any record, in the partition's order.
    fn keys(&self, txn: &Txn<'_>) -> Result<Vec<Vec<u8>>, StoreError> {
        let prefix = record::keys(self.id);
        let (mut keys, mut damaged) = (Vec::new(), None);
        txn.scan(&prefix, &prefix, &mut |path, _| match record::key_in(path) {
            Ok(key) => {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            }
            Err(error) => {
                damaged = Some(error);
                ControlFlow::Break(())
            }
        })?;
        damaged.map_or(Ok(keys), Err)
    }

    /// A cell's logical context in parts: ask it with [`causal::EventSet::contains`].
    fn context_of<'a>(&'a self, open: &'a OpenKey, cell: &'a OpenCell) -> [&'a Context; 6] {
        let (floor, floor_residual) = match &self.inbound {
            Some(inbound) if inbound.has_passed(self.id, &open.key, &cell.id) => {
                (&inbound.floor, &inbound.floor_residual)
            }
            _ => (&self.nothing, &self.nothing),
        };
        [&self.meta.clock, &self.meta.residual, &open.record.residual, &cell.state.residual, floor, floor_residual]
    }

    fn has_seen(&self, open: &OpenKey, cell: &OpenCell, dot: &Dot) -> bool {
        self.context_of(open, cell).iter().any(|context| context.contains(dot))
    }

    /// Counts the event as incorporated, and remembers what it touched until every replica has it.
    fn count_in(&mut self, txn: &mut Txn<'_>, dot: Dot, place: &Place) {
        self.meta.clock.insert(dot);
        self.dirty = true;
        if !self.is_alone() {
            self.log(txn, dot, place);
        }
    }

    /// Puts the partition's own record beside whatever the event changed: clock and cells in one batch.
    pub(crate) fn seal(&mut self, txn: &mut Txn<'_>) {
        self.orders.get_mut().settle();
        if std::mem::take(&mut self.dirty) {
            self.meta.residual = self.meta.residual.minus(&self.meta.clock);
            txn.put(record::meta(self.id), pack::pack_meta(&self.meta, &mut self.names));
            for (number, actor) in self.names.take_fresh() {
                txn.put(record::name(self.id, number), record::encode(&actor));
            }
        }
    }

    /// Removes every record, keeping only how much was minted: a later life here goes on from there.
    pub(crate) fn drop_all(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let tables = [record::keys(self.id), record::cells_of_all(self.id), record::residuals(self.id)];
        let tables = tables.into_iter().chain([record::names(self.id), record::endings(self.id)]);
        for prefix in tables.chain([DotTable::Log.all(self.id), DotTable::Resets.all(self.id)]) {
            let mut paths = Vec::new();
            txn.scan(&prefix, &prefix, &mut |path, _| {
                paths.push(path.to_vec());
                ControlFlow::Continue(())
            })?;
            self.dirty |= !paths.is_empty();
            paths.into_iter().for_each(|path| txn.remove(path));
        }
        self.dirty |= self.holds_anything();
        (self.names, self.meta) = (Names::default(), Meta { minted: self.minted(), ..Meta::default() });
        (self.stability, self.log, self.lost) = (Stability::default(), Log::default(), Lost::default());
        (self.inbound, self.asked) = (None, None);
        self.sums = Sums::default();
        self.ends.get_mut().clear();
        self.orders.get_mut().clear();
        (self.debris, self.incomplete, self.ahead) = (false, false, Context::new());
        Ok(())
    }
}
