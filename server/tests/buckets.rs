//! Buckets: settings of keys with a common prefix, decided once for a whole cluster.

#![allow(clippy::unwrap_used, reason = "a test may stop at what should not be")]

mod support;

use support::{Process, three_nodes};

#[test]
fn what_is_decided_at_one_node_holds_at_all_and_one_request_may_ask_for_something_else() {
    let data = tempfile::tempdir().unwrap();
    let nodes = three_nodes(data.path());
    let [mut a, mut b, mut c] = nodes.each_ref().map(Process::client);
    assert_eq!(a.run("DOT.BUCKET SET all: W 3 STRICT"), "OK");
    assert_eq!(a.run("DOT.BUCKET SET all:but: W 1 R 1 TIMEOUT 500 MONOTONIC"), "OK");
    for client in [&mut a, &mut b, &mut c] {
        client.until("DOT.BUCKET LIST", |list| list.matches("prefix\n").count() == 2);
        assert_eq!(client.run("DOT.BUCKET GET all:k"), "prefix\nall:\nsettings\nW\n3\nSTRICT\n1\nsiblings\n1");
        let longest = "prefix\nall:but:\nsettings\nR\n1\nW\n1\nTIMEOUT\n500\nMONOTONIC\n1\nsiblings\n1";
        assert_eq!(client.run("DOT.BUCKET GET all:but:k"), longest);
        assert_eq!(client.run("DOT.BUCKET GET other"), "(nil)");
    }
    for write in ["SET all:k v", "SADD all:s m", "LPUSH all:l e", "SET all:k w EX 100", "MSET all:k x other y"] {
        assert!(!b.run(write).contains("NOQUORUM"), "{write}");
    }
    assert_eq!(b.run("DOT.FAULT CUT a"), "OK");
    for write in ["SET all:k v", "SADD all:s n", "LPUSH all:l f", "SET all:k w EX 100"] {
        assert!(b.run(write).starts_with("NOQUORUM"), "{write}");
    }
    assert_eq!(b.run("SET other v"), "OK");
    assert_eq!(b.run("SET all:but:k v"), "OK");
    assert_eq!(b.run("DOT.WITH W 2 SLOPPY SET all:k v"), "OK");
    // The side of one node has enough where one is enough.
    assert_eq!(a.run("SET all:but:k w"), "OK");
    assert_eq!(a.run("GET all:but:k"), "w");
    assert!(a.run("DOT.WITH STRICT SET other w").starts_with("NOQUORUM"));
    assert_eq!(b.run("DOT.FAULT HEAL"), "OK");
    assert_eq!(c.run("DOT.BUCKET DEL all:"), "1");
    assert_eq!(c.run("DOT.BUCKET DEL all:"), "0");
    a.until("DOT.BUCKET GET all:k", |found| found == "(nil)");
}

#[test]
fn of_what_is_decided_on_two_sides_of_a_cut_the_strictest_holds_until_somebody_has_seen_both() {
    let data = tempfile::tempdir().unwrap();
    let nodes = three_nodes(data.path());
    let [mut a, mut b, mut c] = nodes.each_ref().map(Process::client);
    a.run("DOT.FAULT CUT a");
    b.until("INFO Dotted", |info| info.contains("\r\nalive:b,c\r\n") || info.contains("\r\nalive:c,b\r\n"));
    assert_eq!(a.run("DOT.BUCKET SET k R 1 W 3"), "OK");
    assert_eq!(b.run("DOT.BUCKET SET k R 2 STRICT"), "OK");
    a.run("DOT.FAULT HEAL");
    for client in [&mut a, &mut b, &mut c] {
        let both = "prefix\nk\nsettings\nR\n2\nW\n3\nSTRICT\n1\nsiblings\n2";
        client.until("DOT.BUCKET GET k", |found| found == both);
    }
    assert_eq!(c.run("DOT.BUCKET SET k R 1"), "OK");
    for client in [&mut a, &mut b, &mut c] {
        client.until("DOT.BUCKET GET k", |found| found == "prefix\nk\nsettings\nR\n1\nsiblings\n1");
    }
}

#[test]
fn buckets_survive_kills_and_flushes_and_are_told_to_who_joins() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(&data.path().join("a"), &["--name", "a"]);
    let mut client = node.client();
    assert_eq!(client.run("DOT.BUCKET SET k: DW 1"), "OK");
    assert_eq!(client.run("DOT.BUCKET SET gone: R 1"), "OK");
    assert_eq!(client.run("DOT.BUCKET DEL gone:"), "1");
    node.kill();
    let node = Process::serve(&data.path().join("a"), &["--name", "a"]);
    let mut client = node.client();
    let only = "prefix\nk:\nsettings\nDW\n1\nsiblings\n1";
    assert_eq!(client.run("DOT.BUCKET LIST"), only);
    assert_eq!(client.run("FLUSHALL"), "OK");
    assert_eq!((client.run("DOT.BUCKET LIST").as_str(), client.run("DBSIZE").as_str()), (only, "0"));
    let other = Process::serve(&data.path().join("b"), &["--name", "b", "--join", &node.peer_address()]);
    other.client().until("DOT.BUCKET LIST", |list| list == only);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--in-memory"]);
    let mut client = node.client();
    for wrong in ["SET p", "SET p RECEIPT", "SET p R 1 GET k", "GET", "LIST x", "DEL", "NONSENSE"] {
        assert!(client.run(&format!("DOT.BUCKET {wrong}")).starts_with("ERR DOT.BUCKET SET"), "{wrong}");
    }
    assert!(client.run("DOT.BUCKET SET p R 0").contains("1 to 9"));
    assert!(client.run("DOT.BUCKET SET p W 10").contains("1 to 9"));
    assert!(client.run("DOT.BUCKET SET p TIMEOUT 0").contains("1 to 600000"));
    let long = "x".repeat(250);
    assert!(client.run(&format!("DOT.BUCKET SET {long} R 1")).contains("at most 249"));
    for number in 0..256 {
        assert_eq!(client.run(&format!("DOT.BUCKET SET p{number} R 1")), "OK");
    }
    assert!(client.run("DOT.BUCKET SET q R 1").contains("there are 256 buckets"));
    assert_eq!(client.run("DOT.BUCKET SET p7 R 1 W 1"), "OK");
    // A bucket that asks for more nodes than there are owners fails its requests as DOT.WITH does.
    assert_eq!(client.run("DOT.BUCKET SET p8 W 5"), "OK");
    assert!(client.run("SET p8 v").starts_with("ERR the key has 1 owners"));
}
