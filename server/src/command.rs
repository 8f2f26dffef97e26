//! Commands: what each is called, how many arguments it takes, where its keys stand, and who carries it out.
//!
//! A command turns arguments into requests for the replicas and their answers into a reply. It decides nothing
//! about merging: that is the cells' business.

mod access;
mod acl;
mod arguments;
mod bits;
mod blocking;
mod buckets;
mod categories;
mod causal;
mod cluster;
mod connection;
mod copies;
mod decimal;
mod events;
mod expiry;
mod explain;
mod geo;
mod hashes;
mod hyperloglog;
mod keys;
mod layout;
mod lists;
mod modes;
mod monitor;
mod permits;
mod pubsub;
mod refusal;
mod requests;
mod scan;
mod scripting;
mod server;
mod sets;
mod sorted;
mod sorting;
mod status;
mod streams;
mod strings;
mod subcommands;
mod sweeps;
mod tracking;
mod transactions;
mod values;
mod wait;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use replica::{Failure, Keys};

pub use arguments::Arguments;
pub(crate) use categories::{categories, categories_of_sub};
pub(crate) use events::{around_call, around_write};
pub use modes::Mode;
pub(crate) use permits::check_words;
use refusal::{Done, Refused, first_refusal, refusal};
use requests::{call, check_cells, everywhere, names, partition_of, read, read_kind, request, shown, write};
pub(crate) use requests::{check_cells_of, check_name, check_value};
pub(crate) use scripting::{Reach, Script, carry_out_script};
use subcommands::begin_sub;
pub(crate) use subcommands::subcommands;
pub use tracking::Choice as Tracking;

use crate::gather::Step;
use crate::latency::{Family, is_same};
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

/// A command carried out where its connection is: it asks the replicas, once or several times.
type RunHere = fn(&Arguments<'_>, &mut Session, &Arc<Node>) -> Step;

/// A command carried out where its keys are coordinated, all of them in one slot: it decides by what it sees there, in one
/// atomic batch.
type RunThere = fn(&Arguments<'_>, &mut Keys<'_, '_>, &Arc<Node>) -> Done;

/// Where a command's keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlaces {
    /// From the first place to the last (negative from the end), by a step; all 0: it has none.
    Fixed(i64, i64, i64),
    /// Those of the command within it.
    Inner,
    /// As many as the second argument says, perhaps none, behind it.
    Scripted,
    /// The first half of what stands behind the word STREAMS.
    Streams,
    /// As many as an argument says, behind it; perhaps one more in the first place.
    Counted {
        /// Where their number stands.
        number: usize,
        /// Is the first argument a key as well?
        first: bool,
    },
}

impl KeyPlaces {
    /// First, last, step, as far as they are fixed.
    fn fixed(self) -> (i64, i64, i64) {
        match self {
            KeyPlaces::Fixed(first, last, step) => (first, last, step),
            KeyPlaces::Counted { first, .. } => (first.into(), first.into(), first.into()),
            KeyPlaces::Inner | KeyPlaces::Scripted | KeyPlaces::Streams => (0, 0, 0),
        }
    }

    /// The keys among the arguments.
    fn of<'a>(self, arguments: &Arguments<'a>) -> Result<Vec<&'a [u8]>, Reply> {
        let len = arguments.len();
        match self {
            KeyPlaces::Inner => match causal::inner(arguments) {
                // One within one within one, and so on, ends here: it does not nest.
                Some(inner) => match find(inner.get(0)).map(|command| command.keys) {
                    None | Some(KeyPlaces::Inner) => Ok(Vec::new()),
                    Some(places) => places.of(&inner),
                },
                None => Ok(Vec::new()),
            },
            KeyPlaces::Scripted => {
                let count = crate::resp::parse_integer(arguments.get(2)).and_then(|count| usize::try_from(count).ok());
                let count = count.filter(|count| *count <= len.saturating_sub(3)).ok_or_else(Reply::not_an_integer)?;
                Ok((3..3 + count).map(|at| arguments.get(at)).collect())
            }
            KeyPlaces::Streams => {
                let first = (1..len).find(|at| arguments.is(*at, "STREAMS")).map_or(len, |at| at + 1);
                Ok((first..first + (len - first) / 2).map(|at| arguments.get(at)).collect())
            }
            KeyPlaces::Fixed(0, ..) => Ok(Vec::new()),
            KeyPlaces::Fixed(first, last, step) => {
                let last = if last < 0 { len as i64 + last } else { last };
                let places = (first..=last).step_by(usize::try_from(step).unwrap_or(1).max(1));
                Ok(places.filter_map(|at| usize::try_from(at).ok()).map(|at| arguments.get(at)).collect())
            }
            KeyPlaces::Counted { number, first } => {
                let count = crate::resp::parse_integer(arguments.get(number)).ok_or_else(Reply::not_an_integer)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                let count = count.ok_or_else(|| Reply::error("ERR numkeys should be greater than 0"))?;
                if count > len.saturating_sub(number + 1) {
                    return Err(Reply::syntax_error());
                }
                let counted = (number + 1..number + 1 + count).map(|at| arguments.get(at));
                Ok(first.then(|| arguments.get(1)).into_iter().chain(counted).collect())
            }
        }
    }
}

