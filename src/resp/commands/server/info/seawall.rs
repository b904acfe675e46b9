//! INFO's section that only Seawall has: shards, log, supervision, configuration.

use std::fmt::Write as _;

use super::one_line;
use super::report::Report;
use super::sections::lines;
use crate::resp::backend::LogStatus;
use crate::resp::version::SEAWALL_VERSION;

pub(super) fn seawall(r: &Report, out: &mut String) {
    lines!(out,
        "seawall_version" => SEAWALL_VERSION,
        "config_generation" => r.config_generation,
        "config_reloads" => r.stats.reloads_ok,
        "config_reloads_refused" => r.stats.reloads_failed,
        "actor_restarts" => r.stats.actor_restarts,
        "degraded" => u8::from(!r.degraded.is_empty()),
    );
    for (number, reason) in r.degraded.iter().enumerate() {
        let _ = write!(out, "degraded_reason_{number}:{}\r\n", one_line(reason));
    }
    log(r, out);
    outbox(r, out);
    lines!(out,
        "sets" => r.sum(|s| s.counters.sets),
        "deletes" => r.sum(|s| s.counters.deletes),
        "evicted_by_entries" => r.sum(|s| s.counters.evicted_entries),
        "evicted_by_memory" => r.sum(|s| s.counters.evicted_memory),
        "sweeps" => r.sum(|s| s.counters.sweep_cycles),
        "sweep_usec" => r.sum(|s| s.counters.sweep_ns) / 1000,
        "max_entries" => r.settings.cache.max_entries.unwrap_or(0),
        "shards" => r.shards.len(),
    );
    for (number, shard) in r.shards.iter().enumerate() {
        let _ = match shard {
            Some(s) => write!(
                out,
                "shard{number}:entries={},bytes={},hits={},misses={}\r\n",
                s.entries, s.bytes, s.counters.hits, s.counters.misses
            ),
            None => write!(out, "shard{number}:no answer\r\n"),
        };
    }
}

fn log(r: &Report, out: &mut String) {
    let Some(LogStatus { fsync, stats: log }) = &r.log else {
        lines!(out, "wal_enabled" => 0);
        return;
    };
    lines!(out,
        "wal_enabled" => 1,
        "wal_fsync" => fsync,
        "wal_lsn" => log.lsn,
        "wal_written_lsn" => log.written,
        "wal_durable_lsn" => log.durable,
        "wal_segment" => log.segment,
        "wal_bytes" => log.bytes,
        "wal_saved_bytes" => log.saved_bytes,
        "wal_frames" => log.frames,
        "wal_syncs" => log.syncs,
        "wal_errors" => log.write_errors + log.sync_errors,
        "wal_refusing" => log.blocked.as_deref().map_or_else(String::new, one_line),
    );
}

/// How writes get to Redis.
fn outbox(r: &Report, out: &mut String) {
    let Some(outbox) = &r.outbox else { return };
    let why = outbox.state.reason().map_or_else(String::new, one_line);
    let lag = &outbox.lag;
    lines!(out,
        "redis_outbox" => outbox.state.name(),
        "redis_outbox_reason" => why,
        "redis_outbox_acknowledged_lsn" => outbox.acknowledged,
        "redis_outbox_lag_records" => lag.records,
        "redis_outbox_lag_bytes" => lag.bytes,
        "redis_outbox_oldest_ms" => lag.oldest_ms.map_or(0, |at| r.now.saturating_sub(at)),
        "redis_outbox_sent" => outbox.sent,
        "redis_outbox_coalesced" => outbox.coalesced,
        "redis_outbox_transactions" => outbox.batches,
        "redis_outbox_failures" => outbox.failures,
        "redis_outbox_conflicts" => outbox.conflicts,
        "redis_degraded_writes" => outbox.degraded,
        "redis_reconciles" => outbox.reconciles,
        "redis_reconciled_keys" => outbox.reconciled_keys,
    );
}
