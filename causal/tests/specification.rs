//! The executable specification: causal histories as explicit sets of events. Every representation is refined
//! against it, exhaustively on a small universe and by random runs beyond.

use std::collections::{BTreeMap, BTreeSet};

use causal::{CausalContext, Causality, Dot, DotFun, DvvSet, Siblings, VersionVector, dvv};
use quickcheck::{Arbitrary, Gen, quickcheck};

type Event = (u8, u64);
type Events = BTreeSet<Event>;

/// A state of one place, spelled out: what is live, and everything ever seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct History {
    live: Events,
    seen: Events,
}

impl History {
    fn join(&self, other: &Self) -> Self {
        let both = &self.live & &other.live;
        let live = &(&both | &(&self.live - &other.seen)) | &(&other.live - &self.seen);
        Self { live, seen: &self.seen | &other.seen }
    }

    fn within(&self, other: &Self) -> bool {
        self.seen.is_subset(&other.seen) && (&other.live & &self.seen).is_subset(&self.live)
    }

    fn siblings(&self) -> Siblings<u8, Event> {
        let live: DotFun<u8, Event> = self.live.iter().map(|event| (dot(event), *event)).collect();
        Siblings::from_parts(live, self.seen.iter().map(dot).collect())
    }
}

fn dot(event: &Event) -> Dot<u8> {
    Dot::new(event.0, event.1)
}

/// Every state of `actors` x `events`, gaps included.
fn universe(actors: u8, events: u64) -> Vec<History> {
    let all: Vec<Event> = (0..actors).flat_map(|a| (1..=events).map(move |n| (a, n))).collect();
    let subset = |mask: u32| all.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, e)| *e).collect();
    let masks = || 0..1u32 << all.len();
    masks()
        .flat_map(|seen| masks().filter(move |live| live & !seen == 0).map(move |live| (live, seen)))
        .map(|(live, seen)| History { live: subset(live), seen: subset(seen) })
        .collect()
}

#[test]
fn siblings_join_and_order_are_those_of_histories_on_every_pair() {
    let states = universe(2, 2);
    assert_eq!(states.len(), 81);
    for x in &states {
        for y in &states {
            let mut joined = x.siblings();
            joined.sync(&y.siblings()).unwrap();
            assert_eq!(joined, x.join(y).siblings());
            let order = Causality::from_inclusions(x.within(y), y.within(x));
            assert_eq!(x.siblings().compare(&y.siblings()), order);
            assert_eq!(joined == y.siblings(), x.within(y), "join(x, y) = y iff x <= y");
        }
    }
}

#[test]
fn siblings_join_is_a_semilattice_on_every_triple() {
    let states: Vec<_> = universe(2, 2).iter().map(History::siblings).collect();
    let join = |x: &Siblings<u8, Event>, y: &Siblings<u8, Event>| {
        let mut joined = x.clone();
        joined.sync(y).unwrap();
        joined
    };
    for x in &states {
        assert_eq!(join(x, x), *x);
        for y in &states {
            let xy = join(x, y);
            assert_eq!(xy, join(y, x));
            for z in &states {
                assert_eq!(join(&xy, z), join(x, &join(y, z)));
            }
        }
    }
}

#[test]
fn comparing_contexts_alone_would_call_hundreds_of_pairs_ordered_that_are_not() {
    let gap_free = |h: &&History| h.seen.iter().all(|(a, n)| (1..*n).all(|m| h.seen.contains(&(*a, m))));
    let states: Vec<History> = universe(2, 2).iter().filter(gap_free).cloned().collect();
    assert_eq!(states.len(), 49);
    let pairs = || states.iter().flat_map(|x| states.iter().map(move |y| (x, y)));
    let by_context = pairs().filter(|(x, y)| y.siblings().context().covers(x.siblings().context()));
    let (mut ordered, mut wrong) = (0, 0);
    for (x, y) in by_context {
        ordered += 1;
        wrong += u32::from(!matches!(x.siblings().compare(&y.siblings()), Causality::Before | Causality::Equal));
    }
    assert_eq!((ordered, wrong), (1225, 600));
}

#[test]
fn one_dot_with_two_values_is_an_error_and_changes_nothing() {
    let write = |value| {
        let mut place = Siblings::new();
        place.update(&CausalContext::new(), "a", value);
        place
    };
    let mut here = write(1);
    assert_eq!(here.sync(&write(2)).unwrap_err().0, Dot::new("a", 1));
    assert_eq!(here, write(1));
}

