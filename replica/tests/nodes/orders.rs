//! Orders of large keys, kept in step with their cells, and looked at where they are on what enough owners have together.

use std::ops::Bound;
use std::sync::Arc;

use crdt::reading;
use replica::{
    Answer, ByteString, CellId, CellKind, Event, Failure, Found, Keys, Operation, Procedures, Quorum, Read, Request,
    Settings, Write,
};

use crate::support::{Nodes, request};

/// So many that the order is kept.
const MANY: usize = 300;

/// Looks at scores: all in their order, one's place, or how many are between two. Called, it writes and then fails, or pushes.
#[derive(Debug)]
struct Scores;

impl Procedures for Scores {
    fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        if call == b"push" {
            let name = format!("{:08}", keys.next_dot().counter).into_bytes();
            return keys.put_new(b"l", CellKind::Item, name, b"v").map(|()| Vec::new());
        }
        keys.write(b"z", &Write::Put(CellKind::Score, vec![("m1".into(), "-7".into()), ("new".into(), "7".into())]))?;
        keys.at_places(b"z", CellKind::Score, 0..1)?;
        Err(Failure::NotCurrent)
    }

    fn look(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        let text = |number: u64| number.to_string().into_bytes();
        Ok(match call {
            b"all" => {
                let all = keys.at_places(b"z", CellKind::Score, 0..u64::MAX)?;
                let shown = all.iter().map(|(name, score)| format!("{}={score} ", String::from_utf8_lossy(name)));
                shown.collect::<String>().into_bytes()
            }
            b"many" => {
                let places = keys.places_between(b"z", Bound::Included(10.0), Bound::Excluded(50.0))?;
                text(places.end - places.start)
            }
            b"items" => {
                let all = keys.at_places(b"l", CellKind::Item, 0..u64::MAX)?;
                all.iter()
                    .map(|(name, _)| format!("{} ", String::from_utf8_lossy(name)))
                    .collect::<String>()
                    .into_bytes()
            }
            b"write" => return keys.write(b"z", &Write::RemoveKey).map(|_| Vec::new()),
            name => match keys.place(b"z", &CellId::score(name))? {
                Some(place) => text(place),
                None => b"nowhere".to_vec(),
            },
        })
    }
}

fn nodes(count: u128) -> Nodes {
    Nodes::with_procedures(count, Settings::default(), Arc::new(Scores))
}

fn found(nodes: &mut Nodes, at: usize, read: Read) -> Found {
    match nodes.ask(at, request("z", Operation::Read(read))).pop() {
        Some((_, Answer::Found(found))) => found,
        other => panic!("{other:?}"),
    }
}

fn said(nodes: &mut Nodes, at: usize, call: &str) -> String {
    String::from_utf8_lossy(&found(nodes, at, Read::Call(call.into())).said.0).into_owned()
}

fn write(nodes: &mut Nodes, at: usize, write: Write) -> Option<Answer> {
    let asked = Request { quorum: Quorum::of(1), ..request("z", Operation::Write(write)) };
    nodes.ask(at, asked).pop().map(|(_, answer)| answer)
}

fn put(nodes: &mut Nodes, at: usize, member: usize, score: i64) {
    let cells = vec![(ByteString(format!("m{member}").into_bytes()), ByteString(score.to_string().into_bytes()))];
    write(nodes, at, Write::Put(CellKind::Score, cells));
}

fn filled(count: u128) -> Nodes {
    let mut nodes = nodes(count);
    for member in 0..MANY {
        put(&mut nodes, 0, member, (member as i64 * 37) % 101);
    }
    nodes
}

