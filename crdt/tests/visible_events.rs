//! The rules of the types as functions of visible events, held against the types under random schedules of
//! operations, deltas in any order and with duplicates, and whole-state merges.

use std::collections::BTreeSet;

use crdt::{AwSet, Counter, Delta, DotStore};
use quickcheck::{Arbitrary, Gen, quickcheck};

const REPLICAS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Do { at: usize, what: u8, amount: i8 },
    Deliver { to: usize, which: usize },
    Merge { to: usize, from: usize },
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let replica = |g: &mut Gen| usize::arbitrary(g) % REPLICAS;
        match u8::arbitrary(g) % 5 {
            0 | 1 => Step::Do { at: replica(g), what: u8::arbitrary(g), amount: i8::arbitrary(g) },
            2 | 3 => Step::Deliver { to: replica(g), which: usize::arbitrary(g) },
            _ => Step::Merge { to: replica(g), from: replica(g) },
        }
    }
}

/// An operation that happened, and the operations it could see.
struct Event<O> {
    operation: O,
    past: BTreeSet<usize>,
}

/// Runs a schedule and compares every replica with the specification after every step.
/// A delta is delivered only where everything its operation could see is visible or is replaced by it.
fn agrees<S: DotStore<Actor = usize>, O>(
    steps: &[Step],
    operate: impl Fn(&mut crdt::Causal<S>, usize, u8, i8) -> (Delta<S>, O),
    check: impl Fn(&crdt::Causal<S>, &[Event<O>], &BTreeSet<usize>),
) {
    let mut states = vec![crdt::Causal::<S>::new(); REPLICAS];
    let mut visible = vec![BTreeSet::new(); REPLICAS];
    let (mut events, mut deltas) = (Vec::new(), Vec::new());
    for step in steps {
        match *step {
            Step::Do { at, what, amount } => {
                let (delta, operation) = operate(&mut states[at], at, what, amount);
                visible[at].insert(events.len());
                deltas.push(delta);
                events.push(Event { operation, past: visible[at].clone() });
            }
            Step::Deliver { to, which } if !deltas.is_empty() => {
                let which = which % deltas.len();
                if events[which].past.iter().all(|seen| *seen == which || visible[to].contains(seen)) {
                    states[to].merge_delta(&deltas[which]).expect("every dot has one payload");
                    visible[to].insert(which);
                }
            }
            Step::Deliver { .. } => {}
            Step::Merge { to, from } => {
                let (state, seen) = (states[from].clone(), visible[from].clone());
                states[to].merge(&state).expect("every dot has one payload");
                visible[to].extend(seen);
            }
        }
        for (state, seen) in states.iter().zip(&visible) {
            check(state, &events, seen);
        }
    }
}

#[derive(PartialEq)]
enum Count {
    Add(i64),
    Reset,
}

quickcheck! {
    fn a_counter_is_the_sum_of_the_increments_no_visible_reset_has_seen(steps: Vec<Step>) -> bool {
        let operate = |counter: &mut Counter<usize>, at: usize, what: u8, amount: i8| match what % 4 {
            0 => (counter.reset(at), Count::Reset),
            _ => (counter.add(at, amount.into()).expect("small numbers"), Count::Add(amount.into())),
        };
        agrees(&steps, operate, |counter, events, seen| {
            let undone = |add: &usize| seen.iter().any(|e| events[*e].operation == Count::Reset && events[*e].past.contains(add));
            let sum: i64 = seen.iter().filter(|e| !undone(e)).map(|e| match events[*e].operation {
                Count::Add(amount) => amount,
                Count::Reset => 0,
            }).sum();
            assert_eq!(counter.value(), sum);
        });
        true
    }

    fn a_set_holds_what_some_add_that_no_visible_removal_has_seen_put_there(steps: Vec<Step>) -> bool {
        let operate = |set: &mut AwSet<usize, i8>, at: usize, what: u8, amount: i8| {
            let element = amount % 2;
            match what % 3 {
                0 => (set.remove(&element), (false, element)),
                _ => (set.add(at, element), (true, element)),
            }
        };
        agrees(&steps, operate, |set, events, seen| {
            let undone = |add: &usize| seen.iter().any(|e| {
                let (adds, element) = events[*e].operation;
                e != add && !adds && element == events[*add].operation.1 && events[*e].past.contains(add)
            });
            let expected: BTreeSet<i8> = seen.iter()
                .filter(|e| events[**e].operation.0 && !undone(e))
                .map(|e| events[*e].operation.1)
                .collect();
            assert_eq!(set.elements().copied().collect::<BTreeSet<_>>(), expected);
        });
        true
    }
}
