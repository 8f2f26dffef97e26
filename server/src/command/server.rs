//! The server about itself.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use replica::{Operation, PARTITIONS, PartitionId};

use crate::command::categories::{self, find_either};
use crate::command::keys::counted;
use crate::command::subcommands::{Subcommand, subcommands};
use crate::command::{ANYWHERE, Arguments, Command, IN_TURN, NO_KEYS, all, everywhere, find, here};
use crate::disk::Durability;
use crate::gather::Step;
use crate::glob;
use crate::node::Node;
use crate::peer::Versions;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

/// The release of Redis whose clients' expectations are met.
pub(super) const REDIS_VERSION: &str = "7.2.4";

const GROUP: &str = "server";

/// The setting that says which events of keys are published.
const NOTIFY: &str = "notify-keyspace-events";

pub(super) static COMMANDS: &[Command] = &[
    here("INFO", -1, &["loading", "stale", IN_TURN], NO_KEYS, GROUP, "What is known of this node, as text.", info),
    here(
        "CONFIG",
        -2,
        &["admin", "noscript"],
        NO_KEYS,
        GROUP,
        "GET pattern ..; SET name value ..; RESETSTAT; REWRITE.",
        config,
    ),
    here("COMMAND", -1, &["loading", "stale"], NO_KEYS, "server", "COUNT, LIST, INFO, DOCS, GETKEYS.", command),
    here(
        "TIME",
        1,
        &["loading", "stale", "fast", ANYWHERE],
        NO_KEYS,
        GROUP,
        "Seconds and microseconds since 1970.",
        time,
    ),
    here("ROLE", 1, &["loading", "stale", "fast"], NO_KEYS, GROUP, "Every node is a master.", role),
    here("LASTSAVE", 1, &["loading", "stale", "fast"], NO_KEYS, GROUP, "Now: what is answered is kept.", lastsave),
    here("SAVE", 1, &["admin"], NO_KEYS, GROUP, "Nothing: what is answered is kept.", save),
    here("BGSAVE", -1, &["admin"], NO_KEYS, GROUP, "Nothing: what is answered is kept.", bgsave),
    here("BGREWRITEAOF", 1, &["admin"], NO_KEYS, GROUP, "Nothing: the engine compacts by itself.", bgrewriteaof),
    here("SLOWLOG", -2, &["admin"], NO_KEYS, GROUP, "GET, LEN, RESET: commands that took long.", slowlog),
    here("LATENCY", -2, &["admin"], NO_KEYS, GROUP, "LATEST, HISTORY, RESET: nothing is recorded.", latency),
    here("SHUTDOWN", -1, &["admin", "noscript"], NO_KEYS, GROUP, "Ends this node's process.", shutdown),
];

fn time(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Reply::array([now.as_secs().to_string(), now.subsec_micros().to_string()]).into()
}

fn role(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::Array(vec![Reply::bulk("master"), Reply::Integer(0), Reply::Array(Vec::new())]).into()
}

fn lastsave(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::Integer((crate::node::wall_ms() / 1_000) as i64).into()
}

fn save(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::ok().into()
}

fn bgsave(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::status("Background saving started").into()
}

fn bgrewriteaof(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::status("Background append only file rewriting started").into()
}

fn slowlog(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    let count = match (arguments.len(), parse_integer(arguments.get(2))) {
        (2, _) => Some(10),
        (3, Some(-1)) => Some(usize::MAX),
        (3, Some(count)) => usize::try_from(count).ok(),
        _ => None,
    };
    let reply = match (arguments.word(1).as_str(), count) {
        ("GET", Some(count)) => Reply::Array(node.slow_log.latest(count)),
        ("GET", None) => Reply::error("ERR count should be greater than or equal to -1"),
        ("LEN", _) => Reply::count(node.slow_log.len()),
        ("RESET", _) => {
            node.slow_log.clear();
            Reply::ok()
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try SLOWLOG HELP.", arguments.text(1))),
    };
    reply.into()
}

fn latency(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    let reply = match arguments.word(1).as_str() {
        "LATEST" | "HISTORY" => Reply::Array(Vec::new()),
        "RESET" => Reply::Integer(0),
        "DOCTOR" => Reply::Verbatim("Nothing is recorded; SLOWLOG GET has commands that took long.".to_owned()),
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try LATENCY HELP.", arguments.text(1))),
    };
    reply.into()
}

/// What was answered is on disk as far as was promised; the next start reads it.
fn shutdown(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    if arguments
        .skip(1)
        .any(|word| !["NOSAVE", "SAVE", "NOW", "FORCE"].iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes())))
    {
        return Reply::syntax_error().into();
    }
    node.stop.notify_one();
    Reply::ok().into()
}

