//! Sorted sets: a cell per member. Of scores set at once the later counts, by hybrid clock; whole increments add up.
//!
//! Places and ranges are looked up where the set is: see [`Keys::at_places`].

mod algebra;
mod range;

use std::sync::Arc;

use replica::{ByteString, CellId, CellKind, Found, Keys, Read, Write};

use crate::command::refusal::{Done, Refused};
use crate::command::scan::{Collection, scan};
use crate::command::sets::{Draws, by_chance, drawn};
use crate::command::values::of_kind;
use crate::command::{
    ALL_BUT_LAST, Arguments, Command, IN_TURN, KeyPlaces, ONE_KEY, READ, READ_FAST, REMOVE, REMOVE_FAST, TWO_KEYS,
    WRITE_FAST, WRITE_IN_TURN, blocking, call, check_cells, check_name, here, looks, names, read_kind, there, write,
};
use crate::dump::{score_of, score_text};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;
pub(super) use algebra::{members, put};
use range::{Range, Ranged};

const GROUP: &str = "sorted-set";
const COUNTED: KeyPlaces = KeyPlaces::Counted { number: 1, first: false };
const COUNTED_LATER: KeyPlaces = KeyPlaces::Counted { number: 2, first: false };
const STORED: KeyPlaces = KeyPlaces::Counted { number: 2, first: true };
const BLOCKING: &[&str] = &["write", "noscript", "blocking", IN_TURN];

pub(super) static COMMANDS: &[Command] = &[
    here(
        "ZADD",
        -4,
        WRITE_FAST,
        ONE_KEY,
        GROUP,
        "Gives members scores; of those given at once the later counts.",
        zadd,
    )
    .and_there(zadd_there),
    there("ZINCRBY", 4, WRITE_FAST, ONE_KEY, GROUP, "Adds to a score; whole increments add up.", zincrby),
    here("ZREM", -3, REMOVE_FAST, ONE_KEY, GROUP, "Removes what is seen of members.", zrem),
    here("ZSCORE", 3, READ_FAST, ONE_KEY, GROUP, "The score of a member.", zscore),
    here("ZMSCORE", -3, READ_FAST, ONE_KEY, GROUP, "The scores of members.", zmscore),
    here("ZCARD", 2, READ_FAST, ONE_KEY, GROUP, "How many members.", zcard),
    looks("ZCOUNT", 4, READ_FAST, ONE_KEY, GROUP, "How many have a score in a range.", zcount),
    looks("ZLEXCOUNT", 4, READ_FAST, ONE_KEY, GROUP, "How many have a name in a range.", zlexcount),
    looks("ZRANK", -3, READ_FAST, ONE_KEY, GROUP, "The place of a member, the lowest score first.", zrank),
    looks("ZREVRANK", -3, READ_FAST, ONE_KEY, GROUP, "The place of a member, the highest score first.", zrevrank),
    looks("ZRANGE", -4, READ, ONE_KEY, GROUP, "Members by rank, score or name.", zrange),
    looks("ZREVRANGE", -4, READ, ONE_KEY, GROUP, "Members by rank, the highest score first.", zrevrange),
    looks("ZRANGEBYSCORE", -4, READ, ONE_KEY, GROUP, "Members by score.", zrangebyscore),
    looks("ZREVRANGEBYSCORE", -4, READ, ONE_KEY, GROUP, "Members by score, the highest first.", zrevrangebyscore),
    looks("ZRANGEBYLEX", -4, READ, ONE_KEY, GROUP, "Members by name.", zrangebylex),
    looks("ZREVRANGEBYLEX", -4, READ, ONE_KEY, GROUP, "Members by name, the last first.", zrevrangebylex),
    here("ZRANGESTORE", -5, WRITE_IN_TURN, TWO_KEYS, GROUP, "Keeps a range; reads, then writes.", algebra::zrangestore),
    there("ZREMRANGEBYRANK", 4, REMOVE, ONE_KEY, GROUP, "Removes members by rank.", zremrangebyrank),
    there("ZREMRANGEBYSCORE", 4, REMOVE, ONE_KEY, GROUP, "Removes members by score.", zremrangebyscore),
    there("ZREMRANGEBYLEX", 4, REMOVE, ONE_KEY, GROUP, "Removes members by name.", zremrangebylex),
    there(
        "ZPOPMIN",
        -2,
        REMOVE_FAST,
        ONE_KEY,
        GROUP,
        "Takes the lowest; on two sides of a partition perhaps twice.",
        zpopmin,
    ),
    there(
        "ZPOPMAX",
        -2,
        REMOVE_FAST,
        ONE_KEY,
        GROUP,
        "Takes the highest; on two sides of a partition perhaps twice.",
        zpopmax,
    ),
    there("ZMPOP", -4, REMOVE, COUNTED, GROUP, "Takes from the first set that has something, of one slot.", zmpop),
    here(
        "BZPOPMIN",
        -3,
        BLOCKING,
        ALL_BUT_LAST,
        GROUP,
        "ZPOPMIN of the first set that has something; waits.",
        bzpopmin,
    ),
    here(
        "BZPOPMAX",
        -3,
        BLOCKING,
        ALL_BUT_LAST,
        GROUP,
        "ZPOPMAX of the first set that has something; waits.",
        bzpopmax,
    ),
    here("BZMPOP", -5, BLOCKING, COUNTED_LATER, GROUP, "ZMPOP; waits for a member.", bzmpop),
    looks("ZRANDMEMBER", -2, READ, ONE_KEY, GROUP, "Members by chance.", zrandmember),
    here("ZSCAN", -3, READ, ONE_KEY, GROUP, "Members and scores, page by page.", zscan),
    here("ZUNION", -3, READ, COUNTED, GROUP, "What is in any set, with scores put together.", algebra::zunion),
    here("ZINTER", -3, READ, COUNTED, GROUP, "What is in all sets, with scores put together.", algebra::zinter),
    here("ZDIFF", -3, READ, COUNTED, GROUP, "What is in the first set and in no other.", algebra::zdiff),
    here("ZINTERCARD", -3, READ, COUNTED, GROUP, "How many are in all sets.", algebra::zintercard),
    here(
        "ZUNIONSTORE",
        -4,
        WRITE_IN_TURN,
        STORED,
        GROUP,
        "Keeps what is in any set; reads, then writes.",
        algebra::zunionstore,
    ),
    here(
        "ZINTERSTORE",
        -4,
        WRITE_IN_TURN,
        STORED,
        GROUP,
        "Keeps what is in all sets; reads, then writes.",
        algebra::zinterstore,
    ),
    here(
        "ZDIFFSTORE",
        -4,
        WRITE_IN_TURN,
        STORED,
        GROUP,
        "Keeps what is only in the first; reads, then writes.",
        algebra::zdiffstore,
    ),
];

