//! `dotted layout`: who holds what - shown, staged, planned, and only then committed.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use redis_protocol::resp2::types::OwnedFrame;

use crate::error::Error;
use crate::tools::client::{Client, ServerOptions, items, named, number, text, words};
use crate::tools::cluster::{field, nodes};
use crate::tools::progress::bar;
use crate::tools::table::{Table, say};

/// How often it is looked how far a move is.
const LOOK_TIME: Duration = Duration::from_millis(200);

/// The flags of `dotted layout`.
#[derive(Args, Clone, Debug)]
pub struct LayoutOptions {
    #[command(subcommand)]
    task: LayoutTask,
}

#[derive(Subcommand, Clone, Debug)]
enum LayoutTask {
    /// Show who holds what, and what is staged.
    Show(ServerOptions),
    /// Note a change at the node that is asked; nothing happens before it is committed.
    #[command(after_help = "Examples:
  dotted layout stage d --zone attic --capacity 2     d stands in the attic and bears twice as much as one of capacity 1
  dotted layout stage d --leave                       d hands over what it has and stays a member
  dotted layout stage d --remove                      d is gone for good: nobody waits for it any more
  dotted layout stage --replicas 5")]
    Stage(StageOptions),
    /// Show what committing the staged changes would do. Changes nothing.
    Plan(ServerOptions),
    /// Commit exactly the plan that was shown, or plan, show and commit with --yes.
    #[command(after_help = "Examples:
  dotted layout commit 53d449d2faedd88d               if that is still the plan; else an error, and nothing is done
  dotted layout commit --yes --wait")]
    Commit(CommitOptions),
    /// Forget what is staged at the node that is asked.
    Revert(ServerOptions),
}

#[derive(Args, Clone, Debug)]
struct StageOptions {
    /// The member, by its name.
    #[arg(required_unless_present = "replicas")]
    member: Option<String>,
    /// Where it stands: replicas of a partition are in different zones if there are enough.
    #[arg(long)]
    zone: Option<String>,
    /// How much it bears, in relation to the others.
    #[arg(long)]
    capacity: Option<u32>,
    /// It hands over what it has and stays a member.
    #[arg(long, conflicts_with_all = ["zone", "capacity", "remove"])]
    leave: bool,
    /// It is gone for good; refused while it answers.
    #[arg(long, conflicts_with_all = ["zone", "capacity"])]
    remove: bool,
    /// How many replicas each partition has.
    #[arg(long, conflicts_with_all = ["member", "zone", "capacity", "leave", "remove"])]
    replicas: Option<u8>,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Args, Clone, Debug)]
struct CommitOptions {
    /// The plan, as `dotted layout plan` calls it.
    #[arg(required_unless_present = "yes", conflicts_with = "yes")]
    plan: Option<String>,
    /// Commit whatever the plan is now; it is shown.
    #[arg(long)]
    yes: bool,
    /// Wait until everything is where it should be, and show how far it is.
    #[arg(long, visible_alias = "watch")]
    wait: bool,
    /// Wait no longer than this; the cluster goes on.
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
    #[command(flatten)]
    server: ServerOptions,
}

/// Carries the subcommand out.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Answer`]; [`Error::NotWell`] if `--timeout` has passed.
pub fn layout(options: &LayoutOptions) -> Result<(), Error> {
    match &options.task {
        LayoutTask::Show(server) => show(&server.connect()?.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?),
        LayoutTask::Stage(options) => return stage_one(options),
        LayoutTask::Plan(server) => {
            let plan = plan(&mut server.connect()?)?;
            say(format_args!("{}commit it: dotted layout commit {}\n", described(&plan), field(&plan, "plan")));
        }
        LayoutTask::Commit(options) => return commit_one(options),
        LayoutTask::Revert(server) => {
            server.connect()?.call(&words([&b"DOT.LAYOUT"[..], b"REVERT"]))?;
            say("nothing is staged any more\n");
        }
    }
    Ok(())
}

