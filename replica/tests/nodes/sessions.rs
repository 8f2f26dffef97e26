//! Sessions: nobody is answered with less than it has seen, wherever it asks.

use replica::{Answer, CellId, CellKind, Context, Failure, Operation, Quorum, Read, Request, Settings, Write};

use crate::support::{Nodes, request};

fn read(session: &Context) -> Request {
    let read = request("k", Operation::Read(Read::Cells(vec![CellId::value()])));
    Request { quorum: Quorum::of(1), session: Some(Box::new(session.clone())), ..read }
}

fn write(session: &Context, value: &str) -> Request {
    let values = vec![("".into(), value.into())];
    let write = request("k", Operation::Write(Write::Put(CellKind::Value, values)));
    Request { quorum: Quorum::of(1), session: Some(Box::new(session.clone())), ..write }
}

/// What is live, and what its reader has seen.
fn found(answer: &Answer) -> (Vec<u8>, Context) {
    let Answer::Found(found) = answer else { panic!("{answer:?} is no finding") };
    let live = found
        .cell(&CellId::value())
        .map_or(Vec::new(), |cell| crdt::reading::winner(&cell.live).map_or(Vec::new(), std::borrow::Cow::into_owned));
    (live, *found.seen.clone().expect("a session is told what it has seen"))
}

/// The node that took a session's write is gone; the one that coordinates in its place has not heard of it, a third has.
#[test]
fn a_node_that_lacks_something_asks_for_it_first() {
    let mut three = Nodes::new(3, Settings::default());
    three.ask(0, write(&Context::new(), "old"));
    three.up_unseen(&[0, 2]);
    let [(_, Answer::Written(written))] = &three.ask(0, write(&Context::new(), "new"))[..] else { panic!("written") };
    let session = *written.seen.clone().expect("a session is told what it has seen");
    three.up(&[1, 2]);

    let [(_, without)] = &three.ask(1, read(&Context::new()))[..] else { panic!("one answer") };
    let has_heard = found(without).0 == b"new";
    let [(_, with)] = &three.ask(1, read(&session))[..] else { panic!("one answer") };
    assert_eq!(found(with).0, b"new");
    assert!(found(with).1.covers(&session));
    assert!(!has_heard, "else nothing was tried");

    let [(_, Answer::Written(over))] = &three.ask(1, write(&session, "newest"))[..] else { panic!("written") };
    assert!(over.seen.as_ref().is_some_and(|seen| seen.covers(&session)));
    three.up(&[0, 1, 2]);
    three.pass_time(20);
    let contents = three.contents(0);
    let cell = &contents.cells[&(b"k".to_vec(), CellId::value())];
    assert_eq!(cell.live.len(), 1, "the write has replaced what its author had read");
}

#[test]
fn what_nobody_has_who_answers_is_waited_for_and_then_said_to_be_missing() {
    let mut three = Nodes::new(3, Settings::default());
    three.up_unseen(&[0]);
    let [(_, Answer::Written(written))] = &three.ask(0, write(&Context::new(), "new"))[..] else { panic!("written") };
    let session = *written.seen.clone().expect("a session is told what it has seen");
    three.up(&[1, 2]);
    assert!(three.ask(1, read(&session)).is_empty(), "it waits");
    let answers = three.answers_of(|three| three.pass_time(40));
    assert!(matches!(answers[..], [(_, Answer::Failed(Failure::Behind { missing: 1 }))]), "{answers:?}");

    assert!(three.ask(1, read(&session)).is_empty());
    let answers = three.answers_of(|three| three.up(&[0, 1, 2]));
    let answers = if answers.is_empty() { three.answers_of(|three| three.pass_time(10)) } else { answers };
    let [(_, answer)] = &answers[..] else { panic!("it is there again: {answers:?}") };
    assert_eq!(found(answer).0, b"new");
}

/// The story: a read used to hand what it had found to the nodes that lacked it, cell by cell, ahead of their clocks. A session
/// that read such a cell was told of a clock without it, and the next node showed it the old value.
#[test]
fn what_a_read_has_brought_to_a_node_is_counted_there() {
    let mut three = Nodes::new(3, Settings::default());
    three.ask(0, write(&Context::new(), "old"));
    three.up_unseen(&[0]);
    three.ask(0, write(&Context::new(), "new"));
    three.up_unseen(&[0, 1, 2]);
    let all = Request { session: None, quorum: Quorum::default(), ..read(&Context::new()) };
    three.ask(0, all);
    three.up(&[1, 2]);
    let [(_, at_one)] = &three.ask(1, read(&Context::new()))[..] else { panic!("one answer") };
    let (live, session) = found(at_one);
    assert_eq!(live, b"new", "the read has brought it here");
    // The node that knows it is silent, and coordinates no more.
    three.up(&[2]);
    assert!(three.ask(2, read(&session)).is_empty(), "nothing older is shown");
    let answers = three.answers_of(|three| three.pass_time(40));
    assert!(matches!(answers[..], [(_, Answer::Failed(Failure::Behind { missing: 1 }))]), "{answers:?}");
}

/// A removal leaves no dot that lives: what was read as gone must stay gone.
#[test]
fn what_was_seen_to_be_gone_does_not_come_back() {
    let mut three = Nodes::new(3, Settings::default());
    three.ask(0, write(&Context::new(), "old"));
    three.up_unseen(&[0, 2]);
    let remove = request("k", Operation::Write(Write::RemoveKey));
    three.ask(0, Request { quorum: Quorum::of(1), ..remove });
    let [(_, gone)] = &three.ask(0, read(&Context::new()))[..] else { panic!("one answer") };
    let (live, session) = found(gone);
    assert!(live.is_empty());
    three.up(&[1, 2]);
    let [(_, still)] = &three.ask(1, read(&session))[..] else { panic!("one answer") };
    assert!(found(still).0.is_empty());
}
