//! The actors are up while the dataset is loaded: what clients are told until it is there.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Reply, Setup, http, wait_until};

const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// A snapshot that is a pipe: the load waits in it until somebody comes to write.
struct Barrier(PathBuf);

impl Barrier {
    fn put_before(daemon: &Daemon) -> Self {
        let dir = daemon.dir().join("data/snap");
        fs::create_dir_all(&dir).expect("the data directory");
        let pipe = dir.join(format!("{:020}.snap", 999_999));
        let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
        assert!(made.success());
        Self(pipe)
    }

    /// Lets the load go on: this is no snapshot, so it is put aside and the log is read.
    fn lift(self) {
        drop(OpenOptions::new().write(true).open(&self.0).expect("the pipe"));
    }
}

/// A daemon with `entries` keys in its log that is held while it loads them again.
fn held(setup: Setup, entries: usize) -> (Daemon, Barrier) {
    let mut daemon = setup.start();
    let mut client = daemon.connect();
    for n in 0..entries {
        client.send(&["SET", &format!("key:{n}"), &n.to_string()]);
    }
    (0..entries).for_each(|_| assert_eq!(client.receive(), Reply::ok()));
    daemon.stop();
    let barrier = Barrier::put_before(&daemon);
    daemon.relaunch();
    daemon.wait_listening();
    (daemon, barrier)
}

fn info(client: &mut Raw) -> BTreeMap<String, String> {
    let text = client.run("INFO persistence").text();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn clients_are_told_what_redis_tells_them() {
    let (mut daemon, barrier) = held(Setup::new().with("cache.shards", "2"), 100);
    let mut client = daemon.connect();
    let refused = [
        "PING",
        "GET key:1",
        "SET a b",
        "MGET key:1 key:2",
        "KEYS *",
        "DBSIZE",
        "FLUSHALL",
        "SAVE",
        "HGET a b",
        "WATCH a",
    ];
    for line in refused {
        assert_eq!(client.run(line), Reply::Error(LOADING.into()), "{line}");
    }
    // One connection, in one write: each reply in its place.
    client.send_bytes("GET a\r\nECHO b\r\nGET c\r\n");
    let replies: Vec<Reply> = (0..3).map(|_| client.receive()).collect();
    let no = || Reply::Error(LOADING.into());
    assert_eq!(replies, [no(), Reply::bulk("b"), no()]);

    for line in ["SELECT 1", "MULTI", "DISCARD", "CONFIG SET cache.max_entries 50"] {
        assert_eq!(client.run(line), Reply::ok(), "{line}");
    }
    wait_until("the tree stands", || client.run("SW.TREE").text().contains("shard-1"));
    assert!(matches!(client.run("HELLO 2"), Reply::Array(_)));
    assert!(client.run("NOSUCH").text().starts_with("ERR unknown command"));
    assert!(client.run("GET").text().starts_with("ERR wrong number"));
    client.run("MULTI");
    assert_eq!(client.run("GET a"), no());
    assert!(client.run("EXEC").text().starts_with("EXECABORT"));

    let fields = info(&mut client);
    let number = |name: &str| fields[name].parse::<f64>().expect("a number");
    assert_eq!((fields["loading"].as_str(), fields["async_loading"].as_str()), ("1", "0"));
    assert!(number("loading_start_time") > 1e9 && number("loading_total_bytes") > 100.0);
    for name in ["loading_loaded_bytes", "loading_loaded_perc", "loading_eta_seconds"] {
        assert!(number(name) >= 0.0);
    }
    assert_eq!(http::get(daemon.admin(), "/healthz").0, 200);
    let (status, body) = http::get(daemon.admin(), "/readyz");
    assert!(status == 503 && body.contains("the dataset is being loaded: "), "{status} {body}");
    wait_until("the metrics tell", || {
        http::get(daemon.admin(), "/metrics").1.contains("\nseawall_loading 1\n")
    });
    assert!(!daemon.log_text().contains(r#""message":"ready""#), "{}", daemon.log_text());

    barrier.lift();
    daemon.wait_ready();
    let (status, body) = http::get(daemon.admin(), "/readyz");
    assert_eq!(status, 200, "{body}");
    // A limit that was changed meanwhile holds.
    assert_eq!(client.run("SELECT 0"), Reply::ok());
    assert_eq!(client.run("SET new 1"), Reply::ok());
    wait_until("the new limit holds", || client.run("DBSIZE").int() == 50);
    for key in client.run("KEYS key:*").items() {
        let number = key.text().replace("key:", "");
        assert_eq!(client.call(&["GET", &key.text()]), Reply::bulk(number));
    }
    let fields = info(&mut client);
    assert_eq!(fields["loading"], "0");
    assert!(!fields.contains_key("loading_loaded_perc"));
}

/// Every file below a directory, with what is in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path());
    entries.map(|path| (path.clone(), fs::read(&path).expect("a file"))).collect()
}

#[test]
fn a_stop_while_loading_is_quick_and_leaves_the_log_alone() {
    let (mut daemon, _barrier) = held(Setup::new(), 10);
    let log = files(&daemon.dir().join("data/wal"));
    let mut client = daemon.connect();
    assert_eq!(client.run("GET key:1"), Reply::Error(LOADING.into()));
    let begun = Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(client.is_closed());
    assert_eq!(files(&daemon.dir().join("data/wal")), log);
}

#[test]
fn shutdown_is_obeyed_while_loading() {
    let (mut daemon, _barrier) = held(Setup::new(), 10);
    daemon.connect().send(&["SHUTDOWN"]);
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.log_text());
}

/// A log of which only a replay finds out that it is corrupt ends a daemon that listens already.
#[test]
fn a_corrupt_log_found_while_listening_ends_with_its_own_code() {
    let (mut daemon, barrier) = held(Setup::new(), 10);
    let log = files(&daemon.dir().join("data/wal"));
    let (path, mut bytes) = log.into_iter().next().expect("a segment");
    let value = bytes.windows(5).position(|w| w == b"key:3").expect("the key is in the log");
    bytes[value] ^= 1;
    fs::write(path, bytes).expect("the data directory");
    let mut client = daemon.connect();
    barrier.lift();
    let status = daemon.wait_exit();
    let log = daemon.log_text();
    assert_eq!(status.code(), Some(83), "{log}");
    assert!(client.is_closed());
    assert_eq!(log.matches(r#""kind":"corrupt""#).count(), 1, "{log}");
    assert!(!log.contains(r#""message":"ready""#), "{log}");
}

/// COMMAND INFO's word for it, by name.
fn allowed_while_loading(commands: &Reply) -> BTreeMap<String, bool> {
    let commands = commands.items().iter().map(Reply::items);
    // Redis asks a container's subcommands, Seawall the container itself.
    let plain = commands.filter(|c| c.get(9).is_none_or(|subs| subs.items().is_empty()));
    let word = |c: &[Reply]| c[2].items().iter().any(|flag| flag.text() == "loading");
    plain.map(|c| (c[0].text(), word(c))).collect()
}

#[test]
fn the_same_commands_are_allowed_while_loading_as_in_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let theirs = allowed_while_loading(&redis.connect().run("COMMAND"));
    let ours = allowed_while_loading(&Daemon::start().connect().run("COMMAND"));
    let both: Vec<_> =
        ours.iter().filter_map(|(name, word)| Some((name, word, theirs.get(name)?))).collect();
    assert!(both.len() > 100, "{}", both.len());
    for (name, ours, theirs) in both {
        assert_eq!(ours, theirs, "{name}");
    }
}
