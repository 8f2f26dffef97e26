//! Partitions that move, and move again before everybody has heard: whole nodes, with their membership, driven by hand.
//!
//! The models (`tests/tests/models/moves.rs` in the workspace) found these; each has the guard that is missing there.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use replica::{
    Action, Actor, Answer, Cluster, ClusterAction, Contents, Core, Event, Gossip, Incarnation, LayoutChange, Member,
    Members, MemoryStore, Message, NodeId, Now, Operation, PartitionSet, Presence, Quorum, Read, Role, Settings, Store,
    TICK_MS, Ticket, Write,
};

use super::{node, partition, request};

const LOG_BYTES: u64 = 4_000;

enum Packet {
    Core(Box<Message>),
    Gossip(Gossip),
}

struct Machine {
    id: NodeId,
    cluster: Cluster,
    core: Core,
    store: MemoryStore,
    now_ms: u64,
    sent: Vec<(NodeId, Packet)>,
    /// Has a request been answered to whoever passed it on?
    has_answered: bool,
}

impl Machine {
    fn new(n: u128, members: &Members) -> Self {
        Self::started(n, members, Incarnation(1))
    }

    fn started(n: u128, members: &Members, incarnation: Incarnation) -> Self {
        let (id, store) = (node(n), MemoryStore::new());
        let actor = Actor { node: id, incarnation };
        let settings = Settings { log_bytes: LOG_BYTES, ..Settings::default() };
        let core = Core::new(actor, settings, [partition()].into_iter(), &store);
        let own = Member { incarnation, ..members.nodes[&id].clone() };
        let cluster = Cluster::new(id, own, Some(members.clone()), members.replicas);
        let core = core.expect("an empty store reads");
        let mut machine = Self { id, cluster, core, store, now_ms: 0, sent: Vec::new(), has_answered: false };
        machine.membership(|cluster, _, out| cluster.start(out));
        machine
    }

    fn core(&mut self, event: Event) {
        let (now, mut out) = (Now { mono_ms: self.now_ms, wall_ms: 1 + self.now_ms }, Vec::new());
        self.core.handle(now, event, &self.store, &mut out);
        for action in out {
            match action {
                Action::Write(batch) => {
                    self.store.apply(&batch);
                    self.core(Event::Flushed(batch.seq));
                }
                Action::Send(_, Message::Forwarded(_, _, Answer::Written(_) | Answer::Found(_))) => {
                    self.has_answered = true;
                }
                Action::Send(to, message) => self.sent.push((to, Packet::Core(Box::new(message)))),
                Action::Filled(it, placement) if self.cluster.view().placement == placement => {
                    self.membership(|c, now, out| c.set_filled(&[it], Presence::In, now, out));
                }
                Action::Dropped(it) => self.membership(|c, now, out| c.set_filled(&[it], Presence::Out, now, out)),
                _ => {}
            }
        }
    }

    fn membership(&mut self, work: impl FnOnce(&mut Cluster, u64, &mut Vec<ClusterAction>)) {
        let mut out = Vec::new();
        work(&mut self.cluster, self.now_ms, &mut out);
        for action in out {
            match action {
                ClusterAction::Send(to, gossip) => self.sent.push((to, Packet::Gossip(gossip))),
                ClusterAction::View(view) => self.core(Event::View(view)),
                ClusterAction::Connect(..) | ClusterAction::Reincarnate(_) | ClusterAction::Decided(_) => {}
            }
        }
    }

    fn receive(&mut self, from: NodeId, packet: Packet) {
        match packet {
            Packet::Core(message) => {
                self.membership(|cluster, now, out| cluster.heard(from, now, out));
                self.core(Event::Peer(from, *message));
            }
            Packet::Gossip(gossip) => self.membership(|cluster, now, out| cluster.receive(from, gossip, now, out)),
        }
    }

    fn tick(&mut self) {
        self.now_ms += TICK_MS;
        self.membership(|cluster, now, out| cluster.tick(now, out));
        self.core(Event::Tick);
    }

    fn commit(&mut self, changes: &[LayoutChange]) {
        for change in changes {
            self.cluster.stage(change.clone()).expect("it can be staged");
        }
        let id = self.cluster.propose().expect("it can be done").id;
        self.membership(|cluster, now, out| cluster.commit(id, now, out).expect("nothing has changed"));
    }

