//! `[log]`, `[supervision]`, `[startup]`, `[debug]`: how the daemon itself behaves.

use std::time::Duration;

use super::{Apply, Key, Kind, Mapping, RedisName};

/// The keys of these sections.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "log.format",
        kind: Kind::Enum(&["text", "json"]),
        default: r#""text""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "Lines for people, or one JSON object per line.",
    },
    Key {
        path: "log.level",
        kind: Kind::Directives,
        default: r#""info""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "loglevel", mapping: Mapping::LogLevel }],
        doc: "off, error, warn, info, debug or trace; also per module, as in info,seawall_actors::wal=debug.",
    },
    Key {
        path: "supervision.grace",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: Duration::from_secs(3600),
            zero: false,
        },
        default: r#""10s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How long an orderly stop may take as a whole; what is left then is cut off.",
    },
    Key {
        path: "supervision.watchdog",
        kind: Kind::Duration {
            min: Duration::from_millis(100),
            max: Duration::from_secs(3600),
            zero: false,
        },
        default: r#""10s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "An actor that makes no progress with a message for this long counts as crashed.",
    },
    Key {
        path: "startup.fail_fast",
        kind: Kind::Bool,
        default: "true",
        apply: Apply::NeedsRestart,
        protected: false,
        redis: &[],
        doc: "End with an error when a part cannot start, instead of serving without it.",
    },
    Key {
        path: "debug.drills",
        kind: Kind::Bool,
        default: "false",
        apply: Apply::Live,
        protected: true,
        redis: &[],
        doc: "Allow SW.DRILL, which makes an actor fail on purpose.",
    },
    Key {
        path: "debug.commands",
        kind: Kind::Bool,
        default: "false",
        apply: Apply::Live,
        protected: true,
        redis: &[RedisName { name: "enable-debug-command", mapping: Mapping::YesNo }],
        doc: "Allow the DEBUG command.",
    },
];
