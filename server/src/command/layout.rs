//! DOT.LAYOUT: what each node bears and where it stands, staged, planned, shown, and only then committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use replica::{
    Answer, Layout, LayoutChange, MAX_CAPACITY, Move, NodeId, Operation, PartitionId, Proposal, Refused, Request, Role,
    View,
};

use crate::command::requests::request;
use crate::command::{Arguments, Command, IN_TURN, NO_KEYS, here};
use crate::gather::Step;
use crate::merges::dot_name;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[here(
    "DOT.LAYOUT",
    -2,
    &["admin", IN_TURN],
    NO_KEYS,
    "dot",
    "SHOW; STAGE node [ZONE z] [CAPACITY n] | STAGE node LEAVE | REMOVE | STAGE REPLICAS n; PLAN; COMMIT plan; REVERT.",
    run,
)];

const USAGE: &str = "ERR DOT.LAYOUT SHOW | STAGE node [ZONE z] [CAPACITY n] | STAGE node LEAVE | STAGE node REMOVE | \
                     STAGE REPLICAS n | PLAN | COMMIT plan | REVERT";

/// How long a node has to say what a partition takes; later it is not known.
const WEIGHED_MS: u32 = 1_000;

fn run(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let sub = arguments.text(1).to_ascii_uppercase();
    let reply = match (sub.as_str(), arguments.len()) {
        ("SHOW", 2) => Ok(show(node)),
        ("STAGE", 4..) => stage(arguments, node),
        ("PLAN", 2) => return plan(session, node),
        ("COMMIT", 3) => commit(arguments, node),
        ("REVERT", 2) => {
            node.with_cluster(|cluster, _, _| cluster.revert());
            Ok(Reply::ok())
        }
        _ => Err(Reply::error(USAGE)),
    };
    reply.unwrap_or_else(|error| error).into()
}

/// Why, with the node called as people call it.
fn refused(why: &Refused, node: &Node) -> Reply {
    let text = why.to_string();
    Reply::error(match why {
        Refused::Removed(id) | Refused::StillThere(id) => {
            format!("ERR {}", text.replace(&id.to_string(), &node.view().name(*id)))
        }
        _ => format!("ERR {text}"),
    })
}

/// What the node bears if nothing else is said: as staged, as committed, or what every node does.
fn role_of(node: NodeId, staged: &[LayoutChange], view: &View) -> Role {
    let wanted = staged.iter().find_map(|change| match change {
        LayoutChange::Role(other, role) if *other == node => Some(role.clone()),
        _ => None,
    });
    wanted.or_else(|| view.members.decided().remove(&node)).unwrap_or_default()
}

fn stage(arguments: &Arguments<'_>, node: &Arc<Node>) -> Result<Reply, Reply> {
    let change = if arguments.is(2, "REPLICAS") && arguments.len() == 4 {
        let replicas = parse_integer(arguments.get(3)).and_then(|n| u8::try_from(n).ok());
        LayoutChange::Replicas(replicas.ok_or_else(|| Reply::error("ERR REPLICAS takes a number, 1 to 9"))?)
    } else {
        let view = node.view();
        let name = arguments.text(2);
        let of = view.members.by_name(&name);
        let of = of.ok_or_else(|| Reply::error(format!("ERR no node is called '{name}'")))?;
        match (arguments.len(), arguments.is(3, "LEAVE"), arguments.is(3, "REMOVE")) {
            (4, true, _) => LayoutChange::Leave(of),
            (4, _, true) => LayoutChange::Remove(of),
            _ => {
                let mut role = node.cluster(|cluster| role_of(of, cluster.staged(), &view));
                for at in (3..arguments.len()).step_by(2) {
                    let value = arguments.text(at + 1);
                    if arguments.is(at, "ZONE") && at + 1 < arguments.len() {
                        role.zone = value;
                    } else if arguments.is(at, "CAPACITY") && at + 1 < arguments.len() {
                        let capacity = parse_integer(value.as_bytes()).and_then(|n| u32::try_from(n).ok());
                        role.capacity = capacity.ok_or_else(|| {
                            Reply::error(format!("ERR a capacity of '{value}': it has to be 1 to {MAX_CAPACITY}"))
                        })?;
                    } else {
                        return Err(Reply::error(USAGE));
                    }
                }
                LayoutChange::Role(of, role)
            }
        }
    };
    let mut outcome = Ok(());
    node.with_cluster(|cluster, _, _| outcome = cluster.stage(change));
    outcome.map(|()| Reply::ok()).map_err(|why| refused(&why, node))
}

