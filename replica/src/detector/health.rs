//! The health of the observer (Lifeguard: Dadgar, Phillips, Currey 2018): one that gets to run late is the last to judge others.
//!
//! Its own ticks tell: one that comes late says that this node did not listen meanwhile. What it did not hear then is nobody's
//! silence, and for a while afterwards it waits longer before it doubts anybody.

use crate::cluster::BEAT_MS;
use crate::detector::MAX_STRETCH_PERCENT;

/// A tick that comes so late says that this node did not listen.
const LATE_MS: u64 = BEAT_MS;
/// What each missed beat adds to the patience, and each one that comes in time takes away again.
const STRETCH_PERCENT: u64 = 25;

/// How well the observer itself runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    ticked_at_ms: Option<u64>,
    stretch_percent: u64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { ticked_at_ms: None, stretch_percent: 100 }
    }

    /// Notes a tick; says for how long this node did not listen before it.
    pub(crate) fn tick(&mut self, now_ms: u64) -> u64 {
        let due_ms = self.ticked_at_ms.map_or(now_ms, |at_ms| at_ms + BEAT_MS);
        self.ticked_at_ms = Some(now_ms);
        let late_ms = now_ms.saturating_sub(due_ms);
        if late_ms >= LATE_MS {
            let missed = late_ms / BEAT_MS;
            self.stretch_percent = (self.stretch_percent + missed * STRETCH_PERCENT).min(MAX_STRETCH_PERCENT);
            return late_ms;
        }
        self.stretch_percent = self.stretch_percent.saturating_sub(STRETCH_PERCENT).max(100);
        0
    }

    /// Has it run late of late, so that others may have missed it?
    pub(crate) fn is_bad(&self, now_ms: u64) -> bool {
        self.stretch_percent > 100 || self.ticked_at_ms.is_some_and(|at_ms| now_ms >= at_ms + BEAT_MS + LATE_MS)
    }

    /// So much of the usual time everything takes.
    pub(crate) fn stretch_percent(&self) -> u64 {
        self.stretch_percent
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, MAX_STRETCH_PERCENT};
    use crate::cluster::BEAT_MS;

    #[test]
    fn who_was_late_is_patient_for_a_while() {
        let mut health = Health::new();
        assert_eq!((health.tick(0), health.tick(BEAT_MS), health.stretch_percent()), (0, 0, 100));
        assert!(!health.is_bad(BEAT_MS * 2) && health.is_bad(BEAT_MS * 3));
        assert_eq!((health.tick(BEAT_MS * 4), health.stretch_percent()), (BEAT_MS * 2, 150));
        assert_eq!((health.tick(BEAT_MS * 1_000), health.stretch_percent()), (BEAT_MS * 995, MAX_STRETCH_PERCENT));
        assert!(health.is_bad(BEAT_MS * 1_000));
        assert!((1_001..1_020).all(|beat| health.tick(BEAT_MS * beat) == 0));
        assert!(health.stretch_percent() == 100 && !health.is_bad(BEAT_MS * 1_020));
    }
}
