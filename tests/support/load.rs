//! Clients that write, know every outcome, and say afterwards whether the daemon kept its word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::raw::encode;
use super::{PATIENCE, Raw, Reply, wait_until};

/// Between two requests of one client: daemons under test share few cores.
const PACE: Duration = Duration::from_millis(1);

/// What is written under a number's keys, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// SET of the number, with a long tail: segments fill.
    Set,
    /// INCR: applied twice, it shows.
    Count,
    /// SET of odd numbers, DEL for even ones.
    Gone,
    /// MSET of the number under keys on several shards.
    Many,
    /// MULTI, INCR of each of several keys, EXEC.
    Exec,
}

const KINDS: [Kind; 5] = [Kind::Set, Kind::Count, Kind::Gone, Kind::Many, Kind::Exec];
/// Keys of each kind that one client has.
const KEYS: usize = 4;
const TAIL: usize = 512;

/// Keys that only ever change together, and by one client alone.
#[derive(Debug)]
struct Entry {
    kind: Kind,
    keys: Vec<String>,
    /// The newest number that was acknowledged ...
    acked: u64,
    /// ... and the newest that was sent: it may be there or not.
    sent: u64,
}

/// How a request ended.
enum Outcome {
    Acked,
    NotExecuted,
    Unknown,
}

impl Entry {
    fn new(client: u64, kind: Kind, n: usize) -> Self {
        let keys = match kind {
            Kind::Set | Kind::Count | Kind::Gone => 1,
            Kind::Many | Kind::Exec => 3,
        };
        let keys = (0..keys).map(|i| format!("{kind:?}:{client}:{n}:{i}")).collect();
        Self { kind, keys, acked: 0, sent: 0 }
    }

    fn request(&self, value: u64) -> (Vec<u8>, usize) {
        let text = value.to_string();
        let key = &self.keys[0];
        match self.kind {
            Kind::Gone if value.is_multiple_of(2) => (encode(&["DEL", key]), 1),
            Kind::Set => (encode(&["SET", key, &format!("{text}{:.>TAIL$}", "")]), 1),
            Kind::Gone => (encode(&["SET", key, &text]), 1),
            Kind::Count => (encode(&["INCR", key]), 1),
            Kind::Many => {
                let mut words = vec!["MSET"];
                self.keys.iter().for_each(|key| words.extend([key.as_str(), text.as_str()]));
                (encode(&words), 1)
            }
            Kind::Exec => {
                let mut bytes = encode(&["MULTI"]);
                self.keys.iter().for_each(|key| bytes.extend(encode(&["INCR", key])));
                bytes.extend(encode(&["EXEC"]));
                (bytes, 2 + self.keys.len())
            }
        }
    }

    /// The number that the daemon holds; half of a change is none.
    fn read(&self, client: &mut Raw) -> std::io::Result<Option<u64>> {
        let words: Vec<&str> =
            std::iter::once("MGET").chain(self.keys.iter().map(String::as_str)).collect();
        client.try_send(encode(&words))?;
        let reply = client.try_receive()?;
        if reply.is_error() {
            assert_honest(&reply.text());
            return Ok(None);
        }
        let found: Vec<u64> = reply.items().iter().map(|value| self.number(value)).collect();
        assert!(found.iter().all(|n| *n == found[0]), "by half: {self:?} is {found:?}");
        Ok(Some(found[0]))
    }

    fn number(&self, value: &Reply) -> u64 {
        match value {
            // The last deletion that was sent; it may be older than what must be there.
            Reply::Nil if self.kind == Kind::Gone => self.sent & !1,
            Reply::Nil => 0,
            reply => reply.text().trim_end_matches('.').parse().expect("a number"),
        }
    }

    fn settle(&mut self, found: u64, when: &str) {
        let (acked, sent) = (self.acked, self.sent);
        assert!((acked..=sent).contains(&found), "{when}: {self:?} is {found}");
        (self.acked, self.sent) = (found, found);
    }
}

/// An error must say whether the request was executed.
fn assert_honest(text: &str) {
    const HONEST: [&str; 5] = [
        "outcome unknown",
        "outcome of this write is unknown",
        "not executed",
        "LOADING",
        "not applied",
    ];
    assert!(HONEST.iter().any(|word| text.contains(word)), "a dishonest error: {text}");
}

fn outcome_of(error: &str) -> Outcome {
    assert_honest(error);
    if error.contains("unknown") { Outcome::Unknown } else { Outcome::NotExecuted }
}

struct Writer {
    id: u64,
    address: SocketAddr,
    client: Option<Raw>,
    entries: Vec<Entry>,
    signs: Arc<Signs>,
    rng: SmallRng,
}

#[derive(Debug, Default)]
struct Signs {
    stop: AtomicBool,
    pause: AtomicBool,
    acked: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
}

impl Writer {
    fn stopped(&self) -> bool {
        self.signs.stop.load(Ordering::Relaxed)
    }

    fn client(&mut self) -> Option<&mut Raw> {
        if self.client.is_none() {
            self.client = Raw::try_tcp(self.address).ok();
        }
        self.client.as_mut()
    }

