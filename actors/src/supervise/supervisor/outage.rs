//! What is said of a child that its breaker holds down: that it is, from time to time that it still
//! is, and that it is no more. Pure. A trial that fails again changes nothing.

use std::time::{Duration, Instant};

use crate::policy::Reminder;
use crate::supervise::strategy::Lifecycle;

/// From the moment the breaker opens until it closes, or the child is not tried any more.
#[derive(Debug, Default)]
pub(super) struct Outage {
    begun: Option<Reminder>,
    trials: u64,
}

/// How an event is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::supervise) struct Telling {
    /// It belongs to a trial, one of many.
    pub routine: bool,
    /// For how long the breaker has held the child down, and how many trials have failed.
    pub lasting: Option<(Duration, u64)>,
}

impl Outage {
    /// Whether the child is held down, or on trial.
    pub fn lasts(&self) -> bool {
        self.begun.is_some()
    }

    /// Takes in an event, and says how to tell it.
    pub fn tells(&mut self, lifecycle: Lifecycle, now: Instant) -> Telling {
        let Some(begun) = &mut self.begun else {
            if lifecycle == Lifecycle::Held {
                *self = Self { begun: Some(Reminder::new(now)), trials: 0 };
            }
            return Telling::default();
        };
        let mut lasting = Some((begun.lasts(now), self.trials));
        let routine = match lifecycle {
            Lifecycle::Held => {
                self.trials += 1;
                lasting = Some((begun.lasts(now), self.trials));
                !begun.is_due(now)
            }
            Lifecycle::Trial | Lifecycle::Up | Lifecycle::Restarting => true,
            Lifecycle::Added | Lifecycle::Stopping => false,
            Lifecycle::Recovered
            | Lifecycle::Stopped
            | Lifecycle::Finished
            | Lifecycle::Degraded
            | Lifecycle::Escalated
            | Lifecycle::Removed => {
                *self = Self::default();
                false
            }
        };
        Telling { routine, lasting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_trials_fail_few_lines_are_no_routine() {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        assert_eq!(outage.tells(Lifecycle::Restarting, begin), Telling::default());
        assert_eq!(outage.tells(Lifecycle::Held, begin), Telling::default());
        let (mut said, day) = (Vec::new(), 24 * 360);
        for trial in 1..=day {
            // One every ten seconds.
            let now = begin + Duration::from_secs(10 * trial);
            for lifecycle in [Lifecycle::Trial, Lifecycle::Up, Lifecycle::Held] {
                let telling = outage.tells(lifecycle, now);
                if !telling.routine {
                    said.push((lifecycle, telling.lasting));
                }
            }
            assert!(outage.lasts());
        }
        assert_eq!(said[0], (Lifecycle::Held, Some((Duration::from_secs(60), 6))));
        assert!((20..40).contains(&said.len()), "{said:?}");
        let over = outage.tells(Lifecycle::Recovered, begin + Duration::from_secs(10 * day + 1));
        let lasted = Duration::from_secs(24 * 3600 + 1);
        assert_eq!(over, Telling { routine: false, lasting: Some((lasted, day)) });
        assert_eq!(outage.tells(Lifecycle::Held, begin), Telling::default(), "another one");
    }

    #[test]
    fn one_that_is_removed_begins_anew() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        outage.tells(Lifecycle::Held, now);
        for lifecycle in [Lifecycle::Stopping, Lifecycle::Stopped] {
            assert!(!outage.tells(lifecycle, now).routine);
        }
        assert_eq!(outage.tells(Lifecycle::Up, now), Telling::default());
    }
}
