//! Patterns of keys, with what may be done to those that match, and of channels.

use super::selector::Access;
use crate::glob;

/// How many patterns of a kind a selector takes.
const PATTERNS: usize = 4_096;

/// Which names are meant: all, or those like one of the patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Patterns {
    is_all: bool,
    like: Vec<(Vec<u8>, Access)>,
}

/// Why a pattern is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPattern {
    /// Everything is allowed already.
    Void,
    TooMany,
}

impl Patterns {
    pub(super) fn all() -> Self {
        Self { is_all: true, like: Vec::new() }
    }

    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    pub(super) fn add(&mut self, pattern: &[u8], access: Access) -> Result<(), NoPattern> {
        if pattern == b"*" && access == Access::BOTH {
            *self = Self::all();
            return Ok(());
        }
        if self.is_all {
            return Err(NoPattern::Void);
        }
        let is_full = self.like.len() >= PATTERNS;
        match self.like.iter_mut().find(|(known, _)| known == pattern) {
            Some((_, known)) => *known = known.and(access),
            None if is_full => return Err(NoPattern::TooMany),
            None => self.like.push((pattern.to_vec(), access)),
        }
        Ok(())
    }

    /// May this be done to it?
    pub(super) fn match_name(&self, name: &[u8], access: Access) -> bool {
        self.is_all || self.like.iter().any(|(pattern, may)| may.covers(access) && glob::matches(pattern, name))
    }

    /// Is it one of the patterns, letter by letter?
    pub(super) fn have(&self, pattern: &[u8]) -> bool {
        self.is_all || self.like.iter().any(|(known, _)| known == pattern)
    }

    /// May everything be read?
    pub(super) fn cover_all(&self, access: Access) -> bool {
        self.is_all || self.like.iter().any(|(pattern, may)| may.covers(access) && pattern == b"*")
    }

    /// The patterns, each behind its sign.
    pub(super) fn describe(&self, sign: &str) -> Vec<u8> {
        if self.is_all {
            return [sign.as_bytes(), b"*"].concat();
        }
        let shown = self.like.iter().map(|(pattern, may)| {
            let sign = match *may {
                Access::READ => "%R~",
                Access::WRITE => "%W~",
                _ => sign,
            };
            [sign.as_bytes(), pattern].concat()
        });
        shown.collect::<Vec<_>>().join(&b' ')
    }
}