    fn contents(&self) -> Contents {
        self.core.contents(partition(), &self.store).expect("it reads")
    }

    fn serves(&self, node: NodeId) -> bool {
        self.cluster.view().replicas(partition()).serving.contains(&node)
    }
}

/// A cluster in which each partition has so many replicas, of which the first nodes hold everything.
fn cluster(all: &[u128], filled: &[u128], replicas: u8) -> Vec<Machine> {
    let member = |n: &u128| {
        let address = |port: u16| ([127, 0, 0, 1], port + *n as u16).into();
        let set = if filled.contains(n) { PartitionSet::all() } else { PartitionSet::none() };
        (node(*n), Member::starting(format!("n{n}"), address(1_000), address(2_000), Incarnation(1), set))
    };
    let members = Members::new(replicas, all.iter().map(member).collect::<BTreeMap<_, _>>());
    all.iter().map(|n| Machine::new(*n, &members)).collect()
}

/// Who sends what to whom.
struct UnderWay<'a> {
    machines: &'a [Machine],
    from: usize,
    to: usize,
    packet: &'a Packet,
}

impl UnderWay<'_> {
    fn is_core(&self) -> bool {
        matches!(self.packet, Packet::Core(_))
    }

    fn is_list(&self) -> bool {
        matches!(self.packet, Packet::Gossip(Gossip::List(_)))
    }
}

/// Hands over what was sent, and what comes of it, but for what is lost.
fn exchange(machines: &mut [Machine], is_lost: &impl Fn(&UnderWay<'_>) -> bool) {
    while let Some(from) = machines.iter().position(|machine| !machine.sent.is_empty()) {
        let (to, packet) = machines[from].sent.remove(0);
        let (id, to) = (machines[from].id, machines.iter().position(|machine| machine.id == to));
        if let Some(to) = to.filter(|to| !is_lost(&UnderWay { machines, from, to: *to, packet: &packet })) {
            machines[to].receive(id, packet);
        }
    }
}

fn nothing_is_lost(_: &UnderWay<'_>) -> bool {
    false
}

fn pass_time(machines: &mut [Machine], ticks: usize, is_lost: &impl Fn(&UnderWay<'_>) -> bool) {
    for _ in 0..ticks {
        for at in 0..machines.len() {
            machines[at].tick();
            exchange(machines, is_lost);
        }
    }
}

fn write(machines: &mut [Machine], at: usize, value: &str, owners: u8) {
    write_to(machines, at, value, Quorum::strict(owners));
}

fn write_to(machines: &mut [Machine], at: usize, value: &str, quorum: Quorum) {
    let mut asked = request("k", Write::Set(value.as_bytes().to_vec()));
    asked.quorum = quorum;
    machines[at].core(Event::Peer(node(99), Message::Forward(Ticket(7), asked)));
}

fn bears(n: u128) -> LayoutChange {
    LayoutChange::Role(node(n), Role::default())
}

/// The first id from `from` on that ranks behind all these for the partition, where nobody has decided anything.
fn ranking_after(before: &[u128], from: u128) -> u128 {
    let is_behind = |n: &u128| {
        let all: Vec<u128> = before.iter().copied().chain([*n]).collect();
        !cluster(&all, &all, before.len() as u8)[0].serves(node(*n))
    };
    (from..from + 100).find(is_behind).expect("one in two does")
}

/// A node owned the partition when there was nothing in it, and was told so. Long after, it is to own it again, and counts
/// at once: by those words it has everything.
#[test]
fn nobody_is_filled_by_words_from_before_the_layout() {
    let second = ranking_after(&[1], 10);
    let mut machines = cluster(&[second, 1], &[second], 1);
    pass_time(&mut machines, 40, &nothing_is_lost);
    assert!(machines[0].serves(node(1)), "the one that ranks first is filled");
    machines[0].commit(&[LayoutChange::Leave(node(1))]);
    pass_time(&mut machines, 40, &nothing_is_lost);
    write(&mut machines, 0, "v", 1);
    pass_time(&mut machines, 100, &nothing_is_lost);
    assert!(machines[0].serves(node(second)) && machines[0].has_answered);
    machines[0].commit(&[LayoutChange::Leave(node(second)), bears(1)]);
    pass_time(&mut machines, 4, &|it| it.is_core());
    assert!(!machines[1].serves(node(1)), "it serves, and has heard nothing of what is there now");
    pass_time(&mut machines, 40, &nothing_is_lost);
    assert!(machines[1].serves(node(1)));
}

/// The second node has been filled, and the first let go of what it had: by the second one's word from when it was being filled.
/// Before that one heard of it, an operator there gave everything back to the first: by its last word the first still had it, and
/// so the second let go as well.
#[test]
fn nobody_lets_go_on_a_word_from_before_the_layout() {
    let mut machines = cluster(&[1, 2], &[1], 1);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(2))]);
    pass_time(&mut machines, 20, &nothing_is_lost);
    write(&mut machines, 0, "v", 1);
    pass_time(&mut machines, 20, &nothing_is_lost);
    assert!(machines[0].serves(node(1)) && !machines[0].contents().cells.is_empty());

    machines[0].commit(&[LayoutChange::Leave(node(1)), bears(2)]);
    let first_is_silent = |it: &UnderWay<'_>| it.from == 0 && !it.machines[0].serves(node(1));
    pass_time(&mut machines, 20, &first_is_silent);
    assert!(machines[1].serves(node(2)) && !machines[1].contents().cells.is_empty(), "it was handed over");

    machines[1].commit(&[bears(1), LayoutChange::Leave(node(2))]);
    pass_time(&mut machines, 1, &first_is_silent);
    pass_time(&mut machines, 100, &nothing_is_lost);
    let holders = machines.iter().filter(|machine| !machine.contents().cells.is_empty()).count();
    assert!(holders > 0, "what was acknowledged is held by nobody");
}

