//! Dot stores: which dots live where. They hold no context of their own; that stands once, at the root.
//!
//! A type is a dot store with operations and a reading. Nothing below the root mints, so that an entry that was
//! removed and comes again never counts from 1 again. (Almeida, Shoker, Baquero 2018, section 7.)

use causal::{Actor, CausalContext, Dot, DotFun, DoubleSpentDot, Hlc};

use crate::few::Few;
use crate::{Edit, Error};

/// What a live dot can carry.
pub trait Payload<A>: Clone + PartialEq {
    /// The clock reading in it, if it has one: a stamp too far in the future is refused when it arrives.
    fn stamp(&self) -> Hlc {
        Hlc(0)
    }

    /// What clearing a place that holds `live` leaves there, if it has to remember what it cleared.
    fn cleared<'a>(live: impl Iterator<Item = (&'a Dot<A>, &'a Self)> + Clone) -> Option<Self>
    where
        Self: 'a,
        A: 'a,
    {
        let _ = live;
        None
    }

    /// Can what was seen here be removed, and nothing else with it?
    ///
    /// # Errors
    /// [`Error::Stale`] if not.
    fn check_seen(place: &Edit<'_, DotFun<A, Self>>) -> Result<(), Error<A>>
    where
        A: Actor,
    {
        let _ = place;
        Ok(())
    }

    /// Is it there to be remembered only? A place with nothing else shows nothing.
    fn is_hidden(&self) -> bool {
        false
    }
}

/// A structure of live dots.
pub trait DotStore: Clone + Default + PartialEq {
    /// Who writes.
    type Actor: Actor;

    /// Can dots carry different payloads at all?
    const HAS_PAYLOADS: bool;

    /// Do the dots that live on both sides, at one place, have the same payloads? An actor that is in use twice and has
    /// written to different places with one dot is not found out by this: merging such states loses one of the two.
    ///
    /// # Errors
    /// [`DoubleSpentDot`], the first that does not.
    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<Self::Actor>>;

    /// Merges a whole state that [agrees](Self::agrees): what it lacks and has seen is removed here.
    fn join(&mut self, own: &CausalContext<Self::Actor>, other: &Self, theirs: &CausalContext<Self::Actor>);

    /// Merges a delta that [agrees](Self::agrees): only the entries it names are touched. O(entries of the delta).
    fn join_delta(&mut self, own: &CausalContext<Self::Actor>, delta: &Self, theirs: &CausalContext<Self::Actor>);

    /// Joins another delta to this one, both of which [agree](Self::agrees): entries stay touched though nothing
    /// lives in them any more.
    fn group(&mut self, own: &CausalContext<Self::Actor>, other: &Self, theirs: &CausalContext<Self::Actor>);

    /// Does nothing live in it?
    fn is_bottom(&self) -> bool;

    /// Visits every live dot.
    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<Self::Actor>));

    /// Does it show anything? Something may live in it only to be remembered.
    fn shows(&self) -> bool;

    /// Removes everything that is at a place.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if a dot is needed to remember what was removed, and there is none.
    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<Self::Actor>>;

    /// The part with these dots, without the entries that have none.
    #[must_use]
    fn part(&self, dots: &CausalContext<Self::Actor>) -> Self;

    /// The greatest clock reading in it.
    fn latest(&self) -> Hlc;

    /// In the delta of an edit: everything under this place is asked for, not only what is touched.
    fn list(&mut self) {}

    /// The live dots.
    #[must_use]
    fn dots(&self) -> CausalContext<Self::Actor> {
        let mut dots = Vec::new();
        self.each_dot(&mut |dot| dots.push(dot.clone()));
        dots.sort_unstable(); // in order, each is appended in O(1)
        dots.into_iter().collect()
    }
}

/// A set of live dots without payloads.
pub type DotSet<A> = DotFun<A, ()>;

impl<A> Payload<A> for () {}
impl<A> Payload<A> for bool {}

impl<A: Actor, V: Payload<A>> DotStore for DotFun<A, V> {
    type Actor = A;

    const HAS_PAYLOADS: bool = size_of::<V>() > 0;

    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<A>> {
        let differs = |(dot, value): &(&Dot<A>, &V)| self.get(dot).is_some_and(|mine| mine != *value);
        other.iter().find(differs).map_or(Ok(()), |(dot, _)| Err(DoubleSpentDot(dot.clone())))
    }

    fn join(&mut self, own: &CausalContext<A>, other: &Self, theirs: &CausalContext<A>) {
        let joined = DotFun::join(self, own, other, theirs);
        debug_assert!(joined.is_ok(), "joined without asking whether the payloads agree");
    }

    fn join_delta(&mut self, own: &CausalContext<A>, delta: &Self, theirs: &CausalContext<A>) {
        DotStore::join(self, own, delta, theirs);
    }

