//! How fast pieces are pulled: clients come first.

use std::time::Duration;

/// For each unit of time that a piece took to get to the file, so many pass without a question.
const REST: u32 = 4;
/// Shorter naps are saved up: the runtime's timer counts milliseconds.
const LEAST_NAP: Duration = Duration::from_millis(1);
/// A shard that was lent or restarting has not been busy with pieces.
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// What is still owed to the clients.
///
/// A piece takes a shard some ten microseconds, and hashing it as long, but the next question would
/// come at once. A piece that takes longer says that others wait, too, so the pace falls with the
/// load by itself: there is no rate to set.
#[derive(Debug, Default)]
pub(super) struct Pace {
    owed: Duration,
}

impl Pace {
    /// How long to rest now that a piece `took` so long to come.
    pub(super) fn after(&mut self, took: Duration) -> Option<Duration> {
        self.owed = self.owed.saturating_add(took.saturating_mul(REST)).min(LONGEST_NAP);
        (self.owed >= LEAST_NAP).then(|| std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_time_is_the_most_that_pieces_take() {
        let (mut pace, mut rested) = (Pace::default(), Duration::ZERO);
        for _ in 0..1000 {
            rested += pace.after(Duration::from_micros(50)).unwrap_or_default();
        }
        assert_eq!(rested, Duration::from_millis(200));
    }

    #[test]
    fn a_shard_that_was_away_does_not_hold_the_snapshot_up() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(Duration::from_secs(9)), Some(LONGEST_NAP));
        assert_eq!(pace.after(Duration::from_micros(1)), None);
    }
}
