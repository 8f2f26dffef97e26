//! What becomes of records that vanish or change behind the store's back.

use super::support::{Nodes, partition, request};
use crdt::reading;
use replica::{
    Answer, ByteString, CellId, CellKind, Event, Failure, Keys, Message, Operation, Procedures, Quorum, Read, Request,
    Settings, Write,
};
use std::sync::Arc;

/// Whatever is called is written, and then refused.
#[derive(Debug)]
struct HalfWay;

impl Procedures for HalfWay {
    fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        keys.write(b"cart", &Write::Set(call.to_vec()))?;
        keys.write(b"other", &Write::Set(call.to_vec()))?;
        Err(Failure::NotCurrent)
    }
}

fn three() -> Nodes {
    let settings = Settings { verify_every_ms: 500, ..Settings::default() };
    let mut nodes = Nodes::with_procedures(3, settings, Arc::new(HalfWay));
    for write in [
        ("cart", Write::Set(b"milk".to_vec())),
        ("tags", Write::Add(vec!["x".into(), "y".into()])),
        ("hits", Write::Increment(CellId::value(), 5)),
    ] {
        nodes.ask(0, request(write.0, Operation::Write(write.1)));
    }
    nodes.ask(1, request("hits", Operation::Write(Write::Increment(CellId::value(), 2))));
    for n in 0..200 {
        nodes.ask(n % 3, request(&format!("k{n}"), Operation::Write(Write::Set(b"v".to_vec()))));
    }
    nodes.pass_time(60);
    assert_eq!(nodes.alarms(), Vec::<String>::new());
    nodes
}

fn shown(nodes: &Nodes, at: usize, key: &str) -> Option<String> {
    let contents = nodes.contents(at);
    let state = contents.cells.get(&(key.as_bytes().to_vec(), CellId::value()))?;
    reading::winner(&state.live).map(|value| String::from_utf8_lossy(&value).into_owned())
}

fn assert_equal(nodes: &Nodes) {
    for at in 1..3 {
        assert!(nodes.contents(at) == nodes.contents(0), "node {at} differs: {:?}", nodes.alarms());
    }
}

/// Takes a key's record away at each node in turn: what a store does that drops damage silently.
#[test]
fn a_key_that_one_replica_has_lost_is_written_anew_and_nobody_else_loses_it() {
    for at in 0..3 {
        for key in ["cart", "hits"] {
            let mut nodes = three();
            assert_eq!(nodes.tamper(at, b'K', key.as_bytes(), None), 1);
            nodes.handle_quietly(at, Event::Scrub);
            nodes.pass_time(200);
            for owner in 0..3 {
                let expected = if key == "cart" { "milk" } else { "7" };
                assert_eq!(
                    shown(&nodes, owner, key).as_deref(),
                    Some(expected),
                    "{key} at {owner}, lost at {at}: {:?}",
                    nodes.alarms()
                );
            }
            assert_equal(&nodes);
            let alarms = nodes.alarms();
            assert!(alarms.iter().any(|alarm| alarm.contains("behind the store's back")), "{alarms:?}");
            assert!(alarms.iter().any(|alarm| alarm.contains("written anew")), "{alarms:?}");
        }
    }
}

/// A call that failed after it had written used to cost the node its sums: until its next scrub, a day later, nothing was compared.
#[test]
fn what_is_lost_after_a_call_that_failed_half_way_is_found_all_the_same() {
    let mut nodes = three();
    for at in 0..3 {
        let refused = nodes.ask(at, request("cart", Operation::Write(Write::Call("half".into()))));
        assert!(matches!(refused[0].1, Answer::Failed(Failure::NotCurrent)), "{refused:?}");
    }
    assert_eq!(nodes.tamper(2, b'K', b"cart", None), 1);
    nodes.handle_quietly(2, Event::Scrub);
    nodes.pass_time(200);
    assert_eq!([0, 1, 2].map(|at| shown(&nodes, at, "cart")), [0; 3].map(|_| Some("milk".to_owned())));
    assert_equal(&nodes);
}

