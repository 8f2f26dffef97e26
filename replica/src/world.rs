//! A whole cluster under one 64-bit seed, for testing what stands on this crate: nodes, network, disks and clients in one
//! queue of events, ordered by virtual time.
//!
//! The seed decides everything: what clients ask, how long every message takes, which are lost, doubled or overtaken, who is
//! cut off from whom, which links come and go, which node is slow, has no room on its disk, crashes with its unsynced writes, comes
//! back with an old disk, is replaced, joins. An [`Oracle`] that has
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

mod copies;
mod dice;
mod disk;
mod layouts;
mod majorities;
mod network;
mod oracle;
mod scene;
mod trouble;
mod upgrade;
mod verdict;

pub use dice::Dice;
pub use oracle::Oracle;
pub use scene::Scene;
pub use trouble::Fault;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{
    Action, Actor, Answer, BEAT_MS, BatchSeq, Callers, Capabilities, Cluster, ClusterAction, Contents, Context, Core,
    DEFAULT_REPLICAS, Decisions, Durability, Event, Incarnation, Member, Members, MemoryStore, Message, NoProcedures,
    NodeId, Now, Operation, PartitionId, PartitionSet, Presence, Procedures, Request, RequestId, Settings, TICK_MS,
};
use uuid::Uuid;

use copies::{Lines, Twins};
use disk::Disk;
use majorities::Majorities;
use network::{Network, Packet};
use scene::Stage;
use trouble::Troubles;

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
    /// Is the disk of a node copied now and then, and the copy started beside the original?
    pub copies: bool,
    /// Are nodes upgraded, and set back, while it goes on? They differ in what they can do.
    pub upgrades: bool,
    /// Are all limits of lengths in bytes a thousandth (1/1,024) of what they are, so that clients come near them?
    pub limits: bool,
    /// Does a record vanish from a disk without anybody being told, once everything has come to rest?
    pub rot: bool,
    /// What is staged again and again, if anything; accidents are rarer then.
    pub scene: Option<Scene>,
    /// Which guard is taken out, if any.
    pub sabotage: Option<Sabotage>,
}

impl Plan {
    /// May the owners of the partition change?
    fn moves(&self) -> bool {
        self.join || self.layouts || self.scene == Some(Scene::Bridge)
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            troubled_ms: 12_000,
            calm_ms: 15_000,
            nodes: 3,
            join: false,
            layouts: false,
            copies: false,
            upgrades: false,
            limits: false,
            rot: false,
            scene: None,
            sabotage: None,
        }
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What must not happen and did.
    pub violation: Option<String>,
    /// Writes that clients were told to hold.
    pub acknowledged: u64,
    /// How often a node held a write for an owner when it was answered.
    pub stood_in: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// How many reads by a majority were held against what majorities had taken before.
    pub compared: u64,
    /// What struck, and how often.
    pub faults: BTreeMap<Fault, u64>,
    /// A hash of everything that happened, in order.
    pub trace: u64,
}

/// The partition everything happens in: with four nodes, one that the joining node comes to own.
const PARTITION: u16 = 3;
/// What a machine's clock says when a run begins, if it is right.
pub const START_WALL_MS: u64 = 1_700_000_000_000;

#[derive(Debug)]
enum What {
    Arrive {
        from: usize,
        to: usize,
        packet: Packet,
    },
    Tick {
        node: usize,
        life: u32,
    },
    Beat {
        node: usize,
        life: u32,
    },
    Sync {
        node: usize,
        life: u32,
        upto: BatchSeq,
    },
    Ask {
        node: usize,
        id: RequestId,
    },
    /// A slow node is done with one thing.
    Wake {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Client,
    Fault,
    Relief {
        node: usize,
    },
    Scene {
        step: usize,
    },
    Heal,
    Join,
    Layout,
    Rot,
    Copy,
    TurnOff,
    Upgrade,
    Decide,
}

impl What {
    /// Whose turn it is, if it is a running node's.
    fn node(&self) -> Option<usize> {
        match self {
            What::Arrive { to: node, .. }
            | What::Tick { node, .. }
            | What::Beat { node, .. }
            | What::Sync { node, .. }
            | What::Ask { node, .. } => Some(*node),
            _ => None,
        }
    }
}

struct Node {
    id: NodeId,
    life: u32,
    incarnation: Incarnation,
    running: Option<(Core, Cluster)>,
    kept: Members,
    disk: Disk,
    backup: Option<MemoryStore>,
    /// Has it ever come back with an old copy of its disk, or been one?
    restored: bool,
    /// Has it been turned off for good?
    is_off: bool,
    /// Who calls it.
    callers: Callers,
    can: Capabilities,
    decisions: Decisions,
    wall_offset_ms: i64,
    troubles: Troubles,
    /// What has come while it was busy.
    waiting: VecDeque<What>,
    busy_until_ms: u64,
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

