//! Streams: a cell per entry, in the order of their ids. What is added at once on two sides of a partition is all kept; an
//! entry that comes late stands where its id says, and `DOT.XREAD` shows it all the same.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crdt::reading;
use replica::{Answer, ByteString, CellKind, CellState, Context, Found, Keys, Operation, Read, Request, Start, Write};
use tokio::time::{Instant, timeout_at};

use crate::command::blocking::{AGAIN, AGAIN_IF_SEEN, sees_all};
use crate::command::refusal::{Done, Refused};
use crate::command::requests::request_with;
use crate::command::values::of_kind;
use crate::command::{
    Arguments, Command, IN_TURN, KeyPlaces, ONE_KEY, READ_FAST, READ_IN_TURN, REMOVE, REMOVE_FAST, SECOND, WRITE_FAST,
    check_name, check_value, here, read_kind, refusal, request, there,
};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::seen::Seen;
use crate::session::{Quorums, Session};
use crate::stream::{EntryId, pack, unpack};

const GROUP: &str = "stream";
/// How many entries are asked for at once.
const PAGE_ENTRIES: u32 = 1_000;

pub(super) static COMMANDS: &[Command] = &[
    there(
        "XADD",
        -5,
        WRITE_FAST,
        ONE_KEY,
        GROUP,
        "Adds an entry behind the last; on two sides of a partition both.",
        xadd,
    ),
    there("XTRIM", -4, REMOVE, ONE_KEY, GROUP, "Removes the oldest entries.", xtrim),
    there("XDEL", -3, REMOVE_FAST, ONE_KEY, GROUP, "Removes entries.", xdel),
    here("XLEN", 2, READ_FAST, ONE_KEY, GROUP, "How many entries.", xlen),
    here("XRANGE", -4, READ_IN_TURN, ONE_KEY, GROUP, "Entries from one id to another.", xrange),
    here("XREVRANGE", -4, READ_IN_TURN, ONE_KEY, GROUP, "Entries from one id down to another.", xrevrange),
    here(
        "XREAD",
        -4,
        &["readonly", "blocking", "movablekeys", IN_TURN],
        KeyPlaces::Streams,
        GROUP,
        "Entries behind an id, of several streams; may wait for some.",
        xread,
    ),
    here("XINFO", -3, READ_IN_TURN, SECOND, GROUP, "STREAM key: how long it is, its first and its last entry.", xinfo),
    here(
        "DOT.XREAD",
        3,
        &["readonly", "noscript", IN_TURN],
        ONE_KEY,
        "dot",
        "key cursor: entries the cursor has not seen, wherever they stand, and the next cursor.",
        dot_xread,
    ),
];

fn invalid_id() -> Reply {
    Reply::error("ERR Invalid stream ID specified as stream command argument")
}

/// Entries that a cell shows: one, unless two sides of a partition were told to use the same id.
fn shown(id: EntryId, cell: &CellState) -> std::vec::IntoIter<Reply> {
    shown_but(id, cell, &Context::new())
}

/// The same, but for those that were seen.
fn shown_but(id: EntryId, cell: &CellState, seen: &Context) -> std::vec::IntoIter<Reply> {
    let siblings: Vec<Reply> = reading::siblings(&cell.live)
        .into_iter()
        .filter(|sibling| !seen.contains(sibling.dot))
        .filter_map(|sibling| {
            let fields = unpack(&sibling.value)?.into_iter().map(|part| Reply::bulk(part.0)).collect();
            Some(Reply::Array(vec![Reply::bulk(id.to_string()), Reply::Array(fields)]))
        })
        .collect();
    siblings.into_iter()
}

/// Entries found, in the order of their ids.
fn entries(found: &Found) -> impl DoubleEndedIterator<Item = (EntryId, &CellState)> {
    let all: Vec<_> =
        found.of(CellKind::Entry).filter_map(|(name, cell)| Some((EntryId::from_name(name)?, cell))).collect();
    all.into_iter()
}

