//! A word now and then on how far a long task is.

use std::time::{Duration, Instant};

use super::complain;

/// Between two words.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Tells it on standard error, so that standard output stays the result's.
pub(super) struct Progress {
    said: Instant,
}

impl Progress {
    /// A task that begins now.
    pub(super) fn begin() -> Self {
        Self { said: Instant::now() }
    }

    /// What is being done, and how much of it is. Most calls say nothing.
    pub(super) fn tell(&mut self, doing: &str, bytes: u64, total_bytes: u64) {
        if self.said.elapsed() >= TELL_EVERY {
            self.said = Instant::now();
            let percent = bytes.saturating_mul(100) / total_bytes.max(1);
            complain(&format!("{doing}: {percent} % of {total_bytes} bytes"));
        }
    }
}
