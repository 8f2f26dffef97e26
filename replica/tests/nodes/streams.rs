//! How fast a partition is copied to another node: as the shell says, range after range.

use replica::{CellId, Context, Cursor, Event, Message, NodeId, Operation, Settings, Write};

use crate::support::{Nodes, partition, request};

/// About so many bytes per range.
const RANGE_BYTES: usize = 10_000;

fn filled(stream_bytes_per_s: u64) -> Nodes {
    let settings = Settings { answer_bytes: RANGE_BYTES, stream_bytes_per_s, ..Settings::default() };
    let mut three = Nodes::new(3, settings);
    for n in 0..500 {
        three.ask(0, request(&format!("key{n}"), Operation::Write(Write::Set(vec![7; 100]))));
    }
    three
}

/// Where each range ends that was sent.
fn streamed(sent: Vec<(NodeId, Message)>) -> Vec<Option<Cursor>> {
    let range = |(_, message)| match message {
        Message::Streamed(_, range) => Some(range.upto),
        _ => None,
    };
    sent.into_iter().filter_map(range).collect()
}

#[test]
fn the_next_range_waits_until_there_is_room_for_it() {
    let mut three = filled(100_000);
    let (one, other) = (three.id(1), three.id(2));
    let ask = |three: &mut Nodes, from, after| {
        streamed(three.handle(0, Event::Peer(from, Message::Stream(partition(), after))))
    };
    let first = ask(&mut three, one, None);
    let [Some(cursor)] = &first[..] else { panic!("a range, at once: {first:?}") };
    assert!(ask(&mut three, other, None).is_empty(), "it has to wait");
    assert!(ask(&mut three, one, Some(cursor.clone())).is_empty());
    assert!(ask(&mut three, one, Some(cursor.clone())).is_empty(), "asking again does not help");
    three.sleep(50);
    assert!(streamed(three.handle(0, Event::Due)).is_empty(), "10,000 bytes at 100,000 a second take 100 ms");
    three.sleep(70);
    let second = streamed(three.handle(0, Event::Due));
    assert!(matches!(&second[..], [Some(after)] if after.key > cursor.key), "what has begun goes on: {second:?}");
    three.sleep(120);
    assert_eq!(streamed(three.handle(0, Event::Due)), first, "then the other one begins");
    three.sleep(1_000);
    assert!(streamed(three.handle(0, Event::Due)).is_empty(), "nobody waits");
}

/// The story: on a busy node ranges came more seldom than their receiver waits for one, and it began anew, for ever.
#[test]
fn however_slow_it_is_a_range_follows_within_half_a_second() {
    let mut three = filled(1);
    let from = three.id(1);
    let first = streamed(three.handle(0, Event::Peer(from, Message::Stream(partition(), None))));
    let [after] = &first[..] else { panic!("a range, at once: {first:?}") };
    assert!(streamed(three.handle(0, Event::Peer(from, Message::Stream(partition(), after.clone())))).is_empty());
    three.sleep(501);
    assert_eq!(streamed(three.handle(0, Event::Due)).len(), 1);
}

#[test]
fn nothing_waits_where_there_is_room() {
    let mut three = filled(u64::MAX);
    let (from, mut after, mut ranges) = (three.id(1), None, 0);
    loop {
        let sent = streamed(three.handle(0, Event::Peer(from, Message::Stream(partition(), after))));
        let [upto] = &sent[..] else { panic!("a range, at once: {sent:?}") };
        (after, ranges) = (upto.clone(), ranges + 1);
        if after.is_none() {
            break;
        }
    }
    assert!(ranges > 4, "{ranges} ranges");
}

/// Each event that was handed over named its key: 65,536 increments of a counter under a name of 16 KiB were one message of a GiB.
#[test]
fn what_a_key_with_a_long_name_lacks_is_streamed_when_its_events_are_many() {
    let mut nodes = Nodes::new(3, Settings { answer_bytes: 64 * 1024, ..Settings::default() });
    let key = "k".repeat(16 * 1024);
    for _ in 0..8 {
        nodes.ask(0, request(&key, Operation::Write(Write::Increment(CellId::value(), 1))));
    }
    let from = nodes.id(2);
    let sent = nodes.handle(0, Event::Peer(from, Message::Pull(partition(), Context::new())));
    assert!(matches!(sent[..], [(_, Message::MustStream(_))]), "{} messages", sent.len());
}
