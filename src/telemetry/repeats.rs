//! When to say again what has been said: a pure gate, time is handed in.

use std::time::{Duration, Instant};

/// An error that has not come for this long is news when it comes again.
pub const QUIET: Duration = Duration::from_secs(60);

/// Lets the first of many equal complaints pass, and the next one only after [`QUIET`] without
/// any. Successes in between do not count as quiet: near a limit (file descriptors) each client
/// that leaves lets one other in, and every second try would be a line.
#[derive(Debug, Default)]
pub struct Repeats {
    last: Option<Instant>,
}

impl Repeats {
    /// Notes a complaint; returns whether to say it.
    pub fn is_news(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once_however_long_it_goes_on() {
        let (mut gate, begin) = (Repeats::default(), Instant::now());
        assert!(gate.is_news(begin));
        for second in 1..=300 {
            assert!(!gate.is_news(begin + Duration::from_secs(second)), "after {second} s");
        }
    }

    #[test]
    fn what_comes_back_after_a_quiet_time_is_said_again() {
        let (mut gate, mut now) = (Repeats::default(), Instant::now());
        for (gap, news) in [(0, true), (59, false), (59, false), (60, true), (1, false)] {
            now += Duration::from_secs(gap);
            assert_eq!(gate.is_news(now), news, "after {gap} s more");
        }
    }
}
