use std::sync::Arc;
use std::time::Duration;

use crate::resp::backend::LogStatus;
use crate::resp::backend::fake::{Client, FakeBackend};
use crate::resp::table::find;
use crate::stats::{Rejection, Round, Stats};
use crate::tier::TierFigures;
use seawall_actors::cache::store::{NearStats, StoreStats};
use seawall_actors::cache::{DatabaseStats, ShardStats};
use seawall_actors::redis::{
    FailureKind, LinkStats, Node, PoolState, PoolStats, ServerClock, Skew, Trouble,
};
use seawall_actors::wal;
use tokio::time::Instant;

fn busy() -> FakeBackend {
    let mut daemon = FakeBackend::new(&[("CACHE__MAX_MEMORY", "1MiB")]);
    let database = |keys, expires, avg_ttl_ms| DatabaseStats { keys, expires, avg_ttl_ms };
    let mut databases = vec![DatabaseStats::default(); 16];
    (databases[0], databases[9]) = (database(2, 1, 100), database(1, 0, 0));
    let counters = StoreStats {
        hits: 5,
        misses: 2,
        expired: 4,
        evicted_entries: 1,
        evicted_memory: 2,
        ..StoreStats::default()
    };
    let near = NearStats {
        fills: 8,
        stale: 1,
        expired: 1,
        kept: 3,
        kept_bytes: 4,
        early: 5,
        ..NearStats::default()
    };
    let shard = ShardStats { entries: 3, bytes: 1_536, databases, counters, near: Some(near) };
    let other = ShardStats { databases: vec![database(4, 3, 500)], ..shard.clone() };
    daemon.shards = vec![Some(shard), Some(other), None];
    count_traffic(&daemon.stats);
    let stats = wal::Stats {
        lsn: 30,
        written: 29,
        durable: 28,
        bytes: 999,
        segment: 6,
        blocked: Some("disk full\nat last".to_owned()),
        ..wal::Stats::default()
    };
    daemon.log = Some(LogStatus { fsync: "everysec", stats });
    let mut failures = [0; FailureKind::NAMES.len()];
    failures[FailureKind::Deadline.index()] = 3;
    let link = LinkStats {
        id: 0,
        age: None,
        in_use: 2,
        waits: 1,
        waited: Duration::from_millis(5),
        reconnects: 4,
    };
    daemon.tier = Some(TierFigures {
        in_use: true,
        at: "10.0.0.7:6379".to_owned(),
        state: PoolState::Open { retry_in: Duration::from_millis(700) },
        clock: Some(ServerClock {
            node: Some(Node { host: "10.0.0.8".into(), port: 7001 }),
            skew: Skew { ahead_ms: -7, within_ms: 2 },
        }),
        trouble: Some(Trouble { why: "refused\nagain".into(), at: Instant::now() }),
        stats: PoolStats { commands: 6, retries: 1, failures, links: vec![link] },
        tracker: seawall_actors::redis::TrackerStats::default(),
        passage: seawall_actors::redis::PassageStats::default(),
        pubsub: seawall_actors::redis::SubscriptionStats::default(),
        overflows: 0,
    });
    daemon.degraded = vec!["links: gave up".to_owned()];
    daemon
}

fn count_traffic(stats: &Stats) {
    let command = |name: &str| find(name.as_bytes()).expect("a command");
    let mut round = Round::default();
    round.transferred(70, 80);
    (0..9).for_each(|_| round.command(command("get")));
    (0..2).for_each(|_| round.command(command("strlen")));
    round.command(command("config"));
    stats.round(&mut round, Duration::from_nanos(2_000));
    round.command(command("get"));
    stats.round(&mut round, Duration::from_nanos(12_000));
    stats.failed(command("get"), "OOM");
    stats.refused(Some(command("set")), "ERR");
    stats.refused(None, "ERR");
    stats.refused(Some(command("set")), "NOAUTH");
    stats.rejected(Rejection::MaxClients);
}

/// The text of INFO with these sections.
async fn info(sections: &str) -> String {
    let mut client = Client::connect(&Arc::new(busy()));
    let reply = client.run(format!("info {sections}").trim_end()).await;
    assert!(reply.starts_with('$'), "{reply}");
    reply
}

