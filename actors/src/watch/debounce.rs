//! Many changes in a row are one change. Pure.

use std::time::{Duration, Instant};

/// Waits until it has been quiet for a while, but not for ever.
#[derive(Debug, Clone)]
pub struct Debounce {
    quiet: Duration,
    at_most: Duration,
    /// The first and the last change that were not reported.
    pending: Option<(Instant, Instant)>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Report, once.
    Fire,
    /// Ask again at this time.
    Wait(Instant),
    /// There is nothing to report.
    Idle,
}

impl Debounce {
    /// Reports after `quiet` without a change, and `at_most` after the first change.
    #[must_use]
    pub fn new(quiet: Duration, at_most: Duration) -> Self {
        Self { quiet, at_most, pending: None }
    }

    /// Something changed.
    pub fn touched(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// When the pending changes will be reported, if there are any.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.map(|(first, last)| (last + self.quiet).min(first + self.at_most))
    }

    /// What to do now. [`Next::Fire`] forgets the changes it reports.
    pub fn due(&mut self, now: Instant) -> Next {
        match self.deadline() {
            None => Next::Idle,
            Some(at) if now < at => Next::Wait(at),
            Some(_) => {
                self.pending = None;
                Next::Fire
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUIET: Duration = Duration::from_millis(200);
    const AT_MOST: Duration = Duration::from_millis(2000);

    proptest! {
        /// Against the definition: a burst ends at the first quiet gap or at its limit, and is
        /// reported exactly once, at exactly that time.
        #[test]
        fn every_burst_is_reported_once_and_in_time(gaps in proptest::collection::vec(1u64..500, 1..60)) {
            let start = Instant::now();
            let mut touches = Vec::new();
            let mut at = 0;
            for gap in &gaps {
                at += gap;
                touches.push(at);
            }
            let mut expected = Vec::new();
            let mut burst: Option<(u64, u64)> = None;
            for &t in &touches {
                if let Some((first, last)) = burst {
                    let due = (last + 200).min(first + 2000);
                    if due <= t {
                        expected.push(due);
                        burst = None;
                    }
                }
                burst = Some((burst.map_or(t, |(first, _)| first), t));
            }
            if let Some((first, last)) = burst {
                expected.push((last + 200).min(first + 2000));
            }

            let mut machine = Debounce::new(QUIET, AT_MOST);
            let mut fired = Vec::new();
            for ms in 0..=at + 2001 {
                let now = start + Duration::from_millis(ms);
                if machine.due(now) == Next::Fire {
                    fired.push(ms);
                }
                if touches.contains(&ms) {
                    machine.touched(now);
                }
            }
            prop_assert_eq!(fired, expected);
            prop_assert_eq!(machine.deadline(), None);
        }
    }
}
