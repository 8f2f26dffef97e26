//! Who this node is: its id for as long as the data directory lives, and a new incarnation at every start.
//!
//! The incarnation is on disk before the first write. It never repeats: it is greater than the one before, and at
//! least the seconds since 2026, so that a directory restored from a copy does not mint under a name already used.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use replica::{Incarnation, Members, NodeId};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// 2026-01-01 00:00:00 UTC.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// The record of the node's own, beside those of the partitions.
pub(crate) const IDENTITY: &[u8] = b"N/identity";
pub(crate) const MEMBERS: &[u8] = b"N/members";
pub(crate) const DECISIONS: &[u8] = b"N/decisions";
const VERSION: u8 = 3;

/// What a node is called by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// The last incarnation it has taken.
    pub incarnation: Incarnation,
}

impl Identity {
    /// A node that was never there before.
    #[must_use]
    pub fn fresh() -> Self {
        Self { node: NodeId(uuid::Uuid::new_v4()), incarnation: Incarnation(0) }
    }

    /// The same node in its next incarnation.
    #[must_use]
    pub fn next(self) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH + EPOCH).unwrap_or_default().as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(0);
        let chance = uuid::Uuid::new_v4().as_u64_pair().1;
        Self { incarnation: self.incarnation.next(seconds, chance), ..self }
    }
}

/// Takes the data directory for this process.
///
/// # Errors
/// [`Error::DirectoryInUse`] if another process has it, [`Error::Directory`] if it cannot be made.
pub fn lock(directory: &Path) -> Result<File, Error> {
    let failed = |why| Error::Directory(directory.to_owned(), why);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(directory.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DirectoryInUse(directory.to_owned())),
        Err(TryLockError::Error(why)) => Err(failed(why)),
    }
}

/// The bytes of a record of the node's own.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).unwrap_or_default()
}

/// A record of the node's own from its bytes.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|why| format!("the node's record does not decode: {why}"))
        }
        _ => Err("the node's record is of another version".to_owned()),
    }
}

/// The member list as it was kept.
pub(crate) fn kept_members(bytes: Option<&[u8]>) -> Result<Option<Members>, String> {
    bytes.map(decode).transpose()
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn an_incarnation_is_never_taken_twice_even_from_a_restored_copy() {
        let copy = Identity::fresh();
        let first = copy.next();
        assert!(first.next().incarnation > first.incarnation);
        assert!(
            copy.next().incarnation.0 > 24_000_000,
            "the seconds since 2026 keep a copy ahead of what was used before"
        );
    }
}
