//! Keys as values: copied, renamed, dumped, restored. A copy has of siblings the one a plain read shows.

use std::sync::Arc;

use replica::{Answer, CellId, CellKind, CellState, Keys, Observed, Operation, Read, Write};

use crate::command::refusal::{Done, refusal};
use crate::command::requests::{Asker, call, call_at, check_name, request};
use crate::command::{Arguments, Command, ONE_KEY, READ, SECOND, TWO_KEYS, WRITE, WRITE_IN_TURN, here, read, there};
use crate::dump::Dump;
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::{Call, Conditions};
use crate::resp::Reply;
use crate::session::Session;

const GROUP: &str = "generic";

pub(super) static COMMANDS: &[Command] = &[
    here("RENAME", 3, WRITE_IN_TURN, TWO_KEYS, GROUP, "Gives a key another name; at one moment within a slot.", rename)
        .and_there(rename_there),
    here("RENAMENX", 3, WRITE_IN_TURN, TWO_KEYS, GROUP, "The same, if there is no such key yet.", renamenx)
        .and_there(renamenx_there),
    here("COPY", -3, WRITE_IN_TURN, TWO_KEYS, GROUP, "Copies a key; at one moment within a slot.", copy)
        .and_there(copy_there),
    here("DUMP", 2, READ, ONE_KEY, GROUP, "A key as bytes, in a format of its own.", dump),
    there("RESTORE", -4, WRITE, ONE_KEY, GROUP, "A key from what DUMP gave.", restore),
    here(
        "OBJECT",
        -2,
        READ,
        SECOND,
        GROUP,
        "ENCODING, REFCOUNT, IDLETIME, FREQ of a key, as Redis would have it.",
        object,
    ),
    here("MEMORY", -2, READ, SECOND, "server", "USAGE key: about how many bytes it takes here.", memory),
];

/// What to do with a key under another name.
#[derive(Clone, Copy)]
struct Transfer {
    conditions: Conditions,
    /// Is the key removed where it was?
    moves: bool,
    /// What the client is told of it.
    done: fn() -> Reply,
    /// What it is told if there is no such key.
    missing: fn() -> Reply,
}

fn no_such_key() -> Reply {
    Reply::error("ERR no such key")
}

const RENAME: Transfer =
    Transfer { conditions: Conditions { absent_only: false }, moves: true, done: Reply::ok, missing: no_such_key };
const RENAMENX: Transfer = Transfer {
    conditions: Conditions { absent_only: true },
    moves: true,
    done: || Reply::Integer(1),
    missing: no_such_key,
};
const COPY: Transfer = Transfer {
    conditions: Conditions { absent_only: true },
    moves: false,
    done: || Reply::Integer(1),
    missing: || Reply::Integer(0),
};

fn rename(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    transfer(arguments, session, node, RENAME)
}

fn renamenx(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    transfer(arguments, session, node, RENAMENX)
}

fn copy(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.get(1) == arguments.get(2) {
        return same_key().into();
    }
    match copying(arguments) {
        Ok(transfer_as) => transfer(arguments, session, node, transfer_as),
        Err(refused) => refused.into(),
    }
}

fn same_key() -> Reply {
    Reply::error("ERR source and destination objects are the same")
}

fn copying(arguments: &Arguments<'_>) -> Result<Transfer, Reply> {
    let (mut copying, mut at) = (COPY, 3);
    while at < arguments.len() {
        match arguments.word(at).as_str() {
            "REPLACE" => copying.conditions.absent_only = false,
            "DB" if arguments.get(at + 1) == b"0" => at += 1,
            "DB" if at + 1 < arguments.len() => return Err(Reply::error("ERR DB index is out of range")),
            _ => return Err(Reply::syntax_error()),
        }
        at += 1;
    }
    Ok(copying)
}

/// Within a slot in one batch, where both keys are; across slots it is read, written and removed one after the other.
fn transfer(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, transfer: Transfer) -> Step {
    let (from, to) = (arguments.get(1), arguments.get(2));
    if redis_protocol::redis_keyslot(from) == redis_protocol::redis_keyslot(to) {
        return call(arguments, session, node);
    }
    if let Err(refused) = check_name(node, from).and_then(|()| check_name(node, to)) {
        return refused.into();
    }
    let (asker, from_key, to) = (Asker::of(session), from.to_vec(), to.to_vec());
    Step::ask_one(request(session, node, from, Operation::Read(Read::All)), move |answer, node| {
        let Answer::Found(found) = answer else { return refusal(&answer, node).into() };
        let Some(dump) = Dump::of(&found) else { return (transfer.missing)().into() };
        let event = if transfer.moves { "rename_to" } else { "copy_to" };
        let put = Call::StoreAs(event.to_owned(), to.clone().into(), Box::new(dump), transfer.conditions);
        // Removed is what was copied: what somebody else writes under the old name meanwhile stays there.
        let observed = |(id, cell): (CellId, CellState)| {
            let seen = crdt::reading::tallies(&cell.live).reset();
            (id, Observed { context: cell.live.dots().copied().collect(), seen })
        };
        let removed = found.cells.into_iter().map(observed).collect();
        let removal = Call::ForgetAs("rename_from".to_owned(), from_key.clone().into(), removed);
        call_at(&to, &put, &asker, node).then(move |reply, node| match reply {
            Reply::Integer(1) if transfer.moves => {
                call_at(&from_key, &removal, &asker, node).map_reply(move |reply| match reply {
                    Reply::Integer(_) => (transfer.done)(),
                    refused => refused,
                })
            }
            Reply::Integer(1) => (transfer.done)().into(),
            other => other.into(),
        })
    })
}

