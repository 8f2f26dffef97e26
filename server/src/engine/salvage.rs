//! What can be read of damaged records, and what cannot.
//!
//! A record that does not match its checksum is left out. Where an engine cannot go on at all (a block of records is gone), the
//! walk goes on behind: the next key from which it can is found by halving, between places that are read by the trial.

use std::fmt;
use std::ops::{Bound, ControlFlow};

use super::note::NOTE;
use super::{Engine, EngineError, envelope};

/// So many keys and ranges are named.
const NAMED: usize = 20;
/// Keys differ within so many bytes behind what they share with the last one that was read.
const STEP_BYTES: usize = 16;

/// What is lost, as far as it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Records that were read and kept.
    pub kept: u64,
    /// Records that do not match their checksums.
    pub records: u64,
    /// Some of the keys whose records, or edits of them, are lost.
    pub keys: Vec<Vec<u8>>,
    /// Ranges of keys that cannot be read, without their ends.
    pub ranges: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is lost beside, in words.
    pub other: Vec<String>,
}

impl Loss {
    /// Is nothing lost?
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.records == 0 && self.ranges.is_empty() && self.other.is_empty()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut what = self.other.clone();
        if self.records > 0 {
            what.push(format!("{} records that do not match their checksums", self.records));
        }
        for (from, upto) in self.ranges.iter().take(NAMED) {
            what.push(format!("the records between {} and {}", from.escape_ascii(), upto.escape_ascii()));
        }
        if self.ranges.len() > NAMED {
            what.push(format!("{} ranges more", self.ranges.len() - NAMED));
        }
        if what.is_empty() { f.write_str("nothing") } else { f.write_str(&what.join("; ")) }
    }
}

