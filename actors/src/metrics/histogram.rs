//! A log-linear histogram of durations: fixed buckets, lock-free, bounded error.
//!
//! The layout is HdrHistogram's (<http://hdrhistogram.org>): every power of two is cut into
//! [`SUB`] equal buckets, so a bucket is never wider than 1/16 of its lower bound. Bounds are
//! inclusive above, `(lower, upper]`, as Prometheus' `le` is: a power of two is the exact end
//! of a bucket.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets in one power of two.
const SUB: u64 = 16;
const SUB_BITS: u32 = SUB.trailing_zeros();
/// Durations above 2^MAX_BITS ns (about 18 minutes) share the last bucket.
const MAX_BITS: u32 = 40;
const BUCKETS: usize = ((MAX_BITS - SUB_BITS + 1) as usize) * SUB as usize;

/// Counts durations in nanoseconds. Any number of threads record at once; nobody waits.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }
}

/// The bucket that holds `ns`.
const fn index(ns: u64) -> usize {
    // One less, so that an upper bound belongs to the bucket below it.
    let ns = ns.saturating_sub(1);
    if ns >= 1 << MAX_BITS {
        return BUCKETS - 1;
    }
    let index = if ns < SUB {
        ns
    } else {
        let shift = ns.ilog2() - SUB_BITS;
        (shift as u64) * SUB + (ns >> shift)
    };
    // At most BUCKETS - 1, by the test above.
    index as usize
}

/// The largest duration that bucket `index` holds, in nanoseconds.
const fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index + 1;
    }
    let shift = index / SUB - 1;
    (index % SUB + SUB + 1) << shift
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration.
    pub fn record(&self, ns: u64) {
        self.record_n(ns, 1);
    }

    /// Counts the same duration `n` times, at the price of once.
    pub fn record_n(&self, ns: u64, n: u64) {
        if n == 0 {
            return;
        }
        if let Some(bucket) = self.buckets.get(index(ns)) {
            bucket.fetch_add(n, Relaxed);
        }
        self.sum_ns.fetch_add(ns.saturating_mul(n), Relaxed);
        // A load first: the maximum rarely moves, and an unconditional RMW would take the line.
        if self.max_ns.load(Relaxed) < ns {
            self.max_ns.fetch_max(ns, Relaxed);
        }
    }

    /// What was counted so far. Counts that arrive meanwhile are in or out, never torn; the sum
    /// may be ahead of or behind the counts by what arrived meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        HistogramSnapshot {
            count: counts.iter().sum(),
            counts,
            sum_ns: self.sum_ns.load(Relaxed),
            max_ns: self.max_ns.load(Relaxed),
        }
    }

    /// Forgets everything. A count that arrives meanwhile may survive in part.
    pub fn reset(&self) {
        for bucket in self.buckets.iter() {
            bucket.store(0, Relaxed);
        }
        self.sum_ns.store(0, Relaxed);
        self.max_ns.store(0, Relaxed);
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl HistogramSnapshot {
    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations, in nanoseconds; wraps after 584 years of them.
    #[must_use]
    pub const fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The longest duration, exact, in nanoseconds.
    #[must_use]
    pub const fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The `q`-quantile (0 to 1) in nanoseconds, at most 1/16 too high and never too low;
    /// `None` if nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank is clamped into the range of counts"
        )]
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0u64;
        for (index, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                let last = index + 1 == BUCKETS;
                return Some(if last { self.max_ns } else { upper(index).min(self.max_ns) });
            }
        }
        Some(self.max_ns)
    }

    /// Adds what another histogram counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
        } else {
            self.counts.iter_mut().zip(&other.counts).for_each(|(sum, n)| *sum += n);
        }
        self.count += other.count;
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many durations were at most 2^`bits` nanoseconds. Exact: a power of two ends a bucket.
    #[must_use]
    pub fn at_most_pow2(&self, bits: u32) -> u64 {
        let end = if bits > MAX_BITS { BUCKETS } else { index(1 << bits) + 1 };
        self.counts.iter().take(end).sum()
    }
}

#[cfg(test)]
mod tests;
