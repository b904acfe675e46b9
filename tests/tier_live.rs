//! A Redis is put behind a daemon that serves, and taken away again: what clients do meanwhile goes
//! on, and what they read is right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use super::support::http::get;
use super::support::proxy::{Cut, Door};
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::{Tier, wait_in_step};
use super::support::{Daemon, Raw, Reply, Setup, wait_for, wait_until};

/// Between two requests of a client: daemons under test share few cores.
const PACE: Duration = Duration::from_millis(1);
/// Clients that write, each to keys of its own.
const WRITERS: usize = 3;
const KEYS: usize = 40;
/// Keys that somebody else wrote in Redis.
const THEIRS: usize = 200;

/// Where Redis stands.
const AWAY: u8 = 0;
const COMING: u8 = 1;
const THERE: u8 = 2;
const GOING: u8 = 3;

/// A daemon without a Redis, and one that it may get; all the time of the world for both.
fn apart() -> Option<Tier> {
    let redis = RedisServer::listening(&[])?;
    Some(Tier::launch(redis, |setup, _| {
        setup.with("redis.timeout", r#""10s""#).with("redis.connect_timeout", r#""10s""#)
    }))
}

fn join(tier: &mut Tier) {
    let url = format!("\"redis://{}\"", tier.proxy.address());
    tier.daemon.configure("redis.url", &url);
    wait_info(&tier.daemon, "redis_in_use:1");
}

fn leave(tier: &mut Tier) {
    tier.daemon.configure("redis.url", r#""""#);
    wait_info(&tier.daemon, "redis_configured:0");
}

#[track_caller]
fn wait_info(daemon: &Daemon, line: &str) {
    let mut client = daemon.connect();
    wait_until(line, || client.run("INFO redis").text().lines().any(|found| found == line));
}

/// Clients that write and read, and one that reads what others wrote.
struct Clients {
    stop: Arc<AtomicBool>,
    stage: Arc<AtomicU8>,
    /// Rounds of the one that is slowest.
    rounds: Vec<Arc<AtomicU64>>,
    writers: Vec<JoinHandle<BTreeMap<String, Option<String>>>>,
    reader: JoinHandle<()>,
}

impl Clients {
    fn start(daemon: &Daemon) -> Self {
        let (stop, stage) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU8::new(AWAY)));
        let rounds: Vec<Arc<AtomicU64>> = (0..=WRITERS).map(|_| Arc::default()).collect();
        let address = daemon.resp();
        let writers = rounds.iter().take(WRITERS).cloned().enumerate().map(|(id, rounds)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || write(id, Raw::tcp(address), &stop, &rounds))
        });
        let writers = writers.collect();
        let reader = {
            let (stop, stage, rounds) =
                (Arc::clone(&stop), Arc::clone(&stage), Arc::clone(&rounds[WRITERS]));
            std::thread::spawn(move || read(Raw::tcp(address), &stop, &stage, &rounds))
        };
        Self { stop, stage, rounds, writers, reader }
    }

    /// From now on Redis stands so; each client does something under it.
    fn enter(&self, stage: u8) {
        self.stage.store(stage, SeqCst);
        let before: Vec<u64> = self.rounds.iter().map(|rounds| rounds.load(SeqCst)).collect();
        wait_until("every client goes on", || {
            self.rounds.iter().zip(&before).all(|(now, before)| now.load(SeqCst) > before + 30)
        });
    }

    /// What the keys are to hold.
    fn finish(self) -> BTreeMap<String, Option<String>> {
        self.stop.store(true, SeqCst);
        self.reader.join().expect("every value is right");
        self.writers.into_iter().flat_map(|w| w.join().expect("every answer is right")).collect()
    }
}

fn write(
    id: usize,
    mut client: Raw,
    stop: &AtomicBool,
    rounds: &AtomicU64,
) -> BTreeMap<String, Option<String>> {
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut count = 0;
    for round in 0.. {
        if stop.load(SeqCst) {
            break;
        }
        let key = format!("w{id}:{}", round * 7 % KEYS);
        let held = known.get(&key).cloned().flatten();
        let expected = held.map_or(Reply::Nil, Reply::bulk);
        assert_eq!(client.run(&format!("GET {key}")), expected, "{key}");
        if round % 5 == 4 {
            client.run(&format!("DEL {key}"));
            known.insert(key, None);
        } else {
            assert_eq!(client.run(&format!("SET {key} {round}")), Reply::ok());
            known.insert(key, Some(round.to_string()));
        }
        count += 1;
        let counter = format!("c{id}");
        assert_eq!(client.run(&format!("INCR {counter}")), Reply::Int(count));
        known.insert(counter, Some(count.to_string()));
        rounds.fetch_add(1, SeqCst);
        std::thread::sleep(PACE);
    }
    known
}

