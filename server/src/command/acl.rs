//! ACL: users and what they may do, on this node.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::crypto::ring;

use crate::acl::{CATEGORIES, Catalog, User, Wanted};
use crate::command::{Arguments, Command, NO_KEYS, begin_sub, here, permits};
use crate::gather::Step;
use crate::node::Node;
use crate::pubsub::Topic;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

/// How many refusals ACL LOG shows if nothing is said.
const LOG_ENTRIES: i64 = 10;
/// How many bits ACL GENPASS makes, at most and if nothing is said.
const PASSWORD_BITS: (i64, i64) = (4_096, 256);

pub(super) static COMMANDS: &[Command] = &[here(
    "ACL",
    -2,
    &["admin", "noscript"],
    NO_KEYS,
    "server",
    "SETUSER, GETUSER, DELUSER, LIST, USERS, WHOAMI, CAT, GENPASS, LOG, DRYRUN, SAVE, LOAD: users of this node, and what they may do.",
    acl,
)];

fn acl(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let sub = arguments.word(1);
    begin_sub(arguments, session);
    let reply = match (sub.as_str(), arguments.len()) {
        ("SETUSER", 3..) => set_user(arguments, session, node),
        ("GETUSER", 3) => node.acl.user(&arguments.text(2)).map_or(Reply::Null, |user| shown(&user)),
        ("DELUSER", 3..) => delete_users(arguments, session, node),
        ("LIST", 2) => Reply::array(node.acl.users().iter().map(|user| user.describe())),
        ("USERS", 2) => Reply::array(node.acl.users().iter().map(|user| user.name().to_owned())),
        ("WHOAMI", 2) => Reply::copied(session.user.name().as_bytes()),
        ("CAT", 2) => Reply::array(CATEGORIES.iter().map(|name| (*name).to_owned())),
        ("CAT", 3) => category(arguments),
        ("GENPASS", 2 | 3) => generate(arguments),
        ("LOG", 2 | 3) => log(arguments, node),
        ("DRYRUN", 4..) => dry_run(arguments, node),
        ("SAVE", 2) => node.acl.save().map_or_else(|why| Reply::error(format!("ERR {why}")), |()| Reply::ok()),
        ("LOAD", 2) => load(session, node),
        ("SETUSER" | "GETUSER" | "DELUSER" | "LIST" | "USERS" | "WHOAMI" | "DRYRUN" | "SAVE" | "LOAD", _) => {
            Reply::wrong_number_of_arguments(&format!("acl|{}", sub.to_ascii_lowercase()))
        }
        ("CAT" | "GENPASS" | "LOG", _) => {
            Reply::error(format!("ERR unknown subcommand or wrong number of arguments for '{sub}'. Try ACL HELP."))
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try ACL HELP.", arguments.text(1))),
    };
    reply.into()
}

fn set_user(arguments: &Arguments<'_>, session: &mut Session, node: &Node) -> Reply {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    if arguments.get(2).iter().any(is_blank) {
        return Reply::error("ERR Usernames can't contain spaces or null characters");
    }
    let Ok(name) = std::str::from_utf8(arguments.get(2)) else {
        return Reply::error("ERR Usernames are UTF-8");
    };
    match node.acl.set(name, &arguments.skip(3).collect::<Vec<_>>()) {
        Ok(user) => {
            end_forbidden_subscriptions(&user, session, node);
            Reply::ok()
        }
        Err(why) => Reply::error(format!("ERR {why}")),
    }
}

/// Whoever follows a channel that he may not any more is disconnected.
fn end_forbidden_subscriptions(user: &User, session: &mut Session, node: &Node) {
    if user.may_do_all() {
        return;
    }
    let clients: Vec<_> = node.clients.all().into_iter().filter(|client| client.belongs_to(user.name())).collect();
    let ids: HashSet<u64> = clients.iter().map(|client| client.id).collect();
    let (rights, mut ends) = (user.rights(), HashSet::new());
    for (id, topic, name) in node.pubsub.followed_by(&ids) {
        let wanted =
            Wanted { channels: vec![&name], channels_are_patterns: topic == Topic::Pattern, ..Wanted::default() };
        if rights.permit(&wanted).is_err() {
            ends.insert(id);
        }
    }
    end(clients.iter().filter(|client| ends.contains(&client.id)), session);
}

/// Ends connections; one's own once it has been answered.
fn end<'c>(clients: impl Iterator<Item = &'c Arc<crate::clients::Client>>, session: &mut Session) {
    for client in clients {
        if client.id == session.id {
            session.closing = true;
        } else {
            client.kill.notify_one();
        }
    }
}

