//! Models of whole systems, explored exhaustively: servers that lose their unsynced tail or are restored from a
//! backup, messages that are lost, repeated and overtake each other, clients that read here and write there. With
//! every guard in place no property is ever violated; with one taken out the checker finds the known counterexample.
//!
//! The parts that are explored are the crate's own: [`Siblings`], [`Stripped`], [`NodeClock`], [`Minter`],
//! [`DvvSet`], [`Token`]. Only the host (disk, network, clients) is modelled.

use std::collections::BTreeSet;

use causal::{
    CausalContext, Causality, Dot, DvvSet, Incarnation, Lease, Leased, Minter, NodeClock, Siblings, Stripped, Token,
    VersionVector,
};
use stateright::{Checker, Model, Property};

type Actor = Incarnation<u8>;
type Context = CausalContext<Actor>;
/// The value of a write is its place in the history.
type Place = Siblings<Actor, u8>;

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Counters in use are written with the data, and lost with the tail.
    DurableLease,
    /// A server goes on under its old incarnation after a backup was put back.
    NewIncarnation,
    /// Reads give a version vector: everything up to the greatest counter seen.
    Gaps,
    /// A write answers with the whole context of the place instead of that of the write.
    OwnWriteContext,
    /// Replicas skip a state whose context they cover.
    LatticeOrder,
    /// A server drops entries of its context for which it has no live value.
    WholeContext,
    /// A place with nothing live is forgotten, and no clock remembers it.
    NodeClock,
}

/// Two servers hold one place; two clients use it.
#[derive(Clone, Debug)]
struct System {
    without: Without,
    writes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stored {
    place: Stripped<Actor, u8>,
    clock: NodeClock<Actor>,
    /// For the properties only: the writes (a bit each) that were seen here and are not live any more.
    gone: u8,
}

impl Stored {
    fn filled(&self) -> Place {
        self.place.clone().fill(&self.clock)
    }

    fn store(&mut self, place: Place, history: &[Event]) {
        let seen = |event: &Event| event.dot.is_some_and(|dot| place.context().contains(&dot));
        let seen = (0..).zip(history).filter(|(_, event)| seen(event)).fold(0, |set, (id, _)| set | 1 << id);
        self.gone |= seen & !values(&place);
        self.place = place.strip(&self.clock);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Server {
    now: Stored,
    synced: Stored,
    lease: (Actor, u64),
    synced_lease: (Actor, u64),
    /// Greater than every incarnation the node was ever in: the wall clock, say.
    next_incarnation: u64,
}

/// A write or removal, and which writes its author had really read (a bit each).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Event {
    dot: Option<Dot<Actor>>,
    read: u8,
    delta: Place,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Client {
    context: Context,
    read: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    servers: Vec<Server>,
    clients: Vec<Client>,
    history: Vec<Event>,
    backup: Option<Box<Server>>,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Read { client: usize, server: usize },
    Write { client: usize, server: usize },
    Remove { client: usize, server: usize },
    Deliver { event: usize, server: usize },
    Sync { from: usize, to: usize },
    Flush { server: usize },
    Crash { server: usize },
    BackUp,
    Restore,
    Forget { server: usize },
}

/// A server's durable counter, for the duration of one write.
struct Disk<'a>(&'a mut (Actor, u64));

impl Lease<Actor> for Disk<'_> {
    type Error = core::convert::Infallible;
    fn load(&mut self) -> Result<Leased<Actor>, Self::Error> {
        Ok(Leased { actor: self.0.0, through: self.0.1 })
    }
    fn extend(&mut self, through: u64) -> Result<(), Self::Error> {
        self.0.1 = through;
        Ok(())
    }
    fn renew(&mut self) -> Result<Actor, Self::Error> {
        unreachable!("servers renew at their start")
    }
}

fn values(place: &Place) -> u8 {
    place.values().fold(0, |set, value| set | 1 << value)
}

impl System {
    fn merge(&self, into: &mut Place, other: &Place) -> bool {
        let skips = self.without == Without::LatticeOrder && into.covers(other.context());
        skips || into.sync(other).is_ok()
    }