// Adding and removing

/// Which entries are to go.
#[derive(Clone, Copy)]
enum Trim {
    /// All but so many.
    MaxLen(u64),
    /// Those before this one.
    MinId(EntryId),
}

/// `MAXLEN|MINID [=|~] threshold [LIMIT count]` from a place on; the place behind it, and how many may go at most.
fn trim_options(arguments: &Arguments<'_>, at: usize) -> Result<(Trim, u64, usize), Refused> {
    let (mut next, mut is_about) = (at + 1, false);
    if next + 1 < arguments.len() && (arguments.is(next, "=") || arguments.is(next, "~")) {
        is_about = arguments.is(next, "~");
        next += 1;
    }
    if next >= arguments.len() {
        return Err(Reply::syntax_error().into());
    }
    let trim = if arguments.is(at, "MAXLEN") {
        let count = arguments.integer(next)?;
        Trim::MaxLen(u64::try_from(count).map_err(|_| Reply::error("ERR The MAXLEN argument must be >= 0."))?)
    } else {
        Trim::MinId(EntryId::parse(arguments.get(next), 0).ok_or_else(invalid_id)?)
    };
    next += 1;
    let mut limit = u64::MAX;
    if arguments.is(next.min(arguments.len() - 1), "LIMIT") && next + 1 < arguments.len() {
        if !is_about {
            return Err(Reply::error("ERR syntax error, LIMIT cannot be used without the special ~ option").into());
        }
        let count = arguments.integer(next + 1)?;
        let count = u64::try_from(count).map_err(|_| Reply::error("ERR The LIMIT argument must be >= 0."))?;
        limit = if count == 0 { u64::MAX } else { count };
        next += 2;
    }
    Ok((trim, limit, next))
}

fn length(keys: &Keys<'_, '_>, key: &[u8]) -> Result<u64, Refused> {
    Ok(of_kind(keys, key, CellKind::Entry, &Read::Summary)?.counts.of(CellKind::Entry))
}