fn end_those_of(users: &[String], session: &mut Session, node: &Node) {
    let clients = node.clients.all();
    end(clients.iter().filter(|client| users.iter().any(|user| client.belongs_to(user))), session);
}

fn delete_users(arguments: &Arguments<'_>, session: &mut Session, node: &Node) -> Reply {
    if arguments.skip(2).any(|name| name == b"default") {
        return Reply::error("ERR The 'default' user cannot be removed");
    }
    let names: Vec<String> = arguments.skip(2).filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect();
    let removed: Vec<String> = names.into_iter().filter(|name| node.acl.remove(name)).collect();
    end_those_of(&removed, session, node);
    Reply::count(removed.len())
}

fn load(session: &mut Session, node: &Node) -> Reply {
    match node.acl.load() {
        Ok(changed) => {
            // Who comes without a name is who he was: his connections stay, as in Redis.
            let named: Vec<String> = changed.into_iter().filter(|name| name != "default").collect();
            end_those_of(&named, session, node);
            Reply::ok()
        }
        Err(why) => Reply::error(format!("ERR {why}")),
    }
}

fn shown(user: &User) -> Reply {
    let (definition, text) = (user.definition(), |text: &str| Reply::copied(text.as_bytes()));
    let of = |parts: [(&'static str, Vec<u8>); 3]| parts.map(|(name, value)| (text(name), Reply::bulk(value)));
    let mut selectors = definition.selectors();
    let root = selectors.next().map(of).into_iter().flatten();
    let others = selectors.map(|parts| Reply::map(of(parts))).collect();
    let flags = Reply::Set(definition.flags().into_iter().map(text).collect());
    let passwords = Reply::array(definition.passwords().iter().cloned());
    let pairs = [(text("flags"), flags), (text("passwords"), passwords)].into_iter().chain(root);
    Reply::map(pairs.chain([(text("selectors"), Reply::Array(others))]))
}

fn category(arguments: &Arguments<'_>) -> Reply {
    let (name, catalog) = (arguments.text(2), Catalog::get());
    match CATEGORIES.iter().position(|known| *known == name.to_ascii_lowercase()) {
        Some(at) => Reply::array(catalog.of_category(at).map(|id| catalog.name(id).to_owned())),
        None => Reply::error(format!("ERR Unknown category '{name}'")),
    }
}

/// Bits from the system's source of randomness, as hexadecimal digits.
fn generate(arguments: &Arguments<'_>) -> Reply {
    let (most, usual) = PASSWORD_BITS;
    let bits = if arguments.len() == 3 { parse_integer(arguments.get(2)) } else { Some(usual) };
    let Some(bits) = bits.filter(|bits| (1..=most).contains(bits)) else {
        return Reply::error(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {most}"
        ));
    };
    let digits = (bits as usize).div_ceil(4);
    let mut random = vec![0; digits.div_ceil(2)];
    if ring::default_provider().secure_random.fill(&mut random).is_err() {
        return Reply::error("ERR the system has no random numbers");
    }
    let mut text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    Reply::bulk(text)
}

fn log(arguments: &Arguments<'_>, node: &Node) -> Reply {
    if arguments.is(2, "RESET") {
        node.acl.log.clear();
        return Reply::ok();
    }
    let count = if arguments.len() == 3 { parse_integer(arguments.get(2)) } else { Some(LOG_ENTRIES) };
    match count {
        Some(count) => Reply::Array(node.acl.log.latest(usize::try_from(count).unwrap_or(0))),
        None => Reply::not_an_integer(),
    }
}

fn dry_run(arguments: &Arguments<'_>, node: &Node) -> Reply {
    let name = arguments.text(2);
    let Some(user) = node.acl.user(&name) else {
        return Reply::error(format!("ERR User '{name}' not found"));
    };
    let asked = arguments.after(3);
    let Some(command) = super::find(asked.get(0)).filter(|command| permits::is_whole(command, &asked)) else {
        return Reply::error(format!("ERR Command '{}' not found", asked.text(0)));
    };
    if let Some(name) = permits::name_if_miscounted(command, &asked) {
        return Reply::wrong_number_of_arguments(&name);
    }
    match permits::may(&user, command, &asked) {
        Ok(()) => Reply::ok(),
        Err(denied) => Reply::bulk(denied.to_dry_run()),
    }
}