fn show(layout: &OwnedFrame) {
    let committed = named(layout, "layouts").map_or(&[][..], items);
    let commits: Vec<String> = committed.iter().map(|layout| field(layout, "commit")).collect();
    let by = if commits.is_empty() { String::new() } else { format!(" ({})", commits.join(", ")) };
    let (placement, replicas) = (field(layout, "placement"), field(layout, "replicas"));
    let mut table = Table::new(["NODE", "ANSWERS", "ZONE", "CAPACITY", "OWNS", "SERVES", "FILLS", "GIVES AWAY"]);
    for node in nodes(layout) {
        let answers = named(node, "alive").is_some_and(|alive| number(alive) == 1);
        // Of several layouts that hold at once, each says something.
        let owns: Vec<String> = match named(node, "owns") {
            Some(OwnedFrame::Array(each)) => each.iter().map(text).collect(),
            owns => owns.map(text).into_iter().collect(),
        };
        table.row([
            field(node, "node"),
            if answers { "yes" } else { "NO" }.to_owned(),
            field(node, "zone"),
            Some(field(node, "capacity")).filter(|capacity| capacity != "0").unwrap_or_default(),
            owns.join("+"),
            field(node, "serving"),
            field(node, "filling"),
            field(node, "giving-away"),
        ]);
    }
    table.sort_by_column(0);
    let staged: Vec<String> = named(layout, "staged").map_or(&[][..], items).iter().map(text).collect();
    let staged = if staged.is_empty() { "nothing".to_owned() } else { staged.join("; ") };
    say(format_args!(
        "placement {placement}{by}; {replicas} replicas of each partition\n{table}staged here: {staged}\n"
    ));
}

fn stage_one(options: &StageOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    let mut change: Vec<String> = Vec::new();
    match (options.replicas, &options.member) {
        (Some(replicas), _) => change.extend(["REPLICAS".to_owned(), replicas.to_string()]),
        (None, member) => change.extend(member.clone()),
    }
    let role = role(options.zone.as_deref(), options.capacity);
    match (options.leave, options.remove) {
        (true, _) => change.push("LEAVE".to_owned()),
        (_, true) => change.push("REMOVE".to_owned()),
        _ if role.is_empty() && options.replicas.is_none() => {
            return Err(Error::NotWell("say what is to change: --zone, --capacity, --leave or --remove".to_owned()));
        }
        _ => change.extend(role),
    }
    stage(&mut client, &change)?;
    let staged = staged(&mut client)?;
    say(format_args!(
        "staged at {}: {}\nnothing has changed yet: `dotted layout plan` shows what would\n",
        options.server.node,
        staged.join("; ")
    ));
    Ok(())
}

/// The words of a role, as far as it is said.
pub(super) fn role(zone: Option<&str>, capacity: Option<u32>) -> Vec<String> {
    let zone = zone.map(|zone| ["ZONE".to_owned(), zone.to_owned()]);
    let capacity = capacity.map(|capacity| ["CAPACITY".to_owned(), capacity.to_string()]);
    zone.into_iter().chain(capacity).flatten().collect()
}

/// Notes a change: a member's name and what is to become of it.
pub(super) fn stage(client: &mut Client, change: &[String]) -> Result<(), Error> {
    let words = words([&b"DOT.LAYOUT"[..], b"STAGE"].into_iter().chain(change.iter().map(String::as_bytes)));
    client.call(&words).map(drop)
}

/// What is staged at the node.
pub(super) fn staged(client: &mut Client) -> Result<Vec<String>, Error> {
    let shown = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
    Ok(named(&shown, "staged").map_or(&[][..], items).iter().map(text).collect())
}

/// Forgets it.
pub(super) fn revert(client: &mut Client) -> Result<(), Error> {
    client.call(&words([&b"DOT.LAYOUT"[..], b"REVERT"])).map(drop)
}

/// What committing would do.
pub(super) fn plan(client: &mut Client) -> Result<OwnedFrame, Error> {
    client.call(&words([&b"DOT.LAYOUT"[..], b"PLAN"]))
}

