//! Runs the simulator over any number of seeds; a seed that fails is printed and replays exactly.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Parser;
use simulator::{Fault, Plan, Scene, run, run_counting};

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
    /// How many virtual seconds clients write and things break.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// How many virtual seconds of calm follow.
    #[arg(long, default_value_t = 20)]
    calm: u64,
    /// Let another node join in the middle.
    #[arg(long)]
    join: bool,
    /// Let operators commit layouts, also several at once.
    #[arg(long)]
    layouts: bool,
    /// Copy the disk of a node now and then, and start the copy beside the original.
    #[arg(long)]
    copies: bool,
    /// Upgrade nodes, and set them back, so that they differ in what they can do.
    #[arg(long)]
    upgrades: bool,
    /// Make all limits of lengths a thousandth of what they are, and let clients come near them.
    #[arg(long)]
    limits: bool,
    /// Let clients do little else than count.
    #[arg(long)]
    counters: bool,
    /// Let a record vanish from a disk when everything has come to rest.
    #[arg(long)]
    rot: bool,
    /// Stage this again and again.
    #[arg(long, value_enum)]
    scene: Option<Staged>,
    /// Stop at the first violation.
    #[arg(long)]
    first: bool,
}

/// What can be staged.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Staged {
    /// Owners are cut off, handed what they missed, and lose power. Wants five nodes.
    Handover,
    /// An owner leaves and comes back while it is told late what another wrote alone.
    Bridge,
    /// One that stands in begins to hand over, and is cut off again. Wants five nodes, and clients that count.
    Relapse,
}

/// What all runs came to.
#[derive(Default)]
struct Sums {
    acknowledged: u64,
    stood_in: u64,
    delivered: u64,
    compared: u64,
    failed: u64,
    faults: BTreeMap<Fault, u64>,
}

fn main() -> ExitCode {
    let Arguments {
        seeds,
        from,
        nodes,
        seconds,
        calm,
        join,
        layouts,
        copies,
        upgrades,
        limits,
        counters,
        rot,
        scene,
        first,
    } = Arguments::parse();
    let troubled_ms = seconds * 1_000;
    let scene = scene.map(|scene| match scene {
        Staged::Handover => Scene::Handover,
        Staged::Bridge => Scene::Bridge,
        Staged::Relapse => Scene::Relapse,
    });
    let plan = Plan {
        scene,
        nodes,
        join,
        layouts,
        copies,
        upgrades,
        limits,
        rot,
        troubled_ms,
        calm_ms: calm * 1_000,
        ..Plan::default()
    };
    let (next, done) = (AtomicU64::new(from), AtomicU64::new(0));
    let sums = Mutex::new(Sums::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return;
            }
            let outcome = if counters { run_counting(seed, &plan) } else { run(seed, &plan) };
            let sums = &mut *sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.acknowledged += outcome.acknowledged;
            sums.stood_in += outcome.stood_in;
            sums.delivered += outcome.delivered;
            sums.compared += outcome.compared;
            outcome.faults.iter().for_each(|(fault, times)| *sums.faults.entry(*fault).or_default() += times);
            if let Some(violation) = outcome.violation {
                sums.failed += 1;
                println!("seed {seed}: {violation}");
                if first {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(500) {
                eprintln!("{done} of {seeds} seeds, {} failed", sums.failed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let faults: Vec<String> = sums.faults.iter().map(|(fault, times)| format!("{fault:?} {times}")).collect();
    println!("faults: {}", faults.join(", "));
    println!(
        "{seeds} seeds, {} acknowledged events, {} times held by a stand-in, {} messages, {} reads held against majorities, {} violations",
        sums.acknowledged, sums.stood_in, sums.delivered, sums.compared, sums.failed
    );
    if sums.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
