//! The order of a key's cells, with places: who stands where, and who stands at a place.
//!
//! Cells stand on disk by their names. That is no order of scores, and to count one's way to a place costs as many steps as it is far.
//! So the order of a large key is made when it is first asked for, and kept in memory and in step with the cells for as long as it is
//! asked for. It is a copy: what becomes doubtful is forgotten, and made anew from the cells.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crdt::reading;

use crate::id::Cell;
use crate::place::CellKind;

/// Orders of fewer cells are made when they are asked for, and not kept.
const KEPT_FROM_CELLS: usize = 256;
/// How much all orders that one core keeps may take.
const KEPT_BYTES: usize = 256 * 1024 * 1024;
/// An order that nobody asks for is forgotten after so many rounds (of a second).
const KEPT_ROUNDS: u32 = 60;
/// A block of more cells is cut in two.
const BLOCK_CELLS: usize = 256;
/// What a cell takes beside its name.
const PLACED_BYTES: usize = 48;

/// A score as bits that compare as the scores do; cells of other kinds have all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight(u64);

impl Weight {
    const SIGN: u64 = 1 << 63;

    fn of(score: f64) -> Self {
        // Both zeros are one.
        let bits = (score + 0.0).to_bits();
        Self(if bits & Self::SIGN == 0 { bits | Self::SIGN } else { !bits })
    }

    fn score(self) -> f64 {
        f64::from_bits(if self.0 & Self::SIGN == 0 { !self.0 } else { self.0 ^ Self::SIGN })
    }
}

/// Where a cell stands in the order of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// Nowhere: it is not present, or its score is no number.
    Nowhere,
    At(Score),
}

/// What the cells of a kind are ordered by before their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Score(Weight);

impl Stand {
    pub(super) fn of(kind: CellKind, live: &Cell) -> Self {
        if !reading::is_present(live) {
            return Self::Nowhere;
        }
        if kind != CellKind::Score {
            return Self::At(Score(Weight::default()));
        }
        let number = reading::number(live).filter(|number| !number.is_nan());
        number.map_or(Self::Nowhere, |number| Self::At(Score(Weight::of(number))))
    }
}

/// A cell in its order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    weight: Weight,
    name: Box<[u8]>,
}

impl Placed {
    fn key(&self) -> (Weight, &[u8]) {
        (self.weight, &self.name)
    }

    fn bytes(&self) -> usize {
        PLACED_BYTES + self.name.len()
    }

    fn shown(&self) -> (&[u8], f64) {
        let score = if self.weight == Weight::default() { 0.0 } else { self.weight.score() };
        (&self.name, score)
    }
}

/// The cells of one kind of a key, in order: by score, and then by name. A place is found in O(log cells + cells / 256), by counting
/// blocks.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// None is empty.
    blocks: Vec<Vec<Placed>>,
    bytes: usize,
}

