//! When to say again what goes on: at once, then at growing distances.
//!
//! What is tried again and again fails again and again. A line for each time says nothing new, and
//! no line at all lets an outage be forgotten.

use std::time::{Duration, Instant};

/// From the beginning to the first reminder; from each to the next it is twice as long.
const FIRST: Duration = Duration::from_secs(60);
/// No longer than this.
const MOST: Duration = Duration::from_secs(3600);

/// See the module. One for each thing that goes on.
#[derive(Debug, Clone)]
pub struct Reminder {
    since: Instant,
    gap: Duration,
    due: Instant,
}

impl Reminder {
    /// It begins, and is said.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { since: now, gap: FIRST, due: now + FIRST }
    }

    /// It goes on; whether to say so.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.due;
        if due {
            self.gap = (self.gap * 2).min(MOST);
            self.due = now + self.gap;
        }
        due
    }

    /// For how long it has gone on.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_come_at_distances_that_double_up_to_an_hour() {
        let begin = Instant::now();
        let mut reminder = Reminder::new(begin);
        let said = |reminder: &mut Reminder| {
            let seconds =
                (1..=6 * 3600).filter(|s| reminder.is_due(begin + Duration::from_secs(*s)));
            seconds.map(|s| s / 60).collect::<Vec<_>>()
        };
        assert_eq!(said(&mut reminder), [1, 3, 7, 15, 31, 63, 123, 183, 243, 303]);
        assert_eq!(reminder.lasts(begin + FIRST), FIRST);
    }
}