/// An owner was away while another took its place, and while a write was acknowledged by that one and a third. When the layout
/// that gives the place back reaches it, it has never heard that it had lost it, and counts at once.
#[test]
fn an_owner_that_was_away_while_it_was_none_is_filled_again() {
    let mut machines = cluster(&[1, 2, 3, 4], &[1, 2, 3], 3);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(4))]);
    pass_time(&mut machines, 20, &nothing_is_lost);
    let third_is_away = |it: &UnderWay<'_>| it.from == 2 || it.to == 2;
    machines[0].commit(&[LayoutChange::Leave(node(3)), bears(4)]);
    pass_time(&mut machines, 60, &third_is_away);
    assert!(machines[0].serves(node(4)) && !machines[0].serves(node(3)));

    write_to(&mut machines, 0, "v", Quorum::of(2));
    exchange(&mut machines, &|it| third_is_away(it) || (it.is_core() && (it.from == 1 || it.to == 1)));
    assert!(machines[0].has_answered && !machines[3].contents().cells.is_empty());
    machines[0].commit(&[bears(3), LayoutChange::Leave(node(4))]);
    pass_time(&mut machines, 4, &|it| it.is_core());
    let serving = machines.iter().filter(|machine| machines[0].serves(machine.id));
    let lacking = serving.filter(|machine| machine.contents().cells.is_empty()).count();
    assert!(lacking < 2, "two of three that serve lack what was acknowledged");
}

/// A former owner that had not let go yet comes to serve in the place of one that is being filled, before the one that served
/// last, which alone has what was acknowledged since.
#[test]
fn a_former_owner_does_not_serve_in_the_place_of_one_that_is_being_filled() {
    let (second, third) = (ranking_after(&[1], 10), ranking_after(&[1], 50));
    let mut machines = cluster(&[1, second, third], &[1], 1);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(second)), LayoutChange::Leave(node(third))]);
    pass_time(&mut machines, 20, &nothing_is_lost);
    write(&mut machines, 0, "old", 1);
    machines[0].commit(&[LayoutChange::Leave(node(1)), bears(second)]);
    let keeps_its_clock =
        |it: &UnderWay<'_>| it.from == 1 && matches!(it.packet, Packet::Core(it) if matches!(**it, Message::Clock(..)));
    pass_time(&mut machines, 40, &keeps_its_clock);
    assert!(machines[0].serves(node(second)) && !machines[0].contents().cells.is_empty());

    write(&mut machines, 1, "new", 1);
    exchange(&mut machines, &|it| it.is_core());
    machines[1].commit(&[LayoutChange::Leave(node(second)), bears(third)]);
    pass_time(&mut machines, 4, &|it| it.is_core());
    let newest = machines[1].contents().cells;
    for machine in machines.iter().filter(|machine| machines[0].serves(machine.id)) {
        assert_eq!(machine.contents().cells, newest, "{:?} serves, and lacks what was acknowledged", machine.id);
    }
}

