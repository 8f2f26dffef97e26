//! Types whose states and deltas travel as bytes.

use std::collections::BTreeSet;

use causal::Hlc;

use super::{Site, Specified, Subject, Typed, Visible};
use crate::{Delta, State, StoreBytes};

/// [`Typed`], with everything that is sent going through bytes; equal states must have equal bytes, and other states
/// others.
#[derive(Clone, Debug)]
pub struct Sent<S: Specified> {
    typed: Typed<S>,
}

impl<S: Specified + StoreBytes> Subject for Sent<S> {
    type Command = S::Command;
    type Value = S::Value;
    type Delta = Vec<u8>;

    fn start(site: Site) -> Self {
        Self { typed: Typed::start(site) }
    }

    fn run(&mut self, wall_ms: u64, command: &S::Command) -> Option<(Vec<u8>, Hlc)> {
        let (delta, at) = self.typed.run(wall_ms, command)?;
        Some((delta.to_bytes(), at))
    }

    fn apply(&mut self, delta: &Vec<u8>) {
        self.typed.apply(&Delta::from_bytes(delta).expect("what was written can be read"));
    }

    fn group(first: &Vec<u8>, second: &Vec<u8>) -> Option<Vec<u8>> {
        let read = |bytes| Delta::from_bytes(bytes).expect("what was written can be read");
        let both: Delta<S> = Typed::group(&read(first), &read(second))?;
        Some(both.to_bytes())
    }

    fn merge(&mut self, other: &Self) {
        let bytes = other.typed.state().to_bytes();
        let state: State<S> = State::from_bytes(&bytes).expect("what was written can be read");
        self.typed.merge(&Typed::of(state));
    }

    fn value(&self) -> S::Value {
        self.typed.value()
    }

    fn same(&self, other: &Self) -> bool {
        let (same, bytes) = (self.typed.same(&other.typed), self.typed.state().to_bytes());
        assert_eq!(same, bytes == other.typed.state().to_bytes(), "equal states have equal bytes, others have others");
        same
    }

    fn renew(&mut self, site: Site) {
        self.typed.renew(site);
    }

    fn spec(visible: &Visible<'_, S::Command>) -> Option<S::Value> {
        S::spec(visible)
    }

    fn live(&self) -> BTreeSet<String> {
        self.typed.live()
    }

    fn check(&self) -> Result<(), String> {
        let bytes = self.typed.state().to_bytes();
        match State::<S>::from_bytes(&bytes) {
            Ok(again) if again == *self.typed.state() => Ok(()),
            Ok(_) => Err("what is read is what was written".to_owned()),
            Err(why) => Err(format!("what was written can be read: {why}")),
        }
    }
}
