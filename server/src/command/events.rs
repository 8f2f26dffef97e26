//! Which events of keyspace notifications a command makes: by its name, what it answered, and what its keys were before and after.

use replica::{CellId, CellKind, Failure, Keys, Read, StoreError, Write, Written};

use crate::command::{Arguments, Command, IN_TURN};
use crate::notifications::event;
use crate::resp::Reply;

/// What of a key tells whether a command has made it, changed it, taken it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    kind: Option<CellKind>,
    cells: u64,
}

impl Shape {
    fn of(keys: &Keys<'_, '_>, key: &[u8]) -> Result<Self, StoreError> {
        let found = keys.read(key, &Read::Summary)?;
        Ok(Self { kind: found.kind, cells: found.kind.map_or(0, |kind| found.counts.of(kind)) })
    }
}

/// A key, before and after.
struct Changed<'k> {
    key: &'k [u8],
    before: Shape,
    after: Shape,
}

impl<'k> Changed<'k> {
    fn is_new(&self) -> bool {
        self.before.kind.is_none() && self.after.kind.is_some()
    }

    fn is_gone(&self) -> bool {
        self.before.kind.is_some() && self.after.kind.is_none()
    }
}

/// What a command came to.
struct Outcome<'a, 'k> {
    arguments: &'a Arguments<'k>,
    reply: &'a Reply,
    /// Did it change anything?
    wrote: bool,
    keys: Vec<Changed<'k>>,
}

/// Does a command of a call make events by itself? What only prepares others' does not, nor what asks other nodes in turn: those say
/// what they do in the calls they send.
fn tells(command: &Command) -> bool {
    command.has("write") && command.group != "scripting" && (command.there.is_some() || !command.has(IN_TURN))
}

/// Carries a command of a call out, and has its events noted.
pub(super) fn around<'a>(
    command: &Command,
    arguments: &Arguments<'a>,
    keys: &mut Keys<'_, '_>,
    run: impl FnOnce(&mut Keys<'_, '_>) -> Result<Reply, Failure>,
) -> Result<Reply, Failure> {
    if !keys.takes_notes() || !tells(command) {
        return run(keys);
    }
    let mut named: Vec<&'a [u8]> = command.keys.of(arguments).unwrap_or_default();
    named.sort_unstable();
    named.dedup();
    let before = named.iter().map(|key| Shape::of(keys, key)).collect::<Result<Vec<_>, _>>()?;
    let dot = keys.next_dot();
    let reply = run(keys)?;
    let wrote = keys.next_dot() != dot;
    let mut changed = Vec::with_capacity(named.len());
    for (key, before) in named.into_iter().zip(before) {
        changed.push(Changed { key, before, after: Shape::of(keys, key)? });
    }
    let outcome = Outcome { arguments, reply: &reply, wrote, keys: changed };
    outcome.note(command.name, keys);
    Ok(reply)
}

/// The same for a call that is part of a command's work: what it does to its key is told of under this name.
pub(crate) fn around_call(
    name: &str,
    key: &[u8],
    keys: &mut Keys<'_, '_>,
    run: impl FnOnce(&mut Keys<'_, '_>) -> Result<Reply, Failure>,
) -> Result<Reply, Failure> {
    let Some(event) = event(name).filter(|_| keys.takes_notes()) else { return run(keys) };
    let (before, dot) = (Shape::of(keys, key)?, keys.next_dot());
    let reply = run(keys)?;
    let changed = Changed { key, before, after: Shape::of(keys, key)? };
    let (wrote, stays) = (keys.next_dot() != dot, changed.after.kind.is_some());
    if changed.is_new() || (wrote && stays && matches!(event, "rename_to" | "copy_to")) {
        keys.note(key, "new");
    }
    if changed.is_gone() && event != "rename_from" {
        keys.note(key, "del");
    } else if wrote && (stays || event == "rename_from") {
        keys.note(key, event);
    }
    Ok(reply)
}

/// Carries one write out, of a command that is nothing else, and has its events noted.
///
/// # Errors
/// As [`Keys::write`].
pub(crate) fn around_write(key: &[u8], write: &Write, keys: &mut Keys<'_, '_>) -> Result<Written, Failure> {
    let before = Shape::of(keys, key)?;
    let written = keys.write(key, write)?;
    let changed = Changed { key, before, after: Shape::of(keys, key)? };
    if changed.is_new() {
        keys.note(key, "new");
    }
    if let Some(event) = event_of(write, &written, &changed) {
        keys.note(key, event);
    }
    if changed.is_gone() {
        keys.note(key, "del");
    }
    Ok(written)
}