/// A node that is being filled was told the clocks of two owners; a write was acknowledged by these two; then it was told the
/// third one's clock, and counted. With that third one it was a quorum that had never heard of the write.
#[test]
fn what_is_acknowledged_during_a_move_is_with_every_quorum_after_it() {
    let fourth = ranking_after(&[1, 2, 3], 10);
    let mut machines = cluster(&[1, 2, 3, fourth], &[1, 2, 3], 3);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(fourth))]);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(3)), bears(fourth)]);
    pass_time(&mut machines, 20, &|it| it.is_core() && it.from == 1);
    assert!(!machines[0].serves(node(fourth)), "it waits for the second owner's word");
    write(&mut machines, 0, "v", 2);
    let between = |it: &UnderWay<'_>, pairs: &[(usize, usize)]| {
        it.is_core() && !pairs.contains(&(it.from, it.to)) && !pairs.contains(&(it.to, it.from))
    };
    exchange(&mut machines, &|it| between(it, &[(0, 2)]));
    assert!(!machines[0].has_answered, "the second and the fourth are a quorum soon, and have not heard of it");
    write(&mut machines, 0, "w", 2);
    exchange(&mut machines, &|it| between(it, &[(0, 2), (0, 3)]));
    assert!(machines[0].has_answered, "the one that is being filled has it");
    pass_time(&mut machines, 20, &|it| between(it, &[(1, 3)]));
    let serving = machines.iter().filter(|machine| machines[0].serves(machine.id));
    let lacking = serving.filter(|machine| machine.contents().cells.is_empty()).count();
    assert!(lacking < 2, "two of three that serve lack what was acknowledged");
}

/// The one owner of a partition was away while two layouts followed each other, and said when it was back that it had to be filled.
/// Nobody else owned or held anything, so nobody told it so, and it asked nobody: what it had was out of reach for ever.
#[test]
fn an_only_owner_that_has_missed_a_layout_serves_again_once_all_have_said_what_they_have() {
    let mut machines = cluster(&[1, 2, 3], &[1], 1);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(2)), LayoutChange::Leave(node(3))]);
    pass_time(&mut machines, 20, &nothing_is_lost);
    write(&mut machines, 0, "v", 1);
    pass_time(&mut machines, 20, &nothing_is_lost);
    let is_away = |it: &UnderWay<'_>| it.from == 0 || it.to == 0;
    machines[1].commit(&[LayoutChange::Leave(node(1)), bears(2)]);
    pass_time(&mut machines, 20, &is_away);
    machines[1].commit(&[bears(1), LayoutChange::Leave(node(2))]);
    pass_time(&mut machines, 20, &is_away);
    pass_time(&mut machines, 4, &|it| it.is_core());
    assert!(!machines[1].serves(node(1)), "it may have lost the partition meanwhile, and says so");
    pass_time(&mut machines, 60, &nothing_is_lost);
    assert!(machines[1].serves(node(1)) && !machines[0].contents().cells.is_empty());
}

/// Three owners that have this, and a fourth node that bears nothing and ranks behind them.
fn three_and_one(value: &str) -> (Vec<Machine>, u128) {
    let fourth = ranking_after(&[1, 2, 3], 10);
    let mut machines = cluster(&[1, 2, 3, fourth], &[1, 2, 3], 3);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(fourth))]);
    write(&mut machines, 0, value, 3);
    pass_time(&mut machines, 20, &nothing_is_lost);
    (machines, fourth)
}

