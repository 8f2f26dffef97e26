//! A DVV set that is dense while it can be and takes the form with gaps when it must.

use crate::{
    Actor, CausalContext, Causality, Dot, DoubleSpentDot, DvvSet, Lease, MintError, Minter, Siblings, VersionVector,
};

/// The siblings of one place in the smaller of the two forms: the dense [`DvvSet`] as long as no actor's counters
/// have a gap and its live dots are its newest ones, [`Siblings`] otherwise. Both forms are the same state under
/// the same operations; which one is held follows from the state alone, so that equal states are equal values.
///
/// ```
/// use causal::{CausalContext, Minter, Versions};
/// let mut minter = Minter::once("r");
/// let mut here = Versions::new();
/// let first = here.update(&CausalContext::new(), &mut minter, "v1")?;
/// assert!(here.is_dense());
///
/// let mut there = Versions::new();                       // gets the second write, not the first
/// here.update(&CausalContext::new(), &mut minter, "v2")?;
/// there.sync(&here.delta_since(&[first].into_iter().collect()))?;
/// assert!(!there.is_dense());
/// there.sync(&here)?;                                    // the hole is filled
/// assert!(there.is_dense());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versions<A, V> {
    form: Form<A, V>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form<A, V> {
    Dense(DvvSet<A, V>),
    /// Never a state that has a dense form.
    WithGaps(Siblings<A, V>),
}

impl<A, V> Default for Versions<A, V> {
    fn default() -> Self {
        Self { form: Form::Dense(DvvSet::default()) }
    }
}

impl<A: Actor, V: Clone> From<Siblings<A, V>> for Versions<A, V> {
    fn from(siblings: Siblings<A, V>) -> Self {
        let form = DvvSet::try_from(&siblings).map(Form::Dense);
        Self { form: form.unwrap_or(Form::WithGaps(siblings)) }
    }
}

impl<A: Actor, V> From<DvvSet<A, V>> for Versions<A, V> {
    fn from(set: DvvSet<A, V>) -> Self {
        Self { form: Form::Dense(set) }
    }
}

impl<A: Actor, V: Clone> Versions<A, V> {
    /// Nothing written, nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Is it held in the dense form?
    #[must_use]
    pub fn is_dense(&self) -> bool {
        matches!(self.form, Form::Dense(_))
    }

    /// The state in the form with gaps.
    #[must_use]
    pub fn to_siblings(&self) -> Siblings<A, V> {
        match &self.form {
            Form::Dense(set) => set.to_siblings(),
            Form::WithGaps(siblings) => siblings.clone(),
        }
    }

    /// The values, by ascending dot.
    pub fn values(&self) -> impl Iterator<Item = &V> + '_ {
        let (dense, with_gaps) = match &self.form {
            Form::Dense(set) => (Some(set.ascending().map(|(_, value)| value)), None),
            Form::WithGaps(siblings) => (None, Some(siblings.values())),
        };
        dense.into_iter().flatten().chain(with_gaps.into_iter().flatten())
    }

    /// The live dots, ascending.
    #[must_use]
    pub fn dots(&self) -> CausalContext<A> {
        match &self.form {
            Form::Dense(set) => set.dots().collect(),
            Form::WithGaps(siblings) => siblings.dots().cloned().collect(),
        }
    }

    /// How many values are live.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Dense(set) => set.len(),
            Form::WithGaps(siblings) => siblings.len(),
        }
    }

    /// Is no value live?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has this place seen everything `context` has?
    #[must_use]
    pub fn covers(&self, context: &CausalContext<A>) -> bool {
        self.context().covers(context)
    }

    /// Everything seen. (*join* in the papers.)
    #[must_use]
    pub fn context(&self) -> CausalContext<A> {
        match &self.form {
            Form::Dense(set) => (&set.context()).into(),
            Form::WithGaps(siblings) => siblings.context().clone(),
        }
    }

    /// Merges another state of the same place; says whether anything changed here.
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two values; nothing is changed then.
    pub fn sync(&mut self, other: &Self) -> Result<bool, DoubleSpentDot<A>>
    where
        V: PartialEq,
    {
        if let (Form::Dense(ours), Form::Dense(theirs)) = (&mut self.form, &other.form) {
            return ours.sync(theirs);
        }
        let mut merged = self.to_siblings();
        merged.sync(&other.to_siblings())?;
        let merged = Self::from(merged);
        let changed = *self != merged;
        *self = merged;
        Ok(changed)
    }

    /// Removes what `seen` contains, and has seen all of it from now on.
    pub fn discard(&mut self, seen: &CausalContext<A>) {
        match (&mut self.form, VersionVector::try_from(seen)) {
            (Form::Dense(set), Ok(seen)) => set.discard(&seen),
            _ => {
                let mut siblings = self.to_siblings();
                siblings.discard(seen);
                *self = siblings.into();
            }
        }
    }

    /// A write whose author has read `seen`, under a fresh dot of `minter`. Gives the dot. O(actors + values): the form
    /// is made anew.
    ///
    /// # Errors
    /// Those of [`Siblings::update`]; nothing is changed then.
    pub fn update<L: Lease<A>>(
        &mut self,
        seen: &CausalContext<A>,
        minter: &mut Minter<A, L>,
        value: V,
    ) -> Result<Dot<A>, MintError<A, L::Error>> {
        let mut siblings = self.to_siblings();
        let dot = siblings.update(seen, minter, value)?;
        *self = siblings.into();
        Ok(dot)
    }

    /// See [`Siblings::delta_since`].
    #[must_use]
    pub fn delta_since(&self, known: &CausalContext<A>) -> Self {
        self.to_siblings().delta_since(known).into()
    }

    /// The lattice order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        match (&self.form, &other.form) {
            (Form::Dense(ours), Form::Dense(theirs)) => ours.compare(theirs),
            _ => self.to_siblings().compare(&other.to_siblings()),
        }
    }
}
