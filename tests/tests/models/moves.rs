//! The move of one partition from its owners to others, while writes go on, operators decide again, and news is late.
//!
//! Every node acts by its own *picture*: the layouts it has heard of (a later one replaces those its operator's node knew; two
//! that were committed at once stand side by side) and who has said to be *filled*. From that follow, as in
//! `replica/src/layout.rs`, who serves, who is being filled and who held it before; the rules for saying to be filled, for
//! letting go, and for beginning when nobody serves are those of `replica/src/core/entropy.rs`, the one for owners that
//! return that of `replica/src/core.rs`. Invariants: what was acknowledged is held by somebody; once the news has spread, no
//! quorum misses a write that was acknowledged; there is a way to the end from everywhere.
//! (Design, 2.4, row 8; Dynamo, section 4.6.)
//!
//! Left out: disks and crashes (what is held is on disk: `stand_ins` has them), streams (with a clock comes all that a replica
//! lacks of it), stand-ins, nodes that are replaced or removed, and cells: a clock is a set of writes. A member list that is
//! under way for long is one that a third node passes on later. Who answers is left open: any owner may be thought away,
//! except where nobody serves. A write is acknowledged by a strict quorum in the picture of its coordinator.
//!
//! What is promised of quorums: where one layout follows another, however many replicas it moves, no node can answer a strict read
//! that misses a strict write acknowledged before, by whatever picture. Where layouts follow one another before the moves are done,
//! that holds whenever all have the same picture. A read is answered at one instant here.

#[path = "moves/bounds.rs"]
mod bounds;

use stateright::{Model, Property};

/// More than any model here has.
const NODES: usize = 4;
const LAYOUTS: usize = 4;
const WRITES: usize = 2;

/// A set of nodes, layouts or writes: a bit each.
type Set = u8;

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// Who is being filled counts once it has what a quorum of the owners had told it, and not what any one had.
    CaughtUpWithAQuorum,
    /// Only the word of an owner that counted the asker among the replicas counts.
    WordCountsMe,
    /// A quorum is one of each layout that holds.
    QuorumOfEachLayout,
    /// Who is no owner any more lets go when all that serve have what it has.
    AllServingHaveIt,
    /// An owner that had ceased to be one is filled again.
    ReturningIsFilled,
    /// Where nobody serves, those who are to own it begin.
    OwnersBegin,
    /// They begin when they know what all know.
    KnowsWhatAllKnow,
    /// A word counts only in the layouts in which it was said.
    WordOfTheseLayouts,
    /// An owner that has not heard of a layout before it was replaced is filled again: it may have lost the partition by it.
    SkippedLayout,
    /// Who had ceased to serve does not serve again unless it is filled: be it to own the partition or in the place of one that
    /// is, and even if nobody else seems to have anything.
    FormerIsNoReserve,
    /// Only the word of one that serves in its own picture counts.
    WordOfOneThatServes,
    /// A write is missing at no more of all who serve, are being filled, or may take themselves for owners still, than a read by as
    /// many owners as a quorum leaves out.
    MissingAtFew,
    /// Who held it before is one of them until it has said, under these layouts, that it does not serve.
    WithThoseBefore,
    /// That a replica holds a write counts only under the layouts by which it did when it said so.
    HeldUnderTheseLayouts,
    /// One that does not serve in its own picture is no owner for those who ask it.
    AnswersAsWhatItIs,
}

/// From when on every quorum knows a write that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promised {
    /// At once, by whatever picture.
    Always,
    /// Whenever all have the same picture.
    OnceTheNewsHasSpread,
}

#[derive(Clone, Debug)]
struct Moves {
    nodes: usize,
    /// The owners by each layout, in the order in which they are committed.
    layouts: &'static [&'static [usize]],
    /// So many of them hold at the start, side by side.
    committed: usize,
    /// A node that has not heard yet of the second layout, by which all others live at the start.
    away: Option<usize>,
    /// Where operators are.
    operators: Set,
    writes: usize,
    promised: Promised,
    without: &'static [Guard],
}

/// One node's picture: which layouts it has heard of, and the version of each node's own entry. An entry has a new version
/// whenever the node says that it is filled, or is not any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Picture {
    layouts: Set,
    versions: [u8; NODES],
}

