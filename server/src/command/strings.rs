//! Strings and numbers: one cell per key.

use std::sync::Arc;

use crdt::reading;
use replica::{Answer, ByteString, CellId, CellKind, Keys, Operation, Read, Write};

use crate::command::arguments::parse_float;
use crate::command::decimal;
use crate::command::expiry::{Deadline, deadline_of, put_deadline};
use crate::command::refusal::{Done, Refused, first_refusal};
use crate::command::requests::{call, note_all, request, tell_missed};
use crate::command::values::{exists, string};
use crate::command::{
    ALL_KEYS, Arguments, Command, ONE_KEY, PAIRS, READ, READ_FAST, REMOVE_FAST, WRITE, WRITE_FAST, check_name,
    check_value, here, read_kind, shown, there, write,
};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "string";

pub(super) static COMMANDS: &[Command] = &[
    here("GET", 2, READ_FAST, ONE_KEY, GROUP, "The value; of several siblings, the same one from every node.", get),
    here("SET", -3, WRITE, ONE_KEY, GROUP, "Replaces what the coordinator sees of the key.", set).and_there(set_there),
    there("SETNX", 3, WRITE_FAST, ONE_KEY, GROUP, "Sets what the coordinator sees no value of.", setnx),
    there("SETEX", 4, WRITE, ONE_KEY, GROUP, "Sets, with seconds to live.", setex),
    there("PSETEX", 4, WRITE, ONE_KEY, GROUP, "Sets, with milliseconds to live.", psetex),
    there("GETSET", 3, WRITE_FAST, ONE_KEY, GROUP, "Sets, and tells what it replaced.", getset),
    there("GETDEL", 2, REMOVE_FAST, ONE_KEY, GROUP, "Tells the value and removes it.", getdel),
    there("GETEX", -2, WRITE_FAST, ONE_KEY, GROUP, "Tells the value and changes how long it lives.", getex),
    here("MGET", -2, READ_FAST, ALL_KEYS, GROUP, "The values of several keys; not one moment's across slots.", mget),
    here("MSET", -3, WRITE, PAIRS, GROUP, "Sets several keys; not at one moment across slots.", mset),
    there("MSETNX", -3, WRITE, PAIRS, GROUP, "Sets several keys of one slot if there is none of them.", msetnx),
    here("STRLEN", 2, READ_FAST, ONE_KEY, GROUP, "How long the value is.", strlen),
    there("APPEND", 3, WRITE_FAST, ONE_KEY, GROUP, "Appends to what the coordinator sees.", append),
    here("GETRANGE", 4, READ, ONE_KEY, GROUP, "A part of the value.", getrange),
    here("SUBSTR", 4, READ, ONE_KEY, GROUP, "A part of the value.", getrange),
    there("SETRANGE", 4, WRITE, ONE_KEY, GROUP, "Overwrites a part of what the coordinator sees.", setrange),
    here("INCR", 2, WRITE_FAST, ONE_KEY, GROUP, "Adds 1; concurrent increments add up.", incr),
    here("DECR", 2, WRITE_FAST, ONE_KEY, GROUP, "Subtracts 1; concurrent increments add up.", decr),
    here("INCRBY", 3, WRITE_FAST, ONE_KEY, GROUP, "Adds a number; concurrent increments add up.", incrby),
    here("DECRBY", 3, WRITE_FAST, ONE_KEY, GROUP, "Subtracts a number; concurrent increments add up.", decrby),
    there(
        "INCRBYFLOAT",
        3,
        WRITE_FAST,
        ONE_KEY,
        GROUP,
        "Adds; whole numbers add up, of others the last wins.",
        incrbyfloat,
    ),
    here("LCS", -3, READ, super::TWO_KEYS, GROUP, "The longest common subsequence of two values.", lcs),
];

fn get(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let what = Read::Cells(vec![CellId::value()]);
    read_kind(session, node, arguments.get(1), what, CellKind::Value, |found| shown(&found, &CellId::value()))
}

fn strlen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let what = Read::Cells(vec![CellId::value()]);
    read_kind(session, node, arguments.get(1), what, CellKind::Value, |found| {
        let cell = found.cell(&CellId::value());
        Reply::count(cell.and_then(|state| reading::winner(&state.live)).map_or(0, |value| value.len()))
    })
}

/// Without options the common case is one write; with them it is decided at the key.
fn set(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.len() > 3 {
        return match SetOptions::parse(arguments) {
            Ok(_) => call(arguments, session, node),
            Err(refused) => refused.into(),
        };
    }
    if let Err(refused) = check_value(node, arguments.get(2)) {
        return refused.into();
    }
    write(session, node, arguments.get(1), Write::Set(arguments.get(2).to_vec()), |_| Reply::ok())
}

