//! From the log on the disk to filled stores, at the start and when one shard is rebuilt.

mod load;
mod rebuild;
mod routed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::cache::{Cradle, Parked, Rebuild};
use seawall_actors::clock::Clock;
use seawall_actors::journal::{Lsn, NoJournal};
use seawall_actors::snapshot::{Newest, SnapshotStatus};
use seawall_actors::wal::{self, DataDir, FsyncMode, Intake, OpenError, Snapshots};
use tracing::{info, warn};

use super::dependencies::{Failure, Kind};
use crate::config::settings::{Eviction, Fsync, Settings};
use crate::daemon::{DaemonJournal, LogView, NoLog};
use crate::exit::Exit;
use crate::resp::round::DataJob;
use rebuild::{FromLog, StartEmpty};

/// The log's queue of this daemon.
pub(super) type DaemonIntake = Intake<Parked<DataJob>>;

/// Time between two progress lines of a long replay.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Filled stores and an open log.
pub(super) struct Recovered {
    /// One store per shard, for the first incarnation to adopt.
    pub cradles: Vec<Arc<Cradle>>,
    /// Hashes and routes keys, the same way for as long as the process lives.
    pub hasher: KeyHasher,
    /// Where effects go.
    pub journal: DaemonJournal,
    /// The log's numbers.
    pub log: Arc<dyn LogView>,
    /// The queue and its directory; `None` for a pure cache.
    pub wal: Option<(DaemonIntake, PathBuf)>,
    /// Where snapshots go, and which is the newest; `None` for a pure cache.
    pub snapshots: Option<(Snapshots, SnapshotStatus)>,
    /// How a shard is rebuilt.
    pub rebuild: Arc<dyn Rebuild>,
}

/// The share of the daemon's limits that one shard gets. The shares add up to the limits.
pub(super) fn store_config(settings: &Settings, shard: usize) -> StoreConfig {
    let cache = &settings.cache;
    let (count, shard) = (u64::from(cache.shards.max(1)), shard as u64);
    let share = |limit: Option<u64>| {
        limit.map_or(0, |limit| (limit / count + u64::from(shard < limit % count)).max(1))
    };
    StoreConfig {
        databases: u8::try_from(settings.server.databases).unwrap_or(u8::MAX),
        max_entries: share(cache.max_entries),
        max_bytes: share(cache.max_memory),
        eviction: match cache.eviction {
            Eviction::Lru => seawall_actors::cache::store::Eviction::Lru,
            Eviction::NoEviction => seawall_actors::cache::store::Eviction::None,
        },
        default_ttl_ms: cache
            .default_ttl
            .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The log's part of the settings.
pub(super) fn wal_settings(settings: &Settings) -> wal::Settings {
    wal::Settings {
        fsync: match settings.wal.fsync {
            Fsync::Always => FsyncMode::Always,
            Fsync::EverySec => FsyncMode::EverySec,
            Fsync::No => FsyncMode::No,
        },
        segment_size: settings.wal.segment_size,
    }
}

/// Opens and replays the log; without a data directory, starts empty.
///
/// # Errors
/// The log can't be read, or is damaged: nothing of it may be served then.
pub(super) async fn recover(
    data: Option<&DataDir>,
    settings: &Arc<Settings>,
    clock: &Clock,
) -> Result<Recovered, Failure> {
    let hasher = KeyHasher::random();
    let configs: Vec<StoreConfig> =
        (0..usize::from(settings.cache.shards)).map(|i| store_config(settings, i)).collect();
    let Some(data) = data else {
        let cradles = configs.iter().map(|c| cradle(Store::new(*c), 0)).collect();
        return Ok(Recovered {
            cradles,
            hasher,
            journal: Arc::new(NoJournal),
            log: Arc::new(NoLog),
            wal: None,
            snapshots: None,
            rebuild: Arc::new(StartEmpty),
        });
    };
    let opened = wal::open(data, clock.clone()).map_err(|e| unreadable(&e))?;
    let snapshots = opened.snapshots();
    let (from, limits, now) = (snapshots.clone(), configs.clone(), clock.unix_ms());
    let replayed = tokio::task::spawn_blocking(move || {
        let (mut routed, loaded) = load::load(&from, hasher, &limits, now);
        let (begin, end) = loaded.map_or((0, 0), |loaded| (loaded.begin, loaded.end));
        let mut limited = loaded.is_none();
        let mut said = Instant::now();
        let report = opened.proven(end).replay(
            begin,
            |origin, record| {
                if !limited && origin.lsn > end {
                    routed.limit(&limits);
                    limited = true;
                }
                routed.apply(&record);
            },
            |progress| {
                if said.elapsed() >= PROGRESS_EVERY {
                    said = Instant::now();
                    log_progress(progress);
                }
            },
        )?;
        if !limited {
            routed.limit(&limits);
        }
        Ok((report, loaded, routed.into_stores()))
    })
    .await;
    let (report, loaded, stores) = match replayed {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => return Err(unreadable(&error)),
        Err(panicked) => {
            return Err(Failure {
                kind: Kind::Startup,
                dependency: "log".to_owned(),
                details: format!("replay failed: {panicked}"),
                exit: Exit::Internal,
            });
        }
    };
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
    let intake = DaemonIntake::new(report.last_lsn, &wal_settings(settings));
    let dir = data.path().to_owned();
    Ok(Recovered {
        cradles: stores.into_iter().map(|store| cradle(store, report.last_lsn)).collect(),
        hasher,
        journal: Arc::new(intake.clone()),
        log: Arc::new(IntakeView(intake.clone())),
        rebuild: Arc::new(FromLog {
            dir: dir.clone(),
            intake: intake.clone(),
            hasher,
            shards: configs.len(),
            clock: clock.clone(),
        }),
        wal: Some((intake, dir)),
        snapshots: Some((
            snapshots,
            SnapshotStatus {
                newest: loaded.map(|loaded| Newest {
                    created_ms: loaded.created_ms,
                    end: loaded.end,
                    entries: loaded.entries,
                    bytes: loaded.bytes,
                }),
                ..SnapshotStatus::default()
            },
        )),
    })
}

fn cradle(store: Store, last_lsn: Lsn) -> Arc<Cradle> {
    Arc::new(Cradle::with(Box::new(store), last_lsn))
}

fn unreadable(error: &OpenError) -> Failure {
    let (kind, exit) = match error {
        OpenError::Io { .. } => (Kind::Dependency, Exit::System),
        OpenError::Corrupt(_)
        | OpenError::Manifest { .. }
        | OpenError::Baseless { .. }
        | OpenError::TooNew { .. } => (Kind::Corrupt, Exit::Corrupt),
    };
    Failure { kind, dependency: "log".to_owned(), details: error.to_string(), exit }
}

fn log_progress(progress: &wal::Progress) {
    let seconds = progress.took.as_secs_f64().max(0.001);
    let rate = progress.bytes as f64 / seconds;
    let left = progress.total_bytes.saturating_sub(progress.bytes) as f64 / rate.max(1.0);
    info!(
        records = progress.records,
        bytes = progress.bytes,
        of_bytes = progress.total_bytes,
        records_per_s = (progress.records as f64 / seconds) as u64,
        seconds_left = left.ceil() as u64,
        "replaying the log"
    );
}

struct IntakeView(DaemonIntake);

impl LogView for IntakeView {
    fn status(&self) -> Option<(&'static str, wal::Stats)> {
        let fsync = match self.0.settings().fsync {
            FsyncMode::Always => "always",
            FsyncMode::EverySec => "everysec",
            FsyncMode::No => "no",
        };
        Some((fsync, self.0.stats()))
    }
}