/// What another node has said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Peer {
    clock: Set,
    counts_me: bool,
    /// Since the picture changed?
    is_fresh: bool,
    /// Under the layouts that hold here?
    in_these_layouts: bool,
    /// Did it serve in its own picture?
    serves: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    picture: Picture,
    clock: Set,
    peers: [Peer; NODES],
    /// Those that were to serve, or did, and have not said under these layouts that they do not.
    before: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Write {
    by: usize,
    /// All replicas in its coordinator's picture.
    told: Set,
    receipt: Set,
    /// Those that hold it and are still being filled.
    being_filled: Set,
    is_acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    nodes: [Node; NODES],
    /// Which layouts each one has replaced, as far as it is committed.
    replaced: [Option<Set>; LAYOUTS],
    writes: [Option<Write>; WRITES],
    /// For a property only: somebody let go of something of which it had the only copy.
    let_go: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Commit {
        layout: usize,
        by: usize,
    },
    /// A member list.
    Gossip {
        from: usize,
        to: usize,
    },
    /// A clock, and all that a replica lacks of it.
    Tell {
        from: usize,
        to: usize,
    },
    Write {
        by: usize,
    },
    Deliver {
        write: usize,
        to: usize,
    },
    Acknowledge {
        write: usize,
    },
    SayFilled {
        node: usize,
    },
    Drop {
        node: usize,
    },
    SayDropped {
        node: usize,
    },
}

/// `replica::layout::Replicas`.
#[derive(Clone, Copy, Debug, Default)]
struct Replicas {
    serving: Set,
    filling: Set,
    former: Set,
    targets: Set,
    quorums: [Option<Set>; LAYOUTS],
    /// Those that are to serve, by each layout.
    to_come: [Option<Set>; LAYOUTS],
    /// Is a quorum one of each layout? Otherwise one of any.
    of_each: bool,
}

fn bit(n: usize) -> Set {
    1 << n
}

fn contains(set: Set, n: usize) -> bool {
    set >> n & 1 == 1
}

fn covers(set: Set, other: Set) -> bool {
    other & !set == 0
}

impl Replicas {
    fn contains(&self, node: usize) -> bool {
        contains(self.serving | self.filling, node)
    }

    fn majority(&self) -> u32 {
        self.quorums.iter().flatten().map(|quorum| quorum.count_ones()).max().unwrap_or(0) / 2 + 1
    }

    /// Are so many in each quorum, or all there are?
    fn reached(&self, nodes: Set) -> bool {
        let needed = self.majority();
        let is_enough = |quorum: &Set| (quorum & nodes).count_ones() >= needed.min(quorum.count_ones()).max(1);
        let mut quorums = self.quorums.iter().flatten();
        if self.of_each { quorums.all(is_enough) } else { quorums.any(is_enough) }
    }

    /// Do no more lack it of all who are or were to serve than a read of a quorum leaves out?
    fn is_missing_at_few(&self, holders: Set, before: Set) -> bool {
        let few = |(quorum, targets): (&Set, &Set)| {
            let owners = quorum.count_ones().max(targets.count_ones());
            ((quorum | targets | before) & !holders).count_ones() <= owners - (owners / 2 + 1)
        };
        self.quorums.iter().flatten().zip(self.to_come.iter().flatten()).all(few)
    }
}

impl Moves {
    fn has(&self, guard: Guard) -> bool {
        !self.without.contains(&guard)
    }

    fn filled(&self, picture: &Picture) -> Set {
        let first =
            self.layouts[..self.committed].iter().flat_map(|owners| owners.iter()).fold(0, |set, n| set | bit(*n));
        let odd = (0..self.nodes).filter(|n| picture.versions[*n] % 2 == 1).fold(0, |set, n| set | bit(n));
        first ^ odd
    }

