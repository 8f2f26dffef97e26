//! What concurrency did, to be seen and steered: siblings, contexts, conflicts, quorums, faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crdt::reading;
use replica::{
    Answer, ByteString, CellId, CellKind, CellState, Found, Keys, Medium, NodeId, Observed, Operation, Part,
    QuorumKind, Read, Receipt, View, Write,
};
use tokio::time::{Instant, timeout_at};

use crate::command::arguments::parse_float;
use crate::command::blocking::AGAIN;
use crate::command::expiry::{Deadline, put_deadline};
use crate::command::keys::Walk;
use crate::command::refusal::Done;
use crate::command::requests::call;
use crate::command::values::of_kind;
use crate::command::{
    Arguments, Command, IN_TURN, KeyPlaces, NO_KEYS, ONE_KEY, WRITE, check_name, check_value, everywhere, explain,
    here, modes, read, refusal, request, run_unseen, there,
};
use crate::fault::Faults;
use crate::gather::Step;
use crate::merges::dot_name;
use crate::node::Node;
use crate::peer;
use crate::resp::{Reply, parse_integer};
use crate::seen::Seen;
use crate::session::{Quorums, Session};
use crate::token;
use crate::worker::ToWorker;

pub(super) static COMMANDS: &[Command] = &[
    here(
        "DOT.GET",
        -2,
        &["readonly"],
        ONE_KEY,
        "dot",
        "key [FIELD f | MEMBER m]: the siblings, and the context to replace them with.",
        get,
    ),
    here(
        "DOT.SET",
        -4,
        &["write", "denyoom"],
        ONE_KEY,
        "dot",
        "key context value [ALSO n value ..] [FIELD f] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] [IFCURRENT]: replaces exactly what the context has seen.",
        set,
    )
    .and_there(set_there),
    here(
        "DOT.DEL",
        -3,
        &["write"],
        ONE_KEY,
        "dot",
        "key context [FIELD f | MEMBER m]: removes exactly what the context has seen.",
        del,
    ),
    there(
        "DOT.RESOLVE",
        -3,
        WRITE,
        ONE_KEY,
        "dot",
        "key PICK n | LWW | MIN | MAX | VALUE v [FIELD f]: decides between the siblings there are.",
        resolve,
    ),
    here(
        "DOT.POLL",
        -4,
        &["readonly", "noscript", "blocking", IN_TURN],
        ONE_KEY,
        "dot",
        "key context ms [FIELD f | MEMBER m]: waits for something the context has not seen.",
        poll,
    ),
    here(
        "DOT.CONFLICTS",
        -2,
        &["readonly", IN_TURN],
        NO_KEYS,
        "dot",
        "cursor [MATCH p] [COUNT n]: keys with siblings or several types.",
        conflicts,
    ),
    here("DOT.EXPLAIN", 2, &["readonly"], ONE_KEY, "dot", "key: its owners, and where each stands.", explain::run),
    here(
        "DOT.ENTROPY",
        1,
        &["readonly", "admin"],
        NO_KEYS,
        "dot",
        "What this node and each other lack of one another, in events.",
        entropy,
    ),
    here(
        "DOT.SCRUB",
        1,
        &["admin"],
        NO_KEYS,
        "dot",
        "Reads everything this node has, in the background, and sets right what is damaged.",
        scrub,
    ),
    here(
        "DOT.WITH",
        -3,
        &["movablekeys"],
        KeyPlaces::Inner,
        "dot",
        "[R n] [W n] [PR n] [PW n] [DW n] [STRICT|SLOPPY] [MONOTONIC] [TIMEOUT ms] [RECEIPT] command ..: with so many nodes; without a command, for this connection.",
        with,
    ),
    here(
        "DOT.SESSION",
        -1,
        &["fast", IN_TURN],
        NO_KEYS,
        "dot",
        "[token | OFF]: from now on nothing older is answered than this connection, or whoever gave it the token, has seen.",
        keep_session,
    ),
    here(
        "DOT.MODE",
        -1,
        &["fast", IN_TURN],
        NO_KEYS,
        "dot",
        "[OFF | PUSH | ATTR | STRICT]: contexts and siblings told before each reply about a string, or no such reply where there are any.",
        modes::mode,
    ),
    here(
        "DOT.FAULT",
        -2,
        &["admin"],
        NO_KEYS,
        "dot",
        "CUT node .. | HEAL | DELAY ms | DROP percent | LIST: demo and tests only.",
        fault,
    ),
];