/// The fourth takes the place of the third, and has been filled. The second has not heard of that, nor has the third: by their
/// picture they are two of three.
fn two_have_not_heard() -> Vec<Machine> {
    let (mut machines, fourth) = three_and_one("old");
    machines[0].commit(&[LayoutChange::Leave(node(3)), bears(fourth)]);
    let is_news = |it: &UnderWay<'_>| {
        let of_the_fourth = it.machines[it.from].serves(node(fourth));
        // The third does not let go before it has the second one's word.
        (of_the_fourth && (1..3).contains(&it.to) && it.is_list()) || (it.is_core() && (it.from, it.to) == (1, 2))
    };
    pass_time(&mut machines, 20, &is_news);
    let hears = [0, 1, 2, 3].map(|at: usize| machines[at].serves(node(fourth)));
    assert_eq!(hears, [true, false, false, true]);
    machines.iter_mut().for_each(|machine| machine.has_answered = false);
    machines
}

/// What two owners of the new picture had taken was missed by two of the old one, until they had heard that it was old.
#[test]
fn what_is_acknowledged_after_a_move_is_missed_by_nobody_who_has_not_heard_of_its_end() {
    let mut machines = two_have_not_heard();
    write(&mut machines, 0, "v", 2);
    exchange(&mut machines, &|it| it.is_list() || (it.is_core() && (it.from == 1 || it.to == 1)));
    let cells = |at: usize| machines[at].contents().cells;
    assert!(cells(3) == cells(0) && cells(2) != cells(0));
    assert!(!machines[0].has_answered, "the second and the third take themselves for two of three");
    pass_time(&mut machines, 4, &|it| it.is_core() && (it.from == 1 || it.to == 1));
    assert!(machines[0].has_answered, "the third has said that it is none");
}

/// One that knows that it is no owner any more was counted as one by those who did not.
#[test]
fn one_that_is_no_owner_any_more_says_what_it_has_and_counts_for_nothing() {
    let mut machines = two_have_not_heard();
    pass_time(&mut machines, 4, &|it| it.is_core() || (it.to == 1 && it.is_list()));
    assert!(!machines[2].serves(node(3)) && machines[1].serves(node(3)));
    let mut asked = request("k", Write::RemoveKey);
    asked.operation = Operation::Read(Read::All);
    asked.quorum = Quorum::strict(2);
    machines[1].core(Event::Peer(node(99), Message::Forward(Ticket(7), asked.clone())));
    let only_these_two = |it: &UnderWay<'_>| it.is_list() || (it.is_core() && it.from + it.to != 3);
    pass_time(&mut machines, 4, &only_these_two);
    assert!(!machines[1].has_answered, "one of three by its picture, and one that is none");
    machines[1].core(Event::Peer(node(99), Message::Forward(Ticket(8), asked)));
    exchange(&mut machines, &|it| !it.is_core());
    assert!(machines[1].has_answered, "the first is an owner by any picture");
}

/// While an owner was away every write was remembered for it, without end.
#[test]
fn the_log_of_what_an_absent_owner_misses_has_an_end_and_the_owner_is_streamed_the_partition() {
    log_while_away(&[2]);
}

/// Two that had told the same clock were never given up: what both had was cut off the log, and was not in it.
#[test]
fn so_it_has_where_two_owners_are_away_that_are_equally_far_behind() {
    log_while_away(&[1, 2]);
}

fn log_while_away(away: &[usize]) {
    let mut machines = cluster(&[1, 2, 3], &[1, 2, 3], 3);
    pass_time(&mut machines, 20, &nothing_is_lost);
    write(&mut machines, 0, "first", 3);
    pass_time(&mut machines, 60, &nothing_is_lost);
    let are_away = |it: &UnderWay<'_>| away.contains(&it.from) || away.contains(&it.to);
    let logged = |machine: &Machine| {
        let mut bytes = 0;
        let all = machine.store.scan(b"L", b"L", &mut |path, place| {
            bytes += (path.len() + place.len()) as u64;
            ControlFlow::Continue(())
        });
        all.map(|()| bytes).expect("it reads")
    };
    let mut most = 0;
    for n in 0..400 {
        write_to(&mut machines, 0, &n.to_string(), Quorum::of(1));
        pass_time(&mut machines, 1, &are_away);
        most = most.max(logged(&machines[0]));
    }
    let alive = |machine: &Machine| machine.cluster.view().alive.len();
    assert_eq!(alive(&machines[0]), 3 - away.len());
    assert!(most > LOG_BYTES && most < 2 * LOG_BYTES, "{most} bytes");
    assert!(logged(&machines[0]) <= LOG_BYTES);
    let streams = Cell::new(0);
    pass_time(&mut machines, 60, &|it| {
        let is_stream = matches!(it.packet, Packet::Core(it) if matches!(**it, Message::Streamed(..)));
        streams.set(streams.get() + u32::from(is_stream));
        false
    });
    assert!(streams.get() > 0, "it is streamed the partition");
    assert!(away.iter().all(|at| machines[*at].contents() == machines[0].contents()));
    write(&mut machines, 0, "last", 3);
    pass_time(&mut machines, 60, &nothing_is_lost);
    assert!(machines.iter().all(|machine| logged(machine) == 0));
}

