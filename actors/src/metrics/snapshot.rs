//! What was read at one beat, and what follows from two of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::series::{Kind, Metric, Sample, Series};

/// The last word of one source.
#[derive(Debug, Clone)]
pub struct SourceState {
    /// Its name.
    pub name: Arc<str>,
    /// What it read when it last answered; empty if it never did.
    pub sample: Arc<Sample>,
    /// When it last answered.
    pub answered: Option<Instant>,
    /// Whether it failed to answer at the newest beat: the sample is an old one.
    pub stale: bool,
    /// Growth per second of each counter between its last two answers.
    rates: HashMap<&'static str, f64>,
}

impl SourceState {
    /// A source that was never asked.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            sample: Arc::default(),
            answered: None,
            stale: true,
            rates: HashMap::new(),
        }
    }

    /// The source answered.
    pub(super) fn answer(&mut self, sample: Sample, now: Instant) {
        self.rates = match self.answered {
            Some(before) => rates(&self.sample, &sample, now.saturating_duration_since(before)),
            None => HashMap::new(),
        };
        self.sample = Arc::new(sample);
        self.answered = Some(now);
        self.stale = false;
    }

    /// The source did not answer: what it read before stays, its rates do not.
    pub(super) fn miss(&mut self) {
        self.stale = true;
        self.rates.clear();
    }
}

/// Growth per second by metric, summed over its series. A series that shrank was reset
/// meanwhile, so all it shows has grown since (as Prometheus' `rate` does); one that is new
/// counts from the next time on.
fn rates(old: &Sample, new: &Sample, elapsed: Duration) -> HashMap<&'static str, f64> {
    let counters = |s: &&Series| s.metric.kind == Kind::Counter;
    let seconds = elapsed.as_secs_f64();
    if seconds <= 0.0 {
        return HashMap::new();
    }
    let before: HashMap<_, _> = old
        .series()
        .iter()
        .filter(counters)
        .map(|s| ((s.metric.name, &s.labels), s.value.number()))
        .collect();
    let mut rates = HashMap::new();
    for s in new.series().iter().filter(counters) {
        if let Some(was) = before.get(&(s.metric.name, &s.labels)) {
            let is = s.value.number();
            let grown = if is >= *was { is - was } else { is };
            *rates.entry(s.metric.name).or_insert(0.0) += grown / seconds;
        }
    }
    rates
}

/// What all sources read, as of one beat.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When it was taken; `None` before the first beat.
    pub taken: Option<Instant>,
    /// How long it took to take.
    pub took: Duration,
    /// Every source, in the order they were given.
    pub sources: Vec<SourceState>,
}

impl Snapshot {
    /// How old it is; `None` before the first beat.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.taken.map(|taken| now.saturating_duration_since(taken))
    }

    /// Every reading, source by source.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.sources.iter().flat_map(|s| s.sample.series())
    }

    /// Growth per second of a counter over the last beat, all its labels together; 0 if it is
    /// not known (yet, or because its source does not answer).
    #[must_use]
    pub fn rate(&self, metric: &Metric) -> f64 {
        self.sources.iter().filter_map(|s| s.rates.get(metric.name)).sum()
    }
}

/// Where the newest snapshot lies. Owned by whoever starts the aggregator, so that it outlives
/// each of its incarnations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Published {
    newest: Arc<watch::Sender<Arc<Snapshot>>>,
}

impl Default for Published {
    fn default() -> Self {
        Self { newest: Arc::new(watch::Sender::new(Arc::default())) }
    }
}

impl Published {
    /// Nothing published yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest snapshot.
    #[must_use]
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.borrow())
    }

    /// To be told of each new snapshot.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.newest.subscribe()
    }

    /// Replaces the newest snapshot.
    pub(super) fn publish(&self, snapshot: Snapshot) {
        self.newest.send_replace(Arc::new(snapshot));
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::Unit;
    use super::*;

    static OPS: Metric =
        Metric { name: "ops", kind: Kind::Counter, unit: Unit::None, labels: &["f"], help: "x" };
    static LEVEL: Metric =
        Metric { name: "level", kind: Kind::Gauge, unit: Unit::None, labels: &[], help: "x" };

    fn sample(reads: u64, writes: u64) -> Sample {
        let mut s = Sample::new();
        s.count(&OPS, &["read"], reads);
        s.count(&OPS, &["write"], writes);
        s.count(&LEVEL, &[], reads);
        s
    }

    #[test]
    fn rates_need_two_answers_and_sum_over_labels() {
        let start = Instant::now();
        let mut source = SourceState::new("s");
        source.answer(sample(100, 10), start);
        let mut snapshot = Snapshot { sources: vec![source], ..Snapshot::default() };
        assert_eq!(snapshot.rate(&OPS), 0.0);
        snapshot.sources[0].answer(sample(300, 20), start + Duration::from_secs(2));
        assert_eq!(snapshot.rate(&OPS), 105.0);
        assert_eq!(snapshot.rate(&LEVEL), 0.0, "a gauge has no rate");
    }

    #[test]
    fn a_reset_counter_counts_from_zero() {
        let start = Instant::now();
        let mut source = SourceState::new("s");
        source.answer(sample(1_000, 10), start);
        source.answer(sample(5, 12), start + Duration::from_secs(1));
        assert_eq!(source.rates["ops"], 7.0);
    }

    #[test]
    fn two_answers_at_the_same_instant_make_no_infinite_rate() {
        let start = Instant::now();
        let mut source = SourceState::new("s");
        source.answer(sample(1, 1), start);
        source.answer(sample(9, 9), start);
        assert!(source.rates.is_empty());
    }

    #[test]
    fn a_missed_answer_keeps_the_sample_but_not_the_rate() {
        let start = Instant::now();
        let mut source = SourceState::new("s");
        source.answer(sample(1, 1), start);
        source.answer(sample(2, 2), start + Duration::from_secs(1));
        source.miss();
        assert!(source.stale && source.rates.is_empty());
        assert_eq!(*source.sample, sample(2, 2));
    }
}