#[tokio::test]
async fn redis_names_carry_the_daemons_numbers() {
    let text = info("").await;
    for field in [
        "redis_version:7.4.0 ",
        "redis_mode:standalone ",
        "tcp_port:6399 ",
        "uptime_in_seconds:90000 uptime_in_days:1 ",
        "config_file: ",
        "connected_clients:1 ",
        "maxclients:10000 ",
        "used_memory:3072 used_memory_human:3.00K ",
        "maxmemory:1048576 maxmemory_human:1.00M maxmemory_policy:allkeys-lru ",
        "aof_enabled:1 ",
        "aof_last_write_status:err aof_current_size:999 ",
        "total_connections_received:0 total_commands_processed:13 instantaneous_ops_per_sec:13 ",
        "total_net_input_bytes:70 total_net_output_bytes:80 rejected_connections:1 ",
        "expired_keys:8 ",
        "evicted_keys:6 ",
        "keyspace_hits:10 keyspace_misses:4 ",
        "total_error_replies:4 ",
        "role:master connected_slaves:0 ",
        "# Errorstats errorstat_ERR:count=2 errorstat_OOM:count=1 errorstat_NOAUTH:count=1  # Cluster cluster_enabled:0 ",
        "# Keyspace db0:keys=6,expires=4,avg_ttl=400 db9:keys=1,expires=0,avg_ttl=0 ",
        "# Redis redis_configured:1 redis_in_use:1 redis_address:10.0.0.7:6379 redis_state:breaker_open redis_next_trial_ms:700 ",
        "redis_last_trouble:refused again redis_last_trouble_ms_ago:",
        " redis_clock_ahead_ms:-7 redis_clock_within_ms:2 redis_clock_of:10.0.0.8:7001 redis_links:1 redis_links_up:0 redis_commands:6 redis_retries:1 ",
        "redis_failures:3 redis_failures_deadline:3 redis_fills:16 redis_stale_served:2 ",
        "redis_expired_served:2 redis_expired_kept:6 redis_expired_kept_bytes:8 redis_early_refreshes:10 ",
        "redis_link0:up=0,age_ms=0,in_use=2,waits=1,wait_usec=5000,reconnects=4 ",
        "# Seawall seawall_version:0.1.0 config_generation:7 ",
        "degraded:1 degraded_reason_0:links: gave up ",
        "wal_fsync:everysec wal_lsn:30 wal_written_lsn:29 wal_durable_lsn:28 wal_segment:6 ",
        "wal_refusing:disk full at last ",
        "shards:3 shard0:entries=3,bytes=1536,hits=5,misses=2 ",
    ] {
        assert!(text.contains(field), "{field} is not in {text}");
    }
    assert!(text.ends_with("shard2:no answer"), "{text}");
    assert!(!text.contains("# Commandstats"), "{text}");
}

#[tokio::test]
async fn sections_are_chosen_by_name_in_redis_order() {
    let headings = |text: &str| -> Vec<String> {
        text.split("# ").skip(1).map(|s| s.split(' ').next().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(headings(&info("KEYSPACE server keyspace").await), ["Server", "Keyspace"]);
    assert_eq!(info("nosuch").await, "$0");
    let everything = headings(&info("everything").await);
    assert_eq!(everything.len(), super::SECTIONS.len());
    let all = headings(&info("all").await);
    assert!(!all.contains(&"Modules".to_owned()) && all.contains(&"Latencystats".to_owned()));
    assert_eq!(headings(&info("default").await), headings(&info("").await));
}

#[tokio::test]
async fn commands_are_shown_one_by_one_and_by_family() {
    let lines = |text: String| -> Vec<String> {
        text.split(' ').filter(|l| l.contains(':')).map(str::to_owned).collect()
    };
    assert_eq!(
        lines(info("commandstats").await),
        [
            "cmdstat_get:calls=10,usec=30,usec_per_call=3.00,rejected_calls=0,failed_calls=1",
            "cmdstat_strlen:calls=2,usec=4,usec_per_call=2.00,rejected_calls=0,failed_calls=0",
            "cmdstat_set:calls=0,usec=0,usec_per_call=0.00,rejected_calls=2,failed_calls=0",
            "cmdstat_config:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0",
        ]
    );
    assert_eq!(
        lines(info("latencystats").await),
        [
            "latency_percentiles_usec_get:p50=2.048,p99=12.000,p99.9=12.000",
            "latency_percentiles_usec_strlen:p50=2.000,p99=2.000,p99.9=2.000",
            "latency_percentiles_usec_config:p50=2.000,p99=2.000,p99.9=2.000",
        ]
    );
    assert_eq!(
        lines(info("familystats").await),
        [
            "familystat_read:calls=12,usec=34,usec_per_call=2.83,p50=2.048,p99=12.000,p99.9=12.000",
            "familystat_server:calls=1,usec=2,usec_per_call=2.00,p50=2.000,p99=2.000,p99.9=2.000",
        ]
    );
}

#[tokio::test]
async fn every_line_is_a_name_and_a_value() {
    let mut client = Client::connect(&Arc::new(busy()));
    client.run("hello 3").await;
    let reply = client.run("info everything").await;
    assert!(reply.starts_with('='), "verbatim in RESP3: {reply}");
    let mut client = Client::alone();
    let plain = client.run("info").await;
    assert!(plain.contains("aof_enabled:0 ") && plain.contains("wal_enabled:0 "), "{plain}");
    assert!(
        plain.contains("# Keyspace  # Redis redis_configured:0  # Seawall"),
        "empty sections keep their heading"
    );
}

#[test]
fn bytes_for_people_are_written_as_redis_writes_them() {
    use super::sections::human;
    for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (916_464, "894.98K")] {
        assert_eq!(human(bytes), text);
    }
    assert_eq!(human(u64::MAX), "16777215.99T");
}
