//! The replica core: one share of a node's partitions, driven by events.

mod coordinate;
mod entropy;
mod formers;
mod replicate;
mod streams;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causal::{Hlc, HybridClock};

use crate::id::{Actor, Context, Incarnation, NodeId, PARTITIONS, PartitionId};
use crate::layout::View;
use crate::message::{Message, Ticket};
use crate::operation::{Answer, Failure, OwnerReport, Request};
use crate::partition::{Budget, Joined, MergeNote, Partition, Picture, Roster};
use crate::place::CellId;
use crate::procedure::{NoProcedures, Procedures};
use crate::quorum::{Medium, Part};
use crate::record::CellState;
use crate::store::{Batch, BatchSeq, Edits, Store, StoreError, Txn};
use coordinate::{Bringing, Hedges, Parked, Pending};
use formers::Formers;
use streams::Streams;
use verify::Scrubbing;

/// How often [`Event::Tick`] must come.
pub const TICK_MS: u64 = 100;
/// A partition is compared with its other replicas once in so many ticks.
const TICKS_PER_ROUND: u64 = 10;
/// Clock readings further ahead than this are not followed.
const MAX_DRIFT_MS: u64 = 60_000;

/// Both clocks of the shell, read once per event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some start, never going back: for deadlines.
    pub mono_ms: u64,
    /// Milliseconds since 1970, as the machine believes: for hybrid clock readings.
    pub wall_ms: u64,
}

/// A client's request, as the shell knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// When a write counts as held by this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once its batch is flushed.
    Flushed,
    /// At once; what other nodes rely on still waits for the flush.
    Applied,
    /// At once, and for as long as the node runs: it has no disk, and nobody is told that anything is on one.
    Volatile,
}

/// What the shell decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When a write counts.
    pub durability: Durability,
    /// After how long a request fails for want of owners.
    pub timeout_ms: u64,
    /// About how much one anti-entropy answer carries; a single cell is never cut.
    pub answer_bytes: usize,
    /// How much the siblings of a cell may come to, together: each owner's must fit one message with those of the others.
    pub cell_bytes: u64,
    /// The greatest state of a key that is sent for a read.
    pub state_bytes: usize,
    /// About how much this core keeps for owners that do not answer; beyond that it does not stand in.
    pub stand_in_bytes: u64,
    /// About how large the logs of this core's partitions are together while owners are away; those are streamed the partitions then.
    pub log_bytes: u64,
    /// How much is streamed per second to those that are being filled.
    pub stream_bytes_per_s: u64,
    /// How much a scrub reads per second.
    pub scrub_bytes_per_s: u64,
    /// How long it rests when it has read everything.
    pub scrub_every_ms: u64,
    /// How often two replicas compare their sums, at most.
    pub verify_every_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Flushed,
            timeout_ms: 2_000,
            answer_bytes: 256 * 1024,
            cell_bytes: 48 * 1024 * 1024,
            state_bytes: 32 * 1024 * 1024,
            stand_in_bytes: 256 * 1024 * 1024,
            log_bytes: 256 * 1024 * 1024,
            stream_bytes_per_s: 128 * 1024 * 1024,
            scrub_bytes_per_s: 4 * 1024 * 1024,
            scrub_every_ms: 24 * 60 * 60 * 1_000,
            verify_every_ms: 10_000,
        }
    }
}

/// What happens to a core.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once; a box would cost each message an allocation")]
pub enum Event {
    /// A client asks.
    Client(RequestId, Request),
    /// Another node says something.
    Peer(NodeId, Message),
    /// Every batch up to this one is on disk.
    Flushed(BatchSeq),
    /// [`TICK_MS`] have passed.
    Tick,
    /// The time that [`Core::due_ms`] named has come.
    Due,
    /// The picture of the cluster has changed.
    View(Arc<View>),
    /// Mint under this incarnation from now on; it is on disk.
    Reincarnate(Incarnation),
    /// Read everything once, from now on, within the budget.
    Scrub,
}

/// What a core wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this atomically; it is visible to the next event, and flushed sometime: say so then.
    Write(Batch),
    /// Send this. It may get lost.
    Send(NodeId, Message),
    /// Answer a client.
    Answer(RequestId, Answer),
    /// A merge changed something.
    Merged(MergeReport),
    /// This node holds everything of the partition now, by the decisions that [`View::placement`] names: if others hold by
    /// now, it means nothing.
    Filled(PartitionId, u64),
    /// This node holds nothing of the partition any more.
    Dropped(PartitionId),
    /// Another node knows more of this node's writes than it does itself: its disk is an old copy. Nothing is
    /// written until a new incarnation is given.
    Amnesia,
    /// Something that must not happen, did; nothing was lost by it here. For the operator.
    Alarm(String),
}

