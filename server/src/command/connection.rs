//! Greeting, naming, leaving.

use std::sync::Arc;

use crate::command::{Arguments, Command, NO_KEYS};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Protocol, Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "PING",
        arity: -1,
        flags: &["fast", "pubsub-mode"],
        keys: NO_KEYS,
        group: "connection",
        summary: "Answers, or says what it was told.",
        run: ping,
    },
    Command {
        name: "ECHO",
        arity: 2,
        flags: &["fast"],
        keys: NO_KEYS,
        group: "connection",
        summary: "Says what it was told.",
        run: echo,
    },
    Command {
        name: "HELLO",
        arity: -1,
        flags: &["fast", "noscript"],
        keys: NO_KEYS,
        group: "connection",
        summary: "Chooses RESP2 or RESP3 and tells about the server.",
        run: hello,
    },
    Command {
        name: "SELECT",
        arity: 2,
        flags: &["fast"],
        keys: NO_KEYS,
        group: "connection",
        summary: "There is one database, number 0.",
        run: select,
    },
    Command {
        name: "QUIT",
        arity: -1,
        flags: &["fast", "pubsub-mode"],
        keys: NO_KEYS,
        group: "connection",
        summary: "Ends the connection.",
        run: quit,
    },
    Command {
        name: "CLIENT",
        arity: -2,
        flags: &["noscript"],
        keys: NO_KEYS,
        group: "connection",
        summary: "SETNAME, GETNAME, SETINFO, ID, INFO.",
        run: client,
    },
];

fn ping(arguments: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    if arguments.len() > 2 {
        return Reply::wrong_number_of_arguments("ping").into();
    }
    let reply = match (session.only_subscribes(), arguments.len()) {
        (true, _) => Reply::Array(vec![Reply::copied(b"pong"), Reply::copied(arguments.get(1))]),
        (false, 1) => Reply::Simple("PONG"),
        (false, _) => Reply::copied(arguments.get(1)),
    };
    reply.into()
}

fn echo(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::copied(arguments.get(1)).into()
}

fn hello(arguments: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    let mut protocol = session.protocol;
    if arguments.len() > 1 {
        let Some(version) = parse_integer(arguments.get(1)) else {
            return Reply::error("ERR Protocol version is not an integer or out of range").into();
        };
        let Some(chosen) = Protocol::from_version(version) else {
            return Reply::error("NOPROTO unsupported protocol version").into();
        };
        protocol = chosen;
    }
    let mut at = 2;
    while at < arguments.len() {
        if arguments.is(at, "SETNAME") && at + 1 < arguments.len() {
            if let Err(refused) = set_name(arguments.get(at + 1), session) {
                return refused.into();
            }
            at += 2;
        } else if arguments.is(at, "AUTH") && at + 2 < arguments.len() {
            // Without passwords, the default user has any.
            if !arguments.is(at + 1, "default") {
                return Reply::error("WRONGPASS invalid username-password pair or user is disabled.").into();
            }
            at += 3;
        } else {
            return Reply::error(format!("ERR Syntax error in HELLO option '{}'", arguments.text(at))).into();
        }
    }
    session.protocol = protocol;
    Reply::map([
        (Reply::copied(b"server"), Reply::copied(b"redis")),
        (Reply::copied(b"version"), Reply::copied(super::server::REDIS_VERSION.as_bytes())),
        (Reply::copied(b"proto"), Reply::Integer(protocol.version())),
        (Reply::copied(b"id"), Reply::Integer(session.id as i64)),
        (Reply::copied(b"mode"), Reply::copied(b"standalone")),
        (Reply::copied(b"role"), Reply::copied(b"master")),
        (Reply::copied(b"modules"), Reply::Array(Vec::new())),
    ])
    .into()
}

fn select(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    match parse_integer(arguments.get(1)) {
        Some(0) => Reply::ok().into(),
        Some(_) => Reply::error("ERR DB index is out of range").into(),
        None => Reply::error("ERR invalid DB index").into(),
    }
}

fn quit(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    session.closing = true;
    Reply::ok().into()
}

fn client(arguments: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    let sub = arguments.text(1).to_ascii_uppercase();
    let reply = match (sub.as_str(), arguments.len()) {
        ("ID", 2) => Reply::Integer(session.id as i64),
        ("GETNAME", 2) if session.name.is_empty() => Reply::Null,
        ("GETNAME", 2) => Reply::bulk(session.name.clone()),
        ("SETNAME", 3) => match set_name(arguments.get(2), session) {
            Ok(()) => Reply::ok(),
            Err(refused) => refused,
        },
        ("SETINFO", 4) if arguments.is(2, "LIB-NAME") || arguments.is(2, "LIB-VER") => Reply::ok(),
        ("SETINFO", 4) => Reply::error(format!("ERR Unrecognized option '{}'", arguments.text(2))),
        ("INFO", 2) => Reply::bulk(format!(
            "id={} addr={} name={} resp={}\n",
            session.id,
            session.address,
            session.name,
            session.protocol.version()
        )),
        ("ID" | "GETNAME" | "SETNAME" | "SETINFO" | "INFO", _) => {
            Reply::wrong_number_of_arguments(&format!("client|{}", sub.to_ascii_lowercase()))
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try CLIENT HELP.", arguments.text(1))),
    };
    reply.into()
}

fn set_name(name: &[u8], session: &mut Session) -> Result<(), Reply> {
    if name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Err(Reply::error("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    session.name = String::from_utf8_lossy(name).into_owned();
    Ok(())
}
