//! Commands: what each is called, how many arguments it takes, where its keys stand, and who carries it out.
//!
//! A command turns arguments into requests for the replicas and their answers into a reply. It decides nothing
//! about merging: that is the cells' business.

mod causal;
mod connection;
mod explain;
mod hashes;
mod keys;
mod layout;
mod pubsub;
mod server;
mod sets;
mod strings;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use replica::{
    Answer, ByteString, CellId, CellKind, Failure, Found, Operation, PartitionId, Quorum, QuorumKind, Read, Request,
    Write, Written,
};

use crate::config::Setting;
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, Scanner};
use crate::session::Session;

/// How a command is carried out.
type Run = fn(&Arguments<'_>, &mut Session, &Arc<Node>) -> Step;

/// Where a command's keys stand: first, last (negative from the end), step. All 0: it has none.
type Keys = (i64, i64, i64);

/// One command.
pub struct Command {
    /// Its name, in capitals.
    pub name: &'static str,
    /// How many arguments, its name among them; negative: at least so many.
    pub arity: i64,
    /// What COMMAND says of it.
    pub flags: &'static [&'static str],
    /// Where its keys stand.
    pub keys: Keys,
    /// The family.
    pub group: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    run: Run,
}

/// How many bytes of keys one command may multiply into.
const CELLS_TIMES_KEY_BYTES: usize = 32 * 1024 * 1024;

const NO_KEYS: Keys = (0, 0, 0);
const ONE_KEY: Keys = (1, 1, 1);
const ALL_KEYS: Keys = (1, -1, 1);

fn all() -> impl Iterator<Item = &'static Command> {
    [
        connection::COMMANDS,
        keys::COMMANDS,
        strings::COMMANDS,
        sets::COMMANDS,
        hashes::COMMANDS,
        pubsub::COMMANDS,
        server::COMMANDS,
        causal::COMMANDS,
        layout::COMMANDS,
    ]
    .into_iter()
    .flatten()
}

/// The command of this name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    static TABLE: OnceLock<HashMap<&'static [u8], &'static Command>> = OnceLock::new();
    let table = TABLE.get_or_init(|| all().map(|command| (command.name.as_bytes(), command)).collect());
    let mut upper = [0; 32];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    table.get(&upper[..]).copied()
}

/// The arguments of a command, its name first.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    scanner: &'a Scanner,
    bytes: &'a [u8],
    from: usize,
}

impl<'a> Arguments<'a> {
    /// The arguments the scanner has just found in these bytes.
    #[must_use]
    pub fn new(scanner: &'a Scanner, bytes: &'a [u8]) -> Self {
        Self { scanner, bytes, from: 0 }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scanner.arg_count() - self.from
    }

    /// An empty line is no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them; nothing beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> &'a [u8] {
        if index < self.len() { self.scanner.arg(self.bytes, self.from + index) } else { &[] }
    }

    /// Those from `index` on.
    pub fn skip(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        (index..self.len()).map(|index| self.get(index))
    }

    /// A command within a command.
    #[must_use]
    pub fn after(&self, index: usize) -> Self {
        Self { from: self.from + index, ..*self }
    }

    fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    fn text(&self, index: usize) -> String {
        String::from_utf8_lossy(self.get(index)).into_owned()
    }
}

/// Carries a command out.
pub fn run(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    node.commands.fetch_add(1, Ordering::Relaxed);
    let name = arguments.get(0);
    let Some(command) = find(name) else {
        return unknown(arguments).into();
    };
    let (given, wanted) = (arguments.len() as i64, command.arity);
    if (wanted >= 0 && given != wanted) || given < -wanted {
        return Reply::wrong_number_of_arguments(&command.name.to_ascii_lowercase()).into();
    }
    if session.only_subscribes() && !command.flags.contains(&"pubsub-mode") {
        return Reply::error(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.name.to_ascii_lowercase()
        ))
        .into();
    }
    (command.run)(arguments, session, node)
}

fn unknown(arguments: &Arguments<'_>) -> Reply {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned();
    let rest: String = arguments.skip(1).take(20).map(|argument| format!("'{}' ", shown(argument))).collect();
    Reply::error(format!("ERR unknown command '{}', with args beginning with: {}", shown(arguments.get(0)), rest))
}

// Requests

fn request(session: &Session, node: &Node, key: &[u8], operation: Operation) -> Request {
    let (chosen, config) = (session.quorums, &node.config);
    let or = |own: Option<u8>, setting: &Setting| own.or(u8::try_from(setting.get()).ok().filter(|n| *n > 0));
    let strict = if config.strict_quorum.get() > 0 { QuorumKind::Strict } else { QuorumKind::Sloppy };
    let kind = chosen.kind.unwrap_or(strict);
    let quorum = match operation {
        Operation::Write(_) => {
            Quorum { nodes: or(chosen.w, &config.write_quorum), owners: chosen.pw, on_disk: chosen.dw, kind }
        }
        _ => Quorum { nodes: or(chosen.r, &config.read_quorum), owners: chosen.pr, on_disk: None, kind },
    };
    Request {
        partition: PartitionId::of_slot(redis_protocol::redis_keyslot(key)),
        key: key.to_vec(),
        operation,
        quorum,
        timeout_ms: chosen.timeout_ms,
    }
}

