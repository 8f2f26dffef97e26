//! How far the scrubs of the workers are, for whoever asks the node.

use std::sync::atomic::{AtomicU16, Ordering};

use replica::PARTITIONS;

/// Of a worker that has read everything, and rests.
const RESTS: u16 = u16::MAX;

/// For each worker, the partition that it reads; partitions are dealt out to workers in turn.
#[derive(Debug)]
pub(crate) struct Scrubs(Vec<AtomicU16>);

impl Scrubs {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicU16::new(0)).collect())
    }

    /// A worker reads this partition, or rests.
    pub(crate) fn note(&self, worker: usize, at: Option<u16>) {
        if let Some(scrub) = self.0.get(worker) {
            scrub.store(at.unwrap_or(RESTS), Ordering::Relaxed);
        }
    }

    /// Those that rest are about to begin anew.
    pub(crate) fn begin(&self) {
        for scrub in &self.0 {
            // Whoever reads already goes on.
            let _ = scrub.compare_exchange(RESTS, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How many partitions have been read, of all there are; nothing while all workers rest.
    pub(crate) fn partitions_read(&self) -> Option<u64> {
        let at: Vec<u16> = self.0.iter().map(|scrub| scrub.load(Ordering::Relaxed)).collect();
        if at.iter().all(|at| *at == RESTS) {
            return None;
        }
        let workers = at.len();
        let is_read = |partition: &u16| at.get(usize::from(*partition) % workers).is_some_and(|at| partition < at);
        Some((0..PARTITIONS).filter(is_read).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::Scrubs;

    #[test]
    fn what_the_workers_have_read_adds_up() {
        let scrubs = Scrubs::new(2);
        assert_eq!(scrubs.partitions_read(), Some(0), "a node begins with a scrub");
        scrubs.note(0, Some(100));
        scrubs.note(1, Some(7));
        assert_eq!(scrubs.partitions_read(), Some(50 + 3));
        scrubs.note(1, None);
        assert_eq!(scrubs.partitions_read(), Some(50 + 512));
        scrubs.note(0, None);
        assert_eq!(scrubs.partitions_read(), None);
        scrubs.begin();
        assert_eq!(scrubs.partitions_read(), Some(0));
    }
}
