//! Where the elements of a list stand: names of cells whose byte order is the list's order.
//!
//! ```text
//! position = steps, author:6, counter:5, 0x80
//! ```
//! At the ends of a list the steps are a rank of eight bytes, counted on from the last one; between two neighbours they are a
//! string of bytes between theirs. Author and counter of the event make a position unique, so that elements pushed at
//! once at the same place are different cells, and all stay. (Weiss, Urso, Molli: *Logoot*, 2009; without its
//! randomness, as a coordinator sees both neighbours.)

use crate::digest;
use crate::id::Dot;

const RANK_BYTES: usize = 8;
const MIDDLE: u64 = 1 << 63;

/// The name of an element's cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(Vec<u8>);

impl Position {
    /// The first position of an empty list.
    #[must_use]
    pub fn only(dot: &Dot) -> Self {
        Self::ranked(MIDDLE, dot)
    }

    /// One before the first of a list.
    #[must_use]
    pub fn before(first: &[u8], dot: &Dot) -> Self {
        match rank(first).checked_sub(1).filter(|rank| *rank > 0) {
            Some(rank) => Self::ranked(rank, dot),
            None => Self::between(&[], first, dot),
        }
    }

    /// One behind the last of a list.
    #[must_use]
    pub fn after(last: &[u8], dot: &Dot) -> Self {
        match rank(last).checked_add(1) {
            Some(rank) => Self::ranked(rank, dot),
            None => Self::unique([last, &[0x80]].concat(), dot),
        }
    }

    /// One between two neighbours, `low` before `high`. Of insertions at one spot, each seventh or so makes it a byte longer.
    #[must_use]
    pub fn between(low: &[u8], high: &[u8], dot: &Dot) -> Self {
        debug_assert!(low < high, "neighbours are in order");
        let common = low.iter().zip(high).take_while(|(x, y)| x == y).count();
        let mut steps = high[..common].to_vec();
        match (low.get(common), high.get(common)) {
            // `low` ends here: something below the rest of `high`.
            (None, _) => {
                for byte in &high[common..] {
                    if *byte > 1 {
                        steps.push(byte / 2);
                        break;
                    }
                    steps.push(0);
                    if *byte == 1 {
                        break;
                    }
                }
            }
            (Some(x), Some(y)) if y - x > 1 => steps.push(x + (y - x) / 2),
            // Behind `low`, and still below `high`, which is greater in the first byte they do not share.
            _ => {
                let (shared, rest) = low.split_at(common + 1);
                steps = shared.to_vec();
                let full = rest.iter().take_while(|byte| **byte == u8::MAX).count();
                steps.extend_from_slice(&rest[..full]);
                steps.push(rest.get(full).map_or(0x80, |byte| byte + (u8::MAX - byte).div_ceil(2)));
            }
        }
        Self::unique(steps, dot)
    }

    /// The name of its cell.
    #[must_use]
    pub fn into_name(self) -> Vec<u8> {
        self.0
    }

    fn ranked(rank: u64, dot: &Dot) -> Self {
        Self::unique(rank.to_be_bytes().to_vec(), dot)
    }

    fn unique(mut steps: Vec<u8>, dot: &Dot) -> Self {
        let author = [&dot.actor.node.0.as_bytes()[..], &dot.actor.incarnation.0.to_be_bytes()].concat();
        steps.extend_from_slice(&digest::hash_of(&author).to_be_bytes()[..6]);
        steps.extend_from_slice(&dot.counter.to_be_bytes()[3..]);
        // No position ends in 0: there is always room between two of them.
        steps.push(0x80);
        Self(steps)
    }
}

fn rank(name: &[u8]) -> u64 {
    let mut rank = [0; RANK_BYTES];
    let known = name.len().min(RANK_BYTES);
    rank[..known].copy_from_slice(&name[..known]);
    u64::from_be_bytes(rank)
}

#[cfg(test)]
mod tests {
    use super::Position;
    use crate::id::{Actor, Dot, Incarnation, NodeId};
    use quickcheck::quickcheck;

    fn dot(author: u8, counter: u64) -> Dot {
        let node = NodeId(uuid::Uuid::from_u128(author.into()));
        Dot::new(Actor { node, incarnation: Incarnation(1) }, counter)
    }

    quickcheck! {
        /// Whatever is inserted wherever stands where it was put, in an ordinary vector as in the order of names.
        fn positions_keep_the_order_of_insertions(places: Vec<(u16, bool)>) -> bool {
            let mut list: Vec<Vec<u8>> = Vec::new();
            for ((place, author), counter) in places.into_iter().zip(1..) {
                // Half of them at one spot, which makes positions long.
                let at = if place % 2 == 0 { list.len() / 2 } else { usize::from(place) % (list.len() + 1) };
                let dot = dot(author.into(), counter);
                let position = match (at.checked_sub(1).map(|before| &list[before]), list.get(at)) {
                    (None, None) => Position::only(&dot),
                    (None, Some(first)) => Position::before(first, &dot),
                    (Some(last), None) => Position::after(last, &dot),
                    (Some(low), Some(high)) => Position::between(low, high, &dot),
                };
                list.insert(at, position.into_name());
            }
            list.windows(2).all(|pair| pair[0] < pair[1])
        }

        fn two_authors_never_take_one_position(at: u64) -> bool {
            let counter = at % (1 << 40) + 1;
            let (x, y) = (Position::only(&dot(1, counter)), Position::only(&dot(2, counter)));
            let (low, high) = if x < y { (x, y) } else { (y, x) };
            let (x, y) = (
                Position::between(&low.clone().into_name(), &high.clone().into_name(), &dot(1, counter + 1)),
                Position::between(&low.clone().into_name(), &high.clone().into_name(), &dot(2, counter + 1)),
            );
            low < high && x != y && low < x && x < high && low < y && y < high
        }
    }
}
