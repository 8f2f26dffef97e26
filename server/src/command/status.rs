//! DOT.STATUS: how this node and its cluster stand, for people, in one reply.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use replica::{Answer, NodeId, Operation, PARTITIONS, PartitionId, View};

use crate::command::causal::{Lack, lacks};
use crate::command::{Arguments, Command, IN_TURN, NO_KEYS, everywhere, here};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[here(
    "DOT.STATUS",
    1,
    &["readonly", "admin", IN_TURN],
    NO_KEYS,
    "dot",
    "How this node stands: health, members, layout, partitions, what it and others lack, merges, disk.",
    status,
)];

fn text(text: impl Into<String>) -> Reply {
    Reply::bulk(text.into())
}

fn named<const N: usize>(pairs: [(&str, Reply); N]) -> Reply {
    Reply::map(pairs.map(|(name, reply)| (text(name), reply)))
}

fn number(number: u64) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What is known here is said, whoever is away: keys are counted by others, and nil if those do not answer.
fn status(_: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let mut requests = everywhere(session, node, &Operation::Entropy);
    let partitions = requests.len();
    requests.extend(everywhere(session, node, &Operation::Count));
    Step::ask_all(requests, move |answers, node| {
        let (entropy, counts) = answers.split_at(partitions);
        let keys = counts.iter().try_fold(0, |all, answer| match answer {
            Answer::Count(count) => Some(all + count),
            _ => None,
        });
        describe(node, keys, &lacks(entropy))
    })
}

/// How many partitions of this node are in which state, and of how many too few owners answer.
struct Partitions {
    serving: usize,
    filling: usize,
    giving_away: usize,
    without_majority: usize,
}

impl Partitions {
    fn of(node: NodeId, view: &View) -> Self {
        let mut all = Self { serving: 0, filling: 0, giving_away: 0, without_majority: 0 };
        for replicas in PartitionId::all().map(|partition| view.replicas(partition)) {
            let alive = replicas.serving.iter().filter(|owner| view.alive.contains(owner)).count();
            all.serving += usize::from(replicas.serving.contains(&node));
            all.filling += usize::from(replicas.filling.contains(&node));
            all.giving_away += usize::from(replicas.former.contains(&node));
            all.without_majority += usize::from(alive < usize::from(replicas.majority()));
        }
        all
    }
}

fn describe(node: &Node, keys: Option<u64>, lacks: &BTreeMap<NodeId, Lack>) -> Reply {
    let view = node.view();
    let own = Partitions::of(node.id, &view);
    let silent = view.members.current().filter(|(id, _)| !view.alive.contains(id)).count();
    named([
        ("node", text(view.name(node.id))),
        ("health", text(health(node, &own, silent))),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("incarnation", Reply::Integer(node.incarnation().0.into())),
        ("uptime-seconds", number(node.started.elapsed().as_secs())),
        ("clients", Reply::count(node.clients.count())),
        ("commands", number(node.commands.load(Ordering::Relaxed))),
        ("merges", number(node.merges.load(Ordering::Relaxed))),
        ("keys", keys.map_or(Reply::Null, number)),
        ("layout", layout(&view)),
        (
            "partitions",
            named([
                ("serving", Reply::count(own.serving)),
                ("filling", Reply::count(own.filling)),
                ("giving-away", Reply::count(own.giving_away)),
                ("without-majority", Reply::count(own.without_majority)),
            ]),
        ),
        ("members", members(&view, lacks)),
        ("disk", disk(node)),
        ("scrub", scrub(node)),
    ])
}

/// The worst of it, in a sentence.
fn health(node: &Node, own: &Partitions, silent: usize) -> String {
    match () {
        () if node.drain.has_begun() => "ending: what is under way is answered".to_owned(),
        () if own.without_majority > 0 => {
            format!("bad: of {} partitions too few owners answer for a quorum", own.without_majority)
        }
        () if node.is_busy() => {
            "bad: more waits for the disk than may (backlog-bytes), and writes are refused".to_owned()
        }
        () if silent > 0 => format!("fair: {silent} members do not answer, but of every partition a majority does"),
        () if own.filling > 0 => format!("fair: {} partitions are being filled", own.filling),
        () => "good".to_owned(),
    }
}

/// How far it is.
fn scrub(node: &Node) -> Reply {
    let read = node.scrubs.partitions_read();
    named([
        ("under-way", Reply::Integer(read.is_some().into())),
        ("partitions-read", number(read.unwrap_or(PARTITIONS.into()))),
        ("partitions", number(PARTITIONS.into())),
    ])
}

fn layout(view: &View) -> Reply {
    let placement = match view.members.layouts.iter().count() {
        0 => "automatic",
        1 => "committed",
        _ => "several at once",
    };
    named([
        ("placement", text(placement)),
        ("version", number(view.members.version())),
        ("replicas", Reply::Integer(view.members.replicas().into())),
    ])
}

fn members(view: &View, lacks: &BTreeMap<NodeId, Lack>) -> Reply {
    let described = view.members.current().map(|(id, member)| {
        let lack = lacks.get(id).copied().unwrap_or_default();
        named([
            ("node", text(member.name.as_str())),
            ("alive", Reply::Integer(view.alive.contains(id).into())),
            ("client-address", text(member.client_address.to_string())),
            ("serving", Reply::count(Partitions::of(*id, view).serving)),
            ("missing-there", number(lack.there)),
            ("missing-here", number(lack.here)),
        ])
    });
    Reply::Array(described.collect())
}

fn disk(node: &Node) -> Reply {
    let options = &node.options;
    let room = rustix::fs::statvfs(&options.data).ok().filter(|_| !options.is_in_memory());
    let free = room.map(|room| room.f_bavail.saturating_mul(room.f_frsize));
    named([
        ("engine", text(options.engine().name())),
        ("durability", text(super::server::durability(node))),
        ("directory", text(super::server::directory(node))),
        ("free-bytes", free.map_or(Reply::Null, number)),
        ("syncs", number(node.disk.syncs.count())),
        ("is-behind", Reply::Integer(node.is_busy().into())),
    ])
}