fn trim(keys: &mut Keys<'_, '_>, key: &[u8], what: Trim, limit: u64) -> Result<u64, Refused> {
    let surplus = match what {
        Trim::MaxLen(most) => length(keys, key)?.saturating_sub(most),
        Trim::MinId(_) => u64::MAX,
    };
    let (most, mut names) = (surplus.min(limit), Vec::new());
    if most > 0 {
        keys.walk(key, CellKind::Entry, Start::First, &mut |name, _| {
            if let (Trim::MinId(least), Some(id)) = (what, EntryId::from_name(name))
                && id >= least
            {
                return ControlFlow::Break(());
            }
            names.push(ByteString::from(name));
            if names.len() as u64 == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    let count = names.len() as u64;
    if count > 0 {
        keys.write(key, &Write::Remove(CellKind::Entry, names))?;
    }
    Ok(count)
}

fn last_id(keys: &Keys<'_, '_>, key: &[u8]) -> Result<Option<EntryId>, Refused> {
    let mut last = None;
    keys.walk(key, CellKind::Entry, Start::Last, &mut |name, _| {
        last = EntryId::from_name(name);
        ControlFlow::Break(())
    })?;
    Ok(last)
}

fn xadd(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, mut at, mut makes, mut trimming) = (arguments.get(1), 2, true, None);
    while at < arguments.len() {
        if arguments.is(at, "NOMKSTREAM") {
            (makes, at) = (false, at + 1);
        } else if arguments.is(at, "MAXLEN") || arguments.is(at, "MINID") {
            if trimming.is_some() {
                let text = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
                return Err(Reply::error(text).into());
            }
            let (what, limit, next) = trim_options(arguments, at)?;
            (trimming, at) = (Some((what, limit)), next);
        } else {
            break;
        }
    }
    let fields: Vec<ByteString> = arguments.skip(at + 1).map(ByteString::from).collect();
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(Reply::wrong_number_of_arguments("xadd").into());
    }
    let packed = pack(&fields);
    check_value(node, &packed)?;
    let count = length(keys, key)?;
    if count == 0 && !makes {
        return Ok(Reply::Null);
    }
    // Of a stream without entries, only what was removed would be passed by.
    let last = if count == 0 { None } else { last_id(keys, key)? };
    let among = (node.view().members.current().count() > 1).then_some(node.id);
    let text = arguments.get(at);
    let full = || Reply::error("ERR The stream has exhausted the last possible ID, unable to add more items");
    let too_small = || Reply::error("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    let id = if text == b"*" {
        let ms = last.map_or(0, |last| last.ms).max(keys.now_ms());
        EntryId::after(last, ms, among).ok_or_else(full)?
    } else if let Some(ms) = text.strip_suffix(b"-*") {
        let ms = EntryId::parse(ms, 0).filter(|_| !ms.contains(&b'-')).ok_or_else(invalid_id)?.ms;
        EntryId::after(last, ms, among).ok_or_else(too_small)?
    } else {
        EntryId::parse(text, 0).ok_or_else(invalid_id)?
    };
    if id == EntryId::MIN {
        return Err(Reply::error("ERR The ID specified in XADD must be greater than 0-0").into());
    }
    if last.is_some_and(|last| id <= last) {
        return Err(too_small().into());
    }
    keys.write(key, &Write::Put(CellKind::Entry, vec![(id.name(), ByteString(packed))]))?;
    if let Some((what, limit)) = trimming {
        trim(keys, key, what, limit)?;
    }
    Ok(Reply::bulk(id.to_string()))
}

fn xtrim(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    if !arguments.is(2, "MAXLEN") && !arguments.is(2, "MINID") {
        return Err(Reply::syntax_error().into());
    }
    let (what, limit, next) = trim_options(arguments, 2)?;
    if next < arguments.len() {
        return Err(Reply::syntax_error().into());
    }
    length(keys, arguments.get(1))?;
    Ok(Reply::Integer(trim(keys, arguments.get(1), what, limit)? as i64))
}

fn xdel(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, _: &Arc<Node>) -> Done {
    let ids: Option<Vec<EntryId>> = arguments.skip(2).map(|id| EntryId::parse(id, 0)).collect();
    let ids = ids.ok_or_else(invalid_id)?;
    let key = arguments.get(1);
    if length(keys, key)? == 0 {
        return Ok(Reply::Integer(0));
    }
    let names = ids.into_iter().map(EntryId::name).collect();
    Ok(Reply::Integer(keys.write(key, &Write::Remove(CellKind::Entry, names))?.changed as i64))
}

// Reading

fn xlen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    read_kind(session, node, arguments.get(1), Read::Summary, CellKind::Entry, |found| {
        Reply::Integer(found.counts.of(CellKind::Entry) as i64)
    })
}

/// Entries between two ids, both included, one page after the other.
struct Ranging {
    key: Vec<u8>,
    quorums: Quorums,
    from: EntryId,
    upto: EntryId,
    is_back: bool,
    /// How many more are wanted.
    wanted: u64,
    shown: Vec<Reply>,
}