/// Hands over every record that is whole, and notes what is not.
///
/// # Errors
/// Those of `keep`.
pub(super) fn salvage(
    from: &dyn Engine,
    loss: &mut Loss,
    mut keep: impl FnMut(&[u8], &[u8]) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let mut at = Bound::Unbounded;
    let (mut last, mut seen) = (Vec::new(), 0);
    loop {
        let mut failed = Ok(());
        let scanned = from.scan((at.as_ref().map(Vec::as_slice), Bound::Unbounded), &mut |key, record| {
            last.clear();
            last.extend_from_slice(key);
            seen += 1;
            if key == NOTE {
                return ControlFlow::Continue(());
            }
            match envelope::unseal(key, record) {
                Some(value) => {
                    loss.kept += 1;
                    failed = keep(key, value);
                }
                None => {
                    loss.records += 1;
                    if loss.keys.len() < NAMED {
                        loss.keys.push(key.to_vec());
                    }
                }
            }
            if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failed?;
        if scanned.is_ok() {
            break;
        }
        let next = next_readable(from, &last);
        loss.ranges.push((last.clone(), next.clone().unwrap_or_else(|| vec![0xff])));
        let Some(next) = next else { break };
        last.clone_from(&next);
        at = Bound::Included(next);
    }
    let gone = from.count().unwrap_or(0).saturating_sub(seen);
    if gone > 0 {
        loss.other.push(format!("{gone} records that stood in damaged pages"));
    }
    Ok(())
}

/// A key behind this one from which records can be read again: the nearest there is, as near as halving comes; none if there is
/// nothing more.
fn next_readable(from: &dyn Engine, last: &[u8]) -> Option<Vec<u8>> {
    let is_readable = |key: &[u8]| {
        let range = (Bound::Included(key), Bound::Unbounded);
        from.scan(range, &mut |_, _| ControlFlow::Break(())).is_ok()
    };
    // Farther and farther: first below what is next after the whole key, then after ever shorter parts of it.
    let (mut unreadable, mut readable) = (last.to_vec(), None);
    for len in (0..=last.len()).rev() {
        for power in 0..8 {
            let mut key = last.get(..len).unwrap_or_default().to_vec();
            match key.last_mut() {
                Some(byte) => match byte.checked_add(1 << power) {
                    Some(next) => *byte = next,
                    None => break,
                },
                None => key.push(0xff),
            }
            if is_readable(&key) {
                readable = Some(key);
                break;
            }
            unreadable = key;
        }
        if readable.is_some() {
            break;
        }
    }
    let mut readable = readable?;
    let shared = unreadable.iter().zip(&readable).take_while(|(one, other)| one == other).count();
    for _ in 0..STEP_BYTES * 8 {
        let between = halfway(&unreadable, &readable, shared + STEP_BYTES);
        if between <= unreadable || between >= readable {
            break;
        }
        if is_readable(&between) { readable = between } else { unreadable = between }
    }
    Some(readable)
}

/// The middle of two keys, taken for fractions of so many bytes.
fn halfway(low: &[u8], high: &[u8], len: usize) -> Vec<u8> {
    let byte = |key: &[u8], at: usize| u32::from(key.get(at).copied().unwrap_or(0));
    let mut carry = 0;
    let mut sum: Vec<u32> = (0..len)
        .rev()
        .map(|at| {
            let digit = byte(low, at) + byte(high, at) + carry;
            carry = digit >> 8;
            digit & 0xff
        })
        .collect();
    sum.push(carry);
    let mut rest = 0;
    let halves = sum.iter().rev().map(|digit| {
        let digit = rest << 8 | digit;
        rest = digit & 1;
        (digit >> 1) as u8
    });
    // The first is what was carried, which half of it is not.
    halves.skip(1).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::RangeInclusive;

    use super::super::{Edits, KeyRange, Sync, VisitRecord};
    use super::*;

    /// Cannot read some of its records.
    struct Holed {
        records: BTreeMap<Vec<u8>, Vec<u8>>,
        holes: Vec<RangeInclusive<Vec<u8>>>,
    }

    impl Engine for Holed {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
            Ok(None)
        }

        fn scan(&self, range: KeyRange<'_>, visit: &mut VisitRecord<'_>) -> Result<(), EngineError> {
            for (key, record) in self.records.range::<[u8], _>(range) {
                if self.holes.iter().any(|hole| hole.contains(key)) {
                    return Err(EngineError::Damaged("a hole".to_owned()));
                }
                if visit(key, record).is_break() {
                    break;
                }
            }
            Ok(())
        }

        fn scan_back(&self, _: KeyRange<'_>, _: &mut VisitRecord<'_>) -> Result<(), EngineError> {
            Ok(())
        }

        fn write(&self, _: &mut Edits<'_>, _: Sync) -> Result<(), EngineError> {
            Ok(())
        }

        fn sync(&self) -> Result<(), EngineError> {
            Ok(())
        }

        fn wants_syncs(&self) -> bool {
            false
        }
    }

    #[test]
    fn everything_outside_the_holes_is_kept_and_the_holes_are_named() {
        let key = |n: u32| [b"K\0".as_slice(), &n.wrapping_mul(0x9e37_79b9).to_be_bytes(), b"user"].concat();
        let mut records = BTreeMap::new();
        for n in 0..5_000 {
            let mut record = Vec::new();
            envelope::seal(&key(n), &n.to_be_bytes(), &mut record);
            records.insert(key(n), record);
        }
        let keys: Vec<_> = records.keys().cloned().collect();
        records.insert(keys[7].clone(), b"something else".to_vec());
        let hole = |from: usize, upto: usize| keys[from].clone()..=keys[upto].clone();
        let holed = Holed { records, holes: vec![hole(0, 3), hole(100, 130), hole(140, 140), hole(4_990, 4_999)] };
        let (mut loss, mut kept) = (Loss::default(), Vec::new());
        salvage(&holed, &mut loss, |key, _| {
            kept.push(key.to_vec());
            Ok(())
        })
        .unwrap();
        let lost = 4 + 1 + 31 + 1 + 10;
        assert_eq!((kept.len(), loss.kept, loss.records, loss.ranges.len()), (5_000 - lost, 5_000 - lost as u64, 1, 4));
        assert_eq!(loss.keys, [keys[7].clone()]);
        assert!(loss.to_string().contains("4 ranges") || loss.to_string().matches("the records between").count() == 4);
    }

    #[test]
    fn the_middle_is_between() {
        assert_eq!(halfway(&[1], &[2], 2), [1, 128]);
        assert_eq!(halfway(&[], &[255], 1), [127]);
        assert_eq!(halfway(&[255, 255], &[255, 255], 2), [255, 255]);
        assert_eq!(halfway(&[0, 255], &[1, 1], 3), [1, 0, 0]);
    }
}
