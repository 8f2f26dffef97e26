//! All schedules of four steps, or as many as `CRDT_LAWS_STEPS` says, by two replicas, with two commands at a time: several pairs of commands, the first of
//! which changes a fresh replica.

use quickcheck::{Arbitrary, Gen};

use super::Subject;
use super::run::{Failure, World, run};
use super::schedule::{Mode, Step};
use super::shrink::shrink;

/// How long the schedules are unless told otherwise: each step more takes some ten times as long.
const STEPS: usize = 4;
const REPLICAS: usize = 2;

/// How many pairs of commands are tried.
const PAIRS: usize = 3;

pub(crate) fn find<T: Subject>(mode: Mode) -> Option<Failure<T>> {
    let length = super::number("CRDT_LAWS_STEPS").map_or(STEPS, |steps| steps as usize);
    let pairs = pairs::<T>();
    let found =
        pairs.iter().find_map(|pair| deeper::<T>(mode, pair, length, &World::new(mode, REPLICAS), &mut Vec::new()));
    found.map(shrink)
}

/// Pairs of different commands, of which the first does something to a replica that has seen nothing, and the second
/// something to one that has seen the first.
fn pairs<T: Subject>() -> Vec<[T::Command; 2]> {
    let mut g = Gen::from_size_and_seed(4, 1);
    let mut kinds: Vec<T::Command> = Vec::new();
    for command in (0..200).map(|_| T::Command::arbitrary(&mut g)) {
        if kinds.len() < 24 && kinds.iter().all(|kind| format!("{kind:?}") != format!("{command:?}")) {
            kinds.push(command);
        }
    }
    let changes = |before: &T, command: &T::Command| {
        let mut after = before.clone();
        after.run(0, command).is_some() && after.value() != before.value()
    };
    let fresh = T::start(super::Site::default());
    let mut pairs = Vec::new();
    for first in kinds.iter().filter(|first| changes(&fresh, first)) {
        let mut written = fresh.clone();
        written.run(0, first);
        let second = kinds.iter().filter(|second| format!("{second:?}") != format!("{first:?}"));
        pairs.extend(second.filter(|second| changes(&written, second)).map(|second| [first.clone(), second.clone()]));
    }
    let every = (pairs.len() / PAIRS).max(1);
    pairs.into_iter().step_by(every).take(PAIRS).collect()
}

fn deeper<T: Subject>(
    mode: Mode,
    commands: &[T::Command],
    length: usize,
    world: &World<T>,
    steps: &mut Vec<Step<T::Command>>,
) -> Option<Failure<T>> {
    if steps.len() == length {
        return if world.quiesce().is_err() { run::<T>(mode, steps.clone()) } else { None };
    }
    // Until something has happened, the replicas are as good as each other.
    let replicas = if world.events() == 0 { 1 } else { REPLICAS };
    for step in next(mode, commands, world.events(), replicas) {
        let mut after = world.clone();
        steps.push(step);
        let failure = match after.step(&steps[steps.len() - 1]) {
            Ok(None) => None,
            Ok(Some((at, _))) if after.is_as_in(world, at) => None,
            Ok(Some(_)) => deeper(mode, commands, length, &after, steps),
            Err(_) => run::<T>(mode, steps.clone()),
        };
        if failure.is_some() {
            return failure;
        }
        steps.pop();
    }
    None
}

fn next<C: Clone>(mode: Mode, commands: &[C], events: usize, replicas: usize) -> Vec<Step<C>> {
    let mut steps = Vec::new();
    for at in 0..replicas {
        steps.extend(commands.iter().map(|command| Step::Do { at, wall_ms: 0, command: command.clone() }));
        steps.push(Step::Merge { to: at, from: 1 - at, ago: 0 });
        if mode != Mode::States {
            steps.extend((0..events).map(|event| Step::Deliver { to: at, event }));
        }
        if mode == Mode::Crashes {
            steps.push(Step::Crash { at, ago: 1 });
        }
    }
    steps
}
