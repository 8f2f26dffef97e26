//! Bugs that were found, each with the smallest run that shows it, driven by hand through the public interface.

#[path = "stories/alike.rs"]
mod alike;
#[path = "stories/moves.rs"]
mod moves;

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt::{Content, Hlc, reading};
use replica::{
    Action, Actor, Answer, CellId, Change, ClockNote, Contents, Context, Core, Dot, Entry, Event, Failure, Incarnation,
    Medium, Member, Members, MemoryStore, Message, NodeId, Now, Operation, PartitionId, PartitionSet, Place, Read,
    Request, Settings, TICK_MS, Ticket, View, Write,
};

fn node(n: u128) -> NodeId {
    NodeId(uuid::Uuid::from_u128(n << 64 | 7))
}

fn partition() -> PartitionId {
    PartitionId::of_slot(48)
}

fn dot(n: u128, counter: u64) -> Dot {
    Dot::new(Actor { node: node(n), incarnation: Incarnation(1) }, counter)
}

/// The picture of a cluster of `all`, of which `filled` hold everything.
fn view(me: NodeId, filled: &[u128], all: &[u128]) -> Arc<View> {
    let address = ([127, 0, 0, 1], 1).into();
    let member = |n: &u128| {
        let set = if filled.contains(n) { PartitionSet::all() } else { PartitionSet::none() };
        (node(*n), Member::starting(format!("n{n}"), address, address, Incarnation(1), set))
    };
    let nodes: BTreeMap<NodeId, Member> = all.iter().map(member).collect();
    let alive = nodes.keys().copied().collect();
    Arc::new(View::new(me, Members::new(3, nodes), alive))
}

struct Replica {
    id: NodeId,
    core: Core,
    store: MemoryStore,
    now_ms: u64,
    wall_ms: u64,
    says_filled: bool,
}

impl Replica {
    fn new(n: u128, filled: &[u128], all: &[u128], answer_bytes: usize) -> Self {
        let store = MemoryStore::new();
        let actor = Actor { node: node(n), incarnation: Incarnation(1) };
        let settings = Settings { answer_bytes, stream_bytes_per_s: u64::MAX, ..Settings::default() };
        let core = Core::new(actor, settings, [partition()].into_iter(), &store).expect("an empty store reads");
        let mut replica = Self { id: node(n), core, store, now_ms: 0, wall_ms: 1, says_filled: false };
        replica.handle(Event::View(view(node(n), filled, all)));
        replica
    }

    /// Handles an event, flushes at once, and gives what it sends.
    fn handle(&mut self, event: Event) -> Vec<(NodeId, Message)> {
        let (now, mut out) = (Now { mono_ms: self.now_ms, wall_ms: self.wall_ms }, Vec::new());
        self.core.handle(now, event, &self.store, &mut out);
        let mut sent = Vec::new();
        for action in out {
            match action {
                Action::Write(batch) => {
                    self.store.apply(&batch);
                    sent.extend(self.handle(Event::Flushed(batch.seq)));
                }
                Action::Send(to, message) => sent.push((to, message)),
                Action::Filled(..) => self.says_filled = true,
                _ => {}
            }
        }
        sent
    }

    fn receive(&mut self, from: NodeId, message: Message) -> Vec<Message> {
        self.handle(Event::Peer(from, message)).into_iter().map(|(_, message)| message).collect()
    }

    fn receive_delta(&mut self, change: Change) {
        self.receive(change.dot.actor.node, Message::Delta(Ticket(1), partition(), Medium::Memory, vec![change]));
    }

    fn contents(&self) -> Contents {
        self.core.contents(partition(), &self.store).expect("it reads")
    }

    fn live(&self, key: &str) -> Vec<Dot> {
        let cell = self.contents().cells.get(&(key.as_bytes().to_vec(), CellId::value())).cloned();
        cell.map_or(Vec::new(), |state| state.live.dots().copied().collect())
    }
}

