//! Sequences and text: elements that stay where they were put, between what stood there.

mod bytes;
mod draft;
mod order;
mod records;
mod span;

use std::ops::{Bound, Range, RangeBounds};

use causal::{Actor, ActorBytes, CausalContext, Dot, DoubleSpentDot, Hlc, Run};
use smallvec::SmallVec;

use crate::session::Session;
use crate::{DotStore, Edit, Error, dot_store, store_bytes};
use draft::{Draft, Inserted, Piece, Step};
use order::Ordered;
use span::{Id, Names, Span};

/// A sequence of elements. An insertion comes between the elements it was made between, and the runs that two people
/// insert at one spot at one time, forwards or backwards, stand one after the other: they do not interleave (the order of
/// Fugue). Elements do not change; to replace one, remove it and insert another.
///
/// What is removed leaves its name behind, so that what is inserted beside it at the same time finds its place; runs of
/// names are kept as one.
///
/// ```
/// use causal::Minter;
/// use crdt::{Replica, Seq};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Seq<&str, char>>::new(Minter::once(name)));
/// b.apply(&a.edit(|list| list.insert(0, "ad".chars()))?)?;
/// let (bs, removal) = (a.edit(|list| list.insert(1, "bbb".chars()))?, b.edit(|list| list.remove(0..1))?);
/// let cs = b.edit(|list| list.insert(0, "ccc".chars()))?;
/// a.apply(&removal)?;
/// a.apply(&cs)?;
/// b.apply(&bs)?;
/// assert_eq!(a.state(), b.state());
/// assert!(a.iter().eq(&['c', 'c', 'c', 'b', 'b', 'b', 'd']));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Seq<A, T> {
    order: Ordered<A, T>,
    /// In a delta that is being made: the steps so far.
    draft: Draft,
    /// In the delta of an edit: has all of it been asked for?
    is_listed: bool,
}

impl<A, T> Default for Seq<A, T> {
    fn default() -> Self {
        Self { order: Ordered::default(), draft: Draft::Clean, is_listed: false }
    }
}

impl<A: Actor, T: Clone + PartialEq> Seq<A, T> {
    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.placed.weight()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index. O(log n).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        let (place, offset) = self.order.placed.find(index)?;
        self.order.placed.get(place).values.get(offset)
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone + '_ {
        self.order.placed.iter().flat_map(|span| &span.values)
    }

    /// The elements of a range of indexes, or of as much of it as there is. O(log n + elements).
    pub fn range(&self, indexes: impl RangeBounds<usize>) -> impl Iterator<Item = &T> + Clone + '_ {
        let indexes = within(indexes, self.len());
        let (place, offset) = self.order.placed.find(indexes.start).unzip();
        let spans = self.order.placed.iter_from(place);
        let elements = spans.flat_map(|span| &span.values);
        elements.skip(offset.unwrap_or(0)).take(if place.is_some() { indexes.len() } else { 0 })
    }

    /// How many runs are kept, those of removed elements included: what it costs beyond the elements.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.order.spans().count()
    }

    /// Takes in the spans of another one; `file` says where what is new goes.
    fn absorb(&mut self, other: &Self, own: &CausalContext<A>, file: fn(&mut Ordered<A, T>, Span<T>)) {
        let numbers: SmallVec<[u32; 2]> =
            (0..other.order.names.len() as u32).map(|at| self.order.names.intern(other.order.names.name(at))).collect();
        for span in other.order.spans() {
            let span = span.renamed(|number| numbers[number as usize]);
            let is_removed = |names: &Names<A>, id: Id| {
                own.of(names.name(id.actor)).is_some_and(|counters| counters.contains(id.counter))
            };
            self.order.absorb(span, is_removed, file);
        }
    }

    /// Removes what the other one has seen and has not any more.
    fn kill_gone(&mut self, other: &Self, theirs: &CausalContext<A>) {
        let gone = self.live().intersection(theirs).minus(&other.live());
        for (actor, run) in gone.runs() {
            if let Some(actor) = self.order.names.number(actor) {
                self.order.kill(Id { actor, counter: run.first }, (run.last - run.first + 1) as usize);
            }
        }
    }

    /// The elements that are alive, as runs of dots.
    fn live(&self) -> CausalContext<A> {
        let mut spans: Vec<&Span<T>> = self.order.spans().filter(|span| span.is_live()).collect();
        spans.sort_unstable_by_key(|span| span.id);
        let mut live = CausalContext::new();
        for span in spans {
            insert(&mut live, self.order.names.name(span.id.actor), span);
        }
        live
    }
}