/// The options of SET.
#[derive(Default)]
struct SetOptions {
    absent_only: bool,
    present_only: bool,
    tells: bool,
    keeps_deadline: bool,
    /// The word and the place of its number.
    expires: Option<(Deadline, usize)>,
}

impl SetOptions {
    fn parse(arguments: &Arguments<'_>) -> Result<Self, Reply> {
        let (mut options, mut at) = (Self::default(), 3);
        while at < arguments.len() {
            let word = arguments.word(at);
            match word.as_str() {
                "NX" if !options.present_only => options.absent_only = true,
                "XX" if !options.absent_only => options.present_only = true,
                "GET" => options.tells = true,
                "KEEPTTL" if options.expires.is_none() => options.keeps_deadline = true,
                _ => {
                    let deadline = Deadline::of_word(&word).filter(|_| options.expires.is_none());
                    let deadline = deadline.filter(|_| !options.keeps_deadline && at + 1 < arguments.len());
                    options.expires = Some((deadline.ok_or_else(Reply::syntax_error)?, at + 1));
                    at += 1;
                }
            }
            at += 1;
        }
        Ok(options)
    }
}

/// SET with options, where its key is.
pub(super) fn set_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let (key, value) = (arguments.get(1), arguments.get(2));
    let options = SetOptions::parse(arguments)?;
    let deadline_ms = match options.expires {
        Some((deadline, at)) => Some(deadline.parse(arguments, at, keys.now_ms(), "set")?),
        None => None,
    };
    let before = if options.tells { string(keys, key)? } else { None };
    let told = |kept: Reply| if options.tells { Reply::from(before.clone()) } else { kept };
    let there_is = exists(keys, key)?;
    if options.absent_only && there_is || options.present_only && !there_is {
        return Ok(told(Reply::Null));
    }
    let kept_ms = if options.keeps_deadline { deadline_of(keys, key)? } else { None };
    match deadline_ms.or(kept_ms) {
        Some(deadline_ms) if deadline_ms <= keys.now_ms() => drop(keys.write(key, &Write::RemoveKey)?),
        deadline_ms => {
            keys.write(key, &Write::Set(value.to_vec()))?;
            deadline_ms.map_or(Ok(()), |deadline_ms| put_deadline(keys, key, deadline_ms))?;
        }
    }
    Ok(told(Reply::ok()))
}

fn setnx(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    if exists(keys, arguments.get(1))? {
        return Ok(Reply::Integer(0));
    }
    keys.write(arguments.get(1), &Write::Set(arguments.get(2).to_vec()))?;
    Ok(Reply::Integer(1))
}

fn setex(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    set_for(arguments, keys, Deadline::Seconds, "setex")
}

fn psetex(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    set_for(arguments, keys, Deadline::Millis, "psetex")
}

fn set_for(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, unit: Deadline, command: &str) -> Done {
    let deadline_ms = unit.parse(arguments, 2, keys.now_ms(), command)?;
    keys.write(arguments.get(1), &Write::Set(arguments.get(3).to_vec()))?;
    put_deadline(keys, arguments.get(1), deadline_ms)?;
    Ok(Reply::ok())
}

fn getset(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let before = string(keys, arguments.get(1))?;
    keys.write(arguments.get(1), &Write::Set(arguments.get(2).to_vec()))?;
    Ok(before.into())
}

fn getdel(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let before = string(keys, arguments.get(1))?;
    if before.is_some() {
        keys.write(arguments.get(1), &Write::RemoveKey)?;
    }
    Ok(before.into())
}

fn getex(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let key = arguments.get(1);
    let word = arguments.word(2);
    let deadline = match (word.as_str(), arguments.len()) {
        ("", 2) => None,
        ("PERSIST", 3) => Some(None),
        (_, 4) => {
            let deadline = Deadline::of_word(&word).ok_or_else(Reply::syntax_error)?;
            Some(Some(deadline.parse(arguments, 3, keys.now_ms(), "getex")?))
        }
        _ => return Err(Reply::syntax_error().into()),
    };
    let value = string(keys, key)?;
    match deadline {
        Some(to_ms) if value.is_some() => match to_ms {
            Some(at_ms) if at_ms <= keys.now_ms() => drop(keys.write(key, &Write::RemoveKey)?),
            Some(at_ms) => put_deadline(keys, key, at_ms)?,
            None => drop(super::expiry::remove_deadline(keys, key)?),
        },
        _ => {}
    }
    Ok(value.into())
}

