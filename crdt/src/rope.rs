//! Items in an order, each with a weight: a B+ tree that finds the item at a weight, the weight before an item, and which
//! of two items comes first, all in O(log n).
//!
//! Sequences keep their runs in one (weight: how many elements show), sorted sets their members (weight 1). Items do not
//! know where they stand: whoever wants to find one again by name is told when it moves to another leaf.
//!
//! ```text
//! branches:   [ (child, weight, first) (child, weight, first) .. ]        all leaves have the same depth
//! leaves:     [ item item .. ] <-> [ item item .. ] <-> ..
//! ```
//!
//! A rope that is kept in records has only those nodes here that were looked for. What comes of looking for one that is not
//! here counts for nothing ([`Rope::is_short`]), and has to be done again when it has been loaded; nothing is changed any
//! more then.

mod pages;
mod records;

use std::cmp::Ordering;

use pages::{NONE, Pages};
pub(crate) use records::{HEAD, PageItem, check, checked};

/// What can stand in a rope.
pub(crate) trait Item {
    /// What branches keep of the first item below each child: itself, of items that are searched for; otherwise nothing.
    type Key: Clone;

    /// How much it counts. O(1).
    fn weight(&self) -> usize;

    fn key(&self) -> Self::Key;
}

/// The most children of a branch.
const MAX_FANOUT: usize = 32;

/// Where an item stands. Good until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) leaf: u32,
    at: u32,
}

impl Place {
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.leaf) << 32 | u64::from(self.at)
    }

    pub(crate) fn unpack(packed: u64) -> Self {
        Self { leaf: (packed >> 32) as u32, at: packed as u32 }
    }
}

#[derive(Clone, Debug)]
struct Leaf<T> {
    items: Vec<T>,
    parent: u32,
    before: u32,
    after: u32,
}

impl<T> Default for Leaf<T> {
    fn default() -> Self {
        Self { items: Vec::new(), parent: NONE, before: NONE, after: NONE }
    }
}

#[derive(Clone, Copy, Debug)]
struct Child<K> {
    node: u32,
    weight: usize,
    /// Not after its first item, and after all items of the child before it. Of the first child: anything.
    first: K,
}

#[derive(Clone, Debug)]
struct Branch<K> {
    children: Vec<Child<K>>,
    parent: u32,
}

impl<K> Default for Branch<K> {
    fn default() -> Self {
        Self { children: Vec::new(), parent: NONE }
    }
}

#[derive(Debug)]
pub(crate) struct Rope<T: Item> {
    leaves: Pages<Leaf<T>>,
    branches: Pages<Branch<T::Key>>,
    /// A leaf if `height` is 0, otherwise a branch; `NONE` in a rope that holds nothing.
    root: u32,
    height: u32,
    first: u32,
    weight: usize,
    /// The most items in a leaf.
    max_items: usize,
}

impl<T: Item + Clone> Clone for Rope<T> {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone(), branches: self.branches.clone(), ..*self }
    }
}

impl<T: Item> Default for Rope<T> {
    fn default() -> Self {
        Self {
            leaves: Pages::default(),
            branches: Pages::default(),
            root: NONE,
            height: 0,
            first: NONE,
            weight: 0,
            max_items: MAX_FANOUT,
        }
    }
}

impl<T: Item> Rope<T> {
    /// The weight of all items.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// Has something been looked for that is in records, and not here?
    pub(crate) fn is_short(&self) -> bool {
        self.leaves.is_short() || self.branches.is_short()
    }

    pub(crate) fn first(&self) -> Option<Place> {
        self.start_of(self.first)
    }

    /// The first item of a leaf.
    fn start_of(&self, leaf: u32) -> Option<Place> {
        let items = &self.leaves.get(leaf)?.items;
        (!items.is_empty()).then_some(Place { leaf, at: 0 })
    }

