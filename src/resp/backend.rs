//! What commands about the server ask of the daemon around them, as plain numbers and texts.
//!
//! The one seam between the commands (which format) and shards, log, statistics and tree (which
//! know). Commands are tested against an in-memory backend.

#[cfg(test)]
#[allow(missing_docs, clippy::expect_used, clippy::panic, reason = "only tests use it")]
pub mod fake;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use seawall_actors::cache::ShardStats;
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::{Author, Lsn};
use seawall_actors::redis::outbox::OutboxStats;
use seawall_actors::supervise::Drill;
use seawall_actors::wal::history::History;
use seawall_actors::wal::{self, past};

use super::clients::Clients;
use super::refusal::Refusal;
use crate::acl::Gate;
use crate::config::ConfigControl;
use crate::loading::Figures;
use crate::pubsub::PubSub;
use crate::slow::Slow;
use crate::stats::StatsSnapshot;
use crate::tier::TierFigures;
use crate::tracking::Tracker;

/// The daemon's own life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LifeNumbers {
    /// When it started.
    pub started_at: UnixMs,
    /// How long it has been running; monotonic.
    pub uptime: Duration,
    /// 40 hexadecimal digits, different at every start.
    pub run_id: String,
    /// The load of the dataset, while it goes on.
    pub loading: Option<Figures>,
    /// A stop was asked for.
    pub stopping: bool,
}

/// The write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogStatus {
    /// `always`, `everysec` or `no`.
    pub fsync: &'static str,
    /// What it counts.
    pub stats: wal::Stats,
}

/// How the snapshots stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotNumbers {
    /// When the newest was begun; `None` if there is none.
    pub newest_at: Option<UnixMs>,
    /// Records logged since the newest, or ever.
    pub changes: u64,
    /// For how long one has been taken by now; `None` if none is.
    pub running_for: Option<Duration>,
    /// How long the last of this run took.
    pub took: Option<Duration>,
    /// Whether the last one failed.
    pub failed: bool,
    /// Snapshots taken since the start.
    pub taken: u64,
}

/// What SW.HISTORY asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskHistory {
    /// Database number.
    pub db: u8,
    /// The key.
    pub key: Box<[u8]>,
    /// Events that are wanted, at least 1.
    pub count: usize,
    /// Only what happened before this LSN.
    pub before: Option<Lsn>,
}

/// What SW.RESTORE asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskRestore {
    /// Which keys, and when.
    pub wanted: past::Wanted,
    /// Keys that are there now stay as they are.
    pub only_missing: bool,
}

/// What SW.RESTORE did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// The LSN whose state it was.
    pub lsn: Lsn,
    /// Keys that were there then.
    pub found: usize,
    /// Keys that were written.
    pub restored: usize,
    /// Keys that held the same value and expiry.
    pub unchanged: usize,
    /// Keys that hold something else and stay so, as asked.
    pub kept: usize,
    /// Keys whose time has come since.
    pub expired: usize,
}

/// What the commands ask.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// The running configuration.
    fn config(&self) -> &Arc<ConfigControl>;
    /// The registry of connections.
    fn clients(&self) -> &Clients;
    /// What came of logins and checks.
    fn gate(&self) -> &Gate;
    /// Who listens to which channel.
    fn pubsub(&self) -> &PubSub;
    /// Who is told which keys have changed.
    fn tracker(&self) -> &Tracker;
    /// What was slow.
    fn slow(&self) -> &Slow;
    /// Wall time now.
    fn now(&self) -> UnixMs;
    /// Since when, under which id, whether it is ending.
    fn life(&self) -> LifeNumbers;
    /// Asks the daemon to stop in order; `at_once` does not wait for clients.
    fn request_stop(&self, at_once: bool);
    /// Every shard's numbers, in order; `None` for one that does not answer within `within`.
    async fn shards(&self, within: Duration) -> Vec<Option<ShardStats>>;
    /// Zeroes what CONFIG RESETSTAT zeroes.
    async fn reset_stats(&self);
    /// Switches active expiry on or off.
    ///
    /// # Errors
    /// If a shard could not be told.
    async fn set_active_expire(&self, on: bool) -> Result<(), Refusal>;
    /// Counts the configurations that took effect; 1 is the one of the start.
    fn config_generation(&self) -> u64;
    /// The TCP port that clients are served on; 0 without one.
    fn tcp_port(&self) -> u16;
    /// Server-wide counters.
    fn stats(&self) -> StatsSnapshot;
    /// Commands per second over the last second.
    fn ops_per_sec(&self) -> u64;
    /// The log; `None` for a pure cache.
    fn log(&self) -> Option<LogStatus>;
    /// How writes get to Redis; `None` without one.
    fn outbox(&self) -> Option<OutboxStats>;
    /// How the links to Redis stand; `None` without `redis.url`.
    fn tier(&self) -> Option<TierFigures>;
    /// How the snapshots stand; `None` for a pure cache.
    fn snapshots(&self) -> Option<SnapshotNumbers>;
    /// Begins a snapshot, and waits until it is finished if `to_the_end`.
    ///
    /// # Errors
    /// One is being taken already, there is nowhere to put it, or it failed.
    async fn take_snapshot(&self, to_the_end: bool) -> Result<(), Refusal>;
    /// What the log still knows of a key.
    ///
    /// # Errors
    /// There is no log, it cannot be read, or others are reading it.
    async fn history(&self, asked: AskHistory) -> Result<History, Refusal>;
    /// Writes back what keys held in the past, in the name of `author`.
    ///
    /// # Errors
    /// As for the history; the log does not reach back so far; or a write was refused.
    async fn restore(&self, asked: AskRestore, author: &Arc<Author>) -> Result<Restored, Refusal>;
    /// The supervision tree as text, one node a line.
    async fn tree(&self) -> String;
    /// Why the daemon is degraded; empty while it is not.
    fn degraded(&self) -> Vec<String>;
    /// Makes the actor at `path` fail.
    ///
    /// # Errors
    /// An unknown path (the text lists the known ones), or an actor that cannot fail this way.
    async fn drill(&self, path: &str, drill: Drill) -> Result<(), Refusal>;
}
