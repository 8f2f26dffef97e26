//! A partition whose owners are away: stand-ins take writes in their place, hand them over, and retire.
//!
//! Two owners and one or two stand-ins hold two cells under one clock each, in memory and on disk. Each mints dots under its
//! own actor; what it has written may reach anybody, once, often, late, or never; an owner takes from anybody what it lacks,
//! a cell at a time; a node may lose the tail that was not flushed, and goes on as another actor; one disk may be lost. A
//! stand-in retires when every owner has said that it has, on disk, all that the stand-in has. Invariants: what was
//! acknowledged is not lost, what was removed does not come back, a clock claims only what was incorporated.
//! (Design, 2.3 and 2.4, rows 1, 2, 3 and 8; `replica/src/partition/incorporate.rs`, `sync.rs`, `Core::settle_ownership`.)
//!
//! Left out: who is thought to answer (anybody may stand in, whenever), what a partition forgets (logs, residuals of stable
//! dots) and the streams that this makes necessary, removals of whole keys, counters, and the fencing of earlier actors. What
//! an owner has said is taken from its disk: an older word says less, and retiring on it is retiring later.

use stateright::{Model, Property};

use crate::{assert_fails, assert_holds};

const NODES: usize = 4;
const OWNERS: usize = 2;
const CELLS: usize = 2;
const WRITES: usize = 3;
/// An actor is a node's run; so many events of each have a bit.
const RUNS: usize = 3;
const COUNTERS: usize = 3;

/// A set of dots: a bit each.
type Dots = u64;
/// A set of events: a bit each.
type Events = u8;

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// A stand-in retires when every owner has what it has, and not one of them.
    EveryOwner,
    /// An owner has only what it has on disk.
    OnDisk,
    /// Clock and cells are one batch.
    OneBatch,
    /// A node that starts again mints as another actor.
    NewIncarnation,
    /// Who retires keeps how much it has minted.
    MintedIsKept,
    /// A delta says what its author had seen.
    DeltaSaysPast,
    /// What was removed without having been incorporated is remembered.
    Residual,
    /// Of what is handed over, the events of the cells that have come count, and no others.
    CellsThatCame,
}

/// What can go wrong beside the network, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Faults {
    crashes: u8,
    wipes: u8,
}

#[derive(Clone, Debug)]
struct StandIns {
    nodes: usize,
    cells: usize,
    writes: usize,
    faults: Faults,
    without: Option<Guard>,
}

/// A partition at one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Stored {
    clock: Dots,
    /// Their payloads are live.
    live: Events,
    residual: [Dots; CELLS],
    /// Kept when all else is dropped.
    minted: u8,
    /// For the properties only: what was really incorporated.
    incorporated: Events,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    now: Stored,
    disk: Stored,
    run: u8,
    /// The clock of a disk that was lost: others may still go by it.
    said: Dots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Event {
    by: usize,
    cell: usize,
    dot: u8,
    seen: Dots,
    is_removal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    nodes: [Node; NODES],
    events: [Option<Event>; WRITES],
    /// What is not to be lost: it was on its author's disk, and if a disk has been lost since, on another one by then.
    owed: Events,
    on_two_disks: Events,
    faults: Faults,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A write, or removal, by somebody who has read the cell at `seen_at`.
    Write {
        at: usize,
        cell: usize,
        seen_at: usize,
        is_removal: bool,
    },
    Deliver {
        event: usize,
        to: usize,
    },
    /// An owner takes over what it lacks in a cell.
    Sync {
        from: usize,
        to: usize,
        cell: usize,
    },
    Flush {
        node: usize,
    },
    /// The clock is flushed and the cells are not.
    Tear {
        node: usize,
    },
    Crash {
        node: usize,
    },
    Wipe {
        owner: usize,
    },
    Retire {
        stand_in: usize,
    },
}

fn bit(n: usize) -> Events {
    1 << n
}

fn dot_bit(dot: u8) -> Dots {
    1 << dot
}

