//! SSCAN, HSCAN and ZSCAN: the cells of a key, page by page, in the order of their names.
//!
//! The node remembers where a page ended ([`cursors`](crate::cursors)); if it has forgotten, the scan begins anew. Whatever is there
//! all the time is returned at least once, as Redis promises.

use std::sync::Arc;

use replica::{ByteString, CellKind, Read};

use crate::command::{Arguments, read_kind};
use crate::cursors::Foreign;
use crate::dump::score_of;
use crate::gather::Step;
use crate::glob;
use crate::node::Node;
use crate::resp::{DoubleText, Reply, parse_integer};
use crate::session::Session;

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    Set,
    Hash,
    Sorted,
}

impl Collection {
    fn kind(self) -> CellKind {
        match self {
            Collection::Set => CellKind::Member,
            Collection::Hash => CellKind::Field,
            Collection::Sorted => CellKind::Score,
        }
    }
}

/// `key cursor [MATCH pattern] [COUNT n] [NOVALUES]`
pub(super) fn scan(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>, of: Collection) -> Step {
    let cursor = std::str::from_utf8(arguments.get(2)).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(cursor) = cursor else { return Reply::error("ERR invalid cursor").into() };
    let (mut pattern, mut count, mut with_values, mut at) = (None, 10_u32, of != Collection::Set, 3);
    while at < arguments.len() {
        let follows = at + 1 < arguments.len();
        if arguments.is(at, "MATCH") && follows {
            pattern = Some(arguments.get(at + 1).to_vec());
        } else if arguments.is(at, "COUNT") && follows {
            let Some(number) = parse_integer(arguments.get(at + 1)) else { return Reply::not_an_integer().into() };
            match u32::try_from(number) {
                Ok(number) if number > 0 => count = number.min(1_000_000),
                _ => return Reply::syntax_error().into(),
            }
        } else if arguments.is(at, "NOVALUES") && of == Collection::Hash {
            with_values = false;
            at -= 1;
        } else {
            return Reply::syntax_error().into();
        }
        at += 2;
    }
    let name = match node.cursors.name(cursor, arguments.get(1)) {
        Ok(name) => name,
        Err(Foreign) => {
            let why = "ERR invalid cursor: another node has given it; go on there, or begin with 0";
            return Reply::error(why).into();
        }
    };
    let (keeper, key) = (Arc::clone(node), arguments.get(1).to_vec());
    let what = Read::After { kind: of.kind(), name: name.map(ByteString), count };
    read_kind(session, node, arguments.get(1), what, of.kind(), move |found| {
        let page: Vec<_> = found.of(of.kind()).collect();
        let next = match page.last() {
            Some((last, _)) if page.len() == count as usize => keeper.cursors.keep(&key, last),
            _ => 0,
        };
        let matches = |name: &[u8]| pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name));
        let mut items = Vec::new();
        for (name, cell) in page.into_iter().filter(|(name, _)| matches(name)) {
            items.push(Reply::copied(name));
            if with_values {
                items.push(value(cell, of));
            }
        }
        Reply::Array(vec![Reply::bulk(next.to_string()), Reply::Array(items)])
    })
}

fn value(cell: &replica::CellState, of: Collection) -> Reply {
    match of {
        Collection::Sorted => Reply::copied(DoubleText::new(score_of(&cell.live).unwrap_or(0.0)).as_bytes()),
        _ => crdt::reading::winner(&cell.live).map(std::borrow::Cow::into_owned).into(),
    }
}
