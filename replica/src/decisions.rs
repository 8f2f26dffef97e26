//! What an application has decided for the whole cluster: small values by name, told by gossip to every node, whoever owns what.
//!
//! Each is a causal value, as a layout is: what is decided replaces what its node knew, and what two nodes decide at once is kept
//! side by side until one more decision has seen both.

use std::collections::BTreeMap;
use std::fmt;

use causal::{DotFun, Siblings};
use serde::{Deserialize, Serialize};

use crate::digest::{hash_of, mix};
use crate::id::{Actor, Context, Dot};
use crate::operation::ByteString;

/// How many names may ever have been used: each keeps what it has seen, even when nothing is decided under it any more.
pub const MAX_DECISIONS: usize = 1_024;
/// The longest name.
pub const MAX_DECISION_NAME_BYTES: usize = 256;
/// The longest value.
pub const MAX_DECISION_BYTES: usize = 256;

/// The decisions that hold.
///
/// ```
/// use replica::{Actor, Decisions, Incarnation, NodeId};
/// use uuid::Uuid;
///
/// let actor = |n| Actor { node: NodeId(Uuid::from_u128(n)), incarnation: Incarnation(1) };
/// let (mut here, mut there) = (Decisions::default(), Decisions::default());
/// here.decide(actor(1), b"colour", Some(b"red"))?;
/// there.decide(actor(2), b"colour", Some(b"blue"))?;
/// assert!(here.merge(&there) && there.merge(&here));
/// assert_eq!(here.digest(), there.digest());
/// assert_eq!(here.of(b"colour").count(), 2);
/// here.decide(actor(1), b"colour", Some(b"violet"))?;
/// there.merge(&here);
/// assert_eq!(there.of(b"colour").collect::<Vec<_>>(), [b"violet"]);
/// # Ok::<(), replica::Undecided>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions(BTreeMap<ByteString, Siblings<Actor, ByteString>>);

/// Why something was not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The name is too long.
    Name(usize),
    /// The value is too long.
    Value(usize),
    /// Too many names have been used.
    TooMany,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undecided::Name(bytes) => write!(f, "a name of {bytes} bytes: at most {MAX_DECISION_NAME_BYTES}"),
            Undecided::Value(bytes) => write!(f, "a value of {bytes} bytes: at most {MAX_DECISION_BYTES}"),
            Undecided::TooMany => write!(f, "{MAX_DECISIONS} names have been used, and there can be no others"),
        }
    }
}

impl std::error::Error for Undecided {}

