//! DOT.COUNT and DOT.MAPREDUCE: every key of the cluster, each looked at where it is.

use std::sync::Arc;

use replica::{Answer, ByteString, PartitionId, Request, Sweep};

use crate::command::refusal::refusal;
use crate::command::{Arguments, Command, NO_KEYS, here};
use crate::gather::Step;
use crate::jobs::{Job, What};
use crate::node::Node;
use crate::procedures::Commands;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

const GROUP: &str = "generic";

pub(super) static COMMANDS: &[Command] = &[
    here("DOT.COUNT", -1, &["readonly"], NO_KEYS, GROUP, "Counts keys, all or those like a pattern, by type.", count),
    here(
        "DOT.MAPREDUCE",
        -3,
        &["readonly", "noscript"],
        NO_KEYS,
        GROUP,
        "Has a script map every key where it is, and another make one value of two.",
        map_reduce,
    ),
];

/// `[MATCH pattern]` from a place on.
fn pattern(arguments: &Arguments<'_>, at: usize) -> Result<Option<ByteString>, Reply> {
    match arguments.len() - at {
        0 => Ok(None),
        2 if arguments.is(at, "MATCH") => Ok(Some(arguments.get(at + 1).into())),
        _ => Err(Reply::syntax_error()),
    }
}

fn count(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    let pattern = match pattern(arguments, 1) {
        Ok(pattern) => pattern,
        Err(refused) => return refused.into(),
    };
    sweep(Job { pattern, what: What::Count }, |sweep| {
        let number = |text: &ByteString| parse_integer(&text.0).unwrap_or(0);
        let total = sweep.results().map(|(_, count)| number(count)).sum();
        let by_type = sweep.results().map(|(name, count)| (Reply::bulk(name.0.clone()), Reply::Integer(number(count))));
        Reply::map([
            (Reply::copied(b"keys"), Reply::Integer(total)),
            (Reply::copied(b"types"), Reply::Map(by_type.collect())),
        ])
    })
}

fn map_reduce(arguments: &Arguments<'_>, _: &mut Session, _: &Arc<Node>) -> Step {
    let pattern = match pattern(arguments, 3) {
        Ok(pattern) => pattern,
        Err(refused) => return refused.into(),
    };
    let what = What::Scripts { map: arguments.get(1).into(), reduce: arguments.get(2).into() };
    sweep(Job { pattern, what }, |sweep| {
        let results = sweep.results().map(|(name, value)| (Reply::bulk(name.0.clone()), Reply::bulk(value.0.clone())));
        Reply::Map(results.collect())
    })
}

fn sweep(job: Job, finish: impl FnOnce(&Sweep) -> Reply + 'static) -> Step {
    go_on(Sweep::new(job.encode(), PartitionId::all()), finish)
}

fn go_on(mut sweep: Sweep, finish: impl FnOnce(&Sweep) -> Reply + 'static) -> Step {
    let (ids, requests): (Vec<_>, Vec<Request>) = std::iter::from_fn(|| sweep.next_request()).unzip();
    if requests.is_empty() {
        return finish(&sweep).into();
    }
    Step::Ask(
        requests,
        Box::new(move |answers, node| {
            let commands = Commands::of(node);
            for (id, answer) in ids.into_iter().zip(answers) {
                if let Err(why) = sweep.answered(id, answer, &commands) {
                    return refusal(&Answer::Failed(why), node).into();
                }
            }
            go_on(sweep, finish)
        }),
    )
}
