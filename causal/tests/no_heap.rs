//! Counts heap allocations: none for up to four actors and one sibling, and in proportion to the input, whatever it
//! announces, when hostile bytes are decoded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use causal::{CausalContext, Dot, DvvSet, Minter, Siblings, VersionVector, Versions};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// The crate itself forbids unsafe code; an allocator cannot be written without.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The number of allocations, and of bytes allocated, while `work` runs.
fn allocated<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let before = (ALLOCATIONS.get(), BYTES.get());
    let kept = black_box(work());
    let after = (ALLOCATIONS.get(), BYTES.get());
    drop(kept);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocated(|| black_box(Box::new(7u64))), (1, 8));
}

#[test]
fn vectors_and_contexts_of_four_actors_need_no_heap() {
    let work = || {
        let mut vector: VersionVector<u64> = (0..4).map(|actor| (actor, 7)).collect();
        let copy = vector.clone();
        vector.union(&copy);
        let context = CausalContext::from(&vector);
        let mut grown = context.with(Dot::new(3, 8));
        grown.union(&context);
        (vector.compare(&copy), grown.covers(&context), grown.minus(&context), grown.intersection(&context), copy)
    };
    assert_eq!(allocated(work).0, 0);
}

#[test]
fn a_dense_set_of_four_actors_and_one_sibling_needs_no_heap() {
    let work = || {
        let mut here = DvvSet::<u64, u64>::new();
        for actor in 0..4 {
            let seen = here.context();
            here.update(&seen, actor, actor).unwrap();
        }
        let there = here.clone();
        here.sync(&there).unwrap();
        (here.compare(&there), Versions::from(here), there)
    };
    assert_eq!(allocated(work).0, 0);
}

#[test]
fn a_set_that_can_have_gaps_of_four_actors_and_one_sibling_needs_no_heap() {
    let mut minters = [0u64, 1, 2, 3].map(Minter::once);
    let work = || {
        let mut here = Siblings::<u64, u64>::new();
        for minter in &mut minters {
            let seen = here.context().clone();
            here.update(&seen, minter, 1).unwrap();
        }
        let there = here.clone();
        let delta = here.delta_since(&CausalContext::new());
        here.sync(&there).unwrap();
        (here.compare(&there), here, there, delta)
    };
    assert_eq!(allocated(work).0, 0);
}

#[test]
fn five_actors_need_the_heap() {
    assert!(allocated(|| (0..5u64).map(|actor| (actor, 1)).collect::<VersionVector<_>>()).0 > 0);
}

/// In memory an actor of one byte takes some forty bytes, and vectors grow by doubling: in proportion to what was
/// read, not to what is announced.
#[test]
fn announcements_of_gigabytes_allocate_nothing_and_real_input_in_proportion() {
    let live_announced = [0x12, 7, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(allocated(|| Siblings::<u8, Vec<u8>>::from_bytes(&live_announced)).1, 0);
    let value_announced = [0x12, 7, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(allocated(|| Siblings::<u8, Vec<u8>>::from_bytes(&value_announced)).1, 0);
    let all: CausalContext<u8> = (0..=255).flat_map(|actor| [1, 3, 5].map(|n| Dot::new(actor, n))).collect();
    let bytes = all.to_bytes();
    let (_, allocated) = allocated(|| CausalContext::<u8>::from_bytes(&bytes));
    assert!(allocated <= 160 * bytes.len(), "{allocated} bytes for {} of input", bytes.len());
}

/// Each live dot holds a copy of its actor: were actors as long as they like, 40 kB asked for 190 MB.
#[test]
fn a_long_actor_with_many_live_dots_is_refused() {
    let mut bytes = vec![0x12, 0xa0, 0x9c, 0x01]; // a text of 20,000 bytes
    bytes.extend([b'a'; 20_000]);
    bytes.extend([0, 0x8e, 0x4e, 0x90, 0x4e]); // 1..=10,000, all live
    bytes.extend([0; 20_000]);
    let (_, allocated) = allocated(|| assert!(Siblings::<String, ()>::from_bytes(&bytes).is_err()));
    assert_eq!(allocated, 0);
}
