//! What was acknowledged is there after `kill -9`, no dot is used twice, and nobody opens what is in use or damaged.

mod support;

use std::collections::BTreeSet;

use support::Process;

fn dot_of(client: &mut support::Client, key: &str) -> String {
    let reply = client.run(&format!("DOT.GET {key}"));
    let lines: Vec<&str> = reply.lines().collect();
    lines.windows(2).find(|pair| pair[0] == "dot").map(|pair| pair[1].to_owned()).expect("the key has a dot")
}

#[test]
fn every_acknowledged_write_survives_kill_9_and_every_life_has_dots_of_its_own() {
    for (engine, durability) in
        [("fjall", "always"), ("fjall", "interval"), ("fjall", "none"), ("redb", "always"), ("redb", "interval")]
    {
        let data = tempfile::tempdir().unwrap();
        let mut dots = BTreeSet::new();
        let mut written = Vec::new();
        for life in 0..4 {
            let mut node = Process::serve(data.path(), &["--durability", durability, "--engine", engine]);
            let mut client = node.client();
            for key in &written {
                assert_eq!(client.run(&format!("GET {key}")), *key, "{engine}, {durability}, life {life}");
            }
            for n in 0..50 {
                let key = format!("k{life}-{n}");
                assert_eq!(client.run(&format!("SET {key} {key}")), "OK");
                assert!(dots.insert((
                    client.run(&format!("DOT.EXPLAIN {key}")).lines().nth(3).map(str::to_owned),
                    dot_of(&mut client, &key)
                )));
                written.push(key);
            }
            assert_eq!(client.run("INCR life"), (life + 1).to_string());
            // What the operating system has is safe from kill -9; give the disk thread the time to hand it over. redb hands
            // over when it syncs.
            match (durability, engine) {
                ("always", _) => {}
                (_, "fjall") => std::thread::sleep(std::time::Duration::from_millis(200)),
                _ => std::thread::sleep(std::time::Duration::from_millis(2_200)),
            }
            node.kill();
        }
    }
}

#[test]
fn writes_acknowledged_while_the_node_is_killed_are_there_afterwards() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(data.path(), &[]);
    let address = node.address.clone();
    let writer = std::thread::spawn(move || {
        let mut client = support::Client::connect(&address);
        let mut acknowledged = 0;
        loop {
            let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                client.run(&format!("SET n{acknowledged} v"))
            }));
            match answered.as_deref() {
                Ok("OK") => acknowledged += 1,
                _ => return acknowledged,
            }
        }
    });
    let mut watcher = node.client();
    watcher.until("EXISTS n200", |reply| reply == "1");
    node.kill();
    let acknowledged: u64 = writer.join().unwrap();
    assert!(acknowledged > 200);
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    for n in 0..acknowledged {
        assert_eq!(client.run(&format!("EXISTS n{n}")), "1", "n{n} of {acknowledged} was acknowledged");
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &[]);
    let output = Process::try_serve(data.path(), &[]).err().expect("refused");
    assert!(output.contains("is in use by another process"), "{output}");
    assert_eq!(node.client().run("PING"), "PONG");
}

#[test]
fn a_damaged_directory_can_be_refused_with_a_reason_and_left_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    for n in 0..500 {
        client.run(&format!("SET k{n} {}", "v".repeat(200)));
    }
    node.kill();
    let journal =
        std::fs::read_dir(data.path().join("records")).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let journal = journal.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().expect("a journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle =
        bytes.windows(128).skip(40_000).position(|window| window.iter().all(|byte| *byte == b'v')).expect("a value")
            + 40_000;
    bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&journal, &bytes).unwrap();
    let output = Process::try_serve(data.path(), &["--when-damaged", "refuse"]).err().expect("refused");
    assert!(output.contains("is damaged and was left as it is"), "{output}");
    assert_eq!(std::fs::read(&journal).unwrap(), bytes);
}

#[test]
fn a_directory_stays_with_its_engine() {
    for (made_by, other) in [("fjall", "redb"), ("redb", "fjall")] {
        let data = tempfile::tempdir().unwrap();
        let mut node = Process::serve(data.path(), &["--engine", made_by]);
        assert_eq!(node.client().run("SET k v"), "OK");
        node.kill();
        let output = Process::try_serve(data.path(), &["--engine", other]).err().expect("refused");
        assert!(output.contains(&format!("start with --engine {made_by}")), "{output}");
        let node = Process::serve(data.path(), &["--engine", made_by]);
        assert_eq!(node.client().run("GET k"), "v");
    }
}

#[test]
fn a_directory_that_has_lost_its_records_does_not_begin_again_as_if_it_had_never_held_any() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(data.path(), &[]);
    assert_eq!(node.client().run("SET k v"), "OK");
    node.kill();
    std::fs::remove_dir_all(data.path().join("records")).unwrap();
    let output = Process::try_serve(data.path(), &[]).err().expect("refused");
    assert!(output.contains("are gone") && output.contains("is damaged"), "{output}");
}

#[test]
fn a_node_whose_name_and_records_are_lost_does_not_begin_under_another_name() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(data.path(), &[]);
    let id = node.client().info("node_id");
    assert_eq!(node.client().run("SET k v"), "OK");
    node.kill();
    let name = data.path().join("node");
    let mut bytes = std::fs::read(&name).unwrap();
    bytes[7] ^= 1;
    std::fs::write(&name, &bytes).unwrap();
    let mut node = Process::serve(data.path(), &[]);
    assert_eq!(
        (node.client().info("node_id"), node.client().run("GET k")),
        (id, "v".to_owned()),
        "the records know it"
    );
    node.kill();
    std::fs::write(&name, &bytes).unwrap();
    std::fs::remove_dir_all(data.path().join("records")).unwrap();
    let output = Process::try_serve(data.path(), &[]).err().expect("refused");
    assert!(output.contains("does not match its checksum"), "{output}");
}
