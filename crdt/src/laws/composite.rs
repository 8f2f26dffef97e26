//! The rules of types made of other types: they follow from those of their parts.

use quickcheck::{Arbitrary, Gen};

use super::types::{Counting, Keeping, amount};
use super::{In, Nested, Site, Specified, Visible};
use crate::{Document, Edit, Error, Num, Scalar, ZSet};

/// A sorted set is a map of numbers, and their order.
impl Specified for ZSet<Site, u8> {
    type Command = In<Counting>;
    /// By score, then by member; each with its rank.
    type Value = Vec<(i64, u8, usize)>;

    fn run(edit: &mut Edit<'_, Self>, command: &Self::Command) -> Result<(), Error<Site>> {
        match command {
            In::At(member, Counting::Add(number)) => edit.add(*member, amount(*number)),
            In::At(member, Counting::Set(number)) => edit.set(*member, i64::from(*number) * 1_000),
            In::At(member, Counting::Clear(_)) | In::Remove(member) => edit.remove(*member),
        }
    }

    fn read(&self) -> Self::Value {
        let ranked = self.by_rank(0..self.len()).zip(0..);
        let mut all: Vec<_> = ranked.map(|((member, score), rank)| (score, *member, rank)).collect();
        for (score, member, rank) in &mut all {
            let is_found = self.rank(member) == Some(*rank) && self.by_score(*score..=*score).any(|it| it.0 == member);
            *rank = if is_found { *rank } else { usize::MAX };
        }
        all
    }

    fn spec(visible: &Visible<'_, Self::Command>) -> Option<Self::Value> {
        let scores = <Nested<Num<Site>> as Specified>::spec(visible)?;
        let mut all: Vec<_> = scores.into_iter().filter_map(|(member, score)| Some((score?, member, 0))).collect();
        all.sort_unstable();
        all.iter_mut().zip(0..).for_each(|(it, rank)| it.2 = rank);
        Some(all)
    }
}

/// What can be done to a place of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A value is written.
    Register(u8),
    /// Something is added to it as to a counter.
    Counter(u8),
    /// Something is done to it as to a set.
    Set(Keeping),
    /// Whatever it is as, it is removed.
    Clear,
}

impl Arbitrary for Writing {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 4 {
            0 => Writing::Register(u8::arbitrary(g) % 3),
            1 => Writing::Counter(u8::arbitrary(g) % 3),
            2 => Writing::Set(Keeping::arbitrary(g)),
            _ => Writing::Clear,
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        match self.clone() {
            Writing::Register(value) => Box::new(value.shrink().map(Writing::Register)),
            Writing::Counter(amount) => Box::new(amount.shrink().map(Writing::Counter)),
            Writing::Set(keeping) => Box::new(keeping.shrink().map(Writing::Set)),
            Writing::Clear => Box::new(std::iter::empty()),
        }
    }
}

impl Specified for Document<Site> {
    type Command = Writing;
    /// As a register, as a counter, as a set.
    type Value = (Vec<i64>, i64, Vec<i64>);

    fn run(edit: &mut Edit<'_, Self>, command: &Writing) -> Result<(), Error<Site>> {
        match command {
            Writing::Register(value) => edit.register().write(u32::from(*value).into()),
            Writing::Counter(amount) => edit.counter().add(i64::from(*amount)),
            Writing::Set(Keeping::Add(element)) => edit.set().add(u32::from(*element)),
            Writing::Set(Keeping::Remove(element)) => edit.set().remove(u32::from(*element)),
            Writing::Clear => edit.clear(),
        }
    }

    fn read(&self) -> Self::Value {
        let integer = |scalar: &Scalar| if let Scalar::Integer(number) = scalar { *number } else { i64::MIN };
        let mut siblings: Vec<i64> = self.register().map(|it| it.values().map(integer).collect()).unwrap_or_default();
        siblings.sort_unstable();
        let elements = self.set().map(|it| it.iter().map(integer).collect()).unwrap_or_default();
        (siblings, self.counter().map_or(0, |it| it.value()), elements)
    }

    fn spec(visible: &Visible<'_, Writing>) -> Option<Self::Value> {
        let kept = |event: &&super::Event<Writing>| !visible.is_seen(event, |command| *command == Writing::Clear);
        let (mut siblings, mut sum, mut elements) = (Vec::new(), 0, Vec::new());
        for event in visible.iter().filter(kept) {
            match event.command {
                Writing::Register(value) if !visible.is_seen(event, |it| matches!(it, Writing::Register(_))) => {
                    siblings.push(i64::from(value));
                }
                Writing::Counter(amount) => sum += i64::from(amount),
                Writing::Set(Keeping::Add(element))
                    if !visible.is_seen(event, |it| *it == Writing::Set(Keeping::Remove(element))) =>
                {
                    elements.push(i64::from(element));
                }
                _ => {}
            }
        }
        siblings.sort_unstable();
        elements.sort_unstable();
        elements.dedup();
        Some((siblings, sum, elements))
    }
}
