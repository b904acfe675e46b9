//! What was slow: the SLOWLOG of single commands and LATENCY's samples over time.
//!
//! A connection reads the clock at the beginning and the end of a round, and besides only after
//! a command that ran alone in a round of several. Nothing here is touched, and no lock taken,
//! unless that shows that somebody waited for longer than a threshold.

mod laps;
mod latency;
mod log;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_actors::clock::UnixMs;

pub use laps::{Lap, Laps};
pub use latency::{Event, Latency, SAMPLES, Sample};
pub use log::{Entry, SlowLog};

use crate::config::settings::Server;
use crate::resp::args::Args;

/// From when on something is slow. [`Duration::MAX`] switches off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    entry: Duration,
    sample: Duration,
    max_entries: usize,
}

impl Thresholds {
    /// As configured.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self {
            entry: server.slowlog_slower_than.unwrap_or(Duration::MAX),
            sample: server.latency_threshold.unwrap_or(Duration::MAX),
            max_entries: server.slowlog_max_len,
        }
    }

    /// Whether so long a wait is anybody's concern.
    #[must_use]
    pub fn pass(&self, took: Duration) -> bool {
        took >= self.entry || took >= self.sample
    }
}

/// Who waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter<'a> {
    /// The client's address.
    pub addr: &'a str,
    /// Its name, empty for none.
    pub name: &'a str,
}

/// What was slow, server-wide. Bounded by `server.slowlog_max_len` and by [`SAMPLES`].
#[derive(Debug, Default)]
pub struct Slow {
    log: Mutex<SlowLog>,
    latency: Mutex<Latency>,
}

impl Slow {
    /// Notes that a command, and `lap.others` of its pipeline, waited.
    pub fn note(
        &self,
        thresholds: &Thresholds,
        lap: Lap,
        args: &Args<'_>,
        waiter: Waiter<'_>,
        now: UnixMs,
    ) {
        if lap.took >= thresholds.entry {
            self.log().push(thresholds.max_entries, lap, args, waiter, now);
        }
        if lap.took >= thresholds.sample {
            self.latency().note(Event::Command, lap.took, now);
        }
    }

    /// The slow log.
    pub fn log(&self) -> MutexGuard<'_, SlowLog> {
        // Whole entries go in and out; a panic between leaves nothing half done.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latency samples.
    pub fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
