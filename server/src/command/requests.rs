//! What commands ask of the replicas, and what they refuse to ask.

use std::sync::Arc;

use replica::{
    Answer, ByteString, CellId, CellKind, Context, Found, Operation, PartitionId, Quorum, QuorumKind, Read, Request,
    Write, Written,
};

use crate::command::arguments::Arguments;
use crate::command::refusal::refusal;
use crate::command::{KeyPlaces, NO_KEYS, find};
use crate::config::Setting;
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::{self, Call};
use crate::resp::Reply;
use crate::session::{LastWrite, Quorums, Session};

/// How many bytes of keys one command may multiply into.
const CELLS_TIMES_KEY_BYTES: usize = 32 * 1024 * 1024;

pub(super) fn request(session: &Session, node: &Node, key: &[u8], operation: Operation) -> Request {
    request_with(session.quorums, node, key, operation)
}

/// A request with these quorums, once the session is out of reach.
pub(super) fn request_with(chosen: Quorums, node: &Node, key: &[u8], operation: Operation) -> Request {
    let (config, chosen) = (&node.config, node.buckets.fill_in(chosen, key));
    let or = |own: Option<u8>, setting: &Setting| own.or(u8::try_from(setting.get()).ok().filter(|n| *n > 0));
    let strict = if config.strict_quorum.get() > 0 { QuorumKind::Strict } else { QuorumKind::Sloppy };
    let kind = chosen.kind.unwrap_or(strict);
    let quorum = match operation {
        Operation::Write(_) => {
            let nodes = or(chosen.w, &config.write_quorum);
            Quorum { nodes, owners: chosen.pw, on_disk: chosen.dw, kind, write_back: false }
        }
        _ => {
            let nodes = or(chosen.r, &config.read_quorum);
            Quorum { nodes, owners: chosen.pr, on_disk: None, kind, write_back: chosen.write_back }
        }
    };
    let timeout_ms = chosen.timeout_ms;
    Request { quorum, timeout_ms, ..Request::new(partition_of(key), key, operation) }
}

/// Where a key lives.
pub(super) fn partition_of(key: &[u8]) -> PartitionId {
    PartitionId::of_slot(redis_protocol::redis_keyslot(key))
}

/// Has a command carried out where its keys are coordinated.
pub(super) fn call(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>) -> Step {
    let places = find(arguments.get(0)).map_or(NO_KEYS, |command| command.keys);
    let keys = match places.of(arguments) {
        Ok(keys) => keys,
        Err(refused) => return refused.into(),
    };
    let slot = |key: &[u8]| redis_protocol::redis_keyslot(key);
    // A script without keys may run anywhere.
    let first = match keys.first() {
        Some(first) => first,
        None if places == KeyPlaces::Scripted => &&b""[..],
        None => return Reply::syntax_error().into(),
    };
    if keys.iter().any(|key| slot(key) != slot(first)) {
        return Reply::cross_slot().into();
    }
    let named = keys.iter().try_for_each(|key| check_name(node, key));
    let all = named.and_then(|()| arguments.skip(1).try_for_each(|argument| check_value(node, argument)));
    match all.and_then(|()| check_cells(arguments)) {
        Ok(()) => {
            let command = Call::Command(arguments.to_kept());
            // What is permitted has been looked at, but for what a script will do.
            let what = if places == KeyPlaces::Scripted { command.on_behalf_of(&session.user) } else { command };
            call_at(first, &what, &Asker::of(session), node)
        }
        Err(refused) => refused.into(),
    }
}

/// Has a command of one key that only looks carried out where the key is coordinated, on what enough owners have together: what the
/// key has need not travel.
pub(super) fn look(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let reads = Read::Call(Call::Command(arguments.to_kept()).encode());
    read(session, node, arguments.get(1), reads, |found| procedures::said(&found.said.0))
}

/// Has a call carried out where a key is coordinated.
pub(super) fn call_at(key: &[u8], what: &Call, asker: &Asker, node: &Node) -> Step {
    let (last, noted) = (asker.last_write.clone(), key.to_vec());
    Step::ask_one(request_with(asker.quorums, node, key, Operation::Write(what.to_write())), move |answer, node| {
        match answer {
            Answer::Written(written) => {
                last.note([(noted, written.own.context)]);
                procedures::said(&written.said.0).into()
            }
            other => refusal(&other, node).into(),
        }
    })
}

/// Notes what several requests have written.
pub(super) fn note_all(last: &LastWrite, keys: Vec<Vec<u8>>, answers: &[Answer]) {
    let own = |answer: &Answer| match answer {
        Answer::Written(written) => written.own.context.clone(),
        _ => Context::new(),
    };
    last.note(keys.into_iter().zip(answers).map(|(key, answer)| (key, own(answer))).collect::<Vec<_>>());
}

