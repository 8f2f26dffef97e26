//! One semantics in two forms: what is done to a type in memory and to the same type kept place by place in records reads
//! alike, for every type, whatever way the news goes.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::BTreeMap;

use causal::{Hlc, Lease, Leased, Minter, NoSuccessor};
use crdt::laws::{Mode, Nested, Owned, Site, Specified, SpecifiedLattice, Subject, Visible, check};
use crdt::{
    AwMap, AwSet, BoundedCounter, Counter, Delta, Document, DwFlag, Error, EwFlag, Expiring, GCounter, GSet, Hll,
    LatticeBytes, Log, LwwRegister, LwwSet, MaxRegister, MinRegister, MvRegister, Num, PnCounter, Records, Replica,
    RwSet, Seq, State, StoreBytes, Stored, StoredLattice, Text, ZSet,
};

/// The context of the object `x`.
const CONTEXT: &[u8] = b"x\0\x01c";

type Memory = BTreeMap<Vec<u8>, Vec<u8>>;

struct At(Leased<Site>);

impl Lease<Site> for At {
    type Error = NoSuccessor;
    fn load(&mut self) -> Result<Leased<Site>, NoSuccessor> {
        Ok(self.0.clone())
    }
    fn extend(&mut self, _: u64) -> Result<(), NoSuccessor> {
        Ok(())
    }
    fn renew(&mut self) -> Result<Site, NoSuccessor> {
        Err(NoSuccessor)
    }
}

/// A replica in both forms. Edits are made in one of them, by turns, and applied to the other.
#[derive(Clone)]
struct Both<S: Specified + StoreBytes> {
    state: State<S>,
    records: Memory,
    site: Site,
    edits: u64,
}

impl<S: Specified + StoreBytes> Both<S> {
    fn minter(&self) -> Minter<Site, At> {
        let through = self.state.context().max(&self.site);
        Minter::open(At(Leased { actor: self.site, through })).unwrap().with_block(1)
    }

    fn stored(&mut self) -> Stored<S, Memory> {
        Stored::open(std::mem::take(&mut self.records), b"x", self.minter()).unwrap()
    }
}

impl<S: Specified + StoreBytes> Subject for Both<S> {
    type Command = S::Command;
    type Value = S::Value;
    type Delta = Delta<S>;

    fn start(site: Site) -> Self {
        Self { state: State::new(), records: Memory::new(), site, edits: 0 }
    }

    fn run(&mut self, wall_ms: u64, command: &S::Command) -> Option<(Delta<S>, Hlc)> {
        self.edits += 1;
        let mut at = Hlc(0);
        let mut stored = self.stored();
        let outcome = if self.edits.is_multiple_of(2) {
            let outcome = stored.edit_at(wall_ms, |edit| {
                at = edit.now();
                S::run(edit, command)
            });
            outcome.inspect(|delta| self.state.apply(delta).unwrap())
        } else {
            let mut replica = Replica::recover(self.state.clone(), self.minter()).unwrap();
            let outcome = replica.edit_at(wall_ms, |edit| {
                at = edit.now();
                S::run(edit, command)
            });
            self.state = replica.state().clone();
            // The lease of the stored form has not given these dots out: it opens anew with what is there.
            let mut late = Stored::open(stored.into_records(), b"x", self.minter()).unwrap();
            let outcome = outcome.inspect(|delta| late.apply(delta).unwrap());
            stored = late;
            outcome
        };
        self.records = stored.into_records();
        Some((outcome.ok()?, at))
    }

    fn apply(&mut self, delta: &Delta<S>) {
        self.state.apply(delta).unwrap();
        let mut stored = self.stored();
        stored.apply(delta).unwrap();
        self.records = stored.into_records();
    }

    fn merge(&mut self, other: &Self) {
        self.state.merge(&other.state).unwrap();
        let mut stored = self.stored();
        stored.merge(&other.state).unwrap();
        self.records = stored.into_records();
    }

    fn value(&self) -> S::Value {
        self.clone().stored().load_all().unwrap().read()
    }

    fn same(&self, other: &Self) -> bool {
        self.state == other.state
    }

    fn renew(&mut self, site: Site) {
        self.site = site;
    }

