//! `cargo bench -p crdt --bench bars`: one line per bar, tab-separated: name, ours, peer, peer / ours.
//!
//! Nanoseconds per operation (the median of 15 rounds in which ours and the peer take turns) or bytes; the peer is the
//! `crdts` crate in the same run, and of sequences and text, those people edit text with. With a word after `--`, only the
//! bars that have it in their names. Actors and elements are `u64`. Every edit of ours gives the delta for the others and is
//! charged for it; the peer's operations are made and applied. Neither side is charged for making its inputs.

mod stored;
mod texts;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use causal::Minter;
use crdt::{AwMap, AwSet, GCounter, Lattice, MvRegister, Owner, Replica, State};
use crdts::{CmRDT, CvRDT};

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// An allocator cannot be written without.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: usize = 15;

type Set = AwSet<u64, u64>;
type Orswot = crdts::Orswot<u64, u64>;
type Map = AwMap<String, MvRegister<u64, u64>>;
type PeerMap = crdts::Map<String, crdts::MVReg<u64, u64>, u64>;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Nanoseconds for each of the `count` things that `work` does to what `make` made.
fn time<T>(make: impl Fn() -> T, count: usize, work: impl Fn(&mut T)) -> f64 {
    let mut input = black_box(make());
    let start = Instant::now();
    work(&mut input);
    let elapsed = start.elapsed();
    black_box(&input);
    elapsed.as_nanos() as f64 / count as f64
}

fn race(ours: impl Fn() -> f64, peer: impl Fn() -> f64) -> (f64, f64) {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (ours(), peer())).collect();
    (median(rounds.iter().map(|round| round.0).collect()), median(rounds.iter().map(|round| round.1).collect()))
}

fn print(name: &str, (ours, peer): (f64, f64)) {
    println!("{name}\t{ours:.1}\t{peer:.1}\t{:.2}", peer / ours);
}

