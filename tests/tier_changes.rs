//! Settings of the links that change while they are used: nobody who asks for a key notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use crate::support::redis::RedisServer;
use crate::support::tier::{CONNECTIONS, Tier};
use crate::support::{Raw, Reply, Setup, wait_until};

/// Keys that only Redis has at first, each with its number as its value: more than are read within
/// a test, so that most reads need a link.
const KEYS: usize = 60_000;

fn populate(redis: &mut Raw) {
    for first in (0..KEYS).step_by(1_000) {
        let pairs: Vec<String> = (first..first + 1_000).map(|n| format!("k:{n} {n}")).collect();
        assert_eq!(redis.run(&format!("MSET {}", pairs.join(" "))), Reply::ok());
    }
}

/// What goes on here is no trouble of Redis: however slow the machine, nothing is given up.
fn patient(setup: Setup) -> Setup {
    setup.with("redis.timeout", r#""20s""#).with("redis.connect_timeout", r#""20s""#)
}

/// Clients that read keys which only Redis has, round and round.
struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<usize>>,
}

impl Readers {
    fn start(resp: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..3).map(|part| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || read(resp, part, &stop))
        });
        Self { threads: threads.collect(), stop }
    }

    /// How many values were read. Every one was right.
    fn finish(self) -> usize {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("every answer is right")).sum()
    }
}

fn read(resp: SocketAddr, part: usize, stop: &AtomicBool) -> usize {
    let mut client = Raw::try_tcp(resp).expect("a connection");
    let mut done = 0;
    while !stop.load(Relaxed) {
        let n = (part * KEYS / 3 + done) % KEYS;
        assert_eq!(client.run(&format!("GET k:{n}")), Reply::bulk(n.to_string()), "k:{n}");
        done += 1;
    }
    done
}

/// Lives of links that ended badly.
fn crashes(tier: &Tier) -> usize {
    (0..8).map(|n| tier.daemon.events(&format!("links/redis-link-{n}"), "restarting")).sum()
}

#[test]
fn links_come_and_go_while_they_are_used() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    populate(&mut redis.connect());
    let mut tier = Tier::before(redis, |setup, proxy| {
        patient(setup).with("redis.url", &format!(r#""redis://{}""#, proxy.address()))
    });
    let readers = Readers::start(tier.daemon.resp());
    for links in [5, 1, 3] {
        tier.daemon.configure("redis.links", &links.to_string());
        wait_until("there are as many as configured", || {
            // The tracker is one more.
            tier.proxy.counts().open == links + 1
        });
    }
    assert!(readers.finish() > 0);
    assert_eq!(crashes(&tier), 0);
    let mut client = tier.daemon.connect();
    wait_until("INFO shows them", || {
        let shown = client.run("INFO redis").text();
        shown.contains("redis_links:3") && shown.contains("redis_links_up:3")
    });
    assert!(tier.daemon.node("links/redis-link-2").is_some(), "its id is free again");
    assert!(tier.daemon.node("links/redis-link-3").is_none());
}

#[test]
fn a_rotated_password_reaches_every_link_and_no_client() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut control = redis.connect();
    populate(&mut control);
    assert_eq!(control.run("ACL SETUSER wall on >spring ~* &* +@all"), Reply::ok());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "spring\n").expect("written");
    let tier = Tier::before(redis, |setup, proxy| {
        patient(setup)
            .with("redis.url", &format!(r#""redis://wall@{}""#, proxy.address()))
            .with("redis.password_file", &format!("{:?}", file.path()))
    });
    let readers = Readers::start(tier.daemon.resp());
    let before = tier.proxy.counts().total;

    // Both are right for a while, as one rotates passwords.
    assert_eq!(control.run("ACL SETUSER wall >neap"), Reply::ok());
    std::fs::write(file.path(), "neap\n").expect("written");
    wait_until("every link has made a fresh connection", || {
        tier.proxy.counts().total >= before + CONNECTIONS && tier.proxy.counts().open == CONNECTIONS
    });
    assert_eq!(control.run("ACL SETUSER wall <spring"), Reply::ok());
    assert!(readers.finish() > 0);
    assert_eq!(crashes(&tier), 0);

    // From now on there is only the new one.
    control.run("CLIENT KILL USER wall");
    tier.wait_linked();
    let log = tier.daemon.log_text();
    assert!(!log.contains("spring") && !log.contains("neap"), "a password in the log");
}

#[test]
fn a_password_file_that_cannot_be_read_changes_nothing() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut control = redis.connect();
    assert_eq!(control.run("ACL SETUSER wall on >spring ~* &* +@all"), Reply::ok());
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("password");
    std::fs::write(&path, "spring").expect("written");
    let mut tier = Tier::before(redis, |setup, proxy| {
        patient(setup)
            .with("redis.url", &format!(r#""redis://wall@{}""#, proxy.address()))
            .with("redis.password_file", &format!("{path:?}"))
    });
    std::fs::remove_file(&path).expect("removed");
    let refused = "reload refused; nothing changed";
    let line = tier.daemon.wait_log(refused, |line| line["message"] == refused);
    assert!(line["details"].as_str().is_some_and(|d| d.contains("redis.password_file")), "{line}");
    tier.wait_linked();
}
