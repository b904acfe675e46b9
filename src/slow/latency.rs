//! LATENCY: the longest wait of each second that had one, per event.

use std::collections::VecDeque;
use std::time::Duration;

use seawall_actors::clock::UnixMs;

/// Samples kept per event, Redis' number.
pub const SAMPLES: usize = 160;

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A command, from its bytes being decoded to its reply being ready to send.
    Command,
}

impl Event {
    /// Every event, in the order of their discriminants.
    pub const ALL: [Self; 1] = [Self::Command];

    /// Redis' name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
        }
    }
}

/// The longest wait of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Unix time in seconds.
    pub second: u64,
    /// Milliseconds.
    pub ms: u64,
}

#[derive(Debug, Default)]
struct Series {
    samples: VecDeque<Sample>,
    max_ms: u64,
}

/// The samples of every event.
#[derive(Debug, Default)]
pub struct Latency {
    series: [Series; Event::ALL.len()],
}

impl Latency {
    /// Adds a sample.
    pub fn note(&mut self, event: Event, took: Duration, now: UnixMs) {
        let Some(series) = self.series.get_mut(event as usize) else { return };
        let (second, ms) = (now / 1000, u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.second == second => last.ms = last.ms.max(ms),
            _ => {
                if series.samples.len() == SAMPLES {
                    series.samples.pop_front();
                }
                series.samples.push_back(Sample { second, ms });
            }
        }
    }

    /// The samples of an event, the oldest first.
    pub fn history(&self, event: Event) -> impl ExactSizeIterator<Item = Sample> + '_ {
        static NONE: VecDeque<Sample> = VecDeque::new();
        self.series.get(event as usize).map_or(&NONE, |s| &s.samples).iter().copied()
    }

    /// Events with samples: the newest sample, and the longest wait since the last reset in
    /// milliseconds.
    #[must_use]
    pub fn latest(&self) -> Vec<(Event, Sample, u64)> {
        Event::ALL
            .into_iter()
            .zip(&self.series)
            .filter_map(|(event, series)| Some((event, *series.samples.back()?, series.max_ms)))
            .collect()
    }

    /// Forgets an event; whether there was anything to forget.
    pub fn reset(&mut self, event: Event) -> bool {
        let old = self.series.get_mut(event as usize).map(std::mem::take);
        old.is_some_and(|series| !series.samples.is_empty())
    }
}