impl World {
    fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.events.iter().enumerate().filter_map(|(n, event)| Some((n, event.as_ref()?)))
    }

    fn in_cell(&self, cell: usize) -> impl Iterator<Item = (usize, &Event)> {
        self.events().filter(move |(_, event)| event.cell == cell)
    }

    /// The dots of the events.
    fn dots(&self, events: Events) -> Dots {
        self.events().filter(|(n, _)| events >> n & 1 == 1).fold(0, |set, (_, event)| set | dot_bit(event.dot))
    }

    /// Drops the live payloads of a cell whose dots are among these.
    fn discard(&self, live: &mut Events, cell: usize, seen: Dots) {
        self.in_cell(cell).filter(|(_, event)| seen & dot_bit(event.dot) != 0).for_each(|(n, _)| *live &= !bit(n));
    }

    /// The place of the first dot of the actor that the node is now, and how many it has minted (`Partition::minted`).
    fn minted(&self, node: usize) -> (usize, usize) {
        let Node { now, run, .. } = &self.nodes[node];
        let first = (node * RUNS + usize::from(*run)) * COUNTERS;
        let known = (0..COUNTERS).filter(|n| now.clock >> (first + n) & 1 == 1).max().map_or(0, |n| n + 1);
        (first, known.max(usize::from(now.minted)))
    }

    fn strip(stored: &mut Stored) {
        stored.residual.iter_mut().for_each(|residual| *residual &= !stored.clock);
    }
}

impl StandIns {
    fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    fn write(&self, world: &mut World, at: usize, cell: usize, seen_at: usize, is_removal: bool) -> Option<()> {
        let id = world.events[..self.writes].iter().position(Option::is_none)?;
        // Cells are alike: the first event is on the first of them.
        (id > 0 || cell == 0).then_some(())?;
        let live_at = if seen_at == at { world.nodes[at].now.live } else { world.nodes[seen_at].disk.live };
        let own = world.nodes[at].now.live;
        let of_cell = |events: Events| world.in_cell(cell).fold(0, |set, (n, _)| set | events & bit(n));
        let (read, own) = (of_cell(live_at), of_cell(own));
        // What was read elsewhere makes a difference only if it is something else.
        (seen_at == at || (read != own && read != 0)).then_some(())?;
        (!is_removal || read != 0).then_some(())?;
        let seen = world.dots(read);
        let (first, minted) = world.minted(at);
        (minted < COUNTERS).then_some(())?;
        let event = Event { by: at, cell, dot: (first + minted) as u8, seen, is_removal };
        world.events[id] = Some(event);
        self.apply(world, at, id, seen);
        Some(())
    }

    /// One event, with what its author had seen (`Partition::apply_to_cell`).
    fn apply(&self, world: &mut World, to: usize, id: usize, seen: Dots) -> Option<()> {
        let event = world.events[id]?;
        let mut stored = world.nodes[to].now;
        (stored.clock & dot_bit(event.dot) == 0).then_some(())?;
        world.discard(&mut stored.live, event.cell, seen);
        if !event.is_removal && stored.residual[event.cell] & dot_bit(event.dot) == 0 {
            stored.live |= bit(id);
        }
        stored.clock |= dot_bit(event.dot);
        stored.incorporated |= bit(id);
        if self.has(Guard::Residual) {
            stored.residual[event.cell] |= seen;
        }
        World::strip(&mut stored);
        world.nodes[to].now = stored;
        Some(())
    }

    fn deliver(&self, world: &mut World, id: usize, to: usize) -> Option<()> {
        let seen = if self.has(Guard::DeltaSaysPast) { world.events[id]?.seen } else { 0 };
        self.apply(world, to, id, seen)
    }

