//! A million elements on disk, and their bytes.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use causal::Minter;
use crdt::{
    AwMap, AwSet, Batch, Edit, Error, MvRegister, Records, Replica, Seq, State, StoreBytes, Stored, Text, ZSet,
};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use crate::texts::positions;
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

    fn write(&mut self, batch: Batch) -> Result<(), fjall::Error> {
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

impl OnDisk {
    fn open(folder: &Path) -> Self {
        let database = Database::builder(folder).open().expect("a database");
        let places = database.keyspace("object", KeyspaceCreateOptions::default).expect("a keyspace");
        Self { database, places, written: 0 }
    }
}

const ELEMENTS: u64 = 1_000_000;
const ADDS: u64 = 2_000;

/// One more element in a stored set of 1,000,000, without waiting for the disk. The peer's set is one value: it is written
/// whole.
pub(crate) fn stored_add() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut set = Stored::<Set, _>::open(OnDisk::open(folder.path()), b"set/", Minter::once(1)).expect("it opens");
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

/// Nanoseconds and bytes of one of the edits that `edit` makes by number, in what has `state` before.
fn each_edit<S: StoreBytes<Actor = u64>>(
    state: &State<S>,
    edit: impl Fn(&mut Edit<'_, S>, usize) -> Result<(), Error<u64>>,
) -> [f64; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stored = Stored::<S, _>::open(OnDisk::open(folder.path()), b"it/", Minter::once(2)).expect("it opens");
    stored.merge(state).expect("there is room");
    let before = stored.records().written;
    let times = (0..ADDS as usize).map(|n| {
        let start = Instant::now();
        drop(std::hint::black_box(stored.edit(|it| edit(it, n)).expect("it is within")));
        start.elapsed().as_nanos() as f64
    });
    let nanoseconds = median(times.collect());
    [nanoseconds, (stored.records().written - before) as f64 / ADDS as f64]
}

/// What the same costs where the object is one value: decoded, changed, encoded and written.
fn each_whole<S: StoreBytes<Actor = u64>>(
    state: &State<S>,
    edit: impl Fn(&mut Edit<'_, S>, usize) -> Result<(), Error<u64>>,
) -> [f64; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = state.to_bytes();
    let times = (0..3).map(|n| {
        let mut file = std::fs::File::create(folder.path().join("whole")).expect("a file");
        let start = Instant::now();
        let state = State::<S>::from_bytes(&bytes).expect("the bytes just made");
        let mut whole = Replica::recover(state, Minter::once(3 + n as u64)).expect("it is new");
        drop(whole.edit(|it| edit(it, n)).expect("it is within"));
        bytes = whole.state().to_bytes();
        file.write_all(&bytes).expect("there is room");
        start.elapsed().as_nanos() as f64
    });
    [median(times.collect()), bytes.len() as f64]
}

fn print_both<S: StoreBytes<Actor = u64>>(
    name: &str,
    state: &State<S>,
    edit: impl Fn(&mut Edit<'_, S>, usize) -> Result<(), Error<u64>>,
) {
    let (ours, whole) = (each_edit(state, &edit), each_whole(state, &edit));
    print(name, (ours[0], whole[0]));
    print(&format!("{name}-bytes"), (ours[1], whole[1]));
}

/// One more element in the middle of a stored list, text and sorted set of 1,000,000. The peer is ours: the same as one
/// value.
pub(crate) fn stored_trees() {
    let mut list = Replica::<Seq<u64, u64>>::new(Minter::once(1));
    for (value, at) in positions(ELEMENTS as usize).into_iter().enumerate() {
        let _ = list.edit(|list| list.insert(at, [value as u64])).expect("it is within");
    }
    let spots = positions(ELEMENTS as usize + ADDS as usize).split_off(ELEMENTS as usize);
    print_both("stored-list-1M", list.state(), |list, n| list.insert(spots[n], [n as u64]));
    drop(list);

    let mut text = Replica::<Text<u64>>::new(Minter::once(1));
    for at in positions(ELEMENTS as usize / 10) {
        let _ = text.edit(|text| text.insert(at * 10, "ten chars.")).expect("it is within");
    }
    print_both("stored-text-1M", text.state(), |text, n| text.insert(spots[n], "a"));
    drop(text);

    let mut board = Replica::<ZSet<u64, u64>>::new(Minter::once(1));
    for n in 0..ELEMENTS {
        let _ = board.edit(|board| board.set(element(n), (element(n) >> 33) as i64)).expect("there is a dot");
    }
    let score = |n: usize| (element(n as u64 * 7) >> 33) as i64;
    print_both("stored-score-1M", board.state(), |board, n| board.set(element(n as u64), score(n)));
}

/// One value more in a stored map of 1,000,000.
pub(crate) fn stored_map() {
    let mut map = Replica::<AwMap<u64, MvRegister<u64, u64>>>::new(Minter::once(1));
    for n in 0..ELEMENTS {
        let _ = map.edit(|map| map.at(element(n)).write(n)).expect("there is a dot");
    }
    print_both("stored-map-1M", map.state(), |map, n| map.at(element(n as u64 * 7)).write(7u64));
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