    pub(crate) fn next(&self, place: Place) -> Option<Place> {
        let leaf = self.leaves.at(place.leaf);
        if (place.at as usize) + 1 < leaf.items.len() {
            return Some(Place { at: place.at + 1, ..place });
        }
        if self.leaves.peek(leaf.after).is_none()
            && let Some(branch) = self.branches.get(leaf.parent)
        {
            // Whoever goes there may go on.
            let after = branch.children.iter().skip_while(|child| child.node != leaf.after);
            self.leaves.want(after.map(|child| child.node));
        }
        self.start_of(leaf.after)
    }

    /// The item before a place, or the last one.
    pub(crate) fn before(&self, place: Option<Place>) -> Option<Place> {
        let place = match place {
            Some(place) => place,
            None if self.root == NONE => return None,
            None => self.end(),
        };
        if place.at > 0 {
            return Some(Place { at: place.at - 1, ..place });
        }
        let leaf = self.leaves.at(place.leaf).before;
        let items = &self.leaves.get(leaf)?.items;
        Some(Place { leaf, at: (items.len() as u32).checked_sub(1)? })
    }

    pub(crate) fn get(&self, place: Place) -> &T {
        &self.leaves.at(place.leaf).items[place.at as usize]
    }

    /// What is at a place that may be none any more.
    pub(crate) fn try_get(&self, place: Place) -> Option<&T> {
        self.leaves.peek(place.leaf)?.items.get(place.at as usize)
    }

    pub(crate) fn iter(&self) -> Iter<'_, T> {
        self.iter_from(self.first())
    }

    /// The items from a place on.
    pub(crate) fn iter_from(&self, place: Option<Place>) -> Iter<'_, T> {
        Iter { rope: self, next: place }
    }

    /// The item that covers the `at`-th unit of weight, and how many units of it come before. O(log n).
    pub(crate) fn find(&self, mut at: usize) -> Option<(Place, usize)> {
        if at >= self.weight {
            return None;
        }
        let mut node = self.root;
        for _ in 0..self.height {
            let children = &self.branches.at(node).children;
            let child = children.iter().find(|child| {
                let here = at < child.weight;
                at -= if here { 0 } else { child.weight };
                here
            })?;
            node = child.node;
        }
        for (index, item) in self.leaves.at(node).items.iter().enumerate() {
            if at < item.weight() {
                return Some((Place { leaf: node, at: index as u32 }, at));
            }
            at -= item.weight();
        }
        None
    }

    /// Looks for all that stands between two weights, so that what is missing of it is missed at once.
    pub(crate) fn foresee(&self, range: std::ops::Range<usize>) {
        if !self.is_in_records() || self.root == NONE || range.is_empty() {
            return;
        }
        let mut level = vec![(self.root, 0)];
        for _ in 0..self.height {
            let mut below = Vec::new();
            for (node, mut at) in level {
                for child in self.branches.get(node).iter().flat_map(|branch| &branch.children) {
                    if at <= range.end && at + child.weight >= range.start {
                        below.push((child.node, at));
                    }
                    at += child.weight;
                }
            }
            level = below;
        }
        self.leaves.foresee(level.into_iter().map(|(leaf, _)| leaf));
    }

    /// Looks for what a change in a leaf may need: the leaves beside it, and all that is above. Gives the next leaf.
    pub(crate) fn foresee_change(&self, leaf: u32) -> Option<u32> {
        let Leaf { parent, before, after, .. } = self.leaves.get(leaf)?;
        self.leaves.foresee([*before, *after].into_iter());
        let (mut parent, mut is_above_leaves) = (*parent, true);
        while let Some(branch) = self.branches.get(parent) {
            // One that may be cut in two gives children away, who are told.
            let moved = branch.children.iter().filter(|_| branch.children.len() > MAX_FANOUT * 3 / 4);
            let moved = moved.map(|child| child.node);
            if is_above_leaves {
                self.leaves.foresee(moved)
            } else {
                self.branches.foresee(moved)
            }
            (parent, is_above_leaves) = (branch.parent, false);
        }
        Some(*after)
    }

    /// The items of a leaf that is here.
    pub(crate) fn items(&self, leaf: u32) -> &[T] {
        self.leaves.peek(leaf).map(|leaf| leaf.items.as_slice()).unwrap_or_default()
    }

    /// The item of a leaf that `wanted` wants.
    pub(crate) fn find_in(&self, leaf: u32, wanted: impl FnMut(&T) -> bool) -> Option<Place> {
        let at = self.leaves.get(leaf)?.items.iter().position(wanted)?;
        Some(Place { leaf, at: at as u32 })
    }

    /// The weight of all items before a place. O(log n).
    pub(crate) fn rank(&self, place: Place) -> usize {
        let leaf = self.leaves.at(place.leaf);
        let mut rank: usize = leaf.items.iter().take(place.at as usize).map(Item::weight).sum();
        let (mut node, mut parent) = (place.leaf, leaf.parent);
        while parent != NONE {
            let branch = self.branches.at(parent);
            rank +=
                branch.children.iter().take_while(|child| child.node != node).map(|child| child.weight).sum::<usize>();
            (node, parent) = (parent, branch.parent);
        }
        rank
    }

    /// Which of two places comes first. O(log n).
    pub(crate) fn order(&self, x: Place, y: Place) -> Ordering {
        if x.leaf == y.leaf {
            return x.at.cmp(&y.at);
        }
        let (mut left, mut right) = (x.leaf, y.leaf);
        let (mut above_left, mut above_right) = (self.leaves.at(left).parent, self.leaves.at(right).parent);
        while above_left != above_right && above_left != NONE && above_right != NONE {
            (left, right) = (above_left, above_right);
            (above_left, above_right) = (self.branches.at(left).parent, self.branches.at(right).parent);
        }
        let children = self.branches.get(above_left).map(|branch| branch.children.as_slice()).unwrap_or_default();
        let first = children.iter().find(|child| child.node == left || child.node == right);
        if first.is_some_and(|child| child.node == left) { Ordering::Less } else { Ordering::Greater }
    }
}

