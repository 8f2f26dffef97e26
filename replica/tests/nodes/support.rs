//! Nodes driven by hand: messages are delivered in order among those that are up, until nobody has anything to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use replica::{
    Action, Actor, Answer, BatchSeq, Contents, Core, Event, Incarnation, Member, Members, MemoryStore, Message,
    NoProcedures, NodeId, Now, Operation, PartitionId, PartitionSet, Procedures, Request, RequestId, Settings,
    Store as _, TICK_MS, View,
};

pub(crate) fn partition() -> PartitionId {
    PartitionId::of_slot(48)
}

pub(crate) fn request(key: &str, operation: Operation) -> Request {
    Request::new(partition(), key, operation)
}

struct Node {
    id: NodeId,
    core: Core,
    store: MemoryStore,
    written: BatchSeq,
    flushed: BatchSeq,
}

pub(crate) struct Nodes {
    nodes: Vec<Node>,
    up: Vec<usize>,
    now_ms: u64,
    asked: u64,
    holds_flushes: bool,
    runs: BTreeMap<NodeId, Incarnation>,
    answers: Vec<(RequestId, Answer)>,
    alarms: Vec<String>,
    sent: usize,
}

impl Nodes {
    /// So many nodes, in the order of their rank for the partition: the owners first.
    pub(crate) fn new(count: u128, settings: Settings) -> Self {
        Self::with_procedures(count, settings, Arc::new(NoProcedures))
    }

    /// The same, with an application's own commands.
    pub(crate) fn with_procedures(count: u128, settings: Settings, procedures: Arc<dyn Procedures>) -> Self {
        let all: Vec<NodeId> = (1..=count).map(|n| NodeId(uuid::Uuid::from_u128(n << 64 | 7))).collect();
        let mut order = picture(all[0], &all, &all, &all, &BTreeMap::new()).replicas(partition()).serving.clone();
        order.extend(all.iter().filter(|node| !order.contains(node)).copied().collect::<Vec<_>>());
        let node = |id: &NodeId| {
            let (store, actor) = (MemoryStore::new(), Actor { node: *id, incarnation: Incarnation(1) });
            let core = Core::new(actor, settings, [partition()].into_iter(), &store).expect("an empty store reads");
            let core = core.with_procedures(Arc::clone(&procedures));
            Node { id: *id, core, store, written: BatchSeq(0), flushed: BatchSeq(0) }
        };
        let nodes = order.iter().map(node).collect();
        let up = (0..order.len()).collect::<Vec<_>>();
        let mut nodes = Self {
            nodes,
            up: Vec::new(),
            now_ms: 0,
            asked: 0,
            holds_flushes: false,
            runs: BTreeMap::new(),
            answers: Vec::new(),
            alarms: Vec::new(),
            sent: 0,
        };
        nodes.up(&up);
        nodes.pass_time(20);
        nodes
    }

    pub(crate) fn id(&self, at: usize) -> NodeId {
        self.nodes[at].id
    }

    /// Only these are up, and hear each other; they know it.
    pub(crate) fn up(&mut self, up: &[usize]) {
        self.up = up.to_vec();
        let (all, alive) = (self.ids(&(0..self.nodes.len()).collect::<Vec<_>>()), self.ids(up));
        for at in up {
            let view = picture(self.nodes[*at].id, &all, &all[..3.min(all.len())], &alive, &self.runs);
            let sent = self.handle(*at, Event::View(view));
            self.deliver(*at, sent);
        }
    }

    /// Only these are up, and nobody knows yet.
    pub(crate) fn up_unseen(&mut self, up: &[usize]) {
        self.up = up.to_vec();
    }

    /// What clients are told while this happens.
    pub(crate) fn answers_of(&mut self, what: impl FnOnce(&mut Self)) -> Vec<(RequestId, Answer)> {
        self.answers.clear();
        what(self);
        std::mem::take(&mut self.answers)
    }

    /// A node has started again, and everybody who is up knows.
    pub(crate) fn restart(&mut self, at: usize) {
        let run = self.runs.entry(self.nodes[at].id).or_insert(Incarnation(1));
        run.0 += 1;
        let reincarnated = Event::Reincarnate(*run);
        let sent = self.handle(at, reincarnated);
        self.deliver(at, sent);
        self.up(&self.up.clone());
    }

    fn ids(&self, of: &[usize]) -> Vec<NodeId> {
        of.iter().map(|at| self.nodes[*at].id).collect()
    }

    /// From now on batches are flushed by [`Nodes::flush`] only.
    pub(crate) fn hold_flushes(&mut self) {
        self.holds_flushes = true;
    }

    /// Everything a node has written is on its disk.
    pub(crate) fn flush(&mut self, at: usize) -> Vec<(RequestId, Answer)> {
        self.answers.clear();
        self.nodes[at].flushed = self.nodes[at].written;
        let sent = self.handle(at, Event::Flushed(self.nodes[at].written));
        self.deliver(at, sent);
        std::mem::take(&mut self.answers)
    }