    fn group(&mut self, own: &CausalContext<A>, other: &Self, theirs: &CausalContext<A>) {
        DotStore::join(self, own, other, theirs);
    }

    fn is_bottom(&self) -> bool {
        self.is_empty()
    }

    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<A>)) {
        DotFun::dots(self).for_each(visit);
    }

    fn shows(&self) -> bool {
        self.iter().any(|(_, payload)| !payload.is_hidden())
    }

    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<A>> {
        V::check_seen(place)?;
        match V::cleared(place.live()) {
            Some(left) => place.replace(left).map(drop),
            None => {
                place.discard(|_, _| true);
                Ok(())
            }
        }
    }

    fn part(&self, dots: &CausalContext<A>) -> Self {
        let kept = self.iter().filter(|(dot, _)| dots.contains(dot));
        kept.map(|(dot, value)| (dot.clone(), value.clone())).collect()
    }

    fn latest(&self) -> Hlc {
        self.iter().map(|(_, value)| value.stamp()).max().unwrap_or_default()
    }
}

/// A store per key. In a state no entry is empty; in a delta an empty entry says "touched, nothing left".
#[derive(Clone, Debug)]
pub struct DotMap<K, S> {
    entries: Few<K, S>,
    /// In the delta of an edit: have the keys been asked for?
    is_listed: bool,
}

impl<K: PartialEq, S: PartialEq> PartialEq for DotMap<K, S> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K: Eq, S: Eq> Eq for DotMap<K, S> {}

impl<K, S> Default for DotMap<K, S> {
    fn default() -> Self {
        Self { entries: Few::default(), is_listed: false }
    }
}

impl<K: Ord, S> FromIterator<(K, S)> for DotMap<K, S> {
    fn from_iter<I: IntoIterator<Item = (K, S)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect(), is_listed: false }
    }
}

impl<K: Ord + Clone, S: DotStore> DotMap<K, S> {
    /// The entries, keys ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &S)> + ExactSizeIterator + Clone + '_ {
        self.entries.iter()
    }

    /// The entries of a range of keys, ascending. O(log n + entries).
    pub fn range(&self, keys: impl std::ops::RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &S)> + '_ {
        self.entries.range(keys)
    }

    /// The store of a key. O(log n).
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&S>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there no entry?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &K> + '_ {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// The entry of a delta, made if it is not there.
    pub(crate) fn touch(&mut self, key: K) -> &mut S {
        self.entries.get_or_default(key)
    }
}

impl<K: Ord + Clone, S: DotStore> DotStore for DotMap<K, S> {
    type Actor = S::Actor;

    const HAS_PAYLOADS: bool = S::HAS_PAYLOADS;

    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<S::Actor>> {
        if !S::HAS_PAYLOADS {
            return Ok(());
        }
        let mut both = other.entries.iter().filter_map(|(key, theirs)| Some((self.entries.get(key)?, theirs)));
        both.try_for_each(|(ours, theirs)| ours.agrees(theirs))
    }

    fn join(&mut self, own: &CausalContext<S::Actor>, other: &Self, theirs: &CausalContext<S::Actor>) {
        let nothing = S::default();
        let mut news: Vec<(&K, &S)> = Vec::new();
        let mut their_entries = other.entries.iter().peekable();
        self.entries.retain(|key, store| {
            while let Some(new) = their_entries.next_if(|(theirs, _)| *theirs < key) {
                news.push(new);
            }
            let same = their_entries.next_if(|(theirs, _)| *theirs == key);
            store.join(own, same.map_or(&nothing, |(_, store)| store), theirs);
            !store.is_bottom()
        });
        for (key, their_store) in news.into_iter().chain(their_entries) {
            let mut store = S::default();
            store.join(own, their_store, theirs);
            if !store.is_bottom() {
                self.entries.insert(key.clone(), store);
            }
        }
    }

    fn join_delta(&mut self, own: &CausalContext<S::Actor>, delta: &Self, theirs: &CausalContext<S::Actor>) {
        for (key, part) in delta.entries.iter() {
            self.entries.update(key, |store| {
                store.join_delta(own, part, theirs);
                !store.is_bottom()
            });
        }
    }

    fn group(&mut self, own: &CausalContext<S::Actor>, other: &Self, theirs: &CausalContext<S::Actor>) {
        let nothing = S::default();
        for (key, store) in self.entries.iter_mut() {
            store.group(own, other.entries.get(key).unwrap_or(&nothing), theirs);
        }
        for (key, part) in other.entries.iter() {
            if self.entries.get(key).is_none() {
                self.touch(key.clone()).group(own, part, theirs);
            }
        }
    }

