//! Types made of others, and lattices without owners, against their rules.

use causal::Minter;
use crdt::laws::{Mode, Nested, Owned, Site, Subject, Typed, check};
use crdt::{Document, GSet, Hll, Replica, ZSet};

fn holds<T: Subject>() {
    Mode::ALL.into_iter().for_each(|mode| check::<T>(mode, 600));
}

#[test]
fn a_sorted_set_is_a_map_of_numbers_in_their_order() {
    holds::<Typed<ZSet<Site, u8>>>();
    holds::<Typed<Nested<ZSet<Site, u8>>>>();
}

#[test]
fn a_place_of_a_document_is_whatever_was_written_there() {
    holds::<Typed<Document<Site>>>();
    holds::<Typed<Nested<Document<Site>>>>();
}

#[test]
fn a_grow_only_set_and_a_hyperloglog_are_the_union_of_what_is_visible() {
    holds::<Owned<GSet<u8>>>();
    holds::<Owned<Hll>>();
}

#[test]
fn ranks_are_right_in_a_set_of_many() {
    let mut board = Replica::<ZSet<u8, u32>>::new(Minter::once(1));
    for member in 0..2_000u32 {
        let _ = board.edit(|board| board.set(member, i64::from(member * 7 % 100))).unwrap();
    }
    for member in (0..2_000u32).step_by(3) {
        let _ = board.edit(|board| board.remove(member)).unwrap();
    }
    let mut model: Vec<(i64, u32)> =
        (0..2_000u32).filter(|member| member % 3 != 0).map(|member| (i64::from(member * 7 % 100), member)).collect();
    model.sort_unstable();
    assert!(board.iter().map(|(member, score)| (score, *member)).eq(model.iter().copied()));
    for (rank, (_, member)) in model.iter().enumerate().step_by(97) {
        assert_eq!(board.rank(member), Some(rank));
        assert_eq!(board.by_rank(rank..rank + 1).next().map(|it| it.0), Some(member));
    }
    let in_range = model.iter().filter(|(score, _)| (10..20).contains(score)).count();
    assert_eq!(board.by_score(10..20).count(), in_range);
    let mut merged = Replica::<ZSet<u8, u32>>::new(Minter::once(2));
    merged.merge(board.state()).unwrap();
    assert!(merged.iter().eq(board.iter()));
}
