//! A test of the tests: takes guards out of the replication code, one at a time, in a copy of the workspace, and lets the
//! simulator find out. One that stays unnoticed is a failure.
//!
//! `cargo run --release -p dotted-tests --bin mutants`; with a word, those whose names contain it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A guard taken out.
struct Mutant {
    name: &'static str,
    file: &'static str,
    /// What stands there, once.
    guard: &'static str,
    /// What is put in its place.
    instead: &'static str,
    /// What the simulator is told beside the number of seeds.
    world: &'static [&'static str],
}

const SEEDS: &str = "1000";
const FIVE: &[&str] = &["--nodes", "5"];
const JOIN: &[&str] = &["--join"];
const RELAPSE: &[&str] = &["--counters", "--nodes", "5", "--scene", "relapse", "--seconds", "30"];
const COPIES: &[&str] = &["--copies"];
const UPGRADES: &[&str] = &["--nodes", "5", "--upgrades"];
const LIMITS: &[&str] = &["--limits", "--calm", "30"];
const ROT: &[&str] = &["--rot"];
const HANDOVER: &[&str] = &["--nodes", "5", "--scene", "handover"];
const BRIDGE: &[&str] = &["--scene", "bridge", "--seconds", "20"];

/// The guards of the design's list of what must never happen, and those within the protocol that they rest on.
const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a dot seen before is added again",
        file: "replica/src/partition/incorporate.rs",
        guard: "&& !self.has_seen(open, cell, &change.dot)",
        instead: "&& !self.meta.clock.contains(&change.dot)",
        world: &[],
    },
    Mutant {
        name: "what an event had seen is not remembered",
        file: "replica/src/partition/incorporate.rs",
        guard: "if !self.meta.clock.covers(&change.seen) {",
        instead: "if false {",
        world: &[],
    },
    Mutant {
        name: "what an event had seen is not removed",
        file: "replica/src/partition/incorporate.rs",
        guard: "        cell.state.live.discard(&change.seen);\n        if let Some(entry)",
        instead: "        if let Some(entry)",
        world: &[],
    },
    Mutant {
        name: "read repair advances the clock",
        file: "replica/src/partition/incorporate.rs",
        guard: "        self.debris = true;\n",
        instead: "        self.debris = true;\n        self.meta.clock.union(clock);\n",
        world: &[],
    },
    Mutant {
        name: "a session is answered with less than it has seen",
        file: "replica/src/core/coordinate/session.rs",
        guard: "!slot.clock().covers(session) || is_ahead",
        instead: "false",
        world: &[],
    },
    Mutant {
        name: "a removed key's cells can come back",
        file: "replica/src/partition/incorporate.rs",
        guard: "        open.record.residual.union(&seen.minus(&self.meta.clock));\n",
        instead: "",
        world: &[],
    },
    Mutant {
        name: "a removal of everything forgets what it had seen",
        file: "replica/src/partition/incorporate.rs",
        guard: "        self.meta.residual.union(&seen.minus(&self.meta.clock));\n",
        instead: "",
        world: &[],
    },
    Mutant {
        name: "merging does not know what the other has seen",
        file: "replica/src/partition/incorporate.rs",
        guard: "after.join(&self.context_of(open, &cell)[..], live, theirs)",
        instead: "after.join(&self.context_of(open, &cell)[..], live, &theirs[..0])",
        world: &[],
    },
    Mutant {
        name: "what the sender had removed is not kept",
        file: "replica/src/partition/sync.rs",
        guard: "let keep = [residual, &key.residual, &state.residual];",
        instead: "let nothing = Context::new();\n                let keep = [&nothing; 3];",
        world: &[],
    },
    Mutant {
        name: "a stream counts what came after its start",
        file: "replica/src/partition/stream.rs",
        guard: "        self.meta.clock.union(&floor);\n",
        instead: "        self.meta.clock.union(&range.clock);\n        drop(floor);\n",
        world: &[],
    },
    Mutant {
        name: "a late answer counts after its partition was dropped",
        file: "replica/src/core/entropy.rs",
        guard: "slot.is_asking(from) && slot.clock().covers(&missing.asked_with)",
        instead: "slot.id == partition",
        world: BRIDGE,
    },
    Mutant {
        name: "a clock is told before it is on disk",
        file: "replica/src/core/entropy.rs",
        guard: "            Until::OnDisk(self.batch_of(partition)),\n            Action::Send(to, Message::Clock(partition, note, clock)),",
        instead: "            Until::OnDisk(crate::store::BatchSeq(0)),\n            Action::Send(to, Message::Clock(partition, note, clock)),",
        world: HANDOVER,
    },
    Mutant {
        name: "one that stands in retires when one owner has everything",
        file: "replica/src/core/entropy.rs",
        guard: "replicas.serving.iter().all(holds_all)",
        instead: "replicas.serving.iter().any(holds_all)",
        world: FIVE,
    },
    Mutant {
        name: "a new owner counts before it has caught up",
        file: "replica/src/core/entropy.rs",
        guard: "replicas.reached(&caught_up, replicas.majority()) && answering.all(|node| caught_up.contains(node))",
        instead: "answering.next().is_some()",
        world: JOIN,
    },
    Mutant {
        name: "a write is held before it is on disk",
        file: "replica/src/core/replicate.rs",
        guard: "self.release(step, self.held_until(medium, self.batch_of(partition)), held);",
        instead: "step.out.push(held);",
        world: &[],
    },
    Mutant {
        name: "the coordinator counts itself before it is on disk",
        file: "replica/src/core/coordinate/write.rs",
        guard: "match self.waits_for(until) {",
        instead: "match self.waits_for(until).filter(|_| false) {",
        world: &[],
    },
    Mutant {
        name: "a partition that was dropped mints from the start",
        file: "replica/src/partition.rs",
        guard: "Meta { minted: self.minted(), ..Meta::default() }",
        instead: "Meta::default()",
        world: HANDOVER,
    },
    Mutant {
        name: "a node that starts again keeps its incarnation",
        file: "replica/src/world.rs",
        guard: "node.incarnation = node.incarnation.next(seconds, chance);",
        instead: "node.incarnation = Incarnation(node.incarnation.0.max(1) + seconds.min(0));",
        world: &[],
    },
    Mutant {
        name: "after a crash the clock is newer than the cells",
        file: "replica/src/world.rs",
        guard: "if self.plan.sabotage == Some(Sabotage::ClockWithoutCells) {",
        instead: "if self.plan.sabotage.is_none() {",
        world: &[],
    },
    Mutant {
        name: "a run of increments is over when all replicas have the reset",
        file: "replica/src/partition/stability.rs",
        guard: "        (!says_so).then_some(WantedWord::Author(author.node))",
        instead: "        None",
        world: RELAPSE,
    },
    Mutant {
        name: "a clear takes for seen what the removal of one key had seen",
        file: "replica/src/partition/write.rs",
        guard: "            let open = self.open(txn, &key)?;\n            resets.push",
        instead: "            let open = self.open(txn, &key)?;\n            seen.union(&open.record.residual);\n            resets.push",
        world: JOIN,
    },
    Mutant {
        name: "a removal does not say what it saw of counters",
        file: "replica/src/partition/write.rs",
        guard: "        self.put_resets(txn, open, resets, writing)\n    }\n\n    /// Removes everything",
        instead: "        drop(resets);\n        Ok(())\n    }\n\n    /// Removes everything",
        world: &[],
    },
    Mutant {
        name: "what one replica has lost is taken for removed",
        file: "replica/src/partition/verify.rs",
        guard: "for (dot, entry) in self.torn(txn, &open, &id, (theirs, &theirs_by_id))? {",
        instead: "for (dot, entry) in self.torn(txn, &open, &id, (theirs, &theirs_by_id))?.into_iter().skip(usize::MAX) {",
        world: ROT,
    },
    Mutant {
        name: "the context of a busy partition is pruned by size",
        file: "replica/src/partition.rs",
        guard: "        self.meta.clock.insert(dot);\n        self.dirty = true;\n",
        instead: "        self.meta.clock.insert(dot);\n        self.dirty = true;\n        if self.meta.clock.iter().len() > 6 {\n            \
                  let oldest = self.meta.clock.iter().next().map(|(actor, _)| *actor);\n            \
                  let mut rest = Context::new();\n            \
                  self.meta.clock.runs().filter(|(actor, _)| Some(**actor) != oldest)\
                  .for_each(|(actor, run)| rest.insert_run(*actor, run));\n            \
                  self.meta.clock = rest;\n        }\n",
        world: &[],
    },
    Mutant {
        name: "an answer to a write names what its author has not read",
        file: "replica/src/partition/write.rs",
        guard: "        self.written.own.context.insert(change.dot);\n",
        instead: "        self.written.own.context.insert(change.dot);\n        self.written.own.context.union(&change.seen);\n",
        world: &[],
    },
    Mutant {
        name: "a merge keeps what the other side has removed",
        file: "causal/src/dot_fun.rs",
        guard: "let removed = self.retain(|dot, _| other.get(dot).is_some() || !theirs.contains(dot));",
        instead: "let _ = theirs;\n        let removed = self.retain(|_, _| true);",
        world: &[],
    },
    Mutant {
        name: "a write that was refused half-way leaves its first half",
        file: "replica/src/core.rs",
        guard: "                slot.forget_changes(&Txn::new(step.store, before.clone()))?;\n                step.edits = before;\n",
        instead: "                drop(before);\n                slot.seal(&mut txn);\n                step.edits = txn.into_edits();\n                self.last_batch.0 += 1;\n                slot.last_batch = self.last_batch;\n",
        world: &[],
    },
    Mutant {
        name: "of two nodes under one id both are let in",
        file: "replica/src/callers.rs",
        guard: "filter(|caller| caller.address != address && caller.talks(now_ms))?;",
        instead: "filter(|_| false)?;",
        world: COPIES,
    },
    Mutant {
        name: "two copies of a node go on in equal steps",
        file: "replica/src/id.rs",
        guard: "let step = chance % Self::STRIDE;",
        instead: "let step = chance.min(0);",
        world: COPIES,
    },
    Mutant {
        name: "what is meant for a node goes where others say that it is",
        file: "replica/src/callers.rs",
        guard: "filter(|caller| caller.talks(now_ms)).map(|caller| caller.address)",
        instead: "filter(|caller| caller.talks(now_ms) && now_ms == u64::MAX).map(|caller| caller.address)",
        world: COPIES,
    },
    Mutant {
        name: "a node is sent what its release does not know",
        file: "replica/src/capabilities.rs",
        guard: "Message::InspectStored(..) => Capabilities::STORED,",
        instead: "Message::InspectStored(..) => Capabilities::default(),",
        world: UPGRADES,
    },
    Mutant {
        name: "siblings may grow beyond what a message carries",
        file: "replica/src/partition/write.rs",
        guard: "if (stays + comes) as u64 > self.cell_bytes {",
        instead: "if false {",
        world: LIMITS,
    },
    Mutant {
        name: "damage is not told to the one who compares",
        file: "replica/src/core/verify.rs",
        guard: "                self.doubt(step, partition);\n",
        instead: "",
        world: ROT,
    },
    Mutant {
        name: "what was lost is remembered for ever",
        file: "replica/src/partition/lost.rs",
        guard: "then.iter().filter(closed)",
        instead: "then.iter().filter(closed).filter(|_| false)",
        world: FIVE,
    },
    Mutant {
        name: "a log of which some is forgotten is taken for whole",
        file: "replica/src/partition/sync.rs",
        guard: "if found.len() as u64 != run.last - run.first + 1 {",
        instead: "if found.is_empty() && run.last == 0 {",
        world: FIVE,
    },
];