fn insert<A: Actor, T>(context: &mut CausalContext<A>, actor: &A, span: &Span<T>) {
    context.insert_run(actor.clone(), Run { first: span.id.counter, last: span.last().counter });
}

fn within(indexes: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let start = match indexes.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match indexes.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    start.min(len)..end.min(len).max(start.min(len))
}

/// Two that have the same elements, alive and removed, in the same order.
impl<A: Actor, T: Clone + PartialEq> PartialEq for Seq<A, T> {
    fn eq(&self, other: &Self) -> bool {
        let same_placed = pieces(self, other.order.placed.iter(), other, self.order.placed.iter());
        same_placed && pieces(self, other.order.loose_by_name(), other, self.order.loose_by_name())
    }
}

impl<A: Actor, T: Clone + Eq> Eq for Seq<A, T> {}

/// Are two rows of spans the same elements, however they are cut into spans?
fn pieces<'a, A: Actor, T: Clone + PartialEq + 'a>(
    mine: &Seq<A, T>,
    theirs: impl Iterator<Item = &'a Span<T>>,
    other: &Seq<A, T>,
    ours: impl Iterator<Item = &'a Span<T>>,
) -> bool {
    let dot = |seq: &Seq<A, T>, id: Option<Id>| id.map(|id| seq.order.names.dot(id));
    let (mut ours, mut theirs) = (ours, theirs);
    let (mut x, mut y) = (ours.next().map(|span| (span, 0)), theirs.next().map(|span| (span, 0)));
    while let (Some((left, from)), Some((right, at))) = (x, y) {
        let count = (left.len - from).min(right.len - at);
        let same = left.is_live() == right.is_live()
            && dot(mine, Some(left.id.plus(from))) == dot(other, Some(right.id.plus(at)))
            && dot(mine, left.left_of(from)) == dot(other, right.left_of(at))
            && dot(mine, left.right) == dot(other, right.right)
            && (!left.is_live() || left.values[from..from + count] == right.values[at..at + count]);
        if !same {
            return false;
        }
        x = if from + count < left.len { Some((left, from + count)) } else { ours.next().map(|span| (span, 0)) };
        y = if at + count < right.len { Some((right, at + count)) } else { theirs.next().map(|span| (span, 0)) };
    }
    x.is_none() && y.is_none()
}

impl<A: Actor, T: Clone + PartialEq> DotStore for Seq<A, T> {
    type Actor = A;

    const HAS_PAYLOADS: bool = true;

    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<A>> {
        let numbers: Vec<Option<u32>> =
            (0..other.order.names.len() as u32).map(|at| self.order.names.number(other.order.names.name(at))).collect();
        let here = |id: Id| numbers[id.actor as usize].map(|actor| Id { actor, ..id });
        // A few are missed one by one: looking for all that they could need would bring more than they do.
        let pieces = other.order.spans().map(|span| 1 + span.len / 64);
        if self.order.placed.is_in_records() && pieces.fold(0, usize::saturating_add) > 8 {
            for theirs in other.order.spans() {
                let Some(id) = here(theirs.id) else { continue };
                let (left, right) = (theirs.left.and_then(here), theirs.right.and_then(here));
                self.order.foresee(&Span { id, left, right, ..theirs.clone_names() });
            }
        }
        for theirs in other.order.spans() {
            let mut at = 0;
            while at < theirs.len {
                let Some(id) = here(theirs.id.plus(at)) else { break };
                let Some((ours, offset)) = self.order.span_of(id) else {
                    let Some(next) = self.order.next_known(id).filter(|_| !self.order.is_short()) else { break };
                    at += (next - id.counter).min((theirs.len - at) as u64) as usize;
                    continue;
                };
                let count = (ours.len - offset).min(theirs.len - at);
                let same_anchor = |ours: Option<Id>, theirs: Option<Id>| match theirs {
                    None => ours.is_none(),
                    Some(theirs) => ours.is_some() && here(theirs) == ours,
                };
                let same_values = !ours.is_live()
                    || !theirs.is_live()
                    || ours.values[offset..offset + count] == theirs.values[at..at + count];
                let same_place = same_anchor(ours.left_of(offset), theirs.left_of(at));
                if !same_values || !same_place || !same_anchor(ours.right, theirs.right) {
                    return Err(DoubleSpentDot(other.order.names.dot(theirs.id.plus(at))));
                }
                at += count;
            }
        }
        Ok(())
    }