    fn spec(visible: &Visible<'_, S::Command>) -> Option<S::Value> {
        S::spec(visible)
    }

    fn check(&self) -> Result<(), String> {
        let stored = self.clone().stored().load_all().map_err(|why| why.to_string())?;
        if stored != self.state {
            return Err("both forms have the same state".to_owned());
        }
        if stored.read() != self.state.read() {
            return Err("both forms read the same".to_owned());
        }
        let late = stored.diff(&State::<S>::new().digest());
        let mut again = Self::start(Site { replica: 9, life: 0 });
        again.apply(&late);
        let places = |records: &Memory| records.iter().filter(|it| it.0 != CONTEXT).count();
        // Nodes of trees are cut as it happens.
        if S::HAS_TREES || places(&again.records) == places(&self.records) {
            Ok(())
        } else {
            Err("nothing is left behind in records".to_owned())
        }
    }
}

fn alike<S: Specified + StoreBytes>() {
    Mode::ALL.into_iter().for_each(|mode| check::<Both<S>>(mode, 60));
    check::<Both<Nested<S>>>(Mode::Unordered, 80);
    check::<Both<Nested<S>>>(Mode::Causal, 80);
}

macro_rules! each {
    ($($name:ident: $($type:ty),+;)*) => {$(
        #[test]
        fn $name() {
            $(alike::<$type>();)+
        }
    )*};
}

each! {
    registers_read_alike_in_memory_and_in_records: MvRegister<Site, u8>, LwwRegister<Site, u8>, MaxRegister<Site, u8>, MinRegister<Site, u8>;
    flags_read_alike_in_memory_and_in_records: EwFlag<Site>, DwFlag<Site>, Expiring<EwFlag<Site>>;
    sets_read_alike_in_memory_and_in_records: AwSet<Site, u8>, RwSet<Site, u8>, LwwSet<Site, u8>;
    numbers_read_alike_in_memory_and_in_records: Counter<Site>, Num<Site>, ZSet<Site, u8>;
    sequences_read_alike_in_memory_and_in_records: Log<Site, u8>, Seq<Site, u8>;
    documents_read_alike_in_memory_and_in_records: Document<Site>;
}

/// A lattice in both forms.
#[derive(Clone)]
struct BothGrow<L> {
    owned: Owned<L>,
    records: Memory,
}

impl<L: SpecifiedLattice + LatticeBytes> BothGrow<L> {
    fn keep(&mut self, delta: &L) {
        let mut stored = StoredLattice::<L, _>::open(self.records.clone(), b"x").unwrap();
        stored.apply(delta).unwrap();
        self.records = stored.records().clone();
    }
}

impl<L: SpecifiedLattice + LatticeBytes> Subject for BothGrow<L> {
    type Command = L::Command;
    type Value = L::Value;
    type Delta = L;

    fn start(site: Site) -> Self {
        Self { owned: Owned::start(site), records: Memory::new() }
    }

    fn run(&mut self, wall_ms: u64, command: &L::Command) -> Option<(L, Hlc)> {
        let (delta, at) = self.owned.run(wall_ms, command)?;
        self.keep(&delta);
        Some((delta, at))
    }

    fn apply(&mut self, delta: &L) {
        self.owned.apply(delta);
        self.keep(delta);
    }

    fn merge(&mut self, other: &Self) {
        self.owned.merge(&other.owned);
        self.keep(&StoredLattice::<L, _>::open(other.records.clone(), b"x").unwrap().load_all().unwrap());
    }

    fn value(&self) -> L::Value {
        StoredLattice::<L, _>::open(self.records.clone(), b"x").unwrap().load_all().unwrap().read()
    }

    fn same(&self, other: &Self) -> bool {
        self.owned.same(&other.owned) && self.records == other.records
    }

    fn renew(&mut self, site: Site) {
        self.owned.renew(site);
    }

    fn spec(visible: &Visible<'_, L::Command>) -> Option<L::Value> {
        L::spec(visible)
    }

    fn check(&self) -> Result<(), String> {
        if self.value() == self.owned.value() { Ok(()) } else { Err("both forms read the same".to_owned()) }
    }
}

