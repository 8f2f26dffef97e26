//! From a schedule that fails to the smallest one that does: fewer steps, then fewer replicas, then smaller values.

use quickcheck::Arbitrary;

use super::Subject;
use super::run::{Failure, run};
use super::schedule::Step;

pub(crate) fn shrink<T: Subject>(mut failure: Failure<T>) -> Failure<T> {
    loop {
        let found = smaller(&failure.steps).find_map(|steps| run::<T>(failure.mode, steps));
        match found {
            Some(smaller) => failure = smaller,
            None => return failure,
        }
    }
}

/// Every schedule that is one cut away, the deepest cuts first.
fn smaller<C: Arbitrary>(steps: &[Step<C>]) -> impl Iterator<Item = Vec<Step<C>>> + '_ {
    let halves =
        std::iter::successors(Some(steps.len() / 2), |length| Some(length / 2)).take_while(|length| *length > 0);
    let fewer = halves.flat_map(move |length| {
        (0..steps.len()).step_by(length).map(move |start| {
            let end = (start + length).min(steps.len());
            [&steps[..start], &steps[end..]].concat()
        })
    });
    let renamed =
        (0..2).map(move |replica| steps.iter().map(|step| with_replica(step, replica + 1, replica)).collect());
    let renamed = renamed.filter(move |new: &Vec<Step<C>>| fewer_replicas(new, steps));
    let simpler = (0..steps.len()).flat_map(move |at| {
        simpler(&steps[at]).map(move |step| {
            let mut new = steps.to_vec();
            new[at] = step;
            new
        })
    });
    fewer.chain(renamed).chain(simpler)
}

fn replicas<C>(steps: &[Step<C>]) -> usize {
    let of = |step: &Step<C>| match step {
        Step::Merge { to, from, .. } => *to.max(from),
        other => other.replica(),
    };
    steps.iter().map(of).max().unwrap_or(0)
}

fn fewer_replicas<C>(new: &[Step<C>], old: &[Step<C>]) -> bool {
    replicas(new) < replicas(old)
}

fn with_replica<C: Clone>(step: &Step<C>, old: usize, new: usize) -> Step<C> {
    let rename = |replica: usize| if replica == old { new } else { replica };
    match step.clone() {
        Step::Do { at, wall_ms, command } => Step::Do { at: rename(at), wall_ms, command },
        Step::Deliver { to, event } => Step::Deliver { to: rename(to), event },
        Step::Merge { to, from, ago } => Step::Merge { to: rename(to), from: rename(from), ago },
        Step::Crash { at, ago } => Step::Crash { at: rename(at), ago },
    }
}

fn simpler<C: Arbitrary>(step: &Step<C>) -> Box<dyn Iterator<Item = Step<C>>> {
    match step.clone() {
        Step::Do { at, wall_ms, command } => {
            let earlier = command.clone();
            let commands = command.shrink().map(move |command| Step::Do { at, wall_ms, command });
            Box::new(
                wall_ms.shrink().map(move |wall_ms| Step::Do { at, wall_ms, command: earlier.clone() }).chain(commands),
            )
        }
        Step::Deliver { to, event } => Box::new(event.shrink().map(move |event| Step::Deliver { to, event })),
        Step::Merge { to, from, ago } => Box::new(ago.shrink().map(move |ago| Step::Merge { to, from, ago })),
        Step::Crash { at, ago } => Box::new(ago.shrink().map(move |ago| Step::Crash { at, ago })),
    }
}
