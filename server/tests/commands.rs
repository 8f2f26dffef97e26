//! Commands on real processes: what a comparison with one redis-server cannot show - several nodes, order, waiting, refusals.

#![allow(clippy::unwrap_used, reason = "a test may stop at what should not be")]

mod support;

use std::time::{Duration, Instant};

use support::{Client, Process, request};

/// Three nodes that hold everything.
struct Three {
    nodes: Vec<Process>,
    _data: tempfile::TempDir,
}

impl Three {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let first = Process::serve(&data.path().join("a"), &["--name", "a"]);
        let peer = first.peer_address();
        let mut nodes = vec![first];
        for name in ["b", "c"] {
            nodes.push(Process::serve(&data.path().join(name), &["--name", name, "--join", &peer]));
        }
        for node in &nodes {
            let is_whole =
                |info: &str| info.contains("\r\nmembers:3\r\n") && info.contains("\r\npartitions_serving:1024\r\n");
            node.client().until("INFO Dotted", is_whole);
        }
        Self { nodes, _data: data }
    }

    fn client(&self, at: usize) -> Client {
        self.nodes[at].client()
    }
}

fn alone() -> (Process, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    (Process::serve(data.path(), &["--in-memory"]), data)
}

/// Sends all commands at once, and gives their replies.
fn pipeline(client: &mut Client, commands: &[&str]) -> Vec<String> {
    let bytes: Vec<u8> = commands.iter().flat_map(|command| request(&command.split(' ').collect::<Vec<_>>())).collect();
    client.send(&bytes);
    commands.iter().map(|_| client.receive_text()).collect()
}

/// Commands that read and then write had two rounds, and whatever was sent behind them overtook the second one.
#[test]
fn what_is_sent_behind_a_command_of_several_rounds_sees_what_it_did_from_any_node() {
    let three = Three::start();
    for at in 0..3 {
        let mut client = three.client(at);
        for turn in 0..2 {
            let key = |name: &str| format!("{name}{at}.{turn}");
            let (a, d, w, ww) = (key("a"), key("d"), key("w"), key("ww"));
            let said = pipeline(
                &mut client,
                &[
                    &format!("SADD {a} x y"),
                    &format!("SUNIONSTORE {d} {a}"),
                    &format!("SCARD {d}"),
                    &format!("SET {w} v"),
                    &format!("RENAME {w} {ww}"),
                    &format!("GET {ww}"),
                    &format!("GET {w}"),
                    "FLUSHALL",
                    "DBSIZE",
                    &format!("SADD {a} z"),
                    &format!("SUNIONSTORE {d} {a}"),
                    "MULTI",
                    &format!("SCARD {d}"),
                    "EXEC",
                ],
            );
            let expected = ["2", "2", "2", "OK", "OK", "v", "(nil)", "OK", "0", "1", "1", "OK", "QUEUED", "1"];
            assert_eq!(said, expected, "at node {at}");
        }
    }
}

#[test]
fn wait_counts_the_owners_that_hold_whatever_was_written_last() {
    let three = Three::start();
    let mut client = three.client(0);
    let writes = ["SET k v", "MSET k v l w", "INCR n", "LPUSH q x", "DEL k l"];
    for write in writes {
        client.run(write);
        assert_eq!(client.run("WAIT 2 10000"), "2", "{write}");
    }
    client.run("DOT.FAULT CUT a");
    client.run("DOT.WITH W 1 R 1");
    for write in ["SET k v", "MSET k v l w", "LPUSH q y", "DEL k l"] {
        client.run(write);
        assert_eq!(client.run("WAIT 2 50"), "0", "{write}");
    }
    let said = pipeline(&mut client, &["MULTI", "SET {t}k v", "EXEC", "WAIT 1 50"]);
    assert_eq!(said, ["OK", "QUEUED", "OK", "0"]);
    client.run("DOT.FAULT HEAL");
    assert_eq!(client.run("WAIT 2 10000"), "2");
}

