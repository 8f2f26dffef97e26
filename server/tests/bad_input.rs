//! Bad input of every kind: a clear error, nothing lost, and the server goes on.

mod support;

use support::{Process, request};

#[test]
fn malformed_frames_are_answered_and_cost_only_their_connection() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &[]);
    let frames: [&[u8]; 6] = [
        b"*1\r\n+PING\r\n",
        b"*1\r\n$-5\r\n",
        b"*99999999999\r\n",
        b"*1\r\n$9999999999999\r\n",
        b"*abc\r\n",
        b"SET \"x\r\n",
    ];
    for frame in frames {
        let mut client = node.client();
        client.send(frame);
        let reply = client.receive();
        assert!(format!("{reply:?}").contains("Protocol error"), "{frame:?}: {reply:?}");
        assert!(client.is_closed());
    }
    let mut deep = node.client();
    deep.send(&b"*1\r\n".repeat(50_000));
    assert!(format!("{:?}", deep.receive()).contains("Protocol error"));
    assert_eq!(node.client().run("PING"), "PONG");
}

#[test]
fn wrong_commands_arities_types_and_numbers_have_the_texts_clients_know() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--max-value-bytes", "1000"]);
    let mut client = node.client();
    client.run("SET s text");
    client.run("SADD set m");
    let long = "v".repeat(1_001);
    for (command, reply) in [
        ("NOSUCH a b", "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("SADD s m", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GET set", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HGET set f", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("INCR s", "ERR value is not an integer or out of range"),
        ("INCRBY n 1.5", "ERR value is not an integer or out of range"),
        ("SELECT 1", "ERR DB index is out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("SET s v WRONG", "ERR syntax error"),
        ("SCAN x", "ERR invalid cursor"),
        ("DOT.WITH R 4 W 1 GET s", "ERR the key has 1 owners: R and W cannot be more"),
        ("DOT.SET s rubbish v", "BADCONTEXT the context is damaged or not a context at all"),
        ("DOT.FAULT CUT nobody", "ERR no node is called 'nobody'"),
        (
            "CONFIG SET timeout-ms x",
            "ERR CONFIG SET failed (possibly related to argument 'timeout-ms') - timeout-ms takes a number",
        ),
    ] {
        assert_eq!(client.run(command), reply, "{command}");
    }
    let over = client.run(&format!("SET s {long}"));
    assert_eq!(over, "ERR a value of 1001 bytes is over the limit of 1000 (CONFIG SET max-value-bytes changes it)");
    let key = client.run(&format!("SET {} v", "k".repeat(20_000)));
    assert!(key.contains("over the limit of 16384"), "{key}");
    let channel = "c".repeat(20_000);
    for command in ["PUBLISH % m", "SPUBLISH % m", "SUBSCRIBE ok %", "PSUBSCRIBE %", "SSUBSCRIBE %"] {
        let refused = client.run(&command.replace('%', &channel));
        assert!(refused.starts_with("ERR") && refused.contains("channel of 20000 bytes"), "{command}: {refused}");
    }
    assert_eq!(client.run("SET max 9223372036854775807"), "OK");
    assert_eq!(client.run("INCR max"), "ERR increment or decrement would overflow");
    assert_eq!(client.run("GET max"), "9223372036854775807");
    assert_eq!(client.run("GET s"), "text");
}

#[test]
fn a_token_works_on_its_own_cell_only_and_replaces_nothing_its_owner_has_not_read() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    let context = |reply: String| reply.lines().next().unwrap().to_owned();
    let first = context(client.run("DOT.SET cart - milk"));
    assert!(first.len() <= 100);
    let second = client.run("DOT.SET cart - bread");
    assert!(second.ends_with("\n2"), "neither had seen the other: {second}");
    let refused = client.run(&format!("DOT.SET other {first} v"));
    assert_eq!(refused, "BADCONTEXT the context was read from another key, field or member");
    assert_eq!(
        client.run(&format!("DOT.DEL cart {first} FIELD f")),
        "BADCONTEXT the context was read from another key, field or member"
    );
    let mut damaged = first.clone().into_bytes();
    damaged[20] ^= 1;
    assert!(client.call(&[b"DOT.DEL".as_slice(), b"cart", &damaged]).starts_with("BADCONTEXT"));
    assert_eq!(client.run(&format!("DOT.SET cart {first} tea IFCURRENT")), "(nil)", "the bread was not read");
    // The answer to a write speaks of that write alone: the bread survives.
    assert!(client.run(&format!("DOT.SET cart {first} eggs")).ends_with("\n2"));
    let values = client.run("DOT.GET cart");
    assert!(values.contains("eggs") && values.contains("bread") && !values.contains("milk"), "{values}");
}