    fn read(&self, place: &Place) -> Context {
        match self.without {
            Without::Gaps => {
                let greatest = place.context().iter().map(|(actor, set)| (*actor, set.max()));
                (&greatest.collect::<VersionVector<Actor>>()).into()
            }
            _ => place.context().clone(),
        }
    }

    fn write(&self, world: &mut World, client: usize, server: usize) -> Option<()> {
        let (client, server) = (&mut world.clients[client], &mut world.servers[server]);
        let mut place = server.now.filled();
        let id = world.history.len() as u8;
        let mut minter = Minter::open(Disk(&mut server.lease)).ok()?.with_block(1);
        let dot = place.update(&client.context, &mut minter, id).ok()?;
        if self.without == Without::DurableLease {
            // The lease is part of the unsynced tail.
        } else {
            server.synced_lease = server.lease;
        }
        let own = client.context.with(dot);
        let live = [(dot, id)].into_iter().collect();
        world.history.push(Event { dot: Some(dot), read: client.read, delta: Siblings::from_parts(live, own.clone()) });
        server.now.clock.incorporate(dot);
        client.context = if self.without == Without::OwnWriteContext { place.context().clone() } else { own };
        client.read |= 1 << id;
        server.now.store(place, &world.history);
        Some(())
    }

    fn restore(&self, world: &mut World) -> Option<()> {
        let backup = world.backup.take()?;
        let server = &mut world.servers[0];
        let next_incarnation = server.next_incarnation;
        *server = Server { next_incarnation, ..*backup };
        if self.without != Without::NewIncarnation {
            server.lease = (Incarnation { node: 0, number: next_incarnation }, 0);
            server.synced_lease = server.lease;
            server.next_incarnation += 1;
        }
        Some(())
    }

    fn forget(&self, world: &mut World, server: usize) -> Option<()> {
        let server = &mut world.servers[server];
        let place = server.now.filled();
        let kept = match self.without {
            Without::WholeContext => {
                let mut context = Context::new();
                context.extend(place.dots().cloned());
                Siblings::from_parts(place.live().clone(), context)
            }
            Without::NodeClock if place.is_empty() => Siblings::new(),
            _ => return None,
        };
        server.now.clock = NodeClock::new();
        for dot in kept.context().dots() {
            server.now.clock.incorporate(dot);
        }
        server.now.store(kept, &world.history);
        Some(())
    }
}

impl Model for System {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let server = |node| {
            let (clock, lease) = (NodeClock::new(), (Incarnation { node, number: 1 }, 0));
            let stored = Stored { place: Siblings::new().strip(&clock), clock, gone: 0 };
            Server { now: stored.clone(), synced: stored, lease, synced_lease: lease, next_incarnation: 2 }
        };
        let servers = vec![server(0), server(1)];
        vec![World { servers, clients: vec![Client::default(); 2], history: vec![], backup: None, crashes: 0 }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for server in 0..2 {
            for client in 0..2 {
                actions.push(Action::Read { client, server });
                if world.history.len() < self.writes {
                    actions.push(Action::Write { client, server });
                    actions.push(Action::Remove { client, server });
                }
            }
            actions.extend((0..world.history.len()).map(|event| Action::Deliver { event, server }));
            actions.push(Action::Sync { from: server, to: 1 - server });
            actions.push(Action::Forget { server });
            if server == 0 && world.crashes == 0 {
                actions.extend([Action::Flush { server }, Action::Crash { server }]);
                actions.push(if world.backup.is_none() { Action::BackUp } else { Action::Restore });
            }
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Read { client, server } => {
                let place = world.servers[server].now.filled();
                let (context, read) = (self.read(&place), values(&place));
                let client = &mut world.clients[client];
                client.context.union(&context);
                client.read |= read;
            }
            Action::Write { client, server } => self.write(&mut world, client, server)?,
            Action::Remove { client, server } => {
                let (client, now) = (&world.clients[client], &mut world.servers[server].now);
                let mut place = now.filled();
                place.discard(&client.context);
                now.store(place, &world.history);
                let delta = Siblings::from_parts(Default::default(), client.context.clone());
                world.history.push(Event { dot: None, read: client.read, delta });
            }
            Action::Deliver { event, server } => {
                let (event, now) = (&world.history[event], &mut world.servers[server].now);
                let mut place = now.filled();
                self.merge(&mut place, &event.delta).then_some(())?;
                if let Some(dot) = event.dot {
                    now.clock.incorporate(dot);
                }
                now.store(place, &world.history);
            }
            Action::Sync { from, to } => {
                let (theirs, clock) = (world.servers[from].now.filled(), world.servers[from].now.clock.clone());
                let now = &mut world.servers[to].now;
                let mut place = now.filled();
                self.merge(&mut place, &theirs).then_some(())?;
                now.clock.incorporate_all(&clock);
                now.store(place, &world.history);
            }
            Action::Flush { server } => {
                let server = &mut world.servers[server];
                (server.synced, server.synced_lease) = (server.now.clone(), server.lease);
            }
            Action::Crash { server } => {
                let server = &mut world.servers[server];
                (server.now, server.lease) = (server.synced.clone(), server.synced_lease);
                world.crashes += 1;
            }
            Action::BackUp => world.backup = Some(Box::new(world.servers[0].clone())),
            Action::Restore => {
                self.restore(&mut world)?;
                world.crashes += 1;
            }
            Action::Forget { server } => self.forget(&mut world, server)?,
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a dot names one write", |_, world: &World| {
                let mut dots: Vec<_> = world.history.iter().filter_map(|event| event.dot).collect();
                dots.sort();
                dots.windows(2).all(|pair| pair[0] != pair[1])
            }),
            Property::always("no value goes that nobody had read", |_, world: &World| {
                let Some(merged) = merged(world) else { return true };
                let live = values(&merged);
                let overwritten = world.history.iter().fold(0, |set, event| set | event.read);
                let gone = |id: &u8| live >> id & 1 == 0 && overwritten >> id & 1 == 0;
                let known = (0..)
                    .zip(&world.history)
                    .filter(|(_, event)| event.dot.is_some_and(|d| merged.context().contains(&d)));
                !known.map(|(id, _)| id).any(|id| gone(&id))
            }),
            Property::always("no value comes back", |_, world: &World| {
                world.servers.iter().all(|server| values(&server.now.filled()) & server.now.gone == 0)
            }),
            Property::always("two that have merged each other are the same", |system, world: &World| {
                let [mut here, mut there] = [0, 1].map(|server| world.servers[server].now.filled());
                let before = here.clone();
                !system.merge(&mut here, &there) || !system.merge(&mut there, &before) || here == there
            }),
        ]
    }
}