    /// What their [`Write::Call`](crate::Write::Call)s mean.
    fn procedures(&self) -> Arc<dyn Procedures> {
        Arc::new(NoProcedures)
    }
}

struct World<'c> {
    dice: Dice,
    plan: Plan,
    now_ms: u64,
    queue: BTreeMap<(u64, u64), What>,
    queued: u64,
    nodes: Vec<Node>,
    network: Network,
    lines: Lines,
    twins: Option<Twins>,
    /// On which machine each name is minted under.
    minters: BTreeMap<Actor, usize>,
    /// What had reached the node that is about to remove everything.
    knew: Context,
    requests: BTreeMap<RequestId, Request>,
    next_request: u64,
    clients: &'c mut dyn Clients,
    procedures: Arc<dyn Procedures>,
    oracle: Oracle,
    majorities: Majorities,
    stage: Stage,
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
            network: Network::default(),
            lines: Lines::default(),
            twins: None,
            minters: BTreeMap::new(),
            knew: Context::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            procedures: clients.procedures(),
            clients,
            oracle: Oracle::default(),
            majorities: Majorities::default(),
            stage: Stage::default(),
            alarm: None,
            outcome: Outcome::default(),
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
        } else if world.plan.moves() && !world.plan.join {
            // Whatever is committed on the stage, one layout is left.
            world.at(world.plan.troubled_ms + 5_000, What::Layout);
        }
        if world.plan.scene.is_some() {
            world.at(900, What::Scene { step: 0 });
        }
        if world.plan.rot {
            world.at(world.plan.troubled_ms + world.plan.calm_ms * 2 / 5, What::Rot);
        }
        if world.plan.join {
            world.at(world.plan.troubled_ms / 3, What::Join);
        }
        if world.plan.upgrades {
            world.at(800, What::Upgrade);
            world.at(600, What::Decide);
        }
        if world.plan.copies {
            world.at(1_000, What::Copy);
        }
        world
    }

    fn add(&mut self, n: usize, kept: Members) {
        self.put_up(id(n), kept);
        self.start(n);
    }

    /// Puts up a machine for a node.
    fn put_up(&mut self, id: NodeId, kept: Members) {
        self.nodes.push(Node {
            id,
            life: 0,
            incarnation: Incarnation(0),
            running: None,
            kept,
            disk: Disk::default(),
            backup: None,
            restored: false,
            is_off: false,
            callers: Callers::new(id),
            can: if self.plan.upgrades { Capabilities::default() } else { Capabilities::OURS },
            decisions: Decisions::default(),
            wall_offset_ms: self.dice.between(0, 2_000) as i64 - 1_000,
            troubles: Troubles::default(),
            waiting: VecDeque::new(),
            busy_until_ms: 0,
        });
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

    /// What comes while a node is busy waits for its turn.
    fn happen(&mut self, what: What) {
        match what {
            What::Wake { node } => self.wake(node),
            what => match what.node() {
                Some(node) if self.is_busy(node) => self.nodes[node].waiting.push_back(what),
                Some(node) => {
                    self.happen_now(what);
                    self.take_time(node);
                }
                None => self.happen_now(what),
            },
        }
    }

    fn is_busy(&self, n: usize) -> bool {
        self.nodes[n].busy_until_ms > self.now_ms || !self.nodes[n].waiting.is_empty()
    }

    /// A slow node does nothing else for a while.
    fn take_time(&mut self, n: usize) {
        let step_ms = self.nodes[n].troubles.step_ms;
        if step_ms > 0 && self.nodes[n].running.is_some() {
            let until = self.now_ms + self.dice.between(step_ms / 2, step_ms * 2).max(1);
            self.nodes[n].busy_until_ms = until;
            self.count(Fault::SlowStep);
            self.at(until, What::Wake { node: n });
        }
    }

    fn wake(&mut self, n: usize) {
        while self.nodes[n].busy_until_ms <= self.now_ms
            && let Some(what) = self.nodes[n].waiting.pop_front()
        {
            self.happen_now(what);
            self.take_time(n);
        }
    }

    fn happen_now(&mut self, what: What) {
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
            What::Sync { node, life, upto } if self.nodes[node].life == life => self.sync(node, upto),
            What::Tick { .. } | What::Beat { .. } | What::Sync { .. } | What::Wake { .. } => {}
            What::Ask { node, id } => {
                if let Some(request) = self.requests.get(&id).cloned() {
                    self.core(node, Event::Client(id, request));
                }
            }
            What::Restart { node } => self.start(node),
            What::Client => self.client(),
            What::Fault => self.fault(),
            What::Relief { node } => self.nodes[node].relieve(),
            What::Scene { step } => self.play(step),
            What::Heal => self.heal(),
            What::Layout => self.operate(),
            What::Rot => self.rot(),
            What::Copy => self.copy(),
            What::Upgrade => self.upgrade(),
            What::Decide => self.decide(),
            What::TurnOff => self.turn_off(),
            What::Join => {
                let kept = self.nodes[0].kept.clone();
                self.add(self.nodes.len(), kept);
            }
        }
    }

    // Nodes

    fn start(&mut self, n: usize) {
        let (seconds, chance) = self.seconds_and_chance();
        let node = &mut self.nodes[n];
        if node.running.is_some() || node.is_off {
            return;
        }
        if self.has_just_started_elsewhere(n, seconds) {
            return self.at(self.now_ms + 100, What::Restart { node: n });
        }
        let node = &mut self.nodes[n];
        // Without room for its new incarnation a node does not start.
        if !node.disk.takes_one() {
            return self.at(self.now_ms + 300, What::Restart { node: n });
        }
        if self.plan.sabotage != Some(Sabotage::SameIncarnation) || node.incarnation.0 == 0 {
            node.incarnation = node.incarnation.next(seconds, chance);
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
        // Some remember hardly anything for others that are away.
        let log_bytes = if n % 5 == 2 { 3_000 } else { u64::MAX };
        let settings = Settings {
            durability,
            timeout_ms: 1_000,
            answer_bytes,
            stand_in_bytes,
            log_bytes,
            verify_every_ms: 500,
            ..Settings::default()
        };
        let settings = if self.plan.limits {
            let Settings { cell_bytes, state_bytes, .. } = settings;
            // Keys of hundreds of cells are not told in hundreds of answers, and an answer with the largest cell is a message.
            let answer_bytes = (answer_bytes * 16).min(64 * 1024);
            Settings { answer_bytes, cell_bytes: cell_bytes / 1_024, state_bytes: state_bytes / 1_024, ..settings }
        } else {
            settings
        };
        let core = Core::new(actor, settings, [partition()].into_iter(), &node.disk.visible);
        let core = core.expect("the simulated disk reads").with_procedures(Arc::clone(&self.procedures));
        let filled = node.kept.nodes.get(&node.id).map_or(PartitionSet::none(), |own| own.filled.clone());
        let version = node.kept.nodes.get(&node.id).map_or(1, |own| own.version + 1);
        let own = Member { incarnation: node.incarnation, version, ..member(n, filled) };
        let cluster = Cluster::new(node.id, own, Some(node.kept.clone()), DEFAULT_REPLICAS);
        let cluster = cluster.with_decisions(node.decisions());
        node.running = Some((core, cluster));
        node.callers = Callers::new(node.id);
        let life = node.life;
        self.mints(n);
        let (tick, beat) = (self.dice.between(1, TICK_MS), self.dice.between(1, BEAT_MS));
        self.at(self.now_ms + tick, What::Tick { node: n, life });
        self.at(self.now_ms + beat, What::Beat { node: n, life });
        self.cluster(n, |cluster, _, out| cluster.start(out));
    }

    /// By which a node takes its next incarnation.
    fn seconds_and_chance(&mut self) -> (u32, u64) {
        let chance = if self.plan.copies { self.dice.between(0, Incarnation::STRIDE) } else { 0 };
        ((self.now_ms / 100) as u32 + 1, chance)
    }

    fn crash(&mut self, n: usize) {
        let keep = if self.dice.percent(40) { 0 } else { self.dice.below(self.nodes[n].disk.unsynced() + 1) };
        let node = &mut self.nodes[n];
        if node.running.take().is_none() {
            return;
        }
        node.life += 1;
        node.waiting.clear();
        node.busy_until_ms = 0;
        if self.plan.sabotage == Some(Sabotage::ClockWithoutCells) {
            // The clock, and who the numbers in it are.
            node.disk.crash_tearing(|key| matches!(key.first(), Some(b'M' | b'A')));
        } else {
            node.disk.crash(keep);
        }
        if self.plan.copies {
            self.hang_up_all(n);
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
                    let begins = self.now_ms.max(self.nodes[n].troubles.stalls_until_ms);
                    let done = begins + self.dice.between(1, 20) + busy;
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
                let (seconds, chance) = self.seconds_and_chance();
                let later = self.nodes[n].incarnation.next(seconds, chance);
                self.nodes[n].incarnation = later;
                self.mints(n);
                self.core(n, Event::Reincarnate(later));
            }
            // What rots is reported: that is the point.
            Action::Alarm(_) if self.plan.rot && self.now_ms > self.plan.troubled_ms => {}
            // What only a machine had that is gone may be left in some places: they differ, which is reported and mended.
            Action::Alarm(_) if self.oracle.has_given_up() => {}
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
                ClusterAction::Connect(..) => {}
                ClusterAction::Decided(decisions) => self.nodes[n].decisions = decisions.as_ref().clone(),
                ClusterAction::View(view) => {
                    self.nodes[n].kept = view.members.clone();
                    self.core(n, Event::View(view));
                }
                ClusterAction::Reincarnate(incarnation) => {
                    self.nodes[n].incarnation = incarnation;
                    self.mints(n);
                    self.core(n, Event::Reincarnate(incarnation));
                }
            }
        }
    }

    // Clients

    fn client(&mut self) {
        if self.now_ms >= self.plan.troubled_ms {
            return;
        }
        let pause = self.dice.between(1, 80);
        self.at(self.now_ms + pause, What::Client);
        if self.stage.is_quiet {
            return;
        }
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let request = self.clients.next(id, &mut self.dice, partition());
        self.majorities.asked(id, &request);
        self.requests.insert(id, request);
        let node = self.dice.below(self.nodes.len());
        self.at(self.now_ms, What::Ask { node, id });
    }

    fn answered(&mut self, id: RequestId, answer: Answer) {
        let Some(request) = self.requests.remove(&id) else { return };
        self.clients.answered(id, &mut self.dice, &request, &answer);
        match answer {
            Answer::Written(written) => {
                self.outcome.acknowledged += written.own.context.len();
                self.check_receipt(&written);
                self.oracle.acknowledged(&written.own.context);
                self.majorities.wrote(id, &written.own.context);
            }
            Answer::Found(found) => {
                self.oracle.shown(&found.cells);
                let missed = self.majorities.read(id, &request, &found, &self.oracle, &mut self.outcome.compared);
                self.alarm = self.alarm.take().or(missed);
            }
            _ => {}
        }
    }
}

fn id(n: usize) -> NodeId {
    NodeId(Uuid::from_u128((n as u128 + 1) << 64 | 0xd07))
}

fn member(n: usize, filled: PartitionSet) -> Member {
    Member::starting(format!("n{n}"), address(n), address(n), Incarnation(0), filled)
}

/// Of a machine.
fn address(n: usize) -> SocketAddr {
    ([127, 0, 0, 1], 7001 + n as u16).into()
}
