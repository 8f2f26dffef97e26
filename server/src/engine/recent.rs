//! What soon changes again or goes: the one record of each partition, and its log of events that are not stable yet.
//!
//! A log-structured tree keeps every version of a record for a while, and each costs a walk through its memory. Of a write in a
//! cluster three of four edits are of records that are changed, or removed, within seconds: the tree would never need to see them.
//! So those of one batch go into it together, as one record, and are kept in memory beside it:
//!
//! ```text
//! 'G' number:8   -> version:1 crc32(number oldest edits):4 oldest:8 edits     numbers big-endian
//! edit           =  key_len:4 value_len:4 key value              little-endian; a length of 0xffffffff removes the key
//! ```
//! When these groups are too many the oldest go, one by one: what is still the last word on a key is put under its own name in
//! the tree, in the same batch. What was put and removed meanwhile leaves no trace there. At an opening the groups are read again; each
//! says which was the oldest beside it, so that one that has gone is not believed if damage brings it back.
//!
//! Invariant: the last word on a key is in a group, or else in the tree under its own name.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{self, Excluded, Included, Unbounded};

use smallvec::SmallVec;

use super::{EngineError, KeyRange};

/// Of so many bytes of groups the oldest goes.
const GROUPS_BYTES: usize = 16 * 1024 * 1024;
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 8;
/// The checksum covers what follows it.
const SUMMED_FROM: usize = 1 + 4;
/// The length of a value that is none.
const REMOVED: u32 = u32::MAX;

/// Under which groups stand.
pub(super) const GROUPS: &[u8] = b"G";

/// Is this the key of a group?
pub(super) fn is_group(key: &[u8]) -> bool {
    key.starts_with(GROUPS)
}

/// Does a record of this key soon change again, or go?
pub(super) fn is_recent(key: &[u8]) -> bool {
    matches!(key.first(), Some(b'L' | b'M')) && key.len() >= SHELF_BYTES
}

/// Could there be such a key in this range?
fn has_recent((from, upto): KeyRange<'_>) -> bool {
    let begins = match from {
        Included(key) | Excluded(key) => key < b"N".as_slice(),
        Unbounded => true,
    };
    let ends = match upto {
        Included(key) => key >= b"L".as_slice(),
        Excluded(key) => key > b"L".as_slice(),
        Unbounded => true,
    };
    begins && ends
}

/// A record's key, and what it is now; nothing if it was removed.
pub(super) type Word = (Vec<u8>, Option<Vec<u8>>);

/// The beginning of a key: table and partition. What they have in common is compared once, not with every key.
type Shelf = [u8; SHELF_BYTES];
const SHELF_BYTES: usize = 3;
/// The rest of it; that of an event has just this length.
type Name = SmallVec<[u8; 28]>;

/// What the tree has under a key's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    /// Nothing: the key was put while it was nowhere.
    Nothing,
    /// An older version, perhaps.
    Perhaps,
}

/// Where the last word on a key stands.
#[derive(Clone, Copy, Debug)]
struct Last {
    group: u64,
    /// Where its value begins in the group, and how long it is.
    at: u32,
    len: u32,
    below: Below,
}

impl Last {
    /// Nobody has heard of it: it was put and removed.
    fn is_nothing(&self) -> bool {
        self.len == REMOVED && self.below == Below::Nothing
    }
}

/// The last words on recent records.
#[derive(Debug)]
pub(super) struct Recent {
    limit_bytes: usize,
    last: BTreeMap<Shelf, BTreeMap<Name, Last>>,
    /// The groups there are, in the order of their numbers.
    groups: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    next: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Self::within_bytes(GROUPS_BYTES)
    }
}

impl Recent {
    fn within_bytes(limit_bytes: usize) -> Self {
        Self { limit_bytes, last: BTreeMap::new(), groups: VecDeque::new(), bytes: 0, next: 0 }
    }

    /// Takes one batch's edits, and gives the record of the tree that keeps them.
    pub(super) fn take(&mut self, edits: &[(&[u8], Option<&[u8]>)]) -> (Vec<u8>, &[u8]) {
        let number = self.next;
        let oldest = self.groups.front().map_or(number, |(oldest, _)| *oldest);
        self.note(number, encode(number, oldest, edits), Below::Nothing);
        (group_key(number), self.groups.back().map(|(_, group)| group.as_slice()).unwrap_or_default())
    }

