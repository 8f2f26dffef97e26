//! Sloppy quorums: who stands in, what that is worth, and how it ends. Cores driven by hand through the public interface.

use super::support::{Nodes, partition, request};
use crdt::{Content, Hlc, Mark, Tally, reading};
use replica::{
    Actor, Answer, CellId, Change, Dot, Entry, Event, Failure, Incarnation, Medium, Message, Operation, Part, Place,
    Quorum, QuorumKind, Read, RequestId, Settings, Ticket, Write,
};

const ALL: [usize; 5] = [0, 1, 2, 3, 4];

/// Five nodes, the three owners of the partition first.
fn five() -> Nodes {
    Nodes::new(5, Settings::default())
}

fn answer(answers: &[(RequestId, Answer)]) -> &Answer {
    let [(_, answer)] = answers else { panic!("one answer, not {answers:?}") };
    answer
}

fn read_value() -> Operation {
    Operation::Read(Read::Cells(vec![CellId::value()]))
}

fn shown(nodes: &Nodes, at: usize, key: &str) -> Option<String> {
    let contents = nodes.contents(at);
    let state = contents.cells.get(&(key.as_bytes().to_vec(), CellId::value()))?;
    reading::winner(&state.live).map(|value| String::from_utf8_lossy(&value).into_owned())
}

#[test]
fn a_write_that_no_owner_hears_of_is_kept_by_others_and_handed_over_when_they_are_back() {
    let mut nodes = five();
    nodes.up(&[3, 4]);
    let write = request("cart", Operation::Write(Write::Set(b"milk".to_vec())));
    let answers = nodes.ask(3, write);
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!((written.receipt.nodes(Part::StandIn).count(), written.receipt.nodes(Part::Owner).count()), (2, 0));
    assert_eq!(written.receipt.on_disk(), 2);
    nodes.up(&ALL);
    nodes.pass_time(40);
    for owner in 0..3 {
        assert_eq!(shown(&nodes, owner, "cart").as_deref(), Some("milk"), "owner {owner}");
    }
    for stand_in in [3, 4] {
        assert_eq!(nodes.contents(stand_in), replica::Contents::default(), "{stand_in} has done its work");
    }
}

/// The guard of hinted handoff: as long as one owner lacks something, whoever stood in for it keeps it.
#[test]
fn one_that_stands_in_keeps_what_it_has_until_every_owner_has_it() {
    let mut nodes = five();
    nodes.up(&[3, 4]);
    nodes.ask(3, request("cart", Operation::Write(Write::Set(b"milk".to_vec()))));
    nodes.up(&[0, 1, 3, 4]);
    nodes.pass_time(40);
    assert_eq!(shown(&nodes, 0, "cart").as_deref(), Some("milk"));
    assert_eq!(shown(&nodes, 3, "cart").as_deref(), Some("milk"), "the third owner has not got it");
    nodes.up(&[2, 3]);
    nodes.pass_time(40);
    assert_eq!(shown(&nodes, 2, "cart").as_deref(), Some("milk"));
}

#[test]
fn what_one_that_stands_in_has_not_never_counts_as_an_answer() {
    let mut nodes = five();
    nodes.ask(0, request("cart", Operation::Write(Write::Set(b"milk".to_vec()))));
    nodes.up(&[3, 4]);
    let answers = nodes.ask(3, request("cart", read_value()));
    assert!(matches!(answer(&answers), Answer::Failed(Failure::NoQuorum { .. })), "{answers:?}");
    // What it has does.
    nodes.ask(3, request("cart", Operation::Write(Write::Set(b"bread".to_vec()))));
    let answers = nodes.ask(4, request("cart", read_value()));
    let Answer::Found(found) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!(found.receipt.nodes(Part::StandIn).count(), found.receipt.holders.len());
    // One owner is enough to say that there is nothing.
    nodes.up(&[0, 3, 4]);
    let answers = nodes.ask(0, request("absent", read_value()));
    let Answer::Found(found) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!(found.receipt.nodes(Part::Owner).count(), 1);
}