    fn replicas(&self, world: &World, picture: &Picture) -> Replicas {
        let filled = self.filled(picture);
        let known = |layout: &usize| contains(picture.layouts, *layout);
        let gone = (0..LAYOUTS).filter(known).filter_map(|layout| world.replaced[layout]).fold(0, |set, it| set | it);
        let mut replicas = Replicas::default();
        let hold = (0..LAYOUTS).filter(|layout| known(layout) && !contains(gone, *layout));
        for ((quorum, to_come), layout) in replicas.quorums.iter_mut().zip(&mut replicas.to_come).zip(hold) {
            let targets = self.layouts[layout].iter().fold(0, |set, n| set | bit(*n));
            let mut serving = targets & filled;
            for other in (0..self.nodes).filter(|n| contains(filled & !targets, *n)) {
                if serving.count_ones() < targets.count_ones() {
                    serving |= bit(other);
                }
            }
            *quorum = Some(serving);
            *to_come = Some(targets);
            replicas.targets |= targets;
        }
        replicas.of_each = self.has(Guard::QuorumOfEachLayout);
        replicas.serving = replicas.quorums.iter().flatten().fold(0, |set, quorum| set | quorum);
        replicas.filling = replicas.targets & !replicas.serving;
        replicas.former = filled & !replicas.serving;
        replicas
    }

    fn replicas_at(&self, world: &World, node: usize) -> Replicas {
        self.replicas(world, &world.nodes[node].picture)
    }

    /// Goes on with another picture (`Core::on_view`).
    fn see(&self, world: &mut World, node: usize, picture: Picture) {
        let before = world.nodes[node].picture;
        let had_lost = !self.replicas(world, &before).contains(node);
        let replicas = self.replicas(world, &picture);
        for peer in &mut world.nodes[node].peers {
            peer.is_fresh = false;
            peer.in_these_layouts &= picture.layouts == before.layouts;
        }
        let were = self.replicas(world, &before);
        let comes_to_light = replicas.former & !were.former;
        world.nodes[node].before |= were.serving | were.filling | comes_to_light;
        if picture.layouts != before.layouts && self.has(Guard::HeldUnderTheseLayouts) {
            for write in world.writes.iter_mut().flatten().filter(|write| write.by == node && !write.is_acknowledged) {
                (write.receipt, write.being_filled) = (bit(node), 0);
            }
        }
        world.nodes[node].picture = picture;
        self.forget_what_is_void(world, node);
        let news = picture.layouts & !before.layouts;
        let has_skipped = (0..LAYOUTS)
            .filter(|layout| contains(picture.layouts, *layout))
            .any(|layout| world.replaced[layout].is_some_and(|replaced| replaced & news != 0));
        let lost = (had_lost && self.has(Guard::ReturningIsFilled)) || (has_skipped && self.has(Guard::SkippedLayout));
        let is_wanted = contains(replicas.targets, node) || self.has(Guard::FormerIsNoReserve);
        let others = replicas.serving.count_ones() > 1 || replicas.former != 0 || self.has(Guard::FormerIsNoReserve);
        if lost && is_wanted && contains(replicas.serving, node) && others {
            self.say(world, node);
        }
    }

    /// Says that it is filled, or is not any more.
    fn say(&self, world: &mut World, node: usize) {
        let mut picture = world.nodes[node].picture;
        picture.versions[node] += 1;
        self.see(world, node, picture);
    }

    fn gossip(&self, world: &mut World, from: usize, to: usize) -> Option<()> {
        let (theirs, before) = (world.nodes[from].picture, world.nodes[to].picture);
        let mut picture = before;
        picture.layouts |= theirs.layouts;
        for (own, theirs) in picture.versions.iter_mut().zip(theirs.versions) {
            *own = (*own).max(theirs);
        }
        (picture != before).then(|| self.see(world, to, picture))
    }

    fn tell(&self, world: &mut World, from: usize, to: usize) {
        if self.replicas_at(world, to).contains(to) {
            world.nodes[to].clock |= world.nodes[from].clock;
        }
        let teller = world.nodes[from];
        let in_these_layouts = teller.picture.layouts == world.nodes[to].picture.layouts;
        let serves = contains(self.replicas_at(world, from).serving, from);
        if in_these_layouts && !serves {
            world.nodes[to].before &= !bit(from);
        }
        if !self.listens(world, to) {
            return self.forget_what_is_void(world, to);
        }
        let word = Peer {
            clock: teller.clock,
            counts_me: self.replicas_at(world, from).contains(to),
            is_fresh: true,
            in_these_layouts,
            serves,
        };
        world.nodes[to].peers[from] = word;
        self.forget_what_is_void(world, to);
    }

