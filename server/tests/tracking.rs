//! Client-side caching at real nodes, with redis-rs as the client: who is told what is void, and when.

mod support;

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use redis::{PushInfo, PushKind, Value};
use support::{PATIENCE, Process, three_nodes};

/// A connection that keeps what it has read.
struct Reader {
    connection: redis::Connection,
    pushes: Receiver<PushInfo>,
}

impl Reader {
    fn of(node: &Process) -> Self {
        let client = redis::Client::open(format!("redis://{}/?protocol=resp3", node.address)).expect("an address");
        let mut connection = client.get_connection().expect("the node listens");
        let (sender, pushes) = channel();
        connection.set_push_sender(sender);
        Self { connection, pushes }
    }

    fn tracking(node: &Process, options: &str) -> Self {
        let mut reader = Self::of(node);
        assert_eq!(reader.run(&format!("CLIENT TRACKING ON {options}")), "OK");
        reader
    }

    fn run(&mut self, command: &str) -> String {
        let mut words = command.split_whitespace();
        let mut asked = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            asked.arg(word);
        });
        match asked.query::<Value>(&mut self.connection) {
            Ok(Value::BulkString(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(Value::SimpleString(text)) => text,
            Ok(Value::Okay) => "OK".to_owned(),
            Ok(Value::Nil) => "(nil)".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(why) => why.to_string(),
        }
    }

    /// The keys that were told to be void up to now; `*`: all of them.
    fn void(&mut self) -> Vec<String> {
        assert_eq!(self.run("PING"), "PONG");
        let name = |value: &Value| match value {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        let told = self.pushes.try_iter().filter(|push| push.kind == PushKind::Invalidate);
        let keys = told.flat_map(|push| match push.data.as_slice() {
            [Value::Array(keys)] => keys.iter().map(name).collect(),
            [Value::Nil] => vec!["*".to_owned()],
            other => panic!("{other:?}"),
        });
        keys.collect()
    }

    fn until_void(&mut self, key: &str) {
        let since = Instant::now();
        loop {
            let void = self.void();
            if void.iter().any(|told| told == key) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{key} was never told to be void");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn alone() -> (Process, tempfile::TempDir) {
    let data = tempfile::tempdir().expect("a directory");
    (Process::serve(data.path(), &["--in-memory"]), data)
}

#[test]
fn what_was_read_is_told_to_be_void_once_when_it_changes() {
    let (node, _data) = alone();
    let (mut reader, mut writer) = (Reader::tracking(&node, ""), node.client());
    writer.run("MSET k 1 other 1");
    writer.run("HSET h f 1");
    assert_eq!((reader.run("GET k"), reader.run("HGET h f")), ("1".to_owned(), "1".to_owned()));
    assert_eq!(reader.void(), Vec::<String>::new());
    writer.run("SET k 2");
    writer.run("SET k 3");
    writer.run("SET other 2");
    assert_eq!(reader.void(), ["k"]);
    // What the reader itself writes is told as well; nothing is told of what it has only written.
    reader.run("HSET h f 2");
    reader.run("SET written 1");
    assert_eq!(reader.void(), ["h"]);
    writer.run("SET written 2");
    assert_eq!(reader.void(), Vec::<String>::new());
    for (read, key, change) in [
        ("EVAL_RO return(redis.call('GET',KEYS[1])) 1 k", "k", "APPEND k x"),
        ("DOT.WITH R 1 GET k", "k", "DEL k"),
        ("GET k", "k", "SET k 1"),
        ("MGET k other", "other", "INCR other"),
        ("TTL other", "other", "EXPIRE other 100"),
        ("DOT.GET other", "other", "FLUSHALL"),
    ] {
        assert!(!reader.run(read).contains("rror"), "{read}");
        reader.void();
        writer.run(change);
        assert!(reader.void().contains(&key.to_owned()), "{read}, {change}");
    }
    writer.run("SET {t}a 1");
    assert_eq!((reader.run("MULTI"), reader.run("GET {t}a")), ("OK".to_owned(), "QUEUED".to_owned()));
    assert!(reader.run("EXEC").contains('1'));
    writer.run("SET {t}a 2");
    assert_eq!(reader.void(), ["{t}a"]);
    assert_eq!(reader.run("CLIENT TRACKING OFF"), "OK");
    reader.run("GET k");
    writer.run("SET k 9");
    assert_eq!(reader.void(), Vec::<String>::new());
    assert!(reader.run("CLIENT TRACKING ON NOLOOP").contains("NOLOOP is not there"));
    assert_eq!(writer.info("tracking_clients"), "0");
}

#[test]
fn a_client_chooses_what_it_keeps_or_follows_prefixes() {
    let (node, _data) = alone();
    let mut writer = node.client();
    let (mut asks, mut declines) = (Reader::tracking(&node, "OPTIN"), Reader::tracking(&node, "OPTOUT"));
    let mut follows = Reader::tracking(&node, "BCAST PREFIX user: PREFIX shop:");
    for reader in [&mut asks, &mut declines] {
        let said = if reader.run("CLIENT CACHING YES") == "OK" { "CLIENT CACHING YES" } else { "CLIENT CACHING NO" };
        assert_eq!(reader.run(said), "OK");
        reader.run("GET first");
        reader.run("GET second");
        assert_eq!((reader.run(said), reader.run("MULTI")), ("OK".to_owned(), "OK".to_owned()));
        reader.run("GET {t}third");
        reader.run("EXEC");
        reader.run("GET fourth");
    }
    for key in ["first", "second", "{t}third", "fourth", "user:1", "shop:2", "elsewhere"] {
        writer.run(&format!("SET {key} x"));
    }
    assert_eq!(asks.void(), ["first", "{t}third"]);
    assert_eq!(declines.void(), ["second", "fourth"]);
    assert_eq!(follows.void(), ["user:1", "shop:2"]);
    writer.run("SET user:1 y");
    assert_eq!(follows.void(), ["user:1"]);
}

#[test]
fn another_connection_can_be_told_in_its_place() {
    let (node, _data) = alone();
    let (mut told, mut plain, mut writer) = (node.client(), node.client(), node.client());
    let id = told.run("CLIENT ID");
    assert!(told.run("SUBSCRIBE __redis__:invalidate").starts_with("subscribe"));
    assert_eq!(plain.run(&format!("CLIENT TRACKING ON REDIRECT {id}")), "OK");
    assert_eq!(plain.run("GET k"), "(nil)");
    writer.run("SET k 1");
    assert_eq!(told.receive_text(), "message\n__redis__:invalidate\nk");
    assert!(writer.run("CLIENT LIST").contains(&format!("redir={id} ")));
    let mut reader = Reader::of(&node);
    assert_eq!(reader.run(&format!("CLIENT TRACKING ON REDIRECT {id}")), "OK");
    drop(told);
    writer.until("CLIENT LIST", |list| !list.contains(&format!("id={id} ")));
    assert_eq!(reader.run("GET k"), "1");
    writer.run("SET k 2");
    assert_eq!(reader.run("PING"), "PONG");
    let broken = reader.pushes.try_iter().map(|push| push.kind).collect::<Vec<_>>();
    assert_eq!(broken, [PushKind::Other("tracking-redir-broken".to_owned())]);
}

#[test]
fn what_others_write_and_what_merges_is_told_as_well() {
    let data = tempfile::tempdir().expect("a directory");
    let [a, b, c] = three_nodes(data.path());
    let mut reader = Reader::tracking(&c, "");
    a.client().run("SET k 1");
    for (writer, value) in [(&a, "2"), (&b, "3"), (&c, "4")] {
        reader.run("GET k");
        writer.client().run(&format!("SET k {value}"));
        reader.until_void("k");
        assert_eq!(reader.run("GET k"), value, "it is read anew");
    }
    assert_eq!(a.client().run("DOT.FAULT CUT a"), "OK");
    assert_eq!(a.client().run("DOT.WITH W 1 SET k there"), "OK");
    assert_eq!(b.client().run("DOT.WITH W 1 SET k here"), "OK");
    reader.until_void("k");
    assert_eq!(reader.run("GET k"), "here");
    assert_eq!(reader.void(), Vec::<String>::new(), "what is on the other side is not known here");
    assert_eq!(b.client().run("DOT.FAULT HEAL"), "OK");
    reader.until_void("k");
    assert!(a.client().until("DOT.GET k", |shown| shown.contains("here") && shown.contains("there")).len() > 10);
}

/// Of four nodes three own a key; the fourth hears of no change.
#[test]
fn what_a_node_does_not_own_is_void_as_soon_as_it_is_read() {
    let data = tempfile::tempdir().expect("a directory");
    let [a, b, c] = three_nodes(data.path());
    let (mut early, mut follows) = (Reader::tracking(&a, ""), Reader::tracking(&a, "BCAST"));
    let d = Process::serve(&data.path().join("d"), &["--name", "d", "--join", &a.peer_address()]);
    for node in [&a, &b, &c, &d] {
        node.client()
            .until("INFO", |info| info.contains("\r\nmembers:4\r\n") && info.contains("\r\npartitions_filling:0\r\n"));
    }
    d.client().until("INFO", |info| !info.contains("\r\npartitions_serving:0\r\n"));
    // Who ceases to own something has everything void, and cannot follow prefixes any more.
    early.until_void("*");
    let since = Instant::now();
    while follows.run("PING") == "PONG" {
        assert!(since.elapsed() < PATIENCE, "it is still told of everything");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut reader = Reader::tracking(&d, "");
    assert!(Reader::of(&d).run("CLIENT TRACKING ON BCAST").contains("BCAST needs a node that owns every key"));
    let keys: Vec<String> = (0..60).map(|n| format!("key{n}")).collect();
    keys.iter().for_each(|key| assert_eq!(a.client().run(&format!("SET {key} 1")), "OK"));
    // What was still on its way when it was read is void as well, and read again.
    keys.iter().for_each(|key| drop(reader.run(&format!("GET {key}"))));
    std::thread::sleep(Duration::from_millis(300));
    reader.void();
    keys.iter().for_each(|key| assert_eq!(reader.run(&format!("GET {key}")), "1"));
    let foreign: BTreeSet<String> = reader.void().into_iter().collect();
    for key in &keys {
        let owners = d.client().run(&format!("DOT.EXPLAIN {key}"));
        let owners = owners.split("owners").nth(1).unwrap_or_default();
        let is_owner = owners.contains("\nd\n");
        assert_eq!(!is_owner, foreign.contains(key), "{key}: {owners}");
    }
    assert!(!foreign.is_empty() && foreign.len() < keys.len(), "{} of {}", foreign.len(), keys.len());
    keys.iter().for_each(|key| assert_eq!(b.client().run(&format!("SET {key} 2")), "OK"));
    for key in keys.iter().filter(|key| !foreign.contains(*key)) {
        reader.run(&format!("GET {key}"));
    }
    let since = Instant::now();
    let mut told = BTreeSet::new();
    while told.len() + foreign.len() < keys.len() {
        told.extend(reader.void());
        assert!(since.elapsed() < PATIENCE, "{told:?}");
    }
}
