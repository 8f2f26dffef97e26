//! What must hold of a data type that merges, checked for yours.
//!
//! You give the type, its commands, and (if you like) a specification: what it should read, as a function of the events
//! that are visible. The harness runs replicas through random schedules and through all short ones: edits, deltas that
//! are lost, repeated and overtake each other, merges of states old and new, crashes that lose the tail. It checks that
//!
//! 1. merging is commutative, associative and idempotent *on the states that come up*, and an edit's delta is exactly
//!    what the edit did;
//! 2. whatever way the news went, one by one or in groups, all replicas end with the same state;
//! 3. a state is the join of its parts, none of which can be left out, and a diff is enough and not more than enough;
//! 4. every replica reads what the specification says, after every step;
//! 5. what travels as bytes arrives as it was, and equal states have equal bytes ([`Sent`], for types that have bytes);
//! 6. when everybody has everything, a context is one run of counters for each actor: nothing is left of the ways there;
//! 7. nested in maps, and in maps of maps, all of this holds as well: nothing to write for that ([`Nested`]).
//!
//! The short schedules are all those of four steps (`CRDT_LAWS_STEPS` may ask for more) by two replicas, for three pairs of
//! commands. Not checked is the cost of operations.
//!
//! What fails, by a panic too, is cut down to the fewest steps, replicas and values, drawn as a space-time diagram, and comes with a line
//! that runs it again.
//!
//! ```should_panic
//! use causal::{Actor, DotFun};
//! use crdt::laws::{self, Mode, Site, Specified, Typed, Visible};
//! use crdt::{Edit, Error, Payload, dot_store};
//!
//! /// A bid in an auction, in cents.
//! #[derive(Clone, Debug, PartialEq)]
//! struct Bid(u64);
//! impl<A> Payload<A> for Bid {}
//!
//! /// The best bid. The bug: a bid replaces the ones before it, also by a lower one.
//! #[derive(Clone, Debug, Default, PartialEq)]
//! struct Auction {
//!     bids: DotFun<Site, Bid>,
//! }
//! dot_store!(Auction<> by Site { bids: DotFun<Site, Bid> });
//!
//! impl Specified for Auction {
//!     type Command = u64;
//!     type Value = Option<u64>;
//!     fn run(edit: &mut Edit<'_, Self>, cents: &u64) -> Result<(), Error<Site>> {
//!         edit.field(|it| &it.bids, |it| &mut it.bids).replace(Bid(*cents)).map(drop)
//!     }
//!     fn read(&self) -> Option<u64> {
//!         self.bids.iter().map(|(_, bid)| bid.0).max()
//!     }
//!     fn spec(visible: &Visible<'_, u64>) -> Option<Option<u64>> {
//!         Some(visible.iter().map(|event| event.command).max())
//!     }
//! }
//!
//! laws::check::<Typed<Auction>>(Mode::Causal, 1_000);
//! ```

mod composite;
mod diagram;
mod exhaustive;
mod lattices;
mod nested;
mod run;
mod schedule;
mod sent;
mod sequence;
mod shrink;
mod typed;
pub mod types;

use std::collections::BTreeSet;
use std::fmt::{self, Debug};

use causal::Hlc;
pub use quickcheck::{Arbitrary, Gen};

pub use composite::Writing as DocumentWriting;
pub use lattices::{Owned, SpecifiedLattice};
pub use nested::{In, Nested};
pub use run::Failure;
pub use schedule::{Mode, Step};
pub use sent::Sent;
pub use sequence::{Change, Editing};
pub use typed::{Specified, Typed};

/// A replica in one of its lives: the actor of every type under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Which replica, from 0.
    pub replica: u8,
    /// The how-many-eth life, from 0: a crash begins another.
    pub life: u8,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'a' + self.replica))?;
        if self.life > 0 { write!(f, "{}", self.life) } else { Ok(()) }
    }
}

impl causal::ActorBytes for Site {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.replica, self.life]);
    }

    fn read(from: &mut causal::Reader<'_>) -> Result<Self, causal::DecodeError> {
        from.array().map(|[replica, life]| Self { replica, life })
    }
}

/// A replicated data type as the harness sees it. Types made of dot stores need not implement this: [`Typed`] does,
/// given [`Specified`].
pub trait Subject: Clone {
    /// What can be done to it.
    type Command: Arbitrary + Debug;
    /// What it reads.
    type Value: PartialEq + Debug;
    /// What one command sends to the others.
    type Delta: Clone;

    /// A replica that has seen nothing.
    fn start(site: Site) -> Self;