fn event_of(write: &Write, written: &Written, changed: &Changed<'_>) -> Option<&'static str> {
    let put = |kind: CellKind| match kind {
        CellKind::Value => Some("set"),
        CellKind::Field => Some("hset"),
        CellKind::Score => Some("zadd"),
        _ => None,
    };
    match write {
        Write::Set(_) => Some("set"),
        Write::Put(kind, _) => put(*kind),
        Write::PutObserved(CellId { kind, .. }, ..) | Write::PutIfCurrent(CellId { kind, .. }, ..) => put(*kind),
        Write::Add(_) => (written.changed > 0).then_some("sadd"),
        Write::Increment(CellId { kind, .. }, _) => match kind {
            CellKind::Value => Some("incrby"),
            CellKind::Field => Some("hincrby"),
            _ => Some("zincr"),
        },
        Write::Remove(kind, _) => removal(*kind).filter(|_| written.changed > 0),
        Write::RemoveObserved(CellId { kind, .. }, _) => {
            removal(*kind).filter(|_| changed.after.cells < changed.before.cells)
        }
        Write::RemoveKey | Write::Clear | Write::Call(_) => None,
    }
}

/// What the removal of a cell is told of as.
fn removal(kind: CellKind) -> Option<&'static str> {
    match kind {
        CellKind::Member => Some("srem"),
        CellKind::Field => Some("hdel"),
        CellKind::Score => Some("zrem"),
        _ => None,
    }
}

impl Outcome<'_, '_> {
    fn note(&self, name: &str, keys: &mut Keys<'_, '_>) {
        if self.reply.is_error() {
            return;
        }
        // Those that tell what they replace look for it as reads do.
        if matches!(name, "GETSET" | "GETDEL" | "GETEX" | "DOT.PFJOIN") {
            let missed = self.keys.iter().filter(|changed| changed.before.kind.is_none());
            missed.for_each(|changed| keys.note(changed.key, "keymiss"));
        }
        self.keys.iter().filter(|changed| changed.is_new()).for_each(|changed| keys.note(changed.key, "new"));
        let mut moved = None;
        self.events(name, &mut |event, key| {
            if event == "rename_from" {
                moved = Some(key.to_vec());
            }
            keys.note(key, event);
        });
        let gone = self.keys.iter().filter(|changed| changed.is_gone() && moved.as_deref() != Some(changed.key));
        gone.for_each(|changed| keys.note(changed.key, "del"));
    }

