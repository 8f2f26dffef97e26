//! DOT.COUNT and DOT.MAPREDUCE: every key once, wherever it is, from any node.

mod support;

use support::{Process, three_nodes};

fn fill(client: &mut support::Client) {
    for n in 0..400 {
        client.run(&format!("SET user:{n} {}", n % 7));
        client.run(&format!("HSET order:{n} user {} amount {n}", n % 3));
    }
    client.run("SADD tags a b c");
    client.run("ZADD ranks 1 one 2 two");
    client.run("RPUSH list x y");
}

#[test]
fn every_key_is_looked_at_once_from_every_node() {
    let data = tempfile::tempdir().expect("a directory");
    let nodes = three_nodes(data.path());
    fill(&mut nodes[0].client());
    for node in &nodes {
        let mut client = node.client();
        let all = client.run("DOT.COUNT");
        assert_eq!(all, "keys\n803\ntypes\nhash\n400\nlist\n1\nset\n1\nstring\n400\nzset\n1");
        assert_eq!(client.run("DOT.COUNT MATCH user:1?"), "keys\n10\ntypes\nstring\n10");
        let map = "local o = redis.call('HGETALL', KEYS[1]) return {'user ' .. redis.call('HGET', KEYS[1], 'user'), \
                   redis.call('HGET', KEYS[1], 'amount')}";
        let sums = client.call(&["DOT.MAPREDUCE", map, "return ARGV[1] + ARGV[2]", "MATCH", "order:*"]);
        let sum = |of: usize| (0..400).filter(|n| n % 3 == of).sum::<usize>();
        assert_eq!(sums, format!("user 0\n{}\nuser 1\n{}\nuser 2\n{}", sum(0), sum(1), sum(2)));
        assert_eq!(
            client.call(&["DOT.MAPREDUCE", "if ARGV[1] == 'list' then return {KEYS[1], 1} end", "return 1"]),
            "list\n1"
        );
    }
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    client.run("MSET a 1 b 2");
    for (map, reduce, said) in [
        ("return redis.call('SET', KEYS[1], 'x')", "return 1", "may look at them only"),
        ("return {1}", "return 1", "names and values in turn"),
        ("return {'n', 1}", "return redis.call('GET', 'a')", "there are no keys here"),
        ("return {'n', 1}", "return {}", "a text or a whole number"),
        ("while true do end", "return 1", "took longer than 20 ms"),
        ("this is no Lua", "return 1", "Error compiling script"),
        ("return {'n', 1}", "this is no Lua", "Error compiling script"),
    ] {
        let reply = client.call(&["DOT.MAPREDUCE", map, reduce]);
        assert!(reply.contains(said), "{map}: {reply}");
    }
    assert_eq!(client.run("DOT.COUNT MATCH"), "ERR syntax error");
    assert_eq!((client.run("MGET a b"), client.run("DBSIZE")), ("1\n2".to_owned(), "2".to_owned()));
}
