//! Keys of any type: there, gone, listed.

use std::sync::Arc;

use replica::{Answer, CellKind, KeyHash, Operation, PartitionId, Read, Request, Write};

use crate::command::{
    ALL_KEYS, Arguments, Command, NO_KEYS, ONE_KEY, check_name, everywhere, first_refusal, read, refusal, request,
};
use crate::gather::Step;
use crate::glob;
use crate::merges::type_name;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

/// How many bits of a cursor stand for the place within a partition.
const HASH_BITS: u32 = 48;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "DEL",
        arity: -2,
        flags: &["write"],
        keys: ALL_KEYS,
        group: "generic",
        summary: "Removes what is seen of keys.",
        run: del,
    },
    Command {
        name: "EXISTS",
        arity: -2,
        flags: &["readonly", "fast"],
        keys: ALL_KEYS,
        group: "generic",
        summary: "How many of the keys there are.",
        run: exists,
    },
    Command {
        name: "TYPE",
        arity: 2,
        flags: &["readonly", "fast"],
        keys: ONE_KEY,
        group: "generic",
        summary: "The type of a key.",
        run: kind,
    },
    Command {
        name: "SCAN",
        arity: -2,
        flags: &["readonly"],
        keys: NO_KEYS,
        group: "generic",
        summary: "The keys of the whole cluster, page by page.",
        run: scan,
    },
    Command {
        name: "DBSIZE",
        arity: 1,
        flags: &["readonly", "fast"],
        keys: NO_KEYS,
        group: "server",
        summary: "How many keys the cluster has, each counted once.",
        run: dbsize,
    },
    Command {
        name: "FLUSHALL",
        arity: -1,
        flags: &["write"],
        keys: NO_KEYS,
        group: "server",
        summary: "Removes everything that is seen, on all nodes.",
        run: flushall,
    },
    Command {
        name: "FLUSHDB",
        arity: -1,
        flags: &["write"],
        keys: NO_KEYS,
        group: "server",
        summary: "The same: there is one database.",
        run: flushall,
    },
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
    Step::ask_all(requests, move |answers, node| {
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
    read(session, node, arguments.get(1), Read::Summary, |found| Reply::Simple(found.kind.map_or("none", type_name)))
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
