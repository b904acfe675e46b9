//! The settings that the values say, before any rule. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use super::accepted::{
    addresses, bounded, duration, flag, int, nonzero, path, size, text, to_usize,
};
use super::redis;
use crate::config::events::EventClasses;
use crate::config::files::NamedFiles;
use crate::config::secret::Secret;
use crate::config::settings::{
    Admin, Cache, Data, Debug, Eviction, Fsync, KeyBytes, Log, LogFormat, LogRecovery, Server,
    Settings, Snapshot, Startup, Supervision, Tls, Validation, Wal,
};
use crate::config::sources::Values;
use crate::config::value::Value;

/// What is not among the values has been found out before.
pub(super) fn build(
    values: Values,
    auto_shards: u16,
    max_memory: Option<u64>,
    password: Option<Secret>,
    tls: Tls,
    files: &NamedFiles,
) -> Settings {
    let v = &values;
    let paranoia = flag(v, "cache.paranoia");
    let shards = match v.get("cache.shards") {
        Some(Value::Int(n)) => u16::try_from(*n).unwrap_or(256),
        _ => auto_shards,
    };
    Settings {
        server: Server {
            bind: addresses(v, "server.bind").collect(),
            tls_bind: addresses(v, "server.tls_bind").collect(),
            unix_socket: path(v, "server.unix_socket"),
            databases: u16::try_from(int(v, "server.databases")).unwrap_or(u16::MAX),
            max_clients: to_usize(int(v, "server.max_clients")),
            idle_timeout: bounded(v, "server.idle_timeout"),
            tcp_keepalive: bounded(v, "server.tcp_keepalive"),
            password,
            protected_mode: flag(v, "server.protected_mode"),
            query_buffer: to_usize(size(v, "server.query_buffer")),
            output_buffer: to_usize(size(v, "server.output_buffer")),
            pubsub_buffer: to_usize(size(v, "server.pubsub_buffer")),
            max_subscriptions: to_usize(int(v, "server.max_subscriptions")),
            max_channels: to_usize(int(v, "server.max_channels")),
            tracking_table_max_keys: to_usize(int(v, "server.tracking_table_max_keys")),
            // What was read has been looked at.
            notify_keyspace_events: EventClasses::parse(text(v, "server.notify_keyspace_events"))
                .unwrap_or_default(),
            slowlog_slower_than: bounded(v, "server.slowlog_slower_than"),
            slowlog_max_len: to_usize(int(v, "server.slowlog_max_len")),
            latency_threshold: bounded(v, "server.latency_threshold"),
        },
        admin: Admin { bind: text(v, "admin.bind").parse().ok(), tls: flag(v, "admin.tls") },
        tls,
        data: Data { dir: PathBuf::from(text(v, "data.dir")) },
        cache: Cache {
            shards,
            max_entries: nonzero(int(v, "cache.max_entries")),
            max_memory,
            eviction: match text(v, "cache.eviction") {
                "noeviction" => Eviction::NoEviction,
                _ => Eviction::Lru,
            },
            default_ttl: bounded(v, "cache.default_ttl"),
            recovery_wait: duration(v, "cache.recovery_wait"),
            sweep_interval: duration(v, "cache.sweep_interval"),
            paranoia,
        },
        validation: Validation {
            key_bytes: match (paranoia, flag(v, "validation.binary_keys")) {
                (true, _) => KeyBytes::PrintableAscii,
                (false, true) => KeyBytes::Binary,
                (false, false) => KeyBytes::Text,
            },
            max_key_length: to_usize(int(v, "validation.max_key_length")),
            max_ttl: bounded(v, "validation.max_ttl"),
            max_value: to_usize(size(v, "validation.max_value")),
        },
        wal: Wal {
            enabled: flag(v, "wal.enabled"),
            fsync: match text(v, "wal.fsync") {
                "always" => Fsync::Always,
                "no" => Fsync::No,
                _ => Fsync::EverySec,
            },
            segment_size: size(v, "wal.segment_size"),
            origin: flag(v, "wal.origin"),
            compress_above: size(v, "wal.compress_above"),
            retention: duration(v, "wal.retention"),
            recovery: match text(v, "wal.recovery") {
                "prefix" => LogRecovery::Prefix,
                _ => LogRecovery::Refuse,
            },
            max_size: nonzero(size(v, "wal.max_size")),
        },
        snapshot: Snapshot {
            every: bounded(v, "snapshot.every"),
            after_bytes: nonzero(size(v, "snapshot.after_bytes")),
            keep: to_usize(int(v, "snapshot.keep")).max(2),
        },
        redis: redis::redis(v, files),
        log: Log {
            format: match text(v, "log.format") {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            level: text(v, "log.level").to_owned(),
        },
        supervision: Supervision {
            grace: duration(v, "supervision.grace"),
            watchdog: duration(v, "supervision.watchdog"),
        },
        startup: Startup { fail_fast: flag(v, "startup.fail_fast") },
        debug: Debug { drills: flag(v, "debug.drills"), commands: flag(v, "debug.commands") },
        users: Arc::default(),
        files: NamedFiles::default(),
        values,
    }
}
