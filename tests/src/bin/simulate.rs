//! Runs the simulator over any number of seeds; a seed that fails is printed and replays exactly.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// How many virtual seconds clients write and things break; a calm of fifteen follows.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// Let another node join in the middle.
    #[arg(long)]
    join: bool,
    /// Let operators commit layouts, also several at once.
    #[arg(long)]
    layouts: bool,
    /// Let a record vanish from a disk when everything has come to rest.
    #[arg(long)]
    rot: bool,
    /// Stop at the first violation.
    #[arg(long)]
    first: bool,
}

fn main() -> ExitCode {
    let Arguments { seeds, from, nodes, seconds, join, layouts, rot, first } = Arguments::parse();
    let troubled_ms = seconds * 1_000;
    let plan = Plan { nodes, join, layouts, rot, troubled_ms, ..Plan::default() };
    let (next, done) = (AtomicU64::new(from), AtomicU64::new(0));
    let sums = Mutex::new((0, 0, 0, 0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return;
            }
            let outcome = run(seed, &plan);
            let sums = &mut *sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.0 += outcome.acknowledged;
            sums.1 += outcome.stood_in;
            sums.2 += outcome.delivered;
            if let Some(violation) = outcome.violation {
                sums.3 += 1;
                println!("seed {seed}: {violation}");
                if first {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(500) {
                eprintln!("{done} of {seeds} seeds, {} failed", sums.3);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (acknowledged, stood_in, delivered, failed) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{seeds} seeds, {acknowledged} acknowledged events, {stood_in} times held by a stand-in, {delivered} messages, {failed} violations"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
