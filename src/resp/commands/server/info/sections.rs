//! INFO's sections that Redis has too.
//!
//! A field is left out where its number would be made up; fields that tools read and that have
//! one true answer here (no forks, no replicas, no modules) are constant.

use std::fmt::Write as _;

use seawall_actors::metrics::HistogramSnapshot;

use super::process::Process;
use super::report::Report;
use crate::acl::Reason;
use crate::acl::gate::Login;
use crate::config::settings::Eviction;
use crate::pubsub::Space;
use crate::resp::version::{REDIS_VERSION, SEAWALL_VERSION};

/// Appends `name:value` lines.
macro_rules! lines {
    ($out:expr, $($name:literal => $value:expr),* $(,)?) => {
        // Writing to a String never fails.
        $(let _ = write!($out, concat!($name, ":{}\r\n"), $value);)*
    };
}
pub(super) use lines;

/// Bytes for people, as Redis writes them.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 4] =
        [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    for (unit, letter) in UNITS {
        if bytes >= unit {
            let hundredths = u128::from(bytes) * 100 / u128::from(unit);
            return format!("{}.{:02}{letter}", hundredths / 100, hundredths % 100);
        }
    }
    format!("{bytes}B")
}

pub(super) fn server(r: &Report, out: &mut String) {
    let uptime = r.life.uptime.as_secs();
    lines!(out,
        "redis_version" => REDIS_VERSION,
        "redis_git_sha1" => "00000000",
        "redis_git_dirty" => 0,
        "redis_build_id" => SEAWALL_VERSION,
        "redis_mode" => "standalone",
        "os" => r.process.os,
        "arch_bits" => usize::BITS,
        "monotonic_clock" => "POSIX clock_gettime",
        "multiplexing_api" => "epoll",
        "process_id" => std::process::id(),
        "process_supervised" => supervised_by(),
        "run_id" => r.life.run_id,
        "tcp_port" => r.tcp_port,
        "server_time_usec" => r.now.saturating_mul(1000),
        "uptime_in_seconds" => uptime,
        "uptime_in_days" => uptime / 86_400,
        "hz" => sweeps_per_second(r),
        "configured_hz" => sweeps_per_second(r),
        "lru_clock" => (r.now / 1000) & 0x00ff_ffff,
        "executable" => r.process.executable,
        "config_file" => r.config_file,
        "io_threads_active" => 0,
    );
}

fn supervised_by() -> &'static str {
    if std::env::var_os("NOTIFY_SOCKET").is_some() { "systemd" } else { "no" }
}

fn sweeps_per_second(r: &Report) -> u128 {
    1000 / r.settings.cache.sweep_interval.as_millis().clamp(1, 1000)
}

pub(super) fn clients(r: &Report, out: &mut String) {
    lines!(out,
        "connected_clients" => r.connected,
        "cluster_connections" => 0,
        "maxclients" => r.max_clients,
        "client_recent_max_input_buffer" => r.max_query_bytes,
        "client_recent_max_output_buffer" => r.max_output_bytes,
        "blocked_clients" => 0,
        "tracking_clients" => r.tracking.clients,
        "pubsub_clients" => r.pubsub.subscribers,
        "watching_clients" => r.watching_clients,
        "clients_in_timeout_table" => 0,
        "total_watched_keys" => r.watched_keys,
        "total_blocking_keys" => 0,
    );
}

/// `used_memory` is what the stores allocated; the peak is that of the whole process, the only
/// one that is measured.
pub(super) fn memory(r: &Report, out: &mut String) {
    let (used, rss) = (r.sum(|s| s.bytes), r.process.resident_bytes);
    let peak = r.process.peak_resident_bytes;
    let limit = r.settings.cache.max_memory.unwrap_or(0);
    let policy = match r.settings.cache.eviction {
        Eviction::Lru => "allkeys-lru",
        Eviction::NoEviction => "noeviction",
    };
    lines!(out,
        "used_memory" => used,
        "used_memory_human" => human(used),
        "used_memory_rss" => rss,
        "used_memory_rss_human" => human(rss),
        "used_memory_peak" => peak,
        "used_memory_peak_human" => human(peak),
        "used_memory_dataset" => used,
        "total_system_memory" => r.process.machine_bytes,
        "total_system_memory_human" => human(r.process.machine_bytes),
        "maxmemory" => limit,
        "maxmemory_human" => human(limit),
        "maxmemory_policy" => policy,
        "mem_fragmentation_ratio" => ratio(rss, used),
        "mem_clients_normal" => r.client_bytes,
        "mem_allocator" => "mimalloc",
        "active_defrag_running" => 0,
        "lazyfree_pending_objects" => 0,
    );
}