/// What is said is what the cells come to.
fn assert_is_right(nodes: &mut Nodes, at: usize) {
    let found = found(nodes, at, Read::All);
    let mut all: Vec<(f64, String)> = found
        .of(CellKind::Score)
        .filter_map(|(name, cell)| Some((reading::number(&cell.live)?, String::from_utf8_lossy(name).into_owned())))
        .collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0).then_with(|| x.1.cmp(&y.1)));
    let shown: String = all.iter().map(|(score, name)| format!("{name}={score} ")).collect();
    assert_eq!(said(nodes, at, "all"), shown);
    let between = all.iter().filter(|(score, _)| (10.0..50.0).contains(score)).count();
    assert_eq!(said(nodes, at, "many"), between.to_string());
    let place = all.iter().position(|(_, name)| name == "m7").map_or("nowhere".to_owned(), |at| at.to_string());
    assert_eq!(said(nodes, at, "m7"), place);
}

#[test]
fn an_order_follows_whatever_happens_to_its_cells() {
    let mut nodes = filled(3);
    assert_is_right(&mut nodes, 0);
    for n in 0..60 {
        let name = || ByteString(format!("m{}", (n * 11) % MANY).into_bytes());
        match n % 6 {
            0 => put(&mut nodes, 0, n, 50 - n as i64),
            1 => drop(write(&mut nodes, 1, Write::Remove(CellKind::Score, vec![name()]))),
            2 => drop(write(&mut nodes, 2, Write::Increment(CellId::score(name().0), -3))),
            3 => drop(write(&mut nodes, 0, Write::Put(CellKind::Score, vec![(name(), "no number".into())]))),
            4 => assert!(matches!(write(&mut nodes, 0, Write::Call("".into())), Some(Answer::Failed(_)))),
            _ => put(&mut nodes, 0, 1_000 + n, 33),
        }
        assert_is_right(&mut nodes, 0);
    }
    write(&mut nodes, 0, Write::RemoveKey);
    assert_eq!(said(&mut nodes, 0, "all"), "");
    put(&mut nodes, 0, 7, 1);
    assert_is_right(&mut nodes, 0);
    write(&mut nodes, 0, Write::Clear);
    assert_eq!(said(&mut nodes, 1, "m7"), "nowhere");
}

/// An order made of what a call has written, which then fails, would be kept.
#[test]
fn an_order_made_within_a_call_that_fails_is_not_kept() {
    let mut nodes = filled(3);
    assert!(matches!(write(&mut nodes, 0, Write::Call("".into())), Some(Answer::Failed(_))));
    assert_is_right(&mut nodes, 0);
}

/// Where a damaged cell stood cannot be told any more.
#[test]
fn an_order_is_made_anew_when_a_damaged_cell_is_written() {
    let mut nodes = filled(3);
    nodes.up(&[1, 2]);
    assert_is_right(&mut nodes, 1);
    assert!(nodes.tamper(1, b'C', b"m7", Some(&[3, 0xff, 0xff])) > 0);
    nodes.up(&[0, 1, 2]);
    for member in (0..MANY).filter(|member| member.to_string().starts_with('7')) {
        put(&mut nodes, 0, member, 1_000);
    }
    nodes.up(&[1, 2]);
    assert_is_right(&mut nodes, 1);
}

/// A cell that is lost on one disk stood in the order still when it was healed with another score.
#[test]
fn an_order_is_made_anew_when_a_lost_cell_is_healed() {
    let mut nodes = filled(3);
    assert_is_right(&mut nodes, 0);
    assert!(nodes.tamper(0, b'C', b"m7", None) > 0);
    for member in (0..MANY).filter(|member| member.to_string().starts_with('7')) {
        put(&mut nodes, 0, member, 1_000);
    }
    nodes.handle_quietly(0, Event::Scrub);
    nodes.pass_time(300);
    assert_is_right(&mut nodes, 0);
}