/// What the servers hold together; nothing if a dot has two values, which the first property reports.
fn merged(world: &World) -> Option<Place> {
    let mut all = world.servers[0].now.filled();
    all.sync(&world.servers[1].now.filled()).ok().map(|_| all)
}

/// Which properties fail in any execution of at most nine steps with so many writes and removals.
fn violated(without: Without, writes: usize) -> BTreeSet<&'static str> {
    let checker = System { without, writes }.checker().threads(2).target_max_depth(9).spawn_bfs().join();
    for (property, path) in checker.discoveries() {
        println!("{without:?}, {} states, {property}: {:?}", checker.unique_state_count(), path.into_actions());
    }
    checker.discoveries().into_keys().collect()
}

#[test]
fn with_every_guard_nothing_is_lost_comes_back_or_differs() {
    assert_eq!(violated(Without::Nothing, 3), BTreeSet::new());
}

#[test]
fn a_lease_lost_with_the_tail_lets_a_dot_name_two_writes() {
    assert!(violated(Without::DurableLease, 2).contains("a dot names one write"));
}

#[test]
fn a_restored_backup_that_goes_on_as_before_lets_a_dot_name_two_writes() {
    assert!(violated(Without::NewIncarnation, 2).contains("a dot names one write"));
}

#[test]
fn a_read_that_papers_over_a_gap_deletes_what_nobody_read() {
    assert!(violated(Without::Gaps, 3).contains("no value goes that nobody had read"));
}

#[test]
fn a_write_that_answers_with_the_whole_context_deletes_what_nobody_read() {
    assert!(violated(Without::OwnWriteContext, 3).contains("no value goes that nobody had read"));
}

#[test]
fn replicas_that_compare_contexts_alone_stay_different() {
    assert!(violated(Without::LatticeOrder, 2).contains("two that have merged each other are the same"));
}

