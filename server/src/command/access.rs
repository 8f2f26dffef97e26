//! What commands do with their keys: read them, write them, or only look whether they are there. Rights are given for each
//! ([`Access`]), as Redis' key specifications have it.

use crate::acl::Access;
use crate::command::subcommands::Subcommand;
use crate::command::{Arguments, Command, NO_KEYS};

/// The keys among the arguments, each with what is done with it. What is wrong with the arguments, the command itself says.
pub(super) fn keys<'a>(
    command: &Command,
    sub: Option<&Subcommand>,
    arguments: &Arguments<'a>,
) -> Vec<(&'a [u8], Access)> {
    // Channels of slots stand where keys do, so that cluster clients know where to send them.
    if command.group == "pubsub" || command.name == "DOT.WITH" {
        return Vec::new();
    }
    let places = match sub {
        Some(sub) if sub.keys == NO_KEYS => return Vec::new(),
        Some(sub) => sub.keys,
        None => command.keys,
    };
    let (first, others) = accesses(command, arguments);
    let named = places.of(arguments).unwrap_or_default().into_iter();
    let mut keys: Vec<_> = named.enumerate().map(|(at, key)| (key, if at == 0 { first } else { others })).collect();
    keys.extend(stored(command, arguments).map(|key| (key, Access::WRITE)));
    keys
}

/// What is done with the first key, and with the others.
fn accesses(command: &Command, arguments: &Arguments<'_>) -> (Access, Access) {
    let all = |access| (access, access);
    match command.name {
        "EXISTS" | "TOUCH" | "TYPE" | "HEXISTS" | "HLEN" | "HSTRLEN" | "LLEN" | "SCARD" | "SISMEMBER" | "STRLEN"
        | "XLEN" | "ZCARD" | "WATCH" | "OBJECT" | "MEMORY" | "DOT.EXPLAIN" => all(Access::NONE),
        "COPY" => (Access::READ, Access::WRITE),
        "RENAME" | "RENAMENX" | "SMOVE" | "LMOVE" | "BLMOVE" | "RPOPLPUSH" | "BRPOPLPUSH" => {
            (Access::BOTH, Access::WRITE)
        }
        "PFMERGE" => (Access::BOTH, Access::READ),
        "SDIFFSTORE" | "SINTERSTORE" | "SUNIONSTORE" | "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE" | "ZRANGESTORE"
        | "BITOP" | "GEOSEARCHSTORE" => (Access::WRITE, Access::READ),
        "SORT" | "SORT_RO" | "EVAL_RO" | "EVALSHA_RO" | "GEORADIUS" | "GEORADIUSBYMEMBER" => all(Access::READ),
        "SET" if (3..arguments.len()).any(|at| arguments.is(at, "GET")) => all(Access::BOTH),
        "BITFIELD" if only_gets(arguments) => all(Access::READ),
        "BITFIELD" | "DECR" | "DECRBY" | "INCR" | "INCRBY" | "INCRBYFLOAT" | "HINCRBY" | "HINCRBYFLOAT" | "ZINCRBY"
        | "GETDEL" | "GETEX" | "GETSET" | "SETBIT" | "LPOP" | "RPOP" | "LMPOP" | "BLPOP" | "BRPOP" | "BLMPOP"
        | "SPOP" | "ZPOPMIN" | "ZPOPMAX" | "ZMPOP" | "BZPOPMIN" | "BZPOPMAX" | "BZMPOP" | "EVAL" | "EVALSHA"
        | "DOT.RESOLVE" => all(Access::BOTH),
        _ if command.has("write") => all(Access::WRITE),
        _ => all(Access::READ),
    }
}

/// BITFIELD key [GET encoding offset | OVERFLOW how ..]
fn only_gets(arguments: &Arguments<'_>) -> bool {
    let mut at = 2;
    while at < arguments.len() {
        let follow = arguments.len() - at - 1;
        at += match () {
            () if arguments.is(at, "GET") && follow >= 2 => 3,
            () if arguments.is(at, "OVERFLOW") && follow >= 1 => 2,
            () => return false,
        };
    }
    true
}

/// Where SORT puts what it has sorted, and GEORADIUS what it has found.
fn stored<'a>(command: &Command, arguments: &Arguments<'a>) -> Option<&'a [u8]> {
    let (mut at, mut stored) = match command.name {
        "SORT" => (2, None),
        "GEORADIUS" => (6, None),
        "GEORADIUSBYMEMBER" => (5, None),
        _ => return None,
    };
    while at < arguments.len() {
        at += match arguments.word(at).as_str() {
            "LIMIT" if command.name == "SORT" => 3,
            "BY" | "GET" if command.name == "SORT" => 2,
            "COUNT" if command.name != "SORT" => 2,
            "STOREDIST" if command.name == "SORT" => 1,
            "STORE" | "STOREDIST" => {
                // The last one counts.
                stored = (at + 1 < arguments.len()).then(|| arguments.get(at + 1));
                2
            }
            _ => 1,
        };
    }
    stored
}

/// What it may do with any key at all.
pub(super) fn every_key(command: &Command) -> Option<Access> {
    (command.name == "DOT.MAPREDUCE").then_some(Access::READ)
}