fn set(key: &str, dot: Dot, seen: &[Dot]) -> Change {
    let content = Content::Value { bytes: dot.counter.to_string().into_bytes(), seen: Vec::new() };
    let place = Place::Cell(key.as_bytes().to_vec(), CellId::value());
    Change { place, dot, entry: Some(Entry { at: Hlc(5), content }), seen: seen.iter().copied().collect() }
}

fn request(key: &str, write: Write) -> Request {
    Request::new(partition(), key, Operation::Write(write))
}

/// A removal of one key names everything its author had seen in the partition, and is kept as a residual of that key by whoever lacks
/// some of it. A clear took such residuals for its own past: it removed a write to another key which its author had never seen.
#[test]
fn a_clear_does_not_remove_what_only_the_removal_of_another_key_had_seen() {
    let all = [1, 2];
    let (mut first, mut second) = (Replica::new(1, &all, &all, 100), Replica::new(2, &all, &all, 100));
    let deltas = |sent: Vec<(NodeId, Message)>| -> Vec<Message> {
        sent.into_iter().map(|(_, message)| message).filter(|message| matches!(message, Message::Delta(..))).collect()
    };
    // Whoever a request is passed on to coordinates it.
    let ask = |id, request| Event::Peer(node(9), Message::Forward(Ticket(id), request));
    let unseen = deltas(first.handle(ask(1, request("cart", Write::Set(b"milk".to_vec())))));
    let added = deltas(first.handle(ask(2, request("tags", Write::Add(vec!["x".into()])))));
    let removed = deltas(first.handle(ask(3, request("tags", Write::RemoveKey))));
    for message in added.into_iter().chain(removed) {
        second.receive(first.id, message);
    }
    second.handle(ask(4, request("other", Write::Set(b"v".to_vec()))));
    let cleared = deltas(second.handle(ask(5, request("", Write::Clear))));
    for message in unseen {
        second.receive(first.id, message);
    }
    for message in cleared {
        first.receive(second.id, message);
    }
    assert_eq!((first.live("cart").len(), second.live("cart").len()), (1, 1));
}

/// A source knew that a clear had removed `t` before it knew `t` itself, and learnt of `t` while it streamed. Only
/// the residual of the last range was kept then, which no longer named `t`: a late message brought it back to life.
#[test]
fn what_a_clear_removed_stays_removed_when_its_source_learns_of_it_during_a_stream() {
    let all = [1, 2, 3];
    let (mut source, mut receiver) = (Replica::new(1, &all, &all, 100), Replica::new(2, &all, &all, 100));
    let removed = set("t", dot(3, 1), &[]);
    let clear =
        Change { place: Place::Partition, dot: dot(4, 1), entry: None, seen: [dot(3, 1)].into_iter().collect() };
    source.receive_delta(clear);
    for n in 1..=5 {
        source.receive_delta(set(&format!("k{n}"), dot(4, 1 + n), &[]));
    }
    let mut asked = source.receive(receiver.id, Message::Pull(partition(), Context::new()));
    assert!(matches!(asked[0], Message::MustStream(_)));
    asked = receiver.receive(source.id, asked[0].clone());
    let mut ranges = 0;
    while let Some(question @ Message::Stream(..)) = asked.pop() {
        let answers = source.receive(receiver.id, question);
        ranges += 1;
        if ranges == 1 {
            source.receive_delta(removed.clone());
        }
        let range = answers.into_iter().find(|message| matches!(message, Message::Streamed(..))).expect("a range");
        asked = receiver.receive(source.id, range).into_iter().filter(|m| matches!(m, Message::Stream(..))).collect();
    }
    assert!(ranges > 2);
    receiver.receive_delta(removed);
    assert_eq!(receiver.live("t"), source.live("t"));
    assert!(receiver.live("t").is_empty());
}