fn main() -> ExitCode {
    let word = std::env::args().nth(1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default();
    let place = root.join("target/mutants");
    let mut failed = 0;
    if let Err(why) = copy(&root, &place.join("tree")) {
        eprintln!("the workspace cannot be copied to {}: {why}", place.display());
        return ExitCode::FAILURE;
    }
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(|mutant| mutant.name.contains(&word)).collect();
    for (at, mutant) in chosen.iter().enumerate() {
        let found = try_one(mutant, &root, &place);
        let verdict = match &found {
            Ok(Some(violation)) => format!("caught: {violation:.110}"),
            Ok(None) => format!("UNNOTICED in {SEEDS} seeds"),
            Err(why) => format!("CANNOT BE TRIED: {why}"),
        };
        println!("{}/{} {} ({}): {verdict}", at + 1, chosen.len(), mutant.name, mutant.file);
        failed += usize::from(!matches!(found, Ok(Some(_))));
    }
    println!("{} guards taken out, {failed} not noticed", chosen.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Copies the sources, so that a run that is stopped leaves nothing behind.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if std::fs::read(&target).ok() != Some(std::fs::read(entry.path())?) {
            // What is the same keeps its time, and need not be built again.
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The first violation, if there is any.
fn try_one(mutant: &Mutant, root: &Path, place: &Path) -> Result<Option<String>, String> {
    let file: PathBuf = place.join("tree").join(mutant.file);
    let text = std::fs::read_to_string(root.join(mutant.file)).map_err(|why| why.to_string())?;
    if text.matches(mutant.guard).count() != 1 {
        return Err(format!("the guard does not stand once in {}", mutant.file));
    }
    std::fs::write(&file, text.replace(mutant.guard, mutant.instead)).map_err(|why| why.to_string())?;
    let outcome = simulate(mutant, place);
    std::fs::write(&file, text).map_err(|why| why.to_string())?;
    outcome
}

fn simulate(mutant: &Mutant, place: &Path) -> Result<Option<String>, String> {
    let mut run = Command::new(env!("CARGO"));
    run.current_dir(place.join("tree")).env("CARGO_TARGET_DIR", place.join("build")).env("RUSTFLAGS", "-Awarnings");
    // Each is built once and runs for seconds: what counts is how fast it is built.
    run.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    run.env("CARGO_PROFILE_RELEASE_DEBUG", "false").env("CARGO_INCREMENTAL", "1");
    run.args(["run", "--release", "-q", "-p", "dotted-tests", "--bin", "simulate", "--"]);
    run.args(["--first", "--seeds", SEEDS]).args(mutant.world);
    let output = run.output().map_err(|why| why.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match said.lines().find(|line| line.starts_with("seed ")) {
        Some(violation) => Ok(Some(violation.to_owned())),
        None if said.contains(" violations") => Ok(None),
        // One that does not run any more is noticed as well, unless it did not even build.
        None => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            let panic = why.lines().find(|line| line.contains("panicked")).map(str::to_owned);
            panic.map(Some).ok_or_else(|| why.lines().find(|line| line.contains("error")).unwrap_or(&why).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MUTANTS;
    use std::path::Path;

    /// Two had gone stale with a rename, and nobody ran the command.
    #[test]
    fn every_guard_stands_once_where_it_is_said_to() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        for mutant in MUTANTS {
            let text = std::fs::read_to_string(root.join(mutant.file)).expect(mutant.file);
            assert_eq!(text.matches(mutant.guard).count(), 1, "{} in {}", mutant.name, mutant.file);
            assert_ne!(mutant.guard, mutant.instead);
        }
    }
}