#[test]
fn a_node_in_memory_is_told_apart_from_those_with_a_disk() {
    let data = tempfile::tempdir().unwrap();
    let a = Process::serve(&data.path().join("a"), &["--name", "a", "--engine", "memory"]);
    let mut client = a.client();
    assert_eq!(client.run("DOT.WITH RECEIPT SET k v"), "OK\nowners\na\nstand-ins\non-disk");
    let refused = client.run("DOT.WITH DW 1 SET k w");
    assert!(refused.starts_with("NOQUORUM 1/1 owners answered: a; not: nobody; too few"), "{refused}");
    assert!(refused.contains("on disk (DW)") && refused.ends_with("nothing was changed"), "{refused}");
    assert_eq!(client.run("GET k"), "v");
    assert_eq!(client.run("CONFIG GET appendonly"), "appendonly\nno");
    assert!(client.run("DOT.STATUS").contains("disk\nengine\nmemory\n"));
    assert!(a.client().run("WAITAOF 1 0 0").contains("appendonly is disabled"));
    assert_eq!(a.client().run("WAITAOF 0 0 0"), "0\n0");
    let b = Process::serve(&data.path().join("b"), &["--name", "b", "--join", &a.peer_address()]);
    a.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 2);
    for node in [&a, &b] {
        let mut client = node.client();
        // Whoever coordinates it, both have it, and one on disk.
        for key in ["k", "l", "m", "n"] {
            let said = client.run(&format!("DOT.WITH W 2 DW 1 RECEIPT SET {key} v"));
            assert!(said.starts_with("OK\n") && said.ends_with("on-disk\nb"), "{said}");
            let refused = client.run(&format!("DOT.WITH DW 2 SET {key} w"));
            assert!(refused.starts_with("NOQUORUM 2/2 owners answered"), "{refused}");
            client.run(&format!("SET {key} x"));
            assert_eq!(client.run("WAIT 1 10000"), "1");
            assert_eq!(client.run("WAITAOF 0 1 1000"), "1\n0");
        }
    }
    assert!(!data.path().join("a").exists(), "it keeps nothing");
}

#[test]
fn waitaof_counts_the_owners_that_have_the_last_write_on_disk() {
    let data = tempfile::tempdir().unwrap();
    // They sync once a second.
    let a = Process::serve(&data.path().join("a"), &["--name", "a", "--durability", "interval"]);
    let join = a.peer_address();
    let [b, c] = ["b", "c"].map(|name| {
        Process::serve(&data.path().join(name), &["--name", name, "--join", &join, "--durability", "interval"])
    });
    for node in [&a, &b, &c] {
        node.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 3);
    }
    let mut client = a.client();
    assert_eq!(client.run("WAITAOF 1 2 0"), "1\n2");
    let mut was_in_memory_only = false;
    for turn in 0..2 {
        for write in [format!("SET k{turn} v"), format!("MSET k{turn} w l{turn} v"), format!("RPUSH q v{turn}")] {
            client.run(&write);
            assert_eq!(client.run("WAIT 2 10000"), "2", "{write}");
            was_in_memory_only |= client.run("WAITAOF 0 0 1") == "0\n0";
            assert_eq!(client.run("WAITAOF 1 2 10000"), "1\n2", "{write}");
        }
    }
    assert!(was_in_memory_only, "nobody ever waited for a disk");
    client.run("DOT.FAULT CUT a");
    client.run("DOT.WITH W 1 R 1");
    client.run("SET cut v");
    assert_eq!(client.run("WAITAOF 1 0 10000"), "1\n0");
    assert_eq!(client.run("WAITAOF 1 1 1500"), "1\n0");
    client.run("DOT.FAULT HEAL");
    assert_eq!(client.run("WAITAOF 1 2 10000"), "1\n2");
    assert!(client.run("WAITAOF 2 0 0").contains("value must between 0 and 1"));
    assert!(client.run("WAITAOF 0 -1 0").contains("must be positive"));
    assert!(client.run("WAITAOF 0 0 -1").contains("timeout is negative"));
    let (alone, _data) = alone();
    assert!(alone.client().run("WAITAOF 1 0 0").contains("appendonly is disabled"));
}

