//! How far Redis' clock is from ours, or those of a Cluster's masters. Pure.
//!
//! Redis is asked for its TIME, and its answer was true at some moment between question and answer:
//! most likely in the middle, and off by half of the round trip at most (Cristian, *Probabilistic clock
//! synchronization*, 1989).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::nodes::Node;
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

/// The clock of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerClock {
    /// Which master of a Cluster; `None`: there is one server only.
    pub node: Option<Node>,
    /// How far it is from ours.
    pub skew: Skew,
}

/// The measures that are believed, of as many servers as there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Measures {
    kept: BTreeMap<Option<Node>, (Skew, Instant)>,
}

impl Measures {
    /// Every clock that is known, first those that surely are farthest from ours.
    pub fn clocks(&self) -> Vec<ServerClock> {
        let clock = |(node, (skew, _)): (&Option<Node>, &(Skew, Instant))| ServerClock {
            node: node.clone(),
            skew: *skew,
        };
        let mut clocks: Vec<ServerClock> = self.kept.iter().map(clock).collect();
        clocks.sort_by_key(|clock| Reverse((clock.skew.at_least_ms(), clock.skew.ahead_ms.abs())));
        clocks
    }

    /// Takes in other measures, and forgets whoever is no master any more (`masters` are those of a
    /// Cluster); whether that changed anything.
    pub fn take(
        &mut self,
        clocks: Vec<ServerClock>,
        masters: &BTreeSet<Node>,
        now: Instant,
    ) -> bool {
        let known = self.kept.len();
        self.kept.retain(|node, _| match node {
            Some(node) => masters.contains(node),
            None => masters.is_empty(),
        });
        let mut changed = self.kept.len() != known;
        for ServerClock { node, skew } in clocks {
            let better = self.kept.get(&node).is_none_or(|kept| is_better(&skew, kept, now));
            if better {
                self.kept.insert(node, (skew, now));
            }
            changed |= better;
        }
        changed
    }
}

/// Whether a measure takes the place of another. A busy moment's long round trip does not, unless the
/// other is old, or a clock has been set meanwhile.
fn is_better(skew: &Skew, (kept, at): &(Skew, Instant), now: Instant) -> bool {
    skew.within_ms <= kept.within_ms
        || now.saturating_duration_since(*at) >= KEPT_FOR
        || !skew.agrees(kept)
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
        let (mut measures, begun) = (Measures::default(), Instant::now());
        let mut take = |ahead_ms, within_ms, now| {
            let clock = ServerClock { node: None, skew: Skew { ahead_ms, within_ms } };
            let taken = measures.take(vec![clock.clone()], &BTreeSet::new(), now);
            assert_eq!(taken, measures.clocks() == [clock]);
            taken
        };
        assert!(take(10, 2, begun));
        assert!(!take(40, 90, begun));
        assert!(take(11, 1, begun));
        assert!(take(-9_000, 90, begun), "a clock was set");
        assert!(take(-9_000, 95, begun + KEPT_FOR), "it is old");
    }

    #[test]
    fn the_one_that_surely_differs_most_comes_first_and_only_those_that_are_there() {
        let (mut measures, now) = (Measures::default(), Instant::now());
        let node = |port| Node { host: "h".into(), port };
        let clock = |port, ahead_ms, within_ms| ServerClock {
            node: Some(node(port)),
            skew: Skew { ahead_ms, within_ms },
        };
        let nodes = |ports: &[u16]| ports.iter().copied().map(node).collect::<BTreeSet<Node>>();
        let three = vec![clock(1, 3, 1), clock(2, 5_000, 4_900), clock(3, -900, 2)];
        assert!(measures.take(three.clone(), &nodes(&[1, 2, 3]), now));
        let [first, second, third] = [&three[2], &three[1], &three[0]].map(Clone::clone);
        assert_eq!(measures.clocks(), [first, second.clone(), third.clone()]);
        // The third was replaced, and nobody has asked its successor yet.
        assert!(measures.take(Vec::new(), &nodes(&[1, 2, 4]), now));
        assert_eq!(measures.clocks(), [second, third]);
        assert!(!measures.take(Vec::new(), &nodes(&[1, 2, 4]), now));
        // Now it is one server.
        let one = ServerClock { node: None, skew: Skew { ahead_ms: 1, within_ms: 9 } };
        assert!(measures.take(vec![one.clone()], &BTreeSet::new(), now));
        assert_eq!(measures.clocks(), [one]);
    }
}