    /// Reads a group that the tree has kept. Groups come in their order.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] if it is not what was written.
    pub(super) fn read(&mut self, key: &[u8], group: &[u8]) -> Result<(), EngineError> {
        let damaged = || EngineError::Damaged(format!("the group {} of recent records", key.escape_ascii()));
        let number = key.strip_prefix(GROUPS).and_then(|rest| <[u8; 8]>::try_from(rest).ok()).ok_or_else(damaged)?;
        let number = u64::from_be_bytes(number);
        if number < self.next || !is_whole(number, group) {
            return Err(damaged());
        }
        // Of what was before nobody knows: an event that was logged, forgotten and logged again may be in the tree.
        self.note(number, group.to_vec(), Below::Perhaps);
        Ok(())
    }

    /// `new` is what is below an event that is logged, where nothing is known of it.
    fn note(&mut self, number: u64, group: Vec<u8>, new: Below) {
        for (key, at, len) in edits(&group) {
            let Some((shelf, name)) = key.split_first_chunk() else { continue };
            // An event is logged only while it is in no log; whatever else is here may be in the tree as well.
            let is_new = key.first() == Some(&b'L') && len != REMOVED;
            match self.last.entry(*shelf).or_default().entry(Name::from_slice(name)) {
                Entry::Occupied(mut known) => {
                    let below = known.get().below;
                    known.insert(Last { group: number, at, len, below });
                }
                Entry::Vacant(place) => {
                    let below = if is_new { new } else { Below::Perhaps };
                    place.insert(Last { group: number, at, len, below });
                }
            }
        }
        self.bytes += group.len();
        self.groups.push_back((number, group));
        self.next = number + 1;
    }

    /// What has to be done in the tree so that the groups are not too many; [`Recent::forget`] follows when it is.
    pub(super) fn overdue(&mut self) -> Overdue {
        let (mut overdue, mut bytes) = (Overdue::default(), self.bytes);
        // The newest stays, however large it is.
        for (number, group) in self.groups.iter().take(self.groups.len().saturating_sub(1)) {
            if bytes <= self.limit_bytes {
                break;
            }
            bytes -= group.len();
            overdue.groups += 1;
            overdue.edits.push((group_key(*number), None));
            for (key, ..) in edits(group) {
                let Some((shelf, name)) = key.split_first_chunk::<SHELF_BYTES>() else { continue };
                let Some(names) = self.last.get_mut(shelf) else { continue };
                let Some(last) = names.get(name).copied().filter(|last| last.group == *number) else { continue };
                if last.is_nothing() {
                    names.remove(name);
                } else {
                    overdue.edits.push((key.to_vec(), value(group, &last).map(<[u8]>::to_vec)));
                }
            }
        }
        overdue
    }

    /// What was overdue is done in the tree.
    pub(super) fn forget(&mut self, overdue: &Overdue) {
        let oldest = self.groups.get(overdue.groups).map_or(self.next, |(number, _)| *number);
        for (key, _) in &overdue.edits {
            let Some((shelf, name)) = key.split_first_chunk::<SHELF_BYTES>() else { continue };
            if let Some(names) = self.last.get_mut(shelf)
                && names.get(name).is_some_and(|last| last.group < oldest)
            {
                names.remove(name);
            }
        }
        for (_, group) in self.groups.drain(..overdue.groups) {
            self.bytes -= group.len();
        }
    }

    fn value(&self, last: &Last) -> Option<&[u8]> {
        let place = self.groups.binary_search_by_key(&last.group, |(number, _)| *number).ok()?;
        value(&self.groups.get(place)?.1, last)
    }

