//! A panic at every failpoint, under load: the daemon heals by itself, nothing acknowledged is lost,
//! nothing is applied twice. The points are those of `docs/failpoints.md`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use seawall_actors::failpoint::Point;
use serde_json::Value;

use crate::support::{Daemon, Load, Raw, Reply, Setup, http, seed, wait_for, wait_until};

/// What makes the daemon pass a point that it does not pass by itself under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Load,
    /// An actor is made to fail.
    Crash(&'static str),
    /// A store is lost in the middle of a commit.
    Commit,
    Snapshot,
    Quiet,
    Connect,
    Http,
    File,
}

impl Trigger {
    fn of(point: Point) -> Self {
        match point {
            Point::ShardAdopt
            | Point::SupervisorStart
            | Point::SupervisorExited
            | Point::KeeperStart
            | Point::KeeperStarted
            | Point::KeeperEnded => Self::Crash("cache/shard-0"),
            Point::WalStart
            | Point::WriterOpen
            | Point::WriterOpened
            | Point::FsOpen
            | Point::FsList => Self::Crash("wal"),
            Point::ShardRebuilt | Point::RebuildBegin | Point::RebuildEnd | Point::LoadApply => {
                Self::Commit
            }
            Point::ShardExport
            | Point::SnapshotBegin
            | Point::SnapshotPiece
            | Point::SnapshotFinish
            | Point::SnapshotPublish
            | Point::SnapshotNamed
            | Point::ManifestWrite
            | Point::ManifestRename
            | Point::ManifestNamed => Self::Snapshot,
            Point::WriterSeal | Point::SyncerSync | Point::SyncerSynced | Point::WriterSynced => {
                Self::Quiet
            }
            Point::FrontAccept => Self::Connect,
            Point::AdminAccept => Self::Http,
            Point::WatcherLook => Self::File,
            _ => Self::Load,
        }
    }
}

/// How many exits of supervised actors the panic costs; a supervisor allows five in half a minute.
fn cost(point: Point) -> usize {
    match (point, Trigger::of(point)) {
        // One more exit of `cache` within half a minute, and root gives up.
        (Point::SupervisorStart | Point::SupervisorExited, _) => EXITS,
        (_, Trigger::Crash(_) | Trigger::Commit) => 2,
        _ => 1,
    }
}

/// Exits that one daemon lives through.
const EXITS: usize = 4;
/// Daemons at a time.
const AT_A_TIME: usize = 4;
/// A trigger that may be refused is pulled again after so long.
const AGAIN: Duration = Duration::from_millis(200);

/// Points that no panic belongs to.
fn is_passed_over(point: Point) -> bool {
    // A number, no step; a cut happens only to what a crash has left; the start has its own test.
    matches!(point, Point::ClockWall | Point::FsCut) || is_at_the_start(point)
}

fn is_at_the_start(point: Point) -> bool {
    matches!(
        point,
        Point::ReplayOpen
            | Point::ReplayRead
            | Point::ReplayDone
            | Point::LoadFilled
            | Point::LoadTaken
    )
}

/// Whether a point is passed only with `wal.fsync = "always"` (`Some(true)`), or only without.
fn only_in_always(point: Point) -> Option<bool> {
    match point {
        // Replies wait for the log only where it is slow; the writer waits for the disk only there.
        Point::IntakePark | Point::WriterSync => Some(true),
        Point::IntakeTurn
        | Point::IntakeTurned
        | Point::SyncerSync
        | Point::SyncerSynced
        | Point::WriterSynced => Some(false),
        _ => None,
    }
}

/// The points in groups, each for one daemon with one mode.
fn groups() -> Vec<Vec<Point>> {
    let mut groups: Vec<Vec<Point>> = Vec::new();
    let (mut room, mut mode) = (0, None);
    for &point in Point::ALL.iter().filter(|point| !is_passed_over(**point)) {
        let only = only_in_always(point);
        let conflict = only.is_some() && mode.is_some() && only != mode;
        if cost(point) > room || conflict {
            groups.push(Vec::new());
            (room, mode) = (EXITS, None);
        }
        room -= cost(point);
        mode = mode.or(only);
        groups.last_mut().expect("just made").push(point);
    }
    groups
}

