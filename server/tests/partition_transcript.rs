//! The transcript of the README, on three real processes over real TCP: writes on both sides of a cut, siblings,
//! the merge, and nothing left of a key that was removed.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use redis_protocol::resp2::types::OwnedFrame;
use support::{Client, three_free_ports};

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // The nodes follow: their standard input ends.
        let _ = self.0.kill();
        let _ = self.0.wait();
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

fn start(data: &std::path::Path, port: u16) -> Demo {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotted"));
    command.args(["demo", "--port", &port.to_string(), "--data"]).arg(data);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let demo = Demo(child);
    let ready = lines.map_while(Result::ok).any(|line| line.contains("Ctrl-C stops the nodes"));
    assert!(ready, "the demo did not start");
    demo
}

fn line_after<'a>(reply: &'a str, word: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = reply.lines().collect();
    lines.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1]).collect()
}

#[test]
fn both_sides_of_a_partition_write_and_nothing_is_lost() {
    let (data, port) = (tempfile::tempdir().unwrap(), three_free_ports());
    let demo = start(data.path(), port);
    let connect = |n: u16| Client::connect(&format!("127.0.0.1:{}", port + n));
    let (mut a, mut b, mut c) = (connect(0), connect(1), connect(2));

    assert_eq!(b.run("SADD tags old"), "1");
    assert_eq!(a.run("DOT.FAULT CUT a"), "OK");
    assert_eq!(a.run("SET cart milk"), "OK");
    assert_eq!(b.run("SET cart bread"), "OK");
    assert_eq!(a.run("INCR hits"), "1");
    assert_eq!(b.run("INCR hits"), "1");
    assert_eq!(a.run("SADD tags x"), "1");
    assert_eq!(b.run("SADD tags y"), "1");
    assert_eq!(b.run("SREM tags old"), "1");
    assert_eq!(a.run("GET cart"), "milk");
    assert_eq!(a.run("DOT.WITH RECEIPT SET note x"), "OK\nowners\na\nstand-ins\non-disk\na");
    let refused = a.run("DOT.WITH STRICT SET cart eggs");
    assert!(refused.starts_with("NOQUORUM 1/2 owners answered: a"), "{refused}");

    let mut merges = connect(2);
    assert_eq!(merges.run("SUBSCRIBE __dot__:merges"), "subscribe\n__dot__:merges\n1");
    assert_eq!(b.run("DOT.FAULT HEAL"), "OK");

    let siblings = c.until("DOT.GET cart", |reply| reply.contains("milk") && reply.contains("bread"));
    assert_eq!(line_after(&siblings, "context").len(), 1, "one context for both: {siblings}");
    let mut nodes = line_after(&siblings, "node");
    nodes.sort_unstable();
    assert_eq!(nodes[0], "a");
    let shown = c.run("GET cart");
    assert!(shown == "milk" || shown == "bread");
    for node in [&mut a, &mut b] {
        assert_eq!(node.until("GET cart", |reply| reply == shown), shown);
    }
    assert_eq!(c.until("GET hits", |reply| reply == "2"), "2");
    assert_eq!(c.until("SMEMBERS tags", |reply| reply == "x\ny"), "x\ny");
    // A scan is of what this node has by itself: that is there a moment later than what it reads together with others.
    assert_eq!(c.until("DOT.CONFLICTS 0", |reply| reply != "0"), "0\ncart");

    let mut seen = Vec::new();
    while !["cart", "hits", "tags"]
        .iter()
        .all(|key| seen.iter().any(|m: &String| m.contains(&format!("\"key\":\"{key}\""))))
    {
        let OwnedFrame::Array(mut items) = merges.receive() else { panic!("a message is an array") };
        let Some(OwnedFrame::BulkString(payload)) = items.pop() else { panic!("a message has a payload") };
        seen.push(String::from_utf8(payload).expect("it is text"));
    }

    let context = line_after(&siblings, "context")[0].to_owned();
    let replaced = c.run(&format!("DOT.SET cart {context} milk,bread"));
    assert!(replaced.ends_with("\n1"), "one sibling is left: {replaced}");
    for node in [&mut a, &mut b, &mut c] {
        assert_eq!(node.until("GET cart", |reply| reply == "milk,bread"), "milk,bread");
    }
    let now = c.run("DOT.GET cart");
    assert_eq!(line_after(&now, "value"), ["milk,bread"]);
    let context = line_after(&now, "context")[0].to_owned();
    assert!(b.run(&format!("DOT.DEL cart {context}")).ends_with("\n0"));
    assert_eq!(a.until("GET cart", |reply| reply == "(nil)"), "(nil)");
    let gone = |reply: &str| {
        let zero =
            |word| line_after(reply, word).iter().all(|value| *value == "0") && line_after(reply, word).len() == 3;
        zero("cells-total") && zero("metadata-bytes") && zero("log-entries") && zero("missing-dots")
    };
    a.until("DOT.EXPLAIN cart", gone);

    // The same command starts the nodes again, with their data.
    drop(demo);
    let _demo = start(data.path(), port);
    assert_eq!(connect(2).until("GET hits", |reply| reply == "2"), "2");
}