/// A merge, with where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeReport {
    /// The node whose state or event was merged.
    pub from: NodeId,
    /// What changed.
    pub note: MergeNote,
}

/// Everything one replica of a partition has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its clock.
    pub clock: Context,
    /// Its partition-wide residual.
    pub residual: Context,
    /// Its cells, by key.
    pub cells: BTreeMap<(Vec<u8>, CellId), CellState>,
}

/// What waits for a batch to be flushed.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once into its queue and once out; a box would cost more")]
enum Held {
    Action(Action),
    /// This node holds the write, too.
    OwnWrite(Ticket, Medium),
    /// Where this node stands itself.
    OwnReport(Ticket, Box<OwnerReport>),
}

/// What something has to wait for.
#[derive(Clone, Copy)]
enum Until {
    /// The promise made to clients and coordinators.
    Promised(BatchSeq),
    /// The disk: what others will rely on for good.
    OnDisk(BatchSeq),
}

/// One share of a node's partitions.
#[derive(Debug)]
pub struct Core {
    me: Actor,
    settings: Settings,
    view: Option<Arc<View>>,
    partitions: Vec<Option<Box<Partition>>>,
    pending: BTreeMap<Ticket, Pending>,
    hedges: Hedges,
    parked: BTreeMap<PartitionId, Vec<Parked>>,
    bringing: BTreeMap<PartitionId, Vec<Bringing>>,
    next_ticket: u64,
    held: BTreeMap<BatchSeq, Vec<Held>>,
    last_batch: BatchSeq,
    flushed: BatchSeq,
    hlc: HybridClock,
    ticks: u64,
    round_due: bool,
    amnesia: bool,
    /// Partitions that it would serve after it had lost them, or perhaps, and of which nobody has heard yet that it has to be
    /// filled.
    returning: BTreeSet<PartitionId>,
    scrubbing: Scrubbing,
    streams: Streams,
    formers: Formers,
    logs_are_too_large: bool,
    procedures: Arc<dyn Procedures>,
}

impl Core {
    /// A core for the given partitions, as the store has them.
    ///
    /// # Errors
    /// [`StoreError`] if a partition's record cannot be read.
    pub fn new(
        me: Actor,
        settings: Settings,
        share: impl Iterator<Item = PartitionId>,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let (mut partitions, orders): (Vec<_>, _) = ((0..PARTITIONS).map(|_| None).collect(), Budget::default());
        for id in share {
            let mut partition = Partition::load(id, me, store)?;
            partition.answer_bytes = settings.answer_bytes;
            partition.cell_bytes = settings.cell_bytes;
            partition.state_bytes = settings.state_bytes;
            partition.keep_orders_within(orders.clone());
            partitions[usize::from(id.number())] = Some(Box::new(partition));
        }
        Ok(Self {
            me,
            settings,
            view: None,
            partitions,
            pending: BTreeMap::new(),
            hedges: Hedges::default(),
            parked: BTreeMap::new(),
            bringing: BTreeMap::new(),
            // Answers to an earlier run's questions must not look like answers to this one's.
            next_ticket: u64::from(me.incarnation.0) << 32,
            held: BTreeMap::new(),
            last_batch: BatchSeq::default(),
            flushed: BatchSeq::default(),
            hlc: HybridClock::new(MAX_DRIFT_MS),
            ticks: 0,
            round_due: true,
            returning: BTreeSet::new(),
            scrubbing: Scrubbing::default(),
            streams: Streams::default(),
            formers: Formers::default(),
            logs_are_too_large: false,
            amnesia: false,
            procedures: Arc::new(NoProcedures),
        })
    }

    /// The same, with the application's own commands.
    #[must_use]
    pub fn with_procedures(self, procedures: Arc<dyn Procedures>) -> Self {
        Self { procedures, ..self }
    }

    /// Changes what the shell decides, from the next event on.
    pub fn set(&mut self, settings: Settings) {
        for partition in self.partitions.iter_mut().flatten() {
            (partition.cell_bytes, partition.state_bytes) = (settings.cell_bytes, settings.state_bytes);
        }
        self.settings = settings;
    }

