//! MULTI and EXEC: the commands of one slot as one atomic batch, where its keys are coordinated.

use std::rc::Rc;
use std::sync::Arc;

use replica::{Answer, ByteString, Operation};

use crate::command::refusal::refusal;
use crate::command::requests::{check_name, request};
use crate::command::{ALL_KEYS, ANYWHERE, Arguments, Command, IN_TURN, NO_KEYS, find, here, inner_of, keyless};
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::{self, Call};
use crate::resp::Reply;
use crate::seen::Seen;
use crate::session::{Session, Transaction, Watched};

/// How large the commands of a transaction may be together.
const TRANSACTION_BYTES: usize = 64 * 1024 * 1024;
/// How many there may be.
const TRANSACTION_COMMANDS: usize = 65_536;

const FLAGS: &[&str] = &["noscript", "loading", "stale", "fast", "no-queue"];
const FLAGS_IN_TURN: &[&str] = &["noscript", "loading", "stale", "fast", "no-queue", IN_TURN];

pub(super) static COMMANDS: &[Command] = &[
    here("MULTI", 1, FLAGS, NO_KEYS, "transactions", "Gathers what follows until EXEC.", multi),
    here(
        "EXEC",
        1,
        FLAGS_IN_TURN,
        NO_KEYS,
        "transactions",
        "Carries out what was gathered, as one atomic batch.",
        exec,
    ),
    here("DISCARD", 1, FLAGS, NO_KEYS, "transactions", "Forgets what was gathered.", discard),
    here(
        "WATCH",
        -2,
        FLAGS,
        ALL_KEYS,
        "transactions",
        "Lets EXEC do nothing if these keys have changed by then.",
        watch,
    ),
    here("UNWATCH", 1, &["fast", "noscript", ANYWHERE], NO_KEYS, "transactions", "Forgets what was watched.", unwatch),
];

fn multi(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    if session.transaction.is_some() {
        return Reply::error("ERR MULTI calls can not be nested").into();
    }
    session.transaction = Some(Transaction::default());
    Reply::ok().into()
}

/// Keeps a command for EXEC.
pub(super) fn queue(command: &Command, arguments: &Arguments<'_>, session: &mut Session) -> Reply {
    let Some(transaction) = &mut session.transaction else { return Reply::error("ERR not in a transaction") };
    if let Some(command) = [Some(command), inner_of(arguments)].into_iter().flatten().find(|it| it.is_of_its_node()) {
        transaction.is_broken = true;
        return keyless(command);
    }
    transaction.bytes += arguments.skip(0).map(|argument| argument.len() + 32).sum::<usize>();
    if transaction.bytes > TRANSACTION_BYTES || transaction.commands.len() >= TRANSACTION_COMMANDS {
        transaction.is_broken = true;
        transaction.commands.clear();
        return Reply::error(format!(
            "ERR a transaction takes up to {TRANSACTION_COMMANDS} commands of {TRANSACTION_BYTES} bytes together"
        ));
    }
    transaction.commands.push(arguments.to_kept());
    Reply::status("QUEUED")
}

fn discard(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    if session.transaction.take().is_none() {
        return Reply::error("ERR DISCARD without MULTI").into();
    }
    session.watched = Rc::default();
    Reply::ok().into()
}

fn exec(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let Some(transaction) = session.transaction.take() else {
        return Reply::error("ERR EXEC without MULTI").into();
    };
    let watched = std::mem::take(&mut session.watched);
    if transaction.is_broken {
        return Reply::error("EXECABORT Transaction discarded because of previous errors.").into();
    }
    let keys = match keys_of(&transaction, &watched) {
        Ok(keys) => keys,
        Err(refused) => return refused.into(),
    };
    if let Some(refused) = keys.iter().find_map(|key| check_name(node, key).err()) {
        return refused.into();
    }
    // Without any key, any place will do.
    let at = keys.into_iter().next().unwrap_or_default();
    let mut asked = request(session, node, &at, Operation::Write(replica::Write::RemoveKey));
    let (node, commands, last) = (Arc::clone(node), transaction.commands, session.last_write.clone());
    let (noted, seen, user) = (at.clone(), session.seen.clone(), Arc::clone(&session.user));
    Step::Wait(Box::pin(async move {
        let Some(watched) = watched.known().await else {
            return Reply::error("EXECABORT Transaction discarded: a watched key could not be read.");
        };
        asked.operation = Operation::Write(Call::Transaction { watched, commands }.on_behalf_of(&user).to_write());
        match Seen::ask(seen.as_ref(), &node, asked).await {
            Answer::Written(written) => {
                last.note([(noted, written.own.context)]);
                procedures::said(&written.said.0)
            }
            other => refusal(&other, &node),
        }
    }))
}

/// All keys of a transaction, if they are in one slot.
fn keys_of(transaction: &Transaction, watched: &Watched) -> Result<Vec<Vec<u8>>, Reply> {
    let mut keys: Vec<Vec<u8>> = watched.keys();
    for kept in &transaction.commands {
        let arguments = Arguments::kept(kept);
        if let Some(command) = find(arguments.get(0)) {
            // What is wrong with its arguments is said by the command itself.
            keys.extend(command.keys.of(&arguments).unwrap_or_default().into_iter().map(<[u8]>::to_vec));
        }
    }
    let slots = keys.iter().map(|key| redis_protocol::redis_keyslot(key));
    let first = keys.first().map(|key| redis_protocol::redis_keyslot(key));
    match slots.into_iter().all(|slot| Some(slot) == first) {
        true => Ok(keys),
        false => Err(Reply::cross_slot()),
    }
}

fn watch(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    if session.transaction.is_some() {
        return Reply::error("ERR WATCH inside MULTI is not allowed").into();
    }
    if let Some(refused) = arguments.skip(1).find_map(|key| check_name(node, key).err()) {
        return refused.into();
    }
    let keys: Vec<&[u8]> = arguments.skip(1).collect();
    let ask =
        |key: &&[u8]| request(session, node, key, Operation::Write(Call::Watch(ByteString::from(*key)).to_write()));
    let requests = keys.iter().map(ask).collect();
    let keys: Vec<ByteString> = keys.into_iter().map(ByteString::from).collect();
    let watched = Rc::clone(&session.watched);
    keys.iter().for_each(|_| watched.ask());
    Step::ask_all(requests, move |answers, node| {
        let mut reply = Reply::ok();
        for (key, answer) in keys.into_iter().zip(answers) {
            let digest = match &answer {
                Answer::Written(written) => match procedures::said(&written.said.0) {
                    Reply::Integer(digest) => Some(digest as u64),
                    _ => None,
                },
                other => {
                    reply = refusal(other, node);
                    None
                }
            };
            watched.answer(key, digest);
        }
        reply
    })
}

fn unwatch(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    session.watched = Rc::default();
    Reply::ok().into()
}
