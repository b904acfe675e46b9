//! Measuring: histograms for the hot path, and the actor that gathers what others measure.
//!
//! Nothing waits for the [`Aggregator`]: on its own beat it asks every [`Source`], each within
//! a deadline, and publishes one [`Snapshot`]. Readers take the newest snapshot from a `watch`,
//! which outlives the actor: while it is down, they see the last one and its age.
//!
//! Architecture invariant: this module knows no exposition format and no metric of the daemon.

mod aggregator;
mod histogram;
mod series;
mod snapshot;
mod source;

pub use aggregator::{Aggregator, Args, Msg, Settings};
pub use histogram::{Histogram, HistogramSnapshot};
pub use series::{Kind, MAX_LABEL_CHARS, MAX_SERIES, Metric, Sample, Series, Unit, Value};
pub use snapshot::{Published, Snapshot, SourceState};
pub use source::{Source, SourceFn};
