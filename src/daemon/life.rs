//! The daemon's own life: since when, under which id, and how it is asked to end.

use std::time::Instant;

use rand::RngCore as _;
use seawall_actors::clock::UnixMs;
use tokio::sync::watch;

/// What SHUTDOWN asks about saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Saving {
    /// What the configuration says.
    #[default]
    AsConfigured,
    /// SHUTDOWN SAVE.
    Save,
    /// SHUTDOWN NOSAVE.
    NoSave,
}

/// How the daemon is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StopMode {
    /// SAVE or NOSAVE.
    pub saving: Saving,
    /// Do not wait for what could be waited for.
    pub now: bool,
    /// Stop even if something that should be saved can't be.
    pub force: bool,
}

/// When the daemon started, who it is, and whether it was asked to stop.
#[derive(Debug)]
pub struct Life {
    /// Start, monotonic.
    pub started: Instant,
    /// Start, wall time.
    pub started_at: UnixMs,
    /// 40 hexadecimal digits, different at every start.
    pub run_id: String,
    stop: watch::Sender<Option<StopMode>>,
}

impl Life {
    /// A life that begins now, at `now` of wall time.
    #[must_use]
    pub fn new(now: UnixMs) -> Self {
        let mut id = [0u8; 20];
        rand::rng().fill_bytes(&mut id);
        Self {
            started: Instant::now(),
            started_at: now,
            run_id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            stop: watch::Sender::new(None),
        }
    }

    /// Asks for an orderly stop. The first request counts; later ones change nothing.
    pub fn request_stop(&self, mode: StopMode) {
        self.stop.send_if_modified(|asked| {
            let first = asked.is_none();
            if first {
                *asked = Some(mode);
            }
            first
        });
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn stopping(&self) -> Option<StopMode> {
        *self.stop.borrow()
    }

    /// Resolves when a stop is asked for.
    pub async fn stop_requested(&self) -> StopMode {
        let mut stop = self.stop.subscribe();
        loop {
            if let Some(mode) = *stop.borrow_and_update() {
                return mode;
            }
            // The sender lives in `self`.
            let _ = stop.changed().await;
        }
    }
}
