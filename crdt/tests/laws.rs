//! Every type of this crate against its rule, plain and nested, in every mode.

use crdt::laws::{Mode, Nested, Owned, Site, Specified, Subject, Typed, check};
use crdt::{
    AwSet, BoundedCounter, Counter, DwFlag, EwFlag, Expiring, GCounter, Log, LwwRegister, LwwSet, MaxRegister,
    MinRegister, MvRegister, Num, PnCounter, RwSet,
};

/// Random schedules for each type, mode and depth; all short ones come on top.
const RUNS: u64 = 600;

fn holds<T: Subject>() {
    Mode::ALL.into_iter().for_each(|mode| check::<T>(mode, RUNS));
}

fn holds_nested<S: Specified>() {
    holds::<Typed<S>>();
    holds::<Typed<Nested<S>>>();
    holds::<Typed<Nested<Nested<S>>>>();
}

macro_rules! each {
    ($($name:ident: $type:ty,)*) => {$(
        #[test]
        fn $name() {
            holds_nested::<$type>();
        }
    )*};
}

#[test]
fn grow_only_and_positive_negative_counters_are_the_sum_of_what_is_visible() {
    holds::<Owned<GCounter<Site>>>();
    holds::<Owned<PnCounter<Site>>>();
}

#[test]
fn a_bounded_counter_is_the_sum_of_what_is_visible_and_never_below_zero() {
    holds::<Owned<BoundedCounter<Site>>>();
}

each! {
    a_register_shows_all_writes_that_no_other_has_seen: MvRegister<Site, u8>,
    a_last_writer_wins_register_shows_the_latest_of_these: LwwRegister<Site, u8>,
    a_max_register_shows_the_greatest: MaxRegister<Site, u8>,
    a_min_register_shows_the_smallest: MinRegister<Site, u8>,
    enable_wins: EwFlag<Site>,
    disable_wins: DwFlag<Site>,
    a_concurrent_add_wins: AwSet<Site, u8>,
    a_concurrent_remove_wins: RwSet<Site, u8>,
    what_was_said_last_of_an_element_holds: LwwSet<Site, u8>,
    a_counter_is_exactly_the_increments_no_visible_reset_has_seen: Counter<Site>,
    a_number_is_what_was_set_last_and_the_increments_nothing_has_replaced: Num<Site>,
    a_log_is_in_one_order: Log<Site, u8>,
    the_longest_deadline_wins_and_none_beats_all: Expiring<EwFlag<Site>>,
}