impl Ranging {
    fn ask(mut self, node: &Arc<Node>) -> Step {
        if self.wanted == 0 || self.from > self.upto {
            return Reply::Array(self.shown).into();
        }
        let count = u32::try_from(self.wanted).unwrap_or(u32::MAX).min(PAGE_ENTRIES);
        let name = |id: Option<EntryId>| id.map(EntryId::name);
        let read = if self.is_back {
            Read::Before { kind: CellKind::Entry, name: name(self.upto.next()), count }
        } else {
            Read::After { kind: CellKind::Entry, name: name(self.from.previous()), count }
        };
        let asked = request_with(self.quorums, node, &self.key, Operation::Read(read));
        Step::ask_one(asked, move |answer, node| {
            let found = match answer {
                Answer::Found(found) if found.kind.is_none_or(|kind| kind == CellKind::Entry) => found,
                Answer::Found(_) => return Reply::wrong_type().into(),
                other => return refusal(&other, node).into(),
            };
            let mut page: Vec<_> = entries(&found).collect();
            let is_last = page.len() < count as usize;
            if self.is_back {
                page.reverse();
            }
            for (id, cell) in &page {
                if self.wanted == 0 || !(self.from..=self.upto).contains(id) {
                    self.wanted = 0;
                    break;
                }
                if self.is_back {
                    self.shown.extend(shown(*id, cell).rev());
                } else {
                    self.shown.extend(shown(*id, cell));
                }
                self.wanted -= 1;
            }
            let reached = page.last().map(|(id, _)| *id).filter(|_| !is_last);
            match reached.and_then(|id| if self.is_back { id.previous() } else { id.next() }) {
                Some(beyond) if self.is_back => self.upto = beyond,
                Some(beyond) => self.from = beyond,
                None => return Reply::Array(self.shown).into(),
            }
            self.ask(node)
        })
    }
}

fn xrange(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    range(arguments, session, node, false).unwrap_or_else(|refused| refused.at_once(node))
}

fn xrevrange(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    range(arguments, session, node, true).unwrap_or_else(|refused| refused.at_once(node))
}

fn range(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, is_back: bool) -> Result<Step, Refused> {
    let (from, upto) = if is_back { (3, 2) } else { (2, 3) };
    let (from, upto) = (bound(arguments.get(from), 0)?, bound(arguments.get(upto), u64::MAX)?);
    let wanted = match arguments.len() {
        4 => u64::MAX,
        6 if arguments.is(4, "COUNT") => match u64::try_from(arguments.integer(5)?).unwrap_or(0) {
            0 => return Ok(Reply::NullArray.into()),
            count => count,
        },
        _ => return Err(Reply::syntax_error().into()),
    };
    let key = arguments.get(1).to_vec();
    check_name(node, &key)?;
    Ok(Ranging { key, quorums: session.quorums, from, upto, is_back, wanted, shown: Vec::new() }.ask(node))
}

/// `-`, `+`, an id, or an id that is not meant itself. A first one without a number begins with its millisecond, a last one ends
/// with it.
fn bound(text: &[u8], seq: u64) -> Result<EntryId, Refused> {
    match text {
        b"-" => Ok(EntryId::MIN),
        b"+" => Ok(EntryId::MAX),
        [b'(', id @ ..] => {
            let id = EntryId::parse(id, seq).ok_or_else(invalid_id)?;
            let (inner, which) = if seq == 0 { (id.next(), "start") } else { (id.previous(), "end") };
            Ok(inner.ok_or_else(|| Reply::error(format!("ERR invalid {which} ID for the interval")))?)
        }
        id => Ok(EntryId::parse(id, seq).ok_or_else(invalid_id)?),
    }
}

/// A stream, and behind which of its ids; nothing: behind the last there is.
type From = (Vec<u8>, Option<EntryId>);

/// What XREAD was asked for.
struct Reading {
    streams: Vec<From>,
    count: u32,
    quorums: Quorums,
}

impl Reading {
    fn requests(&self, node: &Node) -> Vec<Request> {
        let request = |(key, id): &From| {
            let kind = CellKind::Entry;
            let read = match id {
                Some(id) => Read::After { kind, name: Some(id.name()), count: self.count },
                None => Read::Before { kind, name: None, count: 1 },
            };
            request_with(self.quorums, node, key, Operation::Read(read))
        };
        self.streams.iter().map(request).collect()
    }

