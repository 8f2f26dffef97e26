//! Lists: a cell per element, named by its position. What is pushed at once on two sides is all kept, none of it twice.

use std::ops::ControlFlow;
use std::sync::Arc;

use crdt::reading;
use replica::{ByteString, CellKind, Keys, Position, Read, Start, Write};

use crate::command::blocking;
use crate::command::refusal::{Done, Refused};
use crate::command::values::{exists, of_kind, places_of};
use crate::command::{
    ALL_BUT_LAST, Arguments, Command, IN_TURN, KeyPlaces, ONE_KEY, READ, READ_FAST, REMOVE, REMOVE_FAST, TWO_KEYS,
    WRITE, WRITE_FAST, check_name, here, read_kind, there,
};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "list";
const COUNTED: KeyPlaces = KeyPlaces::Counted { number: 1, first: false };
const COUNTED_LATER: KeyPlaces = KeyPlaces::Counted { number: 2, first: false };
const BLOCKING: &[&str] = &["write", "noscript", "blocking", IN_TURN];

pub(super) static COMMANDS: &[Command] = &[
    there("LPUSH", -3, WRITE_FAST, ONE_KEY, GROUP, "Puts elements before the first.", lpush),
    there("RPUSH", -3, WRITE_FAST, ONE_KEY, GROUP, "Puts elements behind the last.", rpush),
    there("LPUSHX", -3, WRITE_FAST, ONE_KEY, GROUP, "The same, if there is a list.", lpushx),
    there("RPUSHX", -3, WRITE_FAST, ONE_KEY, GROUP, "The same, if there is a list.", rpushx),
    there("LPOP", -2, REMOVE_FAST, ONE_KEY, GROUP, "Takes the first; on two sides of a partition perhaps twice.", lpop),
    there("RPOP", -2, REMOVE_FAST, ONE_KEY, GROUP, "Takes the last; on two sides of a partition perhaps twice.", rpop),
    here("LLEN", 2, READ_FAST, ONE_KEY, GROUP, "How many elements.", llen),
    here("LRANGE", 4, READ, ONE_KEY, GROUP, "Elements from one place to another.", lrange),
    here("LINDEX", 3, READ, ONE_KEY, GROUP, "The element at a place.", lindex),
    here("LPOS", -3, READ, ONE_KEY, GROUP, "Where an element stands.", lpos),
    there("LSET", 4, WRITE, ONE_KEY, GROUP, "Replaces the element at a place.", lset),
    there("LINSERT", 5, WRITE, ONE_KEY, GROUP, "Puts an element before or behind another.", linsert),
    there("LREM", 4, REMOVE, ONE_KEY, GROUP, "Removes elements that equal one.", lrem),
    there("LTRIM", 4, REMOVE, ONE_KEY, GROUP, "Removes what is outside of a range.", ltrim),
    there("LMOVE", 5, WRITE, TWO_KEYS, GROUP, "Takes from one list and puts into another, of one slot.", lmove),
    there(
        "RPOPLPUSH",
        3,
        WRITE,
        TWO_KEYS,
        GROUP,
        "Takes the last and puts it before another list of the slot.",
        rpoplpush,
    ),
    there("LMPOP", -4, REMOVE, COUNTED, GROUP, "Takes from the first list that has something, of one slot.", lmpop),
    here(
        "BLPOP",
        -3,
        BLOCKING,
        ALL_BUT_LAST,
        GROUP,
        "LPOP of the first list that has something; waits for one.",
        blpop,
    ),
    here(
        "BRPOP",
        -3,
        BLOCKING,
        ALL_BUT_LAST,
        GROUP,
        "RPOP of the first list that has something; waits for one.",
        brpop,
    ),
    here("BLMOVE", 6, BLOCKING, TWO_KEYS, GROUP, "LMOVE; waits for an element.", blmove),
    here("BRPOPLPUSH", 4, BLOCKING, TWO_KEYS, GROUP, "RPOPLPUSH; waits for an element.", brpoplpush),
    here("BLMPOP", -5, BLOCKING, COUNTED_LATER, GROUP, "LMPOP; waits for an element.", blmpop),
];

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    fn parse(arguments: &Arguments<'_>, at: usize) -> Result<Self, Refused> {
        match arguments.word(at).as_str() {
            "LEFT" => Ok(End::Left),
            "RIGHT" => Ok(End::Right),
            _ => Err(Reply::syntax_error().into()),
        }
    }

    fn start(self) -> Start<'static> {
        if self == End::Left { Start::First } else { Start::Last }
    }
}

