//! What every engine promises (see `server::engine`), tried on each of them.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod flips;
mod store;
mod tears;

use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use quickcheck::{Gen, QuickCheck};
use server::engine::{EVERYTHING, Engine, EngineKind, KeyRange, Sync, mend, open};

use store::{Batch, KINDS, ON_DISK, Records, all, all_back, apply, opened, write};

fn key(n: u8) -> Vec<u8> {
    // Keys of several lengths, prefixes of each other among them.
    vec![b'k', n / 16, n % 16][..1 + usize::from(n % 3)].to_vec()
}

#[test]
fn batches_read_back_as_a_map_would_also_after_opening_again() {
    fn holds(batches: Vec<Vec<(u8, Option<u8>)>>, from: u8, upto: u8) -> bool {
        let (from, upto) = (key(from).min(key(upto)), key(from).max(key(upto)));
        let range: KeyRange<'_> = (Bound::Included(&from), Bound::Excluded(&upto));
        KINDS.into_iter().all(|kind| {
            let folder = tempfile::tempdir().unwrap();
            let mut model = Records::new();
            let engine = opened(kind, folder.path());
            for (n, batch) in batches.iter().enumerate() {
                let value = |value: &u8| vec![*value; usize::from(*value) * 20];
                let batch: Batch = batch.iter().map(|(at, edit)| (key(*at), edit.as_ref().map(value))).collect();
                write(engine.as_ref(), &batch, if n % 3 == 0 { Sync::Disk } else { Sync::Later });
                apply(&mut model, &batch);
            }
            let within: Records =
                model.range::<[u8], _>(range).map(|(key, value)| (key.clone(), value.clone())).collect();
            let reads = |engine: &dyn Engine| {
                all(engine, EVERYTHING).unwrap() == model
                    && all(engine, range).unwrap() == within
                    && all_back(engine, range).unwrap() == within
                    && (0..=u8::MAX).all(|n| engine.get(&key(n)).unwrap() == model.get(&key(n)).cloned())
            };
            let before = reads(engine.as_ref());
            engine.sync().unwrap();
            drop(engine);
            before && (kind == EngineKind::Memory || reads(opened(kind, folder.path()).as_ref()))
        })
    }
    QuickCheck::new().rng(Gen::new(12)).tests(25).quickcheck(holds as fn(_, _, _) -> bool);
}

#[test]
fn a_visit_ends_where_it_is_told_to() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let engine = opened(kind, folder.path());
        write(engine.as_ref(), &(0..9).map(|n| (vec![n], Some(vec![n]))).collect(), Sync::Disk);
        let mut seen = 0;
        engine
            .scan((Bound::Included(&[3]), Bound::Unbounded), &mut |_, _| {
                seen += 1;
                if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        assert_eq!(seen, 2, "{kind:?}");
    }
}

