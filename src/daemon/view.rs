//! The daemon as the admin HTTP sees it, and its readings for the metrics aggregator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use seawall_actors::metrics::{Sample, Snapshot, Source};

use super::{Daemon, Phase};
use crate::http::metrics::{self, DaemonFigures};
use crate::http::{Degraded, TreeView, View};
use crate::telemetry::Telemetry;
use crate::tls::Identity;

/// How long one shard may take to report its numbers.
const SHARD_WITHIN: Duration = Duration::from_millis(500);

impl View for Daemon {
    fn ready(&self) -> Result<(), Vec<String>> {
        self.life.ready().map_err(|mut reasons| {
            if self.life.phase() == Phase::Loading {
                reasons.iter_mut().for_each(|r| *r += &format!(": {}", self.loading.figures()));
            }
            reasons
        })
    }

    fn degraded(&self) -> Vec<Degraded> {
        Self::degraded(self).iter().map(Degraded::from).collect()
    }

    fn tree(&self) -> Option<TreeView> {
        Some(TreeView::from(&self.tree.get()?.snapshot()))
    }

    fn metrics(&self) -> Arc<Snapshot> {
        self.metrics.newest()
    }
}

/// One part of the daemon that the aggregator reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Cache,
    Server,
    Gate,
    Tls,
    PubSub,
    Log,
    Snapshots,
    Outbox,
    Tier,
    Tree,
    Daemon,
    Process,
}

struct Reading {
    part: Part,
    daemon: Arc<Daemon>,
    telemetry: Arc<Telemetry>,
}

/// Everything the aggregator reads of this daemon.
#[must_use]
pub fn sources(daemon: &Arc<Daemon>, telemetry: &Arc<Telemetry>) -> Vec<Arc<dyn Source>> {
    let parts = [
        Part::Cache,
        Part::Server,
        Part::PubSub,
        Part::Gate,
        Part::Tls,
        Part::Log,
        Part::Snapshots,
        Part::Outbox,
        Part::Tier,
        Part::Tree,
        Part::Daemon,
        Part::Process,
    ];
    parts
        .map(|part| {
            let (daemon, telemetry) = (Arc::clone(daemon), Arc::clone(telemetry));
            Arc::new(Reading { part, daemon, telemetry }) as Arc<dyn Source>
        })
        .into()
}

#[async_trait]
impl Source for Reading {
    fn name(&self) -> &str {
        match self.part {
            Part::Cache => "cache",
            Part::Server => "server",
            Part::Gate => "gate",
            Part::Tls => "tls",
            Part::PubSub => "pubsub",
            Part::Log => "log",
            Part::Snapshots => "snapshots",
            Part::Outbox => "redis_outbox",
            Part::Tier => "redis",
            Part::Tree => "tree",
            Part::Daemon => "daemon",
            Part::Process => "process",
        }
    }

    async fn collect(&self) -> Sample {
        let daemon = &self.daemon;
        match self.part {
            Part::Cache => metrics::cache(&daemon.shards.stats(SHARD_WITHIN).await),
            Part::Server => metrics::server(&daemon.stats.snapshot()),
            Part::Gate => metrics::gate(&daemon.gate.figures()),
            Part::Tls => {
                let settings = daemon.config.settings();
                let expires = settings.tls.identity.as_ref().map(Identity::expires);
                metrics::tls(&daemon.handshakes, expires)
            }
            Part::PubSub => metrics::pubsub(&daemon.pubsub.figures(), &daemon.tracker.figures()),
            Part::Log => daemon
                .log
                .status()
                .map_or_else(Sample::new, |(fsync, stats)| metrics::log(&stats, fsync)),
            Part::Snapshots => {
                daemon.snapshots.current().map_or_else(Sample::new, |s| metrics::snapshots(&s))
            }
            Part::Outbox => {
                daemon.outbox_stats().map_or_else(Sample::new, |stats| metrics::outbox(&stats))
            }
            Part::Tier => {
                daemon.tier.shown().map_or_else(Sample::new, |t| metrics::tier(&t.figures()))
            }
            Part::Tree => daemon.tree().map_or_else(Sample::new, |tree| {
                metrics::tree(&tree.root, &View::degraded(&**daemon))
            }),
            Part::Daemon => metrics::daemon(DaemonFigures {
                ready: daemon.life.ready().is_ok(),
                config_generation: daemon.config_generation(),
                dropped_lines: self.telemetry.dropped_lines(),
                max_clients: daemon.clients.max(),
                loading: daemon.loading.is_on(),
                load: daemon.loading.figures(),
            }),
            Part::Process => metrics::process::read(daemon.life.started_ms).await,
        }
    }
}