/// A member with its score, in the order of a sorted set.
pub(super) type Scored = (Vec<u8>, f64);

/// All members in their order: by score, then by name.
fn in_order(found: &Found) -> Vec<Scored> {
    let cells = found.of(CellKind::Score);
    let mut all: Vec<Scored> = cells.filter_map(|(name, cell)| Some((name.to_vec(), score_of(&cell.live)?))).collect();
    sort(&mut all);
    all
}

fn sort(all: &mut [Scored]) {
    all.sort_by(|(x, of_x), (y, of_y)| (of_x + 0.0).total_cmp(&(of_y + 0.0)).then_with(|| x.cmp(y)));
}

fn shown(all: Vec<Scored>, with_scores: bool) -> Reply {
    if with_scores {
        Reply::Pairs(all.into_iter().map(|(member, score)| (member.into(), score.into())).collect())
    } else {
        Reply::array(all.into_iter().map(|(member, _)| member))
    }
}

/// The options of ZADD, and where its pairs begin.
#[derive(Default)]
struct Adding {
    absent_only: bool,
    present_only: bool,
    greater: bool,
    less: bool,
    counts_changed: bool,
    increments: bool,
    from: usize,
}

impl Adding {
    fn parse(arguments: &Arguments<'_>) -> Result<Self, Reply> {
        let mut adding = Self { from: 2, ..Self::default() };
        loop {
            match arguments.word(adding.from).as_str() {
                "NX" => adding.absent_only = true,
                "XX" => adding.present_only = true,
                "GT" => adding.greater = true,
                "LT" => adding.less = true,
                "CH" => adding.counts_changed = true,
                "INCR" => adding.increments = true,
                _ => break,
            }
            adding.from += 1;
        }
        let pairs = arguments.len() - adding.from;
        if pairs == 0 || pairs % 2 == 1 {
            return Err(Reply::syntax_error());
        }
        if adding.absent_only && adding.present_only {
            return Err(Reply::error("ERR XX and NX options at the same time are not compatible"));
        }
        if adding.greater && adding.less || adding.absent_only && (adding.greater || adding.less) {
            return Err(Reply::error("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if adding.increments && pairs > 2 {
            return Err(Reply::error("ERR INCR option supports a single increment-element pair"));
        }
        Ok(adding)
    }

    fn is_plain(&self) -> bool {
        self.from == 2
    }

    /// Members and scores.
    fn pairs(&self, arguments: &Arguments<'_>, node: &Node) -> Result<Vec<(ByteString, f64)>, Refused> {
        let places = (self.from..arguments.len()).step_by(2);
        let pairs = places.map(|at| {
            check_name(node, arguments.get(at + 1))?;
            Ok((ByteString::from(arguments.get(at + 1)), arguments.float(at)?))
        });
        pairs.collect()
    }
}

/// Without options the common case is one write; with them it is decided at the key.
pub(super) fn zadd(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let adding = match Adding::parse(arguments) {
        Ok(adding) if adding.is_plain() => adding,
        Ok(_) => return call(arguments, session, node),
        Err(refused) => return refused.into(),
    };
    let pairs = check_cells(arguments).map_err(Refused::from).and_then(|()| adding.pairs(arguments, node));
    match pairs {
        Ok(pairs) => {
            let cells = pairs.into_iter().map(|(member, score)| (member, score_text(score))).collect();
            write(session, node, arguments.get(1), Write::Put(CellKind::Score, cells), |written| {
                Reply::Integer(written.changed as i64)
            })
        }
        Err(refused) => refused.at_once(node),
    }
}

pub(super) fn zadd_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, adding) = (arguments.get(1), Adding::parse(arguments)?);
    let pairs = adding.pairs(arguments, node)?;
    of_kind(keys, key, CellKind::Score, &Read::Summary)?;
    let (mut added, mut changed, mut last) = (0, 0, None);
    for (member, score) in pairs {
        let before = score_at(keys, key, &member.0)?;
        let to = match before {
            Some(before) if adding.increments => before + score,
            _ => score,
        };
        if to.is_nan() {
            return Err(Reply::error("ERR resulting score is not a number (NaN)").into());
        }
        let refuses = match before {
            None => adding.present_only,
            Some(before) => adding.absent_only || adding.greater && to <= before || adding.less && to >= before,
        };
        if refuses {
            continue;
        }
        last = Some(to);
        added += i64::from(before.is_none());
        if before != Some(to) {
            changed += 1;
            if adding.increments {
                add_score(keys, key, &member.0, before, score)?;
            } else {
                keys.write(key, &Write::Put(CellKind::Score, vec![(member, score_text(to))]))?;
            }
        }
    }
    Ok(match (adding.increments, adding.counts_changed) {
        (true, _) => last.into(),
        (false, true) => Reply::Integer(changed),
        (false, false) => Reply::Integer(added),
    })
}