    /// What there is, and where the streams end of which only that was asked; an error in its place.
    fn take(&mut self, answers: &[Answer], node: &Node) -> Result<Vec<(Reply, Reply)>, Reply> {
        let mut read = Vec::new();
        for ((key, id), answer) in self.streams.iter_mut().zip(answers) {
            let found = match answer {
                Answer::Found(found) if found.kind.is_none_or(|kind| kind == CellKind::Entry) => found,
                Answer::Found(_) => return Err(Reply::wrong_type()),
                other => return Err(refusal(other, node)),
            };
            if id.is_none() {
                *id = Some(entries(found).next_back().map_or(EntryId::MIN, |(id, _)| id));
                continue;
            }
            let entries: Vec<Reply> = entries(found).flat_map(|(id, cell)| shown(id, cell)).collect();
            if !entries.is_empty() {
                read.push((Reply::copied(key), Reply::Array(entries)));
            }
        }
        Ok(read)
    }
}

fn xread(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (reading, block_ms) = match reading(arguments, session, node) {
        Ok(reading) => reading,
        Err(refused) => return refused.at_once(node),
    };
    let deadline = block_ms.filter(|ms| *ms > 0).map(|ms| Instant::now() + Duration::from_millis(ms));
    let waits = block_ms.is_some() && session.has_connection();
    let seen = session.seen.clone();
    let mut reading = reading;
    Step::Ask(
        reading.requests(node),
        Box::new(move |answers, node| match reading.take(&answers, node) {
            Err(refused) => refused.into(),
            Ok(read) if !read.is_empty() => Reply::Keyed(read).into(),
            Ok(_) if waits => {
                let node = Arc::clone(node);
                Step::Wait(Box::pin(async move { wait(reading, deadline, seen.as_ref(), &node).await }))
            }
            Ok(_) => Reply::NullArray.into(),
        }),
    )
}

fn reading(arguments: &Arguments<'_>, session: &Session, node: &Node) -> Result<(Reading, Option<u64>), Refused> {
    let (mut at, mut count, mut block_ms) = (1, PAGE_ENTRIES, None);
    while at < arguments.len() && !arguments.is(at, "STREAMS") {
        if at + 1 >= arguments.len() {
            return Err(Reply::syntax_error().into());
        }
        if arguments.is(at, "COUNT") {
            let given = arguments.integer(at + 1)?;
            count = u32::try_from(given).ok().filter(|count| *count > 0).unwrap_or(u32::MAX);
        } else if arguments.is(at, "BLOCK") {
            let ms = parse_integer(arguments.get(at + 1));
            let ms = ms.ok_or_else(|| Reply::error("ERR timeout is not an integer or out of range"))?;
            block_ms = Some(u64::try_from(ms).map_err(|_| Reply::error("ERR timeout is negative"))?);
        } else {
            return Err(Reply::syntax_error().into());
        }
        at += 2;
    }
    let rest = arguments.len().saturating_sub(at + 1);
    if rest == 0 {
        return Err(Reply::syntax_error().into());
    }
    if rest % 2 == 1 {
        let text = "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.";
        return Err(Reply::error(text).into());
    }
    let mut streams = Vec::with_capacity(rest / 2);
    for place in at + 1..at + 1 + rest / 2 {
        let (key, id) = (arguments.get(place), arguments.get(place + rest / 2));
        check_name(node, key)?;
        let id = if id == b"$" { None } else { Some(EntryId::parse(id, 0).ok_or_else(invalid_id)?) };
        streams.push((key.to_vec(), id));
    }
    Ok((Reading { streams, count, quorums: session.quorums }, block_ms))
}

async fn wait(mut reading: Reading, deadline: Option<Instant>, seen: Option<&Seen>, node: &Arc<Node>) -> Reply {
    let keys: Vec<Vec<u8>> = reading.streams.iter().map(|(key, _)| key.clone()).collect();
    let waiting = node.waiting_clients.enter(&keys);
    loop {
        let asked: Vec<_> = reading.requests(node).into_iter().map(|request| Seen::ask(seen, node, request)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.push(answer.await);
        }
        match reading.take(&answers, node) {
            Err(refused) => return refused,
            Ok(read) if !read.is_empty() => return Reply::Keyed(read),
            Ok(_) => {}
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Reply::NullArray;
        }
        let again = Instant::now() + if sees_all(&keys, node) { AGAIN_IF_SEEN } else { AGAIN };
        // Whoever is woken at the last moment looks once more.
        let _ = timeout_at(deadline.map_or(again, |deadline| deadline.min(again)), waiting.changed()).await;
    }
}

