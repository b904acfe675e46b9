//! The daemon as the commands about the server see it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use seawall_actors::cache::{ShardMsg, ShardStats};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Author;
use seawall_actors::redis::outbox::OutboxStats;
use seawall_actors::supervise::Drill;
use seawall_actors::wal::history::History;

use super::{Daemon, Phase, StopMode};
use crate::acl::Gate;
use crate::config::ConfigControl;
use crate::http::metrics::catalog;
use crate::pubsub::PubSub;
use crate::resp::backend::{
    AskHistory, AskRestore, Backend, LifeNumbers, LogStatus, Restored, SnapshotNumbers,
};
use crate::resp::clients::Clients;
use crate::resp::refusal::Refusal;
use crate::slow::Slow;
use crate::stats::StatsSnapshot;
use crate::tier::TierFigures;
use crate::tracking::Tracker;

#[async_trait]
impl Backend for Daemon {
    fn config(&self) -> &Arc<ConfigControl> {
        &self.config
    }

    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn pubsub(&self) -> &PubSub {
        &self.pubsub
    }

    fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    fn slow(&self) -> &Slow {
        &self.slow
    }

    fn now(&self) -> UnixMs {
        self.clock.unix_ms()
    }

    fn life(&self) -> LifeNumbers {
        LifeNumbers {
            started_at: self.life.started_ms,
            uptime: self.life.started.elapsed(),
            run_id: self.life.run_id.clone(),
            loading: self.loading.is_on().then(|| self.loading.figures()),
            stopping: self.life.phase() == Phase::Draining,
        }
    }

    fn request_stop(&self, at_once: bool) {
        self.life.request_stop(if at_once { StopMode::Now } else { StopMode::Graceful });
    }

    async fn shards(&self, within: Duration) -> Vec<Option<ShardStats>> {
        self.shards.stats(within).await
    }

    async fn reset_stats(&self) {
        self.shards.reset_stats();
        self.stats.reset();
        self.gate.reset();
    }

    async fn set_active_expire(&self, on: bool) -> Result<(), Refusal> {
        self.shards.tell(|| ShardMsg::ActiveExpire(on));
        Ok(())
    }

    fn config_generation(&self) -> u64 {
        Daemon::config_generation(self)
    }

    fn tcp_port(&self) -> u16 {
        self.sockets.tcp_port()
    }

    fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    fn ops_per_sec(&self) -> u64 {
        // A rate of commands is far below what an f64 holds exactly, and never negative.
        self.metrics.newest().rate(&catalog::COMMANDS).round() as u64
    }

    fn log(&self) -> Option<LogStatus> {
        let (fsync, stats) = self.log.status()?;
        Some(LogStatus { fsync, stats })
    }

    fn outbox(&self) -> Option<OutboxStats> {
        self.outbox_stats()
    }

    fn tier(&self) -> Option<TierFigures> {
        let tier = self.tier.shown()?;
        Some(TierFigures { in_use: self.tier.is_whole(), ..tier.figures() })
    }

    fn snapshots(&self) -> Option<SnapshotNumbers> {
        let status = self.snapshots.current()?;
        let lsn = self.log.status().map_or(0, |(_, stats)| stats.lsn);
        let newest = status.newest;
        Some(SnapshotNumbers {
            newest_at: newest.map(|newest| newest.created_ms),
            changes: lsn.saturating_sub(newest.map_or(0, |newest| newest.end)),
            running_for: status.since.map(|since| since.elapsed()),
            took: status.took,
            failed: status.failure.is_some(),
            taken: status.taken,
        })
    }

    async fn take_snapshot(&self, to_the_end: bool) -> Result<(), Refusal> {
        self.snapshots.take(to_the_end).await
    }

    async fn history(&self, asked: AskHistory) -> Result<History, Refusal> {
        self.read_history(asked).await
    }

    async fn restore(&self, asked: AskRestore, author: &Arc<Author>) -> Result<Restored, Refusal> {
        self.write_back(asked, author).await
    }

    async fn tree(&self) -> String {
        self.tree.get().map_or_else(
            || "the tree is being started\n".to_owned(),
            |tree| tree.snapshot().render(),
        )
    }

    fn degraded(&self) -> Vec<String> {
        Self::degraded(self).iter().map(ToString::to_string).collect()
    }

    async fn drill(&self, path: &str, drill: Drill) -> Result<(), Refusal> {
        let Some(tree) = self.tree.get() else {
            return Err(Refusal::other("ERR the tree is being started"));
        };
        tree.drill(path, drill).map_err(|error| Refusal::other(format!("ERR {error}")))
    }
}
