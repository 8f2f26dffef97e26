//! Runs of elements that were inserted one after the other, by one actor, at one spot.

use std::collections::BTreeMap;

use causal::Dot;
use smallvec::SmallVec;

use crate::rope::Item;

/// The name of an element: its dot, the actor by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) actor: u32,
    pub(crate) counter: u64,
}

impl Id {
    /// The name of the element that was written so many later.
    pub(crate) fn plus(self, count: usize) -> Self {
        Self { counter: self.counter + count as u64, ..self }
    }
}

/// A run of elements. The first was inserted between `left` and `right`; each other between the one before it in the run
/// and the same `right`.
#[derive(Clone, Debug)]
pub(crate) struct Span<T> {
    pub(crate) id: Id,
    pub(crate) len: usize,
    pub(crate) left: Option<Id>,
    pub(crate) right: Option<Id>,
    /// As many as elements; none if the elements were removed, and are only there for others to stand beside.
    pub(crate) values: SmallVec<[T; 1]>,
}

impl<T> Item for Span<T> {
    type Key = ();

    fn weight(&self) -> usize {
        self.values.len()
    }

    fn key(&self) {}
}

impl<T> Span<T> {
    pub(crate) fn is_live(&self) -> bool {
        !self.values.is_empty()
    }

    pub(crate) fn last(&self) -> Id {
        self.id.plus(self.len - 1)
    }

    /// Where in it an element is.
    pub(crate) fn offset_of(&self, id: Id) -> Option<usize> {
        let is_here = self.id.actor == id.actor && self.id <= id && id.counter - self.id.counter < self.len as u64;
        is_here.then(|| (id.counter - self.id.counter) as usize)
    }

    /// What the element at `offset` was inserted after.
    pub(crate) fn left_of(&self, offset: usize) -> Option<Id> {
        if offset == 0 { self.left } else { Some(self.id.plus(offset - 1)) }
    }

    /// Cuts it in two; gives the second part. `0 < at < len`.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let values = if self.is_live() { self.values.drain(at..).collect() } else { SmallVec::new() };
        let (id, left, len) = (self.id.plus(at), self.left_of(at), self.len - at);
        self.len = at;
        Self { id, len, left, right: self.right, values }
    }

    /// Is `next` what comes after it in its own run, and alive as it is?
    pub(crate) fn is_continued_by(&self, next: &Self) -> bool {
        next.id == self.id.plus(self.len)
            && next.left == Some(self.last())
            && next.right == self.right
            && next.is_live() == self.is_live()
    }

    /// Takes in what [continues](Self::is_continued_by) it.
    pub(crate) fn append(&mut self, next: Self) {
        self.len += next.len;
        self.values.extend(next.values);
    }
}

impl<T> Span<T> {
    /// The same without its values.
    pub(crate) fn clone_names(&self) -> Self {
        Self { id: self.id, len: self.len, left: self.left, right: self.right, values: SmallVec::new() }
    }
}

impl<T: Clone> Span<T> {
    /// A part of it.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        let values = if self.is_live() { self.values[from..to].iter().cloned().collect() } else { SmallVec::new() };
        Self { id: self.id.plus(from), len: to - from, left: self.left_of(from), right: self.right, values }
    }

    /// The part as one that was removed.
    pub(crate) fn removed_part(&self, from: usize, to: usize) -> Self {
        let (id, left) = (self.id.plus(from), self.left_of(from));
        Self { id, len: to - from, left, right: self.right, values: SmallVec::new() }
    }

    /// The same, with other numbers for actors.
    pub(crate) fn renamed(&self, mut name: impl FnMut(u32) -> u32) -> Self {
        let mut rename = |id: Id| Id { actor: name(id.actor), ..id };
        Self {
            id: rename(self.id),
            len: self.len,
            left: self.left.map(&mut rename),
            right: self.right.map(rename),
            values: self.values.clone(),
        }
    }
}

/// Actors by number, in the order they came up here: each name is kept once.
#[derive(Clone, Debug)]
pub(crate) struct Names<A> {
    names: SmallVec<[A; 1]>,
    /// Of several only.
    numbers: BTreeMap<A, u32>,
}

impl<A> Default for Names<A> {
    fn default() -> Self {
        Self { names: SmallVec::new(), numbers: BTreeMap::new() }
    }
}

impl<A: Ord + Clone> Names<A> {
    pub(crate) fn name(&self, number: u32) -> &A {
        &self.names[number as usize]
    }

    pub(crate) fn dot(&self, id: Id) -> Dot<A> {
        Dot { actor: self.name(id.actor).clone(), counter: id.counter }
    }

    /// The number of an actor that has one.
    pub(crate) fn number(&self, name: &A) -> Option<u32> {
        match self.names.as_slice() {
            [only] => (only == name).then_some(0),
            _ => self.numbers.get(name).copied(),
        }
    }

    /// The number of an actor, given to it now if it has none.
    pub(crate) fn intern(&mut self, name: &A) -> u32 {
        if let Some(number) = self.number(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.clone());
        if number == 1 {
            self.numbers.insert(self.names[0].clone(), 0); // one alone needs no index
        }
        if number > 0 {
            self.numbers.insert(name.clone(), number);
        }
        number
    }

    /// How many have a number.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}