#[test]
fn what_only_grows_reads_alike_in_memory_and_in_records() {
    fn grows<L: SpecifiedLattice + LatticeBytes>() {
        Mode::ALL.into_iter().for_each(|mode| check::<BothGrow<L>>(mode, 40));
    }
    grows::<GCounter<Site>>();
    grows::<PnCounter<Site>>();
    grows::<GSet<u8>>();
    grows::<BoundedCounter<Site>>();
    grows::<Hll>();
}

#[test]
fn a_part_more_of_what_only_grows_costs_a_look_up_and_a_record() {
    let mut set = StoredLattice::<GSet<u64>, _>::open(Counting::default(), b"").unwrap();
    set.apply(&(0..20_000).collect()).unwrap();
    let (reads, written) = (set.records().reads.get(), set.records().written);
    set.apply(&GSet::from_iter([7, 30_000])).unwrap();
    assert_eq!((set.records().reads.get() - reads, set.records().written - written), (2, 2));
    let mut records = set.records().records.clone();
    assert!(StoredLattice::<Hll, _>::open(records.clone(), b"").is_err());
    let part = records.keys().next_back().unwrap().clone();
    records.get_mut(&part).unwrap().push(1);
    let damaged = StoredLattice::<GSet<u64>, _>::open(records, b"").unwrap();
    assert!(matches!(damaged.load_all(), Err(Error::Records(_))));
}

/// Counts what is asked of it.
#[derive(Default)]
struct Counting {
    records: Memory,
    reads: std::cell::Cell<usize>,
    scans: std::cell::Cell<usize>,
    visited: std::cell::Cell<usize>,
    reads_left: std::cell::Cell<Option<usize>>,
    written: usize,
    bytes: usize,
    fails: bool,
}

impl Records for Counting {
    type Error = String;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.reads.set(self.reads.get() + 1);
        match self.reads_left.get() {
            Some(0) => return Err("it cannot be read".to_owned()),
            left => self.reads_left.set(left.map(|left| left - 1)),
        }
        Ok(self.records.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), String> {
        self.scans.set(self.scans.get() + 1);
        let mut visit = |key: &[u8], record: &[u8]| {
            self.visited.set(self.visited.get() + 1);
            visit(key, record)
        };
        Records::scan(&self.records, prefix, &mut visit).map_err(|why| why.to_string())
    }

    fn write(&mut self, batch: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), String> {
        if self.fails {
            return Err("the disk is full".to_owned());
        }
        self.written += batch.len();
        self.bytes += batch.iter().map(|(key, record)| key.len() + record.as_ref().map_or(0, Vec::len)).sum::<usize>();
        Records::write(&mut self.records, batch).map_err(|why| why.to_string())
    }
}

#[test]
fn an_element_more_costs_a_look_up_and_two_small_records_whatever_the_size() {
    let mut set = Stored::<AwSet<u64, u64>, _>::open(Counting::default(), b"", Minter::once(1)).unwrap();
    let _ = set.edit(|set| (0..50_000u64).try_for_each(|element| set.add(element))).unwrap();
    let records = set.into_records();
    let (reads, written, bytes) = (records.reads.get(), records.written, records.bytes);
    let mut set = Stored::<AwSet<u64, u64>, _>::open(records, b"", Minter::once(2)).unwrap();
    let _ = set.edit(|set| set.add(60_000u64)).unwrap();
    let _ = set.edit(|set| set.remove(7u64)).unwrap();
    let records = set.records();
    assert_eq!((records.reads.get() - reads, records.scans.get(), records.written - written), (3, 0, 4));
    assert!(records.bytes - bytes < 2 * 120, "{}", records.bytes - bytes);
}

/// A draft that is run again takes its dots back; once these were those of the edit before, which was done.
#[test]
fn edits_one_after_the_other_never_give_one_dot_twice() {
    let mut set = Stored::<AwSet<u64, u64>, _>::open(Memory::new(), b"", Minter::once(1)).unwrap();
    for element in 0..5u64 {
        let delta = set.edit(|set| set.add(element)).unwrap();
        assert!(delta.context().dots().eq([causal::Dot::new(1, element + 1)]));
    }
}

