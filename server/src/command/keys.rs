//! Keys of any type: there, gone, listed.

use std::sync::Arc;

use replica::{Answer, CellKind, KeyHash, Operation, PartitionId, Read, Request, Write};

use crate::command::requests::{note_all, tell_missed};
use crate::command::{
    ALL_KEYS, Arguments, Command, NO_KEYS, ONE_KEY, READ_FAST, READ_IN_TURN, REMOVE, REMOVE_FAST, REMOVE_IN_TURN,
    check_name, everywhere, first_refusal, here, read, refusal, request,
};
use crate::gather::Step;
use crate::glob;
use crate::merges::type_name;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

/// How many bits of a cursor stand for the place within a partition.
const HASH_BITS: u32 = 48;

const GROUP: &str = "generic";

pub(super) static COMMANDS: &[Command] = &[
    here("DEL", -2, REMOVE, ALL_KEYS, GROUP, "Removes what is seen of keys.", del),
    here("UNLINK", -2, REMOVE_FAST, ALL_KEYS, GROUP, "Removes what is seen of keys.", del),
    here("EXISTS", -2, READ_FAST, ALL_KEYS, GROUP, "How many of the keys there are.", exists),
    here("TOUCH", -2, READ_FAST, ALL_KEYS, GROUP, "How many of the keys there are.", exists),
    here("TYPE", 2, READ_FAST, ONE_KEY, GROUP, "The type of a key.", kind),
    here("SCAN", -2, READ_IN_TURN, NO_KEYS, GROUP, "Keys, page by page; from any node.", scan),
    here("KEYS", 2, READ_IN_TURN, NO_KEYS, GROUP, "All keys that match.", keys_like),
    here("RANDOMKEY", 1, READ_IN_TURN, NO_KEYS, GROUP, "Some key.", randomkey),
    here("DBSIZE", 1, READ_IN_TURN, NO_KEYS, "server", "How many keys; each counted once.", dbsize),
    here("FLUSHALL", -1, REMOVE_IN_TURN, NO_KEYS, "server", "Removes everything that is seen, on all nodes.", flushall),
    here("FLUSHDB", -1, REMOVE_IN_TURN, NO_KEYS, "server", "The same: there is one database.", flushall),
];

fn for_each_key(
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
    operation: &Operation,
    count: fn(&Answer) -> i64,
) -> Step {
    let mut requests = Vec::with_capacity(arguments.len() - 1);
    for key in arguments.skip(1) {
        if let Err(refused) = check_name(node, key) {
            return refused.into();
        }
        requests.push(request(session, node, key, operation.clone()));
    }
    let (last, keys) =
        (session.last_write.clone(), requests.iter().map(|request| request.key.clone()).collect::<Vec<_>>());
    Step::ask_all(requests, move |answers, node| {
        tell_missed(&keys, &answers, node);
        note_all(&last, keys, &answers);
        first_refusal(&answers, node).unwrap_or_else(|| Reply::Integer(answers.iter().map(count).sum()))
    })
}

fn del(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    for_each_key(arguments, session, node, &Operation::Write(Write::RemoveKey), |answer| match answer {
        Answer::Written(written) => written.changed as i64,
        _ => 0,
    })
}

fn exists(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    for_each_key(arguments, session, node, &Operation::Read(Read::Summary), |answer| match answer {
        Answer::Found(found) => found.kind.is_some().into(),
        _ => 0,
    })
}

fn kind(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read(session, node, arguments.get(1), Read::Summary, |found| Reply::status(found.kind.map_or("none", type_name)))
}

fn dbsize(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    Step::ask_all(everywhere(session, node, &Operation::Count), |answers, node| {
        first_refusal(&answers, node).unwrap_or_else(|| Reply::Integer(counted(&answers) as i64))
    })
}

/// The sum of counts.
pub(super) fn counted(answers: &[Answer]) -> u64 {
    answers.iter().map(|answer| if let Answer::Count(count) = answer { *count } else { 0 }).sum()
}

fn keys_like(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let pattern = arguments.get(1).to_vec();
    let all = Operation::Scan { from: KeyHash(0), count_keys: u32::MAX, conflicts_only: false };
    Step::ask_all(everywhere(session, node, &all), move |answers, node| {
        if let Some(refused) = first_refusal(&answers, node) {
            return refused;
        }
        let pages =
            answers.into_iter().flat_map(|answer| if let Answer::Page(keys, _) = answer { keys } else { Vec::new() });
        Reply::array(pages.filter(|(key, _)| glob::matches(&pattern, &key.0)).map(|(key, _)| key.0))
    })
}

