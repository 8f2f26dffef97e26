//! Whom a read asks: as many as must answer, and the others once those take long.

use crdt::reading;
use replica::{
    Answer, CellId, CellKind, Event, Message, Operation, Quorum, Read, Request, RequestId, Settings, Ticket, Write,
};

use crate::support::{Nodes, request};

fn read() -> Request {
    request("k", Operation::Read(Read::Cells(vec![CellId::value()])))
}

fn written() -> Nodes {
    let mut three = Nodes::new(3, Settings::default());
    let value = (String::new().as_bytes().into(), b"v".as_slice().into());
    three.ask(0, request("k", Operation::Write(Write::Put(CellKind::Value, vec![value]))));
    three
}

fn found(answers: &[(replica::RequestId, Answer)]) -> bool {
    matches!(answers, [(_, Answer::Found(found))] if found.kind == Some(CellKind::Value))
}

#[test]
fn it_asks_no_more_than_must_answer() {
    let mut three = written();
    let before = three.sent();
    assert!(found(&three.ask(0, read())));
    assert_eq!(three.sent() - before, 2, "a question to one of the two others, and its answer");
    let mut from_all = read();
    from_all.quorum.nodes = Some(3);
    let before = three.sent();
    assert!(found(&three.ask(0, from_all)));
    assert_eq!(three.sent() - before, 4);
}

#[test]
fn one_that_takes_long_is_helped_out_and_asked_last_until_it_is_heard() {
    let mut three = written();
    three.up_unseen(&[0, 2]);
    assert!(three.ask(0, read()).is_empty(), "the owner that is asked says nothing");
    let answers = three.answers_of(|three| three.pass_time(1));
    assert!(found(&answers), "long before the request would fail: {answers:?}");
    let before = three.sent();
    assert!(found(&three.ask(0, read())), "at once, from the one that answers");
    assert_eq!(three.sent() - before, 2);
    let silent = three.id(1);
    three.handle_quietly(
        0,
        Event::Peer(silent, replica::Message::FetchedNothing(replica::Ticket(0), crate::support::partition())),
    );
    assert!(three.ask(0, read()).is_empty(), "it is asked again, and is silent still");
}

/// What answers that it cannot, and what is seen to be gone, is not waited for.
#[test]
fn one_that_cannot_answer_is_replaced_at_once() {
    let mut three = written();
    three.up_unseen(&[0, 2]);
    assert!(three.ask(0, read()).is_empty());
    let answers = three.answers_of(|three| three.up(&[0, 2]));
    assert!(found(&answers), "{answers:?}");
}

/// What only one owner has is brought to another first, and is safe there: only then is it told.
#[test]
fn with_write_back_what_is_read_is_with_as_many_as_must_answer() {
    for write_back in [false, true] {
        let mut three = written();
        three.up_unseen(&[0]);
        let value = (String::new().as_bytes().into(), b"new".as_slice().into());
        let write = request("k", Operation::Write(Write::Put(CellKind::Value, vec![value])));
        three.ask(0, Request { quorum: Quorum::of(1), ..write });
        three.up_unseen(&[0, 1, 2]);
        three.hold_flushes();
        let answers = three.ask(0, Request { quorum: Quorum { write_back, ..Quorum::default() }, ..read() });
        assert_eq!(answers.is_empty(), write_back, "{answers:?}");
        let answers = if write_back { three.flush(1) } else { answers };
        assert!(found(&answers), "{answers:?}");
        assert_eq!(three.contents(0).cells, three.contents(1).cells);
    }
}

/// The story: `SET k 0`, `GET k`, .. `SET k 49`, `GET k` in one go on a healthy cluster, and the first `GET` said 49: the other
/// owner was asked, and had the later writes by then.
#[test]
fn a_read_does_not_see_what_its_own_coordinator_wrote_after_it() {
    let mut three = written();
    let shown = |answers: &[(replica::RequestId, Answer)]| match answers {
        [(_, Answer::Found(found))] => {
            found.cell(&CellId::value()).and_then(|cell| Some(reading::winner(&cell.live)?.into_owned()))
        }
        other => panic!("one answer: {other:?}"),
    };
    for (later, seen) in [(Write::Set(b"later".to_vec()), b"v".as_slice()), (Write::RemoveKey, b"later")] {
        let asked = three.handle(0, Event::Client(RequestId(77), read()));
        three.ask(0, request("k", Operation::Write(later)));
        let answers = three.answers_of(|three| three.deliver(0, asked));
        assert_eq!(shown(&answers).as_deref(), Some(seen));
    }
    // What another has written is news, whoever wrote later.
    let asked = three.handle(0, Event::Client(RequestId(78), read()));
    three.ask(0, request("other", Operation::Write(Write::Set(b"x".to_vec()))));
    let forwarded = Message::Forward(Ticket(9), request("k", Operation::Write(Write::Set(b"by another".to_vec()))));
    let from = three.id(2);
    let sent = three.handle(1, Event::Peer(from, forwarded));
    let to_others: Vec<_> = sent.into_iter().filter(|(to, _)| *to == from).collect();
    three.deliver(1, to_others);
    let answers = three.answers_of(|three| three.deliver(0, asked));
    assert_eq!(shown(&answers).as_deref(), Some(b"by another".as_slice()));
}

/// Two owners are asked by being passed through: the one that passes a read on says what it has itself.
#[test]
fn a_read_that_an_owner_passes_on_asks_nobody_else_if_both_have_the_same() {
    let mut three = written();
    let before = three.sent();
    let answers = three.ask(2, read());
    assert!(found(&answers), "{answers:?}");
    assert_eq!(three.sent() - before, 2, "passed on, and answered");
    match &answers[..] {
        [(_, Answer::Found(found))] => {
            let holders: Vec<_> = found.receipt.holders.iter().map(|holder| holder.node).collect();
            assert_eq!(holders, [three.id(0), three.id(2)]);
        }
        other => panic!("one answer: {other:?}"),
    }
    let mut from_all = read();
    from_all.quorum.nodes = Some(3);
    let before = three.sent();
    assert!(found(&three.ask(2, from_all)));
    assert_eq!(three.sent() - before, 6, "two do not make three");
}

#[test]
fn what_an_owner_says_that_has_something_else_counts_for_nothing() {
    let mut three = written();
    let from = three.id(2);
    for (read, digest, asks) in [(read(), 4711, 1), (Request { quorum: Quorum::of(1), ..read() }, 4711, 0)] {
        let sent = three.handle(0, Event::Peer(from, Message::ForwardRead(Ticket(9), read, digest)));
        let fetches = sent.iter().filter(|(_, message)| matches!(message, Message::Fetch(..))).count();
        assert_eq!(fetches, asks, "{sent:?}");
    }
}
