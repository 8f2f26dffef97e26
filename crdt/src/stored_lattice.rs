//! Types that only grow, part by part in ordered storage.
//!
//! ```text
//! name 'c'             version, kind 7 and type (4 bytes)
//! name 'p' place       the part that stands there
//! ```

use std::convert::Infallible;
use std::fmt;

use causal::Reader;

use crate::bytes::lattice_records_header;
use crate::{Batch, Error, KeyBytes, LatticeBytes, Records};

/// A lattice that is kept in records, one for each of its parts. A delta costs a look-up and a record for each part of
/// it, however large the rest is; what changes is made by an [`Owner`](crate::Owner), or comes from elsewhere.
///
/// ```
/// use std::collections::BTreeMap;
/// use crdt::{GSet, StoredLattice};
/// let mut seen = StoredLattice::<GSet<u64>, _>::open(BTreeMap::new(), b"seen/")?;
/// seen.apply(&GSet::from_iter([7]))?;
/// seen.apply(&GSet::from_iter([7, 9]))?;
/// assert!(seen.near(&GSet::from_iter([9]))?.contains(&9));      // looks at the places of these parts only
/// assert_eq!(seen.load_all()?, GSet::from_iter([7, 9]));
/// # Ok::<(), crdt::Error<std::convert::Infallible>>(())
/// ```
#[derive(Debug)]
pub struct StoredLattice<L, R> {
    records: R,
    prefix: Vec<u8>,
    of: std::marker::PhantomData<L>,
}

fn failed(why: impl fmt::Display) -> Error<Infallible> {
    Error::Records(why.to_string())
}

impl<L: LatticeBytes, R: Records> StoredLattice<L, R> {
    /// Goes on with the lattice that is in `records` under `name`, or begins it.
    ///
    /// # Errors
    /// [`Error::Records`] if they cannot be read, or are another type's.
    pub fn open(records: R, name: &[u8]) -> Result<Self, Error<Infallible>> {
        let mut prefix = Vec::new();
        name.to_vec().write_key(&mut prefix);
        let header = records.get(&[&prefix, &b"c"[..]].concat()).map_err(failed)?;
        if header.is_some_and(|header| header != lattice_records_header::<L>()) {
            return Err(failed("they are of another type or release"));
        }
        Ok(Self { records, prefix, of: std::marker::PhantomData })
    }

    /// The records it is kept in.
    #[must_use]
    pub fn records(&self) -> &R {
        &self.records
    }

    /// Joins a delta, or a whole state. O(its parts). All of it, or nothing.
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn apply(&mut self, delta: &L) -> Result<(), Error<Infallible>> {
        let mut batch = Batch::new();
        for part in delta.parts() {
            let key = self.key(&part);
            let mut known = self.at(&key)?;
            if !part.is_within(&known) {
                known.join(&part);
                let mut record = Vec::new();
                known.write(&mut record);
                batch.push((key, Some(record)));
            }
        }
        if !batch.is_empty() {
            batch.push(([&self.prefix, &b"c"[..]].concat(), Some(lattice_records_header::<L>())));
        }
        self.records.write(batch).map_err(failed)
    }

    /// What stands at the places of the parts of another one. O(these parts).
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn near(&self, other: &L) -> Result<L, Error<Infallible>> {
        let mut near = L::default();
        for part in other.parts() {
            near.join(&self.at(&self.key(&part))?);
        }
        Ok(near)
    }

    /// The whole state. O(n).
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn load_all(&self) -> Result<L, Error<Infallible>> {
        let (mut state, mut outcome) = (L::default(), Ok(()));
        let scanned = self.records.scan(&[&self.prefix, &b"p"[..]].concat(), &mut |_, record| {
            outcome = read_part(record).map(|part: L| state.join(&part));
            outcome.is_ok()
        });
        scanned.map_err(failed)?;
        outcome.map(|()| state)
    }

    fn key(&self, part: &L) -> Vec<u8> {
        let mut key = [&self.prefix, &b"p"[..]].concat();
        part.place(&mut key);
        key
    }

    fn at(&self, key: &[u8]) -> Result<L, Error<Infallible>> {
        self.records.get(key).map_err(failed)?.map_or_else(|| Ok(L::default()), |record| read_part(&record))
    }
}

/// A part, if the record is one's and nothing else.
fn read_part<L: LatticeBytes>(record: &[u8]) -> Result<L, Error<Infallible>> {
    let part = L::read(&mut Reader::new(record)).map_err(failed)?;
    let mut again = Vec::new();
    part.write(&mut again);
    if again == record { Ok(part) } else { Err(failed("a record is not in canonical form")) }
}
