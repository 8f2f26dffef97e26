//! A place that takes no room while nothing is in it.

use causal::{CausalContext, Dot, DoubleSpentDot, Hlc};

use crate::{DotStore, Edit, Error};

/// A store in a box of its own, made when it is first needed: for fields that mostly are empty, and for types that
/// contain themselves. Boxes within boxes go [`MAX_DEPTH`](crate::MAX_DEPTH) deep; an edit that goes deeper is an
/// [`Error::TooDeep`].
///
/// ```
/// use causal::{Actor, Minter};
/// use crdt::{AwMap, Boxed, Counter, Edit, Error, Replica, dot_store};
///
/// /// A folder: how often it was opened, and its folders.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Folder<A: Actor> {
///     opened: Boxed<Counter<A>>,
///     folders: Boxed<AwMap<String, Folder<A>>>,
/// }
///
/// impl<A: Actor> Default for Folder<A> {
///     fn default() -> Self {
///         Self { opened: Boxed::default(), folders: Boxed::default() }
///     }
/// }
///
/// dot_store!(Folder<A: Actor> by A { opened: Boxed<Counter<A>>, folders: Boxed<AwMap<String, Folder<A>>> });
///
/// let mut root = Replica::<Folder<&str>>::new(Minter::once("a"));
/// let _ = root.edit(|root| {
///     let mut folders = root.field(|root| &root.folders, |root| &mut root.folders);
///     let mut folders = folders.inside();
///     folders.at("photos").field(|it| &it.opened, |it| &mut it.opened).inside().add(1)
/// })?;
/// let photos = root.folders.get().and_then(|folders| folders.get("photos"));
/// assert_eq!(photos.and_then(|photos| photos.opened.get()).map(Counter::value), Some(1));
/// # Ok::<(), Error<&str>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Boxed<S> {
    store: Option<Box<S>>,
    /// In the delta of an edit: has all that is in it been asked for?
    is_listed: bool,
}

impl<S> Default for Boxed<S> {
    fn default() -> Self {
        Self { store: None, is_listed: false }
    }
}

/// An empty store and none are the same.
impl<S: DotStore> PartialEq for Boxed<S> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.store, &other.store) {
            (Some(store), Some(other)) => store == other,
            (Some(store), None) | (None, Some(store)) => **store == S::default(),
            (None, None) => true,
        }
    }
}

impl<S: DotStore> Eq for Boxed<S> where S: Eq {}

impl<S: DotStore> Boxed<S> {
    /// What is in it, if anything shows.
    #[must_use]
    pub fn get(&self) -> Option<&S> {
        self.store().filter(|store| store.shows())
    }

    pub(crate) fn store(&self) -> Option<&S> {
        self.store.as_deref()
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed
    }

    pub(crate) fn store_mut(&mut self) -> &mut S {
        self.store.get_or_insert_default()
    }

    pub(crate) fn of(store: S) -> Self {
        Self { store: Some(Box::new(store)), is_listed: false }
    }

    fn joined(&mut self, join: impl FnOnce(&mut S)) {
        join(self.store.get_or_insert_default());
        if self.is_bottom() {
            self.store = None;
        }
    }
}

impl<S: DotStore> DotStore for Boxed<S> {
    type Actor = S::Actor;

    /// Whatever is inside; asking it would not end for a type that contains itself.
    const HAS_PAYLOADS: bool = true;

    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<S::Actor>> {
        match (&self.store, &other.store) {
            (Some(store), Some(other)) => store.agrees(other),
            _ => Ok(()),
        }
    }

    fn join(&mut self, own: &CausalContext<S::Actor>, other: &Self, theirs: &CausalContext<S::Actor>) {
        match (&self.store, &other.store) {
            (None, None) => {}
            (_, Some(other)) => self.joined(|store| store.join(own, other, theirs)),
            (Some(_), None) => self.joined(|store| store.join(own, &S::default(), theirs)),
        }
    }

    fn join_delta(&mut self, own: &CausalContext<S::Actor>, delta: &Self, theirs: &CausalContext<S::Actor>) {
        if let Some(delta) = &delta.store {
            self.joined(|store| store.join_delta(own, delta, theirs));
        }
    }

    fn group(&mut self, own: &CausalContext<S::Actor>, other: &Self, theirs: &CausalContext<S::Actor>) {
        match (&mut self.store, &other.store) {
            (None, None) => {}
            (_, Some(other)) => self.store.get_or_insert_default().group(own, other, theirs),
            (Some(store), None) => store.group(own, &S::default(), theirs),
        }
    }

    fn is_bottom(&self) -> bool {
        self.store.as_ref().is_none_or(|store| store.is_bottom())
    }

    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<S::Actor>)) {
        if let Some(store) = &self.store {
            store.each_dot(visit);
        }
    }

    fn shows(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.shows())
    }

    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<S::Actor>> {
        let (base, delta, _) = place.open();
        delta.is_listed = true;
        if base.is_none_or(|base| base.store.is_none()) && delta.store.is_none() {
            return Ok(());
        }
        place.inside().clear()
    }

    fn part(&self, dots: &CausalContext<S::Actor>) -> Self {
        let part = self.store.as_ref().map(|store| store.part(dots));
        Self { store: part.filter(|part| !part.is_bottom()).map(Box::new), is_listed: false }
    }

    fn latest(&self) -> Hlc {
        self.store.as_ref().map_or(Hlc(0), |store| store.latest())
    }

    fn list(&mut self) {
        self.is_listed = true;
    }
}

impl<'e, S: DotStore> Edit<'e, Boxed<S>> {
    /// What is in it, to be changed.
    pub fn inside(&mut self) -> Edit<'_, S> {
        self.reborrow().into_inside()
    }

    /// [`Self::inside`], for as long as this lasts.
    pub(crate) fn into_inside(self) -> Edit<'e, S> {
        self.into_box(|base| base.store.as_deref(), |delta| delta.store.get_or_insert_default())
    }
}

#[cfg(test)]
mod tests {
    use causal::{Minter, Reason};

    use crate::{Document, Edit, Error, MAX_DEPTH, Replica, State};

    /// A box within a box, so many deep, and a number in the innermost.
    fn nest(place: &mut Edit<'_, Document<u64>>, depth: u16) -> Result<(), Error<u64>> {
        if depth == 1 { place.counter().add(1) } else { nest(&mut place.map().at("a"), depth - 1) }
    }

    #[test]
    fn places_go_so_deep_and_no_deeper() {
        let mut document = Replica::<Document<u64>>::new(Minter::once(1));
        let _ = document.edit(|place| nest(place, MAX_DEPTH)).unwrap();
        let bytes = document.state().to_bytes();
        assert_eq!(State::from_bytes(&bytes).as_ref(), Ok(document.state()));
        assert_eq!(document.edit(|place| nest(place, MAX_DEPTH + 1)), Err(Error::TooDeep));
        assert_eq!(document.state().to_bytes(), bytes);
    }

    /// Each level takes nine bytes, and the stack that reads it many more.
    #[test]
    fn bytes_that_go_deeper_are_refused_before_they_end() {
        let mut bytes = State::<Document<u64>>::new().to_bytes();
        bytes.truncate(bytes.len() - 6); // without the six empty boxes
        for _ in 0..10_000 {
            bytes.extend([0, 0, 0, 0, 0, 1, 1, 1, b'a']);
        }
        assert_eq!(State::<Document<u64>>::from_bytes(&bytes).unwrap_err().reason, Reason::Overflow);
    }
}