/// Others' keys are there if Redis is, absent if it is not, and one or the other in between.
fn read(mut client: Raw, stop: &AtomicBool, stage: &AtomicU8, rounds: &AtomicU64) {
    for round in 0.. {
        if stop.load(SeqCst) {
            break;
        }
        let n = round * 3 % THEIRS;
        let before = stage.load(SeqCst);
        let value = client.run(&format!("GET r:{n}"));
        let after = stage.load(SeqCst);
        let (there, absent) = (value == Reply::bulk(n.to_string()), value == Reply::Nil);
        let fine = match (before, after) {
            (THERE, THERE) => there,
            (AWAY, AWAY) => absent,
            _ => there || absent,
        };
        assert!(fine, "r:{n} is {value:?} between {before} and {after}");
        rounds.fetch_add(1, SeqCst);
        std::thread::sleep(PACE);
    }
}

#[track_caller]
fn compare(raw: &mut Raw, what: &str, due: &BTreeMap<String, Option<String>>) {
    for (key, value) in due {
        let expected = value.as_ref().map_or(Reply::Nil, Reply::bulk);
        assert_eq!(raw.run(&format!("GET {key}")), expected, "{what}: {key}");
    }
}

#[test]
fn a_redis_comes_and_goes_and_no_client_notices() {
    let Some(mut tier) = apart() else { return };
    let mut control = tier.redis.connect();
    for n in 0..THEIRS {
        control.run(&format!("SET r:{n} {n}"));
    }
    // Of the writer's own keys Redis holds something else: ours is newer.
    control.run("MSET w0:0 old c1 old");
    let clients = Clients::start(&tier.daemon);
    clients.enter(AWAY);
    for _ in 0..2 {
        clients.enter(COMING);
        join(&mut tier);
        clients.enter(THERE);
        clients.enter(GOING);
        leave(&mut tier);
        clients.enter(AWAY);
        wait_until("no connection to Redis is left", || tier.proxy.counts().open == 0);
        let links = tier.daemon.node("links").expect("it is in the tree");
        assert_eq!(links["children"].as_array().map(Vec::len), Some(0), "{links}");
    }
    clients.enter(COMING);
    join(&mut tier);
    clients.enter(THERE);
    let due = clients.finish();
    compare(&mut tier.daemon.connect(), "here", &due);
    wait_in_step(&mut tier.daemon.connect());
    compare(&mut control, "in Redis", &due);
    for n in 0..THEIRS {
        assert_eq!(control.run(&format!("GET r:{n}")), Reply::bulk(n.to_string()));
    }
    let path = |n: usize| format!("links/redis-link-{n}");
    assert!((0..2).all(|n| tier.daemon.events(&path(n), "restarting") == 0));
    // What a restart finds is what was there.
    leave(&mut tier);
    tier.daemon.stop();
    tier.daemon.restart();
    compare(&mut tier.daemon.connect(), "after a restart", &due);
}

#[test]
fn a_flush_from_before_a_redis_came_empties_nothing_there() {
    let Some(mut tier) = apart() else { return };
    let (mut client, mut control) = (tier.daemon.connect(), tier.redis.connect());
    assert_eq!(control.run("SET theirs 1"), Reply::ok());
    for line in ["SET gone 1", "FLUSHALL", "SET ours 1"] {
        assert_eq!(client.run(line), Reply::ok());
    }
    join(&mut tier);
    wait_in_step(&mut tier.daemon.connect());
    assert_eq!(control.run("MGET theirs ours gone"), client.run("MGET theirs ours gone"));
    assert_eq!(client.run("GET theirs"), Reply::bulk("1"));
    // One that was said while it was there is the tier's, too.
    assert_eq!(client.run("FLUSHALL"), Reply::ok());
    wait_in_step(&mut tier.daemon.connect());
    let markers = Reply::Int(RedisServer::SERVERS as i64);
    wait_until("it is empty but for the marker", || control.run("DBSIZE") == markers);
}

#[test]
fn what_waits_in_redis_comes_back_when_it_goes() {
    let Some(mut tier) = apart() else { return };
    let mut client = tier.daemon.connect();
    let refused = "ERR 'lpush' needs a Redis tier: set redis.url";
    assert_eq!(client.run("LPUSH l a"), Reply::Error(refused.to_owned()));
    join(&mut tier);
    assert_eq!(client.run("LPUSH l a"), Reply::Int(1));
    let mut waiting = tier.daemon.connect();
    waiting.send(&["BLPOP", "nothing", "0"]);
    let mut control = tier.redis.connect();
    wait_until("it waits in Redis", || control.run("CLIENT LIST").text().contains("cmd=blpop"));
    leave(&mut tier);
    assert_eq!(waiting.receive(), Reply::Nil, "as if its time were over");
    assert_eq!(client.run("LPUSH l a"), Reply::Error(refused.to_owned()));
    assert_eq!(control.run("LLEN l"), Reply::Int(1));
}