/// A step of three servers that hold one key, and clients that read anywhere and write anywhere later.
#[derive(Clone, Debug)]
enum Step {
    Read { server: u8 },
    Write { server: u8, read: usize },
    BlindWrite { server: u8 },
    Sync { to: u8, from: u8 },
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let server = |g: &mut Gen| u8::arbitrary(g) % 3;
        match u8::arbitrary(g) % 5 {
            0 => Step::Read { server: server(g) },
            1 | 2 => Step::Write { server: server(g), read: usize::arbitrary(g) },
            3 => Step::BlindWrite { server: server(g) },
            _ => Step::Sync { to: server(g), from: server(g) },
        }
    }
}

type Versions = Vec<dvv::Version<u8, u64>>;

/// One server in all four representations at once.
#[derive(Clone, Default)]
struct Server {
    histories: BTreeMap<Event, Events>, // live event -> what its writer had seen
    seen: Events,
    versions: Versions,
    dense: DvvSet<u8, u64>,
    sparse: Siblings<u8, u64>,
}

impl Server {
    fn write(&mut self, server: u8, events: &Events, context: &VersionVector<u8>, value: u64) {
        let own = self.seen.union(events).filter(|(actor, _)| *actor == server).map(|(_, n)| *n).max();
        let event = (server, own.unwrap_or(0) + 1);
        self.histories.retain(|live, _| !events.contains(live));
        self.histories.insert(event, events.clone());
        self.seen.extend(events);
        self.seen.insert(event);
        self.versions = dvv::update(&self.versions, context, server, value);
        assert_eq!(self.dense.update(context, server, value), dot(&event));
        assert_eq!(self.sparse.update(&context.into(), server, value), dot(&event));
    }

    fn sync(&mut self, other: &Self) {
        let covered = |event: &Event, by: &BTreeMap<Event, Events>| by.values().any(|past| past.contains(event));
        let mut live = self.histories.clone();
        live.extend(other.histories.clone());
        self.histories = live.iter().filter(|(e, _)| !covered(e, &live)).map(|(e, p)| (*e, p.clone())).collect();
        self.seen.extend(&other.seen);
        self.versions = dvv::sync(&self.versions, &other.versions);
        self.dense.sync(&other.dense);
        self.sparse.sync(&other.sparse).expect("every dot has one value");
    }

    fn check(&self) {
        let expected: BTreeSet<Dot<u8>> = self.histories.keys().map(dot).collect();
        let versions: BTreeSet<_> = self.versions.iter().map(|(clock, _)| clock.dot).collect();
        assert_eq!(versions, expected, "one clock per version");
        assert_eq!(self.dense.iter().map(|(dot, _)| dot).collect::<BTreeSet<_>>(), expected, "dense");
        assert_eq!(self.sparse.live().dots().copied().collect::<BTreeSet<_>>(), expected, "with gaps");
        assert_eq!(dvv::join(&self.versions), self.dense.context());
        assert_eq!(CausalContext::from(&self.dense.context()), *self.sparse.context());
        assert_eq!(self.dense.to_siblings(), self.sparse);
    }
}

quickcheck! {
    fn every_form_keeps_exactly_the_writes_no_other_write_had_seen(steps: Vec<Step>) -> bool {
        let mut servers: [Server; 3] = Default::default();
        let mut reads: Vec<(Events, VersionVector<u8>)> = vec![Default::default()];
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                Step::Read { server } => {
                    let read = &servers[usize::from(server)];
                    reads.push((read.seen.clone(), read.dense.context()));
                }
                Step::Write { server, read } => {
                    let (events, context) = reads[read % reads.len()].clone();
                    servers[usize::from(server)].write(server, &events, &context, value as u64);
                }
                Step::BlindWrite { server } => {
                    let nothing = (Events::new(), VersionVector::new());
                    servers[usize::from(server)].write(server, &nothing.0, &nothing.1, value as u64);
                }
                Step::Sync { to, from } => {
                    let from = servers[usize::from(from)].clone();
                    servers[usize::from(to)].sync(&from);
                }
            }
            servers.iter().for_each(Server::check);
        }
        true
    }
}

#[test]
fn two_interleaving_clients_leave_two_siblings_after_a_hundred_and_one_writes() {
    let mut server: Siblings<&str, u32> = Siblings::new();
    let mut own_writes = [CausalContext::new(), CausalContext::new()];
    for n in 0..101 {
        let client = &mut own_writes[n as usize % 2];
        let dot = server.update(client, "r", n);
        client.insert(dot); // each client has seen its own writes and nothing else
    }
    assert_eq!(server.values().copied().collect::<Vec<_>>(), [99, 100]);
}
