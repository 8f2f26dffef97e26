//! A log: entries in one order everywhere, and cursors that miss nothing.

use causal::{Actor, CausalContext, Dot, DotFun, Hlc};

use crate::dot_store;
use crate::register::Held;
use crate::{DotMap, DotStore, Edit, Error};

/// Entries ordered by hybrid clock, then actor. An entry that was written long ago and arrives late takes its place in
/// the middle; a reader's [`Cursor`] says what it has read, not how far, so that it gets that one as well.
///
/// ```
/// use causal::Minter;
/// use crdt::{Cursor, Log, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Log<&str, &str>>::new(Minter::once(name)));
/// let early = a.edit_at(1_000, |log| log.append("early"))?;
/// let _ = b.edit_at(2_000, |log| log.append("late"))?;
/// let mut reader = Cursor::default();
/// assert_eq!(b.read(&mut reader).copied().collect::<Vec<_>>(), ["late"]);
/// b.apply(&early)?;
/// assert_eq!(b.read(&mut reader).copied().collect::<Vec<_>>(), ["early"]);
/// assert_eq!(b.iter().map(|(_, entry)| *entry).collect::<Vec<_>>(), ["early", "late"]);
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log<A, V> {
    entries: DotMap<(Hlc, A), DotFun<A, Held<V>>>,
}

/// What a reader of a log has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor<A> {
    read: CausalContext<A>,
}

impl<A> Default for Cursor<A> {
    fn default() -> Self {
        Self { read: CausalContext::default() }
    }
}

impl<A, V> Default for Log<A, V> {
    fn default() -> Self {
        Self { entries: DotMap::default() }
    }
}

dot_store!(Log<A: Actor, V> by A, where [V: Clone + PartialEq] { entries: DotMap<(Hlc, A), DotFun<A, Held<V>>> });

impl<A: Actor, V: Clone + PartialEq> Log<A, V> {
    /// The entries in order, each with when it was written.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Hlc, &V)> + '_ {
        self.entries.iter().flat_map(|((at, _), live)| live.iter().map(|(_, held)| (*at, &held.0)))
    }

    /// The entries from `first` to `last`, both included, in order. O(log n + entries).
    pub fn between(&self, first: Hlc, last: Hlc) -> impl Iterator<Item = (Hlc, &V)> + '_ {
        let all = self.entries.iter().skip_while(move |((at, _), _)| *at < first);
        let some = all.take_while(move |((at, _), _)| *at <= last);
        some.flat_map(|((at, _), live)| live.iter().map(|(_, held)| (*at, &held.0)))
    }

    /// The entries the reader has not had yet, in order; it has had them then. O(n).
    pub fn read<'a>(&'a self, reader: &mut Cursor<A>) -> impl Iterator<Item = &'a V> + use<'a, A, V> {
        let mut news: Vec<(&Dot<A>, &V)> = Vec::new();
        for (_, live) in self.entries.iter() {
            news.extend(live.iter().filter(|(dot, _)| !reader.read.contains(dot)).map(|(dot, held)| (dot, &held.0)));
        }
        reader.read.extend(news.iter().map(|(dot, _)| (*dot).clone()));
        news.into_iter().map(|(_, value)| value)
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<A: Actor, V: Clone + PartialEq> Edit<'_, Log<A, V>> {
    /// Appends an entry: it comes after all that this replica has.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn append(&mut self, value: V) -> Result<(), Error<A>> {
        let place = (self.now(), self.actor().clone());
        self.field(|log| &log.entries, |log| &mut log.entries).at(place).mint(|_| Held(value)).map(drop)
    }

    /// Removes the entries that are here and were written before `first`; what arrives late stays until the next time.
    ///
    /// # Errors
    /// None today: it needs no dot.
    pub fn trim(&mut self, first: Hlc) -> Result<(), Error<A>> {
        let mut entries = self.field(|log| &log.entries, |log| &mut log.entries);
        let old: Vec<_> = entries.keys().into_iter().take_while(|(at, _)| *at < first).collect();
        old.into_iter().try_for_each(|place| DotFun::clear(&mut entries.at(place)))
    }
}