    /// All that is missing in a cell, with its state (`Partition::take_missing`): what is sent is on disk there.
    fn sync(&self, world: &mut World, from: usize, to: usize, cell: usize) -> Option<()> {
        let (theirs, mut own) = (world.nodes[from].disk, world.nodes[to].now);
        (theirs.clock & !own.clock != 0).then_some(())?;
        let missing = world.in_cell(cell).filter(|(_, event)| theirs.clock & !own.clock & dot_bit(event.dot) != 0);
        let missing = missing.fold(0, |set, (_, event)| set | dot_bit(event.dot));
        (missing != 0).then_some(())?;
        let of_cell = world.in_cell(cell).fold(0, |set, (n, _)| set | bit(n));
        let (here, there) = (own.live & of_cell, theirs.live & of_cell);
        let context = |stored: &Stored| stored.clock | stored.residual[cell];
        let new_to = |live: Events, context: Dots| {
            let mut live = live;
            world.discard(&mut live, cell, context);
            live
        };
        let joined = here & there | new_to(here, context(&theirs)) | new_to(there, context(&own));
        own.live = own.live & !of_cell | joined;
        if self.has(Guard::Residual) {
            own.residual[cell] |= theirs.residual[cell];
        }
        own.clock |= if self.has(Guard::CellsThatCame) { missing } else { theirs.clock };
        let came = world.in_cell(cell).filter(|(_, event)| missing & dot_bit(event.dot) != 0);
        own.incorporated |= came.fold(0, |set, (n, _)| set | bit(n)) & theirs.incorporated;
        World::strip(&mut own);
        world.nodes[to].now = own;
        Some(())
    }

    fn flush(&self, world: &mut World, node: usize) {
        world.nodes[node].disk = world.nodes[node].now;
        let disk = world.nodes[node].disk.incorporated;
        world.owed |= world.events().filter(|(_, event)| event.by == node).fold(0, |set, (n, _)| set | bit(n) & disk);
        let elsewhere = (0..self.nodes).filter(|other| *other != node);
        world.on_two_disks |= disk & elsewhere.fold(0, |set, other| set | world.nodes[other].disk.incorporated);
    }

    fn crash(&self, world: &mut World, node: usize) -> Option<()> {
        world.faults.crashes = world.faults.crashes.checked_sub(1)?;
        let node = &mut world.nodes[node];
        node.now = node.disk;
        if self.has(Guard::NewIncarnation) {
            node.run += 1;
        }
        Some(())
    }

    fn wipe(&self, world: &mut World, owner: usize) -> Option<()> {
        world.faults.wipes = world.faults.wipes.checked_sub(1)?;
        let elsewhere = (0..self.nodes).filter(|other| *other != owner);
        let elsewhere = elsewhere.fold(0, |set, other| set | world.nodes[other].disk.incorporated);
        world.owed = world.owed & elsewhere | world.on_two_disks;
        let Node { disk, run, .. } = world.nodes[owner];
        world.nodes[owner] = Node { run: run + 1, said: disk.clock, ..Node::default() };
        Some(())
    }

    fn retire(&self, world: &mut World, stand_in: usize) -> Option<()> {
        let clock = world.nodes[stand_in].now.clock;
        (clock != 0).then_some(())?;
        let has_it = |owner: &Node| {
            let said = if self.has(Guard::OnDisk) { owner.disk.clock } else { owner.now.clock };
            clock & !(said | owner.said) == 0
        };
        let mut owners = world.nodes[..OWNERS].iter();
        let may = if self.has(Guard::EveryOwner) { owners.all(has_it) } else { owners.any(has_it) };
        may.then_some(())?;
        let (_, minted) = world.minted(stand_in);
        let minted = if self.has(Guard::MintedIsKept) { minted as u8 } else { 0 };
        world.nodes[stand_in].now = Stored { minted, ..Stored::default() };
        Some(())
    }

