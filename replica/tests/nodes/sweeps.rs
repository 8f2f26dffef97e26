//! Sweeps: an application's own map and reduce over a partition of three nodes, page by page.

use std::sync::Arc;

use replica::{
    ByteString, CellId, CellKind, Event, Failure, Keys, Mapped, Operation, Procedures, Read, Settings, Sweep, Write,
};

use crate::support::{Nodes, partition, request};

/// Adds up what keys hold, by the first letter of their names.
#[derive(Debug)]
struct Sums;

impl Procedures for Sums {
    fn call(&self, _: &[u8], _: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        Err(Failure::NotUnderstood)
    }

    fn map(&self, job: &[u8], key: &[u8], _: CellKind, keys: &mut Keys<'_, '_>) -> Result<Mapped, Failure> {
        if job == b"writes" {
            keys.write(key, &Write::RemoveKey)?;
        }
        let found = keys.read(key, &Read::Cells(vec![CellId::value()]))?;
        let number = found.cell(&CellId::value()).map_or(0, |cell| crdt::reading::tallies(&cell.live).value());
        Ok(vec![(key[..1].into(), number.to_string().into_bytes().into())])
    }

    fn reduce(&self, _: &[u8], _: &[u8], one: ByteString, other: ByteString) -> Result<ByteString, Failure> {
        let number = |text: &ByteString| String::from_utf8_lossy(&text.0).parse::<i64>().unwrap_or(0);
        Ok((number(&one) + number(&other)).to_string().into_bytes().into())
    }
}

fn swept(nodes: &mut Nodes, at: usize, job: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut sweep = Sweep::new(job.as_bytes(), [partition()]);
    while let Some((id, request)) = sweep.next_request() {
        for (_, answer) in nodes.ask(at, request) {
            sweep.answered(id, answer, &Sums)?;
        }
    }
    assert!(sweep.is_done() && sweep.progress() == (1, 1));
    let text = |bytes: &ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
    Ok(sweep.results().map(|(name, value)| (text(name), text(value))).collect())
}

#[test]
fn a_sweep_comes_to_the_same_at_every_node_over_any_number_of_pages() {
    let mut nodes = Nodes::with_procedures(4, Settings::default(), Arc::new(Sums));
    assert_eq!(swept(&mut nodes, 0, "sums"), Ok(Vec::new()));
    for n in 0..700_i64 {
        let key = format!("{}{n}", ["a", "b"][n as usize % 2]);
        nodes.ask(0, request(&key, Operation::Write(Write::Increment(CellId::value(), n))));
    }
    nodes.ask(0, request("a0", Operation::Write(Write::RemoveKey)));
    let sum = |odd: i64| (0..700).filter(|n| n % 2 == odd).sum::<i64>().to_string();
    let expected = vec![("a".to_owned(), sum(0)), ("b".to_owned(), sum(1))];
    for at in 0..4 {
        assert_eq!(swept(&mut nodes, at, "sums"), Ok(expected.clone()), "node {at}");
    }
}

#[test]
fn a_map_that_writes_is_refused_and_changes_nothing() {
    let mut nodes = Nodes::with_procedures(3, Settings::default(), Arc::new(Sums));
    nodes.ask(0, request("a", Operation::Write(Write::Increment(CellId::value(), 1))));
    let before = nodes.contents(0);
    assert_eq!(swept(&mut nodes, 0, "writes"), Err(Failure::LooksOnly));
    assert!(nodes.contents(0) == before);
    nodes.handle_quietly(0, Event::Tick);
    assert_eq!(swept(&mut nodes, 0, "sums"), Ok(vec![("a".to_owned(), "1".to_owned())]));
}
