//! DOT.MODE: what a connection is shown of concurrency beside the plain replies of plain commands on strings.
//!
//! `PUSH` tells the context and how many siblings there are before each reply, in a push frame, which clients of RESP3 pass over or
//! hand to whoever listens; `ATTR` says the same as an attribute, which some clients do not understand; `STRICT` refuses to read a
//! string that has siblings.

use std::sync::Arc;

use crdt::reading;
use replica::{Answer, CellId, Observed, Operation, Read};

use crate::command::{Arguments, Command, ONE_KEY, refusal, request};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Protocol, Reply};
use crate::session::Session;
use crate::token;

/// What a connection is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Replies alone.
    #[default]
    Off,
    /// A push frame before each reply.
    Push,
    /// An attribute before each reply that is there.
    Attr,
    /// No reply where there are siblings.
    Strict,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Push => "PUSH",
            Self::Attr => "ATTR",
            Self::Strict => "STRICT",
        }
    }
}

/// `DOT.MODE [OFF | PUSH | ATTR | STRICT]`
pub(super) fn mode(arguments: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    let all = [Mode::Off, Mode::Push, Mode::Attr, Mode::Strict];
    let chosen = match arguments.len() {
        1 => return Reply::bulk(session.mode.name()).into(),
        2 => all.into_iter().find(|mode| arguments.is(1, mode.name())),
        _ => return Reply::wrong_number_of_arguments("dot.mode").into(),
    };
    match chosen {
        None => Reply::error("ERR DOT.MODE takes OFF, PUSH, ATTR or STRICT").into(),
        Some(mode @ (Mode::Push | Mode::Attr)) if session.protocol == Protocol::Resp2 => {
            Reply::error(format!("ERR DOT.MODE {} needs RESP3: send HELLO 3 first", mode.name())).into()
        }
        Some(mode) => {
            session.mode = mode;
            Reply::ok().into()
        }
    }
}

/// What the connection's mode makes of a command's step.
pub(super) fn around(
    step: Step,
    command: &Command,
    arguments: &Arguments<'_>,
    session: &Session,
    node: &Arc<Node>,
) -> Step {
    let is_about_a_string = command.group == "string" && command.keys == ONE_KEY && arguments.len() > 1;
    if session.mode == Mode::Off || !is_about_a_string {
        return step;
    }
    let key = arguments.get(1).to_vec();
    let look = request(session, node, &key, Operation::Read(Read::Cells(vec![CellId::value()])));
    match session.mode {
        Mode::Strict if command.has("readonly") => Step::ask_one(look, move |answer, node| match seen(&answer, &key) {
            Ok((token, siblings @ 2..)) => siblings_error(&token, siblings).into(),
            Ok(_) => step,
            Err(()) => refusal(&answer, node).into(),
        }),
        Mode::Push | Mode::Attr => {
            let mode = session.mode;
            step.then(move |reply, _| {
                Step::ask_one(look, move |answer, _| {
                    // What cannot be looked at is not talked about: the reply stands.
                    let Ok((token, siblings)) = seen(&answer, &key) else { return reply.into() };
                    let facts = [Reply::bulk(key), token, Reply::count(siblings)];
                    let name = Reply::copied(b"causal");
                    match mode {
                        Mode::Push => {
                            let push = std::iter::once(name).chain(facts).collect();
                            Step::Replies(vec![Reply::Push(push), reply])
                        }
                        // Clients lose track of an attribute before nothing.
                        _ if matches!(reply, Reply::Null | Reply::NullArray) => reply.into(),
                        _ => {
                            let attribute = vec![(name, Reply::Array(facts.into()))];
                            Step::Replies(vec![Reply::Attribute(attribute), reply])
                        }
                    }
                })
            })
        }
        Mode::Off | Mode::Strict => step,
    }
}

/// The context of a string, and how many siblings it has.
fn seen(answer: &Answer, key: &[u8]) -> Result<(Reply, usize), ()> {
    let Answer::Found(found) = answer else { return Err(()) };
    let Some(state) = found.cell(&CellId::value()) else { return Ok((Reply::Null, 0)) };
    let context = state.live.dots().copied().collect();
    let observed = Observed { context, seen: reading::tallies(&state.live).reset() };
    Ok((token::seal(&observed, key, &CellId::value()), reading::siblings(&state.live).len()))
}

fn siblings_error(token: &Reply, siblings: usize) -> Reply {
    let token = match token {
        Reply::Bulk(token) => String::from_utf8_lossy(token).into_owned(),
        _ => "-".to_owned(),
    };
    Reply::error(format!("SIBLINGS {siblings} {token}"))
}
