//! Every type in a map, for free: the specification of the map follows from that of the type.

use std::collections::BTreeMap;

use quickcheck::{Arbitrary, Gen};

use super::{Event, Site, Specified, Visible};
use crate::{AwMap, Edit, Error};

/// A type of your own as the value of a map.
pub type Nested<S> = AwMap<u8, S>;

/// What can be done to a map.
#[derive(Clone, Debug)]
pub enum In<C> {
    /// Something, to the value of a key.
    At(u8, C),
    /// The key is removed.
    Remove(u8),
}

impl<C: Arbitrary> Arbitrary for In<C> {
    fn arbitrary(g: &mut Gen) -> Self {
        let key = u8::arbitrary(g) % 2;
        if u8::arbitrary(g) % 4 == 0 { In::Remove(key) } else { In::At(key, C::arbitrary(g)) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            In::At(0, command) => Box::new(command.shrink().map(|command| In::At(0, command))),
            In::At(_, command) => Box::new(std::iter::once(In::At(0, command))),
            In::Remove(0) => Box::new(std::iter::empty()),
            In::Remove(_) => Box::new(std::iter::once(In::Remove(0))),
        }
    }
}

impl<S: Specified> Specified for Nested<S> {
    type Command = In<S::Command>;
    /// Keys that read as if nothing had ever happened there are left out.
    type Value = BTreeMap<u8, S::Value>;

    fn run(edit: &mut Edit<'_, Self>, command: &Self::Command) -> Result<(), Error<Site>> {
        match command {
            In::At(key, command) => S::run(&mut edit.at(*key), command),
            In::Remove(key) => edit.remove(*key),
        }
    }

    fn read(&self) -> Self::Value {
        let nothing = S::default().read();
        let values = self.iter().map(|(key, value)| (*key, value.read()));
        values.filter(|(_, value)| *value != nothing).collect()
    }

    fn spec(visible: &Visible<'_, Self::Command>) -> Option<Self::Value> {
        let nothing = S::default().read();
        let mut values = BTreeMap::new();
        for key in 0..2 {
            let removes = |command: &Self::Command| matches!(command, In::Remove(removed) if *removed == key);
            let kept: Vec<Event<S::Command>> = visible
                .iter()
                .filter(|event| !visible.is_seen(event, removes))
                .filter_map(|event| match &event.command {
                    In::At(at, command) if *at == key => Some(Event {
                        id: event.id,
                        command: command.clone(),
                        site: event.site,
                        at: event.at,
                        past: event.past.clone(),
                    }),
                    _ => None,
                })
                .collect();
            let value = S::spec(&Visible::new(kept.iter().collect()))?;
            if value != nothing {
                values.insert(key, value);
            }
        }
        Some(values)
    }
}
