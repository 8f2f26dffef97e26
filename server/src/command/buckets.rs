//! DOT.BUCKET: what requests of keys with a common prefix ask for if nobody says otherwise.

use std::sync::Arc;

use replica::{QuorumKind, Undecided};

use crate::buckets::{Bucket, MAX_BUCKETS, encode, name_of};
use crate::command::causal::{With, with_options};
use crate::command::{Arguments, Command, NO_KEYS, here};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;
use crate::session::{Quorums, Session};

pub(super) static COMMANDS: &[Command] = &[here(
    "DOT.BUCKET",
    -2,
    &["admin"],
    NO_KEYS,
    "dot",
    "SET prefix [R n] [W n] [PR n] [PW n] [DW n] [STRICT|SLOPPY] [MONOTONIC] [TIMEOUT ms]; GET key; LIST; DEL prefix: what requests of such keys ask for.",
    run,
)];

const USAGE: &str = "ERR DOT.BUCKET SET prefix [R n] [W n] [PR n] [PW n] [DW n] [STRICT|SLOPPY] [MONOTONIC] [TIMEOUT ms] | \
                     GET key | LIST | DEL prefix";

fn run(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    let reply = match (arguments.word(1).as_str(), arguments.len()) {
        ("SET", 4..) => set(arguments, node),
        ("GET", 3) => Ok(node.buckets.of(arguments.get(2)).map_or(Reply::Null, |bucket| describe(&bucket))),
        ("LIST", 2) => {
            let mut all: Vec<Bucket> = node.buckets.all().to_vec();
            all.sort_by(|one, other| one.prefix.cmp(&other.prefix));
            Ok(Reply::Array(all.iter().map(describe).collect()))
        }
        ("DEL", 3) => {
            let is_there = node.buckets.all().iter().any(|bucket| bucket.prefix == arguments.get(2));
            // Nothing is said of what was never decided.
            if is_there {
                decide(arguments.get(2), None, node).map(|_| Reply::Integer(1))
            } else {
                Ok(Reply::Integer(0))
            }
        }
        _ => Err(Reply::error(USAGE)),
    };
    reply.unwrap_or_else(|refused| refused).into()
}

fn set(arguments: &Arguments<'_>, node: &Arc<Node>) -> Result<Reply, Reply> {
    // The options of DOT.WITH, in which the prefix stands where that command's name does.
    let options = arguments.after(2);
    let With { quorums, receipt, inner } = with_options(&options)?;
    if receipt || inner < options.len() {
        return Err(Reply::error(USAGE));
    }
    let prefix = arguments.get(2);
    let all = node.buckets.all();
    if all.len() >= MAX_BUCKETS && !all.iter().any(|bucket| bucket.prefix == prefix) {
        return Err(Reply::error(format!(
            "ERR there are {MAX_BUCKETS} buckets, and there can be no more: DOT.BUCKET DEL removes one"
        )));
    }
    decide(prefix, Some(&quorums), node)
}

/// It is on this node's disk when this returns, and on its way to every node that answers.
fn decide(prefix: &[u8], quorums: Option<&Quorums>, node: &Arc<Node>) -> Result<Reply, Reply> {
    let value = quorums.map(encode);
    let mut outcome = Ok(());
    node.with_cluster(|cluster, _, out| outcome = cluster.decide(&name_of(prefix), value.as_deref(), out));
    outcome.map_err(|why| match why {
        Undecided::Name(_) => Reply::error(format!("ERR a prefix of {} bytes is too long: at most 249", prefix.len())),
        Undecided::Value(_) | Undecided::TooMany => Reply::error(format!("ERR {why}")),
    })?;
    node.keep_decisions();
    Ok(Reply::ok())
}

fn describe(bucket: &Bucket) -> Reply {
    let Quorums { r, w, pr, pw, dw, kind, write_back, timeout_ms } = bucket.quorums;
    let text = |text: &str| Reply::copied(text.as_bytes());
    let mut settings = Vec::new();
    for (name, nodes) in [("R", r), ("W", w), ("PR", pr), ("PW", pw), ("DW", dw)] {
        settings.extend(nodes.map(|nodes| (text(name), Reply::Integer(nodes.into()))));
    }
    settings.extend(timeout_ms.map(|ms| (text("TIMEOUT"), Reply::Integer(ms.into()))));
    let kind = match kind {
        Some(QuorumKind::Strict) => Some("STRICT"),
        Some(QuorumKind::Sloppy) => Some("SLOPPY"),
        None => None,
    };
    settings.extend(kind.map(|kind| (text(kind), Reply::Integer(1))));
    settings.extend(write_back.then(|| (text("MONOTONIC"), Reply::Integer(1))));
    Reply::map([
        (text("prefix"), Reply::copied(&bucket.prefix)),
        (text("settings"), Reply::Map(settings)),
        (text("siblings"), Reply::count(bucket.siblings)),
    ])
}
