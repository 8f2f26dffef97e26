//! Keyspace notifications where a comparison with one redis-server ends: which node tells, what concurrency did, keys that end.

#![allow(clippy::unwrap_used, reason = "a test may stop at what should not be")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use support::{Client, Process, three_nodes};

/// Follows the events of a class of keys, of both kinds, at each node.
fn subscribers(nodes: &[Process], flags: &str) -> Vec<Client> {
    let follow = |node: &Process| {
        assert_eq!(node.client().run(&format!("CONFIG SET notify-keyspace-events {flags}")), "OK");
        let mut client = node.client();
        client.run("PSUBSCRIBE __keyevent@0__:* marker");
        client.receive_text();
        client
    };
    nodes.iter().map(follow).collect()
}

/// What each subscriber has been told by now: event and key.
fn told(nodes: &[Process], subscribers: &mut [Client]) -> Vec<Vec<String>> {
    let of_one = |(node, subscriber): (&Process, &mut Client)| {
        // Messages reach the subscribers of all nodes: each time and node has a marker of its own.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let marker = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        assert_ne!(node.client().run(&format!("PUBLISH marker {marker}")), "0");
        let mut told = Vec::new();
        loop {
            let message = subscriber.receive_text();
            let lines: Vec<&str> = message.lines().collect();
            match lines[2].strip_prefix("__keyevent@0__:") {
                Some(event) => told.push(format!("{event} {}", lines[3])),
                None if lines[3] == marker => return told,
                None => {}
            }
        }
    };
    nodes.iter().zip(subscribers).map(of_one).collect()
}

/// Waits until a subscriber is told of this.
fn until_told(subscriber: &mut Client, event: &str, key: &str) {
    loop {
        let message = subscriber.receive_text();
        if message.lines().nth(2) == Some(&format!("__keyevent@0__:{event}")) && message.lines().nth(3) == Some(key) {
            return;
        }
    }
}

#[test]
fn a_write_is_told_of_by_the_one_node_that_coordinates_its_key() {
    let data = tempfile::tempdir().unwrap();
    let nodes = three_nodes(data.path());
    let mut subscribers = subscribers(&nodes, "EA");
    for (at, node) in nodes.iter().enumerate() {
        let mut client = node.client();
        assert_eq!(client.run(&format!("SET plain{at} v")), "OK");
        assert_eq!(client.run(&format!("SET options{at} v EX 100")), "OK");
        assert_eq!(client.run(&format!("SUNIONSTORE to{at} nothing{at}")), "0");
        assert_eq!(client.run(&format!("RPUSH list{at} v")), "1");
        assert_eq!(client.run(&format!("RENAME list{at} renamed{at}")), "OK");
    }
    let mut all: Vec<String> = Vec::new();
    told(&nodes, &mut subscribers).into_iter().for_each(|told| all.extend(told));
    all.sort();
    let expected = (0..3).flat_map(|at| {
        [
            format!("set plain{at}"),
            format!("set options{at}"),
            format!("expire options{at}"),
            format!("rpush list{at}"),
            format!("rename_from list{at}"),
            format!("rename_to renamed{at}"),
        ]
    });
    let mut expected: Vec<String> = expected.collect();
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn siblings_merges_and_decisions_are_told_of_where_they_happen() {
    let data = tempfile::tempdir().unwrap();
    let nodes = three_nodes(data.path());
    // Without D nobody is told, whatever else is asked for.
    let mut quiet = subscribers(&nodes, "KEA");
    let (mut a, mut b) = (nodes[0].client(), nodes[1].client());
    let diverge = |a: &mut Client, b: &mut Client, key: &str| {
        assert_eq!(a.run("DOT.FAULT CUT a"), "OK");
        a.run(&format!("SET {key} milk"));
        b.run(&format!("SET {key} bread"));
        assert_eq!(a.run("DOT.FAULT HEAL"), "OK");
        a.until(&format!("DOT.GET {key}"), |got| got.contains("milk") && got.contains("bread"));
        // Nobody has anything left to merge.
        for node in &nodes {
            node.client().until("DOT.ENTROPY", |said| said.matches("-there\n0\nmissing-here\n0\n").count() == 2);
        }
    };
    diverge(&mut a, &mut b, "first");
    let said = told(&nodes, &mut quiet).concat();
    assert!(said.iter().all(|event| event == "set first"), "{said:?}");

    let mut loud = subscribers(&nodes, "ED");
    diverge(&mut a, &mut b, "cart");
    let mut a_hears = loud.remove(0);
    until_told(&mut a_hears, "sibling", "cart");
    loud.insert(0, a_hears);
    told(&nodes, &mut loud);
    let context = b.run("DOT.GET cart").lines().nth(1).unwrap().to_owned();
    assert!(b.run(&format!("DOT.SET cart {context} milk,bread")).ends_with("\n1"));
    assert_eq!(told(&nodes, &mut loud).concat(), ["resolved cart"]);
    // Who has seen nothing makes a sibling, which the other owners merge with what they have.
    assert!(b.run("DOT.SET cart - eggs").ends_with("\n2"));
    loud.iter_mut().for_each(|subscriber| until_told(subscriber, "sibling", "cart"));
    assert!(b.run("DOT.RESOLVE cart VALUE all").ends_with("\n1"));
    assert_eq!(told(&nodes, &mut loud).concat(), ["resolved cart"]);
}

#[test]
fn a_key_that_ends_is_told_of_when_it_is_removed() {
    let data = tempfile::tempdir().unwrap();
    let nodes = [Process::serve(data.path(), &["--in-memory", "--notify-keyspace-events", "Exg"])];
    let mut client = nodes[0].client();
    assert_eq!(client.run("CONFIG GET notify-keyspace-events"), "notify-keyspace-events\ngxE");
    assert!(client.run("CONFIG SET notify-keyspace-events Exq").contains("Invalid event class character"));
    let mut subscriber = nodes[0].client();
    subscriber.run("PSUBSCRIBE __keyevent@0__:*");
    assert_eq!(client.run("SET brief v PX 20"), "OK");
    until_told(&mut subscriber, "expired", "brief");
}