    fn is_bottom(&self) -> bool {
        self.entries.values().all(S::is_bottom)
    }

    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<S::Actor>)) {
        self.entries.values().for_each(|store| store.each_dot(visit));
    }

    fn shows(&self) -> bool {
        self.entries.values().any(S::shows)
    }

    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<S::Actor>> {
        place.keys().into_iter().try_for_each(|key| S::clear(&mut place.at(key)))
    }

    fn part(&self, dots: &CausalContext<S::Actor>) -> Self {
        let parts = self.entries.iter().map(|(key, store)| (key.clone(), store.part(dots)));
        parts.filter(|(_, part)| !part.is_bottom()).collect()
    }

    fn latest(&self) -> Hlc {
        self.entries.values().map(S::latest).max().unwrap_or_default()
    }

    fn list(&mut self) {
        self.is_listed = true;
    }
}

/// Makes a struct of dot stores one dot store: field by field. With one field it is a newtype over that store.
///
/// ```
/// use causal::{Actor, DotFun, Minter};
/// use crdt::{Counter, Edit, Error, EwFlag, Replica, dot_store};
///
/// /// How many like it, and whether it is pinned.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Post<A> {
///     likes: Counter<A>,
///     pinned: EwFlag<A>,
/// }
///
/// impl<A> Default for Post<A> {
///     fn default() -> Self {
///         Self { likes: Counter::default(), pinned: EwFlag::default() }
///     }
/// }
///
/// dot_store!(Post<A: Actor> by A { likes: Counter<A>, pinned: EwFlag<A> });
///
/// fn like<A: Actor>(post: &mut Edit<'_, Post<A>>) -> Result<(), Error<A>> {
///     post.field(|post| &post.likes, |post| &mut post.likes).add(1)
/// }
///
/// let mut post = Replica::<Post<&str>>::new(Minter::once("a"));
/// let _ = post.edit(like)?;
/// assert_eq!((post.likes.value(), post.pinned.is_enabled()), (1, false));
/// # Ok::<(), Error<&str>>(())
/// ```
#[macro_export]
macro_rules! dot_store {
    ($name:ident<$($parameter:ident $(: $bound:path)?),*> by $actor:ty $(, where [$($clause:tt)*])? { $($field:ident: $store:ty),+ $(,)? }) => {
        impl<$($parameter $(: $bound)?),*> $crate::DotStore for $name<$($parameter),*> $(where $($clause)*)? {
            type Actor = $actor;

            const HAS_PAYLOADS: bool = $(<$store as $crate::DotStore>::HAS_PAYLOADS)||+;

            fn agrees(&self, other: &Self) -> Result<(), $crate::causal::DoubleSpentDot<$actor>> {
                $($crate::DotStore::agrees(&self.$field, &other.$field)?;)+
                Ok(())
            }

            fn join(
                &mut self,
                own: &$crate::causal::CausalContext<$actor>,
                other: &Self,
                theirs: &$crate::causal::CausalContext<$actor>,
            ) {
                $($crate::DotStore::join(&mut self.$field, own, &other.$field, theirs);)+
            }

            fn join_delta(
                &mut self,
                own: &$crate::causal::CausalContext<$actor>,
                delta: &Self,
                theirs: &$crate::causal::CausalContext<$actor>,
            ) {
                $($crate::DotStore::join_delta(&mut self.$field, own, &delta.$field, theirs);)+
            }

            fn group(
                &mut self,
                own: &$crate::causal::CausalContext<$actor>,
                other: &Self,
                theirs: &$crate::causal::CausalContext<$actor>,
            ) {
                $($crate::DotStore::group(&mut self.$field, own, &other.$field, theirs);)+
            }

            fn is_bottom(&self) -> bool {
                $($crate::DotStore::is_bottom(&self.$field))&&+
            }

            fn each_dot(&self, visit: &mut dyn FnMut(&$crate::causal::Dot<$actor>)) {
                $($crate::DotStore::each_dot(&self.$field, visit);)+
            }

            fn shows(&self) -> bool {
                $($crate::DotStore::shows(&self.$field))||+
            }

            fn clear(place: &mut $crate::Edit<'_, Self>) -> Result<(), $crate::Error<$actor>> {
                $(<$store as $crate::DotStore>::clear(&mut place.field(|it| &it.$field, |it| &mut it.$field))?;)+
                Ok(())
            }

            fn part(&self, dots: &$crate::causal::CausalContext<$actor>) -> Self {
                Self { $($field: $crate::DotStore::part(&self.$field, dots)),+ }
            }

            fn latest(&self) -> $crate::causal::Hlc {
                $crate::causal::Hlc(0)$(.max($crate::DotStore::latest(&self.$field)))+
            }

            fn list(&mut self) {
                $($crate::DotStore::list(&mut self.$field);)+
            }
        }
    };
}
