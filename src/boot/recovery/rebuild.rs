//! How the store of one shard comes back after its actor's end in the middle of a commit.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use seawall_actors::cache::Rebuild;
use seawall_actors::cache::store::{KeyHasher, Store, StoreConfig};
use seawall_actors::clock::Clock;
use seawall_actors::failpoint::{self, Point};
use seawall_actors::journal::{Lsn, Record};
use seawall_actors::wal::{self, Origin};
use tracing::warn;

use super::DaemonIntake;
use super::routed::{apply_to, key_of, settle};

/// How long a rebuild waits for the log to catch up with what the shard had appended.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// A pure cache has nothing to rebuild from.
pub(super) struct StartEmpty;

impl Rebuild for StartEmpty {
    fn rebuild(&self, shard: usize, config: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        warn!(shard, "no log: the shard starts empty");
        Ok((Box::new(Store::new(config)), 0))
    }
}

/// Rebuilds one shard from the log while the others go on.
pub(super) struct FromLog {
    pub(super) dir: PathBuf,
    pub(super) intake: DaemonIntake,
    pub(super) hasher: KeyHasher,
    pub(super) shards: usize,
    pub(super) clock: Clock,
}

impl Rebuild for FromLog {
    fn rebuild(&self, shard: usize, config: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        let upto = self.intake.stats().lsn;
        if !self.intake.wait_settled(upto, Instant::now() + SETTLE_WITHIN) {
            let why = self.intake.stats().blocked.unwrap_or_else(|| "the disk is slow".to_owned());
            return Err(format!(
                "the log has not reached LSN {upto} within {SETTLE_WITHIN:?}: {why}"
            ));
        }
        failpoint::hit(Point::RebuildBegin);
        let now = self.clock.unix_ms();
        let mut store = Box::new(Store::new(config));
        let count = u32::try_from(self.shards).unwrap_or(u32::MAX);
        let mut visit = |_: Origin, record: Record<'_>| {
            let hash = key_of(&record).map_or(0, |key| self.hasher.hash(key));
            let ours =
                key_of(&record).is_none() || KeyHasher::shard_of(hash, count) as usize == shard;
            if ours {
                apply_to(&mut store, &record, hash, now);
            }
            ControlFlow::Continue(())
        };
        wal::read_range(&self.dir, 0, upto, &mut visit).map_err(|e| e.to_string())?;
        settle(&mut store, now);
        failpoint::hit(Point::RebuildEnd);
        Ok((store, upto))
    }
}