    /// The last word on a key, if it is here.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let (shelf, name) = key.split_first_chunk()?;
        let last = self.last.get::<Shelf>(shelf)?.get(name)?;
        Some(self.value(last).map(<[u8]>::to_vec))
    }

    /// The last words on the first keys of a range, so many at most, but for those of which nobody has heard.
    pub(super) fn within(&self, range: KeyRange<'_>, most: usize) -> Vec<Word> {
        let mut words = Vec::new();
        if !has_recent(range) {
            return words;
        }
        let (from, upto) = range;
        for (shelf, names) in self.last.range(first_shelf(from)..) {
            let Some(from) = within_shelf(from, shelf, Ordering::Greater) else { continue };
            let Some(upto) = within_shelf(upto, shelf, Ordering::Less) else { break };
            for (name, last) in names.range::<[u8], _>((from, upto)).filter(|(_, last)| !last.is_nothing()) {
                if words.len() == most {
                    return words;
                }
                words.push(([&shelf[..], name].concat(), self.value(last).map(<[u8]>::to_vec)));
            }
        }
        words
    }
}

/// What the tree has to do for groups to go.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    groups: usize,
    /// Edits of the tree.
    pub(super) edits: Vec<Word>,
}

/// The first shelf that keys from this end of a range on could be on.
fn first_shelf(from: Bound<&[u8]>) -> Shelf {
    let mut shelf = Shelf::default();
    if let Included(key) | Excluded(key) = from {
        shelf.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
    }
    shelf
}

/// The end of a range on one shelf; nothing if the shelf lies beyond it, which is on this side of the range.
fn within_shelf<'k>(end: Bound<&'k [u8]>, shelf: &Shelf, inside: Ordering) -> Option<Bound<&'k [u8]>> {
    let (Included(key) | Excluded(key)) = end else { return Some(Unbounded) };
    match key.strip_prefix(shelf) {
        Some(name) => Some(end.map(|_| name)),
        None => (shelf.as_slice().cmp(key) == inside).then_some(Unbounded),
    }
}

/// The first of the groups that there were when the last of these was written: those before it have gone.
pub(super) fn oldest_of(last: Option<(&[u8], &[u8])>) -> Option<Vec<u8>> {
    let (_, group) = last?;
    let oldest = group.get(SUMMED_FROM..HEAD_BYTES)?;
    Some([GROUPS, oldest].concat())
}

fn group_key(number: u64) -> Vec<u8> {
    [GROUPS, &number.to_be_bytes()].concat()
}

fn checksum(number: u64, edits: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(edits);
    hasher.finalize().to_le_bytes()
}

fn encode(number: u64, oldest: u64, edits: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
    let bytes: usize = edits.iter().map(|(key, value)| 8 + key.len() + value.map_or(0, <[u8]>::len)).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + bytes);
    out.extend([VERSION, 0, 0, 0, 0]);
    out.extend(oldest.to_be_bytes());
    for (key, value) in edits {
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(&value.map_or(REMOVED, |value| value.len() as u32).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.unwrap_or_default());
    }
    let sum = checksum(number, &out[SUMMED_FROM..]);
    out[1..SUMMED_FROM].copy_from_slice(&sum);
    out
}

fn is_whole(number: u64, group: &[u8]) -> bool {
    let Some((head, rest)) = group.split_at_checked(SUMMED_FROM).filter(|_| group.len() >= HEAD_BYTES) else {
        return false;
    };
    let reaches = edits(group).last().map_or(HEAD_BYTES, |(_, at, len)| at as usize + value_len(len));
    head[0] == VERSION && head[1..] == checksum(number, rest) && reaches == group.len()
}

fn value_len(len: u32) -> usize {
    if len == REMOVED { 0 } else { len as usize }
}

/// The value that stands there.
fn value<'g>(group: &'g [u8], last: &Last) -> Option<&'g [u8]> {
    let from = last.at as usize;
    if last.len == REMOVED { None } else { group.get(from..from + last.len as usize) }
}

