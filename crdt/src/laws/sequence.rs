//! The rule of sequences, as a function of the events that are visible: the tree of Fugue, drawn in full.
//!
//! Each element is a child of another one, on its left or on its right: on the right of what stood before it when it was
//! inserted, or, if something already was there, on the left of what stood behind it. Children on the left come before
//! their parent, by name; those on the right after it, those whose right neighbour was further right first, then by name.
//! (Weidner, Kleppmann 2023, section 5: FugueMax.) The type finds the same order without a tree.

use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen};

use super::{Event, Site, Specified, Visible};
use crate::{Edit, Error, Seq};

/// One step of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many elements are inserted at an index (modulo how many can be).
    Insert(u8, u8),
    /// So many elements are removed from an index on, or as many as there are.
    Remove(u8, u8),
}

impl Arbitrary for Change {
    fn arbitrary(g: &mut Gen) -> Self {
        let (at, count) = (u8::arbitrary(g) % 6, 1 + u8::arbitrary(g) % 3);
        if u8::arbitrary(g) % 3 == 0 { Change::Remove(at, count) } else { Change::Insert(at, count) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match *self {
            Change::Insert(at, count) => {
                Box::new((at, count).shrink().filter(|it| it.1 > 0).map(|(at, count)| Change::Insert(at, count)))
            }
            Change::Remove(at, count) => {
                Box::new((at, count).shrink().filter(|it| it.1 > 0).map(|(at, count)| Change::Remove(at, count)))
            }
        }
    }
}

/// An edit of one to three steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editing(pub Vec<Change>);

impl Arbitrary for Editing {
    fn arbitrary(g: &mut Gen) -> Self {
        Self((0..1 + u8::arbitrary(g) % 3).map(|_| Change::arbitrary(g)).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().filter(|steps| !steps.is_empty()).map(Self))
    }
}

/// Which step of an event inserted an element, and as the how-many-eth: what it shows.
type Shown = u8;

fn range(at: u8, count: u8, len: usize) -> std::ops::Range<usize> {
    let from = usize::from(at) % (len + 1);
    from..(from + usize::from(count)).min(len)
}

impl Specified for Seq<Site, Shown> {
    type Command = Editing;
    type Value = Vec<Shown>;

    fn run(edit: &mut Edit<'_, Self>, Editing(steps): &Editing) -> Result<(), Error<Site>> {
        for (step, change) in steps.iter().enumerate() {
            let len = edit.len();
            match *change {
                Change::Insert(at, count) => {
                    edit.insert(usize::from(at) % (len + 1), (0..count).map(|nth| 10 * step as u8 + nth))?;
                }
                Change::Remove(at, count) => edit.remove(range(at, count, len))?,
            }
        }
        Ok(())
    }

    fn read(&self) -> Vec<Shown> {
        self.iter().copied().collect()
    }

    fn spec(visible: &Visible<'_, Editing>) -> Option<Vec<Shown>> {
        let ids: BTreeSet<usize> = visible.iter().map(|event| event.id).collect();
        if visible.iter().any(|event| !event.past.is_subset(&ids)) {
            return None; // indexes say nothing where what they counted is not to be seen
        }
        let mut tree = Tree::default();
        visible.iter().for_each(|event| tree.run(event));
        let removed: BTreeSet<usize> = tree.removals.iter().map(|(_, node)| *node).collect();
        let shown = tree.order.iter().filter(|node| !removed.contains(node));
        Some(shown.map(|node| tree.nodes[*node].shown).collect())
    }
}

/// What stands at an end, or an element.
type Neighbour = Option<usize>;

struct Node {
    event: usize,
    /// Who comes first among equals.
    name: (Site, usize, usize),
    shown: Shown,
    parent: Neighbour,
    is_left: bool,
    right: Neighbour,
}

#[derive(Default)]
struct Tree {
    nodes: Vec<Node>,
    /// All of them, in order.
    order: Vec<usize>,
    /// Which event removed which.
    removals: Vec<(usize, usize)>,
}

impl Tree {
    fn run(&mut self, event: &Event<Editing>) {
        let mut seen = event.past.clone();
        seen.insert(event.id);
        for (step, change) in event.command.0.iter().enumerate() {
            let all: Vec<usize> =
                self.order.iter().copied().filter(|node| seen.contains(&self.nodes[*node].event)).collect();
            let gone = |node: &usize| self.removals.iter().any(|(by, of)| of == node && seen.contains(by));
            let shown: Vec<usize> = all.iter().copied().filter(|node| !gone(node)).collect();
            match *change {
                Change::Remove(at, count) => {
                    let removed = shown[range(at, count, shown.len())].iter();
                    self.removals.extend(removed.map(|node| (event.id, *node)));
                }
                Change::Insert(at, count) => {
                    let mut left = (usize::from(at) % (shown.len() + 1)).checked_sub(1).map(|at| shown[at]);
                    let behind = left.map_or(0, |left| 1 + all.iter().position(|node| *node == left).unwrap_or(0));
                    let right = all.get(behind).copied();
                    for nth in 0..count {
                        let has_right_child =
                            |node: &usize| self.nodes[*node].parent == left && !self.nodes[*node].is_left;
                        let is_left = nth == 0 && all.iter().any(has_right_child);
                        let name = (event.site, event.id, self.nodes.len());
                        let (shown, parent) = (10 * step as u8 + nth, if is_left { right } else { left });
                        self.nodes.push(Node { event: event.id, name, shown, parent, is_left, right });
                        left = Some(self.nodes.len() - 1);
                        self.sort();
                    }
                }
            }
        }
    }

    fn sort(&mut self) {
        let (known, mut order) = (std::mem::take(&mut self.order), Vec::new());
        self.visit(None, &known, &mut order);
        self.order = order;
    }

    fn visit(&self, parent: Neighbour, known: &[usize], order: &mut Vec<usize>) {
        let rank =
            |node: Neighbour| node.and_then(|node| known.iter().position(|it| *it == node)).unwrap_or(known.len());
        let children = |is_left: bool| {
            let mut children: Vec<usize> = (0..self.nodes.len())
                .filter(|node| self.nodes[*node].parent == parent && self.nodes[*node].is_left == is_left)
                .collect();
            let further_right_first =
                |node: &usize| if is_left { 0 } else { known.len() - rank(self.nodes[*node].right) };
            children.sort_by_key(|node| (further_right_first(node), self.nodes[*node].name));
            children
        };
        for child in children(true) {
            self.visit(Some(child), known, order);
        }
        order.extend(parent);
        for child in children(false) {
            self.visit(Some(child), known, order);
        }
    }
}
