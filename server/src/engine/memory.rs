//! Records in memory alone: what is written is gone with the process, and nothing can be torn, flipped or full.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::{Edits, Engine, EngineError, KeyRange, Sync, VisitRecord};

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// A map under a lock: batches are written one after the other, while nobody looks.
#[derive(Default)]
pub(super) struct Memory(RwLock<Records>);

impl Memory {
    fn records(&self) -> RwLockReadGuard<'_, Records> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A map panics where no key can be within.
fn is_empty((from, upto): KeyRange<'_>) -> bool {
    match (from, upto) {
        (Bound::Included(from), Bound::Included(upto)) => from > upto,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(upto) | Bound::Excluded(upto)) => from >= upto,
        _ => false,
    }
}

fn visit_all<'r>(
    records: impl Iterator<Item = (&'r Vec<u8>, &'r Vec<u8>)>,
    visit: &mut VisitRecord<'_>,
) -> Result<(), EngineError> {
    for (key, value) in records {
        if let ControlFlow::Break(()) = visit(key, value) {
            break;
        }
    }
    Ok(())
}

impl Engine for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.records().get(key).cloned())
    }

    fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        if is_empty(range) { Ok(()) } else { visit_all(self.records().range::<[u8], _>(range), visit) }
    }

    fn scan_back(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
        if is_empty(range) { Ok(()) } else { visit_all(self.records().range::<[u8], _>(range).rev(), visit) }
    }

    fn write(&self, edits: &mut Edits<'_>, _: Sync) -> Result<(), EngineError> {
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, edit) in edits {
            match edit {
                Some(value) => drop(records.insert(key.to_vec(), value.to_vec())),
                None => drop(records.remove(key)),
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn wants_syncs(&self) -> bool {
        false
    }

    fn count(&self) -> Option<u64> {
        Some(self.records().len() as u64)
    }
}
