//! What replication costs in bytes, and what durability costs in time: whole cores, driven by hand.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use replica::{
    Action, Actor, BatchSeq, Core, Event, Incarnation, Member, Members, MemoryStore, Message, NodeId, Now, Operation,
    PartitionId, PartitionSet, Quorum, Request, RequestId, Settings, Store, TICK_MS, View, Write,
};
use server::disk::{Disk, Durability, Progress};
use server::engine::EngineKind;

use crate::{node, print};

fn partition() -> PartitionId {
    PartitionId::of_slot(0)
}

fn view(me: NodeId, all: &[NodeId], alive: &[NodeId]) -> Arc<View> {
    let address = ([127, 0, 0, 1], 1).into();
    let member =
        |id: &NodeId| (*id, Member::starting("n".to_owned(), address, address, Incarnation(1), PartitionSet::all()));
    let members = Members::new(all.len() as u8, all.iter().map(member).collect());
    Arc::new(View::new(me, members, alive.iter().copied().collect::<BTreeSet<_>>()))
}

struct Node {
    id: NodeId,
    core: Core,
    store: MemoryStore,
    now_ms: u64,
}

impl Node {
    fn new(id: NodeId) -> Self {
        let (store, actor) = (MemoryStore::new(), Actor { node: id, incarnation: Incarnation(1) });
        let core = Core::new(actor, Settings::default(), [partition()].into_iter(), &store).expect("it reads");
        Self { id, core, store, now_ms: 0 }
    }

    fn handle(&mut self, event: Event) -> Vec<(NodeId, Message)> {
        let now = Now { mono_ms: self.now_ms, wall_ms: 1_767_225_600_000 + self.now_ms };
        let (mut out, mut sent) = (Vec::new(), Vec::new());
        self.core.handle(now, event, &self.store, &mut out);
        for action in out {
            match action {
                Action::Write(batch) => {
                    self.store.apply(&batch);
                    sent.extend(self.handle(Event::Flushed(batch.seq)));
                }
                Action::Send(to, message) => sent.push((to, message)),
                _ => {}
            }
        }
        sent
    }

