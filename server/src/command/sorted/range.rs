//! Which members of a sorted set: by rank, by score, by name.

use std::ops::{Bound, RangeBounds as _};

use replica::{CellKind, Keys, Read};

use crate::command::arguments::{Arguments, parse_float};
use crate::command::refusal::Refused;
use crate::command::sorted::Scored;
use crate::command::values::{of_kind, places_of};
use crate::resp::Reply;

type Places = std::ops::Range<u64>;

/// A range of ranks, scores or names.
pub(super) enum Range {
    /// Places, both included; negative ones from the end.
    Rank(i64, i64),
    /// Scores.
    Score(Bound<f64>, Bound<f64>),
    /// Names. Where scores differ, those of the range in the order of the set.
    Name(Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// Nothing: what is least is greater than all names, or the other way round.
    Nothing,
}

impl Range {
    pub(super) fn by_score(least: &[u8], greatest: &[u8]) -> Result<Self, Refused> {
        let bound = |text: &[u8]| {
            let (text, is_out) = text.strip_prefix(b"(").map_or((text, false), |text| (text, true));
            // A bracket alone is one before nothing.
            let score = if is_out && text.is_empty() { Some(0.0) } else { parse_float(text) };
            let score = score.ok_or_else(|| Reply::error("ERR min or max is not a float"))?;
            Ok::<_, Reply>(if is_out { Bound::Excluded(score) } else { Bound::Included(score) })
        };
        Ok(Range::Score(bound(least)?, bound(greatest)?))
    }

    pub(super) fn by_name(least: &[u8], greatest: &[u8]) -> Result<Self, Refused> {
        let bound = |text: &[u8]| match text {
            b"-" | b"+" => Ok(Bound::Unbounded),
            [b'[', name @ ..] => Ok(Bound::Included(name.to_vec())),
            [b'(', name @ ..] => Ok(Bound::Excluded(name.to_vec())),
            _ => Err(Reply::error("ERR min or max not valid string range item")),
        };
        let (from, to) = (bound(least)?, bound(greatest)?);
        Ok(if least == b"+" || greatest == b"-" { Range::Nothing } else { Range::Name(from, to) })
    }

    /// The places in it, or backwards, where ranks count from the other end. Nothing for a range of names where scores differ.
    fn places(&self, keys: &Keys<'_, '_>, key: &[u8], back: bool) -> Result<Option<Places>, Refused> {
        if of_kind(keys, key, CellKind::Score, &Read::Summary)?.kind.is_none() {
            return Ok(Some(0..0));
        }
        Ok(match self {
            Range::Nothing => Some(0..0),
            Range::Score(least, greatest) => Some(keys.places_between(key, *least, *greatest)?),
            Range::Name(least, greatest) => {
                let names = (least.as_ref().map(Vec::as_slice), greatest.as_ref().map(Vec::as_slice));
                keys.places_named(key, CellKind::Score, names)?
            }
            Range::Rank(from, to) => {
                let there = keys.places(key, CellKind::Score)?;
                let places = places_of(usize::try_from(there).unwrap_or(usize::MAX), *from, *to);
                let places = places.start as u64..places.end as u64;
                Some(if back && !places.is_empty() { there - places.end..there - places.start } else { places })
            }
        })
    }

    /// All whose names are in it, in the order of the set.
    fn named(&self, keys: &Keys<'_, '_>, key: &[u8]) -> Result<Vec<Scored>, Refused> {
        let mut all = keys.at_places(key, CellKind::Score, 0..u64::MAX)?;
        if let Range::Name(least, greatest) = self {
            all.retain(|(name, _)| (least.as_ref(), greatest.as_ref()).contains(&name));
        }
        Ok(all)
    }

