//! A small store with everything an engine makes, and copies of it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use server::engine::{Engine, EngineError, EngineKind, KeyRange, Sync, open};

pub(crate) const KINDS: [EngineKind; 3] = [EngineKind::Fjall, EngineKind::Redb, EngineKind::Memory];
/// Those that have something to tear, and to flip, and after the end of a process.
pub(crate) const ON_DISK: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Redb];

pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;
pub(crate) type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(crate) fn opened(kind: EngineKind, path: &Path) -> Arc<dyn Engine> {
    open(kind, path).expect("it opens")
}

pub(crate) fn write(engine: &dyn Engine, batch: &Batch, sync: Sync) {
    let mut edits = batch.iter().map(|(key, edit)| (key.as_slice(), edit.as_deref()));
    engine.write(&mut edits, sync).expect("it writes");
}

pub(crate) fn apply(records: &mut Records, batch: &Batch) {
    for (key, edit) in batch {
        match edit {
            Some(value) => drop(records.insert(key.clone(), value.clone())),
            None => drop(records.remove(key)),
        }
    }
}

pub(crate) fn all(engine: &dyn Engine, range: KeyRange<'_>) -> Result<Records, EngineError> {
    let mut records = Records::new();
    engine.scan(range, &mut |key, value| {
        assert!(records.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "ascending");
        records.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

pub(crate) fn all_back(engine: &dyn Engine, range: KeyRange<'_>) -> Result<Records, EngineError> {
    let mut records = Records::new();
    engine.scan_back(range, &mut |key, value| {
        assert!(records.first_key_value().is_none_or(|(last, _)| last.as_slice() > key), "descending");
        records.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// Bytes no compression makes shorter.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

/// So many keys in many batches: short and long values, removals, values written again; of fjall half in tables, half in
/// the journal.
pub(crate) fn build(kind: EngineKind, folder: &Path) -> Records {
    let mut records = Records::new();
    let mut random = fastrand::Rng::with_seed(3);
    for half in 0..2 {
        let engine = opened(kind, folder);
        for batch in 0..40_u64 {
            let mut edits = Batch::new();
            for _ in 0..random.usize(1..12) {
                let key = format!("K{:04}", random.u32(..600)).into_bytes();
                let value = match random.u32(..10) {
                    0 => None,
                    1 => Some(noise(batch, random.usize(3_000..6_000))),
                    _ => Some(noise(batch, random.usize(0..120))),
                };
                edits.insert(key, value);
            }
            write(engine.as_ref(), &edits, if batch % 5 == 4 { Sync::Later } else { Sync::Disk });
            apply(&mut records, &edits);
        }
        engine.sync().unwrap();
        drop(engine);
        if kind == EngineKind::Fjall && half == 0 {
            let database = fjall::Database::builder(folder.join("records")).open().unwrap();
            let keyspace = database.keyspace("records", fjall::KeyspaceCreateOptions::default).unwrap();
            keyspace.rotate_memtable_and_wait().unwrap();
        }
    }
    // Opened once more, it gives back what it had allocated ahead.
    drop(opened(kind, folder));
    records
}

/// The files of a folder and of those in it.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    // Empty folders count as well.
    let tables = to.join("records/keyspaces/0");
    if tables.exists() {
        fs::create_dir_all(tables.join("tables")).unwrap();
    }
}

/// A folder where a sync costs nothing, if there is one.
pub(crate) fn folder_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
