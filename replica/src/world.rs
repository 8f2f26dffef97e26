//! A whole cluster under one 64-bit seed, for testing what stands on this crate: nodes, network, disks and clients in one
//! queue of events, ordered by virtual time.
//!
//! The seed decides everything: what clients ask, how long every message takes, which are lost, doubled or overtaken, who is
//! cut off from whom, which node crashes with its unsynced writes, comes back with an old disk, joins. An [`Oracle`] that has
//! heard of every write says at the end what must be live, and nothing else may be; the [`Clients`] say whether what they
//! were told holds together.
//!
//! ```
//! use replica::world::{Clients, Dice, Plan, run};
//! use replica::{Answer, CellId, Contents, Operation, PartitionId, Request, RequestId, Write};
//!
//! /// Clients that count, and are told how far by nobody but the replicas.
//! #[derive(Default)]
//! struct Counting {
//!     asked: i64,
//! }
//!
//! impl Clients for Counting {
//!     fn next(&mut self, _: RequestId, _: &mut Dice, partition: PartitionId) -> Request {
//!         self.asked += 1;
//!         let operation = Operation::Write(Write::Increment(CellId::value(), 1));
//!         Request::new(partition, "n", operation)
//!     }
//!
//!     fn answered(&mut self, _: RequestId, _: &mut Dice, _: &Request, _: &Answer) {}
//!
//!     fn judge(&mut self, owners: &[Contents]) -> Option<String> {
//!         let cell = owners[0].cells.get(&(b"n".to_vec(), CellId::value()));
//!         let counted = cell.map_or(0, |cell| crdt::reading::tallies(&cell.live).value());
//!         (counted > self.asked).then(|| format!("{counted} of {} increments", self.asked))
//!     }
//! }
//!
//! let outcome = run(7, &Plan::default(), &mut Counting::default());
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome, run(7, &Plan::default(), &mut Counting::default()), "a seed replays exactly");
//! ```

mod dice;
mod disk;
mod oracle;

pub use dice::Dice;
pub use oracle::Oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::{
    Action, Actor, Answer, BEAT_MS, BatchSeq, Cluster, ClusterAction, Contents, Context, Core, DEFAULT_REPLICAS,
    Durability, Event, Gossip, Holder, Incarnation, LayoutChange, Medium, Member, Members, MemoryStore, Message,
    NodeId, Now, Operation, Part, PartitionId, PartitionSet, Place, Presence, Request, RequestId, Role, Settings,
    TICK_MS, Written,
};
use uuid::Uuid;

use disk::Disk;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long clients write and things break, in virtual milliseconds.
    pub troubled_ms: u64,
    /// How long the cluster then has to come to rest.
    pub calm_ms: u64,
    /// Nodes at the start.
    pub nodes: usize,
    /// Does another node join in the middle?
    pub join: bool,
    /// Do operators commit layouts, now and then several at once?
    pub layouts: bool,
    /// Does a record vanish from a disk without anybody being told, once everything has come to rest?
    pub rot: bool,
    /// Which guard is taken out, if any.
    pub sabotage: Option<Sabotage>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { troubled_ms: 12_000, calm_ms: 15_000, nodes: 3, join: false, layouts: false, rot: false, sabotage: None }
    }
}

/// A guard taken out, to see that the oracle notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A restarted node mints under its old incarnation.
    SameIncarnation,
    /// After a crash the clock is newer than the cells.
    ClockWithoutCells,
    /// Deltas do not carry what their author had seen.
    DeltaWithoutPast,
    /// Writes are acknowledged before they are flushed.
    AnswerUnflushed,
    /// Nodes claim to hold what others hold.
    LyingClocks,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What must not happen and did.
    pub violation: Option<String>,
    /// Writes that clients were told to hold.
    pub acknowledged: u64,
    /// How often a node held a write for an owner when it was answered.
    pub stood_in: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Crashes, cuts, restores.
    pub faults: u64,
    /// A hash of everything that happened, in order.
    pub trace: u64,
}

/// The partition everything happens in: with four nodes, one that the joining node comes to own.
const PARTITION: u16 = 3;
const START_WALL_MS: u64 = 1_700_000_000_000;

