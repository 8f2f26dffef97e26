//! Which members of a sorted set: by rank, by score, by name.

use crate::command::arguments::{Arguments, parse_float};
use crate::command::refusal::Refused;
use crate::command::sorted::Scored;
use crate::command::values::places_of;
use crate::resp::Reply;

/// A range of scores or names.
pub(super) enum Range {
    /// Places, both included; negative ones from the end.
    Rank(i64, i64),
    /// Scores, and whether each bound is left out.
    Score((f64, bool), (f64, bool)),
    /// Names, and whether each bound is left out; without a bound it is open.
    Name(Bound, Bound),
}

/// A bound of a range of names.
pub(super) enum Bound {
    Lowest,
    Highest,
    At(Vec<u8>, bool),
}

impl Range {
    pub(super) fn by_score(least: &[u8], greatest: &[u8]) -> Result<Self, Refused> {
        let bound = |text: &[u8]| {
            let (text, out) = text.strip_prefix(b"(").map_or((text, false), |text| (text, true));
            parse_float(text).map(|score| (score, out)).ok_or_else(|| Reply::error("ERR min or max is not a float"))
        };
        Ok(Range::Score(bound(least)?, bound(greatest)?))
    }

    pub(super) fn by_name(least: &[u8], greatest: &[u8]) -> Result<Self, Refused> {
        let bound = |text: &[u8]| match text {
            b"-" => Ok(Bound::Lowest),
            b"+" => Ok(Bound::Highest),
            [b'[', name @ ..] => Ok(Bound::At(name.to_vec(), false)),
            [b'(', name @ ..] => Ok(Bound::At(name.to_vec(), true)),
            _ => Err(Reply::error("ERR min or max not valid string range item")),
        };
        Ok(Range::Name(bound(least)?, bound(greatest)?))
    }

    /// Those in the range, of all members in their order; or backwards, where ranks count from the other end.
    pub(super) fn pick(&self, mut all: Vec<Scored>, back: bool) -> Vec<Scored> {
        if back {
            all.reverse();
        }
        match self {
            Range::Rank(from, to) => {
                let places = places_of(all.len(), *from, *to);
                all.truncate(places.end);
                all.drain(..places.start);
            }
            Range::Score((least, without_least), (greatest, without_greatest)) => all.retain(|(_, score)| {
                (if *without_least { score > least } else { score >= least })
                    && (if *without_greatest { score < greatest } else { score <= greatest })
            }),
            Range::Name(least, greatest) => all.retain(|(name, _)| {
                let from = match least {
                    Bound::Lowest => true,
                    Bound::Highest => false,
                    Bound::At(bound, out) => {
                        if *out {
                            name > bound
                        } else {
                            name >= bound
                        }
                    }
                };
                let to = match greatest {
                    Bound::Lowest => false,
                    Bound::Highest => true,
                    Bound::At(bound, out) => {
                        if *out {
                            name < bound
                        } else {
                            name <= bound
                        }
                    }
                };
                from && to
            }),
        }
        all
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

    /// Those in the range, of all members in their order.
    pub(super) fn pick(&self, all: Vec<Scored>) -> Vec<Scored> {
        let picked = self.range.pick(all, self.back);
        match self.limit {
            None => picked,
            Some((offset, _)) if offset < 0 => Vec::new(),
            Some((offset, count)) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                picked.into_iter().skip(offset as usize).take(count).collect()
            }
        }
    }
}