fn mget(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let mut requests = Vec::with_capacity(arguments.len() - 1);
    for key in arguments.skip(1) {
        if let Err(refused) = check_name(node, key) {
            return refused.into();
        }
        requests.push(request(session, node, key, Operation::Read(Read::Cells(vec![CellId::value()]))));
    }
    let keys: Vec<Vec<u8>> = arguments.skip(1).filter_map(|key| node.notifications.if_missed(key)).collect();
    Step::ask_all(requests, move |answers, node| {
        tell_missed(&keys, &answers, node);
        first_refusal(&answers, node).unwrap_or_else(|| {
            let value = |answer: &Answer| match answer {
                Answer::Found(found) if found.kind == Some(CellKind::Value) => shown(found, &CellId::value()),
                _ => Reply::Null,
            };
            Reply::Array(answers.iter().map(value).collect())
        })
    })
}

fn mset(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.len().is_multiple_of(2) {
        return Reply::wrong_number_of_arguments("mset").into();
    }
    let mut requests = Vec::with_capacity(arguments.len() / 2);
    for at in (1..arguments.len()).step_by(2) {
        let (key, value) = (arguments.get(at), arguments.get(at + 1));
        if let Err(refused) = check_name(node, key).and_then(|()| check_value(node, value)) {
            return refused.into();
        }
        requests.push(request(session, node, key, Operation::Write(Write::Set(value.to_vec()))));
    }
    let (last, keys) = (session.last_write.clone(), requests.iter().map(|request| request.key.clone()).collect());
    Step::ask_all(requests, move |answers, node| {
        note_all(&last, keys, &answers);
        first_refusal(&answers, node).unwrap_or_else(Reply::ok)
    })
}

fn msetnx(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    if arguments.len().is_multiple_of(2) {
        return Err(Reply::wrong_number_of_arguments("msetnx").into());
    }
    for at in (1..arguments.len()).step_by(2) {
        if exists(keys, arguments.get(at))? {
            return Ok(Reply::Integer(0));
        }
    }
    for at in (1..arguments.len()).step_by(2) {
        keys.write(arguments.get(at), &Write::Set(arguments.get(at + 1).to_vec()))?;
    }
    Ok(Reply::Integer(1))
}

/// Writes a value in the place of what was seen; how long the key lives stays.
pub(super) fn replace(keys: &mut Keys<'_, '_>, key: &[u8], value: Vec<u8>, node: &Node) -> Result<(), Refused> {
    check_value(node, &value)?;
    keys.write(key, &Write::Put(CellKind::Value, vec![(ByteString::default(), ByteString(value))]))?;
    Ok(())
}

fn append(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let mut value = string(keys, arguments.get(1))?.unwrap_or_default();
    value.extend_from_slice(arguments.get(2));
    let len = value.len();
    replace(keys, arguments.get(1), value, node)?;
    Ok(Reply::count(len))
}

fn getrange(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (Some(from), Some(to)) = (parse_integer(arguments.get(2)), parse_integer(arguments.get(3))) else {
        return Reply::not_an_integer().into();
    };
    let what = Read::Cells(vec![CellId::value()]);
    read_kind(session, node, arguments.get(1), what, CellKind::Value, move |found| {
        let value = found.cell(&CellId::value()).and_then(|state| reading::winner(&state.live)).unwrap_or_default();
        Reply::copied(&value[range_of(value.len(), from, to)])
    })
}

/// The places of a string from one to another, both included, negative ones from the end; what lies before the start counts
/// as the start.
pub(super) fn range_of(len: usize, from: i64, to: i64) -> std::ops::Range<usize> {
    let len = len as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    // What begins and ends before the start is nothing, whatever it is cut to.
    if from < 0 && to < 0 && from > to {
        return 0..0;
    }
    let (from, to) = (place(from).max(0), place(to).max(0).min(len - 1));
    if len == 0 || from > to { 0..0 } else { from as usize..to as usize + 1 }
}

fn setrange(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let offset = arguments.integer(2)?;
    let offset = usize::try_from(offset).map_err(|_| Reply::error("ERR offset is out of range"))?;
    let (key, patch) = (arguments.get(1), arguments.get(3));
    let mut value = string(keys, key)?.unwrap_or_default();
    if patch.is_empty() {
        return Ok(Reply::count(value.len()));
    }
    let limit = node.config.max_value_bytes.get();
    let end = offset.checked_add(patch.len()).filter(|end| *end as u64 <= limit);
    let end = end.ok_or_else(|| Reply::error("ERR string exceeds maximum allowed size (max-value-bytes)"))?;
    value.resize(value.len().max(end), 0);
    value[offset..end].copy_from_slice(patch);
    let len = value.len();
    replace(keys, key, value, node)?;
    Ok(Reply::count(len))
}

fn incr(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    add(arguments, session, node, Some(1))
}

