//! What a majority of the owners has taken, every later read of a majority shows - or something that has replaced it.
//!
//! That is what quorums are for, and it holds through crashes, cuts and moves. It does not where an owner's disk is replaced
//! by an older copy of it: from then on nothing is compared.

use std::collections::BTreeMap;

use crate::world::Oracle;
use crate::{CellId, CellKind, Context, Dot, Found, Operation, Place, QuorumKind, Read, Request, RequestId};

#[derive(Debug, Default)]
pub(super) struct Majorities {
    /// What majorities have taken, in the order of the answers.
    taken: Vec<Dot>,
    /// Requests under way, with how much had been taken when they were asked.
    asked: BTreeMap<RequestId, usize>,
    has_given_up: bool,
}

impl Majorities {
    pub(super) fn give_up(&mut self) {
        self.has_given_up = true;
    }

    pub(super) fn asked(&mut self, id: RequestId, request: &Request) {
        let is_strict = request.quorum.kind == QuorumKind::Strict && request.quorum.nodes.is_none();
        if is_strict && !self.has_given_up {
            self.asked.insert(id, self.taken.len());
        }
    }

    pub(super) fn wrote(&mut self, id: RequestId, dots: &Context) {
        if self.asked.remove(&id).is_some() {
            self.taken.extend(dots.dots());
        }
    }

    /// What the read should have shown, if it did not.
    pub(super) fn read(
        &mut self,
        id: RequestId,
        request: &Request,
        found: &Found,
        oracle: &Oracle,
        compared: &mut u64,
    ) -> Option<String> {
        let taken = self.asked.remove(&id).filter(|_| !self.has_given_up)?;
        let Operation::Read(read) = &request.operation else { return None };
        let is_read = |cell: &CellId| match read {
            Read::All => true,
            Read::Cells(cells) => cells.contains(cell),
            _ => false,
        };
        // What has ended is not shown.
        if oracle.has_deadline(&request.key) {
            return None;
        }
        *compared += 1;
        let missed = self.taken[..taken].iter().find(|dot| match oracle.value_at(dot) {
            Some(Place::Cell(key, cell)) if *key == request.key && is_read(cell) => {
                let shows = found.cell(cell).is_some_and(|state| state.live.get(dot).is_some());
                !shows && !oracle.has_successor(dot)
            }
            _ => false,
        })?;
        Some(format!("a majority had taken {missed}, nothing has replaced it, and a majority does not show it"))
    }
}

impl Oracle {
    /// Where a value or member was written by this event.
    fn value_at(&self, dot: &Dot) -> Option<&Place> {
        let event = self.event(dot)?;
        let is_value = matches!(
            event.entry.as_ref().map(|entry| &entry.content),
            Some(crdt::Content::Value { .. } | crdt::Content::Member)
        );
        is_value.then_some(&event.place)
    }

    fn has_deadline(&self, key: &[u8]) -> bool {
        self.events()
            .any(|event| matches!(&event.place, Place::Cell(of, cell) if cell.kind == CellKind::Deadline && of == key))
    }
}
