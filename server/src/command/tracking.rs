//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR, and what a command does to what its client may keep.

use std::sync::Arc;

use replica::PartitionId;

use crate::command::requests::partition_of;
use crate::command::{Arguments, Command, KeyPlaces, find};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;
use crate::tracking::PREFIXES;

/// What a connection has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    which: Which,
    prefixes: Vec<Vec<u8>>,
    redirect: u64,
    /// It has said of the next command whether its keys are kept.
    caching: bool,
}

/// Of which keys it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Of those it reads.
    Read,
    /// Of those it reads behind CACHING YES.
    OptIn,
    /// Of those it reads, but not behind CACHING NO.
    OptOut,
    /// Of all that begin so.
    Broadcast,
}

impl Choice {
    fn takes_next(&self) -> bool {
        match self.which {
            Which::Read => true,
            Which::OptIn => self.caching,
            Which::OptOut => !self.caching,
            Which::Broadcast => false,
        }
    }
}

const SWITCH_BROADCAST: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
    re-enabling it with a different mode.";
const SWITCH_OPT: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
    re-enabling it with a different mode.";
const NO_LOOP: &str = "ERR NOLOOP is not there: a node cannot tell by whom a change was made that it hears of";

/// `TRACKING ON | OFF [REDIRECT id] [PREFIX p ..] [BCAST] [OPTIN] [OPTOUT]`
pub(super) fn tracking(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Reply {
    match set(arguments, session, node) {
        Ok(()) => Reply::ok(),
        Err(refused) => refused,
    }
}

fn set(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Result<(), Reply> {
    // Whoever asks over HTTP is gone before anything could be told, and nobody would take back what he has asked for.
    if node.clients.find(session.id).is_none() {
        return Err(Reply::error(
            "ERR CLIENT TRACKING needs a connection of its own, at which it is told what is void",
        ));
    }
    let (mut redirect, mut prefixes) = (0, Vec::new());
    let (mut broadcast, mut opt_in, mut opt_out, mut at) = (false, false, false, 3);
    while at < arguments.len() {
        let follows = at + 1 < arguments.len();
        match arguments.word(at).as_str() {
            "REDIRECT" if follows => {
                let id = parse_integer(arguments.get(at + 1)).ok_or_else(Reply::not_an_integer)?;
                let known = u64::try_from(id).ok().and_then(|id| node.clients.find(id));
                let missing = || Reply::error("ERR The client ID you want redirect to does not exist");
                redirect = known.ok_or_else(missing)?.id;
                at += 1;
            }
            "PREFIX" if follows => {
                prefixes.push(arguments.get(at + 1).to_vec());
                at += 1;
            }
            "BCAST" => broadcast = true,
            "OPTIN" => opt_in = true,
            "OPTOUT" => opt_out = true,
            "NOLOOP" => return Err(Reply::error(NO_LOOP)),
            _ => return Err(Reply::syntax_error()),
        }
        at += 1;
    }
    match arguments.word(2).as_str() {
        "ON" => {}
        "OFF" => {
            end(session, node);
            return Ok(());
        }
        _ => return Err(Reply::syntax_error()),
    }
    let which = match (broadcast, opt_in, opt_out) {
        (false, false, false) => Which::Read,
        (false, true, false) => Which::OptIn,
        (false, false, true) => Which::OptOut,
        (true, false, false) => Which::Broadcast,
        (false, true, true) => return Err(Reply::error("ERR You can't specify both OPTIN mode and OPTOUT mode")),
        (true, ..) => return Err(Reply::error("ERR OPTIN and OPTOUT are not compatible with BCAST")),
    };
    if !prefixes.is_empty() && !broadcast {
        return Err(Reply::error("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    if let Some(before) = &session.tracking {
        let is_broadcast = |which| which == Which::Broadcast;
        if is_broadcast(before.which) != is_broadcast(which) {
            return Err(Reply::error(SWITCH_BROADCAST));
        }
        let is_other = |which| matches!(which, Which::OptIn | Which::OptOut) && before.which != which;
        if is_other(which) && matches!(before.which, Which::OptIn | Which::OptOut) {
            return Err(Reply::error(SWITCH_OPT));
        }
        check_overlap(&prefixes, &before.prefixes, "an existing")?;
    }
    for (at, prefix) in prefixes.iter().enumerate() {
        check_overlap(std::slice::from_ref(prefix), &prefixes[at + 1..], "another provided")?;
    }
    if broadcast {
        check_owns_all(node)?;
        prefixes.extend(session.tracking.iter().flat_map(|before| before.prefixes.iter().cloned()));
        if prefixes.len() > PREFIXES {
            return Err(Reply::error(format!("ERR a client follows up to {PREFIXES} prefixes")));
        }
    }
    let inbox = node.clients.find(redirect).unwrap_or_else(|| Arc::clone(&session.client));
    let told = broadcast.then(|| if prefixes.is_empty() { vec![Vec::new()] } else { prefixes.clone() });
    session.tracking = Some(Choice { which, prefixes, redirect, caching: false });
    session.client.track(Some(redirect));
    node.tracking.enter(&session.client, inbox, told);
    Ok(())
}

/// One that is part of another would be told twice.
fn check_overlap(new: &[Vec<u8>], others: &[Vec<u8>], what: &str) -> Result<(), Reply> {
    let shown = |prefix: &[u8]| String::from_utf8_lossy(prefix).into_owned();
    for (one, other) in new.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
        if one.starts_with(other) || other.starts_with(one) {
            return Err(Reply::error(format!(
                "ERR Prefix '{}' overlaps with {what} prefix '{}'. Prefixes for a single client must not overlap.",
                shown(one),
                shown(other)
            )));
        }
    }
    Ok(())
}

/// Whoever does not own everything does not hear of everything.
fn check_owns_all(node: &Node) -> Result<(), Reply> {
    let owned = PartitionId::all().filter(|partition| owns(node, *partition)).count();
    if owned == PartitionId::all().count() {
        return Ok(());
    }
    Err(Reply::error(format!(
        "ERR BCAST needs a node that owns every key, and this one owns {owned} of {} partitions: without BCAST every node tells of what \
         was read",
        PartitionId::all().count()
    )))
}

fn owns(node: &Node, partition: PartitionId) -> bool {
    node.view().replicas(partition).serving.contains(&node.id)
}

/// The connection is not told any more.
pub(super) fn end(session: &mut Session, node: &Node) {
    if session.tracking.take().is_some() {
        session.client.track(None);
        node.tracking.leave(session.id);
    }
}

/// `CACHING YES | NO`
pub(super) fn caching(arguments: &Arguments<'_>, session: &mut Session) -> Reply {
    let which = session.tracking.as_ref().map(|choice| choice.which);
    let Some(choice) = session.tracking.as_mut().filter(|choice| matches!(choice.which, Which::OptIn | Which::OptOut))
    else {
        return Reply::error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        );
    };
    match (arguments.word(2).as_str(), which) {
        ("YES", Some(Which::OptIn)) | ("NO", Some(Which::OptOut)) => {
            choice.caching = true;
            Reply::ok()
        }
        ("YES", _) => Reply::error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
        ("NO", _) => Reply::error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
        _ => Reply::syntax_error(),
    }
}

pub(super) fn info(session: &Session) -> Reply {
    let text = |text: &str| Reply::copied(text.as_bytes());
    let mut flags = vec![if session.tracking.is_some() { "on" } else { "off" }];
    if let Some(choice) = &session.tracking {
        let (word, said) = match choice.which {
            Which::Read => (None, None),
            Which::OptIn => (Some("optin"), Some("caching-yes")),
            Which::OptOut => (Some("optout"), Some("caching-no")),
            Which::Broadcast => (Some("bcast"), None),
        };
        flags.extend(word.into_iter().chain(said.filter(|_| choice.caching)));
    }
    let prefixes = session.tracking.iter().flat_map(|choice| choice.prefixes.iter().cloned());
    Reply::map([
        (text("flags"), Reply::Set(flags.into_iter().map(text).collect())),
        (text("redirect"), redirection(session)),
        (text("prefixes"), Reply::array(prefixes)),
    ])
}

pub(super) fn redirection(session: &Session) -> Reply {
    Reply::Integer(session.tracking.as_ref().map_or(-1, |choice| choice.redirect as i64))
}

/// Remembers what a command reads, and says behind its reply what was void meanwhile, or can never be promised here.
pub(super) fn around(
    begin: impl FnOnce(&mut Session) -> Step,
    command: &Command,
    arguments: &Arguments<'_>,
    session: &mut Session,
    node: &Arc<Node>,
) -> Step {
    let keys = match command.name {
        "EXEC" => read_keys_of_transaction(session),
        _ => read_keys(command, arguments),
    };
    let Some(choice) = &mut session.tracking else { return begin(session) };
    let takes = choice.takes_next() && !keys.is_empty();
    // What was said of the next command is of what MULTI gathers, and of the command within this one.
    choice.caching &= matches!(command.name, "CLIENT" | "MULTI" | "DOT.WITH");
    if !takes {
        return begin(session);
    }
    let (id, limit, node) = (session.id, node.config.tracked_keys.get(), Arc::clone(node));
    keys.iter().for_each(|key| node.tracking.remember(id, key, limit));
    begin(session).at_the_end(move || {
        for key in keys {
            if !node.tracking.remembers(id, &key) || !owns(&node, partition_of(&key)) {
                node.tracking.tell(id, &key);
            }
        }
    })
}

/// The keys that a command reads; those of a script may be.
fn read_keys(command: &Command, arguments: &Arguments<'_>) -> Vec<Vec<u8>> {
    let reads = command.has("readonly") || command.keys == KeyPlaces::Scripted;
    let named = if reads { command.keys.of(arguments).unwrap_or_default() } else { Vec::new() };
    named.into_iter().map(<[u8]>::to_vec).collect()
}

/// The keys that the commands of a transaction read.
fn read_keys_of_transaction(session: &Session) -> Vec<Vec<u8>> {
    let commands = session.transaction.iter().flat_map(|transaction| &transaction.commands);
    let read = commands.filter_map(|kept| {
        let arguments = Arguments::kept(kept);
        let (command, arguments) = match super::causal::inner(&arguments) {
            Some(inner) => (find(inner.get(0))?, inner),
            None => (find(arguments.get(0))?, arguments),
        };
        Some(read_keys(command, &arguments))
    });
    read.flatten().collect()
}
