//! Where the cells of lists and streams begin and end, as far as is known: whoever takes the first element of a queue again and
//! again would otherwise pass by all that were taken before, which a store may keep as markers for long.

use std::collections::BTreeMap;

use crate::place::CellKind;

/// For how many keys this is remembered.
const KEYS: usize = 256;

/// No present cell of a kind is before the first name, none behind the last. A hint: what is not known is looked for.
#[derive(Debug, Default)]
pub(super) struct Ends {
    keys: BTreeMap<Vec<u8>, BTreeMap<CellKind, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl Ends {
    pub(super) fn first(&self, key: &[u8], kind: CellKind) -> Option<&[u8]> {
        self.keys.get(key)?.get(&kind)?.first.as_deref()
    }

    pub(super) fn last(&self, key: &[u8], kind: CellKind) -> Option<&[u8]> {
        self.keys.get(key)?.get(&kind)?.last.as_deref()
    }

    fn known(&mut self, key: &[u8], kind: CellKind) -> &mut Known {
        if self.keys.len() >= KEYS && !self.keys.contains_key(key) {
            self.keys.clear();
        }
        self.keys.entry(key.to_vec()).or_default().entry(kind).or_default()
    }

    /// Nothing is before this cell.
    pub(super) fn is_first(&mut self, key: &[u8], kind: CellKind, name: &[u8]) {
        self.known(key, kind).first = Some(name.to_vec());
    }

    /// Nothing is behind this cell.
    pub(super) fn is_last(&mut self, key: &[u8], kind: CellKind, name: &[u8]) {
        self.known(key, kind).last = Some(name.to_vec());
    }

    /// There is a cell of this name.
    pub(super) fn add(&mut self, key: &[u8], kind: CellKind, name: &[u8]) {
        if let Some(known) = self.keys.get_mut(key).and_then(|kinds| kinds.get_mut(&kind)) {
            for first in known.first.iter_mut().filter(|first| name < first.as_slice()) {
                *first = name.to_vec();
            }
            for last in known.last.iter_mut().filter(|last| name > last.as_slice()) {
                *last = name.to_vec();
            }
        }
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }
}
