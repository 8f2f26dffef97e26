//! A worker: one thread, one replica core with its share of the partitions, and the connections it was given.
//!
//! Shared-nothing: a request for a partition of another worker travels to it as a message, and its answer back.
//! What a turn writes goes to the disk thread in one piece when the turn is over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use replica::{
    Action, Actor, Answer, Core, Event, Failure, Incarnation, Message, NodeId, Now, Operation, PARTITIONS, PartitionId,
    Request, RequestId, Settings, TICK_MS,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::connection;
use crate::disk::{DiskView, Durability, Progress};
use crate::error::Error;
use crate::gather::Gather;
use crate::node::{self, Node};
use crate::pace::Pace;
use crate::peer::PeerFrame;
use crate::procedures::Commands;

/// How many messages one turn takes from the inbox.
const TURN_MESSAGES: usize = 512;

const TICKS_PER_SECOND: u64 = 1_000 / TICK_MS;

/// What reaches a worker from other threads. Bounded by what sends it: each connection has a limited number of
/// requests under way, each peer link a limited queue.
pub enum ToWorker {
    /// For the replica core.
    Event(Event),
    /// From another node, in a frame of so many bytes.
    Peer(NodeId, Box<Message>, usize),
    /// From the disk thread.
    Disk(Progress),
    /// A request of another worker's connection.
    Ask {
        /// The request.
        request: Request,
        /// The worker that waits.
        worker: usize,
        /// What the answer must name.
        id: RequestId,
    },
    /// A request of somebody outside the workers.
    AskFromOutside {
        /// The request.
        request: Request,
        /// Who waits.
        waits: oneshot::Sender<Answer>,
    },
    /// The answer to a request this worker has passed on.
    Answered {
        /// Which request.
        id: RequestId,
        /// What came of it.
        answer: Answer,
    },
    /// A new connection, by TLS or not.
    Accept(std::net::TcpStream, Option<TlsAcceptor>),
    /// Mint under another incarnation.
    Reincarnate(Incarnation),
    /// The node ends: hand everything to the disk, and say so.
    HandOver(oneshot::Sender<()>),
}

/// Who waits for an answer.
enum Waiter {
    Here(Rc<Gather>, usize),
    Worker(usize, RequestId),
    Outside(oneshot::Sender<Answer>),
}

/// The state of one worker.
pub struct Worker {
    index: usize,
    core: Core,
    disk: DiskView,
    node: Arc<Node>,
    waiters: HashMap<RequestId, Waiter, foldhash::fast::FixedState>,
    next_id: u64,
    started: Instant,
    /// What the clock on the wall said at some moment of late.
    wall: (Instant, Duration),
    actions: Vec<Action>,
    answered: Vec<(Waiter, Answer)>,
    settling: bool,
    /// For when there is a timer for what the core has to do next.
    timed_ms: Option<u64>,
    pace: Pace,
    ticks: u64,
}

/// A worker as its connections hold it.
#[derive(Clone)]
pub struct WorkerRef(Rc<RefCell<Worker>>);

/// The worker that has a partition.
#[must_use]
pub fn worker_of(partition: PartitionId, workers: usize) -> usize {
    usize::from(partition.number()) % workers
}

impl Worker {
    fn new(index: usize, node: Arc<Node>) -> Result<Self, Error> {
        let disk = node.disk.view(index);
        let share = (0..PARTITIONS).filter_map(PartitionId::new).filter(|p| worker_of(*p, node.workers()) == index);
        let actor = Actor { node: node.id, incarnation: node.incarnation() };
        let core = Core::new(actor, settings(&node), share, &disk);
        let core = core.map(|core| core.with_procedures(Arc::new(Commands::of(&node))));
        let core = core.map_err(|why| Error::DamagedData { path: node.options.data.clone(), why: why.to_string() })?;
        let pace = Pace::new(&node.latencies);
        Ok(Self {
            index,
            core,
            disk,
            node,
            waiters: HashMap::default(),
            next_id: 0,
            started: Instant::now(),
            wall: (Instant::now(), node::wall()),
            actions: Vec::new(),
            answered: Vec::new(),
            settling: false,
            timed_ms: None,
            pace,
            ticks: 0,
        })
    }

    /// Both clocks by one look at one of them: how far they are apart is seen anew with each tick.
    fn now_at(&self, at: Instant) -> Now {
        let (noted, wall) = self.wall;
        let wall = wall + at.saturating_duration_since(noted);
        let mono = at.saturating_duration_since(self.started);
        Now { mono_ms: mono.as_millis() as u64, wall_ms: wall.as_millis() as u64 }
    }

