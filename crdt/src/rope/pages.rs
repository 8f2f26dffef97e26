//! Where the nodes of a rope are: all in memory, or some of them, the others in records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// How many numbers of dropped nodes are remembered, to be given out again. Others never are: there are four billion.
const MAX_FREE: usize = 64;

/// Nodes by number.
#[derive(Clone, Debug)]
pub(super) enum Pages<N> {
    All { nodes: Vec<N>, free: Vec<u32> },
    Part(Box<Part<N>>),
}

/// Nodes of which some are here. One that is not reads as a blank, and is noted as missing: what comes of it counts for
/// nothing, and has to be done again when it is here.
#[derive(Debug)]
pub(super) struct Part<N> {
    here: BTreeMap<u32, N>,
    /// Those that are new, not as their record says, or gone.
    changed: BTreeSet<u32>,
    missing: Mutex<BTreeSet<u32>>,
    blank: N,
    bounds: Bounds,
}

/// Which numbers are in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// No number from here on ever was.
    pub(super) end: u32,
    /// Some of those that are not in use any more.
    pub(super) free: Vec<u32>,
}

/// What is missed in the copy is missed there.
impl<N: Clone> Clone for Part<N> {
    fn clone(&self) -> Self {
        Self {
            here: self.here.clone(),
            changed: self.changed.clone(),
            missing: Mutex::default(),
            blank: self.blank.clone(),
            bounds: self.bounds.clone(),
        }
    }
}

impl<N> Default for Pages<N> {
    fn default() -> Self {
        Self::All { nodes: Vec::new(), free: Vec::new() }
    }
}

impl<N> Part<N> {
    fn miss(&self, number: u32) {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
    }

    fn look(&self, number: u32) -> Option<&N> {
        let found = self.here.get(&number);
        if found.is_none() && number != NONE {
            self.miss(number);
        }
        found
    }
}

impl<N: Default> Pages<N> {
    /// Nodes that are all in records.
    pub(super) fn elsewhere(bounds: Bounds) -> Self {
        Self::Part(Box::new(Part {
            here: BTreeMap::new(),
            changed: BTreeSet::new(),
            missing: Mutex::default(),
            blank: N::default(),
            bounds,
        }))
    }

    /// The node, if there is one with this number.
    pub(super) fn get(&self, number: u32) -> Option<&N> {
        match self {
            Pages::All { nodes, .. } => nodes.get(number as usize),
            Pages::Part(part) => part.look(number),
        }
    }

    /// The node, if it is here: nobody misses it if not.
    pub(super) fn peek(&self, number: u32) -> Option<&N> {
        match self {
            Pages::All { nodes, .. } => nodes.get(number as usize),
            Pages::Part(part) => part.here.get(&number),
        }
    }

    /// A node that there is.
    pub(super) fn at(&self, number: u32) -> &N {
        match self {
            Pages::All { nodes, .. } => &nodes[number as usize],
            Pages::Part(part) => part.look(number).unwrap_or(&part.blank),
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut N> {
        match self {
            Pages::All { nodes, .. } => nodes.get_mut(number as usize),
            Pages::Part(part) => {
                let Part { here, changed, missing, .. } = &mut **part;
                let found = here.get_mut(&number);
                if found.is_some() {
                    changed.insert(number);
                } else if number != NONE {
                    missing.get_mut().unwrap_or_else(PoisonError::into_inner).insert(number);
                }
                found
            }
        }
    }

    pub(super) fn at_mut(&mut self, number: u32) -> &mut N {
        match self {
            Pages::All { nodes, .. } => &mut nodes[number as usize],
            Pages::Part(part) => {
                let Part { here, changed, missing, blank, .. } = &mut **part;
                match here.get_mut(&number) {
                    Some(node) => {
                        changed.insert(number);
                        node
                    }
                    None => {
                        missing.get_mut().unwrap_or_else(PoisonError::into_inner).insert(number);
                        *blank = N::default();
                        blank
                    }
                }
            }
        }
    }

    /// Gives a node a number.
    pub(super) fn allot(&mut self, node: N) -> u32 {
        match self {
            Pages::All { nodes, free } => {
                let number = free.pop().unwrap_or(nodes.len() as u32);
                match nodes.get_mut(number as usize) {
                    Some(freed) => *freed = node,
                    None => nodes.push(node),
                }
                number
            }
            Pages::Part(part) => {
                let number = part.bounds.free.pop().unwrap_or_else(|| {
                    part.bounds.end += 1;
                    part.bounds.end - 1
                });
                part.here.insert(number, node);
                part.changed.insert(number);
                number
            }
        }
    }

    /// Takes a node's number back.
    pub(super) fn free(&mut self, number: u32) {
        match self {
            Pages::All { free, .. } => free.push(number),
            Pages::Part(part) => {
                part.here.remove(&number);
                part.changed.insert(number);
                if part.bounds.free.len() < MAX_FREE {
                    part.bounds.free.push(number);
                }
            }
        }
    }

    /// Has something been looked for that is not here?
    pub(super) fn is_short(&self) -> bool {
        match self {
            Pages::All { .. } => false,
            Pages::Part(part) => !part.missing.lock().unwrap_or_else(PoisonError::into_inner).is_empty(),
        }
    }

    /// Notes nodes as missing that will be looked for next; as many as are here already, so that whoever goes through all
    /// of them does not come back for each.
    pub(super) fn want(&self, numbers: impl Iterator<Item = u32>) {
        if let Pages::Part(part) = self {
            numbers.take(part.here.len()).filter(|number| !part.here.contains_key(number)).for_each(|it| part.miss(it));
        }
    }

    /// Notes as missing those of these that are not here.
    pub(super) fn foresee(&self, numbers: impl Iterator<Item = u32>) {
        if let Pages::Part(part) = self {
            numbers.for_each(|number| {
                part.look(number);
            });
        }
    }

    /// A node as its record says.
    pub(super) fn arrive(&mut self, number: u32, node: N) {
        if let Pages::Part(part) = self {
            part.missing.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&number);
            part.here.insert(number, node);
        }
    }

    /// Visits what is not as the records say: nodes that have changed, and numbers of those that are gone.
    pub(super) fn each_change(&self, mut visit: impl FnMut(u32, Option<&N>)) {
        match self {
            Pages::All { nodes, free } => {
                let free: BTreeSet<u32> = free.iter().copied().collect();
                let used = (0..).zip(nodes).filter(|(number, _)| !free.contains(number));
                used.for_each(|(number, node)| visit(number, Some(node)));
            }
            Pages::Part(part) => part.changed.iter().for_each(|number| visit(*number, part.here.get(number))),
        }
    }

    /// Visits the numbers of those that were looked for in vain.
    pub(super) fn each_missing(&self, visit: impl FnMut(u32)) {
        if let Pages::Part(part) = self {
            part.missing.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().for_each(visit);
        }
    }

    /// Which numbers are in use.
    pub(super) fn bounds(&self) -> Bounds {
        match self {
            Pages::All { nodes, free } => {
                Bounds { end: nodes.len() as u32, free: free.iter().copied().take(MAX_FREE).collect() }
            }
            Pages::Part(part) => part.bounds.clone(),
        }
    }
}
