//! All short schedules of two replicas and two commands.

use quickcheck::{Arbitrary, Gen};

use super::Subject;
use super::run::{Failure, World, run};
use super::schedule::{Mode, Step};

/// The longest schedules that are tried.
const STEPS: usize = 5;
const REPLICAS: usize = 2;

pub(crate) fn find<T: Subject>(mode: Mode) -> Option<Failure<T>> {
    let mut g = Gen::from_size_and_seed(4, 1);
    let commands = [T::Command::arbitrary(&mut g), T::Command::arbitrary(&mut g)];
    deeper::<T>(mode, &commands, &World::new(mode, REPLICAS), &mut Vec::new())
}

fn deeper<T: Subject>(
    mode: Mode,
    commands: &[T::Command],
    world: &World<T>,
    steps: &mut Vec<Step<T::Command>>,
) -> Option<Failure<T>> {
    if steps.len() == STEPS {
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
            Ok(Some(_)) => deeper(mode, commands, &after, steps),
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