/// A removal that only those who stand in have heard of is no answer, but what it removed is not shown either.
#[test]
fn what_one_that_stands_in_has_removed_is_not_shown() {
    let mut nodes = five();
    nodes.up(&[0, 1, 3, 4]);
    nodes.ask(0, request("cart", Operation::Write(Write::Set(b"milk".to_vec()))));
    let stood_in = if shown(&nodes, 3, "cart").is_some() { 3 } else { 4 };
    nodes.up(&[stood_in]);
    let answers = nodes.ask(stood_in, request("cart", Operation::Write(Write::RemoveKey)));
    assert!(matches!(answer(&answers), Answer::Written(written) if written.changed == 1), "{answers:?}");
    nodes.up(&[0, stood_in]);
    let answers = nodes.ask(0, request("cart", read_value()));
    let Answer::Found(found) = answer(&answers) else { panic!("{answers:?}") };
    let live = found.cell(&CellId::value()).map_or(0, |state| state.live.len());
    assert_eq!((live, found.receipt.holders.len()), (0, 1), "{found:?}");
}

#[test]
fn strict_and_owner_quorums_do_not_count_those_that_stand_in() {
    let mut nodes = five();
    nodes.up(&[0, 3, 4]);
    let set = || Operation::Write(Write::Set(b"v".to_vec()));
    let with = |quorum| replica::Request { quorum, ..request("k", set()) };
    let strict = Quorum { kind: QuorumKind::Strict, ..Quorum::default() };
    for quorum in [strict, Quorum::strict(2), Quorum { owners: Some(2), ..Quorum::default() }] {
        let answers = nodes.ask(0, with(quorum));
        let Answer::Failed(Failure::NoQuorum { needed, answered, silent, may_take_effect }) = answer(&answers) else {
            panic!("{answers:?}")
        };
        assert_eq!((*needed, answered.len(), silent.len(), *may_take_effect), (2, 1, 2, false));
    }
    let answers = nodes.ask(0, with(Quorum { nodes: Some(3), owners: Some(1), ..Quorum::default() }));
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!((written.receipt.nodes(Part::Owner).count(), written.receipt.nodes(Part::StandIn).count()), (1, 2));
    let answers = nodes.ask(0, with(Quorum::of(4)));
    assert_eq!(*answer(&answers), Answer::Failed(Failure::TooManyOwners { owners: 3 }));
}

#[test]
fn nodes_without_a_disk_promise_none() {
    let mut nodes = Nodes::new(3, Settings { durability: replica::Durability::Volatile, ..Settings::default() });
    let set = |quorum| replica::Request { quorum, ..request("k", Operation::Write(Write::Set(b"v".to_vec()))) };
    let answers = nodes.ask(0, set(Quorum::of(3)));
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!((written.receipt.holders.len(), written.receipt.on_disk()), (3, 0));
    // The others say so only when they are asked: a write that could have been on two disks may take effect.
    for (on_disk, could_be) in [(1, true), (2, true), (3, false)] {
        let answers = nodes.ask(0, set(Quorum { on_disk: Some(on_disk), ..Quorum::default() }));
        let Answer::Failed(Failure::NoQuorum { may_take_effect, .. }) = answer(&answers) else {
            panic!("{on_disk}: {answers:?}")
        };
        assert_eq!(*may_take_effect, could_be, "{on_disk}");
    }
    for (operation, has_it) in [(Operation::Explain, true), (Operation::ExplainStored, false)] {
        let answers = nodes.ask(0, request("k", operation));
        let Answer::Explained(reports) = answer(&answers) else { panic!("{answers:?}") };
        assert_eq!(reports.len(), 3);
        for (_, _, report) in reports {
            let report = report.as_ref().expect("everybody answers");
            assert_eq!(report.clock.covers(&written.own.context), has_it, "{report:?}");
        }
    }
}

#[test]
fn a_durable_write_is_answered_when_so_many_have_it_on_disk() {
    let settings = Settings { durability: replica::Durability::Applied, ..Settings::default() };
    let mut nodes = Nodes::new(3, settings);
    nodes.hold_flushes();
    let set = || Operation::Write(Write::Set(b"v".to_vec()));
    let answers = nodes.ask(0, request("k", set()));
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    assert!(written.receipt.holders.iter().all(|holder| holder.medium == Medium::Memory));
    let quorum = Quorum { on_disk: Some(2), ..Quorum::default() };
    assert_eq!(nodes.ask(0, replica::Request { quorum, ..request("k", set()) }), []);
    assert_eq!(nodes.flush(0), [], "one disk is not two");
    let answers = nodes.flush(1);
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!(written.receipt.on_disk(), 2);
}

