//! Sets: a cell per member; a concurrent add wins over a removal.

use std::collections::BTreeSet;
use std::sync::Arc;

use crdt::reading;
use replica::{Answer, ByteString, CellId, CellKind, Found, Keys, Operation, Read, Write};

use crate::command::refusal::{Done, Refused, first_refusal};
use crate::command::requests::{Asker, call_at, request};
use crate::command::scan::{Collection, scan};
use crate::command::values::of_kind;
use crate::command::{
    ALL_KEYS, Arguments, Command, KeyPlaces, ONE_KEY, READ, READ_FAST, REMOVE_FAST, TWO_KEYS, WRITE_FAST,
    WRITE_IN_TURN, check_name, here, looks, names, read_kind, there, write,
};
use crate::dump::Contents;
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::Call;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "set";
const COUNTED: KeyPlaces = KeyPlaces::Counted { number: 1, first: false };

pub(super) static COMMANDS: &[Command] = &[
    here("SADD", -3, WRITE_FAST, ONE_KEY, GROUP, "Adds members.", sadd),
    here("SREM", -3, REMOVE_FAST, ONE_KEY, GROUP, "Removes what is seen of members.", srem),
    here("SMEMBERS", 2, READ, ONE_KEY, GROUP, "All members.", smembers),
    here("SISMEMBER", 3, READ_FAST, ONE_KEY, GROUP, "Is it a member?", sismember),
    here("SMISMEMBER", -3, READ_FAST, ONE_KEY, GROUP, "Which of them are members?", smismember),
    here("SCARD", 2, READ_FAST, ONE_KEY, GROUP, "How many members.", scard),
    there(
        "SPOP",
        -2,
        REMOVE_FAST,
        ONE_KEY,
        GROUP,
        "Takes members; on two sides of a partition perhaps the same.",
        spop,
    ),
    looks("SRANDMEMBER", -2, READ, ONE_KEY, GROUP, "Members by chance.", srandmember),
    there("SMOVE", 4, WRITE_FAST, TWO_KEYS, GROUP, "Moves a member to another set of the slot.", smove),
    here("SSCAN", -3, READ, ONE_KEY, GROUP, "Members, page by page.", sscan),
    here("SINTER", -2, READ, ALL_KEYS, GROUP, "What is in all sets.", sinter),
    here("SUNION", -2, READ, ALL_KEYS, GROUP, "What is in any set.", sunion),
    here("SDIFF", -2, READ, ALL_KEYS, GROUP, "What is in the first set and in no other.", sdiff),
    here("SINTERCARD", -3, READ, COUNTED, GROUP, "How many are in all sets.", sintercard),
    here(
        "SINTERSTORE",
        -3,
        WRITE_IN_TURN,
        ALL_KEYS,
        GROUP,
        "Keeps what is in all sets; reads, then writes.",
        sinterstore,
    ),
    here(
        "SUNIONSTORE",
        -3,
        WRITE_IN_TURN,
        ALL_KEYS,
        GROUP,
        "Keeps what is in any set; reads, then writes.",
        sunionstore,
    ),
    here(
        "SDIFFSTORE",
        -3,
        WRITE_IN_TURN,
        ALL_KEYS,
        GROUP,
        "Keeps what is only in the first; reads, then writes.",
        sdiffstore,
    ),
];

fn changed(written: replica::Written) -> Reply {
    Reply::Integer(written.changed as i64)
}

fn sadd(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match names(arguments, 2, node) {
        Ok(members) => write(session, node, arguments.get(1), Write::Add(members), changed),
        Err(refused) => refused.into(),
    }
}

fn srem(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match names(arguments, 2, node) {
        Ok(members) => write(session, node, arguments.get(1), Write::Remove(CellKind::Member, members), changed),
        Err(refused) => refused.into(),
    }
}

fn members(found: &Found) -> Vec<Vec<u8>> {
    found.of(CellKind::Member).map(|(name, _)| name.to_vec()).collect()
}

fn smembers(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::All, CellKind::Member, |found| Reply::set(members(&found)))
}

fn is_member(found: &Found, member: &CellId) -> Reply {
    Reply::Integer(found.cell(member).is_some_and(|state| reading::is_present(&state.live)).into())
}

fn sismember(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = check_name(node, arguments.get(2)) {
        return refused.into();
    }
    let member = CellId::member(arguments.get(2));
    let what = Read::Cells(vec![member.clone()]);
    read_kind(session, node, arguments.get(1), what, CellKind::Member, move |found| is_member(&found, &member))
}

fn smismember(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let members: Vec<CellId> = match names(arguments, 2, node) {
        Ok(members) => members.into_iter().map(|member| CellId::member(member.0)).collect(),
        Err(refused) => return refused.into(),
    };
    let what = Read::Cells(members.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect());
    read_kind(session, node, arguments.get(1), what, CellKind::Member, move |found| {
        Reply::Array(members.iter().map(|member| is_member(&found, member)).collect())
    })
}

