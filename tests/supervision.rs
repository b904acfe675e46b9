//! Actors made to fail under load: the tree heals, nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::support::{Daemon, PATIENCE, Raw, Reply, Setup, http, wait_for, wait_until};

fn with_drills() -> Setup {
    Setup::new()
        .with("debug.drills", "true")
        .with("cache.shards", "3")
        .with("supervision.watchdog", r#""1s""#)
}

fn restarts(daemon: &Daemon, path: &str) -> u64 {
    let node = wait_for("the tree", || daemon.node(path));
    node["restarts"].as_u64().expect("a number of restarts")
}

/// Drills the actor and waits until it is up again.
fn drill_and_heal(daemon: &Daemon, how: &str, path: &str) {
    let before = restarts(daemon, path);
    // A connection of its own, and again if it is cut: the front may be the one that is drilled.
    wait_for("the drill is taken", || {
        let mut client = Raw::try_tcp(daemon.resp()).ok()?;
        (client.try_run(&format!("SW.DRILL {how} {path}")).ok()? == Reply::ok()).then_some(())
    });
    wait_until(&format!("{path} is up again after {how}"), || {
        daemon.node(path).is_some_and(|node| {
            node["state"] == "up" && node["restarts"].as_u64().is_some_and(|n| n > before)
        })
    });
}

/// Writes growing numbers under keys of its own until told to stop; what it knows of each key:
/// the newest acknowledged value and the newest sent one.
type Known = BTreeMap<String, (u64, u64)>;

struct Load {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Known>>,
}

impl Load {
    fn start(daemon: &Daemon) -> Self {
        let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writers = (0..3)
            .map(|id| {
                let (stop, acked) = (Arc::clone(&stop), Arc::clone(&acked));
                let client = daemon.connect();
                std::thread::spawn(move || write(client, id, &stop, &acked))
            })
            .collect();
        Self { stop, acked, writers }
    }

    /// Waits until writes are acknowledged again.
    fn wait_progress(&self) {
        let before = self.acked.load(Ordering::Relaxed);
        wait_until("writes go on", || self.acked.load(Ordering::Relaxed) > before + 50);
    }

    fn finish(self) -> Known {
        self.stop.store(true, Ordering::Relaxed);
        let known = self.writers.into_iter().map(|w| w.join().expect("a writer ends well"));
        known.flatten().collect()
    }
}

fn write(mut client: Raw, id: u64, stop: &AtomicBool, acked: &AtomicU64) -> Known {
    let mut known = Known::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("load:{id}:{}", n % 20);
        let entry = known.entry(key.clone()).or_default();
        entry.1 += 1;
        let reply = client.run(&format!("INCR {key}"));
        match reply {
            Reply::Int(value) => {
                let value = u64::try_from(value).expect("a counter");
                assert!(value > entry.0 && value <= entry.1, "{key} became {value}, {entry:?}");
                entry.0 = value;
                acked.fetch_add(1, Ordering::Relaxed);
            }
            // Not executed, or its outcome unknown: the reply says which.
            Reply::Error(text) => {
                let honest = ["outcome unknown", "not executed", "LOADING", "MISCONF"];
                assert!(honest.iter().any(|word| text.contains(word)), "{text}");
                if text.contains("not executed") {
                    entry.1 -= 1;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    known
}

fn check(daemon: &Daemon, known: &Known, when: &str) {
    let mut client = daemon.connect();
    for (key, (acked, sent)) in known {
        let found: u64 = match client.call(&["GET", key]) {
            Reply::Nil => 0,
            reply => reply.text().parse().expect("a number"),
        };
        assert!(
            (*acked..=*sent).contains(&found),
            "{when}: {key} is {found}, not {acked}..={sent}"
        );
    }
}

fn heal_under_load(paths: &[&str], hows: &[&str]) {
    let mut daemon = with_drills().start();
    let load = Load::start(&daemon);
    load.wait_progress();
    for path in paths {
        for how in hows {
            drill_and_heal(&daemon, how, path);
            load.wait_progress();
        }
    }
    let known = load.finish();
    check(&daemon, &known, "in memory");
    daemon.kill();
    daemon.restart();
    check(&daemon, &known, "after a restart");
}

const ALL: [&str; 4] = ["panic", "error", "kill", "hang"];

#[test]
fn a_shard_heals_and_keeps_what_was_acknowledged() {
    heal_under_load(&["cache/shard-0"], &ALL);
}

#[test]
fn the_log_heals_and_keeps_what_was_acknowledged() {
    heal_under_load(&["wal"], &ALL);
}

#[test]
fn the_front_heals_and_open_connections_go_on() {
    heal_under_load(&["front/resp"], &ALL);
}

#[test]
fn everybody_else_heals() {
    let paths = ["metrics", "watcher", "cache/sweeper", "front/admin"];
    heal_under_load(&paths, &["panic", "kill"]);
}

#[test]
fn subtrees_heal() {
    heal_under_load(&["cache", "front"], &["panic"]);
}

#[test]
fn other_shards_go_on_while_one_hangs() {
    let daemon = with_drills().with("supervision.watchdog", r#""3s""#).start();
    let mut client = daemon.connect();
    for i in 0..60 {
        client.run(&format!("SET k{i} v"));
    }
    assert_eq!(client.run("SW.DRILL hang cache/shard-0"), Reply::ok());
    // Each key by a connection of its own: those of the shard that hangs wait, the others do not.
    let mut clients: Vec<Raw> = (0..60).map(|_| daemon.connect()).collect();
    let answered = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for (i, client) in clients.iter_mut().enumerate() {
            let answered = Arc::clone(&answered);
            scope.spawn(move || {
                let reply = client.run(&format!("GET k{i}"));
                answered.fetch_add(1, Ordering::Relaxed);
                let waited = reply.is_error() && reply.text().contains("outcome unknown");
                assert!(waited || reply == Reply::bulk("v"), "{reply:?}");
            });
        }
        wait_until("other shards answer", || answered.load(Ordering::Relaxed) >= 20);
        let shard = wait_for("the tree", || daemon.node("cache/shard-0"));
        assert_eq!(shard["restarts"], 0, "it still hangs while the others answer");
    });
    wait_until("the watchdog finds it", || restarts(&daemon, "cache/shard-0") == 1);
    let shard = wait_for("the tree", || daemon.node("cache/shard-0"));
    assert!(shard["last_exit"].as_str().is_some_and(|why| why.contains("hung")), "{shard}");
}

#[test]
fn a_crash_is_logged_with_its_flight_record_and_the_tree_after_it() {
    let mut daemon = with_drills().start();
    drill_and_heal(&daemon, "panic", "cache/shard-1");
    daemon.wait_log("the flight record", |line| {
        line["event"] == "flight" && line["path"] == "cache/shard-1" && line["flight"].is_string()
    });
    daemon.wait_log("the restart", |line| {
        line["path"] == "cache/shard-1"
            && line["event"] == "restarting"
            && line["next_in"].is_string()
    });
    daemon.wait_log("the tree", |line| {
        line["event"] == "tree"
            && line["message"].as_str().is_some_and(|m| m.contains("restarts 1"))
    });
}

fn gives_up(path: &str, code: i32) {
    let mut daemon = with_drills().start();
    let start = std::time::Instant::now();
    let mut client = daemon.connect();
    while !daemon.has_ended() {
        assert!(start.elapsed() < PATIENCE, "it never gives up");
        if client.try_run(&format!("SW.DRILL panic {path}")).is_err()
            && let Ok(fresh) = Raw::try_tcp(daemon.resp())
        {
            client = fresh;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(daemon.wait_exit().code(), Some(code), "{}", daemon.log_text());
    assert!(daemon.log_text().contains(path));
}

#[test]
fn a_log_that_keeps_failing_ends_the_daemon_with_80() {
    gives_up("wal", 80);
}

/// A write that waited for the log held the front's drain to its limit of six seconds.
#[test]
fn a_write_that_waits_for_a_log_that_gives_up_is_told_so_and_holds_nothing_up() {
    let mut daemon = with_drills().start();
    // Several, for one may be between two writes at that moment.
    let write = |mut client: Raw| {
        let mut last = Reply::Nil;
        while let Ok(reply) = client.try_run("INCR n") {
            last = reply;
        }
        last
    };
    let writers: Vec<_> = (0..8)
        .map(|_| daemon.connect())
        .map(|client| std::thread::spawn(move || write(client)))
        .collect();
    let mut drill = daemon.connect();
    while drill.try_run("SW.DRILL panic wal").is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Idle connections are cut when the front begins to drain; this is what is left of it.
    let drain = std::time::Instant::now();
    assert_eq!(daemon.wait_exit().code(), Some(80), "{}", daemon.log_text());
    assert!(drain.elapsed().as_secs() < 3, "{:?}: {}", drain.elapsed(), daemon.log_text());
    for writer in writers {
        let last = writer.join().expect("a writer ends well");
        assert!(!last.is_error() || last.text().contains("the log was closed"), "{last:?}");
    }
}

#[test]
fn a_shard_that_keeps_failing_ends_the_daemon_with_81() {
    gives_up("cache/shard-2", 81);
}

#[test]
fn a_front_that_keeps_failing_ends_the_daemon_with_82() {
    gives_up("front/resp", 82);
}

#[test]
fn metrics_that_keep_failing_leave_it_degraded_and_serving() {
    let daemon = with_drills().start();
    let mut client = daemon.connect();
    wait_until("metrics give up", || {
        client.run("SW.DRILL panic metrics");
        daemon.node("metrics").is_some_and(|node| node["state"] == "degraded")
    });
    assert_eq!(client.run("SET k v"), Reply::ok());
    let (status, body) = http::get(daemon.admin(), "/readyz");
    assert_eq!(status, 200);
    assert!(body.contains("metrics"), "{body}");
}

#[test]
fn drills_are_refused_by_default() {
    let daemon = Daemon::start();
    let reply = daemon.connect().run("SW.DRILL panic wal");
    assert!(reply.text().contains("debug.drills"), "{reply:?}");
    assert_eq!(restarts(&daemon, "wal"), 0);
    let daemon = with_drills().start();
    let reply = daemon.connect().run("SW.DRILL panic nothing");
    assert!(reply.is_error(), "{reply:?}");
}

#[test]
fn sw_tree_and_seawall_tree_show_the_same() {
    let daemon = Daemon::start();
    let told = daemon.connect().run("SW.TREE").text();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["tree", "--addr", &daemon.resp().to_string()])
        .current_dir(daemon.dir())
        .output()
        .expect("the binary runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split(" up ").next())
            .map(|name| name.trim_end().to_owned())
            .collect()
    };
    assert_eq!(names(&told), names(&printed));
    assert!(names(&told).iter().any(|name| name.ends_with("shard-0")), "{told}");
}

#[test]
fn the_readme_shows_the_tree() {
    let readme = include_str!("../README.md");
    let block = readme.split("```text\n").find(|block| block.starts_with("root ")).expect("a tree");
    let block = block.split("```").next().unwrap_or_default();
    let name = |line: &str| -> String {
        let line = line.trim_start_matches([' ', '├', '│', '└', '─']);
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let drawn: Vec<String> = block.lines().map(name).collect();
    // Whether anybody is there makes no difference to the tree.
    let daemon = Setup::new()
        .with("cache.shards", "1")
        .with("redis.url", r#""redis://127.0.0.1:1""#)
        .with("redis.links", "1")
        .start();
    let real = daemon.connect().run("SW.TREE").text();
    assert_eq!(drawn, real.lines().map(name).collect::<Vec<_>>());
}
