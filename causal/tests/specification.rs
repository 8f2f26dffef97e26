//! The executable specification: causal histories as explicit sets of events. Every representation is refined
//! against it, exhaustively on a small universe and by random runs beyond.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use causal::{
    CausalContext, Causality, Dot, DotFun, DvvSet, IntervalSet, MAX_COUNTER, MintError, Minter, NodeClock, Once, Run,
    Siblings, VersionVector, Versions, Watermarks, dvv,
};
use quickcheck::{Arbitrary, Gen, quickcheck};

type Event = (u8, u64);
type Events = BTreeSet<Event>;
type Sparse = Siblings<u8, Event>;
type Dense = DvvSet<u8, Event>;

/// A state of one place, spelled out as two sets of events, each a bit: what is live, and everything ever seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct History {
    live: u32,
    seen: u32,
}

impl History {
    fn join(self, other: Self) -> Self {
        let live = (self.live & other.live) | (self.live & !other.seen) | (other.live & !self.seen);
        Self { live, seen: self.seen | other.seen }
    }

    fn within(self, other: Self) -> bool {
        self.seen & !other.seen == 0 && other.live & self.seen & !self.live == 0
    }

    fn compare(self, other: Self) -> Causality {
        Causality::from_inclusions(self.within(other), other.within(self))
    }

    fn discard(self, seen: u32) -> Self {
        Self { live: self.live & !seen, seen: self.seen | seen }
    }
}

/// The events of `actors` x `events`: bit `i` of a history is the `i`-th of them.
struct Universe(Vec<Event>);

impl Universe {
    fn new(actors: u8, events: u64) -> Self {
        Self((0..actors).flat_map(|a| (1..=events).map(move |n| (a, n))).collect())
    }

    fn events(&self, set: u32) -> impl Iterator<Item = Event> + '_ {
        self.0.iter().enumerate().filter(move |(bit, _)| set >> bit & 1 == 1).map(|(_, event)| *event)
    }

    fn context(&self, set: u32) -> CausalContext<u8> {
        self.events(set).map(|(actor, counter)| Dot::new(actor, counter)).collect()
    }

    fn siblings(&self, history: History) -> Sparse {
        let live = self.events(history.live).map(|event| (Dot::new(event.0, event.1), event));
        Siblings::from_parts(live.collect::<DotFun<_, _>>(), self.context(history.seen))
    }

    fn sets(&self) -> impl Iterator<Item = u32> + Clone + use<> {
        0..1u32 << self.0.len()
    }

    /// Every state, gaps included.
    fn histories(&self) -> Vec<History> {
        let states = self.sets().flat_map(|seen| self.sets().map(move |live| History { live, seen }));
        states.filter(|state| state.live & !state.seen == 0).collect()
    }

    /// Every state that has a dense form, in it.
    fn dense(&self) -> Vec<(History, Dense)> {
        let states = self.histories().into_iter();
        states.filter_map(|state| Some((state, DvvSet::try_from(&self.siblings(state)).ok()?))).collect()
    }
}

fn pairs<T>(states: &[T]) -> impl Iterator<Item = (&T, &T)> {
    states.iter().flat_map(move |x| states.iter().map(move |y| (x, y)))
}

#[test]
fn siblings_join_and_order_are_those_of_histories_on_every_pair_of_three_actors_with_two_events() {
    let universe = Universe::new(3, 2);
    let states: Vec<(History, Sparse)> =
        universe.histories().into_iter().map(|state| (state, universe.siblings(state))).collect();
    assert_eq!(states.len(), 729);
    let of_history: BTreeMap<(u32, u32), &Sparse> = states.iter().map(|(h, s)| ((h.live, h.seen), s)).collect();
    for ((x, sx), (y, sy)) in pairs(&states) {
        let mut joined = sx.clone();
        let outcome = joined.sync(sy).unwrap();
        let expected = x.join(*y);
        assert_eq!(&joined, of_history[&(expected.live, expected.seen)]);
        assert_eq!(outcome.changed(), expected != *x);
        assert_eq!(sx.compare(sy), x.compare(*y));
        assert_eq!(joined == *sy, x.within(*y), "join(x, y) = y iff x <= y");
    }
}