    /// Does something when the wall clock shows `wall_ms`; gives what the others need, and the stamp of the event.
    /// Nothing if the type refuses the command.
    fn run(&mut self, wall_ms: u64, command: &Self::Command) -> Option<(Self::Delta, Hlc)>;

    /// Takes in a delta.
    fn apply(&mut self, delta: &Self::Delta);

    /// Two deltas as one, if the type can do that.
    fn group(first: &Self::Delta, second: &Self::Delta) -> Option<Self::Delta> {
        let _ = (first, second);
        None
    }

    /// Takes in a whole state.
    fn merge(&mut self, other: &Self);

    /// What it reads.
    fn value(&self) -> Self::Value;

    /// Is it the same state (not only the same value)?
    fn same(&self, other: &Self) -> bool;

    /// Goes on as another actor: it has lost what it did last.
    fn renew(&mut self, site: Site);

    /// What it should read. Nothing: there is no specification.
    #[must_use]
    fn spec(visible: &Visible<'_, Self::Command>) -> Option<Self::Value> {
        let _ = visible;
        None
    }

    /// The names of what lives in it, for the diagram.
    fn live(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Whatever else must hold of a state.
    ///
    /// # Errors
    /// What does not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What must hold of a state that has everything there ever was.
    ///
    /// # Errors
    /// What does not.
    fn check_complete(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Something that was done.
#[derive(Clone, Debug)]
pub struct Event<C> {
    /// Its number in the run.
    pub id: usize,
    /// What.
    pub command: C,
    /// Where.
    pub site: Site,
    /// When, by hybrid clock.
    pub at: Hlc,
    /// The events that were visible there.
    pub past: BTreeSet<usize>,
}

/// The events that are visible at one replica.
#[derive(Clone, Debug)]
pub struct Visible<'a, C> {
    events: Vec<&'a Event<C>>,
}

impl<'a, C> Visible<'a, C> {
    pub(crate) fn new(events: Vec<&'a Event<C>>) -> Self {
        Self { events }
    }

    /// The events, in the order of the run.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a Event<C>> + Clone + '_ {
        self.events.iter().copied()
    }

    /// The events that `wanted` wants.
    #[must_use]
    pub fn filter(&self, mut wanted: impl FnMut(&C) -> bool) -> Self {
        Self { events: self.iter().filter(|event| wanted(&event.command)).collect() }
    }

    /// Has any visible event that `by` wants seen this one?
    pub fn is_seen(&self, event: &Event<C>, mut by: impl FnMut(&C) -> bool) -> bool {
        self.iter().any(|later| later.past.contains(&event.id) && by(&later.command))
    }

    /// The events that no other visible one has seen.
    pub fn maximal(&self) -> impl Iterator<Item = &'a Event<C>> + '_ {
        self.iter().filter(|event| !self.is_seen(event, |_| true))
    }

    /// Of these events, the one that was last: greatest stamp, then greatest site.
    #[must_use]
    pub fn last_of(events: impl Iterator<Item = &'a Event<C>>) -> Option<&'a Event<C>> {
        events.max_by_key(|event| (event.at, event.site, event.id))
    }
}

/// Runs random schedules, and all short ones, and fails with a diagram if anything does not hold.
///
/// A replica that took in news is marked `>` in the diagram, and where it came from `~`.
///
/// A single schedule can be run again: set `CRDT_LAWS_SEED` to the seed that a failure names. `CRDT_LAWS_RUNS` is how
/// many schedules are tried in place of `runs`.
///
/// # Panics
/// If something does not hold; the message is the diagram.
pub fn check<T: Subject>(mode: Mode, runs: u64) {
    if let Some(failure) = find::<T>(mode, runs) {
        panic!("{failure}");
    }
}

/// The smallest schedule that shows what is wrong, if any is found: for those who expect one.
#[must_use]
pub fn find<T: Subject>(mode: Mode, runs: u64) -> Option<Failure<T>> {
    if let Some(seed) = number("CRDT_LAWS_SEED") {
        return try_seed(mode, seed);
    }
    let runs = number("CRDT_LAWS_RUNS").unwrap_or(runs);
    (0..runs).find_map(|seed| try_seed(mode, seed)).or_else(|| exhaustive::find(mode))
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn try_seed<T: Subject>(mode: Mode, seed: u64) -> Option<Failure<T>> {
    // Small schedules first, so that what is found is small already.
    let size = 4 + (seed % 17) as usize;
    let steps = schedule::arbitrary::<T::Command>(&mut Gen::from_size_and_seed(size, seed), mode, size);
    let failure = run::run::<T>(mode, steps)?;
    Some(shrink::shrink(failure).of_seed(seed))
}
