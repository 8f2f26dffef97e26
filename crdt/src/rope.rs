//! Items in an order, each with a weight: a B+ tree that finds the item at a weight, the weight before an item, and which
//! of two items comes first, all in O(log n).
//!
//! Sequences keep their runs in one (weight: how many elements show), sorted sets their members (weight 1). Items do not
//! know where they stand: whoever wants to find one again by name is told when it moves to another leaf.
//!
//! ```text
//! branches:   [ (child, weight) (child, weight) .. ]        all leaves have the same depth
//! leaves:     [ item item .. ] <-> [ item item .. ] <-> ..
//! ```

use std::cmp::Ordering;

/// How much an item counts.
pub(crate) trait Weight {
    /// O(1).
    fn weight(&self) -> usize;
}

/// The most items in a leaf, and children of a branch.
const MAX_FANOUT: usize = 32;

const NONE: u32 = u32::MAX;

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

#[derive(Clone, Copy, Debug)]
struct Child {
    node: u32,
    weight: usize,
}

#[derive(Clone, Debug)]
struct Branch {
    children: Vec<Child>,
    parent: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Rope<T> {
    leaves: Vec<Leaf<T>>,
    branches: Vec<Branch>,
    free_leaves: Vec<u32>,
    free_branches: Vec<u32>,
    /// A leaf if `height` is 0, otherwise a branch; `NONE` in a rope that never held anything.
    root: u32,
    height: u32,
    first: u32,
    weight: usize,
}

impl<T> Default for Rope<T> {
    fn default() -> Self {
        Self {
            leaves: Vec::new(),
            branches: Vec::new(),
            free_leaves: Vec::new(),
            free_branches: Vec::new(),
            root: NONE,
            height: 0,
            first: NONE,
            weight: 0,
        }
    }
}

impl<T: Weight> Rope<T> {
    /// The weight of all items.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    pub(crate) fn first(&self) -> Option<Place> {
        self.start_of(self.first)
    }

    /// The first item from this leaf on.
    fn start_of(&self, leaf: u32) -> Option<Place> {
        let items = &self.leaves.get(leaf as usize)?.items;
        (!items.is_empty()).then_some(Place { leaf, at: 0 })
    }

    pub(crate) fn next(&self, place: Place) -> Option<Place> {
        let leaf = &self.leaves[place.leaf as usize];
        if (place.at as usize) + 1 < leaf.items.len() {
            return Some(Place { at: place.at + 1, ..place });
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
        let leaf = self.leaves[place.leaf as usize].before;
        let items = &self.leaves.get(leaf as usize)?.items;
        Some(Place { leaf, at: items.len() as u32 - 1 })
    }

    pub(crate) fn get(&self, place: Place) -> &T {
        &self.leaves[place.leaf as usize].items[place.at as usize]
    }

    /// What is at a place that may be none any more.
    pub(crate) fn try_get(&self, place: Place) -> Option<&T> {
        self.leaves.get(place.leaf as usize)?.items.get(place.at as usize)
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
            let children = &self.branches[node as usize].children;
            let child = children.iter().find(|child| {
                let here = at < child.weight;
                at -= if here { 0 } else { child.weight };
                here
            })?;
            node = child.node;
        }
        let items = &self.leaves[node as usize].items;
        for (index, item) in items.iter().enumerate() {
            if at < item.weight() {
                return Some((Place { leaf: node, at: index as u32 }, at));
            }
            at -= item.weight();
        }
        None
    }

    /// The item of a leaf that `wanted` wants.
    pub(crate) fn find_in(&self, leaf: u32, wanted: impl FnMut(&T) -> bool) -> Option<Place> {
        let at = self.leaves.get(leaf as usize)?.items.iter().position(wanted)?;
        Some(Place { leaf, at: at as u32 })
    }

    /// The first item that does not come before what is searched, `before` being true of a first part of the items and
    /// of no others. O(log n) comparisons times the fan-out.
    pub(crate) fn search(&self, before: impl Fn(&T) -> bool) -> Option<Place> {
        let mut node = (self.root != NONE).then_some(self.root)?;
        for below in (0..self.height).rev() {
            let children = &self.branches[node as usize].children;
            let starts_before = |child: &Child| self.first_under(child.node, below).is_some_and(&before);
            let right = children.partition_point(starts_before);
            node = children[right.saturating_sub(1)].node;
        }
        // The last leaf that begins before what is searched: it is in there, or comes next.
        let leaf = &self.leaves[node as usize];
        let at = leaf.items.partition_point(before);
        if at < leaf.items.len() { Some(Place { leaf: node, at: at as u32 }) } else { self.start_of(leaf.after) }
    }

    /// The first item of a node that has so many levels below it.
    fn first_under(&self, mut node: u32, below: u32) -> Option<&T> {
        for _ in 0..below {
            node = self.branches[node as usize].children.first()?.node;
        }
        self.leaves[node as usize].items.first()
    }