/// `[FIELD f | MEMBER m]` and whatever else a command takes.
struct Options {
    cell: CellId,
    also: Vec<ByteString>,
    if_current: bool,
    lifetime: Option<Lifetime>,
}

/// What a command says of how long a key lives.
#[derive(Clone, Copy)]
enum Lifetime {
    /// As long as the argument at this place says.
    Ends(Deadline, usize),
    /// As long as it was to.
    Stays,
}

impl Options {
    /// The cell, for commands that take nothing else.
    fn only_cell(self) -> Result<CellId, Reply> {
        let is_plain = self.also.is_empty() && !self.if_current && self.lifetime.is_none();
        if is_plain { Ok(self.cell) } else { Err(Reply::syntax_error()) }
    }
}

fn options(arguments: &Arguments<'_>, from: usize, node: &Node) -> Result<Options, Reply> {
    let mut options = Options { cell: CellId::value(), also: Vec::new(), if_current: false, lifetime: None };
    let mut at = from;
    while at < arguments.len() {
        let follows = arguments.len() - at - 1;
        if arguments.is(at, "FIELD") && follows > 0 {
            options.cell = CellId::field(arguments.get(at + 1));
            at += 2;
        } else if arguments.is(at, "MEMBER") && follows > 0 {
            options.cell = CellId::member(arguments.get(at + 1));
            at += 2;
        } else if arguments.is(at, "IFCURRENT") {
            options.if_current = true;
            at += 1;
        } else if arguments.is(at, "ALSO") && follows > 0 {
            let count = parse_integer(arguments.get(at + 1)).and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count < follows).ok_or_else(Reply::syntax_error)?;
            options.also = (at + 2..at + 2 + count).map(|at| ByteString::from(arguments.get(at))).collect();
            at += 2 + count;
        } else if options.lifetime.is_some() {
            return Err(Reply::syntax_error());
        } else if arguments.is(at, "KEEPTTL") {
            options.lifetime = Some(Lifetime::Stays);
            at += 1;
        } else {
            let deadline = Deadline::of_word(&arguments.word(at)).filter(|_| follows > 0);
            options.lifetime = Some(Lifetime::Ends(deadline.ok_or_else(Reply::syntax_error)?, at + 1));
            at += 2;
        }
    }
    check_name(node, &options.cell.name)?;
    options.also.iter().try_for_each(|value| check_value(node, &value.0))?;
    Ok(options)
}

fn get(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let cell = match options(arguments, 2, node).and_then(Options::only_cell) {
        Ok(cell) => cell,
        Err(refused) => return refused.into(),
    };
    let (key, shared) = (arguments.get(1).to_vec(), Arc::clone(node));
    let what = Read::Cells(vec![cell.clone()]);
    read(session, node, arguments.get(1), what, move |found| seen(&found, &key, &cell, &shared))
}

/// The siblings of a cell under their context.
pub(super) fn seen(found: &Found, key: &[u8], cell: &CellId, node: &Node) -> Reply {
    let Some(state) = found.cell(cell) else {
        let named = if cell.kind == CellKind::Value { found.kind } else { None };
        return match named {
            Some(kind) if kind != CellKind::Value => Reply::wrong_type(),
            _ => answer(Reply::Null, Vec::new()),
        };
    };
    let context = state.live.dots().copied().collect();
    let observed = Observed { context, seen: reading::tallies(&state.live).reset() };
    answer(token::seal(&observed, key, cell), siblings(&state.live, cell, node))
}

fn answer(context: Reply, siblings: Vec<Reply>) -> Reply {
    Reply::map([(Reply::copied(b"context"), context), (Reply::copied(b"siblings"), Reply::Array(siblings))])
}

fn siblings(live: &replica::Cell, cell: &CellId, node: &Node) -> Vec<Reply> {
    let view = node.view();
    let describe = |value: Reply, dot: &replica::Dot, at: crdt::Hlc| {
        Reply::map([
            (Reply::copied(b"value"), value),
            (Reply::copied(b"dot"), Reply::bulk(dot_name(dot, &view))),
            (Reply::copied(b"node"), Reply::bulk(view.name(dot.actor.node))),
            (Reply::copied(b"at"), Reply::Integer(at.millis() as i64)),
        ])
    };
    if cell.kind == CellKind::Member {
        let adds = live.iter().filter(|(_, entry)| entry.content == crdt::Content::Member);
        return adds.map(|(dot, entry)| describe(Reply::copied(&cell.name), dot, entry.at)).collect();
    }
    let found = reading::siblings(live).into_iter();
    found.map(|sibling| describe(Reply::bulk(sibling.value.into_owned()), sibling.dot, sibling.at)).collect()
}

