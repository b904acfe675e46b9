//! The outcomes that a breaker judges by: the last N calls, or those of the last while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a window adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub calls: u32,
    pub failures: u32,
    pub slow: u32,
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(outcome.failed));
        self.slow = self.slow.saturating_add(u32::from(outcome.slow));
    }

    fn subtract(&mut self, outcome: Outcome) {
        self.calls = self.calls.saturating_sub(1);
        self.failures = self.failures.saturating_sub(u32::from(outcome.failed));
        self.slow = self.slow.saturating_sub(u32::from(outcome.slow));
    }
}

/// One call's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub failed: bool,
    pub slow: bool,
}

/// How many slices a time window is cut into: what is forgotten is forgotten by the slice, as in
/// resilience4j's time-based sliding window.
pub(super) const SLICES: usize = 16;

/// A sliding window of outcomes, of bounded size.
#[derive(Debug, Clone)]
pub(super) enum Window {
    /// The last `size` calls.
    Count { size: usize, kept: VecDeque<Outcome>, totals: Totals },
    /// The calls of about the last `SLICES * slice`.
    Time { slice: Duration, origin: Option<Instant>, newest: u128, slices: [Totals; SLICES] },
}

impl Window {
    pub fn count(size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self::Count { size, kept: VecDeque::new(), totals: Totals::default() }
    }

    pub fn time(period: Duration) -> Self {
        let slice = (period / 16).max(Duration::from_nanos(1));
        Self::Time { slice, origin: None, newest: 0, slices: [Totals::default(); SLICES] }
    }

    /// Takes in one outcome and tells what the window now adds up to.
    pub fn record(&mut self, outcome: Outcome, now: Instant) -> Totals {
        match self {
            Self::Count { size, kept, totals } => {
                if kept.len() >= *size
                    && let Some(oldest) = kept.pop_front()
                {
                    totals.subtract(oldest);
                }
                kept.push_back(outcome);
                totals.add(outcome);
                *totals
            }
            Self::Time { slice, origin, newest, slices } => {
                let age = now.saturating_duration_since(*origin.get_or_insert(now));
                let at = age.as_nanos() / slice.as_nanos().max(1);
                // Forget every slice between the newest and this one, at most all of them.
                for step in 1..=at.saturating_sub(*newest).min(SLICES as u128) {
                    slices[slot(*newest + step)] = Totals::default();
                }
                if at > newest.saturating_add(SLICES as u128) {
                    *slices = [Totals::default(); SLICES];
                }
                *newest = at.max(*newest);
                slices[slot(*newest)].add(outcome);
                slices.iter().fold(Totals::default(), |sum, part| Totals {
                    calls: sum.calls.saturating_add(part.calls),
                    failures: sum.failures.saturating_add(part.failures),
                    slow: sum.slow.saturating_add(part.slow),
                })
            }
        }
    }

    /// Forgets all outcomes.
    pub fn clear(&mut self) {
        match self {
            Self::Count { kept, totals, .. } => {
                kept.clear();
                *totals = Totals::default();
            }
            Self::Time { origin, newest, slices, .. } => {
                *origin = None;
                *newest = 0;
                *slices = [Totals::default(); SLICES];
            }
        }
    }
}

fn slot(at: u128) -> usize {
    usize::try_from(at % SLICES as u128).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn totals<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Totals {
        let mut totals = Totals::default();
        outcomes.for_each(|o| totals.add(*o));
        totals
    }

    proptest! {
        #[test]
        fn agree_with_keeping_everything(
            size in 1u32..20,
            calls in prop::collection::vec((0u64..2_000, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let slice = Duration::from_millis(50);
            let mut count = Window::count(size);
            let mut time = Window::time(slice * 16);
            let start = Instant::now() + Duration::from_millis(calls[0].0);
            let mut now = start - Duration::from_millis(calls[0].0);
            let mut all: Vec<(u128, Outcome)> = Vec::new();
            for (gap, failed, slow) in calls {
                now += Duration::from_millis(gap);
                let outcome = Outcome { failed, slow };
                let at = (now - start).as_nanos() / slice.as_nanos();
                all.push((at, outcome));
                let last = all.iter().rev().take(size as usize).map(|(_, o)| o);
                prop_assert_eq!(count.record(outcome, now), totals(last));
                let recent = all.iter().filter(|(then, _)| at - then < 16).map(|(_, o)| o);
                prop_assert_eq!(time.record(outcome, now), totals(recent));
            }
        }
    }
}
