//! More than a node can take: said so, with nothing lost, and taken again once there is room.

mod support;

use support::{Process, request};

#[test]
fn one_client_too_many_is_told_so_and_let_go() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Process::serve(data.path(), &["--maxclients", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| node.client()).collect();
    assert!(clients.iter_mut().all(|client| client.run("PING") == "PONG"));
    let mut refused = node.client();
    assert_eq!(refused.receive_text(), "ERR max number of clients reached");
    assert!(refused.is_closed());
    assert_eq!(clients[0].run("CONFIG SET maxclients 4"), "OK");
    assert_eq!(node.client().run("PING"), "PONG");
}

/// Far more than the disk takes at once: what is refused says so, everything else is there, and so is room soon after.
#[test]
fn writes_beyond_the_disk_are_refused_and_no_other() {
    let data = tempfile::tempdir().expect("a directory");
    let flags = ["--backlog-bytes", "1048576", "--durability", "interval", "--workers", "1"];
    let node = Process::serve(data.path(), &flags);
    let (mut client, value) = (node.client(), vec![b'x'; 256 * 1024]);
    let (mut taken, mut busy) = (Vec::new(), 0);
    for round in 0..40 {
        let keys: Vec<String> = (0..24).map(|n| format!("key-{round}-{n}")).collect();
        let commands: Vec<u8> = keys.iter().flat_map(|key| request(&[b"SET", key.as_bytes(), &value])).collect();
        client.send(&commands);
        for key in keys {
            match client.receive_text() {
                said if said == "OK" => taken.push(key),
                said => {
                    assert!(said.starts_with("BUSY "), "{said}");
                    busy += 1;
                }
            }
        }
    }
    assert!(busy > 0, "the disk took everything: {} writes", taken.len());
    assert!(!taken.is_empty());
    client.until("SET later v", |said| said == "OK");
    for key in &taken {
        assert_eq!(client.run(&format!("STRLEN {key}")), "262144", "{key}");
    }
    assert_eq!(client.run("DBSIZE"), (taken.len() + 1).to_string());
}
