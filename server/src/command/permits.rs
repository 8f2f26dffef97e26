//! Whether somebody may carry out a command, with these keys and channels: asked only of those who may not do everything.

use std::sync::Arc;

use replica::ByteString;

use crate::acl::{Access, Catalog, Denied, Occasion, User, Wanted};
use crate::command::subcommands::{asked_for, subcommands};
use crate::command::{Arguments, Command, access, causal, find, takes};
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

/// May the session's user do that? If not, he is told so, and ACL LOG has it.
pub(super) fn check(command: &Command, arguments: &Arguments<'_>, session: &Session, node: &Node) -> Result<(), Reply> {
    if let Some(refused) = unknown_subcommand(command, arguments) {
        return Err(refused);
    }
    let Err(denied) = may(&session.user, command, arguments) else {
        return Ok(());
    };
    // What is carried out where its keys are was permitted when it was gathered.
    let (occasion, text) = match (session.has_connection(), &session.transaction) {
        (true, None) => (Occasion::TopLevel, denied.to_client()),
        (true, Some(_)) => (Occasion::Transaction, denied.to_client()),
        (false, _) => (Occasion::Transaction, denied.to_transaction()),
    };
    note(node, session, denied.reason(), occasion, &denied.object(), session.user.name());
    Err(Reply::error(text))
}

/// May a script of this user do that?
pub(super) fn check_in_script(arguments: &Arguments<'_>, user: &Arc<User>, node: &Node) -> Result<(), Reply> {
    let Some(command) = find(arguments.get(0)).filter(|command| command.takes(arguments.len())) else {
        return Ok(());
    };
    if let Some(refused) = unknown_subcommand(command, arguments) {
        return Err(refused);
    }
    let Err(denied) = may(user, command, arguments) else {
        return Ok(());
    };
    let limit = node.config.acl_log_entries.get();
    node.acl.log.note(denied.reason(), Occasion::Script, &denied.object(), user.name(), String::new(), limit);
    Err(Reply::error(denied.to_script()))
}

/// Would he be permitted to?
pub(super) fn may(user: &User, command: &Command, arguments: &Arguments<'_>) -> Result<(), Denied> {
    if user.may_do_all() {
        return Ok(());
    }
    user.rights().permit(&wanted(command, arguments))?;
    match causal::inner(arguments).and_then(|inner| Some((find(inner.get(0))?, inner))) {
        Some((command, inner)) if command.name != "DOT.WITH" => may(user, command, &inner),
        _ => Ok(()),
    }
}

/// The same, as who asks over HTTP is told.
pub(crate) fn check_words(user: &User, words: &[ByteString]) -> Result<(), Reply> {
    let arguments = Arguments::kept(words);
    let Some(command) = find(arguments.get(0)) else { return Ok(()) };
    may(user, command, &arguments).map_err(|denied| Reply::error(denied.to_client()))
}

/// May he read whatever there is?
pub(super) fn may_read_all(user: &User) -> bool {
    let wanted = Wanted { every_key: Some(Access::READ), ..Wanted::default() };
    user.may_do_all() || user.rights().permit(&wanted).is_ok()
}

/// A refusal, for ACL LOG.
pub(super) fn note(node: &Node, session: &Session, reason: &'static str, occasion: Occasion, object: &str, user: &str) {
    let limit = node.config.acl_log_entries.get();
    node.acl.log.note(reason, occasion, object, user, session.client.line(), limit);
}

/// Rights name subcommands: one that is none has no rights, and is told before.
fn unknown_subcommand(command: &Command, arguments: &Arguments<'_>) -> Option<Reply> {
    let is_unknown = arguments.len() > 1 && !subcommands(command).is_empty() && asked_for(command, arguments).is_none();
    let shown = arguments.text(1);
    is_unknown.then(|| Reply::error(format!("ERR unknown subcommand '{shown}'. Try {} HELP.", command.name)))
}

/// The command, or the subcommand, if it takes another number of arguments.
pub(super) fn name_if_miscounted(command: &Command, arguments: &Arguments<'_>) -> Option<String> {
    if !command.takes(arguments.len()) {
        return Some(command.name.to_ascii_lowercase());
    }
    let sub = asked_for(command, arguments).filter(|sub| !takes(sub.arity, arguments.len()));
    sub.map(|sub| format!("{}|{}", command.name, sub.name).to_ascii_lowercase())
}

/// Does it name a subcommand there is, where it needs one?
pub(super) fn is_whole(command: &Command, arguments: &Arguments<'_>) -> bool {
    unknown_subcommand(command, arguments).is_none()
}

fn wanted<'a>(command: &Command, arguments: &Arguments<'a>) -> Wanted<'a> {
    // Whoever may not do anything may still say who he is, or go.
    if command.has("no-auth") {
        return Wanted::default();
    }
    let (catalog, sub) = (Catalog::get(), asked_for(command, arguments));
    let id = match sub {
        Some(sub) => catalog.find(&format!("{}|{}", command.name, sub.name).to_ascii_lowercase()),
        None => Some(catalog.id_of(command)),
    };
    let channels = match command.name {
        "PUBLISH" | "SPUBLISH" => vec![arguments.get(1)],
        "SUBSCRIBE" | "SSUBSCRIBE" | "PSUBSCRIBE" => arguments.skip(1).collect(),
        _ => Vec::new(),
    };
    Wanted {
        command: Some(id.unwrap_or(crate::acl::CommandId::MAX)),
        keys: access::keys(command, sub, arguments),
        every_key: access::every_key(command),
        channels,
        channels_are_patterns: command.name == "PSUBSCRIBE",
    }
}
