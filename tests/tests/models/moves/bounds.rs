//! The small clusters whose moves are explored: with every guard nothing fails in any order of events, and each guard is taken
//! out where that shows first.

use super::{COPIES, Guard, KNOWN, Moves, NO_DEAD_END, Promised, Set};
use crate::{assert_fails, assert_holds};

/// One replica goes to another node, and back again.
const BACK_AND_FORTH: Moves = Moves {
    nodes: 3,
    layouts: &[&[0], &[1], &[0]],
    committed: 1,
    away: None,
    operators: Set::MAX,
    writes: 1,
    promised: Promised::BeforeTheMove,
    without: &[],
};
/// One replica goes on to a third node.
const ONWARD: Moves = Moves { layouts: &[&[0], &[1], &[2]], ..BACK_AND_FORTH };
/// Two replicas become one elsewhere, and two again.
const FEWER: Moves = Moves { layouts: &[&[0, 1], &[2], &[0, 1]], ..BACK_AND_FORTH };
/// One of three replicas moves.
const ONE_OF_THREE: Moves = Moves { nodes: 4, layouts: &[&[0, 1, 2], &[0, 1, 3]], operators: 0b1001, ..BACK_AND_FORTH };
/// Two layouts hold side by side, and then one that replaces both.
const SIDE_BY_SIDE: Moves = Moves { nodes: 2, layouts: &[&[0], &[1], &[1]], committed: 2, writes: 2, ..BACK_AND_FORTH };
/// One of three replicas has moved to another node while the old one was away, and comes back with it.
const ONE_AWAY: Moves =
    Moves { nodes: 4, layouts: &[&[0, 1, 2], &[0, 1, 3], &[0, 1, 2]], away: Some(2), operators: 1, ..BACK_AND_FORTH };
const ONE_MOVE: Moves = Moves { nodes: 2, layouts: &[&[0], &[1]], ..BACK_AND_FORTH };

/// The guards that these models showed to be missing (`replica/tests/stories/moves.rs` shows what came of it).
const FOUND_HERE: &[Guard] =
    &[Guard::WordOfTheseLayouts, Guard::WordOfOneThatServes, Guard::SkippedLayout, Guard::FormerIsNoReserve];

#[test]
fn one_replica_moves_away_and_back() {
    assert!((40_000..200_000).contains(&assert_holds(BACK_AND_FORTH)));
}

#[test]
fn one_replica_moves_on() {
    assert!((100_000..500_000).contains(&assert_holds(ONWARD)));
}

#[test]
fn two_replicas_become_one_and_two_again() {
    assert!((400_000..1_500_000).contains(&assert_holds(FEWER)));
}

#[test]
fn one_of_three_replicas_moves() {
    assert!((400_000..1_500_000).contains(&assert_holds(ONE_OF_THREE)));
}

#[test]
fn two_layouts_hold_side_by_side() {
    assert!((1_000..10_000).contains(&assert_holds(SIDE_BY_SIDE)));
}

#[test]
fn an_owner_that_counts_when_any_one_has_told_it_all_hides_writes() {
    assert_fails(Moves { without: &[Guard::CaughtUpWithAQuorum], ..ONE_OF_THREE }, KNOWN);
}

#[test]
fn a_quorum_of_one_layout_of_two_hides_writes() {
    assert_fails(Moves { without: &[Guard::QuorumOfEachLayout], ..SIDE_BY_SIDE }, KNOWN);
}

#[test]
fn whoever_lets_go_when_one_of_the_owners_has_it_leaves_too_few() {
    assert_fails(Moves { without: &[Guard::AllServingHaveIt], ..ONE_OF_THREE }, COPIES);
}

#[test]
fn an_owner_that_returns_and_counts_at_once_hides_writes() {
    assert_fails(Moves { without: &[Guard::ReturningIsFilled], ..BACK_AND_FORTH }, KNOWN);
}

#[test]
fn nobody_serves_for_ever_if_owners_do_not_begin() {
    assert_fails(Moves { without: &[Guard::OwnersBegin], ..BACK_AND_FORTH }, NO_DEAD_END);
}

#[test]
fn owners_that_begin_before_they_know_what_all_know_hide_writes() {
    assert_fails(Moves { without: &[Guard::KnowsWhatAllKnow], ..FEWER }, KNOWN);
}

#[test]
fn words_from_before_the_layout_let_everybody_let_go() {
    assert_fails(Moves { without: &[Guard::WordOfTheseLayouts], ..BACK_AND_FORTH }, COPIES);
}

#[test]
fn words_of_those_who_do_not_serve_let_everybody_let_go() {
    assert_fails(Moves { without: &[Guard::WordOfOneThatServes], ..ONWARD }, COPIES);
}

#[test]
fn an_owner_that_was_away_while_it_was_none_hides_writes() {
    assert_fails(Moves { without: &[Guard::SkippedLayout], ..ONE_AWAY }, KNOWN);
}

#[test]
fn a_former_owner_in_the_place_of_one_that_is_being_filled_hides_writes() {
    assert_fails(Moves { without: &[Guard::FormerIsNoReserve], ..ONWARD }, KNOWN);
}

#[test]
fn without_the_guards_found_here_one_move_is_safe() {
    assert!(assert_holds(Moves { without: FOUND_HERE, ..ONE_MOVE }) > 1_000);
}

#[test]
fn without_them_one_move_counts_on_words_that_count_the_asker() {
    let [a, b, c, d] = FOUND_HERE else { unreachable!() };
    let without = vec![*a, *b, *c, *d, Guard::WordCountsMe].leak();
    assert_fails(Moves { without, ..ONE_MOVE }, KNOWN);
}

#[test]
fn without_them_two_moves_lose_what_was_acknowledged() {
    assert_fails(Moves { without: FOUND_HERE, ..BACK_AND_FORTH }, COPIES);
}

#[test]
fn what_is_acknowledged_during_a_move_is_with_quorums_after_it() {
    assert!(
        (400_000..3_000_000).contains(&assert_holds(Moves { promised: Promised::ByTheSameLayouts, ..ONE_OF_THREE }))
    );
}

#[test]
fn what_only_those_have_who_serve_now_is_missed_by_a_quorum_afterwards() {
    assert_fails(
        Moves { promised: Promised::ByTheSameLayouts, without: &[Guard::WithThoseToCome], ..ONE_OF_THREE },
        KNOWN,
    );
}
