//! Layouts on real nodes: planned, shown, committed; drained; committed on both sides of a cut; nodes removed.

mod support;

use std::path::Path;

use support::{Client, Process};

fn cluster(dirs: &[tempfile::TempDir]) -> Vec<Process> {
    let serve = |path: &Path, more: &[&str]| Process::serve(path, more);
    let mut nodes = vec![serve(dirs[0].path(), &["--name", "n0"])];
    for (n, dir) in dirs.iter().enumerate().skip(1) {
        let name = format!("n{n}");
        nodes.push(serve(dir.path(), &["--join", &nodes[0].peer_address(), "--name", &name]));
        nodes[n].client().until("INFO", |info| {
            info.contains(&format!("\r\nmembers:{}\r\n", n + 1)) && info.contains("\r\npartitions_filling:0\r\n")
        });
    }
    for node in &nodes {
        let alive = |info: &str| (0..dirs.len()).all(|n| info.contains(&format!("n{n}")));
        node.client().until("INFO Dotted", alive);
    }
    nodes
}

/// What a reply says under a name; of the node called `node`, where there are several.
fn value(reply: &str, node: &str, name: &str) -> String {
    let lines: Vec<&str> = reply.lines().collect();
    let start = lines.windows(2).position(|pair| pair == ["node", node]).unwrap_or(0);
    let found = lines[start..].windows(2).find(|pair| pair[0] == name);
    found.unwrap_or_else(|| panic!("{name} of {node} in {reply}"))[1].to_owned()
}

fn commit(client: &mut Client) -> String {
    let plan = client.run("DOT.LAYOUT PLAN");
    let id = value(&plan, "", "plan");
    assert_eq!(client.run(&format!("DOT.LAYOUT COMMIT {id}")), "OK");
    plan
}

/// Every node has heard, and everything is where it should be.
fn until_settled(nodes: &[&Process], placement: &str) {
    for node in nodes {
        node.client().until("DOT.LAYOUT SHOW", |shown| {
            let lines: Vec<&str> = shown.lines().collect();
            let is_zero = |name: &str| lines.windows(2).filter(|pair| pair[0] == name).all(|pair| pair[1] == "0");
            shown.contains(placement) && is_zero("filling") && is_zero("giving-away")
        });
    }
}

#[test]
fn a_layout_is_planned_committed_and_drains_a_node_that_leaves() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut nodes = cluster(&dirs);
    let mut client = nodes[1].client();
    for n in 0..200 {
        assert_eq!(client.run(&format!("SET key{n} v{n}")), "OK");
    }
    assert_eq!(client.run("DOT.LAYOUT STAGE n3 CAPACITY 3"), "OK");
    for (node, zone) in [("n0", "x"), ("n1", "x"), ("n2", "y"), ("n3", "z")] {
        assert_eq!(client.run(&format!("DOT.LAYOUT STAGE {node} ZONE {zone}")), "OK");
    }
    assert!(client.run("DOT.LAYOUT SHOW").contains("n3 ZONE z CAPACITY 3"), "one staged change adds to another");
    let before = nodes[2].client().run("DOT.LAYOUT SHOW");
    assert!(before.contains("automatic"), "nothing is done before it is committed: {before}");
    let refused = client.run("DOT.LAYOUT COMMIT 1234");
    assert!(refused.starts_with("ERR that is not the plan as it is now"), "{refused}");
    let plan = commit(&mut client);
    // Three zones: what is in a zone of its own has a replica of everything.
    assert_eq!((value(&plan, "n2", "owns-then"), value(&plan, "n3", "owns-then")), ("1024".into(), "1024".into()));
    assert_eq!((value(&plan, "n0", "owns-then"), value(&plan, "n1", "owns-then")), ("512".into(), "512".into()));
    until_settled(&nodes.iter().collect::<Vec<_>>(), "committed");
    let shown = nodes[0].client().run("DOT.LAYOUT SHOW");
    assert_eq!((value(&shown, "n0", "serving"), value(&shown, "n3", "serving")), ("512".into(), "1024".into()));

    assert_eq!(client.run("DOT.LAYOUT STAGE n0 LEAVE"), "OK");
    commit(&mut client);
    client.until("DOT.LAYOUT SHOW", |shown| value(shown, "n0", "serving") == "0");
    until_settled(&nodes.iter().collect::<Vec<_>>(), "committed");
    nodes[0].kill();
    client.until("INFO Dotted", |info| !info.contains("n0"));
    for n in 0..200 {
        client.until(&format!("DOT.WITH R 3 GET key{n}"), |reply| reply == format!("v{n}"));
    }
    assert_eq!(client.run("DOT.LAYOUT STAGE n0 REMOVE"), "OK");
    commit(&mut client);
    assert_eq!(client.until("INFO Dotted", |info| info.contains("\r\nmembers:3\r\n")).matches("members:3").count(), 1);
    let gone = client.run("DOT.LAYOUT STAGE n0 CAPACITY 2");
    assert_eq!(gone, "ERR no node is called 'n0'");

    // What was decided holds after a restart.
    nodes[3].kill();
    let again = Process::serve(dirs[3].path(), &["--join", &nodes[1].peer_address(), "--name", "n3"]);
    assert_eq!(value(&again.client().run("DOT.LAYOUT SHOW"), "n3", "capacity"), "3");
}

/// A number that a plan says of every node, nothing where it is not known.
fn of_nodes(plan: &str, name: &str) -> Vec<Option<u64>> {
    let lines: Vec<&str> = plan.lines().collect();
    lines.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].parse().ok()).collect()
}