type Element = (Vec<u8>, Vec<u8>);

/// Positions and elements from an end on.
fn elements(keys: &Keys<'_, '_>, key: &[u8], end: End, count: u64) -> Result<Vec<Element>, Refused> {
    let mut found = Vec::new();
    if count == 0 {
        return Ok(found);
    }
    keys.walk(key, CellKind::Item, end.start(), &mut |name, cell| {
        found.push((name.to_vec(), reading::winner(&cell.live).unwrap_or_default().into_owned()));
        if found.len() as u64 == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn len(keys: &Keys<'_, '_>, key: &[u8]) -> Result<u64, Refused> {
    Ok(of_kind(keys, key, CellKind::Item, &Read::Summary)?.counts.of(CellKind::Item))
}

fn put_at(keys: &mut Keys<'_, '_>, key: &[u8], position: Position, element: &[u8]) -> Result<Vec<u8>, Refused> {
    let name = position.into_name();
    keys.put_new(key, CellKind::Item, name.clone(), element)?;
    Ok(name)
}

fn push<'e>(
    keys: &mut Keys<'_, '_>,
    key: &[u8],
    end: End,
    elements_in: impl Iterator<Item = &'e [u8]>,
) -> Result<u64, Refused> {
    // Also what was seen to have ended: its elements are removed by the first write.
    let mut count = len(keys, key)?;
    let mut last = if count == 0 { None } else { keys.outermost(key, CellKind::Item, end.start())? };
    for element in elements_in {
        let dot = keys.next_dot();
        let position = match (&last, end) {
            (None, _) => Position::only(&dot),
            (Some(first), End::Left) => Position::before(first, &dot),
            (Some(last), End::Right) => Position::after(last, &dot),
        };
        last = Some(put_at(keys, key, position, element)?);
        count += 1;
    }
    Ok(count)
}

fn remove(keys: &mut Keys<'_, '_>, key: &[u8], found: &[Element]) -> Result<(), Refused> {
    if !found.is_empty() {
        let names = found.iter().map(|(name, _)| ByteString::from(name.as_slice())).collect();
        keys.write(key, &Write::Remove(CellKind::Item, names))?;
    }
    Ok(())
}

/// Takes up to so many elements from an end.
fn pop(keys: &mut Keys<'_, '_>, key: &[u8], end: End, count: u64) -> Result<Vec<Vec<u8>>, Refused> {
    if len(keys, key)? == 0 {
        return Ok(Vec::new());
    }
    let found = elements(keys, key, end, count)?;
    remove(keys, key, &found)?;
    Ok(found.into_iter().map(|(_, element)| element).collect())
}

fn lpush(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    Ok(Reply::Integer(push(keys, arguments.get(1), End::Left, arguments.skip(2))? as i64))
}

fn rpush(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    Ok(Reply::Integer(push(keys, arguments.get(1), End::Right, arguments.skip(2))? as i64))
}

fn lpushx(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    if len(keys, arguments.get(1))? == 0 { Ok(Reply::Integer(0)) } else { lpush(arguments, keys, node) }
}

fn rpushx(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    if len(keys, arguments.get(1))? == 0 { Ok(Reply::Integer(0)) } else { rpush(arguments, keys, node) }
}

fn lpop(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    pop_some(arguments, keys, End::Left, "lpop")
}

fn rpop(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    pop_some(arguments, keys, End::Right, "rpop")
}

fn pop_some(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, end: End, command: &str) -> Done {
    let key = arguments.get(1);
    match arguments.len() {
        2 => Ok(pop(keys, key, end, 1)?.pop().into()),
        3 => {
            let count = arguments.natural(2, "ERR value is out of range, must be positive")?;
            if len(keys, key)? == 0 {
                return Ok(Reply::NullArray);
            }
            Ok(Reply::array(pop(keys, key, end, count)?))
        }
        _ => Err(Reply::wrong_number_of_arguments(command).into()),
    }
}

fn llen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Item, |found| {
        Reply::Integer(found.counts.of(CellKind::Item) as i64)
    })
}

fn lrange(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (Some(from), Some(to)) = (parse_integer(arguments.get(2)), parse_integer(arguments.get(3))) else {
        return Reply::not_an_integer().into();
    };
    let what = Read::Slice { kind: CellKind::Item, from, to };
    read_kind(session, node, arguments.get(1), what, CellKind::Item, |found| Reply::Array(shown(&found)))
}

