//! The disk of a node (or the memory that stands in its place): one [`Engine`], written by one thread that makes one batch, and
//! one sync, of everything that has come in while it was busy (group commit).
//!
//! A worker sees its own writes at once: they stand in layers above the database until they are in it. A cache of
//! small records beside them saves most look-ups in the database; what is staged goes through it, so that it is never
//! behind.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use quick_cache::unsync::DefaultLifecycle;
use replica::{Batch, BatchSeq, Store, StoreError, Visit, merge_scan, prefix_end};

use crate::engine::{Engine, EngineError, KeyRange, Sync};
use crate::error::Error;
use crate::latency::Histogram;

/// How often `--durability interval` syncs.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many bytes of records one batch takes at most.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// How many pieces of one worker are on their way at once; what comes meanwhile goes with the next piece. Two keep
/// the disk busy; with more, every read would have to look through as many layers.
const PIECES_UNDER_WAY: usize = 2;

/// How often a batch is written at most where nobody waits for the disk: what comes meanwhile goes together.
const PACE: Duration = Duration::from_millis(2);

/// How the process ends when the disk fails: EX_IOERR of sysexits.h.
const EXIT_DISK: i32 = 74;

/// What one worker's cache of records may hold.
const CACHE_BYTES: u64 = 48 * 1024 * 1024;
/// Larger records are not cached.
const CACHED_RECORD_BYTES: usize = 4 * 1024;

type Cache = quick_cache::unsync::Cache<Vec<u8>, Option<Vec<u8>>, Weigh, foldhash::quality::RandomState>;

fn cache() -> Cache {
    Cache::with(100_000, CACHE_BYTES, Weigh, foldhash::quality::RandomState::default(), DefaultLifecycle::default())
}

#[derive(Clone)]
struct Weigh;

impl quick_cache::Weighter<Vec<u8>, Option<Vec<u8>>> for Weigh {
    fn weight(&self, key: &Vec<u8>, record: &Option<Vec<u8>>) -> u64 {
        // The two allocations and the entry itself cost about as much as a small record.
        (key.len() + record.as_ref().map_or(0, Vec::len) + 128) as u64
    }
}

type Edits = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// After its batch is on disk.
    Always,
    /// At once; the disk is synced every second.
    Interval,
    /// At once; the operating system writes when it likes.
    None,
}

/// What the disk tells a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything up to this batch can be read from the database.
    Readable(BatchSeq),
    /// Everything up to this batch is as durable as was asked for.
    Flushed(BatchSeq),
}

/// Called by the disk thread: which worker, and what is new.
pub type OnProgress = Box<dyn Fn(usize, Progress) + Send>;

enum Job {
    Batch { worker: usize, seq: BatchSeq, edits: Arc<Edits> },
    Record { key: Vec<u8>, value: Vec<u8>, done: Option<Sender<()>> },
}

/// Where a node's records are.
#[derive(Clone)]
pub struct Disk {
    records: Arc<dyn Engine>,
    jobs: Sender<Job>,
    /// How long a batch takes that is synced, and a sync by itself.
    pub syncs: Arc<Histogram>,
}

impl Disk {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// [`Error::Thread`] if there is no thread to be had.
    pub fn start(records: Arc<dyn Engine>, durability: Durability, on_progress: OnProgress) -> Result<Self, Error> {
        let (jobs, queue) = channel();
        let (syncs, unsynced) = (Arc::<Histogram>::default(), BTreeMap::new());
        let timed = Arc::clone(&syncs);
        let writer = Writer { records: Arc::clone(&records), durability, on_progress, unsynced, syncs: timed };
        let spawned = std::thread::Builder::new().name("disk".to_owned()).spawn(move || writer.run(&queue));
        spawned.map_err(Error::Thread)?;
        Ok(Self { records, jobs, syncs })
    }

    /// Writes one record of the node's own, without waiting.
    pub fn put(&self, key: &[u8], value: Vec<u8>) {
        self.send(Job::Record { key: key.to_vec(), value, done: None });
    }

    /// Writes one record of the node's own and waits until it is on disk.
    pub fn put_and_wait(&self, key: &[u8], value: Vec<u8>) {
        let (done, wait) = channel();
        self.send(Job::Record { key: key.to_vec(), value, done: Some(done) });
        let _ = wait.recv();
    }

    fn send(&self, job: Job) {
        // The writer ends only with the process.
        let _ = self.jobs.send(job);
    }