#[test]
fn nobody_stands_in_for_more_than_it_may() {
    let mut nodes = Nodes::new(5, Settings { stand_in_bytes: 1_000, ..Settings::default() });
    let set = |key: &str| request(key, Operation::Write(Write::Set(vec![b'v'; 600])));
    nodes.up(&[3]);
    assert!(matches!(answer(&nodes.ask(3, set("a"))), Answer::Written(_)));
    assert!(matches!(answer(&nodes.ask(3, set("b"))), Answer::Written(_)));
    assert_eq!(*answer(&nodes.ask(3, set("c"))), Answer::Failed(Failure::StandInFull { limit_bytes: 1_000 }));
    nodes.up(&[0, 3]);
    let quorum = Quorum::of(2);
    let answers = nodes.ask(0, replica::Request { quorum, ..set("d") });
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    assert_eq!(written.receipt.nodes(Part::StandIn).count(), 0, "it has refused; one owner is all there is");
    // What it kept is handed over, and it can stand in again.
    nodes.up(&ALL);
    nodes.pass_time(40);
    assert_eq!(shown(&nodes, 2, "b").map(|value| value.len()), Some(600));
    nodes.up(&[3]);
    assert!(matches!(answer(&nodes.ask(3, set("e"))), Answer::Written(_)));
}

/// An increment that a stand-in adds to a run which a removal has seen must not bring back what was removed, however long
/// ago the owners have settled the removal among themselves.
#[test]
fn increments_of_one_that_stands_in_bring_back_no_more_than_themselves() {
    let mut nodes = five();
    let increment = |by| request("n", Operation::Write(Write::Increment(CellId::value(), by)));
    nodes.up(&[3]);
    nodes.ask(3, increment(5));
    // Two owners learn of it; the third is away, so that the stand-in stays.
    nodes.up(&[0, 1, 3]);
    nodes.pass_time(40);
    nodes.up(&[0, 1, 2]);
    nodes.pass_time(40);
    nodes.ask(0, request("n", Operation::Write(Write::RemoveKey)));
    nodes.pass_time(200);
    nodes.up(&[3]);
    nodes.ask(3, increment(1));
    nodes.up(&ALL);
    nodes.pass_time(100);
    for owner in 0..3 {
        assert_eq!(shown(&nodes, owner, "n").as_deref(), Some("1"), "owner {owner}: only the unseen increment is left");
    }
    // And once it has retired, nothing is left of the removal either.
    nodes.ask(0, request("n", Operation::Write(Write::RemoveKey)));
    nodes.pass_time(200);
    for owner in 0..3 {
        assert!(nodes.contents(owner).cells.is_empty(), "owner {owner}: {:?}", nodes.contents(owner).cells);
    }
}

/// An owner's last increment reached nobody but a node that stood in, and was lost with the owner's page cache. The others
/// settled a removal of what went before and forgot how much that was; when the increment was handed over, it brought back the
/// whole run.
#[test]
fn an_increment_that_only_a_stand_in_has_brings_back_no_more_than_itself() {
    let mut nodes = five();
    let key = b"n".to_vec();
    nodes.ask(0, request("n", Operation::Write(Write::Increment(CellId::value(), 5))));
    let author = Actor { node: nodes.id(0), incarnation: Incarnation(1) };
    let tally = Content::Tally(Tally { run: 1, total: 6, reset: Mark::default() });
    let last = Change {
        place: Place::Cell(key.clone(), CellId::value()),
        dot: Dot::new(author, 2),
        entry: Some(Entry { at: Hlc(7), content: tally }),
        seen: [Dot::new(author, 1)].into_iter().collect(),
    };
    let delta = || Message::Delta(Ticket(7), partition(), Medium::Memory, vec![last.clone()]);
    nodes.handle(3, Event::Peer(author.node, delta()));
    nodes.up(&[0, 1, 2, 4]);
    nodes.restart(0);
    nodes.ask(1, request("n", Operation::Write(Write::RemoveKey)));
    nodes.pass_time(300);
    nodes.up(&ALL);
    // Late news from the run that has ended is not taken from it, nor by anybody who knows of the new one.
    assert_eq!(nodes.handle(2, Event::Peer(author.node, delta())), []);
    nodes.pass_time(100);
    for owner in 0..3 {
        assert_eq!(shown(&nodes, owner, "n").as_deref(), Some("1"), "owner {owner}: only the unseen increment is left");
    }
    nodes.ask(0, request("n", Operation::Write(Write::RemoveKey)));
    nodes.pass_time(300);
    for owner in 0..3 {
        assert!(nodes.contents(owner).cells.is_empty(), "owner {owner}: {:?}", nodes.contents(owner).cells);
    }
}

