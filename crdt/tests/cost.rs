//! What an edit costs does not depend on the size of what is edited, but for a logarithm: counted in bytes allocated, in
//! memory and for the replica that takes the edit in.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use causal::Minter;
use crdt::{AwMap, AwSet, Counter, Document, DotStore, Edit, Error, Log, LwwSet, Replica, RwSet, Seq, Text, ZSet};

/// Counts the bytes this thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// An allocator cannot be written without.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + layout.size()));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const EDITS: u64 = 200;

type Step<S> = fn(&mut Edit<'_, S>, u64) -> Result<(), Error<u64>>;

/// Bytes allocated for an edit and for taking it in, at a size.
fn cost<S: DotStore<Actor = u64> + 'static>(size: u64, step: Step<S>) -> usize {
    let [mut a, mut b] = [1, 2].map(|actor| Replica::<S>::new(Minter::once(actor)));
    b.apply(&a.edit(|edit| (0..size).try_for_each(|n| step(edit, n))).unwrap()).unwrap();
    let before = ASKED.get();
    for n in 0..EDITS {
        let delta = a.edit(|edit| step(edit, size + n)).unwrap();
        b.apply(&delta).unwrap();
    }
    (ASKED.get() - before) / EDITS as usize
}

fn costs_the_same<S: DotStore<Actor = u64> + 'static>(name: &str, step: Step<S>) {
    let (small, large) = (cost(100, step), cost(10_000, step));
    assert!(large < 4 * small + 400, "{name}: {small} bytes for an edit of 100, {large} of 10,000");
}

/// In no order.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[test]
fn an_edit_costs_the_same_whatever_the_size() {
    costs_the_same::<AwSet<u64, u64>>("add-wins set", |set, n| set.add(scattered(n)));
    costs_the_same::<RwSet<u64, u64>>("remove-wins set", |set, n| set.add(scattered(n)));
    costs_the_same::<LwwSet<u64, u64>>("last-writer set", |set, n| set.remove(scattered(n)));
    costs_the_same::<AwMap<u64, Counter<u64>>>("map", |map, n| map.at(scattered(n)).add(1));
    costs_the_same::<ZSet<u64, u64>>("sorted set", |set, n| set.add(scattered(n), (scattered(n) % 100) as i64));
    costs_the_same::<Document<u64>>("document", |it, n| it.map().at(n.to_string()).set().add("x"));
    costs_the_same::<Seq<u64, u64>>("sequence", |list, n| {
        let at = scattered(n) as usize % (list.len() + 1);
        list.insert(at, [n])
    });
    costs_the_same::<Text<u64>>("text", |text, _| text.push("x"));
    costs_the_same::<Log<u64, u64>>("log", |log, n| log.append(n));
}
