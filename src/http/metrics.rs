//! From what the parts of the daemon count to readings, one function per part.
//!
//! Each is pure: figures in, [`Sample`] out. The daemon wraps them in `Source`s for the
//! aggregator. Every label set is bounded by the code or by the tree.

pub mod catalog;
pub mod exposition;
pub mod process;

use catalog as m;
use seawall_actors::cache::ShardStats;
use seawall_actors::metrics::Sample;
use seawall_actors::redis::outbox::{OutboxState, OutboxStats};
use seawall_actors::redis::{FailureKind, PoolState};
use seawall_actors::snapshot::SnapshotStatus;
use seawall_actors::wal;

use super::view::{Degraded, Node};
use crate::acl::gate::GateFigures;
use crate::loading::Figures;
use crate::pubsub::Space;
use crate::stats::StatsSnapshot;
use crate::tier::TierFigures;
use crate::tls::Handshakes;

/// The shards, in their order; `None` for one that does not answer.
#[must_use]
pub fn cache(shards: &[Option<ShardStats>]) -> Sample {
    let mut s = Sample::new();
    for (id, stats) in shards.iter().enumerate() {
        let id = id.to_string();
        let shard = [id.as_str()];
        s.flag(&m::SHARD_ANSWERS, &shard, stats.is_some());
        let Some(stats) = stats else { continue };
        let c = &stats.counters;
        s.count(&m::ENTRIES, &shard, stats.entries);
        s.count(&m::EXPIRING, &shard, stats.databases.iter().map(|d| d.expires).sum());
        s.count(&m::MEMORY, &shard, stats.bytes);
        s.count(&m::HITS, &shard, c.hits);
        s.count(&m::MISSES, &shard, c.misses);
        s.count(&m::SETS, &shard, c.sets);
        s.count(&m::DELETES, &shard, c.deletes);
        s.count(&m::EXPIRATIONS, &shard, c.expired);
        s.count(&m::EVICTIONS, &[&id, "entries"], c.evicted_entries);
        s.count(&m::EVICTIONS, &[&id, "memory"], c.evicted_memory);
        s.count(&m::SWEEPS, &shard, c.sweep_cycles);
        s.number(&m::SWEEP_TIME, &shard, seconds(c.sweep_ns, 1e9));
        if let Some(near) = &stats.near {
            s.count(&m::REDIS_FILLS, &shard, near.fills);
            s.count(&m::REDIS_STALE, &shard, near.stale);
            s.count(&m::REDIS_EXPIRED_SERVED, &shard, near.expired);
            s.count(&m::REDIS_EXPIRED_ENTRIES, &shard, near.kept);
            s.count(&m::REDIS_EXPIRED_MEMORY, &shard, near.kept_bytes);
            s.count(&m::REDIS_EARLY, &shard, near.early);
            s.count(&m::REDIS_INVALIDATED, &shard, near.invalidated);
            s.count(&m::REDIS_GAPS, &shard, near.gaps);
            s.count(&m::REDIS_PENDING, &shard, near.pending);
        }
    }
    s
}

/// What the whole server counts.
#[must_use]
pub fn server(stats: &StatsSnapshot) -> Sample {
    let mut s = Sample::new();
    for (family, latency) in stats.commands.families() {
        s.count(&m::COMMANDS, &[family.name()], latency.count());
        s.durations(&m::COMMAND_DURATION, &[family.name()], latency);
    }
    for one in stats.commands.iter() {
        let name = [one.command.name];
        s.count(&m::CALLS, &name, one.calls());
        s.number(&m::CALL_TIME, &name, seconds(one.latency.sum_ns(), 1e9));
        s.count(&m::CALLS_FAILED, &name, one.failed);
        s.count(&m::CALLS_REFUSED, &name, one.refused);
    }
    for (code, n) in stats.errors() {
        s.count(&m::ERRORS, &[code], n);
    }
    s.count(&m::CONNECTIONS, &[], stats.connected);
    s.count(&m::ACCEPTED, &[], stats.accepted);
    for (reason, n) in stats.rejections() {
        s.count(&m::REJECTED, &[reason.name()], n);
    }
    s.count(&m::RECEIVED, &[], stats.bytes_in);
    s.count(&m::SENT, &[], stats.bytes_out);
    s.count(&m::PROTOCOL_ERRORS, &[], stats.protocol_errors);
    s.count(&m::RELOADS, &["ok"], stats.reloads_ok);
    s.count(&m::RELOADS, &["failed"], stats.reloads_failed);
    s.count(&m::TREE_RESTARTS, &[], stats.actor_restarts);
    s.count(&m::TREE_ESCALATIONS, &[], stats.escalations);
    s
}