/// What a stand-in had minted is forgotten with the partition when it retires; the numbers are not, or one dot would name
/// two writes.
#[test]
fn one_that_stands_in_again_goes_on_counting_its_dots() {
    let mut nodes = five();
    let mut minted = Vec::new();
    for key in ["first", "second"] {
        nodes.up(&[3]);
        let answers = nodes.ask(3, request(key, Operation::Write(Write::Set(key.as_bytes().to_vec()))));
        let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
        minted.extend(written.own.context.dots());
        nodes.up(&ALL);
        nodes.pass_time(40);
        assert_eq!(nodes.contents(3), replica::Contents::default(), "it has retired");
    }
    assert_eq!(minted.len(), 2);
    assert_ne!(minted[0], minted[1]);
    for key in ["first", "second"] {
        assert_eq!(shown(&nodes, 2, key).as_deref(), Some(key));
    }
}

/// Others forget and retire by the clock a node tells: it must not tell what a crash could take back.
#[test]
fn a_clock_is_told_only_when_what_it_counts_is_on_disk() {
    let mut nodes = Nodes::new(3, Settings { durability: replica::Durability::Applied, ..Settings::default() });
    nodes.hold_flushes();
    let answers = nodes.ask(0, request("k", Operation::Write(Write::Set(b"v".to_vec()))));
    let Answer::Written(written) = answer(&answers) else { panic!("{answers:?}") };
    let own = written.own.context.clone();
    let tells = |sent: &[(replica::NodeId, Message)]| {
        sent.iter().any(|(_, message)| matches!(message, Message::Clock(_, _, clock) if clock.covers(&own)))
    };
    for _ in 0..30 {
        assert!(!tells(&nodes.handle(0, Event::Tick)), "told before it was on disk");
    }
    let upto = nodes.written(0);
    assert!(tells(&nodes.handle(0, Event::Flushed(upto))), "and told once it is");
}

#[test]
fn one_that_does_not_stand_in_refuses_to_coordinate() {
    let mut nodes = five();
    let forward = Message::Forward(Ticket(7), request("k", Operation::Write(Write::RemoveKey)));
    let from = nodes.id(4);
    let replies = nodes.handle(3, Event::Peer(from, forward));
    assert!(
        matches!(&replies[..], [(_, Message::Forwarded(_, p, Answer::Failed(Failure::NotAnOwner)))] if *p == partition()),
        "{replies:?}"
    );
}

/// The node a read was passed on to was taken for dead before it had answered: the read failed, though two other owners were
/// there.
#[test]
fn a_read_that_was_passed_on_is_asked_of_another_when_that_one_is_gone() {
    let mut nodes = Nodes::new(4, Settings::default());
    nodes.ask(0, request("k", Operation::Write(Write::Set(b"v".to_vec()))));
    let read = request("k", Operation::Read(Read::Cells(vec![CellId::value()])));
    // The fourth node is no owner and asks the first, which is gone without anybody knowing.
    nodes.up_unseen(&[1, 2, 3]);
    assert!(nodes.ask(3, read).is_empty());
    let answers = nodes.answers_of(|nodes| nodes.up(&[1, 2, 3]));
    let Answer::Found(found) = &answers[0].1 else { panic!("{answers:?}") };
    assert!(found.cell(&CellId::value()).is_some());
}