#[test]
fn a_monitor_that_does_not_read_is_let_go_and_costs_others_nothing() {
    let (node, _data) = alone();
    let mut monitor = node.client();
    assert_eq!(monitor.run("MONITOR"), "OK");
    let mut client = node.client();
    let list = client.run("CLIENT LIST");
    assert!(list.lines().any(|line| line.contains("flags=O ")), "{list}");
    // One large value is no reason.
    let big = vec![b'x'; 16 * 1024 * 1024];
    for _ in 0..4 {
        assert_eq!(client.call(&[&b"SET"[..], b"k", &big]), "OK");
    }
    assert!(client.run("CLIENT LIST").contains("flags=O "));
    // More than waits for anybody, of commands and of bytes.
    let words = vec![&[b'x'; 1024][..]; 1024];
    let mset: Vec<&[u8]> = [&b"MSET"[..]].into_iter().chain(words).collect();
    for _ in 0..64 {
        assert_eq!(client.call(&mset), "OK");
    }
    client.until("CLIENT LIST", |list| !list.contains("flags=O "));
    while monitor.try_receive_text().is_some() {}
    assert!(monitor.is_closed());
    assert_eq!(client.run("PING"), "PONG");
}

#[test]
fn a_value_written_with_a_context_may_be_given_time() {
    let (node, _data) = alone();
    let mut client = node.client();
    let ttl = |client: &mut Client| client.run("TTL k").parse::<i64>().unwrap();
    let context = client.run("DOT.SET k - v EX 100").lines().next().unwrap().to_owned();
    assert!((95..=100).contains(&ttl(&mut client)));
    // What is written without a word of it leaves the time as it is, and so does KEEPTTL.
    let context = client.run(&format!("DOT.SET k {context} w")).lines().next().unwrap().to_owned();
    assert!((95..=100).contains(&ttl(&mut client)));
    let context = client.run(&format!("DOT.SET k {context} x KEEPTTL IFCURRENT")).lines().next().unwrap().to_owned();
    assert!((95..=100).contains(&ttl(&mut client)));
    let said = client.run(&format!("DOT.SET k {context} y ALSO 1 z PX 900000 IFCURRENT"));
    assert!(said.ends_with("\n2"), "{said}");
    assert!((890..=900).contains(&ttl(&mut client)));
    // Who has not seen what is there changes neither.
    assert_eq!(client.run("DOT.SET k - late EX 5 IFCURRENT"), "(nil)");
    assert!((890..=900).contains(&ttl(&mut client)) && !client.run("DOT.GET k").contains("late"));
    let later = "DOT.SET k - at EXAT 4000000000";
    assert!(client.run(later).ends_with("\n3"));
    assert_eq!(client.run("EXPIRETIME k"), "4000000000");
    assert_eq!(client.run("DOT.SET k - v EX 0"), "ERR invalid expire time in 'dot.set' command");
    assert_eq!(client.run("DOT.SET k - v EX ten"), "ERR value is not an integer or out of range");
    for wrong in ["EX", "EX 5 PX 5", "KEEPTTL EX 5", "EX 5 KEEPTTL"] {
        assert_eq!(client.run(&format!("DOT.SET k - v {wrong}")), "ERR syntax error", "{wrong}");
    }
    assert_eq!(client.run("DOT.GET k EX 5"), "ERR syntax error");
    assert!(client.run("DOT.SET h - v FIELD f EX 5").contains("EXPIRE says how long its hash lives"));
    assert_eq!(client.run("MULTI"), "OK");
    client.run("DOT.SET {t}k - v PX 20");
    client.run("DOT.SET {t}h - v FIELD f");
    let done = client.run("EXEC");
    assert_eq!(done.lines().filter(|line| *line == "1").count(), 2, "{done}");
    client.until("EXISTS {t}k", |there| there == "0");
    assert_eq!(client.run("HGET {t}h f"), "v");
}

#[test]
fn dot_status_tells_how_the_node_stands() {
    let three = Three::start();
    let mut a = three.client(0);
    a.run("SET k v");
    let status = a.until("DOT.STATUS", |status| status.contains("health\ngood\n"));
    let after = |status: &str, name: &str| {
        let at = status.lines().position(|line| line == name).unwrap_or_else(|| panic!("no {name}: {status}"));
        status.lines().nth(at + 1).unwrap().to_owned()
    };
    let expected = [
        ("node", "a"),
        ("placement", "automatic"),
        ("replicas", "3"),
        ("keys", "1"),
        ("without-majority", "0"),
        ("engine", "fjall"),
        ("durability", "always"),
        ("is-behind", "0"),
    ];
    for (name, value) in expected {
        assert_eq!(after(&status, name), value, "{name}");
    }
    assert!(after(&status, "free-bytes").parse::<u64>().unwrap() > 0);
    assert!(after(&status, "syncs").parse::<u64>().unwrap() > 0);
    assert_eq!(status.matches("client-address\n").count(), 3);
    a.run("DOT.FAULT CUT a");
    let cut = a.until("DOT.STATUS", |status| status.contains("health\nbad: of 1024 partitions too few owners"));
    assert_eq!(after(&cut, "without-majority"), "1024");
    a.run("DOT.WITH W 1 SET k2 v");
    let behind = a.until("DOT.STATUS", |status| status.matches("missing-there\n0\n").count() < 3);
    assert!(behind.contains("alive\n0\n"), "{behind}");
    a.run("DOT.FAULT HEAL");
    a.until("DOT.STATUS", |status| {
        status.contains("health\ngood\n") && status.matches("missing-there\n0\n").count() == 3
    });
}

