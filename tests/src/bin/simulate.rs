//! Runs the simulator over any number of seeds; a seed that fails is printed and replays exactly.

use std::process::ExitCode;

use clap::Parser;
use simulator::{Plan, run};

/// Runs the replication protocol under random schedules and faults, and checks every run.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Nodes at the start.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Let another node join in the middle.
    #[arg(long)]
    join: bool,
    /// Let operators commit layouts, also several at once.
    #[arg(long)]
    layouts: bool,
    /// Let a record vanish from a disk when everything has come to rest.
    #[arg(long)]
    rot: bool,
}

fn main() -> ExitCode {
    let Arguments { seeds, from, nodes, join, layouts, rot } = Arguments::parse();
    let plan = Plan { nodes, join, layouts, rot, ..Plan::default() };
    let (mut failed, mut acknowledged, mut delivered, mut stood_in) = (0, 0, 0, 0);
    for seed in from..from + seeds {
        let outcome = run(seed, &plan);
        acknowledged += outcome.acknowledged;
        delivered += outcome.delivered;
        stood_in += outcome.stood_in;
        if let Some(violation) = outcome.violation {
            failed += 1;
            println!("seed {seed}: {violation}");
        }
        if (seed - from + 1) % 500 == 0 {
            eprintln!("{} of {seeds} seeds, {failed} failed", seed - from + 1);
        }
    }
    println!(
        "{seeds} seeds, {acknowledged} acknowledged events, {stood_in} times held by a stand-in, {delivered} messages, {failed} violations"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
