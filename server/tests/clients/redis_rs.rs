//! redis-rs, against one node or against three, plain and as a cluster's client, in RESP2 and RESP3.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use redis::cluster::{ClusterClientBuilder, ClusterConnection};
use redis::{Commands, ConnectionLike, ErrorKind, ProtocolVersion, RedisResult, ServerErrorKind};

use crate::support::{PATIENCE, Process, three_nodes};

fn url(node: &Process, protocol: ProtocolVersion) -> String {
    let version = if protocol == ProtocolVersion::RESP3 { "resp3" } else { "resp2" };
    format!("redis://{}/?protocol={version}", node.address)
}

fn plain(node: &Process, protocol: ProtocolVersion) -> redis::Connection {
    redis::Client::open(url(node, protocol)).expect("an address").get_connection().expect("the node listens")
}

fn cluster(nodes: &[&Process], protocol: ProtocolVersion) -> ClusterConnection {
    let addresses = nodes.iter().map(|node| format!("redis://{}", node.address));
    let client = ClusterClientBuilder::new(addresses).use_protocol(protocol).connection_timeout(Duration::from_secs(2));
    client.build().expect("addresses").get_connection().expect("the nodes listen")
}

/// What is tried with every kind of connection; keys of one command are in one slot.
fn try_all<C: ConnectionLike>(connection: &mut C, run: &str) {
    let key = |name: &str| format!("{{{run}}}{name}");
    values(connection, &key).expect("strings");
    collections(connection, &key).expect("collections");
    scripts(connection, &key).expect("scripts");
    if connection.supports_pipelining() {
        pipelines(connection, &key).expect("pipelines");
    }
    many_slots(connection, run).expect("keys of many slots");
}

fn values<C: ConnectionLike>(connection: &mut C, key: &dyn Fn(&str) -> String) -> RedisResult<()> {
    let () = connection.set_ex(key("s"), "a", 100)?;
    assert!((91..=100).contains(&connection.ttl::<_, i64>(key("s"))?));
    assert!(!connection.set_nx::<_, _, bool>(key("s"), "b")?);
    assert_eq!(connection.get_del::<_, Option<String>>(key("s"))?.as_deref(), Some("a"));
    assert_eq!(connection.get::<_, Option<String>>(key("s"))?, None);
    let () = connection.mset(&[(key("a"), 1), (key("b"), 2)])?;
    let read: Vec<Option<i64>> = connection.mget(&[key("a"), key("none"), key("b")])?;
    assert_eq!(read, [Some(1), None, Some(2)]);
    assert_eq!(connection.incr::<_, _, i64>(key("a"), 41)?, 42);
    let refused = connection.lpush::<_, _, i64>(key("a"), "x").expect_err("it is a string");
    assert_eq!(refused.code(), Some("WRONGTYPE"), "{refused}");
    Ok(())
}

fn collections<C: ConnectionLike>(connection: &mut C, key: &dyn Fn(&str) -> String) -> RedisResult<()> {
    let fields: BTreeMap<String, i64> = (0..500).map(|n| (format!("f{n}"), n)).collect();
    let pairs: Vec<(&String, &i64)> = fields.iter().collect();
    let () = connection.hset_multiple(key("h"), &pairs)?;
    assert_eq!(connection.hgetall::<_, BTreeMap<String, i64>>(key("h"))?, fields);
    let scanned: BTreeMap<String, i64> = connection.hscan(key("h"))?.collect::<RedisResult<_>>()?;
    assert_eq!(scanned, fields);
    assert_eq!(connection.sadd::<_, _, i64>(key("set"), &["a", "b"])?, 2);
    let members: BTreeSet<String> = connection.smembers(key("set"))?;
    assert_eq!(members, ["a", "b"].map(str::to_owned).into());
    let () = connection.zadd_multiple(key("z"), &[(1.0, "a"), (2.5, "b")])?;
    let ranked: Vec<(String, f64)> = connection.zrange_withscores(key("z"), 0, -1)?;
    assert_eq!(ranked, [("a".to_owned(), 1.0), ("b".to_owned(), 2.5)]);
    let () = connection.rpush(key("l"), &["a", "b", "c"])?;
    assert_eq!(connection.lrange::<_, Vec<String>>(key("l"), 0, -1)?, ["a", "b", "c"]);
    let popped: Option<(String, String)> = connection.blpop(key("l"), 1.0)?;
    assert_eq!(popped, Some((key("l"), "a".to_owned())));
    Ok(())
}

fn scripts<C: ConnectionLike>(connection: &mut C, key: &dyn Fn(&str) -> String) -> RedisResult<()> {
    let add = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for sum in [2, 4] {
        assert_eq!(add.key(key("n")).arg(2).invoke::<i64>(connection)?, sum);
    }
    Ok(())
}

fn pipelines<C: ConnectionLike>(connection: &mut C, key: &dyn Fn(&str) -> String) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    pipe.set(key("p"), 1).ignore().incr(key("p"), 1).get(key("p"));
    assert_eq!(pipe.query::<(i64, i64)>(connection)?, (2, 2));
    Ok(())
}