    /// Handles one event.
    pub fn handle(&mut self, now: Now, event: Event, store: &dyn Store, out: &mut Vec<Action>) {
        let start = out.len();
        let mut step = Step { now, store, out, edits: Edits::new() };
        match event {
            Event::Client(id, request) => self.on_client(&mut step, id, request),
            Event::Peer(from, message) => {
                let partition = message.partition();
                self.on_peer(&mut step, from, message);
                self.resume(&mut step, partition);
            }
            Event::Flushed(seq) => self.on_flushed(&mut step, seq),
            Event::Tick => self.on_tick(&mut step),
            Event::Due => {}
            Event::View(view) => self.on_view(&mut step, view),
            Event::Scrub => self.scrub_now(),
            Event::Reincarnate(incarnation) => {
                self.me.incarnation = incarnation;
                self.amnesia = false;
                let me = self.me;
                self.partitions.iter_mut().flatten().for_each(|partition| partition.become_actor(me));
            }
        }
        if self.due_ms().is_some_and(|due_ms| due_ms <= now.mono_ms) {
            self.hedge(&mut step);
            self.send_streams(&mut step);
        }
        if !step.edits.is_empty() {
            let batch = Batch { seq: self.last_batch, edits: step.edits };
            step.out.insert(start, Action::Write(batch));
        }
    }