#[test]
fn a_member_that_one_replica_has_lost_comes_back() {
    for at in 0..3 {
        let mut nodes = three();
        assert_eq!(nodes.tamper(at, b'C', b"tags", None), 2);
        nodes.handle_quietly(at, Event::Scrub);
        nodes.pass_time(200);
        assert_equal(&nodes);
        for name in ["x", "y"] {
            let cell = nodes.contents(at).cells.get(&(b"tags".to_vec(), CellId::member(name))).cloned();
            assert!(cell.is_some_and(|cell| !cell.live.is_empty()), "{name} at {at}");
        }
        // And it can be removed for good.
        let remove = Write::Remove(CellKind::Member, vec![ByteString::from("x"), ByteString::from("y")]);
        nodes.ask(0, request("tags", Operation::Write(remove)));
        nodes.pass_time(100);
        assert!(!nodes.contents(at).cells.keys().any(|(key, _)| key == b"tags"));
    }
}

#[test]
fn a_record_that_does_not_decode_is_given_up_and_filled_from_the_others() {
    let mut nodes = three();
    assert_eq!(nodes.tamper(1, b'K', b"cart", Some(&[3, 0xff, 0xff])), 1);
    nodes.handle_quietly(1, Event::Scrub);
    nodes.pass_time(200);
    assert_equal(&nodes);
    assert_eq!(shown(&nodes, 1, "cart").as_deref(), Some("milk"));
    let alarms = nodes.alarms();
    assert!(alarms.iter().any(|alarm| alarm.contains("the record of key \"cart\" is lost here")), "{alarms:?}");
}

/// The scrub used to put an empty record in the place of one that did not decode: under a clock that knew the value, and the next
/// read took it for removed, everywhere.
#[test]
fn reads_before_a_damaged_record_is_healed_do_not_spread_the_damage() {
    for at in 0..3 {
        let mut nodes = three();
        assert_eq!(nodes.tamper(at, b'K', b"cart", Some(&[3, 0xff, 0xff])), 1);
        assert_eq!(nodes.tamper(at, b'C', b"tags", Some(&[3, 0xff, 0xff])), 2);
        nodes.handle_quietly(at, Event::Scrub);
        nodes.pass_time(2);
        for asked in 0..3 {
            nodes.ask(asked, request("cart", Operation::Read(Read::Cells(vec![CellId::value()]))));
            nodes.ask(asked, request("tags", Operation::Read(Read::All)));
        }
        nodes.pass_time(300);
        assert_equal(&nodes);
        assert_eq!(shown(&nodes, at, "cart").as_deref(), Some("milk"), "damaged at {at}: {:?}", nodes.alarms());
        let tags =
            nodes.contents(at).cells.into_iter().filter(|((key, _), cell)| key == b"tags" && !cell.live.is_empty());
        assert_eq!(tags.count(), 2, "damaged at {at}: {:?}", nodes.alarms());
    }
}

/// Replicas that agree say so once, and then nothing any more.
#[test]
fn equal_replicas_are_compared_once_and_left_in_peace() {
    let mut nodes = three();
    nodes.pass_time(100);
    let before = nodes.sent();
    nodes.pass_time(100);
    assert_eq!(nodes.sent(), before);
    assert_eq!(partition(), replica::PartitionId::of_slot(48));
}

/// Without a removal that nobody knows, what one replica has not because it was removed there is not taken for lost: the clock
/// of the removal tells them apart.
#[test]
fn what_was_removed_is_not_taken_for_lost() {
    let mut nodes = three();
    nodes.up(&[0, 1]);
    nodes.ask(0, request("cart", Operation::Write(Write::RemoveKey)));
    nodes.pass_time(100);
    nodes.up(&[0, 1, 2]);
    nodes.pass_time(200);
    assert_eq!(nodes.alarms(), Vec::<String>::new());
    assert_eq!((0..3).find_map(|at| shown(&nodes, at, "cart")), None);
}