fn everywhere(session: &Session, node: &Node, operation: &Operation) -> Vec<Request> {
    let at = |partition| Request { partition, ..request(session, node, b"", operation.clone()) };
    PartitionId::all().map(at).collect()
}

fn write(session: &Session, node: &Node, key: &[u8], write: Write, reply: fn(Written) -> Reply) -> Step {
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    Step::ask_one(request(session, node, key, Operation::Write(write)), move |answer, node| match answer {
        Answer::Written(written) => reply(written).into(),
        other => refusal(&other, node).into(),
    })
}

fn read(session: &Session, node: &Node, key: &[u8], read: Read, reply: impl FnOnce(Found) -> Reply + 'static) -> Step {
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    Step::ask_one(request(session, node, key, Operation::Read(read)), move |answer, node| match answer {
        Answer::Found(found) => reply(found).into(),
        other => refusal(&other, node).into(),
    })
}

/// A read that makes sense for one type of key only.
fn read_kind(
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

fn check_name(node: &Node, name: &[u8]) -> Result<(), Reply> {
    let limit = node.config.max_key_bytes.get();
    if name.len() as u64 <= limit {
        return Ok(());
    }
    Err(Reply::error(format!(
        "ERR a key, member or field of {} bytes is over the limit of {limit} (CONFIG GET max-key-bytes)",
        name.len()
    )))
}

fn check_value(node: &Node, value: &[u8]) -> Result<(), Reply> {
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
fn check_cells(arguments: &Arguments<'_>) -> Result<(), Reply> {
    let (key, cells) = (arguments.get(1).len(), arguments.len());
    if key.saturating_mul(cells) <= CELLS_TIMES_KEY_BYTES {
        return Ok(());
    }
    Err(Reply::error(format!(
        "ERR {cells} arguments under a key of {key} bytes are too much at once: send them in several commands"
    )))
}

fn names(arguments: &Arguments<'_>, from: usize, node: &Node) -> Result<Vec<ByteString>, Reply> {
    check_cells(arguments)?;
    let checked = arguments.skip(from).map(|name| check_name(node, name).map(|()| ByteString::from(name)));
    checked.collect()
}

/// The live value of a cell as a plain read shows it.
fn shown(found: &Found, cell: &CellId) -> Reply {
    let value = found.cell(cell).and_then(|state| crdt::reading::winner(&state.live));
    value.map_or(Reply::Null, |value| Reply::bulk(value.into_owned()))
}

/// The reply to an answer that is not the one hoped for.
fn refusal(answer: &Answer, node: &Node) -> Reply {
    let Answer::Failed(failure) = answer else {
        return Reply::error("ERR the answer does not belong to the command");
    };
    let view = node.view();
    let listed = |nodes: &[replica::NodeId]| {
        let names: Vec<String> = nodes.iter().map(|node| view.name(*node)).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    };
    match failure {
        Failure::WrongType => Reply::wrong_type(),
        Failure::NotAnInteger => Reply::not_an_integer(),
        Failure::Overflow => Reply::error("ERR increment or decrement would overflow"),
        Failure::NotCurrent => Reply::Null,
        Failure::TooLarge { limit_bytes } => Reply::error(format!(
            "ERR the siblings of this cell would be more than {limit_bytes} bytes together: replace some with their context"
        )),
        Failure::StandInFull { limit_bytes } => Reply::error(format!(
            "BUSY no owner of the key answers, and this node keeps {limit_bytes} bytes for absent owners already (CONFIG SET stand-in-bytes)"
        )),
        Failure::NoQuorum { needed, answered, silent, may_take_effect } => Reply::error(format!(
            "NOQUORUM {}/{needed} owners answered: {}; not: {}; {}",
            answered.len(),
            listed(answered),
            listed(silent),
            if *may_take_effect { "the write may take effect all the same" } else { "nothing was changed" }
        )),
        Failure::TooManyOwners { owners } => {
            Reply::error(format!("ERR the key has {owners} owners: R and W cannot be more"))
        }
        Failure::NotAnOwner => {
            Reply::error("TRYAGAIN the owners of this key are changing, or this node has not joined yet")
        }
        Failure::Store(error) => Reply::error(format!("ERR {error}")),
    }
}

/// The first refusal among answers of which all must be good.
fn first_refusal(answers: &[Answer], node: &Node) -> Option<Reply> {
    answers.iter().find(|answer| matches!(answer, Answer::Failed(_))).map(|answer| refusal(answer, node))
}