fn commit(arguments: &Arguments<'_>, node: &Arc<Node>) -> Result<Reply, Reply> {
    let id = u64::from_str_radix(&arguments.text(2), 16);
    let id = id.map_err(|_| Reply::error("ERR COMMIT takes the plan that DOT.LAYOUT PLAN has shown"))?;
    let mut outcome = Ok(());
    node.with_cluster(|cluster, now, out| outcome = cluster.commit(id, now, out));
    outcome.map_err(|why| refused(&why, node))?;
    node.keep_members();
    Ok(Reply::ok())
}

fn text(text: impl Into<String>) -> Reply {
    Reply::bulk(text.into())
}

fn named<const N: usize>(pairs: [(&str, Reply); N]) -> Reply {
    Reply::map(pairs.map(|(name, reply)| (text(name), reply)))
}

fn show(node: &Node) -> Reply {
    let (view, staged) = node.cluster(|cluster| (Arc::clone(cluster.view()), cluster.staged().to_vec()));
    let members = &view.members;
    let layouts: Vec<(&replica::Dot, &Layout)> = members.layouts.iter().collect();
    let placement = match layouts.len() {
        0 => "automatic: every member bears the same",
        1 => "committed",
        _ => "several layouts were committed at once: all are honoured until one more is committed",
    };
    let described = layouts.iter().map(|(dot, layout)| {
        named([
            ("commit", text(dot_name(dot, &view))),
            ("replicas", Reply::Integer(layout.replicas.into())),
            ("nodes", Reply::count(layout.roles.len())),
        ])
    });
    let roles = members.decided();
    let loads: Vec<BTreeMap<NodeId, u32>> = layouts.iter().map(|(_, layout)| layout.owners.load()).collect();
    let nodes = members.current().map(|(id, member)| {
        let count = |of: fn(&replica::Replicas) -> &Vec<NodeId>| {
            Reply::count(PartitionId::all().filter(|it| of(view.replicas(*it)).contains(id)).count())
        };
        let role = roles.get(id);
        named([
            ("node", text(member.name.as_str())),
            ("id", text(id.to_string())),
            ("alive", Reply::Integer(view.alive.contains(id).into())),
            ("zone", text(role.map_or("", |role| role.zone.as_str()))),
            ("capacity", Reply::Integer(role.map_or(0, |role| role.capacity).into())),
            (
                "owns",
                match loads.as_slice() {
                    [] => count(|replicas| &replicas.serving),
                    loads => Reply::Array(
                        loads.iter().map(|load| Reply::Integer(load.get(id).copied().unwrap_or(0).into())).collect(),
                    ),
                },
            ),
            ("serving", count(|replicas| &replicas.serving)),
            ("filling", count(|replicas| &replicas.filling)),
            ("giving-away", count(|replicas| &replicas.former)),
        ])
    });
    named([
        ("placement", text(placement)),
        ("replicas", Reply::Integer(members.replicas().into())),
        ("layouts", Reply::Array(described.collect())),
        ("nodes", Reply::Array(nodes.collect())),
        ("staged", Reply::Array(staged.iter().map(|change| text(wish(change, &view))).collect())),
    ])
}

