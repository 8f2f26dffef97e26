//! How fast partitions are copied to those that are being filled: as fast as may be while clients are answered in time, and more and
//! more slowly while they are not.
//!
//! Once a second the slowest hundredth of the second's commands is looked at: if it took longer than `stream-latency-ms`, the speed is
//! halved, else it grows by a sixteenth of the greatest. (Additive increase, multiplicative decrease; Dynamo, 2007, section 6.5,
//! takes the 99th percentile as its measure as well.)

use std::time::Duration;

use crate::latency::{Counts, Latencies};

/// However slowly clients are answered, copying goes on.
const LEAST_BYTES_PER_S: u64 = 256 * 1024;
/// Fewer commands say nothing.
const COMMANDS: u64 = 100;

/// The speed of copying, and what it follows from.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_s: u64,
    seen: Counts,
}

impl Pace {
    /// As fast as anything, to begin with.
    pub(crate) fn new(latencies: &Latencies) -> Self {
        Self { bytes_per_s: u64::MAX, seen: latencies.counts() }
    }

    /// A second has passed: how fast to go on, at most so fast.
    pub(crate) fn follow(&mut self, latencies: &Latencies, limit: Duration, most_bytes_per_s: u64) {
        let now = latencies.counts();
        let (all, slow) = now.since(&self.seen, limit);
        self.seen = now;
        let is_late = all >= COMMANDS && slow * 100 > all;
        let current = self.bytes_per_s.min(most_bytes_per_s);
        let next = if is_late { current / 2 } else { current.saturating_add(most_bytes_per_s / 16) };
        self.bytes_per_s = next.clamp(LEAST_BYTES_PER_S.min(most_bytes_per_s), most_bytes_per_s);
    }

    /// Bytes per second.
    pub(crate) fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{COMMANDS, LEAST_BYTES_PER_S, Pace};
    use crate::latency::{Family, Latencies};

    const MOST: u64 = 64 * 1024 * 1024;
    const LIMIT: Duration = Duration::from_millis(10);

    fn note(latencies: &Latencies, count: u64, millis: u64) {
        (0..count).for_each(|_| latencies.note(Family::of("string"), Duration::from_millis(millis)));
    }

    #[test]
    fn copying_slows_down_while_clients_wait_and_recovers_when_they_do_not() {
        let latencies = Latencies::default();
        let mut pace = Pace::new(&latencies);
        let mut second = |fast: u64, slow: u64| {
            note(&latencies, fast, 1);
            note(&latencies, slow, 30);
            pace.follow(&latencies, LIMIT, MOST);
            pace.bytes_per_s()
        };
        assert_eq!(second(1_000, 0), MOST);
        assert_eq!(second(990, 10), MOST, "just a hundredth");
        assert_eq!([second(989, 11), second(0, 500)], [MOST / 2, MOST / 4]);
        assert_eq!((0..20).map(|_| second(0, 200)).last(), Some(LEAST_BYTES_PER_S), "but it goes on");
        assert_eq!((0..16).map(|_| second(COMMANDS, 0)).last(), Some(MOST));
    }

    #[test]
    fn a_few_slow_commands_of_a_quiet_node_say_nothing() {
        let latencies = Latencies::default();
        let mut pace = Pace::new(&latencies);
        note(&latencies, COMMANDS - 1, 100);
        pace.follow(&latencies, LIMIT, MOST);
        assert_eq!(pace.bytes_per_s(), MOST);
    }
}
