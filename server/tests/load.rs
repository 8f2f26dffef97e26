//! `dotted bench` on real nodes: what it sends, what it prints, and that it leaves nothing behind.

mod support;

use support::{Process, dotted, dotted_with, refused, said};

#[test]
fn every_command_is_sent_as_often_as_was_asked_for_and_no_key_stays() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--in-memory", "--requirepass", "sesame"]);
    let mut client = node.client();
    client.run("AUTH sesame");
    client.run("SET mine v");
    let commands = ["ping", "set", "get", "incr", "lpush", "sadd", "hset", "zadd"];
    let load =
        ["bench", "--node", &node.address, "--requests", "1003", "--clients", "4", "--pipeline", "7", "--keys", "50"];
    let environment = [("DOTTED_REQUIREPASS", "sesame")];
    let shown = said(&dotted_with(
        &[&load[..], &["--commands", &commands.join(","), "--tsv", "--keep"]].concat(),
        &environment,
    ));
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["COMMAND", "REQUESTS", "ERRORS", "PER SECOND", "P50 MS", "P99 MS", "P99.9 MS", "MAX MS"]);
    for (row, command) in rows[1..].iter().zip(commands) {
        assert_eq!(row[..3], [command, "1003", "0"], "{shown}");
        let figures: Vec<f64> = row[3..].iter().map(|figure| figure.parse().unwrap()).collect();
        assert!(figures[0] > 0.0 && figures[1..].is_sorted(), "{shown}");
    }
    let count = |client: &mut support::Client, key: &str, command: &str| -> u64 {
        (0..50).map(|n| client.run(&format!("{command} dotted-bench:{key}:{n}")).parse::<u64>().unwrap_or(0)).sum()
    };
    assert_eq!(count(&mut client, "number", "GET"), 1_003);
    assert_eq!(count(&mut client, "list", "LLEN"), 1_003);
    // Every key is there that GET has asked for; values are as large as they should be.
    assert_eq!(count(&mut client, "string", "STRLEN"), 50 * 16);
    said(&dotted_with(&[&load[..], &["--commands", &commands.join(",")]].concat(), &environment));
    assert_eq!(client.run("KEYS *"), "mine");
}

#[test]
fn it_ends_in_time_shows_a_table_and_says_what_was_refused() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--in-memory"]);
    let began = std::time::Instant::now();
    let shown = said(&dotted(&[
        "bench",
        "--node",
        &node.address,
        "--seconds",
        "1",
        "--commands",
        "set",
        "--value-bytes",
        "100",
    ]));
    let took = began.elapsed();
    assert!(took >= std::time::Duration::from_secs(1) && took < support::PATIENCE, "{took:?}");
    assert!(
        shown.starts_with("50 clients, pipelines of 1, values of 100 bytes, 10000 keys\nCOMMAND  REQUESTS  ERRORS"),
        "{shown}"
    );
    assert_eq!(node.client().run("DBSIZE"), "0");

    let mut client = node.client();
    client.run("RPUSH dotted-bench:string:0 x");
    let output =
        dotted(&["bench", "--node", &node.address, "--requests", "10", "--keys", "1", "--commands", "incr,sadd"]);
    said(&output);
    client.run("RPUSH dotted-bench:number:0 x");
    let output = dotted(&["bench", "--node", &node.address, "--requests", "10", "--keys", "1", "--commands", "incr"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("incr     10        10 "), "{output:?}");
    assert!(refused(&output).contains("incr was refused, the first time with: WRONGTYPE"), "{output:?}");

    for (wrong, why) in [
        (&["--commands", "flushall"][..], "invalid value 'flushall' for '--commands <COMMANDS>'"),
        (&["--clients", "0"], "0 is not in 1..=10000"),
        (&["--seconds", "1", "--requests", "1"], "cannot be used with"),
        (&["--pipeline", "1024", "--value-bytes", "1000000"], "choose a smaller --pipeline or --value-bytes"),
        (&["--node", "127.0.0.1:1"], "no server answers at 127.0.0.1:1"),
    ] {
        let said = refused(&dotted(&[&["bench"], wrong].concat()));
        assert!(said.contains(why), "{said}");
    }
}