fn scard(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Member, |found| {
        Reply::Integer(found.counts.of(CellKind::Member) as i64)
    })
}

fn spop(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let key = arguments.get(1);
    let count = match arguments.len() {
        2 => None,
        3 => Some(arguments.natural(2, "ERR value is out of range, must be positive")?),
        _ => return Err(Reply::syntax_error().into()),
    };
    let draws = match count {
        None => Draws::One,
        Some(count) => Draws::Distinct(count),
    };
    // The same wherever it is carried out.
    let mut chance = fastrand::Rng::with_seed(keys.next_dot().counter ^ keys.now_ms().rotate_left(32));
    let found = by_chance(keys, key, CellKind::Member, draws, &mut chance)?;
    let mut found: Vec<Vec<u8>> = found.into_iter().map(|(member, _)| member).collect();
    if !found.is_empty() {
        let names = found.iter().cloned().map(ByteString).collect();
        keys.write(key, &Write::Remove(CellKind::Member, names))?;
    }
    match count {
        None => Ok(found.pop().into()),
        Some(_) => Ok(Reply::set(found)),
    }
}

fn srandmember(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    if arguments.len() > 3 {
        return Err(Reply::syntax_error().into());
    }
    let draws = drawn(arguments)?;
    let chosen = by_chance(keys, arguments.get(1), CellKind::Member, draws, &mut fastrand::Rng::new())?;
    let mut chosen = chosen.into_iter().map(|(member, _)| member);
    Ok(if draws == Draws::One { chosen.next().into() } else { Reply::array(chosen) })
}

/// How often a client may draw by chance where each may come again.
const DRAWS_MOST: u64 = 1 << 20;

/// What a client wants by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draws {
    /// One.
    One,
    /// So many, each once.
    Distinct(u64),
    /// So many times one.
    Repeated(u64),
}

/// How many a client wants by chance: of a negative count, each may come again.
pub(super) fn drawn(arguments: &Arguments<'_>) -> Result<Draws, Reply> {
    match (arguments.len(), parse_integer(arguments.get(2))) {
        (2, _) => Ok(Draws::One),
        (_, Some(count)) if count < 0 && count.unsigned_abs() > DRAWS_MOST => {
            Err(Reply::error("ERR value is out of range"))
        }
        (_, Some(count)) if count < 0 => Ok(Draws::Repeated(count.unsigned_abs())),
        (_, Some(count)) => Ok(Draws::Distinct(count.unsigned_abs())),
        (_, None) => Err(Reply::not_an_integer()),
    }
}

/// How large draws of which each may come again are together, at most.
pub(super) const DRAWN_BYTES: usize = 64 * 1024 * 1024;

/// Cells of one kind by chance, with their scores.
pub(super) fn by_chance(
    keys: &Keys<'_, '_>,
    key: &[u8],
    kind: CellKind,
    draws: Draws,
    chance: &mut fastrand::Rng,
) -> Result<Vec<(Vec<u8>, f64)>, Refused> {
    let is_there = of_kind(keys, key, kind, &Read::Summary)?.kind.is_some();
    let there = if is_there { keys.places(key, kind)? } else { 0 };
    if there == 0 {
        return Ok(Vec::new());
    }
    let (places, limit_bytes) = match draws {
        Draws::One => (vec![chance.u64(..there)], usize::MAX),
        Draws::Repeated(count) => ((0..count).map(|_| chance.u64(..there)).collect(), DRAWN_BYTES),
        Draws::Distinct(count) => (distinct(count, there, chance), usize::MAX),
    };
    Ok(keys.at_each(key, kind, &places, limit_bytes)?)
}

/// So many of these places, each once.
fn distinct(count: u64, there: u64, chance: &mut fastrand::Rng) -> Vec<u64> {
    // Of most of them it is quicker to leave some out than to find others.
    if count > there / 2 {
        let mut places: Vec<u64> = (0..there).collect();
        chance.shuffle(&mut places);
        places.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        return places;
    }
    let (mut taken, mut places) = (BTreeSet::new(), Vec::new());
    while (places.len() as u64) < count {
        let place = chance.u64(..there);
        if taken.insert(place) {
            places.push(place);
        }
    }
    places
}

fn smove(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (from, to, member) = (arguments.get(1), arguments.get(2), arguments.get(3));
    check_name(node, member)?;
    let cell = Read::Cells(vec![CellId::member(member)]);
    let found = of_kind(keys, from, CellKind::Member, &cell)?;
    if found.kind.is_none() {
        return Ok(Reply::Integer(0));
    }
    of_kind(keys, to, CellKind::Member, &Read::Summary)?;
    if found.of(CellKind::Member).next().is_none() {
        return Ok(Reply::Integer(0));
    }
    if from != to {
        keys.write(from, &Write::Remove(CellKind::Member, vec![member.into()]))?;
        keys.write(to, &Write::Add(vec![member.into()]))?;
    }
    Ok(Reply::Integer(1))
}