    /// How many are in it.
    pub(super) fn count(&self, keys: &Keys<'_, '_>, key: &[u8]) -> Result<u64, Refused> {
        Ok(match self.places(keys, key, false)? {
            Some(places) => places.end - places.start,
            None => self.named(keys, key)?.len() as u64,
        })
    }
}

/// A range with how it is shown.
pub(super) struct Ranged {
    range: Range,
    back: bool,
    limit: Option<(i64, i64)>,
    pub(super) with_scores: bool,
}

impl Ranged {
    /// `min max [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
    pub(super) fn parse(arguments: &Arguments<'_>, from: usize, may_show_scores: bool) -> Result<Self, Refused> {
        let (mut by_score, mut by_name, mut back, mut limit, mut with_scores) = (false, false, false, None, false);
        let mut at = from + 2;
        while at < arguments.len() {
            match arguments.word(at).as_str() {
                "BYSCORE" if !by_name => by_score = true,
                "BYLEX" if !by_score => by_name = true,
                "REV" => back = true,
                "WITHSCORES" if may_show_scores => with_scores = true,
                "LIMIT" if at + 2 < arguments.len() => {
                    limit = Some((arguments.integer(at + 1)?, arguments.integer(at + 2)?));
                    at += 2;
                }
                _ => return Err(Reply::syntax_error().into()),
            }
            at += 1;
        }
        if limit.is_some() && !by_score && !by_name {
            let why = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
            return Err(Reply::error(why).into());
        }
        if with_scores && by_name {
            let why = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
            return Err(Reply::error(why).into());
        }
        let (first, second) = (arguments.get(from), arguments.get(from + 1));
        let (least, greatest) = if back { (second, first) } else { (first, second) };
        let range = match (by_score, by_name) {
            (true, _) => Range::by_score(least, greatest)?,
            (_, true) => Range::by_name(least, greatest)?,
            _ => Range::Rank(arguments.integer(from)?, arguments.integer(from + 1)?),
        };
        Ok(Self { range, back, limit, with_scores })
    }

    /// `ZREVRANGE key start stop [WITHSCORES]`
    pub(super) fn by_rank_back(arguments: &Arguments<'_>) -> Result<Self, Refused> {
        let range = Range::Rank(arguments.integer(2)?, arguments.integer(3)?);
        let with_scores = match arguments.len() {
            4 => false,
            5 if arguments.is(4, "WITHSCORES") => true,
            _ => return Err(Reply::syntax_error().into()),
        };
        Ok(Self { range, back: true, limit: None, with_scores })
    }

    /// `.. [WITHSCORES] [LIMIT offset count]`, for the commands that say in their names what they range over.
    pub(super) fn of(
        arguments: &Arguments<'_>,
        range: Result<Range, Refused>,
        back: bool,
        may_show_scores: bool,
    ) -> Result<Self, Refused> {
        let (mut ranged, mut at) = (Self { range: range?, back, limit: None, with_scores: false }, 4);
        while at < arguments.len() {
            if arguments.is(at, "WITHSCORES") && may_show_scores {
                ranged.with_scores = true;
                at += 1;
            } else if arguments.is(at, "LIMIT") && at + 2 < arguments.len() {
                ranged.limit = Some((arguments.integer(at + 1)?, arguments.integer(at + 2)?));
                at += 3;
            } else {
                return Err(Reply::syntax_error().into());
            }
        }
        Ok(ranged)
    }

    /// All in this range.
    pub(super) fn all_of(range: Range) -> Self {
        Self { range, back: false, limit: None, with_scores: false }
    }

    /// So many are passed by, and so many wanted.
    fn limits(&self) -> (u64, u64) {
        match self.limit {
            None => (0, u64::MAX),
            Some((offset, count)) => match u64::try_from(offset) {
                Ok(offset) => (offset, u64::try_from(count).unwrap_or(u64::MAX)),
                Err(_) => (0, 0),
            },
        }
    }

    /// Those in the range, in their order or backwards.
    pub(super) fn find(&self, keys: &Keys<'_, '_>, key: &[u8]) -> Result<Vec<Scored>, Refused> {
        let (offset, count) = self.limits();
        let mut found = match self.range.places(keys, key, self.back)? {
            Some(places) => match within(places, offset, count, self.back) {
                wanted if wanted.is_empty() => Vec::new(),
                wanted => keys.at_places(key, CellKind::Score, wanted)?,
            },
            None => {
                let named = self.range.named(keys, key)?;
                let wanted = within(0..named.len() as u64, offset, count, self.back);
                let [skip, take] = [wanted.start, wanted.end - wanted.start].map(|n| n as usize);
                named.into_iter().skip(skip).take(take).collect()
            }
        };
        if self.back {
            found.reverse();
        }
        Ok(found)
    }
}

/// Of these places so many, but for the first ones; from the other end if `back`.
fn within(places: Places, offset: u64, count: u64, back: bool) -> Places {
    if back {
        let end = places.end.saturating_sub(offset).max(places.start);
        end.saturating_sub(count).max(places.start)..end
    } else {
        let start = places.start.saturating_add(offset).min(places.end);
        start..start.saturating_add(count).min(places.end)
    }
}