#[test]
fn objects_whose_names_begin_alike_do_not_meet() {
    let mut records = Memory::new();
    for name in [&b"list:sho"[..], b"list:shop", b"list:shopping"] {
        let mut set = Stored::<AwSet<u64, u64>, _>::open(records, name, Minter::once(1)).unwrap();
        let _ = set.edit(|set| set.add(name.len() as u64)).unwrap();
        records = set.into_records();
    }
    let set = Stored::<AwSet<u64, u64>, _>::open(records, b"list:sho", Minter::once(2)).unwrap();
    assert!(set.load_all().unwrap().iter().eq(&[8]));
}

/// An edit that looks at what is there sees all of it, however much of it was loaded before.
#[test]
fn what_an_edit_looks_at_is_there() {
    let mut set = Stored::<AwSet<u64, u64>, _>::open(Memory::new(), b"", Minter::once(1)).unwrap();
    let _ = set.edit(|set| set.add(1u64)).unwrap();
    let mut saw = false;
    let _ = set
        .edit(|set| {
            saw = set.current().contains(&1);
            Ok(())
        })
        .unwrap();
    assert!(saw);
}

/// A read that fails in the middle of an edit, and then a new name: the dots of the old one are not used again.
#[test]
fn after_a_read_that_failed_and_a_renewal_the_old_dots_are_gone() {
    struct Lives(u64);
    impl Lease<u64> for Lives {
        type Error = NoSuccessor;
        fn load(&mut self) -> Result<Leased<u64>, NoSuccessor> {
            Ok(Leased { actor: self.0, through: 0 })
        }
        fn extend(&mut self, _: u64) -> Result<(), NoSuccessor> {
            Ok(())
        }
        fn renew(&mut self) -> Result<u64, NoSuccessor> {
            self.0 = 77;
            Ok(77)
        }
    }
    let records = Counting::default();
    records.reads_left.set(Some(1));
    let mut set = Stored::<AwSet<u64, u64>, _>::open(records, b"", Minter::open(Lives(1)).unwrap()).unwrap();
    assert_eq!(set.edit(|set| set.add(1u64)).err(), Some(Error::Records("it cannot be read".into())));
    set.records().reads_left.set(None);
    set.renew().unwrap();
    let delta = set.edit(|set| set.add(2u64)).unwrap();
    assert!(delta.context().dots().eq([causal::Dot::new(77, 1)]));
}

#[test]
fn removing_a_key_loads_what_is_under_it() {
    type Carts = AwMap<u64, AwSet<u64, u64>>;
    let mut carts = Stored::<Carts, _>::open(Counting::default(), b"", Minter::once(1)).unwrap();
    let _ = carts.edit(|carts| (0..100u64).try_for_each(|cart| carts.at(cart).add(cart))).unwrap();
    let (visited, written) = (carts.records().visited.get(), carts.records().written);
    let _ = carts.edit(|carts| carts.remove(7u64)).unwrap();
    assert_eq!((carts.records().visited.get() - visited, carts.records().written - written), (1, 2));
    let mut notes = Stored::<Document<u64>, _>::open(Counting::default(), b"", Minter::once(1)).unwrap();
    let _ = notes.edit(|notes| (0..100u32).try_for_each(|n| notes.map().at(n.to_string()).set().add(n))).unwrap();
    let visited = notes.records().visited.get();
    let _ = notes.edit(|notes| notes.remove("7")).unwrap();
    assert_eq!(notes.records().visited.get() - visited, 1);
    assert_eq!(notes.load_all().unwrap().map().unwrap().len(), 99);
}

/// A box whose only place has the path of the box: that it was asked for once hid that it was emptied.
#[test]
fn a_box_of_one_place_is_emptied_in_records_too() {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Flagged {
        flag: crdt::Boxed<crdt::DotSet<u64>>,
    }
    crdt::dot_store!(Flagged<> by u64 { flag: crdt::Boxed<crdt::DotSet<u64>> });
    crdt::store_bytes!(Flagged<> by u64, "flagged" { flag: crdt::Boxed<crdt::DotSet<u64>> });
    let mut it = Stored::<Flagged, _>::open(Memory::new(), b"", Minter::once(1)).unwrap();
    let set = |it: &mut crdt::Edit<'_, Flagged>| it.field(|it| &it.flag, |it| &mut it.flag).inside().replace(());
    let _ = it.edit(set).unwrap();
    assert!(it.load_all().unwrap().flag.get().is_some());
    let _ = it.edit(|it| it.clear()).unwrap();
    assert!(it.load_all().unwrap().flag.get().is_none());
}

