//! Types made of dot stores, as the harness sees them.

use std::collections::BTreeSet;
use std::fmt::Debug;

use causal::{Hlc, Lease, Leased, Minter, NoSuccessor};
use quickcheck::Arbitrary;

use super::{Site, Subject, Visible};
use crate::{Delta, DotStore, Edit, Error, Replica, State};

/// What the harness needs of a type made of dot stores.
pub trait Specified: DotStore<Actor = Site> {
    /// What can be done to it. Small domains find more: two or three elements, not 256.
    type Command: Arbitrary + Debug;
    /// What it reads.
    type Value: PartialEq + Debug;

    /// Does it.
    ///
    /// # Errors
    /// What the type's operations give: the command is then as if it had not been tried.
    fn run(edit: &mut Edit<'_, Self>, command: &Self::Command) -> Result<(), Error<Site>>;

    /// What it reads.
    fn read(&self) -> Self::Value;

    /// What it should read, given the events that are visible. Nothing: there is no specification.
    #[must_use]
    fn spec(visible: &Visible<'_, Self::Command>) -> Option<Self::Value> {
        let _ = visible;
        None
    }
}

/// A replica of a type made of dot stores.
#[derive(Clone, Debug)]
pub struct Typed<S: DotStore<Actor = Site>> {
    state: State<S>,
    site: Site,
    minted: u64,
}

impl<S: DotStore<Actor = Site>> Typed<S> {
    /// The state.
    pub(crate) fn state(&self) -> &State<S> {
        &self.state
    }

    /// Somebody's state, to be merged.
    pub(crate) fn of(state: State<S>) -> Self {
        Self { state, site: Site::default(), minted: 0 }
    }
}

/// The durable counter of a replica under test.
struct Kept(Leased<Site>);

impl Lease<Site> for Kept {
    type Error = NoSuccessor;
    fn load(&mut self) -> Result<Leased<Site>, NoSuccessor> {
        Ok(self.0.clone())
    }
    fn extend(&mut self, _through: u64) -> Result<(), NoSuccessor> {
        Ok(())
    }
    fn renew(&mut self) -> Result<Site, NoSuccessor> {
        Err(NoSuccessor)
    }
}

impl<S: Specified> Subject for Typed<S> {
    type Command = S::Command;
    type Value = S::Value;
    type Delta = Delta<S>;

    fn start(site: Site) -> Self {
        Self { state: State::new(), site, minted: 0 }
    }

    fn run(&mut self, wall_ms: u64, command: &S::Command) -> Option<(Delta<S>, Hlc)> {
        let lease = Kept(Leased { actor: self.site, through: self.minted });
        let minter = Minter::open(lease).expect("it loads").with_block(1);
        let mut replica = Replica::recover(self.state.clone(), minter).expect("nobody knows more of it than it does");
        let mut at = Hlc(0);
        let delta = replica.edit_at(wall_ms, |edit| {
            at = edit.now();
            S::run(edit, command)
        });
        let delta = delta.ok()?;
        self.state = replica.state().clone();
        self.minted = self.minted.max(self.state.context().max(&self.site));
        Some((delta, at))
    }

    fn apply(&mut self, delta: &Delta<S>) {
        self.state.apply(delta).expect("no dot has two payloads");
    }

    fn group(first: &Delta<S>, second: &Delta<S>) -> Option<Delta<S>> {
        let mut both = first.clone();
        both.group(second).expect("no dot has two payloads");
        Some(both)
    }

    fn merge(&mut self, other: &Self) {
        self.state.merge(&other.state).expect("no dot has two payloads");
    }

    fn value(&self) -> S::Value {
        self.state.read()
    }

    fn same(&self, other: &Self) -> bool {
        self.state == other.state
    }

    fn renew(&mut self, site: Site) {
        (self.site, self.minted) = (site, 0);
    }

    fn spec(visible: &Visible<'_, S::Command>) -> Option<S::Value> {
        S::spec(visible)
    }

    fn live(&self) -> BTreeSet<String> {
        self.state.dots().dots().map(|dot| dot.to_string()).collect()
    }

    fn check(&self) -> Result<(), String> {
        let holds = |law: &str, holds: bool| if holds { Ok(()) } else { Err(law.to_owned()) };
        holds("what lives has been seen", self.state.context().covers(&self.state.dots()))?;
        let parts = self.state.parts();
        let join = |left_out: Option<usize>| {
            let mut state = State::<S>::new();
            for (_, part) in parts.iter().enumerate().filter(|(at, _)| Some(*at) != left_out) {
                state.apply(part).expect("no dot has two payloads");
            }
            state
        };
        holds("a state is the join of its parts", join(None) == self.state)?;
        for (at, part) in parts.iter().enumerate() {
            let without = join(Some(at));
            holds("no part can be left out", without != self.state)?;
            let mut behind = without.clone();
            let diff = self.state.diff(&behind.digest());
            behind.apply(&diff).expect("no dot has two payloads");
            holds("a diff is enough", behind == self.state)?;
            holds("a diff says nothing that is known", *diff.context() == *part.context())?;
        }
        let nothing = self.state.diff(&self.state.digest());
        holds("there is no diff between a state and itself", nothing.is_empty())
    }

    fn check_complete(&self) -> Result<(), String> {
        let (runs, actors) = (self.state.context().runs().count(), self.state.context().iter().count());
        if runs == actors { Ok(()) } else { Err(format!("{actors} actors have {runs} runs of counters")) }
    }
}
