//! How far Redis' clock is from ours. Pure.
//!
//! Redis is asked for its TIME, and its answer was true at some moment between question and answer:
//! most likely in the middle, and off by half of the round trip at most (Cristian, *Probabilistic clock
//! synchronization*, 1989).

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use crate::clock::UnixMs;

/// A measure is believed for so long before a worse one takes its place.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The difference of two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// How far Redis' clock is ahead of ours, milliseconds; behind, if it is negative.
    pub ahead_ms: i64,
    /// By how much that may be wrong, milliseconds.
    pub within_ms: u64,
}

impl Skew {
    /// From an answer to TIME, and from when it was asked and answered by our clock. `None`: it is no
    /// time, or our clock went back meanwhile.
    pub(super) fn of(answer: &Value, asked: UnixMs, answered: UnixMs) -> Option<Self> {
        let theirs_ms = match answer {
            Value::Array(parts) => match parts.as_slice() {
                [seconds, micros] => {
                    number(seconds)?.checked_mul(1000)?.checked_add(number(micros)? / 1000)?
                }
                _ => return None,
            },
            _ => return None,
        };
        let trip = answered.checked_sub(asked)?;
        let ours_ms = asked + trip / 2;
        Some(Self {
            ahead_ms: i64::try_from(i128::from(theirs_ms) - i128::from(ours_ms)).ok()?,
            // Both are cut to milliseconds.
            within_ms: trip.div_ceil(2) + 1,
        })
    }

    /// How far apart the clocks are at least, milliseconds.
    #[must_use]
    pub fn at_least_ms(&self) -> u64 {
        self.ahead_ms.unsigned_abs().saturating_sub(self.within_ms)
    }

    /// Whether both may be right.
    fn agrees(&self, other: &Self) -> bool {
        self.ahead_ms.abs_diff(other.ahead_ms) <= self.within_ms + other.within_ms
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

/// The measure that is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    kept: Option<(Skew, Instant)>,
}

impl Measure {
    pub fn skew(&self) -> Option<Skew> {
        self.kept.map(|(skew, _)| skew)
    }

    /// Takes in another measure; whether it is believed from now on. A busy moment's long round trip
    /// does not take the place of a good one, unless that is old, or a clock has been set meanwhile.
    pub fn take(&mut self, skew: Skew, now: Instant) -> bool {
        let better = self.kept.is_none_or(|(kept, at)| {
            skew.within_ms <= kept.within_ms
                || now.saturating_duration_since(at) >= KEPT_FOR
                || !skew.agrees(&kept)
        });
        if better {
            self.kept = Some((skew, now));
        }
        better
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(ms: u64) -> Value {
        let text = |n: u64| Value::BulkString(n.to_string().into_bytes());
        Value::Array(vec![text(ms / 1000), text(ms % 1000 * 1000 + 999)])
    }

    proptest! {
        /// Whenever on its way Redis has looked at its clock.
        #[test]
        fn the_truth_is_within_what_is_said(
            asked in 1_000_000_000_000u64..2_000_000_000_000,
            there in 0u64..5_000,
            back in 0u64..5_000,
            ahead in -10_000_000i64..10_000_000,
        ) {
            let theirs = (asked + there).saturating_add_signed(ahead);
            let skew = Skew::of(&time(theirs), asked, asked + there + back).expect("a time");
            prop_assert!(skew.ahead_ms.abs_diff(ahead) <= skew.within_ms, "{skew:?}");
            prop_assert!(skew.at_least_ms() <= ahead.unsigned_abs());
        }
    }

    #[test]
    fn what_is_no_time_says_nothing() {
        for answer in [Value::Nil, Value::Array(vec![]), Value::Array(vec![Value::Nil, Value::Nil])]
        {
            assert_eq!(Skew::of(&answer, 5, 6), None);
        }
        assert_eq!(Skew::of(&time(5), 6, 5), None, "our clock went back");
    }

    #[test]
    fn a_good_measure_stays_until_it_is_old_or_a_clock_is_set() {
        let (mut measure, begun) = (Measure::default(), Instant::now());
        let skew = |ahead_ms, within_ms| Skew { ahead_ms, within_ms };
        assert!(measure.take(skew(10, 2), begun));
        assert!(!measure.take(skew(40, 90), begun));
        assert_eq!(measure.skew(), Some(skew(10, 2)));
        assert!(measure.take(skew(11, 1), begun));
        assert!(measure.take(skew(-9_000, 90), begun), "a clock was set");
        assert!(measure.take(skew(-9_000, 95), begun + KEPT_FOR), "it is old");
    }
}
