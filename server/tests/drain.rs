//! A node that is asked to end: what is under way is answered, nobody new comes in, the others hear of it, systemd too.

mod support;

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use support::{Process, request, three_nodes};

/// Sends a command behind a PING: when that is answered, the command has begun.
fn begin(client: &mut support::Client, command: &[&str]) {
    client.send(&[request(&["PING"]), request(command)].concat());
    assert_eq!(client.receive_text(), "PONG");
}

#[test]
fn what_is_under_way_is_answered_and_nobody_new_comes_in() {
    let data = tempfile::tempdir().unwrap();
    let [mut a, b, _c] = three_nodes(data.path());
    let mut client = a.client();
    assert_eq!(client.run("SET k 0"), "OK");
    // Every message between nodes takes a while: so does a write.
    assert_eq!(client.run("DOT.FAULT DELAY 400"), "OK");
    let mut idle = a.client();
    assert_eq!(idle.run("PING"), "PONG");
    begin(&mut client, &["SET", "k", "1"]);
    let began = Instant::now();
    a.terminate();
    // A client that has asked for nothing is let go at once, but not before the port is closed: it would come back by it.
    assert!(idle.is_closed());
    assert!(std::net::TcpStream::connect(&a.address).is_err(), "nobody new comes in");
    assert_eq!(client.receive_text(), "OK");
    assert!(began.elapsed() >= Duration::from_millis(300), "it was under way");
    assert!(client.is_closed());
    assert!(a.wait().success());
    assert!(a.log().contains("what is under way is answered"), "{}", a.log());
    let mut at_b = b.client();
    at_b.run("DOT.FAULT HEAL");
    assert_eq!(at_b.until("GET k", |value| value == "1"), "1");
}

#[test]
fn a_client_that_waits_for_somebody_else_holds_nothing_up() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(data.path(), &["--drain-ms", "600000", "--http", "127.0.0.1:0"]);
    let (mut blocked, mut following) = (node.client(), node.client());
    begin(&mut blocked, &["BLPOP", "nothing", "0"]);
    following.run("SUBSCRIBE news");
    // Merges over HTTP never end by themselves either.
    let mut merges = std::net::TcpStream::connect(node.client().info("http_address")).unwrap();
    merges.set_read_timeout(Some(support::PATIENCE)).unwrap();
    merges.write_all(b"GET /merges HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut merges, &mut head).unwrap();
    node.terminate();
    assert!(blocked.is_closed() && following.is_closed());
    assert!(node.wait().success());
}

#[test]
fn nobody_is_waited_for_beyond_the_limit_or_a_second_signal() {
    let data = tempfile::tempdir().unwrap();
    for (drain_ms, signals) in [("100", 1), ("600000", 2)] {
        let flags = ["--drain-ms", drain_ms, "--name", "a"];
        let mut a = Process::serve(&data.path().join(drain_ms), &flags);
        let join = a.peer_address();
        let _b = Process::serve(&data.path().join(format!("{drain_ms}b")), &["--join", &join, "--name", "b"]);
        let mut client = a.client();
        client.until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 2);
        assert_eq!(client.run("CONFIG SET timeout-ms 600000"), "OK");
        assert_eq!(client.run("DOT.FAULT DELAY 60000"), "OK");
        begin(&mut client, &["DOT.WITH", "W", "2", "SET", "k", "v"]);
        a.terminate();
        if signals == 2 {
            let deadline = Instant::now() + support::PATIENCE;
            while std::net::TcpStream::connect(&a.address).is_ok() {
                assert!(Instant::now() < deadline, "it takes new clients");
                std::thread::sleep(Duration::from_millis(5));
            }
            a.terminate();
        }
        assert!(a.wait().success());
        // That the other is not heard any more may have been noticed first: then it was answered.
        while !client.is_closed() {}
        let gave_up = a.log().contains("not everybody was answered within --drain-ms");
        assert_eq!(gave_up, signals == 1, "{}", a.log());
    }
}

#[test]
fn the_others_hear_of_it_before_they_would_miss_it() {
    let data = tempfile::tempdir().unwrap();
    let [a, b, mut c] = three_nodes(data.path());
    let mut at_a = a.client();
    at_a.until("INFO Dotted", |info| {
        info.lines().any(|line| line.starts_with("alive:") && line.matches(',').count() == 2)
    });
    let mut at_c = c.client();
    begin(&mut at_c, &["SHUTDOWN"]);
    at_a.until("INFO Dotted", |info| !info.lines().any(|line| line.starts_with("alive:") && line.contains('c')));
    assert!(c.wait().success());
    // Nobody waits for it.
    for n in 0..50 {
        assert_eq!(at_a.run(&format!("SET k{n} v")), "OK");
        assert_eq!(b.client().run(&format!("GET k{n}")), "v");
    }
}

#[test]
fn systemd_is_told_when_the_node_takes_connections_and_when_it_ends() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut node = Process::try_serve_with(data.path(), &["--in-memory"], &environment).unwrap();
    let mut told = [0; 256];
    let mut next = || {
        let read = socket.recv(&mut told).unwrap();
        String::from_utf8_lossy(&told[..read]).into_owned()
    };
    assert_eq!(next(), "READY=1");
    assert_eq!(node.client().run("PING"), "PONG");
    node.terminate();
    assert_eq!(next(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=6000000");
    assert!(node.wait().success());
}

/// The story: with `--durability interval` writes are answered before they are on disk; a node that was asked to end while its disk was
/// behind wrote what it had handed over, said that all was on disk, and lost the rest.
#[test]
fn what_was_answered_is_there_after_an_end_under_load() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Process::serve(data.path(), &["--durability", "interval"]);
    let value = vec![b'x'; 4_096];
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (mut client, value) = (node.client(), value.clone());
            std::thread::spawn(move || {
                let mut answered = Vec::new();
                loop {
                    let keys: Vec<String> = (0..32).map(|n| format!("{writer}-{}", answered.len() + n)).collect();
                    let commands = keys.iter().flat_map(|key| request(&[b"SET", key.as_bytes(), &value]));
                    if !client.try_send(&commands.collect::<Vec<_>>()) {
                        return answered;
                    }
                    for key in keys {
                        match client.try_receive_text() {
                            Some(said) if said == "OK" => answered.push(key),
                            _ => return answered,
                        }
                    }
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(700));
    node.terminate();
    assert!(node.wait().success());
    let answered: Vec<String> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert!(answered.len() > 100);
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    let lost = answered.iter().filter(|key| client.run(&format!("EXISTS {key}")) != "1").count();
    assert_eq!(lost, 0, "of {}", answered.len());
}