/// One command.
pub struct Command {
    /// Its name, in capitals.
    pub name: &'static str,
    /// How many arguments, its name among them; negative: at least so many.
    pub arity: i64,
    /// What COMMAND says of it.
    pub flags: &'static [&'static str],
    /// Where its keys stand.
    pub keys: KeyPlaces,
    /// The family.
    pub group: &'static str,
    /// The same, as its times are counted.
    pub(crate) family: Family,
    /// What it does, in a line.
    pub summary: &'static str,
    is_in_turn: bool,
    here: Option<RunHere>,
    there: Option<RunThere>,
}

const fn here(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    keys: KeyPlaces,
    group: &'static str,
    summary: &'static str,
    run: RunHere,
) -> Command {
    let (family, is_in_turn) = (Family::of(group), is_among(flags, IN_TURN));
    Command { name, arity, flags, keys, group, family, summary, is_in_turn, here: Some(run), there: None }
}

const fn there(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    keys: KeyPlaces,
    group: &'static str,
    summary: &'static str,
    run: RunThere,
) -> Command {
    let (family, is_in_turn) = (Family::of(group), is_among(flags, IN_TURN));
    Command { name, arity, flags, keys, group, family, summary, is_in_turn, here: None, there: Some(run) }
}

/// One that only looks at its key, and is carried out where that is.
const fn looks(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    keys: KeyPlaces,
    group: &'static str,
    summary: &'static str,
    run: RunThere,
) -> Command {
    Command { here: Some(requests::look), ..there(name, arity, flags, keys, group, summary, run) }
}

/// Found out when the program is built: each command is asked for it.
const fn is_among(flags: &[&str], wanted: &str) -> bool {
    let mut at = 0;
    while at < flags.len() {
        if is_same(flags[at].as_bytes(), wanted.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

/// It asks in several rounds, or everywhere: what the connection sent before is answered first, and what follows waits for it.
const IN_TURN: &str = "in-turn";
/// It may be part of a transaction though it has no key.
const ANYWHERE: &str = "anywhere";

const READ: &[&str] = &["readonly"];
const READ_IN_TURN: &[&str] = &["readonly", IN_TURN];
const WRITE_IN_TURN: &[&str] = &["write", "denyoom", IN_TURN];
const REMOVE_IN_TURN: &[&str] = &["write", IN_TURN];
const READ_FAST: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "denyoom"];
const WRITE_FAST: &[&str] = &["write", "denyoom", "fast"];
const REMOVE: &[&str] = &["write"];
const REMOVE_FAST: &[&str] = &["write", "fast"];

const NO_KEYS: KeyPlaces = KeyPlaces::Fixed(0, 0, 0);
const ONE_KEY: KeyPlaces = KeyPlaces::Fixed(1, 1, 1);
const TWO_KEYS: KeyPlaces = KeyPlaces::Fixed(1, 2, 1);
const SECOND: KeyPlaces = KeyPlaces::Fixed(2, 2, 1);
const ALL_KEYS: KeyPlaces = KeyPlaces::Fixed(1, -1, 1);
const ALL_BUT_LAST: KeyPlaces = KeyPlaces::Fixed(1, -2, 1);
const PAIRS: KeyPlaces = KeyPlaces::Fixed(1, -1, 2);

pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    [
        connection::COMMANDS,
        acl::COMMANDS,
        cluster::COMMANDS,
        keys::COMMANDS,
        expiry::COMMANDS,
        copies::COMMANDS,
        strings::COMMANDS,
        bits::COMMANDS,
        hyperloglog::COMMANDS,
        lists::COMMANDS,
        streams::COMMANDS,
        sorted::COMMANDS,
        geo::COMMANDS,
        sorting::COMMANDS,
        sets::COMMANDS,
        hashes::COMMANDS,
        pubsub::COMMANDS,
        server::COMMANDS,
        causal::COMMANDS,
        layout::COMMANDS,
        transactions::COMMANDS,
        scripting::COMMANDS,
        sweeps::COMMANDS,
        status::COMMANDS,
        buckets::COMMANDS,
        wait::COMMANDS,
        monitor::COMMANDS,
    ]
    .into_iter()
    .flatten()
}

/// Names are few and known: nobody makes them collide.
type Table = HashMap<&'static [u8], &'static Command, foldhash::fast::FixedState>;

/// The command of this name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| all().map(|command| (command.name.as_bytes(), command)).collect());
    let mut upper = [0; 32];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    table.get(&upper[..]).copied()
}

