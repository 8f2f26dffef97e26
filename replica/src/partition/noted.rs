//! What is noted of writes while they are carried out, for an application that tells others of them.

use crate::place::{CellId, CellKind};

/// Something that a write did to a key beside what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteNote {
    /// The key.
    pub key: Vec<u8>,
    /// What it was.
    pub what: Noted,
}

/// What is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The key's time was over, and it was removed.
    Ended,
    /// A cell has more siblings, or fewer, than it had.
    Siblings {
        /// Which cell.
        cell: CellId,
        /// How many it had.
        before: usize,
        /// How many it has.
        after: usize,
    },
    /// Whatever the application wants to be told of once all of its call is carried out.
    Own(&'static str),
}

/// The notes of a write in the making; none are taken while nobody watches.
#[derive(Debug, Default)]
pub(super) struct Notes(Option<Vec<WriteNote>>);

impl Notes {
    /// To be filled.
    pub(super) fn wanted() -> Self {
        Self(Some(Vec::new()))
    }

    pub(super) fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Others of the same kind, empty.
    pub(super) fn alike(&self) -> Self {
        Self(self.0.as_ref().map(|_| Vec::new()))
    }

    pub(super) fn add(&mut self, key: &[u8], what: Noted) {
        let Some(notes) = &mut self.0 else { return };
        // A write of several siblings is one change of their number.
        if let Noted::Siblings { cell, after, .. } = &what
            && let Some(WriteNote { key: last, what: Noted::Siblings { cell: same, after: latest, .. } }) =
                notes.last_mut()
            && last == key
            && same == cell
        {
            *latest = *after;
            return;
        }
        notes.push(WriteNote { key: key.to_vec(), what });
    }

    pub(super) fn append(&mut self, mut others: Self) {
        if let (Some(notes), Some(others)) = (&mut self.0, &mut others.0) {
            notes.append(others);
        }
    }

    pub(super) fn take(&mut self) -> Vec<WriteNote> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Can cells of this kind have siblings that somebody decides between?
pub(super) fn may_have_siblings(kind: CellKind) -> bool {
    !matches!(kind, CellKind::Member | CellKind::Deadline)
}
