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

scripts! { scripting strings keys hashes sets geo sorted_sets lists streams bits transactions connection acl tracking }

/// What a subscriber hears until this marker comes by.
fn heard(subscriber: &mut Speaker, marker: &str) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        let message = subscriber.read();
        if message.to_string().contains(marker) {
            return heard;
        }
        heard.push(message);
    }
}

/// Each command of the script makes the same events, in the same order, here and in Redis. `~`: in some order; `!`: not compared.
#[test]
fn keyspace_notifications_are_those_of_redis() {
    let Some((dotted, _data, redis)) = both() else { return };
    for protocol in [2, 3] {
        let mut sides = [&dotted.address, &redis.address].map(|address| {
            let (mut speaker, mut subscriber) = (Speaker::new(address, protocol), Speaker::new(address, protocol));
            speaker.call(&words("FLUSHALL"));
            speaker.call(&words("CONFIG SET notify-keyspace-events KEAnm"));
            subscriber.call(&words("PSUBSCRIBE __key*__:* marker"));
            subscriber.read();
            (speaker, Speaker::new(address, protocol), subscriber)
        });
        let script = include_str!("conformance/notifications.txt");
        let lines = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let differences = lines.enumerate().filter_map(|(number, line)| {
            let (command, is_compared, in_order) = match line.split_at(2) {
                ("! ", rest) => (rest, false, true),
                ("~ ", rest) => (rest, true, false),
                _ => (line, true, true),
            };
            let [ours, theirs] = sides.each_mut().map(|(speaker, marking, subscriber)| {
                let marker = format!("marker{number}.");
                let reply = speaker.call(&words(command));
                // Perhaps within a transaction: the marker comes by another connection.
                marking.call(&words(&format!("PUBLISH marker {marker}")));
                let mut events = heard(subscriber, &marker);
                if !in_order {
                    events.sort();
                }
                (if is_compared { events } else { Vec::new() }, reply)
            });
            let shown = |(events, reply): &(Vec<Value>, Value)| {
                let events: Vec<_> = events.iter().map(ToString::to_string).collect();
                format!("{reply}  {}", events.join(" "))
            };
            (ours.0 != theirs.0)
                .then(|| format!("{command}\n    here:  {}\n    redis: {}", shown(&ours), shown(&theirs)))
        });
        let differences: Vec<_> = differences.collect();
        assert!(differences.is_empty(), "RESP{protocol}, {} differ:\n{}", differences.len(), differences.join("\n"));
    }
}

/// What a monitor sees of each command, without time and address; and what it is told of its own.
#[test]
fn a_monitor_sees_what_redis_shows_it() {
    let Some((dotted, _data, redis)) = both() else { return };
    for protocol in [2, 3] {
        let [ours, theirs] = [&dotted.address, &redis.address].map(|address| {
            let (mut speaker, mut monitor) = (Speaker::new(address, protocol), Speaker::new(address, protocol));
            let mut seen = vec![monitor.call(&words("MONITOR")).to_string()];
            let script = include_str!("conformance/monitored.txt");
            for line in script.lines() {
                speaker.call(&words(line));
            }
            loop {
                let line = monitor.read().to_string();
                let (before, words) = line.split_once("] ").expect("a line of MONITOR");
                let (_, from) = before.split_once(" [").expect("where it comes from");
                let from = if from.contains("lua") { from } else { "0 client" };
                seen.push(format!("{from} {words}"));
                if words == r#""PING" "over""# {
                    break;
                }
            }
            // Once more is nothing more; what has to do with keys it may not send; PING is answered, and seen.
            monitor.send(&words("MONITOR"));
            seen.push(monitor.call(&words("GET k")).to_string());
            seen.push(monitor.call(&words("SET k v")).to_string());
            seen.push(monitor.call(&words("RESET")).to_string().replace("+", ""));
            seen
        });
        // Its RESET is shown to it before it is carried out here, and not at all there.
        let ours: Vec<_> = ours.into_iter().filter(|line| !line.ends_with(r#"] "RESET""#)).collect();
        assert_eq!(ours, theirs, "RESP{protocol}");
    }
}

#[test]
fn random_commands_on_large_keys_have_the_same_replies() {
    let Some((dotted, _data, redis)) = both() else { return };
    for seed in 0..random::LARGE_SEEDS {
        let protocol = 2 + (seed % 2) as u8;
        let (mut ours, mut theirs) = (Speaker::new(&dotted.address, protocol), Speaker::new(&redis.address, protocol));
        ours.call(&words("FLUSHALL"));
        theirs.call(&words("FLUSHALL"));
        for (number, line) in random::on_large_keys(seed).into_iter().enumerate() {
            let words = words(&line);
            let same = compare(&line, Compared::All, &ours.call(&words), &theirs.call(&words));
            same.unwrap_or_else(|difference| panic!("seed {seed}, command {number}: {difference}"));
        }
    }
}

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