#[derive(Clone, Debug)]
enum Packet {
    Core(Box<Message>),
    Gossip(Gossip),
}

#[derive(Debug)]
enum What {
    Arrive { from: usize, to: usize, packet: Packet },
    Tick { node: usize, life: u32 },
    Beat { node: usize, life: u32 },
    Sync { node: usize, life: u32, upto: BatchSeq },
    Restart { node: usize },
    Client,
    Fault,
    Heal,
    Join,
    Layout,
    Rot,
}

struct Node {
    id: NodeId,
    life: u32,
    incarnation: Incarnation,
    running: Option<(Core, Cluster)>,
    kept: Members,
    disk: Disk,
    backup: Option<MemoryStore>,
    /// Has it ever come back with an old copy of its disk?
    restored: bool,
    wall_offset_ms: i64,
}

/// The clients of a run.
pub trait Clients {
    /// What one of them asks next, under this number. Everything happens in this partition, whatever the key.
    fn next(&mut self, id: RequestId, dice: &mut Dice, partition: PartitionId) -> Request;

    /// What came of it. Requests whose coordinator is lost are never answered.
    fn answered(&mut self, id: RequestId, dice: &mut Dice, request: &Request, answer: &Answer);

    /// Once everything has healed and come to rest: what is wrong with what the owners have, if anything is. That nothing was
    /// lost nor came back has been judged by then.
    fn judge(&mut self, owners: &[Contents]) -> Option<String>;
}

struct World<'c> {
    dice: Dice,
    plan: Plan,
    now_ms: u64,
    queue: BTreeMap<(u64, u64), What>,
    queued: u64,
    nodes: Vec<Node>,
    /// Which side of the cut a node is on.
    cut: BTreeSet<usize>,
    /// What had reached the node that is about to remove everything.
    knew: Context,
    /// From whom to whom nothing arrives, though the other way it does.
    one_way: BTreeSet<(usize, usize)>,
    loss_percent: u64,
    requests: BTreeMap<RequestId, Request>,
    next_request: u64,
    clients: &'c mut dyn Clients,
    oracle: Oracle,
    alarm: Option<String>,
    outcome: Outcome,
    trace: DefaultHasher,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, plan: &Plan, clients: &mut dyn Clients) -> Outcome {
    let mut world = World::new(seed, plan.clone(), clients);
    world.live();
    world.judge()
}

fn partition() -> PartitionId {
    PartitionId::of_slot(PARTITION * 16)
}

