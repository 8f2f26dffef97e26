//! Models of the replication protocol, explored exhaustively: every order of events there is within small bounds.
//!
//! The simulator runs the code and draws some executions by lot; a model is a page of rules beside the code, with the same
//! names, of which every execution is looked at. With every guard in place the whole space is explored and no property is
//! violated; with one taken out the checker finds the counterexample. What a model leaves out stands in its header.
//! (Lamport, *Specifying Systems*, 2002; `stateright` explores; the design's table of what must never happen.)

#[path = "models/moves.rs"]
mod moves;
#[path = "models/stand_ins.rs"]
mod stand_ins;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

/// Explores all there is, and gives the number of states: with every guard in place nothing must fail, and whatever should
/// be possible must be.
fn assert_holds<M>(model: M) -> usize
where
    M: Model<State: Debug + Hash + PartialEq + Clone + Send + Sync, Action: Debug + PartialEq + Clone>
        + Debug
        + Send
        + Sync
        + 'static,
{
    let (name, begun) = (format!("{model:?}"), Instant::now());
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states, {:?}", checker.unique_state_count(), begun.elapsed());
    assert!(checker.is_done(), "not all was explored");
    checker.assert_properties();
    checker.unique_state_count()
}

/// With a guard taken out the property fails: gives the shortest way there.
fn assert_fails<M>(model: M, property: &'static str) -> Vec<M::Action>
where
    M: Model<State: Debug + Hash + PartialEq + Clone + Send + Sync, Action: Debug + PartialEq + Clone>
        + Debug
        + Send
        + Sync
        + 'static,
{
    let (name, begun) = (format!("{model:?}"), Instant::now());
    let until = HasDiscoveries::AllOf(BTreeSet::from([property]));
    let checker = model.checker().threads(1).finish_when(until).spawn_bfs().join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(property) else {
        panic!("{name}: \"{property}\" holds without the guard, in all of {states} states")
    };
    let actions = path.into_actions();
    println!("{name}: {states} states, {:?}, {property}:\n    {actions:?}", begun.elapsed());
    actions
}
