//! Types that only grow: their merge is the least upper bound, and there is nothing to remove.
//!
//! They need no dots, so they are small and fast; but what cannot be removed cannot be reset, so they do not nest in
//! maps. Each entry is written by one actor: an [`Owner`] is that actor's way to write.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use causal::{Actor, MAX_COUNTER, VersionVector};

use crate::{Error, Shortage};

/// A state that only grows. `join` is commutative, associative and idempotent, and `x.is_within(y)` says that joining
/// `x` to `y` changes nothing.
pub trait Lattice: Clone + Default + PartialEq {
    /// Becomes the least state that has everything of both.
    fn join(&mut self, other: &Self);

    /// Has `other` everything this state has?
    #[must_use]
    fn is_within(&self, other: &Self) -> bool;

    /// States that together are this one, none of which can be left out or taken apart further. (Enes et al. 2019,
    /// section 3: the irredundant join decomposition.)
    #[must_use]
    fn parts(&self) -> Vec<Self>;

    /// The least state that brings `known` as far as this one: the join of the parts it lacks. (Section 4 there.)
    #[must_use]
    fn diff(&self, known: &Self) -> Self {
        let mut news = Self::default();
        self.parts().iter().filter(|part| !part.is_within(known)).for_each(|part| news.join(part));
        news
    }
}

/// A lattice in which each actor writes entries of its own.
pub trait Entries<A>: Lattice {
    /// How far this state knows `actor` to have come: grows with everything the actor writes.
    fn written_by(&self, actor: &A) -> u64;
}

/// One actor's replica of a lattice. Reads go to the lattice: `owner.value()`. Not `Clone`: two of one actor would each
/// write its entries.
///
/// Operations give the delta for the others: a small state.
///
/// ```
/// use crdt::{GCounter, Owner};
/// let [mut a, mut b] = ["a", "b"].map(Owner::<&str, GCounter<&str>>::new);
/// b.apply(&a.add(2)?)?;
/// a.apply(&b.add(3)?)?;
/// assert_eq!((a.value(), b.value()), (5, 5));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Debug)]
pub struct Owner<A, L> {
    actor: A,
    state: L,
}

impl<A, L> Deref for Owner<A, L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.state
    }
}

impl<A: Actor, L: Entries<A>> Owner<A, L> {
    /// For an actor nobody has ever been. One that may have forgotten what it wrote begins anew under another name, on
    /// the state it still has: [`Self::recover`].
    #[must_use]
    pub fn new(actor: A) -> Self {
        Self { actor, state: L::default() }
    }

    /// Goes on from a state that was stored, as an actor that has written to it nothing else than what is in it.
    #[must_use]
    pub fn recover(actor: A, state: L) -> Self {
        Self { actor, state }
    }

    /// Who writes here.
    #[must_use]
    pub fn actor(&self) -> &A {
        &self.actor
    }

    /// The whole state.
    #[must_use]
    pub fn state(&self) -> &L {
        &self.state
    }

    /// Merges a delta, or another replica's whole state.
    ///
    /// # Errors
    /// [`Error::Amnesia`] if it knows of more of this actor than the actor does: it was restored from a copy or exists
    /// twice. Nothing is changed then.
    pub fn apply(&mut self, delta: &L) -> Result<(), Error<A>> {
        let (seen, minted) = (delta.written_by(&self.actor), self.state.written_by(&self.actor));
        if seen > minted {
            return Err(Error::Amnesia { actor: self.actor.clone(), seen, minted });
        }
        self.state.join(delta);
        Ok(())
    }
}

/// A sum of what each actor has added; cannot be reset. Each actor's total is at most 2^62 - 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GCounter<A> {
    totals: VersionVector<A>,
}

impl<A: Actor> Default for GCounter<A> {
    fn default() -> Self {
        Self { totals: VersionVector::new() }
    }
}

impl<A: Actor> Lattice for GCounter<A> {
    fn join(&mut self, other: &Self) {
        self.totals.union(&other.totals);
    }

    fn is_within(&self, other: &Self) -> bool {
        other.totals.covers(&self.totals)
    }

    fn parts(&self) -> Vec<Self> {
        let entries = self.totals.iter();
        entries.map(|(actor, total)| Self { totals: [(actor.clone(), total)].into_iter().collect() }).collect()
    }
}

impl<A: Actor> Entries<A> for GCounter<A> {
    fn written_by(&self, actor: &A) -> u64 {
        self.totals.get(actor)
    }
}

impl<A: Actor> GCounter<A> {
    pub(crate) fn of(totals: VersionVector<A>) -> Self {
        Self { totals }
    }

    pub(crate) fn totals(&self) -> &VersionVector<A> {
        &self.totals
    }

    /// The sum. O(actors).
    #[must_use]
    pub fn value(&self) -> u128 {
        self.totals.iter().map(|(_, total)| u128::from(total)).sum()
    }