impl Order {
    fn of(mut cells: Vec<Placed>) -> Self {
        cells.sort_unstable();
        let bytes = cells.iter().map(Placed::bytes).sum();
        let (mut blocks, mut cells) = (Vec::with_capacity(2 * cells.len() / BLOCK_CELLS + 1), cells.into_iter());
        loop {
            // Half full, so that what comes has room.
            let block: Vec<Placed> = cells.by_ref().take(BLOCK_CELLS / 2).collect();
            if block.is_empty() {
                return Self { blocks, bytes };
            }
            blocks.push(block);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.blocks.iter().map(|block| block.len() as u64).sum()
    }

    /// The block in which a cell stands, or would, and its place there.
    fn find(&self, key: (Weight, &[u8])) -> (usize, Result<usize, usize>) {
        let at = self.blocks.partition_point(|block| block.last().is_some_and(|last| last.key() < key));
        match self.blocks.get(at) {
            Some(block) => (at, block.binary_search_by(|placed| placed.key().cmp(&key))),
            None => (at, Err(0)),
        }
    }

    fn before_block(&self, at: usize) -> u64 {
        self.blocks[..at].iter().map(|block| block.len() as u64).sum()
    }

    fn insert(&mut self, weight: Weight, name: &[u8]) {
        let (at, place) = self.find((weight, name));
        let Err(place) = place else { return };
        let placed = Placed { weight, name: name.into() };
        self.bytes += placed.bytes();
        // Behind the last of all is at the end of the last block.
        let (at, place) = match self.blocks.len() {
            0 => {
                self.blocks.push(Vec::with_capacity(BLOCK_CELLS));
                (0, 0)
            }
            blocks if at == blocks => (at - 1, self.blocks[at - 1].len()),
            _ => (at, place),
        };
        let block = &mut self.blocks[at];
        block.insert(place, placed);
        if block.len() > BLOCK_CELLS {
            let behind = block.split_off(BLOCK_CELLS / 2);
            self.blocks.insert(at + 1, behind);
        }
    }

    fn remove(&mut self, weight: Weight, name: &[u8]) {
        let (at, Ok(place)) = self.find((weight, name)) else { return };
        self.bytes -= self.blocks[at].remove(place).bytes();
        if self.blocks[at].is_empty() {
            self.blocks.remove(at);
        }
    }

    /// The place of a cell, if it stands here.
    pub(super) fn place(&self, score: Score, name: &[u8]) -> Option<u64> {
        let (at, place) = self.find((score.0, name));
        Some(self.before_block(at) + place.ok()? as u64)
    }

    /// The places of those with a name in this range, if all have one score.
    pub(super) fn named(&self, least: Bound<&[u8]>, greatest: Bound<&[u8]>) -> Option<Range<u64>> {
        let last = self.blocks.last().and_then(|block| block.last());
        let (Some(first), Some(last)) = (self.blocks.first().and_then(|block| block.first()), last) else {
            return Some(0..0);
        };
        if first.weight != last.weight {
            return None;
        }
        Some(self.range((least, greatest), |placed, name| (*placed.name).cmp(name)))
    }

    /// The place of the first that is not like this, where none behind one that is not is like it.
    fn first_not(&self, is_like: impl Fn(&Placed) -> bool) -> u64 {
        let at = self.blocks.partition_point(|block| block.last().is_some_and(&is_like));
        let within = self.blocks.get(at).map_or(0, |block| block.partition_point(&is_like));
        self.before_block(at) + within as u64
    }

    /// The places of those with a score in this range.
    pub(super) fn between(&self, least: Bound<f64>, greatest: Bound<f64>) -> Range<u64> {
        self.range((least.map(Weight::of), greatest.map(Weight::of)), |placed, weight| placed.weight.cmp(weight))
    }

    /// The places from one bound to another, by what they stand in order of.
    fn range<T>(
        &self,
        (least, greatest): (Bound<T>, Bound<T>),
        compare: impl Fn(&Placed, &T) -> std::cmp::Ordering,
    ) -> Range<u64> {
        let from = match &least {
            Bound::Unbounded => 0,
            Bound::Included(least) => self.first_not(|placed| compare(placed, least).is_lt()),
            Bound::Excluded(least) => self.first_not(|placed| compare(placed, least).is_le()),
        };
        let to = match &greatest {
            Bound::Unbounded => self.len(),
            Bound::Included(greatest) => self.first_not(|placed| compare(placed, greatest).is_le()),
            Bound::Excluded(greatest) => self.first_not(|placed| compare(placed, greatest).is_lt()),
        };
        from..to.max(from)
    }

    /// Those at each of these places, with their scores, as far as there are any. O(cells / 256 + places log cells).
    pub(super) fn at_each(&self, places: &[u64]) -> impl Iterator<Item = (&[u8], f64)> {
        let mut begins = Vec::with_capacity(self.blocks.len());
        let mut count = 0;
        for block in &self.blocks {
            begins.push(count);
            count += block.len() as u64;
        }
        places.iter().filter_map(move |place| {
            let at = begins.partition_point(|begin| begin <= place).checked_sub(1)?;
            Some(self.blocks[at].get(usize::try_from(place - begins[at]).ok()?)?.shown())
        })
    }

    /// Those at these places, with their scores (0 where there are none). O(log cells + cells / 256 + those).
    pub(super) fn at(&self, places: Range<u64>) -> impl Iterator<Item = (&[u8], f64)> {
        let (mut skip, mut first) = (places.start, self.blocks.len());
        for (at, block) in self.blocks.iter().enumerate() {
            if skip < block.len() as u64 {
                first = at;
                break;
            }
            skip -= block.len() as u64;
        }
        let from = self.blocks[first..].iter().flatten().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        let wanted = usize::try_from(places.end.saturating_sub(places.start)).unwrap_or(usize::MAX);
        from.take(wanted).map(Placed::shown)
    }
}

/// An order in the making.
#[derive(Debug)]
pub(super) struct Draft {
    kind: CellKind,
    cells: Vec<Placed>,
}

impl Draft {
    pub(super) fn new(kind: CellKind) -> Self {
        Self { kind, cells: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &[u8], live: &Cell) {
        if let Stand::At(Score(weight)) = Stand::of(self.kind, live) {
            self.cells.push(Placed { weight, name: name.into() });
        }
    }
}

/// What the orders of one core take together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

#[derive(Debug)]
struct Kept {
    order: Order,
    /// For how many rounds nobody has asked for it.
    idle_rounds: u32,
}

/// The orders that a partition keeps.
#[derive(Debug, Default)]
pub(super) struct Orders {
    budget: Budget,
    kept: BTreeMap<Vec<u8>, BTreeMap<CellKind, Kept>>,
    /// The last that was made and is not kept: one command may look at it several times.
    passing: Option<(Vec<u8>, CellKind, Order)>,
    /// What all of them take.
    bytes: usize,
    /// Of which keys they have changed with the event that is being handled.
    touched: BTreeSet<Vec<u8>>,
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Orders {
    pub(super) fn within(&mut self, budget: Budget) {
        self.clear();
        self.budget = budget;
    }

    /// Could an order of a key's cells be here?
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        self.passing.is_some() || !self.kept.is_empty() && self.kept.contains_key(key)
    }

