//! Commands of an application's own: atomic, carried out by whoever coordinates, on what that one sees.

use std::ops::ControlFlow;
use std::sync::Arc;

use crdt::reading;
use replica::{
    Answer, ByteString, CellKind, Failure, Keys, Operation, Position, Procedures, Read, Settings, Start, Write,
};

use crate::support::{Nodes, request};

/// A list: `+text` puts an element behind the last, `-` takes the first, `!` writes and then fails, `#` writes another type.
#[derive(Debug)]
struct Lists;

impl Procedures for Lists {
    fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        match call {
            [b'+', element @ ..] => {
                let mut last = None;
                keys.walk(b"l", CellKind::Item, Start::Last, &mut |name, _| {
                    last = Some(name.to_vec());
                    ControlFlow::Break(())
                })?;
                let dot = keys.next_dot();
                let position = last.map_or_else(|| Position::only(&dot), |last| Position::after(&last, &dot));
                let put = vec![(ByteString(position.into_name()), ByteString::from(element))];
                keys.write(b"l", &Write::Put(CellKind::Item, put))?;
                Ok(Vec::new())
            }
            b"-" => {
                let mut first = None;
                keys.walk(b"l", CellKind::Item, Start::First, &mut |name, cell| {
                    first = Some((name.to_vec(), reading::winner(&cell.live).unwrap_or_default().into_owned()));
                    ControlFlow::Break(())
                })?;
                let Some((name, element)) = first else { return Ok(b"nothing".to_vec()) };
                keys.write(b"l", &Write::Remove(CellKind::Item, vec![ByteString(name)]))?;
                Ok(element)
            }
            b"!" => {
                keys.write(b"other", &Write::Set(b"half".to_vec()))?;
                Err(Failure::NotCurrent)
            }
            b"#" => keys.write(b"l", &Write::Add(vec!["m".into()])).map(|_| Vec::new()),
            _ => Err(Failure::NotUnderstood),
        }
    }
}

fn nodes() -> Nodes {
    Nodes::with_procedures(3, Settings::default(), Arc::new(Lists))
}

fn call(nodes: &mut Nodes, at: usize, call: &str) -> Result<String, Failure> {
    let answers = nodes.ask(at, request("l", Operation::Write(Write::Call(call.into()))));
    match answers.into_iter().next().expect("it is answered").1 {
        Answer::Written(written) => Ok(String::from_utf8_lossy(&written.said.0).into_owned()),
        Answer::Failed(failure) => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn list(nodes: &mut Nodes, at: usize, read: Read) -> Vec<String> {
    let answers = nodes.ask(at, request("l", Operation::Read(read)));
    let Answer::Found(found) = &answers[0].1 else { panic!("{answers:?}") };
    let items = found.of(CellKind::Item);
    items
        .map(|(_, cell)| String::from_utf8_lossy(&reading::winner(&cell.live).expect("a value")).into_owned())
        .collect()
}

#[test]
fn what_is_pushed_on_two_sides_is_all_there_in_each_sides_order() {
    let mut nodes = nodes();
    call(&mut nodes, 0, "+first").expect("it is carried out");
    nodes.up(&[2]);
    ["+x1", "+x2"].iter().for_each(|push| drop(call(&mut nodes, 2, push).expect("by the one that is left")));
    nodes.up(&[0, 1]);
    ["+y1", "+y2"].iter().for_each(|push| drop(call(&mut nodes, 1, push).expect("by the two others")));
    nodes.up(&[0, 1, 2]);
    nodes.pass_time(60);
    let all = list(&mut nodes, 0, Read::All);
    assert_eq!(all, list(&mut nodes, 2, Read::All));
    let of = |side: &str| all.iter().filter(|element| element.starts_with(side)).cloned().collect::<Vec<_>>();
    assert_eq!((all[0].as_str(), all.len()), ("first", 5));
    assert_eq!((of("x"), of("y")), (vec!["x1".to_owned(), "x2".to_owned()], vec!["y1".to_owned(), "y2".to_owned()]));
}

/// Slices are read from the nearer end; where owners differ, from what they have together.
#[test]
fn a_slice_is_the_same_wherever_it_is_read_from_and_whoever_differs() {
    let mut nodes = nodes();
    for n in 0..10 {
        call(&mut nodes, 0, &format!("+{n}")).expect("it is carried out");
    }
    nodes.up(&[0, 1]);
    call(&mut nodes, 0, "-").expect("the first is taken");
    nodes.up(&[0, 1, 2]);
    let slice = |from, to| Read::Slice { kind: CellKind::Item, from, to };
    for at in [2, 0, 1] {
        assert_eq!(list(&mut nodes, at, slice(0, 1)), ["1", "2"]);
        assert_eq!(list(&mut nodes, at, slice(-2, -1)), ["8", "9"]);
        assert_eq!(list(&mut nodes, at, slice(7, 100)), ["8", "9"]);
        assert_eq!(list(&mut nodes, at, slice(-100, -9)), ["1"]);
        assert!(list(&mut nodes, at, slice(5, 2)).is_empty());
    }
}

#[test]
fn a_call_that_fails_changes_nothing_and_says_why() {
    let mut nodes = nodes();
    call(&mut nodes, 1, "+only").expect("it is carried out");
    let before = nodes.contents(0);
    assert_eq!(call(&mut nodes, 1, "!"), Err(Failure::NotCurrent));
    assert_eq!(call(&mut nodes, 1, "#"), Err(Failure::WrongType));
    assert_eq!(call(&mut nodes, 1, "?"), Err(Failure::NotUnderstood));
    assert_eq!(nodes.contents(0), before);
    assert_eq!(call(&mut nodes, 1, "-"), Ok("only".to_owned()));
    assert_eq!(call(&mut nodes, 2, "-"), Ok("nothing".to_owned()));
}

#[test]
fn without_procedures_no_call_is_understood() {
    let mut nodes = Nodes::new(3, Settings::default());
    assert_eq!(call(&mut nodes, 0, "+x"), Err(Failure::NotUnderstood));
}
