//! Everything that INFO shows, gathered at one moment.

use std::sync::Arc;
use std::time::Duration;

use super::process::Process;
use crate::acl::gate::GateFigures;
use crate::config::Settings;
use crate::resp::backend::{Backend, LifeNumbers, LogStatus, SnapshotNumbers};
use crate::stats::StatsSnapshot;
use crate::tier::TierFigures;
use seawall_actors::cache::{DatabaseStats, ShardStats};
use seawall_actors::clock::UnixMs;
use seawall_actors::redis::outbox::OutboxStats;

/// How long INFO waits for shards that do not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The numbers of one moment.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub now: UnixMs,
    pub settings: Arc<Settings>,
    pub config_file: String,
    pub config_generation: u64,
    pub life: LifeNumbers,
    pub connected: usize,
    pub max_clients: usize,
    pub max_query_bytes: u64,
    pub max_output_bytes: u64,
    pub client_bytes: u64,
    pub watching_clients: usize,
    pub pubsub: crate::pubsub::Figures,
    pub tracking: crate::tracking::Figures,
    pub watched_keys: u64,
    /// `None`: the shard did not answer in time.
    pub shards: Vec<Option<ShardStats>>,
    pub tcp_port: u16,
    pub stats: StatsSnapshot,
    pub gate: GateFigures,
    pub ops_per_sec: u64,
    pub log: Option<LogStatus>,
    pub outbox: Option<OutboxStats>,
    pub tier: Option<TierFigures>,
    /// Of a pure cache: as if none had ever been taken.
    pub snapshots: SnapshotNumbers,
    pub degraded: Vec<String>,
    pub process: Process,
}

impl Report {
    /// Asks everyone; bounded by [`PATIENCE`].
    pub async fn gather(daemon: &dyn Backend) -> Self {
        let shards = daemon.shards(PATIENCE).await;
        let clients = daemon.clients().all();
        let most = |of: fn(&crate::resp::clients::ClientInfo) -> u64| {
            clients.iter().map(|client| of(client)).max().unwrap_or(0)
        };
        Self {
            now: daemon.now(),
            settings: daemon.config().settings(),
            config_file: daemon
                .config()
                .file()
                .map(|path| std::path::absolute(&path).unwrap_or(path).display().to_string())
                .unwrap_or_default(),
            config_generation: daemon.config_generation(),
            life: daemon.life(),
            connected: clients.len(),
            max_clients: daemon.clients().max(),
            max_query_bytes: most(|client| client.query_bytes()),
            max_output_bytes: most(|client| client.output_bytes()),
            client_bytes: clients.iter().map(|c| c.query_bytes() + c.output_bytes()).sum(),
            pubsub: daemon.pubsub().figures(),
            tracking: daemon.tracker().figures(),
            watching_clients: clients.iter().filter(|c| c.watching() > 0).count(),
            watched_keys: clients.iter().map(|c| u64::from(c.watching())).sum(),
            shards,
            tcp_port: daemon.tcp_port(),
            stats: daemon.stats(),
            gate: daemon.gate().figures(),
            ops_per_sec: daemon.ops_per_sec(),
            log: daemon.log(),
            outbox: daemon.outbox(),
            tier: daemon.tier(),
            snapshots: daemon.snapshots().unwrap_or_default(),
            degraded: daemon.degraded(),
            process: Process::read(),
        }
    }

    /// The sum of one number over the shards that answered.
    pub fn sum(&self, of: fn(&ShardStats) -> u64) -> u64 {
        self.shards.iter().flatten().map(of).sum()
    }

    /// Databases that hold keys, with their numbers, in order, summed over the shards.
    pub fn databases(&self) -> impl Iterator<Item = (usize, DatabaseStats)> {
        let mut all = Vec::<DatabaseStats>::new();
        for shard in self.shards.iter().flatten() {
            all.resize(all.len().max(shard.databases.len()), DatabaseStats::default());
            for (sum, one) in all.iter_mut().zip(&shard.databases) {
                // The mean over all shards weighs each shard's by its number of keys that expire.
                let total = u128::from(sum.avg_ttl_ms) * u128::from(sum.expires)
                    + u128::from(one.avg_ttl_ms) * u128::from(one.expires);
                sum.keys += one.keys;
                sum.expires += one.expires;
                let mean = total.checked_div(u128::from(sum.expires)).unwrap_or(0);
                sum.avg_ttl_ms = u64::try_from(mean).unwrap_or(u64::MAX);
            }
        }
        all.into_iter().enumerate().filter(|(_, database)| database.keys > 0)
    }
}
