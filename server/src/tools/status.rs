//! `dotted status`: how a cluster stands, as one of its nodes sees it.

use std::fmt::Write as _;

use clap::Args;

use crate::error::Error;
use crate::tools::client::{ServerOptions, items, named, number, text, words};
use crate::tools::table::{Table, say};

/// The flags of `dotted status`.
#[derive(Args, Clone, Debug)]
pub struct StatusOptions {
    /// Only ask whether this node answers: for supervisors, which should not stop one node because another is away.
    #[arg(long)]
    alive: bool,
    #[command(flatten)]
    server: ServerOptions,
}

/// Prints members, what they own and lack; says whether all is well.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Answer`]; [`Error::NotWell`] if a member does not answer or a partition is being
/// filled.
pub fn status(options: &StatusOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    if options.alive {
        client.call(&words([&b"PING"[..]]))?;
        say(format_args!("the node at {} answers\n", options.server.node));
        return Ok(());
    }
    let commands = [&[&b"INFO"[..]][..], &[b"DOT.LAYOUT", b"SHOW"], &[b"DOT.ENTROPY"]];
    let answers = client.ask(&commands.map(|command| words(command.iter().copied())))?;
    let [info, layout, entropy] = &answers[..] else { return Ok(()) };
    let info = text(info);
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let keys = of("db0").split([',', '=']).nth(1).unwrap_or("0").to_owned();
    let megabytes = of("used_memory").parse().unwrap_or(0_u64) >> 20;
    // Writing into a string does not fail.
    let mut shown = String::new();
    let _ = writeln!(
        shown,
        "node {}, dotted {}, up {} s, {} clients, {megabytes} MiB; the cluster has {keys} keys, placement {}",
        of("node"),
        of("dotted_version"),
        of("uptime_in_seconds"),
        of("connected_clients"),
        named(layout, "placement").map(text).unwrap_or_default()
    );
    let heading = ["", "NODE", "ANSWERS", "ZONE", "CAPACITY", "SERVES", "FILLS", "GIVES AWAY", "LACKS", "HAS MORE"];
    let mut table = Table::new(heading);
    let (mut silent, mut filling) = (Vec::new(), 0);
    for node in named(layout, "nodes").map_or(&[][..], items) {
        let field = |name: &str| named(node, name).map(text).unwrap_or_default();
        let name = field("node");
        let lacks = items(entropy).iter().find(|peer| named(peer, "node").map(text).as_deref() == Some(name.as_str()));
        let lack = |which: &str| lacks.and_then(|peer| named(peer, which)).map(text).unwrap_or_default();
        let answers = named(node, "alive").is_some_and(|alive| number(alive) == 1);
        if !answers {
            silent.push(name.clone());
        }
        filling += named(node, "filling").map_or(0, number);
        table.row([
            if name == of("node") { "*".to_owned() } else { String::new() },
            name,
            if answers { "yes" } else { "NO" }.to_owned(),
            field("zone"),
            Some(field("capacity")).filter(|capacity| capacity != "0").unwrap_or_default(),
            field("serving"),
            field("filling"),
            field("giving-away"),
            lack("missing-there"),
            lack("missing-here"),
        ]);
    }
    table.sort_by_column(1);
    say(format_args!("{shown}{table}LACKS and HAS MORE: events, compared with this node, by the other's last word.\n"));
    if !silent.is_empty() {
        return Err(Error::NotWell(format!(
            "{} of {} members do not answer: {}",
            silent.len(),
            table.rows(),
            silent.join(", ")
        )));
    }
    if filling > 0 {
        return Err(Error::NotWell(format!("{filling} replicas of partitions are being filled")));
    }
    Ok(())
}
