//! Every metric there is, once. The exposition and `docs/metrics.md` both come from here.

use seawall_actors::metrics::Kind::{Counter, Gauge, Histogram, Info};
use seawall_actors::metrics::Unit::{Bytes, None, Seconds};
use seawall_actors::metrics::{Kind, Metric, Unit};

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

macro_rules! catalog {
    ($($section:literal: { $($id:ident = $name:literal, $kind:ident, $unit:ident, $labels:expr, $help:literal;)* })*) => {
        $($(
            #[doc = $help]
            pub static $id: Metric = metric($name, $kind, $unit, &$labels, $help);
        )*)*

        /// Every metric, by section.
        pub static SECTIONS: &[(&str, &[&Metric])] = &[$(($section, &[$(&$id),*])),*];
    };
}

catalog! {
    "Cache": {
        ENTRIES = "seawall_cache_entries", Gauge, None, ["shard"],
            "Entries held, in all databases; those that have expired and are not swept yet included";
        EXPIRING = "seawall_cache_expiring_entries", Gauge, None, ["shard"],
            "Entries held that have an expiry";
        MEMORY = "seawall_cache_memory", Gauge, Bytes, ["shard"],
            "Memory held by the store, counted as allocated";
        HITS = "seawall_cache_hits", Counter, None, ["shard"],
            "Reads that found a value";
        MISSES = "seawall_cache_misses", Counter, None, ["shard"],
            "Reads that found none";
        SETS = "seawall_cache_sets", Counter, None, ["shard"],
            "Writes of a value";
        DELETES = "seawall_cache_deletes", Counter, None, ["shard"],
            "Keys deleted on request";
        EXPIRATIONS = "seawall_cache_expirations", Counter, None, ["shard"],
            "Keys that went because their time had come";
        EVICTIONS = "seawall_cache_evictions", Counter, None, ["shard", "cause"],
            "Keys evicted to keep a limit: cache.max_entries (entries) or cache.max_memory (memory)";
        SWEEPS = "seawall_cache_sweeps", Counter, None, ["shard"],
            "Sweeps for expired keys";
        SWEEP_TIME = "seawall_cache_sweep", Counter, Seconds, ["shard"],
            "Time spent in sweeps";
        SHARD_ANSWERS = "seawall_cache_shard_answers", Gauge, None, ["shard"],
            "1 if the shard answered when it was last asked, 0 if not: its other metrics are absent";
    }
    "Commands and connections": {
        COMMANDS = "seawall_commands", Counter, None, ["family"],
            "Commands executed";
        COMMAND_DURATION = "seawall_command_duration", Histogram, Seconds, ["family"],
            "Time from a command being decoded to its reply being ready to send";
        CALLS = "seawall_command_calls", Counter, None, ["command"],
            "Calls of the command; absent, like the three below, until it is first called or refused";
        CALL_TIME = "seawall_command", Counter, Seconds, ["command"],
            "Time its calls waited, each from being decoded to its reply being ready to send";
        CALLS_FAILED = "seawall_command_failures", Counter, None, ["command"],
            "Calls that answered an error";
        CALLS_REFUSED = "seawall_command_refusals", Counter, None, ["command"],
            "Requests refused before they ran: wrong number of arguments, no password given, …";
        ERRORS = "seawall_errors", Counter, None, ["code"],
            "Error replies by their code; codes that are not known by name count as other";
        CONNECTIONS = "seawall_connections", Gauge, None, [],
            "Clients connected";
        CONNECTIONS_MAX = "seawall_connections_max", Gauge, None, [],
            "Clients that may be connected: server.max_clients, or fewer if the system allows no more descriptors";
        ACCEPTED = "seawall_connections_accepted", Counter, None, [],
            "Connections accepted";
        REJECTED = "seawall_connections_rejected", Counter, None, ["reason"],
            "Connections turned away: max_clients, protected_mode, accept (the system refused), stopping";
        RECEIVED = "seawall_received", Counter, Bytes, [],
            "Data read from clients";
        SENT = "seawall_sent", Counter, Bytes, [],
            "Data written to clients";
        LOGINS = "seawall_logins", Counter, None, ["outcome"],
            "Logins: accepted, refused (name or password are wrong, or the user is off), throttled (not looked at: too many were refused from this address)";
        HANDSHAKES = "seawall_tls_handshakes", Counter, None, ["outcome"],
            "TLS handshakes of RESP and admin HTTP: done, certificate (the client's is missing or wrong), refused (by the client), protocol, closed (by the client), timeout, busy (tls.max_handshakes)";
        HANDSHAKES_UNDERWAY = "seawall_tls_handshakes_underway", Gauge, None, [],
            "TLS handshakes under way";
        CERTIFICATE_EXPIRY = "seawall_tls_certificate_expiry", Gauge, Seconds, [],
            "When the certificate in use ends, as Unix time; absent without one";
        DENIED = "seawall_commands_denied", Counter, None, ["reason"],
            "Commands that their user may not run: for the command itself, a key or a channel";
        PROTOCOL_ERRORS = "seawall_protocol_errors", Counter, None, [],
            "Clients cut off because they did not speak the protocol";
    }
    "Publish and subscribe": {
        CHANNELS = "seawall_pubsub_channels", Gauge, None, ["kind"],
            "Names that somebody has subscribed to: channel, pattern, shard";
        SUBSCRIBERS = "seawall_pubsub_subscribers", Gauge, None, [],
            "Clients with at least one subscription";
        SUBSCRIPTIONS = "seawall_pubsub_subscriptions", Gauge, None, [],
            "Subscriptions of all clients";
        PUBSUB_TABLE = "seawall_pubsub_table", Gauge, Bytes, [],
            "Memory that names and subscriptions take, about";
        PUBSUB_PENDING = "seawall_pubsub_pending", Gauge, Bytes, [],
            "Messages that wait for subscribers; one counts for each that it waits for";
        PUBLISHED = "seawall_pubsub_published", Counter, None, [],
            "Messages that clients published";
        DELIVERED = "seawall_pubsub_delivered", Counter, None, [],
            "Messages put into the inboxes of subscribers";
        PUBSUB_OVERFLOWS = "seawall_pubsub_overflows", Counter, None, [],
            "Subscribers closed because more than server.pubsub_buffer waited for them";
        TRACKING_CLIENTS = "seawall_tracking_clients", Gauge, None, [],
            "Clients that are told which keys change (CLIENT TRACKING)";
        TRACKING_KEYS = "seawall_tracking_keys", Gauge, None, [],
            "Keys remembered because such a client has read them";
        TRACKING_ITEMS = "seawall_tracking_items", Gauge, None, [],
            "Pairs of such a key and a client";
        TRACKING_MEMORY = "seawall_tracking_table", Gauge, Bytes, [],
            "Memory that those take, about";
        TRACKING_PREFIXES = "seawall_tracking_prefixes", Gauge, None, [],
            "Prefixes of clients in BCAST mode";
        INVALIDATIONS = "seawall_tracking_invalidations", Counter, None, [],
            "Invalidations put into the inboxes of clients";
    }
    "Log": {
        LOG = "seawall_log", Info, None, ["fsync"],
            "The fsync mode of the write-ahead log; no metric of the log exists without one";
        LOG_LSN = "seawall_log_lsn", Gauge, None, [],
            "Last log sequence number assigned";
        LOG_WRITTEN_LSN = "seawall_log_written_lsn", Gauge, None, [],
            "Last log sequence number written";
        LOG_DURABLE_LSN = "seawall_log_durable_lsn", Gauge, None, [],
            "Last log sequence number that is on disk for certain";
        LOG_WRITTEN = "seawall_log_written", Counter, Bytes, [],
            "Data written, frames with their headers";
        LOG_SAVED = "seawall_log_saved", Counter, Bytes, [],
            "Data that was not written because values were compressed";
        LOG_FRAMES = "seawall_log_frames", Counter, None, [],
            "Frames written: group commits";
        LOG_RECORDS = "seawall_log_records", Counter, None, [],
            "Records written";
        LOG_SYNCS = "seawall_log_syncs", Counter, None, [],
            "Syncs that succeeded";
        LOG_SYNC_TIME = "seawall_log_sync", Counter, Seconds, [],
            "Time spent in syncs";
        LOG_SYNC_MAX = "seawall_log_sync_max", Gauge, Seconds, [],
            "The longest sync since the start";
        LOG_SLOW_SYNCS = "seawall_log_slow_syncs", Counter, None, [],
            "Syncs so slow that writing had to wait for them";
        LOG_ERRORS = "seawall_log_errors", Counter, None, ["operation"],
            "Failed writes (write) and failed syncs (sync)";
        LOG_ROTATIONS = "seawall_log_rotations", Counter, None, [],
            "Segments begun";
        LOG_SEGMENT = "seawall_log_segment", Gauge, Bytes, [],
            "Length of the segment that is being written";
        LOG_PENDING = "seawall_log_pending", Gauge, Bytes, [],
            "Records that wait for the writer";
        LOG_PARKED = "seawall_log_parked_replies", Gauge, None, [],
            "Replies that wait for the log";
        LOG_WRITABLE = "seawall_log_writable", Gauge, None, [],
            "1 if the log takes writes, 0 if clients are refused them";
    }
    "Snapshots": {
        SNAPSHOTS_TAKEN = "seawall_snapshots", Counter, None, ["outcome"],
            "Snapshots of the cache since the start, taken (ok) or not (failed); no metric of the snapshots exists without a log";
        SNAPSHOT_FAILED = "seawall_snapshot_failed", Gauge, None, [],
            "1 if the last snapshot failed, 0 if it was taken or there was none";
        SNAPSHOT_RUNNING = "seawall_snapshot_running", Gauge, None, [],
            "1 while a snapshot is being taken";
        SNAPSHOT_TIMESTAMP = "seawall_snapshot_newest", Gauge, Seconds, [],
            "When the newest snapshot was begun, as Unix time; absent while there is none";
        SNAPSHOT_ENTRIES = "seawall_snapshot_entries", Gauge, None, [],
            "Entries in the newest snapshot; absent while there is none";
        SNAPSHOT_SIZE = "seawall_snapshot_size", Gauge, Bytes, [],
            "Length of the newest snapshot; absent while there is none";
        SNAPSHOT_LSN = "seawall_snapshot_lsn", Gauge, None, [],
            "Log sequence number that the newest snapshot stands for; absent while there is none";
        SNAPSHOT_DURATION = "seawall_snapshot_duration", Gauge, Seconds, [],
            "How long the last snapshot took; absent while there is none of this run";
        SNAPSHOTS_KEPT = "seawall_snapshots_kept", Gauge, None, [],
            "Snapshots on the disk";
        SNAPSHOTS_SIZE = "seawall_snapshots_size", Gauge, Bytes, [],
            "Length of all of them";
        LOG_SIZE = "seawall_log_size", Gauge, Bytes, [],
            "Length of all segments of the log on the disk, looked at once a minute at least";
        LOG_SEGMENTS = "seawall_log_segments", Gauge, None, [],
            "Segments on the disk";
        LOG_FIRST_LSN = "seawall_log_first_lsn", Gauge, None, [],
            "Log sequence number that the log begins with";
        LOG_OLDEST = "seawall_log_oldest", Gauge, Seconds, [],
            "When the oldest segment was begun, as Unix time";
        LOG_DELETED = "seawall_log_deleted_segments", Counter, None, [],
            "Segments deleted since the start";
        LOG_OVER_MAX = "seawall_log_over_max_size", Gauge, None, [],
            "1 while the log is larger than wal.max_size and retention gives way";
        LOG_UPKEEP_FAILED = "seawall_log_upkeep_failed", Gauge, None, [],
            "1 while old log and snapshots cannot be deleted";
    }
    "Writes to Redis": {
        OUTBOX = "seawall_redis_outbox_state", Gauge, None, ["state"],
            "1 for what the outbox does, 0 for the others: starting, in_step, catching_up, reconciling, waiting (Redis is away), refused (it answers and takes no writes); no metric of it exists without redis.url";
        OUTBOX_ACKNOWLEDGED = "seawall_redis_outbox_acknowledged_lsn", Gauge, None, [],
            "Log sequence number up to which Redis has every write";
        OUTBOX_LAG = "seawall_redis_outbox_lag", Gauge, None, [],
            "Log sequence numbers behind that: records that Redis does not have yet, those included that it does not need";
        OUTBOX_BACKLOG = "seawall_redis_outbox_backlog", Gauge, Bytes, [],
            "Bytes of the log behind that, about";
        OUTBOX_OLDEST = "seawall_redis_outbox_oldest", Gauge, Seconds, [],
            "When the oldest write that Redis does not have was logged, about, as Unix time; absent while it has all";
        OUTBOX_SENT = "seawall_redis_outbox_sent", Counter, None, [],
            "Changes of keys that Redis has acknowledged";
        OUTBOX_COALESCED = "seawall_redis_outbox_coalesced", Counter, None, [],
            "Records that were not sent because a later one of the same key was";
        OUTBOX_BATCHES = "seawall_redis_outbox_transactions", Counter, None, [],
            "Transactions that Redis has acknowledged";
        OUTBOX_FAILURES = "seawall_redis_outbox_failures", Counter, None, [],
            "Tries that failed: Redis was away, did not answer in time, or refused";
        OUTBOX_CONFLICTS = "seawall_redis_outbox_conflicts", Counter, None, [],
            "Writes that gave way to somebody else's, see redis.conflict";
        OUTBOX_DEGRADED = "seawall_redis_degraded_writes", Counter, None, [],
            "Replies that went out before Redis had the write, although redis.write is through";
        OUTBOX_RECONCILES = "seawall_redis_reconciles", Counter, None, [],
            "Times that memory and Redis were compared key by key";
        OUTBOX_RECONCILED = "seawall_redis_reconciled_keys", Counter, None, [],
            "Keys that Redis was given by that";
    }
    "Redis behind": {
        REDIS_REACHABLE = "seawall_redis_reachable", Gauge, None, [],
            "1 while at least one link to Redis is up; no metric of this section exists without redis.url";
        REDIS_LINKS = "seawall_redis_links", Gauge, None, [],
            "Links that there are to be: redis.links";
        REDIS_CLOCK_SKEW = "seawall_redis_clock_skew", Gauge, Seconds, [],
            "How far Redis' clock is ahead of this machine's; behind, if negative; of a Cluster's masters, the one that is farthest; absent until it was measured";
        LINK_UP = "seawall_redis_link_up", Gauge, None, ["link"],
            "1 if the link has a connection";
        LINK_AGE = "seawall_redis_link_age", Gauge, Seconds, ["link"],
            "Age of the link's connection; absent while it has none";
        LINK_IN_USE = "seawall_redis_link_in_use", Gauge, None, ["link"],
            "Commands and pipelines under way on the link";
        LINK_WAITS = "seawall_redis_link_waits", Counter, None, ["link"],
            "Commands that had to wait for room on the link: redis.in_flight were under way";
        LINK_WAIT_TIME = "seawall_redis_link_wait", Counter, Seconds, ["link"],
            "Time that they waited";
        LINK_RECONNECTS = "seawall_redis_link_reconnects", Counter, None, ["link"],
            "Connections made after the link's first, those that replaced an old one included";
        REDIS_COMMANDS = "seawall_redis_commands", Counter, None, [],
            "Commands and pipelines for Redis";
        REDIS_RETRIES = "seawall_redis_retries", Counter, None, [],
            "Tries beyond the first of a command; redis.retry_share bounds them";
        REDIS_FAILURES = "seawall_redis_failures", Counter, None, ["kind"],
            "Tries that failed, by what happened: breaker_open, no_link, crowded, broken, deadline, garbage, loading, readonly, masterdown, moved, resharding, busy, auth, max_clients";
        REDIS_FILLS = "seawall_redis_fills", Counter, None, ["shard"],
            "Values taken over from Redis into memory";
        REDIS_STALE = "seawall_redis_stale_served", Counter, None, ["shard"],
            "Reads answered with what nobody could confirm, because Redis did not answer";
        REDIS_EXPIRED_SERVED = "seawall_redis_expired_served", Counter, None, ["shard"],
            "Reads among them that were answered with what had expired";
        REDIS_EXPIRED_ENTRIES = "seawall_redis_expired_entries", Gauge, None, ["shard"],
            "Values from Redis that have expired and are kept for when it does not answer";
        REDIS_EXPIRED_MEMORY = "seawall_redis_expired_memory", Gauge, Bytes, ["shard"],
            "Memory that they take up; redis.keep_expired bounds it";
        REDIS_EARLY = "seawall_redis_early_refreshes", Counter, None, ["shard"],
            "Values asked for again because little of their time to live was left (redis.refresh_early)";
        REDIS_INVALIDATED = "seawall_redis_invalidated", Counter, None, ["shard"],
            "Entries removed because somebody else changed them in Redis";
        REDIS_GAPS = "seawall_redis_gaps", Counter, None, ["shard"],
            "Times that invalidations may have been missed: what is in memory is asked for again before it is believed";
        REDIS_PENDING = "seawall_redis_pending_writes", Gauge, None, ["shard"],
            "Writes to keys that Redis has not acknowledged";
        REDIS_TRACKING = "seawall_redis_tracking", Gauge, None, [],
            "1 while Redis announces what others change; otherwise that is noticed when an entry is asked for again";
        ANNOUNCEMENTS = "seawall_redis_announcements", Counter, None, [],
            "Announcements of changed keys; each is of one or more";
        ANNOUNCED_KEYS = "seawall_redis_announced_keys", Counter, None, [],
            "Keys in them";
        ANNOUNCED_FLUSHES = "seawall_redis_announced_flushes", Counter, None, [],
            "Announcements that a database was flushed";
        TRACKER_GAPS = "seawall_redis_tracker_gaps", Counter, None, [],
            "Times that announcements may have been missed: a connection took the place of none";
        ANNOUNCEMENT_OVERFLOWS = "seawall_redis_announcement_overflows", Counter, None, [],
            "Times that so many changed keys waited for a shard that all it holds became doubtful";
    }
    "Commands that Redis runs": {
        PASS_IN_USE = "seawall_redis_pass_in_use", Gauge, None, [],
            "Commands and transactions under way of those that are answered at once; redis.pass_links bounds them; no metric of this section exists without redis.url";
        PASS_BLOCKED = "seawall_redis_pass_blocked", Gauge, None, [],
            "Commands that wait in Redis; redis.blocking_links bounds them";
        PASSED = "seawall_redis_passed", Counter, None, [],
            "Commands and transactions for Redis to run";
        PASS_WAITS = "seawall_redis_pass_waits", Counter, None, [],
            "Those that had to wait because redis.pass_links were under way";
        PASS_REFUSED = "seawall_redis_pass_refused", Counter, None, [],
            "Those that found no room within redis.timeout, or none of redis.blocking_links";
    }
    "Publish and subscribe through Redis": {
        REDIS_PUBSUB = "seawall_redis_pubsub", Gauge, None, [],
            "1 if PUBLISH and SUBSCRIBE go through Redis: redis.pubsub; no metric of this section exists without redis.url";
        REDIS_SUBSCRIPTIONS = "seawall_redis_pubsub_subscriptions", Gauge, None, ["state"],
            "Channels and patterns that clients have subscribed to, by what Redis says of them: confirmed, refused, or nothing yet (pending)";
        REDIS_MESSAGES = "seawall_redis_pubsub_messages", Counter, None, [],
            "Messages from Redis; one that came by several of them counts with each";
        REDIS_PUBSUB_GAPS = "seawall_redis_pubsub_gaps", Counter, None, [],
            "Times that messages may have been missed: everything was subscribed to again";
        REDIS_UNCONFIRMED = "seawall_redis_pubsub_unconfirmed", Counter, None, [],
            "Subscriptions that were confirmed to clients before Redis had them";
    }
    "Supervision": {
        ACTOR_UP = "seawall_actor_up", Gauge, None, ["path"],
            "1 if the actor runs, 0 if it is down, held by its breaker, or given up";
        ACTOR_RESTARTS = "seawall_actor_restarts", Counter, None, ["path"],
            "How often the actor was started again";
        ACTOR_MAILBOX = "seawall_actor_mailbox_depth", Gauge, None, ["path"],
            "Messages that wait in the actor's mailbox";
        BREAKER_STATE = "seawall_breaker_state", Gauge, None, ["path", "state"],
            "1 for the state the actor's breaker is in, 0 for the others: closed, open, half-open";
        DEGRADED = "seawall_degraded", Gauge, None, [],
            "Parts that were given up, and conditions that hold, while the rest goes on; 0 is well";
        IMPAIRED = "seawall_impaired", Gauge, None, ["path", "condition"],
            "1 for each condition that a part is in and should not be in although it runs";
        TREE_RESTARTS = "seawall_tree_restarts", Counter, None, [],
            "Restarts of all actors together";
        TREE_ESCALATIONS = "seawall_tree_escalations", Counter, None, [],
            "Supervisors that gave up and passed the failure upwards";
    }
    "Daemon": {
        BUILD = "seawall_build", Info, None, ["version"],
            "The version that runs";
        READY = "seawall_ready", Gauge, None, [],
            "1 if /readyz says so";
        LOADING = "seawall_loading", Gauge, None, [],
            "1 while the dataset is being loaded at the start, and commands on data are refused";
        LOAD_TOTAL = "seawall_load_total", Gauge, Bytes, [],
            "Bytes of the snapshot and the log that the start had to read";
        LOAD_DONE = "seawall_load_read", Gauge, Bytes, [],
            "Bytes of those that it has read; less than the total in the end if the log's last segment is not full";
        LOAD_RECORDS = "seawall_load_records", Gauge, None, [],
            "Entries of the snapshot and records of the log that the start has applied";
        LOAD_ASIDE = "seawall_load_set_aside", Counter, None, [],
            "Records that crashed the load or a rebuild twice and were left out; their keys are absent";
        LOAD_TIME = "seawall_load", Gauge, Seconds, [],
            "How long the load of the start took, or for how long it has been going on";
        CONFIG_GENERATION = "seawall_config_generation", Gauge, None, [],
            "Which configuration is in force; grows with each that is applied";
        RELOADS = "seawall_config_reloads", Counter, None, ["outcome"],
            "Reloads of the configuration, applied (ok) or refused (failed)";
        DROPPED_LINES = "seawall_log_lines_dropped", Counter, None, [],
            "Lines for stderr that were dropped because it took none";
    }
    "Process": {
        CPU = "process_cpu", Counter, Seconds, [],
            "CPU time of the process, user and system";
        RESIDENT = "process_resident_memory", Gauge, Bytes, [],
            "Memory of the process that is in RAM";
        VIRTUAL = "process_virtual_memory", Gauge, Bytes, [],
            "Address space of the process";
        THREADS = "process_threads", Gauge, None, [],
            "Threads of the process";
        OPEN_FDS = "process_open_fds", Gauge, None, [],
            "File descriptors open";
        MAX_FDS = "process_max_fds", Gauge, None, [],
            "File descriptors the process may open";
        START_TIME = "process_start_time", Gauge, Seconds, [],
            "When the process started, as Unix time";
    }
    "Metrics themselves": {
        SNAPSHOT_AGE = "seawall_metrics_snapshot_age", Gauge, Seconds, [],
            "How old all the other readings are; grows while the aggregator is down";
        SNAPSHOT_TIME = "seawall_metrics_snapshot_duration", Gauge, Seconds, [],
            "How long it took to gather them";
        SOURCE_STALE = "seawall_metrics_source_stale", Gauge, None, ["source"],
            "1 if the source did not answer at the last beat, so that its readings are older";
        SERIES_DROPPED = "seawall_metrics_series_dropped", Gauge, None, ["source"],
            "Readings of the source that found no room";
    }
}

/// Every metric.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|(_, metrics)| metrics.iter().copied())
}
