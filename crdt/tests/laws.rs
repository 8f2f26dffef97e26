//! Every type of this crate against its rule, plain and nested, in every mode.

use crdt::laws::{Mode, Nested, Site, Specified, Typed, check};
use crdt::{
    AwSet, Counter, DwFlag, EwFlag, Expiring, Log, LwwRegister, LwwSet, MaxRegister, MinRegister, MvRegister, Num,
    RwSet,
};

/// Random schedules for each type, mode and depth; all short ones come on top.
const RUNS: u64 = 600;

fn holds<S: Specified>() {
    for mode in Mode::ALL {
        check::<Typed<S>>(mode, RUNS);
    }
}

fn holds_nested<S: Specified>() {
    holds::<S>();
    holds::<Nested<S>>();
    holds::<Nested<Nested<S>>>();
}

macro_rules! each {
    ($($name:ident: $type:ty,)*) => {$(
        #[test]
        fn $name() {
            holds_nested::<$type>();
        }
    )*};
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
