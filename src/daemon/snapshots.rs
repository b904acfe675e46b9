//! The snapshotter as the commands see it.

use std::sync::Arc;
use std::time::Duration;

use seawall_actors::snapshot::{SnapshotMsg, SnapshotStatus};
use seawall_actors::supervise::Handle;
use tokio::sync::watch;

use crate::resp::refusal::Refusal;

/// How long the snapshotter may take to say that it has begun.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);

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
