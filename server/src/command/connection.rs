//! Greeting, naming, leaving.

use std::sync::Arc;

use crate::acl::Occasion;
use crate::command::{ANYWHERE, Arguments, Command, NO_KEYS, begin_sub, here, permits, tracking};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Protocol, Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "connection";
const CLIENT_NAME_BYTES: usize = 1_024;
const ANYTIME: &[&str] = &["fast", "noscript", "no-auth", "no-queue", "pubsub-mode"];

pub(super) static COMMANDS: &[Command] = &[
    here("PING", -1, &["fast", "pubsub-mode", ANYWHERE], NO_KEYS, GROUP, "Answers, or says what it was told.", ping),
    here("ECHO", 2, &["fast", ANYWHERE], NO_KEYS, GROUP, "Says what it was told.", echo),
    here("AUTH", -2, &["fast", "noscript", "no-auth"], NO_KEYS, GROUP, "Says who the client is.", auth),
    here(
        "HELLO",
        -1,
        &["fast", "noscript", "no-auth"],
        NO_KEYS,
        GROUP,
        "Chooses RESP2 or RESP3; tells about the server.",
        hello,
    ),
    here("SELECT", 2, &["fast"], NO_KEYS, GROUP, "There is one database, number 0.", select),
    here("QUIT", -1, ANYTIME, NO_KEYS, GROUP, "Ends the connection.", quit),
    here("RESET", 1, ANYTIME, NO_KEYS, GROUP, "Makes the connection as it was when it was new.", reset),
    here(
        "CLIENT",
        -2,
        &["noscript"],
        NO_KEYS,
        GROUP,
        "ID, INFO, LIST, KILL, SETNAME, GETNAME, SETINFO, TRACKING and more.",
        client,
    ),
];

fn ping(arguments: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    if arguments.len() > 2 {
        return Reply::wrong_number_of_arguments("ping").into();
    }
    let reply = match (session.only_subscribes(), arguments.len()) {
        (true, _) => Reply::Array(vec![Reply::copied(b"pong"), Reply::copied(arguments.get(1))]),
        (false, 1) => Reply::status("PONG"),
        (false, _) => Reply::copied(arguments.get(1)),
    };
    reply.into()
}

fn echo(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::copied(arguments.get(1)).into()
}

fn hello(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
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
            if let Err(refused) = authenticate(arguments.get(at + 1), arguments.get(at + 2), session, node) {
                return refused.into();
            }
            at += 3;
        } else {
            return Reply::error(format!("ERR Syntax error in HELLO option '{}'", arguments.text(at))).into();
        }
    }
    if !session.is_authenticated {
        return Reply::error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        )
        .into();
    }
    session.protocol = protocol;
    session.describe();
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
        None => Reply::not_an_integer().into(),
    }
}

fn quit(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    session.closing = true;
    Reply::ok().into()
}

fn authenticate(user: &[u8], password: &[u8], session: &mut Session, node: &Node) -> Result<(), Reply> {
    let Some(user) = node.acl.authenticate(user, password) else {
        let (command, who) = (session.client.command(), String::from_utf8_lossy(user));
        permits::note(node, session, "auth", Occasion::TopLevel, command, &who);
        return Err(Reply::error("WRONGPASS invalid username-password pair or user is disabled."));
    };
    session.become_user(user);
    session.is_authenticated = true;
    Ok(())
}

fn auth(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (user, password) = match arguments.len() {
        2 => (&b"default"[..], arguments.get(1)),
        3 => (arguments.get(1), arguments.get(2)),
        _ => return Reply::syntax_error().into(),
    };
    if arguments.len() == 2 && node.acl.default_user().definition().takes_any_password() {
        return Reply::error(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        )
        .into();
    }
    authenticate(user, password, session, node).map_or_else(Into::into, |()| Reply::ok().into())
}

fn reset(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    node.pubsub.forget(session.id);
    node.monitors.forget(session.id);
    tracking::end(session, node);
    session.reset(node);
    Reply::status("RESET").into()
}