/// A plan for people.
pub(super) fn described(plan: &OwnedFrame) -> String {
    let mut table = Table::new([
        "NODE",
        "ZONE",
        "CAPACITY",
        "FAIR SHARE",
        "OWNS NOW",
        "OWNS THEN",
        "RECEIVES",
        "GIVES",
        "BYTES IN",
        "BYTES OUT",
    ]);
    for node in nodes(plan) {
        let names = ["node", "zone", "capacity", "fair-share", "owns-now", "owns-then", "receives", "gives"];
        let [name, zone, capacity, share, now, then, receives, gives] = names.map(|name| field(node, name));
        let [bytes_in, bytes_out] = ["receives-bytes", "gives-bytes"].map(|name| bytes(node, name));
        table.row([name, zone, capacity, share, now, then, receives, gives, bytes_in, bytes_out]);
    }
    table.sort_by_column(0);
    let cannot = named(plan, "violations").map_or(&[][..], items);
    let cannot: String = cannot.iter().map(|what| format!("cannot be had: {}\n", text(what))).collect();
    let (id, moves, replicas) = (field(plan, "plan"), field(plan, "moves"), field(plan, "replicas"));
    let bytes = match bytes(plan, "bytes").as_str() {
        UNKNOWN => "how many bytes is not known".to_owned(),
        bytes => bytes.to_owned(),
    };
    format!("plan {id}: {moves} replicas move, {bytes}; {replicas} of each partition\n{table}{cannot}")
}

/// What stands for bytes of which some node has not said how many they are.
const UNKNOWN: &str = "-";

/// Bytes for people, if they are known.
fn bytes(of: &OwnedFrame, name: &str) -> String {
    match named(of, name) {
        Some(OwnedFrame::Integer(bytes)) => indicatif::BinaryBytes(bytes.unsigned_abs()).to_string(),
        _ => UNKNOWN.to_owned(),
    }
}

fn commit_one(options: &CommitOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    let id = match &options.plan {
        Some(id) => id.clone(),
        None => {
            let plan = plan(&mut client)?;
            say(described(&plan));
            field(&plan, "plan")
        }
    };
    commit(&mut client, &id)?;
    if options.wait { wait(&mut client, options.timeout) } else { Ok(()) }
}

/// Commits a plan.
pub(super) fn commit(client: &mut Client, id: &str) -> Result<(), Error> {
    client.call(&words([&b"DOT.LAYOUT"[..], b"COMMIT", id.as_bytes()]))?;
    say("committed\n");
    Ok(())
}

/// Waits until every replica is where it should be.
pub(super) fn wait(client: &mut Client, timeout_s: Option<u64>) -> Result<(), Error> {
    let began = Instant::now();
    let mut bar = None;
    loop {
        let layout = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
        let sum = |name: &str| nodes(&layout).iter().filter_map(|node| named(node, name)).map(number).sum::<i64>();
        let (filling, giving_away) = (sum("filling").unsigned_abs(), sum("giving-away").unsigned_abs());
        let left = filling + giving_away;
        let bar = bar.get_or_insert_with(|| bar_of(left));
        bar.set_length(bar.length().unwrap_or(left).max(left));
        bar.set_position(bar.length().unwrap_or(left) - left);
        let silent: Vec<String> = nodes(&layout)
            .iter()
            .filter(|node| named(node, "alive").is_some_and(|alive| number(alive) == 0))
            .map(|node| field(node, "node"))
            .collect();
        let silent = if silent.is_empty() { String::new() } else { format!("; no answer from {}", silent.join(", ")) };
        bar.set_message(format!("{filling} are filled, {giving_away} given away{silent}"));
        if left == 0 {
            bar.finish_and_clear();
            say(format_args!("everything is where it should be, after {:.1} s\n", began.elapsed().as_secs_f64()));
            return Ok(());
        }
        if timeout_s.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            bar.finish_and_clear();
            return Err(Error::NotWell(format!(
                "after {} s {filling} replicas are still being filled and {giving_away} given away{silent}; the cluster goes on",
                began.elapsed().as_secs()
            )));
        }
        std::thread::sleep(LOOK_TIME);
    }
}

fn bar_of(left: u64) -> indicatif::ProgressBar {
    bar(left, "{pos}/{len} steps, {elapsed}: {msg}")
}
