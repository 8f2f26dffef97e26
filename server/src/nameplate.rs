//! Who a node is and whom it knows, in a file of its own outside the records: so that a node whose records cannot be read
//! knows under which names it must not write again, and who has what it held.
//!
//! ```text
//! file `node`: version:1 Plate (postcard) crc32:4      big-endian; replaced as a whole
//! ```
//! The incarnation in it is synced before the first event of that incarnation. The members in it may be a second old.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use replica::Members;
use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::error::Error;
use crate::identity::{self, Identity};

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plate {
    /// The node.
    pub identity: Identity,
    /// The members it knows.
    pub members: Option<Members>,
}

/// The file.
pub struct Nameplate {
    directory: PathBuf,
    plate: Mutex<Plate>,
}

impl Nameplate {
    /// What the file in a data directory says; nothing if there is none.
    ///
    /// # Errors
    /// [`Error::DamagedData`] if it does not match its checksum.
    pub fn read(directory: &Path) -> Result<Option<Plate>, Error> {
        let path = directory.join("node");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(Error::Directory(directory.to_owned(), why)),
        };
        let damaged = |why: &str| Error::DamagedData { path: path.clone(), why: why.to_owned() };
        let (plate, checksum) = bytes.split_last_chunk().ok_or_else(|| damaged("it is cut short"))?;
        if u32::from_be_bytes(*checksum) != crc32fast::hash(plate) {
            return Err(damaged("it does not match its checksum"));
        }
        identity::decode(plate).map(Some).map_err(|why| damaged(&why))
    }

    /// Writes it for a node that starts.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(directory: &Path, plate: Plate) -> Result<Self, Error> {
        let nameplate = Self { directory: directory.to_owned(), plate: Mutex::new(plate.clone()) };
        nameplate.put(&plate).map_err(|why| Error::of_records(directory, EngineError::from(why)))?;
        Ok(nameplate)
    }

    /// Changes it; returns when that is on disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn change(&self, how: impl FnOnce(&mut Plate)) -> io::Result<()> {
        let plate = &mut *self.plate.lock().unwrap_or_else(PoisonError::into_inner);
        let before = plate.clone();
        how(plate);
        if *plate == before { Ok(()) } else { self.put(plate) }
    }

    fn put(&self, plate: &Plate) -> io::Result<()> {
        let mut bytes = identity::encode(plate);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let draft = self.directory.join("node.new");
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, self.directory.join("node"))?;
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_no_changed_bit_is_taken_for_a_name() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Nameplate::read(folder.path()).unwrap(), None);
        let plate = Plate { identity: Identity::fresh(), members: None };
        let nameplate = Nameplate::write(folder.path(), plate.clone()).unwrap();
        let next = plate.identity.next();
        nameplate.change(|plate| plate.identity = next).unwrap();
        assert_eq!(Nameplate::read(folder.path()).unwrap(), Some(Plate { identity: next, ..plate }));
        let path = folder.path().join("node");
        let bytes = std::fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, flipped).unwrap();
            assert!(Nameplate::read(folder.path()).is_err(), "bit {bit}");
        }
    }
}
