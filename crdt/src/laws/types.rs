//! The rules of this crate's types, as functions of the events that are visible.

use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen};

use super::{Event, Site, Specified, Visible};
use crate::{
    AwSet, Counter, Deadline, DwFlag, Edit, Error, EwFlag, Expiring, Log, LwwRegister, LwwSet, MaxRegister,
    MinRegister, MvRegister, Num, RwSet,
};

/// Something of a few kinds, each with a small number.
macro_rules! commands {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $kind:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$what])* $kind(u8)),+
        }

        impl $name {
            /// Its number.
            #[must_use]
            pub fn number(self) -> u8 {
                match self {
                    $($name::$kind(number) => number),+
                }
            }
        }

        impl Arbitrary for $name {
            fn arbitrary(g: &mut Gen) -> Self {
                let number = u8::arbitrary(g) % 3;
                let kinds: &[fn(u8) -> Self] = &[$($name::$kind),+];
                g.choose(kinds).expect("there is one")(number)
            }

            fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
                match *self {
                    $($name::$kind(number) => Box::new(number.shrink().map($name::$kind))),+
                }
            }
        }
    };
}

commands!(
    /// What can be done to a register.
    Writing {
        /// A write.
        Write,
        /// Everything is removed.
        Clear
    }
);

commands!(
    /// What can be done to a flag.
    Switching {
        /// On.
        Enable,
        /// Off.
        Disable
    }
);

commands!(
    /// What can be done to a set.
    Keeping {
        /// An element is added.
        Add,
        /// An element is removed.
        Remove
    }
);

commands!(
    /// What can be done to a number.
    Counting {
        /// It is added to.
        Add,
        /// It is set; a counter is reset.
        Set,
        /// It is removed.
        Clear
    }
);

fn is_write(command: &Writing) -> bool {
    matches!(command, Writing::Write(_))
}

/// The writes that no visible event has seen.
fn unseen_writes<'a>(visible: &Visible<'a, Writing>) -> Vec<&'a Event<Writing>> {
    visible.maximal().filter(|event| is_write(&event.command)).collect()
}

impl Specified for MvRegister<Site, u8> {
    type Command = Writing;
    type Value = Vec<u8>;

    fn run(edit: &mut Edit<'_, Self>, command: &Writing) -> Result<(), Error<Site>> {
        match command {
            Writing::Write(value) => edit.write(*value),
            Writing::Clear(_) => edit.clear(),
        }
    }

    fn read(&self) -> Vec<u8> {
        let mut values: Vec<u8> = self.values().copied().collect();
        values.sort_unstable();
        values
    }

    fn spec(visible: &Visible<'_, Writing>) -> Option<Vec<u8>> {
        let mut values: Vec<u8> = unseen_writes(visible).iter().map(|event| event.command.number()).collect();
        values.sort_unstable();
        Some(values)
    }
}

impl Specified for LwwRegister<Site, u8> {
    type Command = Writing;
    type Value = Option<u8>;

    fn run(edit: &mut Edit<'_, Self>, command: &Writing) -> Result<(), Error<Site>> {
        match command {
            Writing::Write(value) => edit.write(*value),
            Writing::Clear(_) => edit.clear(),
        }
    }

    fn read(&self) -> Option<u8> {
        self.value().copied()
    }

    fn spec(visible: &Visible<'_, Writing>) -> Option<Option<u8>> {
        let unseen = unseen_writes(visible);
        Some(Visible::last_of(unseen.into_iter()).map(|event| event.command.number()))
    }
}

macro_rules! extreme {
    ($name:ident, $best:ident) => {
        impl Specified for $name<Site, u8> {
            type Command = Writing;
            type Value = Option<u8>;

            fn run(edit: &mut Edit<'_, Self>, command: &Writing) -> Result<(), Error<Site>> {
                match command {
                    Writing::Write(value) => edit.write(*value),
                    Writing::Clear(_) => edit.clear(),
                }
            }

            fn read(&self) -> Option<u8> {
                self.value().copied()
            }

            fn spec(visible: &Visible<'_, Writing>) -> Option<Option<u8>> {
                let writes = visible.filter(is_write);
                let cleared = |command: &Writing| !is_write(command);
                let kept = writes.iter().filter(|event| !visible.is_seen(event, cleared));
                Some(kept.map(|event| event.command.number()).$best())
            }
        }
    };
}

extreme!(MaxRegister, max);
extreme!(MinRegister, min);

fn enables(command: &Switching) -> bool {
    matches!(command, Switching::Enable(_))
}