fn decr(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    add(arguments, session, node, Some(-1))
}

fn incrby(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    add(arguments, session, node, parse_integer(arguments.get(2)))
}

fn decrby(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match parse_integer(arguments.get(2)) {
        Some(i64::MIN) => Reply::error("ERR decrement would overflow").into(),
        by => add(arguments, session, node, by.map(|by| -by)),
    }
}

fn add(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, by: Option<i64>) -> Step {
    let Some(by) = by else { return Reply::not_an_integer().into() };
    let increment = Write::Increment(CellId::value(), by);
    write(session, node, arguments.get(1), increment, |written| Reply::Integer(written.number.unwrap_or(0)))
}

fn incrbyfloat(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let before = string(keys, arguments.get(1))?;
    let by = arguments.get(2);
    Ok(add_float(keys, arguments.get(1), CellId::value(), before, by, "value is not a valid float")?.into())
}

/// Adds to the number in a cell and gives the sum. A whole number is added as an increment, which adds up with concurrent ones;
/// any other replaces what was seen.
pub(super) fn add_float(
    keys: &mut Keys<'_, '_>,
    key: &[u8],
    cell: CellId,
    before: Option<Vec<u8>>,
    by: &[u8],
    otherwise: &str,
) -> Result<Vec<u8>, Refused> {
    let added = parse_float(by).ok_or_else(Reply::not_a_float)?;
    let before = before.unwrap_or_else(|| b"0".to_vec());
    let now = parse_float(&before).ok_or_else(|| Reply::error(format!("ERR {otherwise}")))?;
    if !(now + added).is_finite() {
        return Err(Reply::error("ERR increment would produce NaN or Infinity").into());
    }
    let is_whole = added.fract() == 0.0 && added.abs() < 2f64.powi(53);
    let fits = |number: i64| number.checked_add(added as i64).is_some();
    if is_whole && parse_integer(&before).is_some_and(fits) {
        let number = keys.write(key, &Write::Increment(cell, added as i64))?.number;
        return Ok(number.unwrap_or(0).to_string().into_bytes());
    }
    let sum = decimal::add(&before, by).unwrap_or_else(|| format!("{}", now + added).into_bytes());
    keys.write(key, &Write::Put(cell.kind, vec![(ByteString(cell.name), ByteString(sum.clone()))]))?;
    Ok(sum)
}

fn lcs(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let only_len = match arguments.len() {
        3 => false,
        4 if arguments.is(3, "LEN") => true,
        _ => {
            return Reply::error("ERR LCS takes two keys and LEN; IDX, MINMATCHLEN and WITHMATCHLEN are not there")
                .into();
        }
    };
    let two = [arguments.get(1), arguments.get(2)];
    let ask = |key| request(session, node, key, Operation::Read(Read::Cells(vec![CellId::value()])));
    Step::ask_all(two.map(ask).into(), move |answers, node| {
        if let Some(refused) = first_refusal(&answers, node) {
            return refused;
        }
        let mut values = Vec::new();
        for answer in &answers {
            let Answer::Found(found) = answer else { continue };
            if found.kind.is_some_and(|kind| kind != CellKind::Value) {
                return Reply::error("ERR The specified keys must contain string values");
            }
            values.push(super::values::winner(found, &CellId::value()).unwrap_or_default());
        }
        match (&values[..], only_len) {
            ([x, y], _) if (x.len() + 1).saturating_mul(y.len() + 1) > LCS_CELLS => {
                Reply::error(format!("ERR the values are too long for LCS: their lengths' product is over {LCS_CELLS}"))
            }
            ([x, y], true) => Reply::count(common_subsequence(x, y).len()),
            ([x, y], false) => Reply::bulk(common_subsequence(x, y)),
            _ => Reply::Null,
        }
    })
}

/// How large a table LCS may fill.
const LCS_CELLS: usize = 64 * 1024 * 1024;

/// By the table of all prefixes. O(lengths' product) of time and memory.
fn common_subsequence(x: &[u8], y: &[u8]) -> Vec<u8> {
    let width = y.len() + 1;
    let mut table = vec![0_u32; (x.len() + 1) * width];
    for i in 1..=x.len() {
        for j in 1..=y.len() {
            table[i * width + j] = if x[i - 1] == y[j - 1] {
                table[(i - 1) * width + j - 1] + 1
            } else {
                table[(i - 1) * width + j].max(table[i * width + j - 1])
            };
        }
    }
    let (mut i, mut j, mut found) = (x.len(), y.len(), Vec::new());
    while i > 0 && j > 0 {
        if x[i - 1] == y[j - 1] {
            found.push(x[i - 1]);
            (i, j) = (i - 1, j - 1);
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    found.reverse();
    found
}