#[test]
fn records_of_another_type_are_refused() {
    let mut num = Stored::<Num<u64>, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let _ = num.edit(|num| num.set(1)).unwrap();
    let opened = Stored::<Counter<u64>, _>::open(num.into_records(), b"x", Minter::once(2));
    assert_eq!(opened.err(), Some(Error::Records("they are of another type or release".into())));
}

/// Numbers that look as if drawn, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

type Note = AwMap<u8, Text<u64>>;

/// Puts something into a text, or takes something out.
fn type_a_bit(note: &mut crdt::Edit<'_, Note>, seed: u64) -> Result<(), Error<u64>> {
    let (mut dice, mut text) = (Dice(seed), note.at(7));
    for _ in 0..=dice.below(3) {
        let (len, at) = (text.len(), dice.below(text.len() + 1));
        if dice.below(3) == 0 {
            text.remove(at..(at + dice.below(9)).min(len))?;
        } else {
            let word: String = (0..=dice.below(20)).map(|_| char::from(b'a' + dice.below(26) as u8)).collect();
            text.insert(at, &word)?;
        }
    }
    Ok(())
}

/// Two people type, one in memory and one in records, and their news comes late and in any order.
#[test]
fn a_long_text_reads_alike_in_memory_and_in_records() {
    for seed in 1..=6 {
        let mut dice = Dice(seed);
        let mut here = Replica::<Note>::new(Minter::once(1));
        let mut there = Stored::<Note, _>::open(Memory::new(), b"x", Minter::once(2)).unwrap();
        let (mut to_there, mut to_here) = (Vec::new(), Vec::new());
        for step in 0..600 {
            match dice.below(4) {
                0 => to_there.push(here.edit(|note| type_a_bit(note, step)).unwrap()),
                1 => to_here.push(there.edit(|note| type_a_bit(note, step)).unwrap()),
                2 if !to_there.is_empty() => {
                    there.apply(&to_there.swap_remove(dice.below(to_there.len()))).unwrap();
                }
                _ if !to_here.is_empty() => here.apply(&to_here.swap_remove(dice.below(to_here.len()))).unwrap(),
                _ => {}
            }
        }
        to_here.iter().for_each(|delta| here.apply(delta).unwrap());
        to_there.iter().for_each(|delta| there.apply(delta).unwrap());
        let all = there.load_all().unwrap();
        assert_eq!(all, *here.state());
        let text = here.get(&7).unwrap();
        assert!(text.len() > 1_500 && there.records().len() > 100);
        assert_eq!(all.get(&7).unwrap().to_string(), text.to_string());
        for _ in 0..20 {
            let from = dice.below(text.len());
            let range = from..from + dice.below(200);
            assert_eq!(there.read(|note| Ok(note.at(7).slice(range.clone()))).unwrap(), text.slice(range));
        }
        // What is known already changes nothing, whether it comes whole or in parts.
        let before = there.records().clone();
        there.merge(here.state()).unwrap();
        there.apply(&here.state().diff(&State::<Note>::new().digest())).unwrap();
        assert!(*there.records() == before);
        let mut late = Stored::<Note, _>::open(Memory::new(), b"x", Minter::once(3)).unwrap();
        late.merge(here.state()).unwrap();
        assert_eq!(late.load_all().unwrap(), *here.state());
        let _ = late.edit(|note| note.at(7).clear()).unwrap();
        assert!(late.load_all().unwrap().get(&7).is_none());
    }
}