impl Specified for EwFlag<Site> {
    type Command = Switching;
    type Value = bool;

    fn run(edit: &mut Edit<'_, Self>, command: &Switching) -> Result<(), Error<Site>> {
        if enables(command) { edit.enable() } else { edit.disable() }
    }

    fn read(&self) -> bool {
        self.is_enabled()
    }

    fn spec(visible: &Visible<'_, Switching>) -> Option<bool> {
        let on = visible.filter(enables);
        Some(on.iter().any(|event| !visible.is_seen(event, |command| !enables(command))))
    }
}

impl Specified for DwFlag<Site> {
    type Command = Switching;
    type Value = bool;

    fn run(edit: &mut Edit<'_, Self>, command: &Switching) -> Result<(), Error<Site>> {
        if enables(command) { edit.enable() } else { edit.disable() }
    }

    fn read(&self) -> bool {
        self.is_enabled()
    }

    fn spec(visible: &Visible<'_, Switching>) -> Option<bool> {
        let off = visible.filter(|command| !enables(command));
        let stays_off = off.iter().any(|event| !visible.is_seen(event, enables));
        Some(visible.filter(enables).iter().next().is_some() && !stays_off)
    }
}

macro_rules! set {
    ($name:ident, $element:ident, $visible:ident, $spec:expr) => {
        impl Specified for $name<Site, u8> {
            type Command = Keeping;
            type Value = BTreeSet<u8>;

            fn run(edit: &mut Edit<'_, Self>, command: &Keeping) -> Result<(), Error<Site>> {
                match command {
                    Keeping::Add(element) => edit.add(*element),
                    Keeping::Remove(element) => edit.remove(*element),
                }
            }

            fn read(&self) -> BTreeSet<u8> {
                let elements: BTreeSet<u8> = self.iter().copied().collect();
                assert!((0..3).all(|element| elements.contains(&element) == self.contains(&element)));
                elements
            }

            fn spec(visible: &Visible<'_, Keeping>) -> Option<BTreeSet<u8>> {
                let of = |element: u8| visible.filter(|command| command.number() == element);
                Some(
                    (0..3)
                        .filter(|element| {
                            let $visible = of(*element);
                            $spec
                        })
                        .collect(),
                )
            }
        }
    };
}

fn adds(command: &Keeping) -> bool {
    matches!(command, Keeping::Add(_))
}

fn removes(command: &Keeping) -> bool {
    !adds(command)
}

set!(AwSet, element, of, of.filter(adds).iter().any(|event| !of.is_seen(event, removes)));
set!(RwSet, element, of, {
    let forbidden = of.filter(removes).iter().any(|event| !of.is_seen(event, adds));
    of.filter(adds).iter().any(|event| !of.is_seen(event, removes)) && !forbidden
});
set!(LwwSet, element, of, {
    let last: Vec<_> = of.maximal().collect();
    Visible::last_of(last.into_iter()).is_some_and(|event| adds(&event.command))
});

fn increments(command: &Counting) -> bool {
    matches!(command, Counting::Add(_))
}

/// Increments are of both signs, and their sums tell which were counted.
pub(super) fn amount(number: u8) -> i64 {
    [1, 10, -100][usize::from(number % 3)]
}

fn sum_of_unseen(visible: &Visible<'_, Counting>) -> i64 {
    let kept = visible.filter(increments);
    let kept = kept.iter().filter(|event| !visible.is_seen(event, |command| !increments(command)));
    kept.map(|event| amount(event.command.number())).sum()
}

impl Specified for Counter<Site> {
    type Command = Counting;
    type Value = i64;

    fn run(edit: &mut Edit<'_, Self>, command: &Counting) -> Result<(), Error<Site>> {
        match command {
            Counting::Add(number) => edit.add(amount(*number)),
            Counting::Set(_) | Counting::Clear(_) => edit.clear(),
        }
    }

    fn read(&self) -> i64 {
        self.value()
    }

    fn spec(visible: &Visible<'_, Counting>) -> Option<i64> {
        Some(sum_of_unseen(visible))
    }
}

impl Specified for Num<Site> {
    type Command = Counting;
    type Value = Option<i64>;

    fn run(edit: &mut Edit<'_, Self>, command: &Counting) -> Result<(), Error<Site>> {
        match command {
            Counting::Add(number) => edit.add(amount(*number)),
            Counting::Set(number) => edit.set(i64::from(*number) * 1_000),
            Counting::Clear(_) => edit.clear(),
        }
    }

