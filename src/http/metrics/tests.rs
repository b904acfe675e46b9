mod alerts;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::store::{NearStats, StoreStats};
use seawall_actors::metrics::{
    Aggregator, Args, Kind, Published, Settings, Snapshot, Source, SourceFn,
};
use seawall_actors::redis::outbox::{Lag, OutboxStats};
use seawall_actors::redis::{
    LinkStats, PassageStats, PoolStats, ServerClock, Skew, SubscriptionStats, TrackerStats,
};
use seawall_actors::snapshot::{DiskStatus, Newest};
use seawall_actors::supervise::{Pulse, Shell};
use tokio::time::Instant;

use super::*;
use crate::resp::table::find;
use crate::stats::{Round, Stats};

fn node(path: &str, state: &'static str) -> Node {
    Node { path: path.into(), id: path.into(), state, mailbox: Some(3), ..Node::default() }
}

/// Two links, one of them down.
fn links() -> TierFigures {
    let up = LinkStats {
        id: 0,
        age: Some(Duration::from_millis(2_500)),
        in_use: 3,
        waits: 4,
        waited: Duration::from_millis(250),
        reconnects: 1,
    };
    let mut failures = [0; FailureKind::NAMES.len()];
    failures[FailureKind::Loading.index()] = 7;
    let down = LinkStats { id: 1, age: None, ..up.clone() };
    TierFigures {
        in_use: true,
        at: "10.0.0.7:6379".into(),
        state: PoolState::Up(1),
        trouble: None,
        clock: Some(ServerClock { node: None, skew: Skew { ahead_ms: -1_500, within_ms: 2 } }),
        tracker: TrackerStats { up: true, keys: 11, ..TrackerStats::default() },
        passage: PassageStats { passed: 12, ..PassageStats::default() },
        pubsub: SubscriptionStats { wanted: 5, confirmed: 4, ..SubscriptionStats::default() },
        overflows: 0,
        stats: PoolStats { commands: 9, retries: 2, failures, links: vec![up, down] },
    }
}

/// Every part of the daemon, with something to say.
async fn samples() -> Vec<(&'static str, Sample)> {
    let shard = ShardStats {
        entries: 5,
        bytes: 700,
        counters: StoreStats { hits: 9, sweep_ns: 1_500_000_000, ..StoreStats::default() },
        near: Some(NearStats { fills: 6, ..NearStats::default() }),
        ..ShardStats::default()
    };
    let stats = Stats::new();
    let mut round = Round::default();
    let get = find(b"get").unwrap();
    for took in [1024, 1025, 60_000_000_000] {
        round.command(get);
        stats.round(&mut round, Duration::from_nanos(took));
    }
    stats.failed(get, "OOM");
    let mut link = node("links/\"odd\"\\\n", "held");
    link.breaker = Some("half-open");
    let root = Node { children: vec![link], ..node("root", "up") };
    let unreachable = Degraded {
        path: "links".into(),
        condition: Some("unreachable".into()),
        cause: Some("connection refused".into()),
        age_seconds: 1.0,
    };
    let blocked = wal::Stats { blocked: Some("disk full".into()), ..wal::Stats::default() };
    let newest = Newest { created_ms: 1_700_000_000_000, end: 7, entries: 3, bytes: 400 };
    let taken = SnapshotStatus {
        newest: Some(newest),
        took: Some(Duration::from_millis(1500)),
        taken: 1,
        disk: DiskStatus { first_lsn: 1, ..DiskStatus::default() },
        ..SnapshotStatus::default()
    };
    let load = Figures { total_bytes: 9, loaded_bytes: 5, records: 2, ..Figures::default() };
    let figures = DaemonFigures {
        ready: true,
        config_generation: 2,
        dropped_lines: 0,
        max_clients: 9,
        loading: false,
        load,
    };
    let lag = Lag { records: 1, bytes: 1, oldest_ms: Some(1) };
    let waiting = OutboxStats { lag, ..OutboxStats::default() };
    vec![
        ("tls", tls(&Handshakes::default(), Some(2_000_000_000))),
        ("gate", gate(&GateFigures::default())),
        ("cache", cache(&[Some(shard), None])),
        ("server", server(&stats.snapshot())),
        (
            "pubsub",
            pubsub(&crate::pubsub::Figures::default(), &crate::tracking::Figures::default()),
        ),
        ("log", log(&blocked, "everysec")),
        ("snapshots", snapshots(&taken)),
        ("redis_outbox", outbox(&waiting)),
        ("redis", tier(&links())),
        ("tree", tree(&root, &[unreachable])),
        ("daemon", daemon(figures)),
        ("process", process::read(1_700_000_000_000).await),
    ]
}

async fn snapshot() -> Arc<Snapshot> {
    let sources = samples()
        .await
        .into_iter()
        .map(|(name, sample)| {
            let read = move || std::future::ready(sample.clone());
            Arc::new(SourceFn::new(name, read)) as Arc<dyn Source>
        })
        .collect();
    let published = Published::new();
    let mut news = published.subscribe();
    let args = Args { sources, published: published.clone(), settings: Settings::default() };
    let shell = Shell::new(Aggregator, Arc::new(Pulse::default()));
    let (actor, done) = ractor::Actor::spawn(None, shell, args).await.unwrap();
    news.changed().await.unwrap();
    actor.stop(None);
    done.await.unwrap();
    published.newest()
}