    fn set(&mut self, n: u64) -> Vec<(NodeId, Message)> {
        let operation = Operation::Write(Write::Set(value(n)));
        let request = Request { quorum: Quorum::of(1), ..Request::new(partition(), key(n), operation) };
        self.handle(Event::Client(RequestId(n), request))
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("key:{n:012}").into_bytes()
}

fn value(n: u64) -> Vec<u8> {
    format!("{n:03}").into_bytes()
}

/// Delivers until nobody has anything to say; counts bytes.
fn exchange(nodes: &mut [Node], from: usize, sent: Vec<(NodeId, Message)>) -> usize {
    let mut queue: Vec<_> = sent.into_iter().map(|(to, message)| (nodes[from].id, to, message)).collect();
    let mut bytes = 0;
    while let Some((from, to, message)) = queue.pop() {
        bytes += postcard::to_allocvec(&message).expect("it encodes").len();
        if let Some(node) = nodes.iter_mut().find(|node| node.id == to) {
            let replies = node.handle(Event::Peer(from, message));
            queue.extend(replies.into_iter().map(|(next, message)| (to, next, message)));
        }
    }
    bytes
}

fn pass_time(nodes: &mut [Node], ticks: usize) -> usize {
    let (mut bytes, count) = (0, nodes.len());
    for at in (0..ticks).flat_map(|_| 0..count) {
        nodes[at].now_ms += TICK_MS;
        let sent = nodes[at].handle(Event::Tick);
        bytes += exchange(nodes, at, sent);
    }
    bytes
}

/// Two owners of a partition of 1,000,000 keys: what they say when nothing is missing, what they say to repair 1,000 keys
/// that one of them missed, and what a key keeps once everybody has it.
pub(crate) fn sync() {
    const KEYS: u64 = 1_000_000;
    const MISSED: u64 = 1_000;
    let ids = [node(0), node(1)];
    let mut nodes: Vec<Node> = ids.iter().map(|id| Node::new(*id)).collect();
    let together = |nodes: &mut Vec<Node>| {
        for node in nodes {
            let view = view(node.id, &ids, &ids);
            node.handle(Event::View(view));
        }
    };
    together(&mut nodes);
    pass_time(&mut nodes, 20);
    for n in 0..KEYS {
        let sent = nodes[0].set(n);
        exchange(&mut nodes, 0, sent);
        if n % 10_000 == 0 {
            pass_time(&mut nodes, 2);
        }
    }
    pass_time(&mut nodes, 60);

    const ROUNDS: usize = 40;
    let idle = pass_time(&mut nodes, ROUNDS);
    print("sync-idle-bytes", idle as f64 / ROUNDS as f64, 64.0);

    let alone = view(ids[0], &ids, &ids[..1]);
    nodes[0].handle(Event::View(alone));
    for n in 0..MISSED {
        let _ = nodes[0].set(n * (KEYS / MISSED)); // and what it sends is lost
    }
    together(&mut nodes);
    let payload: usize = (0..MISSED).map(|n| key(n).len() + value(n).len()).sum();
    let bytes = pass_time(&mut nodes, 60) - payload;
    print("sync-bytes-per-missing-dot", bytes as f64 / MISSED as f64, 16.0);

    // Everything but the value and its clock reading, over and above what names the place.
    let mut metadata = None;
    let wanted = key(7);
    let found = nodes[0].store.scan(b"K", b"K", &mut |path, record| {
        if path.ends_with(&wanted) {
            metadata = Some(record.len() - value(7).len() - 8);
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    });
    found.expect("it reads");
    print("metadata-bytes-per-stable-key", metadata.expect("the key is there") as f64, 12.0);
}

/// Writes by 64 clients, each of which waits until its own is on disk, through one core and the server's disk thread.
pub(crate) fn durable_puts() {
    const WRITERS: u64 = 64;
    const SECONDS: u64 = 3;
    let folder = tempfile::tempdir().expect("a folder");
    let (progress, progressed) = channel();
    let on_progress = Box::new(move |_, news| {
        let _ = progress.send(news); // nobody asks any more once the time is up
    });
    let records = server::engine::open(EngineKind::Fjall, folder.path()).expect("an empty folder opens");
    let disk = Disk::start(records, Durability::Always, on_progress).expect("it starts");
    let mut store = disk.view(0);
    let id = node(0);
    let actor = Actor { node: id, incarnation: Incarnation(1) };
    let mut core = Core::new(actor, Settings::default(), [partition()].into_iter(), &store).expect("it reads");
    let began = Instant::now();
    let now = || Now { mono_ms: began.elapsed().as_millis() as u64, wall_ms: 1_767_225_600_000 };
    let mut actions = Vec::new();
    core.handle(now(), Event::View(view(id, &[id], &[id])), &store, &mut actions);
    let (mut asked, mut done) = (0, 0);
    let deadline = Duration::from_secs(SECONDS);
    let mut free = WRITERS;
    while began.elapsed() < deadline {
        for _ in 0..std::mem::take(&mut free) {
            asked += 1;
            let n = asked * 7_919 % 100_000;
            let operation = Operation::Write(Write::Set(value(n)));
            let request = Request { quorum: Quorum::of(1), ..Request::new(partition(), key(n), operation) };
            core.handle(now(), Event::Client(RequestId(asked), request), &store, &mut actions);
            free += take(&mut actions, &mut store);
            // A turn takes so many at most: one half is on its way to the disk while the other is worked on.
            if asked.is_multiple_of(32) {
                store.submit();
            }
        }
        store.submit();
        done += free;
        let mut wait = Some(Duration::from_millis(100));
        while let Ok(news) = wait.take().map_or_else(
            || progressed.try_recv().map_err(drop),
            |longest| progressed.recv_timeout(longest).map_err(drop),
        ) {
            match news {
                Progress::Readable(upto) => store.readable(upto),
                Progress::Flushed(BatchSeq(upto)) => {
                    core.handle(now(), Event::Flushed(BatchSeq(upto)), &store, &mut actions);
                    let answered = take(&mut actions, &mut store);
                    (free, done) = (free + answered, done + answered);
                }
            }
            store.submit();
        }
    }
    let rate = done as f64 / began.elapsed().as_secs_f64();
    print("durable-puts-per-s-64-writers", rate, 100_000.0);
    println!("fdatasync-us\t{:.1}\t-\t-", fdatasync_us(folder.path()));
}

/// Stages what is to be written; says how many were answered.
fn take(actions: &mut Vec<Action>, store: &mut server::disk::DiskView) -> u64 {
    let mut answered = 0;
    for action in actions.drain(..) {
        match action {
            Action::Write(batch) => store.stage(batch),
            Action::Answer(..) => answered += 1,
            _ => {}
        }
    }
    answered
}

/// The median time of a small append and its fdatasync.
fn fdatasync_us(folder: &std::path::Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("append")).expect("a file");
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; 256]).expect("there is room");
            file.sync_data().expect("it syncs");
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