    fn act(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::Write { at, cell, seen_at, is_removal } => self.write(world, at, cell, seen_at, is_removal),
            Action::Deliver { event, to } => self.deliver(world, event, to),
            Action::Sync { from, to, cell } => self.sync(world, from, to, cell),
            Action::Flush { node } => {
                self.flush(world, node);
                Some(())
            }
            Action::Tear { node } => {
                let node = &mut world.nodes[node];
                node.disk.clock = node.now.clock;
                Some(())
            }
            Action::Crash { node } => self.crash(world, node),
            Action::Wipe { owner } => self.wipe(world, owner),
            Action::Retire { stand_in } => self.retire(world, stand_in),
        }
    }

    /// Where this ends if nothing goes wrong any more, and nobody wants anything.
    fn settled(&self, world: &World) -> World {
        let mut world = *world;
        for _ in 0..2 {
            (0..self.nodes).for_each(|node| self.flush(&mut world, node));
            for to in 0..OWNERS {
                for from in (0..self.nodes).filter(|from| *from != to) {
                    for cell in 0..self.cells {
                        self.sync(&mut world, from, to, cell);
                    }
                    self.flush(&mut world, to);
                }
            }
        }
        for stand_in in OWNERS..self.nodes {
            self.retire(&mut world, stand_in);
            self.flush(&mut world, stand_in);
        }
        world
    }

    /// Do the owners have the same, and the stand-ins nothing?
    fn is_at_rest(&self, world: &World) -> bool {
        let is_same = |node: &Node| {
            node.now == node.disk && {
                let (one, other) = (&node.now, &world.nodes[0].now);
                (one.clock, one.live, one.residual) == (other.clock, other.live, other.residual)
            }
        };
        world.nodes[..OWNERS].iter().all(is_same)
            && world.nodes[OWNERS..].iter().all(|node| node.now.clock == 0 && node.disk.clock == 0)
    }
}

const ONE: &str = "a dot names one write";
const TRUE: &str = "a clock claims only what was incorporated";
const GONE: &str = "what was removed does not come back";
const SAFE: &str = "what was acknowledged is not lost";
const SAME: &str = "equal clocks mean equal cells";
const REST: &str = "from here owners can come to have the same, and stand-ins nothing";

impl Model for StandIns {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let nodes = [Node::default(); NODES];
        vec![World { nodes, events: [None; WRITES], owed: 0, on_two_disks: 0, faults: self.faults }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for node in 0..self.nodes {
            for cell in 0..self.cells {
                for seen_at in 0..self.nodes {
                    for is_removal in [false, true] {
                        actions.push(Action::Write { at: node, cell, seen_at, is_removal });
                    }
                }
                let owners = (0..OWNERS).filter(|owner| *owner != node);
                actions.extend(owners.map(|to| Action::Sync { from: node, to, cell }));
            }
            actions.extend(world.events().map(|(event, _)| Action::Deliver { event, to: node }));
            actions.extend([Action::Flush { node }, Action::Crash { node }]);
            if !self.has(Guard::OneBatch) {
                actions.push(Action::Tear { node });
            }
            actions.push(if node < OWNERS { Action::Wipe { owner: node } } else { Action::Retire { stand_in: node } });
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = *before;
        self.act(&mut world, action)?;
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |_, world: &World| {
                let dots = world.events().fold(0, |set, (_, event)| set | dot_bit(event.dot));
                dots.count_ones() as usize == world.events().count()
            }),
            Property::always(TRUE, |_, world: &World| {
                let is_true = |stored: &Stored| stored.clock == world.dots(stored.incorporated);
                world.nodes.iter().all(|node| is_true(&node.now) && is_true(&node.disk))
            }),
            Property::always(GONE, |_, world: &World| {
                let is_gone = |stored: &Stored| {
                    let by = world.events().filter(|(n, _)| stored.incorporated & bit(*n) != 0);
                    let seen = by.fold(0, |set, (_, event)| set | event.seen);
                    world.dots(stored.live) & seen == 0
                };
                world.nodes.iter().all(|node| is_gone(&node.now))
            }),
            Property::always(SAFE, |_, world: &World| {
                let disks = || world.nodes.iter().map(|node| &node.disk);
                let known = disks().fold(0, |set, disk| set | disk.incorporated);
                let clocks = disks().fold(0, |set, disk| set | disk.clock);
                let live = disks().fold(0, |set, disk| set | disk.live);
                let by = world.events().filter(|(n, _)| known & bit(*n) != 0);
                let replaced = by.fold(0, |set, (_, event)| set | event.seen);
                let mut owed = world.events().filter(|(n, _)| world.owed & bit(*n) != 0);
                owed.all(|(n, event)| {
                    let is_there = event.is_removal || live & bit(n) != 0 || replaced & dot_bit(event.dot) != 0;
                    clocks & dot_bit(event.dot) != 0 && is_there
                })
            }),
            Property::always(SAME, |stand_ins: &StandIns, world: &World| {
                let nodes = &world.nodes[..stand_ins.nodes];
                let pairs = nodes.iter().flat_map(|one| nodes.iter().map(move |other| (&one.now, &other.now)));
                pairs.filter(|(one, other)| one.clock == other.clock).all(|(one, other)| one.live == other.live)
            }),
            Property::always(REST, |stand_ins: &StandIns, world: &World| {
                stand_ins.is_at_rest(&stand_ins.settled(world))
            }),
            Property::sometimes("a stand-in has handed over what it took", |stand_ins: &StandIns, world: &World| {
                let took = world.events().any(|(n, event)| event.by >= OWNERS && world.owed & bit(n) != 0);
                took && world.events[stand_ins.writes - 1].is_some() && stand_ins.is_at_rest(world)
            }),
        ]
    }
}