#[test]
fn a_pruned_context_brings_replaced_values_back() {
    assert!(violated(Without::WholeContext, 2).contains("no value comes back"));
}

#[test]
fn a_place_forgotten_without_a_clock_brings_removed_values_back() {
    assert!(violated(Without::NodeClock, 3).contains("no value comes back"));
}

/// One server with two places that count their own dots, and a client that carries tokens between them.
#[derive(Clone, Debug)]
struct Shelf {
    tokens_name_their_place: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Shelves {
    places: [DvvSet<u8, u8>; 2],
    /// Which writes were read by the author of another at the same place, a bit each.
    read: u8,
    written: u8,
    token: Option<(String, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Use {
    Read { place: usize },
    Write { place: usize },
}

impl Shelf {
    fn name(&self, place: usize) -> &'static [u8] {
        [b"x", b"y"][if self.tokens_name_their_place { place } else { 0 }]
    }
}

impl Model for Shelf {
    type State = Shelves;
    type Action = Use;

    fn init_states(&self) -> Vec<Shelves> {
        vec![Shelves::default()]
    }

    fn actions(&self, shelves: &Shelves, actions: &mut Vec<Use>) {
        for place in 0..2 {
            actions.push(Use::Read { place });
            actions.extend((shelves.written < 4).then_some(Use::Write { place }));
        }
    }

    fn next_state(&self, before: &Shelves, action: Use) -> Option<Shelves> {
        let mut shelves = before.clone();
        match action {
            Use::Read { place } => {
                let set = &shelves.places[place];
                let text = Token::new((&set.context()).into()).to_text(self.name(place)).ok()?;
                shelves.token = Some((text, set.values().fold(0, |read, id| read | 1 << id)));
            }
            Use::Write { place } => {
                let (context, read) = match &shelves.token {
                    Some((text, read)) => (Token::from_text(self.name(place), text).ok()?.context, *read),
                    None => (CausalContext::new(), 0),
                };
                let context = VersionVector::try_from(&context).ok()?;
                shelves.places[place].update(&context, 0, shelves.written).ok()?;
                shelves.read |= read;
                shelves.written += 1;
                shelves.token = None;
            }
        }
        Some(shelves)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("no value goes that nobody had read", |_, shelves: &Shelves| {
            let live = shelves.places.iter().flat_map(DvvSet::values).fold(0, |live, id| live | 1 << id);
            (0..shelves.written).all(|id| (live | shelves.read) >> id & 1 == 1)
        })]
    }
}

#[test]
fn a_token_used_on_another_place_deletes_what_nobody_read() {
    let model = |tokens_name_their_place| Shelf { tokens_name_their_place }.checker().spawn_bfs().join();
    model(true).assert_properties();
    assert!(model(false).discovery("no value goes that nobody had read").is_some());
}

/// The reference implementation's set: a history, and values without dots. The later history's values win; of
/// concurrent ones both sides' stay.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Undotted {
    seen: VersionVector<u8>,
    values: BTreeSet<u8>,
}

impl Undotted {
    fn sync(&self, other: &Self) -> Self {
        let mut seen = self.seen.clone();
        seen.union(&other.seen);
        let values = match self.seen.compare(&other.seen) {
            Causality::Before => other.values.clone(),
            Causality::After => self.values.clone(),
            Causality::Equal | Causality::Concurrent => &self.values | &other.values,
        };
        Self { seen, values }
    }
}

#[test]
fn values_without_dots_make_the_outcome_depend_on_the_order() {
    let histories = (0..3).flat_map(|a| (0..3).map(move |b| [(0, a), (1, b)]));
    let histories = histories.map(|entries| entries.into_iter().filter(|(_, n)| *n > 0).collect());
    let states: Vec<Undotted> =
        (0..).zip(histories).map(|(value, seen)| Undotted { seen, values: BTreeSet::from([value]) }).collect();
    let depends = |x: &Undotted, y: &Undotted, z: &Undotted| x.sync(y).sync(z) != x.sync(z).sync(y);
    let any = |holds: &dyn Fn(&Undotted) -> bool| states.iter().any(holds);
    let found = any(&|x| any(&|y| any(&|z| depends(x, y, z))));
    assert!(found, "it has been found in the reference implementation");
}