fn many_slots<C: ConnectionLike>(connection: &mut C, run: &str) -> RedisResult<()> {
    for n in 0..100 {
        let () = connection.set(format!("{run}:{n}"), n)?;
    }
    for n in 0..100 {
        assert_eq!(connection.get::<_, i64>(format!("{run}:{n}"))?, n);
    }
    Ok(())
}

/// A cluster's client sends each command of a pipeline to the node of its key.
fn scattered(connection: &mut ClusterConnection) {
    let mut pipe = redis::cluster::cluster_pipe();
    for n in 0..100 {
        pipe.incr(format!("scattered:{n}"), n);
    }
    let sums: Vec<i64> = pipe.query(connection).expect("pipelines over slots");
    assert!(sums.iter().enumerate().all(|(n, sum)| sum % (n as i64).max(1) == 0), "{sums:?}");
}

fn transactions(connection: &mut redis::Connection) {
    let () = connection.set("{t}balance", 10).expect("it is written");
    let moved: (i64, i64) = redis::transaction(connection, &["{t}balance"], |connection, pipe| {
        let balance: i64 = connection.get("{t}balance")?;
        pipe.decr("{t}balance", balance).incr("{t}other", balance).query(connection)
    })
    .expect("it is carried out");
    assert_eq!(moved, (0, 10));
}

fn messages(node: &Process, protocol: ProtocolVersion) {
    let mut follower = plain(node, protocol);
    follower.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut pubsub = follower.as_pubsub();
    pubsub.subscribe("news").expect("it follows");
    pubsub.psubscribe("n?ws").expect("it follows");
    let () = plain(node, protocol).publish("news", "one").expect("it is sent");
    let mut patterns = Vec::new();
    for _ in 0..2 {
        let message = pubsub.get_message().expect("it comes");
        assert_eq!(message.get_payload::<String>().expect("a text"), "one");
        patterns.push(message.from_pattern());
    }
    patterns.sort_unstable();
    assert_eq!(patterns, [false, true]);
}

#[test]
fn redis_rs_with_one_node() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Process::serve(data.path(), &["--requirepass", "root"]);
    let mut root = node.client();
    assert_eq!(root.run("AUTH root"), "OK");
    assert_eq!(root.run("ACL SETUSER rust on >s~cret ~* &* +@all -flushall"), "OK");
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let refused = redis::Client::open(url(&node, protocol)).expect("an address").get_connection();
        let refused =
            refused.and_then(|mut connection| connection.get::<_, Option<String>>("k")).expect_err("no password");
        assert_eq!(refused.code(), Some("NOAUTH"), "{refused}");
        let login = url(&node, protocol).replace("redis://", "redis://rust:s~cret@");
        let mut connection = redis::Client::open(login).expect("an address").get_connection().expect("it comes in");
        try_all(&mut connection, &format!("{protocol:?}"));
        transactions(&mut connection);
        let () = connection.del("{t}other").expect("it is removed");
        let denied = connection.flushall::<()>().expect_err("it may not");
        assert_eq!(denied.kind(), ErrorKind::Server(ServerErrorKind::NoPerm), "{denied}");
    }
}

#[test]
fn redis_rs_with_three_nodes_of_which_one_is_killed() {
    let data = tempfile::tempdir().expect("a directory");
    let [a, b, mut c] = three_nodes(data.path());
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        try_all(&mut plain(&b, protocol), &format!("plain {protocol:?}"));
        let mut connection = cluster(&[&a, &b, &c], protocol);
        try_all(&mut connection, &format!("cluster {protocol:?}"));
        scattered(&mut connection);
        messages(&c, protocol);
    }
    let three = [&a, &b, &c].map(|node| format!("redis://{}", node.address));
    let client = ClusterClientBuilder::new(three).use_protocol(ProtocolVersion::RESP3);
    let client = client.connection_timeout(Duration::from_secs(2)).build().expect("addresses");
    let mut connection = client.get_connection().expect("the nodes listen");
    let mut acknowledged = BTreeMap::new();
    let write = |connection: &mut ClusterConnection, n: u32, acknowledged: &mut BTreeMap<String, u32>| {
        let key = format!("killed:{}", n % 500);
        let written: RedisResult<()> = connection.set(&key, n);
        if written.is_ok() {
            acknowledged.insert(key, n);
        }
        written
    };
    for n in 0..500 {
        write(&mut connection, n, &mut acknowledged).expect("all three are there");
    }
    c.kill();
    // Whatever fails fails soon. The client looks at the map again with a new connection only, as its pools make one.
    let (since, mut n, mut in_a_row) = (Instant::now(), 500, 0);
    while in_a_row < 500 {
        in_a_row = match write(&mut connection, n, &mut acknowledged) {
            Ok(()) => in_a_row + 1,
            Err(_) => {
                connection = client.get_connection().expect("two are there");
                0
            }
        };
        n += 1;
        assert!(since.elapsed() < PATIENCE, "it does not go on without the third: {n} tried");
    }
    for (key, n) in acknowledged {
        let read: u32 = connection.get(&key).expect("it is read");
        assert!(read >= n, "{key}: {n} was acknowledged, and {read} is there");
    }
}
