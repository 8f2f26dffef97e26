//! `cargo bench -p causal --bench instructions`: instructions per operation, counted by `valgrind --tool=callgrind`
//! (Debian's package valgrind): the same on a busy machine as on a quiet one.
//!
//! Each operation runs 1,000 and 3,000 times in a process of its own; the difference by 2,000 is one operation,
//! without start-up and inputs.

use std::hint::black_box;
use std::process::Command;

use causal::{CausalContext, Dot, DvvSet, Minter, Siblings, Token};

fn dense(actors: u64) -> DvvSet<u64, u64> {
    let mut set = DvvSet::new();
    for actor in 0..actors {
        let seen = set.context();
        set.update(&seen, actor, actor).expect("its own context");
    }
    set
}

fn run(name: &str, actors: u64, times: u64) {
    let mut set = dense(actors);
    let mut other = set.clone();
    let seen = set.context();
    other.update(&seen, actors - 1, 7).expect("its own context");
    let mut vector = set.context();
    let later = other.context();
    let mut gaps: Siblings<u64, u64> = set.to_siblings();
    let mut minter = Minter::once(u64::MAX);
    let token = Token::new(CausalContext::from(&later));
    let text = token.to_text(b"cart").expect("short");
    let mut hole: CausalContext<u64> = [Dot::new(1, 1)].into_iter().collect();
    for n in 0..times {
        match name {
            "put" => {
                let seen = set.context();
                _ = black_box(set.update(&seen, 0, n));
            }
            "sync" => _ = black_box(set.sync(black_box(&other))),
            "context" => _ = black_box(set.context()),
            "compare" => _ = black_box(set.compare(black_box(&other))),
            "clock-merge" => vector.union(black_box(&later)),
            "clock-compare" => _ = black_box(vector.compare(black_box(&later))),
            "put-with-gaps" => {
                let seen = gaps.context().clone();
                _ = black_box(gaps.update(&seen, &mut minter, n));
            }
            "token-encode" => _ = black_box(token.to_text(b"cart")),
            "token-decode" => _ = black_box(Token::<u64>::from_text(b"cart", black_box(&text))),
            "hole-insert" => _ = black_box(hole.insert(Dot::new(1, 3 + n))),
            other => panic!("no such operation: {other}"),
        }
    }
}

const OPERATIONS: [&str; 10] = [
    "put",
    "sync",
    "context",
    "compare",
    "clock-merge",
    "clock-compare",
    "put-with-gaps",
    "token-encode",
    "token-decode",
    "hole-insert",
];

fn counted(name: &str, actors: u64, times: u64) -> Option<u64> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--run", name, &actors.to_string(), &times.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    let line = text.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--run") {
        let number = |n: usize| arguments[at + n].parse().expect("a number");
        return run(&arguments[at + 1], number(2), number(3));
    }
    println!("operation\tactors\tinstructions");
    for name in OPERATIONS {
        for actors in [3, 16, 64, 1_024] {
            match (counted(name, actors, 1_000), counted(name, actors, 3_000)) {
                (Some(few), Some(many)) => println!("{name}\t{actors}\t{}", (many - few) / 2_000),
                _ => return eprintln!("valgrind is needed: apt-get install valgrind"),
            }
        }
    }
}