#[test]
fn a_plan_says_how_many_bytes_move() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let one = Process::serve(dirs[0].path(), &["--name", "n0", "--replicas", "1"]);
    let mut two = Process::serve(dirs[1].path(), &["--name", "n1", "--join", &one.peer_address()]);
    for node in [&one, &two] {
        node.client().until("DOT.LAYOUT SHOW", |shown| {
            let serving: Vec<_> = of_nodes(shown, "serving").into_iter().flatten().collect();
            serving.len() == 2 && serving.iter().sum::<u64>() == 1024 && serving.iter().all(|count| *count > 300)
        });
    }
    let mut client = one.client();
    let payload = "v".repeat(1000);
    for n in 0..300 {
        assert_eq!(client.call(&["SET", &format!("key{n}"), &payload]), "OK");
    }
    // Everything that n1 has goes to n0; only n1 knows what that is.
    assert_eq!(client.run("DOT.LAYOUT STAGE n1 LEAVE"), "OK");
    let plan = client.until("DOT.LAYOUT PLAN", |plan| value(plan, "", "bytes") != "(nil)");
    let all: u64 = value(&plan, "", "bytes").parse().unwrap();
    assert!((50_000..300_000).contains(&all), "{plan}");
    assert_eq!(of_nodes(&plan, "receives-bytes").iter().flatten().sum::<u64>(), all);
    assert_eq!(value(&plan, "n0", "receives-bytes"), all.to_string());
    assert_eq!((value(&plan, "n1", "gives-bytes"), value(&plan, "n0", "gives-bytes")), (all.to_string(), "0".into()));
    // What nobody can say is not said to be nothing.
    two.kill();
    let plan = client.until("DOT.LAYOUT PLAN", |plan| value(plan, "", "bytes") == "(nil)");
    assert_eq!((value(&plan, "n0", "receives-bytes"), value(&plan, "n0", "gives-bytes")), ("(nil)".into(), "0".into()));
}

#[test]
fn two_layouts_committed_at_once_are_both_honoured_until_one_more_is_committed() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let nodes = cluster(&dirs);
    let (mut one, mut other) = (nodes[0].client(), nodes[3].client());
    assert_eq!(one.run("SET before cut"), "OK");
    assert_eq!(one.run("DOT.FAULT CUT n0 n1"), "OK");
    assert_eq!(one.run("DOT.LAYOUT STAGE n1 CAPACITY 4"), "OK");
    assert_eq!(other.run("DOT.LAYOUT STAGE n3 ZONE attic"), "OK");
    commit(&mut one);
    commit(&mut other);
    assert_eq!(one.run("DOT.FAULT HEAL"), "OK");
    for client in [&mut one, &mut other] {
        let shown = client.until("DOT.LAYOUT SHOW", |shown| shown.contains("several layouts were committed at once"));
        assert_eq!(shown.lines().filter(|line| *line == "commit").count(), 2, "{shown}");
    }
    for n in 0..50 {
        one.until(&format!("SET key{n} v{n}"), |reply| reply == "OK");
        other.until(&format!("GET key{n}"), |reply| reply == format!("v{n}"));
    }
    assert_eq!(one.run("GET before"), "cut");
    let plan = commit(&mut other);
    assert_eq!((value(&plan, "n1", "capacity"), value(&plan, "n3", "zone")), ("4".into(), "attic".into()));
    until_settled(&nodes.iter().collect::<Vec<_>>(), "committed");
    for n in 0..50 {
        one.until(&format!("DOT.WITH R 3 GET key{n}"), |reply| reply == format!("v{n}"));
    }
}

#[test]
fn what_cannot_be_staged_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::serve(dir.path(), &["--name", "n0"]);
    let mut client = node.client();
    for (command, expected) in [
        ("STAGE nobody LEAVE", "ERR no node is called 'nobody'"),
        ("STAGE n0 REMOVE", "ERR n0 answers: stage LEAVE, so that it hands over what it has"),
        ("STAGE n0 CAPACITY many", "ERR a capacity of 'many': it has to be 1 to 1000000"),
        ("STAGE n0 CAPACITY 0", "ERR a capacity of 0: it has to be 1 to 1000000"),
        ("STAGE REPLICAS 17", "ERR 17 replicas: it has to be 1 to 9"),
        ("STAGE REPLICAS x", "ERR REPLICAS takes a number, 1 to 9"),
        ("COMMIT next", "ERR COMMIT takes the plan that DOT.LAYOUT PLAN has shown"),
    ] {
        assert_eq!(client.run(&format!("DOT.LAYOUT {command}")), expected);
    }
    let zone = client.run(&format!("DOT.LAYOUT STAGE n0 ZONE {}", "z".repeat(65)));
    assert_eq!(zone, "ERR a zone of 65 bytes: it has to be 1 to 64");
    assert!(client.run("DOT.LAYOUT STAGE n0 ZONE").starts_with("ERR DOT.LAYOUT SHOW | STAGE"));
    assert_eq!(client.run("DOT.LAYOUT STAGE n0 LEAVE"), "OK");
    assert_eq!(client.run("DOT.LAYOUT PLAN"), "ERR no node would own anything");
    assert_eq!(client.run("DOT.LAYOUT REVERT"), "OK");
    let plan = client.run("DOT.LAYOUT PLAN");
    assert!(plan.contains("1 nodes for 3 replicas: partitions have 1 owners"), "{plan}");
}
