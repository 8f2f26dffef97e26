//! What must be live: exactly those writes whose dot no other incorporated write had seen.
//!
//! The oracle hears of every event when it is minted, with everything its author had seen, and of every
//! acknowledgement. It knows nothing of clocks, logs or merges.

use std::collections::{BTreeMap, BTreeSet};

use crate::{CellId, Change, Contents, Context, Dot, Entry, Place};
use crdt::{Content, reading};

/// A history of events in one partition, and the judgement over it.
#[derive(Debug, Default)]
pub struct Oracle {
    events: BTreeMap<Dot, Change>,
    acknowledged: BTreeSet<Dot>,
    /// What was on the disk of a machine that was turned off for good and on no other, if one ever was.
    given_up: Option<Context>,
    violation: Option<String>,
}

impl Oracle {
    /// An event was minted.
    pub fn minted(&mut self, change: &Change) {
        match self.events.insert(change.dot, change.clone()) {
            Some(before) if before != *change => {
                self.complain(format!("dot {} names two writes: {before:?} and {change:?}", change.dot));
            }
            _ => {}
        }
    }

    /// An event that removes everything was minted by a node that these events had reached: it may say to have seen no others, but
    /// for those that another one of its kind had seen.
    pub fn cleared(&mut self, change: &Change, known: &Context) {
        let mut may_be_seen = known.clone();
        let others = self.events.values().filter(|event| event.place == Place::Partition && event.dot != change.dot);
        others.for_each(|event| may_be_seen.union(&event.seen));
        if !may_be_seen.covers(&change.seen) {
            let more = change.seen.minus(&may_be_seen);
            self.complain(format!(
                "{} removes everything, and says to have seen {more:?}, which never reached its author",
                change.dot
            ));
        }
    }

    /// A client was told that its write holds, and that these are the dots of it: of no other write, or it could remove with them
    /// what it has never read.
    pub fn acknowledged(&mut self, dots: &Context) {
        for dot in dots.dots() {
            if !self.acknowledged.insert(dot) {
                self.complain(format!("{dot} is told to belong to two writes: {:?}", self.events.get(&dot)));
            }
        }
    }

    /// A machine is turned off for good, whose disk alone has this.
    pub fn gave_up(&mut self, only_there: &Context) {
        self.given_up.get_or_insert_default().union(only_there);
    }