/// What came of logins and checks.
#[must_use]
pub fn gate(figures: &GateFigures) -> Sample {
    let mut s = Sample::new();
    for (outcome, n) in figures.logins() {
        s.count(&m::LOGINS, &[outcome.name()], n);
    }
    for (reason, n) in figures.denials() {
        s.count(&m::DENIED, &[reason.name()], n);
    }
    s
}

/// Publish and subscribe, and what clients are told for caches of their own.
#[must_use]
pub fn pubsub(figures: &crate::pubsub::Figures, tracking: &crate::tracking::Figures) -> Sample {
    let mut s = Sample::new();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    for space in Space::ALL {
        s.count(&m::CHANNELS, &[space.name()], count(figures.names(space)));
    }
    s.count(&m::SUBSCRIBERS, &[], count(figures.subscribers));
    s.count(&m::SUBSCRIPTIONS, &[], count(figures.subscriptions));
    s.count(&m::PUBSUB_TABLE, &[], count(figures.table_bytes));
    s.count(&m::PUBSUB_PENDING, &[], count(figures.pending_bytes));
    s.count(&m::PUBLISHED, &[], figures.published);
    s.count(&m::DELIVERED, &[], figures.delivered);
    s.count(&m::PUBSUB_OVERFLOWS, &[], figures.overflowed);
    s.count(&m::TRACKING_CLIENTS, &[], count(tracking.clients));
    s.count(&m::TRACKING_KEYS, &[], count(tracking.keys));
    s.count(&m::TRACKING_ITEMS, &[], count(tracking.items));
    s.count(&m::TRACKING_MEMORY, &[], count(tracking.bytes));
    s.count(&m::TRACKING_PREFIXES, &[], count(tracking.prefixes));
    s.count(&m::INVALIDATIONS, &[], tracking.invalidations);
    s
}

/// TLS; `expires` is the end of the certificate in use, in Unix seconds.
#[must_use]
pub fn tls(handshakes: &Handshakes, expires: Option<u64>) -> Sample {
    let mut s = Sample::new();
    for (outcome, n) in handshakes.outcomes() {
        s.count(&m::HANDSHAKES, &[outcome.name()], n);
    }
    let underway = u64::try_from(handshakes.underway()).unwrap_or(u64::MAX);
    s.count(&m::HANDSHAKES_UNDERWAY, &[], underway);
    if let Some(expires) = expires {
        s.count(&m::CERTIFICATE_EXPIRY, &[], expires);
    }
    s
}

/// The write-ahead log; `fsync` is its mode's name.
#[must_use]
pub fn log(stats: &wal::Stats, fsync: &str) -> Sample {
    let mut s = Sample::new();
    s.count(&m::LOG, &[fsync], 1);
    s.count(&m::LOG_LSN, &[], stats.lsn);
    s.count(&m::LOG_WRITTEN_LSN, &[], stats.written);
    s.count(&m::LOG_DURABLE_LSN, &[], stats.durable);
    s.count(&m::LOG_WRITTEN, &[], stats.bytes);
    s.count(&m::LOG_SAVED, &[], stats.saved_bytes);
    s.count(&m::LOG_FRAMES, &[], stats.frames);
    s.count(&m::LOG_RECORDS, &[], stats.records);
    s.count(&m::LOG_SYNCS, &[], stats.syncs);
    s.number(&m::LOG_SYNC_TIME, &[], seconds(stats.sync_us, 1e6));
    s.number(&m::LOG_SYNC_MAX, &[], seconds(stats.sync_max_us, 1e6));
    s.count(&m::LOG_SLOW_SYNCS, &[], stats.slow_syncs);
    s.count(&m::LOG_ERRORS, &["write"], stats.write_errors);
    s.count(&m::LOG_ERRORS, &["sync"], stats.sync_errors);
    s.count(&m::LOG_ROTATIONS, &[], stats.rotations);
    s.count(&m::LOG_SEGMENT, &[], stats.segment_bytes);
    s.count(&m::LOG_PENDING, &[], stats.pending_bytes);
    s.count(&m::LOG_PARKED, &[], stats.parked);
    s.flag(&m::LOG_WRITABLE, &[], stats.blocked.is_none());
    s
}