/// The keys of a group, where the value of each begins, and how long it is.
fn edits(group: &[u8]) -> impl Iterator<Item = (&[u8], u32, u32)> {
    let mut at = HEAD_BYTES;
    std::iter::from_fn(move || {
        let (lengths, rest) = group.get(at..)?.split_first_chunk::<8>()?;
        let [key_len, len] = [&lengths[..4], &lengths[4..]]
            .map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)));
        let (key, rest) = rest.split_at_checked(key_len as usize)?;
        rest.get(..value_len(len))?;
        let value_at = at + 8 + key.len();
        at = value_at + value_len(len);
        Some((key, value_at as u32, len))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use quickcheck::quickcheck;

    use super::super::EVERYTHING;
    use super::{GROUPS, Recent, edits, encode, has_recent, is_group, is_recent, is_whole, value_len};

    const LIMIT_BYTES: usize = 200;

    type Tree = BTreeMap<Vec<u8>, Vec<u8>>;

    fn edit(tree: &mut Tree, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => drop(tree.insert(key.to_vec(), value.to_vec())),
            None => drop(tree.remove(key)),
        }
    }

    /// As an engine does.
    fn write(recent: &mut Recent, tree: &mut Tree, puts: &Tree, removed: &[Vec<u8>]) {
        let mut words: Vec<(&[u8], Option<&[u8]>)> = Vec::new();
        words.extend(puts.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))));
        words.extend(removed.iter().filter(|key| !puts.contains_key(*key)).map(|key| (key.as_slice(), None)));
        let (key, group) = recent.take(&words);
        edit(tree, &key, Some(group));
        let overdue = recent.overdue();
        overdue.edits.iter().for_each(|(key, value)| edit(tree, key, value.as_deref()));
        recent.forget(&overdue);
    }

    fn shown(recent: &Recent, tree: &Tree) -> Tree {
        let mut shown: Tree =
            tree.iter().filter(|(key, _)| !is_group(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        for (key, value) in recent.within(EVERYTHING, usize::MAX) {
            edit(&mut shown, &key, value.as_deref());
        }
        shown
    }

    fn reopened(tree: &Tree) -> Recent {
        let mut recent = Recent::within_bytes(LIMIT_BYTES);
        tree.iter().filter(|(key, _)| is_group(key)).for_each(|(key, group)| recent.read(key, group).unwrap());
        recent
    }

    quickcheck! {
        /// Partitions change again and again; events are logged once, and removed sometime.
        fn what_was_written_is_there_and_what_was_removed_is_not_also_after_an_opening(batches: Vec<(Vec<u8>, Vec<u8>, bool)>) -> bool {
            let (mut recent, mut tree, mut model, mut next) = (Recent::within_bytes(LIMIT_BYTES), Tree::new(), Tree::new(), 0u32);
            batches.into_iter().all(|(partitions, removed, reopens)| {
                let (mut puts, mut gone) = (Tree::new(), Vec::new());
                for partition in partitions {
                    puts.insert(vec![b'M', 0, partition % 8], vec![partition; 9]);
                    puts.insert([b"L".as_slice(), &next.to_be_bytes()].concat(), vec![partition; 5]);
                    next += 1;
                }
                for back in removed {
                    let counter = next.saturating_sub(1 + u32::from(back));
                    gone.push([b"L".as_slice(), &counter.to_be_bytes()].concat());
                    gone.push(vec![b'M', 0, back % 16]);
                }
                gone.sort();
                gone.dedup();
                gone.retain(|key| !puts.contains_key(key));
                write(&mut recent, &mut tree, &puts, &gone);
                gone.iter().for_each(|key| edit(&mut model, key, None));
                model.extend(puts);
                if reopens {
                    recent = reopened(&tree);
                }
                let all_found = model.iter().all(|(key, value)| match recent.get(key) {
                    Some(word) => word.as_ref() == Some(value),
                    None => tree.get(key) == Some(value),
                });
                let groups: Vec<usize> = tree.iter().filter(|(key, _)| is_group(key)).map(|(_, group)| group.len()).collect();
                let newest = groups.last().copied().unwrap_or(0);
                all_found && shown(&recent, &tree) == model && groups.iter().sum::<usize>() <= LIMIT_BYTES.max(newest)
            })
        }

        fn a_range_has_what_is_in_it(keys: Vec<(bool, u8, u8, Vec<u8>)>, from: Vec<u8>, upto: Vec<u8>) -> bool {
            let key = |(log, high, low, name): &(bool, u8, u8, Vec<u8>)| {
                [&[if *log { b'L' } else { b'M' }, high % 2, low % 4], &name[..]].concat()
            };
            let words: Tree = keys.iter().map(|it| (key(it), vec![1])).collect();
            let (mut recent, mut tree) = (Recent::within_bytes(usize::MAX), Tree::new());
            write(&mut recent, &mut tree, &words, &[]);
            let ends = [[b"L".as_slice(), &from].concat(), [b"M".as_slice(), &upto].concat()];
            let is_right = |range| {
                let found: Vec<Vec<u8>> = recent.within(range, usize::MAX).into_iter().map(|(key, _)| key).collect();
                found.iter().eq(words.range::<[u8], _>(range).map(|(key, _)| key))
            };
            is_right((Included(&ends[0]), Excluded(&ends[1])))
                && is_right((Excluded(&ends[0]), Unbounded))
                && is_right((Unbounded, Included(&ends[1])))
        }

        fn groups_come_back(number: u64, puts: Vec<(Vec<u8>, Vec<u8>)>, removals: Vec<Vec<u8>>) -> bool {
            let mut written: Vec<(&[u8], Option<&[u8]>)> =
                puts.iter().map(|(key, value)| (&key[..], Some(&value[..]))).collect();
            written.extend(removals.iter().map(|key| (&key[..], None)));
            let group = encode(number, 7, &written);
            let value = |at: u32, len: u32| (len != super::REMOVED).then(|| &group[at as usize..at as usize + value_len(len)]);
            is_whole(number, &group) && edits(&group).map(|(key, at, len)| (key, value(at, len))).eq(written)
        }

        fn random_bytes_are_no_group(number: u64, bytes: Vec<u8>) -> bool {
            !is_whole(number, &bytes)
        }
    }

    /// The point of it all.
    #[test]
    fn what_is_put_and_removed_before_its_group_goes_is_never_put_into_the_tree() {
        let (mut recent, mut tree) = (Recent::within_bytes(LIMIT_BYTES), Tree::new());
        for n in 0..100u32 {
            let key = |n: u32| [b"L".as_slice(), &n.to_be_bytes()].concat();
            let removed: Vec<_> = n.checked_sub(2).map(key).into_iter().collect();
            write(&mut recent, &mut tree, &[(key(n), vec![7; 10])].into(), &removed);
        }
        assert!(tree.keys().all(|key| is_group(key)), "{tree:?}");
    }

    /// Damage may bring back a group whose removal was lost: what says so itself is not believed.
    #[test]
    fn a_group_says_which_have_gone_before_it() {
        let (mut recent, mut tree) = (Recent::within_bytes(LIMIT_BYTES), Tree::new());
        for n in 0..50u8 {
            write(&mut recent, &mut tree, &[(vec![b'M', 0, n], vec![n; 40])].into(), &[]);
        }
        let groups: Vec<_> = tree.iter().filter(|(key, _)| is_group(key)).collect();
        let last = groups.last().map(|(key, group)| (key.as_slice(), group.as_slice()));
        let oldest = super::oldest_of(last).unwrap();
        assert!(oldest > super::group_key(40) && oldest <= *groups[0].0, "{oldest:?}");
        assert_eq!(super::oldest_of(None), None);
    }

    #[test]
    fn a_group_with_any_bit_flipped_or_under_another_number_is_none() {
        let group = encode(7, 5, &[(b"Lkey", Some(b"value".as_slice())), (b"Mkey", None)]);
        assert_eq!(
            group, b"\x01\x43\xd9\x94\x05\0\0\0\0\0\0\0\x05\x04\0\0\0\x05\0\0\0Lkeyvalue\x04\0\0\0\xff\xff\xff\xffMkey",
            "the bytes on disk"
        );
        assert!(!is_whole(8, &group));
        for bit in 0..group.len() * 8 {
            let mut flipped = group.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(7, &flipped), "bit {bit}");
        }
    }

    #[test]
    fn ranges_that_have_none_are_told_by_their_ends() {
        assert!(has_recent(EVERYTHING) && has_recent((Included(b"L\0\x01"), Excluded(b"L\0\x02"))));
        assert!(has_recent((Included(b"K"), Unbounded)) && has_recent((Unbounded, Included(b"L"))));
        assert!(!has_recent((Included(b"K"), Excluded(b"L"))) && !has_recent((Included(b"N"), Unbounded)));
        assert!(is_recent(b"M\0\x01") && !is_recent(b"N/batch") && !is_recent(GROUPS));
    }
}