    /// Has some machine been turned off for good?
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.is_some()
    }

    /// Was it written where it is lost, and is left of it what readers had put right elsewhere?
    fn is_left_over(&self, dot: &Dot, known: &Context) -> bool {
        self.has_given_up() && !known.contains(dot) && self.events.contains_key(dot)
    }

    /// What was written here where it is lost: what it had removed readers may have removed elsewhere.
    fn left_over<'a>(&'a self, place: &'a (Vec<u8>, CellId), known: &'a Context) -> impl Iterator<Item = &'a Change> {
        self.events.values().filter(|event| self.is_left_over(&event.dot, known) && event.reaches(place))
    }

    /// A client was shown this.
    pub fn shown(&mut self, cells: &[(CellId, crate::CellState)]) {
        for (dot, entry) in cells.iter().flat_map(|(_, state)| state.live.iter()) {
            if self.events.get(dot).is_none_or(|event| event.entry.as_ref() != Some(entry)) {
                self.complain(format!("a read shows {dot} with {entry:?}, which nobody wrote"));
            }
        }
    }

    pub(super) fn event(&self, dot: &Dot) -> Option<&Change> {
        self.events.get(dot)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Change> {
        self.events.values()
    }

    /// Has anybody replaced or removed what this event wrote, wherever that is known by now?
    pub(super) fn has_successor(&self, dot: &Dot) -> bool {
        let place = match self.events.get(dot).map(|event| &event.place) {
            Some(Place::Cell(key, cell)) => (key.clone(), cell.clone()),
            _ => return false,
        };
        self.events.values().any(|other| other.seen.contains(dot) && other.reaches(&place))
    }

    fn complain(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Judges what the owners have after everything has healed and come to rest.
    pub fn judge(&mut self, owners: &[Contents]) -> Option<String> {
        if self.violation.is_none()
            && let Err(what) = self.compare(owners)
        {
            self.violation = Some(what);
        }
        self.violation.clone()
    }

    fn compare(&self, owners: &[Contents]) -> Result<(), String> {
        let Some(first) = owners.first() else { return Err("no owner is left".to_owned()) };
        for (index, owner) in owners.iter().enumerate() {
            if owner.clock != first.clock {
                return Err(format!("owner {index} has clock {:?}, owner 0 {:?}", owner.clock, first.clock));
            }
        }
        let known = &first.clock;
        let mut must_be_known =
            self.acknowledged.iter().filter(|dot| !self.given_up.as_ref().is_some_and(|gone| gone.contains(dot)));
        if let Some(lost) = must_be_known.find(|dot| !known.contains(dot)) {
            return Err(format!("lost: acknowledged {:?} is in no owner's clock", self.events.get(lost)));
        }
        let places = self.events.values().filter_map(|event| match &event.place {
            Place::Cell(key, id) => Some((key.clone(), id.clone())),
            _ => None,
        });
        for place in places.collect::<BTreeSet<_>>() {
            let expected = self.expected(&place, known);
            for (index, owner) in owners.iter().enumerate() {
                let state = owner.cells.get(&place).cloned().unwrap_or_default();
                self.compare_cell(&place, &expected, &state, known).map_err(|what| format!("owner {index}: {what}"))?;
            }
        }
        Ok(())
    }

    fn expected(&self, place: &(Vec<u8>, CellId), known: &Context) -> BTreeMap<Dot, Entry> {
        let here = self.events.values().filter(|event| known.contains(&event.dot) && event.is_at(place));
        let live = here.filter(|event| !self.is_covered(event, place, known));
        live.filter_map(|event| Some((event.dot, event.entry.clone()?))).filter(|(_, entry)| !is_reset(entry)).collect()
    }

    /// Had some other incorporated write at this cell, its key or its partition seen it?
    fn is_covered(&self, event: &Change, place: &(Vec<u8>, CellId), known: &Context) -> bool {
        let later = self.events.values().filter(|other| known.contains(&other.dot) && other.dot != event.dot);
        later.filter(|other| other.reaches(place)).any(|other| other.seen.contains(&event.dot))
    }

    fn compare_cell(
        &self,
        place: &(Vec<u8>, CellId),
        expected: &BTreeMap<Dot, Entry>,
        state: &crate::CellState,
        known: &Context,
    ) -> Result<(), String> {
        let name = String::from_utf8_lossy(&place.0);
        let live = state.live.iter().filter(|(dot, _)| !self.is_left_over(dot, known));
        let has_left_over = self.left_over(place, known).next().is_some();
        let live: BTreeMap<Dot, Entry> = live.map(|(dot, entry)| (*dot, entry.clone())).collect();
        let live: BTreeMap<Dot, Entry> = live.into_iter().filter(|(_, entry)| !is_reset(entry)).collect();
        let is_removed = |dot: &Dot| self.left_over(place, known).any(|event| event.seen.contains(dot));
        let mut lost = expected.iter().filter(|(dot, _)| !live.contains_key(dot) && !is_removed(dot));
        if let Some((dot, entry)) = lost.next() {
            return Err(format!("lost: {name} {:?} lacks {dot} {entry:?}", place.1));
        }
        if let Some((dot, entry)) = live.iter().find(|(dot, entry)| expected.get(dot) != Some(entry)) {
            return Err(format!("resurrected or foreign: {name} {:?} has {dot} {entry:?}", place.1));
        }
        let (counted, must) = (reading::tallies(&state.live).value(), self.increments(place, known));
        if counted != must && !has_left_over {
            return Err(format!(
                "{name} {:?} counts {counted}, the increments that no reset has seen are {must}",
                place.1
            ));
        }
        // The run of a machine that was turned off for good may be later than any that others have heard of: it is never closed.
        let is_of_one_turned_off = self.given_up.is_some() && state.residual.dots().all(|dot| !known.contains(&dot));
        if !state.residual.is_empty() && !is_of_one_turned_off {
            return Err(format!("{name} {:?} remembers for ever what was lost: {:?}", place.1, state.residual));
        }
        if state.live.is_empty() && state.residual.is_empty() && *state != Default::default() {
            return Err(format!("{name} {:?} is empty and still stored: {state:?}", place.1));
        }
        Ok(())
    }

    /// The sum of the increments at a cell that no incorporated reset has seen.
    fn increments(&self, place: &(Vec<u8>, CellId), known: &Context) -> i64 {
        let tallies = self.events.values().filter(|event| known.contains(&event.dot) && event.is_at(place));
        let mut runs: BTreeMap<(crate::Actor, u64), Vec<(u64, i64)>> = BTreeMap::new();
        for event in tallies {
            if let Some(Entry { content: Content::Tally(tally), .. }) = &event.entry {
                runs.entry((event.dot.actor, tally.run)).or_default().push((event.dot.counter, tally.total));
            }
        }
        let is_reset = |event: &&Change| {
            let own = matches!(event.entry, Some(Entry { content: Content::Tally(_), .. }));
            known.contains(&event.dot) && event.reaches(place) && !own
        };
        let resets: Vec<&Change> = self.events.values().filter(is_reset).collect();
        runs.iter()
            .map(|((actor, run), totals)| {
                let first = Dot { actor: *actor, counter: *run };
                let seen = |counter: &u64| {
                    let dot = Dot { actor: *actor, counter: *counter };
                    resets.iter().any(|reset| reset.seen.contains(&dot) || marks(reset, &first) >= Some(*counter))
                };
                let undone = totals.iter().filter(|(counter, _)| seen(counter)).map(|(_, total)| *total).next_back();
                totals.last().map_or(0, |(_, total)| *total) - undone.unwrap_or(0)
            })
            .sum()
    }
}

/// How far the event says to have seen this run of increments: what had removed them before it may be lost.
fn marks(event: &Change, run: &Dot) -> Option<u64> {
    let seen = match &event.entry.as_ref()?.content {
        Content::Value { seen, .. } | Content::Reset { seen } => seen,
        _ => return None,
    };
    seen.iter().filter(|seen| seen.run == *run).map(|seen| seen.mark.upto).max()
}

fn is_reset(entry: &Entry) -> bool {
    matches!(entry.content, Content::Reset { .. })
}

trait Reach {
    fn is_at(&self, place: &(Vec<u8>, CellId)) -> bool;
    fn reaches(&self, place: &(Vec<u8>, CellId)) -> bool;
}

impl Reach for Change {
    fn is_at(&self, place: &(Vec<u8>, CellId)) -> bool {
        matches!(&self.place, Place::Cell(key, id) if *key == place.0 && *id == place.1)
    }

    fn reaches(&self, place: &(Vec<u8>, CellId)) -> bool {
        match &self.place {
            Place::Partition => true,
            Place::Key(key) => *key == place.0,
            Place::Cell(..) => self.is_at(place),
        }
    }
}
