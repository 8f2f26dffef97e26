//! A log: entries in one order everywhere, and cursors that miss nothing.

use causal::{Actor, ActorBytes, CausalContext, DecodeError, Dot, DotFun, Hlc};

use crate::dot_store;
use crate::register::Stamped;
use crate::{DotMap, Edit, Error};

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
    entries: Entries<A, V>,
}

/// By stamp, then by actor.
pub(crate) type Entries<A, V> = DotMap<Hlc, DotMap<A, DotFun<A, Stamped<V>>>>;

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

impl<A: ActorBytes> Cursor<A> {
    /// The canonical bytes: those of what was read, as a context.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.read.to_bytes()
    }

    /// The cursor with these bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical bytes of a cursor.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        CausalContext::from_bytes(bytes).map(|read| Self { read })
    }
}

impl<A, V> Default for Log<A, V> {
    fn default() -> Self {
        Self { entries: DotMap::default() }
    }
}

dot_store!(Log<A: Actor, V> by A, where [V: Clone + PartialEq] { entries: Entries<A, V> });

impl<A: Actor, V: Clone + PartialEq> Log<A, V> {
    pub(crate) fn of(entries: Entries<A, V>) -> Self {
        Self { entries }
    }

    pub(crate) fn entries(&self) -> &Entries<A, V> {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> &mut Entries<A, V> {
        &mut self.entries
    }

    /// The entries in order, each with when it was written.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Hlc, &V)> + '_ {
        self.dotted(self.entries.iter()).map(|(_, stamped)| (stamped.at, &stamped.value))
    }

    /// The entries from `first` to `last`, both included, in order. O(log n + entries).
    pub fn between(&self, first: Hlc, last: Hlc) -> impl DoubleEndedIterator<Item = (Hlc, &V)> + '_ {
        let some = if first <= last { Some(self.entries.range(first..=last)) } else { None };
        self.dotted(some.into_iter().flatten()).map(|(_, stamped)| (stamped.at, &stamped.value))
    }

    fn dotted<'a>(
        &'a self,
        entries: impl DoubleEndedIterator<Item = (&'a Hlc, &'a DotMap<A, DotFun<A, Stamped<V>>>)> + 'a,
    ) -> impl DoubleEndedIterator<Item = (&'a Dot<A>, &'a Stamped<V>)> + 'a {
        entries.flat_map(|(_, actors)| actors.iter()).flat_map(|(_, live)| live.iter())
    }

    /// The entries the reader has not had yet, in order; it has had them then. O(n).
    pub fn read<'a>(&'a self, reader: &mut Cursor<A>) -> impl Iterator<Item = &'a V> + use<'a, A, V> {
        let unread = self.dotted(self.entries.iter()).filter(|(dot, _)| !reader.read.contains(dot));
        let news: Vec<(&Dot<A>, &V)> = unread.map(|(dot, stamped)| (dot, &stamped.value)).collect();
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
        let (at, actor) = (self.now(), self.actor().clone());
        let mut entries = self.field(|log| &log.entries, |log| &mut log.entries);
        entries.at(at).at(actor).mint(|_| Stamped { at, value }).map(drop)
    }

    /// Removes the entries that are here and were written before `first`; what arrives late stays until the next time.
    ///
    /// # Errors
    /// None today: it needs no dot.
    pub fn trim(&mut self, first: Hlc) -> Result<(), Error<A>> {
        let mut entries = self.field(|log| &log.entries, |log| &mut log.entries);
        let old: Vec<_> = entries.keys().into_iter().take_while(|at| *at < first).collect();
        old.into_iter().try_for_each(|at| entries.at(at).clear())
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Log};
    use crate::{Error, Replica};
    use causal::{Hlc, Minter};

    fn replica(name: &'static str) -> Replica<Log<&'static str, &'static str>> {
        Replica::new(Minter::once(name))
    }

    fn entries(log: &Log<&'static str, &'static str>) -> Vec<&'static str> {
        log.iter().map(|(_, entry)| *entry).collect()
    }

    /// The stamp once stood in the key alone, where the clock did not see it.
    #[test]
    fn a_reply_comes_after_what_it_answers_whatever_the_wall_clocks_show() {
        let [mut a, mut b] = ["a", "b"].map(replica);
        b.apply(&a.edit_at(2_000_000, |log| log.append("first")).unwrap()).unwrap();
        let _ = b.edit_at(1_000, |log| log.append("reply")).unwrap();
        assert_eq!(entries(&b), ["first", "reply"]);
        let mut recovered = Replica::recover(a.state().clone(), Minter::once("c")).unwrap();
        let _ = recovered.edit(|log| log.append("later")).unwrap();
        assert_eq!(entries(&recovered), ["first", "later"]);
    }

    #[test]
    fn an_entry_from_the_far_future_is_refused_and_nothing_is_changed() {
        let [mut a, mut b] = ["a", "b"].map(replica);
        let delta = a.edit_at(2_000_000, |log| log.append("first")).unwrap();
        assert!(matches!(b.apply_at(1_000, &delta), Err(Error::FarFuture(_))));
        assert!(matches!(b.merge_at(1_000, a.state()), Err(Error::FarFuture(_))));
        assert!(b.is_empty() && b.state().context().is_empty());
        b.apply_at(1_990_000, &delta).unwrap();
    }

    #[test]
    fn a_range_and_a_trim_go_by_stamp() {
        let mut a = replica("a");
        for (wall_ms, entry) in [(1, "one"), (2, "two"), (3, "three")] {
            let _ = a.edit_at(wall_ms, |log| log.append(entry)).unwrap();
        }
        let at = |wall_ms: u64| Hlc(wall_ms << 16);
        assert!(a.between(at(2), at(3)).map(|(_, entry)| *entry).eq(["two", "three"]));
        assert_eq!(a.between(at(3), at(2)).count(), 0);
        let _ = a.edit(|log| log.trim(at(3))).unwrap();
        assert_eq!(entries(&a), ["three"]);
    }

    #[test]
    fn a_reader_goes_on_where_it_was_with_a_cursor_that_was_kept_as_bytes() {
        let mut log = Replica::<Log<u64, u8>>::new(Minter::once(1));
        let _ = log.edit(|log| log.append(1)).unwrap();
        let mut cursor = Cursor::default();
        assert_eq!(log.read(&mut cursor).count(), 1);
        let mut kept = Cursor::from_bytes(&cursor.to_bytes()).unwrap();
        let _ = log.edit(|log| log.append(2)).unwrap();
        assert!(log.read(&mut kept).eq(&[2]));
    }
}
