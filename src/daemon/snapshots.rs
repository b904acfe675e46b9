//! The snapshotter as the commands see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_actors::snapshot::{SnapshotMsg, SnapshotStatus};
use seawall_actors::supervise::Handle;
use tokio::sync::watch;

use crate::resp::refusal::Refusal;

/// How long the snapshotter may take to say that it has begun.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

/// Something that is wrong with snapshots, or with the room for the log.
pub(super) struct Wanting {
    /// In words.
    pub(super) what: String,
    /// Since when.
    pub(super) since: Option<Instant>,
}

/// All that is wrong.
pub(super) fn wanting(status: SnapshotStatus) -> impl Iterator<Item = Wanting> {
    let disk = status.disk;
    let failed = status.failure.map(|why| format!("the last snapshot failed: {why}"));
    let stuck = disk.failure;
    let stuck = stuck.map(|why| format!("old log and snapshots cannot be deleted: {why}"));
    let bytes = disk.log_bytes;
    let large = disk.pressure.map(|pressure| {
        let held = pressure.held.map_or_else(String::new, |held| {
            format!("; {} needs what is behind LSN {}", held.who, held.behind)
        });
        format!(
            "the log has {bytes} bytes, wal.max_size is {}: wal.retention gives way{held}",
            pressure.max
        )
    });
    [(failed, status.failing_since), (stuck, disk.failing_since), (large, disk.pressed_since)]
        .into_iter()
        .filter_map(|(what, since)| Some(Wanting { what: what?, since }))
}

/// The snapshotter's address, and how its snapshots went. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SnapshotHandle {
    handle: Handle<SnapshotMsg>,
    /// `None` for a pure cache, which has no snapshotter.
    status: Option<Arc<watch::Sender<SnapshotStatus>>>,
}

impl SnapshotHandle {
    /// A snapshotter that is not started yet; `there` is false for a pure cache.
    #[must_use]
    pub fn new(there: bool) -> Self {
        Self { handle: Handle::new(), status: there.then(Arc::default) }
    }

    /// For the child spec.
    #[must_use]
    pub const fn handle(&self) -> &Handle<SnapshotMsg> {
        &self.handle
    }

    /// Where the snapshotter reports.
    #[must_use]
    pub const fn status(&self) -> Option<&Arc<watch::Sender<SnapshotStatus>>> {
        self.status.as_ref()
    }

    /// How it stands now; `None` for a pure cache.
    #[must_use]
    pub fn current(&self) -> Option<SnapshotStatus> {
        self.status.as_ref().map(|status| status.borrow().clone())
    }

    /// Begins a snapshot, and waits until it is finished if `to_the_end`.
    ///
    /// # Errors
    /// One is being taken already, there is nowhere to put it, or it failed.
    pub async fn take(&self, to_the_end: bool) -> Result<(), Refusal> {
        if self.status.is_none() {
            return Err(Refusal::other(
                "ERR this is a pure cache without a log, so there is nowhere to save to; set \
                 'wal.enabled' to true and restart to have one",
            ));
        }
        let begun = self.handle.call(BEGIN_WITHIN, SnapshotMsg::Take).await;
        let begun = begun.map_err(|error| {
            Refusal::other(format!("ERR the snapshotter does not answer, try again: {error}"))
        })?;
        let outcome =
            begun.map_err(|_| Refusal::other("ERR Background save already in progress"))?;
        if !to_the_end {
            return Ok(());
        }
        match outcome.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(Refusal::other(format!("ERR the snapshot failed: {why}"))),
            Err(_) => Err(Refusal::other(
                "ERR the snapshot was broken off because its actor ended; try again",
            )),
        }
    }
}
