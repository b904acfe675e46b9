//! Clients of a daemon with a tier that write, and know what has to be there in the end; and one
//! that looks at Redis all the while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::{Raw, Reply, wait_until};
use super::traffic::Times;

/// Between two requests of one client: daemons under test share few cores.
const PACE: Duration = Duration::from_millis(2);
/// Clients that write, each to keys of its own.
const WRITERS: u64 = 2;
/// Keys of each, beside its counters.
const KEYS: u64 = 24;
const COUNTERS: u64 = 4;
/// What is to live long, in milliseconds, and what is to be gone in the end.
const LONG: &str = "600000";
const BRIEF: &str = "20";
const BRIEF_MS: u64 = 20;

fn key(writer: u64, n: u64) -> String {
    format!("w{writer}:{n}")
}

fn counter(writer: u64, n: u64) -> String {
    format!("c{writer}:{n}")
}

/// What a key is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Gone,
    /// Until it is gone.
    Brief,
    Held {
        value: String,
        expires: bool,
    },
}

/// What a writer knows.
#[derive(Debug, Default)]
struct Known {
    keys: BTreeMap<String, Due>,
    counters: BTreeMap<String, i64>,
    times: Vec<Duration>,
}

struct Writer {
    id: u64,
    raw: Raw,
    rng: SmallRng,
    /// Values are numbered: of two of one key, the later one has the higher number.
    issued: u64,
    known: Known,
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
}

/// See the module.
pub struct Writers {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Known>>,
    control: JoinHandle<Vec<Duration>>,
    watch: Option<JoinHandle<u64>>,
}

/// What all of them know.
#[derive(Debug)]
pub struct Done {
    keys: BTreeMap<String, Due>,
    counters: BTreeMap<String, i64>,
    /// How long writes took.
    pub times: Times,
    /// How long writes took that have nothing to do with a tier, at the same time.
    pub control: Times,
}

impl Writer {
    fn new(id: u64, address: SocketAddr, seed: u64) -> Self {
        let (stop, requests) = (Arc::default(), Arc::default());
        let (rng, known) = (SmallRng::seed_from_u64(seed + id), Known::default());
        Self { id, raw: Raw::tcp(address), rng, issued: 0, known, stop, requests }
    }

    /// One request, timed.
    fn ask(&mut self, words: &[&str]) -> Reply {
        let begun = Instant::now();
        let reply = self.raw.call(words);
        self.known.times.push(begun.elapsed());
        self.requests.fetch_add(1, Ordering::Relaxed);
        reply
    }

    fn any_key(&mut self) -> String {
        key(self.id, self.rng.random_range(0..KEYS))
    }

    fn value_for(&mut self, key: &str) -> String {
        self.issued += 1;
        let pad = self.rng.random_range(0..200);
        format!("{key}={}={:x>pad$}", self.issued, "")
    }

    fn due(&mut self, key: &str, due: Due) {
        self.known.keys.insert(key.to_owned(), due);
    }

    fn set(&mut self, life: Option<&str>) {
        let key = self.any_key();
        let value = self.value_for(&key);
        let reply = match life {
            Some(ms) => self.ask(&["SET", &key, &value, "PX", ms]),
            None => self.ask(&["SET", &key, &value]),
        };
        assert_eq!(reply, Reply::ok(), "SET {key}");
        let due = match life {
            Some(BRIEF) => Due::Brief,
            _ => Due::Held { value, expires: life.is_some() },
        };
        self.due(&key, due);
        self.look(&key);
    }

