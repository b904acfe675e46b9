//! The load at the start: the newest snapshot and the log behind it, into every shard's cradle.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::cache::{Cradle, ShardMsg};
use seawall_actors::clock::Clock;
use seawall_actors::snapshot::{Newest, SnapshotStatus};
use seawall_actors::wal::{DataDir, Loaded, OpenError, Opened, ReplayReport, Snapshots};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{DaemonIntake, Failure, failed, snapshot, unreadable};
use crate::daemon::ShardHandle;
use crate::loading::Loading;

/// Time between two progress lines.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// How much longer systemd is asked to wait: until a few more of these should have come.
const EXTEND_USEC: u32 = 30_000_000;
/// How long a shard may take to take up its store before it is asked again: it may have been
/// restarted with the question in its hands.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(5);

/// Everything that loading needs.
pub(in crate::boot) struct Load {
    /// Held to the end: a load that is abandoned may still be cutting off a torn end.
    pub(super) data: Arc<DataDir>,
    pub(super) opened: Opened,
    pub(super) snapshots: Snapshots,
    pub(super) hasher: KeyHasher,
    pub(super) configs: Vec<StoreConfig>,
    pub(super) clock: Clock,
    pub(super) intake: DaemonIntake,
    pub(super) cradles: Vec<Arc<Cradle>>,
    /// Turns true when the cradles are filled.
    pub(super) filled: watch::Sender<bool>,
    pub(super) loading: Arc<Loading>,
}

impl Load {
    /// Fills the cradles, opens the log for writing, and returns when every one of `shards` has
    /// taken up its store. `status` learns which snapshot is the newest.
    ///
    /// # Errors
    /// The log can't be read, or is damaged: nothing of it is served then.
    pub(in crate::boot) async fn run(
        self,
        shards: Vec<ShardHandle>,
        status: Option<Arc<watch::Sender<SnapshotStatus>>>,
    ) -> Result<(), Failure> {
        let (intake, loading) = (self.intake.clone(), Arc::clone(&self.loading));
        let (cradles, filled) = (self.cradles.clone(), self.filled.clone());
        let read = tokio::task::spawn_blocking(move || self.read()).await;
        let (report, loaded, stores) = match read.map_err(|died| failed(&died))? {
            Ok(done) => done,
            Err(OpenError::BrokenOff) => {
                // The daemon stops; nobody waits for this any more.
                return std::future::pending().await;
            }
            Err(error) => return Err(unreadable(&error)),
        };
        say(&report, &stores);
        if let (Some(status), Some(loaded)) = (status, loaded) {
            let Loaded { created_ms, end, entries, bytes, .. } = loaded;
            let newest = Newest { created_ms, end, entries, bytes };
            status.send_modify(|status| status.newest = Some(newest));
        }
        intake.begin(report.last_lsn);
        for (cradle, store) in cradles.iter().zip(stores) {
            cradle.leave(Box::new(store), report.last_lsn);
        }
        filled.send_replace(true);
        for shard in &shards {
            while shard.call(TAKEN_UP_WITHIN, ShardMsg::AwaitStore).await.is_err() {}
        }
        loading.finish();
        Ok(())
    }

    /// Reads everything. Blocks.
    fn read(self) -> Result<(ReplayReport, Option<Loaded>, Vec<Store>), OpenError> {
        let Self { data, opened, snapshots, hasher, configs, clock, loading, .. } = self;
        let now = clock.unix_ms();
        let mut progress = Progress::new(&loading, opened.bytes());
        let (mut routed, loaded) =
            snapshot::load(&snapshots, hasher, &configs, now, &mut progress)?;
        let (begin, end) = loaded.map_or((0, 0), |loaded| (loaded.begin, loaded.end));
        let (snapshot_bytes, entries) = loaded.map_or((0, 0), |l| (l.bytes, l.entries));
        let mut limited = loaded.is_none();
        let report = opened.proven(end).replay(
            begin,
            |origin, record| {
                if !limited && origin.lsn > end {
                    routed.limit(&configs);
                    limited = true;
                }
                routed.apply(&record);
            },
            |now| progress.reached(snapshot_bytes + now.bytes, entries + now.records),
        )?;
        if !limited {
            routed.limit(&configs);
        }
        drop(data);
        Ok((report, loaded, routed.into_stores()))
    }
}

/// Tells [`Loading`] how far it is, and the log every two seconds.
pub(super) struct Progress<'a> {
    loading: &'a Loading,
    log_bytes: u64,
    said: Instant,
}

impl<'a> Progress<'a> {
    fn new(loading: &'a Loading, log_bytes: u64) -> Self {
        loading.set_total(log_bytes);
        Self { loading, log_bytes, said: Instant::now() }
    }

    /// There is a snapshot of so many bytes to read, too.
    pub(super) fn with_snapshot(&mut self, bytes: u64) {
        self.loading.set_total(self.log_bytes.saturating_add(bytes));
    }

    /// So many bytes are read; breaks if nobody wants the rest.
    pub(super) fn reached(&mut self, bytes: u64, records: u64) -> ControlFlow<()> {
        self.loading.reached(bytes, records);
        if self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            let figures = self.loading.figures();
            info!(
                records = figures.records,
                bytes = figures.loaded_bytes,
                of_bytes = figures.total_bytes,
                records_per_s = figures.records_per_second(),
                seconds_left = figures.eta_seconds(),
                "loading the dataset"
            );
            // Only systemd listens, and it does without.
            let _ = sd_notify::notify(&[
                NotifyState::Status(&format!("Loading the dataset: {figures}")),
                NotifyState::ExtendTimeoutUsec(EXTEND_USEC),
            ]);
        }
        if self.loading.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn say(report: &ReplayReport, stores: &[Store]) {
    if let Some(torn) = &report.torn {
        warn!(
            file = %torn.path.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            copy = %torn.copy.display(),
            why = torn.what,
            "the log's end was torn by a crash; it was cut off, nothing acknowledged was in it"
        );
    }
    info!(
        records = report.records,
        segments = report.segments,
        bytes = report.bytes,
        entries = stores.iter().map(Store::entries).sum::<u64>(),
        took_ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        "log replayed"
    );
}
