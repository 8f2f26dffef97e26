//! Keys that end: hidden at once, removed by one coordinator when everybody is there, and never against a later deadline.

use crdt::reading;
use replica::{Answer, CellId, CellKind, Found, NEVER, Operation, Read, Settings, Write};

use crate::support::{Nodes, request};

/// What the machines' clocks say when the nodes have been started.
const START_MS: u64 = 1_767_225_600_000 + 2_000;

fn nodes() -> Nodes {
    Nodes::new(3, Settings::default())
}

fn deadline(at_ms: u64) -> Write {
    Write::Put(CellKind::Deadline, vec![("".into(), at_ms.to_string().into())])
}

fn write(nodes: &mut Nodes, at: usize, key: &str, write: Write) -> replica::Written {
    let answers = nodes.ask(at, request(key, Operation::Write(write)));
    match &answers[0].1 {
        Answer::Written(written) => written.clone(),
        other => panic!("{other:?}"),
    }
}

fn read(nodes: &mut Nodes, at: usize, key: &str, read: Read) -> Found {
    let answers = nodes.ask(at, request(key, Operation::Read(read)));
    match &answers[0].1 {
        Answer::Found(found) => found.clone(),
        other => panic!("{other:?}"),
    }
}

fn value(nodes: &mut Nodes, at: usize, key: &str) -> Option<String> {
    let found = read(nodes, at, key, Read::Cells(vec![CellId::value()]));
    let cell = found.cell(&CellId::value())?;
    reading::winner(&cell.live).map(|value| String::from_utf8_lossy(&value).into_owned())
}

#[test]
fn a_key_that_has_ended_is_hidden_at_once_and_gone_after_a_round() {
    let mut nodes = nodes();
    write(&mut nodes, 0, "k", Write::Set(b"v".to_vec()));
    write(&mut nodes, 1, "k", deadline(START_MS + 3_000));
    assert_eq!(value(&mut nodes, 2, "k"), Some("v".to_owned()));
    assert_eq!(read(&mut nodes, 2, "k", Read::Summary).deadline_ms, Some(START_MS + 3_000));
    nodes.pass_time(60);
    assert_eq!(value(&mut nodes, 2, "k"), None);
    let found = read(&mut nodes, 1, "k", Read::All);
    assert_eq!((found.kind, found.cells.len()), (None, 0));
    for at in 0..3 {
        assert!(nodes.contents(at).cells.is_empty(), "node {at} still has {:?}", nodes.contents(at).cells);
    }
}

/// One owner is away, and a client of its has given the key more time: whoever removed it meanwhile would have lost it.
#[test]
fn nobody_removes_what_has_ended_while_an_owner_is_away_who_may_know_of_more_time() {
    let mut nodes = nodes();
    write(&mut nodes, 0, "k", Write::Set(b"v".to_vec()));
    write(&mut nodes, 0, "k", deadline(START_MS + 3_000));
    nodes.up(&[2]);
    write(&mut nodes, 2, "k", deadline(START_MS + 3_600_000));
    nodes.up(&[0, 1]);
    nodes.pass_time(60);
    assert_eq!(value(&mut nodes, 0, "k"), None, "it is hidden all the same");
    nodes.up(&[0, 1, 2]);
    nodes.pass_time(60);
    assert_eq!(value(&mut nodes, 0, "k"), Some("v".to_owned()));
    assert_eq!(read(&mut nodes, 1, "k", Read::Summary).deadline_ms, Some(START_MS + 3_600_000));
}

#[test]
fn whoever_lets_a_key_stay_wins_over_a_deadline_set_at_once() {
    let mut nodes = nodes();
    write(&mut nodes, 0, "k", Write::Set(b"v".to_vec()));
    write(&mut nodes, 0, "k", deadline(START_MS + 60_000));
    nodes.up(&[2]);
    write(&mut nodes, 2, "k", deadline(START_MS + 3_600_000));
    nodes.up(&[0, 1]);
    write(&mut nodes, 0, "k", Write::Put(CellKind::Deadline, vec![("".into(), NEVER.into())]));
    nodes.up(&[0, 1, 2]);
    nodes.pass_time(60);
    for at in 0..3 {
        let found = read(&mut nodes, at, "k", Read::Summary);
        assert_eq!((found.kind, found.deadline_ms), (Some(CellKind::Value), None));
    }
}

#[test]
fn a_write_to_what_has_ended_begins_anew_also_while_nobody_may_remove_it() {
    let mut nodes = nodes();
    write(&mut nodes, 0, "n", Write::Increment(CellId::value(), 41));
    write(&mut nodes, 0, "n", deadline(START_MS + 1_000));
    nodes.up(&[0, 1]);
    nodes.pass_time(60);
    assert_eq!(write(&mut nodes, 0, "n", Write::Increment(CellId::value(), 1)).number, Some(1));
    assert_eq!(read(&mut nodes, 0, "n", Read::Summary).deadline_ms, None);
    nodes.up(&[0, 1, 2]);
    nodes.pass_time(60);
    assert_eq!(value(&mut nodes, 2, "n"), Some("1".to_owned()));
}

#[test]
fn a_deadline_goes_with_the_last_cell_of_its_key_and_alone_makes_none() {
    let mut nodes = nodes();
    write(&mut nodes, 0, "s", deadline(START_MS + 60_000));
    assert!(nodes.contents(0).cells.is_empty());
    write(&mut nodes, 0, "s", Write::Add(vec!["m".into()]));
    write(&mut nodes, 0, "s", deadline(START_MS + 60_000));
    write(&mut nodes, 0, "s", Write::Remove(CellKind::Member, vec!["m".into()]));
    write(&mut nodes, 0, "s", Write::Add(vec!["n".into()]));
    assert_eq!(read(&mut nodes, 1, "s", Read::Summary).deadline_ms, None);
}

#[test]
fn a_scan_does_not_show_what_has_ended() {
    let mut nodes = nodes();
    write(&mut nodes, 0, "stays", Write::Set(b"v".to_vec()));
    write(&mut nodes, 0, "ends", Write::Set(b"v".to_vec()));
    write(&mut nodes, 0, "ends", deadline(START_MS + 1_000));
    nodes.up(&[0, 1]);
    nodes.pass_time(60);
    let scan = Operation::Scan { from: replica::KeyHash(0), count_keys: 100, conflicts_only: false };
    let answers = nodes.ask(0, request("", scan));
    let Answer::Page(keys, None) = &answers[0].1 else { panic!("{answers:?}") };
    assert_eq!(keys.iter().map(|(key, _)| key.0.as_slice()).collect::<Vec<_>>(), [b"stays"]);
}