    /// One actor's entry after it has added `amount`, alone.
    fn added(&self, actor: &A, amount: u64) -> Result<Self, Error<A>> {
        let total = self.totals.get(actor).checked_add(amount).filter(|total| *total <= MAX_COUNTER);
        let counter = total.ok_or(Error::Overflow)?;
        let entries = (counter > 0).then(|| (actor.clone(), counter));
        Ok(Self { totals: entries.into_iter().collect() })
    }
}

impl<A: Actor> Owner<A, GCounter<A>> {
    /// Adds, and gives the delta. O(log actors).
    ///
    /// # Errors
    /// [`Error::Overflow`] if this actor's total would pass 2^62 - 1; nothing is changed then.
    pub fn add(&mut self, amount: u64) -> Result<GCounter<A>, Error<A>> {
        let delta = self.state.added(&self.actor, amount)?;
        self.increment(amount)?;
        Ok(delta)
    }

    /// Adds, for those who send whole states. O(log actors).
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn increment(&mut self, amount: u64) -> Result<(), Error<A>> {
        self.state.totals.advance(&self.actor, amount).map(drop).ok_or(Error::Overflow)
    }
}

/// A sum of what each actor has added and taken away; cannot be reset.
///
/// ```
/// use crdt::{Owner, PnCounter};
/// let [mut a, mut b] = ["a", "b"].map(Owner::<&str, PnCounter<&str>>::new);
/// b.apply(&a.add(5)?)?;
/// a.apply(&b.add(-7)?)?;
/// assert_eq!((a.value(), b.value()), (-2, -2));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PnCounter<A> {
    added: GCounter<A>,
    taken: GCounter<A>,
}

impl<A: Actor> Default for PnCounter<A> {
    fn default() -> Self {
        Self { added: GCounter::default(), taken: GCounter::default() }
    }
}

impl<A: Actor> Lattice for PnCounter<A> {
    fn join(&mut self, other: &Self) {
        self.added.join(&other.added);
        self.taken.join(&other.taken);
    }

    fn is_within(&self, other: &Self) -> bool {
        self.added.is_within(&other.added) && self.taken.is_within(&other.taken)
    }

    fn parts(&self) -> Vec<Self> {
        let added = self.added.parts().into_iter().map(|added| Self { added, ..Self::default() });
        added.chain(self.taken.parts().into_iter().map(|taken| Self { taken, ..Self::default() })).collect()
    }
}

impl<A: Actor> Entries<A> for PnCounter<A> {
    fn written_by(&self, actor: &A) -> u64 {
        self.added.written_by(actor) + self.taken.written_by(actor) // each at most 2^62 - 1
    }
}

impl<A: Actor> PnCounter<A> {
    pub(crate) fn of(added: GCounter<A>, taken: GCounter<A>) -> Self {
        Self { added, taken }
    }

    /// What was added, what was taken away.
    pub(crate) fn sides(&self) -> (&GCounter<A>, &GCounter<A>) {
        (&self.added, &self.taken)
    }

    /// The sum. O(actors).
    #[must_use]
    pub fn value(&self) -> i128 {
        self.added.value() as i128 - self.taken.value() as i128 // 2^64 actors of 2^62 each would be needed to wrap
    }
}

impl<A: Actor> Owner<A, PnCounter<A>> {
    /// Adds `amount`, which may be negative, and gives the delta. O(log actors).
    ///
    /// # Errors
    /// [`Error::Overflow`] if what this actor has added, or taken away, would pass 2^62 - 1; nothing is changed then.
    pub fn add(&mut self, amount: i64) -> Result<PnCounter<A>, Error<A>> {
        let (up, down) = if amount < 0 { (0, amount.unsigned_abs()) } else { (amount.unsigned_abs(), 0) };
        let delta = PnCounter {
            added: self.state.added.added(&self.actor, up)?,
            taken: self.state.taken.added(&self.actor, down)?,
        };
        self.state.join(&delta);
        Ok(delta)
    }
}

/// A set that only grows.
///
/// ```
/// use crdt::{GSet, Lattice};
/// let (mut a, mut b) = (GSet::from_iter([1]), GSet::default());
/// let delta = b.add(2);
/// a.join(&delta);
/// assert!(b.is_within(&a) && a.iter().eq(&[1, 2]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GSet<T> {
    elements: BTreeSet<T>,
}

impl<T> Default for GSet<T> {
    fn default() -> Self {
        Self { elements: BTreeSet::new() }
    }
}

impl<T: Ord + Clone> FromIterator<T> for GSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self { elements: elements.into_iter().collect() }
    }
}

impl<T: Ord + Clone> Lattice for GSet<T> {
    fn join(&mut self, other: &Self) {
        self.elements.extend(other.elements.iter().cloned());
    }

