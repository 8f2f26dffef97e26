//! Nodes whose records are damaged while they are down: filled again by the others, or mended as far as checksums allow.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{Process, three_nodes};

/// The file that holds the records that were written last.
fn records_file(data: &Path, engine: &str) -> PathBuf {
    match engine {
        "redb" => data.join("records.redb/data.redb"),
        _ => {
            let files = fs::read_dir(data.join("records")).unwrap().map(|entry| entry.unwrap().path());
            files.filter(|path| path.extension().is_some_and(|ending| ending == "jnl")).max().expect("a journal")
        }
    }
}

/// Changes a bit of each of these words: where it stands last in a journal; in a file of pages, some of them free, everywhere.
fn damage(file: &Path, words: &[&str]) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    let is_journal = file.extension().is_some_and(|ending| ending == "jnl");
    for word in words {
        let found = (0..bytes.len() - word.len()).rev().filter(|at| bytes[*at..].starts_with(word.as_bytes()));
        let found: Vec<usize> = found.take(if is_journal { 1 } else { usize::MAX }).collect();
        assert!(!found.is_empty(), "{word} is there");
        found.into_iter().for_each(|at| bytes[at] ^= 0x10);
    }
    fs::write(file, &bytes).unwrap();
    bytes
}

fn incarnation(node: &Process) -> u32 {
    node.client().info("incarnation").parse().unwrap()
}

/// What was set aside.
fn aside(data: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    found.filter(|path| path.to_string_lossy().contains(".damaged-")).collect()
}

#[test]
fn a_damaged_node_of_a_cluster_sets_its_records_aside_and_is_filled_again_by_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _b, mut c] = three_nodes(folder.path());
    let data = folder.path().join("c");
    let mut client = a.client();
    for n in 0..200 {
        client.until(&format!("DOT.WITH W 3 SET key{n} value-{n}-"), |reply| reply == "OK");
        client.until(&format!("SADD set{} m{n}", n % 7), |reply| reply == "1" || reply == "0");
    }
    let before = incarnation(&c);
    // What it knows of the others is on its nameplate within a moment.
    std::thread::sleep(Duration::from_secs(1));
    let mut lives = BTreeSet::from([before]);
    let flipped: [&dyn Fn() -> Option<Vec<u8>>; 3] = [
        &|| Some(damage(&records_file(&data, "fjall"), &["value-100-"])),
        &|| {
            // Both slots, at that.
            fs::write(data.join("records/ledger"), vec![7; 8192]).unwrap();
            None
        },
        &|| {
            fs::remove_dir_all(data.join("records")).unwrap();
            None
        },
    ];
    for (round, damage) in flipped.into_iter().enumerate() {
        c.kill();
        let damaged = damage();
        // Written meanwhile.
        client.until(&format!("SET meanwhile{round} v"), |reply| reply == "OK");
        c = Process::serve(&data, &["--name", "c"]);
        let log = c.log();
        assert!(log.contains("is damaged") || log.contains("are gone"), "{log}");
        assert!(log.contains("the other nodes fill it again"), "{log}");
        c.until_logged("the node is whole again: all of its 1024 partitions are filled");
        assert!(lives.insert(incarnation(&c)), "an incarnation of its own");
        if let Some(damaged) = damaged {
            let kept = aside(&data);
            assert!(log.contains(&kept[0].display().to_string()), "{log}");
            assert_eq!(fs::read(records_file_in(&kept[0])).unwrap(), damaged, "as it was");
        }
        let mut own = c.client();
        for n in 0..200 {
            assert_eq!(own.run(&format!("DOT.WITH R 1 GET key{n}")), format!("value-{n}-"));
        }
        assert_eq!(own.run(&format!("DOT.WITH R 1 GET meanwhile{round}")), "v");
        assert_eq!((0..7).map(|n| own.run(&format!("SCARD set{n}")).parse::<u32>().unwrap()).sum::<u32>(), 200);
        assert_eq!(own.run(&format!("SET after{round} v")), "OK");
        client.until(&format!("GET after{round}"), |reply| reply == "v");
    }
    assert_eq!(*lives.first().unwrap(), before, "they only grow");
}

/// The story: all three were damaged while they were down, each set its records aside and trusted the others, nobody served, and all of
/// them knew what all knew: nothing. The cluster was whole again within seconds, and empty.
#[test]
fn nodes_that_are_all_damaged_at_once_do_not_begin_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // They find each other again where they were.
    let port = support::three_free_ports();
    let serve = |at: u16, more: &[&str]| {
        let (name, listen) = (["a", "b", "c"][usize::from(at)], format!("127.0.0.1:{}", port + at));
        let flags = [&["--name", name, "--listen", &listen], more].concat();
        Process::serve(&folder.path().join(name), &flags)
    };
    let first = serve(0, &[]);
    let join = first.peer_address();
    let mut nodes = [first, serve(1, &["--join", &join]), serve(2, &["--join", &join])];
    for node in &nodes {
        node.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 3);
    }
    let mut client = nodes[0].client();
    for n in 0..50 {
        client.until(&format!("DOT.WITH W 3 SET key{n} value-{n}-"), |reply| reply == "OK");
    }
    // What each knows of the others is on its nameplate within a moment.
    std::thread::sleep(Duration::from_secs(1));
    nodes.iter_mut().for_each(Process::kill);
    for name in ["a", "b", "c"] {
        damage(&records_file(&folder.path().join(name), "fjall"), &["value-10-"]);
    }
    let nodes = [0, 1, 2].map(|at| serve(at, &[]));
    for node in &nodes {
        assert!(node.log().contains("the other nodes fill it again"), "{}", node.log());
        node.client()
            .until("INFO", |info| info.lines().any(|line| line.starts_with("alive:") && line.split(',').count() == 3));
    }
    std::thread::sleep(Duration::from_secs(4));
    for node in &nodes {
        assert!(!node.log().contains("is whole again"), "{}", node.log());
        let mut client = node.client();
        assert_eq!(client.info("partitions_serving"), "0");
        let said = client.run("SET new v");
        assert!(said.starts_with("NOQUORUM") || said.starts_with("TRYAGAIN"), "nothing is taken for empty: {said}");
    }
}

