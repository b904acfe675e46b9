//! The configuration as the rest of the daemon sees it: typed, in range, effective.
//!
//! A limit that is lifted is `None`, never a zero to be remembered. Where `paranoia` caps a
//! limit, the capped one stands here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seawall_actors::redis::outbox::OutboxSettings;
use seawall_actors::redis::{LinkSettings, PassageLimits};

use super::address::Address;
use super::events::EventClasses;
use super::files::NamedFiles;
use super::secret::Secret;
use super::sources::Values;
use crate::acl::Users;
use crate::tier::warm::WarmUp;
use crate::tls::Identity;
use crate::tls::handshake::Bounds;

/// All settings in effect. Made by [`super::validate::validate`] only.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Admin,
    /// `[tls]`
    pub tls: Tls,
    /// `[data]`
    pub data: Data,
    /// `[cache]`
    pub cache: Cache,
    /// `[validation]`
    pub validation: Validation,
    /// `[wal]`
    pub wal: Wal,
    /// `[snapshot]`
    pub snapshot: Snapshot,
    /// `[redis]`; `None` without a `url`.
    pub redis: Option<Redis>,
    /// `[log]`
    pub log: Log,
    /// `[supervision]`
    pub supervision: Supervision,
    /// `[startup]`
    pub startup: Startup,
    /// `[debug]`
    pub debug: Debug,
    /// `[[users]]`, `default` among them.
    pub users: Arc<Users>,
    /// What was in the files that settings name.
    pub(super) files: NamedFiles,
    /// The same by key, capped where `paranoia` says so.
    pub(super) values: Values,
}

/// `[server]`: clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where to listen for RESP over TCP; may be empty if there is a Unix socket.
    pub bind: Vec<Address>,
    /// Where to listen for RESP over TLS.
    pub tls_bind: Vec<Address>,
    /// Where to listen for RESP on a Unix socket.
    pub unix_socket: Option<PathBuf>,
    /// How many databases there are.
    pub databases: u16,
    /// How many clients at once.
    pub max_clients: usize,
    /// When an idle client is closed.
    pub idle_timeout: Option<Duration>,
    /// The interval of TCP keepalive probes.
    pub tcp_keepalive: Option<Duration>,
    /// The password, from the key or from the file.
    pub password: Option<Secret>,
    /// Refuse remote clients while there is no password.
    pub protected_mode: bool,
    /// Bytes that one client may have sent and not had answered.
    pub query_buffer: usize,
    /// Bytes of replies that may wait for one client.
    pub output_buffer: usize,
    /// Bytes of messages that may wait for one subscriber.
    pub pubsub_buffer: usize,
    /// Channels and patterns that one client may subscribe to.
    pub max_subscriptions: usize,
    /// Channels and patterns that may be subscribed to in all.
    pub max_channels: usize,
    /// Keys that are remembered for clients with caches of their own.
    pub tracking_table_max_keys: usize,
    /// Which keyspace events are published.
    pub notify_keyspace_events: EventClasses,
    /// From when on a command goes into the slow log.
    pub slowlog_slower_than: Option<Duration>,
    /// How many commands the slow log keeps.
    pub slowlog_max_len: usize,
    /// From when on a command is sampled by LATENCY.
    pub latency_threshold: Option<Duration>,
}

/// `[redis]`: the second tier.
#[derive(Debug, Clone, PartialEq)]
pub struct Redis {
    /// Where it is, and how the connections are kept.
    pub link: LinkSettings,
    /// How writes get there.
    pub outbox: OutboxSettings,
    /// How long a read waits if there is something to serve in place of the answer.
    pub soft_timeout: Duration,
    /// How long a key that is not there is remembered as absent; zero: not at all.
    pub negative_ttl: Duration,
    /// How long what nobody can confirm is served; zero: not at all.
    pub stale_if_error: Duration,
    /// After how long an entry is asked for again; zero: never.
    pub revalidate_after: Duration,
    /// Bytes that expired values may take up, which are served while Redis does not answer.
    pub keep_expired: u64,
    /// With so much of its time left a value is asked for again, per cent.
    pub refresh_early: u8,
    /// By up to so much of its time a value expires earlier than in Redis, per cent.
    pub ttl_jitter: u8,
    /// What is fetched into memory after the start.
    pub warm: WarmUp,
    /// Whether PUBLISH and SUBSCRIBE go through it.
    pub pubsub: bool,
    /// How many connections.
    pub links: usize,
    /// How many more for commands that Redis runs.
    pub passage: PassageLimits,
    /// So many failed connections in a row open the breaker.
    pub breaker_failures: u32,
    /// Its first wait.
    pub breaker_cool_down: Duration,
    /// Its longest wait.
    pub breaker_max_cool_down: Duration,
}

/// `[admin]`: the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens, if at all.
    pub bind: Option<Address>,
    /// With TLS.
    pub tls: bool,
}

/// `[tls]`: for clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Certificate, key and CA; there is one if anything listens with TLS.
    pub identity: Option<Identity>,
    /// What handshakes may use.
    pub handshakes: Bounds,
}

/// `[data]`: the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The data directory.
    pub dir: PathBuf,
}

