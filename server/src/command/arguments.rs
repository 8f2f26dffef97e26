//! The arguments of a command, and what can be asked of each.

use std::sync::Arc;

use replica::ByteString;

use crate::acl::User;
use crate::command::refusal::Refused;
use crate::resp::{Reply, Scanner, parse_integer};

#[derive(Clone, Copy)]
enum Source<'a> {
    /// As they came in, in the connection's buffer.
    Read(&'a Scanner, &'a [u8]),
    /// As they were kept, or came from another node.
    Kept(&'a [ByteString]),
}

/// The arguments of a command, its name first.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    source: Source<'a>,
    from: usize,
    asker: Option<&'a Arc<User>>,
}

impl<'a> Arguments<'a> {
    /// The arguments the scanner has just found in these bytes.
    #[must_use]
    pub fn new(scanner: &'a Scanner, bytes: &'a [u8]) -> Self {
        Self { source: Source::Read(scanner, bytes), from: 0, asker: None }
    }

    /// Arguments that were kept.
    #[must_use]
    pub fn kept(list: &'a [ByteString]) -> Self {
        Self { source: Source::Kept(list), from: 0, asker: None }
    }

    /// The same, on behalf of somebody who may not do everything.
    #[must_use]
    pub fn on_behalf_of(self, asker: Option<&'a Arc<User>>) -> Self {
        Self { asker, ..self }
    }

    /// On whose behalf, where it is not the node's own.
    pub(super) fn asker(&self) -> Option<&'a Arc<User>> {
        self.asker
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        let all = match self.source {
            Source::Read(scanner, _) => scanner.arg_count(),
            Source::Kept(list) => list.len(),
        };
        all - self.from
    }

    /// An empty line is no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them; nothing beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.source {
            _ if index >= self.len() => &[],
            Source::Read(scanner, bytes) => scanner.arg(bytes, self.from + index),
            Source::Kept(list) => &list[self.from + index].0,
        }
    }

    /// Those from `index` on.
    pub fn skip(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        (index..self.len()).map(|index| self.get(index))
    }

    /// A command within a command.
    #[must_use]
    pub fn after(&self, index: usize) -> Self {
        Self { from: self.from + index, ..*self }
    }

    /// To be kept.
    #[must_use]
    pub fn to_kept(&self) -> Vec<ByteString> {
        self.skip(0).map(ByteString::from).collect()
    }

    pub(super) fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }

    pub(super) fn text(&self, index: usize) -> String {
        String::from_utf8_lossy(self.get(index)).into_owned()
    }

    /// The word in capitals, for matching.
    pub(super) fn word(&self, index: usize) -> String {
        self.text(index).to_ascii_uppercase()
    }

    pub(super) fn integer(&self, index: usize) -> Result<i64, Refused> {
        parse_integer(self.get(index)).ok_or_else(|| Reply::not_an_integer().into())
    }

    pub(super) fn float(&self, index: usize) -> Result<f64, Refused> {
        parse_float(self.get(index)).ok_or_else(|| Reply::not_a_float().into())
    }

    /// An integer that must not be negative; one error text for whatever else it is.
    pub(super) fn natural(&self, index: usize, otherwise: &str) -> Result<u64, Refused> {
        let number = parse_integer(self.get(index)).and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| Reply::error(otherwise).into())
    }
}

/// A number as Redis reads doubles: what C's `strtod` takes whole, without blanks and not-a-number.
#[must_use]
pub(crate) fn parse_float(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 || digits.is_empty() {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    // Too great to be told from infinity is no number either.
    let is_number = !number.is_nan() && (number.is_finite() || digits.as_bytes()[0].eq_ignore_ascii_case(&b'i'));
    is_number.then_some(number)
}
