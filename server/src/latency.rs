//! How long things take, counted where they happen: a number per bucket of time, without locks or allocations.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// The upper bounds of the buckets, in microseconds; what takes longer is in one more.
const BOUNDS_MICROS: [u64; 18] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// Seconds together, how often, and per upper bound in seconds how often between it and the one before.
type Seen = (f64, u64, Vec<(f64, u64)>);

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not added up: each counts what is above the bound before it.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// It took so long, once more.
    pub fn note(&self, took: Duration) {
        let nanos = took.as_nanos() as u64;
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound * 1_000 < nanos);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How often there was something.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// What there has been.
    fn seen(&self) -> Seen {
        let bounds = BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            bounds.zip(&self.buckets).map(|(bound, bucket)| (bound, bucket.load(Ordering::Relaxed))).collect();
        // Counted from what was read: what comes in meanwhile does not make them differ.
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9, count, buckets)
    }
}

/// The groups of commands whose times are counted, as COMMAND DOCS has them; what is in no other is in the last one.
const FAMILIES: [&str; 18] = [
    "bitmap",
    "cluster",
    "connection",
    "dot",
    "generic",
    "geo",
    "hash",
    "hyperloglog",
    "list",
    "pubsub",
    "scripting",
    "server",
    "set",
    "sorted-set",
    "stream",
    "string",
    "transactions",
    "none",
];

/// A group of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family(u8);

impl Family {
    /// Of what is no command.
    pub const NONE: Self = Self(FAMILIES.len() as u8 - 1);

    /// The family of a group; found out when the program is built.
    #[must_use]
    pub const fn of(group: &str) -> Self {
        let mut at = 0;
        while at < FAMILIES.len() {
            if is_same(FAMILIES[at].as_bytes(), group.as_bytes()) {
                return Self(at as u8);
            }
            at += 1;
        }
        panic!("a group of commands that no times are counted for: put it into FAMILIES")
    }
}

/// Are two texts the same? Also when the program is built.
pub(crate) const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (mut at, mut is_same) = (0, one.len() == other.len());
    while is_same && at < one.len() {
        is_same = one[at] == other[at];
        at += 1;
    }
    is_same
}

/// How long commands took, by family.
#[derive(Debug, Default)]
pub struct Latencies([Histogram; FAMILIES.len()]);

impl Latencies {
    /// A command of this family took so long, from when it was read until its reply was there.
    pub fn note(&self, family: Family, took: Duration) {
        if let Some(histogram) = self.0.get(usize::from(family.0)) {
            histogram.note(took);
        }
    }
}

impl Latencies {
    /// How often commands of any family took how long, so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for histogram in &self.0 {
            for (count, bucket) in counts.0.iter_mut().zip(&histogram.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
        }
        counts
    }
}

/// How often something took how long, at some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts([u64; BOUNDS_MICROS.len() + 1]);

impl Counts {
    /// How often since then, and how often longer than a limit (by the next bound there is).
    pub(crate) fn since(&self, earlier: &Self, limit: Duration) -> (u64, u64) {
        let within = BOUNDS_MICROS.partition_point(|bound| u128::from(*bound) < limit.as_micros()) + 1;
        let news: Vec<u64> = self.0.iter().zip(&earlier.0).map(|(now, then)| now.saturating_sub(*then)).collect();
        (news.iter().sum(), news.iter().skip(within).sum())
    }
}

/// A view of a node's times for Prometheus.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// Of each family, if there are several.
    seen: Vec<(Option<&'static str>, Seen)>,
}

impl Shown {
    pub(crate) fn one(name: &'static str, help: &'static str, histogram: &Histogram) -> Self {
        Self { name, help, seen: vec![(None, histogram.seen())] }
    }

    /// Families of which no command was sent yet are left out.
    pub(crate) fn families(name: &'static str, help: &'static str, latencies: &Latencies) -> Self {
        let seen = FAMILIES.iter().zip(&latencies.0).filter(|(_, histogram)| histogram.count() > 0);
        Self { name, help, seen: seen.map(|(family, histogram)| (Some(*family), histogram.seen())).collect() }
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if self.seen.is_empty() {
            return Ok(());
        }
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (family, (sum, count, buckets)) in &self.seen {
            match family {
                Some(family) => metric
                    .encode_family(&[("family", *family)])?
                    .encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?,
                None => metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BOUNDS_MICROS, Family, Histogram};

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [0, 10, 11, 1_000_000_000] {
            histogram.note(Duration::from_micros(micros));
        }
        let (sum, count, buckets) = histogram.seen();
        assert_eq!((sum, count), (1_000.000_021, 4));
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!((counts[0], counts[1], counts[BOUNDS_MICROS.len()]), (2, 1, 1));
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn families_are_told_apart() {
        assert_ne!(Family::of("set"), Family::of("string"));
        assert_eq!(Family::of("none"), Family::NONE);
    }
}