#[test]
fn a_long_ranking_reads_alike_in_memory_and_in_records() {
    type Board = ZSet<u64, u64>;
    let mut dice = Dice(5);
    let mut here = Replica::<Board>::new(Minter::once(1));
    let mut there = Stored::<Board, _>::open(Memory::new(), b"x", Minter::once(2)).unwrap();
    for round in 0..1_500u64 {
        let (member, score) = (dice.below(600) as u64, dice.below(50) as i64);
        let change = |board: &mut crdt::Edit<'_, Board>| match round % 5 {
            0 => board.remove(member),
            1 => board.add(member, score),
            _ => board.set(member, score),
        };
        if dice.below(2) == 0 {
            there.apply(&here.edit(change).unwrap()).unwrap();
        } else {
            here.apply(&there.edit(change).unwrap()).unwrap();
        }
    }
    assert!(here.len() > 300);
    assert_eq!(there.load_all().unwrap(), *here.state());
    assert_eq!(there.read(|board| Ok(board.len())).unwrap(), here.len());
    for member in 0..600 {
        assert_eq!(there.read(|board| Ok(board.rank(member))).unwrap(), here.rank(&member));
    }
    for from in (0..here.len()).step_by(37) {
        let expected: Vec<(u64, i64)> = here.by_rank(from..from + 50).map(|(member, score)| (*member, score)).collect();
        assert_eq!(there.read(|board| Ok(board.by_rank(from..from + 50))).unwrap(), expected);
    }
    // An edit sees its own steps.
    let looked = there.read(|board| {
        board.set(601u64, -1)?;
        board.remove(7u64)?;
        let first = board.by_rank(0..1);
        Ok((first, board.rank(601u64), board.rank(7u64), board.len()))
    });
    let len = here.len() + 1 - usize::from(here.score(&7).is_some());
    assert_eq!(looked.unwrap(), (vec![(601, -1)], Some(0), None, len));
    let _ = there.edit(|board| board.clear()).unwrap();
    assert!(there.load_all().unwrap().is_empty());
    let left: Vec<_> =
        there.records().keys().filter(|key| !key.starts_with(b"x\0\x01p\0") && *key != CONTEXT).collect();
    assert!(left.is_empty(), "nothing is left of the tree: {left:?}");
}

/// Reads, records written and bytes for one element more in the middle of a list, and one less.
fn cost_of_an_element(list: &mut Stored<Seq<u64, u64>, Counting>) -> [usize; 3] {
    let middle = list.read(|list| Ok(list.len())).unwrap() / 2;
    let of = |list: &Stored<Seq<u64, u64>, Counting>| {
        let records = list.records();
        [records.reads.get() + records.visited.get(), records.written, records.bytes]
    };
    let before = of(list);
    let _ = list.edit(|list| list.insert(middle, [7])).unwrap();
    let _ = list.edit(|list| list.remove(middle + 9..middle + 10)).unwrap();
    let after = of(list);
    [0, 1, 2].map(|at| after[at] - before[at])
}

#[test]
fn an_element_more_in_a_long_list_costs_a_record_for_each_level_of_a_tree() {
    let mut list = Stored::<Seq<u64, u64>, _>::open(Counting::default(), b"", Minter::once(1)).unwrap();
    for round in 0..150u64 {
        // Every element is a run of its own: backwards, none goes on where another ended.
        let _ = list.edit(|list| (0..200u64).try_for_each(|n| list.insert(0, [round * 200 + n]))).unwrap();
    }
    let [reads, written, bytes] = cost_of_an_element(&mut list);
    assert!(reads < 40 && written < 24 && bytes < 6_000, "{reads} {written} {bytes}");
}

#[test]
fn a_tree_with_a_damaged_node_is_refused_and_nothing_is_changed() {
    let mut list = Stored::<Seq<u64, u64>, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let _ = list.edit(|list| (0..500u64).try_for_each(|n| list.insert(0, [n]))).unwrap();
    let records = list.into_records();
    let nodes: Vec<_> = records.keys().filter(|key| *key != CONTEXT).cloned().collect();
    assert!(nodes.len() > 80);
    for node in &nodes {
        let mut damaged = records.clone();
        damaged.get_mut(node).unwrap()[5] ^= 1;
        let mut gone = records.clone();
        gone.remove(node);
        for records in [damaged, gone] {
            let mut list = Stored::<Seq<u64, u64>, _>::open(records.clone(), b"x", Minter::once(2)).unwrap();
            // Who reads all of it needs no more than the head and the leaves of the runs.
            let is_needed =
                node.strip_prefix(b"x\0\x01p").is_some_and(|path| path.is_empty() || path.starts_with(&[1, 1]));
            let is_gone = records.len() <= nodes.len();
            assert!(list.load_all().is_err() || (is_gone && !is_needed), "{node:?}");
            let edited = list.edit(|list| (0..500).step_by(7).rev().try_for_each(|at| list.remove(at..at + 1)));
            assert!(edited.is_err(), "{node:?}");
            assert!(*list.records() == records);
        }
    }
}