/// Elements in no order.
fn element(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn set_of(actor: u64, elements: impl Iterator<Item = u64>) -> Replica<Set> {
    let mut set = Replica::<Set>::new(Minter::once(actor));
    for n in elements {
        let _ = set.edit(|set| set.add(element(n))).expect("there is a dot");
    }
    set
}

fn peer_set_of(actor: u64, elements: impl Iterator<Item = u64>) -> Orswot {
    let mut set = Orswot::new();
    for n in elements {
        peer_add(&mut set, actor, element(n));
    }
    set
}

fn peer_add(set: &mut Orswot, actor: u64, element: u64) {
    let context = set.read_ctx().derive_add_ctx(actor);
    set.apply(set.add(element, context));
}

/// 10,000 adds to a set that so many actors have written to.
fn set_adds(actors: u64) {
    const ADDS: usize = 10_000;
    let ours = || {
        let mut set = set_of(actors, std::iter::empty());
        for actor in 0..actors - 1 {
            set.merge(set_of(actor, std::iter::once(actor)).state()).expect("no dot twice");
        }
        set
    };
    let peer = || {
        let mut set = Orswot::new();
        (0..actors).for_each(|actor| peer_add(&mut set, actor, element(actor)));
        set
    };
    let add = |set: &mut Replica<Set>| {
        for n in 0..ADDS as u64 {
            drop(black_box(set.edit(|set| set.add(element(n)))));
        }
    };
    let peer_adds = |set: &mut Orswot| (0..ADDS as u64).for_each(|n| peer_add(set, 0, element(n)));
    print(&format!("awset-add/{actors}"), race(|| time(ours, ADDS, add), || time(peer, ADDS, peer_adds)));
}

fn set_heap() {
    const ELEMENTS: u64 = 100_000;
    let used = |make: &dyn Fn() -> Box<dyn std::any::Any>| {
        let before = IN_USE.load(Ordering::Relaxed);
        let kept = make();
        let after = IN_USE.load(Ordering::Relaxed);
        drop(kept);
        (after - before) as f64 / ELEMENTS as f64
    };
    let ours = used(&|| Box::new(set_of(1, 0..ELEMENTS).state().clone()));
    let peer = used(&|| Box::new(peer_set_of(1, 0..ELEMENTS)));
    print("awset-heap-per-element", (ours, peer));
}

/// One new element into a million, as a delta; the peer has no deltas, and merges states, here of 100,000.
fn join_one() {
    let million = set_of(1, 0..1_000_000);
    let mut other = set_of(2, std::iter::empty());
    let news: Vec<_> =
        (0..1_000).map(|n| other.edit(|set| set.add(element(2_000_000 + n))).expect("there is a dot")).collect();
    let mut state: State<Set> = million.state().clone();
    drop(million);
    let start = Instant::now();
    news.iter().for_each(|delta| state.apply(delta).expect("no dot twice"));
    let ours = start.elapsed().as_nanos() as f64 / news.len() as f64;
    let peer = peer_set_of(1, 0..100_000);
    let mut newer = peer.clone();
    peer_add(&mut newer, 2, element(2_000_000));
    let peer =
        median((0..5).map(|_| time(|| (peer.clone(), newer.clone()), 1, |(x, y)| x.merge(mem::take(y)))).collect());
    print("join-one-into-1M", (ours, peer));
}

/// Two sets of 10,000 that were one: each has added 1,000 and removed 500 since.
fn merge_diverged() {
    let apart = |actor: u64| {
        let mut set = set_of(9, 0..10_000);
        let base = set.state().clone();
        set = Replica::new(Minter::once(actor));
        set.merge(&base).expect("no dot twice");
        for n in 0..1_000 {
            let _ = set.edit(|set| set.add(element(20_000 * actor + n))).expect("there is a dot");
        }
        for n in 0..500 {
            let _ = set.edit(|set| set.remove(element(1_000 * actor + n))).expect("there is a dot");
        }
        set.state().clone()
    };
    let peer_apart = |actor: u64| {
        let mut set = peer_set_of(9, 0..10_000);
        (0..1_000).for_each(|n| peer_add(&mut set, actor, element(20_000 * actor + n)));
        for n in 0..500 {
            let gone = element(1_000 * actor + n);
            set.apply(set.rm(gone, set.contains(&gone).derive_rm_ctx()));
        }
        set
    };
    let (x, y, px, py) = (apart(1), apart(2), peer_apart(1), peer_apart(2));
    let ours = || time(|| x.clone(), 1, |x| x.merge(&y).expect("no dot twice"));
    print("merge-diverged-10k", race(ours, || time(|| (px.clone(), py.clone()), 1, |(x, y)| x.merge(mem::take(y)))));
}

fn counters() {
    const ADDS: usize = 100_000;
    let mut ours = Owner::<u64, GCounter<u64>>::new(50);
    let mut peer = crdts::GCounter::<u64>::new();
    for actor in 0..100 {
        if actor != 50 {
            ours.apply(&Owner::<u64, GCounter<u64>>::new(actor).add(actor + 1).expect("small")).expect("other actors");
        }
        (0..=actor).for_each(|_| peer.apply(peer.inc(actor)));
    }
    ours.increment(51).expect("small");
    let add =
        |n: &mut Owner<u64, GCounter<u64>>| (0..ADDS).for_each(|_| black_box(&mut *n).increment(1).expect("small"));
    let peer_add = |n: &mut crdts::GCounter<u64>| {
        (0..ADDS).for_each(|_| {
            let op = black_box(&mut *n).inc(50);
            n.apply(op);
        });
    };
    let fresh = || Owner::recover(50, ours.state().clone());
    print("gcounter-inc", race(|| time(fresh, ADDS, add), || time(|| peer.clone(), ADDS, peer_add)));
    let merged = |x: &mut Vec<GCounter<u64>>| x.iter_mut().for_each(|x| x.join(black_box(ours.state())));
    let peer_merged = |x: &mut Vec<(crdts::GCounter<u64>, crdts::GCounter<u64>)>| {
        x.iter_mut().for_each(|(x, y)| x.merge(mem::take(y)));
    };
    let many = || vec![ours.state().clone(); 100];
    let peer_many = || vec![(peer.clone(), peer.clone()); 100];
    print("gcounter-merge-100", race(|| time(many, 100, merged), || time(peer_many, 100, peer_merged)));
}

fn key(n: u64) -> String {
    format!("{:012}", element(n) % 1_000_000_000_000)
}

/// 10,000 keys, each written ten times over; then merged with one that has written 1,000 of them since.
fn maps() {
    const KEYS: u64 = 10_000;
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let write = |map: &mut Replica<Map>| {
        for n in 0..10 {
            for key in &keys {
                drop(black_box(map.edit(|map| map.at(key.as_str()).write(n))));
            }
        }
    };
    let peer_put = |map: &mut PeerMap, actor: u64, key: &String, n: u64| {
        let context = map.read_ctx().derive_add_ctx(actor);
        let op = map.update(key.clone(), context, |register, context| register.write(n, context));
        map.apply(op);
    };
    let peer_write = |map: &mut PeerMap| (0..10).for_each(|n| keys.iter().for_each(|key| peer_put(map, 1, key, n)));
    let fresh = || Replica::<Map>::new(Minter::once(1));
    let count = 10 * KEYS as usize;
    print("map-update", race(|| time(fresh, count, write), || time(PeerMap::new, count, peer_write)));

    let apart = |actor: u64| {
        let mut base = fresh();
        write(&mut base);
        let mut map = Replica::<Map>::new(Minter::once(actor));
        map.merge(base.state()).expect("no dot twice");
        for key in keys.iter().skip(1_000 * actor as usize).take(1_000) {
            let _ = map.edit(|map| map.at(key.as_str()).write(77)).expect("there is a dot");
        }
        map.state().clone()
    };
    let peer_apart = |actor: u64| {
        let mut map = PeerMap::new();
        peer_write(&mut map);
        keys.iter().skip(1_000 * actor as usize).take(1_000).for_each(|key| peer_put(&mut map, actor, key, 77));
        map
    };
    let (x, y, px, py) = (apart(2), apart(3), peer_apart(2), peer_apart(3));
    let ours = || time(|| x.clone(), 1, |x| x.merge(&y).expect("no dot twice"));
    print("map-merge-10k", race(ours, || time(|| (px.clone(), py.clone()), 1, |(x, y)| x.merge(mem::take(y)))));
}

/// Is this group of bars asked for?
fn is_wanted(names: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| names.contains(&word))
}

fn main() {
    let groups: [(&str, fn()); 13] = [
        ("awset-add/1", || set_adds(1)),
        ("awset-add/100", || set_adds(100)),
        ("awset-heap-per-element", set_heap),
        ("join-one-into-1M", join_one),
        ("merge-diverged-10k", merge_diverged),
        ("stored-add-1M", stored::stored_add),
        ("stored-map-1M", stored::stored_map),
        ("stored-list-1M stored-text-1M stored-score-1M", stored::stored_trees),
        ("gcounter-inc gcounter-merge-100", counters),
        ("map-update map-merge-10k", maps),
        ("set-bytes-per-element", stored::set_bytes),
        ("seq-insert", texts::seq_insert),
        ("text-edit", texts::text_edit),
    ];
    groups.iter().filter(|(names, _)| is_wanted(names)).for_each(|(_, run)| run());
}
