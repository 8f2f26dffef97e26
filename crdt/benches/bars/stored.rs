//! A set of a million on disk, and its bytes.

use std::io::Write;
use std::time::Instant;

use causal::Minter;
use crdt::{AwSet, Records, Replica, Stored};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::{Orswot, Set, element, median, peer_add, peer_set_of, print, set_of};

/// Records in a keyspace of fjall; each batch goes to its journal.
struct OnDisk {
    database: Database,
    places: Keyspace,
    written: usize,
}

impl Records for OnDisk {
    type Error = fjall::Error;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, fjall::Error> {
        Ok(self.places.get(key)?.map(|record| record.to_vec()))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), fjall::Error> {
        for record in self.places.prefix(prefix) {
            let (key, record) = record.into_inner()?;
            if !visit(&key, &record) {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), fjall::Error> {
        let mut writing = self.database.batch();
        for (key, record) in batch {
            self.written += key.len() + record.as_ref().map_or(0, Vec::len);
            match record {
                Some(record) => writing.insert(&self.places, key, record),
                None => writing.remove(&self.places, key),
            }
        }
        writing.commit()
    }
}

/// One more element in a stored set of 1,000,000, without waiting for the disk. The peer's set is one value: it is written
/// whole.
pub(crate) fn stored_add() {
    const ELEMENTS: u64 = 1_000_000;
    const ADDS: u64 = 2_000;
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::builder(folder.path()).open().expect("a database");
    let places = database.keyspace("set", KeyspaceCreateOptions::default).expect("a keyspace");
    let mut set =
        Stored::<Set, _>::open(OnDisk { database, places, written: 0 }, b"set/", Minter::once(1)).expect("it opens");
    for chunk in 0..ELEMENTS / 10_000 {
        let elements = || (chunk * 10_000..(chunk + 1) * 10_000).map(element);
        let _ = set.edit(|set| elements().try_for_each(|element| set.add(element))).expect("there is room");
    }
    let before = set.records().written;
    let times = (0..ADDS).map(|n| {
        let start = Instant::now();
        drop(std::hint::black_box(set.edit(|set| set.add(element(ELEMENTS + n)))));
        start.elapsed().as_nanos() as f64
    });
    let ours = median(times.collect());
    let our_bytes = (set.records().written - before) as f64 / ADDS as f64;
    drop(set);

    let mut peer: Orswot = peer_set_of(1, 0..ELEMENTS);
    let mut peer_bytes = 0;
    let times = (0..3).map(|n| {
        let mut file = std::fs::File::create(folder.path().join("peer")).expect("a file");
        let start = Instant::now();
        peer_add(&mut peer, 1, element(ELEMENTS + n));
        let bytes = postcard::to_allocvec(&peer).expect("it can be written");
        file.write_all(&bytes).expect("there is room");
        peer_bytes = bytes.len();
        start.elapsed().as_nanos() as f64
    });
    let peer = median(times.collect());
    print("stored-add-1M", (ours, peer));
    print("stored-add-1M-bytes", (our_bytes, peer_bytes as f64));
}

/// The bytes of 100,000 elements, 0 and up.
pub(crate) fn set_bytes() {
    const ELEMENTS: u64 = 100_000;
    let mut ours = Replica::<AwSet<u64, u64>>::new(Minter::once(1));
    let mut peer = Orswot::new();
    for element in 0..ELEMENTS {
        let _ = ours.edit(|set| set.add(element)).expect("there is a dot");
        peer_add(&mut peer, 1, element);
    }
    let peer = postcard::to_allocvec(&peer).expect("it can be written").len();
    let each = |bytes: usize| bytes as f64 / ELEMENTS as f64;
    print("set-bytes-per-element", (each(ours.state().to_bytes().len()), each(peer)));
    let scattered = set_of(1, 0..ELEMENTS).state().to_bytes().len();
    let peer = postcard::to_allocvec(&peer_set_of(1, 0..ELEMENTS)).expect("it can be written").len();
    print("set-bytes-per-element/any-u64", (each(scattered), each(peer)));
}