/// A node asked for what it lacked, ceased to own the partition, dropped it, and only then got the answer: it held
/// the clock of an event without what the event had replaced, and a third node lost the replacement to it.
#[test]
fn a_late_answer_to_a_node_that_has_dropped_the_partition_changes_nothing() {
    let others = [1, 3, 8];
    let drops = |n: &u128| {
        let four = [1, 3, 8, *n];
        !view(node(2), &four, &four).replicas(partition()).contains(node(*n))
    };
    let leaving = (10..200).find(drops).expect("some node is not among the first three");
    let (three, four) = ([1, 3, leaving], [1, 3, 8, leaving]);
    let mut owner = Replica::new(1, &three, &three, 100_000);
    let mut late = Replica::new(leaving, &three, &three, 100_000);
    let old = set("k", dot(3, 1), &[]);
    owner.receive_delta(old.clone());
    late.receive_delta(old);
    owner.receive_delta(set("k", dot(8, 1), &[dot(3, 1)]));
    let note = ClockNote { ask: false, counts_you: true, retired: None, placement: 0, serves: true };
    let asked = late.receive(owner.id, Message::Clock(partition(), note, owner.contents().clock));
    let pull = asked.into_iter().find(|message| matches!(message, Message::Pull(..))).expect("it is behind");
    let answer = owner.receive(late.id, pull);
    late.handle(Event::View(view(late.id, &four, &four)));
    let note = ClockNote { placement: view(late.id, &four, &four).placement, ..note };
    for n in others {
        late.receive(node(n), Message::Clock(partition(), note, owner.contents().clock));
    }
    assert_eq!(late.contents(), Contents::default(), "it has dropped everything");
    // It is to own the partition again, and has nothing yet, when the answer comes.
    late.handle(Event::View(view(late.id, &three, &three)));
    for message in answer {
        late.receive(owner.id, message);
    }
    assert_eq!(late.contents(), Contents::default());
}

/// Any refused command on a partition used to end the stream that was filling it, and to make it count in reads.
#[test]
fn a_refused_command_neither_ends_a_stream_nor_lets_an_incomplete_owner_count() {
    let all = [1, 2, 3];
    let mut receiver = Replica::new(2, &all, &all, 100);
    receiver.receive_delta(set("text", dot(3, 1), &[]));
    receiver.receive(node(1), Message::MustStream(partition()));
    let fetch = || Message::Fetch(Ticket(5), partition(), "x".into(), Read::All, 1);
    let counts = |replies: Vec<Message>| !matches!(replies[..], [Message::FetchedNothing(..)]);
    assert!(!counts(receiver.receive(node(1), fetch())));
    let refused = receiver.receive(node(1), Message::Forward(Ticket(7), request("text", Write::Add(vec!["m".into()]))));
    assert!(matches!(refused[..], [Message::Forwarded(_, _, Answer::Failed(Failure::WrongType))]), "{refused:?}");
    assert!(!counts(receiver.receive(node(1), fetch())));
}

/// A node whose disk is an old copy hears of writes of its own that it does not know: it must not mint on, or one dot
/// would name two writes, until it has a new incarnation.
#[test]
fn a_node_that_hears_of_its_own_unknown_writes_mints_nothing_until_it_is_reborn() {
    let all = [1, 2, 3];
    let note = ClockNote { ask: false, counts_you: true, retired: None, placement: 0, serves: true };
    let news = [
        Message::Clock(partition(), note, [dot(1, 7)].into_iter().collect()),
        Message::Delta(Ticket(1), partition(), Medium::Memory, vec![set("k", dot(1, 7), &[])]),
    ];
    for message in news {
        let mut copy = Replica::new(1, &all, &all, 100_000);
        let write = || Message::Forward(Ticket(7), request("k", Write::Set(b"v".to_vec())));
        let (now, mut out) = (Now { mono_ms: 0, wall_ms: 1 }, Vec::new());
        copy.core.handle(now, Event::Peer(node(2), message), &copy.store, &mut out);
        assert_eq!(out, [Action::Amnesia]);
        let refused = copy.receive(node(2), write());
        assert!(matches!(refused[..], [Message::Forwarded(_, _, Answer::Failed(Failure::NotAnOwner))]), "{refused:?}");
        copy.handle(Event::Reincarnate(Incarnation(2)));
        let sent = copy.receive(node(2), write());
        let minted = sent.iter().find_map(|message| match message {
            Message::Delta(.., changes) => changes.first().map(|change| change.dot),
            _ => None,
        });
        let reborn = Actor { node: node(1), incarnation: Incarnation(2) };
        assert_eq!(minted, Some(Dot::new(reborn, 1)));
    }
}

