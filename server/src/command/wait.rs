//! WAIT: how many owners hold what this connection has written last.

use std::sync::Arc;
use std::time::Duration;

use replica::{Answer, Operation, Part, PartitionId};
use tokio::time::{Instant, sleep};

use crate::command::requests::request;
use crate::command::{Arguments, Command, NO_KEYS, here};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[here(
    "WAIT",
    3,
    &["blocking"],
    NO_KEYS,
    "generic",
    "Waits until so many other owners hold the last write; says how many do.",
    wait,
)];

/// How often the owners are asked.
const AGAIN: Duration = Duration::from_millis(10);

fn wait(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (Some(wanted), Some(timeout_ms)) = (parse_integer(arguments.get(1)), parse_integer(arguments.get(2))) else {
        return Reply::not_an_integer().into();
    };
    if timeout_ms < 0 {
        return Reply::error("ERR timeout is negative").into();
    }
    let Some((key, own)) = session.last_write.get() else {
        let view = node.view();
        let others = PartitionId::all().map(|partition| view.replicas(partition).owners()).max().unwrap_or(1) - 1;
        return Reply::Integer(others.into()).into();
    };
    let deadline = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms as u64));
    let (node, asked) = (Arc::clone(node), request(session, node, &key, Operation::Explain));
    let waits = session.has_connection();
    Step::Wait(Box::pin(async move {
        loop {
            let holders = match node.ask(asked.clone()).await {
                Answer::Explained(reports) => {
                    let owners = reports.iter().filter(|(_, part, _)| *part == Part::Owner);
                    let holds = |clock: &replica::Context| clock.covers(&own);
                    owners.filter(|(_, _, report)| report.as_ref().is_some_and(|report| holds(&report.clock))).count()
                }
                _ => 0,
            };
            // One of them is the master, as Redis would have it.
            let others = holders.saturating_sub(1) as i64;
            if others >= wanted || !waits || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Reply::Integer(others);
            }
            sleep(AGAIN).await;
        }
    }))
}
