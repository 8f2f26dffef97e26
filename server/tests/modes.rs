//! DOT.MODE: contexts and siblings beside plain replies.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use support::Process;

/// A connection of RESP3, read as it is on the wire.
struct Raw(TcpStream);

impl Raw {
    fn connect(node: &Process) -> Self {
        let stream = TcpStream::connect(&node.address).expect("the node listens");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("a timeout can be set");
        Self(stream)
    }

    /// What is said to a command, up to the answer to a `PING` behind it.
    fn said(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\nPING\r\n").as_bytes()).expect("the node reads");
        let mut said = Vec::new();
        while !said.ends_with(b"+PONG\r\n") {
            let mut chunk = [0; 4_096];
            let read = self.0.read(&mut chunk).expect("the node answers");
            said.extend_from_slice(&chunk[..read]);
        }
        String::from_utf8_lossy(&said[..said.len() - 7]).into_owned()
    }
}

/// The context, without which it is known what was said.
fn without_token(said: &str) -> String {
    let lines = said.split("\r\n").map(|line| if line.len() > 12 { "TOKEN" } else { line });
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn contexts_and_siblings_are_told_beside_the_replies_of_plain_commands() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Process::serve(data.path(), &[]);
    let mut plain = node.client();
    assert_eq!(plain.run("DOT.MODE"), "OFF");
    assert_eq!(plain.run("DOT.MODE PUSH"), "ERR DOT.MODE PUSH needs RESP3: send HELLO 3 first");
    assert_eq!(plain.run("DOT.MODE LOUD"), "ERR DOT.MODE takes OFF, PUSH, ATTR or STRICT");
    plain.run("DOT.SET cart - milk");
    plain.run("DOT.SET cart - bread");
    let mut client = Raw::connect(&node);
    client.said("HELLO 3");
    assert_eq!(client.said("DOT.MODE PUSH"), "+OK\r\n");
    let got = client.said("GET cart");
    let length = got.split("\r\n").nth(5).expect("a token").to_owned();
    assert_eq!(without_token(&got), format!(">4 $6 causal $4 cart {length} TOKEN :2 $5 bread "));
    assert!(client.said("SET cart eggs").contains(":1\r\n+OK"), "it replaced what its coordinator saw");
    assert_eq!(without_token(&client.said("GET nothing")), ">4 $6 causal $7 nothing _ :0 _ ");
    assert_eq!(client.said("SADD set a"), ":1\r\n");
    let token = client.said("GET cart").split("\r\n").nth(6).expect("a token").to_owned();
    assert!(plain.run(&format!("DOT.SET cart {token} tea")).ends_with("\n1"), "the token is one like any other");
    client.said("DOT.MODE ATTR");
    assert!(without_token(&client.said("GET cart")).starts_with("|1 $6 causal *3 $4 cart $"));
    assert_eq!(client.said("GET nothing"), "_\r\n");
    client.said("RESET");
    assert_eq!(client.said("GET cart"), "$3\r\ntea\r\n");
}

#[test]
fn a_strict_connection_does_not_read_what_has_siblings() {
    let data = tempfile::tempdir().expect("a directory");
    let node = Process::serve(data.path(), &[]);
    let mut client = node.client();
    client.run("DOT.SET cart - milk");
    client.run("DOT.SET cart - bread");
    client.run("DOT.MODE STRICT");
    let refused = client.run("GET cart");
    let token = refused.strip_prefix("SIBLINGS 2 ").unwrap_or_else(|| panic!("{refused}")).to_owned();
    assert!(client.run("STRLEN cart").starts_with("SIBLINGS 2 "));
    assert!(client.run(&format!("DOT.SET cart {token} both")).ends_with("\n1"));
    assert_eq!(client.run("GET cart"), "both");
    assert_eq!(client.run("SET cart x"), "OK");
    assert_eq!(client.run("GET nothing"), "(nil)");
    assert_eq!(client.run("SADD set a"), "1");
    assert_eq!(client.run("GET set"), "WRONGTYPE Operation against a key holding the wrong kind of value");
}
