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
use seawall_actors::journal::Lsn;
use seawall_actors::wal::{self, RangeError, Snapshots};
use tokio::sync::watch;
use tracing::{info, warn};

use super::DaemonIntake;
use super::fill::{BrokenOff, Filled, Watch, fill};
use super::poison::Poison;
use super::routed::Plan;

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

/// What one shard's part of the dataset is read with.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) dir: PathBuf,
    pub(super) snapshots: Snapshots,
    pub(super) intake: DaemonIntake,
    pub(super) hasher: KeyHasher,
    pub(super) shards: usize,
    pub(super) clock: Clock,
    pub(super) poison: Arc<Poison>,
}

/// Why a shard could not be rebuilt.
#[derive(Debug, thiserror::Error)]
enum RebuildError {
    #[error("the log has not reached LSN {upto} within {SETTLE_WITHIN:?}: {why}")]
    Slow { upto: Lsn, why: String },
    #[error(transparent)]
    Log(#[from] RangeError),
    #[error(transparent)]
    BrokenOff(#[from] BrokenOff),
}

impl Source {
    /// Blocks.
    fn rebuild(&self, shard: usize, config: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        info!(shard, "rebuilding the store from the newest snapshot and the log behind it");
        failpoint::hit(Point::RebuildBegin);
        let begun = Instant::now();
        // Whichever snapshot is whole: the log behind it must stay until it is read.
        let hold = self.snapshots.holds().take_all("the rebuild of a shard");
        let _hold = hold.map_err(|error| error.to_string())?;
        let filled = self.poison.guard(|aside, crashed| {
            let plan = Plan {
                hasher: self.hasher,
                first: shard,
                count: self.shards,
                configs: vec![config],
                now: self.clock.unix_ms(),
                aside,
            };
            fill(&plan, 1, crashed, &self.snapshots, &mut Unwatched, |loaded, _, visit| {
                let begin = loaded.map_or(0, |loaded| loaded.begin);
                // Read behind the snapshot: the log has to reach to its end.
                let upto = self.settle()?;
                wal::read_range(&self.dir, begin, upto, |origin, record| {
                    visit(origin, record);
                    match crashed.get() {
                        None => ControlFlow::Continue(()),
                        Some(_) => ControlFlow::Break(()),
                    }
                })?;
                Ok::<_, RebuildError>(upto)
            })
        });
        let Filled { stores, log: lsn, .. } = filled.map_err(|error| error.to_string())?;
        let store = stores.into_iter().next().ok_or("there is no such shard")?;
        info!(
            shard,
            lsn,
            entries = store.entries(),
            took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "rebuilt"
        );
        failpoint::hit(Point::RebuildEnd);
        Ok((Box::new(store), lsn))
    }

    /// Waits until the log can be read as far as the shard has appended.
    fn settle(&self) -> Result<Lsn, RebuildError> {
        let upto = self.intake.stats().lsn;
        if self.intake.wait_settled(upto, Instant::now() + SETTLE_WITHIN) {
            return Ok(upto);
        }
        let why = self.intake.stats().blocked.unwrap_or_else(|| "the disk is slow".to_owned());
        Err(RebuildError::Slow { upto, why })
    }
}

/// Nobody watches one shard's rebuild.
struct Unwatched;

impl Watch for Unwatched {
    fn snapshot(&mut self, _bytes: u64) {}

    fn reached(&mut self, _bytes: u64, _records: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
