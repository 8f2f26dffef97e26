//! A rope in records: one for each node, and a head that the owner keeps.
//!
//! ```text
//! head:     root, height, first leaf, weight, bounds of leaves, bounds of branches        each a varint; node numbers + 1
//! bounds:   end, n, number * n                                                            numbers not in use below the end
//!
//! 1 number:4     sum:4, parent, before, after, item ..                                    a leaf
//! 2 number:4     sum:4, parent, (node, weight, first item) ..                             a branch
//! ```
//!
//! Nodes point at each other: so each has a checksum, over its kind and number as well, and a damaged one is refused.

use causal::{DecodeError, Reader, Reason};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::pages::{Bounds, NONE, Pages};
use super::{Branch, Child, Item, Leaf, MAX_FANOUT, Rope};
use crate::Place;
use crate::bytes::{Visit, Wanted, put_varint};

/// The kinds of records of a tree.
pub(crate) const HEAD: u8 = 0;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// An item that has bytes.
pub(crate) trait PageItem: Item {
    fn write(&self, out: &mut Vec<u8>);
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>
    where
        Self: Sized;
    fn write_key(key: &Self::Key, out: &mut Vec<u8>);
    fn read_key(from: &mut Reader<'_>) -> Result<Self::Key, DecodeError>;
}

/// A record that says whether it is whole: the checksum of what it is of, and of what is in it, and that.
pub(crate) fn checked(kind: u8, number: u32, body: &[u8]) -> Vec<u8> {
    [&checksum(kind, number, body), body].concat()
}

/// What is in a record that is whole.
pub(crate) fn check(kind: u8, number: u32, record: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut from = Reader::new(record);
    let sum: [u8; 4] = from.array()?;
    if sum == checksum(kind, number, from.rest()) { Ok(from) } else { Err(from.refuse(Reason::Damaged)) }
}

fn checksum(kind: u8, number: u32, body: &[u8]) -> [u8; 4] {
    (xxh3_64_with_seed(body, u64::from(kind) << 32 | u64::from(number)) as u32).to_be_bytes()
}

impl<T: PageItem> Rope<T> {
    /// The head, as a record.
    pub(crate) fn head_record(&self) -> Vec<u8> {
        let mut head = Vec::new();
        self.write_head(&mut head);
        checked(HEAD, 0, &head)
    }

    /// The rope with this head, of whose nodes none is here.
    pub(crate) fn from_head_record(record: &[u8]) -> Result<Self, DecodeError> {
        Self::read_head(&mut check(HEAD, 0, record)?, MAX_FANOUT)
    }

    /// Appends the head.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>) {
        put_link(self.root, out);
        put_varint(self.height.into(), out);
        put_link(self.first, out);
        put_varint(self.weight as u64, out);
        for Bounds { end, free } in [self.leaves.bounds(), self.branches.bounds()] {
            put_varint(end.into(), out);
            put_varint(free.len() as u64, out);
            free.into_iter().for_each(|number| put_link(number, out));
        }
    }

    /// The rope with this head, of whose nodes none is here.
    pub(crate) fn read_head(from: &mut Reader<'_>, max_items: usize) -> Result<Self, DecodeError> {
        let (root, height, first) = (link(from)?, small(from)?, link(from)?);
        let weight = usize::try_from(from.varint()?).map_err(|_| from.refuse(Reason::Overflow))?;
        let mut bounds =
            || Ok(Bounds { end: small(from)?, free: (0..small(from)?).map(|_| link(from)).collect::<Result<_, _>>()? });
        let (leaves, branches) = (Pages::elsewhere(bounds()?), Pages::elsewhere(bounds()?));
        Ok(Self { leaves, branches, root, height, first, weight, max_items })
    }