#[tokio::test]
async fn every_metric_of_the_catalogue_is_exposed_and_no_other() {
    let text = exposition::encode(&snapshot().await, Instant::now()).unwrap();
    let exposed: BTreeSet<&str> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let named = |m: &seawall_actors::metrics::Metric| match m.kind {
        Kind::Counter => m.full_name().trim_end_matches("_total").to_owned(),
        Kind::Info => m.full_name().trim_end_matches("_info").to_owned(),
        Kind::Gauge | Kind::Histogram => m.full_name(),
    };
    let known: BTreeSet<String> = catalog::all().map(named).collect();
    assert_eq!(exposed.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), known);
    assert_eq!(known.len(), catalog::all().count(), "two metrics have one name");
}

#[tokio::test]
async fn the_exposition_is_well_formed() {
    let text = exposition::encode(&snapshot().await, Instant::now()).unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut family = "";
    let mut seen = BTreeSet::new();
    let mut series = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap();
            assert!(seen.insert(family), "{family} comes twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} is not of {family}");
            let (name, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            assert!(series.insert(name), "{name} comes twice");
        }
    }
    for expected in [
        "seawall_cache_entries{shard=\"0\"} 5",
        "seawall_degraded 1",
        "seawall_impaired{path=\"links\",condition=\"unreachable\"} 1",
        "seawall_cache_sweep_seconds_total{shard=\"0\"} 1.5",
        "seawall_cache_shard_answers{shard=\"1\"} 0",
        "seawall_command_duration_seconds_bucket{le=\"0.000001024\",family=\"read\"} 1",
        "seawall_command_duration_seconds_bucket{le=\"0.000002048\",family=\"read\"} 2",
        "seawall_command_duration_seconds_bucket{le=\"+Inf\",family=\"read\"} 3",
        "seawall_command_duration_seconds_count{family=\"read\"} 3",
        "seawall_command_calls_total{command=\"get\"} 3",
        "seawall_command_failures_total{command=\"get\"} 1",
        "seawall_log_info{fsync=\"everysec\"} 1",
        "seawall_log_writable 0",
        "seawall_redis_reachable 1",
        "seawall_redis_link_up{link=\"1\"} 0",
        "seawall_redis_link_age_seconds{link=\"0\"} 2.5",
        "seawall_redis_link_wait_seconds_total{link=\"0\"} 0.25",
        "seawall_redis_failures_total{kind=\"loading\"} 7",
        "seawall_redis_fills_total{shard=\"0\"} 6",
        "seawall_redis_tracking 1",
        "seawall_redis_announced_keys_total 11",
        "seawall_redis_passed_total 12",
        "seawall_redis_pubsub_subscriptions{state=\"confirmed\"} 4",
        "seawall_redis_pubsub_subscriptions{state=\"pending\"} 1",
        "seawall_breaker_state{path=\"links/\\\"odd\\\"\\\\\\n\",state=\"half-open\"} 1",
        "seawall_actor_up{path=\"root\"} 1",
        "seawall_metrics_source_stale{source=\"cache\"} 0",
    ] {
        assert!(text.lines().any(|l| l == expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("seawall_cache_entries{shard=\"1\"}"), "a silent shard has no number");
}

#[test]
fn before_the_first_beat_there_is_an_empty_exposition() {
    let text = exposition::encode(&Arc::new(Snapshot::default()), Instant::now()).unwrap();
    assert_eq!(text, "# EOF\n");
}

const PAGE: &str = "docs/metrics.md";
const BEGIN: &str = "<!-- begin: written by UPDATE_DOCS=1 cargo test metrics -->";
const END: &str = "<!-- end -->";

fn tables() -> String {
    let mut out = String::new();
    for (section, metrics) in catalog::SECTIONS {
        let _ = write!(out, "\n## {section}\n\n| metric | type | unit | labels | meaning |\n");
        out.push_str("|---|---|---|---|---|\n");
        for m in *metrics {
            let unit = match m.unit {
                seawall_actors::metrics::Unit::None => "",
                seawall_actors::metrics::Unit::Seconds => "seconds",
                seawall_actors::metrics::Unit::Bytes => "bytes",
            };
            let labels: Vec<String> = m.labels.iter().map(|l| format!("`{l}`")).collect();
            let (name, kind, labels) = (m.full_name(), m.kind.name(), labels.join(", "));
            let _ = writeln!(out, "| `{name}` | {kind} | {unit} | {labels} | {} |", m.help);
        }
    }
    out.push('\n');
    out
}

#[test]
fn the_documentation_agrees_with_the_catalogue() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}\n{}{END}{tail}", tables())).unwrap();
    } else {
        assert_eq!(written.trim(), tables().trim(), "run UPDATE_DOCS=1 cargo test metrics");
    }
}