/// On the histories themselves: the test above shows that what is stored joins as they do, and they are closed
/// under join, so that their law is its law.
#[test]
fn join_is_a_semilattice_on_every_triple_of_three_actors_with_two_events() {
    let states = Universe::new(3, 2).histories();
    for x in &states {
        assert_eq!(x.join(*x), *x);
        for y in &states {
            let xy = x.join(*y);
            assert_eq!(xy, y.join(*x));
            for z in &states {
                assert_eq!(xy.join(*z), x.join(y.join(*z)));
            }
        }
    }
}

#[test]
fn siblings_join_is_a_semilattice_on_every_triple_of_two_actors_with_two_events() {
    let universe = Universe::new(2, 2);
    let states: Vec<Sparse> = universe.histories().into_iter().map(|state| universe.siblings(state)).collect();
    assert_eq!(states.len(), 81);
    let join = |x: &Sparse, y: &Sparse| {
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
fn the_dense_form_is_the_same_state_under_the_same_operations_on_every_pair() {
    let universe = Universe::new(3, 2);
    let states = universe.dense();
    assert_eq!(states.len(), 216, "per actor: none of 1, 1 seen or live, 2 seen with 0, 1 or 2 live");
    for (x, dense) in &states {
        assert_eq!(dense.to_siblings(), universe.siblings(*x));
        assert_eq!(CausalContext::from(&dense.context()), universe.context(x.seen));
        assert_eq!(dense.dots().collect::<CausalContext<_>>(), universe.context(x.live));
        assert_eq!((dense.len(), dense.is_empty()), (x.live.count_ones() as usize, x.live == 0));
    }
    for ((x, dx), (y, dy)) in pairs(&states) {
        let mut joined = dx.clone();
        let changed = joined.sync(dy).unwrap();
        assert_eq!(joined.to_siblings(), universe.siblings(x.join(*y)));
        assert_eq!(changed, x.join(*y) != *x);
        assert_eq!(dx.compare(dy), x.compare(*y));
        let mut discarded = dx.clone();
        discarded.discard(&dy.context());
        assert_eq!(discarded.to_siblings(), universe.siblings(x.discard(y.seen)));
        assert_eq!(dx.covers(&dy.context()), y.seen & !x.seen == 0);
    }
}

#[test]
fn a_set_is_dense_exactly_when_it_can_be_and_changes_form_with_the_state_on_every_pair() {
    let universe = Universe::new(2, 2);
    let dense: BTreeSet<(u32, u32)> = universe.dense().iter().map(|(state, _)| (state.live, state.seen)).collect();
    let is_dense = |state: History| dense.contains(&(state.live, state.seen));
    let form = |state: History| Versions::from(universe.siblings(state));
    let states = universe.histories();
    for (x, y) in pairs(&states) {
        let (fx, fy) = (form(*x), form(*y));
        assert_eq!(fx.is_dense(), is_dense(*x));
        assert_eq!(fx.to_siblings(), universe.siblings(*x));
        assert_eq!(fx.values().copied().collect::<Vec<_>>(), universe.events(x.live).collect::<Vec<_>>());
        assert_eq!(fx.dots(), universe.context(x.live));
        assert_eq!(fx.context(), universe.context(x.seen));
        assert_eq!(fx.compare(&fy), x.compare(*y));
        let mut joined = fx.clone();
        assert_eq!(joined.sync(&fy).unwrap(), x.join(*y) != *x);
        assert_eq!(joined, form(x.join(*y)), "promoted when a hole appears, and back when it is filled");
        let mut discarded = fx;
        discarded.discard(&universe.context(y.seen));
        assert_eq!(discarded, form(x.discard(y.seen)));
    }
}

#[test]
fn a_delta_brings_everybody_who_has_seen_what_it_builds_on_as_far_as_the_whole_state_on_every_triple() {
    let universe = Universe::new(2, 2);
    let states = universe.histories();
    for x in &states {
        for known in universe.sets() {
            let delta = universe.siblings(*x).delta_since(&universe.context(known));
            assert!(delta.dots().all(|dot| !universe.context(known).contains(dot)), "only news travel");
            for other in states.iter().filter(|other| known & !other.seen == 0) {
                let mut by_delta = universe.siblings(*other);
                by_delta.sync(&delta).unwrap();
                assert_eq!(by_delta, universe.siblings(other.join(*x)));
            }
        }
    }
}

#[test]
fn a_stable_cut_is_what_every_member_has_and_nobody_is_not_everybody() {
    let universe = Universe::new(2, 2);
    let clock = |set| NodeClock::from(universe.context(set));
    for x in universe.sets() {
        for y in universe.sets() {
            let mut known = Watermarks::new(["x", "y"]);
            assert!(known.advance(&"x", &clock(x)));
            assert!(known.stable_cut().seen().is_empty(), "nothing is known of y");
            assert!(known.advance(&"y", &clock(y)) && !known.advance(&"z", &clock(0)));
            assert_eq!(*known.stable_cut().seen(), universe.context(x & y));
            known.advance(&"x", &clock(y));
            assert_eq!(*known.stable_cut().seen(), universe.context(y), "old and new news add up");
        }
    }
    assert!(Watermarks::<u8, u8>::new([]).stable_cut().seen().is_empty());
}

#[test]
fn many_values_that_sort_in_front_of_many_merge_as_the_other_way_round() {
    let values = |actor| (1..=500).map(move |n| (Dot::new(actor, n), (actor, n))).collect::<DotFun<u8, Event>>();
    let [mut left, mut right] = [1, 2].map(|actor| Siblings::from_parts(values(actor), CausalContext::new()));
    let (l, r) = (left.clone(), right.clone());
    assert!(left.sync(&r).unwrap().changed() && right.sync(&l).unwrap().changed());
    assert_eq!(left, right);
    assert!(left.values().eq(l.values().chain(r.values())));
    let backwards: DotFun<u8, Event> = left.live().iter().rev().map(|(dot, value)| (*dot, *value)).collect();
    assert_eq!(backwards, *left.live());
}

#[test]
fn stripping_and_filling_gives_the_same_place_with_all_that_the_node_has_seen() {
    let universe = Universe::new(2, 2);
    for state in universe.histories() {
        for clock in universe.sets() {
            let mut node = NodeClock::new();
            universe.context(clock).dots().for_each(|dot| assert!(node.incorporate(dot)));
            let stripped = universe.siblings(state).strip(&node);
            assert_eq!(*stripped.residual(), universe.context(state.seen & !clock));
            let filled = History { live: state.live, seen: state.seen | clock };
            assert_eq!(stripped.fill(&node), universe.siblings(filled));
        }
    }
}

#[test]
fn comparing_contexts_alone_would_call_hundreds_of_pairs_ordered_that_are_not() {
    let universe = Universe::new(2, 2);
    let vectors =
        universe.histories().into_iter().filter(|x| VersionVector::try_from(&universe.context(x.seen)).is_ok());
    let states: Vec<History> = vectors.collect();
    assert_eq!(states.len(), 49);
    let by_context = pairs(&states).filter(|(x, y)| x.seen & !y.seen == 0);
    let (mut ordered, mut wrong) = (0, 0);
    for (x, y) in by_context {
        let order = universe.siblings(*x).compare(&universe.siblings(*y));
        ordered += 1;
        wrong += u32::from(!matches!(order, Causality::Before | Causality::Equal));
    }
    assert_eq!((ordered, wrong), (1225, 600));
}

#[test]
fn one_dot_with_two_values_is_an_error_in_every_form_and_changes_nothing() {
    let sparse = |value| {
        let mut place = Siblings::new();
        place.update(&CausalContext::new(), &mut Minter::once("a"), value).unwrap();
        place
    };
    let mut here = sparse(1);
    assert_eq!(here.sync(&sparse(2)).unwrap_err().0, Dot::new("a", 1));
    assert_eq!(here, sparse(1));

    let dense = |value| {
        let mut place = DvvSet::new();
        place.update(&VersionVector::new(), "a", value).unwrap();
        place.update(&VersionVector::new(), "a", 7).unwrap();
        place
    };
    let mut here = dense(1);
    assert_eq!(here.sync(&dense(2)).unwrap_err().0, Dot::new("a", 1));
    assert_eq!(here, dense(1));

    let mut here = Versions::from(dense(1));
    assert_eq!(here.sync(&Versions::from(dense(2))).unwrap_err().0, Dot::new("a", 1));
}

#[test]
fn a_minter_that_knows_less_of_itself_than_the_place_or_the_reader_does_is_refused_and_changes_nothing() {
    let known: CausalContext<&str> = [Dot::new("a", 2)].into_iter().collect();
    let amnesia = |minted| Some(MintError::Amnesia { actor: "a", seen: 2, minted });
    let mut minter = Minter::once("a");
    let mut place: Siblings<&str, u8> = Siblings::from_parts(DotFun::new(), known.clone());
    assert_eq!(place.update(&CausalContext::new(), &mut minter, 1).err(), amnesia(0), "the place knows more");
    assert_eq!((place.is_empty(), place.context(), minter.minted()), (true, &known, 0));

    let mut place: Siblings<&str, u8> = Siblings::new();
    assert_eq!(place.update(&known, &mut minter, 1).err(), amnesia(0), "the reader knows more");
    assert_eq!((place, minter.minted()), (Siblings::new(), 0));

    let mut dense = DvvSet::new();
    dense.update(&VersionVector::new(), "a", 1).unwrap();
    let before = dense.clone();
    let context = [("a", 2)].into_iter().collect();
    assert_eq!(dense.update(&context, "a", 2), Err(MintError::Amnesia { actor: "a", seen: 2, minted: 1 }));
    assert_eq!(dense, before);
}

#[test]
fn a_counter_that_names_no_event_is_refused_before_anything_is_changed() {
    for counter in [0, MAX_COUNTER + 1, u64::MAX] {
        let (mut context, mut vector) = (CausalContext::<u8>::new(), VersionVector::<u8>::new());
        let dot = Dot { actor: 1, counter };
        let refused = |work: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(work)).is_err();
        assert!(refused(&mut || assert!(context.insert(dot))), "{counter}");
        assert!(refused(&mut || context.insert_run(1, Run { first: counter, last: counter })), "{counter}");
        assert!(refused(&mut || vector.insert(dot)), "{counter}");
        assert!(context.is_empty() && vector.is_empty() && !vector.contains(&dot));
    }
}

fn dot(event: &Event) -> Dot<u8> {
    Dot::new(event.0, event.1)
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

type Clocked = Vec<dvv::Version<u8, u64>>;

/// One server in all four representations at once.
#[derive(Clone, Default)]
struct Server {
    histories: BTreeMap<Event, Events>, // live event -> what its writer had seen
    seen: Events,
    versions: Clocked,
    dense: DvvSet<u8, u64>,
    sparse: Siblings<u8, u64>,
}

impl Server {
    fn write(&mut self, minter: &mut Minter<u8, Once<u8>>, events: &Events, context: &VersionVector<u8>, value: u64) {
        let server = *minter.actor();
        let own = self.seen.union(events).filter(|(actor, _)| *actor == server).map(|(_, n)| *n).max();
        let event = (server, own.unwrap_or(0) + 1);
        self.histories.retain(|live, _| !events.contains(live));
        self.histories.insert(event, events.clone());
        self.seen.extend(events);
        self.seen.insert(event);
        self.versions =
            dvv::update(&self.versions, context, server, value).expect("a coordinator that forgets nothing");
        assert_eq!(self.dense.update(context, server, value).expect("a coordinator that forgets nothing"), dot(&event));
        assert_eq!(
            self.sparse.update(&context.into(), minter, value).expect("a coordinator that forgets nothing"),
            dot(&event)
        );
    }

    fn sync(&mut self, other: &Self) {
        let covered = |event: &Event, by: &BTreeMap<Event, Events>| by.values().any(|past| past.contains(event));
        let mut live = self.histories.clone();
        live.extend(other.histories.clone());
        self.histories = live.iter().filter(|(e, _)| !covered(e, &live)).map(|(e, p)| (*e, p.clone())).collect();
        self.seen.extend(&other.seen);
        self.versions = dvv::sync(&self.versions, &other.versions).expect("every dot has one value");
        self.dense.sync(&other.dense).expect("every dot has one value");
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
        let mut minters = [0, 1, 2].map(Minter::once);
        let mut reads: Vec<(Events, VersionVector<u8>)> = vec![Default::default()];
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                Step::Read { server } => {
                    let read = &servers[usize::from(server)];
                    reads.push((read.seen.clone(), read.dense.context()));
                }
                Step::Write { server, read } => {
                    let (events, context) = reads[read % reads.len()].clone();
                    let minter = &mut minters[usize::from(server)];
                    servers[usize::from(server)].write(minter, &events, &context, value as u64);
                }
                Step::BlindWrite { server } => {
                    let nothing = (Events::new(), VersionVector::new());
                    let minter = &mut minters[usize::from(server)];
                    servers[usize::from(server)].write(minter, &nothing.0, &nothing.1, value as u64);
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

#[derive(Clone, Debug)]
struct Dots(Vec<(u8, u64)>);

impl Arbitrary for Dots {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(Vec::<(u8, u8)>::arbitrary(g).into_iter().map(|(a, n)| (a % 12, u64::from(n % 40) + 1)).collect())
    }
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let valid = |dots: &Vec<(u8, u64)>| dots.iter().all(|(_, n)| *n > 0);
        Box::new(self.0.shrink().filter(valid).map(Self))
    }
}

quickcheck! {
    fn contexts_are_sets_of_dots_with_many_actors_and_holes(left: Dots, right: Dots) -> bool {
        let context = |dots: &Dots| -> CausalContext<u8> { dots.0.iter().map(dot).collect() };
        let set = |dots: &Dots| -> Events { dots.0.iter().copied().collect() };
        let same = |context: &CausalContext<u8>, set: Events| {
            context.dots().eq(set.iter().map(dot)) && context.len() == set.len() as u64
        };
        let ((a, sa), (b, sb)) = ((context(&left), set(&left)), (context(&right), set(&right)));
        let mut union = a.clone();
        union.union(&b);
        same(&union, &sa | &sb)
            && same(&a.minus(&b), &sa - &sb)
            && same(&a.missing(&b), &sb - &sa)
            && same(&a.intersection(&b), &sa & &sb)
            && a.covers(&b) == sb.is_subset(&sa)
            && a.iter().all(|(_, set)| *set == set.iter().collect::<IntervalSet>())
    }

    fn version_vectors_are_sets_of_dots_with_many_actors(left: Dots, right: Dots) -> bool {
        let (a, b) = (left.0.iter().copied().collect(), right.0.iter().copied().collect());
        let (ca, cb) = (CausalContext::from(&a), CausalContext::from(&b));
        let (mut union, mut expected): (VersionVector<u8>, _) = (a.clone(), ca.clone());
        union.union(&b);
        expected.union(&cb);
        VersionVector::try_from(&expected) == Ok(union) && a.compare(&b) == ca.compare(&cb) && a.covers(&b) == ca.covers(&cb)
    }
}