    /// The weight of all items before a place. O(log n).
    pub(crate) fn rank(&self, place: Place) -> usize {
        let leaf = &self.leaves[place.leaf as usize];
        let mut rank: usize = leaf.items[..place.at as usize].iter().map(Weight::weight).sum();
        let (mut node, mut parent) = (place.leaf, leaf.parent);
        while parent != NONE {
            let branch = &self.branches[parent as usize];
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
        let (mut above_left, mut above_right) = (self.leaves[left as usize].parent, self.leaves[right as usize].parent);
        while above_left != above_right {
            (left, right) = (above_left, above_right);
            (above_left, above_right) = (self.branches[left as usize].parent, self.branches[right as usize].parent);
        }
        let children = &self.branches[above_left as usize].children;
        let first = children.iter().find(|child| child.node == left || child.node == right);
        if first.is_some_and(|child| child.node == left) { Ordering::Less } else { Ordering::Greater }
    }
}

impl<T: Weight> Rope<T> {
    /// Puts an item before the one at `place`, or at the end; says where it stands. `moved` is told of each item that has
    /// come to another leaf. O(log n) amortised.
    pub(crate) fn insert(&mut self, place: Option<Place>, item: T, moved: impl FnMut(&T, u32)) -> Place {
        if self.root == NONE {
            let leaf = self.new_leaf(Leaf { items: Vec::new(), parent: NONE, before: NONE, after: NONE });
            (self.root, self.first, self.height) = (leaf, leaf, 0);
        }
        let place = place.unwrap_or_else(|| self.end());
        let place = self.make_room(place, moved);
        let weight = item.weight();
        self.leaves[place.leaf as usize].items.insert(place.at as usize, item);
        self.reweigh(place.leaf, weight, 0);
        place
    }

    /// Changes an item where it stands.
    pub(crate) fn update<R>(&mut self, place: Place, change: impl FnOnce(&mut T) -> R) -> R {
        let item = &mut self.leaves[place.leaf as usize].items[place.at as usize];
        let before = item.weight();
        let outcome = change(item);
        let after = item.weight();
        if after != before {
            self.reweigh(place.leaf, after, before);
        }
        outcome
    }

    /// Takes an item out. O(log n).
    pub(crate) fn remove(&mut self, place: Place) -> T {
        let leaf = &mut self.leaves[place.leaf as usize];
        let item = leaf.items.remove(place.at as usize);
        let (is_empty, weight) = (leaf.items.is_empty(), item.weight());
        self.reweigh(place.leaf, 0, weight);
        if is_empty {
            self.drop_leaf(place.leaf);
        }
        item
    }

    /// Behind the last item.
    fn end(&self) -> Place {
        let mut node = self.root;
        for _ in 0..self.height {
            node = self.branches[node as usize].children.last().map_or(NONE, |child| child.node);
        }
        Place { leaf: node, at: self.leaves[node as usize].items.len() as u32 }
    }

    fn reweigh(&mut self, leaf: u32, more: usize, less: usize) {
        self.weight = self.weight + more - less;
        let (mut node, mut parent) = (leaf, self.leaves[leaf as usize].parent);
        while parent != NONE {
            let branch = &mut self.branches[parent as usize];
            if let Some(child) = branch.children.iter_mut().find(|child| child.node == node) {
                child.weight = child.weight + more - less;
            }
            (node, parent) = (parent, branch.parent);
        }
    }

    /// The same place, in a leaf that can take one more.
    fn make_room(&mut self, place: Place, mut moved: impl FnMut(&T, u32)) -> Place {
        let (items, at) = (&mut self.leaves[place.leaf as usize].items, place.at as usize);
        if items.len() < MAX_FANOUT {
            return place;
        }
        // Whoever appends fills leaf after leaf; everybody else finds them half full.
        let keep = if at == items.len() { at } else { MAX_FANOUT / 2 };
        let upper = items.split_off(keep);
        let weight = upper.iter().map(Weight::weight).sum();
        let (parent, after) = (self.leaves[place.leaf as usize].parent, self.leaves[place.leaf as usize].after);
        let new = self.new_leaf(Leaf { items: upper, parent, before: place.leaf, after });
        self.leaves[new as usize].items.iter().for_each(|item| moved(item, new));
        self.leaves[place.leaf as usize].after = new;
        if let Some(next) = self.leaves.get_mut(after as usize) {
            next.before = new;
        }
        self.adopt(parent, place.leaf, Child { node: new, weight }, 0);
        if at <= keep && at < MAX_FANOUT { place } else { Place { leaf: new, at: (at - keep) as u32 } }
    }