/// What gives way at a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// The least recently used entry.
    Lru,
    /// Nothing: writes are refused.
    NoEviction,
}

/// `[cache]`: the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// How many shards, 1 to 256; `"auto"` is resolved.
    pub shards: u16,
    /// The most entries.
    pub max_entries: Option<u64>,
    /// The most bytes; a percentage is resolved.
    pub max_memory: Option<u64>,
    /// What gives way.
    pub eviction: Eviction,
    /// The TTL of an entry that is set without one.
    pub default_ttl: Option<Duration>,
    /// How long a command waits for a shard that is being rebuilt.
    pub recovery_wait: Duration,
    /// How often the expired are swept.
    pub sweep_interval: Duration,
    /// Whether the tight limits are on. They are in the other fields already.
    pub paranoia: bool,
}

/// Which bytes a key may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyBytes {
    /// Any.
    Binary,
    /// UTF-8 without NUL and control characters.
    Text,
    /// 0x21 to 0x7e and the space.
    PrintableAscii,
}

/// `[validation]`: what is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// Which bytes a key may hold.
    pub key_bytes: KeyBytes,
    /// The longest key, in characters (bytes for [`KeyBytes::Binary`]).
    pub max_key_length: usize,
    /// The longest TTL.
    pub max_ttl: Option<Duration>,
    /// The largest value, in bytes.
    pub max_value: usize,
}

/// When a write is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before its reply.
    Always,
    /// Once a second.
    EverySec,
    /// When the system likes.
    No,
}

/// What a start does with a log that was changed after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRecovery {
    /// It ends, with a report.
    Refuse,
    /// It cuts the log at the first damage and serves what is before.
    Prefix,
}

/// `[wal]`: the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wal {
    /// Whether there is a log.
    pub enabled: bool,
    /// When it is forced to the disk.
    pub fsync: Fsync,
    /// Bytes at which a new segment begins.
    pub segment_size: u64,
    /// Whether the log says who wrote.
    pub origin: bool,
    /// Values of more bytes than this are compressed in the log; 0: none is.
    pub compress_above: u64,
    /// How far back every moment can be restored.
    pub retention: Duration,
    /// What a start does with a damaged log.
    pub recovery: LogRecovery,
    /// Bytes on the disk above which retention gives way.
    pub max_size: Option<u64>,
}

/// `[snapshot]`: when snapshots are taken, and how many stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Time between two.
    pub every: Option<Duration>,
    /// Bytes of log between two.
    pub after_bytes: Option<u64>,
    /// How many of the newest stay, 2 to 64.
    pub keep: usize,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[log]`: telemetry on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Directives for `tracing_subscriber`, checked.
    pub level: String,
}

/// `[supervision]`: patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// How long an actor may take to stop.
    pub grace: Duration,
    /// How long an actor may be without progress.
    pub watchdog: Duration,
}

/// `[startup]`: what a failed start means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// End instead of serving without a part.
    pub fail_fast: bool,
}

/// `[debug]`: for development.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debug {
    /// Allow SW.DRILL.
    pub drills: bool,
    /// Allow DEBUG.
    pub commands: bool,
}

impl Settings {
    /// The value of a key that is in effect, by path.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&super::value::Value> {
        self.values.get(path)
    }

    /// What is allowed but deserves a word in the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let remote: Vec<String> = self
            .server
            .bind
            .iter()
            .chain(&self.server.tls_bind)
            .filter(|a| !a.is_loopback())
            .map(ToString::to_string)
            .collect();
        let known = self.tls.identity.as_ref().is_some_and(Identity::knows_clients);
        let only_known = known && self.server.bind.iter().all(Address::is_loopback);
        if !remote.is_empty() && self.users.is_open() && !only_known {
            let remote = remote.join(", ");
            warnings.push(if self.server.protected_mode {
                format!(
                    "server.bind listens on {remote} and there is no password: only clients on \
                     this machine will be served (protected mode)"
                )
            } else {
                format!(
                    "server.bind listens on {remote} without a password, and protected_mode is \
                     off: whoever reaches it can read and change everything"
                )
            });
        }
        if self.debug.drills {
            warnings.push("debug.drills is on: clients can make actors fail".to_owned());
        }
        let share = self.cache.max_memory.map(|max| max / u64::from(self.cache.shards.max(1)));
        let max_value = self.validation.max_value as u64;
        // Nobody asked for what the defaults can't give on this machine.
        let asked = ["cache.shards", "validation.max_value"]
            .iter()
            .any(|path| !super::keys::is_default(path, self.value(path)));
        if asked
            && self.cache.shards > 1
            && let Some(share) = share.filter(|share| *share <= max_value)
        {
            warnings.push(format!(
                "each of {} shards has {} of cache.max_memory: larger values are refused, though \
                 validation.max_value is {}; raise max_memory, set fewer shards or a lower \
                 max_value",
                self.cache.shards,
                super::units::format_size(share),
                super::units::format_size(max_value)
            ));
        }
        if self.cache.max_entries.is_none() && self.cache.max_memory.is_none() {
            warnings.push(
                "cache.max_entries and cache.max_memory are both lifted: memory is unbounded"
                    .to_owned(),
            );
        }
        warnings
    }
}
