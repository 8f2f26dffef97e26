//! How the live dots of a stored cell become what a client sees.
//!
//! Everything here is a function of the live dots alone, so every replica with the same dots gives the same
//! answer.

use std::borrow::Cow;

use causal::{Actor, Dot, DotFun};

use crate::{Content, Entry, Hlc, Tallies};

/// The live dots of one cell.
pub type Cell<A> = DotFun<A, Entry<A>>;

/// One of the concurrent values of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling<'a, A> {
    /// The value.
    pub value: Cow<'a, [u8]>,
    /// The write it came from (of several equal ones, the winner's).
    pub dot: &'a Dot<A>,
    /// When it was written.
    pub at: Hlc,
}

/// Does the cell show anything? (A member is in its set, a field in its hash, a string exists.)
#[must_use]
pub fn is_present<A>(cell: &Cell<A>) -> bool
where
    A: Actor,
{
    cell.iter().any(|(_, entry)| !matches!(entry.content, Content::Reset { .. }))
}

/// The view of a cell as a counter.
#[must_use]
pub fn tallies<A: Actor>(cell: &Cell<A>) -> Tallies<A> {
    let live = cell.iter().filter_map(|(dot, entry)| match &entry.content {
        Content::Tally(tally) => Some((dot, tally)),
        _ => None,
    });
    Tallies::new(live, cell.iter().flat_map(|(_, entry)| entry.content.seen()))
}

/// The concurrent values, the deterministic winner first: greatest clock, then greatest dot. Equal values are
/// shown once. Increments add to every value that is a number; without any value they are one of their own.
#[must_use]
pub fn siblings<A: Actor>(cell: &Cell<A>) -> Vec<Sibling<'_, A>> {
    let tallies = tallies(cell);
    let mut found: Vec<Sibling<'_, A>> = cell
        .iter()
        .filter_map(|(dot, entry)| match &entry.content {
            Content::Value { bytes, .. } => Some(Sibling { value: Cow::Borrowed(bytes), dot, at: entry.at }),
            _ => None,
        })
        .collect();
    found.sort_by(|x, y| (y.at, y.dot).cmp(&(x.at, x.dot)));
    if !tallies.is_empty() {
        let increments = tallies.value();
        for sibling in &mut found {
            if let Some(number) = parse_integer(&sibling.value) {
                sibling.value = Cow::Owned(number.saturating_add(increments).to_string().into_bytes());
            }
        }
        if found.is_empty() {
            found.extend(latest_tally(cell, increments));
        }
    }
    let mut shown: Vec<Sibling<'_, A>> = Vec::with_capacity(found.len());
    for sibling in found {
        if shown.iter().all(|other| other.value != sibling.value) {
            shown.push(sibling);
        }
    }
    shown
}

fn latest_tally<A: Actor>(cell: &Cell<A>, increments: i64) -> Option<Sibling<'_, A>> {
    let counted = cell.iter().filter(|(_, entry)| matches!(entry.content, Content::Tally(_)));
    let (dot, entry) = counted.max_by_key(|(dot, entry)| (entry.at, *dot))?;
    Some(Sibling { value: Cow::Owned(increments.to_string().into_bytes()), dot, at: entry.at })
}

/// What a plain read shows: the winner among the siblings.
#[must_use]
pub fn winner<A: Actor>(cell: &Cell<A>) -> Option<Cow<'_, [u8]>> {
    if let Some((_, Entry { content: Content::Value { bytes, .. }, .. })) = only(cell) {
        return Some(Cow::Borrowed(bytes));
    }
    siblings(cell).into_iter().next().map(|sibling| sibling.value)
}

/// What a plain read shows, as a number: in any form that Rust reads, an infinity and `NaN` among them. Nothing if it is none.
///
/// ```
/// # use crdt::{Content, Entry, Hlc, causal::Dot, reading};
/// let mut cell = reading::Cell::<&str>::default();
/// assert_eq!(reading::number(&cell), None);
/// let content = Content::Value { bytes: b"2.5".to_vec(), seen: Vec::new() };
/// cell.insert(Dot::new("a", 1), Entry { at: Hlc::default(), content });
/// assert_eq!(reading::number(&cell), Some(2.5));
/// ```
#[must_use]
pub fn number<A: Actor>(cell: &Cell<A>) -> Option<f64> {
    let text = winner(cell)?;
    match parse_integer(&text) {
        Some(integer) => Some(integer as f64),
        None => std::str::from_utf8(&text).ok()?.parse().ok(),
    }
}

fn only<A: Actor>(cell: &Cell<A>) -> Option<(&Dot<A>, &Entry<A>)> {
    let mut live = cell.iter();
    live.next().filter(|_| live.len() == 0)
}

/// The greatest clock reading in the cell.
#[must_use]
pub fn latest<A: Actor>(cell: &Cell<A>) -> Hlc {
    cell.iter().map(|(_, entry)| entry.at).max().unwrap_or_default()
}

/// A decimal `i64` in the one form integers are written in: no sign but a minus, no leading zeros, no blanks.
#[must_use]
pub fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && (!digits.starts_with('0') || text == "0");
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse_integer;

    #[test]
    fn only_the_canonical_form_of_an_integer_is_one() {
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_integer(b"0"), Some(0));
        for not in ["", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "1.0"] {
            assert_eq!(parse_integer(not.as_bytes()), None, "{not:?}");
        }
    }
}
