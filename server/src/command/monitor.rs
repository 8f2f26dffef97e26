//! MONITOR, and what it does not show: what administers the node, passwords, and what is refused before it begins.

use std::sync::Arc;

use crate::command::{Arguments, Command, IN_TURN, NO_KEYS, causal, here, is_barred, known, permits};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[here(
    "MONITOR",
    1,
    &["admin", "noscript", "loading", "stale", IN_TURN],
    NO_KEYS,
    "server",
    "From now on shows every command that clients send to this node.",
    monitor,
)];

/// What stands in the place of a password.
const REDACTED: &[u8] = b"(redacted)";

fn monitor(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    // Who monitors already hears nothing new, not even that.
    if session.monitors {
        return Step::Replies(Vec::new());
    }
    session.monitors = true;
    session.describe();
    node.monitors.enter(&session.subscriber, &session.client);
    Step::Replies(vec![Reply::ok()])
}

/// Shows a command that is about to begin.
pub(super) fn show(arguments: &Arguments<'_>, session: &Session, node: &Node) {
    // What is refused is not shown, nor is who may not be known.
    let is_carried_out = |command: &Command| {
        (session.is_authenticated || command.has("no-auth"))
            && !command.has("admin")
            && !is_barred(command, session)
            && permits::may(&session.user, command, arguments).is_ok()
    };
    if known(arguments).is_ok_and(is_carried_out) {
        node.monitors.show(&session.client.address, redacted(arguments));
    }
}

/// Shows a command that a script has called.
pub(super) fn show_scripts(arguments: &Arguments<'_>, node: &Node) {
    if node.monitors.are_there() {
        node.monitors.show("lua", arguments.skip(0));
    }
}

fn redacted<'a>(arguments: &Arguments<'a>) -> impl Iterator<Item = &'a [u8]> {
    let inner = causal::inner(arguments).unwrap_or(*arguments);
    let from = arguments.len() - inner.len();
    let secret = match () {
        () if inner.is(0, "AUTH") => from + 1..arguments.len(),
        () if inner.is(0, "HELLO") => {
            let auth = (2..inner.len()).find(|at| inner.is(*at, "AUTH")).unwrap_or(arguments.len());
            from + auth + 1..from + auth + 3
        }
        () => 0..0,
    };
    let words: Vec<&'a [u8]> = arguments.skip(0).collect();
    words.into_iter().enumerate().map(move |(at, word)| if secret.contains(&at) { REDACTED } else { word })
}
