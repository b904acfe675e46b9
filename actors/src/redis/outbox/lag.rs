//! How far Redis lags behind the log: records, bytes, and since when. Pure.
//!
//! Every second it is noted how far the log is. Where Redis is lies between two such notes, and so
//! do its bytes and its time, as if the log had grown evenly from one to the next.

use std::collections::VecDeque;

use crate::clock::UnixMs;
use crate::journal::Lsn;

/// Notes that are kept. Beyond, every second one goes.
const MOST: usize = if cfg!(test) { 8 } else { 1024 };

/// How far the log was at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Its last LSN.
    pub lsn: Lsn,
    /// Its bytes, counted from any point.
    pub bytes: u64,
    /// When, Unix milliseconds.
    pub wall_ms: UnixMs,
}

/// What Redis does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Log sequence numbers.
    pub records: u64,
    /// Bytes of the log, about.
    pub bytes: u64,
    /// When the oldest was logged, about, Unix milliseconds; `None`: Redis has all.
    pub oldest_ms: Option<UnixMs>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// In the order of their LSNs. Where the log stood still, the first and the last of that.
    marks: VecDeque<Mark>,
    /// Bytes that were there before any was counted, less those that were counted before it began.
    before: u64,
}

impl Notes {
    /// A log that was known to be here when Redis had it up to `from`, and had so many bytes behind
    /// that at `begun`, where it was when `counted` bytes had been counted.
    pub fn begin(&mut self, from: Mark, begun: Mark, counted: u64) {
        // Modulo 2^64, as it is added again.
        self.before = begun.bytes.wrapping_sub(counted);
        self.marks = [Mark { bytes: 0, ..from }, begun].into();
    }

    /// The log is here now, and Redis has everything up to `acknowledged`.
    pub fn note(&mut self, now: Mark, acknowledged: Lsn) {
        let now = self.placed(now);
        // What is behind Redis tells nothing more, but for the last of it.
        while self.marks.get(1).is_some_and(|mark| mark.lsn <= acknowledged) {
            self.marks.pop_front();
        }
        if self.marks.iter().rev().take_while(|mark| mark.lsn >= now.lsn).count() > 1 {
            self.marks.pop_back();
        }
        self.marks.push_back(now);
        if self.marks.len() > MOST {
            let mut at = 0;
            self.marks.retain(|_| {
                at += 1;
                at <= 2 || at % 2 == 1 || at > MOST
            });
        }
    }

    fn placed(&self, now: Mark) -> Mark {
        Mark { bytes: now.bytes.wrapping_add(self.before), ..now }
    }

    /// What Redis does not have of a log that is here now.
    pub fn lag(&self, now: Mark, acknowledged: Lsn) -> Lag {
        let records = now.lsn.saturating_sub(acknowledged);
        if records == 0 {
            return Lag::default();
        }
        let now = self.placed(now);
        let at = self.marks.partition_point(|mark| mark.lsn <= acknowledged);
        let after = self.marks.get(at).copied().unwrap_or(now);
        // Of what is before the first note nothing is known.
        let before = at.checked_sub(1).and_then(|at| self.marks.get(at)).copied().unwrap_or(after);
        // The first record behind it.
        let share = |from: u64, to: u64, records: u64| {
            let (span, of) = (to.saturating_sub(from), after.lsn.saturating_sub(before.lsn));
            from + (u128::from(span) * u128::from(records)).checked_div(of.into()).map_or(0, clip)
        };
        let into = acknowledged.saturating_sub(before.lsn);
        let bytes = now.bytes.saturating_sub(share(before.bytes, after.bytes, into));
        let oldest_ms = share(before.wall_ms, after.wall_ms, into + 1).min(after.wall_ms);
        Lag { records, bytes, oldest_ms: Some(oldest_ms) }
    }
}

fn clip(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(lsn: Lsn) -> Mark {
        Mark { lsn, bytes: lsn * 100, wall_ms: 1_000_000 + lsn * 10 }
    }

    #[test]
    fn a_redis_that_has_all_lags_behind_nothing() {
        let mut notes = Notes::default();
        assert_eq!(notes.lag(mark(0), 0), Lag::default());
        notes.note(mark(5), 5);
        assert_eq!(notes.lag(mark(5), 5), Lag::default());
    }

    #[test]
    fn the_oldest_is_the_first_that_redis_lacks() {
        let mut notes = Notes::default();
        notes.note(mark(5), 5);
        // Long after, and all at once.
        let idle = Mark { wall_ms: 9_000_000, ..mark(5) };
        notes.note(idle, 5);
        let late = Mark { lsn: 7, bytes: 700, wall_ms: 9_001_000 };
        let lag = notes.lag(late, 5);
        assert_eq!((lag.records, lag.bytes), (2, 200));
        assert!(lag.oldest_ms.is_some_and(|at| (9_000_000..=9_001_000).contains(&at)), "{lag:?}");
        // It stays the oldest, however much comes.
        notes.note(late, 5);
        for n in 1..100 {
            let more = Mark { lsn: 7 + n, bytes: 700 + n, wall_ms: 9_001_000 + n * 1_000 };
            notes.note(more, 5);
            assert_eq!(notes.lag(more, 5).oldest_ms, lag.oldest_ms);
        }
    }

    #[test]
    fn what_was_there_before_is_counted_from_what_is_known_of_it() {
        let mut notes = Notes::default();
        // The same, whether it was begun with the count or later.
        for counted in [0, 5_000] {
            notes.begin(mark(10), Mark { bytes: 2_000, ..mark(30) }, counted);
            let lag = notes.lag(Mark { bytes: counted + 1_000, ..mark(40) }, 10);
            assert_eq!(lag, Lag { records: 30, bytes: 3_000, oldest_ms: Some(1_000_110) });
        }
        // Further back than anybody knows.
        assert_eq!(notes.lag(mark(40), 4).records, 36);
    }

    proptest! {
        /// A log that grows evenly, whatever was noted when: bytes and time are exact.
        #[test]
        fn an_even_log_is_measured_exactly(
            steps in proptest::collection::vec((0u64..20, 0u64..20), 1..100),
        ) {
            let (mut notes, mut last, mut acknowledged) = (Notes::default(), 0, 0);
            notes.note(mark(0), 0);
            for (grows, follows) in steps {
                last += grows;
                acknowledged = (acknowledged + follows).min(last);
                notes.note(mark(last), acknowledged);
                prop_assert!(notes.marks.len() <= MOST);
                let lag = notes.lag(mark(last), acknowledged);
                if last == acknowledged {
                    prop_assert_eq!(lag, Lag::default());
                } else {
                    let due = Lag {
                        records: last - acknowledged,
                        bytes: (last - acknowledged) * 100,
                        oldest_ms: Some(mark(acknowledged + 1).wall_ms),
                    };
                    prop_assert_eq!(lag, due);
                }
            }
        }
    }
}
