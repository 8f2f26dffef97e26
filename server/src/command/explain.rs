//! DOT.EXPLAIN: where a key lives, and where each of its owners stands.

use std::sync::Arc;

use replica::{Answer, CellId, CellKind, Context, NodeId, Operation, OwnerReport, Part, PartitionId, View};

use crate::command::{Arguments, check_name, refusal, request};
use crate::gather::Step;
use crate::merges::{dot_name, type_name};
use crate::node::Node;
use crate::resp::Reply;
use crate::session::Session;
use crate::stream::EntryId;

pub(super) fn run(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let key = arguments.get(1);
    if let Err(refused) = check_name(node, key) {
        return refused.into();
    }
    let slot = redis_protocol::redis_keyslot(key);
    Step::ask_one(request(session, node, key, Operation::Explain), move |answer, node| match answer {
        Answer::Explained(reports) => describe(slot, &reports, &node.view()).into(),
        other => refusal(&other, node).into(),
    })
}

fn text(value: impl Into<String>) -> Reply {
    Reply::bulk(value.into())
}

fn describe(slot: u16, reports: &[(NodeId, Part, Option<OwnerReport>)], view: &View) -> Reply {
    let partition = PartitionId::of_slot(slot);
    let serving = &view.replicas(partition).serving;
    let known = reports.iter().filter_map(|(_, _, report)| report.as_ref()).fold(Context::new(), |mut all, report| {
        all.union(&report.clock);
        all
    });
    let of = |wanted: Part| {
        let reports = reports.iter().filter(move |(_, part, _)| *part == wanted);
        Reply::Array(reports.map(|(node, _, report)| owner(*node, report.as_ref(), &known, view)).collect())
    };
    Reply::map([
        (text("slot"), Reply::Integer(slot.into())),
        (text("partition"), Reply::Integer(partition.number().into())),
        (text("preference-list"), Reply::Array(serving.iter().map(|node| text(view.name(*node))).collect())),
        (text("stand-ins"), of(Part::StandIn)),
        (text("owners"), of(Part::Owner)),
    ])
}

fn owner(node: NodeId, report: Option<&OwnerReport>, known: &Context, view: &View) -> Reply {
    let mut pairs =
        vec![(text("node"), text(view.name(node))), (text("reachable"), Reply::Integer(report.is_some().into()))];
    if let Some(report) = report {
        let cells = report.cells.iter().map(|(id, dots)| {
            let dots = dots.iter().map(|dot| text(dot_name(dot, view))).collect();
            Reply::map([(text("cell"), text(cell_name(id))), (text("dots"), Reply::Array(dots))])
        });
        pairs.extend([
            (text("filling"), Reply::Integer(report.filling.into())),
            (text("clock"), text(ranges(&report.clock, view))),
            (text("missing"), text(ranges(&known.minus(&report.clock), view))),
            (text("missing-dots"), Reply::Integer(known.minus(&report.clock).len() as i64)),
            (text("cells-total"), Reply::Integer(report.cells_total as i64)),
            (text("cells"), Reply::Array(cells.collect())),
            (text("metadata-bytes"), Reply::Integer(report.metadata_bytes as i64)),
            (text("log-entries"), Reply::Integer(report.log_entries as i64)),
        ]);
    }
    Reply::map(pairs)
}

fn cell_name(id: &CellId) -> String {
    match id.kind {
        CellKind::Value => "value".to_owned(),
        CellKind::Member => format!("member {}", String::from_utf8_lossy(&id.name)),
        CellKind::Field => format!("field {} of the {}", String::from_utf8_lossy(&id.name), type_name(id.kind)),
        CellKind::Score => format!("member {} of the zset", String::from_utf8_lossy(&id.name)),
        CellKind::Item => format!("element {}", id.name.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        CellKind::Deadline => "deadline".to_owned(),
        CellKind::Entry => EntryId::from_name(&id.name).map_or_else(String::new, |id| format!("entry {id}")),
    }
}

/// A context as people read it: `a.470123:1-7,9 b.470123:1-3`.
fn ranges(context: &Context, view: &View) -> String {
    let actors = context.iter().map(|(actor, set)| {
        let runs = set.runs().iter().map(|run| match run.last - run.first {
            0 => run.first.to_string(),
            _ => format!("{}-{}", run.first, run.last),
        });
        format!("{}.{}:{}", view.name(actor.node), actor.incarnation.0, runs.collect::<Vec<_>>().join(","))
    });
    actors.collect::<Vec<_>>().join(" ")
}