const CALM: Faults = Faults { crashes: 0, wipes: 0 };
const QUIET: StandIns = StandIns { nodes: 3, cells: 1, writes: 2, faults: CALM, without: None };
const TWO_STAND_INS: StandIns = StandIns { nodes: 4, ..QUIET };
const THREE_WRITES: StandIns = StandIns { writes: 3, ..QUIET };
const CRASHES: StandIns = StandIns { cells: 2, faults: Faults { crashes: 2, wipes: 0 }, ..QUIET };
const LOST_DISK: StandIns = StandIns { faults: Faults { crashes: 1, wipes: 1 }, ..QUIET };

#[test]
fn a_stand_in_hands_over_what_replaces_what() {
    assert!((500_000..2_000_000).contains(&assert_holds(THREE_WRITES)));
}

#[test]
fn two_stand_ins_hand_over() {
    assert!((100_000..500_000).contains(&assert_holds(TWO_STAND_INS)));
}

#[test]
fn nodes_that_crash_lose_what_was_not_flushed_and_nothing_else() {
    assert!((100_000..2_000_000).contains(&assert_holds(CRASHES)));
}

#[test]
fn what_two_disks_had_survives_the_loss_of_one() {
    assert!((500_000..2_000_000).contains(&assert_holds(LOST_DISK)));
}

#[test]
fn a_stand_in_that_retires_before_every_owner_has_everything_loses_it_with_one_disk() {
    assert_fails(StandIns { without: Some(Guard::EveryOwner), ..LOST_DISK }, SAFE);
}

#[test]
fn a_stand_in_that_retires_on_what_owners_have_not_flushed_loses_it() {
    assert_fails(StandIns { without: Some(Guard::OnDisk), ..CRASHES }, SAFE);
}

#[test]
fn a_clock_that_is_flushed_without_its_cells_deletes_what_others_have() {
    assert_fails(StandIns { without: Some(Guard::OneBatch), ..CRASHES }, TRUE);
    assert_fails(StandIns { without: Some(Guard::OneBatch), ..CRASHES }, SAFE);
}

#[test]
fn a_node_that_starts_again_as_the_same_actor_lets_a_dot_name_two_writes() {
    assert_fails(StandIns { without: Some(Guard::NewIncarnation), ..CRASHES }, ONE);
    assert_fails(StandIns { without: Some(Guard::NewIncarnation), ..CRASHES }, SAFE);
}

#[test]
fn a_stand_in_that_forgets_how_much_it_has_minted_lets_a_dot_name_two_writes() {
    assert_fails(StandIns { without: Some(Guard::MintedIsKept), ..QUIET }, ONE);
    assert_fails(StandIns { without: Some(Guard::MintedIsKept), ..QUIET }, SAFE);
}

#[test]
fn a_delta_without_its_past_leaves_what_was_removed() {
    assert_fails(StandIns { without: Some(Guard::DeltaSaysPast), ..QUIET }, GONE);
}

#[test]
fn a_removal_that_is_forgotten_lets_a_late_message_bring_back_what_was_removed() {
    assert_fails(StandIns { without: Some(Guard::Residual), ..QUIET }, GONE);
}

#[test]
fn a_clock_that_counts_cells_that_have_not_come_loses_them() {
    assert_fails(StandIns { without: Some(Guard::CellsThatCame), ..CRASHES }, TRUE);
    assert_fails(StandIns { without: Some(Guard::CellsThatCame), ..CRASHES }, SAFE);
}
