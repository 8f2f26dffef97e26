//! The subcommands of commands that have some, as rights name them and COMMAND INFO lists them.

use crate::command::{Arguments, Command, KeyPlaces, NO_KEYS, SECOND, find};
use crate::session::Session;

/// A subcommand.
pub(crate) struct Subcommand {
    /// Its name, in capitals.
    pub(crate) name: &'static str,
    /// How many arguments, both names among them; negative: at least so many.
    pub(crate) arity: i64,
    /// What COMMAND says of it.
    pub(crate) flags: &'static [&'static str],
    /// Where its keys stand.
    pub(crate) keys: KeyPlaces,
}

const fn sub(name: &'static str, arity: i64, flags: &'static [&'static str], keys: KeyPlaces) -> Subcommand {
    Subcommand { name, arity, flags, keys }
}

const PLAIN: &[&str] = &[];
const READ: &[&str] = &["readonly"];
const ADMIN: &[&str] = &["admin", "noscript"];
const PUBSUB: &[&str] = &["pubsub"];
const NOSCRIPT: &[&str] = &["noscript"];
const HELP: Subcommand = sub("HELP", 2, PLAIN, NO_KEYS);

static ACL: &[Subcommand] = &[
    sub("CAT", -2, NOSCRIPT, NO_KEYS),
    sub("DELUSER", -3, ADMIN, NO_KEYS),
    sub("DRYRUN", -4, ADMIN, NO_KEYS),
    sub("GENPASS", -2, NOSCRIPT, NO_KEYS),
    sub("GETUSER", 3, ADMIN, NO_KEYS),
    sub("LIST", 2, ADMIN, NO_KEYS),
    sub("LOAD", 2, ADMIN, NO_KEYS),
    sub("LOG", -2, ADMIN, NO_KEYS),
    sub("SAVE", 2, ADMIN, NO_KEYS),
    sub("SETUSER", -3, ADMIN, NO_KEYS),
    sub("USERS", 2, ADMIN, NO_KEYS),
    sub("WHOAMI", 2, NOSCRIPT, NO_KEYS),
    HELP,
];
static CLIENT: &[Subcommand] = &[
    sub("CACHING", 3, NOSCRIPT, NO_KEYS),
    sub("GETNAME", 2, NOSCRIPT, NO_KEYS),
    sub("GETREDIR", 2, NOSCRIPT, NO_KEYS),
    sub("ID", 2, NOSCRIPT, NO_KEYS),
    sub("INFO", 2, NOSCRIPT, NO_KEYS),
    sub("KILL", -3, ADMIN, NO_KEYS),
    sub("LIST", -2, ADMIN, NO_KEYS),
    sub("NO-EVICT", 3, ADMIN, NO_KEYS),
    sub("NO-TOUCH", 3, NOSCRIPT, NO_KEYS),
    sub("REPLY", 3, NOSCRIPT, NO_KEYS),
    sub("SETINFO", 4, NOSCRIPT, NO_KEYS),
    sub("SETNAME", 3, NOSCRIPT, NO_KEYS),
    sub("TRACKING", -3, NOSCRIPT, NO_KEYS),
    sub("TRACKINGINFO", 2, NOSCRIPT, NO_KEYS),
    HELP,
];
static CLUSTER: &[Subcommand] = &[
    sub("COUNTKEYSINSLOT", 3, PLAIN, NO_KEYS),
    sub("GETKEYSINSLOT", 4, PLAIN, NO_KEYS),
    sub("INFO", 2, PLAIN, NO_KEYS),
    sub("KEYSLOT", 3, PLAIN, NO_KEYS),
    sub("MYID", 2, PLAIN, NO_KEYS),
    sub("NODES", 2, PLAIN, NO_KEYS),
    sub("SHARDS", 2, PLAIN, NO_KEYS),
    sub("SLOTS", 2, PLAIN, NO_KEYS),
    HELP,
];
static COMMAND: &[Subcommand] = &[
    sub("COUNT", 2, PLAIN, NO_KEYS),
    sub("DOCS", -2, PLAIN, NO_KEYS),
    sub("GETKEYS", -4, PLAIN, NO_KEYS),
    sub("INFO", -2, PLAIN, NO_KEYS),
    sub("LIST", -2, PLAIN, NO_KEYS),
    HELP,
];
static CONFIG: &[Subcommand] = &[
    sub("GET", -3, ADMIN, NO_KEYS),
    sub("RESETSTAT", 2, ADMIN, NO_KEYS),
    sub("REWRITE", 2, ADMIN, NO_KEYS),
    sub("SET", -4, ADMIN, NO_KEYS),
    HELP,
];
static LATENCY: &[Subcommand] = &[
    sub("DOCTOR", 2, ADMIN, NO_KEYS),
    sub("HISTORY", 3, ADMIN, NO_KEYS),
    sub("LATEST", 2, ADMIN, NO_KEYS),
    sub("RESET", -2, ADMIN, NO_KEYS),
    HELP,
];
static MEMORY: &[Subcommand] = &[
    sub("DOCTOR", 2, PLAIN, NO_KEYS),
    sub("PURGE", 2, PLAIN, NO_KEYS),
    sub("STATS", 2, PLAIN, NO_KEYS),
    sub("USAGE", -3, READ, SECOND),
    HELP,
];
static OBJECT: &[Subcommand] = &[
    sub("ENCODING", 3, READ, SECOND),
    sub("FREQ", 3, READ, SECOND),
    sub("IDLETIME", 3, READ, SECOND),
    sub("REFCOUNT", 3, READ, SECOND),
    HELP,
];
static PUBSUB_SUBS: &[Subcommand] = &[
    sub("CHANNELS", -2, PUBSUB, NO_KEYS),
    sub("NUMPAT", 2, PUBSUB, NO_KEYS),
    sub("NUMSUB", -2, PUBSUB, NO_KEYS),
    sub("SHARDCHANNELS", -2, PUBSUB, NO_KEYS),
    sub("SHARDNUMSUB", -2, PUBSUB, NO_KEYS),
    HELP,
];
static SCRIPT: &[Subcommand] = &[
    sub("EXISTS", -3, NOSCRIPT, NO_KEYS),
    sub("FLUSH", -2, NOSCRIPT, NO_KEYS),
    sub("KILL", 2, NOSCRIPT, NO_KEYS),
    sub("LOAD", 3, NOSCRIPT, NO_KEYS),
    HELP,
];
static SLOWLOG: &[Subcommand] =
    &[sub("GET", -2, ADMIN, NO_KEYS), sub("LEN", 2, ADMIN, NO_KEYS), sub("RESET", 2, ADMIN, NO_KEYS), HELP];
static XINFO: &[Subcommand] = &[sub("STREAM", -3, READ, SECOND)];
static DOT_LAYOUT: &[Subcommand] = &[
    sub("COMMIT", 3, ADMIN, NO_KEYS),
    sub("PLAN", 2, ADMIN, NO_KEYS),
    sub("REVERT", 2, ADMIN, NO_KEYS),
    sub("SHOW", 2, READ, NO_KEYS),
    sub("STAGE", -4, ADMIN, NO_KEYS),
    HELP,
];
static DOT_BUCKET: &[Subcommand] = &[
    sub("DEL", 3, ADMIN, NO_KEYS),
    sub("GET", 3, ADMIN, NO_KEYS),
    sub("LIST", 2, ADMIN, NO_KEYS),
    sub("SET", -4, ADMIN, NO_KEYS),
    HELP,
];
static DOT_FAULT: &[Subcommand] = &[
    sub("CUT", -3, ADMIN, NO_KEYS),
    sub("DELAY", 3, ADMIN, NO_KEYS),
    sub("DROP", 3, ADMIN, NO_KEYS),
    sub("HEAL", 2, ADMIN, NO_KEYS),
    sub("LIST", 2, ADMIN, NO_KEYS),
    HELP,
];

/// Those of a command; most have none.
pub(crate) fn subcommands(command: &Command) -> &'static [Subcommand] {
    match command.name {
        "ACL" => ACL,
        "CLIENT" => CLIENT,
        "CLUSTER" => CLUSTER,
        "COMMAND" => COMMAND,
        "CONFIG" => CONFIG,
        "LATENCY" => LATENCY,
        "MEMORY" => MEMORY,
        "OBJECT" => OBJECT,
        "PUBSUB" => PUBSUB_SUBS,
        "SCRIPT" => SCRIPT,
        "SLOWLOG" => SLOWLOG,
        "XINFO" => XINFO,
        "DOT.LAYOUT" => DOT_LAYOUT,
        "DOT.FAULT" => DOT_FAULT,
        "DOT.BUCKET" => DOT_BUCKET,
        _ => &[],
    }
}