fn shown(found: &replica::Found) -> Vec<Reply> {
    let items = found.of(CellKind::Item);
    items.map(|(_, cell)| reading::winner(&cell.live).map(std::borrow::Cow::into_owned).into()).collect()
}

fn lindex(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let Some(at) = parse_integer(arguments.get(2)) else { return Reply::not_an_integer().into() };
    let what = Read::Slice { kind: CellKind::Item, from: at, to: at };
    read_kind(session, node, arguments.get(1), what, CellKind::Item, move |found| {
        let count = found.counts.of(CellKind::Item) as i64;
        if (-count..count).contains(&at) { shown(&found).pop().unwrap_or(Reply::Null) } else { Reply::Null }
    })
}

fn lpos(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (mut rank, mut count, mut most) = (1_i64, None, 0_u64);
    for at in (3..arguments.len()).step_by(2) {
        let number =
            || if at + 1 < arguments.len() { arguments.integer(at + 1) } else { Err(Reply::syntax_error().into()) };
        let natural = |what| arguments.natural(at + 1, &format!("ERR {what} can't be negative"));
        let parsed = match arguments.word(at).as_str() {
            "RANK" => number().map(|number| rank = number),
            "COUNT" => number().and_then(|_| natural("COUNT")).map(|number| count = Some(number)),
            "MAXLEN" => number().and_then(|_| natural("MAXLEN")).map(|number| most = number),
            _ => Err(Reply::syntax_error().into()),
        };
        if let Err(refused) = parsed {
            return refused.at_once(node);
        }
    }
    if rank == 0 {
        return Reply::error(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
        )
        .into();
    }
    if rank == i64::MIN {
        return Reply::error(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )
        .into();
    }
    let element = arguments.get(2).to_vec();
    read_kind(session, node, arguments.get(1), Read::All, CellKind::Item, move |found| {
        let items: Vec<_> = found.of(CellKind::Item).collect();
        let (len, look) = (items.len(), if most == 0 { items.len() } else { items.len().min(most as usize) });
        let places: Vec<usize> = if rank > 0 { (0..look).collect() } else { (len - look..len).rev().collect() };
        let equal =
            places.into_iter().filter(|at| reading::winner(&items[*at].1.live).as_deref() == Some(&element[..]));
        let mut equal = equal.skip((rank.unsigned_abs() - 1) as usize).map(Reply::count);
        match count {
            None => equal.next().unwrap_or(Reply::Null),
            Some(0) => Reply::Array(equal.collect()),
            Some(count) => Reply::Array(equal.take(count as usize).collect()),
        }
    })
}

fn lset(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let key = arguments.get(1);
    let count = len(keys, key)?;
    if count == 0 {
        return Err(Reply::error("ERR no such key").into());
    }
    let at = arguments.integer(2)?;
    let (end, place) = if at >= 0 { (End::Left, at as u64) } else { (End::Right, at.unsigned_abs() - 1) };
    if place >= count {
        return Err(Reply::error("ERR index out of range").into());
    }
    if let Some((name, _)) = elements(keys, key, end, place + 1)?.pop() {
        let put = Write::Put(CellKind::Item, vec![(ByteString(name), ByteString::from(arguments.get(3)))]);
        keys.write(key, &put)?;
    }
    Ok(Reply::ok())
}

fn linsert(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, pivot, element) = (arguments.get(1), arguments.get(3), arguments.get(4));
    let before = match arguments.word(2).as_str() {
        "BEFORE" => true,
        "AFTER" => false,
        _ => return Err(Reply::syntax_error().into()),
    };
    let count = len(keys, key)?;
    if count == 0 {
        return Ok(Reply::Integer(0));
    }
    let all = elements(keys, key, End::Left, u64::MAX)?;
    let Some(at) = all.iter().position(|(_, element)| element == pivot) else { return Ok(Reply::Integer(-1)) };
    let at = if before { at } else { at + 1 };
    let dot = keys.next_dot();
    let position = match (at.checked_sub(1).map(|low| &all[low].0), all.get(at).map(|(high, _)| high)) {
        (Some(low), Some(high)) => Position::between(low, high, &dot),
        (Some(last), None) => Position::after(last, &dot),
        (None, Some(first)) => Position::before(first, &dot),
        (None, None) => Position::only(&dot),
    };
    let name = position.into_name();
    // The position is the name of its cell: so much was inserted at this spot that it has grown too long.
    check_name(node, &name).map_err(|_| {
        Reply::error(
            "ERR too much was inserted at this spot of the list: write the list anew (COPY, or LRANGE and RPUSH)",
        )
    })?;
    keys.write(key, &Write::Put(CellKind::Item, vec![(ByteString(name), ByteString::from(element))]))?;
    Ok(Reply::Integer(count as i64 + 1))
}

