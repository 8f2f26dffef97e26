//! Reads of a node that is alone: answered at once, and never with what is not on disk yet.

use replica::{Answer, CellId, CellKind, Operation, QuorumKind, Read, Settings, Write};

use crate::support::{Nodes, request};

fn read() -> replica::Request {
    request("k", Operation::Read(Read::Cells(vec![CellId::value()])))
}

fn write(value: &str) -> replica::Request {
    let value = (String::new().as_bytes().into(), value.as_bytes().into());
    request("k", Operation::Write(Write::Put(CellKind::Value, vec![value])))
}

#[test]
fn it_answers_at_once_what_it_would_answer_as_anybody() {
    let mut one = Nodes::new(1, Settings::default());
    one.ask(0, write("v"));
    let at_once = one.read_alone(0, &read()).expect("nobody else need be asked");
    assert!(matches!(&at_once, Answer::Found(found) if found.kind == Some(CellKind::Value)));
    let [(_, asked)] = &one.ask(0, read())[..] else { panic!("one answer") };
    assert_eq!(at_once, *asked);
}

/// Whoever has read a value must find it after a power loss.
#[test]
fn what_is_not_on_disk_yet_is_waited_for() {
    let mut one = Nodes::new(1, Settings::default());
    one.hold_flushes();
    assert!(one.ask(0, write("v")).is_empty());
    assert_eq!(one.read_alone(0, &read()), None);
    one.flush(0);
    assert!(one.read_alone(0, &read()).is_some());
}

#[test]
fn with_other_owners_or_for_more_nodes_than_there_are_it_is_a_request_like_any_other() {
    let mut two = Nodes::new(2, Settings::default());
    two.ask(0, write("v"));
    assert_eq!(two.read_alone(0, &read()), None);
    two.up(&[0]);
    assert_eq!(two.read_alone(0, &read()), None, "an owner that is away is one all the same");
    let one = Nodes::new(1, Settings::default());
    let mut greedy = read();
    (greedy.quorum.nodes, greedy.quorum.kind) = (Some(2), QuorumKind::Strict);
    assert_eq!(one.read_alone(0, &greedy), None);
    assert_eq!(one.read_alone(0, &write("v")), None, "a write is none");
}
