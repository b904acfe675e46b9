//! OpenMetrics text of a snapshot (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as OmUnit};
use seawall_actors::metrics::{
    HistogramSnapshot, Kind, Metric, Sample, Series, Snapshot, Unit, Value,
};
use tokio::time::Instant;

use super::catalog;

/// What `/metrics` declares itself to be.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of exposed histograms: powers of two, 2^10 ns (1.024 µs) to 2^34 ns (17.2 s),
/// which are exact in the histograms below them.
const BOUNDS_POW2_NS: std::ops::RangeInclusive<u32> = 10..=34;

/// Writes the snapshot, and how old it is at `now`.
///
/// # Errors
/// Only if a label or number cannot be formatted, which no reading in the catalogue causes.
pub fn encode(snapshot: &Arc<Snapshot>, now: Instant) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape {
        about: about(snapshot, now),
        snapshot: Arc::clone(snapshot),
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Readings about the readings. Made at each scrape: they must not depend on the aggregator,
/// whose absence they show.
fn about(snapshot: &Snapshot, now: Instant) -> Sample {
    let mut s = Sample::new();
    if let Some(age) = snapshot.age(now) {
        s.number(&catalog::SNAPSHOT_AGE, &[], age.as_secs_f64());
        s.number(&catalog::SNAPSHOT_TIME, &[], snapshot.took.as_secs_f64());
    }
    for source in &snapshot.sources {
        s.flag(&catalog::SOURCE_STALE, &[&source.name], source.stale);
        s.count(&catalog::SERIES_DROPPED, &[&source.name], source.sample.dropped());
    }
    s
}

#[derive(Debug)]
struct Scrape {
    snapshot: Arc<Snapshot>,
    about: Sample,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // The format wants all series of a metric together.
        let mut order: Vec<&'static Metric> = Vec::new();
        let mut series_of: HashMap<&'static str, Vec<&Series>> = HashMap::new();
        for series in self.snapshot.series().chain(self.about.series()) {
            series_of
                .entry(series.metric.name)
                .or_insert_with(|| {
                    order.push(series.metric);
                    Vec::new()
                })
                .push(series);
        }
        for metric in order {
            let unit = unit(metric.unit);
            let encoder = encoder.encode_descriptor(
                metric.name,
                metric.help,
                unit.as_ref(),
                kind(metric.kind),
            )?;
            write_series(encoder, metric, series_of.get(metric.name).map_or(&[], |s| s))?;
        }
        Ok(())
    }
}

fn write_series(
    mut encoder: MetricEncoder<'_>,
    metric: &Metric,
    all: &[&Series],
) -> Result<(), std::fmt::Error> {
    for series in all {
        let labels: Vec<(&str, &str)> =
            metric.labels.iter().copied().zip(series.labels.iter().map(|l| &**l)).collect();
        let labels = labels.as_slice();
        if metric.kind == Kind::Info {
            encoder.encode_info(&labels)?;
        } else if labels.is_empty() {
            write_value(&mut encoder, metric.kind, &series.value)?;
        } else {
            write_value(&mut encoder.encode_family(&labels)?, metric.kind, &series.value)?;
        }
    }
    Ok(())
}

fn write_value(
    encoder: &mut MetricEncoder<'_>,
    kind: Kind,
    value: &Value,
) -> Result<(), std::fmt::Error> {
    match (kind, value) {
        (_, Value::Durations(durations)) => write_histogram(encoder, durations),
        (Kind::Counter, Value::Count(n)) => encoder.encode_counter::<NoLabelSet, _, f64>(n, None),
        (Kind::Counter, Value::Number(x)) => encoder.encode_counter::<NoLabelSet, _, f64>(x, None),
        (_, Value::Count(n)) => encoder.encode_gauge(n),
        (_, Value::Number(x)) => encoder.encode_gauge(x),
    }
}

#[allow(clippy::cast_precision_loss, reason = "sums of nanoseconds, shown in seconds")]
fn write_histogram(
    encoder: &mut MetricEncoder<'_>,
    durations: &HistogramSnapshot,
) -> Result<(), std::fmt::Error> {
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = BOUNDS_POW2_NS
        .map(|bits| {
            let at_most = durations.at_most_pow2(bits);
            let here = at_most.saturating_sub(below);
            below = at_most;
            ((1u64 << bits) as f64 / 1e9, here)
        })
        .collect();
    buckets.push((f64::INFINITY, durations.count().saturating_sub(below)));
    let sum = durations.sum_ns() as f64 / 1e9;
    encoder.encode_histogram::<NoLabelSet>(sum, durations.count(), &buckets, None)
}

const fn unit(unit: Unit) -> Option<OmUnit> {
    match unit {
        Unit::None => None,
        Unit::Seconds => Some(OmUnit::Seconds),
        Unit::Bytes => Some(OmUnit::Bytes),
    }
}

const fn kind(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}
