//! Commands that wait for an element: they try, and try again whenever a key they wait for has changed here, or after a while,
//! for the keys may be changed where this node has no part in it.

use std::sync::Arc;
use std::time::Duration;

use replica::{Answer, ByteString, Operation, Request};
use tokio::time::{Instant, timeout_at};

use crate::command::Arguments;
use crate::command::arguments::parse_float;
use crate::command::refusal::refusal;
use crate::command::requests::{check_name, request};
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::{self, Call};
use crate::resp::Reply;
use crate::session::Session;

/// After so long it tries again though nothing has been heard.
const AGAIN: Duration = Duration::from_millis(100);

/// One thing to try, and the key that is told with what it gives.
struct Attempt {
    request: Request,
    key: Option<Vec<u8>>,
}

impl Attempt {
    /// What it gave; nothing if there was nothing to take.
    fn given(&self, answer: &Answer, node: &Node) -> Option<Reply> {
        let reply = match answer {
            Answer::Written(written) => procedures::said(&written.said.0),
            other => refusal(other, node),
        };
        match (&self.key, reply) {
            (_, Reply::Null | Reply::NullArray) => None,
            (_, Reply::Array(items)) if items.is_empty() => None,
            (Some(_), reply @ Reply::Error(_)) | (None, reply) => Some(reply),
            (Some(key), Reply::Array(items)) => {
                Some(Reply::Array(std::iter::once(Reply::copied(key)).chain(items).collect()))
            }
            (Some(key), reply) => Some(Reply::Array(vec![Reply::copied(key), reply])),
        }
    }
}

/// `BLPOP key .. timeout` and the like: one command per key, in their order.
pub(super) fn first_of(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, command: &str) -> Step {
    let last = arguments.len() - 1;
    let keys: Vec<&[u8]> = (1..last).map(|at| arguments.get(at)).collect();
    let attempt =
        |key: &&[u8]| Attempt { request: of(&[command.as_bytes(), key], key, session, node), key: Some(key.to_vec()) };
    let attempts = keys.iter().map(attempt).collect();
    begin(attempts, arguments.get(last), &keys, session, node)
}

/// One command that takes from any of its keys.
pub(super) fn until_there(
    command: &[&[u8]],
    timeout: &[u8],
    keys: &[&[u8]],
    session: &Session,
    node: &Arc<Node>,
) -> Step {
    let named: Vec<ByteString> = command.iter().copied().map(ByteString::from).collect();
    let inner = Arguments::kept(&named);
    let Some(found) = super::find(inner.get(0)) else { return Reply::syntax_error().into() };
    // Keys in two slots cannot be one command's.
    if let Ok(all) = found.keys.of(&inner) {
        let mut slots = all.iter().map(|key| redis_protocol::redis_keyslot(key));
        let first = slots.next();
        if slots.any(|slot| Some(slot) != first) {
            return Reply::cross_slot().into();
        }
    }
    let Some(key) = keys.first() else { return Reply::syntax_error().into() };
    let attempts = vec![Attempt { request: of(command, key, session, node), key: None }];
    begin(attempts, timeout, keys, session, node)
}

fn of(command: &[&[u8]], key: &[u8], session: &Session, node: &Node) -> Request {
    let call = Call::Command(command.iter().copied().map(ByteString::from).collect());
    request(session, node, key, Operation::Write(call.to_write()))
}

fn begin(attempts: Vec<Attempt>, timeout: &[u8], keys: &[&[u8]], session: &Session, node: &Arc<Node>) -> Step {
    let seconds = match parse_float(timeout) {
        Some(seconds) if seconds < 0.0 => return Reply::error("ERR timeout is negative").into(),
        Some(seconds) if seconds < 1e9 => seconds,
        Some(_) => return Reply::error("ERR timeout is out of range").into(),
        None => return Reply::error("ERR timeout is not a float or out of range").into(),
    };
    if let Some(refused) = keys.iter().find_map(|key| check_name(node, key).err()) {
        return refused.into();
    }
    let deadline = (seconds > 0.0).then(|| Instant::now() + Duration::from_secs_f64(seconds));
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
    // Within a transaction nothing waits.
    let waits = session.has_connection();
    try_from(0, attempts, move |attempts, node| match waits {
        true => {
            let node = Arc::clone(node);
            Step::Wait(Box::pin(async move { wait(attempts, &keys, deadline, &node).await }))
        }
        false => Reply::NullArray.into(),
    })
}

/// Tries one after the other, at once.
fn try_from(
    at: usize,
    attempts: Vec<Attempt>,
    otherwise: impl FnOnce(Vec<Attempt>, &Arc<Node>) -> Step + 'static,
) -> Step {
    let Some(attempt) = attempts.get(at) else {
        return Step::Ask(Vec::new(), Box::new(move |_, node| otherwise(attempts, node)));
    };
    Step::ask_one(attempt.request.clone(), move |answer, node| match attempts[at].given(&answer, node) {
        Some(reply) => reply.into(),
        None => try_from(at + 1, attempts, otherwise),
    })
}

async fn wait(attempts: Vec<Attempt>, keys: &[Vec<u8>], deadline: Option<Instant>, node: &Arc<Node>) -> Reply {
    let waiting = node.waiting_clients.enter(keys);
    loop {
        for attempt in &attempts {
            let answer = node.ask(attempt.request.clone()).await;
            if let Some(reply) = attempt.given(&answer, node) {
                return reply;
            }
        }
        let again = Instant::now() + AGAIN;
        let until = deadline.map_or(again, |deadline| deadline.min(again));
        let is_over = timeout_at(until, waiting.changed()).await.is_err() && deadline == Some(until);
        if is_over {
            return Reply::NullArray;
        }
    }
}