    fn set_many(&mut self) {
        let keys: Vec<String> = (0..3).map(|_| self.any_key()).collect();
        let mut words = vec!["MSET".to_owned()];
        for key in keys {
            let value = self.value_for(&key);
            words.extend([key.clone(), value.clone()]);
            self.due(&key, Due::Held { value, expires: false });
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(self.ask(&words), Reply::ok());
    }

    fn delete(&mut self) {
        let key = self.any_key();
        let reply = self.ask(&["DEL", &key]);
        assert!(matches!(reply, Reply::Int(0 | 1)), "DEL {key}: {reply:?}");
        self.due(&key, Due::Gone);
        self.look(&key);
    }

    /// What may depend on what Redis knows; whether it was done.
    fn done(reply: &Reply, expected: &Reply, what: &str) -> bool {
        if matches!(reply, Reply::Error(text) if text.starts_with("TIERDOWN not applied")) {
            return false;
        }
        assert_eq!(reply, expected, "{what}");
        true
    }

    fn prolong(&mut self, with: &[&str]) {
        let key = self.any_key();
        let Some(Due::Held { value, expires }) = self.known.keys.get(&key).cloned() else { return };
        let words = [&[with[0], &key], &with[1..]].concat();
        let persist = with[0] == "PERSIST";
        let expected = Reply::Int(i64::from(!persist || expires));
        let reply = self.ask(&words);
        if Self::done(&reply, &expected, &format!("{words:?}")) {
            self.due(&key, Due::Held { value, expires: !persist });
        }
    }

    fn count(&mut self) {
        let key = counter(self.id, self.rng.random_range(0..COUNTERS));
        let next = self.known.counters.get(&key).copied().unwrap_or_default() + 1;
        let reply = self.ask(&["INCR", &key]);
        if Self::done(&reply, &Reply::Int(next), &format!("INCR {key}")) {
            self.known.counters.insert(key, next);
        }
    }

    fn transact(&mut self) {
        let (put, gone) = (self.any_key(), self.any_key());
        let number = counter(self.id, self.rng.random_range(0..COUNTERS));
        let next = self.known.counters.get(&number).copied().unwrap_or_default() + 1;
        let value = self.value_for(&put);
        assert_eq!(self.ask(&["MULTI"]), Reply::ok());
        for words in [&["SET", &put, &value][..], &["INCR", &number], &["DEL", &gone]] {
            assert_eq!(self.ask(words), Reply::Simple("QUEUED".into()));
        }
        let reply = self.ask(&["EXEC"]);
        let Reply::Array(replies) = reply else {
            assert!(!Self::done(&reply, &Reply::Nil, "EXEC"), "it waits for nobody");
            return;
        };
        assert_eq!(replies[0], Reply::ok(), "SET {put} in MULTI");
        if Self::done(&replies[1], &Reply::Int(next), &format!("INCR {number} in MULTI")) {
            self.known.counters.insert(number, next);
        }
        self.due(&put, Due::Held { value, expires: false });
        self.due(&gone, Due::Gone);
    }

    /// What one has written oneself is there, whatever Redis does.
    fn look(&mut self, key: &str) {
        let reply = self.raw.call(&["GET", key]);
        match self.known.keys.get(key) {
            Some(Due::Held { value, .. }) => assert_eq!(reply, Reply::bulk(value), "{key}"),
            Some(Due::Gone) => assert_eq!(reply, Reply::Nil, "{key}"),
            Some(Due::Brief) | None => {}
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..16) {
            0..4 => self.set(None),
            4..6 => self.set(Some(LONG)),
            6 => self.set(Some(BRIEF)),
            7..9 => self.set_many(),
            9..11 => self.delete(),
            11 => self.prolong(&["PEXPIRE", LONG]),
            12 => self.prolong(&["PERSIST"]),
            13..15 => self.count(),
            _ => self.transact(),
        }
    }

    fn run(mut self) -> Known {
        while !self.stop.load(Ordering::Relaxed) {
            self.step();
            std::thread::sleep(PACE);
        }
        self.known
    }
}

/// Looks at every key in Redis until told to stop: nothing is there that nobody wrote, and no
/// value follows a later one. How often it looked.
fn watch(mut redis: Raw, stop: &AtomicBool) -> u64 {
    let names = |name: fn(u64, u64) -> String, n| {
        (0..WRITERS).flat_map(move |writer| (0..n).map(move |n| name(writer, n)))
    };
    let keys: Vec<String> = names(key, KEYS).chain(names(counter, COUNTERS)).collect();
    let words: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let (mut last, mut looked) = (BTreeMap::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        for (key, reply) in keys.iter().zip(redis.call(&words).items()) {
            if *reply == Reply::Nil {
                continue;
            }
            let text = reply.text();
            let number = match text.strip_prefix(&format!("{key}=")) {
                Some(rest) => rest.split('=').next().and_then(|n| n.parse::<u64>().ok()),
                None => text.parse().ok().filter(|_| key.starts_with('c')),
            };
            let number = number.unwrap_or_else(|| panic!("nobody wrote {key} {text}"));
            let before = last.insert(key, number).unwrap_or(0);
            assert!(number >= before, "{key} goes back in Redis from {before} to {number}");
        }
        looked += 1;
        std::thread::sleep(PACE * 2);
    }
    looked
}

impl Writers {
    /// Begins. With `watched`, a connection that passes no proxy, Redis is looked at all the while: it
    /// must not lose anything then.
    pub fn start(address: SocketAddr, seed: u64, watched: Option<Raw>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let threads = (0..WRITERS).map(|id| {
            let mut writer = Writer::new(id, address, seed);
            (writer.stop, writer.requests) = (Arc::clone(&stop), Arc::clone(&requests));
            std::thread::spawn(move || writer.run())
        });
        let threads = threads.collect();
        let control = {
            let (mut raw, stop) = (Raw::tcp(address), Arc::clone(&stop));
            std::thread::spawn(move || {
                assert_eq!(raw.run("SELECT 1"), Reply::ok());
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    assert_eq!(raw.run("SET control control"), Reply::ok());
                    times.push(begun.elapsed());
                    std::thread::sleep(PACE);
                }
                times
            })
        };
        let watch = watched.map(|raw| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || watch(raw, &stop))
        });
        Self { stop, requests, threads, control, watch }
    }

    /// Waits until so many more requests are answered.
    #[track_caller]
    pub fn wait_for(&self, requests: u64) {
        let goal = self.requests.load(Ordering::Relaxed) + requests;
        wait_until("writes are answered", || {
            let broken = self.threads.iter().any(JoinHandle::is_finished)
                || self.watch.as_ref().is_some_and(JoinHandle::is_finished);
            assert!(!broken, "something wrong was seen; see above");
            self.requests.load(Ordering::Relaxed) >= goal
        });
    }

    /// Ends; what they know.
    #[track_caller]
    pub fn finish(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let (mut keys, mut counters) = (BTreeMap::new(), BTreeMap::new());
        let mut times = Vec::new();
        for thread in self.threads {
            let known = thread.join().expect("a writer was told nothing wrong");
            keys.extend(known.keys);
            counters.extend(known.counters);
            times.extend(known.times);
        }
        let control = self.control.join().expect("a write elsewhere is answered");
        // The last of those that live for a moment was written a moment ago.
        std::thread::sleep(Duration::from_millis(BRIEF_MS + 5));
        if let Some(watch) = self.watch {
            assert!(watch.join().expect("Redis held nothing wrong") > 0);
        }
        Done { keys, counters, times: Times(times), control: Times(control) }
    }
}