/// Delivers messages among the replicas that are up until nobody has anything to say.
fn exchange(replicas: &mut [Replica], up: &[usize], from: usize, sent: Vec<(NodeId, Message)>) {
    let mut queue: Vec<_> = sent.into_iter().map(|(to, message)| (replicas[from].id, to, message)).collect();
    while !queue.is_empty() {
        let (from, to, message) = queue.remove(0);
        if let Some(at) = up.iter().copied().find(|at| replicas[*at].id == to) {
            let replies = replicas[at].handle(Event::Peer(from, message));
            queue.extend(replies.into_iter().map(|(next, message)| (to, next, message)));
        }
    }
}

fn pass_time(replicas: &mut [Replica], up: &[usize], ticks: usize) {
    for at in (0..ticks).flat_map(|_| up.to_vec()) {
        replicas[at].now_ms += TICK_MS;
        let sent = replicas[at].handle(Event::Tick);
        exchange(replicas, up, at, sent);
    }
}

fn write(replicas: &mut [Replica], up: &[usize], at: usize, write: Write) {
    let sent = replicas[at].handle(Event::Peer(node(99), Message::Forward(Ticket(7), request("n", write))));
    exchange(replicas, up, at, sent);
}

/// A node was cut off while another took its place, and counted on in its old picture. The others had settled a
/// removal of the counter among themselves, and forgotten what it had seen, when its increment arrived.
#[test]
fn an_increment_at_a_former_owner_brings_back_no_more_than_itself() {
    let outside = |n: &u128| {
        let four = [1, 3, 8, *n];
        !view(node(2), &four, &four).replicas(partition()).contains(node(*n))
    };
    let former = (10..200).find(outside).expect("some node is not among the first three");
    let (all, old) = ([1, 3, 8, former], [1, 3, former]);
    let mut replicas: Vec<_> = all.iter().map(|n| Replica::new(*n, &old, &all, 1 << 20)).collect();
    let (everybody, three, alone) = ([0, 1, 2, 3], [0, 1, 2], [3]);
    pass_time(&mut replicas, &everybody, 40);
    write(&mut replicas, &everybody, 3, Write::Increment(CellId::value(), 5));
    pass_time(&mut replicas, &everybody, 40);
    for at in three {
        let id = replicas[at].id;
        replicas[at].handle(Event::View(view(id, &all, &all)));
    }
    write(&mut replicas, &alone, 3, Write::Increment(CellId::value(), 1));
    write(&mut replicas, &three, 0, Write::RemoveKey);
    pass_time(&mut replicas, &three, 100);
    let id = replicas[3].id;
    replicas[3].handle(Event::View(view(id, &all, &all)));
    pass_time(&mut replicas, &everybody, 100);
    for at in three {
        let cell = replicas[at].contents().cells.get(&(b"n".to_vec(), CellId::value())).cloned().unwrap_or_default();
        assert_eq!(
            reading::winner(&cell.live).as_deref(),
            Some(b"1".as_slice()),
            "replica {at}: only the unseen increment is left"
        );
    }
}