#[test]
fn what_two_sides_have_written_is_said_of_together() {
    let mut nodes = filled(3);
    assert_is_right(&mut nodes, 0);
    nodes.up(&[0]);
    put(&mut nodes, 0, 7, 1_000);
    put(&mut nodes, 0, 2_000, 20);
    nodes.up(&[1, 2]);
    put(&mut nodes, 1, 8, -5);
    write(&mut nodes, 1, Write::Remove(CellKind::Score, vec!["m9".into()]));
    nodes.up(&[0, 1, 2]);
    let all = said(&mut nodes, 0, "all");
    assert!(
        all.starts_with("m8=-5 ") && all.ends_with("m7=1000 ") && !all.contains("m9=") && all.contains("m2000=20 ")
    );
    for at in 0..3 {
        assert_is_right(&mut nodes, at);
    }
    nodes.pass_time(60);
    for at in 0..3 {
        assert_is_right(&mut nodes, at);
    }
}

/// One that stands in has not what the other has that stands in, and joins it only to say something of it.
#[test]
fn those_that_stand_in_say_what_they_have_together_and_keep_nothing_of_it() {
    let mut nodes = nodes(5);
    nodes.up(&[3]);
    put(&mut nodes, 3, 1, 10);
    nodes.up(&[4]);
    put(&mut nodes, 4, 2, 20);
    nodes.up(&[3, 4]);
    let before = nodes.contents(3);
    assert_eq!(said(&mut nodes, 3, "all"), "m1=10 m2=20 ");
    assert_eq!(nodes.contents(3), before);
    nodes.up(&[0, 1, 2, 3, 4]);
    nodes.pass_time(60);
    assert_eq!(said(&mut nodes, 0, "all"), "m1=10 m2=20 ");
}

/// What was said was lost where a key's time was over.
#[test]
fn something_is_said_of_what_has_ended() {
    let mut nodes = filled(3);
    let deadline = vec![(ByteString(Vec::new()), ByteString(b"5".to_vec()))];
    write(&mut nodes, 0, Write::Put(CellKind::Deadline, deadline));
    nodes.sleep(1_000);
    assert!(found(&mut nodes, 0, Read::Summary).kind.is_none(), "it has ended");
    assert_eq!(said(&mut nodes, 0, "nobody"), "nowhere");
}

/// New elements are put without being looked for before.
#[test]
fn an_order_has_what_was_pushed() {
    let mut nodes = nodes(3);
    for _ in 0..MANY + 10 {
        assert!(matches!(write(&mut nodes, 0, Write::Call("push".into())), Some(Answer::Written(_))));
    }
    let all = said(&mut nodes, 0, "items");
    assert_eq!(all.split(' ').count(), MANY + 11);
    write(&mut nodes, 0, Write::Call("push".into()));
    assert!(said(&mut nodes, 0, "items").starts_with(&all));
}

#[test]
fn what_looks_changes_nothing() {
    let mut nodes = filled(3);
    let before = nodes.contents(0);
    let answers = nodes.ask(0, request("z", Operation::Read(Read::Call("write".into()))));
    assert!(matches!(answers[..], [(_, Answer::Failed(Failure::LooksOnly))]), "{answers:?}");
    assert_eq!(nodes.contents(0), before);
}

/// Elements of a list far from both ends were walked to, one by one.
#[test]
fn the_middle_of_a_long_list_is_the_same_wherever_it_is_read_from() {
    let mut nodes = nodes(3);
    let name = |n: usize| ByteString(format!("{n:05}").into_bytes());
    let items = (0..2_000).map(|n| (name(n), name(n))).collect();
    write(&mut nodes, 0, Write::Put(CellKind::Item, items));
    let slice = |from: i64, to: i64| Read::Slice { kind: CellKind::Item, from, to };
    for at in 0..3 {
        for (from, to) in [(999, 1_001), (-1_001, -999), (600, 600)] {
            let names: Vec<String> = found(&mut nodes, at, slice(from, to))
                .of(CellKind::Item)
                .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
                .collect();
            let first = if from < 0 { 2_000 + from } else { from };
            let expected: Vec<String> = (first..=first + to - from).map(|n| format!("{n:05}")).collect();
            assert_eq!(names, expected);
        }
        write(&mut nodes, 0, Write::Put(CellKind::Item, vec![(name(1_000), "another".into())]));
    }
}
