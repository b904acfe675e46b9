//! `[cache]` and `[validation]`: the entries, and what an entry may be.

use std::time::Duration;

use super::{Apply, Key, Kind, Mapping, RedisName};

/// A hundred years: longer than any entry lives.
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// The keys of these sections.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "cache.shards",
        kind: Kind::AutoOr { min: 1, max: 256 },
        default: r#""auto""#,
        apply: Apply::NeedsRestart,
        protected: false,
        redis: &[],
        doc: "How many shard actors share the entries, and at most how many threads run; auto takes one less than there are cores, and no more than leave each a share of 1000 of max_entries, and of max_memory room for a value of max_value, or of 25MB while that is at its default.",
    },
    Key {
        path: "cache.max_entries",
        kind: Kind::Int { min: 0, max: 1 << 40 },
        default: "100000",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The most entries, over all databases; 0 lifts the limit.",
    },
    Key {
        path: "cache.max_memory",
        kind: Kind::Size { min: 1_000_000, max: 1 << 50, zero: true, percent: true },
        default: r#""100MB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "maxmemory", mapping: Mapping::Memory }],
        doc: "The most memory for entries, counted as allocated; also a share of the machine's or cgroup's, like 60%; 0 lifts the limit.",
    },
    Key {
        path: "cache.eviction",
        kind: Kind::Enum(&["lru", "noeviction"]),
        default: r#""lru""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName {
            name: "maxmemory-policy",
            mapping: Mapping::Words(&[("allkeys-lru", "lru"), ("noeviction", "noeviction")]),
        }],
        doc: "What gives way at a limit: the least recently used entry, or nothing (writes are then refused).",
    },
    Key {
        path: "cache.default_ttl",
        kind: Kind::Duration { min: Duration::from_millis(1), max: CENTURY, zero: true },
        default: r#""0s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The time to live of an entry that is set without one; 0s for none.",
    },
    Key {
        path: "cache.recovery_wait",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: Duration::from_secs(60),
            zero: true,
        },
        default: r#""0s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How long a command waits for a shard that is rebuilt after a crash before it is answered with LOADING; 0s answers at once.",
    },
    Key {
        path: "cache.sweep_interval",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: Duration::from_secs(3600),
            zero: false,
        },
        default: r#""100ms""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How often expired entries are removed that nobody asked for.",
    },
    Key {
        path: "cache.paranoia",
        kind: Kind::Bool,
        default: "false",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "Tight limits over all others: 10000 entries, 10MB, values up to 1MB, keys of printable ASCII. A smaller limit always wins.",
    },
    Key {
        path: "validation.binary_keys",
        kind: Kind::Bool,
        default: "false",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "Allow any bytes in keys; else keys are UTF-8 without NUL and control characters.",
    },
    Key {
        path: "validation.max_key_length",
        kind: Kind::Int { min: 1, max: 1_000_000 },
        default: "1000",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The longest key, in characters; in bytes where binary_keys is on.",
    },
    Key {
        path: "validation.max_ttl",
        kind: Kind::Duration { min: Duration::from_millis(1), max: CENTURY, zero: true },
        default: r#""365days""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The longest time to live; 0s for no bound.",
    },
    Key {
        path: "validation.max_value",
        kind: Kind::Size { min: 1, max: 512 << 20, zero: false, percent: false },
        default: r#""64MB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "proto-max-bulk-len", mapping: Mapping::Memory }],
        doc: "The largest value.",
    },
];