    /// Is the order of these cells kept?
    pub(super) fn has(&self, key: &[u8], kind: CellKind) -> bool {
        !self.kept.is_empty() && self.kept.get(key).is_some_and(|kinds| kinds.contains_key(&kind))
    }

    /// The order of these cells, if it is kept.
    pub(super) fn get(&mut self, key: &[u8], kind: CellKind) -> Option<&Order> {
        if let Some((_, _, order)) = self.passing.as_ref().filter(|(of, its, _)| of == key && *its == kind) {
            return Some(order);
        }
        let kept = self.kept.get_mut(key)?.get_mut(&kind)?;
        kept.idle_rounds = 0;
        Some(&kept.order)
    }

    /// Takes a draft, and hands it out as an order; keeps it if it is large, and there is room.
    pub(super) fn make<R>(&mut self, key: &[u8], draft: Draft, then: impl FnOnce(&Order) -> R) -> R {
        let order = Order::of(draft.cells);
        let result = then(&order);
        let taken = self.budget.0.load(Ordering::Relaxed);
        if order.len() >= KEPT_FROM_CELLS as u64 && taken + order.bytes <= KEPT_BYTES {
            self.count(order.bytes as isize);
            self.kept.entry(key.to_vec()).or_default().insert(draft.kind, Kept { order, idle_rounds: 0 });
            // Perhaps of what the event has changed so far.
            self.touched.insert(key.to_vec());
        } else {
            self.passing = Some((key.to_vec(), draft.kind, order));
        }
        result
    }

    /// A cell that stood in one place stands in another.
    pub(super) fn moved(&mut self, key: &[u8], kind: CellKind, name: &[u8], from: Stand, to: Stand) {
        self.passing = None;
        if from == to && from != Stand::Unknown || self.kept.is_empty() {
            return;
        }
        let Some(kept) = self.kept.get_mut(key).and_then(|kinds| kinds.get_mut(&kind)) else { return };
        let before = kept.order.bytes as isize;
        match from {
            Stand::Unknown => return self.forget(key),
            Stand::Nowhere => {}
            Stand::At(Score(weight)) => kept.order.remove(weight, name),
        }
        if let Stand::At(Score(weight)) = to {
            kept.order.insert(weight, name);
        }
        let grown = kept.order.bytes as isize - before;
        self.count(grown);
        if !self.touched.contains(key) {
            self.touched.insert(key.to_vec());
        }
    }

    fn count(&mut self, more: isize) {
        self.bytes = self.bytes.wrapping_add_signed(more);
        self.budget.0.fetch_add(more as usize, Ordering::Relaxed);
    }

    /// What is known of a key may be wrong.
    pub(super) fn forget(&mut self, key: &[u8]) {
        self.passing = None;
        let bytes: usize = self.kept.remove(key).iter().flatten().map(|(_, kept)| kept.order.bytes).sum();
        self.count(-(bytes as isize));
    }

    /// The event that is being handled has changed nothing after all.
    pub(super) fn forget_touched(&mut self) {
        self.passing = None;
        std::mem::take(&mut self.touched).iter().for_each(|key| self.forget(key));
    }

    /// The event that is being handled stands.
    pub(super) fn settle(&mut self) {
        self.passing = None;
        if !self.touched.is_empty() {
            self.touched.clear();
        }
    }