    /// The last batch a node has written.
    pub(crate) fn written(&self, at: usize) -> BatchSeq {
        self.nodes[at].written
    }

    /// What comes of a client's request, once nobody has anything to say any more.
    pub(crate) fn ask(&mut self, at: usize, request: Request) -> Vec<(RequestId, Answer)> {
        self.answers.clear();
        self.asked += 1;
        let sent = self.handle(at, Event::Client(RequestId(self.asked), request));
        self.deliver(at, sent);
        std::mem::take(&mut self.answers)
    }

    /// What a node answers to a read by itself and at once, if it does.
    pub(crate) fn read_alone(&self, at: usize, request: &Request) -> Option<Answer> {
        let (now, node) = (Now { mono_ms: self.now_ms, wall_ms: 1_767_225_600_000 + self.now_ms }, &self.nodes[at]);
        node.core.read_alone(now, request, &node.store)
    }

    pub(crate) fn pass_time(&mut self, ticks: usize) {
        let up = self.up.clone();
        for at in (0..ticks).flat_map(|_| up.clone()) {
            self.now_ms += TICK_MS / self.up.len() as u64;
            let sent = self.handle(at, Event::Tick);
            self.deliver(at, sent);
        }
    }

    /// Time passes in which nobody does anything.
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// What operators were told of.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.alarms.clone()
    }

    /// How many messages were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    pub(crate) fn handle_quietly(&mut self, at: usize, event: Event) {
        let sent = self.handle(at, event);
        self.deliver(at, sent);
    }

    /// Changes, or takes away, the records of a table that name the key, as no event would; says how many.
    pub(crate) fn tamper(&mut self, at: usize, table: u8, key: &[u8], to: Option<&[u8]>) -> usize {
        let (mut paths, node) = (Vec::new(), &mut self.nodes[at]);
        let found = node.store.scan(&[table], &[table], &mut |path, _| {
            if path.windows(key.len()).any(|window| window == key) {
                paths.push(path.to_vec());
            }
            std::ops::ControlFlow::Continue(())
        });
        found.expect("it reads");
        let edits: BTreeMap<_, _> = paths.into_iter().map(|path| (path, to.map(<[u8]>::to_vec))).collect();
        let count = edits.len();
        node.store.apply(&replica::Batch { seq: node.written, edits });
        count
    }

    pub(crate) fn contents(&self, at: usize) -> Contents {
        let node = &self.nodes[at];
        node.core.contents(partition(), &node.store).expect("it reads")
    }

    /// What a node sends upon an event.
    pub(crate) fn handle(&mut self, at: usize, event: Event) -> Vec<(NodeId, Message)> {
        let now = Now { mono_ms: self.now_ms, wall_ms: 1_767_225_600_000 + self.now_ms };
        let (mut events, mut sent) = (VecDeque::from([event]), Vec::new());
        while let Some(event) = events.pop_front() {
            let (node, mut out) = (&mut self.nodes[at], Vec::new());
            node.core.handle(now, event, &node.store, &mut out);
            for action in out {
                match action {
                    Action::Write(batch) => {
                        node.store.apply(&batch);
                        node.written = batch.seq;
                        if !self.holds_flushes {
                            events.push_back(Event::Flushed(batch.seq));
                        }
                    }
                    Action::Send(to, message) => {
                        self.sent += 1;
                        sent.push((to, message));
                    }
                    Action::Answer(id, answer) => self.answers.push((id, answer)),
                    Action::Alarm(what) => self.alarms.push(what),
                    _ => {}
                }
            }
        }
        sent
    }

    /// Delivers what a node has sent, and all that comes of it.
    pub(crate) fn deliver(&mut self, from: usize, sent: Vec<(NodeId, Message)>) {
        let from = self.nodes[from].id;
        let mut queue: VecDeque<_> = sent.into_iter().map(|(to, message)| (from, to, message)).collect();
        while let Some((from, to, message)) = queue.pop_front() {
            if let Some(at) = self.up.iter().copied().find(|at| self.nodes[*at].id == to) {
                let replies = self.handle(at, Event::Peer(from, message));
                queue.extend(replies.into_iter().map(|(next, message)| (to, next, message)));
            }
        }
    }
}

/// The picture of a cluster of which some nodes hold the partition, and some answer.
fn picture(
    me: NodeId,
    all: &[NodeId],
    filled: &[NodeId],
    alive: &[NodeId],
    runs: &BTreeMap<NodeId, Incarnation>,
) -> Arc<View> {
    let address = ([127, 0, 0, 1], 1).into();
    let member = |id: &NodeId| {
        let holds = if filled.contains(id) { PartitionSet::all() } else { PartitionSet::none() };
        let run = runs.get(id).copied().unwrap_or(Incarnation(1));
        (*id, Member::starting("n".to_owned(), address, address, run, holds))
    };
    let nodes: BTreeMap<NodeId, Member> = all.iter().map(member).collect();
    Arc::new(View::new(me, Members::new(3, nodes), alive.iter().copied().collect::<BTreeSet<_>>()))
}