fn info(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let wanted: Vec<String> =
        arguments.skip(1).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    Step::ask_all(everywhere(session, node, &Operation::Count), move |answers, node| {
        Reply::Verbatim(describe(node, counted(&answers), &wanted))
    })
}

fn describe(node: &Node, keys: u64, wanted: &[String]) -> String {
    let every =
        wanted.is_empty() || wanted.iter().any(|name| ["all", "everything", "default"].contains(&name.as_str()));
    let view = node.view();
    let serving = PartitionId::all().filter(|p| view.replicas(*p).serving.contains(&node.id)).count();
    let filling = PartitionId::all().filter(|p| view.replicas(*p).filling.contains(&node.id)).count();
    let alive: Vec<String> = view.alive.iter().map(|other| view.name(*other)).collect();
    let mut text = String::new();
    let mut section = |name: &str, lines: &[(&str, String)]| {
        if !every && !wanted.contains(&name.to_ascii_lowercase()) {
            return;
        }
        // Writing into a string does not fail.
        let _ = write!(text, "# {name}\r\n");
        for (key, value) in lines {
            let _ = write!(text, "{key}:{value}\r\n");
        }
        text.push_str("\r\n");
    };
    section(
        "Server",
        &[
            ("redis_version", REDIS_VERSION.to_owned()),
            ("dotted_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("redis_mode", "standalone".to_owned()),
            ("os", std::env::consts::OS.to_owned()),
            ("arch_bits", usize::BITS.to_string()),
            ("process_id", std::process::id().to_string()),
            ("run_id", node.id.to_string()),
            ("tcp_port", node.options.listen.port().to_string()),
            ("uptime_in_seconds", node.started.elapsed().as_secs().to_string()),
        ],
    );
    section(
        "Clients",
        &[
            ("connected_clients", node.clients.count().to_string()),
            ("blocked_clients", node.waiting_clients.count().to_string()),
            ("tracking_clients", node.tracking.count().to_string()),
            ("connections_received", (node.next_client.load(Ordering::Relaxed) - 1).to_string()),
        ],
    );
    let (used, peak) = memory();
    section(
        "Memory",
        &[
            ("used_memory", used.to_string()),
            ("used_memory_rss", used.to_string()),
            ("used_memory_peak", peak.to_string()),
            ("maxmemory", "0".to_owned()),
            ("maxmemory_policy", "noeviction".to_owned()),
        ],
    );
    section(
        "Persistence",
        &[
            ("loading", "0".to_owned()),
            ("aof_enabled", u8::from(!node.options.is_in_memory()).to_string()),
            ("durability", durability(node).to_owned()),
        ],
    );
    section(
        "Stats",
        &[
            ("total_commands_processed", node.commands.load(Ordering::Relaxed).to_string()),
            ("tracking_total_keys", node.tracking.keys().to_string()),
        ],
    );
    section("Replication", &[("role", "master".to_owned()), ("connected_slaves", "0".to_owned())]);
    section("Cluster", &[("cluster_enabled", "0".to_owned())]);
    section(
        "Dotted",
        &[
            ("node", view.name(node.id)),
            ("node_id", node.id.to_string()),
            (
                "peer_address",
                view.members.nodes.get(&node.id).map_or(String::new(), |own| own.peer_address.to_string()),
            ),
            ("http_address", node.http_address.map_or(String::new(), |address| address.to_string())),
            ("tls_address", node.tls_address.map_or(String::new(), |address| address.to_string())),
            ("https_address", node.https_address.map_or(String::new(), |address| address.to_string())),
            ("incarnation", node.incarnation().0.to_string()),
            ("layout_version", view.members.version().to_string()),
            ("replicas", view.members.replicas.to_string()),
            ("members", view.members.current().count().to_string()),
            ("alive", alive.join(",")),
            ("partitions", PARTITIONS.to_string()),
            ("partitions_serving", serving.to_string()),
            ("partitions_filling", filling.to_string()),
            ("workers", node.workers().to_string()),
            ("cluster", view.members.cluster.to_string()),
            ("peer_protocol", Versions::OURS.newest.to_string()),
            ("peer_queue_bytes", node.peers.queued_bytes().to_string()),
        ],
    );
    let counted = node.peers.counters.all().map(|(name, _, value)| (name, value.to_string()));
    section("Peers", &counted);
    section("Keyspace", &[("db0", format!("keys={keys},expires=0,avg_ttl=0"))]);
    text
}

/// What the process holds in memory now, and has at most; in bytes, 0 where the system does not say.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0)
    };
    (kibibytes("VmRSS:") * 1024, kibibytes("VmHWM:") * 1024)
}