fn drill(daemon: &Daemon, line: &str) {
    // Again if the connection is cut: it may be the one that the point is passed in.
    wait_for(line, || {
        let reply = Raw::try_tcp(daemon.resp()).ok()?.try_run(line).ok()?;
        assert!(!reply.is_error() || reply.text().contains("not running"), "{line}: {reply:?}");
        (!reply.is_error()).then_some(())
    });
}

/// Asks for a snapshot. That may be refused: one is on its way, or who takes them has just died.
fn snapshot(daemon: &Daemon) {
    drop(Raw::try_tcp(daemon.resp()).map(|mut c| c.try_run("BGSAVE")));
}

fn pull(daemon: &mut Daemon, point: Point, load: &Load) {
    match Trigger::of(point) {
        Trigger::Load => {}
        Trigger::Crash(path) => drill(daemon, &format!("SW.DRILL panic {path}")),
        Trigger::Commit => drill(daemon, "SW.DRILL POINT store.commit 1*panic"),
        Trigger::Snapshot => snapshot(daemon),
        Trigger::Quiet => {
            load.pause(true);
            drill(daemon, "SET unsynced yes");
        }
        Trigger::Connect => drop(Raw::try_tcp(daemon.resp()).map(|mut c| c.try_run("PING"))),
        Trigger::Http => drop(http::try_get(daemon.admin(), "/healthz")),
        Trigger::File => daemon.configure("server.slowlog_max_len", "100"),
    }
}

/// Times from an actor's end to its successor at work, and the part of it that is not backoff;
/// milliseconds.
#[derive(Debug, Default)]
struct Restarts {
    down: Vec<f64>,
    adoption: Vec<f64>,
}

impl Restarts {
    /// As the supervisors logged them.
    fn note(&mut self, log: &str) {
        let ms = |field: &Value| -> Option<f64> {
            let text = field.as_str()?;
            let (number, unit) =
                text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit())?);
            let factor = match unit {
                "s" => 1e3,
                "ms" => 1.0,
                "µs" => 1e-3,
                "ns" => 1e-6,
                _ => return None,
            };
            Some(number.parse::<f64>().ok()? * factor)
        };
        let mut delays = std::collections::BTreeMap::new();
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let path = line["path"].as_str().unwrap_or_default().to_owned();
            match line["event"].as_str() {
                Some("restarting") => drop(delays.insert(path, ms(&line["next_in"]))),
                Some("up") => {
                    if let (Some(Some(delay)), Some(down)) =
                        (delays.remove(&path), ms(&line["down_for"]))
                    {
                        self.down.push(down);
                        self.adoption.push(down - delay);
                    }
                }
                _ => {}
            }
        }
    }

    fn print(&mut self) {
        for (what, times) in [("down", &mut self.down), ("without backoff", &mut self.adoption)] {
            times.sort_by(f64::total_cmp);
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            println!(
                "{} restarts, {what}: median {:.1} ms, 90 % {:.1} ms, longest {:.1} ms",
                times.len(),
                at(0.5),
                at(0.9),
                at(1.0)
            );
        }
    }
}