/// The snapshots of the cache.
#[must_use]
pub fn snapshots(status: &SnapshotStatus) -> Sample {
    let mut s = Sample::new();
    s.count(&m::SNAPSHOTS_TAKEN, &["ok"], status.taken);
    s.count(&m::SNAPSHOTS_TAKEN, &["failed"], status.failures);
    s.flag(&m::SNAPSHOT_FAILED, &[], status.failure.is_some());
    s.flag(&m::SNAPSHOT_RUNNING, &[], status.since.is_some());
    if let Some(newest) = status.newest {
        s.number(&m::SNAPSHOT_TIMESTAMP, &[], seconds(newest.created_ms, 1e3));
        s.count(&m::SNAPSHOT_ENTRIES, &[], newest.entries);
        s.count(&m::SNAPSHOT_SIZE, &[], newest.bytes);
        s.count(&m::SNAPSHOT_LSN, &[], newest.end);
    }
    if let Some(took) = status.took {
        s.number(&m::SNAPSHOT_DURATION, &[], took.as_secs_f64());
    }
    let disk = &status.disk;
    if disk.first_lsn > 0 {
        s.count(&m::SNAPSHOTS_KEPT, &[], disk.snapshots);
        s.count(&m::SNAPSHOTS_SIZE, &[], disk.snapshot_bytes);
        s.count(&m::LOG_SIZE, &[], disk.log_bytes);
        s.count(&m::LOG_SEGMENTS, &[], disk.segments);
        s.count(&m::LOG_FIRST_LSN, &[], disk.first_lsn);
        s.number(&m::LOG_OLDEST, &[], seconds(disk.oldest_ms, 1e3));
    }
    s.count(&m::LOG_DELETED, &[], disk.deleted);
    s.flag(&m::LOG_OVER_MAX, &[], disk.pressure.is_some());
    s.flag(&m::LOG_UPKEEP_FAILED, &[], disk.failure.is_some());
    s
}

/// The write side of the tier.
#[must_use]
pub fn outbox(stats: &OutboxStats) -> Sample {
    let mut s = Sample::new();
    for state in OutboxState::NAMES {
        s.flag(&m::OUTBOX, &[state], state == stats.state.name());
    }
    s.count(&m::OUTBOX_ACKNOWLEDGED, &[], stats.acknowledged);
    s.count(&m::OUTBOX_LAG, &[], stats.lag.records);
    s.count(&m::OUTBOX_BACKLOG, &[], stats.lag.bytes);
    if let Some(oldest_ms) = stats.lag.oldest_ms {
        s.number(&m::OUTBOX_OLDEST, &[], seconds(oldest_ms, 1e3));
    }
    s.count(&m::OUTBOX_SENT, &[], stats.sent);
    s.count(&m::OUTBOX_COALESCED, &[], stats.coalesced);
    s.count(&m::OUTBOX_BATCHES, &[], stats.batches);
    s.count(&m::OUTBOX_FAILURES, &[], stats.failures);
    s.count(&m::OUTBOX_CONFLICTS, &[], stats.conflicts);
    s.count(&m::OUTBOX_DEGRADED, &[], stats.degraded);
    s.count(&m::OUTBOX_RECONCILES, &[], stats.reconciles);
    s.count(&m::OUTBOX_RECONCILED, &[], stats.reconciled_keys);
    s
}

