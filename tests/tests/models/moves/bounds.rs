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
    promised: Promised::OnceTheNewsHasSpread,
    without: &[],
};
/// One replica goes on to a third node.
const ONWARD: Moves = Moves { layouts: &[&[0], &[1], &[2]], ..BACK_AND_FORTH };
/// Two replicas become one elsewhere, and two again.
const FEWER: Moves = Moves { layouts: &[&[0, 1], &[2], &[0, 1]], ..BACK_AND_FORTH };
/// One of three replicas moves.
const ONE_OF_THREE: Moves = Moves {
    nodes: 4,
    layouts: &[&[0, 1, 2], &[0, 1, 3]],
    operators: 0b1001,
    promised: Promised::Always,
    ..BACK_AND_FORTH
};
/// Two replicas come in the place of one.
const MORE: Moves = Moves { layouts: &[&[0], &[1, 2]], promised: Promised::Always, ..BACK_AND_FORTH };
/// Two layouts hold side by side, and then one that replaces both.
const SIDE_BY_SIDE: Moves = Moves { nodes: 2, layouts: &[&[0], &[1], &[1]], committed: 2, writes: 2, ..BACK_AND_FORTH };
/// One of three replicas has moved to another node while the old one was away, and comes back with it.
const ONE_AWAY: Moves =
    Moves { nodes: 4, layouts: &[&[0, 1, 2], &[0, 1, 3], &[0, 1, 2]], away: Some(2), operators: 1, ..BACK_AND_FORTH };
const ONE_MOVE: Moves = Moves { nodes: 2, layouts: &[&[0], &[1]], promised: Promised::Always, ..BACK_AND_FORTH };

/// The guards that these models showed to be missing (`replica/tests/stories/moves.rs` shows what came of it).
const FOUND_HERE: &[Guard] =
    &[Guard::WordOfTheseLayouts, Guard::WordOfOneThatServes, Guard::SkippedLayout, Guard::FormerIsNoReserve];

#[test]
fn one_replica_moves_away_and_back() {
    assert!((40_000..200_000).contains(&assert_holds(BACK_AND_FORTH)));
}

#[test]
fn one_replica_moves_on() {
    assert!((100_000..1_000_000).contains(&assert_holds(ONWARD)));
}

#[test]
fn two_replicas_become_one_and_two_again() {
    assert!((400_000..1_500_000).contains(&assert_holds(FEWER)));
}

#[test]
fn one_of_three_replicas_moves() {
    assert!((1_000_000..5_000_000).contains(&assert_holds(ONE_OF_THREE)));
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
    assert_fails(Moves { without: &[Guard::QuorumOfEachLayout, Guard::MissingAtFew], ..SIDE_BY_SIDE }, KNOWN);
}

#[test]
fn whoever_lets_go_when_one_of_the_owners_has_it_leaves_too_few() {
    assert_fails(Moves { without: &[Guard::AllServingHaveIt, Guard::MissingAtFew], ..ONE_OF_THREE }, COPIES);
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
fn two_replicas_come_in_the_place_of_one() {
    assert!((10_000..5_000_000).contains(&assert_holds(MORE)));
}

#[test]
fn what_too_many_lack_who_are_to_serve_is_missed_during_a_move() {
    assert_fails(Moves { without: &[Guard::MissingAtFew], ..ONE_OF_THREE }, KNOWN);
}

#[test]
fn what_is_acknowledged_while_others_take_themselves_for_owners_still_is_missed_by_them() {
    assert_fails(Moves { without: &[Guard::WithThoseBefore], ..ONE_OF_THREE }, KNOWN);
}

#[test]
fn what_is_held_under_other_layouts_is_missed_by_those_who_have_caught_up_before() {
    assert_fails(Moves { without: &[Guard::HeldUnderTheseLayouts], ..ONE_OF_THREE }, KNOWN);
}

#[test]
fn one_that_answers_as_the_owner_that_it_was_hides_writes() {
    assert_fails(Moves { without: &[Guard::AnswersAsWhatItIs], ..ONE_OF_THREE }, KNOWN);
}