impl<'c> World<'c> {
    fn new(seed: u64, plan: Plan, clients: &'c mut dyn Clients) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            now_ms: 0,
            queue: BTreeMap::new(),
            queued: 0,
            nodes: Vec::new(),
            cut: BTreeSet::new(),
            knew: Context::new(),
            one_way: BTreeSet::new(),
            loss_percent: 0,
            requests: BTreeMap::new(),
            next_request: 0,
            clients,
            oracle: Oracle::default(),
            alarm: None,
            outcome: Outcome { violation: None, acknowledged: 0, stood_in: 0, delivered: 0, faults: 0, trace: 0 },
            trace: DefaultHasher::new(),
            plan,
        };
        let members: BTreeMap<NodeId, Member> =
            (0..world.plan.nodes).map(|n| (id(n), member(n, PartitionSet::all()))).collect();
        let kept = Members::new(DEFAULT_REPLICAS, members);
        for n in 0..world.plan.nodes {
            world.add(n, kept.clone());
        }
        world.at(300, What::Client);
        world.at(500, What::Fault);
        world.at(world.plan.troubled_ms, What::Heal);
        if world.plan.layouts {
            world.at(700, What::Layout);
        }
        if world.plan.rot {
            world.at(world.plan.troubled_ms + world.plan.calm_ms / 2, What::Rot);
        }
        if world.plan.join {
            world.at(world.plan.troubled_ms / 3, What::Join);
        }
        world
    }

    fn add(&mut self, n: usize, kept: Members) {
        self.nodes.push(Node {
            id: id(n),
            life: 0,
            incarnation: Incarnation(0),
            running: None,
            kept,
            disk: Disk::default(),
            backup: None,
            restored: false,
            wall_offset_ms: self.dice.between(0, 2_000) as i64 - 1_000,
        });
        self.start(n);
    }

    fn at(&mut self, time_ms: u64, what: What) {
        self.queued += 1;
        self.queue.insert((time_ms, self.queued), what);
    }

    fn live(&mut self) {
        let end = self.plan.troubled_ms + self.plan.calm_ms;
        while let Some(((time, _), what)) = self.queue.pop_first() {
            if time > end || self.alarm.is_some() {
                break;
            }
            self.now_ms = time;
            (time, std::mem::discriminant(&what)).hash(&mut self.trace);
            self.happen(what);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive { from, to, packet } => self.arrive(from, to, packet),
            What::Tick { node, life } if self.nodes[node].life == life => {
                self.core(node, Event::Tick);
                self.at(self.now_ms + TICK_MS, What::Tick { node, life });
            }
            What::Beat { node, life } if self.nodes[node].life == life => {
                self.cluster(node, |cluster, now, out| cluster.tick(now, out));
                self.at(self.now_ms + BEAT_MS, What::Beat { node, life });
            }
            What::Sync { node, life, upto } if self.nodes[node].life == life => {
                self.nodes[node].disk.sync(upto);
                self.core(node, Event::Flushed(upto));
            }
            What::Tick { .. } | What::Beat { .. } | What::Sync { .. } => {}
            What::Restart { node } => self.start(node),
            What::Client => self.client(),
            What::Fault => self.fault(),
            What::Heal => self.heal(),
            What::Layout => self.operate(),
            What::Rot => self.rot(),
            What::Join => {
                let kept = self.nodes[0].kept.clone();
                self.add(self.nodes.len(), kept);
            }
        }
    }

    // Nodes

    fn start(&mut self, n: usize) {
        let seconds = (self.now_ms / 100) as u32 + 1;
        let node = &mut self.nodes[n];
        if node.running.is_some() {
            return;
        }
        if self.plan.sabotage != Some(Sabotage::SameIncarnation) || node.incarnation.0 == 0 {
            node.incarnation = Incarnation((node.incarnation.0 + 1).max(seconds));
        }
        node.life += 1;
        let actor = Actor { node: node.id, incarnation: node.incarnation };
        let durability = match self.plan.sabotage {
            Some(Sabotage::AnswerUnflushed) => Durability::Applied,
            _ => Durability::Flushed,
        };
        let answer_bytes = [150, 600, 256 * 1024][node.life as usize % 3];
        // Some nodes hardly stand in for others.
        let stand_in_bytes = if n % 5 == 4 { 1_000 } else { u64::MAX };
        let settings = Settings {
            durability,
            timeout_ms: 1_000,
            answer_bytes,
            stand_in_bytes,
            verify_every_ms: 500,
            ..Settings::default()
        };
        let core = Core::new(actor, settings, [partition()].into_iter(), &node.disk.visible);
        let core = core.expect("the simulated disk reads");
        let filled = node.kept.nodes.get(&node.id).map_or(PartitionSet::none(), |own| own.filled.clone());
        let version = node.kept.nodes.get(&node.id).map_or(1, |own| own.version + 1);
        let own = Member { incarnation: node.incarnation, version, ..member(n, filled) };
        let cluster = Cluster::new(node.id, own, Some(node.kept.clone()), DEFAULT_REPLICAS);
        node.running = Some((core, cluster));
        let life = node.life;
        let (tick, beat) = (self.dice.between(1, TICK_MS), self.dice.between(1, BEAT_MS));
        self.at(self.now_ms + tick, What::Tick { node: n, life });
        self.at(self.now_ms + beat, What::Beat { node: n, life });
        self.cluster(n, |cluster, _, out| cluster.start(out));
    }

    fn crash(&mut self, n: usize) {
        let keep = self.dice.below(self.nodes[n].disk.unsynced() + 1);
        let node = &mut self.nodes[n];
        if node.running.take().is_none() {
            return;
        }
        node.life += 1;
        if self.plan.sabotage == Some(Sabotage::ClockWithoutCells) {
            // The clock, and who the numbers in it are.
            node.disk.crash_tearing(|key| matches!(key.first(), Some(b'M' | b'A')));
        } else {
            node.disk.crash(keep);
        }
        let back = self.now_ms + self.dice.between(100, 3_000);
        self.at(back, What::Restart { node: n });
    }

    fn core(&mut self, n: usize, event: Event) {
        let now = Now {
            mono_ms: self.now_ms,
            wall_ms: (START_WALL_MS as i64 + self.now_ms as i64 + self.nodes[n].wall_offset_ms) as u64,
        };
        let clears = |request: &Request| matches!(request.operation, Operation::Write(crate::Write::Clear));
        self.knew = match &event {
            Event::Client(_, request) | Event::Peer(_, Message::Forward(_, request)) if clears(request) => {
                self.known(n)
            }
            _ => Context::new(),
        };
        let node = &mut self.nodes[n];
        let Some((core, _)) = &mut node.running else { return };
        let mut actions = Vec::new();
        core.handle(now, event, &node.disk.visible, &mut actions);
        for action in actions {
            self.act(n, action);
        }
    }

    /// The events that have reached a node: as a whole, or with what they left in some cell.
    fn known(&self, n: usize) -> Context {
        let contents = if self.nodes[n].running.is_some() { self.contents(n) } else { Contents::default() };
        let mut known = contents.clock;
        contents.cells.values().for_each(|cell| known.extend(cell.live.dots().copied()));
        known
    }

    fn act(&mut self, n: usize, action: Action) {
        match action {
            Action::Write(batch) => {
                self.nodes[n].disk.write(batch);
                let life = self.nodes[n].life;
                // A sync takes everything written by the time it begins.
                if let Some(upto) = self.nodes[n].disk.last_written() {
                    let busy = if self.dice.percent(5) { self.dice.between(50, 1_500) } else { 0 };
                    let done = self.now_ms + self.dice.between(1, 20) + busy;
                    self.at(done, What::Sync { node: n, life, upto });
                }
            }
            Action::Send(to, message) => self.send(n, to, Packet::Core(Box::new(message))),
            Action::Answer(id, answer) => self.answered(id, answer),
            Action::Filled(partition, placement) => {
                if self.nodes[n].running.as_ref().is_some_and(|(_, it)| it.view().placement == placement) {
                    self.filled(n, partition, Presence::In);
                }
            }
            Action::Dropped(partition) => self.filled(n, partition, Presence::Out),
            Action::Amnesia => {
                let later = Incarnation(self.nodes[n].incarnation.0 + 1);
                self.nodes[n].incarnation = later;
                self.core(n, Event::Reincarnate(later));
            }
            // What rots is reported: that is the point.
            Action::Alarm(_) if self.plan.rot && self.now_ms > self.plan.troubled_ms => {}
            Action::Alarm(what) => self.alarm = Some(what),
            Action::Merged(_) => {}
        }
    }

    fn filled(&mut self, n: usize, partition: PartitionId, to: Presence) {
        self.cluster(n, |cluster, now, out| cluster.set_filled(&[partition], to, now, out));
    }

    fn cluster(&mut self, n: usize, work: impl FnOnce(&mut Cluster, u64, &mut Vec<ClusterAction>)) {
        let Some((_, cluster)) = &mut self.nodes[n].running else { return };
        let mut actions = Vec::new();
        work(cluster, self.now_ms, &mut actions);
        for action in actions {
            match action {
                ClusterAction::Send(to, gossip) => self.send(n, to, Packet::Gossip(gossip)),
                ClusterAction::Connect(..) | ClusterAction::Decided(_) => {}
                ClusterAction::View(view) => {
                    self.nodes[n].kept = view.members.clone();
                    self.core(n, Event::View(view));
                }
                ClusterAction::Reincarnate(incarnation) => {
                    self.nodes[n].incarnation = incarnation;
                    self.core(n, Event::Reincarnate(incarnation));
                }
            }
        }
    }

    // Network

    fn send(&mut self, from: usize, to: NodeId, mut packet: Packet) {
        let Some(to) = self.nodes.iter().position(|node| node.id == to) else { return };
        if let Packet::Core(message) = &mut packet {
            self.overhear(from, message);
        }
        let is_cut = self.cut.contains(&from) != self.cut.contains(&to) || self.one_way.contains(&(from, to));
        if is_cut || self.dice.percent(self.loss_percent) {
            return;
        }
        // A request for coordination is not repeated by any transport: it travels on one connection.
        let repeats = !matches!(&packet, Packet::Core(message) if matches!(**message, Message::Forward(..)));
        let doubled = repeats && self.dice.percent(self.loss_percent);
        for _ in 0..=u8::from(doubled) {
            let slow = if self.dice.percent(3) { self.dice.between(100, 3_000) } else { 0 };
            let arrival = self.now_ms + self.dice.between(1, 30) + slow;
            self.at(arrival, What::Arrive { from, to, packet: packet.clone() });
        }
    }

    fn overhear(&mut self, from: usize, message: &mut Message) {
        match message {
            Message::Delta(.., changes) => {
                changes.iter().for_each(|change| self.oracle.minted(change));
                let author = self.nodes[from].id;
                for change in changes.iter().filter(|change| change.place == Place::Partition) {
                    if change.dot.actor.node == author {
                        self.oracle.cleared(change, &self.knew);
                    }
                }
                if self.plan.sabotage == Some(Sabotage::DeltaWithoutPast) {
                    changes.iter_mut().for_each(|change| change.seen = Context::new());
                }
            }
            Message::Clock(_, _, clock) if self.plan.sabotage == Some(Sabotage::LyingClocks) => {
                for n in 0..self.nodes.len() {
                    clock.union(&self.contents(n).clock);
                }
            }
            _ => {}
        }
    }

    fn arrive(&mut self, from: usize, to: usize, packet: Packet) {
        if self.nodes[to].running.is_none() {
            return;
        }
        self.outcome.delivered += 1;
        (from, to, format!("{packet:?}")).hash(&mut self.trace);
        let sender = self.nodes[from].id;
        match packet {
            Packet::Gossip(gossip) => self.cluster(to, |cluster, now, out| cluster.receive(sender, gossip, now, out)),
            Packet::Core(message) => {
                self.cluster(to, |cluster, now, out| cluster.heard(sender, now, out));
                self.core(to, Event::Peer(sender, *message));
            }
        }
    }

    // Clients

    fn client(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let request = self.clients.next(id, &mut self.dice, partition());
        self.requests.insert(id, request.clone());
        let at = self.dice.below(self.nodes.len());
        self.core(at, Event::Client(id, request));
        let pause = self.dice.between(1, 80);
        self.at(self.now_ms + pause, What::Client);
    }

    fn answered(&mut self, id: RequestId, answer: Answer) {
        let Some(request) = self.requests.remove(&id) else { return };
        self.clients.answered(id, &mut self.dice, &request, &answer);
        match answer {
            Answer::Written(written) => {
                self.outcome.acknowledged += written.own.context.len();
                self.check_receipt(&written);
                self.oracle.acknowledged(&written.own.context);
            }
            Answer::Found(found) => {
                self.oracle.shown(&found.cells);
            }
            _ => {}
        }
    }

    /// Who is said to hold a write on disk does - or has dropped it, because every owner has it; it may hold later things by
    /// the time the answer arrives. Where owners change, so may they.
    fn check_receipt(&mut self, written: &Written) {
        self.outcome.stood_in += written.receipt.nodes(Part::StandIn).count() as u64;
        if self.plan.join || self.plan.layouts {
            return;
        }
        let has_all = |n: usize| self.nodes[n].restored || self.durable_clock(n).covers(&written.own.context);
        let view = self.nodes.iter().find_map(|node| node.running.as_ref().map(|(_, cluster)| cluster.view()));
        let owners = view.map_or(Vec::new(), |view| view.replicas(partition()).serving.clone());
        let all_have_it = (0..self.nodes.len()).filter(|n| owners.contains(&self.nodes[*n].id)).all(has_all);
        let untruthful = |holder: &&Holder| {
            if holder.part == Part::StandIn && all_have_it {
                return false;
            }
            let node = self.nodes.iter().position(|node| node.id == holder.node);
            node.is_some_and(|n| {
                let clock = self.durable_clock(n);
                let is_old_copy = self.nodes[n].restored;
                !is_old_copy && !clock.is_empty() && !clock.covers(&written.own.context)
            })
        };
        let on_disk = written.receipt.holders.iter().filter(|holder| holder.medium == Medium::Disk);
        if let Some(holder) = on_disk.clone().find(untruthful) {
            self.alarm = Some(format!("by its receipt {:?} holds {:?} on disk", holder, written.own.context));
        }
    }

    // Trouble

    fn fault(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        self.outcome.faults += 1;
        let victim = self.dice.below(self.nodes.len());
        match self.dice.below(13) {
            0..=2 => self.cut = (0..self.nodes.len()).filter(|_| self.dice.percent(40)).collect(),
            3 | 4 => self.reconnect(),
            5 => self.loss_percent = [0, 2, 10, 30][self.dice.below(4)],
            6 | 7 => self.crash(victim),
            8 => self.nodes[victim].wall_offset_ms = self.dice.between(0, 7_200_000) as i64 - 3_600_000,
            9 => self.nodes[victim].backup = Some(self.nodes[victim].disk.durable().clone()),
            10 => self.restore(victim),
            11 => drop(self.one_way.insert((victim, self.dice.below(self.nodes.len())))),
            _ => {}
        }
        let pause = self.dice.between(50, 900);
        self.at(self.now_ms + pause, What::Fault);
    }

    /// The node comes back with an old copy of its disk (or an empty one) - unless that would lose what nobody else
    /// has on disk: no protocol survives that.
    fn restore(&mut self, n: usize) {
        let others = (0..self.nodes.len()).filter(|other| *other != n).map(|other| self.durable_clock(other));
        let elsewhere = others.fold(Context::new(), |mut all, clock| {
            all.union(&clock);
            all
        });
        if !elsewhere.covers(&self.durable_clock(n)) || self.nodes[n].running.is_none() {
            return;
        }
        self.crash(n);
        let copy = self.nodes[n].backup.take().unwrap_or_default();
        self.nodes[n].disk.restore(copy);
        self.nodes[n].restored = true;
    }

    fn durable_clock(&self, n: usize) -> Context {
        let actor = Actor { node: self.nodes[n].id, incarnation: Incarnation(0) };
        let durable = self.nodes[n].disk.durable();
        let core = Core::new(actor, Settings::default(), [partition()].into_iter(), durable)
            .expect("the simulated disk reads");
        core.contents(partition(), durable).map(|contents| contents.clock).unwrap_or_default()
    }

    /// Operators commit layouts: one, or two who do not know of each other. Once everything has healed, one commits what
    /// replaces all that hold.
    fn operate(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            let running = (0..self.nodes.len()).find(|n| self.nodes[*n].running.is_some());
            match running {
                // Each side may have made all the others leave: somebody has to stay.
                Some(n) => self.commit(n, &[0, 1].map(|n| LayoutChange::Role(id(n), Role::default()))),
                None => self.at(self.now_ms + 100, What::Layout),
            }
            return;
        }
        for _ in 0..=self.dice.below(2) {
            let changes: Vec<LayoutChange> = (0..=self.dice.below(2)).map(|_| self.wish()).collect();
            let at = self.dice.below(self.nodes.len());
            self.commit(at, &changes);
        }
        let next = self.now_ms + self.dice.between(500, 4_000);
        let next = if next < self.plan.troubled_ms { next } else { self.plan.troubled_ms + 5_000 };
        self.at(next, What::Layout);
    }

    fn wish(&mut self) -> LayoutChange {
        let node = id(self.dice.below(self.nodes.len()));
        match self.dice.below(6) {
            0 => LayoutChange::Leave(node),
            1 => LayoutChange::Replicas(self.dice.between(2, 4) as u8),
            _ => {
                let zone = ["x", "y", "z"][self.dice.below(3)].to_owned();
                LayoutChange::Role(node, Role { zone, capacity: self.dice.between(1, 4) as u32 })
            }
        }
    }

    fn commit(&mut self, n: usize, changes: &[LayoutChange]) {
        self.cluster(n, |cluster, now, out| {
            changes.iter().for_each(|change| drop(cluster.stage(change.clone())));
            // The oracle hears of writes by their deltas: somebody else has to own the partition as well.
            match cluster.propose() {
                Ok(proposal) if proposal.layout.roles.len() > 1 => drop(cluster.commit(proposal.id, now, out)),
                _ => cluster.revert(),
            }
        });
    }

    /// An owner's disk loses a record of a key that the others have as well, and the scrub comes by. What is read or written
    /// in between would take the loss for a removal: nothing can be done about that.
    fn rot(&mut self) {
        let Some((_, cluster)) = &self.nodes[0].running else { return };
        let owners = cluster.view().replicas(partition()).serving.clone();
        let owners: Vec<usize> = (0..self.nodes.len()).filter(|n| owners.contains(&self.nodes[*n].id)).collect();
        let victim = owners[self.dice.below(owners.len())];
        let contents: Vec<_> = owners.iter().map(|n| self.contents(*n)).collect();
        if contents.iter().any(|other| *other != contents[0]) {
            return;
        }
        let (mut paths, table) = (Vec::new(), [b'K', b'C'][self.dice.below(2)]);
        let scanned = crate::Store::scan(&self.nodes[victim].disk.visible, &[table], &[table], &mut |path, _| {
            paths.push(path.to_vec());
            std::ops::ControlFlow::Continue(())
        });
        if scanned.is_ok() && !paths.is_empty() {
            let lost = paths[self.dice.below(paths.len())].clone();
            self.nodes[victim].disk.lose(&lost);
            self.outcome.faults += 1;
        }
        self.core(victim, Event::Scrub);
    }

    fn reconnect(&mut self) {
        self.cut.clear();
        self.one_way.clear();
    }

    fn heal(&mut self) {
        self.reconnect();
        self.loss_percent = 0;
    }

    // The end

    fn contents(&self, n: usize) -> crate::Contents {
        let node = &self.nodes[n];
        let contents = node.running.as_ref().map(|(core, _)| core.contents(partition(), &node.disk.visible));
        contents.and_then(Result::ok).unwrap_or_default()
    }

    fn judge(mut self) -> Outcome {
        self.outcome.trace = self.trace.finish();
        self.outcome.violation = self.alarm.take().or_else(|| self.verdict());
        self.outcome
    }

    fn verdict(&mut self) -> Option<String> {
        let (_, cluster) = self.nodes[0].running.as_ref()?;
        let replicas = cluster.view().replicas(partition()).clone();
        let owner = |n: &usize| replicas.serving.contains(&self.nodes[*n].id);
        let (owners, rest): (Vec<usize>, Vec<usize>) = (0..self.nodes.len()).partition(owner);
        let owners: Vec<_> = owners.into_iter().map(|n| (n, self.contents(n))).collect();
        let members = &cluster.view().members;
        let bearing = members.layouts.iter().map(|(_, layout)| layout.roles.len()).max().unwrap_or(self.nodes.len());
        if !replicas.filling.is_empty() || replicas.serving.len() != bearing.min(members.replicas().into()) {
            return Some(format!("after healing the owners are still {replicas:?}"));
        }
        if members.layouts.iter().len() > 1 {
            return Some("after one more commit there are still several layouts".to_owned());
        }
        if let Some(n) = rest.into_iter().find(|n| self.contents(*n) != crate::Contents::default()) {
            return Some(format!("node {n} owns nothing any more and still holds {:?}", self.contents(n)));
        }
        if let Some(n) = owners.iter().map(|(n, _)| *n).find(|n| self.log_entries(*n) > 0) {
            return Some(format!("node {n} still logs {} events that everybody has", self.log_entries(n)));
        }
        let contents: Vec<_> = owners.into_iter().map(|(_, contents)| contents).collect();
        self.oracle.judge(&contents).or_else(|| self.clients.judge(&contents))
    }

    fn log_entries(&self, n: usize) -> usize {
        let mut entries = 0;
        let visible = &self.nodes[n].disk.visible;
        let counted = crate::Store::scan(visible, b"L", b"L", &mut |_, _| {
            entries += 1;
            std::ops::ControlFlow::Continue(())
        });
        counted.map_or(0, |()| entries)
    }
}

fn id(n: usize) -> NodeId {
    NodeId(Uuid::from_u128((n as u128 + 1) << 64 | 0xd07))
}

fn member(n: usize, filled: PartitionSet) -> Member {
    let address = ([127, 0, 0, 1], 7001 + n as u16).into();
    Member::starting(format!("n{n}"), address, address, Incarnation(0), filled)
}
