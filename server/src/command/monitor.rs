//! MONITOR, and what it does not show: what administers the node, passwords, and what is refused before it begins.

use std::sync::Arc;

use crate::command::{Arguments, Command, IN_TURN, NO_KEYS, causal, find, here, is_barred, known, permits};
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
            && !administers(arguments)
            && !is_barred(command, session)
            && permits::may(&session.user, command, arguments).is_ok()
    };
    if known(arguments).is_ok_and(is_carried_out) {
        node.monitors.show(&session.client.address, redacted(arguments).into_iter());
    }
}

/// Shows a command that a script has called.
pub(super) fn show_scripts(arguments: &Arguments<'_>, node: &Node) {
    if node.monitors.are_there() && !administers(arguments) {
        node.monitors.show("lua", redacted(arguments).into_iter());
    }
}

/// The command that is meant, whatever it is wrapped in.
fn innermost<'a>(arguments: &Arguments<'a>) -> Arguments<'a> {
    std::iter::successors(Some(*arguments), causal::inner).last().unwrap_or(*arguments)
}

fn administers(arguments: &Arguments<'_>) -> bool {
    find(innermost(arguments).get(0)).is_some_and(|command| command.has("admin"))
}

/// The words of a command, without what is secret among them.
fn redacted<'a>(arguments: &Arguments<'a>) -> Vec<&'a [u8]> {
    let inner = innermost(arguments);
    let mut words: Vec<&'a [u8]> = arguments.skip(0).collect();
    let inner_words = &mut words[arguments.len() - inner.len()..];
    if inner.is(0, "HELLO") {
        redact_hello(&inner, inner_words);
    } else if inner.is(0, "AUTH") || inner.is(0, "DOT.WITH") {
        // A DOT.WITH that is still one cannot be understood: nobody knows what it was to be.
        inner_words.iter_mut().skip(1).for_each(|word| *word = REDACTED);
    }
    words
}

/// Passwords stand where HELLO takes them; where it cannot be understood, anything may be one.
fn redact_hello(hello: &Arguments<'_>, words: &mut [&[u8]]) {
    let mut at = if hello.get(1).iter().all(u8::is_ascii_digit) { 2 } else { 1 };
    while at < words.len() {
        let (from, next) = match () {
            () if at > 1 && at + 1 < words.len() && hello.is(at, "SETNAME") => (at + 2, at + 2),
            () if at > 1 && at + 2 < words.len() && hello.is(at, "AUTH") => (at + 1, at + 3),
            () => (at, words.len()),
        };
        words[from..next].fill(REDACTED);
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use replica::ByteString;

    use super::*;

    fn kept(line: &str) -> Vec<ByteString> {
        line.split(' ').map(|word| ByteString::from(word.as_bytes())).collect()
    }

    fn shown(line: &str) -> String {
        let words = kept(line);
        String::from_utf8(redacted(&Arguments::kept(&words)).join(&b' ')).unwrap().replace("(redacted)", "*")
    }

    #[test]
    fn no_password_is_shown_wherever_it_stands() {
        for (line, expected) in [
            ("AUTH p", "AUTH *"),
            ("auth u p", "auth * *"),
            ("HELLO 3", "HELLO 3"),
            ("HELLO 3 AUTH u p SETNAME joe", "HELLO 3 AUTH * * SETNAME joe"),
            ("HELLO 3 AUTH u1 p1 AUTH u2 p2", "HELLO 3 AUTH * * AUTH * *"),
            ("HELLO 3 SETNAME AUTH AUTH u p", "HELLO 3 SETNAME AUTH AUTH * *"),
            ("HELLO 3 AUTH u p AUTH p", "HELLO 3 AUTH * * * *"),
            ("HELLO AUTH u p", "HELLO * * *"),
            ("HELLO 3 x AUTH u p", "HELLO 3 * * * *"),
            ("DOT.WITH R 1 AUTH u p", "DOT.WITH R 1 AUTH * *"),
            ("DOT.WITH R 1 DOT.WITH W 1 AUTH u p", "DOT.WITH R 1 DOT.WITH W 1 AUTH * *"),
            ("DOT.WITH R x AUTH u p", "DOT.WITH * * * * *"),
            ("DOT.WITH R 1 SET k v", "DOT.WITH R 1 SET k v"),
            ("SET AUTH p", "SET AUTH p"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn what_administers_is_known_within_another_command_too() {
        for (line, expected) in [
            ("ACL SETUSER u >secret", true),
            ("DOT.WITH R 1 ACL SETUSER u >secret", true),
            ("DOT.WITH R 1 DOT.WITH R 1 config set x y", true),
            ("DOT.WITH R 1 SET k v", false),
            ("DOT.WITH R 1", false),
        ] {
            let words = kept(line);
            assert_eq!(administers(&Arguments::kept(&words)), expected, "{line}");
        }
    }
}