/// A ratio with two digits; 0 where there is nothing to divide by.
fn ratio(a: u64, b: u64) -> String {
    let hundredths = (u128::from(a) * 100).checked_div(u128::from(b)).unwrap_or(0);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

pub(super) fn persistence(r: &Report, out: &mut String) {
    let (log, snapshots) = (r.log.as_ref().map(|log| &log.stats), &r.snapshots);
    let seconds = |time: Option<std::time::Duration>| {
        time.map_or(-1, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    };
    lines!(out,
        "loading" => u8::from(r.life.loading.is_some()),
        "async_loading" => 0,
        "rdb_changes_since_last_save" => snapshots.changes,
        "rdb_bgsave_in_progress" => u8::from(snapshots.running_for.is_some()),
        "rdb_last_save_time" => snapshots.newest_at.unwrap_or(r.life.started_at) / 1000,
        "rdb_last_bgsave_status" => if snapshots.failed { "err" } else { "ok" },
        "rdb_last_bgsave_time_sec" => seconds(snapshots.took),
        "rdb_current_bgsave_time_sec" => seconds(snapshots.running_for),
        "rdb_saves" => snapshots.taken,
        "aof_enabled" => u8::from(log.is_some()),
        "aof_rewrite_in_progress" => 0,
        "aof_rewrite_scheduled" => 0,
        "aof_last_rewrite_time_sec" => -1,
        "aof_current_rewrite_time_sec" => -1,
        "aof_last_bgrewrite_status" => "ok",
        "aof_last_write_status" =>
            if log.is_some_and(|l| l.blocked.is_some()) { "err" } else { "ok" },
    );
    if let Some(log) = log {
        lines!(out,
            "aof_current_size" => log.bytes,
            "aof_base_size" => 0,
            "aof_pending_rewrite" => 0,
            "aof_buffer_length" => 0,
            "aof_pending_bio_fsync" => u8::from(log.durable < log.written),
            "aof_delayed_fsync" => 0,
        );
    }
    if let Some(load) = &r.life.loading {
        lines!(out,
            "loading_start_time" => load.begun_ms / 1000,
            "loading_total_bytes" => load.total_bytes,
            "loading_loaded_bytes" => load.loaded_bytes,
            "loading_loaded_perc" => format!("{:.2}", load.percent()),
            "loading_eta_seconds" => load.eta_seconds(),
        );
    }
}

pub(super) fn stats(r: &Report, out: &mut String) {
    let t = &r.stats;
    lines!(out,
        "total_connections_received" => t.accepted,
        "total_commands_processed" => t.commands.calls(),
        "instantaneous_ops_per_sec" => r.ops_per_sec,
        "total_net_input_bytes" => t.bytes_in,
        "total_net_output_bytes" => t.bytes_out,
        "rejected_connections" => t.rejected_total(),
        "sync_full" => 0,
        "sync_partial_ok" => 0,
        "sync_partial_err" => 0,
        "expired_keys" => r.sum(|s| s.counters.expired),
        "expire_cycle_cpu_milliseconds" => r.sum(|s| s.counters.sweep_ns) / 1_000_000,
        "evicted_keys" => r.sum(|s| s.counters.evicted_entries + s.counters.evicted_memory),
        "evicted_clients" => 0,
        "keyspace_hits" => r.sum(|s| s.counters.hits),
        "keyspace_misses" => r.sum(|s| s.counters.misses),
        "pubsub_channels" => r.pubsub.names(Space::Channel),
        "pubsub_patterns" => r.pubsub.names(Space::Pattern),
        "pubsubshard_channels" => r.pubsub.names(Space::Shard),
        "latest_fork_usec" => 0,
        "total_forks" => 0,
        "tracking_total_keys" => r.tracking.keys,
        "tracking_total_items" => r.tracking.items,
        "tracking_total_prefixes" => r.tracking.prefixes,
        "unexpected_error_replies" => 0,
        "total_error_replies" => t.errors_total(),
    );
    let refused = r.gate.logins().filter(|(how, _)| *how != Login::Accepted);
    lines!(out, "acl_access_denied_auth" => refused.map(|(_, n)| n).sum::<u64>());
    for (reason, n) in r.gate.denials() {
        let name = match reason {
            Reason::Command => "cmd",
            Reason::Key => "key",
            Reason::Channel => "channel",
        };
        // Writing to a String never fails.
        let _ = write!(out, "acl_access_denied_{name}:{n}\r\n");
    }
}

pub(super) fn replication(r: &Report, out: &mut String) {
    lines!(out,
        "role" => "master",
        "connected_slaves" => 0,
        "master_failover_state" => "no-failover",
        "master_replid" => r.life.run_id,
        "master_replid2" => "0000000000000000000000000000000000000000",
        "master_repl_offset" => 0,
        "second_repl_offset" => -1,
        "repl_backlog_active" => 0,
        "repl_backlog_size" => 0,
        "repl_backlog_first_byte_offset" => 0,
        "repl_backlog_histlen" => 0,
    );
}

pub(super) fn cpu(r: &Report, out: &mut String) {
    lines!(out,
        "used_cpu_sys" => Process::seconds(r.process.system_ticks),
        "used_cpu_user" => Process::seconds(r.process.user_ticks),
        "used_cpu_sys_children" => Process::seconds(0),
        "used_cpu_user_children" => Process::seconds(0),
    );
}

pub(super) fn errorstats(r: &Report, out: &mut String) {
    for (code, count) in r.stats.errors().filter(|(_, count)| *count > 0) {
        let _ = write!(out, "errorstat_{code}:count={count}\r\n");
    }
}

/// The time of a call is what it waited, from being decoded to its reply being ready: in a
/// pipeline, the time of its round.
pub(super) fn commandstats(r: &Report, out: &mut String) {
    for one in r.stats.commands.iter() {
        let calls = one.calls();
        let usec = one.latency.sum_ns() / 1000;
        let _ = write!(
            out,
            "cmdstat_{}:calls={calls},usec={usec},usec_per_call={},rejected_calls={},\
             failed_calls={}\r\n",
            one.command.name,
            ratio(usec, calls),
            one.refused,
            one.failed,
        );
    }
}

pub(super) fn latencystats(r: &Report, out: &mut String) {
    for one in r.stats.commands.iter().filter(|one| one.calls() > 0) {
        let (name, percentiles) = (one.command.name, percentiles(&one.latency));
        let _ = write!(out, "latency_percentiles_usec_{name}:{percentiles}\r\n");
    }
}

/// The same of whole families, as /metrics shows them.
pub(super) fn familystats(r: &Report, out: &mut String) {
    for (family, latency) in r.stats.commands.families().filter(|(_, l)| l.count() > 0) {
        let (calls, usec) = (latency.count(), latency.sum_ns() / 1000);
        let _ = write!(
            out,
            "familystat_{}:calls={calls},usec={usec},usec_per_call={},{}\r\n",
            family.name(),
            ratio(usec, calls),
            percentiles(&latency),
        );
    }
}

/// The percentiles that Redis shows unless told otherwise, in microseconds.
fn percentiles(latency: &HistogramSnapshot) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| {
        let ns = latency.quantile(q).unwrap_or(0);
        format!("{}.{:03}", ns / 1000, ns % 1000)
    });
    format!("p50={p50},p99={p99},p99.9={p999}")
}

pub(super) fn cluster(_: &Report, out: &mut String) {
    lines!(out, "cluster_enabled" => 0);
}

pub(super) fn keyspace(r: &Report, out: &mut String) {
    for (db, d) in r.databases() {
        let _ = write!(
            out,
            "db{}:keys={},expires={},avg_ttl={}\r\n",
            db, d.keys, d.expires, d.avg_ttl_ms
        );
    }
}
