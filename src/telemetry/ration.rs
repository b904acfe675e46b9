//! How many lines others may make us write: a token bucket, pure, time is handed in.

use std::time::{Duration, Instant};

/// Lines that may come at once.
pub const AT_ONCE: u32 = 20;
/// After which time one more may come.
pub const ONE_MORE: Duration = Duration::from_secs(1);

/// Rations lines that a stranger can cause as often as he likes: without it, who connects and
/// sends garbage fills the disk of the log.
#[derive(Debug)]
pub struct Ration {
    left: u32,
    /// When `left` was brought up to date.
    filled: Option<Instant>,
    withheld: u64,
}

impl Default for Ration {
    fn default() -> Self {
        Self { left: AT_ONCE, filled: None, withheld: 0 }
    }
}

impl Ration {
    /// Whether a line may be written now: then with the number of those that were withheld since
    /// the last that was.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let filled = *self.filled.get_or_insert(now);
        let more = now.saturating_duration_since(filled).as_nanos() / ONE_MORE.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX).min(AT_ONCE);
        if self.left + more >= AT_ONCE {
            (self.left, self.filled) = (AT_ONCE, Some(now));
        } else {
            (self.left, self.filled) = (self.left + more, Some(filled + ONE_MORE * more));
        }
        if self.left == 0 {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_some_lines_at_once_and_then_one_a_second() {
        let (mut ration, begin) = (Ration::default(), Instant::now());
        // A thousand a second, for ten seconds.
        let (mut written, mut accounted) = (0, 0);
        for ms in 0..=10_000 {
            if let Some(withheld) = ration.take(begin + Duration::from_millis(ms)) {
                written += 1;
                accounted += 1 + withheld;
            }
        }
        assert_eq!(written, AT_ONCE + 10);
        assert_eq!(accounted, 10_001, "the last line accounts for all before it");
    }

    #[test]
    fn what_is_rare_is_always_written() {
        let (mut ration, begin) = (Ration::default(), Instant::now());
        for n in 0..1000 {
            assert_eq!(ration.take(begin + ONE_MORE * n), Some(0));
        }
    }

    #[test]
    fn a_quiet_time_earns_no_more_than_the_lines_at_once() {
        let (mut ration, begin) = (Ration::default(), Instant::now());
        ration.take(begin);
        let later = begin + Duration::from_secs(1_000_000);
        let written = (0..100).filter(|_| ration.take(later).is_some()).count();
        assert_eq!(written, AT_ONCE as usize);
    }
}