    /// The records as the replicas read them, with nobody who writes.
    pub(crate) fn reading(records: Arc<dyn Engine>) -> DiskView {
        Self { records, jobs: channel().0, syncs: Arc::default() }.view(0)
    }

    /// The view one worker has.
    #[must_use]
    pub fn view(&self, worker: usize) -> DiskView {
        DiskView {
            worker,
            disk: self.clone(),
            staged: Edits::new(),
            staged_seq: BatchSeq::default(),
            staged_bytes: 0,
            layers: VecDeque::new(),
            cache: RefCell::new(cache()),
        }
    }
}

/// What an edit takes.
fn size(key: &[u8], edit: Option<&Vec<u8>>) -> usize {
    key.len() + edit.map_or(0, Vec::len)
}

/// The records of keys and cells are looked up one by one; the others are scanned, or read once.
fn is_cached(key: &[u8]) -> bool {
    matches!(key.first(), Some(b'K' | b'C'))
}

/// The records as one worker sees them: what it has written and what the database has.
pub struct DiskView {
    worker: usize,
    disk: Disk,
    staged: Edits,
    staged_seq: BatchSeq,
    staged_bytes: usize,
    /// What is on its way, with its size.
    layers: VecDeque<(BatchSeq, Arc<Edits>, usize)>,
    cache: RefCell<Cache>,
}

impl DiskView {
    /// Takes a batch: visible at once, sent with [`DiskView::submit`].
    pub fn stage(&mut self, batch: Batch) {
        self.staged_seq = batch.seq;
        let cache = self.cache.get_mut();
        for (key, edit) in batch.edits.iter().filter(|(key, _)| is_cached(key)) {
            // What nobody has looked at is not there, and need not be.
            if edit.as_ref().is_some_and(|record| record.len() > CACHED_RECORD_BYTES) {
                cache.remove(key);
            } else if let Some(mut known) = cache.get_mut(key) {
                known.clone_from(edit);
            }
        }
        if self.staged.is_empty() {
            self.staged_bytes = batch.edits.iter().map(|(key, edit)| size(key, edit.as_ref())).sum();
            self.staged = batch.edits;
        } else {
            for (key, edit) in batch.edits {
                let (bytes, name_bytes) = (size(&key, edit.as_ref()), key.len());
                let before = self.staged.insert(key, edit).map_or(0, |edit| name_bytes + edit.map_or(0, |it| it.len()));
                self.staged_bytes = self.staged_bytes + bytes - before;
            }
        }
    }

    /// How many bytes wait for the disk.
    pub fn backlog_bytes(&self) -> usize {
        self.staged_bytes + self.layers.iter().map(|(.., bytes)| bytes).sum::<usize>()
    }

    /// Hands everything staged to the disk, unless enough is on its way: then it follows when that is written.
    pub fn submit(&mut self) {
        if self.layers.len() < PIECES_UNDER_WAY {
            self.submit_all();
        }
    }

    /// The same, however much is on its way.
    pub fn submit_all(&mut self) {
        if !self.staged.is_empty() {
            let (seq, edits) = (self.staged_seq, Arc::new(std::mem::take(&mut self.staged)));
            self.layers.push_back((seq, Arc::clone(&edits), std::mem::take(&mut self.staged_bytes)));
            self.disk.send(Job::Batch { worker: self.worker, seq, edits });
        }
    }

    /// Batches up to this one are in the database now.
    pub fn readable(&mut self, upto: BatchSeq) {
        while self.layers.front().is_some_and(|(seq, ..)| *seq <= upto) {
            self.layers.pop_front();
        }
    }

    fn above(&self) -> impl DoubleEndedIterator<Item = &Edits> {
        self.layers.iter().map(|(_, edits, _)| edits.as_ref()).chain(std::iter::once(&self.staged))
    }

    /// What lies above the database between two keys, the newest edit of each record: looked at only as far as it is asked for.
    fn above_within<'v>(&'v self, range: KeyRange<'_>, order: Ordering) -> Layered<'v> {
        let layers = self.above().rev().map(|edits| {
            let within = edits.range::<[u8], _>(range).map(|(key, edit)| (key.as_slice(), edit.as_deref()));
            let within: Box<dyn Iterator<Item = Edit<'v>> + 'v> =
                if order == Ordering::Less { Box::new(within) } else { Box::new(within.rev()) };
            within.peekable()
        });
        Layered { layers: layers.collect(), order }
    }
}