    fn join(&mut self, own: &CausalContext<A>, other: &Self, theirs: &CausalContext<A>) {
        self.kill_gone(other, theirs);
        self.absorb(other, own, Ordered::settle);
    }

    fn join_delta(&mut self, own: &CausalContext<A>, delta: &Self, _theirs: &CausalContext<A>) {
        self.absorb(delta, own, Ordered::settle); // what it removes is in it, as removed
    }

    fn group(&mut self, own: &CausalContext<A>, other: &Self, theirs: &CausalContext<A>) {
        self.kill_gone(other, theirs);
        self.absorb(other, own, Ordered::keep);
    }

    fn is_bottom(&self) -> bool {
        self.order.placed.is_empty() && self.order.loose.is_empty()
    }

    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<A>)) {
        for span in self.order.spans().filter(|span| span.is_live()) {
            (0..span.len).for_each(|at| visit(&self.order.names.dot(span.id.plus(at))));
        }
    }

    fn shows(&self) -> bool {
        !self.is_empty()
    }

    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<A>> {
        let len = place.len();
        let (base, delta, session) = place.open();
        delta.is_listed = true;
        let mut new: Vec<(Id, usize)> = Vec::new();
        new.extend(delta.order.loose.values().filter(|span| span.is_live()).map(|span| (span.id, span.len)));
        new.into_iter().for_each(|(id, len)| delta.order.kill(id, len));
        if let Some(base) = base {
            for span in base.order.spans().filter(|span| span.is_live()) {
                let actor = base.order.names.name(span.id.actor);
                let goes = |dot: Dot<A>| session.sees(&dot) && !session.context.contains(&dot); // not removed already
                let seen: Vec<bool> = (0..span.len).map(|at| goes(base.order.names.dot(span.id.plus(at)))).collect();
                let mut from = 0;
                for run in seen.chunk_by(|x, y| x == y) {
                    if run[0] {
                        let gone = span.removed_part(from, from + run.len());
                        insert(&mut session.context, actor, &gone);
                        delta.note(base, gone);
                    }
                    from += run.len();
                }
            }
        }
        if len > 0 {
            delta.draft.record(base.map_or(0, Seq::len), Step { replaces: 0..len, inserted: None });
        }
        Ok(())
    }

    fn part(&self, dots: &CausalContext<A>) -> Self {
        let mut part = Self::default();
        for span in self.order.spans() {
            let Some(wanted) = dots.of(self.order.names.name(span.id.actor)) else { continue };
            let (first, last) = (span.id.counter, span.last().counter);
            let runs = wanted.runs();
            let overlapping = runs[runs.partition_point(|run| run.last < first)..].iter();
            for run in overlapping.take_while(|run| run.first <= last) {
                let (from, to) = (run.first.max(first) - first, run.last.min(last) - first + 1);
                part.note(self, span.part(from as usize, to as usize));
            }
        }
        part
    }

    fn latest(&self) -> Hlc {
        Hlc(0)
    }

    fn list(&mut self) {
        self.is_listed = true;
    }

    fn dots(&self) -> CausalContext<A> {
        self.live()
    }
}

/// Deltas: spans that are not placed.
impl<A: Actor, T: Clone + PartialEq> Seq<A, T> {
    /// Keeps a span of another one, under this one's numbers.
    fn note(&mut self, of: &Self, span: Span<T>) {
        let names = &mut self.order.names;
        let span = span.renamed(|number| names.intern(of.order.names.name(number)));
        self.order.keep(span);
    }
}