/// The story: a stream was begun late, by a node that had what it lacked by other ways when the source was lost. Nobody told it
/// anything more in a quiet cluster: it asked others for every read ever after, and nothing was compared any more.
#[test]
fn a_replica_that_gave_up_a_stream_it_no_longer_needed_is_read_again() {
    let mut three = Nodes::new(3, Settings::default());
    three.ask(0, request("k", Operation::Write(Write::Set(b"v".to_vec()))));
    three.pass_time(20);
    let reads_alone = |three: &mut Nodes| {
        let read = request("k", Operation::Read(Read::Cells(vec![CellId::value()])));
        let before = three.sent();
        let answers = three.ask(0, Request { quorum: Quorum::of(1), ..read });
        assert!(matches!(&answers[..], [(_, Answer::Found(found))] if found.kind.is_some()), "{answers:?}");
        three.sent() == before
    };
    assert!(reads_alone(&mut three));
    three.up_unseen(&[0]);
    let source = three.id(1);
    three.handle_quietly(0, Event::Peer(source, Message::MustStream(partition())));
    three.pass_time(80);
    three.up_unseen(&[0, 1, 2]);
    three.pass_time(20);
    assert!(reads_alone(&mut three));
}

fn weight(nodes: &mut Nodes, at: usize) -> Option<u64> {
    let answers = nodes.ask(at, request("", Operation::Weigh));
    let [(_, Answer::Weighed(bytes))] = &answers[..] else { panic!("{answers:?}") };
    *bytes
}

/// What a partition takes is kept up with every write, and counted anew by every scrub: both come to the same.
#[test]
fn what_a_partition_takes_is_known_without_reading_it() {
    let mut nodes = Nodes::with_procedures(3, Settings::default(), Arc::new(HalfWay));
    nodes.pass_time(20);
    assert_eq!(weight(&mut nodes, 0), Some(0));
    let names = |n: usize| vec![format!("m{}", n % 7).as_str().into(), format!("m{}", n % 3).as_str().into()];
    let field = |n: usize| (format!("f{}", n % 5).as_str().into(), vec![b'x'; 13 * n].as_slice().into());
    for n in 0..120 {
        let (key, write) = match n % 9 {
            0 | 1 => (n % 11, Write::Set(vec![b'v'; n * 7])),
            2 | 3 => (20, Write::Add(names(n))),
            4 => (20, Write::Remove(CellKind::Member, names(n / 2))),
            5 => (30, Write::Put(CellKind::Field, vec![field(n)])),
            6 => (30, Write::Remove(CellKind::Field, vec![field(n / 3).0])),
            7 => (40, Write::Increment(CellId::value(), 1 << n.min(60))),
            _ => (n % 13 + 18, Write::RemoveKey),
        };
        nodes.ask(n % 3, request(&format!("k{key}"), Operation::Write(write)));
        if n % 20 == 0 {
            let call = Operation::Write(Write::Call(vec![b'c'; n].as_slice().into()));
            nodes.ask(n % 3, request("cart", call));
        }
    }
    nodes.pass_time(60);
    let kept: Vec<_> = (0..3).map(|at| weight(&mut nodes, at)).collect();
    assert!(kept.iter().all(|bytes| bytes.is_some_and(|bytes| bytes > 5_000)), "{kept:?}");
    for at in 0..3 {
        nodes.handle_quietly(at, Event::Scrub);
    }
    nodes.pass_time(60);
    let counted: Vec<_> = (0..3).map(|at| weight(&mut nodes, at)).collect();
    assert_eq!(kept, counted);
    nodes.ask(0, request("all", Operation::Write(Write::Clear)));
    nodes.pass_time(200);
    assert_eq!((0..3).map(|at| weight(&mut nodes, at)).collect::<Vec<_>>(), [Some(0); 3]);
    assert_eq!(nodes.alarms(), Vec::<String>::new());
}
