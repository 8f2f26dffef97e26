//! WAIT: how many owners hold what this connection has written last.

use std::sync::Arc;
use std::time::Duration;

use replica::{Answer, Context, Operation, Part, PartitionId, Request};
use tokio::time::{Instant, sleep};

use crate::command::requests::request;
use crate::command::{ANYWHERE, Arguments, Command, IN_TURN, NO_KEYS, here};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[here(
    "WAIT",
    3,
    &["noscript", "blocking", IN_TURN, ANYWHERE],
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
    let written = session.last_write.get();
    if written.is_empty() {
        // Whoever is there has all of nothing.
        let view = node.view();
        let alive =
            |partition| view.replicas(partition).serving.iter().filter(|node| view.alive.contains(node)).count();
        let others = PartitionId::all().map(alive).min().unwrap_or(0).saturating_sub(1);
        return Reply::count(others).into();
    }
    let deadline = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms as u64));
    let ask = |(key, own): (Vec<u8>, Context)| (request(session, node, &key, Operation::Explain), own);
    let (asked, node): (Vec<(Request, Context)>, _) = (written.into_iter().map(ask).collect(), Arc::clone(node));
    let waits = session.has_connection();
    Step::Wait(Box::pin(async move {
        loop {
            let mut holders = usize::MAX;
            for (request, own) in &asked {
                holders = holders.min(holders_of(node.ask(request.clone()).await, own));
            }
            // One of them is the master, as Redis would have it.
            let others = holders.saturating_sub(1) as i64;
            if others >= wanted || !waits || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Reply::Integer(others);
            }
            sleep(AGAIN).await;
        }
    }))
}

/// How many owners hold these events.
fn holders_of(answer: Answer, own: &Context) -> usize {
    let Answer::Explained(reports) = answer else { return 0 };
    let owners = reports.iter().filter(|(_, part, _)| *part == Part::Owner);
    owners.filter(|(_, _, report)| report.as_ref().is_some_and(|report| report.clock.covers(own))).count()
}