impl<T: Item<Key = T>> Rope<T> {
    /// Looks for all leaves that may have items that do not come before a range and are not behind it.
    pub(crate) fn foresee_between(&self, is_before: impl Fn(&T) -> bool, is_behind: impl Fn(&T) -> bool) {
        if !self.is_in_records() || self.root == NONE {
            return;
        }
        let mut level = vec![self.root];
        for _ in 0..self.height {
            let mut below = Vec::new();
            for branch in level.into_iter().filter_map(|node| self.branches.get(node)) {
                for (at, child) in branch.children.iter().enumerate() {
                    let ends_before = branch.children.get(at + 1).is_some_and(|next| is_before(&next.first));
                    if !ends_before && (at == 0 || !is_behind(&child.first)) {
                        below.push(child.node);
                    }
                }
            }
            level = below;
        }
        self.leaves.foresee(level.into_iter());
    }

    /// The first item that does not come before what is searched, `before` being true of a first part of the items and
    /// of no others. O(log n) comparisons.
    pub(crate) fn search(&self, before: impl Fn(&T) -> bool) -> Option<Place> {
        let mut node = (self.root != NONE).then_some(self.root)?;
        for _ in 0..self.height {
            let children = &self.branches.at(node).children;
            let right = children.get(1..)?.partition_point(|child| before(&child.first));
            node = children.get(right)?.node;
        }
        // The last leaf that begins before what is searched: it is in there, or comes next.
        let leaf = self.leaves.at(node);
        let at = leaf.items.partition_point(before);
        if at < leaf.items.len() { Some(Place { leaf: node, at: at as u32 }) } else { self.start_of(leaf.after) }
    }
}

