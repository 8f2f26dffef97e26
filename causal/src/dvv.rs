//! Dotted version vectors, one clock per sibling (Preguiça, Baquero, Almeida, Fonte, Gonçalves 2010, 2012).
//!
//! A version is the dot of its write and the history its writer had read. `x` is in the past of `y` iff
//! `y`'s history contains `x`'s dot: one look-up. The kernel of the papers works on the set of versions a
//! replica holds for a key; [`DvvSet`](crate::DvvSet) is the compressed form of the same.

use alloc::vec::Vec;

use crate::{Actor, Causality, Dot, DoubleSpentDot, MAX_COUNTER, MintError, VersionVector};

/// The clock of one version: its own event, and what it had seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dvv<A> {
    /// The event of this write.
    pub dot: Dot<A>,
    /// What its writer had read.
    pub past: VersionVector<A>,
}

impl<A: Actor> Dvv<A> {
    /// Which of two versions has seen the other?
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        let same = self.dot == other.dot;
        Causality::from_inclusions(same || other.past.contains(&self.dot), same || self.past.contains(&other.dot))
    }
}

/// A version with its value.
pub type Version<A, V> = (Dvv<A>, V);

/// All versions of both sides that no other one has seen. O(versions²).
///
/// # Errors
/// [`DoubleSpentDot`] if one dot has two values.
pub fn sync<A: Actor, V: Clone + PartialEq>(
    left: &[Version<A, V>],
    right: &[Version<A, V>],
) -> Result<Vec<Version<A, V>>, DoubleSpentDot<A>> {
    let same = |(x, _): &Version<A, V>| left.iter().find(|(y, _)| x.dot == y.dot);
    if let Some((clock, _)) = right.iter().find(|theirs| same(theirs).is_some_and(|ours| ours.1 != theirs.1)) {
        return Err(DoubleSpentDot(clock.dot.clone()));
    }
    let seen_by = |set: &[Version<A, V>], x: &Dvv<A>| set.iter().any(|(y, _)| x.compare(y) == Causality::Before);
    let ours = left.iter().filter(|(x, _)| !seen_by(right, x));
    let theirs = right.iter().filter(|theirs| !seen_by(left, &theirs.0) && same(theirs).is_none());
    Ok(ours.chain(theirs).cloned().collect())
}

/// Everything the versions and their pasts contain: the context for the client.
#[must_use]
pub fn join<A: Actor, V>(versions: &[Version<A, V>]) -> VersionVector<A> {
    let mut context = VersionVector::new();
    for (clock, _) in versions {
        context.union(&clock.past);
        context.insert(clock.dot.clone());
    }
    context
}

/// The versions a writer who has read `context` does not replace.
#[must_use]
pub fn discard<A: Actor, V: Clone>(versions: &[Version<A, V>], context: &VersionVector<A>) -> Vec<Version<A, V>> {
    versions.iter().filter(|(clock, _)| !context.contains(&clock.dot)).cloned().collect()
}

/// The clock of a new write at coordinator `actor` by a client who has read `context`.
///
/// # Errors
/// [`MintError::Amnesia`] if `context` knows more of `actor` than the versions here do: this replica was restored
/// from a copy, or is not where `actor` coordinates. [`MintError::Exhausted`] at [`MAX_COUNTER`].
pub fn event<A: Actor, V>(
    versions: &[Version<A, V>],
    context: &VersionVector<A>,
    actor: A,
) -> Result<Dvv<A>, MintError<A>> {
    let (minted, seen) = (join(versions).get(&actor), context.get(&actor));
    if seen > minted {
        return Err(MintError::Amnesia { actor, seen, minted });
    }
    if minted >= MAX_COUNTER {
        return Err(MintError::Exhausted { actor });
    }
    Ok(Dvv { dot: Dot { actor, counter: minted + 1 }, past: context.clone() })
}

/// *discard*, then *event*: the write.
///
/// ```
/// use causal::{VersionVector, dvv};
/// let first = dvv::update(&[], &VersionVector::new(), "r", 1)?;
/// let both = dvv::update(&first, &VersionVector::new(), "r", 2)?;     // a writer who had read nothing
/// assert_eq!(both.len(), 2);
/// let one = dvv::update(&both, &dvv::join(&both), "r", 3)?;           // a writer who had read both
/// assert_eq!(one.len(), 1);
/// # Ok::<(), causal::MintError<&str>>(())
/// ```
///
/// # Errors
/// Those of [`event`].
pub fn update<A: Actor, V: Clone>(
    versions: &[Version<A, V>],
    context: &VersionVector<A>,
    actor: A,
    value: V,
) -> Result<Vec<Version<A, V>>, MintError<A>> {
    let clock = event(versions, context, actor)?;
    let mut next = discard(versions, context);
    next.push((clock, value));
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::{Dvv, discard, event, join, sync};
    use crate::{Dot, DoubleSpentDot, MintError, VersionVector};
    use alloc::vec;
    use alloc::vec::Vec;

    fn version(actor: &'static str, n: u64, past: &[(&'static str, u64)]) -> (Dvv<&'static str>, u64) {
        (Dvv { dot: Dot::new(actor, n), past: past.iter().copied().collect() }, n)
    }

    #[test]
    fn a_version_that_saw_one_of_two_replaces_only_that_one() {
        let here = [version("r", 1, &[]), version("r", 2, &[])];
        let there = [version("r", 3, &[("r", 1)])];
        let dots: Vec<_> = sync(&here, &there).unwrap().into_iter().map(|(clock, _)| clock.dot).collect();
        assert_eq!(dots, vec![Dot::new("r", 2), Dot::new("r", 3)]);
    }

    #[test]
    fn discard_drops_what_the_context_has_seen() {
        let here = [version("r", 1, &[]), version("r", 2, &[])];
        let left = discard(&here, &[("r", 1)].into_iter().collect());
        assert_eq!(left, vec![version("r", 2, &[])]);
    }

    #[test]
    fn join_is_everything_dots_and_pasts_contain() {
        let here = [version("r", 3, &[("r", 1)]), version("s", 1, &[("t", 4)])];
        let expected: VersionVector<_> = [("r", 3), ("s", 1), ("t", 4)].into_iter().collect();
        assert_eq!(join(&here), expected);
    }

    #[test]
    fn event_counts_on_from_all_that_was_seen_and_keeps_the_past_of_the_reader() {
        let here = [version("r", 2, &[("s", 2)])];
        let context: VersionVector<_> = [("r", 2), ("s", 2)].into_iter().collect();
        assert_eq!(event(&here, &context, "r").unwrap(), Dvv { dot: Dot::new("r", 3), past: context });
    }

    #[test]
    fn one_dot_with_two_values_is_an_error() {
        let (here, there) = ([(version("r", 1, &[]).0, 1)], [(version("r", 1, &[]).0, 2)]);
        assert_eq!(sync(&here, &there), Err(DoubleSpentDot(Dot::new("r", 1))));
    }

    #[test]
    fn a_context_that_knows_more_of_the_coordinator_than_it_does_is_amnesia() {
        let context = [("r", 2)].into_iter().collect();
        let amnesia = MintError::Amnesia { actor: "r", seen: 2, minted: 1 };
        assert_eq!(event(&[version("r", 1, &[])], &context, "r"), Err(amnesia));
    }
}
