//! What the disk may look like after the power went while a batch was written: its last pages are there, or not, or some of them.

use std::fs;

use server::engine::{EVERYTHING, EngineKind, Sync, open};
use server::error::Error;

use crate::store::{Batch, ON_DISK, Records, all, apply, copy, files, folder_in_memory, noise, opened, write};

const PAGE: usize = 4096;

/// Batches with values of several pages. Then one more is written, behind the back of the ledger: nobody was promised it.
#[test]
fn a_torn_unacknowledged_tail_opens_without_it_whichever_of_its_pages_are_missing() {
    for (value_bytes, seed) in [(100, 1), (64 * 1024, 2)] {
        let folder = folder_in_memory();
        let engine = opened(EngineKind::Fjall, folder.path());
        let mut records = Records::new();
        let batch = |n: u64| -> Batch {
            let value = |k: u64| Some(noise(seed * 1_000 + n * 2 + k, value_bytes));
            [(b"x".to_vec(), value(0)), (format!("y{n}").into_bytes(), value(1))].into()
        };
        for n in 0..5 {
            write(engine.as_ref(), &batch(n), Sync::Disk);
            apply(&mut records, &batch(n));
        }
        let ledger = fs::read(folder.path().join("records/ledger")).unwrap();
        let journal = folder.path().join("records/0.jnl");
        let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let before = used(&fs::read(&journal).unwrap());
        write(engine.as_ref(), &batch(5), Sync::Disk);
        drop(engine);
        let whole = fs::read(&journal).unwrap();
        let after = used(&whole);
        let mut with_last = records.clone();
        apply(&mut with_last, &batch(5));

        let (mut opened_without, mut opened_with) = (0, 0);
        let pages = before / PAGE..after.div_ceil(PAGE);
        for page in pages {
            for only in [true, false] {
                let copied = folder_in_memory();
                copy(folder.path(), copied.path());
                fs::write(copied.path().join("records/ledger"), &ledger).unwrap();
                let mut bytes = whole[..after].to_vec();
                let end = if only { (page + 1) * PAGE } else { after };
                let gone = (page * PAGE).max(before)..end.min(after);
                bytes[gone].fill(0);
                let is_any_left = used(&bytes) > before;
                fs::write(copied.path().join("records/0.jnl"), bytes).unwrap();
                let engine = opened(EngineKind::Fjall, copied.path());
                let left = all(engine.as_ref(), EVERYTHING).unwrap();
                match left {
                    left if left == records => opened_without += 1,
                    left if left == with_last => opened_with += 1,
                    left => panic!("neither: {} records of {value_bytes} bytes, page {page}", left.len()),
                }
                // It is written to again, and opens again.
                write(engine.as_ref(), &batch(6), Sync::Disk);
                drop(engine);
                let mut records = records.clone();
                apply(&mut records, &batch(6));
                let again = all(opened(EngineKind::Fjall, copied.path()).as_ref(), EVERYTHING).unwrap();
                assert_eq!(again, records);
                let is_kept = files(copied.path()).iter().any(|file| file.to_string_lossy().contains("torn-"));
                assert_eq!(is_kept, is_any_left, "what is cut off is kept");
            }
        }
        assert!(opened_without > 0 && opened_with == 0, "{opened_without} without, {opened_with} with");
    }
}

/// The same tail, once the batch was acknowledged, is damage.
#[test]
fn an_acknowledged_batch_that_is_torn_is_missed() {
    for kind in ON_DISK {
        let folder = folder_in_memory();
        let engine = opened(kind, folder.path());
        for n in 0..5_u8 {
            write(engine.as_ref(), &[(vec![b'k', n], Some(noise(n.into(), 64 * 1024)))].into(), Sync::Disk);
        }
        drop(engine);
        let file = files(folder.path())
            .into_iter()
            .find(|file| file.extension().is_some_and(|ending| ending == "jnl" || ending == "redb"));
        let file = file.expect("a journal, or the file");
        let mut bytes = fs::read(&file).unwrap();
        let inside = noise(4, 64 * 1024)[32_000..32_064].to_vec();
        let at = bytes.windows(64).rposition(|window| window == inside).expect("the value");
        bytes[at..at + PAGE].fill(0);
        fs::write(&file, bytes).unwrap();
        assert!(matches!(open(kind, folder.path()), Err(Error::DamagedData { .. })), "{kind:?}");
    }
}

/// Whole files of the store as they were earlier, or gone.
#[test]
fn a_store_that_has_lost_what_it_wrote_last_is_not_opened_as_if_it_had_not() {
    for kind in ON_DISK {
        let (folder, earlier) = (folder_in_memory(), folder_in_memory());
        for n in 0..3_u8 {
            let engine = opened(kind, folder.path());
            write(engine.as_ref(), &[(vec![b'k', n], Some(vec![n; 100]))].into(), Sync::Disk);
            drop(engine);
            if n == 0 {
                copy(folder.path(), earlier.path());
            }
        }
        let ledger = files(folder.path()).into_iter().find(|file| file.ends_with("ledger")).expect("a ledger");
        let name = ledger.strip_prefix(folder.path()).unwrap();
        fs::copy(&ledger, earlier.path().join(name)).unwrap();
        let why = open(kind, earlier.path()).err().expect("refused").to_string();
        assert!(why.contains("is damaged") && why.contains("was written"), "{kind:?}: {why}");
    }
}

/// The story: a node was killed between writing a batch and noting so, started, and ended before it wrote anything. The ledger then knew
/// of the last batch and not where it ended: a healthy store was taken for damaged.
#[test]
fn a_start_that_ends_before_it_writes_leaves_a_store_whose_ledger_was_one_behind_as_it_was() {
    for kind in ON_DISK {
        let folder = tempfile::tempdir().unwrap();
        let engine = opened(kind, folder.path());
        let mut records = Records::new();
        let mut behind = Vec::new();
        let ledger = files(folder.path()).into_iter().find(|file| file.ends_with("ledger")).unwrap();
        for n in 0..4_u8 {
            behind = std::fs::read(&ledger).unwrap();
            let batch: Batch = [(vec![b'k', n], Some(vec![n; 100]))].into_iter().collect();
            write(engine.as_ref(), &batch, Sync::Disk);
            apply(&mut records, &batch);
        }
        drop(engine);
        std::fs::write(&ledger, behind).unwrap();
        for start in 0..3 {
            let engine = open(kind, folder.path()).unwrap_or_else(|why| panic!("{kind:?}, start {start}: {why}"));
            assert_eq!(all(engine.as_ref(), EVERYTHING).unwrap(), records);
        }
    }
}
