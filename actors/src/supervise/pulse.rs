//! Signs of life of one actor: written by the actor, read by its supervisor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many message kinds a flight record keeps.
pub(super) const FLIGHT_LEN: usize = 16;

/// Counters of one incarnation of an actor, and what it left behind when it ended.
///
/// Costs the actor two relaxed stores a message and no clock: the watchdog compares two samples
/// taken a while apart instead of reading times.
#[derive(Debug, Default)]
pub struct Pulse {
    sent: AtomicU64,
    entered: AtomicU64,
    left: AtomicU64,
    progress: AtomicU64,
    last_words: Mutex<LastWords>,
}

/// What an actor says when it ends.
#[derive(Debug, Default, Clone)]
pub(super) struct LastWords {
    /// The failure it returned; `None` after a panic or a kill.
    pub failure: Option<String>,
    /// The kinds of the last messages it handled, oldest first.
    pub flight: Vec<&'static str>,
}

impl Pulse {
    /// One message was put into the mailbox.
    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A message that was counted was refused by the mailbox.
    pub(super) fn unsent(&self) {
        self.sent.fetch_sub(1, Ordering::Relaxed);
    }

    /// The actor starts on a message. Only the actor calls this.
    pub(super) fn enter(&self) {
        self.entered.store(self.entered.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The actor is done with a message. Only the actor calls this.
    pub(super) fn leave(&self) {
        self.left.store(self.left.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// A message that takes long still gets on. Only the actor calls this.
    pub(super) fn progress(&self) {
        self.progress.store(self.progress.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// What changes as long as the actor gets on; `None` while it waits for a message.
    pub(super) fn sample(&self) -> Option<(u64, u64)> {
        self.busy().then(|| (self.entered(), self.progress.load(Ordering::Relaxed)))
    }

    /// Messages handled or begun so far.
    #[must_use]
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Whether a message is being handled now.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.entered.load(Ordering::Relaxed) != self.left.load(Ordering::Relaxed)
    }

    /// Messages that wait in the mailbox.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.entered())
    }

    pub(super) fn note_failure(&self, failure: &str) {
        self.lock().failure = Some(failure.to_owned());
    }

    pub(super) fn note_flight(&self, flight: Vec<&'static str>) {
        self.lock().flight = flight;
    }

    pub(super) fn last_words(&self) -> LastWords {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LastWords> {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