#[test]
fn siblings_are_waited_for_and_decided_between() {
    let three = Three::start();
    let (mut a, mut b) = (three.client(0), three.client(1));
    assert_eq!(b.run("SET n 5"), "OK");
    let context = b.run("DOT.GET n").lines().nth(1).unwrap().to_owned();
    let mut polling = three.client(2);
    polling.send(&request(&["DOT.POLL", "n", &context, "10000"]));
    a.run("DOT.FAULT CUT a");
    a.run("SET n 40");
    b.run("SET n 7");
    let news = polling.receive_text();
    assert!(news.contains("\n7\n"), "not the other side's value: {news} after {context}");
    b.run("DOT.FAULT HEAL");
    b.until("DOT.GET n", |siblings| siblings.contains("\n7\n") && siblings.contains("\n40\n"));
    assert!(b.run("DOT.RESOLVE n PICK 3").starts_with("ERR PICK takes a number from 1 to 2"));
    assert!(b.run("DOT.RESOLVE n MAX").ends_with("\n1"));
    a.until("DOT.GET n", |siblings| siblings.contains("\n40\n") && !siblings.contains("\n7\n"));
    assert!(b.run("DOT.RESOLVE nothing LWW").starts_with("ERR no such key"));
    let context = b.run("DOT.GET n").lines().nth(1).unwrap().to_owned();
    assert_eq!(b.run(&format!("DOT.POLL n {context} 50")), "(nil)");
    assert!(b.run("DOT.POLL n nonsense 50").starts_with("BADCONTEXT"));
}

#[test]
fn a_queue_kept_on_two_sides_of_a_cut_loses_nothing_and_doubles_nothing() {
    let three = Three::start();
    let (mut a, mut b) = (three.client(0), three.client(1));
    a.run("RPUSH q 0");
    a.run("DOT.FAULT CUT a");
    a.run("RPUSH q a1 a2");
    b.run("RPUSH q b1 b2");
    b.run("ZADD z 1 m");
    a.run("ZINCRBY z 2 m");
    b.run("DOT.FAULT HEAL");
    b.until("LLEN q", |len| len == "5");
    let all = three.client(2).run("LRANGE q 0 -1");
    let order = |of: &str| all.lines().filter(|line| line.starts_with(of)).collect::<Vec<_>>().join(" ");
    assert_eq!((order("0"), order("a"), order("b")), ("0".into(), "a1 a2".into(), "b1 b2".into()));
    three.client(2).until("ZSCORE z m", |score| score == "3");
}

#[test]
fn whoever_waits_is_told_from_any_node_and_takes_nothing_when_gone() {
    let three = Three::start();
    let mut waiting = three.client(2);
    waiting.send(&request(&["BLPOP", "jobs", "10"]));
    std::thread::sleep(Duration::from_millis(200));
    // Another type in between is no reason to stop waiting.
    three.client(0).run("SET jobs x");
    std::thread::sleep(Duration::from_millis(200));
    three.client(0).run("DEL jobs");
    three.client(1).run("RPUSH jobs one");
    assert_eq!(waiting.receive_text(), "jobs\none");
    let mut gone = three.client(2);
    gone.send(&request(&["BLPOP", "jobs", "0"]));
    std::thread::sleep(Duration::from_millis(200));
    drop(gone);
    three.client(2).until("INFO Clients", |info| info.contains("blocked_clients:0"));
    three.client(1).run("RPUSH jobs two");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(three.client(0).run("LRANGE jobs 0 -1"), "two");
}