    /// What is never looked at again makes no difference between states.
    fn forget_what_is_void(&self, world: &mut World, node: usize) {
        // That a word is fresh matters where nobody serves.
        let replicas = self.replicas_at(world, node);
        let is_served = replicas.serving != 0;
        let is_full = world.writes[..self.writes].iter().all(Option::is_some);
        let has_writes =
            !is_full || world.writes.iter().flatten().any(|write| write.by == node && !write.is_acknowledged);
        // Where nobody writes any more it is no matter who was before.
        world.nodes[node].before &= if has_writes { !(replicas.serving | replicas.filling | bit(node)) } else { 0 };
        for peer in &mut world.nodes[node].peers {
            peer.is_fresh &= !is_served;
            let counts = (peer.in_these_layouts || !self.has(Guard::WordOfTheseLayouts))
                && (peer.serves || !self.has(Guard::WordOfOneThatServes));
            if !counts && !peer.is_fresh {
                *peer = Peer::default();
            }
        }
    }

    /// Could this node come to rely on what it is told under the layouts that hold there?
    fn listens(&self, world: &World, node: usize) -> bool {
        let replicas = self.replicas_at(world, node);
        !self.has(Guard::WordOfTheseLayouts) || !contains(replicas.serving & replicas.targets, node)
    }

    fn write(&self, world: &mut World, by: usize) -> Option<()> {
        let replicas = self.replicas_at(world, by);
        contains(replicas.serving, by).then_some(())?;
        let write = world.writes[..self.writes].iter().position(Option::is_none)?;
        let told = (replicas.serving | replicas.filling) & !bit(by);
        world.writes[write] = Some(Write { by, told, receipt: bit(by), being_filled: 0, is_acknowledged: false });
        world.nodes[by].clock |= bit(write);
        self.forget_what_is_void(world, by);
        Some(())
    }

    fn deliver(&self, world: &mut World, write: usize, to: usize) -> Option<()> {
        let Write { by, told, is_acknowledged, .. } = world.writes[write]?;
        contains(told, to).then_some(())?;
        world.nodes[to].clock |= bit(write);
        // One that is being filled counts neither as an owner nor for one.
        let is_being_filled = contains(self.replicas_at(world, by).filling, to);
        let in_these_layouts = world.nodes[to].picture.layouts == world.nodes[by].picture.layouts;
        match world.writes[write].as_mut()? {
            _ if is_acknowledged || (!in_these_layouts && self.has(Guard::HeldUnderTheseLayouts)) => {}
            write if is_being_filled => write.being_filled |= bit(to),
            write => write.receipt |= bit(to),
        }
        Some(())
    }

    fn acknowledge(&self, world: &mut World, write: usize) -> Option<()> {
        let Write { by, receipt, being_filled, is_acknowledged, .. } = world.writes[write]?;
        let replicas = self.replicas_at(world, by);
        let before = if self.has(Guard::WithThoseBefore) { world.nodes[by].before } else { 0 };
        let is_enough = replicas.reached(receipt)
            && (!self.has(Guard::MissingAtFew) || replicas.is_missing_at_few(receipt | being_filled, before));
        (!is_acknowledged && replicas.serving != 0 && is_enough).then_some(())?;
        let write = world.writes[write].as_mut()?;
        (write.is_acknowledged, write.receipt, write.being_filled) = (true, 0, 0);
        self.forget_what_is_void(world, by);
        Some(())
    }

    /// Can this node answer a read, by a quorum of its picture, of which nobody holds the write?
    fn can_miss(&self, world: &World, node: usize, write: usize) -> bool {
        let replicas = self.replicas_at(world, node);
        let answers = |n: &usize| {
            contains(self.replicas_at(world, *n).serving, *n)
                || (!self.has(Guard::AnswersAsWhatItIs) && contains(self.filled(&world.nodes[*n].picture), *n))
        };
        let answering = (0..self.nodes).filter(answers).fold(0, |set, n| set | bit(n));
        let without_it = replicas.serving & answering & !self.holders(world, write);
        contains(replicas.serving, node) && replicas.reached(without_it)
    }

    /// Has everybody the same picture?
    fn has_spread(&self, world: &World) -> bool {
        world.nodes[..self.nodes].iter().all(|node| node.picture == world.nodes[0].picture)
    }

