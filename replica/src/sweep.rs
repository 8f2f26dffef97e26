//! Map and reduce over everything there is: every partition once, at one of its owners (coverage), page by page.
//!
//! The code is the application's own ([`Procedures::map`] and [`Procedures::reduce`]), and runs where the data is; only what a page
//! comes to travels. Results are there as they come, and whoever has enough asks no further: there is nothing to cancel elsewhere.
//! (Dean, Ghemawat: *MapReduce*, OSDI 2004; Riak's MapReduce and coverage plans.)

mod reduced;

use std::collections::{BTreeMap, VecDeque};

use crate::core::RequestId;
use crate::id::PartitionId;
use crate::operation::{Answer, ByteString, Failure, Operation, Request};
use crate::procedure::Procedures;
use crate::record::KeyHash;
pub(crate) use reduced::Reduced;

/// How many pages are asked for at once.
const PAGES_AT_ONCE: usize = 32;
/// How many keys one page looks at.
const PAGE_KEYS: u32 = 256;
/// How often in all a page is asked for again that could not be had: owners change, and nodes end.
const AGAIN: u32 = 256;
/// What a sweep may come to.
const RESULT_BYTES: usize = 64 * 1024 * 1024;

/// A sweep over partitions. A state machine: hand its requests to a core (or a node), and the answers back.
///
/// ```
/// use replica::{Answer, ByteString, CellKind, Failure, Keys, Mapped, PartitionId, Procedures, Sweep};
///
/// /// How many keys there are, by the first letter of their names.
/// #[derive(Debug)]
/// struct Letters;
///
/// impl Procedures for Letters {
///     fn call(&self, _: &[u8], _: &mut Keys<'_, '_>) -> Result<Vec<u8>, Failure> {
///         Err(Failure::NotUnderstood)
///     }
///
///     fn map(&self, _: &[u8], key: &[u8], _: CellKind, _: &mut Keys<'_, '_>) -> Result<Mapped, Failure> {
///         Ok(vec![(key[..1].into(), vec![1].into())])
///     }
///
///     fn reduce(&self, _: &[u8], _: &[u8], one: ByteString, other: ByteString) -> Result<ByteString, Failure> {
///         Ok(vec![one.0[0].saturating_add(other.0[0])].into())
///     }
/// }
///
/// let mut sweep = Sweep::new("letters", [PartitionId::of_slot(0)]);
/// let (id, request) = sweep.next_request().expect("there is a partition");
/// assert!(sweep.next_request().is_none(), "and no more");
/// // What a core answers to `Event::Client(id, request)`:
/// let page = Answer::Mapped(vec![(b"a"[..].into(), vec![2].into())], None);
/// sweep.answered(id, page, &Letters)?;
/// assert!(sweep.is_done());
/// assert_eq!(sweep.results().next().map(|(name, count)| (&name.0[..], count.0[0])), Some((&b"a"[..], 2)));
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug)]
pub struct Sweep {
    job: ByteString,
    partitions: usize,
    done: usize,
    waiting: VecDeque<(PartitionId, KeyHash)>,
    asked: BTreeMap<RequestId, (PartitionId, KeyHash)>,
    next: u64,
    /// How often a page may be asked for again.
    again: u32,
    results: Reduced,
}

impl Sweep {
    /// A job to be done over these partitions: all of them, for everything there is.
    pub fn new(job: impl Into<ByteString>, partitions: impl IntoIterator<Item = PartitionId>) -> Self {
        let waiting: VecDeque<_> = partitions.into_iter().map(|partition| (partition, KeyHash(0))).collect();
        let (asked, results) = (BTreeMap::new(), Reduced::default());
        Self { job: job.into(), partitions: waiting.len(), done: 0, waiting, asked, next: 0, again: AGAIN, results }
    }

    /// The next page to ask for; nothing if enough are asked for, or none is left.
    pub fn next_request(&mut self) -> Option<(RequestId, Request)> {
        if self.asked.len() >= PAGES_AT_ONCE {
            return None;
        }
        let (partition, from) = self.waiting.pop_front()?;
        self.next += 1;
        let id = RequestId(self.next);
        self.asked.insert(id, (partition, from));
        let operation = Operation::Map { job: self.job.clone(), from, count_keys: PAGE_KEYS };
        Some((id, Request::new(partition, Vec::new(), operation)))
    }

    /// A page has been answered.
    ///
    /// # Errors
    /// The [`Failure`] of the page, or of reducing it: the sweep is over then. [`Failure::TooMuch`] if all pages together come
    /// to more than 64 MiB.
    pub fn answered(&mut self, id: RequestId, answer: Answer, procedures: &dyn Procedures) -> Result<(), Failure> {
        let Some((partition, from)) = self.asked.remove(&id) else { return Ok(()) };
        let (page, next) = match answer {
            Answer::Mapped(page, next) => (page, next),
            Answer::Failed(Failure::NotAnOwner | Failure::NoQuorum { .. }) if self.again > 0 => {
                self.again -= 1;
                self.waiting.push_back((partition, from));
                return Ok(());
            }
            Answer::Failed(why) => return Err(why),
            _ => return Err(Failure::NotUnderstood),
        };
        for (name, value) in page {
            self.results.add(procedures, &self.job.0, name, value)?;
        }
        if self.results.bytes() > RESULT_BYTES {
            return Err(Failure::TooMuch { limit_bytes: RESULT_BYTES as u64 });
        }
        match next {
            Some(next) if next <= from => return Err(Failure::NotUnderstood),
            // What was begun is finished first.
            Some(next) => self.waiting.push_front((partition, next)),
            None => self.done += 1,
        }
        Ok(())
    }

    /// Has every partition been swept?
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done == self.partitions
    }

    /// How many partitions have been swept, and how many there are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.done, self.partitions)
    }

    /// What it has come to so far, by name.
    pub fn results(&self) -> impl Iterator<Item = (&ByteString, &ByteString)> {
        self.results.values().iter()
    }
}