fn score_at(keys: &Keys<'_, '_>, key: &[u8], member: &[u8]) -> Result<Option<f64>, Refused> {
    let cell = CellId::score(member);
    let found = of_kind(keys, key, CellKind::Score, &Read::Cells(vec![cell.clone()]))?;
    Ok(found.cell(&cell).and_then(|state| score_of(&state.live)))
}

/// Adds to a score: a whole number as an increment, which adds up with concurrent ones.
fn add_score(keys: &mut Keys<'_, '_>, key: &[u8], member: &[u8], before: Option<f64>, by: f64) -> Result<f64, Refused> {
    let sum = before.unwrap_or(0.0) + by;
    let whole = |number: f64| number.fract() == 0.0 && number.abs() < 2f64.powi(53);
    if whole(by) && before.is_none_or(whole) {
        keys.write(key, &Write::Increment(CellId::score(member), by as i64))?;
    } else {
        keys.write(key, &Write::Put(CellKind::Score, vec![(member.into(), score_text(sum))]))?;
    }
    Ok(sum)
}

fn zincrby(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, by, member) = (arguments.get(1), arguments.float(2)?, arguments.get(3));
    check_name(node, member)?;
    let before = score_at(keys, key, member)?;
    if (before.unwrap_or(0.0) + by).is_nan() {
        return Err(Reply::error("ERR resulting score is not a number (NaN)").into());
    }
    Ok(add_score(keys, key, member, before, by)?.into())
}