fn set(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match Setting::parse(arguments, node) {
        // A value and how long it lives are one batch, where the key is.
        Ok(Setting { expires: Some(_), .. }) => call(arguments, session, node),
        Ok(Setting { cell, write, .. }) => write_cell(arguments.get(1), cell, write, session, node),
        Err(refused) => refused.into(),
    }
}

/// What DOT.SET is to write.
struct Setting {
    cell: CellId,
    write: Write,
    expires: Option<(Deadline, usize)>,
}

impl Setting {
    fn parse(arguments: &Arguments<'_>, node: &Node) -> Result<Self, Reply> {
        check_value(node, arguments.get(3))?;
        let Options { cell, also, if_current, lifetime } = options(arguments, 4, node)?;
        if cell.kind == CellKind::Member {
            return Err(Reply::error("ERR a member has no value: SADD adds it, DOT.DEL with MEMBER removes it"));
        }
        let expires = match lifetime {
            Some(Lifetime::Ends(deadline, at)) => Some((deadline, at)),
            Some(Lifetime::Stays) | None => None,
        };
        if expires.is_some() && cell.kind == CellKind::Field {
            return Err(Reply::error("ERR a field does not end by itself: EXPIRE says how long its hash lives"));
        }
        let observed = Box::new(token::unseal(arguments.get(2), arguments.get(1), &cell)?);
        let values = std::iter::once(ByteString::from(arguments.get(3))).chain(also).collect();
        let write = match if_current {
            true => Write::PutIfCurrent(cell.clone(), values, observed),
            false => Write::PutObserved(cell.clone(), values, observed),
        };
        Ok(Self { cell, write, expires })
    }
}

fn set_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let key = arguments.get(1);
    let Setting { cell, write, expires } = Setting::parse(arguments, node)?;
    let ends_ms = match expires {
        Some((deadline, at)) => Some(deadline.parse(arguments, at, keys.now_ms(), "dot.set")?),
        None => None,
    };
    let written = keys.write(key, &write)?;
    if let Some(ends_ms) = ends_ms {
        put_deadline(keys, key, ends_ms)?;
        keys.note(key, "expire");
    }
    Ok(Reply::Array(vec![token::seal(&written.own, key, &cell), Reply::Integer(written.siblings as i64)]))
}

/// For people at a prompt: replaces all siblings the coordinator sees with one value.
fn resolve(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let (key, how) = (arguments.get(1), arguments.word(2));
    let takes = if how == "PICK" || how == "VALUE" { 1 } else { 0 };
    let cell = match arguments.len() - (3 + takes).min(arguments.len()) {
        0 => CellId::value(),
        2 if arguments.is(3 + takes, "FIELD") => CellId::field(arguments.get(4 + takes)),
        _ => return Err(Reply::syntax_error().into()),
    };
    check_name(node, &cell.name)?;
    let found = of_kind(keys, key, cell.kind, &Read::Cells(vec![cell.clone()]))?;
    let live = found.cell(&cell).map(|state| &state.live);
    let siblings: Vec<Vec<u8>> = live.map_or(Vec::new(), |live| {
        reading::siblings(live).into_iter().map(|sibling| sibling.value.into_owned()).collect()
    });
    if siblings.is_empty() {
        return Err(Reply::error("ERR no such key: there is nothing to decide").into());
    }
    let weigh = |value: &Vec<u8>| parse_float(value).unwrap_or(f64::NAN);
    let by_weight = |x: &&Vec<u8>, y: &&Vec<u8>| weigh(x).total_cmp(&weigh(y));
    let are_numbers = siblings.iter().all(|value| parse_float(value).is_some());
    let chosen = match how.as_str() {
        "LWW" => siblings.first(),
        "MIN" if are_numbers => siblings.iter().min_by(by_weight),
        "MAX" if are_numbers => siblings.iter().max_by(by_weight),
        "MIN" => siblings.iter().min(),
        "MAX" => siblings.iter().max(),
        "PICK" => {
            let place = usize::try_from(arguments.integer(3)?).ok().and_then(|place| place.checked_sub(1));
            let chosen = place.and_then(|place| siblings.get(place));
            let why =
                || Reply::error(format!("ERR PICK takes a number from 1 to {}, as DOT.GET lists them", siblings.len()));
            Some(chosen.ok_or_else(why)?)
        }
        "VALUE" => None,
        _ => return Err(Reply::syntax_error().into()),
    };
    let value = chosen.map_or(arguments.get(3), Vec::as_slice);
    let put = Write::Put(cell.kind, vec![(ByteString(cell.name.clone()), ByteString::from(value))]);
    let written = keys.write(key, &put)?;
    Ok(Reply::Array(vec![token::seal(&written.own, key, &cell), Reply::Integer(1)]))
}

