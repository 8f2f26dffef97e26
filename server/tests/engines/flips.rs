//! One bit of the files changes: nobody may get another value for it, or none, without a word.
//!
//! Every outcome is followed to its end: what is refused is mended, and what cannot be read is noticed at the next start
//! and mended then; what the mended store lacks must be named.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use server::engine::{EVERYTHING, Engine, EngineKind, mend, open};
use server::error::Error;

use crate::store::{Records, all, all_back, build, copy, files, folder_in_memory};

/// So many flips of each engine, unless `DOTTED_FLIPS` says otherwise.
const FLIPS: u64 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Unaffected,
    Refused,
    ReadError,
    Panicked,
}

fn flips() -> u64 {
    std::env::var("DOTTED_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(FLIPS)
}

/// Does the engine have just this? An error is an answer, too.
fn compare(engine: &dyn Engine, records: &Records) -> Result<bool, String> {
    let mut is_same = true;
    for n in 0..600 {
        let key = format!("K{n:04}").into_bytes();
        is_same &= engine.get(&key).map_err(|why| why.to_string())? == records.get(&key).cloned();
    }
    is_same &= all(engine, EVERYTHING).map_err(|why| why.to_string())? == *records;
    is_same &= all_back(engine, EVERYTHING).map_err(|why| why.to_string())? == *records;
    Ok(is_same)
}

fn look(kind: EngineKind, folder: &Path, records: &Records) -> Outcome {
    let looked = catch_unwind(AssertUnwindSafe(|| match open(kind, folder) {
        Ok(engine) => match compare(engine.as_ref(), records) {
            Ok(is_same) => {
                assert!(is_same, "SILENT");
                Outcome::Unaffected
            }
            Err(_) => Outcome::ReadError,
        },
        Err(Error::DamagedData { .. } | Error::OtherVersion(_)) => Outcome::Refused,
        Err(error) => panic!("refused with {error}"),
    }));
    match looked {
        Ok(outcome) => outcome,
        Err(panic) if panic.downcast_ref::<&str>().is_some_and(|why| why.contains("SILENT")) => panic!("silent"),
        Err(_) => Outcome::Panicked,
    }
}

/// Mends, and says how much was lost; nothing if it cannot be mended.
fn mended(kind: EngineKind, folder: &Path, records: &Records) -> Option<usize> {
    let mended = mend(kind, folder, ".damaged", Some(&|_| true), &|_, _| Ok(())).ok()?;
    let left = all(open(kind, folder).expect("what was mended opens").as_ref(), EVERYTHING).expect("and reads");
    let differ = records.iter().filter(|(key, value)| left.get(*key) != Some(value)).count();
    let more = left.keys().filter(|key| !records.contains_key(*key)).count();
    assert!(differ + more == 0 || !mended.loss.is_nothing(), "SILENT: {differ} lost and {more} back, and not named");
    Some(differ + more)
}

fn try_flips(kind: EngineKind) {
    let folder = folder_in_memory();
    let records = build(kind, folder.path());
    let files = files(folder.path());
    let sizes: Vec<u64> = files.iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    let mut outcomes: BTreeMap<(Outcome, &str), u64> = BTreeMap::new();
    let (mut lost, mut whole, mut notes) = (Vec::new(), 0, Vec::new());
    let mut random = fastrand::Rng::with_seed(7);
    for flip in 0..flips() {
        let copied = folder_in_memory();
        copy(folder.path(), copied.path());
        // Of every second, the file is drawn first, so that small files are hit as well, and a byte of what is used of it.
        let (file, at) = if flip % 2 == 0 {
            let mut at = random.u64(..sizes.iter().sum::<u64>());
            let mut is_there = |size: &u64| {
                at < *size || {
                    at -= size;
                    false
                }
            };
            let file = sizes.iter().position(&mut is_there).unwrap();
            (file, at)
        } else {
            let file = std::iter::repeat_with(|| random.usize(..files.len())).find(|file| sizes[*file] > 0).unwrap();
            let bytes = fs::read(&files[file]).unwrap();
            let at = std::iter::repeat_with(|| random.usize(..bytes.len())).find(|at| bytes[*at] != 0).unwrap();
            (file, at as u64)
        };
        let path = copied.path().join(files[file].strip_prefix(folder.path()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let bit = random.u8(..8);
        bytes[at as usize] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        let what = format!("{kind:?}, flip {flip}: bit {bit} of byte {at} of {}", files[file].display());
        let told = catch_unwind(AssertUnwindSafe(|| {
            let outcome = look(kind, copied.path(), &records);
            if outcome == Outcome::Unaffected {
                return (outcome, "");
            }
            if outcome == Outcome::ReadError {
                assert_ne!(look(kind, copied.path(), &records), Outcome::ReadError, "it is noticed at the next start");
            }
            match catch_unwind(AssertUnwindSafe(|| mended(kind, copied.path(), &records))) {
                Ok(Some(0)) => {
                    whole += 1;
                    (outcome, "nothing lost")
                }
                Ok(Some(some)) => {
                    lost.push(some);
                    (outcome, "loss named")
                }
                Ok(None) => (outcome, "not mended"),
                Err(why) if why.downcast_ref::<String>().is_some_and(|why| why.contains("SILENT")) => panic!("{why:?}"),
                Err(_) => (outcome, "panicked while mended"),
            }
        }));
        let told = told.unwrap_or_else(|_| panic!("silent: {what}"));
        if told.0 == Outcome::Panicked || matches!(told.1, "not mended" | "panicked while mended") {
            notes.push(format!("{told:?} {what}"));
        }
        *outcomes.entry(told).or_default() += 1;
    }
    println!("{}", notes.join("\n"));
    lost.sort_unstable();
    println!(
        "{kind:?}, {} flips, {} records: {outcomes:?}; mended {}, {whole} of them without a loss, the others lost {:?} in the middle, {:?} at most",
        flips(),
        records.len(),
        whole + lost.len(),
        lost.get(lost.len() / 2),
        lost.last(),
    );
}

#[test]
fn no_flipped_bit_changes_or_hides_a_record_of_fjall_without_a_word() {
    try_flips(EngineKind::Fjall);
}

#[test]
fn no_flipped_bit_changes_or_hides_a_record_of_redb_without_a_word() {
    try_flips(EngineKind::Redb);
}
