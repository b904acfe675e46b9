//! What can be wrong with snapshots and the room for the log while everything runs.

use super::upkeep::Pressure;
use crate::supervise::{Condition, Conditions};

/// Held by whoever wires the snapshotter, so that its restart hides nothing. The snapshotter logs
/// each in its own words.
#[derive(Debug)]
pub struct Troubles {
    failed: Condition,
    undeleted: Condition,
    over_max_size: Condition,
}

impl Troubles {
    /// None so far; `path` is the snapshotter's place in the tree.
    #[must_use]
    pub fn new(conditions: &Conditions, path: &str) -> Self {
        let declare = |name| conditions.declare(path, name).quiet();
        Self {
            failed: declare("snapshot_failed"),
            undeleted: declare("log_not_deleted"),
            over_max_size: declare("log_over_max_size"),
        }
    }

    /// How the last snapshot went.
    pub(super) fn snapshot(&self, failure: Option<&str>) {
        say(&self.failed, failure.map(|why| format!("the last snapshot failed: {why}")));
    }

    /// Whether what is old can be deleted.
    pub(super) fn disk(&self, failure: Option<&str>) {
        let why = failure.map(|why| format!("old log and snapshots cannot be deleted: {why}"));
        say(&self.undeleted, why);
    }

    /// Whether the log is larger than it may be.
    pub(super) fn pressure(&self, pressure: Option<&Pressure>) {
        let why = pressure.map(|Pressure { bytes, max, held }| {
            let held = held.as_ref().map_or_else(String::new, |held| {
                format!("; {} needs what is behind LSN {}", held.who, held.behind)
            });
            format!(
                "the log has {bytes} bytes, wal.max_size is {max}: wal.retention gives way{held}"
            )
        });
        say(&self.over_max_size, why);
    }
}

fn say(condition: &Condition, why: Option<String>) {
    match why {
        Some(why) => condition.set(&why),
        None => condition.clear(),
    }
}
