//! The harness itself: known-wrong designs that it must catch, and joins that were tampered with.

use std::collections::{BTreeMap, BTreeSet};

use causal::{CausalContext, Dot, DotFun, DoubleSpentDot, Hlc, VersionVector};
use crdt::laws::{Failure, In, Mode, Site, Specified, Subject, Typed, Visible, find};
use crdt::{DotStore, Edit, Error, Payload, dot_store};
use quickcheck::{Arbitrary, Gen};

const RUNS: u64 = 20_000;

/// The smallest failure in any mode.
fn caught<T: Subject>() -> Failure<T> {
    let found = Mode::ALL.into_iter().filter_map(|mode| find::<T>(mode, RUNS));
    found.min_by_key(|failure| failure.steps.len()).expect("it is wrong, and the harness must say so")
}

/// A map of elements to sets as the best known library has it: each key has a version vector, so that a newer dot of an
/// actor hides the older ones, and what a removal removes becomes nothing.
#[derive(Clone, Debug, PartialEq)]
struct VectorMap {
    site: Site,
    clock: VersionVector<Site>,
    keys: BTreeMap<u8, Key>,
}

#[derive(Clone, Debug)]
struct Put {
    key: u8,
    element: u8,
}

impl Arbitrary for Put {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { key: u8::arbitrary(g) % 2, element: u8::arbitrary(g) % 2 }
    }
}

type Key = (VersionVector<Site>, BTreeMap<u8, VersionVector<Site>>);

impl VectorMap {
    /// What is left of a key that the other side, which has seen `clock`, does not have. This is the mistake: what was
    /// removed is taken to be the clock without the key's vector, which a newer write of the same actor has emptied.
    fn removed((entry, elements): &Key, clock: &VersionVector<Site>) -> Key {
        let removed = Self::without(clock, entry);
        let left = elements.iter().map(|(element, vector)| (*element, Self::without(vector, &removed)));
        (Self::without(entry, clock), left.collect())
    }

    fn without(vector: &VersionVector<Site>, seen: &VersionVector<Site>) -> VersionVector<Site> {
        vector.iter().filter(|(site, n)| *n > seen.get(site)).map(|(site, n)| (*site, n)).collect()
    }

    fn joined(
        own: &VersionVector<Site>,
        own_clock: &VersionVector<Site>,
        other: &VersionVector<Site>,
        other_clock: &VersionVector<Site>,
    ) -> VersionVector<Site> {
        let both = own.iter().filter(|(site, n)| other.get(site) == *n).map(|(site, n)| (*site, n));
        let mut kept: VersionVector<Site> = both.collect();
        kept.union(&Self::without(own, other_clock));
        kept.union(&Self::without(other, own_clock));
        kept
    }
}

impl Subject for VectorMap {
    type Command = In<Put>;
    type Value = BTreeMap<u8, BTreeSet<u8>>;
    type Delta = Self;

    fn start(site: Site) -> Self {
        Self { site, clock: VersionVector::new(), keys: BTreeMap::new() }
    }

    fn run(&mut self, wall_ms: u64, command: &In<Put>) -> Option<(Self, Hlc)> {
        match command {
            In::At(_, Put { key, element }) => {
                let dot = Dot::new(self.site, self.clock.get(&self.site) + 1);
                self.clock.insert(dot);
                let (entry, elements) = self.keys.entry(*key).or_default();
                entry.insert(dot);
                elements.insert(*element, [(dot.actor, dot.counter)].into_iter().collect());
            }
            In::Remove(key) => drop(self.keys.remove(key)),
        }
        Some((self.clone(), Hlc(wall_ms << 16)))
    }

    fn apply(&mut self, delta: &Self) {
        self.merge(delta);
    }