    fn run(mut self) -> Vec<Entry> {
        while !self.stopped() {
            std::thread::sleep(PACE);
            if self.signs.pause.load(Ordering::Relaxed) {
                continue;
            }
            if self.rng.random_ratio(1, 8) {
                self.look_around();
            }
            let at = self.rng.random_range(0..self.entries.len());
            let value = self.entries[at].sent + 1;
            let (request, replies) = self.entries[at].request(value);
            self.entries[at].sent = value;
            match self.send(&request, replies, &self.entries[at].keys.clone(), value) {
                Outcome::Acked => {
                    self.entries[at].acked = value;
                    self.signs.acked.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::NotExecuted => {
                    self.entries[at].sent = value - 1;
                    self.signs.refused.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Unknown => {
                    self.signs.unknown.fetch_add(1, Ordering::Relaxed);
                    self.find_out(at);
                }
            }
        }
        self.entries
    }

    /// Reads what somebody else may be writing.
    fn look_around(&mut self) {
        let other = format!("Count:{}:0:0", (self.id + 1) % 3);
        let read = self.client().map(|client| client.try_run(&format!("GET {other}")));
        match read {
            Some(Ok(reply)) if reply.is_error() => assert_honest(&reply.text()),
            Some(Ok(_)) => {}
            _ => self.client = None,
        }
    }

    fn send(&mut self, request: &[u8], replies: usize, keys: &[String], value: u64) -> Outcome {
        let Some(client) = self.client() else { return Outcome::NotExecuted };
        let mut last = Reply::Nil;
        let mut sent = client.try_send(request);
        for _ in 0..replies {
            sent = sent.and_then(|()| client.try_receive()).map(|reply| last = reply);
        }
        if sent.is_err() {
            self.client = None;
            return Outcome::Unknown;
        }
        if last.is_error() {
            let text = last.text();
            // A transaction that was refused while it was queued.
            if text.contains("EXECABORT") {
                return Outcome::NotExecuted;
            }
            return outcome_of(&text);
        }
        // Counters say what they have become.
        let counts = match &last {
            Reply::Int(n) if keys[0].starts_with("Count") => vec![*n],
            Reply::Array(items) => items
                .iter()
                .map(|item| match item {
                    Reply::Int(n) => *n,
                    other => panic!("EXEC answers {other:?} for {keys:?}"),
                })
                .collect(),
            _ => Vec::new(),
        };
        let expected = i64::try_from(value).expect("a counter");
        assert!(counts.iter().all(|n| *n == expected), "{keys:?} became {counts:?}, not {value}");
        Outcome::Acked
    }

    /// A write whose outcome is unknown is there or not once a later one is acknowledged, for
    /// the log has one order.
    fn find_out(&mut self, at: usize) {
        let begun = Instant::now();
        while !self.stopped() {
            assert!(begun.elapsed() < PATIENCE, "the daemon does not heal");
            let probe = format!("SET probe:{} x", self.id);
            let Some(client) = self.client() else {
                std::thread::sleep(PACE * 5);
                continue;
            };
            let found = match client.try_run(&probe) {
                Ok(reply) if reply == Reply::ok() => {
                    // Not `self.client()`: it was lent to the probe.
                    let client = self.client.as_mut().expect("connected");
                    self.entries[at].read(client)
                }
                Ok(reply) => {
                    assert_honest(&reply.text());
                    Ok(None)
                }
                Err(error) => Err(error),
            };
            match found {
                Ok(Some(found)) => return self.entries[at].settle(found, "under load"),
                Ok(None) => {}
                Err(_) => self.client = None,
            }
            std::thread::sleep(PACE * 5);
        }
    }
}

/// Clients at work.
pub struct Load {
    signs: Arc<Signs>,
    writers: Vec<JoinHandle<Vec<Entry>>>,
}

/// What clients know when they have stopped.
pub struct Ledger(Vec<Entry>);

/// How much the clients did.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub acked: u64,
    pub refused: u64,
    pub unknown: u64,
}

impl Load {
    /// Three clients begin to write.
    pub fn start(address: SocketAddr, seed: u64) -> Self {
        let signs = Arc::new(Signs::default());
        let writers = (0..3)
            .map(|id| {
                let entries = KINDS
                    .iter()
                    .flat_map(|kind| (0..KEYS).map(|n| Entry::new(id, *kind, n)))
                    .collect();
                let rng = SmallRng::seed_from_u64(seed ^ id);
                let signs = Arc::clone(&signs);
                let writer = Writer { id, address, client: None, entries, signs, rng };
                std::thread::spawn(move || writer.run())
            })
            .collect();
        Self { signs, writers }
    }

    /// Waits until writes are acknowledged again.
    #[track_caller]
    pub fn wait_progress(&self, what: &str) {
        let before = self.counts().acked;
        wait_until(what, || self.broken() || self.counts().acked > before + 20);
        assert!(!self.broken(), "a client found a broken promise; see above ({what})");
    }

    /// A client has found something wrong.
    pub fn broken(&self) -> bool {
        !self.signs.stop.load(Ordering::Relaxed) && self.writers.iter().any(JoinHandle::is_finished)
    }

    /// The clients rest, or go on.
    pub fn pause(&self, on: bool) {
        self.signs.pause.store(on, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        Counts {
            acked: self.signs.acked.load(Ordering::Relaxed),
            refused: self.signs.refused.load(Ordering::Relaxed),
            unknown: self.signs.unknown.load(Ordering::Relaxed),
        }
    }

    /// Ends; what the clients know.
    pub fn finish(self) -> Ledger {
        self.signs.stop.store(true, Ordering::Relaxed);
        let entries = self.writers.into_iter();
        Ledger(entries.flat_map(|w| w.join().expect("a client found it all right")).collect())
    }
}

impl Ledger {
    /// Asserts that what was acknowledged is there, once, and nothing by half.
    pub fn check(&mut self, address: SocketAddr, when: &str) {
        let mut client = Raw::tcp(address);
        for entry in &mut self.0 {
            let found = entry.read(&mut client).expect("the daemon answers");
            let found = found.unwrap_or_else(|| panic!("{when}: {entry:?} cannot be read"));
            entry.settle(found, when);
        }
    }
}