/// Each of a hundred thousand keys was asked in its turn, and the time to wait began behind them.
#[test]
fn many_keys_are_waited_for_no_longer_than_was_said() {
    let (node, _data) = alone();
    let mut client = node.client();
    let keys = (0..20_000).map(|n| format!("k{n}"));
    let command: Vec<String> = ["BLPOP".to_owned()].into_iter().chain(keys).chain(["0.05".to_owned()]).collect();
    let began = Instant::now();
    assert_eq!(client.call(&command), "(nil)");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_transaction_takes_commands_that_have_keys_in_one_slot_and_says_what_it_does_not_take() {
    let (node, _data) = alone();
    let mut client = node.client();
    for command in ["CONFIG GET port", "SUBSCRIBE ch", "FLUSHALL", "CLIENT LIST", "DOT.SCRUB"] {
        let said = pipeline(&mut client, &["MULTI", command, "SET k v", "EXEC"]);
        assert!(said[1].contains("has no key, and a transaction is carried out where its keys are"), "{said:?}");
        assert!(said[3].starts_with("EXECABORT"), "{said:?}");
    }
    assert_eq!(client.run("GET k"), "(nil)");
    let said = pipeline(&mut client, &["MULTI", "SET a 1", "SET b 2", "EXEC"]);
    assert!(said[3].starts_with("CROSSSLOT"), "{said:?}");
    let said = pipeline(&mut client, &["MULTI", "DOT.WITH W 1 SET k w", "PING", "GET k", "EXEC"]);
    assert_eq!(said[4], "OK\nPONG\nw");
    assert_eq!(client.run("COMMAND GETKEYS DOT.WITH W 1 SET k w"), "k");
}

/// The write was refused after what had ended was removed, half of which stayed: the key was back, for good.
#[test]
fn a_refusal_within_a_transaction_leaves_what_has_ended_as_it_was() {
    let (node, _data) = alone();
    let mut client = node.client();
    let big = vec![b'x'; 14 * 1024 * 1024];
    client.run("SET k v PX 1");
    std::thread::sleep(Duration::from_millis(20));
    client.run("MULTI");
    let mut set: Vec<&[u8]> = vec![b"DOT.SET", b"k", b"-", &big, b"ALSO", b"3"];
    set.extend([&big[..], &big, &big]);
    client.call(&set);
    let said = client.run("EXEC");
    assert!(said.contains("siblings of this cell would be more"), "{said}");
    assert_eq!((client.run("GET k"), client.run("EXISTS k")), ("(nil)".to_owned(), "0".to_owned()));
}

/// Commands that are carried out where their key is said nothing of one that had ended, and were answered with an error.
#[test]
fn what_has_ended_is_nothing_to_look_at() {
    let (node, _data) = alone();
    let mut client = node.client();
    for command in
        ["ZADD z 1 a", "SADD s a", "HSET h f v", "ZADD kept 1 a", "PEXPIRE z 1", "PEXPIRE s 1", "PEXPIRE h 1"]
    {
        client.run(command);
    }
    std::thread::sleep(Duration::from_millis(20));
    let looks = ["ZRANGE z 0 -1", "ZREVRANGEBYSCORE z 9 0", "ZRANDMEMBER z 2", "SRANDMEMBER s 2", "HRANDFIELD h 2"];
    for look in looks {
        assert_eq!(client.run(look), "", "{look}");
    }
    for (look, said) in [("ZCOUNT z -inf +inf", "0"), ("ZRANK z a", "(nil)"), ("ZRANGESTORE kept z 0 -1", "0")] {
        assert_eq!(client.run(look), said, "{look}");
    }
    assert_eq!(client.run("EXISTS kept"), "0");
}

/// One long name among many made draws give far fewer than there were; and each draw made the whole order anew.
#[test]
fn draws_by_chance_give_as_many_as_are_wanted() {
    let (node, _data) = alone();
    let mut client = node.client();
    let names: Vec<String> = (0..2_000).map(|n| format!("m{n}")).chain(["x".repeat(16_000)]).collect();
    let words: Vec<&str> = ["SADD", "s"].into_iter().chain(names.iter().map(String::as_str)).collect();
    assert_eq!(client.call(&words), "2001");
    for (count, drawn) in [("5000", 2_001), ("1500", 1_500), ("200", 200), ("-5000", 5_000), ("0", 0)] {
        let said = client.run(&format!("SRANDMEMBER s {count}"));
        let mut all: Vec<&str> = said.lines().collect();
        assert_eq!(all.len(), drawn, "{count}");
        all.sort_unstable();
        all.dedup();
        assert!(count.starts_with('-') || all.len() == drawn, "{count}: each once");
    }
    assert_eq!(client.run("SPOP s 2001").lines().count(), 2_001);
    assert_eq!(client.run("EXISTS s"), "0");
}

/// A forged dump with a name longer than the storage takes ended the process.
#[test]
fn what_restore_is_given_is_held_to_the_limits() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    let mut body = vec![1, 1];
    // One member of 70,000 bytes, and no deadline: as the format has it.
    let mut len = 70_000_u32;
    while len >= 0x80 {
        body.push(len as u8 | 0x80);
        len >>= 7;
    }
    body.push(len as u8);
    body.extend(vec![b'm'; 70_000]);
    body.push(0);
    let dump = [&b"DOT1"[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat();
    let said = client.call(&[&b"RESTORE"[..], b"k", b"0", &dump]);
    assert!(said.contains("70000 bytes is over the limit"), "{said}");
    let mut long = vec![b'k'; 16_000];
    long.push(b'!');
    client.call(
        &[&b"SADD"[..], b"s"]
            .into_iter()
            .map(<[u8]>::to_vec)
            .chain((0..5_000).map(|n| format!("{n}").into_bytes()))
            .collect::<Vec<_>>(),
    );
    let said = client.call(&[&b"SUNIONSTORE"[..], &long, b"s"]);
    assert!(said.contains("are too much at once"), "{said}");
    client.run("HSET h f 1");
    let dumped = client.call_frame(&["DUMP", "h"]);
    let redis_protocol::resp2::types::OwnedFrame::BulkString(dumped) = dumped else { panic!("{dumped:?}") };
    assert_eq!(client.call(&[&b"RESTORE"[..], b"h2", b"0", &dumped]), "OK");
    assert_eq!(client.run("HGET h2 f"), "1");
}

#[test]
fn small_things_that_were_wrong_once() {
    let (node, _data) = alone();
    let mut client = node.client();
    client.run("RPUSH l a");
    client.run("EXPIRE l 100");
    client.run("LMOVE l l LEFT RIGHT");
    assert_eq!(client.run("TTL l"), "100");
    client.run("ZADD z -0 m");
    assert_eq!(client.run("ZINCRBY z 1 m"), "1");
    client.run("CONFIG SET slowlog-log-slower-than 0");
    client.run("AUTH default secretpw");
    assert!(!client.run("SLOWLOG GET").contains("secretpw"));
    client.run("HSET h f 1");
    assert_eq!(client.run("HRANDFIELD h -5 WITHVALUES").lines().count(), 10);
    assert_eq!(client.run("SORT nothing BY x LIMIT 0 1"), "");
}

#[test]
fn a_script_takes_no_more_time_memory_or_liberty_than_it_is_given() {
    let (node, _data) = alone();
    let mut client = node.client();
    client.run("CONFIG SET lua-time-limit 200");
    let eval = |client: &mut Client, script: &str| client.call(&["EVAL", script, "0"]);
    for endless in ["while true do end", "while true do pcall(function() while true do end end) end"] {
        let began = Instant::now();
        let said = eval(&mut client, endless);
        assert!(said.contains("took longer than 200 ms") && began.elapsed() < Duration::from_secs(10), "{said}");
    }
    let said = eval(&mut client, "local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end");
    assert!(said.contains("not enough memory"), "{said}");
    for liberty in ["return os.time()", "return io", "return loadstring('return 1')()", "string.rep = nil return 1"] {
        eval(&mut client, liberty);
    }
    assert_eq!(eval(&mut client, "return string.rep('x', 3)"), "xxx");
    let said = eval(&mut client, "redis.call('SET', '{a}k', 1) redis.call('SET', '{b}k', 1)");
    assert!(said.starts_with("CROSSSLOT") || said == "(nil)", "{said}");
    let said = eval(&mut client, "return redis.call('CONFIG', 'GET', 'port')");
    assert!(said.contains("not allowed from script"), "{said}");
    let said = eval(&mut client, "return redis.call('EVAL', 'return 5', 0)");
    assert!(said.contains("not allowed from script"), "{said}");
    // Each of these ended the process, or hung it, or left no interpreter that worked.
    let wild = [
        "local t = {} local i = 1 while true do t[i] = {i} i = i + 1 end",
        "return {unpack({}, 0, 2147483647)}",
        "return {unpack({}, -2147483648, 2147483647)}",
        "local function f() return pcall(f) end return f()",
        "local t = {} for i = 1, 7990 do t[i] = i end return #{pcall(unpack, t)}",
        "return #{pcall(string.byte, string.rep('x', 9000), 1, 9000)}",
        "return string.find(string.rep('a', 400), '.-.-.-.-b')",
        "return string.rep('', 2147483647)",
        "local t = {'x'} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "local t = {'x'} for i = 1, 40 do t = {t, t} end return t",
        "return string.dump(function() return 42 end)",
        "local ok, why = pcall(redis.call, 'INCR', 'k', 'a', 'b') return why.err",
        "return cjson.encode({0 / 0})",
    ];
    for script in wild {
        let began = Instant::now();
        eval(&mut client, script);
        assert!(began.elapsed() < Duration::from_secs(15), "{script}");
        assert_eq!(eval(&mut client, "return 'well'"), "well", "after {script}");
    }
    let said = client.call(&[b"EVAL".to_vec(), b"\x1bLuaQ\x00\x01\x04\x08\x04\x08\x00".to_vec(), b"0".to_vec()]);
    assert!(said.starts_with("ERR"), "{said}");
    // Long lists are ordinary.
    let many: Vec<String> = (0..9_000).map(|n| n.to_string()).collect();
    let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).chain(many.clone()).collect::<Vec<_>>();
    assert_eq!(client.call(&command(&["EVAL", "return #ARGV", "0"])), "9000");
    client.call(&command(&["RPUSH", "{a}long"]));
    assert_eq!(client.call(&["EVAL", "return #redis.call('LRANGE', KEYS[1], 0, -1)", "1", "{a}long"]), "9000");
    let deep = "local t = {} for i = 1, 1000 do t = {t} end return t";
    assert!(eval(&mut client, deep).contains("nests more than"));
    assert_eq!(eval(&mut client, "error({err = 'MYERR hello'})").split(" script:").next(), Some("MYERR hello"));
    assert_eq!(client.run("PING"), "PONG");
}

#[test]
fn every_command_is_in_the_table_and_the_table_has_no_other() {
    let (node, _data) = alone();
    let table = include_str!("../COMMANDS.md");
    let listed: Vec<String> = node.client().run("COMMAND LIST").lines().map(str::to_ascii_uppercase).collect();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let first_cells = rows.iter().filter_map(|row| row.split(" | ").next());
    let named: Vec<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let is_named = |command: &String| named.iter().any(|name| name.split([' ', '|']).next() == Some(command));
    let missing: Vec<&String> = listed.iter().filter(|command| !is_named(command)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let options = ["R", "W", "PR", "PW", "DW", "STRICT", "MONOTONIC", "TIMEOUT", "STAGE", "REVERT"];
    let names = named.iter().filter_map(|name| name.split([' ', '|']).next());
    let unknown: Vec<&str> =
        names.filter(|name| !options.contains(name) && !listed.iter().any(|command| command == name)).collect();
    assert!(unknown.is_empty(), "in the table and no command: {unknown:?}");
}

#[test]
fn a_password_is_asked_for_before_anything_else() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--in-memory", "--requirepass", "secret"]);
    let mut client = Client::connect(&node.address);
    assert_eq!(client.run("GET k"), "NOAUTH Authentication required.");
    assert!(client.run("AUTH wrong").starts_with("WRONGPASS"));
    assert!(client.run("HELLO 3").starts_with("NOAUTH"));
    assert_eq!(client.run("AUTH secret"), "OK");
    assert_eq!(client.run("SET k v"), "OK");
    let mut other = Client::connect(&node.address);
    assert!(other.run("HELLO 2 AUTH default secret").contains("redis"));
    // Whoever has not said who it is may send little.
    let mut stranger = Client::connect(&node.address);
    stranger.send(b"*1000\r\n");
    assert!(stranger.receive_text().contains("unauthenticated multibulk length"));
}