/// Waits until the cell has something that the context has not seen, and shows it as DOT.GET does; nil if the time is over.
fn poll(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let cell = match options(arguments, 4, node).and_then(Options::only_cell) {
        Ok(cell) => cell,
        Err(refused) => return refused.into(),
    };
    let (key, waits) = (arguments.get(1).to_vec(), session.has_connection());
    let observed = match check_name(node, &key).and_then(|()| token::unseal(arguments.get(2), &key, &cell)) {
        Ok(observed) => observed,
        Err(refused) => return refused.into(),
    };
    let ms = parse_integer(arguments.get(3)).filter(|ms| (0..=86_400_000).contains(ms));
    let Some(ms) = ms else {
        return Reply::error("ERR DOT.POLL waits for 0 (for ever) to 86400000 milliseconds").into();
    };
    let deadline = (ms > 0).then(|| Instant::now() + Duration::from_millis(ms as u64));
    let asked = request(session, node, &key, Operation::Read(Read::Cells(vec![cell.clone()])));
    let (node, has_seen) = (Arc::clone(node), session.seen.clone());
    Step::Wait(Box::pin(async move {
        let waiting = node.waiting_clients.enter(std::slice::from_ref(&key));
        loop {
            let found = match Seen::ask(has_seen.as_ref(), &node, asked.clone()).await {
                Answer::Found(found) => found,
                other => return refusal(&other, &node),
            };
            let is_news = |state: &CellState| state.live.dots().any(|dot| !observed.context.contains(dot));
            if found.cell(&cell).is_some_and(is_news) {
                return seen(&found, &key, &cell, &node);
            }
            if !waits || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Reply::Null;
            }
            let again = Instant::now() + AGAIN;
            // Whoever is woken at the last moment looks once more.
            let _ = timeout_at(deadline.map_or(again, |deadline| deadline.min(again)), waiting.changed()).await;
        }
    }))
}

fn del(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let cell = match options(arguments, 3, node).and_then(Options::only_cell) {
        Ok(cell) => cell,
        Err(refused) => return refused.into(),
    };
    match token::unseal(arguments.get(2), arguments.get(1), &cell) {
        Ok(observed) => {
            let write = Write::RemoveObserved(cell.clone(), Box::new(observed));
            write_cell(arguments.get(1), cell, write, session, node)
        }
        Err(refused) => refused.into(),
    }
}

/// Answers with the context of this write alone, never of siblings its author has not read.
fn write_cell(key: &[u8], cell: CellId, write: Write, session: &Session, node: &Node) -> Step {
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    let (owned, last) = (key.to_vec(), session.last_write.clone());
    Step::ask_one(request(session, node, key, Operation::Write(write)), move |answer, node| match answer {
        Answer::Written(written) => {
            last.note([(owned.clone(), written.own.context.clone())]);
            let context = token::seal(&written.own, &owned, &cell);
            Reply::Array(vec![context, Reply::Integer(written.siblings as i64)]).into()
        }
        other => refusal(&other, node).into(),
    })
}

fn conflicts(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    match Walk::parse(arguments, true) {
        Ok(walk) => walk.step(1, request(session, node, b"", Operation::Count)),
        Err(refused) => refused.into(),
    }
}

/// What a node and this one lack of each other, in events, over all partitions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lack {
    /// Events it lacks, by its last word.
    pub(super) there: u64,
    /// Events it has that this node lacks.
    pub(super) here: u64,
    partitions: u64,
}

/// The same, per node.
pub(super) fn lacks(answers: &[Answer]) -> BTreeMap<NodeId, Lack> {
    let mut sums: BTreeMap<NodeId, Lack> = BTreeMap::new();
    for answer in answers {
        let Answer::Entropy(peers) = answer else { continue };
        for peer in peers {
            let lack = sums.entry(peer.node).or_default();
            lack.there = lack.there.saturating_add(peer.missing_there);
            lack.here = lack.here.saturating_add(peer.missing_here);
            lack.partitions += u64::from(peer.missing_there > 0 || peer.missing_here > 0);
        }
    }
    sums
}

