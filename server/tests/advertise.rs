//! Nodes that listen at every address and tell the others where they are reached, and places given by name.

mod support;

use std::process::Command;
use std::time::Duration;

use support::{Process, dotted, refused, said, three_free_ports};

/// Bound to every address, at free ports, and reached at the name of this machine.
fn anywhere(data: &std::path::Path, name: &str, more: &[&str]) -> Process {
    let flags = ["--listen", "0.0.0.0:0", "--peer-listen", "0.0.0.0:0", "--advertise", "localhost", "--name", name];
    Process::serve(data, &[&flags[..], more].concat())
}

#[test]
fn nodes_at_every_address_form_a_cluster_where_they_say_they_are() {
    let data = tempfile::tempdir().expect("a directory");
    let a = anywhere(&data.path().join("a"), "a", &[]);
    let at = a.peer_address();
    let (host, port) = at.rsplit_once(':').expect("a port");
    assert!(matches!(host, "127.0.0.1" | "[::1]") && port != "0", "{at}");
    let join = format!("localhost:{port}");
    let [b, mut c] = ["b", "c"].map(|name| anywhere(&data.path().join(name), name, &["--join", &join]));
    for node in [&a, &b, &c] {
        assert!(node.address.starts_with("0.0.0.0:"), "it says where it listens: {}", node.address);
        node.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 3);
        let ports: Vec<&str> = [&a, &b, &c].map(|node| node.address.rsplit(':').next().unwrap_or_default()).to_vec();
        let has_all = |slots: &str| ports.iter().all(|port| slots.lines().any(|line| line == *port));
        let slots = node.client().until("CLUSTER SLOTS", has_all);
        assert!(slots.contains(host.trim_matches(['[', ']'])) && !slots.contains("0.0.0.0"), "{slots}");
    }
    assert_eq!(b.client().run("SET k v"), "OK");
    assert_eq!(c.client().run("GET k"), "v");
    // Tools find every member by what it advertises.
    let node = a.address.replace("0.0.0.0", "127.0.0.1");
    let found = said(&dotted(&["doctor", "--node", &node]));
    assert!(found.contains("all 3 members hear each other"), "{found}");
    // Comes back at other ports, and is found again.
    c.kill();
    assert_eq!(a.client().run("SET k w"), "OK");
    let c = anywhere(&data.path().join("c"), "c", &["--join", &join]);
    c.client().until("GET k", |value| value == "w");
    a.client()
        .until("INFO", |info| info.lines().any(|line| line.starts_with("alive:") && line.split(',').count() == 3));
}

#[test]
fn ports_are_advertised_as_well_where_they_are_others() {
    let data = tempfile::tempdir().expect("a directory");
    let flags = ["--advertise", "192.0.2.7:7001", "--peer-advertise", "192.0.2.8:7002", "--in-memory"];
    let node = Process::serve(data.path(), &flags);
    assert_eq!(node.peer_address(), "192.0.2.8:7002");
    let nodes = node.client().run("CLUSTER NODES");
    assert!(nodes.contains(" 192.0.2.7:7001@7002 "), "{nodes}");
    let flags = ["--advertise", "192.0.2.7", "--in-memory"];
    let node = Process::serve(data.path(), &flags);
    assert!(node.peer_address().starts_with("192.0.2.7:"), "{}", node.peer_address());
}

#[test]
fn a_node_that_joins_by_name_waits_for_the_other_to_start() {
    let data = tempfile::tempdir().expect("a directory");
    let port = three_free_ports();
    let (listen, join) = (format!("127.0.0.1:{port}"), format!("localhost:{}", port + 10_000));
    let late = std::thread::spawn({
        let data = data.path().join("a");
        move || {
            std::thread::sleep(Duration::from_millis(1_500));
            Process::serve(&data, &["--listen", &listen])
        }
    });
    let b = Process::serve(&data.path().join("b"), &["--join", &join]);
    let a = late.join().expect("it starts");
    b.client().until("INFO", |info| info.contains("\r\nmembers:2\r\n"));
    assert_eq!(a.client().run("SET k v"), "OK");
    assert_eq!(b.client().run("GET k"), "v");
}

/// Its members would be told to find it at `0.0.0.0`, where each finds itself.
#[test]
fn a_node_that_is_told_of_at_no_address_is_joined_by_nobody() {
    let data = tempfile::tempdir().expect("a directory");
    let first = Process::serve(&data.path().join("a"), &["--listen", "0.0.0.0:0", "--peer-listen", "0.0.0.0:0"]);
    let address = first.address.replace("0.0.0.0", "127.0.0.1");
    let mut client = support::Client::connect(&address);
    assert_eq!(client.run("SET k v"), "OK");
    let join = client.info("peer_address").replace("0.0.0.0", "127.0.0.1");
    let Err(why) = Process::try_serve(&data.path().join("b"), &["--join", &join]) else { panic!("it was let in") };
    assert!(
        why.contains("this node tells others to reach it at 0.0.0.0:") && why.contains("--advertise HOST"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_reached_is_said_before_anything_starts() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().join("data");
    let data = data.to_str().expect("a path");
    let serve = ["serve", "--data", data, "--listen", "0.0.0.0:0", "--join"];
    let why = refused(&dotted(&[&serve[..], &["127.0.0.1:1"]].concat()));
    assert!(why.contains("other nodes cannot reach this one at 0.0.0.0:") && why.contains("--advertise HOST"), "{why}");
    for wrong in ["localhost", "localhost:x", "http://localhost:1"] {
        assert!(refused(&dotted(&[&serve[..], &[wrong]].concat())).contains("invalid value"), "{wrong}");
    }
    let mut nobody = Command::new(env!("CARGO_BIN_EXE_dotted"));
    let nobody = nobody.args(["serve", "--in-memory", "--listen", "127.0.0.1:0", "--join", "no-such-host.invalid:1"]);
    let why = refused(&nobody.output().expect("it runs"));
    assert!(why.contains("no-such-host.invalid:1 is no address, and no name that is known here"), "{why}");
}