fn client(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let sub = arguments.word(1);
    begin_sub(arguments, session);
    let one_of = |words: &[&str]| words.iter().any(|word| arguments.is(2, word));
    let reply = match (sub.as_str(), arguments.len()) {
        ("ID", 2) => Reply::Integer(session.id as i64),
        ("GETNAME", 2) => match session.client.name() {
            name if name.is_empty() => Reply::Null,
            name => Reply::bulk(name),
        },
        ("SETNAME", 3) => match set_name(arguments.get(2), session) {
            Ok(()) => Reply::ok(),
            Err(refused) => refused,
        },
        ("SETINFO", 4) if one_of(&["LIB-NAME", "LIB-VER"]) => set_library(arguments, session),
        ("SETINFO", 4) => Reply::error(format!("ERR Unrecognized option '{}'", arguments.text(2))),
        ("INFO", 2) => Reply::Verbatim(session.client.line() + "\n"),
        ("LIST", _) => list(arguments, node),
        ("KILL", 3..) => kill(arguments, session, node),
        ("NO-EVICT" | "NO-TOUCH", 3) if one_of(&["ON", "OFF"]) => Reply::ok(),
        ("REPLY", 3) if one_of(&["ON"]) => Reply::ok(),
        ("REPLY", 3) => Reply::error("ERR CLIENT REPLY OFF and SKIP are not there: every command is answered"),
        ("TRACKING", 3..) => tracking::tracking(arguments, session, node),
        ("TRACKINGINFO", 2) => tracking::info(session),
        ("CACHING", 3) => tracking::caching(arguments, session),
        ("GETREDIR", 2) => tracking::redirection(session),
        ("TRACKING" | "TRACKINGINFO" | "CACHING" | "GETREDIR", _) => {
            Reply::wrong_number_of_arguments(&format!("client|{}", sub.to_ascii_lowercase()))
        }
        ("ID" | "GETNAME" | "SETNAME" | "SETINFO" | "INFO" | "KILL" | "NO-EVICT" | "NO-TOUCH" | "REPLY", _) => {
            Reply::wrong_number_of_arguments(&format!("client|{}", sub.to_ascii_lowercase()))
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try CLIENT HELP.", arguments.text(1))),
    };
    reply.into()
}

fn list(arguments: &Arguments<'_>, node: &Node) -> Reply {
    let ids: Option<Vec<u64>> = match arguments.len() {
        2 => None,
        4.. if arguments.is(2, "ID") => {
            let ids = arguments.skip(3).map(|id| parse_integer(id).and_then(|id| u64::try_from(id).ok()));
            match ids.collect() {
                Some(ids) => Some(ids),
                None => return Reply::error("ERR Invalid client ID"),
            }
        }
        4 if arguments.is(2, "TYPE") && arguments.is(3, "NORMAL") => None,
        _ => return Reply::syntax_error(),
    };
    let clients = node.clients.all();
    let wanted = clients.iter().filter(|client| ids.as_ref().is_none_or(|ids| ids.contains(&client.id)));
    Reply::Verbatim(wanted.map(|client| client.line() + "\n").collect())
}

/// `KILL address`, or `KILL [ID n] [ADDR a] [LADDR a] [USER u] [SKIPME yes | no]` with the number of those that go.
fn kill(arguments: &Arguments<'_>, session: &Session, node: &Node) -> Reply {
    let (mut id, mut address, mut local, mut user, mut skips_me) = (None, None, None, None, true);
    let is_old = arguments.len() == 3;
    if is_old {
        (address, skips_me) = (Some(arguments.text(2)), false);
    }
    let mut at = if is_old { arguments.len() } else { 2 };
    while at < arguments.len() {
        if at + 1 >= arguments.len() {
            return Reply::syntax_error();
        }
        match arguments.word(at).as_str() {
            "ID" => {
                match parse_integer(arguments.get(at + 1)).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0) {
                    Some(wanted) => id = Some(wanted),
                    None => return Reply::error("ERR client-id should be greater than 0"),
                }
            }
            "ADDR" => address = Some(arguments.text(at + 1)),
            "LADDR" => local = Some(arguments.text(at + 1)),
            "USER" => match node.acl.user(&arguments.text(at + 1)) {
                Some(known) => user = Some(known),
                None => return Reply::error(format!("ERR No such user '{}'", arguments.text(at + 1))),
            },
            "SKIPME" if arguments.is(at + 1, "YES") => skips_me = true,
            "SKIPME" if arguments.is(at + 1, "NO") => skips_me = false,
            _ => return Reply::syntax_error(),
        }
        at += 2;
    }
    let clients = node.clients.all();
    let goes = clients.iter().filter(|client| {
        id.is_none_or(|id| client.id == id)
            && address.as_ref().is_none_or(|address| client.address == *address)
            && local.as_ref().is_none_or(|local| client.local_address == *local)
            && user.as_ref().is_none_or(|user| client.belongs_to(user.name()))
            && !(skips_me && client.id == session.id)
    });
    let count = goes.map(|client| client.kill.notify_one()).count();
    match (is_old, count) {
        (true, 0) => Reply::error("ERR No such client"),
        (true, _) => Reply::ok(),
        (false, count) => Reply::count(count),
    }
}

fn set_library(arguments: &Arguments<'_>, session: &Session) -> Reply {
    let (option, what) = (arguments.text(2).to_ascii_lowercase(), arguments.get(3));
    if what.len() > CLIENT_NAME_BYTES || what.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Reply::error(format!("ERR {option} cannot contain spaces, newlines or special characters."));
    }
    session.client.set_library(usize::from(option == "lib-ver"), &arguments.text(3));
    Reply::ok()
}

fn set_name(name: &[u8], session: &Session) -> Result<(), Reply> {
    if name.len() > CLIENT_NAME_BYTES {
        return Err(Reply::error(format!("ERR a client's name takes up to {CLIENT_NAME_BYTES} bytes")));
    }
    if name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Err(Reply::error("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    session.client.rename(&String::from_utf8_lossy(name));
    Ok(())
}
