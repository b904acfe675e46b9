//! `[server]`, `[admin]`, `[data]`: where clients connect and where things are kept.

use std::time::Duration;

use super::{Apply, Key, Kind, Mapping, RedisName};

/// No command takes longer than this.
const SLOWEST: Duration = Duration::from_secs(86_400);

/// The keys of these sections.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "server.bind",
        kind: Kind::Addresses,
        default: r#"["127.0.0.1:6380"]"#,
        apply: Apply::Live,
        protected: false,
        redis: &[
            RedisName { name: "bind", mapping: Mapping::Hosts },
            RedisName { name: "port", mapping: Mapping::Port },
        ],
        doc: "Where Redis clients connect. Port 0 takes any free port; [] serves the Unix socket alone.",
    },
    Key {
        path: "server.unix_socket",
        kind: Kind::Path { empty: true },
        default: r#""""#,
        apply: Apply::Live,
        protected: true,
        redis: &[RedisName { name: "unixsocket", mapping: Mapping::Same }],
        doc: "A Unix socket for clients on this machine; empty for none.",
    },
    Key {
        path: "server.databases",
        // A record names its database in one byte, of which 255 means all of them.
        kind: Kind::Int { min: 1, max: 255 },
        default: "16",
        apply: Apply::NeedsRestart,
        protected: false,
        redis: &[RedisName { name: "databases", mapping: Mapping::Integer(1, i32::MAX as u64) }],
        doc: "How many databases SELECT can choose from.",
    },
    Key {
        path: "server.max_clients",
        kind: Kind::Int { min: 1, max: 1_000_000 },
        default: "10000",
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "maxclients", mapping: Mapping::Integer(1, 1_000_000) }],
        doc: "How many clients may be connected at once; one more gets an error and is closed. Fewer, where the \
              system does not allow as many file descriptors and 128 for the daemon itself.",
    },
    Key {
        path: "server.idle_timeout",
        kind: Kind::Duration {
            min: Duration::from_secs(1),
            max: Duration::from_secs(i32::MAX as u64),
            zero: true,
        },
        default: r#""0s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "timeout", mapping: Mapping::Seconds }],
        doc: "A client that sends nothing for this long is closed; 0s never closes one.",
    },
    Key {
        path: "server.tcp_keepalive",
        kind: Kind::Duration {
            min: Duration::from_secs(1),
            max: Duration::from_secs(32_767),
            zero: true,
        },
        default: r#""300s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "tcp-keepalive", mapping: Mapping::Seconds }],
        doc: "The interval of TCP keepalive probes on new connections; 0s sends none.",
    },
    Key {
        path: "server.requirepass",
        kind: Kind::Secret,
        default: r#""""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "requirepass", mapping: Mapping::Same }],
        doc: "The password that clients must give with AUTH; empty for none. Prefer requirepass_file.",
    },
    Key {
        path: "server.requirepass_file",
        kind: Kind::File { max: 1 << 12 },
        default: r#""""#,
        apply: Apply::Live,
        protected: true,
        redis: &[],
        doc: "A file that holds the password; a line break at its end does not count. It is read again when it changes.",
    },
    Key {
        path: "server.protected_mode",
        kind: Kind::Bool,
        default: "true",
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "protected-mode", mapping: Mapping::YesNo }],
        doc: "Without a password, refuse clients that do not come from this machine.",
    },
    Key {
        path: "server.query_buffer",
        kind: Kind::Size { min: 1_000_000, max: 4 << 30, zero: false, percent: false },
        default: r#""256MB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "client-query-buffer-limit", mapping: Mapping::Memory }],
        doc: "The most bytes that one client may have sent and not yet had answered; a client that passes it is closed.",
    },
    Key {
        path: "server.output_buffer",
        kind: Kind::Size { min: 1_000_000, max: 4 << 30, zero: false, percent: false },
        default: r#""256MB""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "client-output-buffer-limit", mapping: Mapping::OutputLimits }],
        doc: "The most bytes of replies that may wait for one client; a client that passes it is closed.",
    },
    Key {
        path: "server.slowlog_slower_than",
        kind: Kind::Duration { min: Duration::from_micros(1), max: SLOWEST, zero: true },
        default: r#""10ms""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName {
            name: "slowlog-log-slower-than",
            mapping: Mapping::MicrosecondsOrOff,
        }],
        doc: "A command that a client waited for this long goes into the SLOWLOG; 0s for none.",
    },
    Key {
        path: "server.slowlog_max_len",
        kind: Kind::Int { min: 0, max: 10_000 },
        default: "128",
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "slowlog-max-len", mapping: Mapping::Integer(0, 10_000) }],
        doc: "How many commands the SLOWLOG keeps, the newest; an entry takes at most 5KB.",
    },
    Key {
        path: "server.latency_threshold",
        kind: Kind::Duration { min: Duration::from_millis(1), max: SLOWEST, zero: true },
        default: r#""0s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[RedisName { name: "latency-monitor-threshold", mapping: Mapping::Milliseconds }],
        doc: "A command that a client waited for this long is sampled by LATENCY; 0s samples none.",
    },
    Key {
        path: "admin.bind",
        kind: Kind::Address,
        default: r#""127.0.0.1:6381""#,
        apply: Apply::NeedsRestart,
        protected: true,
        redis: &[],
        doc: "Where admin HTTP listens; empty for not at all.",
    },
    Key {
        path: "data.dir",
        kind: Kind::Path { empty: false },
        default: r#""data""#,
        apply: Apply::NeedsRestart,
        protected: true,
        redis: &[RedisName { name: "dir", mapping: Mapping::Same }],
        doc: "The directory of the log and everything else that is kept. Made if it is not there; one daemon at a time.",
    },
];