    /// Visits the nodes whose records are not as the nodes are, or those that are missing here.
    pub(crate) fn unload(&self, wanted: Wanted, path: &mut Vec<u8>, visit: &mut Visit<'_>) {
        if wanted == Wanted::Missing {
            self.leaves.each_missing(|number| visit_node(path, LEAF, number, Place::Missing, visit));
            return self.branches.each_missing(|number| visit_node(path, BRANCH, number, Place::Missing, visit));
        }
        let node = |kind, number, record: Option<Vec<u8>>| Place::Node(record.map(|body| checked(kind, number, &body)));
        self.leaves.each_change(|number, leaf| {
            visit_node(path, LEAF, number, node(LEAF, number, leaf.map(Self::leaf_bytes)), visit);
        });
        self.branches.each_change(|number, branch| {
            visit_node(path, BRANCH, number, node(BRANCH, number, branch.map(Self::branch_bytes)), visit);
        });
    }

    /// Takes in the record of a node.
    pub(crate) fn load(&mut self, path: &mut Reader<'_>, record: &[u8]) -> Result<(), DecodeError> {
        if !self.is_in_records() {
            return Err(path.refuse(Reason::Damaged)); // there is no head
        }
        let [kind] = path.array()?;
        let number = u32::from_be_bytes(path.array()?);
        if !path.rest().is_empty() {
            return Err(path.refuse(Reason::NotCanonical));
        }
        let mut from = check(kind, number, record)?;
        match kind {
            LEAF => {
                let mut leaf = Leaf {
                    parent: link(&mut from)?,
                    before: link(&mut from)?,
                    after: link(&mut from)?,
                    items: Vec::new(),
                };
                while !from.rest().is_empty() {
                    leaf.items.push(T::read(&mut from)?);
                }
                self.leaves.arrive(number, leaf);
            }
            BRANCH => {
                let mut branch = Branch { parent: link(&mut from)?, children: Vec::new() };
                while !from.rest().is_empty() {
                    let (node, weight) = (link(&mut from)?, from.varint()? as usize);
                    branch.children.push(Child { node, weight, first: T::read_key(&mut from)? });
                }
                self.branches.arrive(number, branch);
            }
            _ => return Err(path.refuse(Reason::NotCanonical)),
        }
        Ok(())
    }

    fn leaf_bytes(leaf: &Leaf<T>) -> Vec<u8> {
        let mut out = Vec::new();
        [leaf.parent, leaf.before, leaf.after].into_iter().for_each(|number| put_link(number, &mut out));
        leaf.items.iter().for_each(|item| item.write(&mut out));
        out
    }

    fn branch_bytes(branch: &Branch<T::Key>) -> Vec<u8> {
        let mut out = Vec::new();
        put_link(branch.parent, &mut out);
        for Child { node, weight, first } in &branch.children {
            put_link(*node, &mut out);
            put_varint(*weight as u64, &mut out);
            T::write_key(first, &mut out);
        }
        out
    }
}

impl<T: Item> Rope<T> {
    /// Are its nodes in records, but for those that are here?
    pub(crate) fn is_in_records(&self) -> bool {
        matches!(self.leaves, Pages::Part(_))
    }

    /// An empty one for records.
    pub(crate) fn for_records(max_items: usize) -> Self {
        Self { max_items, ..Self::default() }
    }
}

fn visit_node(path: &mut Vec<u8>, kind: u8, number: u32, place: Place, visit: &mut Visit<'_>) {
    let before = path.len();
    path.push(kind);
    path.extend_from_slice(&number.to_be_bytes());
    visit(path, place);
    path.truncate(before);
}

/// A node's number, or none.
fn put_link(number: u32, out: &mut Vec<u8>) {
    put_varint(number.wrapping_add(1).into(), out);
}

fn link(from: &mut Reader<'_>) -> Result<u32, DecodeError> {
    Ok(small(from)?.checked_sub(1).unwrap_or(NONE))
}

fn small(from: &mut Reader<'_>) -> Result<u32, DecodeError> {
    u32::try_from(from.varint()?).map_err(|_| from.refuse(Reason::Overflow))
}