impl Done {
    /// Deletes what they have written, so that others can begin.
    pub fn clear(&self, client: &mut Raw) {
        for key in self.keys.keys().chain(self.counters.keys()) {
            assert!(!client.call(&["DEL", key]).is_error(), "{key}");
        }
    }

    /// What was acknowledged is there, and nothing else. Whoever asks is asked behind the outbox:
    /// the daemon, or Redis itself.
    #[track_caller]
    pub fn check(&self, who: &mut Raw) {
        let held = |due: &Due| match due {
            Due::Held { value, expires } => (Reply::bulk(value), *expires),
            Due::Gone | Due::Brief => (Reply::Nil, false),
        };
        let counted =
            self.counters.iter().map(|(key, n)| (key, (Reply::bulk(n.to_string()), false)));
        let due = self.keys.iter().map(|(key, due)| (key, held(due))).chain(counted);
        for (key, (value, expires)) in due {
            if self.keys.get(key) == Some(&Due::Brief) {
                // It may be the last that was written.
                wait_until("its time passes", || who.call(&["GET", key]) == Reply::Nil);
            }
            assert_eq!(who.call(&["GET", key]), value, "{key}");
            let ttl = who.call(&["PTTL", key]).int();
            assert_eq!(ttl > 0, expires, "{key} has a time to live of {ttl} ms");
        }
    }
}