fn entropy(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    Step::ask_all(everywhere(session, node, &Operation::Entropy), |answers, node| {
        let view = node.view();
        let described = lacks(&answers).into_iter().map(|(other, Lack { there, here, partitions })| {
            Reply::map([
                (Reply::copied(b"node"), Reply::bulk(view.name(other))),
                (Reply::copied(b"missing-there"), Reply::Integer(there as i64)),
                (Reply::copied(b"missing-here"), Reply::Integer(here as i64)),
                (Reply::copied(b"partitions-differing"), Reply::Integer(partitions as i64)),
            ])
        });
        Reply::Array(described.collect())
    })
}

fn scrub(_: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    node.scrubs.begin();
    for worker in 0..node.workers() {
        node.tell(worker, ToWorker::Event(replica::Event::Scrub));
    }
    Reply::ok().into()
}

/// What DOT.WITH was told, and where the inner command begins.
pub(super) struct With {
    pub(super) quorums: Quorums,
    pub(super) receipt: bool,
    pub(super) inner: usize,
}

pub(super) fn with_options(arguments: &Arguments<'_>) -> Result<With, Reply> {
    let (mut quorums, mut receipt, mut at) = (Quorums::default(), false, 1);
    while at < arguments.len() {
        let number = parse_integer(arguments.get(at + 1));
        let nodes = || {
            let number = number.and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=replica::MAX_REPLICAS).contains(n));
            let word = arguments.text(at).to_ascii_uppercase();
            number.map(Some).ok_or_else(|| Reply::error(format!("ERR {word} takes a number of nodes, 1 to 9")))
        };
        if arguments.is(at, "STRICT") {
            (quorums.kind, at) = (Some(QuorumKind::Strict), at + 1);
            continue;
        } else if arguments.is(at, "SLOPPY") {
            (quorums.kind, at) = (Some(QuorumKind::Sloppy), at + 1);
            continue;
        } else if arguments.is(at, "MONOTONIC") {
            (quorums.write_back, at) = (true, at + 1);
            continue;
        } else if arguments.is(at, "RECEIPT") {
            (receipt, at) = (true, at + 1);
            continue;
        } else if arguments.is(at, "R") {
            quorums.r = nodes()?;
        } else if arguments.is(at, "W") {
            quorums.w = nodes()?;
        } else if arguments.is(at, "PR") {
            quorums.pr = nodes()?;
        } else if arguments.is(at, "PW") {
            quorums.pw = nodes()?;
        } else if arguments.is(at, "DW") {
            quorums.dw = nodes()?;
        } else if arguments.is(at, "TIMEOUT") {
            let ms = number.and_then(|n| u32::try_from(n).ok()).filter(|ms| (1..=600_000).contains(ms));
            quorums.timeout_ms = Some(ms.ok_or_else(|| Reply::error("ERR TIMEOUT takes milliseconds, 1 to 600000"))?);
        } else {
            break;
        }
        at += 2;
    }
    Ok(With { quorums, receipt, inner: at })
}

/// The command within a DOT.WITH.
pub(super) fn inner<'a>(arguments: &Arguments<'a>) -> Option<Arguments<'a>> {
    if !arguments.is(0, "DOT.WITH") {
        return None;
    }
    with_options(arguments).ok().map(|with| arguments.after(with.inner))
}

fn with(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let With { quorums, receipt, inner } = match with_options(arguments) {
        Ok(with) => with,
        Err(refused) => return refused.into(),
    };
    if inner >= arguments.len() {
        if receipt {
            return Reply::error("ERR RECEIPT is of one command: DOT.WITH RECEIPT command ..").into();
        }
        session.quorums = quorums.or(session.quorums);
        return Reply::ok().into();
    }
    if arguments.is(inner, "DOT.WITH") {
        return Reply::error("ERR DOT.WITH does not nest").into();
    }
    let before = session.quorums;
    session.quorums = quorums.or(before);
    let step = run_unseen(&arguments.after(inner), session, node);
    session.quorums = before;
    if receipt { with_receipt(step, Vec::new()) } else { step }
}

