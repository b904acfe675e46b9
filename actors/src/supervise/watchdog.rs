//! Tells an actor that hangs from one that is busy: pure, fed with samples of its pulse.

use std::time::{Duration, Instant};

/// What one sample shows: which message is being handled and how far it got; `None` when idle.
type Sample = Option<(u64, u64)>;

/// Watches one incarnation.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    seen: Option<((u64, u64), Instant)>,
}

impl Watchdog {
    /// Takes one sample; whether the actor has been on the same message, without progress, for
    /// at least `limit`.
    pub fn hangs(&mut self, sample: Sample, now: Instant, limit: Duration) -> bool {
        match (sample, self.seen) {
            (Some(at), Some((before, since))) if at == before => {
                now.saturating_duration_since(since) >= limit
            }
            (sample, _) => {
                self.seen = sample.map(|at| (at, now));
                false
            }
        }
    }

    /// How long to wait between two samples: a hang is found at most a quarter too late, and a
    /// changed limit is heeded within a second.
    pub fn beat(limit: Duration) -> Duration {
        (limit / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_message_for_long_is_a_hang() {
        let start = Instant::now();
        let s = |secs| start + Duration::from_secs(secs);
        let limit = Duration::from_secs(10);
        let mut dog = Watchdog::default();
        assert!(!dog.hangs(Some((1, 0)), s(0), limit));
        assert!(!dog.hangs(Some((2, 0)), s(11), limit), "another message");
        assert!(!dog.hangs(Some((2, 1)), s(22), limit), "progress");
        assert!(!dog.hangs(None, s(33), limit), "idle");
        assert!(!dog.hangs(Some((2, 1)), s(34), limit));
        assert!(!dog.hangs(Some((2, 1)), s(43), limit));
        assert!(dog.hangs(Some((2, 1)), s(44), limit));
        assert!(dog.hangs(Some((2, 1)), s(44), Duration::ZERO), "a limit changed live");
    }
}
