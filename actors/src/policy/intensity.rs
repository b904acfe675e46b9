//! How many exits are too many: Erlang/OTP's restart intensity and period.
//!
//! From the OTP Design Principles, "Supervisor Behaviour, Maximum Restart Intensity": more than
//! `limit` exits within the last `period` mean that restarting does not help.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts exits within a sliding period. Holds at most `limit` times.
#[derive(Debug, Clone)]
pub struct Intensity {
    limit: usize,
    period: Duration,
    exits: VecDeque<Instant>,
}

impl Intensity {
    /// The highest limit; a higher one is cut to it, so that memory stays bounded.
    pub const MAX_LIMIT: u32 = 1024;

    /// More than `limit` exits within `period` are too many; `limit = 0` tolerates none.
    #[must_use]
    pub fn new(limit: u32, period: Duration) -> Self {
        let limit = usize::try_from(limit.min(Self::MAX_LIMIT)).unwrap_or(usize::MAX);
        Self { limit, period, exits: VecDeque::new() }
    }

    /// Counts one exit; whether that makes too many. Times MUST NOT run backwards.
    pub fn exceeded(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.exits.front() {
            if now.saturating_duration_since(*oldest) <= self.period {
                break;
            }
            self.exits.pop_front();
        }
        let exceeded = self.exits.len() >= self.limit;
        self.exits.push_back(now);
        if self.exits.len() > self.limit {
            self.exits.pop_front();
        }
        exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_counting_all_exits(
            limit in 0u32..6, period_ms in 1u64..50, gaps in prop::collection::vec(0u64..20, 1..100),
        ) {
            let period = Duration::from_millis(period_ms);
            let mut intensity = Intensity::new(limit, period);
            let mut all = Vec::new();
            let mut now = Instant::now();
            for gap in gaps {
                now += Duration::from_millis(gap);
                all.push(now);
                let recent = all.iter().filter(|at| now - **at <= period).count();
                prop_assert_eq!(intensity.exceeded(now), recent > limit as usize);
                prop_assert!(intensity.exits.len() <= limit as usize);
            }
        }
    }

    #[test]
    fn a_huge_limit_is_cut() {
        let mut intensity = Intensity::new(u32::MAX, Duration::MAX);
        let now = Instant::now();
        for _ in 0..Intensity::MAX_LIMIT {
            assert!(!intensity.exceeded(now));
        }
        assert!(intensity.exceeded(now));
    }
}