pub(super) fn durability(node: &Node) -> &'static str {
    match (node.options.is_in_memory(), node.options.durability) {
        (true, _) => "in-memory",
        (false, Durability::Always) => "always",
        (false, Durability::Interval) => "interval",
        (false, Durability::None) => "none",
    }
}

fn config(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    if arguments.is(1, "GET") && arguments.len() > 2 {
        return config_get(arguments, node).into();
    }
    if arguments.is(1, "SET") && arguments.len() > 3 && arguments.len().is_multiple_of(2) {
        return config_set(arguments, node).into();
    }
    if (arguments.is(1, "RESETSTAT") || arguments.is(1, "REWRITE")) && arguments.len() == 2 {
        // Flags and environment decide at the next start.
        return if arguments.is(1, "RESETSTAT") {
            node.slow_log.clear();
            Reply::ok().into()
        } else if node.options.config.is_some() {
            Reply::error("ERR the configuration file is the operator's, and is not written: change it by hand").into()
        } else {
            Reply::error("ERR The server is running without a config file").into()
        };
    }
    if arguments.is(1, "GET") || arguments.is(1, "SET") {
        return Reply::wrong_number_of_arguments(&format!("config|{}", arguments.text(1).to_ascii_lowercase())).into();
    }
    Reply::error(format!("ERR unknown subcommand '{}'. Try CONFIG HELP.", arguments.text(1))).into()
}

fn config_get(arguments: &Arguments<'_>, node: &Node) -> Reply {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let fsync = match node.options.durability {
        Durability::Always => "always",
        Durability::Interval => "everysec",
        Durability::None => "no",
    };
    let mut values = vec![
        ("appendfsync", fsync.to_owned()),
        ("appendonly", yes(!node.options.is_in_memory())),
        ("databases", "1".to_owned()),
        ("dir", directory(node)),
        ("durability", durability(node).to_owned()),
        ("maxmemory", "0".to_owned()),
        (NOTIFY, node.notifications.flags().to_string()),
        ("port", node.options.listen.port().to_string()),
        ("save", String::new()),
    ];
    values.extend(node.config.settings().map(|setting| (setting.name, setting.get().to_string())));
    // What it was started with, where that cannot be changed.
    for setting in node.options.in_force.iter().filter(|setting| !setting.is_secret) {
        if !values.iter().any(|(known, _)| *known == setting.name) {
            values.push((&setting.name, setting.value.clone().unwrap_or_default()));
        }
    }
    let wanted =
        |name: &str| arguments.skip(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()));
    Reply::map(
        values
            .into_iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (Reply::copied(name.as_bytes()), Reply::bulk(value))),
    )
}

/// Where the data is, whatever directory the process was started in.
pub(super) fn directory(node: &Node) -> String {
    let path = std::path::absolute(&node.options.data).unwrap_or_else(|_| node.options.data.clone());
    if node.options.is_in_memory() { String::new() } else { path.display().to_string() }
}

