//! Hybrid logical clocks (Kulkarni, Demirbas, Madappa, Avva, Leone 2014): near wall time, and never backwards.
//!
//! Causality here never rests on them. They order what causality leaves open (which sibling is shown first, the
//! last writer of a register), and that order agrees with causality as long as every message is [observed].
//!
//! [observed]: HybridClock::observe

use core::fmt;

/// A hybrid logical clock reading: milliseconds since 1970 in the upper 48 bits, a count in the lower 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hlc(pub u64);

impl Hlc {
    /// The reading after `self` when the wall clock shows `wall_ms`. Stays at the end of its range.
    #[must_use]
    pub fn next(self, wall_ms: u64) -> Self {
        Self((wall_ms.min(u64::MAX >> 16) << 16).max(self.0.saturating_add(1)))
    }

    /// The milliseconds part.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The count within the millisecond.
    #[must_use]
    pub fn count(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.count())
    }
}

/// The clock of one node. The host hands in the wall time; nothing is read inside.
///
/// ```
/// use causal::HybridClock;
/// let (mut here, mut there) = (HybridClock::new(500), HybridClock::new(500));
/// let sent = there.tick(1_000);                          // its wall clock is ahead
/// here.observe(sent, 900)?;
/// assert!(here.tick(901) > sent);                        // what follows is later, whatever our wall clock says
/// assert!(here.observe(there.tick(9_000), 902).is_err());
/// # Ok::<(), causal::FarFuture>(())
/// ```
#[derive(Clone, Debug)]
pub struct HybridClock {
    last: Hlc,
    max_ahead_ms: u64,
}

impl HybridClock {
    /// A clock that refuses readings more than `max_ahead_ms` ahead of the wall clock: one broken clock must not
    /// drag all others along.
    #[must_use]
    pub fn new(max_ahead_ms: u64) -> Self {
        Self { last: Hlc(0), max_ahead_ms }
    }

    /// Goes on from a stored reading: all later ones are greater.
    #[must_use]
    pub fn resume(last: Hlc, max_ahead_ms: u64) -> Self {
        Self { last, max_ahead_ms }
    }

    /// The greatest reading given or observed.
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// A reading for an event here: greater than all before, and than all observed.
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        self.last = self.last.next(wall_ms);
        self.last
    }

    /// Takes note of a reading that came with a message.
    ///
    /// # Errors
    /// [`FarFuture`] if it is too far ahead; the clock stays as it was.
    pub fn observe(&mut self, reading: Hlc, wall_ms: u64) -> Result<(), FarFuture> {
        let ahead_ms = reading.millis().saturating_sub(wall_ms);
        if ahead_ms > self.max_ahead_ms {
            return Err(FarFuture { ahead_ms, max_ahead_ms: self.max_ahead_ms });
        }
        self.last = self.last.max(reading);
        Ok(())
    }
}

/// A reading too far ahead of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarFuture {
    /// How far ahead it is.
    pub ahead_ms: u64,
    /// How far ahead it may be.
    pub max_ahead_ms: u64,
}

impl fmt::Display for FarFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ahead_ms, max_ahead_ms } = self;
        write!(f, "a clock reading is {ahead_ms} ms ahead of the wall clock, at most {max_ahead_ms} ms are accepted")
    }
}

impl core::error::Error for FarFuture {}

#[cfg(test)]
mod tests {
    use super::{Hlc, HybridClock};
    use alloc::vec::Vec;
    use quickcheck::quickcheck;

    quickcheck! {
        fn readings_grow_follow_what_was_observed_and_stay_near_wall_time(steps: Vec<(u16, Option<u16>)>) -> bool {
            let (mut clock, mut latest_ms) = (HybridClock::new(1_000), 0);
            steps.into_iter().all(|(wall, remote)| {
                let (before, wall) = (clock.last(), u64::from(wall));
                let observed = remote.map(|remote| Hlc(u64::from(remote) << 16));
                let accepted = observed.filter(|reading| clock.observe(*reading, wall).is_ok());
                let reading = clock.tick(wall);
                latest_ms = latest_ms.max(wall).max(accepted.map_or(0, Hlc::millis));
                let near = accepted.is_none_or(|o| o.millis() <= wall + 1_000);
                near && reading > before && accepted.is_none_or(|o| reading > o) && reading.millis() == latest_ms
            })
        }
    }

    #[test]
    fn a_full_count_runs_over_into_the_milliseconds() {
        assert_eq!(Hlc(7 << 16 | 0xffff).next(7), Hlc(8 << 16));
    }

    #[test]
    fn the_end_of_the_range_does_not_wrap() {
        assert_eq!(Hlc(u64::MAX).next(1), Hlc(u64::MAX));
        assert_eq!(Hlc(0).next(u64::MAX).millis(), u64::MAX >> 16);
    }
}
