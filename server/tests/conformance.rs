//! The same commands to this server and to a real redis-server, in one run: the same replies, in RESP2 and RESP3.
//!
//! The scripts in `conformance/` are a command per line, quoted as in redis-cli. Before it may stand: `~` the reply is compared
//! without regard to order, `?` only its kind is, `!` it differs, as the table in COMMANDS.md says, and is not compared.
//! Without redis-server (a Debian package of that name) there is nothing to compare with, and the suite says so; with
//! `DOTTED_WITH_REDIS=1`, as CI has it, that is a failure.

#![allow(clippy::unwrap_used, reason = "a test may stop at what should not be")]

mod support;

#[path = "conformance/peer.rs"]
mod peer;
#[path = "conformance/random.rs"]
mod random;
#[path = "conformance/rights.rs"]
mod rights;

use peer::{Redis, Speaker, Value};
use support::Process;

/// What a line asks to be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    All,
    WithoutOrder,
    Kind,
    Nothing,
}

/// A command as redis-cli would read it.
fn words(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut bytes) = (Vec::new(), line.bytes().peekable());
    while let Some(first) = bytes.next_if(|byte| *byte == b' ').or_else(|| bytes.peek().copied()) {
        if first == b' ' {
            continue;
        }
        let mut word = Vec::new();
        if bytes.next_if_eq(&b'"').is_some() {
            while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                match byte {
                    b'\\' => match bytes.next().unwrap() {
                        b'n' => word.push(b'\n'),
                        b'r' => word.push(b'\r'),
                        b'x' => {
                            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                            word.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                        }
                        other => word.push(other),
                    },
                    other => word.push(other),
                }
            }
        } else {
            while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                word.push(byte);
            }
        }
        words.push(word);
    }
    words
}

fn compare(line: &str, compared: Compared, ours: &Value, theirs: &Value) -> Result<(), String> {
    let same = match compared {
        Compared::All => ours == theirs,
        Compared::WithoutOrder => ours.sorted() == theirs.sorted(),
        Compared::Kind => ours.kind() == theirs.kind(),
        Compared::Nothing => true,
    };
    if same { Ok(()) } else { Err(format!("{line}\n    here:  {ours}\n    redis: {theirs}")) }
}

fn run_script(script: &str, ours: &mut Speaker, theirs: &mut Speaker) -> Vec<String> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let differences = lines.filter_map(|line| {
        let (compared, command) = match line.split_at(2) {
            ("~ ", rest) => (Compared::WithoutOrder, rest),
            ("? ", rest) => (Compared::Kind, rest),
            ("! ", rest) => (Compared::Nothing, rest),
            _ => (Compared::All, line),
        };
        let words = words(command);
        compare(line, compared, &ours.call(&words), &theirs.call(&words)).err()
    });
    differences.collect()
}

/// Both servers, or nothing if the suite is left out.
fn both() -> Option<(Process, tempfile::TempDir, Redis)> {
    let is_there = std::process::Command::new("redis-server").arg("--version").output().is_ok();
    if !is_there {
        assert!(std::env::var_os("DOTTED_WITH_REDIS").is_none(), "redis-server is not installed");
        println!("nothing was compared: redis-server is not installed");
        return None;
    }
    let data = tempfile::tempdir().unwrap();
    Some((Process::serve(data.path(), &["--in-memory"]), data, Redis::start()))
}

fn conforms(script: &str) {
    let Some((dotted, _data, redis)) = both() else { return };
    for protocol in [2, 3] {
        let (mut ours, mut theirs) = (Speaker::new(&dotted.address, protocol), Speaker::new(&redis.address, protocol));
        ours.call(&words("FLUSHALL"));
        theirs.call(&words("FLUSHALL"));
        let differences = run_script(script, &mut ours, &mut theirs);
        assert!(differences.is_empty(), "RESP{protocol}, {} differ:\n{}", differences.len(), differences.join("\n"));
    }
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                conforms(include_str!(concat!("conformance/", stringify!($name), ".txt")));
            }
        )*
    };
}

scripts! { scripting strings keys hashes sets sorted_sets lists streams bits transactions connection acl tracking }

#[test]
fn random_commands_have_the_same_replies() {
    let Some((dotted, _data, redis)) = both() else { return };
    for seed in 0..random::SEEDS {
        let protocol = 2 + (seed % 2) as u8;
        let (mut ours, mut theirs) = (Speaker::new(&dotted.address, protocol), Speaker::new(&redis.address, protocol));
        ours.call(&words("FLUSHALL"));
        theirs.call(&words("FLUSHALL"));
        let mut said = Vec::new();
        for (line, without_order) in random::commands(seed) {
            let words = words(&line);
            let compared = if without_order { Compared::WithoutOrder } else { Compared::All };
            said.push(line.clone());
            if let Err(difference) = compare(&line, compared, &ours.call(&words), &theirs.call(&words)) {
                panic!(
                    "seed {seed}, RESP{protocol}: {difference}\nafter\n{}",
                    said[said.len().saturating_sub(30)..].join("\n")
                );
            }
        }
    }
}