    fn merge(&mut self, other: &Self) {
        let keys: BTreeSet<u8> = self.keys.keys().chain(other.keys.keys()).copied().collect();
        for key in keys {
            let merged = match (self.keys.remove(&key), other.keys.get(&key)) {
                (Some((own, elements)), Some((theirs, their_elements))) => {
                    let entry = Self::joined(&own, &self.clock, theirs, &other.clock);
                    let nothing = VersionVector::new();
                    let both: BTreeSet<u8> = elements.keys().chain(their_elements.keys()).copied().collect();
                    let of = |elements: &BTreeMap<u8, _>, element| elements.get(element).unwrap_or(&nothing).clone();
                    let joined = both.iter().map(|element| {
                        let (own, theirs) = (of(&elements, element), of(their_elements, element));
                        (*element, Self::joined(&own, &self.clock, &theirs, &other.clock))
                    });
                    (entry, joined.collect())
                }
                (Some(entry), None) => Self::removed(&entry, &other.clock),
                (None, Some(entry)) => Self::removed(entry, &self.clock),
                (None, None) => continue,
            };
            let elements: BTreeMap<_, _> = merged.1.into_iter().filter(|(_, vector)| !vector.is_empty()).collect();
            if !merged.0.is_empty() {
                self.keys.insert(key, (merged.0, elements));
            }
        }
        self.clock.union(&other.clock);
    }

    fn value(&self) -> Self::Value {
        self.keys.iter().map(|(key, (_, elements))| (*key, elements.keys().copied().collect())).collect()
    }

    /// What is read: the vectors beneath differ after three steps already, and it is the lost reset that is looked for.
    fn same(&self, other: &Self) -> bool {
        self.value() == other.value()
    }

    fn renew(&mut self, site: Site) {
        self.site = site;
    }

    fn spec(visible: &Visible<'_, In<Put>>) -> Option<Self::Value> {
        let mut value: Self::Value = BTreeMap::new();
        for event in visible.iter() {
            if let In::At(_, Put { key, element }) = &event.command {
                let removes = |command: &In<Put>| matches!(command, In::Remove(removed) if removed == key);
                if !visible.is_seen(event, removes) {
                    value.entry(*key).or_default().insert(*element);
                }
            }
        }
        Some(value)
    }
}

#[test]
fn a_vector_per_entry_loses_resets() {
    let failure = caught::<VectorMap>();
    println!("{failure}");
    assert!(failure.steps.len() <= 4 && failure.to_string().contains("Remove"), "{failure}");
}

/// A payload for the wrong designs below.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Total(i64);

impl<A> Payload<A> for Total {}

/// A counter that folds an actor's increments into one dot, and forgets that a reset has seen part of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Folding {
    live: DotFun<Site, Total>,
}

dot_store!(Folding<> by Site { live: DotFun<Site, Total> });

#[derive(Clone, Copy, Debug)]
enum Count {
    Add,
    Reset,
}

impl Arbitrary for Count {
    fn arbitrary(g: &mut Gen) -> Self {
        if bool::arbitrary(g) { Count::Add } else { Count::Reset }
    }
}

impl Specified for Folding {
    type Command = Count;
    type Value = i64;

    fn run(edit: &mut Edit<'_, Self>, command: &Count) -> Result<(), Error<Site>> {
        let actor = *edit.actor();
        let mut live = edit.field(|it| &it.live, |it| &mut it.live);
        match command {
            Count::Add => {
                let own = live.live().filter(|(dot, _)| dot.actor == actor).map(|(_, total)| total.0).sum::<i64>();
                live.discard(|dot, _| dot.actor == actor);
                live.mint(|_| Total(own + 1)).map(drop)
            }
            Count::Reset => live.clear(),
        }
    }

    fn read(&self) -> i64 {
        self.live.iter().map(|(_, total)| total.0).sum()
    }

    fn spec(visible: &Visible<'_, Count>) -> Option<i64> {
        let adds = visible.filter(|command| matches!(command, Count::Add));
        let resets = |command: &Count| matches!(command, Count::Reset);
        Some(adds.iter().filter(|event| !visible.is_seen(event, resets)).count() as i64)
    }
}

