//! CLIENT PAUSE: a gate that connections look at before they execute.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// Commands that change data.
    Writes,
    /// Every command.
    All,
}

/// Holds commands back until a time or until CLIENT UNPAUSE.
///
/// Costs one relaxed load where nothing is paused.
#[derive(Debug)]
pub struct PauseGate {
    /// 0: open, 1: writes wait, 2: everything waits. A hint; `state` decides.
    closed: AtomicU8,
    state: Mutex<Option<(Pause, Instant)>>,
    changed: watch::Sender<()>,
}

impl Default for PauseGate {
    fn default() -> Self {
        Self { closed: AtomicU8::new(0), state: Mutex::new(None), changed: watch::Sender::new(()) }
    }
}

impl PauseGate {
    /// Closes the gate for `time`. A pause that is on already is only ever widened and
    /// prolonged, as in Redis: the wider of the two kinds, the later of the two ends.
    pub fn close(&self, what: Pause, time: Duration) {
        let now = Instant::now();
        // An end beyond what the clock can hold is as good as a century.
        let until = now.checked_add(time).unwrap_or(now + Duration::from_secs(3_153_600_000));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = Some(match *state {
            Some((on, end)) if end > now => (on.max(what), end.max(until)),
            _ => (what, until),
        });
        self.hint(*state);
        self.changed.send_replace(());
    }

    /// Opens the gate.
    pub fn open(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = None;
        self.hint(None);
        self.changed.send_replace(());
    }

    /// Whether a command waits now. One relaxed load while nothing is paused.
    #[must_use]
    pub fn holds(&self, writes: bool) -> bool {
        self.closed.load(Ordering::Relaxed) != 0 && self.until(writes).is_some()
    }

    /// Resolves when a command may run. Safe to cancel.
    pub async fn pass(&self, writes: bool) {
        loop {
            let mut changed = self.changed.subscribe();
            let Some(until) = self.until(writes) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                // The sender lives in `self`, so this only ends by a change.
                _ = changed.changed() => {}
            }
        }
    }

    /// When a command that waits now may run at the latest; `None`: it need not wait.
    fn until(&self, writes: bool) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, until) = (*state)?;
        if until <= Instant::now() {
            *state = None;
            self.hint(None);
            return None;
        }
        (what == Pause::All || writes).then_some(until)
    }

    /// Called with `state` locked, so that the hint follows it.
    fn hint(&self, state: Option<(Pause, Instant)>) {
        let closed = match state {
            None => 0,
            Some((Pause::Writes, _)) => 1,
            Some((Pause::All, _)) => 2,
        };
        self.closed.store(closed, Ordering::Relaxed);
    }
}