    fn of(&self, key: &[u8]) -> Option<&Changed<'_>> {
        self.keys.iter().find(|changed| changed.key == key)
    }

    /// The end of a list that an argument names.
    fn end(&self, at: usize, left: &'static str, right: &'static str) -> &'static str {
        if self.arguments.is(at, "LEFT") { left } else { right }
    }

    fn has_word(&self, from: usize, words: &[&str]) -> bool {
        (from..self.arguments.len()).any(|at| words.iter().any(|word| self.arguments.is(at, word)))
    }

    /// Each event by its name and key.
    fn events(&self, name: &str, tell: &mut dyn FnMut(&'static str, &[u8])) {
        let (first, second) = (self.arguments.get(1), self.arguments.get(2));
        let counted = matches!(self.reply, Reply::Integer(count) if *count > 0);
        let stays = |key: &[u8]| self.of(key).is_some_and(|changed| changed.after.kind.is_some());
        let lost = |key: &[u8]| self.of(key).is_some_and(|changed| changed.after.cells < changed.before.cells);
        // What takes a key's place wholly makes a new one, though there was one of that name.
        let replaced = |key| self.of(key).filter(|changed| changed.before.kind.is_some()).map(|changed| changed.key);
        let mut if_so = |is_so: bool, event: &'static str| {
            if is_so {
                tell(event, first);
            }
        };
        match name {
            "SET" | "GETEX" => {
                if_so(name == "SET" && self.wrote && stays(first), "set");
                if_so(name == "GETEX" && self.wrote && self.has_word(2, &["PERSIST"]), "persist");
                let ends = self.has_word(if name == "SET" { 3 } else { 2 }, &["EX", "PX", "EXAT", "PXAT"]);
                if_so(ends && self.wrote && stays(first), "expire");
            }
            "SETEX" | "PSETEX" => ["set", "expire"].iter().for_each(|event| if_so(true, event)),
            "SETNX" | "GETSET" => if_so(self.wrote, "set"),
            "MSET" | "MSETNX" if self.wrote => {
                (1..self.arguments.len()).step_by(2).for_each(|at| tell("set", self.arguments.get(at)));
            }
            "APPEND" => if_so(true, "append"),
            "SETRANGE" => if_so(self.wrote, "setrange"),
            "INCR" | "DECR" | "INCRBY" | "DECRBY" => if_so(true, "incrby"),
            "INCRBYFLOAT" => if_so(true, "incrbyfloat"),
            "SETBIT" | "BITFIELD" => if_so(self.wrote, "setbit"),
            "PFADD" => if_so(counted, "pfadd"),
            "DOT.PFJOIN" => if_so(true, "pfadd"),
            "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" => if_so(counted && stays(first), "expire"),
            "PERSIST" => if_so(counted, "persist"),
            "RENAME" | "RENAMENX" if self.wrote => {
                replaced(second).into_iter().for_each(|key| tell("new", key));
                tell("rename_from", first);
                tell("rename_to", second);
            }
            "COPY" if self.wrote => {
                replaced(second).into_iter().for_each(|key| tell("new", key));
                tell("copy_to", second);
            }
            "RESTORE" => {
                replaced(first).into_iter().for_each(|key| tell("new", key));
                if stays(first) {
                    tell("restore", first);
                }
            }
            "LPUSH" | "LPUSHX" => if_so(counted, "lpush"),
            "RPUSH" | "RPUSHX" => if_so(counted, "rpush"),
            "LINSERT" => if_so(counted, "linsert"),
            "LSET" => if_so(self.wrote, "lset"),
            "LREM" => if_so(counted, "lrem"),
            "LTRIM" => if_so(self.of(first).is_some_and(|changed| changed.before.kind.is_some()), "ltrim"),
            "LPOP" => if_so(self.wrote, "lpop"),
            "RPOP" => if_so(self.wrote, "rpop"),
            "LMPOP" | "ZMPOP" => {
                let event = match name {
                    "ZMPOP" if self.has_word(3, &["MIN"]) => "zpopmin",
                    "ZMPOP" => "zpopmax",
                    _ if self.has_word(3, &["LEFT"]) => "lpop",
                    _ => "rpop",
                };
                self.keys.iter().filter(|changed| lost(changed.key)).for_each(|changed| tell(event, changed.key));
            }
            "RPOPLPUSH" if self.wrote => {
                tell("lpush", second);
                tell("rpop", first);
            }
            "LMOVE" if self.wrote => {
                tell(self.end(4, "lpush", "rpush"), second);
                tell(self.end(3, "lpop", "rpop"), first);
            }
            "SADD" => if_so(counted, "sadd"),
            "SREM" => if_so(counted, "srem"),
            "SPOP" => if_so(self.wrote, "spop"),
            "SMOVE" if self.wrote => {
                tell("srem", first);
                if self.of(second).is_some_and(|changed| changed.after.cells > changed.before.cells) {
                    tell("sadd", second);
                }
            }
            "HSET" | "HMSET" => if_so(true, "hset"),
            "HSETNX" => if_so(counted, "hset"),
            "HDEL" => if_so(counted, "hdel"),
            "HINCRBY" => if_so(true, "hincrby"),
            "HINCRBYFLOAT" => if_so(true, "hincrbyfloat"),
            "ZADD" | "GEOADD" => if_so(self.wrote, if self.has_word(2, &["INCR"]) { "zincr" } else { "zadd" }),
            "ZINCRBY" => if_so(true, "zincr"),
            "ZREM" => if_so(counted, "zrem"),
            "ZREMRANGEBYSCORE" => if_so(counted, "zremrangebyscore"),
            "ZREMRANGEBYRANK" => if_so(counted, "zremrangebyrank"),
            "ZREMRANGEBYLEX" => if_so(counted, "zremrangebylex"),
            "ZPOPMIN" => if_so(self.wrote, "zpopmin"),
            "ZPOPMAX" => if_so(self.wrote, "zpopmax"),
            "XADD" => {
                if_so(self.wrote, "xadd");
                let trims = |changed: &Changed<'_>| changed.after.cells <= changed.before.cells;
                if_so(self.wrote && self.of(first).is_some_and(trims), "xtrim");
            }
            "XDEL" => if_so(counted, "xdel"),
            "XTRIM" => if_so(counted, "xtrim"),
            "DOT.DEL" if lost(first) => {
                let before = self.of(first).and_then(|changed| changed.before.kind);
                before.and_then(removal).into_iter().for_each(|event| tell(event, first));
            }
            "DOT.RESOLVE" | "DOT.SET" if self.wrote => {
                let is_field = self.of(first).is_some_and(|changed| changed.after.kind == Some(CellKind::Field));
                tell(if is_field { "hset" } else { "set" }, first);
            }
            _ => {}
        }
    }
}
