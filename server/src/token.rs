//! Contexts as clients carry them: what was observed of one cell, sealed for that cell.
//!
//! The text form is [`causal::Token`]; its note holds how far counter runs were seen, so that a reset by a client
//! at a distance takes back exactly the increments it has read.

use causal::Token;
use replica::{Actor, CellId, CellKind, Observed};

use crate::resp::Reply;

/// The bytes a token is bound to: key, kind of cell, name.
fn place(key: &[u8], cell: &CellId) -> Vec<u8> {
    let kind = match cell.kind {
        CellKind::Value => b'v',
        CellKind::Member => b'm',
        CellKind::Field => b'f',
        CellKind::Score => b's',
        CellKind::Item => b'i',
        CellKind::Deadline => b'e',
        CellKind::Entry => b'x',
    };
    [&(key.len() as u32).to_be_bytes(), key, &[kind], &cell.name].concat()
}

/// The text of what was observed; in its place an error, if there are so many actors that no text can hold them.
#[must_use]
pub fn seal(observed: &Observed, key: &[u8], cell: &CellId) -> Reply {
    let mut token: Token<Actor> = Token::new(observed.context.clone());
    if !observed.seen.is_empty() {
        // Writing into memory does not fail for such types.
        token.note = postcard::to_allocvec(&observed.seen).unwrap_or_default();
    }
    match token.to_text(&place(key, cell)) {
        Ok(text) => Reply::bulk(text),
        Err(why) => Reply::error(format!("BADCONTEXT {why}")),
    }
}

/// What was observed, from its text; `-` is nothing.
///
/// # Errors
/// The reply that says why it is refused: nothing may be written then.
pub fn unseal(text: &[u8], key: &[u8], cell: &CellId) -> Result<Observed, Reply> {
    if text == b"-" {
        return Ok(Observed::default());
    }
    let refused = |why: String| Reply::error(format!("BADCONTEXT {why}"));
    let token = Token::<Actor>::from_text(&place(key, cell), text).map_err(|why| refused(why.to_string()))?;
    let seen = match token.note.as_slice() {
        [] => Vec::new(),
        note => postcard::from_bytes(note).map_err(|_| refused("the context's note does not decode".to_owned()))?,
    };
    Ok(Observed { context: token.context, seen })
}

#[cfg(test)]
mod tests {
    use super::{seal, unseal};
    use replica::{Actor, CellId, Dot, Incarnation, NodeId, Observed};

    use crate::resp::Reply;

    fn text(reply: &Reply) -> &str {
        let Reply::Bulk(text) = reply else { panic!("{reply:?} is no text") };
        std::str::from_utf8(text).unwrap()
    }

    fn observed(count: u128) -> Observed {
        let actor = |n: u128| Actor {
            node: NodeId(uuid::Uuid::from_u128(n << 100 | 77)),
            incarnation: Incarnation(28_000_000),
        };
        Observed { context: (1..=count).map(|n| Dot::new(actor(n), 3_000)).collect(), seen: Vec::new() }
    }

    #[test]
    fn a_token_of_three_owners_takes_at_most_a_hundred_characters() {
        assert!(text(&seal(&observed(3), b"cart", &CellId::value())).len() <= 100);
    }

    #[test]
    fn a_token_of_another_key_field_or_member_is_refused() {
        let sealed = seal(&observed(1), b"cart", &CellId::value());
        let text = text(&sealed);
        assert_eq!(unseal(text.as_bytes(), b"cart", &CellId::value()).unwrap(), observed(1));
        for (key, cell) in [(b"tags", CellId::value()), (b"cart", CellId::field("f")), (b"cart", CellId::member(""))] {
            assert!(unseal(text.as_bytes(), key, &cell).unwrap_err().is_error());
        }
    }
}