fn rename_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    transfer_there(arguments, keys, node, RENAME)
}

fn renamenx_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    transfer_there(arguments, keys, node, RENAMENX)
}

fn copy_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    if arguments.get(1) == arguments.get(2) {
        return Err(same_key().into());
    }
    transfer_there(arguments, keys, node, copying(arguments)?)
}

fn transfer_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Node, transfer: Transfer) -> Done {
    let (from, to) = (arguments.get(1), arguments.get(2));
    let Some(dump) = Dump::of(&keys.read(from, &Read::All)?) else { return Ok((transfer.missing)()) };
    if transfer.conditions.absent_only && keys.read(to, &Read::Summary)?.kind.is_some() {
        return Ok(Reply::Integer(0));
    }
    if from != to {
        dump.check(to, node)?;
        dump.restore(to, keys)?;
        if transfer.moves {
            keys.write(from, &Write::RemoveKey)?;
        }
    }
    Ok((transfer.done)())
}

fn dump(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read(session, node, arguments.get(1), Read::All, |found| Dump::of(&found).map(|dump| dump.to_bytes()).into())
}

fn restore(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (mut replaces, mut is_absolute, mut at) = (false, false, 4);
    while at < arguments.len() {
        match arguments.word(at).as_str() {
            "REPLACE" => replaces = true,
            "ABSTTL" => is_absolute = true,
            "IDLETIME" | "FREQ" if at + 1 < arguments.len() => {
                arguments.natural(at + 1, "ERR Invalid IDLETIME or FREQ value, must be >= 0")?;
                at += 1;
            }
            _ => return Err(Reply::syntax_error().into()),
        }
        at += 1;
    }
    let ttl_ms = arguments.natural(2, "ERR Invalid TTL value, must be >= 0")?;
    let key = arguments.get(1);
    if !replaces && keys.read(key, &Read::Summary)?.kind.is_some() {
        return Err(Reply::error("BUSYKEY Target key name already exists.").into());
    }
    let dump = Dump::from_bytes(arguments.get(3));
    let mut dump = dump.ok_or_else(|| Reply::error("ERR DUMP payload version or checksum are wrong"))?;
    dump.deadline_ms = match (ttl_ms, is_absolute) {
        (0, _) => None,
        (at_ms, true) => Some(at_ms),
        (ttl_ms, false) => Some(keys.now_ms().saturating_add(ttl_ms)),
    };
    dump.check(key, node)?;
    dump.restore(key, keys)?;
    Ok(Reply::ok())
}

fn object(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let sub = arguments.word(1);
    match (sub.as_str(), arguments.len()) {
        ("ENCODING" | "REFCOUNT" | "IDLETIME" | "FREQ", 3) => {
            read(session, node, arguments.get(2), Read::All, move |found| {
                let Some(dump) = Dump::of(&found) else { return Reply::Null };
                match sub.as_str() {
                    "ENCODING" => Reply::copied(dump.contents.encoding().as_bytes()),
                    "REFCOUNT" => Reply::Integer(1),
                    "IDLETIME" => Reply::Integer(0),
                    _ => Reply::error(
                        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
                    ),
                }
            })
        }
        ("ENCODING" | "REFCOUNT" | "IDLETIME" | "FREQ", _) => {
            Reply::wrong_number_of_arguments(&format!("object|{}", sub.to_ascii_lowercase())).into()
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try OBJECT HELP.", arguments.text(1))).into(),
    }
}

fn memory(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let is_usage = arguments.is(1, "USAGE");
    match arguments.len() {
        2 if arguments.is(1, "DOCTOR") => {
            Reply::Verbatim("What this process takes is its caches and what waits for the disk: see INFO.".to_owned())
                .into()
        }
        2 if arguments.is(1, "PURGE") => Reply::ok().into(),
        3 | 5 if is_usage && (arguments.len() == 3 || arguments.is(3, "SAMPLES")) => {
            let key = arguments.get(2).len();
            read(session, node, arguments.get(2), Read::All, move |found| match found.kind {
                None | Some(CellKind::Deadline) => Reply::Null,
                // Each cell carries its key; beside name and values about twenty bytes.
                Some(_) => {
                    Reply::count(found.cells.iter().map(|(id, cell)| key + id.name.len() + 20 + bytes_of(cell)).sum())
                }
            })
        }
        _ if is_usage => Reply::wrong_number_of_arguments("memory|usage").into(),
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try MEMORY HELP.", arguments.text(1))).into(),
    }
}

fn bytes_of(cell: &replica::CellState) -> usize {
    let values = cell.live.iter().map(|(_, entry)| match &entry.content {
        crdt::Content::Value { bytes, .. } => bytes.len(),
        _ => 8,
    });
    values.sum()
}
