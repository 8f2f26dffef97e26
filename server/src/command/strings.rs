//! Strings and numbers: one cell per key.

use std::sync::Arc;

use crdt::reading;
use replica::{CellId, CellKind, Read, Write};

use crate::command::{Arguments, Command, ONE_KEY, check_value, read_kind, shown, write};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "GET",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "string",
        summary: "The value; of several siblings, the same one from every node.",
        run: get,
    },
    Command {
        name: "SET",
        arity: -3,
        flags: &["write", "denyoom"],
        keys: ONE_KEY,
        group: "string",
        summary: "Replaces what the coordinator sees of the key.",
        run: set,
    },
    Command {
        name: "INCR",
        arity: 2,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "string",
        summary: "Adds 1; concurrent increments add up.",
        run: incr,
    },
    Command {
        name: "DECR",
        arity: 2,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "string",
        summary: "Subtracts 1; concurrent increments add up.",
        run: decr,
    },
    Command {
        name: "INCRBY",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "string",
        summary: "Adds a number; concurrent increments add up.",
        run: incrby,
    },
    Command {
        name: "DECRBY",
        arity: 3,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "string",
        summary: "Subtracts a number; concurrent increments add up.",
        run: decrby,
    },
    Command {
        name: "STRLEN",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "string",
        summary: "How long the value is.",
        run: strlen,
    },
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

fn set(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.len() > 3 {
        let option = arguments.text(3).to_ascii_uppercase();
        return match option.as_str() {
            "NX" | "XX" | "GET" | "EX" | "PX" | "EXAT" | "PXAT" | "KEEPTTL" => {
                Reply::error(format!("ERR SET's option {option} is not there yet; SET key value is")).into()
            }
            _ => Reply::syntax_error().into(),
        };
    }
    if let Err(refused) = check_value(node, arguments.get(2)) {
        return refused.into();
    }
    write(session, node, arguments.get(1), Write::Set(arguments.get(2).to_vec()), |_| Reply::ok())
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