impl<A: Actor, T: Clone + PartialEq> Edit<'_, Seq<A, T>> {
    /// How many elements are here now, this edit's steps included.
    pub fn len(&mut self) -> usize {
        let (base, delta, _) = self.open();
        delta.draft.len(base.map_or(0, Seq::len))
    }

    /// Is there none?
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// The elements of a range of indexes that are here now, or of as much of it as there is. O(log n + elements), see
    /// [`Self::insert`].
    pub fn values(&mut self, indexes: impl RangeBounds<usize>) -> Vec<T> {
        let indexes = within(indexes, self.len());
        let (base, delta, _) = self.open();
        let Seq { order, draft, .. } = delta;
        base.into_iter().for_each(|base| base.order.placed.foresee(indexes.clone()));
        let pieces = match draft.picture(base.map_or(0, Seq::len)) {
            Some(picture) => picture.range(indexes),
            None => vec![Piece::Before(indexes)],
        };
        let mut values = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Before(range) => {
                    values.extend(base.into_iter().flat_map(|base| base.range(range.clone()).cloned()))
                }
                Piece::New { id, len } => {
                    let mut left = len;
                    while let Some((span, offset)) = order.span_of(id.plus(len - left)).filter(|_| left > 0) {
                        let count = left.min(span.len - offset);
                        values.extend_from_slice(&span.values[offset..offset + count]);
                        left -= count;
                    }
                }
            }
        }
        values
    }

    /// Appends an element. O(log n).
    ///
    /// # Errors
    /// Those of [`Self::insert`].
    pub fn push(&mut self, value: T) -> Result<(), Error<A>> {
        let end = self.len();
        self.insert(end, [value])
    }

    /// Inserts elements before the one at `index`, or at the end. O(log n + elements), and in an edit of many steps the
    /// number of runs they have made so far.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are fewer than `index` elements; [`Error::Lease`] or [`Error::Exhausted`] if there
    /// is no dot; [`Error::Stale`] if it is done for somebody who has seen the object otherwise.
    pub fn insert(&mut self, index: usize, values: impl IntoIterator<Item = T>) -> Result<(), Error<A>> {
        let len = self.len();
        if index > len {
            return Err(Error::OutOfRange { index, len });
        }
        let (mut index, mut left) = (index, index.checked_sub(1).and_then(|index| self.id_at(index)));
        let right = self.successor(left);
        let (base, delta, session) = self.open();
        let before = base.map_or(0, Seq::len);
        session.check_indexes()?;
        for (first, values) in mint_runs(session, values)? {
            let id = Id { actor: delta.order.names.intern(&first.actor), counter: first.counter };
            let span = Span { id, len: values.len(), left, right, values };
            let inserted = Inserted { id, len: span.len, left, right };
            delta.draft.record(before, Step { replaces: index..index, inserted: Some(inserted) });
            (left, index) = (Some(span.last()), index + span.len);
            delta.order.keep(span);
        }
        Ok(())
    }

    /// Removes the elements of a range of indexes. O(log n + their runs), see [`Self::insert`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it ends behind the last element, or before it begins; [`Error::Stale`] if it is done for
    /// somebody who has seen the object otherwise.
    pub fn remove(&mut self, indexes: Range<usize>) -> Result<(), Error<A>> {
        let len = self.len();
        if indexes.end > len || indexes.start > indexes.end {
            return Err(Error::OutOfRange { index: indexes.start.max(indexes.end), len });
        }
        if indexes.is_empty() {
            return Ok(());
        }
        let (base, delta, session) = self.open();
        session.check_indexes()?;
        let before = base.map_or(0, Seq::len);
        let pieces = match delta.draft.picture(before) {
            Some(picture) => picture.range(indexes.clone()),
            None => vec![Piece::Before(indexes.clone())],
        };
        for piece in pieces {
            match (piece, base) {
                (Piece::New { id, len }, _) => delta.order.kill(id, len),
                (Piece::Before(range), Some(base)) => {
                    base.order.placed.foresee(range.clone());
                    let (place, offset) = base.order.placed.find(range.start).unzip();
                    let (mut from, mut left) = (offset.unwrap_or(0), range.len());
                    for span in base.order.placed.iter_from(place).filter(|span| span.is_live()) {
                        let count = left.min(span.len - from);
                        let gone = span.removed_part(from, from + count);
                        insert(&mut session.context, base.order.names.name(gone.id.actor), &gone);
                        delta.note(base, gone);
                        (from, left) = (0, left - count);
                        if left == 0 {
                            break;
                        }
                    }
                }
                (Piece::Before(_), None) => {}
            }
        }
        delta.draft.record(before, Step { replaces: indexes, inserted: None });
        Ok(())
    }

    /// The name of the element at an index, by the delta's numbers.
    fn id_at(&mut self, index: usize) -> Option<Id> {
        let (base, delta, _) = self.open();
        let picture = delta.draft.picture(base.map_or(0, Seq::len));
        let index = match picture.and_then(|picture| picture.range(index..index + 1).pop()) {
            Some(Piece::New { id, .. }) => return Some(id),
            Some(Piece::Before(range)) => range.start,
            None => index,
        };
        let base = base?;
        let id = base.order.find(index)?;
        Some(Id { actor: delta.order.names.intern(base.order.names.name(id.actor)), ..id })
    }

    /// What comes after an element, removed ones included, by the delta's numbers.
    fn successor(&mut self, of: Option<Id>) -> Option<Id> {
        let (base, delta, _) = self.open();
        if let Some(changed) = delta.draft.picture(base.map_or(0, Seq::len)).and_then(|picture| picture.successor(of)) {
            return changed;
        }
        let Some(base) = base else { return of.and_then(|id| delta.next_new(id)) };
        let next = match of {
            None => base.order.successor(None),
            Some(id) => match base.order.names.number(delta.order.names.name(id.actor)) {
                Some(actor) if base.order.locate(Id { actor, ..id }).is_some() => {
                    base.order.successor(Some(Id { actor, ..id }))
                }
                _ => return delta.next_new(id),
            },
        }?;
        Some(Id { actor: delta.order.names.intern(base.order.names.name(next.actor)), ..next })
    }
}

