//! What came of logins and checks: counters, the ACL LOG, and the throttle of those who guess.

mod record;
mod throttle;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::permissions::Reason;

pub use record::{Context, Entry, Event, MAX_ENTRIES, Record};
pub use throttle::{BURST, ONE_MORE, Throttle};

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Login {
    /// The client is who it says.
    Accepted,
    /// A wrong name or password, or a user that is off.
    Refused,
    /// Not looked at: too many were refused from this address.
    Throttled,
}

impl Login {
    /// Every outcome, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Refused, Self::Throttled];

    /// The label used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
        }
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateFigures {
    logins: [u64; Login::ALL.len()],
    denied: [u64; Reason::ALL.len()],
}

impl GateFigures {
    /// Each outcome of a login with how often it was.
    pub fn logins(&self) -> impl Iterator<Item = (Login, u64)> {
        Login::ALL.into_iter().zip(self.logins)
    }

    /// Each reason why commands were denied with how often it was.
    pub fn denials(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.denied)
    }
}

/// Shared by all connections; it is met at logins and refusals only.
#[derive(Debug, Default)]
pub struct Gate {
    logins: [AtomicU64; Login::ALL.len()],
    denied: [AtomicU64; Reason::ALL.len()],
    throttle: Mutex<Throttle>,
    record: Mutex<Record>,
}

impl Gate {
    /// Whether a client of this address may try to log in; `None` stands for a Unix socket.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn may_try(&self, from: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        lock(&self.throttle).may_try(from, now)
    }

    /// Counts how a login ended; one that was refused counts against the address.
    pub fn login(&self, how: Login, from: Option<IpAddr>, now: Instant) {
        if how == Login::Refused {
            lock(&self.throttle).failed(from, now);
        }
        if let Some(counter) = self.logins.get(how as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a command that was denied.
    pub fn denied(&self, why: Reason) {
        if let Some(counter) = self.denied.get(why as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// The counters.
    #[must_use]
    pub fn figures(&self) -> GateFigures {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        GateFigures {
            logins: self.logins.each_ref().map(read),
            denied: self.denied.each_ref().map(read),
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.logins.iter().chain(&self.denied).for_each(|counter| counter.store(0, Relaxed));
    }

    /// The ACL LOG.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Numbers and whole entries: what a panic left is still of use.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