/// An owner that had ceased to be one was not told of writes, or had dropped what it had; when it came to own the partition
/// again it counted at once.
#[test]
fn an_owner_that_comes_back_counts_only_when_it_has_been_filled_again() {
    let outside = |n: &u128| {
        let four = [1, 3, 8, *n];
        !view(node(2), &four, &four).replicas(partition()).contains(node(*n))
    };
    let n = (10..200).find(outside).expect("some node is not among the first three");
    let (with, without) = ([1, 3, n], [1, 3, 8, n]);
    let mut returning = Replica::new(n, &with, &with, 1 << 20);
    returning.handle(Event::View(view(node(n), &without, &without)));
    let (now, mut out) = (Now { mono_ms: 0, wall_ms: 1 }, Vec::new());
    returning.core.handle(now, Event::View(view(node(n), &with, &with)), &returning.store, &mut out);
    assert!(out.contains(&Action::Dropped(partition())), "{out:?}");
    let fetch = Message::Fetch(Ticket(3), partition(), b"k".to_vec().into(), Read::All, 0);
    assert!(matches!(returning.receive(node(1), fetch)[..], [Message::FetchedNothing(..)]));
    // Now it has said that it lacks what the others have, and is filled.
    returning.handle(Event::View(view(node(n), &[1, 3], &with)));
    assert_eq!(view(node(n), &[1, 3], &with).replicas(partition()).filling, [node(n)]);
}

/// A node that is being filled says that it holds everything only when it has what the owners that answer have.
#[test]
fn an_owner_being_filled_does_not_count_before_it_has_caught_up() {
    let (filled, all) = ([1, 2], [1, 2, 3]);
    let mut filling = Replica::new(3, &filled, &all, 1 << 20);
    let note = ClockNote {
        ask: false,
        counts_you: true,
        retired: None,
        placement: view(node(3), &filled, &all).placement,
        serves: true,
    };
    let clock: Context = [dot(1, 1)].into_iter().collect();
    let mut says = |event| {
        let (now, mut out) = (Now { mono_ms: 0, wall_ms: 1 }, Vec::new());
        filling.core.handle(now, event, &filling.store, &mut out);
        out.iter().any(|action| matches!(action, Action::Filled(..)))
    };
    for n in filled {
        assert!(!says(Event::Peer(node(n), Message::Clock(partition(), note, clock.clone()))));
    }
    assert!((0..20).all(|_| !says(Event::Tick)));
    let delta = Message::Delta(Ticket(1), partition(), Medium::Memory, vec![set("k", dot(1, 1), &[])]);
    says(Event::Peer(node(1), delta));
    assert!(says(Event::Flushed(replica::BatchSeq(1))) || (0..20).any(|_| says(Event::Tick)));
}

/// Two layouts in quick succession: owners that came back said that they have to be filled, and those before them had let go on
/// an earlier word of theirs. Everything was there, and nobody served it, for ever.
#[test]
fn owners_of_whom_none_serves_begin_once_they_know_what_all_know() {
    let all = [1, 3, 8, 12];
    let owners = view(node(1), &all, &all).replicas(partition()).serving.clone();
    let order = all.iter().copied().filter(|n| owners.contains(&node(*n)));
    let order: Vec<u128> = order.chain(all.iter().copied().filter(|n| !owners.contains(&node(*n)))).collect();
    let mut replicas: Vec<_> = order.iter().map(|n| Replica::new(*n, &all, &all, 1 << 20)).collect();
    let (owners, everybody) = ([0, 1, 2], [0, 1, 2, 3]);
    pass_time(&mut replicas, &everybody, 20);
    write(&mut replicas, &[0, 1], 0, Write::Set(b"v".to_vec()));
    for (at, n) in order.iter().enumerate() {
        replicas[at].handle(Event::View(view(node(*n), &[], &all)));
        replicas[at].says_filled = false;
    }
    pass_time(&mut replicas, &[2], 50);
    pass_time(&mut replicas, &[0, 1, 2], 50);
    let filled = |replicas: &[Replica]| owners.map(|at| replicas[at].says_filled);
    assert_eq!(filled(&replicas), [false; 3], "the fourth answers, and has not said yet that it has no more");
    pass_time(&mut replicas, &everybody, 50);
    assert_eq!(filled(&replicas), [true; 3]);
    assert!(replicas[2].contents() == replicas[0].contents() && !replicas[2].contents().cells.is_empty());
    assert!(!replicas[3].says_filled);
}
