//! Commands that wait for an element: they try, and try again whenever a key they wait for has changed here, or after a while,
//! for the keys may be changed where this node has no part in it.

use std::sync::Arc;
use std::time::Duration;

use replica::{Answer, ByteString, Operation, Read, Request};
use tokio::time::{Instant, timeout_at};

use crate::command::Arguments;
use crate::command::arguments::parse_float;
use crate::command::refusal::refusal;
use crate::command::requests::{check_name, partition_of, request};
use crate::gather::Step;
use crate::node::Node;
use crate::procedures::{self, Call};
use crate::resp::Reply;
use crate::seen::Seen;
use crate::session::{LastWrite, Session};

/// After so long it tries again though nothing has been heard.
pub(super) const AGAIN: Duration = Duration::from_millis(100);
/// The same for keys whose changes all come by here.
pub(super) const AGAIN_IF_SEEN: Duration = Duration::from_secs(1);

/// One thing to try.
struct Attempt {
    request: Request,
    /// What must be there for it to give anything.
    keys: Vec<Request>,
    /// The key that is told with what it gives, where the command itself does not.
    told: Option<Vec<u8>>,
    last: LastWrite,
}

impl Attempt {
    /// What it gave; nothing if there was nothing to take.
    fn given(&self, answer: &Answer, node: &Node) -> Option<Reply> {
        let reply = match answer {
            Answer::Written(written) => {
                self.last.note([(self.request.key.clone(), written.own.context.clone())]);
                procedures::said(&written.said.0)
            }
            other => refusal(other, node),
        };
        match (&self.told, reply) {
            (_, Reply::Null | Reply::NullArray) => None,
            (_, Reply::Array(items)) if items.is_empty() => None,
            (Some(_), reply @ Reply::Error(_)) | (None, reply) => Some(reply),
            (Some(key), Reply::Array(items)) => {
                Some(Reply::Array(std::iter::once(Reply::copied(key)).chain(items).collect()))
            }
            (Some(key), reply) => Some(Reply::Array(vec![Reply::copied(key), reply])),
        }
    }

    /// Is it worth trying, by what its keys are?
    fn is_promising(&self, found: &[Answer]) -> bool {
        found.iter().any(|answer| !matches!(answer, Answer::Found(found) if found.kind.is_none()))
    }
}

/// `BLPOP key .. timeout` and the like: one command per key, in their order.
pub(super) fn first_of(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, command: &str) -> Step {
    let last = arguments.len() - 1;
    let keys: Vec<&[u8]> = (1..last).map(|at| arguments.get(at)).collect();
    let attempt = |key: &&[u8]| Attempt {
        request: of(&[command.as_bytes(), key], key, session, node),
        keys: vec![look(key, session, node)],
        told: Some(key.to_vec()),
        last: session.last_write.clone(),
    };
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
    let attempts = vec![Attempt {
        request: of(command, key, session, node),
        keys: keys.iter().map(|key| look(key, session, node)).collect(),
        told: None,
        last: session.last_write.clone(),
    }];
    begin(attempts, timeout, keys, session, node)
}

fn of(command: &[&[u8]], key: &[u8], session: &Session, node: &Node) -> Request {
    let call = Call::Command(command.iter().copied().map(ByteString::from).collect());
    request(session, node, key, Operation::Write(call.to_write()))
}

fn look(key: &[u8], session: &Session, node: &Node) -> Request {
    request(session, node, key, Operation::Read(Read::Summary))
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
    let (waits, seen) = (session.has_connection(), session.seen.clone());
    // Which keys are there is asked of all at once.
    let looks = attempts.iter().flat_map(|attempt| attempt.keys.clone()).collect();
    let go_on = move |attempts: Vec<Attempt>, node: &Arc<Node>| match waits {
        true => {
            let node = Arc::clone(node);
            Step::Wait(Box::pin(async move { wait(attempts, &keys, deadline, &node, seen.as_ref()).await }))
        }
        false => Reply::NullArray.into(),
    };
    Step::Ask(
        looks,
        Box::new(move |found, _| {
            let promising = promising(&attempts, &found);
            try_next(promising, attempts, go_on)
        }),
    )
}

/// The places of the attempts that are worth trying, the first of them last.
fn promising(attempts: &[Attempt], found: &[Answer]) -> Vec<usize> {
    let mut from = 0;
    let mut promising = Vec::new();
    for (place, attempt) in attempts.iter().enumerate() {
        let upto = from + attempt.keys.len();
        if attempt.is_promising(&found[from..upto]) {
            promising.push(place);
        }
        from = upto;
    }
    promising.reverse();
    promising
}

/// Tries one after the other, at once.
fn try_next(
    mut promising: Vec<usize>,
    attempts: Vec<Attempt>,
    otherwise: impl FnOnce(Vec<Attempt>, &Arc<Node>) -> Step + 'static,
) -> Step {
    let Some(place) = promising.pop() else {
        return Step::Ask(Vec::new(), Box::new(move |_, node| otherwise(attempts, node)));
    };
    Step::ask_one(attempts[place].request.clone(), move |answer, node| match attempts[place].given(&answer, node) {
        Some(reply) => reply.into(),
        None => try_next(promising, attempts, otherwise),
    })
}

async fn wait(
    attempts: Vec<Attempt>,
    keys: &[Vec<u8>],
    deadline: Option<Instant>,
    node: &Arc<Node>,
    seen: Option<&Seen>,
) -> Reply {
    let waiting = node.waiting_clients.enter(keys);
    let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    loop {
        let looks = attempts.iter().flat_map(|attempt| &attempt.keys);
        let looks: Vec<_> = looks.map(|look| Seen::ask(seen, node, look.clone())).collect();
        let mut found = Vec::with_capacity(looks.len());
        for look in looks {
            found.push(look.await);
        }
        for place in promising(&attempts, &found).into_iter().rev() {
            let answer = Seen::ask(seen, node, attempts[place].request.clone()).await;
            match attempts[place].given(&answer, node) {
                // It was no list when this was told, and may be one again.
                Some(reply) if reply == Reply::wrong_type() => {}
                Some(reply) => return reply,
                None => {}
            }
        }
        if is_over() {
            return Reply::NullArray;
        }
        let again = Instant::now() + if sees_all(keys, node) { AGAIN_IF_SEEN } else { AGAIN };
        let until = deadline.map_or(again, |deadline| deadline.min(again));
        // Whoever is woken at the last moment tries once more.
        let _ = timeout_at(until, waiting.changed()).await;
    }
}

/// Does this node hear of every change of these keys?
pub(super) fn sees_all(keys: &[Vec<u8>], node: &Node) -> bool {
    let view = node.view();
    keys.iter().all(|key| view.replicas(partition_of(key)).serving.contains(&node.id))
}
