//! What the clients' calls mean: a queue that is pushed to, inserted in and taken from at both ends, and whose elements move to
//! another list in the same batch.

use std::ops::ControlFlow;

use crdt::reading;
use replica::{ByteString, CellKind, Failure, Keys, Position, Procedures, Start, StoreError, Write};

pub(crate) const QUEUE: &str = "queue";
pub(crate) const DONE: &str = "done";

/// The first byte says what to do, the rest is the element.
#[derive(Debug)]
pub(crate) struct Lists;

/// The name of an element's cell, and the element.
type Element = (Vec<u8>, Vec<u8>);

impl Procedures for Lists {
    fn call(&self, call: &[u8], keys: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
        match call {
            [b'<', element @ ..] => push(keys, QUEUE, Start::First, element),
            [b'>', element @ ..] => push(keys, QUEUE, Start::Last, element),
            [b'|', element @ ..] => insert(keys, element),
            b"pop first" => pop(keys, Start::First),
            b"pop last" => pop(keys, Start::Last),
            b"move" => {
                let element = pop(keys, Start::First)?;
                if !element.is_empty() {
                    push(keys, DONE, Start::Last, &element)?;
                }
                Ok(element)
            }
            [b'!', element @ ..] => {
                push(keys, QUEUE, Start::Last, element)?;
                push(keys, DONE, Start::Last, element)?;
                Err(Failure::NotCurrent)
            }
            _ => Err(Failure::NotUnderstood),
        }
    }
}

fn at_end(keys: &Keys<'_, '_>, key: &str, end: Start<'_>) -> Result<Option<Element>, StoreError> {
    let mut found = None;
    keys.walk(key.as_bytes(), CellKind::Item, end, &mut |name, cell| {
        found = Some((name.to_vec(), reading::winner(&cell.live).unwrap_or_default().into_owned()));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn put(keys: &mut Keys<'_, '_>, key: &str, at: Position, element: &[u8]) -> Result<Vec<u8>, Failure> {
    let put = vec![(ByteString(at.into_name()), ByteString::from(element))];
    keys.write(key.as_bytes(), &Write::Put(CellKind::Item, put))?;
    Ok(Vec::new())
}

fn push(keys: &mut Keys<'_, '_>, key: &str, end: Start<'_>, element: &[u8]) -> Result<Vec<u8>, Failure> {
    let (there, dot) = (at_end(keys, key, end)?, keys.next_dot());
    let position = match (there, end) {
        (None, _) => Position::only(&dot),
        (Some((first, _)), Start::First) => Position::before(&first, &dot),
        (Some((last, _)), _) => Position::after(&last, &dot),
    };
    put(keys, key, position, element)
}

/// Between the first and the second; behind the only one.
fn insert(keys: &mut Keys<'_, '_>, element: &[u8]) -> Result<Vec<u8>, Failure> {
    let Some((first, _)) = at_end(keys, QUEUE, Start::First)? else {
        return push(keys, QUEUE, Start::Last, element);
    };
    let (second, dot) = (at_end(keys, QUEUE, Start::After(&first))?, keys.next_dot());
    let position = match second {
        Some((second, _)) => Position::between(&first, &second, &dot),
        None => Position::after(&first, &dot),
    };
    put(keys, QUEUE, position, element)
}

fn pop(keys: &mut Keys<'_, '_>, end: Start<'_>) -> Result<Vec<u8>, Failure> {
    let Some((name, element)) = at_end(keys, QUEUE, end)? else { return Ok(Vec::new()) };
    keys.write(QUEUE.as_bytes(), &Write::Remove(CellKind::Item, vec![ByteString(name)]))?;
    Ok(element)
}
