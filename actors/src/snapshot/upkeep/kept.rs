//! Which snapshots stay.

use std::time::Duration;

use super::UpkeepSettings;
use crate::clock::UnixMs;
use crate::journal::Lsn;
use crate::wal::{SnapshotFacts, Survey};

/// The first moment that can be restored has to be this one; `None` if it lies before all time.
pub(super) fn horizon(settings: &UpkeepSettings, wall_ms: UnixMs) -> Option<UnixMs> {
    wall_ms.checked_sub(millis(settings.retention))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The newest snapshot that had ended by the horizon.
pub(super) fn anchor(
    snapshots: &[SnapshotFacts],
    horizon: Option<UnixMs>,
) -> Option<&SnapshotFacts> {
    let horizon = horizon?;
    snapshots.iter().rev().find(|one| one.ended_ms <= horizon)
}

/// Begins of the snapshots that can go when the log begins with the segment of this index.
pub(super) fn to_go(
    survey: &Survey,
    first: usize,
    settings: &UpkeepSettings,
    wall_ms: UnixMs,
) -> Vec<Lsn> {
    let all = survey.snapshots.as_slice();
    let begins = survey.segments.get(first).map_or(0, |segment| segment.first_lsn);
    let usable = |one: &SnapshotFacts| one.begin.saturating_add(1) >= begins;
    // The newest stay: what the machine removes of the log they do not need.
    let newest = all.len().saturating_sub(settings.keep.max(2));
    let (older, newest) = all.split_at(newest);
    let spacing = millis(settings.retention / 2);
    let base = anchor(all, horizon(settings, wall_ms)).map_or(0, |base| base.begin);
    let mut stay: Vec<&SnapshotFacts> = Vec::new();
    for (index, one) in older.iter().enumerate() {
        if !usable(one) || one.begin < base {
            continue;
        }
        // What the first moments that are left are restored from.
        if one.begin == base || (stay.is_empty() && begins > 1) {
            stay.push(one);
            continue;
        }
        // Without it there must not be a gap of more than the spacing before the next one. The
        // log's beginning is a snapshot of nothing, as old as its first segment.
        let before = stay.last().map_or_else(
            || survey.segments.first().map_or(0, |segment| segment.created_ms),
            |before| before.ended_ms,
        );
        let next = older.get(index + 1).or(newest.first());
        if next.is_some_and(|next| next.ended_ms.saturating_sub(before) > spacing) {
            stay.push(one);
        }
    }
    let goes = |one: &&SnapshotFacts| stay.iter().all(|stays| stays.begin != one.begin);
    let second = all.iter().rev().nth(1).map_or(0, |second| second.begin);
    let unlisted = survey.unlisted.iter().copied().filter(|begin| *begin < second);
    older.iter().filter(goes).map(|one| one.begin).chain(unlisted).collect()
}