impl<T: Item> Rope<T> {
    /// Puts an item before the one at `place`, or at the end; says where it stands. `moved` is told of each item that has
    /// come to another leaf. O(log n) amortised. (Nothing, as of all changes, in a rope that [is short](Self::is_short).)
    pub(crate) fn insert(&mut self, place: Option<Place>, item: T, moved: impl FnMut(&T, u32)) -> Option<Place> {
        if self.root == NONE {
            let leaf = self.leaves.allot(Leaf::default());
            (self.root, self.first, self.height) = (leaf, leaf, 0);
        }
        let place = place.unwrap_or_else(|| self.end());
        self.holds(place.leaf)?;
        let (key, weight) = (item.key(), item.weight());
        let place = self.make_room(place, &key, moved);
        self.leaves.at_mut(place.leaf).items.insert(place.at as usize, item);
        if place.at == 0 && size_of::<T::Key>() > 0 {
            self.begin_with(place.leaf, &key);
        }
        self.reweigh(place.leaf, weight, 0);
        Some(place)
    }

    /// Changes an item where it stands.
    pub(crate) fn update<R>(&mut self, place: Place, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.holds(place.leaf)?;
        let item = &mut self.leaves.at_mut(place.leaf).items[place.at as usize];
        let before = item.weight();
        let outcome = change(item);
        let after = item.weight();
        if after != before {
            self.reweigh(place.leaf, after, before);
        }
        Some(outcome)
    }