fn config_set(arguments: &Arguments<'_>, node: &Node) -> Reply {
    for at in (2..arguments.len()).step_by(2) {
        let name = arguments.text(at).to_ascii_lowercase();
        let failed =
            |why| Reply::error(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"));
        if name == NOTIFY {
            match arguments.text(at + 1).parse() {
                Ok(flags) => node.notifications.ask_for(flags),
                Err(why) => return failed(why),
            }
            continue;
        }
        let Some(setting) = node.config.settings().into_iter().find(|setting| setting.name == name) else {
            return Reply::error(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"));
        };
        let value = arguments.text(at + 1).parse().map_err(|_| format!("{name} takes a number"));
        if let Err(why) = value.and_then(|value| setting.set(value)) {
            return failed(why);
        }
    }
    Reply::ok()
}

fn command(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    let named = || arguments.skip(2).map(find_either);
    let sub = arguments.text(1).to_ascii_uppercase();
    let reply = match sub.as_str() {
        "" => Reply::Array(shown().map(|command| entry(command, None)).collect()),
        "COUNT" => Reply::count(shown().count()),
        "LIST" => Reply::Array(shown().map(|command| Reply::bulk(command.name.to_ascii_lowercase())).collect()),
        "INFO" if arguments.len() == 2 => Reply::Array(shown().map(|command| entry(command, None)).collect()),
        "INFO" => {
            let known = |(command, sub): (&Command, _)| entry(command, sub);
            Reply::Array(named().map(|named| named.map_or(Reply::Null, known)).collect())
        }
        "DOCS" if arguments.len() == 2 => Reply::Map(shown().map(|command| documentation(command, None)).collect()),
        "DOCS" => Reply::Map(named().flatten().map(|(command, sub)| documentation(command, sub)).collect()),
        "GETKEYS" if arguments.len() < 4 => Reply::wrong_number_of_arguments("command|getkeys"),
        "GETKEYS" => return keys_of(&arguments.after(2)).into(),
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try COMMAND HELP.", arguments.text(1))),
    };
    reply.into()
}

/// Those that are clients' business.
fn shown() -> impl Iterator<Item = &'static Command> {
    all().filter(|command| !command.has("hidden"))
}

/// Flags that are only ours.
const OWN_FLAGS: &[&str] = &["pubsub-mode", "no-queue", "no-auth", "hidden", IN_TURN, ANYWHERE];

/// `command` or `command|subcommand`.
fn name_of(command: &Command, sub: Option<&Subcommand>) -> String {
    let behind = sub.map_or_else(String::new, |sub| format!("|{}", sub.name));
    format!("{}{behind}", command.name).to_ascii_lowercase()
}

fn entry(command: &Command, sub: Option<&Subcommand>) -> Reply {
    let own = (command.arity, command.flags, command.keys);
    let (arity, flags, keys) = sub.map_or(own, |sub| (sub.arity, sub.flags, sub.keys));
    let (first, last, step) = keys.fixed();
    let within = if sub.is_none() { subcommands(command) } else { &[] };
    let categories = categories::shown(command, sub).into_iter().map(|name| Reply::Simple(name.into()));
    Reply::Array(vec![
        Reply::bulk(name_of(command, sub)),
        Reply::Integer(arity),
        Reply::Set(flags.iter().filter(|flag| !OWN_FLAGS.contains(flag)).map(|flag| Reply::status(flag)).collect()),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        Reply::Set(categories.collect()),
        Reply::Array(Vec::new()),
        Reply::Array(Vec::new()),
        Reply::Array(within.iter().map(|sub| entry(command, Some(sub))).collect()),
    ])
}

fn documentation(command: &Command, sub: Option<&Subcommand>) -> (Reply, Reply) {
    let pairs = [("summary", command.summary), ("since", "0.1.0"), ("group", command.group)];
    let mut pairs: Vec<(Reply, Reply)> = pairs
        .into_iter()
        .map(|(key, value)| (Reply::copied(key.as_bytes()), Reply::copied(value.as_bytes())))
        .collect();
    if sub.is_none() && !subcommands(command).is_empty() {
        let within = subcommands(command).iter().map(|sub| documentation(command, Some(sub)));
        pairs.push((Reply::copied(b"subcommands"), Reply::Map(within.collect())));
    }
    (Reply::bulk(name_of(command, sub)), Reply::Map(pairs))
}

fn keys_of(arguments: &Arguments<'_>) -> Reply {
    let Some(command) = find(arguments.get(0)) else {
        return Reply::error("ERR Invalid command specified");
    };
    if !command.takes(arguments.len()) {
        return Reply::error("ERR Invalid number of arguments specified for command");
    }
    match command.keys.of(arguments) {
        Ok(keys) if keys.is_empty() => Reply::error("ERR The command has no key arguments"),
        Ok(keys) => Reply::Array(keys.into_iter().map(Reply::copied).collect()),
        Err(refused) => refused,
    }
}