/// Each writer writes its own keys again and again; what it has written when somebody begins to look, that one sees.
#[test]
fn several_threads_see_all_that_was_written_before_they_looked() {
    const WRITERS: usize = 3;
    const TURNS: u8 = 100;
    const PATIENCE: Duration = Duration::from_secs(20);
    let ends = |writer: usize| [vec![writer as u8, 0], vec![writer as u8, u8::MAX]];
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let engine = opened(kind, folder.path());
        let engine = engine.as_ref();
        let (done, looks) = ([const { AtomicU8::new(0) }; WRITERS], AtomicU64::new(0));
        std::thread::scope(|threads| {
            let (done, looks) = (&done, &looks);
            for (writer, done) in done.iter().enumerate() {
                threads.spawn(move || {
                    for turn in 1..=TURNS {
                        // Half-way, so that somebody looks before all is written.
                        let began = Instant::now();
                        while turn == TURNS / 2 && looks.load(SeqCst) == 0 && began.elapsed() < PATIENCE {
                            std::thread::yield_now();
                        }
                        let mut batch: Batch = ends(writer).map(|key| (key, Some(vec![turn; 64]))).into();
                        batch.insert(vec![writer as u8, turn, 1], Some(vec![turn]));
                        write(engine, &batch, Sync::Later);
                        let read = ends(writer).map(|key| engine.get(&key).unwrap());
                        assert_eq!(read, [Some(vec![turn; 64]), Some(vec![turn; 64])], "{kind:?}");
                        done.store(turn, SeqCst);
                    }
                });
            }
            for scan in [all, all_back] {
                threads.spawn(move || {
                    loop {
                        let before = done.each_ref().map(|done| done.load(SeqCst));
                        let seen = scan(engine, EVERYTHING).unwrap();
                        for (writer, turn) in before.into_iter().enumerate().filter(|(_, turn)| *turn > 0) {
                            for key in ends(writer) {
                                let value = &seen[&key];
                                assert!(
                                    value[0] >= turn && *value == vec![value[0]; 64],
                                    "{kind:?}: {value:?}, {turn}"
                                );
                            }
                            assert!((1..=turn).all(|turn| seen.contains_key(&[writer as u8, turn, 1][..])), "{kind:?}");
                        }
                        if before == [TURNS; WRITERS] {
                            break;
                        }
                        looks.fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert!(looks.into_inner() > 0, "{kind:?}: nobody looked meanwhile");
    }
}

#[test]
fn a_directory_of_one_engine_is_refused_to_another() {
    for (kind, other) in [(ON_DISK[0], ON_DISK[1]), (ON_DISK[1], ON_DISK[0])] {
        let folder = tempfile::tempdir().unwrap();
        drop(opened(kind, folder.path()));
        let refused = open(other, folder.path()).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(refused.contains("engine"), "{kind:?}: {refused}");
    }
}

#[test]
fn memory_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let engine = opened(EngineKind::Memory, folder.path());
    write(engine.as_ref(), &[(b"k".to_vec(), Some(b"v".to_vec()))].into(), Sync::Disk);
    assert_eq!((engine.count(), engine.wants_syncs()), (Some(1), false));
    drop(engine);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(opened(EngineKind::Memory, folder.path()).get(b"k").unwrap(), None);
    let mended = mend(EngineKind::Memory, folder.path(), ".damaged", None, &|_, _| Ok(()));
    assert!(mended.is_err_and(|why| why.to_string().contains("gone with the process")));
}

/// What the disk may look like after the power went: a copy taken while nothing was closed, its last file cut anywhere.
/// Each batch writes one value under two keys, so that half of one would show.
#[test]
fn a_torn_tail_leaves_a_whole_number_of_batches_or_an_error() {
    for kind in ON_DISK {
        let folder = tempfile::tempdir().unwrap();
        let engine = opened(kind, folder.path());
        for n in 0..40_u8 {
            let value = Some(vec![n; 300]);
            write(engine.as_ref(), &[(b"x".to_vec(), value.clone()), (b"y".to_vec(), value)].into(), Sync::Disk);
        }
        let (mut opened_again, mut refused) = (0, 0);
        for cut in (0..60).map(|n| n * 331) {
            let copy = tempfile::tempdir().unwrap();
            copy_cutting(folder.path(), copy.path(), cut).unwrap();
            // Some engines panic over what they cannot make sense of: that is no silent loss either.
            let outcome = std::panic::catch_unwind(|| {
                let engine = open(kind, copy.path()).map_err(|why| why.to_string())?;
                let both = (
                    engine.get(b"x").map_err(|why| why.to_string())?,
                    engine.get(b"y").map_err(|why| why.to_string())?,
                );
                Ok::<_, String>(both)
            });
            match outcome {
                Ok(Ok((x, y))) => {
                    assert_eq!(x, y, "{kind:?}: half a batch, cut by {cut}");
                    opened_again += 1;
                }
                Ok(Err(_)) | Err(_) => refused += 1,
            }
        }
        assert!(opened_again > 0, "{kind:?} never opened a torn copy, {refused} were refused");
    }
}

/// Copies a folder; the journal loses so many bytes at its end.
fn copy_cutting(from: &Path, to: &Path, cut: u64) -> std::io::Result<()> {
    let (mut journal, mut folders) = (None, vec![from.to_owned()]);
    while let Some(folder) = folders.pop() {
        let target = to.join(folder.strip_prefix(from).unwrap_or(&folder));
        std::fs::create_dir_all(&target)?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            if path.is_dir() {
                folders.push(path);
            } else {
                let target = target.join(name);
                std::fs::copy(&path, &target)?;
                let is_journal = target.extension().is_some_and(|end| end == "jnl" || end == "redb");
                journal = journal.max(Some(target).filter(|_| is_journal));
            }
        }
    }
    let Some(journal) = journal else { return Err(std::io::ErrorKind::NotFound.into()) };
    let journal = std::fs::File::options().write(true).open(journal)?;
    journal.set_len(journal.metadata()?.len().saturating_sub(cut))
}