/// A record's key, and what it is now; nothing if it was removed.
type Edit<'v> = (&'v [u8], Option<&'v [u8]>);

/// Several layers of edits as one, in an order; of edits of one record the newest.
struct Layered<'v> {
    /// The newest first.
    layers: Vec<Peekable<Box<dyn Iterator<Item = Edit<'v>> + 'v>>>,
    order: Ordering,
}

impl<'v> Iterator for Layered<'v> {
    type Item = Edit<'v>;

    fn next(&mut self) -> Option<Edit<'v>> {
        let mut next: Option<&[u8]> = None;
        for layer in &mut self.layers {
            if let Some((key, _)) = layer.peek()
                && next.is_none_or(|next| (*key).cmp(next) == self.order)
            {
                next = Some(key);
            }
        }
        let (key, mut newest) = (next?, None);
        for layer in &mut self.layers {
            newest = newest.or(layer.next_if(|(other, _)| *other == key));
        }
        newest
    }
}

impl Store for DiskView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let cached = is_cached(key);
        if cached && let Some(record) = self.cache.borrow_mut().get(key) {
            return Ok(record.clone());
        }
        if let Some(edit) = self.above().rev().find_map(|edits| edits.get(key)) {
            return Ok(edit.clone());
        }
        let found = self.disk.records.get(key)?;
        if cached && found.as_ref().is_none_or(|record| record.len() <= CACHED_RECORD_BYTES) {
            self.cache.borrow_mut().insert(key.to_vec(), found.clone());
        }
        Ok(found)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let end = prefix_end(prefix);
        let Some(range) = range(from.max(prefix), end.as_deref()) else { return Ok(()) };
        let own = self.above_within(range, Ordering::Less);
        merge_scan(own, Ordering::Less, visit, |visit| Ok(self.disk.records.scan(range, visit)?))
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let end = before.map_or_else(|| prefix_end(prefix), |before| Some(before.to_vec()));
        let Some(range) = range(prefix, end.as_deref()) else { return Ok(()) };
        let own = self.above_within(range, Ordering::Greater);
        merge_scan(own, Ordering::Greater, visit, |visit| Ok(self.disk.records.scan_back(range, visit)?))
    }
}

/// The keys from one on and below another; nothing if there can be none.
fn range<'k>(from: &'k [u8], before: Option<&'k [u8]>) -> Option<KeyRange<'k>> {
    let is_empty = before.is_some_and(|before| before <= from);
    (!is_empty).then_some((Bound::Included(from), before.map_or(Bound::Unbounded, Bound::Excluded)))
}

/// The disk thread.
struct Writer {
    records: Arc<dyn Engine>,
    durability: Durability,
    on_progress: OnProgress,
    /// Per worker, what is in the database and not yet synced.
    unsynced: BTreeMap<usize, BatchSeq>,
    syncs: Arc<Histogram>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut last_sync = Instant::now();
        loop {
            let job = match queue.recv_timeout(INTERVAL.saturating_sub(last_sync.elapsed())) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Some(job) = job {
                let began = Instant::now();
                self.write(job, queue);
                if self.durability != Durability::Always {
                    std::thread::sleep(PACE.saturating_sub(began.elapsed()));
                }
            }
            if last_sync.elapsed() >= INTERVAL {
                last_sync = Instant::now();
                self.sync();
            }
        }
    }

    /// Writes the job and everything that waits behind it as one batch.
    fn write(&mut self, first: Job, queue: &Receiver<Job>) {
        let (mut batches, mut own, mut waiting, mut bytes) = (Vec::new(), Edits::new(), Vec::new(), 0);
        let mut reached: BTreeMap<usize, BatchSeq> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Batch { worker, seq, edits } => {
                    bytes +=
                        edits.iter().map(|(key, edit)| key.len() + edit.as_ref().map_or(0, Vec::len)).sum::<usize>();
                    reached.insert(worker, seq);
                    batches.push(edits);
                }
                Job::Record { key, value, done } => {
                    own.insert(key, Some(value));
                    waiting.extend(done);
                }
            }
            next = if bytes < BATCH_BYTES { queue.try_recv().ok() } else { None };
        }
        let wanted = self.durability == Durability::Always || !waiting.is_empty();
        self.commit(&batches, &own, if wanted { Sync::Disk } else { Sync::Later });
        for (worker, seq) in reached {
            (self.on_progress)(worker, Progress::Readable(seq));
            match self.durability {
                Durability::None if self.records.wants_syncs() => drop(self.unsynced.insert(worker, seq)),
                Durability::Always | Durability::None => (self.on_progress)(worker, Progress::Flushed(seq)),
                Durability::Interval => drop(self.unsynced.insert(worker, seq)),
            }
        }
        for done in waiting {
            // Whoever waited may be gone.
            let _ = done.send(());
        }
    }

    fn commit(&self, batches: &[Arc<Edits>], own: &Edits, sync: Sync) {
        // The last edit of a record counts: a batch gives all its edits one sequence number.
        let mut merged: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        let all = batches.iter().map(Arc::as_ref).chain(std::iter::once(own)).flatten();
        let mut all = all.map(|(key, edit)| (key.as_slice(), edit.as_deref()));
        let began = Instant::now();
        let written = if batches.len() == 1 && own.is_empty() {
            self.records.write(&mut all, sync)
        } else {
            merged.extend(all);
            self.records.write(&mut merged.into_iter(), sync)
        };
        if let Err(why) = written {
            stop(&why);
        }
        if sync == Sync::Disk {
            self.syncs.note(began.elapsed());
        }
    }

    fn sync(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        let began = Instant::now();
        if let Err(why) = self.records.sync() {
            stop(&why);
        }
        self.syncs.note(began.elapsed());
        for (worker, seq) in std::mem::take(&mut self.unsynced) {
            (self.on_progress)(worker, Progress::Flushed(seq));
        }
    }
}

