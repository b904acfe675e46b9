//! From the log on the disk to filled stores, at the start and when one shard is rebuilt.
//!
//! The actors do not wait for it: [`open`] brings what they are wired with, and [`Load`] fills
//! the shards' cradles while they are up and refuse what needs data.

mod fanout;
mod fill;
mod load;
mod poison;
mod prefix;
mod rebuild;
mod routed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::cache::{Cradle, Parked, Rebuild};
use seawall_actors::clock::Clock;
use seawall_actors::journal::NoJournal;
use seawall_actors::redis::outbox::Keeping;
use seawall_actors::snapshot::upkeep::UpkeepSettings;
use seawall_actors::wal::{self, DataDir, FsyncMode, Intake, OpenError, Snapshots};
use tokio::sync::watch;

use super::dependencies::{Failure, Kind};
use crate::config::settings::{Eviction, Fsync, LogRecovery, Settings};
use crate::daemon::{DaemonJournal, LogView, NoLog};
use crate::exit::Exit;
use crate::loading::Loading;
use crate::resp::round::ShardJob;
pub(super) use load::Load;
use poison::Poison;
use rebuild::{FromLog, Source, StartEmpty};
use routed::Plan;

/// The log's queue of this daemon.
pub(super) type DaemonIntake = Intake<Parked<ShardJob>>;

/// What the actors are wired with, and what is still to be loaded.
pub(super) struct Recovery {
    /// Where each shard finds its store.
    pub cradles: Vec<Arc<Cradle>>,
    /// Hashes and routes keys, the same way for as long as the process lives.
    pub hasher: KeyHasher,
    /// Where effects go.
    pub journal: DaemonJournal,
    /// The log's numbers.
    pub log: Arc<dyn LogView>,
    /// The queue and its directory; `None` for a pure cache.
    pub wal: Option<(DaemonIntake, PathBuf)>,
    /// Where snapshots go; `None` for a pure cache.
    pub snapshots: Option<Snapshots>,
    /// How a shard is rebuilt.
    pub rebuild: Arc<dyn Rebuild>,
    /// Fills the cradles; `None` for a pure cache, whose cradles hold empty stores.
    pub load: Option<Load>,
}

