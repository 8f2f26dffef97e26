//! Nodes that join, leave without a word, come back, or pretend to be others.

mod support;

use std::path::Path;

use support::Process;

fn join(data: &Path, first: &Process, name: &str) -> Process {
    Process::serve(data, &["--join", &first.peer_address(), "--name", name])
}

fn wait_until_filled(node: &Process, members: usize) {
    node.client().until("INFO", |info| {
        info.contains(&format!("\r\nmembers:{members}\r\n"))
            && info.contains("\r\npartitions_filling:0\r\n")
            && !info.contains("\r\npartitions_serving:0\r\n")
    });
}

/// Does the node hear so many nodes, itself among them?
fn all_answer(info: &str, nodes: usize) -> bool {
    info.lines().any(|line| line.starts_with("alive:") && line.split(',').count() == nodes)
}

#[test]
fn a_joining_node_is_filled_with_what_was_there_and_every_node_serves_every_key() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = Process::serve(dirs[0].path(), &["--name", "n0"]);
    let mut client = first.client();
    for n in 0..300 {
        assert_eq!(client.run(&format!("SET key{n} v{n}")), "OK");
        assert_eq!(client.run(&format!("SADD set{} m{n}", n % 10)), "1");
    }
    let mut nodes = vec![first];
    for n in 1..4 {
        nodes.push(join(dirs[n].path(), &nodes[0], &format!("n{n}")));
        wait_until_filled(&nodes[n], n + 1);
    }
    for node in &nodes {
        let mut client = node.client();
        client.until("INFO", |info| info.contains("\r\nmembers:4\r\n") && all_answer(info, 4));
        for n in 0..300 {
            assert_eq!(client.run(&format!("GET key{n}")), format!("v{n}"));
        }
        assert_eq!(client.until("DBSIZE", |count| count == "310"), "310");
        let mut keys = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let page = client.run(&format!("SCAN {cursor} COUNT 50 MATCH key*"));
            let mut lines = page.lines().map(str::to_owned);
            cursor = lines.next().unwrap();
            keys.extend(lines);
            if cursor == "0" {
                break;
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 300, "a full iteration gives every key");
    }
    // Four nodes, three replicas: each holds three quarters of the partitions, and drops the rest.
    let share = |node: &Process| node.client().info("partitions_serving").parse::<u32>().unwrap();
    nodes[0].client().until("INFO", |info| !info.contains("\r\npartitions_serving:1024\r\n"));
    assert_eq!(nodes.iter().map(share).sum::<u32>(), 3 * 1024);
}

#[test]
fn a_node_that_does_not_answer_is_skipped_and_found_again_with_all_it_missed() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let a = Process::serve(dirs[0].path(), &["--name", "a"]);
    let b = join(dirs[1].path(), &a, "b");
    wait_until_filled(&b, 2);
    let mut c = join(dirs[2].path(), &a, "c");
    wait_until_filled(&c, 3);
    c.kill();
    let mut client = a.client();
    client.until("INFO", |info| {
        info.contains("alive:") && !info.lines().any(|line| line.starts_with("alive:") && line.contains('c'))
    });
    for n in 0..100 {
        client.until(&format!("SET key{n} v{n}"), |reply| reply == "OK");
    }
    let c = Process::serve(dirs[2].path(), &["--name", "c"]);
    wait_until_filled(&c, 3);
    let mut client = c.client();
    for n in 0..100 {
        assert_eq!(client.until(&format!("DOT.WITH R 1 GET key{n}"), |reply| reply != "(nil)"), format!("v{n}"));
    }
}

fn three_directories() -> Vec<tempfile::TempDir> {
    (0..3).map(|_| tempfile::tempdir().expect("a directory")).collect()
}