fn records_file_in(aside: &Path) -> PathBuf {
    let files = fs::read_dir(aside).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "jnl")).max().expect("a journal")
}

/// A single node has nobody: whatever the damage hits, it starts with the rest, says what is lost, and works.
#[test]
fn a_damaged_single_node_keeps_what_can_be_read_and_names_what_cannot() {
    for engine in ["fjall", "redb"] {
        for round in 0..6 {
            let data = tempfile::tempdir().unwrap();
            let mut node = Process::serve(data.path(), &["--engine", engine]);
            let mut client = node.client();
            for n in 0..120 {
                assert_eq!(client.run(&format!("SET key{n} value-{n}-")), "OK");
                client.run(&format!("SADD {{t}}set member-{n}-"));
                client.run(&format!("RPUSH {{t}}list element-{n}-"));
                client.run("INCR counter");
            }
            let before = incarnation(&node);
            node.kill();
            let words = [
                vec!["value-50-"],
                vec!["member-60-", "element-61-"],
                vec!["value-119-", "counter"],
                vec!["N/identity"],
                vec!["value-1-", "value-2-", "value-3-", "element-119-"],
                vec!["key7", "N/batch"],
            ];
            damage(&records_file(data.path(), engine), &words[round]);
            let refused = Process::try_serve(data.path(), &["--engine", engine, "--when-damaged", "refuse"]);
            assert!(refused.err().expect("refused").contains("is damaged"), "{engine} {round}");
            let node = Process::serve(data.path(), &["--engine", engine]);
            let log = node.log();
            assert!(log.contains("records could be read and are kept; lost: "), "{log}");
            assert!(!log.contains("lost: nothing"), "{log}");
            assert_eq!(aside(data.path()).len(), 1);
            assert!(incarnation(&node) > before);
            let mut client = node.client();
            let left = (0..120).filter(|n| client.run(&format!("GET key{n}")) == format!("value-{n}-")).count();
            println!("{engine}, round {round}: {left} of 120 left\n{log}");
            assert!(left >= 60, "{engine}, round {round}: {left} left: {log}");
            for n in 0..120 {
                assert_eq!(client.run(&format!("SET key{n} again-{n}")), "OK");
                assert_eq!(client.run(&format!("GET key{n}")), format!("again-{n}"));
            }
            for command in
                ["SMEMBERS {t}set", "LRANGE {t}list 0 -1", "SADD {t}set more", "RPUSH {t}list more", "INCR counter"]
            {
                let reply = client.run(command);
                assert!(!reply.starts_with("ERR"), "{command}: {reply}");
            }
        }
    }
}

/// Each of two nodes holds half of the partitions, and nobody else does.
#[test]
fn what_nobody_else_holds_is_mended_and_not_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    let first = Process::serve(&one, &["--name", "one", "--replicas", "1"]);
    let mut second = Process::serve(&other, &["--name", "other", "--replicas", "1", "--join", &first.peer_address()]);
    for node in [&first, &second] {
        node.client().until("INFO", |info| {
            !info.contains("\r\npartitions_serving:0\r\n")
                && !info.contains("\r\npartitions_serving:1024\r\n")
                && info.contains("\r\npartitions_filling:0\r\n")
        });
    }
    let mut client = first.client();
    for n in 0..200 {
        client.until(&format!("SET key{n} value-{n}-"), |reply| reply == "OK");
    }
    // What the nameplate says of others is at most a second old.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    second.kill();
    let file = records_file(&other, "fjall");
    let bytes = fs::read(&file).unwrap();
    let mine = |n: &u32| bytes.windows(12).any(|window| window.starts_with(format!("value-{n}-").as_bytes()));
    let hit = (100..200).find(mine).expect("it has some");
    damage(&file, &[&format!("value-{hit}-")]);
    let second = Process::serve(&other, &["--name", "other"]);
    assert!(second.log().contains("records could be read and are kept"), "{}", second.log());
    let mut client = second.client();
    let lost: Vec<u32> = (0..200)
        .filter(|n| client.until(&format!("GET key{n}"), |reply| !reply.starts_with("NOQUORUM")) == "(nil)")
        .collect();
    assert!(lost.contains(&hit) && lost.len() < 20, "{lost:?} of which {hit} was hit: {}", second.log());
}
