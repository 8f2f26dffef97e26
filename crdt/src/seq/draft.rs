//! What a sequence looks like in the middle of an edit: the steps so far over what was there.
//!
//! The sequence itself is changed only when the edit is done, all at once. Most edits have one step, which needs no
//! picture of anything; the second step draws one.

use std::collections::BTreeMap;
use std::ops::Range;

use super::span::Id;

/// Elements that show, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Of what was there: by index.
    Before(Range<usize>),
    /// A run that this edit has inserted.
    New { id: Id, len: usize },
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::Before(range) => range.len(),
            Piece::New { len, .. } => *len,
        }
    }

    /// A part of it.
    fn part(&self, range: Range<usize>) -> Self {
        match self {
            Piece::Before(all) => Piece::Before(all.start + range.start..all.start + range.end),
            Piece::New { id, .. } => Piece::New { id: id.plus(range.start), len: range.len() },
        }
    }
}

/// One step: some elements in place of some others.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) replaces: Range<usize>,
    pub(crate) inserted: Option<Inserted>,
}

/// A run that was inserted, and its neighbours, removed ones included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inserted {
    pub(crate) id: Id,
    pub(crate) len: usize,
    pub(crate) left: Option<Id>,
    pub(crate) right: Option<Id>,
}

impl Step {
    fn inserted_len(&self) -> usize {
        self.inserted.map_or(0, |run| run.len)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Draft {
    #[default]
    Clean,
    One(Step),
    Many(Picture),
}

#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pieces: Vec<Piece>,
    /// What now comes after an element (after the start), where that has changed.
    successors: BTreeMap<Option<Id>, Option<Id>>,
}

impl Draft {
    /// How many elements show, of `before` that did.
    pub(crate) fn len(&self, before: usize) -> usize {
        match self {
            Draft::Clean => before,
            Draft::One(step) => before + step.inserted_len() - step.replaces.len(),
            Draft::Many(picture) => picture.pieces.iter().map(Piece::len).sum(),
        }
    }

    /// The picture, if there has been a step.
    pub(crate) fn picture(&mut self, before: usize) -> Option<&Picture> {
        if let Draft::One(step) = self {
            let mut picture = Picture { pieces: vec![Piece::Before(0..before)], successors: BTreeMap::new() };
            picture.record(step.clone());
            *self = Draft::Many(picture);
        }
        match self {
            Draft::Many(picture) => Some(picture),
            _ => None,
        }
    }

    /// Notes a step; `before` elements showed at first.
    pub(crate) fn record(&mut self, before: usize, step: Step) {
        self.picture(before);
        match self {
            Draft::Many(picture) => picture.record(step),
            _ => *self = Draft::One(step),
        }
    }
}

impl Picture {
    /// The pieces of a range. O(pieces).
    pub(crate) fn range(&self, range: Range<usize>) -> Vec<Piece> {
        let (mut found, mut start) = (Vec::new(), 0);
        for piece in &self.pieces {
            let (from, to) = (range.start.max(start), range.end.min(start + piece.len()));
            if from < to {
                found.push(piece.part(from - start..to - start));
            }
            start += piece.len();
        }
        found
    }

    /// What comes after an element, if this edit has changed that.
    pub(crate) fn successor(&self, of: Option<Id>) -> Option<Option<Id>> {
        self.successors.get(&of).copied()
    }

    fn record(&mut self, Step { replaces, inserted }: Step) {
        if let Some(Inserted { id, len, left, right }) = inserted {
            self.successors.insert(left, Some(id));
            self.successors.insert(Some(id.plus(len - 1)), right);
        }
        let (mut first, mut start) = (0, 0);
        while first < self.pieces.len() && start + self.pieces[first].len() <= replaces.start {
            start += self.pieces[first].len();
            first += 1;
        }
        let (mut last, mut end) = (first, start);
        while last < self.pieces.len() && end < replaces.end {
            end += self.pieces[last].len();
            last += 1;
        }
        if last == first && start < replaces.start {
            end += self.pieces[first].len();
            last += 1;
        }
        let new = inserted.map(|run| Piece::New { id: run.id, len: run.len });
        let (head, tail) = if first < last {
            let (one, other) = (&self.pieces[first], &self.pieces[last - 1]);
            let rest = end - replaces.end;
            (Some(one.part(0..replaces.start - start)), Some(other.part(other.len() - rest..other.len())))
        } else {
            (None, None)
        };
        let filled = |piece: &Piece| piece.len() > 0;
        let middle = [head, new, tail].into_iter().flatten().filter(filled);
        self.pieces.splice(first..last, middle.collect::<Vec<_>>());
        self.join_run(first);
    }

    /// A run that goes on where the piece before it ended is one with it: who types makes one piece.
    fn join_run(&mut self, from: usize) {
        for at in (from.saturating_sub(1)..(from + 2).min(self.pieces.len().saturating_sub(1))).rev() {
            if let [Piece::New { id, len }, Piece::New { id: next, len: more }] = &self.pieces[at..at + 2]
                && id.plus(*len) == *next
            {
                self.pieces[at] = Piece::New { id: *id, len: len + more };
                self.pieces.remove(at + 1);
            }
        }
    }
}
