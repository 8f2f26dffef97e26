//! `dotted join`, `leave` and `replace`: what operators do with one member, as one layout that is planned, shown and committed.
//!
//! A node comes into a cluster by itself, with `dotted serve --join`; what it bears there is decided here.

use clap::Args;

use crate::error::Error;
use crate::tools::client::{Client, ServerOptions, items, named, number, words};
use crate::tools::cluster::{Member, field, members, nodes};
use crate::tools::layout::{commit, described, plan, revert, role, stage, staged, wait};
use crate::tools::table::say;

/// What is done with the plan.
#[derive(Args, Clone, Debug)]
struct Agreement {
    /// Commit the plan that is shown, and wait until everything has moved.
    #[arg(long)]
    yes: bool,
    /// Do not wait.
    #[arg(long, requires = "yes")]
    no_wait: bool,
    /// Wait no longer than this; the cluster goes on.
    #[arg(long, value_name = "SECONDS", requires = "yes")]
    timeout: Option<u64>,
}

/// The flags of `dotted join`.
#[derive(Args, Clone, Debug)]
pub struct JoinOptions {
    /// The member, by its name: a node that runs with `dotted serve --join`.
    member: String,
    /// Where it stands: replicas of a partition are in different zones if there are enough.
    #[arg(long)]
    zone: Option<String>,
    /// How much it bears, in relation to the others.
    #[arg(long)]
    capacity: Option<u32>,
    #[command(flatten)]
    agreement: Agreement,
    #[command(flatten)]
    server: ServerOptions,
}

/// The flags of `dotted leave`.
#[derive(Args, Clone, Debug)]
pub struct LeaveOptions {
    /// The member, by its name.
    member: String,
    #[command(flatten)]
    agreement: Agreement,
    #[command(flatten)]
    server: ServerOptions,
}

/// The flags of `dotted replace`.
#[derive(Args, Clone, Debug)]
pub struct ReplaceOptions {
    /// The member that goes. If it does not answer it is removed for good.
    old: String,
    /// The member that takes its place: a node that runs with `dotted serve --join`.
    new: String,
    #[command(flatten)]
    agreement: Agreement,
    #[command(flatten)]
    server: ServerOptions,
}

/// Gives a member its share.
///
/// # Errors
/// [`Error::NotWell`] if there is no such member, or the time has passed; [`Error::Unreachable`] and [`Error::Answer`].
pub fn join(options: &JoinOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    find(&mut client, &options.server, &options.member)?;
    let role = role(options.zone.as_deref(), options.capacity);
    let layout = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
    let is_automatic = named(&layout, "layouts").is_none_or(|layouts| items(layouts).is_empty());
    if is_automatic && role.is_empty() {
        say(format_args!(
            "placement is automatic: {} has had its share since it joined; --zone or --capacity decide otherwise\n",
            options.member
        ));
        return if options.agreement.no_wait { Ok(()) } else { wait(&mut client, options.agreement.timeout) };
    }
    let role = if role.is_empty() { vec!["CAPACITY".to_owned(), "1".to_owned()] } else { role };
    decide(&mut client, &options.agreement, &[[vec![options.member.clone()], role].concat()])
}

/// Takes a member's share away, and returns when it has handed over what it has.
///
/// # Errors
/// As [`join`].
pub fn leave(options: &LeaveOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    let member = find(&mut client, &options.server, &options.member)?;
    if !member.answers {
        return Err(Error::NotWell(format!(
            "{0} does not answer and cannot hand over what it has: start it, or remove it for good with \
             `dotted layout stage {0} --remove` and `dotted layout commit`, or put another in its place with `dotted replace`",
            options.member
        )));
    }
    decide(&mut client, &options.agreement, &[[options.member.clone(), "LEAVE".to_owned()].to_vec()])?;
    if options.agreement.yes && !options.agreement.no_wait {
        let layout = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
        let own = nodes(&layout).iter().find(|node| field(node, "node") == options.member);
        let serving = own.and_then(|node| named(node, "serving")).map_or(0, number);
        if serving > 0 {
            return Err(Error::NotWell(format!(
                "{} still serves {serving} partitions: somebody has committed another layout",
                options.member
            )));
        }
        say(format_args!(
            "{0} holds nothing any more and can be stopped; then: dotted layout stage {0} --remove && dotted layout commit --yes\n",
            options.member
        ));
    }
    Ok(())
}

/// Gives one member the role of another, which goes.
///
/// # Errors
/// As [`join`].
pub fn replace(options: &ReplaceOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    if options.old == options.new {
        return Err(Error::NotWell(format!("{} cannot take its own place", options.old)));
    }
    let (old, new) =
        (find(&mut client, &options.server, &options.old)?, find(&mut client, &options.server, &options.new)?);
    if !new.answers {
        return Err(Error::NotWell(format!("{} does not answer: start it first", new.name)));
    }
    let layout = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
    let of = nodes(&layout).iter().find(|node| field(node, "node") == old.name);
    let zone = of.map(|node| field(node, "zone")).filter(|zone| !zone.is_empty());
    let capacity = of.and_then(|node| named(node, "capacity")).map_or(0, number);
    let capacity = u32::try_from(capacity).ok().filter(|capacity| *capacity > 0).unwrap_or(1);
    let goes = if old.answers { "LEAVE" } else { "REMOVE" };
    let comes = [vec![new.name.clone()], role(zone.as_deref(), Some(capacity))].concat();
    decide(&mut client, &options.agreement, &[comes, vec![old.name.clone(), goes.to_owned()]])?;
    if options.agreement.yes && !options.agreement.no_wait && old.answers {
        say(format_args!(
            "{0} can be stopped; then: dotted layout stage {0} --remove && dotted layout commit --yes\n",
            old.name
        ));
    }
    Ok(())
}

fn find(client: &mut Client, server: &ServerOptions, name: &str) -> Result<Member, Error> {
    let all = members(client, server)?;
    let names: Vec<String> = all.iter().map(|member| member.name.clone()).collect();
    all.into_iter().find(|member| member.name == name).ok_or_else(|| {
        Error::NotWell(format!(
            "no member is called {name} (there are {}): start it with `dotted serve --name {name} --join HOST:PEER-PORT`",
            names.join(", ")
        ))
    })
}

/// Stages changes, shows what they lead to, and commits that if it was agreed to.
fn decide(client: &mut Client, agreement: &Agreement, changes: &[Vec<String>]) -> Result<(), Error> {
    let others = staged(client)?;
    if !others.is_empty() {
        return Err(Error::NotWell(format!(
            "something else is staged at this node already ({}): commit it (dotted layout commit --yes) or forget it (dotted layout revert) first",
            others.join("; ")
        )));
    }
    let planned = changes.iter().try_for_each(|change| stage(client, change)).and_then(|()| plan(client));
    if !agreement.yes || planned.is_err() {
        // What was only looked at is not left for somebody else's commit.
        revert(client)?;
    }
    let plan = planned?;
    say(described(&plan));
    let id = field(&plan, "plan");
    if !agreement.yes {
        say("nothing has changed: with --yes this is committed\n");
        return Ok(());
    }
    commit(client, &id)?;
    if agreement.no_wait { Ok(()) } else { wait(client, agreement.timeout) }
}