impl Recovery {
    /// Where the log and its snapshots are; `None` for a pure cache.
    pub(super) fn past(&self) -> Option<(PathBuf, Snapshots)> {
        let (_, dir) = self.wal.as_ref()?;
        Some((dir.clone(), self.snapshots.clone()?))
    }
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
pub(crate) fn wal_settings(settings: &Settings) -> wal::Settings {
    wal::Settings {
        fsync: match settings.wal.fsync {
            Fsync::Always => FsyncMode::Always,
            Fsync::EverySec => FsyncMode::EverySec,
            Fsync::No => FsyncMode::No,
        },
        segment_size: settings.wal.segment_size,
        origin: settings.wal.origin,
        compress_above: settings.wal.compress_above,
    }
}

/// When snapshots are taken, and what may be deleted.
pub(super) fn upkeep_settings(settings: &Settings) -> UpkeepSettings {
    UpkeepSettings {
        every: settings.snapshot.every,
        after_bytes: settings.snapshot.after_bytes,
        keep: settings.snapshot.keep,
        retention: settings.wal.retention,
        max_size: settings.wal.max_size,
    }
}

/// Opens the log, whose content [`Recovery::load`] then brings into the cradles; without a data
/// directory, starts empty.
///
/// # Errors
/// The log can't be read, or its segments do not fit together.
pub(super) async fn open(
    data: Option<&Arc<DataDir>>,
    settings: &Arc<Settings>,
    clock: &Clock,
    loading: &Arc<Loading>,
) -> Result<Recovery, Failure> {
    let hasher = KeyHasher::random();
    let configs: Vec<StoreConfig> =
        (0..usize::from(settings.cache.shards)).map(|i| store_config(settings, i)).collect();
    let Some(data) = data else {
        let full = |config: &StoreConfig| Cradle::with(Box::new(Store::new(*config)), 0);
        return Ok(Recovery {
            cradles: configs.iter().map(full).map(Arc::new).collect(),
            hasher,
            journal: Arc::new(NoJournal),
            log: Arc::new(NoLog),
            wal: None,
            snapshots: None,
            rebuild: Arc::new(StartEmpty),
            load: None,
        });
    };
    let opened = {
        let (data, clock, mends) = (Arc::clone(data), clock.clone(), settings.wal.recovery);
        tokio::task::spawn_blocking(move || {
            if mends == LogRecovery::Prefix {
                prefix::mend(&data, &clock)?;
            }
            wal::open(&data, clock)
        })
        .await
    };
    let opened = opened.map_err(|died| failed(&died))?.map_err(|error| unreadable(&error))?;
    let snapshots = opened.snapshots();
    let intake = DaemonIntake::unread(&wal_settings(settings));
    intake.keep(Arc::clone(data));
    let cradles: Vec<Arc<Cradle>> = configs.iter().map(|_| Arc::default()).collect();
    let poison = Arc::new(Poison::new(data.path(), Arc::clone(loading)));
    let filled = watch::Sender::new(false);
    let dir = data.path().to_owned();
    let source = Source {
        dir: dir.clone(),
        snapshots: snapshots.clone(),
        intake: intake.clone(),
        hasher,
        shards: settings.cache.shards.into(),
        clock: clock.clone(),
        poison: Arc::clone(&poison),
    };
    Ok(Recovery {
        cradles: cradles.clone(),
        hasher,
        journal: Arc::new(intake.clone()),
        log: Arc::new(IntakeView(intake.clone())),
        rebuild: Arc::new(FromLog::new(source, cradles.clone(), filled.subscribe())),
        wal: Some((intake.clone(), dir)),
        snapshots: Some(snapshots.clone()),
        load: Some(Load {
            data: Arc::clone(data),
            opened,
            snapshots,
            plan: Plan {
                hasher,
                first: 0,
                count: settings.cache.shards.into(),
                configs,
                now: clock.unix_ms(),
                aside: Arc::default(),
            },
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            poison,
            intake,
            cradles,
            filled,
            loading: Arc::clone(loading),
        }),
    })
}

/// How far Redis was brought by earlier runs, and a hold on the log from there on.
///
/// # Errors
/// It cannot be read.
pub(super) async fn keeping(data: &Path, snapshots: &Snapshots) -> Result<Keeping, Failure> {
    let (data, snapshots) = (data.to_owned(), snapshots.clone());
    let opened = tokio::task::spawn_blocking(move || {
        Keeping::open(&data, &snapshots.log_name(), snapshots.holds())
    });
    match opened.await.map_err(|died| failed(&died))? {
        Ok(keeping) => Ok(keeping),
        Err(error) => Err(Failure {
            kind: Kind::Dependency,
            dependency: "outbox".to_owned(),
            details: format!("its cursor, OUTBOX in the data directory, cannot be read: {error}"),
            exit: Exit::System,
        }),
    }
}

fn unreadable(error: &OpenError) -> Failure {
    let (kind, exit) = match error {
        OpenError::Io { .. } | OpenError::BrokenOff => (Kind::Dependency, Exit::System),
        OpenError::Corrupt(_)
        | OpenError::Manifest { .. }
        | OpenError::Baseless { .. }
        | OpenError::OtherVersion { .. } => (Kind::Corrupt, Exit::Corrupt),
    };
    Failure { kind, dependency: "log".to_owned(), details: error.to_string(), exit }
}

fn failed(why: &dyn std::fmt::Display) -> Failure {
    Failure {
        kind: Kind::Startup,
        dependency: "log".to_owned(),
        details: format!("reading it failed: {why}"),
        exit: Exit::Internal,
    }
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
