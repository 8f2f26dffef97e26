//! Runs a schedule and holds every replica against the laws.

use std::collections::BTreeSet;

use super::schedule::{Mode, REPLICAS, Step};
use super::{Event, Site, Subject, Visible};

/// A schedule that shows what is wrong.
pub struct Failure<T: Subject> {
    /// How the news travelled.
    pub mode: Mode,
    /// The steps.
    pub steps: Vec<Step<T::Command>>,
    /// After which of them it showed; all of them: at the end, when everybody had everything.
    pub after: usize,
    /// What does not hold.
    pub law: String,
    /// The seed of the run it was found in, if it was a random one.
    pub seed: Option<u64>,
    /// What each replica read after each step, and what the step did.
    pub(crate) trace: Vec<Trace>,
}

/// What a step did, for the diagram.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) step: String,
    /// Which replica changed, and where the news came from.
    pub(crate) at: Option<usize>,
    pub(crate) from: Option<usize>,
    pub(crate) values: Vec<String>,
    pub(crate) live: Vec<BTreeSet<String>>,
}

impl<T: Subject> Failure<T> {
    pub(crate) fn of_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

#[derive(Clone)]
struct Replica<T> {
    state: T,
    visible: BTreeSet<usize>,
    /// Its earlier states, oldest first.
    past: Vec<(T, BTreeSet<usize>)>,
    life: u8,
}

impl<T: Clone> Replica<T> {
    fn remember(&mut self) {
        self.past.push((self.state.clone(), self.visible.clone()));
    }

    fn ago(&self, ago: usize) -> (T, BTreeSet<usize>) {
        let ago = ago % (self.past.len() + 1);
        match self.past.len().checked_sub(ago).filter(|_| ago > 0) {
            Some(at) => self.past[at].clone(),
            None => (self.state.clone(), self.visible.clone()),
        }
    }
}

pub(crate) struct World<T: Subject> {
    mode: Mode,
    replicas: Vec<Replica<T>>,
    events: Vec<Event<T::Command>>,
    deltas: Vec<T::Delta>,
}

impl<T: Subject> Clone for World<T> {
    fn clone(&self) -> Self {
        Self {
            mode: self.mode,
            replicas: self.replicas.clone(),
            events: self.events.clone(),
            deltas: self.deltas.clone(),
        }
    }
}

/// What panics does not hold either.
fn without_panic<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        Err(format!("it panics: {}", said.unwrap_or_default()))
    })
}

/// Whom a step changed, and whose news it was.
type Changed = Option<(usize, Option<usize>)>;

impl<T: Subject> World<T> {
    pub(crate) fn new(mode: Mode, replicas: usize) -> Self {
        let replica = |at: usize| Replica {
            state: T::start(Site { replica: at as u8, life: 0 }),
            visible: BTreeSet::new(),
            past: Vec::new(),
            life: 0,
        };
        Self { mode, replicas: (0..replicas).map(replica).collect(), events: Vec::new(), deltas: Vec::new() }
    }

    /// Is a replica as it is in another world: would going on from there only repeat what goes on from here?
    pub(crate) fn is_as_in(&self, other: &Self, at: usize) -> bool {
        let (here, there) = (&self.replicas[at], &other.replicas[at]);
        here.visible == there.visible && here.life == there.life && here.state.same(&there.state)
    }

    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// # Errors
    /// The law that does not hold.
    pub(crate) fn step(&mut self, step: &Step<T::Command>) -> Result<Changed, String> {
        without_panic(|| self.try_step(step))
    }

    fn try_step(&mut self, step: &Step<T::Command>) -> Result<Changed, String> {
        let changed = match step {
            Step::Do { at, wall_ms, command } => self.act(*at, *wall_ms, command)?,
            Step::Deliver { to, event } => self.deliver(*to, *event),
            Step::Merge { to, from, ago } => self.merge(*to, *from, *ago),
            Step::Crash { at, ago } => self.crash(*at, *ago),
        };
        if let Some((at, _)) = changed {
            self.holds(at)?;
        }
        Ok(changed)
    }

