//! `[snapshot]`: when snapshots are taken, and how many stay.

use std::time::Duration;

use super::{Apply, Key, Kind};

/// The keys of this section.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "snapshot.every",
        kind: Kind::Duration {
            min: Duration::from_secs(1),
            max: Duration::from_secs(36_500 * 86_400),
            zero: true,
        },
        default: r#""1h""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "The time between two snapshots, if anything was written; 0s takes none for its sake.",
    },
    Key {
        path: "snapshot.after_bytes",
        kind: Kind::Size { min: 64 << 10, max: 1 << 50, zero: true, percent: false },
        default: r#""256MB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How much log may be written before another snapshot is taken; 0 takes none for its sake.",
    },
    Key {
        path: "snapshot.keep",
        kind: Kind::Int { min: 2, max: 64 },
        default: "2",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How many of the newest snapshots stay; older ones stay as wal.retention needs them.",
    },
];
