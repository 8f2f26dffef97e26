//! What happens at the peer port and is nobody's answer: counted, for INFO and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters.
#[derive(Debug, Default)]
pub struct Counters {
    refused: AtomicU64,
    broken: AtomicU64,
    dropped_full: AtomicU64,
    dropped_late: AtomicU64,
}

impl Counters {
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn broken(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_full(&self) {
        self.dropped_full.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_late(&self) {
        self.dropped_late.fetch_add(1, Ordering::Relaxed);
    }

    /// Each with its name and what it counts.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &'static str, u64); 4] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "peers_refused",
                "Connections at the peer port that were refused, with a reason in the log",
                of(&self.refused),
            ),
            ("peer_frames_broken", "Connections of peers that ended with a frame that is none", of(&self.broken)),
            (
                "peer_frames_dropped_full",
                "Frames for peers that were dropped, the queue being full",
                of(&self.dropped_full),
            ),
            (
                "peer_frames_dropped_late",
                "Frames for peers that were dropped, having waited too long",
                of(&self.dropped_late),
            ),
        ]
    }
}
