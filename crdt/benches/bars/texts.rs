//! Sequences and text, against the libraries people edit text with. These are a package of their own, [`peers`], which is
//! built when it is first needed (minutes), and run as a process: nobody else has to build them.
//!
//! [`peers`]: ../peers/src/main.rs

use std::process::Command;
use std::time::{Duration, Instant};

use causal::Minter;
use crdt::{Replica, Seq, State, Text};

use crate::{median, print};

/// Fewer than elsewhere: some peers take seconds for each.
const ROUNDS: usize = 5;
const SEQ_INSERTS: usize = 20_000;

/// Position, characters deleted there, then text inserted there.
struct Edit {
    at: usize,
    deleted: usize,
    inserted: String,
}

struct TextRun {
    edit: Duration,
    /// Decoding the file and reading the whole text out of it.
    load: Duration,
    bytes: usize,
    text: String,
}

/// What the peers print.
fn peers(arguments: &[&str]) -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/Cargo.toml");
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target, "--"]);
    let output = cargo.args(arguments).stderr(std::process::Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the peers failed at {arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The medians of the columns of what a peer prints.
fn medians<const COLUMNS: usize>(bar: &str, peer: &str, rounds: usize) -> [f64; COLUMNS] {
    let lines = peers(&[bar, peer, &rounds.to_string()]);
    let rows: Vec<Vec<f64>> =
        lines.lines().map(|line| line.split(' ').map(|number| number.parse().expect("a number")).collect()).collect();
    std::array::from_fn(|column| median(rows.iter().map(|row| row[column]).collect()))
}

fn trace() -> Vec<Edit> {
    let parse = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().expect("three parts");
        let (at, deleted) = (next().parse().expect("a number"), next().parse().expect("a number"));
        Edit { at, deleted, inserted: next().to_owned() }
    };
    peers(&["trace"]).split_terminator('\0').map(parse).collect()
}

/// Where to insert into a list of 0, 1, 2... elements, by xorshift64.
pub(crate) fn positions(count: usize) -> Vec<usize> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|len| (next() % (len as u64 + 1)) as usize).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn our_seq_insert(positions: &[usize]) -> Duration {
    let mut list = Replica::<Seq<u64, i64>>::new(Minter::once(1));
    let (time, ()) = timed(|| {
        for (value, at) in positions.iter().enumerate() {
            drop(std::hint::black_box(list.edit(|list| list.insert(*at, [value as i64]))));
        }
    });
    assert_eq!(list.len(), positions.len());
    time
}

/// Each edit is one of its own and gives its delta.
fn our_text_edit(edits: &[Edit]) -> TextRun {
    let mut text = Replica::<Text<u64>>::new(Minter::once(1));
    let (edit, ()) = timed(|| {
        for Edit { at, deleted, inserted } in edits {
            let delta = text.edit(|text| {
                if *deleted > 0 {
                    text.remove(*at..at + deleted)?;
                }
                if inserted.is_empty() { Ok(()) } else { text.insert(*at, inserted) }
            });
            drop(std::hint::black_box(delta));
        }
    });
    let file = text.state().to_bytes();
    let (load, text) = timed(|| State::<Text<u64>>::from_bytes(&file).expect("the file just made").to_string());
    TextRun { edit, load, bytes: file.len(), text }
}

/// 20,000 insertions at random places. The peers commit once, at the end; we after each.
pub(crate) fn seq_insert() {
    let positions = positions(SEQ_INSERTS);
    let each = |time: Duration| time.as_nanos() as f64 / SEQ_INSERTS as f64;
    let ours = median((0..ROUNDS).map(|_| each(our_seq_insert(&positions))).collect());
    for (name, peer, rounds) in
        [("seq-insert", "loro", ROUNDS), ("seq-insert/automerge", "automerge", 1), ("seq-insert/yrs", "yrs", 1)]
    {
        let [peer] = medians("seq-insert", peer, rounds);
        print(name, (ours, peer));
    }
}

/// The trace, edit by edit; then its file, and how long it takes to load (microseconds).
pub(crate) fn text_edit() {
    let edits = trace();
    assert_eq!(edits.len(), 259_778, "the trace is another one");
    let runs: Vec<TextRun> = (0..ROUNDS).map(|_| our_text_edit(&edits)).collect();
    assert!(runs.iter().all(|run| run.text.len() == 104_852), "the text is another one");
    let each = median(runs.iter().map(|run| run.edit.as_nanos() as f64 / edits.len() as f64).collect());
    let load = median(runs.iter().map(|run| run.load.as_nanos() as f64 / 1_000.0).collect());
    for (suffix, peer, rounds) in
        [("", "diamond-types", ROUNDS), ("/loro", "loro", ROUNDS), ("/automerge", "automerge", 1), ("/yrs", "yrs", 1)]
    {
        let [peer_each, peer_bytes, peer_load] = medians("text-edit", peer, rounds);
        print(&format!("text-edit{suffix}"), (each, peer_each));
        print(&format!("text-file{suffix}"), (runs[0].bytes as f64, peer_bytes));
        print(&format!("text-load-us{suffix}"), (load, peer_load));
    }
}