#[test]
fn random_bytes_on_the_peer_port_change_nothing() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &[]);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"DOTTED\x01\xff\xff\xff\xff", b"DOTTED\x09", &request(&["PING"])] {
        let mut peer = support::Client::connect(&node.peer_address());
        peer.send(bytes);
        peer.send(&[0; 64]);
    }
    assert_eq!(node.client().run("PING"), "PONG");
}

#[test]
fn a_client_that_has_said_all_it_wants_to_still_gets_its_answers() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    client.send(b"SET k v\r\nGET k\r\n");
    client.finish();
    assert_eq!(client.receive_text(), "OK");
    assert_eq!(client.receive_text(), "v");
    assert!(client.is_closed());
}

/// A web page may have a browser send anything anywhere; the lines of its body were carried out as inline commands.
#[test]
fn a_request_of_http_ends_its_connection_before_its_body_is_taken_for_commands() {
    let data = tempfile::tempdir().unwrap();
    let node = Process::serve(data.path(), &["--in-memory"]);
    node.client().run("SET k v");
    for request in ["POST / HTTP/1.1\r\nX: y\r\n\r\nFLUSHALL\r\n", "GET / HTTP/1.1\r\nHost: here\r\n\r\nFLUSHALL\r\n"] {
        let mut client = node.client();
        client.send(request.as_bytes());
        while !client.receive_text().contains("this is a request of HTTP") {}
        assert!(client.is_closed());
    }
    assert_eq!(node.client().run("GET k"), "v");
}

#[test]
fn without_a_password_clients_of_other_machines_are_told_why_they_are_refused() {
    // An address of this machine that is none of its loopback: without one there is nobody to try it with.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|probe| probe.connect("192.0.2.1:9").map(|()| probe));
    let own = probe.and_then(|probe| probe.local_addr()).map(|address| address.ip());
    let Some(own) = own.ok().filter(|own| !own.is_loopback() && !own.is_unspecified()) else { return };
    let data = tempfile::tempdir().unwrap();
    let serve = |name: &str, more: &[&str]| {
        let listen = format!("{own}:0");
        let flags = [&["--in-memory", "--listen", &listen], more].concat();
        Process::serve(&data.path().join(name), &flags)
    };
    let closed = serve("closed", &[]);
    let mut refused = closed.client();
    assert!(refused.receive_text().starts_with("DENIED this node asks for no password"));
    assert!(refused.is_closed());
    let (open, asks) = (serve("open", &["--unprotected"]), serve("asks", &["--requirepass", "sesame"]));
    assert_eq!(open.client().run("PING"), "PONG");
    assert_eq!(asks.client().run("AUTH sesame"), "OK");
}

/// The story: the keys of what DOT.WITH carries were looked for in what that carries, and so on; a message of some megabytes ended
/// the node.
#[test]
fn a_command_within_a_command_within_a_command_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let node = Process::serve(folder.path(), &[]);
    let mut client = node.client();
    let nested = vec!["DOT.WITH"; 200_000];
    for begin in [&["COMMAND", "GETKEYS"][..], &[]] {
        assert_eq!(client.run("MULTI"), "OK");
        let refused = client.call(&[begin, &nested[..]].concat());
        assert!(!refused.is_empty());
        client.run("EXEC");
        let refused = client.call(&[begin, &nested[..]].concat());
        assert!(refused.starts_with("ERR"), "{refused}");
    }
    assert_eq!(client.run("PING"), "PONG");
}