fn lrem(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let (key, count, element) = (arguments.get(1), arguments.integer(2)?, arguments.get(3));
    if len(keys, key)? == 0 {
        return Ok(Reply::Integer(0));
    }
    let end = if count < 0 { End::Right } else { End::Left };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let equal = elements(keys, key, end, u64::MAX)?.into_iter().filter(|(_, other)| other == element);
    let equal: Vec<Element> = equal.take(most).collect();
    remove(keys, key, &equal)?;
    Ok(Reply::count(equal.len()))
}

fn ltrim(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let (key, from, to) = (arguments.get(1), arguments.integer(2)?, arguments.integer(3)?);
    let count = len(keys, key)? as usize;
    let kept = places_of(count, from, to);
    if kept.is_empty() {
        if count > 0 {
            keys.write(key, &Write::RemoveKey)?;
        }
        return Ok(Reply::ok());
    }
    let first = elements(keys, key, End::Left, kept.start as u64)?;
    let last = elements(keys, key, End::Right, (count - kept.end) as u64)?;
    remove(keys, key, &first)?;
    remove(keys, key, &last)?;
    Ok(Reply::ok())
}

fn lmove(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let (from, to) = (End::parse(arguments, 3)?, End::parse(arguments, 4)?);
    carry(keys, (arguments.get(1), from), (arguments.get(2), to))
}

fn rpoplpush(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    carry(keys, (arguments.get(1), End::Right), (arguments.get(2), End::Left))
}

fn carry(keys: &mut Keys<'_, '_>, from: (&[u8], End), to: (&[u8], End)) -> Done {
    if len(keys, from.0)? == 0 {
        return Ok(Reply::Null);
    }
    if exists(keys, to.0)? {
        len(keys, to.0)?;
    }
    let taken = elements(keys, from.0, from.1, 1)?;
    if let Some((_, element)) = taken.first() {
        // Put there first: a list that turns is never empty in between, and keeps its deadline.
        push(keys, to.0, to.1, std::iter::once(element.as_slice()))?;
    }
    remove(keys, from.0, &taken)?;
    Ok(taken.into_iter().next().map(|(_, element)| element).into())
}

fn lmpop(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let named = COUNTED.of(arguments)?;
    let mut at = 2 + named.len();
    let end = End::parse(arguments, at)?;
    at += 1;
    let count = match arguments.len() - at {
        0 => 1,
        2 if arguments.is(at, "COUNT") => arguments.natural(at + 1, "ERR count should be greater than 0")?,
        _ => return Err(Reply::syntax_error().into()),
    };
    if count == 0 {
        return Err(Reply::error("ERR count should be greater than 0").into());
    }
    for key in named {
        let taken = pop(keys, key, end, count)?;
        if !taken.is_empty() {
            return Ok(Reply::Array(vec![Reply::copied(key), Reply::array(taken)]));
        }
    }
    Ok(Reply::NullArray)
}

fn blpop(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    blocking::first_of(arguments, session, node, "LPOP")
}

fn brpop(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    blocking::first_of(arguments, session, node, "RPOP")
}

fn blmove(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = End::parse(arguments, 3).and_then(|_| End::parse(arguments, 4)) {
        return refused.at_once(node);
    }
    let inner = [b"LMOVE".as_slice(), arguments.get(1), arguments.get(2), arguments.get(3), arguments.get(4)];
    blocking::until_there(&inner, arguments.get(5), &[arguments.get(1)], session, node)
}

fn brpoplpush(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let inner = [b"RPOPLPUSH".as_slice(), arguments.get(1), arguments.get(2)];
    blocking::until_there(&inner, arguments.get(3), &[arguments.get(1)], session, node)
}

fn blmpop(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let inner: Vec<&[u8]> = std::iter::once(b"LMPOP".as_slice()).chain(arguments.skip(2)).collect();
    match COUNTED_LATER.of(arguments) {
        Ok(keys) => blocking::until_there(&inner, arguments.get(1), &keys, session, node),
        Err(refused) => refused.into(),
    }
}
