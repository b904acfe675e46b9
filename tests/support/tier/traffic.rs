//! Clients of a daemon with a tier, who know what every answer may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::{Raw, Reply, wait_until};

/// Between two requests of one client: daemons under test share few cores.
const PACE: Duration = Duration::from_millis(2);
/// Keys that are in memory all the time.
const HOT: u64 = 16;
/// Keys that one after the other is written to.
const WRITTEN: u64 = 64;
/// Keys that only Redis has at the beginning.
const COLD: u64 = 5000;

fn hot(n: u64) -> String {
    format!("hot:{}", n % HOT)
}

/// What a key holds that never changes.
fn value_of(key: &str) -> String {
    format!("value of {key}")
}

/// How long one kind of request took.
#[derive(Clone, Debug, Default)]
pub struct Times(pub(super) Vec<Duration>);

impl Times {
    pub fn longest(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// The time that `percent` of the requests took at most.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
    }
}

/// What a client knows when it has stopped.
#[derive(Debug, Default)]
struct Seen {
    times: Times,
    /// Misses that nobody could answer.
    nils: u64,
    /// The last write to each key that was acknowledged.
    written: BTreeMap<String, String>,
}

/// Clients at work: one reads what is in memory, one what is not, one writes; and one reads from a
/// database that has no tier, to know what this machine adds to each of them.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    control: JoinHandle<Seen>,
    hot: JoinHandle<Seen>,
    cold: JoinHandle<Seen>,
    writer: JoinHandle<Seen>,
}

/// What all of them have seen.
#[derive(Debug)]
pub struct Summary {
    /// Reads that have nothing to do with a tier, at the same time as the others.
    pub control: Times,
    /// Reads of what is in memory.
    pub hot: Times,
    /// Reads of what may have to be asked for.
    pub cold: Times,
    pub writes: Times,
    /// Reads of keys that exist which were answered as if they did not.
    pub nils: u64,
    /// What has to be there in the end.
    pub written: BTreeMap<String, String>,
}

struct Client {
    raw: Raw,
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    seen: Seen,
}

impl Client {
    /// One request, timed.
    fn ask(&mut self, words: &[&str]) -> Reply {
        let begun = Instant::now();
        let reply = self.raw.call(words);
        self.seen.times.0.push(begun.elapsed());
        self.requests.fetch_add(1, Ordering::Relaxed);
        reply
    }

    fn read_control(&mut self, _: u64) {
        assert_eq!(self.ask(&["GET", "control"]), Reply::bulk("control"));
    }

    fn read_hot(&mut self, n: u64) {
        let key = hot(n);
        assert_eq!(self.ask(&["GET", &key]), Reply::bulk(value_of(&key)), "{key}");
    }

    /// The right value, or none where Redis cannot be asked.
    fn read_cold(&mut self, n: u64) {
        let key = format!("cold:{}", n % COLD);
        match self.ask(&["GET", &key]) {
            Reply::Nil => self.seen.nils += 1,
            reply => assert_eq!(reply, Reply::bulk(value_of(&key)), "{key}"),
        }
    }

    fn write(&mut self, n: u64) {
        let (key, value) = (format!("written:{}", n % WRITTEN), format!("{n}"));
        assert_eq!(self.ask(&["SET", &key, &value]), Reply::ok(), "{key}");
        // What one has written oneself is there, whatever Redis does.
        assert_eq!(self.raw.call(&["GET", &key]), Reply::bulk(&value), "{key}");
        self.seen.written.insert(key, value);
    }
}

impl Traffic {
    /// What only Redis is to have: keys and values.
    pub fn cold() -> impl Iterator<Item = (String, String)> {
        let keys = (0..COLD).map(|n| format!("cold:{n}"));
        keys.map(|key| (key.clone(), value_of(&key)))
    }

    /// Gives Redis and memory what they are to have.
    pub fn prepare(address: SocketAddr, redis: &mut Raw) {
        for (key, value) in Self::cold() {
            redis.send(&["SET", &key, &value]);
        }
        assert!((0..COLD).all(|_| redis.receive() == Reply::ok()));
        Self::warm(address);
    }

    /// Gives memory what it is to have.
    pub fn warm(address: SocketAddr) {
        let mut raw = Raw::tcp(address);
        for n in 0..HOT {
            assert_eq!(raw.call(&["SET", &hot(n), &value_of(&hot(n))]), Reply::ok());
        }
    }

    /// Begins.
    pub fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let client = |raw: Raw, step: fn(&mut Client, u64)| {
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            let mut client = Client { raw, stop, requests, seen: Seen::default() };
            std::thread::spawn(move || {
                let mut n = 0;
                while !client.stop.load(Ordering::Relaxed) {
                    step(&mut client, n);
                    n += 1;
                    std::thread::sleep(PACE);
                }
                client.seen
            })
        };
        let control = {
            let mut raw = Raw::tcp(address);
            assert_eq!(raw.run("SELECT 1"), Reply::ok());
            assert_eq!(raw.run("SET control control"), Reply::ok());
            client(raw, Client::read_control)
        };
        let hot = client(Raw::tcp(address), Client::read_hot);
        let cold = client(Raw::tcp(address), Client::read_cold);
        let writer = client(Raw::tcp(address), Client::write);
        Self { stop, requests, control, hot, cold, writer }
    }

    /// Waits until so many more requests are answered.
    #[track_caller]
    pub fn wait_for(&self, requests: u64) {
        let goal = self.requests.load(Ordering::Relaxed) + requests;
        let clients = [&self.control, &self.hot, &self.cold, &self.writer];
        wait_until("requests are answered", || {
            let broken = clients.iter().any(|client| client.is_finished());
            assert!(!broken, "a client was told something wrong; see above");
            self.requests.load(Ordering::Relaxed) >= goal
        });
    }

    /// Ends; what the clients know.
    pub fn finish(self) -> Summary {
        self.stop.store(true, Ordering::Relaxed);
        let [control, hot, cold, writer] = [self.control, self.hot, self.cold, self.writer]
            .map(|client| client.join().expect("a client was told nothing wrong"));
        Summary {
            control: control.times,
            hot: hot.times,
            cold: cold.times,
            writes: writer.times,
            nils: cold.nils,
            written: writer.written,
        }
    }
}

impl Summary {
    /// Every key that only Redis had is found, with its value.
    pub fn check_cold(&self, address: SocketAddr) {
        let mut client = Raw::tcp(address);
        let mut keys: Vec<String> = (0..COLD).map(|n| format!("cold:{n}")).collect();
        // On a busy machine Redis may be too slow for one of them.
        wait_until("every key is found", || {
            keys.iter().for_each(|key| client.send(&["GET", key]));
            keys.retain(|key| match client.receive() {
                Reply::Nil => true,
                reply => {
                    assert_eq!(reply, Reply::bulk(value_of(key)), "{key}");
                    false
                }
            });
            keys.is_empty()
        });
    }

    /// What was acknowledged is there.
    pub fn check_written(&self, client: &mut Raw) {
        for (key, value) in &self.written {
            assert_eq!(client.call(&["GET", key]), Reply::bulk(value), "{key}");
        }
    }
}