/// A partition by its share of the keys, and there a key of some page.
fn randomkey(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let template = request(session, node, b"", Operation::Count);
    Step::Ask(
        everywhere(session, node, &Operation::Count),
        Box::new(move |answers, node| {
            if let Some(refused) = first_refusal(&answers, node) {
                return refused.into();
            }
            let counts: Vec<u64> = answers.iter().map(|answer| counted(std::slice::from_ref(answer))).collect();
            let all: u64 = counts.iter().sum();
            let mut at = if all == 0 { return Reply::Null.into() } else { fastrand::u64(..all) };
            let chosen = PartitionId::all().zip(counts).find(|(_, count)| match at.checked_sub(*count) {
                Some(rest) => {
                    at = rest;
                    false
                }
                None => true,
            });
            let Some((partition, _)) = chosen else { return Reply::Null.into() };
            let page = |from: u64| {
                let operation = Operation::Scan { from: KeyHash(from), count_keys: 16, conflicts_only: false };
                Request { partition, operation, ..template.clone() }
            };
            // From somewhere on, and from the beginning, should nothing follow there.
            Step::ask_all(vec![page(fastrand::u64(..1 << HASH_BITS)), page(0)], |answers, node| {
                let pages = answers
                    .iter()
                    .filter_map(|answer| if let Answer::Page(keys, _) = answer { Some(keys) } else { None });
                let page = pages.into_iter().find(|keys| !keys.is_empty());
                let some = page.map(|keys| keys[fastrand::usize(..keys.len())].0.0.clone());
                some.map_or_else(|| first_refusal(&answers, node).unwrap_or(Reply::Null), Reply::bulk)
            })
        }),
    )
}

fn flushall(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.len() > 2 || arguments.len() == 2 && !arguments.is(1, "ASYNC") && !arguments.is(1, "SYNC") {
        return Reply::syntax_error().into();
    }
    Step::ask_all(everywhere(session, node, &Operation::Write(Write::Clear)), |answers, node| {
        first_refusal(&answers, node).unwrap_or_else(Reply::ok)
    })
}

/// A walk over the partitions: the cursor is the partition and the place in it, as one decimal number.
pub(super) struct Walk {
    pub(super) from: u64,
    pattern: Option<Vec<u8>>,
    kind: Option<String>,
    count: u32,
    conflicts_only: bool,
    found: Vec<Vec<u8>>,
}

fn scan(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match Walk::parse(arguments, false) {
        Ok(walk) => walk.step(1, request(session, node, b"", Operation::Count)),
        Err(refused) => refused.into(),
    }
}

impl Walk {
    /// From `cursor [MATCH pattern] [COUNT n] [TYPE t]`.
    pub(super) fn parse(arguments: &Arguments<'_>, conflicts_only: bool) -> Result<Self, Reply> {
        let from = std::str::from_utf8(arguments.get(1)).ok().and_then(|text| text.parse().ok());
        let from =
            from.filter(|from| partition_at(*from).is_some()).ok_or_else(|| Reply::error("ERR invalid cursor"))?;
        let mut walk = Self { from, pattern: None, kind: None, count: 10, conflicts_only, found: Vec::new() };
        for at in (2..arguments.len()).step_by(2) {
            if at + 1 >= arguments.len() {
                return Err(Reply::syntax_error());
            }
            if arguments.is(at, "MATCH") {
                walk.pattern = Some(arguments.get(at + 1).to_vec());
            } else if arguments.is(at, "COUNT") {
                let count = parse_integer(arguments.get(at + 1)).ok_or_else(Reply::not_an_integer)?;
                walk.count =
                    u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(Reply::syntax_error)?.min(100_000);
            } else if arguments.is(at, "TYPE") && !conflicts_only {
                walk.kind = Some(arguments.text(at + 1).to_ascii_lowercase());
            } else {
                return Err(Reply::syntax_error());
            }
        }
        Ok(walk)
    }

    /// Looks at so many partitions at once; at twice as many the next time, while they are nearly empty.
    pub(super) fn step(mut self, partitions: usize, template: Request) -> Step {
        let Some(first) = partition_at(self.from) else { return self.reply(0).into() };
        let ids: Vec<PartitionId> = PartitionId::all().skip(usize::from(first.number())).take(partitions).collect();
        let requests = ids.iter().map(|partition| {
            let hash = if *partition == first { self.from & ((1 << HASH_BITS) - 1) } else { 0 };
            let operation =
                Operation::Scan { from: KeyHash(hash), count_keys: self.count, conflicts_only: self.conflicts_only };
            Request { partition: *partition, operation, ..template.clone() }
        });
        let requests = requests.collect();
        Step::Ask(
            requests,
            Box::new(move |answers, node| {
                for (partition, answer) in ids.iter().zip(answers) {
                    let (keys, next) = match answer {
                        Answer::Page(keys, next) => (keys, next),
                        other => return refusal(&other, node).into(),
                    };
                    self.take(keys);
                    if let Some(KeyHash(hash)) = next {
                        return self.reply(u64::from(partition.number()) << HASH_BITS | hash).into();
                    }
                    self.from = (u64::from(partition.number()) + 1) << HASH_BITS;
                    if self.found.len() >= self.count as usize {
                        break;
                    }
                }
                if partition_at(self.from).is_none() {
                    return self.reply(0).into();
                }
                if self.found.len() >= self.count as usize {
                    let cursor = self.from;
                    return self.reply(cursor).into();
                }
                self.step(partitions * 2, template)
            }),
        )
    }

    fn take(&mut self, keys: Vec<(replica::ByteString, CellKind)>) {
        for (key, kind) in keys {
            let matches = self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, &key.0));
            if matches && self.kind.as_ref().is_none_or(|wanted| wanted == type_name(kind)) {
                self.found.push(key.0);
            }
        }
    }

    fn reply(self, cursor: u64) -> Reply {
        let keys = self.found.into_iter().map(Reply::bulk).collect();
        Reply::Array(vec![Reply::bulk(cursor.to_string()), Reply::Array(keys)])
    }
}

fn partition_at(cursor: u64) -> Option<PartitionId> {
    u16::try_from(cursor >> HASH_BITS).ok().and_then(PartitionId::new)
}
