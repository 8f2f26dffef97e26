//! Hashes: a cell per field, with siblings of its own.

use std::sync::Arc;

use crdt::reading;
use replica::{ByteString, CellId, CellKind, Read, Write};

use crate::command::{
    Arguments, Command, ONE_KEY, check_cells, check_name, check_value, names, read_kind, shown, write,
};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "HSET",
        arity: -4,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "hash",
        summary: "Writes fields.",
        run: hset,
    },
    Command {
        name: "HGET",
        arity: 3,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "hash",
        summary: "The value of a field.",
        run: hget,
    },
    Command {
        name: "HDEL",
        arity: -3,
        flags: &["write", "fast"],
        keys: ONE_KEY,
        group: "hash",
        summary: "Removes what is seen of fields.",
        run: hdel,
    },
    Command {
        name: "HGETALL",
        arity: 2,
        flags: &["readonly"],
        keys: ONE_KEY,
        group: "hash",
        summary: "All fields and values.",
        run: hgetall,
    },
    Command {
        name: "HLEN",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "hash",
        summary: "How many fields.",
        run: hlen,
    },
    Command {
        name: "HINCRBY",
        arity: 4,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "hash",
        summary: "Adds to a field; concurrent increments add up.",
        run: hincrby,
    },
];

fn hset(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.len() % 2 == 1 {
        return Reply::wrong_number_of_arguments("hset").into();
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
    write(session, node, arguments.get(1), Write::Put(CellKind::Field, fields), |written| {
        Reply::Integer(written.changed as i64)
    })
}

fn hget(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = check_name(node, arguments.get(2)) {
        return refused.into();
    }
    let field = CellId::field(arguments.get(2));
    read_kind(session, node, arguments.get(1), Read::Cells(vec![field.clone()]), CellKind::Field, move |found| {
        shown(&found, &field)
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

fn hgetall(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::All, CellKind::Field, |found| {
        let fields = found.cells.iter().filter(|(id, _)| id.kind == CellKind::Field);
        let shown = fields.filter_map(|(id, state)| Some((id, reading::winner(&state.live)?)));
        Reply::Map(shown.map(|(id, value)| (Reply::copied(&id.name), Reply::copied(&value))).collect())
    })
}

fn hlen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Field, |found| {
        Reply::Integer(found.fields as i64)
    })
}

fn hincrby(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = check_name(node, arguments.get(2)) {
        return refused.into();
    }
    let Some(by) = parse_integer(arguments.get(3)) else { return Reply::not_an_integer().into() };
    let increment = Write::Increment(CellId::field(arguments.get(2)), by);
    write(session, node, arguments.get(1), increment, |written| Reply::Integer(written.number.unwrap_or(0)))
}