fn sscan(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    scan(arguments, session, node, Collection::Set)
}

/// What is done with several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algebra {
    Intersection,
    Union,
    Difference,
}

impl Algebra {
    fn of(self, mut sets: impl Iterator<Item = BTreeSet<Vec<u8>>>) -> BTreeSet<Vec<u8>> {
        let first = sets.next().unwrap_or_default();
        sets.fold(first, |sum, set| match self {
            Algebra::Intersection => sum.into_iter().filter(|member| set.contains(member)).collect(),
            Algebra::Union => sum.into_iter().chain(set).collect(),
            Algebra::Difference => sum.into_iter().filter(|member| !set.contains(member)).collect(),
        })
    }
}

/// Reads all sets, and goes on with what they are together.
fn combine(
    named: &[&[u8]],
    algebra: Algebra,
    session: &Session,
    node: &Arc<Node>,
    then: impl FnOnce(BTreeSet<Vec<u8>>) -> Step + 'static,
) -> Step {
    if let Some(refused) = named.iter().find_map(|key| check_name(node, key).err()) {
        return refused.into();
    }
    let requests = named.iter().map(|key| request(session, node, key, Operation::Read(Read::All))).collect();
    Step::Ask(
        requests,
        Box::new(move |answers, node| {
            if let Some(refused) = first_refusal(&answers, node) {
                return refused.into();
            }
            let found = || {
                answers.iter().filter_map(|answer| if let Answer::Found(found) = answer { Some(found) } else { None })
            };
            if found().any(|found| found.kind.is_some_and(|kind| kind != CellKind::Member)) {
                return Reply::wrong_type().into();
            }
            then(algebra.of(found().map(|found| members(found).into_iter().collect())))
        }),
    )
}

fn shown(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, algebra: Algebra) -> Step {
    let named: Vec<&[u8]> = arguments.skip(1).collect();
    combine(&named, algebra, session, node, |members| Reply::set(members).into())
}

fn sinter(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    shown(arguments, session, node, Algebra::Intersection)
}

fn sunion(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    shown(arguments, session, node, Algebra::Union)
}

fn sdiff(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    shown(arguments, session, node, Algebra::Difference)
}

fn sintercard(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match parse_integer(arguments.get(1)) {
        Some(count) if count > 0 && count as usize > arguments.len() - 2 => {
            return Reply::error("ERR Number of keys can't be greater than number of args").into();
        }
        Some(count) if count > 0 => {}
        _ => return Reply::error("ERR numkeys should be greater than 0").into(),
    }
    let named = match COUNTED.of(arguments) {
        Ok(named) => named,
        Err(refused) => return refused.into(),
    };
    let rest = 2 + named.len();
    let limit = match limit(arguments, rest) {
        Ok(limit) => limit,
        Err(refused) => return refused.into(),
    };
    combine(&named, Algebra::Intersection, session, node, move |members| Reply::count(members.len().min(limit)).into())
}

/// `[LIMIT n]`, from this argument on: how many to count at most.
pub(super) fn limit(arguments: &Arguments<'_>, from: usize) -> Result<usize, Reply> {
    match arguments.len() - from {
        0 => Ok(usize::MAX),
        2 if arguments.is(from, "LIMIT") => match parse_integer(arguments.get(from + 1)) {
            Some(0) => Ok(usize::MAX),
            Some(limit) if limit > 0 => Ok(limit as usize),
            _ => Err(Reply::error("ERR LIMIT can't be negative")),
        },
        _ => Err(Reply::syntax_error()),
    }
}

fn store(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, algebra: Algebra) -> Step {
    if let Err(refused) = check_name(node, arguments.get(1)) {
        return refused.into();
    }
    let named: Vec<&[u8]> = arguments.skip(2).collect();
    let (to, asker) = (arguments.get(1).to_vec(), Asker::of(session));
    let keeper = Arc::clone(node);
    let event = match algebra {
        Algebra::Intersection => "sinterstore",
        Algebra::Union => "sunionstore",
        Algebra::Difference => "sdiffstore",
    };
    combine(&named, algebra, session, node, move |members| {
        let count = members.len();
        let put = Call::store(event, &to, Contents::Set(members.into_iter().map(ByteString).collect()));
        call_at(&to, &put, &asker, &keeper).map_reply(move |reply| match reply {
            Reply::Integer(_) => Reply::count(count),
            refused => refused,
        })
    })
}

fn sinterstore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    store(arguments, session, node, Algebra::Intersection)
}

fn sunionstore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    store(arguments, session, node, Algebra::Union)
}

fn sdiffstore(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    store(arguments, session, node, Algebra::Difference)
}
