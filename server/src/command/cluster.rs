//! CLUSTER: which node to send which key to, for clients that ask. Every node takes every key all the same, and nobody is ever
//! sent elsewhere.

use std::fmt::Write as _;
use std::sync::Arc;

use replica::{Member, NodeId, Operation, PartitionId, View};

use crate::command::requests::request;
use crate::command::{Arguments, Command, NO_KEYS, READ_FAST, here};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "cluster";

pub(super) static COMMANDS: &[Command] = &[
    here(
        "CLUSTER",
        -2,
        &["readonly"],
        NO_KEYS,
        GROUP,
        "SLOTS, SHARDS, NODES, INFO, MYID, KEYSLOT: who owns what.",
        cluster,
    ),
    here("READONLY", 1, READ_FAST, NO_KEYS, GROUP, "From now on one replica is enough to answer a read.", readonly),
    here(
        "READWRITE",
        1,
        READ_FAST,
        NO_KEYS,
        GROUP,
        "From now on reads ask as many as the node's settings say.",
        readwrite,
    ),
    here("ASKING", 1, READ_FAST, NO_KEYS, GROUP, "Nothing: any node takes any key.", asking),
];

/// Slots from one to another, both included, and who coordinates them.
///
/// The other owners are not told: clients give each node one role, and a node that coordinates some slots and holds copies of
/// others would be a replica to them, to which no script is sent.
struct Stretch {
    first: u16,
    last: u16,
    coordinator: NodeId,
}

fn stretches(view: &View) -> Vec<Stretch> {
    let per_partition = replica::SLOTS / replica::PARTITIONS;
    let mut stretches: Vec<Stretch> = Vec::new();
    for partition in PartitionId::all() {
        // Somebody must be named where nobody answers; whoever is asked says what is wrong.
        let owners = &view.replicas(partition).serving;
        let Some(coordinator) = view.coordinator(partition).or(owners.first().copied()) else { continue };
        let first = partition.number() * per_partition;
        let last = first + per_partition - 1;
        match stretches.last_mut() {
            Some(before) if before.coordinator == coordinator && before.last + 1 == first => before.last = last,
            _ => stretches.push(Stretch { first, last, coordinator }),
        }
    }
    stretches
}

/// Forty hexadecimal digits, as clients expect.
fn id_of(node: NodeId) -> String {
    format!("{:032x}00000000", node.0.as_u128())
}

/// Where clients reach a node; without an address of its own, where they reached this one.
fn host(member: &Member) -> String {
    let ip = member.client_address.ip();
    if ip.is_unspecified() { String::new() } else { ip.to_string() }
}

