//! Where elements stand: the order of Fugue, found by anchors.
//!
//! An element names what stood left and right of it when it was inserted, removed neighbours included. It comes after its
//! left anchor and before its right one; among elements that were concurrently inserted into the same gap, those with the
//! right anchor further right come first, then those of the smaller actor, each followed by what was inserted after it. So
//! what two people type at one spot, forwards or backwards, does not interleave.
//! (Weidner, Kleppmann 2023: FugueMax; the search for the place is that of a list with both origins.)
//!
//! The *skeleton*, the names and anchors of all elements ever inserted, only grows: others may stand beside what was removed.
//! A dot of an element is in the context exactly if the element is in the skeleton; so removals carry the names and anchors of what
//! they remove. An element whose anchors are not here yet waits, and shows nothing.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use causal::Actor;
use smallvec::SmallVec;

use super::span::{Id, Names, Span};
use crate::few::Few;
use crate::rope::{Item, Place, Rope};

/// The most bytes of the elements of a run in records, unless it is one element.
const MAX_RUN_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct Ordered<A, T> {
    pub(crate) names: Names<A>,
    /// The skeleton, in order.
    pub(crate) placed: Rope<Span<T>>,
    /// Where each span in `placed` is, by its first element.
    pub(super) starts: Rope<Start>,
    /// The greatest counter known, by actor.
    pub(super) ends: SmallVec<[u64; 1]>,
    /// What waits for its anchors, by its first element; in a delta: everything.
    pub(crate) loose: Few<Id, Span<T>>,
    /// The first elements of what waits, by what it waits for.
    pub(super) waiting_for: BTreeMap<Id, Vec<Id>>,
    /// The bytes of an element, if runs are to fit into records.
    pub(super) size: Option<fn(&T) -> usize>,
    /// Where something was found last: looked at first the next time, and right only if it is there.
    pub(super) hint: Hint,
}

/// The first element of a span that is placed, and the leaf it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) id: Id,
    pub(super) leaf: u32,
}

impl Item for Start {
    type Key = Self;

    fn weight(&self) -> usize {
        0
    }

    fn key(&self) -> Self {
        *self
    }
}

/// A place that can be noted by those who only look.
#[derive(Debug)]
pub(super) struct Hint(AtomicU64);

impl Hint {
    fn note(&self, place: Place) {
        self.0.store(place.pack(), Relaxed);
    }

    fn place(&self) -> Place {
        Place::unpack(self.0.load(Relaxed))
    }
}

impl<A: Clone, T: Clone> Clone for Ordered<A, T> {
    fn clone(&self) -> Self {
        Self {
            names: self.names.clone(),
            placed: self.placed.clone(),
            starts: self.starts.clone(),
            ends: self.ends.clone(),
            loose: self.loose.clone(),
            waiting_for: self.waiting_for.clone(),
            size: self.size,
            hint: Hint(AtomicU64::new(0)),
        }
    }
}

impl<A, T> Default for Ordered<A, T> {
    fn default() -> Self {
        Self {
            names: Names::default(),
            placed: Rope::default(),
            starts: Rope::default(),
            ends: SmallVec::new(),
            loose: Few::default(),
            waiting_for: BTreeMap::new(),
            size: None,
            hint: Hint(AtomicU64::new(0)),
        }
    }
}

/// Which anchor of a span is meant where there is none.
#[derive(Clone, Copy)]
enum End {
    Start,
    Finish,
}

/// Where the start of a span is noted.
fn place_of(starts: &Rope<Start>, id: Id) -> Option<Place> {
    starts.search(|start| start.id < id).filter(|place| starts.get(*place).id == id)
}

