//! Ranges of a key's cells: read without the others, wherever they are read, and where owners differ.

use replica::{Answer, CellKind, Operation, Read, Settings, Write};

use crate::support::{Nodes, request};

fn write(nodes: &mut Nodes, at: usize, write: Write) {
    let answers = nodes.ask(at, request("k", Operation::Write(write)));
    assert!(matches!(answers[0].1, Answer::Written(_)), "{answers:?}");
}

fn names(nodes: &mut Nodes, at: usize, read: Read) -> Vec<String> {
    let answers = nodes.ask(at, request("k", Operation::Read(read)));
    let Answer::Found(found) = &answers[0].1 else { panic!("{answers:?}") };
    found.of(CellKind::Member).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

fn within(from: Option<&str>, below: Option<&str>, count: u32) -> Read {
    Read::Within { kind: CellKind::Member, from: from.map(Into::into), below: below.map(Into::into), count }
}

#[test]
fn a_range_of_names_is_the_same_wherever_it_is_read_and_whoever_differs() {
    let mut nodes = Nodes::new(3, Settings::default());
    write(&mut nodes, 0, Write::Add(["a", "b", "b1", "b2", "c", "d"].map(Into::into).to_vec()));
    nodes.up(&[0, 1]);
    write(&mut nodes, 0, Write::Remove(CellKind::Member, vec!["b1".into()]));
    write(&mut nodes, 0, Write::Add(vec!["b3".into()]));
    nodes.up(&[0, 1, 2]);
    for at in [2, 0, 1] {
        assert_eq!(names(&mut nodes, at, within(Some("b"), Some("d"), 9)), ["b", "b2", "b3", "c"]);
        assert_eq!(names(&mut nodes, at, within(None, Some("b2"), 9)), ["a", "b"]);
        assert_eq!(names(&mut nodes, at, within(Some("b2"), None, 2)), ["b2", "b3"]);
        assert_eq!(names(&mut nodes, at, Read::prefix(CellKind::Member, b"b", 9)), ["b", "b2", "b3"]);
        assert!(names(&mut nodes, at, within(Some("d"), Some("b"), 9)).is_empty());
        assert!(names(&mut nodes, at, within(None, None, 0)).is_empty());
    }
    assert_eq!(Read::prefix(CellKind::Member, &[0xff, 0xff], 1), within_bytes(&[0xff, 0xff]));
}

/// Behind the last byte there is no end.
fn within_bytes(from: &[u8]) -> Read {
    Read::Within { kind: CellKind::Member, from: Some(from.into()), below: None, count: 1 }
}