    fn act(&mut self, at: usize, wall_ms: u64, command: &T::Command) -> Result<Changed, String> {
        let replica = &mut self.replicas[at];
        let before = replica.state.clone();
        replica.remember();
        let Some((delta, stamp)) = replica.state.run(wall_ms, command) else { return Ok(None) };
        let mut by_delta = before.clone();
        by_delta.apply(&delta);
        if !by_delta.same(&replica.state) {
            return Err("an edit's delta is what the edit did".to_owned());
        }
        let mut again = replica.state.clone();
        again.merge(&before);
        if !again.same(&replica.state) {
            return Err("an edit's outcome has everything that was there before".to_owned());
        }
        let (id, past) = (self.events.len(), replica.visible.clone());
        let site = Site { replica: at as u8, life: replica.life };
        self.events.push(Event { id, command: command.clone(), site, at: stamp, past });
        self.deltas.push(delta);
        replica.visible.insert(id);
        Ok(Some((at, None)))
    }

    fn deliver(&mut self, to: usize, event: usize) -> Changed {
        let event = event.checked_rem(self.events.len())?;
        let (replica, sent) = (&mut self.replicas[to], &self.events[event]);
        if self.mode != Mode::Unordered && !sent.past.is_subset(&replica.visible) {
            return None;
        }
        replica.remember();
        replica.state.apply(&self.deltas[event]);
        replica.visible.insert(event);
        Some((to, Some(usize::from(sent.site.replica))))
    }

    fn merge(&mut self, to: usize, from: usize, ago: usize) -> Changed {
        let (state, visible) = self.replicas[from].ago(ago);
        let replica = &mut self.replicas[to];
        replica.remember();
        replica.state.merge(&state);
        replica.visible.extend(visible);
        Some((to, Some(from)))
    }

    fn crash(&mut self, at: usize, ago: usize) -> Changed {
        let (state, visible) = self.replicas[at].ago(ago);
        let replica = &mut self.replicas[at];
        replica.life += 1;
        replica.past.clear();
        (replica.state, replica.visible) = (state, visible);
        replica.state.renew(Site { replica: at as u8, life: replica.life });
        Some((at, None))
    }