    /// Gives a branch a child that was split off the one before it. `below`: how many levels are below that child.
    fn adopt(&mut self, parent: u32, sibling: u32, child: Child, below: u32) {
        if parent == NONE {
            let older = Child { node: sibling, weight: self.weight - child.weight };
            let root = self.new_branch(Branch { children: vec![older, child], parent: NONE });
            self.set_parent(sibling, root, below);
            self.set_parent(child.node, root, below);
            (self.root, self.height) = (root, below + 1);
            return;
        }
        let children = &mut self.branches[parent as usize].children;
        let at = children.iter().position(|known| known.node == sibling).map_or(children.len(), |at| at + 1);
        children[at - 1].weight -= child.weight;
        children.insert(at, child);
        if children.len() <= MAX_FANOUT {
            return;
        }
        let keep = if at + 1 == children.len() { at } else { MAX_FANOUT / 2 };
        let upper = children.split_off(keep);
        let weight = upper.iter().map(|child| child.weight).sum();
        let above = self.branches[parent as usize].parent;
        let new = self.new_branch(Branch { children: upper.clone(), parent: above });
        upper.iter().for_each(|child| self.set_parent(child.node, new, below));
        self.adopt(above, parent, Child { node: new, weight }, below + 1);
    }

    fn set_parent(&mut self, node: u32, parent: u32, below: u32) {
        match below {
            0 => self.leaves[node as usize].parent = parent,
            _ => self.branches[node as usize].parent = parent,
        }
    }

    fn drop_leaf(&mut self, leaf: u32) {
        let Leaf { parent, before, after, .. } = self.leaves[leaf as usize];
        match self.leaves.get_mut(before as usize) {
            Some(neighbour) => neighbour.after = after,
            None => self.first = after,
        }
        if let Some(neighbour) = self.leaves.get_mut(after as usize) {
            neighbour.before = before;
        }
        self.free_leaves.push(leaf);
        let (mut node, mut parent) = (leaf, parent);
        while parent != NONE {
            let branch = &mut self.branches[parent as usize];
            branch.children.retain(|child| child.node != node);
            if !branch.children.is_empty() {
                return self.lower();
            }
            self.free_branches.push(parent);
            (node, parent) = (parent, branch.parent);
        }
        (self.root, self.height, self.first) = (NONE, 0, NONE);
    }

    /// A root with one child is one level too many.
    fn lower(&mut self) {
        while let (true, [only]) = (self.height > 0, self.branches[self.root as usize].children.as_slice()) {
            let only = only.node;
            self.free_branches.push(self.root);
            (self.root, self.height) = (only, self.height - 1);
            self.set_parent(only, NONE, self.height);
            if self.height == 0 {
                return;
            }
        }
    }

    fn new_leaf(&mut self, leaf: Leaf<T>) -> u32 {
        allot(&mut self.leaves, &mut self.free_leaves, leaf)
    }

    fn new_branch(&mut self, branch: Branch) -> u32 {
        allot(&mut self.branches, &mut self.free_branches, branch)
    }
}

fn allot<N>(nodes: &mut Vec<N>, free: &mut Vec<u32>, node: N) -> u32 {
    let at = free.pop().unwrap_or(nodes.len() as u32);
    match nodes.get_mut(at as usize) {
        Some(freed) => *freed = node,
        None => nodes.push(node),
    }
    at
}

/// The items from a place on, in order.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a, T> {
    rope: &'a Rope<T>,
    next: Option<Place>,
}

impl<'a, T: Weight> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let place = self.next?;
        self.next = self.rope.next(place);
        Some(self.rope.get(place))
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Rope, Weight};
    use quickcheck::quickcheck;
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    /// A name and a weight.
    #[derive(Clone, Debug, PartialEq)]
    struct Item(u32, usize);

    impl Weight for Item {
        fn weight(&self) -> usize {
            self.1
        }
    }

    fn place_of(rope: &Rope<Item>, at: usize) -> Option<Place> {
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
                let item = Item(name as u32, usize::from(weight % 4));
                let at = usize::from(at) % (model.len() + 1);
                let place = place_of(&rope, at);
                match (kind % 4, place) {
                    (2, Some(place)) => {
                        let removed: Item = rope.remove(place);
                        leaf_of.remove(&removed.0);
                        assert_eq!(removed, model.remove(at));
                    }
                    (3, Some(place)) => {
                        rope.update(place, |kept: &mut Item| kept.1 = item.1);
                        model[at].1 = item.1;
                    }
                    _ => {
                        let landed = rope.insert(place, item.clone(), |item, leaf| {
                            leaf_of.insert(item.0, leaf);
                        });
                        leaf_of.insert(item.0, landed.leaf);
                        assert_eq!(rope.get(landed), &item);
                        model.insert(at, item);
                    }
                }
            }
            assert!(rope.iter().eq(&model));
            assert_eq!(rope.weight(), model.iter().map(Weight::weight).sum());
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

        fn what_is_sorted_is_found(wanted: Vec<u16>) -> bool {
            let mut rope = Rope::default();
            for name in wanted.iter().map(|name| u32::from(*name)) {
                let place = rope.search(|item: &Item| item.0 < name);
                if place.is_none_or(|place| rope.get(place).0 != name) {
                    rope.insert(place, Item(name, 1), |_, _| {});
                }
            }
            let mut model = wanted.clone();
            model.sort_unstable();
            model.dedup();
            rope.iter().map(|item| item.0).eq(model.into_iter().map(u32::from))
        }
    }
}