impl Decisions {
    /// Has nothing ever been decided?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names under which something is decided, each with what: several values if they were decided at once.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], impl Iterator<Item = &[u8]>)> {
        let of = |siblings: &'_ Siblings<Actor, ByteString>| siblings.live().iter().len() > 0;
        let decided = self.0.iter().filter(move |(_, siblings)| of(siblings));
        decided.map(|(name, siblings)| (name.0.as_slice(), siblings.live().iter().map(|(_, value)| value.0.as_slice())))
    }

    /// What is decided under a name.
    pub fn of(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let siblings = self.0.get(&ByteString::from(name)).into_iter();
        siblings.flat_map(|siblings| siblings.live().iter().map(|(_, value)| value.0.as_slice()))
    }

    /// Puts a value, or none, in the place of those that are here.
    ///
    /// # Errors
    /// [`Undecided`]; nothing is changed.
    pub fn decide(&mut self, actor: Actor, name: &[u8], value: Option<&[u8]>) -> Result<(), Undecided> {
        if name.len() > MAX_DECISION_NAME_BYTES {
            return Err(Undecided::Name(name.len()));
        }
        if let Some(value) = value.filter(|value| value.len() > MAX_DECISION_BYTES) {
            return Err(Undecided::Value(value.len()));
        }
        let name = ByteString::from(name);
        if self.0.len() >= MAX_DECISIONS && !self.0.contains_key(&name) {
            return Err(Undecided::TooMany);
        }
        let siblings = self.0.entry(name).or_default();
        let mut context: Context = siblings.context().clone();
        let dot = Dot { actor, counter: context.max(&actor).saturating_add(1) };
        context.insert(dot);
        let live = value.map(|value| (dot, ByteString::from(value)));
        *siblings = Siblings::from_parts(DotFun::from_iter(live), context);
        Ok(())
    }

    /// Takes over what others have decided; says whether that changed anything. What is over the limits is passed over: of more
    /// names than there may be, all nodes keep the smallest, so that they end up with the same.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (name, theirs) in &other.0 {
            let is_long = theirs.live().iter().any(|(_, value)| value.0.len() > MAX_DECISION_BYTES);
            if !self.makes_room_for(name) || is_long || name.0.len() > MAX_DECISION_NAME_BYTES {
                continue;
            }
            // One decision is never two: whoever decides has an incarnation of its own.
            let ours = self.0.entry(name.clone()).or_default();
            changed |= ours.sync(theirs).is_ok_and(|outcome| outcome.changed());
            if self.0.len() > MAX_DECISIONS {
                self.0.pop_last();
            }
        }
        changed
    }

    /// Is there room, or a greater name that goes?
    fn makes_room_for(&self, name: &ByteString) -> bool {
        self.0.len() < MAX_DECISIONS
            || self.0.contains_key(name)
            || self.0.last_key_value().is_some_and(|(last, _)| name < last)
    }

    /// Tells them apart: what is the same has the same digest; 0 if nothing has ever been decided.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.0.iter().fold(0, |digest, (name, siblings)| {
            let live: Context = siblings.dots().copied().collect();
            let bytes = [siblings.context().to_bytes(), live.to_bytes()].concat();
            mix(digest ^ hash_of(&name.0) ^ mix(hash_of(&bytes)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Decisions, MAX_DECISION_BYTES, MAX_DECISION_NAME_BYTES, MAX_DECISIONS, Undecided};
    use crate::id::{Actor, Incarnation, NodeId};
    use uuid::Uuid;

    fn actor(n: u128) -> Actor {
        Actor { node: NodeId(Uuid::from_u128(n)), incarnation: Incarnation(1) }
    }

    #[test]
    fn what_is_taken_back_does_not_come_back_from_who_has_not_heard() {
        let mut here = Decisions::default();
        here.decide(actor(1), b"a", Some(b"x")).expect("there is room");
        let late = here.clone();
        here.decide(actor(1), b"a", None).expect("there is room");
        assert!(!here.merge(&late));
        assert_eq!((here.of(b"a").count(), here.iter().count()), (0, 0));
        assert!(!here.is_empty() && here.digest() != late.digest());
    }

    #[test]
    fn limits_hold_for_what_is_decided_and_for_what_others_say() {
        let mut here = Decisions::default();
        assert_eq!(here.decide(actor(1), &[0; MAX_DECISION_NAME_BYTES + 1], None), Err(Undecided::Name(257)));
        assert_eq!(here.decide(actor(1), b"a", Some(&[0; MAX_DECISION_BYTES + 1])), Err(Undecided::Value(257)));
        for number in 0..MAX_DECISIONS {
            here.decide(actor(1), &number.to_le_bytes(), Some(b"x")).expect("there is room");
        }
        assert_eq!(here.decide(actor(1), b"one more", Some(b"x")), Err(Undecided::TooMany));
        let mut other = Decisions::default();
        other.decide(actor(2), &[0xff; 9], Some(b"x")).expect("there is room");
        assert!(!here.merge(&other));
        assert!(other.merge(&here) && other.0.len() == MAX_DECISIONS);
        assert_eq!(here.digest(), other.digest());
    }

    #[test]
    fn nodes_that_have_decided_too_much_between_them_keep_the_same() {
        let full = |by: u128| {
            let mut all = Decisions::default();
            for number in 0..MAX_DECISIONS as u32 {
                let name = format!("{:05}", u128::from(number) * 2 + by);
                all.decide(actor(by + 1), name.as_bytes(), Some(b"x")).expect("there is room");
            }
            all
        };
        let (mut here, mut there) = (full(0), full(1));
        let before = here.clone();
        assert!(here.merge(&there) && there.merge(&before));
        assert_eq!((here.0.len(), here.digest()), (MAX_DECISIONS, there.digest()));
        assert_eq!(here, there);
        assert!(!here.merge(&there) && !here.merge(&before), "what has gone does not come back");
        assert_eq!(here.of(b"01023").count() + here.of(b"01024").count(), 1);
    }
}