fn wish(change: &LayoutChange, view: &View) -> String {
    match change {
        LayoutChange::Role(node, Role { zone, capacity }) => {
            format!("{} ZONE {zone} CAPACITY {capacity}", view.name(*node))
        }
        LayoutChange::Leave(node) => format!("{} LEAVE", view.name(*node)),
        LayoutChange::Remove(node) => format!("{} REMOVE", view.name(*node)),
        LayoutChange::Replicas(replicas) => format!("REPLICAS {replicas}"),
    }
}

/// What would be done, once the owners have said what the partitions that move take.
fn plan(session: &Session, node: &Arc<Node>) -> Step {
    let (proposal, view) = node.cluster(|cluster| (cluster.propose(), Arc::clone(cluster.view())));
    let proposal = match proposal {
        Ok(proposal) => proposal,
        Err(why) => return refused(&why, node).into(),
    };
    let moving: BTreeSet<PartitionId> = proposal.plan.moves.iter().map(|it| it.partition).collect();
    if moving.is_empty() {
        return planned(&proposal, &view, &Weights::new()).into();
    }
    let weigh = request(session, node, b"", Operation::Weigh);
    let requests =
        moving.iter().map(|it| Request { partition: *it, timeout_ms: Some(WEIGHED_MS), ..weigh.clone() }).collect();
    Step::ask_all(requests, move |answers, _| {
        let weights = moving.into_iter().zip(answers).filter_map(|(partition, answer)| match answer {
            Answer::Weighed(Some(bytes)) => Some((partition, bytes)),
            _ => None,
        });
        planned(&proposal, &view, &weights.collect())
    })
}

/// What partitions take, where that is known.
type Weights = BTreeMap<PartitionId, u64>;

/// What moves take together; nil if that is not known of one of them.
fn weigh<'m>(moves: impl Iterator<Item = &'m Move>, weights: &Weights) -> Reply {
    let bytes = moves.map(|it| weights.get(&it.partition)).try_fold(0, |all, bytes| Some(all + bytes?));
    bytes.map_or(Reply::Null, |bytes: u64| Reply::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)))
}

fn planned(proposal: &Proposal, view: &View, weights: &Weights) -> Reply {
    let plan = &proposal.plan;
    let bytes = |of: &dyn Fn(&Move) -> bool| weigh(plan.moves.iter().filter(|it| of(it)), weights);
    let count = |of: &dyn Fn(&Move) -> bool| Reply::count(plan.moves.iter().filter(|it| of(it)).count());
    let every = proposal.load_before.keys().chain(plan.load.keys()).collect::<BTreeSet<_>>();
    let nodes = every.into_iter().map(|id| {
        let (fair, owned) = plan.load.get(id).copied().unwrap_or_default();
        let role = proposal.layout.roles.get(id);
        named([
            ("node", text(view.name(*id))),
            ("zone", text(role.map_or("", |role| role.zone.as_str()))),
            ("capacity", Reply::Integer(role.map_or(0, |role| role.capacity).into())),
            ("fair-share", text(format!("{fair:.1}"))),
            ("owns-now", Reply::Integer(proposal.load_before.get(id).copied().unwrap_or(0).into())),
            ("owns-then", Reply::Integer(owned.into())),
            ("receives", count(&|it| it.to == *id)),
            ("gives", count(&|it| it.from == Some(*id))),
            ("receives-bytes", bytes(&|it| it.to == *id)),
            ("gives-bytes", bytes(&|it| it.from == Some(*id))),
        ])
    });
    named([
        ("plan", text(format!("{:016x}", proposal.id))),
        ("replicas", Reply::Integer(proposal.layout.replicas.into())),
        ("moves", Reply::count(plan.moves.len())),
        ("nodes", Reply::Array(nodes.collect())),
        ("violations", Reply::Array(plan.violations.iter().map(|what| text(what.as_str())).collect())),
        ("bytes", bytes(&|_| true)),
    ])
}