    /// Takes an item out. O(log n).
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        self.holds(place.leaf)?;
        let leaf = self.leaves.at_mut(place.leaf);
        let item = leaf.items.remove(place.at as usize);
        let (is_empty, weight) = (leaf.items.is_empty(), item.weight());
        self.reweigh(place.leaf, 0, weight);
        if is_empty {
            self.drop_leaf(place.leaf);
        }
        Some(item)
    }

    /// Is this leaf here, and whatever else was looked for?
    fn holds(&self, leaf: u32) -> Option<()> {
        self.leaves.get(leaf)?;
        (!self.is_short()).then_some(())
    }

    /// Behind the last item.
    fn end(&self) -> Place {
        let mut node = self.root;
        for _ in 0..self.height {
            node = self.branches.at(node).children.last().map_or(NONE, |child| child.node);
        }
        Place { leaf: node, at: self.leaves.get(node).map_or(0, |leaf| leaf.items.len() as u32) }
    }

    fn reweigh(&mut self, leaf: u32, more: usize, less: usize) {
        if more == less {
            return;
        }
        self.weight = self.weight + more - less;
        let (mut node, mut parent) = (leaf, self.leaves.at(leaf).parent);
        while parent != NONE {
            let branch = self.branches.at_mut(parent);
            if let Some(child) = branch.children.iter_mut().find(|child| child.node == node) {
                child.weight = child.weight + more - less;
            }
            (node, parent) = (parent, branch.parent);
        }
    }

    /// Notes that this comes first in a leaf now.
    fn begin_with(&mut self, leaf: u32, key: &T::Key) {
        let (mut node, mut parent) = (leaf, self.leaves.at(leaf).parent);
        while parent != NONE {
            let branch = self.branches.at_mut(parent);
            let at = branch.children.iter().position(|child| child.node == node);
            if let Some(at) = at {
                branch.children[at].first = key.clone();
            }
            if at != Some(0) {
                return;
            }
            (node, parent) = (parent, branch.parent);
        }
    }

    /// The same place, in a leaf that can take one more, whose key is `key`.
    fn make_room(&mut self, place: Place, key: &T::Key, mut moved: impl FnMut(&T, u32)) -> Place {
        let max_items = self.max_items;
        let leaf = self.leaves.at_mut(place.leaf);
        let at = place.at as usize;
        if leaf.items.len() < max_items {
            return place;
        }
        // Whoever appends fills leaf after leaf; everybody else finds them half full.
        let keep = if at == leaf.items.len() { at } else { max_items / 2 };
        let upper = leaf.items.split_off(keep);
        let first = upper.first().map_or_else(|| key.clone(), Item::key);
        let (weight, parent, after) = (upper.iter().map(Item::weight).sum(), leaf.parent, leaf.after);
        let new = self.leaves.allot(Leaf { items: upper, parent, before: place.leaf, after });
        self.leaves.at(new).items.iter().for_each(|item| moved(item, new));
        self.leaves.at_mut(place.leaf).after = new;
        if let Some(next) = self.leaves.get_mut(after) {
            next.before = new;
        }
        self.adopt(parent, place.leaf, Child { node: new, weight, first }, 0);
        if at <= keep && at < max_items { place } else { Place { leaf: new, at: (at - keep) as u32 } }
    }

    /// Gives a branch a child that was split off the one before it. `below`: how many levels are below that child.
    fn adopt(&mut self, parent: u32, sibling: u32, child: Child<T::Key>, below: u32) {
        if parent == NONE {
            let older = Child { node: sibling, weight: self.weight - child.weight, first: child.first.clone() };
            let new = child.node;
            let root = self.branches.allot(Branch { children: vec![older, child], parent: NONE });
            self.set_parent(sibling, root, below);
            self.set_parent(new, root, below);
            (self.root, self.height) = (root, below + 1);
            return;
        }
        let branch = self.branches.at_mut(parent);
        let children = &mut branch.children;
        let Some(at) = children.iter().position(|known| known.node == sibling) else { return };
        children[at].weight -= child.weight;
        children.insert(at + 1, child);
        if children.len() <= MAX_FANOUT {
            return;
        }
        let keep = if at + 2 == children.len() { at + 1 } else { MAX_FANOUT / 2 };
        let upper = children.split_off(keep);
        let (weight, first) = (upper.iter().map(|child| child.weight).sum(), upper[0].first.clone());
        let (above, moved): (_, Vec<u32>) = (branch.parent, upper.iter().map(|child| child.node).collect());
        let new = self.branches.allot(Branch { children: upper, parent: above });
        moved.into_iter().for_each(|node| self.set_parent(node, new, below));
        self.adopt(above, parent, Child { node: new, weight, first }, below + 1);
    }

    fn set_parent(&mut self, node: u32, parent: u32, below: u32) {
        match below {
            0 => self.leaves.at_mut(node).parent = parent,
            _ => self.branches.at_mut(node).parent = parent,
        }
    }

    fn drop_leaf(&mut self, leaf: u32) {
        let Leaf { parent, before, after, .. } = *self.leaves.at(leaf);
        match self.leaves.get_mut(before) {
            Some(neighbour) => neighbour.after = after,
            None => self.first = after,
        }
        if let Some(neighbour) = self.leaves.get_mut(after) {
            neighbour.before = before;
        }
        self.leaves.free(leaf);
        let (mut node, mut parent) = (leaf, parent);
        while parent != NONE {
            let branch = self.branches.at_mut(parent);
            branch.children.retain(|child| child.node != node);
            if !branch.children.is_empty() {
                return self.lower();
            }
            let above = branch.parent;
            self.branches.free(parent);
            (node, parent) = (parent, above);
        }
        (self.root, self.height, self.first) = (NONE, 0, NONE);
    }

    /// A root with one child is one level too many.
    fn lower(&mut self) {
        while self.height > 0 {
            let [only] = self.branches.at(self.root).children.as_slice() else { return };
            let only = only.node;
            self.branches.free(self.root);
            (self.root, self.height) = (only, self.height - 1);
            self.set_parent(only, NONE, self.height);
        }
    }
}