/// The entry of a ranking of which one member was loaded, and removed, once seemed to be empty: all of it was removed.
#[test]
fn a_member_less_leaves_the_others_of_a_ranking_in_a_map() {
    type Boards = AwMap<u8, ZSet<u64, u64>>;
    let mut boards = Stored::<Boards, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let _ = boards.edit(|boards| (0..5u64).try_for_each(|n| boards.at(1).set(n, n as i64))).unwrap();
    let _ = boards.edit(|boards| boards.at(1).remove(0u64)).unwrap();
    let read = boards.read(|boards| {
        let mut board = boards.at(1);
        Ok((board.len(), board.rank(3u64), board.by_rank(0..2)))
    });
    assert_eq!(read.unwrap(), (4, Some(2), vec![(1, 1), (2, 2)]));
    let _ = boards.edit(|boards| boards.remove(1u8)).unwrap();
    assert_eq!(boards.read(|boards| Ok(boards.at(1).len())).unwrap(), 0);
    let _ = boards.edit(|boards| boards.at(1).set(9u64, 9)).unwrap();
    assert_eq!(boards.read(|boards| Ok(boards.at(1).by_rank(0..9))).unwrap(), [(9, 9)]);
}

/// Where something was found last was looked at first, and that was elsewhere in the trial than when it was done.
#[test]
fn what_was_tried_out_is_what_is_done() {
    let mut list = Stored::<Seq<u64, String>, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let large = || ["e".repeat(100)];
    let _ = list.edit(|list| (0..100).try_for_each(|_| list.push("e".repeat(100)))).unwrap();
    let _ = list.edit(|list| list.insert(1, large())).unwrap();
    let _ = list.edit(|list| list.insert(1, large()).and_then(|()| list.insert(80, large()))).unwrap();
    assert_eq!(list.load_all().unwrap().len(), 103);
}

#[test]
fn a_tree_without_its_head_is_refused() {
    let mut list = Stored::<Seq<u64, u64>, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let _ = list.edit(|list| (0..50u64).try_for_each(|n| list.insert(0, [n]))).unwrap();
    let mut board = Stored::<ZSet<u64, u64>, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let _ = board.edit(|board| (0..50u64).try_for_each(|n| board.set(n, 7))).unwrap();
    let (mut records, mut board_records) = (list.into_records(), board.into_records());
    assert!(records.remove(&b"x\0\x01p"[..]).is_some() && board_records.remove(&b"x\0\x01p\x01"[..]).is_some());
    let mut list = Stored::<Seq<u64, u64>, _>::open(records, b"x", Minter::once(2)).unwrap();
    assert!(matches!(list.read(|list| Ok(list.len())), Err(Error::Records(_))));
    assert!(matches!(list.edit(|list| list.push(1)), Err(Error::Records(_))));
    let mut board = Stored::<ZSet<u64, u64>, _>::open(board_records, b"x", Minter::once(2)).unwrap();
    assert!(matches!(board.edit(|board| board.set(1u64, 1)), Err(Error::Records(_))));
}

