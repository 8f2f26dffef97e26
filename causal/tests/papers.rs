//! Scenarios of the papers, and the kernel's classic cases, each under its own name.

use causal::{CausalContext, Causality, Dot, DvvSet, Minter, Siblings, VersionVector};

fn dots(dots: &[(&'static str, u64)]) -> CausalContext<&'static str> {
    dots.iter().map(|(actor, counter)| Dot::new(*actor, *counter)).collect()
}

fn live<V>(place: &Siblings<&'static str, V>) -> Vec<(&'static str, u64)> {
    place.dots().map(|dot| (dot.actor, dot.counter)).collect()
}

/// A state whose live dots are also its values.
fn place(live: &[(&'static str, u64)], seen: &[(&'static str, u64)]) -> Siblings<&'static str, (&'static str, u64)> {
    let entries = live.iter().map(|(actor, counter)| (Dot::new(*actor, *counter), (*actor, *counter)));
    Siblings::from_parts(entries.collect(), dots(seen))
}

/// Almeida et al. 2014, section 2: with one version vector per key and server actors, each write of a client that
/// has not seen the other's last one leaves one sibling more: 101 in the end.
#[test]
fn two_interleaving_clients_leave_two_siblings_after_a_hundred_and_one_writes() {
    let (mut server, mut minter) = (Siblings::new(), Minter::once("r"));
    let mut own_writes = [CausalContext::new(), CausalContext::new()];
    for n in 0..101 {
        let client = &mut own_writes[n % 2];
        let dot = server.update(client, &mut minter, n).unwrap();
        client.insert(dot); // each client has seen its own writes and nothing else
    }
    assert_eq!(server.values().copied().collect::<Vec<_>>(), [99, 100]);
}

/// The same with the whole context handed back after each write: the dense form suffices, and the next write of one
/// client replaces what the other has written in between.
#[test]
fn a_client_that_is_handed_the_whole_context_overwrites_what_it_has_not_read() {
    let mut server = DvvSet::new();
    let mut contexts = [VersionVector::new(), VersionVector::new()];
    for n in 0..101 {
        server.update(&contexts[n % 2], "r", n).unwrap();
        contexts[n % 2] = server.context();
    }
    assert_eq!(server.values().copied().collect::<Vec<_>>(), [100, 99]);
    server.update(&contexts[0], "r", 101).unwrap();
    assert_eq!(server.values().count(), 1, "99 was never read by the client whose write removed it");
}

/// Preguiça et al. 2012, figure 3: sync of {(r,1), (r,2)} with {(r,3) that has seen (r,1)} leaves (r,2) and (r,3).
#[test]
fn sync_drops_only_what_the_other_side_has_seen() {
    let mut here = place(&[("r", 1), ("r", 2)], &[]);
    here.sync(&place(&[("r", 3)], &[("r", 1)])).unwrap();
    assert_eq!(live(&here), [("r", 2), ("r", 3)]);
    assert_eq!(*here.context(), dots(&[("r", 1), ("r", 2), ("r", 3)]));
}

#[test]
fn discard_by_the_first_of_two_leaves_the_second() {
    let mut here = place(&[("r", 1), ("r", 2)], &[]);
    here.discard(&dots(&[("r", 1)]));
    assert_eq!(live(&here), [("r", 2)]);
}

#[test]
fn join_names_everything_seen_live_or_not() {
    let mut here = place(&[("r", 3)], &[("r", 1)]);
    here.sync(&place(&[("s", 2)], &[("s", 1)])).unwrap();
    assert_eq!(*here.context(), dots(&[("r", 1), ("r", 3), ("s", 1), ("s", 2)]));
}

/// The event of the papers' running example: ((r,3), {(r,2), (s,2)}).
#[test]
fn event_counts_on_at_the_coordinator_and_replaces_what_was_read() {
    let mut minter = Minter::once("r");
    assert_eq!([minter.mint(), minter.mint()].map(|dot| dot.unwrap().counter), [1, 2]);
    let mut here = place(&[("r", 2), ("s", 2)], &[("r", 1), ("s", 1)]);
    let read = dots(&[("r", 2), ("s", 2)]);
    assert_eq!(here.update(&read, &mut minter, ("r", 3)).unwrap(), Dot::new("r", 3));
    assert_eq!(live(&here), [("r", 3)]);
}

/// Gonçalves et al. 2015, section 3: a replica that got the second write and not the first does not claim the first.
#[test]
fn a_lost_message_leaves_a_gap_that_the_context_does_not_paper_over() {
    let mut minter = Minter::once("r");
    let (mut origin, mut replica) = (Siblings::new(), Siblings::new());
    let first = origin.update(&CausalContext::new(), &mut minter, 1).unwrap();
    let lost = origin.delta_since(&CausalContext::new());
    origin.update(&CausalContext::new(), &mut minter, 2).unwrap();
    replica.sync(&origin.delta_since(&[first].into_iter().collect())).unwrap();
    assert!(!replica.context().contains(&first));
    let read = replica.context().clone();
    origin.discard(&read); // a client that read at the replica removes what it saw
    assert_eq!(origin.values().copied().collect::<Vec<_>>(), [1]);
    replica.sync(&lost).unwrap();
    assert!(replica.context().contains(&first));
}

/// A removal mints no dot here, and is news all the same.
#[test]
fn a_removal_is_before_and_after_in_the_order_though_the_contexts_are_equal() {
    let here = place(&[("r", 1)], &[]);
    let removed = place(&[], &[("r", 1)]);
    assert_eq!(here.context(), removed.context());
    assert_eq!(here.compare(&removed), Causality::Before);
    assert_eq!(removed.compare(&here), Causality::After);
}

/// Dynamo's shopping cart (DeCandia et al. 2007, figure 3), with the servers' names: D1, D2 at Sx; D3 at Sy and D4
/// at Sz, both from D2; D5 at Sx reconciles.
#[test]
fn the_version_evolution_of_the_dynamo_paper() {
    let [mut x, mut y, mut z] = ["sx", "sy", "sz"].map(Minter::once);
    let mut at_x = Siblings::new();
    at_x.update(&CausalContext::new(), &mut x, "D1").unwrap();
    let read = at_x.context().clone();
    at_x.update(&read, &mut x, "D2").unwrap();
    let (mut at_y, mut at_z) = (at_x.clone(), at_x.clone());
    let read = at_x.context().clone();
    at_y.update(&read, &mut y, "D3").unwrap();
    at_z.update(&read, &mut z, "D4").unwrap();
    assert_eq!(at_y.compare(&at_z), Causality::Concurrent);
    at_x.sync(&at_y).unwrap();
    at_x.sync(&at_z).unwrap();
    assert_eq!(at_x.values().copied().collect::<Vec<_>>(), ["D3", "D4"]);
    let read = at_x.context().clone();
    at_x.update(&read, &mut x, "D5").unwrap();
    assert_eq!(at_x.values().copied().collect::<Vec<_>>(), ["D5"]);
    let vector = VersionVector::try_from(at_x.context()).unwrap();
    assert_eq!(vector, [("sx", 3), ("sy", 1), ("sz", 1)].into_iter().collect());
}