    fn is_within(&self, other: &Self) -> bool {
        self.elements.is_subset(&other.elements)
    }

    fn parts(&self) -> Vec<Self> {
        self.elements.iter().cloned().map(|element| Self::from_iter([element])).collect()
    }
}

/// Anybody may add any element, again and again.
impl<A, T: Ord + Clone> Entries<A> for GSet<T> {
    fn written_by(&self, _: &A) -> u64 {
        0
    }
}

impl<T: Ord + Clone> GSet<T> {
    /// Adds an element, and gives the delta. O(log n).
    pub fn add(&mut self, element: T) -> Self {
        self.elements.insert(element.clone());
        Self::from_iter([element])
    }

    /// Is it there? O(log n).
    #[must_use]
    pub fn contains(&self, element: &T) -> bool {
        self.elements.contains(element)
    }

    /// The elements, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + '_ {
        self.elements.iter()
    }
}

/// A counter that never goes below zero, though nobody is asked: to take away, an actor needs rights, which are made by
/// adding, used up by taking away, and can be handed to others. (Balegas et al. 2015.) Take it with an offset for another
/// bound.
///
/// ```
/// use crdt::{BoundedCounter, Error, Owner};
/// let [mut a, mut b] = ["a", "b"].map(Owner::<&str, BoundedCounter<&str>>::new);
/// b.apply(&a.add(10)?)?;                                 // ten in stock; the rights to sell them are a's
/// let Err(Error::Rights(shortage)) = b.take(3) else { panic!("b has none") };
/// assert_eq!((shortage.held, shortage.holders), (0, vec![("a", 10)]));
/// b.apply(&a.hand_over(&"b", 4)?)?;
/// a.apply(&b.take(3)?)?;
/// assert_eq!((a.value(), a.rights_of(&"a"), a.rights_of(&"b")), (7, 6, 1));
/// # Ok::<(), Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundedCounter<A> {
    /// Rights made (from an actor to itself) and handed over, in all.
    given: Given<A>,
    /// Rights used up, in all.
    taken: BTreeMap<A, u64>,
}

/// From whom to whom, how many rights in all.
type Given<A> = BTreeMap<(A, A), u64>;

impl<A> Default for BoundedCounter<A> {
    fn default() -> Self {
        Self { given: BTreeMap::new(), taken: BTreeMap::new() }
    }
}

fn join_greatest<K: Ord + Clone>(ours: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, theirs) in theirs {
        let held = ours.entry(key.clone()).or_insert(0);
        *held = (*held).max(*theirs);
    }
}

fn is_below<K: Ord>(ours: &BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) -> bool {
    ours.iter().all(|(key, held)| theirs.get(key).is_some_and(|theirs| held <= theirs))
}

impl<A: Actor> Lattice for BoundedCounter<A> {
    fn join(&mut self, other: &Self) {
        join_greatest(&mut self.given, &other.given);
        join_greatest(&mut self.taken, &other.taken);
    }

    fn is_within(&self, other: &Self) -> bool {
        is_below(&self.given, &other.given) && is_below(&self.taken, &other.taken)
    }

    fn parts(&self) -> Vec<Self> {
        let one = |(key, held): (&_, &u64)| BTreeMap::from([(Clone::clone(key), *held)]);
        let given = self.given.iter().map(|entry| Self { given: one(entry), ..Self::default() });
        let one = |(key, held): (&A, &u64)| BTreeMap::from([(key.clone(), *held)]);
        given.chain(self.taken.iter().map(|entry| Self { taken: one(entry), ..Self::default() })).collect()
    }
}

impl<A: Actor> Entries<A> for BoundedCounter<A> {
    fn written_by(&self, actor: &A) -> u64 {
        let given = self.given.iter().filter(|((from, _), _)| from == actor).map(|(_, rights)| *rights);
        given.chain(self.taken.get(actor).copied()).fold(0, u64::saturating_add)
    }
}

impl<A: Actor> BoundedCounter<A> {
    pub(crate) fn of(given: Given<A>, taken: BTreeMap<A, u64>) -> Self {
        Self { given, taken }
    }

    /// Rights given, rights used up.
    pub(crate) fn rights(&self) -> (&Given<A>, &BTreeMap<A, u64>) {
        (&self.given, &self.taken)
    }

    /// The count: what was added less what was taken.
    #[must_use]
    pub fn value(&self) -> u128 {
        let made = self.given.iter().filter(|((from, to), _)| from == to).map(|(_, rights)| u128::from(*rights));
        let taken = self.taken.values().map(|rights| u128::from(*rights));
        made.sum::<u128>().saturating_sub(taken.sum())
    }

