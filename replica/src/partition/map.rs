//! Map and reduce over a page of keys, where they are.

use causal::Hlc;

use crate::operation::Failure;
use crate::partition::Partition;
use crate::partition::keys::Keys;
use crate::partition::write::Writing;
use crate::procedure::{Mapped, Procedures};
use crate::record::KeyHash;
use crate::store::Txn;
use crate::sweep::Reduced;

/// What one page may come to.
const MAPPED_BYTES: usize = 8 * 1024 * 1024;

impl Partition {
    /// What a page of keys, from a hash on, comes to; and where the next one begins.
    pub(crate) fn map_page(
        &mut self,
        txn: &mut Txn<'_>,
        (from, count): (KeyHash, u32),
        job: &[u8],
        procedures: &dyn Procedures,
        at: Hlc,
    ) -> Result<(Mapped, Option<KeyHash>), Failure> {
        let (keys, next) = self.page(txn, from, count, false, at.millis())?;
        let mut results = Reduced::default();
        for (key, kind) in keys {
            let mut writing = Writing::new(at);
            let mut seen = Keys::new(self, txn, &mut writing).into_looking();
            for (name, value) in procedures.map(job, &key.0, kind, &mut seen)? {
                results.add(procedures, job, name, value)?;
            }
            if results.bytes() > MAPPED_BYTES {
                return Err(Failure::TooMuch { limit_bytes: MAPPED_BYTES as u64 });
            }
        }
        Ok((results.into_values().collect(), next))
    }
}