/// An only owner asked nobody before it acknowledged a write: the one before it had not heard yet that it was none, and was read.
#[test]
fn an_only_owner_waits_for_the_word_of_the_one_before_it() {
    let mut machines = cluster(&[1, 2], &[1], 1);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(2))]);
    pass_time(&mut machines, 20, &nothing_is_lost);
    machines[0].commit(&[LayoutChange::Leave(node(1)), bears(2)]);
    pass_time(&mut machines, 20, &|it| it.is_list() && it.from == 1);
    assert!(machines[0].serves(node(1)) && machines[1].serves(node(2)));
    write(&mut machines, 1, "v", 1);
    pass_time(&mut machines, 4, &|it| it.is_list());
    assert!(!machines[1].has_answered, "the first would be read still");
    pass_time(&mut machines, 12, &nothing_is_lost);
    assert!(machines[1].has_answered && !machines[0].serves(node(1)));
}

/// The fourth takes the place of the first, which does not count any more, and the second is filled anew. What the first has it has
/// beside those that serve: it let go when these few had it, and then fewer lost disks lose a write than had acknowledged it.
#[test]
fn nobody_gives_a_copy_away_while_a_replica_is_being_filled() {
    let (mut machines, fourth) = three_and_one("v");
    let second_is_silent = |it: &UnderWay<'_>| it.is_core() && (it.from == 1 || it.to == 1);
    machines[0].commit(&[LayoutChange::Leave(node(1)), bears(fourth)]);
    for machine in &mut machines[..2] {
        machine.membership(|c, now, out| c.set_filled(&[partition()], Presence::Out, now, out));
    }
    pass_time(&mut machines, 60, &second_is_silent);
    assert!(machines[0].serves(node(fourth)) && !machines[0].serves(node(1)) && !machines[0].serves(node(2)));
    assert!(!machines[0].contents().cells.is_empty(), "two of three have it, and it is asked for no more");
    pass_time(&mut machines, 60, &nothing_is_lost);
    assert!(machines[0].serves(node(2)) && machines[0].contents().cells.is_empty(), "all three have it");
}

/// The first waited for the third one's word only. Meanwhile the second started again with an empty disk: what it had said before
/// was true no more.
#[test]
fn nobody_lets_go_on_a_word_from_before_the_picture_changed() {
    let (mut machines, fourth) = three_and_one("v");
    machines[0].commit(&[LayoutChange::Leave(node(1)), bears(fourth)]);
    let third_keeps_it_from_the_first = |it: &UnderWay<'_>| it.is_core() && (it.from, it.to) == (2, 0);
    pass_time(&mut machines, 60, &third_keeps_it_from_the_first);
    assert!(machines[0].serves(node(fourth)) && !machines[0].contents().cells.is_empty(), "it waits for one word");

    let members = machines[1].cluster.view().members.clone();
    machines[1] = Machine::started(2, &members, Incarnation(2));
    let second_says_nothing_of_it = |it: &UnderWay<'_>| it.is_core() && (it.from == 1 || it.to == 1);
    pass_time(&mut machines, 20, &second_says_nothing_of_it);
    assert!(machines[0].serves(node(2)), "nobody knows yet that it has lost everything");
    assert!(!machines[0].contents().cells.is_empty(), "it lets go by what the second had said");
    pass_time(&mut machines, 100, &nothing_is_lost);
    assert!(machines[0].contents().cells.is_empty() && machines[0].serves(node(2)), "it has been filled again");
}