    /// How much an actor may take, as far as is known here: at least so much, if it is the own actor.
    #[must_use]
    pub fn rights_of(&self, actor: &A) -> u64 {
        let mut rights = 0i128;
        for ((from, to), given) in &self.given {
            rights += i128::from(*given) * i128::from(u8::from(to == actor));
            rights -= i128::from(*given) * i128::from(u8::from(from == actor && to != actor));
        }
        rights -= i128::from(self.taken.get(actor).copied().unwrap_or(0));
        u64::try_from(rights.max(0)).unwrap_or(u64::MAX)
    }

    /// Who has rights, most first.
    #[must_use]
    pub fn holders(&self) -> Vec<(A, u64)> {
        let actors: BTreeSet<&A> = self.given.keys().map(|(_, to)| to).collect();
        let rights = actors.into_iter().map(|actor| (actor.clone(), self.rights_of(actor)));
        let mut holders: Vec<_> = rights.filter(|(_, rights)| *rights > 0).collect();
        holders.sort_by(|x, y| y.1.cmp(&x.1).then_with(|| x.0.cmp(&y.0)));
        holders
    }
}

impl<A: Actor> Owner<A, BoundedCounter<A>> {
    /// Adds, which gives this actor as many rights. Gives the delta.
    ///
    /// # Errors
    /// [`Error::Overflow`] if what this actor has added in all would pass 2^64 - 1; nothing is changed then.
    pub fn add(&mut self, amount: u64) -> Result<BoundedCounter<A>, Error<A>> {
        let actor = self.actor.clone();
        self.give(actor, amount)
    }

    /// Takes away, with rights of its own; gives the delta.
    ///
    /// # Errors
    /// [`Error::Rights`] if it has too few: it says how many are missing and who has some. Nothing is changed then.
    pub fn take(&mut self, amount: u64) -> Result<BoundedCounter<A>, Error<A>> {
        self.needs(amount)?;
        let taken = self.state.taken.get(&self.actor).copied().unwrap_or(0);
        let taken = taken.checked_add(amount).ok_or(Error::Overflow)?;
        let delta = BoundedCounter { given: BTreeMap::new(), taken: BTreeMap::from([(self.actor.clone(), taken)]) };
        self.state.join(&delta);
        Ok(delta)
    }

    /// Hands rights of its own to another actor; gives the delta.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn hand_over(&mut self, to: &A, amount: u64) -> Result<BoundedCounter<A>, Error<A>> {
        self.needs(amount)?;
        if *to == self.actor {
            return Ok(BoundedCounter::default());
        }
        self.give(to.clone(), amount)
    }

    fn give(&mut self, to: A, amount: u64) -> Result<BoundedCounter<A>, Error<A>> {
        let entry = (self.actor.clone(), to);
        let given = self.state.given.get(&entry).copied().unwrap_or(0);
        let given = given.checked_add(amount).ok_or(Error::Overflow)?;
        let delta = BoundedCounter { given: BTreeMap::from([(entry, given)]), taken: BTreeMap::new() };
        self.state.join(&delta);
        Ok(delta)
    }

    fn needs(&self, wanted: u64) -> Result<(), Error<A>> {
        let held = self.state.rights_of(&self.actor);
        if wanted <= held {
            return Ok(());
        }
        let others = self.state.holders().into_iter().filter(|(actor, _)| *actor != self.actor).collect();
        Err(Error::Rights(Shortage { wanted, held, holders: others }))
    }
}

#[cfg(test)]
mod tests {
    use super::{BoundedCounter, GCounter, Owner, PnCounter};
    use crate::Error;

    #[test]
    fn an_owner_that_was_restored_from_a_copy_is_told_so_and_nothing_is_changed() {
        let mut a = Owner::<&str, GCounter<&str>>::new("a");
        let backup = a.state().clone();
        let delta = a.add(5).unwrap();
        let mut restored = Owner::recover("a", backup);
        assert_eq!(restored.apply(&delta), Err(Error::Amnesia { actor: "a", seen: 5, minted: 0 }));
        assert_eq!(restored.value(), 0);
        let mut renewed = Owner::recover("a2", restored.state().clone());
        renewed.apply(&delta).unwrap();
        assert_eq!(renewed.value(), 5);
    }

    #[test]
    fn totals_end_with_an_error_and_nothing_is_changed() {
        let mut up = Owner::<u8, PnCounter<u8>>::new(1);
        up.add(i64::MAX / 2).unwrap();
        let before = up.state().clone();
        assert_eq!(up.add(i64::MAX), Err(Error::Overflow));
        assert_eq!(*up.state(), before);
        let mut stock = Owner::<u8, BoundedCounter<u8>>::new(1);
        stock.add(u64::MAX).unwrap();
        assert_eq!(stock.add(1), Err(Error::Overflow));
        stock.take(u64::MAX).unwrap();
        assert_eq!(stock.value(), 0);
    }
}
