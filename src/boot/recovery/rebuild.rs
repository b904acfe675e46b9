//! How the store of one shard comes back after its actor's end in the middle of a commit.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::cache::{Cradle, Rebuild};
use seawall_actors::clock::Clock;
use seawall_actors::failpoint::{self, Point};
use seawall_actors::journal::{Lsn, Record};
use seawall_actors::wal::{self, Origin, Snapshots};
use tokio::sync::watch;
use tracing::{info, warn};

use super::DaemonIntake;
use super::routed::{apply_to, key_of, settle};

/// How long a rebuild waits for the log to catch up with what the shard had appended.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// A pure cache has nothing to rebuild from.
pub(super) struct StartEmpty;

#[async_trait]
impl Rebuild for StartEmpty {
    async fn rebuild(
        &self,
        shard: usize,
        config: StoreConfig,
    ) -> Result<(Box<Store>, Lsn), String> {
        warn!(shard, "no log: the shard starts empty");
        Ok((Box::new(Store::new(config)), 0))
    }
}

/// Where a shard of a daemon with a log gets its store from: at the start, from the load of all
/// shards together; later, from the log, while the others go on.
pub(super) struct FromLog {
    source: Source,
    cradles: Vec<Arc<Cradle>>,
    /// True once the load has filled the cradles.
    filled: watch::Receiver<bool>,
}

impl FromLog {
    pub(super) const fn new(
        source: Source,
        cradles: Vec<Arc<Cradle>>,
        filled: watch::Receiver<bool>,
    ) -> Self {
        Self { source, cradles, filled }
    }
}

#[async_trait]
impl Rebuild for FromLog {
    async fn rebuild(
        &self,
        shard: usize,
        config: StoreConfig,
    ) -> Result<(Box<Store>, Lsn), String> {
        let mut filled = self.filled.clone();
        let failed = filled.wait_for(|filled| *filled).await.is_err();
        if failed {
            // Nothing was loaded: the daemon is about to end, and says why.
            return std::future::pending().await;
        }
        if let Some(store) = self.cradles.get(shard).and_then(|cradle| cradle.take()) {
            return Ok(store);
        }
        let source = self.source.clone();
        let work = tokio::task::spawn_blocking(move || source.rebuild(shard, config));
        work.await.unwrap_or_else(|died| Err(died.to_string()))
    }
}

/// What one shard's part of the log is read with.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) dir: PathBuf,
    pub(super) snapshots: Snapshots,
    pub(super) intake: DaemonIntake,
    pub(super) hasher: KeyHasher,
    pub(super) shards: usize,
    pub(super) clock: Clock,
}

impl Source {
    /// Blocks.
    fn rebuild(&self, shard: usize, config: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        info!(shard, "rebuilding the store from the log");
        let begun = Instant::now();
        let upto = self.intake.stats().lsn;
        if !self.intake.wait_settled(upto, Instant::now() + SETTLE_WITHIN) {
            let why = self.intake.stats().blocked.unwrap_or_else(|| "the disk is slow".to_owned());
            return Err(format!(
                "the log has not reached LSN {upto} within {SETTLE_WITHIN:?}: {why}"
            ));
        }
        failpoint::hit(Point::RebuildBegin);
        let now = self.clock.unix_ms();
        let count = u32::try_from(self.shards).unwrap_or(u32::MAX);
        let apply = |store: &mut Store, record: &Record<'_>| {
            let hash = key_of(record).map_or(0, |key| self.hasher.hash(key));
            let ours =
                key_of(record).is_none() || KeyHasher::shard_of(hash, count) as usize == shard;
            if ours {
                apply_to(store, record, hash, now);
            }
        };
        let _hold = self.snapshots.holds().take_all("the rebuild of a shard");
        let newest = self.snapshots.load_newest(
            |_| Box::new(Store::new(StoreConfig { max_entries: 0, max_bytes: 0, ..config })),
            |store, record| apply(store, &record),
            |_| ControlFlow::Continue(()),
            |path, why| warn!(file = %path.display(), %why, "a snapshot cannot be used"),
        );
        let newest = newest.map_err(|e| e.to_string())?;
        let (mut store, begin, end) = match newest {
            Some((store, loaded)) => (store, loaded.begin, loaded.end),
            None => (Box::new(Store::new(config)), 0, 0),
        };
        let mut visit = |origin: Origin, record: Record<'_>| {
            // Up to its end, a snapshot may hold more than there ever was at a time.
            if origin.lsn == end + 1 {
                store.reconfigure(config);
            }
            apply(&mut store, &record);
            ControlFlow::Continue(())
        };
        wal::read_range(&self.dir, begin, upto, &mut visit).map_err(|e| e.to_string())?;
        store.reconfigure(config);
        settle(&mut store, now);
        failpoint::hit(Point::RebuildEnd);
        info!(
            shard,
            lsn = upto,
            entries = store.entries(),
            took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "rebuilt"
        );
        Ok((store, upto))
    }
}