/// Values in runs, each with its first dot; the others have the counters after that.
type Runs<A, T> = Vec<(Dot<A>, SmallVec<[T; 1]>)>;

/// Mints a dot for each value; all of them or none.
fn mint_runs<A: Actor, T>(
    session: &mut Session<A>,
    values: impl IntoIterator<Item = T>,
) -> Result<Runs<A, T>, Error<A>> {
    let (mark, mut runs) = (session.mark(), Runs::new());
    for value in values {
        let dot = session.mint().inspect_err(|_| session.rewind(mark))?;
        match runs.last_mut() {
            Some((first, run)) if first.actor == dot.actor && first.counter + run.len() as u64 == dot.counter => {
                run.push(value);
            }
            _ => runs.push((dot, SmallVec::from_iter([value]))),
        }
    }
    Ok(runs)
}

impl<A: Actor, T: Clone + PartialEq> Seq<A, T> {
    /// In a delta: the element after one of a run that was inserted at once.
    fn next_new(&self, id: Id) -> Option<Id> {
        self.order.span_of(id.plus(1)).map(|_| id.plus(1))
    }
}

/// Text: a sequence of characters (Unicode scalar values). Indexes count these.
///
/// ```
/// use causal::Minter;
/// use crdt::{Replica, Text};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Text<&str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|text| text.insert(0, "Hello!"))?)?;
/// let (world, there) = (a.edit(|text| text.insert(5, " World"))?, b.edit(|text| text.insert(5, " there"))?);
/// a.apply(&there)?;
/// b.apply(&world)?;
/// assert_eq!((a.to_string(), b.to_string()), ("Hello World there!".into(), "Hello World there!".into()));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Text<A: Actor> {
    characters: Seq<A, char>,
}

impl<A: Actor> Default for Text<A> {
    fn default() -> Self {
        Self { characters: Seq::default() }
    }
}

dot_store!(Text<A: Actor> by A { characters: Seq<A, char> });
store_bytes!(Text<A: ActorBytes> by A, "text" { characters: Seq<A, char> });

impl<A: Actor> std::fmt::Display for Text<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.characters.iter().try_for_each(|character| std::fmt::Write::write_char(f, *character))
    }
}

impl<A: Actor> Text<A> {
    /// How many characters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Is it empty?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// The characters of a range of indexes, or of as much of it as there is. O(log n + characters).
    #[must_use]
    pub fn slice(&self, indexes: impl RangeBounds<usize>) -> String {
        self.characters.range(indexes).collect()
    }

    /// The characters, as a sequence.
    #[must_use]
    pub fn characters(&self) -> &Seq<A, char> {
        &self.characters
    }
}

impl<A: Actor> Edit<'_, Text<A>> {
    /// Inserts text before the character at `index`, or at the end. See [`Edit::<Seq<A, T>>::insert`].
    ///
    /// # Errors
    /// Those of a sequence's insert.
    pub fn insert(&mut self, index: usize, text: &str) -> Result<(), Error<A>> {
        self.characters().insert(index, text.chars())
    }

    /// Appends text.
    ///
    /// # Errors
    /// Those of [`Self::insert`].
    pub fn push(&mut self, text: &str) -> Result<(), Error<A>> {
        let end = self.characters().len();
        self.insert(end, text)
    }

    /// Removes the characters of a range of indexes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn remove(&mut self, indexes: Range<usize>) -> Result<(), Error<A>> {
        self.characters().remove(indexes)
    }

    /// The characters of a range of indexes that are here now, or of as much of it as there is.
    pub fn slice(&mut self, indexes: impl RangeBounds<usize>) -> String {
        self.characters().values(indexes).into_iter().collect()
    }

    /// How many characters are here now, this edit's steps included.
    pub fn len(&mut self) -> usize {
        self.characters().len()
    }

    /// Is there none?
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    fn characters(&mut self) -> Edit<'_, Seq<A, char>> {
        self.field(|text| &text.characters, |text| &mut text.characters)
    }
}
