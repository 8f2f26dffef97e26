//! The tutorial of the README: a data type with a bug, its diagram, and the type mended.

use causal::DotFun;
use crdt::laws::{Mode, Nested, Site, Specified, Typed, Visible, check, find};
use crdt::{Edit, Error, Payload, dot_store};

#[derive(Clone, Debug, PartialEq)]
struct Bid(u64);

impl<A> Payload<A> for Bid {}

macro_rules! auction {
    ($name:ident, $bid:expr) => {
        #[derive(Clone, Debug, Default, PartialEq)]
        struct $name {
            bids: DotFun<Site, Bid>,
        }

        dot_store!($name<> by Site { bids: DotFun<Site, Bid> });

        impl Specified for $name {
            type Command = u64;
            type Value = Option<u64>;

            fn run(edit: &mut Edit<'_, Self>, cents: &u64) -> Result<(), Error<Site>> {
                let bid: fn(Edit<'_, DotFun<Site, Bid>>, u64) -> Result<(), Error<Site>> = $bid;
                bid(edit.field(|it| &it.bids, |it| &mut it.bids), *cents)
            }

            fn read(&self) -> Option<u64> {
                self.bids.iter().map(|(_, bid)| bid.0).max()
            }

            fn spec(visible: &Visible<'_, u64>) -> Option<Option<u64>> {
                Some(visible.iter().map(|event| event.command).max())
            }
        }
    };
}

auction!(Auction, |mut bids, cents| bids.replace(Bid(cents)).map(drop));
auction!(Mended, |mut bids, cents| {
    let new = bids.mint(|_| Bid(cents))?; // before anything is discarded: half a step is no step
    bids.discard(|dot, bid| *dot != new && bid.0 <= cents);
    Ok(())
});

#[test]
fn the_bug_is_found_and_the_diagram_is_that_of_the_readme() {
    let failure = find::<Typed<Auction>>(Mode::Causal, 1_000).expect("a lower bid replaces a higher one");
    println!("{failure}");
    let readme = include_str!("../README.md");
    assert!(readme.contains(failure.to_string().trim_end()), "{failure}");
}

#[test]
fn mended_it_holds_plain_and_in_maps() {
    for mode in Mode::ALL {
        check::<Typed<Mended>>(mode, 300);
        check::<Typed<Nested<Mended>>>(mode, 300);
    }
}