fn panic_at_each(points: &[Point], fsync: &str, seed: u64, restarts: &Mutex<Restarts>) {
    let mut daemon = Setup::new()
        .with("debug.drills", "true")
        // To write one down takes longer than to heal.
        .env("RUST_BACKTRACE", "0")
        .with("cache.shards", "3")
        .with("wal.fsync", fsync)
        .with("wal.segment_size", r#""64KiB""#)
        .start();
    let load = Load::start(daemon.resp(), seed);
    load.wait_progress("writes begin");
    for &point in points {
        let name = point.name();
        drill(&daemon, &format!("SW.DRILL POINT {name} 1*panic"));
        pull(&mut daemon, point, &load);
        let fired = format!("failpoint {name}\"");
        let mut pulled = Instant::now();
        wait_until(
            &format!("{name} is passed; does it need a trigger in tests/failpoints.rs?"),
            || {
                if Trigger::of(point) == Trigger::Snapshot && pulled.elapsed() >= AGAIN {
                    pulled = Instant::now();
                    snapshot(&daemon);
                }
                daemon.log_text().contains(&fired) || load.broken()
            },
        );
        load.pause(false);
        load.wait_progress(&format!("writes go on after a panic at {name}"));
    }
    wait_until("a snapshot can be taken", || {
        let saved = Raw::try_tcp(daemon.resp()).and_then(|mut client| client.try_run("SAVE"));
        saved.is_ok_and(|reply| reply == Reply::ok())
    });
    let counts = load.counts();
    let mut ledger = load.finish();
    ledger.check(daemon.resp(), &format!("{points:?}, in memory"));
    assert!(!daemon.has_ended(), "{}", daemon.log_text());
    assert!(!daemon.log_text().contains("resynced"), "a file was synced again after a failure");
    restarts.lock().expect("no test panics with it").note(&daemon.log_text());
    daemon.kill();
    daemon.restart();
    ledger.check(daemon.resp(), &format!("{points:?}, after kill -9"));
    let names: Vec<_> = points.iter().map(|point| point.name()).collect();
    let (acked, unknown, refused) = (counts.acked, counts.unknown, counts.refused);
    println!(
        "{fsync} {}: {acked} acknowledged, {unknown} unknown, {refused} refused",
        names.join(" ")
    );
}

#[test]
fn a_panic_at_every_failpoint_under_load_loses_nothing() {
    let (seed, groups) = (seed(), groups());
    let (restarts, next) =
        (Mutex::new(Restarts::default()), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(points) = groups.get(n) else { break };
                    let always = points.iter().find_map(|point| only_in_always(*point));
                    let always = always.unwrap_or((seed + n as u64).is_multiple_of(3));
                    let fsync = if always { r#""always""# } else { r#""everysec""# };
                    panic_at_each(points, fsync, seed, &restarts);
                }
            });
        }
    });
    let mut restarts = restarts.into_inner().expect("no test panicked with it");
    restarts.print();
    let median = restarts.adoption[restarts.adoption.len() / 2];
    assert!(median < 50.0, "half of all restarts take longer than {median} ms");
}

#[test]
fn a_panic_while_starting_ends_the_start_and_the_next_one_has_everything() {
    let mut daemon = Setup::new().start();
    assert_eq!(daemon.connect().run("SET k v"), Reply::ok());
    daemon.kill();
    for point in Point::ALL.iter().filter(|point| is_at_the_start(**point)) {
        daemon.set_env("SEAWALL_FAILPOINTS", &format!("{}=1*panic", point.name()));
        daemon.relaunch();
        let status = daemon.wait_exit();
        assert!(!status.success(), "{point:?}: {status}");
        assert!(daemon.log_text().contains(point.name()), "{point:?}");
    }
    daemon.set_env("SEAWALL_FAILPOINTS", "");
    daemon.restart();
    assert_eq!(daemon.connect().run("GET k"), Reply::bulk("v"));
}

#[test]
fn a_failpoint_needs_drills_a_known_name_and_a_script_that_makes_sense() {
    let daemon = Daemon::start();
    let refused = daemon.connect().run("SW.DRILL POINT shard.run 1*panic");
    assert!(refused.text().contains("debug.drills"), "{refused:?}");
    let daemon = Setup::new().with("debug.drills", "true").start();
    let mut client = daemon.connect();
    let refused = client.run("SW.DRILL POINT shard.nothing 1*panic");
    assert!(refused.text().contains("no failpoint 'shard.nothing'"), "{refused:?}");
    let refused = client.run("SW.DRILL POINT shard.run explode");
    assert!(refused.text().contains("no failpoint's script"), "{refused:?}");
    assert_eq!(client.run("SW.DRILL POINT sweeper.beat off"), Reply::Int(0));
    // Each call says how often it was passed since the one before.
    wait_until("the sweeper passes it", || client.run("SW.DRILL POINT sweeper.beat off").int() > 0);
}
