//! The lattices of this crate, as the harness sees them.

use std::fmt::Debug;

use causal::Hlc;
use quickcheck::Arbitrary;

use super::types::{Counting, Keeping};
use super::{Site, Subject, Visible};
use crate::lattice::Entries;
use crate::{BoundedCounter, GCounter, GSet, Hll, Owner, PnCounter};

/// A replica of a lattice.
#[derive(Clone, Debug)]
pub struct Owned<L> {
    site: Site,
    state: L,
}

/// What the harness needs of a lattice.
pub trait SpecifiedLattice: Entries<Site> {
    /// What can be done to it.
    type Command: Arbitrary + Debug;
    /// What it reads.
    type Value: PartialEq + Debug;

    /// Does it, and gives the delta; nothing if it refuses.
    fn act(owner: &mut Owner<Site, Self>, command: &Self::Command) -> Option<Self>;

    /// What it reads.
    fn read(&self) -> Self::Value;

    /// What it should read, given the events that are visible. Nothing: there is no specification.
    #[must_use]
    fn spec(visible: &Visible<'_, Self::Command>) -> Option<Self::Value> {
        let _ = visible;
        None
    }

    /// Whatever else must hold of a state.
    ///
    /// # Errors
    /// What does not.
    fn holds(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<L: SpecifiedLattice> Subject for Owned<L> {
    type Command = L::Command;
    type Value = L::Value;
    type Delta = L;

    fn start(site: Site) -> Self {
        Self { site, state: L::default() }
    }

    fn run(&mut self, _wall_ms: u64, command: &L::Command) -> Option<(L, Hlc)> {
        let mut owner = Owner::recover(self.site, self.state.clone());
        let delta = L::act(&mut owner, command)?;
        self.state = owner.state().clone();
        Some((delta, Hlc(0)))
    }

    fn apply(&mut self, delta: &L) {
        self.state.join(delta);
        assert!(delta.is_within(&self.state), "what was joined is there");
    }

    fn group(first: &L, second: &L) -> Option<L> {
        let mut both = first.clone();
        both.join(second);
        Some(both)
    }

    fn merge(&mut self, other: &Self) {
        self.apply(&other.state);
    }

    fn value(&self) -> L::Value {
        self.state.read()
    }

    fn same(&self, other: &Self) -> bool {
        self.state == other.state && self.state.is_within(&other.state)
    }

    fn renew(&mut self, site: Site) {
        self.site = site;
    }

    fn spec(visible: &Visible<'_, L::Command>) -> Option<L::Value> {
        L::spec(visible)
    }

    fn check(&self) -> Result<(), String> {
        let holds = |law: &str, holds: bool| if holds { Ok(()) } else { Err(law.to_owned()) };
        let parts = self.state.parts();
        let join = |left_out: Option<usize>| {
            let mut state = L::default();
            let joined = parts.iter().enumerate().filter(|(at, _)| Some(*at) != left_out);
            joined.for_each(|(_, part)| state.join(part));
            state
        };
        holds("a state is the join of its parts", join(None) == self.state)?;
        for (at, part) in parts.iter().enumerate() {
            let mut behind = join(Some(at));
            holds("no part can be left out", behind != self.state)?;
            let diff = self.state.diff(&behind);
            holds("a diff says nothing that is known", diff == *part)?;
            behind.join(&diff);
            holds("a diff is enough", behind == self.state)?;
        }
        self.state.holds()
    }
}

impl SpecifiedLattice for GCounter<Site> {
    type Command = Counting;
    type Value = u128;

    fn act(owner: &mut Owner<Site, Self>, command: &Counting) -> Option<Self> {
        owner.add(u64::from(command.number()) + 1).ok()
    }

    fn read(&self) -> u128 {
        self.value()
    }

    fn spec(visible: &Visible<'_, Counting>) -> Option<u128> {
        Some(visible.iter().map(|event| u128::from(event.command.number()) + 1).sum())
    }
}

fn signed(command: Counting) -> i64 {
    match command {
        Counting::Add(number) => i64::from(number) + 1,
        Counting::Set(number) | Counting::Clear(number) => -10 * (i64::from(number) + 1),
    }
}

impl SpecifiedLattice for PnCounter<Site> {
    type Command = Counting;
    type Value = i128;

    fn act(owner: &mut Owner<Site, Self>, command: &Counting) -> Option<Self> {
        owner.add(signed(*command)).ok()
    }

    fn read(&self) -> i128 {
        self.value()
    }

    fn spec(visible: &Visible<'_, Counting>) -> Option<i128> {
        Some(visible.iter().map(|event| i128::from(signed(event.command))).sum())
    }
}

/// `Add` adds, `Set` hands rights to the next replica, `Clear` takes.
impl SpecifiedLattice for BoundedCounter<Site> {
    type Command = Counting;
    type Value = u128;

    fn act(owner: &mut Owner<Site, Self>, command: &Counting) -> Option<Self> {
        let amount = u64::from(command.number()) + 1;
        let next = Site { replica: (owner.actor().replica + 1) % 3, life: 0 };
        match command {
            Counting::Add(_) => owner.add(amount).ok(),
            Counting::Set(_) => owner.hand_over(&next, amount).ok(),
            Counting::Clear(_) => owner.take(amount).ok(),
        }
    }

    fn read(&self) -> u128 {
        self.value()
    }

    fn spec(visible: &Visible<'_, Counting>) -> Option<u128> {
        let change = |command: Counting| match command {
            Counting::Add(number) => i128::from(number) + 1,
            Counting::Clear(number) => -i128::from(number) - 1,
            Counting::Set(_) => 0,
        };
        let sum: i128 = visible.iter().map(|event| change(event.command)).sum();
        Some(u128::try_from(sum).expect("what was taken had been added"))
    }

    fn holds(&self) -> Result<(), String> {
        let rights: u128 = self.holders().iter().map(|(_, rights)| u128::from(*rights)).sum();
        if rights >= self.value() { Ok(()) } else { Err(format!("{rights} rights for {}", self.value())) }
    }
}

/// Grown by anybody: nobody can have forgotten anything.
macro_rules! grown_by_anybody {
    ($($type:ty: $value:ty, $add:expr, $read:expr, $spec:expr;)*) => {$(
        impl SpecifiedLattice for $type {
            type Command = Keeping;
            type Value = $value;

            fn act(owner: &mut Owner<Site, Self>, command: &Keeping) -> Option<Self> {
                let delta = $add(&mut owner.state().clone(), command.number())?;
                owner.apply(&delta).ok()?;
                Some(delta)
            }

            fn read(&self) -> $value {
                $read(self)
            }

            fn spec(visible: &Visible<'_, Keeping>) -> Option<$value> {
                let mut added: Vec<u8> = visible.iter().map(|event| event.command.number()).collect();
                added.sort_unstable();
                added.dedup();
                Some($spec(added))
            }
        }
    )*};
}

grown_by_anybody! {
    GSet<u8>: Vec<u8>, |set: &mut Self, element| Some(set.add(element)), |set: &Self| set.iter().copied().collect(),
        |added| added;
    Hll: u64, |hll: &mut Self, thing: u8| Some(hll.add(&[thing]).unwrap_or_default()), Hll::estimate,
        |added: Vec<u8>| added.len() as u64;
}