/// After a failed write or sync nobody knows what is on disk. The next start finds out, under a new incarnation.
pub(crate) fn stop(why: &EngineError) -> ! {
    match why {
        EngineError::Full(_) => tracing::error!(
            "{why}: the node ends before anything is promised that the disk does not hold; make space and start it again"
        ),
        _ => tracing::error!("the disk failed, stopping before anything is promised that it does not hold: {why}"),
    }
    std::process::exit(EXIT_DISK)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::engine::{Edits as EngineEdits, VisitRecord};

    type Asked = (Bound<Vec<u8>>, Bound<Vec<u8>>);

    /// Notes what it is asked for.
    #[derive(Default)]
    struct Watched(Mutex<Vec<Asked>>);

    impl Watched {
        fn note(&self, (from, upto): KeyRange<'_>) {
            self.0.lock().unwrap().push((from.map(<[u8]>::to_vec), upto.map(<[u8]>::to_vec)));
        }
    }

    impl Engine for Watched {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
            Ok(None)
        }

        fn scan(&self, range: KeyRange<'_>, _: &mut VisitRecord<'_>) -> Result<(), EngineError> {
            self.note(range);
            Ok(())
        }

        fn scan_back(&self, range: KeyRange<'_>, _: &mut VisitRecord<'_>) -> Result<(), EngineError> {
            self.note(range);
            Ok(())
        }

        fn write(&self, _: &mut EngineEdits<'_>, _: Sync) -> Result<(), EngineError> {
            Ok(())
        }

        fn sync(&self) -> Result<(), EngineError> {
            Ok(())
        }

        fn wants_syncs(&self) -> bool {
            false
        }
    }

    /// The story: an engine that keeps marks of removed records walked over those of all later partitions to find out that a
    /// partition had no more; after 20,000 removals every scan of the empty database took seconds, and so did a start.
    #[test]
    fn no_scan_looks_beyond_its_prefix() {
        let watched = Arc::new(Watched::default());
        let view = Disk::reading(Arc::clone(&watched) as Arc<dyn Engine>);
        let mut visit = |_: &[u8], _: &[u8]| std::ops::ControlFlow::Continue(());
        view.scan(b"ab", b"", &mut visit).unwrap();
        view.scan(b"ab", b"abc", &mut visit).unwrap();
        view.scan_back(b"ab", None, &mut visit).unwrap();
        view.scan_back(b"ab", Some(b"abc"), &mut visit).unwrap();
        view.scan(b"ab", b"b", &mut visit).unwrap();
        view.scan_back(b"ab", Some(b"aa"), &mut visit).unwrap();
        let range = |from: &str, upto: &str| (Bound::Included(from.into()), Bound::Excluded(upto.into()));
        let expected = [range("ab", "ac"), range("abc", "ac"), range("ab", "ac"), range("ab", "abc")];
        assert_eq!(*watched.0.lock().unwrap(), expected);
    }
}