/// What of a session a command needs that goes on when the session is out of reach.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) quorums: Quorums,
    pub(super) last_write: LastWrite,
}

impl Asker {
    pub(super) fn of(session: &Session) -> Self {
        Self { quorums: session.quorums, last_write: session.last_write.clone() }
    }
}

pub(super) fn everywhere(session: &Session, node: &Node, operation: &Operation) -> Vec<Request> {
    let at = |partition| Request { partition, ..request(session, node, b"", operation.clone()) };
    PartitionId::all().map(at).collect()
}

pub(super) fn write(session: &Session, node: &Node, key: &[u8], write: Write, reply: fn(Written) -> Reply) -> Step {
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    let (last, noted) = (session.last_write.clone(), key.to_vec());
    Step::ask_one(request(session, node, key, Operation::Write(write)), move |answer, node| match answer {
        Answer::Written(mut written) => {
            last.note([(noted, std::mem::take(&mut written.own.context))]);
            reply(written).into()
        }
        other => refusal(&other, node).into(),
    })
}

pub(super) fn read(
    session: &Session,
    node: &Node,
    key: &[u8],
    read: Read,
    reply: impl FnOnce(Found) -> Reply + 'static,
) -> Step {
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    let missed = node.notifications.if_missed(key);
    Step::ask_one(request(session, node, key, Operation::Read(read)), move |answer, node| match answer {
        Answer::Found(found) => {
            if let Some(key) = missed.filter(|_| found.kind.is_none()) {
                node.notifications.tell("keymiss", &key, &node.pubsub);
            }
            reply(found).into()
        }
        other => refusal(&other, node).into(),
    })
}

/// Tells of the keys that reads have not found, should somebody want to know.
pub(super) fn tell_missed(keys: &[Vec<u8>], answers: &[Answer], node: &Node) {
    for (key, answer) in keys.iter().zip(answers) {
        if matches!(answer, Answer::Found(Found { kind: None, .. })) {
            node.notifications.tell("keymiss", key, &node.pubsub);
        }
    }
}

/// A read that makes sense for one type of key only.
pub(super) fn read_kind(
    session: &Session,
    node: &Node,
    key: &[u8],
    what: Read,
    kind: CellKind,
    reply: impl FnOnce(Found) -> Reply + 'static,
) -> Step {
    read(session, node, key, what, move |found| match found.kind {
        Some(other) if other != kind => Reply::wrong_type(),
        _ => reply(found),
    })
}

pub(crate) fn check_name(node: &Node, name: &[u8]) -> Result<(), Reply> {
    let limit = node.config.max_key_bytes.get();
    if name.len() as u64 <= limit {
        return Ok(());
    }
    Err(Reply::error(format!(
        "ERR a key, member, field or channel of {} bytes is over the limit of {limit} (CONFIG GET max-key-bytes)",
        name.len()
    )))
}

pub(crate) fn check_value(node: &Node, value: &[u8]) -> Result<(), Reply> {
    let limit = node.config.max_value_bytes.get();
    if value.len() as u64 <= limit {
        return Ok(());
    }
    Err(Reply::error(format!(
        "ERR a value of {} bytes is over the limit of {limit} (CONFIG SET max-value-bytes changes it)",
        value.len()
    )))
}

/// Each cell carries its key to the disk and to the other owners: a long key with many cells is refused.
pub(super) fn check_cells(arguments: &Arguments<'_>) -> Result<(), Reply> {
    check_cells_of(arguments.get(1), arguments.len())
}

pub(crate) fn check_cells_of(key: &[u8], cells: usize) -> Result<(), Reply> {
    let key = key.len();
    if key.saturating_mul(cells) <= CELLS_TIMES_KEY_BYTES {
        return Ok(());
    }
    Err(Reply::error(format!(
        "ERR {cells} cells under a key of {key} bytes are too much at once: write them with several commands"
    )))
}

pub(super) fn names(arguments: &Arguments<'_>, from: usize, node: &Node) -> Result<Vec<ByteString>, Reply> {
    check_cells(arguments)?;
    let checked = arguments.skip(from).map(|name| check_name(node, name).map(|()| ByteString::from(name)));
    checked.collect()
}

/// The live value of a cell as a plain read shows it.
pub(super) fn shown(found: &Found, cell: &CellId) -> Reply {
    let value = found.cell(cell).and_then(|state| crdt::reading::winner(&state.live));
    value.map_or(Reply::Null, |value| Reply::bulk(value.into_owned()))
}
