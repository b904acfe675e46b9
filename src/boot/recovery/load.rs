//! The load at the start: the newest snapshot and the log behind it, into every shard's cradle.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use seawall_actors::cache::store::Store;
use seawall_actors::cache::{Cradle, ShardMsg};
use seawall_actors::failpoint::{self, Point};
use seawall_actors::snapshot::{Newest, SnapshotStatus};
use seawall_actors::wal::{DataDir, Loaded, OpenError, Opened, ReplayReport, Snapshots};
use tokio::sync::watch;
use tracing::{info, warn};

use super::fill::{Filled, Watch, fill};
use super::poison::{GuardError, Poison};
use super::routed::Plan;
use super::{DaemonIntake, Failure, failed, unreadable};
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
    pub(super) plan: Plan,
    /// How many apply records at a time.
    pub(super) threads: usize,
    pub(super) poison: Arc<Poison>,
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
        let Filled { stores, loaded, log: report } = match read.map_err(|died| failed(&died))? {
            Ok(filled) => filled,
            Err(GuardError::Failed(OpenError::BrokenOff)) => {
                // The daemon stops; nobody waits for this any more.
                return std::future::pending().await;
            }
            Err(GuardError::Failed(error)) => return Err(unreadable(&error)),
            Err(stuck) => return Err(failed(&stuck)),
        };
        say(&report, &stores);
        if let (Some(status), Some(loaded)) = (status, loaded) {
            let Loaded { created_ms, end, entries, bytes, .. } = loaded;
            let newest = Newest { created_ms, end, entries, bytes };
            status.send_modify(|status| status.newest = Some(newest));
        }
        if report.last_lsn > 0 {
            intake.disown();
        }
        intake.begin(report.last_lsn);
        for (cradle, store) in cradles.iter().zip(stores) {
            cradle.leave(Box::new(store), report.last_lsn);
        }
        failpoint::hit(Point::LoadFilled);
        filled.send_replace(true);
        for shard in &shards {
            while shard.call(TAKEN_UP_WITHIN, ShardMsg::AwaitStore).await.is_err() {}
        }
        failpoint::hit(Point::LoadTaken);
        loading.finish();
        Ok(())
    }

    /// Reads everything, and begins anew when a record crashes. Blocks.
    fn read(self) -> Result<Filled<ReplayReport>, GuardError<OpenError>> {
        let Self { data, mut opened, snapshots, plan, threads, poison, loading, .. } = self;
        let filled = poison.guard(|aside, crashed| {
            let plan = Plan { aside, ..plan.clone() };
            let mut progress = Progress::new(&loading, opened.bytes());
            fill(&plan, threads, crashed, &snapshots, &mut progress, |loaded, watch, visit| {
                let (begin, end) = loaded.map_or((0, 0), |loaded| (loaded.begin, loaded.end));
                let (bytes, entries) = loaded.map_or((0, 0), |l| (l.bytes, l.entries));
                opened.prove(end);
                opened.replay(begin, visit, |now| {
                    let watched = watch.reached(bytes + now.bytes, entries + now.records);
                    if crashed.get().is_some() { ControlFlow::Break(()) } else { watched }
                })
            })
        });
        drop(data);
        filled
    }
}

/// Tells [`Loading`] how far it is, and the log every two seconds.
struct Progress<'a> {
    loading: &'a Loading,
    log_bytes: u64,
    said: Instant,
}

impl<'a> Progress<'a> {
    fn new(loading: &'a Loading, log_bytes: u64) -> Self {
        loading.set_total(log_bytes);
        Self { loading, log_bytes, said: Instant::now() }
    }
}

impl Watch for Progress<'_> {
    fn snapshot(&mut self, bytes: u64) {
        self.loading.set_total(self.log_bytes.saturating_add(bytes));
    }

    fn reached(&mut self, bytes: u64, records: u64) -> ControlFlow<()> {
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