fn cluster(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let view = node.view();
    let sub = arguments.word(1);
    let slot_of = |at: usize| parse_integer(arguments.get(at)).and_then(|slot| u16::try_from(slot).ok());
    let reply = match (sub.as_str(), arguments.len()) {
        ("SLOTS", 2) => slots(&view),
        ("SHARDS", 2) => shards(&view),
        ("NODES", 2) => Reply::Verbatim(nodes(node, &view)),
        ("INFO", 2) => Reply::Verbatim(info(&view)),
        ("MYID", 2) => Reply::bulk(id_of(node.id)),
        ("KEYSLOT", 3) => Reply::Integer(redis_protocol::redis_keyslot(arguments.get(2)).into()),
        ("COUNTKEYSINSLOT", 3) | ("GETKEYSINSLOT", 4) => match slot_of(2).filter(|slot| *slot < replica::SLOTS) {
            Some(slot) => return keys_in(slot, arguments, session, node),
            None => Reply::error("ERR Invalid slot"),
        },
        ("RESET" | "MEET" | "ADDSLOTS" | "DELSLOTS" | "SETSLOT" | "FORGET" | "REPLICATE" | "FAILOVER", _) => {
            Reply::error("ERR owners are decided with DOT.LAYOUT, and nodes join with --join")
        }
        ("SLOTS" | "SHARDS" | "NODES" | "INFO" | "MYID" | "KEYSLOT" | "COUNTKEYSINSLOT" | "GETKEYSINSLOT", _) => {
            Reply::wrong_number_of_arguments(&format!("cluster|{}", sub.to_ascii_lowercase()))
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try CLUSTER HELP.", arguments.text(1))),
    };
    reply.into()
}

fn slots(view: &View) -> Reply {
    let described = stretches(view).into_iter().map(|stretch| {
        let (id, member) = (stretch.coordinator, view.members.nodes.get(&stretch.coordinator));
        let node = member.map(|member| {
            Reply::Array(vec![
                Reply::bulk(host(member)),
                Reply::Integer(member.client_address.port().into()),
                Reply::bulk(id_of(id)),
                Reply::Array(Vec::new()),
            ])
        });
        let bounds = [Reply::Integer(stretch.first.into()), Reply::Integer(stretch.last.into())];
        Reply::Array(bounds.into_iter().chain(node).collect())
    });
    Reply::Array(described.collect())
}

/// One shard per node that coordinates something, with all it coordinates.
fn shards(view: &View) -> Reply {
    let stretches = stretches(view);
    let described = view.members.current().map(|(id, member)| {
        let own = stretches.iter().filter(|stretch| stretch.coordinator == *id);
        let slots = own.flat_map(|stretch| [Reply::Integer(stretch.first.into()), Reply::Integer(stretch.last.into())]);
        let health = if view.alive.contains(id) { "online" } else { "failed" };
        let node = Reply::map(
            [
                ("id", Reply::bulk(id_of(*id))),
                ("port", Reply::Integer(member.client_address.port().into())),
                ("ip", Reply::bulk(host(member))),
                ("endpoint", Reply::bulk(host(member))),
                ("role", Reply::bulk("master")),
                ("replication-offset", Reply::Integer(0)),
                ("health", Reply::bulk(health)),
            ]
            .map(|(name, value)| (Reply::bulk(name), value)),
        );
        Reply::map([
            (Reply::bulk("slots"), Reply::Array(slots.collect())),
            (Reply::bulk("nodes"), Reply::Array(vec![node])),
        ])
    });
    Reply::Array(described.collect())
}

fn nodes(node: &Node, view: &View) -> String {
    let stretches = stretches(view);
    let mut text = String::new();
    for (id, member) in view.members.current() {
        let myself = if *id == node.id { "myself," } else { "" };
        let (failed, link) = if view.alive.contains(id) { ("", "connected") } else { (",fail", "disconnected") };
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "{} {}:{}@{} {myself}master{failed} - 0 0 {} {link}",
            id_of(*id),
            host(member),
            member.client_address.port(),
            member.peer_address.port(),
            member.incarnation.0
        );
        for stretch in stretches.iter().filter(|stretch| stretch.coordinator == *id) {
            let _ = write!(text, " {}-{}", stretch.first, stretch.last);
        }
        text.push('\n');
    }
    text
}

fn info(view: &View) -> String {
    let served = PartitionId::all().filter(|partition| view.coordinator(*partition).is_some()).count();
    let slots = served * usize::from(replica::SLOTS / replica::PARTITIONS);
    let state = if slots == usize::from(replica::SLOTS) { "ok" } else { "fail" };
    let members = view.members.current().count();
    format!(
        "cluster_enabled:0\r\ncluster_state:{state}\r\ncluster_slots_assigned:{}\r\ncluster_slots_ok:{slots}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:{}\r\ncluster_known_nodes:{members}\r\ncluster_size:{members}\r\n\
         cluster_current_epoch:{}\r\ncluster_my_epoch:0\r\n",
        replica::SLOTS,
        usize::from(replica::SLOTS) - slots,
        view.members.version()
    )
}

/// Keys of one slot: of its partition's, those that fall into it.
fn keys_in(slot: u16, arguments: &Arguments<'_>, session: &Session, node: &Node) -> Step {
    let most = match arguments.len() {
        3 => None,
        _ => match parse_integer(arguments.get(3)).and_then(|most| usize::try_from(most).ok()) {
            Some(most) => Some(most),
            None => return Reply::error("ERR Invalid number of keys").into(),
        },
    };
    let all = Operation::Scan { from: replica::KeyHash(0), count_keys: u32::MAX, conflicts_only: false };
    let scan = replica::Request { partition: PartitionId::of_slot(slot), ..request(session, node, b"", all) };
    Step::ask_one(scan, move |answer, node| match answer {
        replica::Answer::Page(keys, _) => {
            let own = keys.into_iter().map(|(key, _)| key.0).filter(|key| redis_protocol::redis_keyslot(key) == slot);
            match most {
                None => Reply::count(own.count()).into(),
                Some(most) => Reply::array(own.take(most)).into(),
            }
        }
        other => crate::command::refusal(&other, node).into(),
    })
}

fn readonly(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    session.quorums.r = Some(1);
    Reply::ok().into()
}

fn readwrite(_: &Arguments<'_>, session: &mut Session, _: &Arc<Node>) -> Step {
    session.quorums.r = None;
    Reply::ok().into()
}

fn asking(_: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    Reply::ok().into()
}
