//! Which ACL categories a command belongs to: those its flags and its family say, but for a few.

use crate::command::subcommands::{Subcommand, subcommands};
use crate::command::{Command, find};

/// Of these Redis says something else than follows from their flags here.
const OTHERS: &[(&str, &[&str])] = &[
    ("ASKING", &["connection", "fast"]),
    ("BZPOPMAX", &["write", "sortedset", "blocking", "fast"]),
    ("BZPOPMIN", &["write", "sortedset", "blocking", "fast"]),
    ("COMMAND", &["connection", "slow"]),
    ("DBSIZE", &["keyspace", "read", "fast"]),
    ("EVAL", &["scripting", "slow"]),
    ("EVALSHA", &["scripting", "slow"]),
    ("EVAL_RO", &["scripting", "slow"]),
    ("EVALSHA_RO", &["scripting", "slow"]),
    ("EXEC", &["transaction", "slow"]),
    ("FLUSHALL", &["keyspace", "write", "dangerous", "slow"]),
    ("FLUSHDB", &["keyspace", "write", "dangerous", "slow"]),
    ("INFO", &["dangerous", "slow"]),
    ("KEYS", &["keyspace", "read", "dangerous", "slow"]),
    ("LASTSAVE", &["admin", "dangerous", "fast"]),
    ("READONLY", &["connection", "fast"]),
    ("READWRITE", &["connection", "fast"]),
    ("RENAMENX", &["keyspace", "write", "fast"]),
    ("RESTORE", &["keyspace", "write", "dangerous", "slow"]),
    ("ROLE", &["admin", "dangerous", "fast"]),
    ("SORT", &["write", "set", "sortedset", "list", "dangerous", "slow"]),
    ("SORT_RO", &["read", "set", "sortedset", "list", "dangerous", "slow"]),
    ("WAIT", &["connection", "slow"]),
    ("WAITAOF", &["connection", "slow"]),
    ("DOT.CONFLICTS", &["dot", "keyspace", "read", "dangerous", "slow"]),
    ("DOT.COUNT", &["dot", "keyspace", "read", "dangerous", "slow"]),
    ("DOT.MAPREDUCE", &["dot", "keyspace", "read", "scripting", "dangerous", "slow"]),
];

/// Those of a command. One that has subcommands has hardly any itself: theirs count.
pub(crate) fn categories(command: &Command) -> Vec<&'static str> {
    if let Some((_, said)) = OTHERS.iter().find(|(name, _)| *name == command.name) {
        return said.to_vec();
    }
    if !subcommands(command).is_empty() {
        return vec!["slow"];
    }
    following(of_group(command.group), command.flags)
}

/// Those of a subcommand.
pub(crate) fn categories_of_sub(command: &Command, sub: &Subcommand) -> Vec<&'static str> {
    let group = if command.name == "COMMAND" { Some("connection") } else { of_group(command.group) };
    following(group, sub.flags)
}

fn of_group(group: &str) -> Option<&'static str> {
    Some(match group {
        "generic" => "keyspace",
        "string" => "string",
        "list" => "list",
        "set" => "set",
        "sorted-set" => "sortedset",
        "hash" => "hash",
        "stream" => "stream",
        "bitmap" => "bitmap",
        "hyperloglog" => "hyperloglog",
        "geo" => "geo",
        "connection" => "connection",
        "transactions" => "transaction",
        "scripting" => "scripting",
        "dot" => "dot",
        _ => return None,
    })
}

fn following(group: Option<&'static str>, flags: &[&str]) -> Vec<&'static str> {
    let has = |flag: &str| flags.contains(&flag);
    let mut categories: Vec<&str> = group.into_iter().collect();
    for (flag, follow) in [
        ("readonly", &["read"][..]),
        ("write", &["write"]),
        ("admin", &["admin", "dangerous"]),
        ("pubsub", &["pubsub"]),
        ("blocking", &["blocking"]),
    ] {
        categories.extend(follow.iter().filter(|_| has(flag)));
    }
    categories.push(if has("fast") { "fast" } else { "slow" });
    categories
}

/// The categories of `command` or `command|subcommand`, in the order of ACL CAT, for COMMAND INFO.
pub(super) fn shown(command: &Command, sub: Option<&Subcommand>) -> Vec<String> {
    let of = sub.map_or_else(|| categories(command), |sub| categories_of_sub(command, sub));
    crate::acl::CATEGORIES.iter().filter(|name| of.contains(name)).map(|name| format!("@{name}")).collect()
}

/// `command` or `command|subcommand`.
pub(super) fn find_either(name: &[u8]) -> Option<(&'static Command, Option<&'static Subcommand>)> {
    let Some(at) = name.iter().position(|byte| *byte == b'|') else { return Some((find(name)?, None)) };
    let command = find(&name[..at])?;
    let sub = subcommands(command).iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(&name[at + 1..]))?;
    Some((command, Some(sub)))
}