    /// When an [`Event::Due`] is wanted if nothing else happens before; otherwise it is not missed until the next
    /// [`Event::Tick`].
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        self.hedges.next_ms().into_iter().chain(self.streams.next_ms()).min()
    }

    /// What this node has of a partition: for comparing replicas in tests.
    ///
    /// # Errors
    /// [`StoreError`] if a record cannot be read.
    pub fn contents(&self, partition: PartitionId, store: &dyn Store) -> Result<Contents, StoreError> {
        match &self.partitions[usize::from(partition.number())] {
            Some(partition) => partition.contents(store),
            None => Ok(Contents::default()),
        }
    }

    /// Which partition the scrub reads; nothing while it rests.
    #[must_use]
    pub fn scrubs(&self) -> Option<u16> {
        self.scrubbing.at()
    }

    /// How many keys the partitions of this core have.
    #[must_use]
    pub fn live_keys(&self) -> u64 {
        self.partitions.iter().flatten().map(|partition| partition.live_keys()).sum()
    }

    fn on_flushed(&mut self, step: &mut Step<'_>, seq: BatchSeq) {
        self.flushed = self.flushed.max(seq);
        let later = self.held.split_off(&BatchSeq(seq.0 + 1));
        for held in std::mem::replace(&mut self.held, later).into_values().flatten() {
            match held {
                Held::Action(action) => step.out.push(action),
                Held::OwnWrite(ticket, medium) => self.on_held(step, self.me.node, ticket, medium, None),
                Held::OwnReport(ticket, report) => self.on_inspected(step, self.me.node, ticket, *report),
            }
        }
    }

    fn on_view(&mut self, step: &mut Step<'_>, view: Arc<View>) {
        let me = self.me.node;
        let runs: BTreeMap<_, _> = view.members.current().map(|(node, member)| (*node, member.incarnation)).collect();
        let gone = view.members.nodes.keys().filter(|node| !runs.contains_key(node)).copied().collect();
        let roster = Arc::new(Roster { runs, gone });
        for partition in self.partitions.iter_mut().flatten() {
            let replicas = view.replicas(partition.id);
            partition.set_picture(Picture {
                others: replicas.all().filter(|node| *node != me).collect(),
                former: replicas.former.iter().copied().filter(|node| *node != me).collect(),
                is_replica: replicas.contains(me),
                roster: Arc::clone(&roster),
            });
        }
        self.round_due = true;
        let before = self.view.replace(Arc::clone(&view));
        for partition in self.share().collect::<Vec<_>>() {
            let were = before.as_ref().map(|before| before.replicas(partition));
            self.formers.note(partition, were, view.replicas(partition), me);
        }
        self.formers.keep(|node| roster.runs.contains_key(node));
        let has_skipped = before.as_ref().is_some_and(|it| view.members.layouts.skip_some_of(&it.members.layouts));
        for partition in self.share().collect::<Vec<_>>() {
            let replicas = view.replicas(partition);
            let serves = replicas.serving.contains(&me);
            let had_lost = before.as_ref().is_some_and(|before| !before.replicas(partition).contains(me));
            if serves && (had_lost || has_skipped) {
                // It was not told of writes meanwhile, or perhaps not, and may have dropped what it had: whether it is to own the
                // partition or only serves until others are filled, it is filled like one that joins.
                self.returning.insert(partition);
                step.out.push(Action::Dropped(partition));
            } else if !serves {
                self.returning.remove(&partition);
            }
        }
        self.settle_pending(step);
        self.dispatch_parked(step);
    }

    fn on_peer(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) {
        self.hedges.heard(from);
        match message {
            Message::Forward(ticket, request) => self.on_forward(step, from, ticket, request, None),
            Message::ForwardRead(ticket, request, digest) => {
                self.on_forward(step, from, ticket, request, Some(digest));
            }
            Message::Forwarded(ticket, _, answer) => self.on_forwarded(step, ticket, answer),
            Message::Delta(ticket, partition, medium, changes) => {
                self.on_delta(step, from, ticket, partition, medium, &changes);
            }
            Message::DeltaHeld(ticket, _, medium) => self.on_held(step, from, ticket, medium, None),
            Message::HeldUnder(ticket, _, medium, placement) => {
                self.on_held(step, from, ticket, medium, Some(placement));
            }
            Message::DeltaRefused(ticket, _) => self.on_nothing(step, from, ticket),
            Message::Fetch(ticket, partition, key, read, digest) => {
                self.on_fetch(step, from, ticket, partition, &key.0, &read, digest);
            }
            Message::FetchedSame(ticket, _) => self.on_fetched(step, (from, Part::Owner), ticket, None),
            Message::FetchedState(ticket, _, state, clock) => {
                self.on_fetched(step, (from, Part::Owner), ticket, Some((*state, clock)));
            }
            Message::FetchedAside(ticket, _, state) => {
                self.on_fetched(step, (from, Part::StandIn), ticket, state.map(|it| *it));
            }
            Message::FetchedNothing(ticket, _) => self.on_nothing(step, from, ticket),
            Message::Inspect(ticket, partition, key) => {
                self.on_inspect(step, (from, ticket), partition, &key.0, Medium::Memory);
            }
            Message::InspectStored(ticket, partition, key) => {
                self.on_inspect(step, (from, ticket), partition, &key.0, Medium::Disk);
            }
            Message::Inspected(ticket, _, report) => self.on_inspected(step, from, ticket, *report),
            Message::Clock(partition, note, clock) => self.on_clock(step, from, partition, note, clock),
            Message::Verify(partition, comparison) => self.on_verify(step, from, partition, *comparison),
            Message::Close(partition, actor) => self.on_close(step, from, partition, actor),
            Message::Closed(partition, actor, dots) => {
                if let Some(slot) = self.partitions[usize::from(partition.number())].as_mut() {
                    slot.hear_closed(from, &actor, dots);
                }
            }
            Message::Pull(partition, clock) => self.on_pull(step, from, partition, &clock),
            Message::Missing(partition, missing) => self.on_missing(step, from, partition, *missing),
            Message::MustStream(partition) => self.on_must_stream(step, from, partition),
            Message::Stream(partition, after) => self.on_stream(step, from, partition, after),
            Message::Streamed(partition, range) => self.on_streamed(step, from, partition, &range),
        }
    }

    fn on_tick(&mut self, step: &mut Step<'_>) {
        self.ticks += 1;
        // First of all: a round does not see what was changed in the same event before it.
        let all = std::mem::take(&mut self.round_due);
        for number in 0..PARTITIONS {
            if all || u64::from(number) % TICKS_PER_ROUND == self.ticks % TICKS_PER_ROUND {
                self.round(step, number);
            }
        }
        self.expire(step);
        self.resume_all(step);
        if self.logs_are_too_large || self.ticks.is_multiple_of(TICKS_PER_ROUND) {
            self.bound_logs(step);
        }
        self.scrub(step);
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn has(&self, partition: PartitionId) -> bool {
        self.partitions[usize::from(partition.number())].is_some()
    }

    /// Runs `work` on a partition and adds what it changed to the event's batch. If it fails, nothing has changed.
    fn on_partition<R, E: From<StoreError>>(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        work: impl FnOnce(&mut Partition, &mut Txn<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let slot = self.partitions.get_mut(usize::from(partition.number())).and_then(Option::as_mut);
        let Some(slot) = slot else {
            return Err(StoreError(format!("partition {partition} is not kept by this core")).into());
        };
        // What the event has written so far is not in the store yet: it is read through the transaction.
        let before = step.edits.clone();
        let mut txn = Txn::new(step.store, std::mem::take(&mut step.edits));
        match work(slot, &mut txn) {
            Ok(result) => {
                slot.seal(&mut txn);
                step.edits = txn.into_edits();
                if before.is_empty() && !step.edits.is_empty() {
                    self.last_batch.0 += 1;
                }
                if step.edits.len() != before.len() || step.edits != before {
                    slot.last_batch = self.last_batch;
                }
                Ok(result)
            }
            // A request that was refused has changed nothing; a store that failed half-way may have.
            Err(error) if !slot.is_dirty() => {
                slot.forget_touched_orders();
                step.edits = before;
                Err(error)
            }
            Err(error) => {
                slot.forget_changes(&Txn::new(step.store, before.clone()))?;
                step.edits = before;
                Err(error)
            }
        }
    }

    /// The same where nobody waits for the outcome: a failing store is for the operator.
    fn quietly<R>(
        &mut self,
        step: &mut Step<'_>,
        partition: PartitionId,
        work: impl FnOnce(&mut Partition, &mut Txn<'_>) -> Result<R, StoreError>,
    ) -> Option<R> {
        match self.on_partition(step, partition, work) {
            Ok(result) => Some(result),
            Err(error) => {
                step.out.push(Action::Alarm(format!("partition {partition}: {error}")));
                None
            }
        }
    }

    /// The last batch that changed the partition.
    fn batch_of(&self, partition: PartitionId) -> BatchSeq {
        self.partitions[usize::from(partition.number())].as_ref().map_or(BatchSeq::default(), |p| p.last_batch)
    }

    fn release(&mut self, step: &mut Step<'_>, until: Until, action: Action) {
        match self.waits_for(until) {
            Some(seq) => self.held.entry(seq).or_default().push(Held::Action(action)),
            None => step.out.push(action),
        }
    }

    /// The batch that an answer about the partition has to wait for.
    fn waits_for_promise(&self, partition: PartitionId) -> Option<BatchSeq> {
        self.waits_for(Until::Promised(self.batch_of(partition)))
    }

    fn waits_for(&self, until: Until) -> Option<BatchSeq> {
        let seq = match (until, self.settings.durability) {
            (Until::Promised(_), Durability::Applied | Durability::Volatile) => return None,
            (Until::Promised(seq), Durability::Flushed) | (Until::OnDisk(seq), _) => seq,
        };
        (seq > self.flushed).then_some(seq)
    }

    fn report(&self, step: &mut Step<'_>, from: NodeId, joined: Joined) {
        let merged = joined.merges.into_iter().map(|note| Action::Merged(MergeReport { from, note }));
        step.out.extend(merged);
        if let Some(dot) = joined.double_spent {
            step.out.push(Action::Alarm(format!(
                "dot {dot} names two different writes: node {from} and this one disagree; its actor is in use twice"
            )));
        }
    }

    /// Clock readings of others are followed, so that what is written next is later than what was seen; one that is
    /// too far ahead is not.
    fn follow(&mut self, at: Hlc, wall_ms: u64) {
        let _too_far_ahead = self.hlc.observe(at, wall_ms);
    }

    /// What a promise to hold something is worth here, if it is asked to be there.
    fn promised(&self, asked: Medium) -> Medium {
        match self.settings.durability {
            Durability::Flushed => Medium::Disk,
            Durability::Applied => asked,
            Durability::Volatile => Medium::Memory,
        }
    }

    /// What is there of a key, so far as it is in this medium.
    fn told_of(&self, report: OwnerReport, medium: Medium) -> OwnerReport {
        let is_there = medium == Medium::Memory || self.settings.durability != Durability::Volatile;
        if is_there { report } else { OwnerReport::default() }
    }

    /// When this node may say that it holds a batch there.
    fn held_until(&self, medium: Medium, seq: BatchSeq) -> Until {
        if medium == Medium::Disk { Until::OnDisk(seq) } else { Until::Promised(seq) }
    }

    /// Is this node a replica of the partition, or will it be once it is filled?
    fn is_replica(&self, partition: PartitionId) -> bool {
        self.view.as_ref().is_some_and(|view| view.replicas(partition).contains(self.me.node))
    }

    /// Does this node keep as much for absent owners as it may?
    fn is_full(&self) -> bool {
        let standing: u64 = self.partitions.iter().flatten().map(|partition| partition.standing_bytes()).sum();
        standing >= self.settings.stand_in_bytes
    }
}

/// One event being handled: the clocks and the store it came with, the actions and the edits so far.
struct Step<'s> {
    now: Now,
    store: &'s dyn Store,
    out: &'s mut Vec<Action>,
    edits: Edits,
}

/// Who asked.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Client(RequestId),
    Node(NodeId, Ticket, PartitionId),
}

impl Origin {
    fn answer(self, answer: Answer) -> Action {
        match self {
            Origin::Client(id) => Action::Answer(id, answer),
            Origin::Node(node, ticket, partition) => {
                Action::Send(node, Message::Forwarded(ticket, partition, answer.into_sent()))
            }
        }
    }

    fn fail(self, failure: Failure) -> Action {
        self.answer(Answer::Failed(failure))
    }
}