#[test]
fn subscribers_hear_each_other_before_during_and_after() {
    const MESSAGES: usize = 600;
    let Some(mut tier) = apart() else { return };
    let mut listener = tier.daemon.connect();
    listener.run("SUBSCRIBE news");
    let (done, address) = (Arc::new(AtomicU64::new(0)), tier.daemon.resp());
    let publisher = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let mut client = Raw::tcp(address);
            for n in 0..MESSAGES {
                // A node of a Cluster counts those who listen at it, and we may listen at another.
                let least = i64::from(RedisServer::SERVERS == 1);
                let heard = client.run(&format!("PUBLISH news {n}")).int();
                assert!((least..=1).contains(&heard), "message {n}: {heard}");
                done.fetch_add(1, SeqCst);
                // Until both changes are through there is always more to say.
                std::thread::sleep(PACE * 2);
            }
        })
    };
    join(&mut tier);
    tier.redis.connect().run("PUBLISH news elsewhere");
    leave(&mut tier);
    publisher.join().expect("each is heard by one");
    let mut heard: Vec<String> = (0..=MESSAGES)
        .map(|_| listener.receive().items().last().expect("a payload").text())
        .collect();
    heard.sort_by_key(|text| text.parse().unwrap_or(MESSAGES));
    let mut expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    expected.push("elsewhere".to_owned());
    assert_eq!(heard, expected, "each once");
}

#[test]
fn a_redis_that_is_not_there_is_said_and_its_coming_helps() {
    let Some(mut tier) = apart() else { return };
    tier.daemon.configure("redis.connect_timeout", r#""200ms""#);
    tier.daemon.configure("redis.timeout", r#""200ms""#);
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("SET k v"), Reply::ok());
    let url = format!("\"redis://{}\"", tier.proxy.address());
    tier.daemon.configure("redis.url", &url);
    wait_info(&tier.daemon, "redis_in_use:1");
    wait_until("it is unreachable", || {
        client.run("INFO seawall").text().contains("no link to Redis")
    });
    assert_eq!(client.run("GET k"), Reply::bulk("v"));
    tier.proxy.heal();
    wait_in_step(&mut tier.daemon.connect());
    assert_eq!(tier.redis.connect().run("GET k"), Reply::bulk("v"));
    // Taken away while it is gone, nothing is lost that it lacks.
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    wait_until("it is gone", || client.run("INFO redis").text().contains("redis_links_up:0"));
    assert_eq!(client.run("SET k w"), Reply::ok());
    leave(&mut tier);
    let line = wait_for("what Redis lacks is said", || {
        let log = tier.daemon.log_text();
        log.lines().find(|line| line.contains("does not have everything yet")).map(str::to_owned)
    });
    assert!(line.contains("is in the log"), "{line}");
    assert_eq!(client.run("GET k"), Reply::bulk("w"));
    tier.proxy.heal();
    join(&mut tier);
    wait_in_step(&mut tier.daemon.connect());
    assert_eq!(tier.redis.connect().run("GET k"), Reply::bulk("w"));
}

#[test]
fn a_redis_that_is_taken_away_while_it_is_gone_leaves_no_trouble_behind() {
    let Some(mut tier) = apart() else { return };
    tier.daemon.configure("redis.connect_timeout", r#""200ms""#);
    tier.daemon.configure("redis.timeout", r#""200ms""#);
    join(&mut tier);
    wait_in_step(&mut tier.daemon.connect());
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    let admin = tier.daemon.admin();
    wait_until("nobody tells what others change, which is said", || {
        get(admin, "/readyz").1.contains("not_tracking")
    });
    leave(&mut tier);
    let (_, ready) = get(admin, "/readyz");
    assert!(!ready.contains("links"), "there are no links to be in trouble: {ready}");
}

#[test]
fn a_pure_cache_gets_no_redis() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let way = redis.way();
    let mut daemon = RedisServer::kind(Setup::new()).with("wal.enabled", "false").start();
    daemon.configure("redis.url", &format!("\"redis://{}\"", way.address()));
    let refused = "reload refused; nothing changed";
    let line = daemon.wait_log(refused, |line| line["message"] == refused);
    let why = line["details"].as_str().unwrap_or_default();
    assert!(why.contains("redis.url") && why.contains("needs the log"), "{why}");
    assert_eq!(daemon.connect().run("SET k v"), Reply::ok());
}