fn xinfo(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if !arguments.is(1, "STREAM") || arguments.len() != 3 {
        return Reply::error(format!("ERR XINFO {} is not there: XINFO STREAM key is", arguments.text(1))).into();
    }
    let key = arguments.get(2);
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    let kind = CellKind::Entry;
    let reads = [Read::After { kind, name: None, count: 1 }, Read::Before { kind, name: None, count: 1 }];
    let requests = reads.map(|read| request(session, node, key, Operation::Read(read)));
    Step::ask_all(requests.into(), |answers, node| {
        let [Answer::Found(first), Answer::Found(last)] = &answers[..] else {
            return answers
                .iter()
                .find(|answer| matches!(answer, Answer::Failed(_)))
                .map_or(Reply::Null, |answer| refusal(answer, node));
        };
        match last.kind {
            None => return Reply::error("ERR no such key"),
            Some(kind) if kind != CellKind::Entry => return Reply::wrong_type(),
            Some(_) => {}
        }
        let id = entries(last).next_back().map_or(EntryId::MIN, |(id, _)| id);
        let entry = |found: &Found| entries(found).next().and_then(|(id, cell)| shown(id, cell).next());
        Reply::map([
            (Reply::copied(b"length"), Reply::Integer(last.counts.of(CellKind::Entry) as i64)),
            (Reply::copied(b"last-generated-id"), Reply::bulk(id.to_string())),
            (Reply::copied(b"groups"), Reply::Integer(0)),
            (Reply::copied(b"first-entry"), entry(first).unwrap_or(Reply::Null)),
            (Reply::copied(b"last-entry"), entry(last).unwrap_or(Reply::Null)),
        ])
    })
}

/// The cursor is a session's text and a mark of the key: all that was seen of the partition, so that an entry that comes late is news wherever it
/// stands. O(entries).
fn dot_xread(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (key, cursor) = (arguments.get(1), Seen::default());
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    if !session.has_connection() {
        return Reply::error("ERR DOT.XREAD is for a connection, not for a script or a transaction").into();
    }
    let mark = format!(".{:08x}", crc32fast::hash(key));
    if let Err(why) = go_on(&cursor, arguments.get(2), mark.as_bytes()) {
        return Reply::error(format!("BADCONTEXT {why}")).into();
    }
    let mut asked = request(session, node, key, Operation::Read(Read::All));
    cursor.demand(&mut asked);
    let (before, partition) = (asked.session.clone().unwrap_or_default(), asked.partition);
    Step::ask_one(asked, move |answer, node| {
        cursor.learn(partition, &answer);
        let found = match &answer {
            Answer::Found(found) if found.kind.is_none_or(|kind| kind == CellKind::Entry) => found,
            Answer::Found(_) => return Reply::wrong_type().into(),
            other => return refusal(other, node).into(),
        };
        let entries = entries(found).flat_map(|(id, cell)| shown_but(id, cell, &before)).collect();
        match cursor.to_text() {
            Ok(text) => Reply::map([
                (Reply::copied(b"cursor"), Reply::bulk(text + &mark)),
                (Reply::copied(b"entries"), Reply::Array(entries)),
            ])
            .into(),
            Err(why) => Reply::error(format!("ERR {why}")).into(),
        }
    })
}

/// Takes a cursor in: the text of what was seen, and the mark of its key.
fn go_on(cursor: &Seen, text: &[u8], mark: &[u8]) -> Result<(), String> {
    match text.strip_suffix(mark) {
        _ if text == b"-" => Ok(()),
        Some(text) => cursor.join_text(text),
        None => Err("this is no cursor of this stream".to_owned()),
    }
}
