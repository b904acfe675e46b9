//! The words of measuring: what a metric is, and one reading of it.

use super::histogram::HistogramSnapshot;

/// One [`Sample`] holds at most so many series; the rest is dropped and counted.
pub const MAX_SERIES: usize = 16_384;
/// A label's value is cut after so many characters.
pub const MAX_LABEL_CHARS: usize = 128;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until its owner restarts or is reset.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts durations.
    Histogram,
    /// Always 1; what it says is in its labels.
    Info,
}

impl Kind {
    /// The name in documentation and expositions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What a metric's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A metric: described once, as a constant.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name without unit and suffix.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What the number counts.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence without the full stop.
    pub help: &'static str,
}

impl Metric {
    /// The name as it is exposed: with unit and, by OpenMetrics' rules, suffix.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = match self.unit {
            Unit::None => "",
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
        };
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{suffix}", self.name)
    }
}

/// A number that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// Any number.
    Number(f64),
    /// Counted durations.
    Durations(HistogramSnapshot),
}

impl Value {
    /// As one number; a histogram is its count.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "rates need no more than 53 bits")]
    pub fn number(&self) -> f64 {
        match self {
            Self::Count(n) => *n as f64,
            Self::Number(x) => *x,
            Self::Durations(h) => h.count() as f64,
        }
    }
}

/// One reading of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Of which metric.
    pub metric: &'static Metric,
    /// The values of its labels, in the order of [`Metric::labels`].
    pub labels: Vec<Box<str>>,
    /// What was read.
    pub value: Value,
}

/// What one source read at one moment. Bounded: see [`MAX_SERIES`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    series: Vec<Series>,
    dropped: u64,
}

impl Sample {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a whole number. `labels` are values, as many as the metric has labels.
    pub fn count(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.push(metric, labels, Value::Count(value));
    }

    /// Adds any number.
    pub fn number(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.push(metric, labels, Value::Number(value));
    }

    /// Adds 1 or 0.
    pub fn flag(&mut self, metric: &'static Metric, labels: &[&str], value: bool) {
        self.push(metric, labels, Value::Count(value.into()));
    }

    /// Adds counted durations.
    pub fn durations(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        value: HistogramSnapshot,
    ) {
        self.push(metric, labels, Value::Durations(value));
    }

    fn push(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        if self.series.len() >= MAX_SERIES {
            self.dropped += 1;
            return;
        }
        let labels = labels.iter().map(|l| l.chars().take(MAX_LABEL_CHARS).collect()).collect();
        self.series.push(Series { metric, labels, value });
    }

    /// What was read, in the order it was added.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Series that found no room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static M: Metric =
        Metric { name: "a", kind: Kind::Counter, unit: Unit::Bytes, labels: &["l"], help: "x" };

    #[test]
    fn names_carry_unit_and_suffix() {
        assert_eq!(M.full_name(), "a_bytes_total");
    }

    #[test]
    fn a_sample_is_bounded() {
        let mut sample = Sample::new();
        for _ in 0..MAX_SERIES + 7 {
            sample.count(&M, &["x"], 1);
        }
        assert_eq!((sample.series().len(), sample.dropped()), (MAX_SERIES, 7));
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        let mut sample = Sample::new();
        sample.count(&M, &["ü".repeat(1000).as_str()], 1);
        assert_eq!(sample.series()[0].labels[0].chars().count(), MAX_LABEL_CHARS);
    }
}