/// Two nodes in the first two directories; the third one has a copy of the second.
fn beside_a_copy(dirs: &[tempfile::TempDir]) -> (Process, Process) {
    let a = Process::serve(dirs[0].path(), &["--name", "a"]);
    let mut b = join(dirs[1].path(), &a, "b");
    wait_until_filled(&b, 2);
    b.kill();
    copy(dirs[1].path(), dirs[2].path()).expect("it is copied");
    let b = Process::serve(dirs[1].path(), &["--name", "b"]);
    (a, b)
}

#[test]
fn a_copied_directory_is_refused_beside_its_original() {
    let dirs = three_directories();
    let (a, b) = beside_a_copy(&dirs);
    // Whoever comes first has the id: here the original is back before its copy tries.
    b.client().until("INFO", |info| info.lines().any(|line| line.starts_with("alive:") && line.contains(',')));
    let output = Process::try_serve(dirs[2].path(), &["--join", &a.peer_address(), "--name", "b"]);
    let output = output.err().expect("refused");
    assert!(output.contains("is in use at"), "{output}");
    assert_eq!(b.client().run("PING"), "PONG");
}

/// Both were heard from then on, each by its own connection, and what the one had on disk counted as the other's.
#[test]
fn who_was_silent_while_its_copy_was_let_in_is_not_heard_any_more() {
    let dirs = three_directories();
    let (a, mut b) = beside_a_copy(&dirs);
    a.client().until("INFO", |info| all_answer(info, 2));
    b.signal("STOP");
    a.client().until("INFO", |info| all_answer(info, 1));
    let copied = Process::serve(dirs[2].path(), &["--name", "b"]);
    a.client().until("INFO", |info| all_answer(info, 2));
    b.signal("CONT");
    assert!(!b.wait().success(), "it goes on beside its copy");
    b.until_logged("is in use at");
    assert_eq!(copied.client().until("DOT.WITH STRICT SET k v", |reply| reply == "OK"), "OK");
}

#[test]
fn commands_pipelined_at_any_node_take_effect_in_their_order() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let a = Process::serve(dirs[0].path(), &["--name", "a", "--workers", "2"]);
    let b = join(dirs[1].path(), &a, "b");
    let c = join(dirs[2].path(), &a, "c");
    wait_until_filled(&b, 3);
    wait_until_filled(&c, 3);
    for node in [&a, &b, &c] {
        let mut client = node.client();
        for key in ["k", "l", "m", "n"] {
            let commands = (0..50)
                .map(|n| format!("SET {key} {n}\r\nGET {key}\r\nSADD set-{key} {n}\r\nSISMEMBER set-{key} {n}\r\n"));
            client.send(commands.collect::<String>().as_bytes());
            for n in 0..50 {
                assert_eq!((client.receive_text(), client.receive_text()), ("OK".to_owned(), n.to_string()));
                client.receive_text();
                assert_eq!(client.receive_text(), "1");
            }
        }
    }
}

#[test]
fn a_node_that_starts_empty_at_the_address_of_a_lost_one_takes_its_place() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let a = Process::serve(dirs[0].path(), &["--name", "a"]);
    let b = join(dirs[1].path(), &a, "b");
    let mut c = join(dirs[2].path(), &a, "c");
    wait_until_filled(&b, 3);
    wait_until_filled(&c, 3);
    let mut client = a.client();
    for n in 0..50 {
        client.until(&format!("SET key{n} v{n}"), |reply| reply == "OK");
    }
    let peer_address = c.peer_address();
    c.kill();
    let c =
        Process::serve(dirs[3].path(), &["--join", &a.peer_address(), "--name", "c", "--peer-listen", &peer_address]);
    wait_until_filled(&c, 3);
    for node in [&a, &b, &c] {
        node.client().until("INFO", |info| {
            info.contains("\r\nmembers:3\r\n") && info.contains("\r\npartitions_serving:1024\r\n")
        });
    }
    for n in 0..50 {
        assert_eq!(c.client().run(&format!("DOT.WITH R 3 GET key{n}")), format!("v{n}"));
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&path, &target)?;
        } else {
            std::fs::copy(path, &target)?;
        }
    }
    Ok(())
}