    fn handle(&mut self, event: Event) {
        let mut actions = std::mem::take(&mut self.actions);
        self.core.handle(self.now_at(Instant::now()), event, &self.disk, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Write(batch) => {
                    self.node.waiting_clients.wake(&batch);
                    self.node.tracking.note(&batch);
                    self.disk.stage(batch);
                }
                Action::Send(to, message) => self.node.peers.send(to, &PeerFrame::Core(Box::new(message))),
                Action::Answer(id, answer) => {
                    if let Some(waiter) = self.waiters.remove(&id) {
                        self.answered.push((waiter, answer));
                    }
                }
                Action::Merged(report) => self.node.publish_merge(&report),
                Action::Filled(partition, placement) => self.node.holdings.is_filled(partition, placement),
                Action::Dropped(partition) => self.node.holdings.is_dropped(partition),
                Action::Amnesia => self.node.reincarnate(None),
                Action::Alarm(what) => tracing::error!("{what}"),
            }
        }
        self.actions = actions;
    }

    /// How much waits for the disk, if that is too much.
    fn is_busy(&self) -> Option<u64> {
        let (backlog, limit) = (self.disk.backlog_bytes() as u64, self.node.config.backlog_bytes.get());
        (backlog > limit / self.node.workers() as u64).then_some(backlog)
    }

    fn ask(&mut self, request: Request, waiter: Waiter) {
        self.next_id += 1;
        let id = RequestId(self.next_id);
        let owner = worker_of(request.partition, self.node.workers());
        if owner == self.index
            && matches!(request.operation, Operation::Write(_))
            && let Some(backlog_bytes) = self.is_busy()
        {
            return self.answered.push((waiter, Answer::Failed(Failure::Busy { backlog_bytes })));
        }
        self.waiters.insert(id, waiter);
        if owner == self.index {
            self.handle(Event::Client(id, request));
        } else {
            self.node.tell(owner, ToWorker::Ask { request, worker: self.index, id });
        }
    }
}

fn settings(node: &Node) -> Settings {
    let durability = match node.options.durability {
        _ if node.options.is_in_memory() => replica::Durability::Volatile,
        Durability::Always => replica::Durability::Flushed,
        Durability::Interval | Durability::None => replica::Durability::Applied,
    };
    let stand_in_bytes = node.config.stand_in_bytes.get() / node.workers() as u64;
    let log_bytes = node.config.log_max_bytes.get() / node.workers() as u64;
    Settings { durability, timeout_ms: node.config.timeout_ms.get(), stand_in_bytes, log_bytes, ..Settings::default() }
}

impl WorkerRef {
    /// The answer to a read of this moment that needs nobody else, and that this worker has the partition for.
    pub fn read_alone(&self, request: &Request, at: Instant) -> Option<Answer> {
        let worker = self.0.borrow();
        let is_here = worker_of(request.partition, worker.node.workers()) == worker.index;
        is_here.then(|| worker.core.read_alone(worker.now_at(at), request, &worker.disk)).flatten()
    }

    /// Asks the replicas; the answer comes to the gathering of a command, at this place of it.
    pub fn ask(&self, request: Request, gather: &Rc<Gather>, place: usize) {
        self.0.borrow_mut().ask(request, Waiter::Here(Rc::clone(gather), place));
    }