impl<A: Actor, T: Clone + PartialEq> Ordered<A, T> {
    /// All spans, placed or not.
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Span<T>> + '_ {
        self.placed.iter().chain(self.loose.values())
    }

    /// Has something been looked for that is in records, and not here? What came of that counts for nothing.
    pub(crate) fn is_short(&self) -> bool {
        self.placed.is_short() || self.starts.is_short()
    }

    /// Looks for all that taking in a span may need, so that what is missing of it is missed at once, and not one after
    /// the other.
    pub(crate) fn foresee(&self, span: &Span<T>) {
        let anchors = [span.left, span.right].into_iter().flatten().map(|id| (id, id));
        for (first, last) in anchors.chain([(span.id, span.last())]) {
            self.starts.foresee_between(|start| start.id < first, |start| start.id > last);
            let after = self.starts.search(|start| start.id <= first);
            let from = self.starts.before(after).or(after);
            for start in self.starts.iter_from(from).take_while(|start| start.id <= last) {
                // It may be put before what comes next, which may be in the next leaf.
                let next = self.placed.foresee_change(start.leaf);
                next.map(|leaf| self.placed.foresee_change(leaf));
                for moved in next.into_iter().chain([start.leaf]).flat_map(|leaf| self.placed.items(leaf)) {
                    if let Some(place) = self.starts.search(|start| start.id < moved.id) {
                        self.starts.foresee_change(place.leaf);
                    }
                }
            }
            from.map(|place| self.starts.foresee_change(place.leaf));
        }
    }

    /// What is not placed, by actor and counter: in the same order in every state.
    pub(crate) fn loose_by_name(&self) -> impl Iterator<Item = &Span<T>> + '_ {
        let mut loose: Vec<&Span<T>> = self.loose.values().collect();
        loose.sort_by_key(|span| (self.names.name(span.id.actor), span.id.counter));
        loose.into_iter()
    }

    /// The element that shows at an index.
    pub(crate) fn find(&self, index: usize) -> Option<Id> {
        let (place, offset) = self.placed.find(index)?;
        self.hint.note(place);
        Some(self.placed.get(place).id.plus(offset))
    }

    /// Where a placed element is: its span's place, and which of the span it is. O(log n).
    pub(crate) fn locate(&self, id: Id) -> Option<(Place, usize)> {
        // In records, what is needed must not depend on what was looked at before: it is tried out first.
        let hint = Some(self.hint.place()).filter(|_| !self.placed.is_in_records());
        let hinted = hint.and_then(|hint| Some((hint, self.placed.try_get(hint)?.offset_of(id)?)));
        if hinted.is_some() {
            return hinted;
        }
        let after = self.starts.search(|start| start.id <= id);
        let start = self.starts.get(self.starts.before(after)?);
        let place = self.placed.find_in(start.leaf, |span| span.id == start.id)?;
        let offset = self.placed.get(place).offset_of(id)?;
        self.hint.note(place);
        Some((place, offset))
    }

    /// The span an element is in, placed or not, and which of it it is.
    pub(crate) fn span_of(&self, id: Id) -> Option<(&Span<T>, usize)> {
        if let Some((place, offset)) = self.locate(id) {
            return Some((self.placed.get(place), offset));
        }
        let (_, span) = self.loose.last_up_to(&id)?;
        Some((span, span.offset_of(id)?))
    }

    /// The element after a placed one, or the first: removed ones included.
    pub(crate) fn successor(&self, of: Option<Id>) -> Option<Id> {
        let next = match of {
            None => self.placed.first(),
            Some(id) => {
                let (place, offset) = self.locate(id)?;
                if offset + 1 < self.placed.get(place).len {
                    return Some(id.plus(1));
                }
                self.placed.next(place)
            }
        };
        next.map(|place| self.placed.get(place).id)
    }

    /// The next element of this actor that is known, after `id`.
    pub(crate) fn next_known(&self, id: Id) -> Option<u64> {
        let placed = self.starts.search(|start| start.id < id).map(|place| self.starts.get(place).id);
        let loose = self.loose.first_from(&id).map(|(next, _)| *next);
        let next = [placed, loose].into_iter().flatten().filter(|next| next.actor == id.actor);
        next.map(|next| next.counter).min()
    }

    /// Takes in a span. What is known of it already changes only by being removed; what is new comes in, removed if
    /// `is_removed`, to where `file` puts it: [`Self::settle`] in a state, [`Self::keep`] in a delta.
    pub(crate) fn absorb(
        &mut self,
        span: Span<T>,
        is_removed: impl Fn(&Names<A>, Id) -> bool,
        file: fn(&mut Self, Span<T>),
    ) {
        let mut rest = Some(span);
        while let Some(mut part) = rest.take() {
            if self.ends.get(part.id.actor as usize).is_none_or(|end| *end < part.id.counter) {
                return self.absorb_new(part, &is_removed, file);
            }
            if let Some((known, offset)) = self.span_of(part.id) {
                let (count, is_live) = (part.len.min(known.len - offset), known.is_live());
                rest = (count < part.len).then(|| part.split_off(count));
                if is_live && !part.is_live() {
                    self.kill(part.id, count);
                }
                continue;
            }
            if self.is_short() {
                return; // it may be known
            }
            let unknown = self.next_known(part.id).map_or(part.len as u64, |next| next - part.id.counter);
            if unknown < part.len as u64 {
                rest = Some(part.split_off(unknown as usize));
            }
            self.absorb_new(part, &is_removed, file);
        }
    }

    /// Takes in a span of which nothing is known.
    fn absorb_new(
        &mut self,
        mut span: Span<T>,
        is_removed: impl Fn(&Names<A>, Id) -> bool,
        file: fn(&mut Self, Span<T>),
    ) {
        while span.is_live() {
            let gone = is_removed(&self.names, span.id);
            let same = (1..span.len).find(|at| is_removed(&self.names, span.id.plus(*at)) != gone);
            let rest = same.map(|at| span.split_off(at));
            if gone {
                span.values.clear();
            }
            match rest {
                Some(rest) => file(self, std::mem::replace(&mut span, rest)),
                None => break,
            }
        }
        file(self, span);
    }

    fn note_end(&mut self, span: &Span<T>) {
        let (actor, end) = (span.id.actor as usize, span.last().counter);
        if self.ends.len() <= actor {
            self.ends.resize(actor + 1, 0);
        }
        self.ends[actor] = self.ends[actor].max(end);
    }

    /// In a delta: keeps a span as it is.
    pub(crate) fn keep(&mut self, span: Span<T>) {
        self.note_end(&span);
        match self.loose.last_before_mut(&span.id) {
            Some(before) if before.is_continued_by(&span) => before.append(span),
            _ => self.loose.insert(span.id, span),
        }
    }

    /// Places a span, and whatever has waited for it; or lets it wait.
    pub(crate) fn settle(&mut self, span: Span<T>) {
        self.note_end(&span);
        let mut ready: Vec<Span<T>> = self.cut(span).into_iter().rev().collect();
        while let Some(span) = ready.pop() {
            let (first, last) = (span.id, span.last());
            match self.place(span) {
                Ok(()) if self.loose.is_empty() => {}
                Ok(()) => {
                    let woken: Vec<Id> = self.waiting_for.range(first..=last).map(|(id, _)| *id).collect();
                    for id in woken.into_iter().filter_map(|id| self.waiting_for.remove(&id)).flatten() {
                        ready.extend(self.loose.remove(&id));
                    }
                }
                Err((span, missing)) => {
                    self.waiting_for.entry(missing).or_default().push(span.id);
                    self.loose.insert(span.id, span);
                }
            }
        }
    }

    /// Puts a span in its place, unless an anchor is missing.
    fn place(&mut self, span: Span<T>) -> Result<(), (Span<T>, Id)> {
        let after = match span.left {
            None => self.placed.first(),
            Some(left) => match self.locate(left) {
                None => return Err((span, left)),
                Some((place, offset)) => self.after(place, offset),
            },
        };
        let starts_at = |place: Place| Some(self.placed.get(place).id);
        if span.right != after.and_then(starts_at) {
            if let Some(right) = span.right.filter(|right| self.locate(*right).is_none()) {
                return Err((span, right));
            }
            let at = self.among_concurrent(&span, after);
            self.insert(at, span);
        } else {
            self.insert(after, span);
        }
        Ok(())
    }

    /// The place behind an element, cutting its span in two if it is in the middle of one.
    fn after(&mut self, place: Place, offset: usize) -> Option<Place> {
        if offset + 1 == self.placed.get(place).len {
            return self.placed.next(place);
        }
        let rest = self.placed.update(place, |span| span.split_off(offset + 1))?;
        let next = self.placed.next(place);
        self.insert_as_is(next, rest)
    }

    /// Where among those that were concurrently inserted into the same gap a span belongs. `at`: behind its left anchor.
    fn among_concurrent(&self, span: &Span<T>, at: Option<Place>) -> Option<Place> {
        let (mut here, mut passing, mut next) = (at, false, at);
        while let Some(place) = next {
            if !passing {
                here = next;
            }
            let other = self.placed.get(place);
            if Some(other.id) == span.right {
                return here;
            }
            let left = self.compare(other.left, span.left, End::Start);
            let right = self.compare(other.right, span.right, End::Finish);
            if left == Ordering::Less || (left.is_eq() && right.is_eq() && self.comes_before(span.id, other.id)) {
                return here;
            }
            if left.is_eq() {
                passing = right == Ordering::Less;
            }
            next = self.placed.next(place);
        }
        if passing { here } else { None }
    }

    fn comes_before(&self, x: Id, y: Id) -> bool {
        (self.names.name(x.actor), x.counter) < (self.names.name(y.actor), y.counter)
    }

    /// The order of two anchors.
    fn compare(&self, x: Option<Id>, y: Option<Id>, end: End) -> Ordering {
        let (x, y) = match (x, y, end) {
            (Some(x), Some(y), _) => (x, y),
            (None, None, _) => return Ordering::Equal,
            (None, Some(_), End::Start) | (Some(_), None, End::Finish) => return Ordering::Less,
            (None, Some(_), End::Finish) | (Some(_), None, End::Start) => return Ordering::Greater,
        };
        if x == y {
            return Ordering::Equal;
        }
        match (self.locate(x), self.locate(y)) {
            (Some(x), Some(y)) => self.placed.order(x.0, y.0).then(x.1.cmp(&y.1)),
            _ => Ordering::Equal, // not in a state that edits made
        }
    }

    /// The same in parts that fit into records.
    pub(super) fn cut(&self, mut span: Span<T>) -> SmallVec<[Span<T>; 1]> {
        let Some(size) = self.size.filter(|_| span.values.len() > 1) else { return SmallVec::from_iter([span]) };
        let (mut parts, mut bytes) = (SmallVec::new(), 0);
        let mut part = Span { len: 0, values: SmallVec::new(), ..span.clone_names() };
        for value in std::mem::take(&mut span.values) {
            let more = size(&value);
            if part.len > 0 && bytes + more > MAX_RUN_BYTES {
                let (id, left) = (part.id.plus(part.len), Some(part.last()));
                let next = Span { id, len: 0, left, right: part.right, values: SmallVec::new() };
                parts.push(std::mem::replace(&mut part, next));
                bytes = 0;
            }
            bytes += more;
            part.len += 1;
            part.values.push(value);
        }
        parts.push(part);
        parts
    }

    /// Do both fit into a record?
    fn fits(&self, span: &Span<T>, next: &Span<T>) -> bool {
        let bytes = |size: fn(&T) -> usize| span.values.iter().chain(&next.values).map(size).sum::<usize>();
        self.size.is_none_or(|size| bytes(size) <= MAX_RUN_BYTES)
    }

    /// Puts a span before `at`; one that continues the span before it becomes part of that.
    pub(super) fn insert(&mut self, at: Option<Place>, span: Span<T>) {
        match self.placed.before(at).map(|before| (before, self.placed.get(before))) {
            Some((before, end)) if end.is_continued_by(&span) && self.fits(end, &span) => {
                self.placed.update(before, |before| before.append(span));
            }
            _ => {
                self.insert_as_is(at, span);
            }
        }
    }

    fn insert_as_is(&mut self, at: Option<Place>, span: Span<T>) -> Option<Place> {
        let id = span.id;
        let Self { placed, starts, .. } = self;
        let place = placed.insert(at, span, |span, leaf| {
            if let Some(place) = place_of(starts, span.id) {
                starts.update(place, |start| start.leaf = leaf);
            }
        })?;
        let next = starts.search(|start| start.id < id);
        starts.insert(next, Start { id, leaf: place.leaf }, |_, _| {});
        Some(place)
    }

    /// Removes elements that are known; their names and anchors stay.
    pub(crate) fn kill(&mut self, id: Id, count: usize) {
        let (mut from, mut left) = (id, count);
        while left > 0 {
            let killed = match self.locate(from) {
                Some((place, offset)) => {
                    let count = left.min(self.placed.get(place).len - offset);
                    self.kill_placed(from, place, offset, count);
                    count
                }
                None => self.kill_loose(from, left),
            };
            if killed == 0 {
                return;
            }
            (from, left) = (from.plus(killed), left - killed);
        }
    }

    fn kill_placed(&mut self, from: Id, place: Place, offset: usize, count: usize) {
        if !self.placed.get(place).is_live() {
            return;
        }
        self.after(place, offset + count - 1);
        let Some((mut place, offset)) = self.locate(from) else { return };
        if let Some(before) = offset.checked_sub(1) {
            let Some(cut) = self.after(place, before) else { return };
            place = cut;
        }
        self.placed.update(place, |span| span.values.clear());
        let place = self.merge_with_the_one_before(place);
        if let Some(next) = self.placed.next(place) {
            self.merge_with_the_one_before(next);
        }
    }

    fn merge_with_the_one_before(&mut self, place: Place) -> Place {
        match self.placed.before(Some(place)) {
            Some(before) if self.placed.get(before).is_continued_by(self.placed.get(place)) => {
                let Some(span) = self.placed.remove(place) else { return place };
                if let Some(start) = place_of(&self.starts, span.id) {
                    self.starts.remove(start);
                }
                self.placed.update(before, |before| before.append(span));
                before
            }
            _ => place,
        }
    }

    /// Removes elements of one span that waits; says how many.
    fn kill_loose(&mut self, from: Id, most: usize) -> usize {
        let Some((start, offset)) =
            self.loose.last_up_to(&from).and_then(|(start, span)| Some((*start, span.offset_of(from)?)))
        else {
            return 0;
        };
        let Some(mut span) = self.loose.remove(&start) else { return 0 };
        let count = most.min(span.len - offset);
        let rest = (offset + count < span.len).then(|| span.split_off(offset + count));
        let mut killed = if offset > 0 { self.keep_waiting(span.split_off(offset), span) } else { span };
        killed.values.clear();
        let killed = match rest {
            Some(rest) => self.keep_waiting(rest, killed),
            None => killed,
        };
        self.loose.insert(killed.id, killed);
        count
    }

    /// Files the first of two parts of what waits; the second waits for it. Gives the second.
    fn keep_waiting(&mut self, second: Span<T>, first: Span<T>) -> Span<T> {
        self.waiting_for.entry(first.last()).or_default().push(second.id);
        self.loose.insert(first.id, first);
        second
    }
}