/// The items from a place on, in order.
#[derive(Clone)]
pub(crate) struct Iter<'a, T: Item> {
    rope: &'a Rope<T>,
    next: Option<Place>,
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let place = self.next?;
        self.next = self.rope.next(place);
        Some(self.rope.get(place))
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Rope};
    use quickcheck::quickcheck;
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    /// A name and a weight.
    #[derive(Clone, Debug, PartialEq)]
    struct Named(u32, usize);

    impl super::Item for Named {
        type Key = Self;

        fn weight(&self) -> usize {
            self.1
        }

        fn key(&self) -> Self {
            self.clone()
        }
    }

    fn place_of(rope: &Rope<Named>, at: usize) -> Option<Place> {
        let mut place = rope.first();
        for _ in 0..at {
            place = place.and_then(|place| rope.next(place));
        }
        place
    }

    quickcheck! {
        /// Against a plain vector, step by step; small fan-outs are reached by many items.
        fn it_is_a_vector_that_counts(steps: Vec<(u8, u16, u8)>, filled: u16) -> bool {
            let (mut rope, mut model, mut leaf_of) = (Rope::default(), Vec::new(), BTreeMap::new());
            let fill = (0..filled % 3_000).map(|at| (0, if at % 2 == 0 { u16::MAX } else { at * 7 }, 1));
            for (name, (kind, at, weight)) in fill.chain(steps).enumerate() {
                let item = Named(name as u32, usize::from(weight % 4));
                let at = usize::from(at) % (model.len() + 1);
                let place = place_of(&rope, at);
                match (kind % 4, place) {
                    (2, Some(place)) => {
                        let removed: Named = rope.remove(place).unwrap();
                        leaf_of.remove(&removed.0);
                        assert_eq!(removed, model.remove(at));
                    }
                    (3, Some(place)) => {
                        rope.update(place, |kept: &mut Named| kept.1 = item.1);
                        model[at].1 = item.1;
                    }
                    _ => {
                        let landed = rope.insert(place, item.clone(), |item, leaf| {
                            leaf_of.insert(item.0, leaf);
                        }).unwrap();
                        leaf_of.insert(item.0, landed.leaf);
                        assert_eq!(rope.get(landed), &item);
                        model.insert(at, item);
                    }
                }
            }
            assert!(rope.iter().eq(&model));
            assert_eq!(rope.weight(), model.iter().map(super::Item::weight).sum());
            let mut rank = 0;
            let mut last = None;
            for item in &model {
                let place = rope.find_in(leaf_of[&item.0], |kept| kept.0 == item.0).unwrap();
                assert_eq!(rope.rank(place), rank);
                for offset in 0..item.1 {
                    assert_eq!(rope.find(rank + offset), Some((place, offset)));
                }
                if let Some(last) = last {
                    assert_eq!((rope.order(last, place), rope.order(place, last)), (Ordering::Less, Ordering::Greater));
                    assert_eq!(rope.before(Some(place)), Some(last));
                }
                (rank, last) = (rank + item.1, Some(place));
            }
            assert_eq!(rope.before(None), last);
            rope.find(rank).is_none()
        }

        /// Names come and go, and are found among thousands.
        fn what_is_sorted_is_found(steps: Vec<(u16, bool)>, seed: u32) -> bool {
            let (mut rope, mut model) = (Rope::default(), std::collections::BTreeSet::new());
            let drawn = (0..4_000u32).map(|n| {
                let n = (n ^ seed).wrapping_mul(0x9e37_79b9);
                ((n >> 16) as u16, n & 3 > 0)
            });
            for (name, comes) in drawn.chain(steps).map(|(name, comes)| (u32::from(name), comes)) {
                let place = rope.search(|item: &Named| item.0 < name);
                let is_there = place.is_some_and(|place| rope.get(place).0 == name);
                assert_eq!(is_there, model.contains(&name));
                match place {
                    Some(place) if !comes && is_there => {
                        rope.remove(place);
                    }
                    // Whatever comes next goes as well, so that leaves lose their first items.
                    Some(place) if !comes => {
                        model.remove(&rope.remove(place).unwrap().0);
                    }
                    _ if comes && !is_there => {
                        rope.insert(place, Named(name, 1), |_, _| {});
                    }
                    _ => {}
                }
                if comes { model.insert(name) } else { model.remove(&name) };
            }
            rope.iter().map(|item| item.0).eq(model)
        }
    }
}