/// The session is of the connection; its text lets another one go on with it.
fn keep_session(arguments: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    if arguments.len() > 2 {
        return Reply::wrong_number_of_arguments("dot.session").into();
    }
    if arguments.is(1, "OFF") {
        session.seen = None;
        return Reply::ok().into();
    }
    let seen = session.seen.clone().unwrap_or_default();
    if arguments.len() == 2
        && let Err(why) = seen.join_text(arguments.get(1))
    {
        return Reply::error(format!("BADCONTEXT {why}")).into();
    }
    let text = seen.to_text();
    session.seen = Some(seen);
    match text {
        Ok(text) => Reply::bulk(text).into(),
        Err(why) => Reply::error(format!("ERR {why}")).into(),
    }
}

/// The same step, with a second reply that says who took part in each request that was made on the way.
fn with_receipt(step: Step, mut receipts: Vec<Receipt>) -> Step {
    match step {
        Step::Ask(requests, finish) => Step::Ask(
            requests,
            Box::new(move |answers, node| {
                receipts.extend(answers.iter().filter_map(|answer| match answer {
                    Answer::Written(written) => Some(written.receipt.clone()),
                    Answer::Found(found) => Some(found.receipt.clone()),
                    _ => None,
                }));
                let next = finish(answers, node);
                match next {
                    Step::Reply(reply) => {
                        let view = node.view();
                        let receipts = receipts.iter().map(|receipt| describe_receipt(receipt, &view)).collect();
                        Reply::Array(vec![reply, Reply::Array(receipts)]).into()
                    }
                    other => with_receipt(other, receipts),
                }
            }),
        ),
        Step::Reply(reply) => Reply::Array(vec![reply, Reply::Array(Vec::new())]).into(),
        other => other,
    }
}

fn describe_receipt(receipt: &Receipt, view: &View) -> Reply {
    let names = |nodes: &mut dyn Iterator<Item = replica::NodeId>| {
        Reply::Array(nodes.map(|node| Reply::bulk(view.name(node))).collect())
    };
    let on_disk = receipt.holders.iter().filter(|holder| holder.medium == Medium::Disk).map(|holder| holder.node);
    Reply::map([
        (Reply::copied(b"owners"), names(&mut receipt.nodes(Part::Owner))),
        (Reply::copied(b"stand-ins"), names(&mut receipt.nodes(Part::StandIn))),
        (Reply::copied(b"on-disk"), names(&mut on_disk.into_iter())),
    ])
}

fn fault(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    if !node.options.faults {
        return Reply::error(
            "ERR DOT.FAULT is for demonstrations and tests: start the node with --faults, or use dotted demo",
        )
        .into();
    }
    let sub = arguments.text(1).to_ascii_uppercase();
    let number = |most: i64| parse_integer(arguments.get(2)).filter(|n| (0..=most).contains(n));
    let mut faults = node.peers.faults();
    match (sub.as_str(), arguments.len()) {
        ("LIST", 2) => return list(&faults, node).into(),
        ("HEAL", 2) => faults = Faults::default(),
        ("CUT", 3..) => {
            let view = node.view();
            let mut cut = std::collections::BTreeSet::new();
            for name in arguments.skip(2) {
                let name = String::from_utf8_lossy(name);
                match view.members.by_name(&name) {
                    Some(other) => cut.insert(other),
                    None => return Reply::error(format!("ERR no node is called '{name}'")).into(),
                };
            }
            faults.cut = cut;
        }
        ("DELAY", 3) => match number(60_000) {
            Some(ms) => faults.delay_ms = ms as u32,
            None => return Reply::error("ERR DELAY takes milliseconds, 0 to 60000").into(),
        },
        ("DROP", 3) => match number(100) {
            Some(percent) => faults.drop_percent = percent as u8,
            None => return Reply::error("ERR DROP takes a percentage, 0 to 100").into(),
        },
        _ => return Reply::error("ERR DOT.FAULT CUT node .. | HEAL | DELAY ms | DROP percent | LIST").into(),
    }
    let node = Arc::clone(node);
    Step::Wait(Box::pin(async move {
        peer::set_faults(node, faults).await;
        Reply::ok()
    }))
}

fn list(faults: &Faults, node: &Node) -> Reply {
    let view = node.view();
    let cut = faults.cut.iter().map(|other| Reply::bulk(view.name(*other))).collect();
    Reply::map([
        (Reply::copied(b"cut"), Reply::Array(cut)),
        (Reply::copied(b"delay-ms"), Reply::Integer(faults.delay_ms.into())),
        (Reply::copied(b"drop-percent"), Reply::Integer(faults.drop_percent.into())),
    ])
}
