//! The one place that reads a clock.
//!
//! Two times exist: *wall* time, Unix milliseconds, for what is written down or told to clients
//! (a TTL, a log frame); and *monotonic* time ([`std::time::Instant`]) for durations. Pure code
//! is handed a time, it never asks for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failpoint::{self, Point};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMs = u64;

/// Where wall time comes from: the system, or a test that sets it by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The operating system's clock.
    #[default]
    System,
    /// A clock that only moves when told to.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `unix_ms` until [`Clock::set`] moves it.
    #[must_use]
    pub fn manual(unix_ms: UnixMs) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(unix_ms)))
    }

    /// Wall time in Unix milliseconds; 0 if the system's clock stands before 1970.
    #[must_use]
    pub fn unix_ms(&self) -> UnixMs {
        match self {
            Self::System => {
                let ms = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
                ms.saturating_add_signed(failpoint::number(Point::ClockWall).unwrap_or(0))
            }
            Self::Manual(at) => at.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock; does nothing to the system's.
    pub fn set(&self, unix_ms: UnixMs) {
        if let Self::Manual(at) = self {
            at.store(unix_ms, Ordering::Relaxed);
        }
    }
}
