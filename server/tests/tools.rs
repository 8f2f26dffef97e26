//! `dotted status`, `import`, `backup` and `restore`, as people run them, on real servers.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Client, Process, dotted, refused, said, three_nodes};

/// Keys of every type, some of more than a page.
fn fill(client: &mut Client) {
    client.call(&[&b"SET"[..], b"text \r\n\xff", b"a\0\r\nb"]);
    client.run("SET number 41");
    client.run("SET brief x PX 500000");
    client.run("INCR number");
    for n in 0..2_500 {
        client.run(&format!("RPUSH list {n}"));
        client.run(&format!("HSET hash f{n} {n}"));
        client.run(&format!("SADD set m{n}"));
        client.run(&format!("ZADD zset {}.5 m{n}", n / 2));
        client.run(&format!("XADD stream {}-{n} n {n} twice {n}", n / 2 + 1));
    }
    client.run("ZADD limits inf a -inf b");
    client.run("PFADD seen a b c");
}

/// What they are, in an order.
fn shown(client: &mut Client) -> Vec<String> {
    let sorted = |reply: String| {
        let mut lines: Vec<&str> = reply.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let mut all = vec![client.call(&[&b"GET"[..], b"text \r\n\xff"])];
    for command in ["GET number", "GET brief", "LRANGE list 0 -1", "ZRANGE zset 0 -1 WITHSCORES", "XRANGE stream - +"] {
        all.push(client.run(command));
    }
    all.push(client.run("ZRANGE limits 0 -1 WITHSCORES"));
    all.extend([client.run("HGETALL hash"), client.run("SMEMBERS set")].map(sorted));
    let ttl: i64 = client.run("PTTL brief").parse().expect("a number");
    assert!((400_000..=500_000).contains(&ttl), "{ttl}");
    all
}

#[test]
fn a_backup_of_a_running_node_makes_a_new_cluster_the_same() {
    let data = tempfile::tempdir().unwrap();
    let (old, new) = (Process::serve(&data.path().join("old"), &[]), Process::serve(&data.path().join("new"), &[]));
    let (mut old_client, mut new_client) = (old.client(), new.client());
    fill(&mut old_client);
    old_client.run("DOT.SET cart - milk");
    old_client.run("DOT.SET cart - bread");
    let file = data.path().join("backup");
    let path = file.to_str().unwrap();
    assert_eq!(said(&dotted(&["backup", path, "--node", &old.address])), "11 keys saved\n");
    assert_eq!(said(&dotted(&["restore", path, "--node", &new.address])), "11 keys restored\n");
    assert_eq!(shown(&mut new_client), shown(&mut old_client));
    assert_eq!(new_client.run("PFCOUNT seen"), "3");
    let siblings = new_client.run("DOT.GET cart");
    assert!(siblings.contains("milk") && siblings.contains("bread"), "{siblings}");
    assert_eq!(new_client.run("INCR number"), "43");

    let why = refused(&dotted(&["restore", path, "--node", &new.address]));
    assert!(why.contains("has 11 keys: restore into an empty one"), "{why}");
    assert_eq!(said(&dotted(&["restore", path, "--node", &new.address, "--replace"])), "11 keys restored\n");
    assert_eq!(shown(&mut new_client), shown(&mut old_client));

    // Anything but the whole is refused before the first command is sent.
    let whole = std::fs::read(&file).unwrap();
    let empty = Process::serve(&data.path().join("empty"), &["--in-memory"]);
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for wrong in
        [&whole[..whole.len() - 5], &whole[..whole.len() / 2], &damaged, b"", b"PING\r\n", &[&whole[..], b"x"].concat()]
    {
        std::fs::write(&file, wrong).unwrap();
        let why = refused(&dotted(&["restore", path, "--node", &empty.address]));
        assert!(why.contains("is no whole backup"), "{why}");
    }
    assert_eq!(empty.client().run("DBSIZE"), "0");
}

struct Redis(Child);

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real redis-server, if there is one; CI has it.
fn redis(data: &Path) -> Option<(Redis, String)> {
    let port = support::three_free_ports().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--save", "", "--requirepass", "pass word", "--dir"]).arg(data);
    let child = command.stdout(Stdio::null()).spawn().ok();
    assert!(child.is_some() || std::env::var_os("DOTTED_WITH_REDIS").is_none(), "redis-server cannot be run");
    let (server, address) = (Redis(child?), format!("127.0.0.1:{port}"));
    // Whoever else may be at that port for a moment does not answer so.
    let is_there = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
        std::io::Write::write_all(&mut stream, b"PING\r\n")?;
        let mut answer = [0; 7];
        std::io::Read::read_exact(&mut stream, &mut answer)?;
        Ok(&answer == b"-NOAUTH")
    };
    while !is_there().unwrap_or(false) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Some((server, address))
}

#[test]
fn a_running_redis_is_imported_into_a_cluster() {
    let data = tempfile::tempdir().unwrap();
    let Some((_redis, address)) = redis(data.path()) else { return };
    let mut from = Client::connect(&address);
    from.call(&["AUTH", "pass word"]);
    fill(&mut from);
    let three = three_nodes(data.path());
    let url = format!("redis://:pass%20word@{address}");
    let to = ["--node", &three[0].address];
    assert_eq!(said(&dotted(&[&["import", &url], &to[..]].concat())), "10 keys imported\n");
    assert_eq!(shown(&mut three[1].client()), shown(&mut from));
    assert_eq!(three[2].client().run("DBSIZE"), "10");

    three[0].client().run("SET number 7");
    let again = said(&dotted(&[&["import", &url, "--matching", "n*"], &to[..]].concat()));
    assert_eq!(again, "0 keys imported; 1 were there already and were left (--replace)\n");
    assert_eq!(three[0].client().run("GET number"), "7");
    said(&dotted(&[&["import", &url, "--matching", "n*", "--replace"], &to[..]].concat()));
    assert_eq!(three[0].client().run("GET number"), "42");

    let wrong = refused(&dotted(&[&["import", &format!("redis://:no@{address}")], &to[..]].concat()));
    assert!(wrong.contains("answers AUTH with: WRONGPASS"), "{wrong}");
    let nobody = refused(&dotted(&["import", "127.0.0.1:1"]));
    assert!(nobody.contains("no server answers at 127.0.0.1:1"), "{nobody}");
}

#[test]
fn status_shows_members_and_fails_when_one_does_not_answer() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, mut c] = three_nodes(data.path());
    a.client().run("SET k v");
    let shown = said(&dotted(&["status", "--node", &b.address]));
    assert!(shown.starts_with("node b, dotted ") && shown.contains("the cluster has 1 keys"), "{shown}");
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[2][..2], ["a", "yes"], "{shown}");
    assert_eq!(rows[3][..3], ["*", "b", "yes"], "{shown}");
    c.kill();
    a.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("alive\n1").count() == 2);
    let why = refused(&dotted(&["status", "--node", &a.address]));
    assert!(why.contains("1 of 3 members do not answer: c"), "{why}");
}