#[test]
fn a_fold_undoes_a_reset() {
    let failure = caught::<Typed<Folding>>();
    println!("{failure}");
    assert!(failure.law.contains("should read") && failure.steps.len() <= 6, "{failure}");
    assert!(!failure.guilty_dots().is_empty());
    let svg = failure.to_svg();
    assert!(svg.starts_with("<svg") && svg.contains("Reset") && svg.ends_with("</svg>\n"));
}

/// A set whose elements carry the whole clock of their writer, as a value tagged by what its author had seen instead of
/// by its own dot: a removal of one element takes others with it, or leaves it.
#[derive(Clone, Debug, PartialEq)]
struct WholeClock {
    site: Site,
    clock: VersionVector<Site>,
    elements: BTreeMap<u8, VersionVector<Site>>,
}

impl Subject for WholeClock {
    type Command = In<bool>;
    type Value = BTreeSet<u8>;
    type Delta = Self;

    fn start(site: Site) -> Self {
        Self { site, clock: VersionVector::new(), elements: BTreeMap::new() }
    }

    fn run(&mut self, wall_ms: u64, command: &In<bool>) -> Option<(Self, Hlc)> {
        match command {
            In::At(element, _) => {
                self.clock.insert(Dot::new(self.site, self.clock.get(&self.site) + 1));
                self.elements.insert(*element, self.clock.clone());
            }
            In::Remove(element) => drop(self.elements.remove(element)),
        }
        Some((self.clone(), Hlc(wall_ms << 16)))
    }

    fn apply(&mut self, delta: &Self) {
        self.merge(delta);
    }

    fn merge(&mut self, other: &Self) {
        let own_clock = self.clock.clone();
        self.elements.retain(|element, tag| other.elements.contains_key(element) || !other.clock.covers(tag));
        for (element, tag) in &other.elements {
            match self.elements.get_mut(element) {
                Some(own) => own.union(tag),
                None if !own_clock.covers(tag) => drop(self.elements.insert(*element, tag.clone())),
                None => {}
            }
        }
        self.clock.union(&other.clock);
    }

    fn value(&self) -> BTreeSet<u8> {
        self.elements.keys().copied().collect()
    }

    fn same(&self, other: &Self) -> bool {
        (&self.clock, &self.elements) == (&other.clock, &other.elements)
    }

    fn renew(&mut self, site: Site) {
        self.site = site;
    }

    fn spec(visible: &Visible<'_, In<bool>>) -> Option<BTreeSet<u8>> {
        let added = visible.iter().filter_map(|event| match event.command {
            In::At(element, _) => Some((event, element)),
            In::Remove(_) => None,
        });
        let kept = added.filter(|(event, element)| {
            !visible.is_seen(event, |command| matches!(command, In::Remove(removed) if removed == element))
        });
        Some(kept.map(|(_, element)| element).collect())
    }
}

#[test]
fn a_tag_of_the_whole_clock_is_not_a_dot() {
    println!("{}", caught::<WholeClock>());
}

/// A register in a map that counts its own writes, and starts again at 1 when it was removed.
#[derive(Clone, Debug, PartialEq)]
struct Restarting {
    site: Site,
    written: BTreeMap<u8, (u64, Site, u8)>,
    removed: BTreeMap<u8, BTreeMap<Site, u64>>,
}

impl Subject for Restarting {
    type Command = In<u8>;
    type Value = BTreeMap<u8, u8>;
    type Delta = Self;

    fn start(site: Site) -> Self {
        Self { site, written: BTreeMap::new(), removed: BTreeMap::new() }
    }

    fn run(&mut self, wall_ms: u64, command: &In<u8>) -> Option<(Self, Hlc)> {
        match command {
            In::At(key, value) => {
                let counter = self.written.get(key).map_or(0, |(counter, _, _)| *counter) + 1;
                self.written.insert(*key, (counter, self.site, *value));
            }
            In::Remove(key) => {
                if let Some((counter, site, _)) = self.written.remove(key) {
                    let seen = self.removed.entry(*key).or_default().entry(site).or_default();
                    *seen = (*seen).max(counter);
                }
            }
        }
        Some((self.clone(), Hlc(wall_ms << 16)))
    }

    fn apply(&mut self, delta: &Self) {
        self.merge(delta);
    }

