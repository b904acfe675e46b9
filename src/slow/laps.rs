//! Which part of a round took longest.

use std::time::Duration;

/// A part of a round: commands that waited together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lap {
    /// How long they took.
    pub took: Duration,
    /// The round's index of the one to name: what ran alone, or else the first of its stage.
    pub index: usize,
    /// How many there were beside it.
    pub others: usize,
}

/// Splits a round where a command ran alone, and keeps the part that took longest.
#[derive(Debug, Default)]
pub struct Laps {
    begun: Duration,
    first: usize,
    slowest: Option<Lap>,
}

impl Laps {
    /// Command `index` has run alone, after those since the last part; `at` is the time since
    /// the round began.
    pub fn alone(&mut self, at: Duration, index: usize) {
        self.part(at, index, index + 1);
    }

    /// The round of `commands` has ended `at` so long after it began.
    #[must_use]
    pub fn finish(mut self, at: Duration, commands: usize) -> Option<Lap> {
        if self.first < commands {
            self.part(at, self.first, commands);
        }
        self.slowest
    }

    fn part(&mut self, at: Duration, index: usize, end: usize) {
        let took = at.saturating_sub(self.begun);
        if self.slowest.is_none_or(|slowest| took > slowest.took) {
            self.slowest = Some(Lap { took, index, others: end.saturating_sub(self.first + 1) });
        }
        (self.begun, self.first) = (at, end);
    }
}