impl Command {
    /// One that begins where its connection is, and may have the rest done where its keys are coordinated.
    const fn and_there(self, run: RunThere) -> Self {
        Self { there: Some(run), ..self }
    }

    /// Does it take so many arguments, its name among them?
    fn takes(&self, given: usize) -> bool {
        takes(self.arity, given)
    }

    /// Has it to do with the node that is asked, and no keys?
    fn is_of_its_node(&self) -> bool {
        self.keys == NO_KEYS && !self.has(ANYWHERE)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

/// Are these so many arguments?
fn takes(arity: i64, given: usize) -> bool {
    let given = given as i64;
    if arity >= 0 { given == arity } else { given >= -arity }
}

/// Must what came before be answered first?
#[must_use]
pub fn is_in_turn(arguments: &Arguments<'_>) -> bool {
    let is_so = |arguments: &Arguments<'_>| find(arguments.get(0)).is_some_and(|command| command.is_in_turn);
    is_so(arguments) || causal::inner(arguments).is_some_and(|inner| is_so(&inner))
}

/// The command within a DOT.WITH.
fn inner_of(arguments: &Arguments<'_>) -> Option<&'static Command> {
    find(causal::inner(arguments)?.get(0))
}

/// May the command of this name wait for something that somebody else does, perhaps for ever?
#[must_use]
pub fn may_block(name: &str) -> bool {
    find(name.as_bytes()).is_some_and(|command| command.has("blocking"))
}

/// Carries out a command that a client has sent, or keeps it for its transaction.
pub fn run(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if node.monitors.are_there() {
        monitor::show(arguments, session, node);
    }
    run_unseen(arguments, session, node)
}

/// The same, of a command that is part of one.
fn run_unseen(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    node.commands.fetch_add(1, Ordering::Relaxed);
    session.family = Family::NONE;
    if is_http(arguments.get(0)) {
        session.closing = true;
        return Reply::error("ERR this is a request of HTTP, perhaps of a web page: the connection ends here").into();
    }
    let command = match check(arguments, session, node) {
        Ok(command) => command,
        Err(refused) => {
            session.transaction.iter_mut().for_each(|transaction| transaction.is_broken = true);
            return refused.into();
        }
    };
    session.client.begin(command.name, session.now);
    session.family = command.family;
    if session.transaction.is_some() && !command.has("no-queue") {
        return transactions::queue(command, arguments, session).into();
    }
    let begin = |session: &mut Session| {
        let step = start(command, arguments, session, node);
        modes::around(step, command, arguments, session, node)
    };
    match session.tracking {
        None => begin(session),
        Some(_) => tracking::around(begin, command, arguments, session, node),
    }
}

/// Browsers send what any web page wants to any port: lines of the page's that follow must not be taken for commands.
fn is_http(name: &[u8]) -> bool {
    name.len() <= 5 && (name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:"))
}

/// The command, if there is one that takes so many arguments.
fn known(arguments: &Arguments<'_>) -> Result<&'static Command, Reply> {
    let command = find(arguments.get(0)).ok_or_else(|| unknown(arguments))?;
    if !command.takes(arguments.len()) {
        return Err(Reply::wrong_number_of_arguments(&command.name.to_ascii_lowercase()));
    }
    Ok(command)
}

fn check(arguments: &Arguments<'_>, session: &Session, node: &Node) -> Result<&'static Command, Reply> {
    let command = known(arguments)?;
    if !session.is_authenticated && !command.has("no-auth") {
        return Err(Reply::error("NOAUTH Authentication required."));
    }
    if is_barred(command, session) {
        return Err(Reply::error("ERR Replica can't interact with the keyspace"));
    }
    if !session.user.may_do_all() {
        permits::check(command, arguments, session, node)?;
    }
    if session.only_subscribes() && !command.has("pubsub-mode") {
        return Err(Reply::error(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.name.to_ascii_lowercase()
        )));
    }
    Ok(command)
}

/// Who monitors does nothing with keys.
fn is_barred(command: &Command, session: &Session) -> bool {
    session.monitors && (command.has("readonly") || command.has("write"))
}

fn start(command: &Command, arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.len() == 2 && arguments.is(1, "HELP") && WITH_SUBCOMMANDS.contains(&command.name) {
        let lines = [format!("{} subcommand ..", command.name), command.summary.to_owned()];
        return Reply::array(lines).into();
    }
    match command.here {
        Some(run) => run(arguments, session, node),
        None => call(arguments, session, node),
    }
}

fn unknown(arguments: &Arguments<'_>) -> Reply {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned();
    let rest: String = arguments.skip(1).take(20).map(|argument| format!("'{}' ", shown(argument))).collect();
    Reply::error(format!("ERR unknown command '{}', with args beginning with: {}", shown(arguments.get(0)), rest))
}

// Where the keys are

/// Carries one command out on the keys of a partition: the client's only one, or one of a transaction.
///
/// # Errors
/// [`Failure::Store`]: nothing of the batch may stay.
pub(crate) fn carry_out(
    arguments: &Arguments<'_>,
    keys: &mut Keys<'_, '_>,
    node: &Arc<Node>,
) -> Result<Reply, Failure> {
    // Somebody with every right needs no look at them.
    let session = || {
        let session = Session::without_connection();
        match arguments.asker() {
            Some(asker) => Session { user: Arc::clone(asker), ..session },
            None => session,
        }
    };
    let is_bound = arguments.asker().is_some_and(|asker| !asker.may_do_all());
    let permitted = |command: &'static Command| match is_bound {
        true => permits::check(command, arguments, &session(), node).map(|_| command),
        false => Ok(command),
    };
    let command = match known(arguments).and_then(permitted) {
        // Whoever it came from: what has no key is not done at somebody else's.
        Ok(command) => {
            match [Some(command), inner_of(arguments)].into_iter().flatten().find(|it| it.is_of_its_node()) {
                Some(of_its_node) => return Ok(keyless(of_its_node)),
                None => command,
            }
        }
        Err(refused) => return Ok(refused),
    };
    let named = match command.keys.of(arguments) {
        Ok(named) => named,
        Err(refused) => return Ok(refused),
    };
    if let Some(key) = named.iter().find(|key| partition_of(key) != keys.partition()) {
        return Ok(Reply::error(format!(
            "CROSSSLOT Keys in request don't hash to the same slot: '{}' is not where this is carried out; a script declares its keys (EVAL script 1 key), all of one slot",
            String::from_utf8_lossy(&key[..key.len().min(64)])
        )));
    }
    events::around(command, arguments, keys, |keys| match (command.there, command.here) {
        (Some(run), _) => run(arguments, keys, node).or_else(|refused| refused.into_reply(node)),
        (None, Some(run)) => {
            let step = run(arguments, &mut session(), node);
            take_steps(step, keys, node)
        }
        (None, None) => Err(Failure::NotUnderstood),
    })
}

/// The members of a sorted set, with scores, that a `ZRANGE` of these arguments would show.
///
/// # Errors
/// As [`carry_out`].
pub(crate) fn ranged(arguments: &Arguments<'_>, keys: &Keys<'_, '_>, node: &Node) -> Result<Reply, Failure> {
    sorted::members(arguments, keys).or_else(|refused| refused.into_reply(node))
}

/// Those that explain themselves when asked for HELP.
const WITH_SUBCOMMANDS: &[&str] = &[
    "ACL",
    "CLIENT",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "LATENCY",
    "MEMORY",
    "OBJECT",
    "PUBSUB",
    "SCRIPT",
    "SLOWLOG",
    "DOT.LAYOUT",
    "DOT.FAULT",
    "DOT.BUCKET",
];

/// Why a command cannot be part of a transaction.
fn keyless(command: &Command) -> Reply {
    Reply::error(format!(
        "ERR {} has no key, and a transaction is carried out where its keys are: send it by itself",
        command.name
    ))
}

/// Carries out what a command would ask of the replicas, on this one.
fn take_steps(mut step: Step, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Result<Reply, Failure> {
    loop {
        let (requests, finish) = match step {
            Step::Reply(reply) => return Ok(reply),
            Step::Replies(replies) => return Ok(Reply::Array(replies)),
            Step::Wait(_) => return Ok(Reply::error("ERR this command cannot be part of a transaction")),
            Step::Ask(requests, finish) => (requests, finish),
        };
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(crate::procedures::answer(&request, keys, node)?);
        }
        step = finish(answers, node);
    }
}
