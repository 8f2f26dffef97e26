//! Sets: a cell per member; a concurrent add wins over a removal.

use std::sync::Arc;

use crdt::reading;
use replica::{CellId, CellKind, Read, Write};

use crate::command::{Arguments, Command, ONE_KEY, check_name, names, read_kind, write};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "SADD",
        arity: -3,
        flags: &["write", "denyoom", "fast"],
        keys: ONE_KEY,
        group: "set",
        summary: "Adds members.",
        run: sadd,
    },
    Command {
        name: "SREM",
        arity: -3,
        flags: &["write", "fast"],
        keys: ONE_KEY,
        group: "set",
        summary: "Removes what is seen of members.",
        run: srem,
    },
    Command {
        name: "SMEMBERS",
        arity: 2,
        flags: &["readonly"],
        keys: ONE_KEY,
        group: "set",
        summary: "All members.",
        run: smembers,
    },
    Command {
        name: "SISMEMBER",
        arity: 3,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "set",
        summary: "Is it a member?",
        run: sismember,
    },
    Command {
        name: "SCARD",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "set",
        summary: "How many members.",
        run: scard,
    },
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

fn smembers(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::All, CellKind::Member, |found| {
        let members = found
            .cells
            .into_iter()
            .filter(|(id, state)| id.kind == CellKind::Member && reading::is_present(&state.live));
        Reply::Set(members.map(|(id, _)| Reply::bulk(id.name)).collect())
    })
}

fn sismember(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if let Err(refused) = check_name(node, arguments.get(2)) {
        return refused.into();
    }
    let member = CellId::member(arguments.get(2));
    read_kind(session, node, arguments.get(1), Read::Cells(vec![member.clone()]), CellKind::Member, move |found| {
        Reply::Integer(found.cell(&member).is_some_and(|state| reading::is_present(&state.live)).into())
    })
}

fn scard(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Member, |found| {
        Reply::Integer(found.members as i64)
    })
}
