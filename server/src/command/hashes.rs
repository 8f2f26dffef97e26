//! Hashes: a cell per field, with siblings of its own.

use std::borrow::Cow;
use std::sync::Arc;

use crdt::reading;
use replica::{ByteString, CellId, CellKind, Found, Keys, Read, Write, Written};

use crate::command::refusal::Done;
use crate::command::scan::{Collection, scan};
use crate::command::sets::{DRAWN_BYTES, Draws, by_chance, drawn};
use crate::command::strings::add_float;
use crate::command::values::{of_kind, winner};
use crate::command::{
    Arguments, Command, ONE_KEY, READ, READ_FAST, REMOVE_FAST, WRITE_FAST, check_cells, check_name, check_value, here,
    looks, names, read_kind, shown, there, write,
};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "hash";

pub(super) static COMMANDS: &[Command] = &[
    here("HSET", -4, WRITE_FAST, ONE_KEY, GROUP, "Writes fields.", hset),
    here("HMSET", -4, WRITE_FAST, ONE_KEY, GROUP, "Writes fields.", hmset),
    there("HSETNX", 4, WRITE_FAST, ONE_KEY, GROUP, "Writes a field the coordinator sees no value of.", hsetnx),
    here("HGET", 3, READ_FAST, ONE_KEY, GROUP, "The value of a field.", hget),
    here("HMGET", -3, READ_FAST, ONE_KEY, GROUP, "The values of fields.", hmget),
    here("HDEL", -3, REMOVE_FAST, ONE_KEY, GROUP, "Removes what is seen of fields.", hdel),
    here("HGETALL", 2, READ, ONE_KEY, GROUP, "All fields and values.", hgetall),
    here("HKEYS", 2, READ, ONE_KEY, GROUP, "All fields.", hkeys),
    here("HVALS", 2, READ, ONE_KEY, GROUP, "All values.", hvals),
    here("HLEN", 2, READ_FAST, ONE_KEY, GROUP, "How many fields.", hlen),
    here("HEXISTS", 3, READ_FAST, ONE_KEY, GROUP, "Is there a field?", hexists),
    here("HSTRLEN", 3, READ_FAST, ONE_KEY, GROUP, "How long the value of a field is.", hstrlen),
    here("HINCRBY", 4, WRITE_FAST, ONE_KEY, GROUP, "Adds to a field; concurrent increments add up.", hincrby),
    there(
        "HINCRBYFLOAT",
        4,
        WRITE_FAST,
        ONE_KEY,
        GROUP,
        "Adds; whole numbers add up, of others the last wins.",
        hincrbyfloat,
    ),
    looks("HRANDFIELD", -2, READ, ONE_KEY, GROUP, "Fields by chance.", hrandfield),
    here("HSCAN", -3, READ, ONE_KEY, GROUP, "Fields and values, page by page.", hscan),
];

fn hset(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    put(arguments, session, node, "hset", |written| Reply::Integer(written.changed as i64))
}

fn hmset(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    put(arguments, session, node, "hmset", |_| Reply::ok())
}

fn put(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
    command: &str,
    reply: fn(Written) -> Reply,
) -> Step {
    if arguments.len() % 2 == 1 {
        return Reply::wrong_number_of_arguments(command).into();
    }
    if let Err(refused) = check_cells(arguments) {
        return refused.into();
    }
    let mut fields = Vec::with_capacity(arguments.len() / 2 - 1);
    for at in (2..arguments.len()).step_by(2) {
        let (field, value) = (arguments.get(at), arguments.get(at + 1));
        if let Err(refused) = check_name(node, field).and_then(|()| check_value(node, value)) {
            return refused.into();
        }
        fields.push((ByteString::from(field), ByteString::from(value)));
    }
    write(session, node, arguments.get(1), Write::Put(CellKind::Field, fields), reply)
}

/// The value the coordinator sees of a field.
fn field_of(keys: &Keys<'_, '_>, key: &[u8], field: &[u8]) -> Result<Option<Vec<u8>>, super::Refused> {
    let cell = CellId::field(field);
    let found = of_kind(keys, key, CellKind::Field, &Read::Cells(vec![cell.clone()]))?;
    Ok(winner(&found, &cell))
}

fn hsetnx(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, field) = (arguments.get(1), arguments.get(2));
    check_name(node, field)?;
    if field_of(keys, key, field)?.is_some() {
        return Ok(Reply::Integer(0));
    }
    keys.write(key, &Write::Put(CellKind::Field, vec![(field.into(), arguments.get(3).into())]))?;
    Ok(Reply::Integer(1))
}