fn zrem(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match names(arguments, 2, node) {
        Ok(members) => write(session, node, arguments.get(1), Write::Remove(CellKind::Score, members), |written| {
            Reply::Integer(written.changed as i64)
        }),
        Err(refused) => refused.into(),
    }
}

fn scores(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
    reply: fn(Vec<Option<f64>>) -> Reply,
) -> Step {
    let members: Vec<CellId> = match names(arguments, 2, node) {
        Ok(members) => members.into_iter().map(|member| CellId::score(member.0)).collect(),
        Err(refused) => return refused.into(),
    };
    let mut asked = members.clone();
    asked.sort_unstable();
    asked.dedup();
    read_kind(session, node, arguments.get(1), Read::Cells(asked), CellKind::Score, move |found| {
        reply(members.iter().map(|member| found.cell(member).and_then(|state| score_of(&state.live))).collect())
    })
}

fn zscore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    scores(arguments, session, node, |scores| scores.first().copied().flatten().into())
}

fn zmscore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    scores(arguments, session, node, Reply::array)
}

fn zcard(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Score, |found| {
        Reply::Integer(found.counts.of(CellKind::Score) as i64)
    })
}

fn zcount(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::by_score(arguments.get(2), arguments.get(3))?;
    Ok(Reply::Integer(range.count(keys, arguments.get(1))? as i64))
}

fn zlexcount(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::by_name(arguments.get(2), arguments.get(3))?;
    Ok(Reply::Integer(range.count(keys, arguments.get(1))? as i64))
}

fn zrank(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    rank(arguments, keys, false)
}

fn zrevrank(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    rank(arguments, keys, true)
}

fn rank(arguments: &Arguments<'_>, keys: &Keys<'_, '_>, reverse: bool) -> Done {
    let with_score = match arguments.len() {
        3 => false,
        4 if arguments.is(3, "WITHSCORE") => true,
        _ => return Err(Reply::syntax_error().into()),
    };
    let (key, member) = (arguments.get(1), arguments.get(2));
    let Some(score) = score_at(keys, key, member)? else {
        return Ok(if with_score { Reply::NullArray } else { Reply::Null });
    };
    let Some(place) = keys.place(key, &CellId::score(member))? else {
        return Err(Reply::error("ERR resulting score is not a number (NaN)").into());
    };
    let place = if reverse { keys.places(key, CellKind::Score)? - 1 - place } else { place };
    let rank = Reply::Integer(place as i64);
    Ok(if with_score { Reply::Array(vec![rank, score.into()]) } else { rank })
}

/// How many members there are, if the key is a sorted set.
fn in_all(keys: &Keys<'_, '_>, key: &[u8]) -> Result<u64, Refused> {
    if of_kind(keys, key, CellKind::Score, &Read::Summary)?.kind.is_none() {
        return Ok(0);
    }
    Ok(keys.places(key, CellKind::Score)?)
}

fn ranged(arguments: &Arguments<'_>, keys: &Keys<'_, '_>, ranged: Result<Ranged, Refused>) -> Done {
    let ranged = ranged?;
    Ok(shown(ranged.find(keys, arguments.get(1))?, ranged.with_scores))
}

fn zrange(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    ranged(arguments, keys, Ranged::parse(arguments, 2, true))
}

fn zrevrange(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    ranged(arguments, keys, Ranged::by_rank_back(arguments))
}

fn zrangebyscore(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::by_score(arguments.get(2), arguments.get(3));
    ranged(arguments, keys, Ranged::of(arguments, range, false, true))
}

fn zrevrangebyscore(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::by_score(arguments.get(3), arguments.get(2));
    ranged(arguments, keys, Ranged::of(arguments, range, true, true))
}

fn zrangebylex(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::by_name(arguments.get(2), arguments.get(3));
    ranged(arguments, keys, Ranged::of(arguments, range, false, false))
}

fn zrevrangebylex(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::by_name(arguments.get(3), arguments.get(2));
    ranged(arguments, keys, Ranged::of(arguments, range, true, false))
}

