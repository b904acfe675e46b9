//! `[wal]`: the write-ahead log.

use std::time::Duration;

use super::{Apply, Key, Kind, Mapping, RedisName};

/// The keys of this section.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "wal.enabled",
        kind: Kind::Bool,
        default: "true",
        apply: Apply::NeedsRestart,
        protected: false,
        redis: &[RedisName { name: "appendonly", mapping: Mapping::YesNo }],
        doc: "Log every write, so that a restart finds every entry again; false runs a pure cache.",
    },
    Key {
        path: "wal.fsync",
        kind: Kind::Enum(&["always", "everysec", "no"]),
        default: r#""everysec""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName {
            name: "appendfsync",
            mapping: Mapping::Words(&[
                ("everysec", "everysec"),
                ("always", "always"),
                ("no", "no"),
            ]),
        }],
        doc: "When a write is forced to the disk: before its reply, once a second, or whenever the system likes.",
    },
    Key {
        path: "wal.segment_size",
        kind: Kind::Size { min: 64 << 10, max: 4 << 30, zero: false, percent: false },
        default: r#""10MB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The size at which the log goes on in a new file.",
    },
    Key {
        path: "wal.origin",
        kind: Kind::Bool,
        default: "true",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "Log which client wrote: its address, user and name, for SW.HISTORY.",
    },
    Key {
        path: "wal.compress_above",
        kind: Kind::Size { min: 64, max: 512 << 20, zero: true, percent: false },
        default: r#""1KB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "Values of more bytes than this are compressed (LZ4) in the log and in snapshots where it pays; 0 compresses none.",
    },
    Key {
        path: "wal.retention",
        kind: Kind::Duration {
            min: Duration::from_secs(1),
            max: Duration::from_secs(36_500 * 86_400),
            zero: true,
        },
        default: r#""24h""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How far back every moment of the cache can be restored; older log is deleted, as far as two snapshots stand for it. 0s keeps what recovery needs.",
    },
    Key {
        path: "wal.recovery",
        kind: Kind::Enum(&["refuse", "prefix"]),
        default: r#""refuse""#,
        apply: Apply::NeedsRestart,
        protected: false,
        redis: &[],
        doc: "What a start does with a log that was changed after it was written: refuse, or cut it at the first damage, with all that is taken out kept in quarantine/, and serve what is before. \"prefix\" reads the log twice at the start.",
    },
    Key {
        path: "wal.max_size",
        kind: Kind::Size { min: 256 << 10, max: 1 << 50, zero: true, percent: false },
        default: r#""10GB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The size of the log on the disk above which the daemon raises an alarm and retention gives way; 0 lifts the limit.",
    },
];
