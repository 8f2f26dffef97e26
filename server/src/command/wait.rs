//! WAIT and WAITAOF: how many owners hold what this connection has written last, in memory or on disk.

use std::sync::Arc;
use std::time::Duration;

use replica::{Answer, Context, NodeId, Operation, Part, PartitionId, Request};
use tokio::time::{Instant, sleep};

use crate::command::requests::request;
use crate::command::{ANYWHERE, Arguments, Command, IN_TURN, NO_KEYS, here};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{Reply, parse_integer};
use crate::session::Session;

pub(super) static COMMANDS: &[Command] = &[
    here(
        "WAIT",
        3,
        &["noscript", "blocking", IN_TURN, ANYWHERE],
        NO_KEYS,
        "generic",
        "Waits until so many other owners hold the last write; says how many do.",
        wait,
    ),
    here(
        "WAITAOF",
        4,
        &["noscript", "blocking", IN_TURN, ANYWHERE],
        NO_KEYS,
        "generic",
        "Waits until one owner, and so many others, have the last write on disk; says whether and how many have.",
        wait_for_disk,
    ),
];

/// How often the owners are asked.
const AGAIN: Duration = Duration::from_millis(10);

/// What is waited for: holders of the last write, one of whom is the master, as Redis would have it.
struct Wanted {
    operation: Operation,
    holders: usize,
    timeout_ms: u64,
}

fn wait(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let (Some(wanted), Some(timeout_ms)) = (parse_integer(arguments.get(1)), parse_integer(arguments.get(2))) else {
        return Reply::not_an_integer().into();
    };
    let Ok(timeout_ms) = u64::try_from(timeout_ms) else {
        return Reply::error("ERR timeout is negative").into();
    };
    let holders = usize::try_from(wanted).map_or(0, |others| others.saturating_add(1));
    let wanted = Wanted { operation: Operation::Explain, holders, timeout_ms };
    wanted.step(session, node, |holders| Reply::count(holders.saturating_sub(1)))
}

fn wait_for_disk(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let numbers = (1..4).map(|at| parse_integer(arguments.get(at))).collect::<Option<Vec<_>>>();
    let reason = match numbers.as_deref() {
        Some([local, ..]) if !(0..=1).contains(local) => "ERR value is out of range, value must between 0 and 1",
        Some([_, others, _]) if *others < 0 => "ERR value is out of range, must be positive",
        Some([_, _, timeout_ms]) if *timeout_ms < 0 => "ERR timeout is negative",
        Some([1, ..]) if node.options.is_in_memory() => {
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
        }
        Some(_) => "",
        None => "ERR value is not an integer or out of range",
    };
    let (true, Some([local, others, timeout_ms])) = (reason.is_empty(), numbers.as_deref()) else {
        return Reply::error(reason).into();
    };
    // Whatever is said of others, one more has it: the first counts as the master.
    let holders = if *others > 0 { others.unsigned_abs() as usize + 1 } else { *local as usize };
    let wanted = Wanted { operation: Operation::ExplainStored, holders, timeout_ms: timeout_ms.unsigned_abs() };
    wanted.step(session, node, |holders| Reply::array([holders.min(1) as i64, holders.saturating_sub(1) as i64]))
}

impl Wanted {
    fn step(self, session: &Session, node: &Arc<Node>, reply: fn(usize) -> Reply) -> Step {
        let written = session.last_write.get();
        if written.is_empty() {
            // Whoever is there has all of nothing; this node has a disk, or not.
            let view = node.view();
            let has_none = self.operation == Operation::ExplainStored && node.options.is_in_memory();
            let counts = |other: &&NodeId| view.alive.contains(other) && !(has_none && **other == node.id);
            let alive = |partition| view.replicas(partition).serving.iter().filter(counts).count();
            return reply(PartitionId::all().map(alive).min().unwrap_or(0)).into();
        }
        let deadline = (self.timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(self.timeout_ms));
        let ask = |(key, own): (Vec<u8>, Context)| (request(session, node, &key, self.operation.clone()), own);
        let (asked, node): (Vec<(Request, Context)>, _) = (written.into_iter().map(ask).collect(), Arc::clone(node));
        let (waits, wanted) = (session.has_connection(), self.holders);
        Step::Wait(Box::pin(async move {
            loop {
                // Who has not said so by then is not counted.
                let left_ms = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_millis());
                let asking: Vec<_> = asked
                    .iter()
                    .map(|(request, own)| {
                        let default_ms = request.timeout_ms.map_or(node.config.timeout_ms.get(), u64::from);
                        let most_ms = left_ms.map_or(default_ms, |left_ms| default_ms.min(left_ms as u64)).max(1);
                        let timeout_ms = u32::try_from(most_ms).ok();
                        (node.ask(Request { timeout_ms, ..request.clone() }), own)
                    })
                    .collect();
                let mut holders = usize::MAX;
                for (answer, own) in asking {
                    holders = holders.min(holders_of(answer.await, own));
                }
                if holders >= wanted || !waits || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return reply(holders);
                }
                sleep(AGAIN).await;
            }
        }))
    }
}

/// How many owners hold these events.
fn holders_of(answer: Answer, own: &Context) -> usize {
    let Answer::Explained(reports) = answer else { return 0 };
    let owners = reports.iter().filter(|(_, part, _)| *part == Part::Owner);
    owners.filter(|(_, _, report)| report.as_ref().is_some_and(|report| report.clock.covers(own))).count()
}