fn remove(keys: &mut Keys<'_, '_>, key: &[u8], gone: &[Scored]) -> Result<(), Refused> {
    if !gone.is_empty() {
        let names = gone.iter().map(|(member, _)| ByteString(member.clone())).collect();
        keys.write(key, &Write::Remove(CellKind::Score, names))?;
    }
    Ok(())
}

fn remove_range(keys: &mut Keys<'_, '_>, key: &[u8], range: Range) -> Done {
    let gone = Ranged::all_of(range).find(keys, key)?;
    remove(keys, key, &gone)?;
    Ok(Reply::count(gone.len()))
}

fn zremrangebyrank(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let range = Range::Rank(arguments.integer(2)?, arguments.integer(3)?);
    remove_range(keys, arguments.get(1), range)
}

fn zremrangebyscore(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    remove_range(keys, arguments.get(1), Range::by_score(arguments.get(2), arguments.get(3))?)
}

fn zremrangebylex(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    remove_range(keys, arguments.get(1), Range::by_name(arguments.get(2), arguments.get(3))?)
}

/// Takes so many from an end.
fn pop(keys: &mut Keys<'_, '_>, key: &[u8], highest: bool, count: u64) -> Result<Vec<Scored>, Refused> {
    let there = in_all(keys, key)?;
    let count = count.min(there);
    let places = if highest { there - count..there } else { 0..count };
    let mut taken = if count == 0 { Vec::new() } else { keys.at_places(key, CellKind::Score, places)? };
    if highest {
        taken.reverse();
    }
    remove(keys, key, &taken)?;
    Ok(taken)
}

fn zpopmin(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    pop_some(arguments, keys, false)
}

fn zpopmax(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    pop_some(arguments, keys, true)
}

fn pop_some(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, highest: bool) -> Done {
    match arguments.len() {
        2 => {
            let one = pop(keys, arguments.get(1), highest, 1)?.pop();
            Ok(Reply::Array(one.into_iter().flat_map(|(member, score)| [member.into(), score.into()]).collect()))
        }
        3 => {
            let count = arguments.natural(2, "ERR value is out of range, must be positive")?;
            Ok(shown(pop(keys, arguments.get(1), highest, count)?, true))
        }
        _ => Err(Reply::syntax_error().into()),
    }
}

fn zmpop(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let named = COUNTED.of(arguments)?;
    let at = 2 + named.len();
    let highest = match arguments.word(at).as_str() {
        "MIN" => false,
        "MAX" => true,
        _ => return Err(Reply::syntax_error().into()),
    };
    let count = match arguments.len() - at {
        1 => 1,
        3 if arguments.is(at + 1, "COUNT") => arguments.natural(at + 2, "ERR count should be greater than 0")?,
        _ => return Err(Reply::syntax_error().into()),
    };
    if count == 0 {
        return Err(Reply::error("ERR count should be greater than 0").into());
    }
    for key in named {
        let taken = pop(keys, key, highest, count)?;
        if !taken.is_empty() {
            let pairs = taken.into_iter().map(|(member, score)| Reply::Array(vec![member.into(), score.into()]));
            return Ok(Reply::Array(vec![Reply::copied(key), Reply::Array(pairs.collect())]));
        }
    }
    Ok(Reply::NullArray)
}

fn bzpopmin(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    blocking::first_of(arguments, session, node, "ZPOPMIN")
}

fn bzpopmax(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    blocking::first_of(arguments, session, node, "ZPOPMAX")
}

fn bzmpop(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let inner: Vec<&[u8]> = std::iter::once(b"ZMPOP".as_slice()).chain(arguments.skip(2)).collect();
    match COUNTED_LATER.of(arguments) {
        Ok(keys) => blocking::until_there(&inner, arguments.get(1), &keys, session, node),
        Err(refused) => refused.into(),
    }
}

fn zrandmember(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let with_scores = match arguments.len() {
        2 | 3 => false,
        4 if arguments.is(3, "WITHSCORES") => true,
        _ => return Err(Reply::syntax_error().into()),
    };
    let draws = drawn(arguments)?;
    let chosen = by_chance(keys, arguments.get(1), CellKind::Score, draws, &mut fastrand::Rng::new())?;
    Ok(match draws {
        Draws::One => chosen.into_iter().next().map(|(member, _)| member).into(),
        _ => shown(chosen, with_scores),
    })
}

fn zscan(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    scan(arguments, session, node, Collection::Sorted)
}