    fn visible(&self, ids: &BTreeSet<usize>) -> Visible<'_, T::Command> {
        Visible::new(ids.iter().map(|id| &self.events[*id]).collect())
    }

    fn holds(&self, at: usize) -> Result<(), String> {
        let replica = &self.replicas[at];
        replica.state.check()?;
        self.reads_as_specified(replica)
    }

    /// A delta that overtakes others shows part of what they did (that it replaced them), so that which events are
    /// visible is no longer a plain question; what then matters is where it ends.
    fn reads_as_specified(&self, replica: &Replica<T>) -> Result<(), String> {
        if self.mode == Mode::Unordered {
            return Ok(());
        }
        let (Some(expected), read) = (T::spec(&self.visible(&replica.visible)), replica.state.value()) else {
            return Ok(());
        };
        if read == expected { Ok(()) } else { Err(format!("it reads {read:?}, and should read {expected:?}")) }
    }

    /// Everybody gets everything, by every way there is.
    pub(crate) fn quiesce(&self) -> Result<(), String> {
        without_panic(|| self.try_quiesce())
    }

    fn try_quiesce(&self) -> Result<(), String> {
        let join = |x: &T, y: &T| {
            let mut joined = x.clone();
            joined.merge(y);
            joined
        };
        let states: Vec<&T> = self.replicas.iter().map(|replica| &replica.state).collect();
        for x in &states {
            if !join(x, x).same(x) {
                return Err("merging a state with itself changes nothing".to_owned());
            }
            for y in &states {
                if !join(x, y).same(&join(y, x)) {
                    return Err("merging does not depend on who merges whom".to_owned());
                }
                for z in &states {
                    if !join(&join(x, y), z).same(&join(x, &join(y, z))) {
                        return Err("merging does not depend on what is merged first".to_owned());
                    }
                }
            }
        }
        let mut all = self.replicas[0].clone();
        for other in &self.replicas[1..] {
            all.state.merge(&other.state);
            all.visible.extend(&other.visible);
        }
        if self.mode == Mode::Crashes {
            return self.reads_as_specified(&all); // what was lost everywhere but in an old delta stays lost
        }
        all.visible = (0..self.events.len()).collect();
        for (at, replica) in self.replicas.iter().enumerate() {
            let mut replica = replica.clone();
            let missing: Vec<usize> = (0..self.events.len()).filter(|id| !replica.visible.contains(id)).collect();
            let backwards = self.mode == Mode::Unordered && at % 2 == 1;
            let order: Vec<usize> = if backwards { missing.into_iter().rev().collect() } else { missing };
            let news: Vec<&T::Delta> = order.into_iter().map(|id| &self.deltas[id]).collect();
            let grouped = news.split_first().and_then(|(first, rest)| {
                rest.iter().try_fold((*first).clone(), |group, delta| T::group(&group, delta))
            });
            let mut by_group = replica.state.clone();
            news.into_iter().for_each(|delta| replica.state.apply(delta));
            if let Some(group) = grouped {
                by_group.apply(&group);
                if !by_group.same(&replica.state) {
                    return Err("a group of deltas does what the deltas do".to_owned());
                }
            }
            if !replica.state.same(&all.state) {
                let differ = (replica.state.value(), all.state.value());
                return Err(format!("deltas and merges end in the same state: {:?}, {:?}", differ.0, differ.1));
            }
            replica.visible.clone_from(&all.visible);
            replica.state.check_complete()?;
            self.reads_as_specified(&replica)?;
        }
        Ok(())
    }

    fn trace(&self, step: String, changed: Changed) -> Trace {
        let read = |replica: &Replica<T>| format!("{:?}", replica.state.value());
        Trace {
            step,
            at: changed.map(|(at, _)| at),
            from: changed.and_then(|(_, from)| from),
            values: self.replicas.iter().map(read).collect(),
            live: self.replicas.iter().map(|replica| replica.state.live()).collect(),
        }
    }
}

fn told<C: std::fmt::Debug>(step: &Step<C>, name: impl Fn(usize) -> char) -> String {
    match step {
        Step::Do { at, wall_ms, command } => format!("{}: {command:?} at {wall_ms} ms", name(*at)),
        Step::Deliver { to, event } => format!("{} <- delta of event {event}", name(*to)),
        Step::Merge { to, from, ago: 0 } => format!("{} <- state of {}", name(*to), name(*from)),
        Step::Merge { to, from, ago } => format!("{} <- state of {}, {ago} changes ago", name(*to), name(*from)),
        Step::Crash { at, ago } => format!("{} crashes, loses {ago} changes", name(*at)),
    }
}

/// Runs a schedule; gives the failure if there is one, without the steps after it.
pub(crate) fn run<T: Subject>(mode: Mode, mut steps: Vec<Step<T::Command>>) -> Option<Failure<T>> {
    let mut world: World<T> = World::new(mode, REPLICAS);
    let mut trace = Vec::new();
    let fail =
        |law, after, steps: Vec<Step<T::Command>>, trace| Some(Failure { mode, steps, after, law, seed: None, trace });
    for at in 0..steps.len() {
        let outcome = world.step(&steps[at]);
        let told = told(&steps[at], |replica| char::from(b'a' + replica as u8));
        let changed = outcome.clone().unwrap_or(Some((steps[at].replica(), None)));
        trace.push(world.trace(told, changed));
        if let Err(law) = outcome {
            steps.truncate(at + 1);
            return fail(law, at + 1, steps, trace);
        }
    }
    let law = world.quiesce().err()?;
    let after = steps.len();
    fail(law, after, steps, trace)
}