    fn read(&self) -> Option<i64> {
        self.value()
    }

    fn spec(visible: &Visible<'_, Counting>) -> Option<Option<i64>> {
        let replaces = |command: &Counting| !increments(command);
        let unseen = |event: &&Event<Counting>| !visible.is_seen(event, replaces);
        let sets = visible.filter(|command| matches!(command, Counting::Set(_)));
        let set = Visible::last_of(sets.iter().filter(unseen)).map(|event| i64::from(event.command.number()) * 1_000);
        let any_increment = visible.filter(increments).iter().any(|event| unseen(&event));
        let sum = sum_of_unseen(visible);
        Some(set.map(|set| set + sum).or(any_increment.then_some(sum)))
    }
}

impl Specified for Log<Site, u8> {
    type Command = Writing;
    type Value = Vec<u8>;

    fn run(edit: &mut Edit<'_, Self>, command: &Writing) -> Result<(), Error<Site>> {
        match command {
            Writing::Write(value) => edit.append(*value),
            Writing::Clear(_) => edit.clear(),
        }
    }

    fn read(&self) -> Vec<u8> {
        self.iter().map(|(_, value)| *value).collect()
    }

    fn spec(visible: &Visible<'_, Writing>) -> Option<Vec<u8>> {
        let writes = visible.filter(is_write);
        let cleared = |command: &Writing| !is_write(command);
        let mut kept: Vec<_> = writes.iter().filter(|event| !visible.is_seen(event, cleared)).collect();
        kept.sort_by_key(|event| (event.at, event.site));
        Some(kept.into_iter().map(|event| event.command.number()).collect())
    }
}

commands!(
    /// What can be done to a value with a deadline.
    Ending {
        /// The value is written.
        Write,
        /// A deadline is set.
        Expire,
        /// Deadlines are taken away.
        Persist,
        /// It is removed if its time has come.
        Sweep
    }
);

/// The deadlines of the commands, and the time at which a sweep runs and the value is read.
fn deadline(command: Ending) -> Option<Deadline> {
    match command {
        Ending::Expire(number) => Some(Deadline::At(10 * (u64::from(number) + 1))),
        Ending::Persist(_) => Some(Deadline::Never),
        Ending::Write(_) | Ending::Sweep(_) => None,
    }
}

impl Specified for Expiring<EwFlag<Site>> {
    type Command = Ending;
    type Value = (Deadline, Vec<bool>);

    fn run(edit: &mut Edit<'_, Self>, command: &Ending) -> Result<(), Error<Site>> {
        match (command, deadline(*command)) {
            (_, Some(deadline)) => edit.expire(deadline),
            (Ending::Sweep(_), _) => edit.remove_if_expired(20),
            _ => edit.value().enable(),
        }
    }

    fn read(&self) -> (Deadline, Vec<bool>) {
        (self.deadline(), [5, 10, 20, 30, 40].map(|now_ms| self.get(now_ms).is_some()).to_vec())
    }

    fn spec(visible: &Visible<'_, Ending>) -> Option<(Deadline, Vec<bool>)> {
        // What an event saw is what a replica with exactly those events would read.
        let deadline_of = |visible: &Visible<'_, Ending>, sweeps: &BTreeSet<usize>| {
            let sets = visible.filter(|command| deadline(*command).is_some());
            let swept = |event: &Event<Ending>| {
                visible.iter().any(|later| sweeps.contains(&later.id) && later.past.contains(&event.id))
            };
            let kept = sets.iter().filter(|event| !sets.is_seen(event, |_| true) && !swept(event));
            kept.filter_map(|event| deadline(event.command)).max().unwrap_or(Deadline::Never)
        };
        let mut sweeps = BTreeSet::new(); // the sweeps that found it expired
        for event in visible.iter().filter(|event| matches!(event.command, Ending::Sweep(_))) {
            let past = Visible::new(visible.iter().filter(|earlier| event.past.contains(&earlier.id)).collect());
            if deadline_of(&past, &sweeps) <= Deadline::At(20) {
                sweeps.insert(event.id);
            }
        }
        let ends = deadline_of(visible, &sweeps);
        let writes = visible.filter(|command| matches!(command, Ending::Write(_)));
        let swept = |event: &Event<Ending>| {
            visible.iter().any(|later| sweeps.contains(&later.id) && later.past.contains(&event.id))
        };
        let there = writes.iter().any(|event| !swept(event));
        Some((ends, [5, 10, 20, 30, 40].map(|now_ms| there && Deadline::At(now_ms) < ends).to_vec()))
    }
}