    /// Sees to it that the core is called when it wants to be.
    fn set_timer(&self) {
        let worker = &mut *self.0.borrow_mut();
        let is_earlier = |due_ms: &u64| worker.timed_ms.is_none_or(|timed_ms| *due_ms < timed_ms);
        let Some(due_ms) = worker.core.due_ms().filter(is_earlier) else { return };
        worker.timed_ms = Some(due_ms);
        let wait = Duration::from_millis(due_ms).saturating_sub(worker.started.elapsed());
        let this = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(wait).await;
            {
                let worker = &mut *this.0.borrow_mut();
                // One that was set later, for an earlier time, may have been first.
                worker.timed_ms = worker.timed_ms.filter(|timed_ms| *timed_ms != due_ms);
                worker.handle(Event::Due);
            }
            this.end_turn();
        });
    }

    /// Hands out the answers that have come, and what they lead to.
    pub fn settle(&self) {
        if std::mem::replace(&mut self.0.borrow_mut().settling, true) {
            return;
        }
        loop {
            let answered = std::mem::take(&mut self.0.borrow_mut().answered);
            if answered.is_empty() {
                break;
            }
            for (waiter, answer) in answered {
                match waiter {
                    Waiter::Here(gather, place) => gather.accept(place, answer, self),
                    // Whoever waited may be gone.
                    Waiter::Outside(waits) => drop(waits.send(answer)),
                    Waiter::Worker(worker, id) => self.0.borrow().node.tell(worker, ToWorker::Answered { id, answer }),
                }
            }
        }
        self.0.borrow_mut().settling = false;
    }

    /// Ends a turn: what it wrote goes to the disk.
    pub fn end_turn(&self) {
        self.settle();
        {
            let worker = &mut *self.0.borrow_mut();
            worker.disk.submit();
            worker.node.set_busy(worker.index, worker.is_busy().is_some());
        }
        self.set_timer();
    }

    fn receive(&self, message: ToWorker) {
        match message {
            ToWorker::Event(event) => self.0.borrow_mut().handle(event),
            ToWorker::Peer(from, message, bytes) => {
                let worker = &mut *self.0.borrow_mut();
                worker.node.count_peer_bytes(worker.index, -(bytes as isize));
                worker.handle(Event::Peer(from, *message));
            }
            ToWorker::Disk(Progress::Readable(seq)) => self.0.borrow_mut().disk.readable(seq),
            ToWorker::Disk(Progress::Flushed(seq)) => self.0.borrow_mut().handle(Event::Flushed(seq)),
            ToWorker::Ask { request, worker, id } => self.0.borrow_mut().ask(request, Waiter::Worker(worker, id)),
            ToWorker::AskFromOutside { request, waits } => self.0.borrow_mut().ask(request, Waiter::Outside(waits)),
            ToWorker::Answered { id, answer } => {
                let worker = &mut *self.0.borrow_mut();
                if let Some(waiter) = worker.waiters.remove(&id) {
                    worker.answered.push((waiter, answer));
                }
            }
            ToWorker::Accept(stream, tls) => {
                let node = Arc::clone(&self.0.borrow().node);
                match TcpStream::from_std(stream) {
                    Ok(stream) => drop(tokio::task::spawn_local(connection::accept(stream, tls, self.clone(), node))),
                    Err(why) => tracing::warn!("a connection could not be served: {why}"),
                }
            }
            ToWorker::HandOver(done) => {
                self.0.borrow_mut().disk.submit_all();
                // Whoever waited may have given up.
                let _ = done.send(());
            }
            ToWorker::Reincarnate(incarnation) => self.0.borrow_mut().handle(Event::Reincarnate(incarnation)),
        }
    }

    fn tick(&self) {
        let worker = &mut *self.0.borrow_mut();
        worker.wall = (Instant::now(), node::wall());
        worker.ticks += 1;
        if worker.ticks.is_multiple_of(TICKS_PER_SECOND) {
            let config = &worker.node.config;
            let limit = Duration::from_millis(config.stream_latency_ms.get());
            worker.pace.follow(&worker.node.latencies, limit, config.stream_bytes_per_s.get());
        }
        let stream_bytes_per_s = worker.pace.bytes_per_s() / worker.node.workers() as u64;
        worker.core.set(Settings { stream_bytes_per_s, ..settings(&worker.node) });
        worker.handle(Event::Tick);
        worker.node.scrubs.note(worker.index, worker.core.scrubs());
    }
}

/// Runs a worker on this thread until the process ends.
pub(crate) async fn run(
    index: usize,
    node: Arc<Node>,
    mut inbox: UnboundedReceiver<ToWorker>,
    ready: impl FnOnce(),
) -> Result<(), Error> {
    let worker = WorkerRef(Rc::new(RefCell::new(Worker::new(index, node)?)));
    ready();
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut turn = Vec::with_capacity(TURN_MESSAGES);
    loop {
        tokio::select! {
            taken = inbox.recv_many(&mut turn, TURN_MESSAGES) => {
                if taken == 0 {
                    return Ok(());
                }
                worker.0.borrow().node.taken(index, taken);
                turn.drain(..).for_each(|message| worker.receive(message));
            }
            _ = ticks.tick() => worker.tick(),
        }
        worker.end_turn();
    }
}

/// A message from another node, for the worker that has the partition; waits while that one is far behind.
pub(crate) async fn deliver(node: &Arc<Node>, from: NodeId, message: Message, bytes: usize) {
    let owner = worker_of(message.partition(), node.workers());
    while node.is_behind(owner) {
        // Nothing is read from it for now, which is not its fault.
        node.with_cluster(|cluster, now, out| cluster.heard(from, now, out));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.count_peer_bytes(owner, bytes as isize);
    node.tell(owner, ToWorker::Peer(from, Box::new(message), bytes));
}