/// The links to the Redis behind.
#[must_use]
pub fn tier(figures: &TierFigures) -> Sample {
    let mut s = Sample::new();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let TierFigures { stats, .. } = figures;
    s.flag(&m::REDIS_REACHABLE, &[], matches!(figures.state, PoolState::Up(_)));
    s.count(&m::REDIS_LINKS, &[], count(stats.links.len()));
    if let Some(clock) = &figures.clock {
        s.number(&m::REDIS_CLOCK_SKEW, &[], clock.skew.ahead_ms as f64 / 1000.0);
    }
    s.count(&m::REDIS_COMMANDS, &[], stats.commands);
    s.count(&m::REDIS_RETRIES, &[], stats.retries);
    for (kind, n) in FailureKind::NAMES.iter().zip(stats.failures) {
        s.count(&m::REDIS_FAILURES, &[kind], n);
    }
    for link in &stats.links {
        let id = link.id.to_string();
        let id = [id.as_str()];
        s.flag(&m::LINK_UP, &id, link.age.is_some());
        if let Some(age) = link.age {
            s.number(&m::LINK_AGE, &id, age.as_secs_f64());
        }
        s.count(&m::LINK_IN_USE, &id, count(link.in_use));
        s.count(&m::LINK_WAITS, &id, link.waits);
        s.number(&m::LINK_WAIT_TIME, &id, link.waited.as_secs_f64());
        s.count(&m::LINK_RECONNECTS, &id, link.reconnects);
    }
    let heard = &figures.tracker;
    s.flag(&m::REDIS_TRACKING, &[], heard.up && !heard.refused);
    s.count(&m::ANNOUNCEMENTS, &[], heard.announcements);
    s.count(&m::ANNOUNCED_KEYS, &[], heard.keys);
    s.count(&m::ANNOUNCED_FLUSHES, &[], heard.flushes);
    s.count(&m::TRACKER_GAPS, &[], heard.gaps);
    s.count(&m::ANNOUNCEMENT_OVERFLOWS, &[], figures.overflows);
    let passage = &figures.passage;
    s.count(&m::PASS_IN_USE, &[], count(passage.in_use));
    s.count(&m::PASS_BLOCKED, &[], count(passage.blocked));
    s.count(&m::PASSED, &[], passage.passed);
    s.count(&m::PASS_WAITS, &[], passage.waits);
    s.count(&m::PASS_REFUSED, &[], passage.refused);
    let heard = &figures.pubsub;
    s.flag(&m::REDIS_PUBSUB, &[], heard.on);
    s.count(&m::REDIS_SUBSCRIPTIONS, &["confirmed"], count(heard.confirmed));
    s.count(&m::REDIS_SUBSCRIPTIONS, &["refused"], count(heard.refused));
    let pending = heard.wanted.saturating_sub(heard.confirmed + heard.refused);
    s.count(&m::REDIS_SUBSCRIPTIONS, &["pending"], count(pending));
    s.count(&m::REDIS_MESSAGES, &[], heard.messages);
    s.count(&m::REDIS_PUBSUB_GAPS, &[], heard.gaps);
    s.count(&m::REDIS_UNCONFIRMED, &[], heard.unconfirmed);
    s
}

/// The supervision tree.
#[must_use]
pub fn tree(root: &Node, degraded: &[Degraded]) -> Sample {
    let mut s = Sample::new();
    root.walk(&mut |node| {
        let path = [node.path.as_str()];
        s.flag(&m::ACTOR_UP, &path, node.state == "up");
        s.count(&m::ACTOR_RESTARTS, &path, node.restarts);
        if let Some(depth) = node.mailbox {
            s.count(&m::ACTOR_MAILBOX, &path, depth);
        }
        if let Some(breaker) = node.breaker {
            for state in ["closed", "open", "half-open"] {
                s.flag(&m::BREAKER_STATE, &[&node.path, state], state == breaker);
            }
        }
    });
    s.count(&m::DEGRADED, &[], u64::try_from(degraded.len()).unwrap_or(u64::MAX));
    for one in degraded {
        if let Some(condition) = &one.condition {
            s.flag(&m::IMPAIRED, &[&one.path, condition], true);
        }
    }
    s
}

/// What does not belong to any other part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonFigures {
    /// Whether it is ready for clients.
    pub ready: bool,
    /// Which configuration is in force; grows by one with each that is applied.
    pub config_generation: u64,
    /// Log lines dropped because stderr took none.
    pub dropped_lines: u64,
    /// How many clients may be connected.
    pub max_clients: usize,
    /// Whether the dataset is being loaded.
    pub loading: bool,
    /// How far it is loaded.
    pub load: Figures,
}

/// The daemon as a whole.
#[must_use]
pub fn daemon(figures: DaemonFigures) -> Sample {
    let mut s = Sample::new();
    s.count(&m::BUILD, &[env!("CARGO_PKG_VERSION")], 1);
    s.flag(&m::READY, &[], figures.ready);
    s.count(&m::CONFIG_GENERATION, &[], figures.config_generation);
    s.count(&m::DROPPED_LINES, &[], figures.dropped_lines);
    s.count(&m::CONNECTIONS_MAX, &[], figures.max_clients as u64);
    s.flag(&m::LOADING, &[], figures.loading);
    s.count(&m::LOAD_TOTAL, &[], figures.load.total_bytes);
    s.count(&m::LOAD_DONE, &[], figures.load.loaded_bytes);
    s.count(&m::LOAD_RECORDS, &[], figures.load.records);
    s.count(&m::LOAD_ASIDE, &[], figures.load.aside);
    s.number(&m::LOAD_TIME, &[], figures.load.elapsed.as_secs_f64());
    s
}

#[allow(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 104 days, exact")]
fn seconds(ticks: u64, per_second: f64) -> f64 {
    ticks as f64 / per_second
}

#[cfg(test)]
mod tests;
