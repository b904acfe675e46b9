//! How far the dataset is loaded at a start: written by the load, read by everyone who is asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seawall_actors::clock::UnixMs;

/// The load of this start. Until it is over, commands on data are refused.
#[derive(Debug)]
pub struct Loading {
    on: AtomicBool,
    /// Nobody wants the rest.
    cancelled: AtomicBool,
    begun: Instant,
    begun_ms: UnixMs,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    records: AtomicU64,
    aside: AtomicU64,
    /// Milliseconds it took; 0 until it is over.
    took_ms: AtomicU64,
}

/// How a load stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// When it was begun.
    pub begun_ms: UnixMs,
    /// For how long it has been going on, or how long it took.
    pub elapsed: Duration,
    /// Bytes of the snapshot and the log.
    pub total_bytes: u64,
    /// Bytes of those that were read so far.
    pub loaded_bytes: u64,
    /// Entries of the snapshot and records of the log that were applied.
    pub records: u64,
    /// Records that crashed whoever applied them and are left out, those of later rebuilds included.
    pub aside: u64,
}

impl Loading {
    /// A load that begins now; `on` is false where there is nothing to load, as in a pure cache.
    #[must_use]
    pub fn new(on: bool, now: UnixMs) -> Self {
        Self {
            on: AtomicBool::new(on),
            cancelled: AtomicBool::new(false),
            begun: Instant::now(),
            begun_ms: now,
            total_bytes: AtomicU64::new(0),
            loaded_bytes: AtomicU64::new(0),
            records: AtomicU64::new(0),
            aside: AtomicU64::new(0),
            took_ms: AtomicU64::new(0),
        }
    }

    /// Whether it is still going on. Asked for every command.
    #[must_use]
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// It is done: every shard has its store.
    pub fn finish(&self) {
        let took = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.took_ms.store(took.max(1), Ordering::Relaxed);
        self.on.store(false, Ordering::Release);
    }

    /// Has it end at the next occasion, unfinished: the daemon stops.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Says how many bytes there are to read.
    pub fn set_total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Says how many were read, and how many records were applied.
    pub fn reached(&self, bytes: u64, records: u64) {
        self.loaded_bytes.store(bytes, Ordering::Relaxed);
        self.records.store(records, Ordering::Relaxed);
    }

    /// Counts a record that is left out.
    pub fn set_aside(&self) {
        self.aside.fetch_add(1, Ordering::Relaxed);
    }

    /// How it stands.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let elapsed = match self.took_ms.load(Ordering::Relaxed) {
            0 if self.is_on() => self.begun.elapsed(),
            took_ms => Duration::from_millis(took_ms),
        };
        Figures {
            begun_ms: self.begun_ms,
            elapsed,
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            loaded_bytes: self.loaded_bytes.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            aside: self.aside.load(Ordering::Relaxed),
        }
    }
}

impl Figures {
    /// Of the bytes, the share that was read: 0 to 100.
    #[must_use]
    pub fn percent(&self) -> f64 {
        if self.total_bytes == 0 {
            return 0.0;
        }
        (self.loaded_bytes as f64 / self.total_bytes as f64 * 100.0).min(100.0)
    }

    /// Records applied in a second, on average.
    #[must_use]
    pub fn records_per_second(&self) -> u64 {
        (self.records as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }

    /// Seconds left at the pace so far; 1 before there is a pace, as in Redis.
    #[must_use]
    pub fn eta_seconds(&self) -> u64 {
        if self.loaded_bytes == 0 {
            return 1;
        }
        let left = self.total_bytes.saturating_sub(self.loaded_bytes) as f64;
        (left / self.loaded_bytes as f64 * self.elapsed.as_secs_f64()).ceil() as u64
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1} % of {} bytes, about {} s left",
            self.percent(),
            self.total_bytes,
            self.eta_seconds()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_pace_and_time_left_follow_from_the_bytes() {
        let figures = Figures {
            elapsed: Duration::from_secs(10),
            total_bytes: 1000,
            loaded_bytes: 250,
            records: 5000,
            ..Figures::default()
        };
        assert!((figures.percent() - 25.0).abs() < 1e-9);
        assert_eq!((figures.eta_seconds(), figures.records_per_second()), (30, 500));
        assert_eq!(figures.to_string(), "25.0 % of 1000 bytes, about 30 s left");
    }

    #[test]
    fn before_the_first_byte_nothing_is_divided_by_zero() {
        let loading = Loading::new(true, 7);
        let figures = loading.figures();
        assert_eq!((figures.eta_seconds(), figures.begun_ms), (1, 7));
        assert!(figures.percent().abs() < 1e-9);
    }

    #[test]
    fn what_it_took_stands_still_when_it_is_done() {
        let loading = Loading::new(true, 0);
        loading.finish();
        assert!(!loading.is_on());
        assert_eq!(loading.figures(), loading.figures());
        assert!(loading.figures().elapsed >= Duration::from_millis(1));
    }
}