    /// `Core::settle_ownership`, where it says so.
    fn say_filled(&self, world: &mut World, node: usize) -> Option<()> {
        let (replicas, Node { clock, peers, .. }) = (self.replicas_at(world, node), world.nodes[node]);
        contains(replicas.filling, node).then_some(())?;
        let others = (0..self.nodes).filter(|other| *other != node);
        let may_begin = if replicas.serving == 0 {
            let knows_all_of = |other: usize| peers[other].is_fresh && covers(clock, peers[other].clock);
            self.has(Guard::OwnersBegin) && (!self.has(Guard::KnowsWhatAllKnow) || others.into_iter().all(knows_all_of))
        } else {
            let has_caught_up = |other: &usize| {
                let peer = &peers[*other];
                (peer.counts_me || !self.has(Guard::WordCountsMe))
                    && (peer.in_these_layouts || !self.has(Guard::WordOfTheseLayouts))
                    && (peer.serves || !self.has(Guard::WordOfOneThatServes))
                    && covers(clock, peer.clock)
            };
            let caught_up = others.filter(has_caught_up).fold(0, |set, other| set | bit(other)) & replicas.serving;
            match self.has(Guard::CaughtUpWithAQuorum) {
                true => replicas.reached(caught_up),
                false => caught_up != 0,
            }
        };
        may_begin.then(|| self.say(world, node))
    }

    /// `Core::settle_ownership`, where it drops what it has.
    fn let_go(&self, world: &mut World, node: usize) -> Option<()> {
        let (replicas, Node { clock, peers, .. }) = (self.replicas_at(world, node), world.nodes[node]);
        (!replicas.contains(node) && clock != 0 && replicas.serving != 0).then_some(())?;
        let has_it = |other: &usize| {
            let peer = &peers[*other];
            (peer.in_these_layouts || !self.has(Guard::WordOfTheseLayouts))
                && (peer.serves || !self.has(Guard::WordOfOneThatServes))
                && covers(peer.clock, clock)
        };
        let mut serving = (0..self.nodes).filter(|other| contains(replicas.serving, *other));
        let may_drop = match self.has(Guard::AllServingHaveIt) {
            true => serving.all(|other| has_it(&other)),
            false => serving.any(|other| has_it(&other)),
        };
        may_drop.then_some(())?;
        let others = world.nodes.iter().enumerate().filter(|(other, _)| *other != node);
        world.let_go |= !covers(others.fold(0, |set, (_, other)| set | other.clock), clock);
        world.nodes[node].clock = 0;
        Some(())
    }

    fn say_dropped(&self, world: &mut World, node: usize) -> Option<()> {
        let is_filled = contains(self.filled(&world.nodes[node].picture), node);
        let is_done = !self.replicas_at(world, node).contains(node) && world.nodes[node].clock == 0;
        (is_filled && is_done).then(|| self.say(world, node))
    }

    fn act(&self, world: &mut World, action: Action) -> Option<()> {
        match action {
            Action::Commit { layout, by } => {
                let mut picture = world.nodes[by].picture;
                world.replaced[layout] = Some(picture.layouts);
                picture.layouts |= bit(layout);
                self.see(world, by, picture);
                Some(())
            }
            Action::Gossip { from, to } => self.gossip(world, from, to),
            Action::Tell { from, to } => {
                self.tell(world, from, to);
                Some(())
            }
            Action::Write { by } => self.write(world, by),
            Action::Deliver { write, to } => self.deliver(world, write, to),
            Action::Acknowledge { write } => self.acknowledge(world, write),
            Action::SayFilled { node } => self.say_filled(world, node),
            Action::Drop { node } => self.let_go(world, node),
            Action::SayDropped { node } => self.say_dropped(world, node),
        }
    }