/// Reads one field.
fn with_field(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
    reply: fn(Option<Cow<'_, [u8]>>) -> Reply,
) -> Step {
    if let Err(refused) = check_name(node, arguments.get(2)) {
        return refused.into();
    }
    let field = CellId::field(arguments.get(2));
    let what = Read::Cells(vec![field.clone()]);
    read_kind(session, node, arguments.get(1), what, CellKind::Field, move |found| {
        reply(found.cell(&field).and_then(|state| reading::winner(&state.live)))
    })
}

fn hget(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    with_field(arguments, session, node, |value| value.map(Cow::into_owned).into())
}

fn hexists(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    with_field(arguments, session, node, |value| Reply::Integer(value.is_some().into()))
}

fn hstrlen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    with_field(arguments, session, node, |value| Reply::count(value.map_or(0, |value| value.len())))
}

fn hmget(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let fields: Vec<CellId> = match names(arguments, 2, node) {
        Ok(fields) => fields.into_iter().map(|field| CellId::field(field.0)).collect(),
        Err(refused) => return refused.into(),
    };
    let mut asked = fields.clone();
    asked.sort_unstable();
    asked.dedup();
    read_kind(session, node, arguments.get(1), Read::Cells(asked), CellKind::Field, move |found| {
        Reply::Array(fields.iter().map(|field| shown(&found, field)).collect())
    })
}

fn hdel(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let fields = match names(arguments, 2, node) {
        Ok(fields) => fields,
        Err(refused) => return refused.into(),
    };
    write(session, node, arguments.get(1), Write::Remove(CellKind::Field, fields), |written| {
        Reply::Integer(written.changed as i64)
    })
}

/// A field and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// All fields with their values.
fn pairs(found: &Found) -> Vec<Pair> {
    let fields = found.of(CellKind::Field);
    fields.filter_map(|(name, state)| Some((name.to_vec(), reading::winner(&state.live)?.into_owned()))).collect()
}

fn with_all(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, reply: fn(Vec<Pair>) -> Reply) -> Step {
    read_kind(session, node, arguments.get(1), Read::All, CellKind::Field, move |found| reply(pairs(&found)))
}

fn hgetall(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    with_all(arguments, session, node, Reply::map)
}

fn hkeys(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    with_all(arguments, session, node, |pairs| Reply::array(pairs.into_iter().map(|(field, _)| field)))
}

fn hvals(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    with_all(arguments, session, node, |pairs| Reply::array(pairs.into_iter().map(|(_, value)| value)))
}

fn hlen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Field, |found| {
        Reply::Integer(found.counts.of(CellKind::Field) as i64)
    })
}

fn hincrby(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = check_name(node, arguments.get(2)) {
        return refused.into();
    }
    let Some(by) = parse_integer(arguments.get(3)) else { return Reply::not_an_integer().into() };
    let increment = Write::Increment(CellId::field(arguments.get(2)), by);
    let not_a_number =
        |reply| if reply == Reply::not_an_integer() { Reply::error("ERR hash value is not an integer") } else { reply };
    write(session, node, arguments.get(1), increment, |written| Reply::Integer(written.number.unwrap_or(0)))
        .map_reply(not_a_number)
}

fn hincrbyfloat(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, field, by) = (arguments.get(1), arguments.get(2), arguments.get(3));
    check_name(node, field)?;
    let before = field_of(keys, key, field)?;
    Ok(add_float(keys, key, CellId::field(field), before, by, "hash value is not a float")?.into())
}

fn hrandfield(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let with_values = match arguments.len() {
        2 | 3 => false,
        4 if arguments.is(3, "WITHVALUES") => true,
        _ => return Err(Reply::syntax_error().into()),
    };
    let (key, draws) = (arguments.get(1), drawn(arguments)?);
    let chosen = by_chance(keys, key, CellKind::Field, draws, &mut fastrand::Rng::new())?;
    let mut fields = chosen.into_iter().map(|(field, _)| field);
    Ok(match (draws, with_values) {
        (Draws::One, _) => fields.next().into(),
        (_, false) => Reply::array(fields),
        (_, true) => {
            let (mut pairs, mut bytes) = (Vec::new(), 0);
            for field in fields {
                let value = field_of(keys, key, &field)?.unwrap_or_default();
                bytes += field.len() + value.len() + 64;
                if bytes > DRAWN_BYTES {
                    break;
                }
                pairs.push((field.into(), value.into()));
            }
            Reply::Pairs(pairs)
        }
    })
}

fn hscan(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    scan(arguments, session, node, Collection::Hash)
}
