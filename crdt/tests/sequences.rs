//! Sequences and text against the tree of Fugue, plain and nested, and what people do to them.

use causal::Minter;
use crdt::laws::{Mode, Nested, Site, Subject, Typed, check};
use crdt::{Error, Replica, Seq, Text};

fn holds<T: Subject>() {
    Mode::ALL.into_iter().for_each(|mode| check::<T>(mode, 600));
}

#[test]
fn a_sequence_stands_as_in_the_tree_of_fugue() {
    holds::<Typed<Seq<Site, u8>>>();
}

#[test]
fn sequences_in_maps_converge() {
    holds::<Typed<Nested<Seq<Site, u8>>>>();
}

fn replica(name: &'static str) -> Replica<Text<&'static str>> {
    Replica::new(Minter::once(name))
}

/// Backwards typing interleaves in lists that know only what stood on the left.
#[test]
fn two_people_typing_at_one_spot_do_not_interleave_forwards_or_backwards() {
    for backwards in [false, true] {
        let [mut a, mut b] = ["a", "b"].map(replica);
        let mut deltas = Vec::new();
        for (replica, word) in [(&mut a, "hello"), (&mut b, "WORLD")] {
            for (at, character) in word.chars().enumerate() {
                let index = if backwards { 0 } else { at };
                deltas.push(replica.edit(|text| text.insert(index, &character.to_string())).unwrap());
            }
        }
        for delta in &deltas {
            a.apply(delta).unwrap();
            b.apply(delta).unwrap();
        }
        let expected = if backwards { "ollehDLROW" } else { "helloWORLD" };
        assert_eq!((a.to_string(), b.to_string()), (expected.to_owned(), expected.to_owned()));
    }
}

#[test]
fn an_index_outside_is_an_error_and_nothing_is_changed() {
    let mut text = replica("a");
    let _ = text.edit(|text| text.push("abc")).unwrap();
    let before = text.state().clone();
    assert_eq!(text.edit(|text| text.insert(4, "x")), Err(Error::OutOfRange { index: 4, len: 3 }));
    assert_eq!(text.edit(|text| text.remove(2..5)), Err(Error::OutOfRange { index: 5, len: 3 }));
    assert_eq!(
        text.edit(|text| text.push("d").and_then(|()| text.remove(3..5))).err(),
        Some(Error::OutOfRange { index: 5, len: 4 })
    );
    assert_eq!(*text.state(), before);
}

/// News from the end backwards: all wait for the first, and then all come at once.
#[test]
fn what_arrives_before_its_anchors_waits_for_them() {
    let [mut a, mut b] = ["a", "b"].map(replica);
    let news: Vec<_> = (0..500).map(|n| a.edit(|text| text.insert(n / 2, &n.to_string())).unwrap()).collect();
    for delta in news[1..].iter().rev() {
        b.apply(delta).unwrap();
        assert_eq!(b.len(), 0);
    }
    b.apply(&news[0]).unwrap();
    assert_eq!((a.state(), a.to_string()), (b.state(), b.to_string()));
}

/// A difference once spoke of removed characters by their dots alone: whoever had never had them could not place what
/// stands beside them, and was never told again.
#[test]
fn a_difference_made_for_one_replica_does_no_harm_to_another() {
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(replica);
    b.apply(&a.edit(|text| text.push("x")).unwrap()).unwrap();
    let _ = a.edit(|text| text.push("y")).unwrap();
    let _ = a.edit(|text| text.remove(0..1)).unwrap();
    c.apply(&a.state().diff(&b.state().digest())).unwrap();
    c.apply(&a.state().diff(&c.state().digest())).unwrap();
    assert_eq!((c.state(), c.to_string()), (a.state(), "y".to_owned()));
}

#[test]
fn a_group_is_the_same_whichever_way_it_was_made() {
    let [mut a, mut b] = ["a", "b"].map(replica);
    let (one, other) = (a.edit(|text| text.push("x")).unwrap(), b.edit(|text| text.push("y")).unwrap());
    let [mut forwards, mut backwards] = [one.clone(), other.clone()];
    forwards.group(&other).unwrap();
    backwards.group(&one).unwrap();
    assert_eq!(forwards, backwards);
}

#[test]
fn what_waits_for_its_place_is_cleared_with_the_rest() {
    let [mut a, mut b] = ["a", "b"].map(replica);
    let [first, second] = ["12", "34"].map(|part| a.edit(|text| text.push(part)).unwrap());
    b.apply(&second).unwrap();
    let _ = b.edit(|text| text.clear()).unwrap();
    b.apply(&first).unwrap();
    assert_eq!(b.to_string(), "12");
}

/// Clearing once noted as removed what the same edit had removed already, in a run of its own.
#[test]
fn what_was_removed_in_the_same_edit_is_not_cleared_again() {
    let [mut a, mut b] = ["a", "b"].map(replica);
    b.apply(&a.edit(|text| text.push("abcde")).unwrap()).unwrap();
    let steps = |text: &mut crdt::Edit<'_, Text<&'static str>>| {
        text.remove(1..2)?;
        text.insert(2, "xy")?;
        text.clear()?;
        text.push("z")
    };
    b.apply(&a.edit(steps).unwrap()).unwrap();
    assert_eq!((a.state(), b.to_string(), a.characters().runs()), (b.state(), "z".to_owned(), b.characters().runs()));
    assert_eq!((a.len(), a.characters().runs()), (1, 4));
}

quickcheck::quickcheck! {
    /// However many steps an edit has, it reads as the same steps one by one on a string.
    fn an_edit_of_many_steps_is_its_steps(before: String, steps: Vec<(u8, u8, String)>) -> bool {
        let mut text = replica("a");
        let mut model: Vec<char> = before.chars().collect();
        let _ = text.edit(|text| text.push(&before)).unwrap();
        let delta = text.edit(|text| {
            for (at, removed, inserted) in &steps {
                let at = usize::from(*at) % (model.len() + 1);
                let end = (at + usize::from(*removed % 4)).min(model.len());
                text.remove(at..end)?;
                text.insert(at, inserted)?;
                model.splice(at..end, inserted.chars());
                assert_eq!(text.len(), model.len());
            }
            Ok(())
        }).unwrap();
        let mut late = replica("b");
        late.apply(&delta).unwrap();
        late.merge(text.state()).unwrap();
        let expected: String = model.iter().collect();
        text.to_string() == expected && late.to_string() == expected && late.state() == text.state()
    }
}