    /// Where this ends if nothing is lost any more, and nobody wants anything.
    fn settled(&self, world: &World) -> World {
        let mut world = *world;
        let pairs: Vec<(usize, usize)> = (0..self.nodes)
            .flat_map(|from| (0..self.nodes).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect();
        for _ in 0..12 {
            let before = world;
            for step in [|from, to| Action::Gossip { from, to }, |from, to| Action::Tell { from, to }] {
                for (from, to) in &pairs {
                    self.act(&mut world, step(*from, *to));
                }
            }
            for node in 0..self.nodes {
                self.act(&mut world, Action::SayFilled { node });
                self.act(&mut world, Action::Drop { node });
                self.act(&mut world, Action::SayDropped { node });
            }
            if world == before {
                break;
            }
        }
        world
    }

    /// Do all who are to own it serve it, with the same, and nobody else holds anything?
    fn is_at_rest(&self, world: &World) -> bool {
        let replicas = self.replicas_at(world, 0);
        let all = world.nodes[..self.nodes].iter().fold(0, |set, node| set | node.clock);
        let owes = |n: usize| if contains(replicas.targets, n) { all } else { 0 };
        self.has_spread(world)
            && replicas.serving == replicas.targets
            && replicas.filling == 0
            && (0..self.nodes).all(|n| world.nodes[n].clock == owes(n))
    }

    fn holders(&self, world: &World, write: usize) -> Set {
        (0..self.nodes).filter(|n| contains(world.nodes[*n].clock, write)).fold(0, |set, n| set | bit(n))
    }
}

fn acknowledged(world: &World) -> impl Iterator<Item = (usize, &Write)> {
    let writes = world.writes.iter().enumerate().filter_map(|(n, write)| Some((n, write.as_ref()?)));
    writes.filter(|(_, write)| write.is_acknowledged)
}

const COPIES: &str = "what was acknowledged keeps as many copies as were needed";
const KNOWN: &str = "no quorum misses a write that was acknowledged";
const KEPT: &str = "nobody lets go of the only copy";
const NO_DEAD_END: &str = "from here all who are to own it can come to serve it";

impl Model for Moves {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let picture = Picture { layouts: bit(self.committed) - 1, versions: [0; NODES] };
        let mut replaced = [None; LAYOUTS];
        replaced[..self.committed].fill(Some(0));
        let mut nodes = [Node { picture, ..Node::default() }; NODES];
        if let Some(away) = self.away {
            replaced[1] = Some(bit(0));
            for node in (0..self.nodes).filter(|node| *node != away) {
                nodes[node].picture.layouts |= bit(1);
                self.layouts[1]
                    .iter()
                    .filter(|n| !self.layouts[0].contains(n))
                    .for_each(|n| nodes[node].picture.versions[*n] = 1);
            }
        }
        vec![World { nodes, replaced, writes: [None; WRITES], let_go: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let next = world.replaced[..self.layouts.len()].iter().position(Option::is_none);
        for node in 0..self.nodes {
            let next = next.filter(|_| contains(self.operators, node));
            actions.extend(next.map(|layout| Action::Commit { layout, by: node }));
            actions.extend([Action::Write { by: node }, Action::SayFilled { node }]);
            actions.extend([Action::Drop { node }, Action::SayDropped { node }]);
            for to in (0..self.nodes).filter(|to| *to != node) {
                let from = node;
                actions.extend([Action::Gossip { from, to }, Action::Tell { from, to }]);
            }
            actions.extend((0..self.writes).map(|write| Action::Deliver { write, to: node }));
        }
        actions.extend((0..self.writes).map(|write| Action::Acknowledge { write }));
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = *before;
        self.act(&mut world, action)?;
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(COPIES, |moves: &Moves, world: &World| {
                let copies = moves.layouts.iter().map(|owners| owners.len() as u32 / 2 + 1).min();
                acknowledged(world).all(|(write, _)| Some(moves.holders(world, write).count_ones()) >= copies)
            }),
            Property::always(KNOWN, |moves, world| {
                let may_read = moves.promised == Promised::Always || moves.has_spread(world);
                let mut pairs =
                    acknowledged(world).flat_map(|(write, _)| (0..moves.nodes).map(move |node| (node, write)));
                !may_read || !pairs.any(|(node, write)| moves.can_miss(world, node, write))
            }),
            Property::always(KEPT, |_, world: &World| !world.let_go),
            Property::always(NO_DEAD_END, |moves, world| moves.is_at_rest(&moves.settled(world))),
            Property::sometimes("all is moved, with a write that was acknowledged", |moves, world: &World| {
                let last = moves.layouts.len() - 1;
                world.replaced[last].is_some() && acknowledged(world).next().is_some() && moves.is_at_rest(world)
            }),
        ]
    }
}
