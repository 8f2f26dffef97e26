//! Who seems to be there. Advisory: it decides who stands in for whom, never who owns what.
//!
//! Two things are told apart. The *link* to a node is judged by [`Cluster`](crate::Cluster) from what arrives on it: whoever is
//! heard is there, whatever others say. The *process* is judged by a [`Detector`], which asks others as well: a node that is
//! silent here and that nobody else can reach either is given up sooner than one that only this link has lost.
//! How long either takes is stretched by the observer's own [`Health`].

mod health;
mod swim;

use std::fmt::Debug;

use crate::id::{Incarnation, NodeId};
pub(crate) use health::Health;
pub use swim::Swim;

/// What a detector wants sent to a node.
pub type Word = (NodeId, Vec<u8>);

/// What a detector believes of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It answers somebody.
    Alive,
    /// It answered nobody who asked of late, or has never been heard of.
    Doubtful,
    /// It has been given up.
    Down,
}

/// Finds out which processes run. A state machine: time comes in with each call, words go out as bytes.
pub trait Detector: Debug + Send {
    /// These nodes are to be watched, each in this run; the node itself may be among them.
    fn watch(&mut self, nodes: &mut dyn Iterator<Item = (NodeId, Incarnation)>, now_ms: u64, out: &mut Vec<Word>);

    /// A detector on another node has said something.
    fn hear(&mut self, word: &[u8], now_ms: u64, out: &mut Vec<Word>);

    /// Time has passed; everything takes `stretch_percent` of its usual time (100 to [`MAX_STRETCH_PERCENT`]).
    fn tick(&mut self, now_ms: u64, stretch_percent: u64, out: &mut Vec<Word>);

    /// What it believes of a node.
    fn opinion(&self, node: NodeId) -> Opinion;
}

/// How far an observer in bad health stretches its patience, at most.
pub const MAX_STRETCH_PERCENT: u64 = 300;