/// What a change needs of a tree is missed a level at a time, and not a node at a time.
#[test]
fn many_elements_at_once_cost_as_many_rounds_as_a_tree_is_high() {
    let mut list = Replica::<Seq<u64, u64>>::new(Minter::once(1));
    let _ = list.edit(|list| (0..4_000u64).try_for_each(|n| list.insert(0, [n]))).unwrap();
    let mut stored = Stored::<Seq<u64, u64>, _>::open(Counting::default(), b"", Minter::once(2)).unwrap();
    stored.merge(list.state()).unwrap();
    let mut rounds = 0;
    let read = stored.read(|list| {
        rounds += 1;
        Ok(list.values(100..3_900).len())
    });
    assert!(read.unwrap() == 3_800 && rounds < 9, "{rounds}");
    rounds = 0;
    let removed = stored.edit(|list| {
        rounds += 1;
        list.remove(50..3_950)
    });
    list.apply(&removed.unwrap()).unwrap();
    assert!(rounds < 9, "{rounds}");
    assert_eq!(stored.load_all().unwrap(), *list.state());
    let mut board = Stored::<ZSet<u64, u64>, _>::open(Counting::default(), b"", Minter::once(3)).unwrap();
    let _ = board.edit(|board| (0..4_000u64).try_for_each(|n| board.set(n, n as i64))).unwrap();
    let before = board.records().reads.get();
    let around = board.read(|board| {
        let rank = board.rank(2_000u64).unwrap_or(2);
        Ok(board.by_rank(rank - 2..rank + 3).len())
    });
    assert_eq!(around.unwrap(), 5);
    assert!(board.records().reads.get() - before < 40 && board.records().scans.get() < 5);
}

#[test]
fn a_map_of_maps_loads_the_place_it_changes() {
    type Carts = AwMap<String, AwMap<String, Counter<u64>>>;
    let mut carts = Stored::<Carts, _>::open(Counting::default(), b"", Minter::once(1)).unwrap();
    for cart in ["ann", "bob"] {
        let _ = carts.edit(|carts| carts.at(cart).at("milk").add(2)).unwrap();
    }
    let _ = carts.edit(|carts| carts.remove("ann")).unwrap();
    let all = carts.load_all().unwrap();
    assert!(all.get("ann").is_none());
    assert_eq!(all.get("bob").and_then(|cart| cart.get("milk")).map(Counter::value), Some(2));
    let mut path = vec![0];
    crdt::KeyBytes::write_key(&"bob".to_owned(), &mut path);
    let bobs = carts.load_under(&path).unwrap();
    assert_eq!(bobs.iter().count(), 1);
}

/// Whether a batch that failed was written is not known; going on from memory could give a dot twice.
#[test]
fn after_a_write_that_failed_the_object_has_to_be_opened_again() {
    let mut set = Stored::<AwSet<u64, u64>, _>::open(Counting::default(), b"", Minter::once(1)).unwrap();
    let _ = set.edit(|set| set.add(1u64)).unwrap();
    let mut records = set.into_records();
    records.fails = true;
    let mut set = Stored::<AwSet<u64, u64>, _>::open(records, b"", Minter::once(2)).unwrap();
    assert_eq!(set.edit(|set| set.add(2u64)).err(), Some(Error::Records("the disk is full".into())));
    let again = Some(Error::Records("a change was not written; open the object again".into()));
    assert_eq!(set.edit(|set| set.add(2u64)).err(), again);
    let mut records = set.into_records();
    records.fails = false;
    let mut set = Stored::<AwSet<u64, u64>, _>::open(records, b"", Minter::once(3)).unwrap();
    let _ = set.edit(|set| set.add(2u64)).unwrap();
    assert!(set.load_all().unwrap().iter().eq(&[1, 2]));
}

#[test]
fn damaged_records_are_an_error_and_nothing_is_changed() {
    let mut set = Stored::<AwSet<u64, u64>, _>::open(Memory::new(), b"x", Minter::once(1)).unwrap();
    let _ = set.edit(|set| set.add(1u64)).unwrap();
    let mut records = set.into_records();
    let key = records.keys().find(|key| *key != CONTEXT).unwrap().clone();
    records.get_mut(&key).unwrap().push(7);
    let mut set = Stored::<AwSet<u64, u64>, _>::open(records.clone(), b"x", Minter::once(2)).unwrap();
    assert!(matches!(set.edit(|set| set.remove(1u64)), Err(Error::Records(_))));
    assert!(matches!(set.load_all(), Err(Error::Records(_))));
    assert_eq!(*set.records(), records);
    records.insert(CONTEXT.to_vec(), vec![1, 2, 3]);
    let cut = Stored::<AwSet<u64, u64>, _>::open(records, b"x", Minter::once(2)).err();
    assert_eq!(cut, Some(Error::Records("they are of another type or release".into())));
}