/// The one that is asked for.
pub(super) fn asked_for(command: &Command, arguments: &Arguments<'_>) -> Option<&'static Subcommand> {
    subcommands(command).iter().find(|sub| arguments.is(1, sub.name))
}

/// Notes for CLIENT LIST which one is asked for, if there is such a one.
pub(super) fn begin_sub(arguments: &Arguments<'_>, session: &Session) {
    let sub = find(arguments.get(0)).and_then(|command| asked_for(command, arguments));
    session.client.begin_sub(sub.map_or("", |sub| sub.name));
}

#[cfg(test)]
mod tests {
    use replica::ByteString;

    use super::*;
    use crate::command::{WITH_SUBCOMMANDS, all};

    #[test]
    fn every_command_that_has_subcommands_names_them() {
        for command in all() {
            let has_help = subcommands(command).iter().any(|sub| sub.name == "HELP");
            assert_eq!(has_help, WITH_SUBCOMMANDS.contains(&command.name), "{}", command.name);
        }
    }

    #[test]
    fn no_text_of_a_client_gets_into_the_list_of_clients() {
        let session = Session::without_connection();
        for (sub, shown) in
            [("LIST", "cmd=NULL|list "), ("x\nid=1 addr=10.0.0.1:1", "cmd=NULL "), ("ID", "cmd=NULL|id ")]
        {
            let words = ["CLIENT", sub].map(|word| ByteString::from(word.as_bytes()));
            begin_sub(&Arguments::kept(&words), &session);
            let line = session.client.line();
            assert!(line.contains(&shown.to_ascii_lowercase()) && !line.contains('\n'), "{line}");
        }
    }
}