    fn merge(&mut self, other: &Self) {
        for (key, sites) in &other.removed {
            for (site, counter) in sites {
                let seen = self.removed.entry(*key).or_default().entry(*site).or_default();
                *seen = (*seen).max(*counter);
            }
        }
        for (key, theirs) in &other.written {
            let own = self.written.get(key).copied();
            self.written.insert(*key, own.map_or(*theirs, |own| own.max(*theirs)));
        }
        let removed = &self.removed;
        self.written.retain(|key, (counter, site, _)| {
            removed.get(key).and_then(|sites| sites.get(site)).is_none_or(|seen| seen < counter)
        });
    }

    fn value(&self) -> BTreeMap<u8, u8> {
        self.written.iter().map(|(key, (_, _, value))| (*key, *value)).collect()
    }

    fn same(&self, other: &Self) -> bool {
        (&self.written, &self.removed) == (&other.written, &other.removed)
    }

    fn renew(&mut self, site: Site) {
        self.site = site;
    }
}

#[test]
fn a_nested_counter_that_restarts_loses_what_is_written_after_a_removal() {
    println!("{}", caught::<Restarting>());
}

/// The register of siblings with one branch of its join tampered with: `N` says which.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tampered<const N: u8> {
    live: DotFun<Site, Total>,
}

impl<const N: u8> DotStore for Tampered<N> {
    type Actor = Site;
    const HAS_PAYLOADS: bool = true;

    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<Site>> {
        self.live.agrees(&other.live)
    }

    fn join(&mut self, own: &CausalContext<Site>, other: &Self, theirs: &CausalContext<Site>) {
        let nothing = CausalContext::new();
        let swapped = match N {
            0 => (own, theirs),
            1 => (theirs, own),      // each side's past taken for the other's
            2 => (&nothing, theirs), // what was seen here and removed comes back
            3 => (own, &nothing),    // removals there are not noticed
            _ => (own, own),         // what only this side has goes
        };
        DotStore::join(&mut self.live, swapped.0, &other.live, swapped.1);
    }

    fn join_delta(&mut self, own: &CausalContext<Site>, delta: &Self, theirs: &CausalContext<Site>) {
        self.join(own, delta, theirs);
    }

    fn group(&mut self, own: &CausalContext<Site>, other: &Self, theirs: &CausalContext<Site>) {
        self.join(own, other, theirs);
    }

    fn is_bottom(&self) -> bool {
        self.live.is_bottom()
    }

    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<Site>)) {
        self.live.each_dot(visit);
    }

    fn shows(&self) -> bool {
        self.live.shows()
    }

    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<Site>> {
        place.field(|it| &it.live, |it| &mut it.live).clear()
    }

    fn part(&self, dots: &CausalContext<Site>) -> Self {
        Self { live: self.live.part(dots) }
    }

    fn latest(&self) -> Hlc {
        Hlc(0)
    }
}

impl<const N: u8> Specified for Tampered<N> {
    type Command = Option<bool>;
    type Value = usize;

    fn run(edit: &mut Edit<'_, Self>, command: &Option<bool>) -> Result<(), Error<Site>> {
        let mut live = edit.field(|it| &it.live, |it| &mut it.live);
        match command {
            Some(value) => live.replace(Total(i64::from(*value))).map(drop),
            None => live.clear(),
        }
    }

    fn read(&self) -> usize {
        self.live.len()
    }

    fn spec(visible: &Visible<'_, Option<bool>>) -> Option<usize> {
        Some(visible.maximal().filter(|event| event.command.is_some()).count())
    }
}

#[test]
fn a_join_with_any_branch_tampered_with_is_caught() {
    assert!(Mode::ALL.into_iter().all(|mode| find::<Typed<Tampered<0>>>(mode, 300).is_none()), "the real one holds");
    println!("{}\n{}", caught::<Typed<Tampered<1>>>(), caught::<Typed<Tampered<2>>>());
    println!("{}\n{}", caught::<Typed<Tampered<3>>>(), caught::<Typed<Tampered<4>>>());
}
