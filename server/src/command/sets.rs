//! Sets: a cell per member; a concurrent add wins over a removal.

use std::collections::BTreeSet;
use std::sync::Arc;

use crdt::reading;
use replica::{Answer, ByteString, CellId, CellKind, Found, Keys, Operation, Read, Write};

use crate::command::refusal::{Done, first_refusal};
use crate::command::requests::{Asker, call_at, request};
use crate::command::scan::{Collection, scan};
use crate::command::values::of_kind;
use crate::command::{
    ALL_KEYS, Arguments, Command, KeyPlaces, ONE_KEY, READ, READ_FAST, REMOVE_FAST, TWO_KEYS, WRITE_FAST,
    WRITE_IN_TURN, check_name, here, names, read_kind, there, write,
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
    here("SRANDMEMBER", -2, READ, ONE_KEY, GROUP, "Members by chance.", srandmember),
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
    let mut found = members(&of_kind(keys, key, CellKind::Member, &Read::All)?);
    let mut chance = fastrand::Rng::with_seed(keys.next_dot().counter ^ keys.now_ms().rotate_left(32));
    chance.shuffle(&mut found);
    found.truncate(count.map_or(1, |count| usize::try_from(count).unwrap_or(usize::MAX)));
    if !found.is_empty() {
        let names = found.iter().cloned().map(ByteString).collect();
        keys.write(key, &Write::Remove(CellKind::Member, names))?;
    }
    match count {
        None => Ok(found.pop().into()),
        Some(_) => Ok(Reply::set(found)),
    }
}

fn srandmember(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let count = match (arguments.len(), drawn(arguments)) {
        (2 | 3, Ok(count)) => count,
        (2 | 3, Err(refused)) => return refused.into(),
        _ => return Reply::syntax_error().into(),
    };
    read_kind(session, node, arguments.get(1), Read::All, CellKind::Member, move |found| {
        let chosen = by_chance(members(&found), count, Vec::len);
        if count.is_none() { chosen.into_iter().next().into() } else { Reply::array(chosen) }
    })
}

/// How many a client may ask for by chance.
const RANDOM_MOST: u64 = 1 << 20;

/// How many a client wants by chance, if it says so.
pub(super) fn drawn(arguments: &Arguments<'_>) -> Result<Option<i64>, Reply> {
    match (arguments.len(), parse_integer(arguments.get(2))) {
        (2, _) => Ok(None),
        (_, Some(count)) if count.unsigned_abs() <= RANDOM_MOST => Ok(Some(count)),
        (_, Some(_)) => Err(Reply::error("ERR value is out of range")),
        (_, None) => Err(Reply::not_an_integer()),
    }
}

/// How large draws may be together.
const DRAWN_BYTES: usize = 256 * 1024 * 1024;

/// So many of the things, each once; if the count is negative, so many draws, each of which may give any, but no more than fit
/// [`DRAWN_BYTES`]; without a count, one.
pub(super) fn by_chance<T: Clone>(mut things: Vec<T>, count: Option<i64>, size: fn(&T) -> usize) -> Vec<T> {
    let count = count.unwrap_or(1);
    if count < 0 && !things.is_empty() {
        let longest = things.iter().map(size).max().unwrap_or(0) + 64;
        let draws = 0..count.unsigned_abs().min((DRAWN_BYTES / longest) as u64);
        return draws.map(|_| things[fastrand::usize(..things.len())].clone()).collect();
    }
    fastrand::shuffle(&mut things);
    things.truncate(usize::try_from(count).unwrap_or(0));
    things
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