    /// A round has passed: what nobody asks for goes, and so does some of what is asked for while all together are too large.
    pub(super) fn age(&mut self) {
        self.passing = None;
        if self.kept.is_empty() {
            return;
        }
        let is_too_much = self.budget.0.load(Ordering::Relaxed) > KEPT_BYTES;
        let mut idle = Vec::new();
        for (key, kinds) in &mut self.kept {
            kinds.values_mut().for_each(|kept| kept.idle_rounds += 1);
            if is_too_much || kinds.values().all(|kept| kept.idle_rounds > KEPT_ROUNDS) {
                idle.push(key.clone());
            }
        }
        idle.iter().for_each(|key| self.forget(key));
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.passing = None;
        self.touched.clear();
        self.kept.clear();
        let bytes = self.bytes as isize;
        self.count(-bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use quickcheck::quickcheck;

    use super::{Order, Placed, Score, Weight};

    #[test]
    fn weights_compare_as_scores_do() {
        let scores = [f64::NEG_INFINITY, -1e300, -2.5, -1.0, 0.0, 1e-300, 1.0, 2.5, 9e15, f64::INFINITY];
        for pair in scores.windows(2) {
            assert!(Weight::of(pair[0]) < Weight::of(pair[1]), "{pair:?}");
        }
        assert_eq!(Weight::of(-0.0), Weight::of(0.0));
        assert_eq!(scores.map(|score| Weight::of(score).score()), scores);
    }

    quickcheck! {
        /// Against a set in order, from which places are counted.
        fn an_order_has_its_cells_at_the_places_they_are_at(begin: Vec<(i8, u8)>, changes: Vec<(bool, i8, u8)>) -> bool {
            let cell = |score: i8, name: u8| (Weight::of(f64::from(score)), vec![name]);
            let mut model: BTreeSet<_> = begin.iter().map(|(score, name)| cell(*score, *name)).collect();
            let begin = model.iter().map(|(weight, name)| Placed { weight: *weight, name: name.clone().into() });
            let mut order = Order::of(begin.collect());
            for (is_insert, score, name) in changes {
                let (weight, name) = cell(score, name);
                if is_insert {
                    order.insert(weight, &name);
                    model.insert((weight, name));
                } else {
                    order.remove(weight, &name);
                    model.remove(&(weight, name));
                }
            }
            let all: Vec<(Vec<u8>, f64)> = order.at(0..order.len()).map(|(name, score)| (name.to_vec(), score)).collect();
            let expected: Vec<_> = model.iter().map(|(weight, name)| (name.clone(), weight.score())).collect();
            let bytes: usize = model.iter().map(|(_, name)| super::PLACED_BYTES + name.len()).sum();
            let places = model.iter().enumerate().all(|(at, (weight, name))| {
                order.place(Score(*weight), name) == Some(at as u64)
                    && order.at_each(&[at as u64, u64::MAX]).map(|(found, _)| found).eq([name.as_slice()])
                    && order.at(at as u64..at as u64 + 1).next().is_some_and(|(found, _)| found == name.as_slice())
            });
            let ranges = [(-5.0, 7.0), (0.0, 0.0), (9.0, -9.0)].into_iter().all(|(least, greatest)| {
                let count = |from: &dyn Fn(f64) -> bool| {
                    expected.iter().filter(|(_, score)| from(*score)).count() as u64
                };
                let closed = order.between(Bound::Included(least), Bound::Included(greatest));
                let open = order.between(Bound::Excluded(least), Bound::Excluded(greatest));
                closed.end - closed.start == count(&|score| score >= least && score <= greatest)
                    && open.end - open.start == count(&|score| score > least && score < greatest)
            });
            all == expected && order.bytes == bytes && places && ranges && order.blocks.iter().all(|block| !block.is_empty())
        }
    }

    #[test]
    fn names_are_ranged_over_where_all_have_one_score() {
        let mut order = Order::default();
        assert_eq!(order.named(Bound::Unbounded, Bound::Unbounded), Some(0..0));
        for name in ["b", "d", "a", "c"] {
            order.insert(Weight::of(1.0), name.as_bytes());
        }
        let named = |least: Bound<&str>, greatest: Bound<&str>| {
            order.named(least.map(str::as_bytes), greatest.map(str::as_bytes))
        };
        assert_eq!(named(Bound::Unbounded, Bound::Unbounded), Some(0..4));
        assert_eq!(named(Bound::Included("b"), Bound::Excluded("d")), Some(1..3));
        assert_eq!(named(Bound::Excluded("b"), Bound::Included("d")), Some(2..4));
        assert_eq!(named(Bound::Included("x"), Bound::Unbounded), Some(4..4));
        assert_eq!(named(Bound::Included("c"), Bound::Included("b")), Some(2..2));
        order.insert(Weight::of(2.0), b"a");
        assert_eq!(order.named(Bound::Unbounded, Bound::Unbounded), None);
    }

    #[test]
    fn many_cells_are_cut_into_blocks_and_found_again() {
        let mut order = Order::default();
        let name = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes();
        for n in 0..10_000 {
            order.insert(Weight::of(f64::from(n % 100)), &name(n));
        }
        assert_eq!(order.len(), 10_000);
        assert!(order.blocks.len() > 40 && order.blocks.iter().all(|block| block.len() <= super::BLOCK_CELLS));
        assert_eq!(order.between(Bound::Included(10.0), Bound::Excluded(12.0)), 1_000..1_200);
        assert!(order.at(1_000..1_100).all(|(_, score)| score == 10.0));
        for n in 0..10_000 {
            order.remove(Weight::of(f64::from(n % 100)), &name(n));
        }
        assert!(order.blocks.is_empty() && order.bytes == 0);
    }
}
